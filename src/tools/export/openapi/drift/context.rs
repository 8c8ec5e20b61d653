//! The state of a comparison: the documents, the work that is left, and the changes so far.

use super::budget::Budget;
use super::json::Json;
use super::references::Source;
use super::schema::Types;
use super::{Both, Change, ChangeKind, Changes, shortened};

/// A comparison that runs.
pub(super) struct Comparison<'d> {
    pub(super) sources: Both<Source<'d>>,
    pub(super) budget: Budget,
    pub(super) changes: Changes,
    /// The operation that is compared.
    pub(super) operation: Shown,
}

/// An operation as it is shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    pub(super) path: String,
    pub(super) method: &'static str,
}

/// A difference.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    New,
    Gone,
    /// The earlier types and the present ones.
    Types(Types, Types),
}

impl<'d> Comparison<'d> {
    pub(super) fn new(earlier: &'d Json, present: &'d Json, steps: u64) -> Self {
        Self {
            sources: Both { earlier: Source::new(earlier), present: Source::new(present) },
            budget: Budget::new(steps),
            changes: Changes::default(),
            operation: Shown::default(),
        }
    }

    /// Counts a difference of the operation, and lists it if there are not too many of its kind.
    pub(super) fn add(&mut self, kind: Kind, place: impl FnOnce() -> String) {
        let count = match kind {
            Kind::New => &mut self.changes.new,
            Kind::Gone => &mut self.changes.gone,
            Kind::Types(..) => &mut self.changes.changed,
        };
        *count = count.saturating_add(1);
        if *count <= MAX_LISTED {
            let kind = match kind {
                Kind::New => ChangeKind::New,
                Kind::Gone => ChangeKind::Gone,
                Kind::Types(earlier, present) => {
                    ChangeKind::Types { earlier: earlier.names(), present: present.names() }
                }
            };
            let (path, method) = (shortened(&self.operation.path), self.operation.method.to_owned());
            self.changes.listed.push(Change { path, method, place: place(), kind });
        }
    }

    /// Adds an item that one of the documents lacks. Returns false if both have it.
    pub(super) fn add_one_sided<T>(&mut self, pair: &Both<Vec<T>>, place: impl FnOnce() -> String) -> bool {
        let kind = match (pair.earlier.is_empty(), pair.present.is_empty()) {
            (true, _) => Kind::New,
            (_, true) => Kind::Gone,
            _ => return false,
        };
        self.add(kind, place);
        true
    }
}

/// The changes of a kind that are listed; others are counted. A document of a whole API has many operations that one capture lacks;
/// they do not displace new ones.
const MAX_LISTED: u64 = 1000;
