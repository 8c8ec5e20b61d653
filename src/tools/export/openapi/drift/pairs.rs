//! Pairs the items of two documents by name. A name that only one document has joins a pattern of the other that covers it.

use super::Both;
use crate::tools::indexed_map::IndexedMap;
use std::borrow::Cow;

/// The items of a document, by name.
pub(super) type Named<'d, T> = IndexedMap<Cow<'d, str>, Vec<T>>;

/// The items of both documents, by name.
pub(super) type Pairs<'d, T> = IndexedMap<Cow<'d, str>, Both<Vec<T>>>;

/// Returns the most specific name among those of a document that covers a name. It is called for names that this document lacks.
type Covering<'f, 'd, T> = dyn FnMut(&str, &Named<'d, T>, Side) -> Option<String> + 'f;

/// One of the two documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Earlier,
    Present,
}

/// Pairs the items.
pub(super) fn pair<'d, T>(
    earlier: Named<'d, T>,
    present: Named<'d, T>,
    covering: &mut Covering<'_, 'd, T>,
) -> Pairs<'d, T> {
    let mut patterns: IndexedMap<String, String> = IndexedMap::default();
    for (names, others, side) in [(&earlier, &present, Side::Present), (&present, &earlier, Side::Earlier)] {
        for name in names.keys().filter(|name| !others.contains_key::<str>(name)) {
            if let Some(pattern) = covering(name, others, side) {
                patterns.insert(name.clone().into_owned(), pattern);
            }
        }
    }
    let mut pairs = Pairs::default();
    for (named, side) in [(earlier, Side::Earlier), (present, Side::Present)] {
        for (mut name, items) in named.into_entries() {
            // A pattern may itself join a more general one.
            for _ in 0..MAX_PATTERNS {
                let Some(pattern) = patterns.get::<str>(&name) else { break };
                name = pattern.clone().into();
            }
            if let Some(pair) = pairs.or_default(name) {
                match side {
                    Side::Earlier => pair.earlier.extend(items),
                    Side::Present => pair.present.extend(items),
                }
            }
        }
    }
    pairs
}

/// Returns the first of `patterns` that is in `names`.
pub(super) fn first_of<T>(names: &Named<'_, T>, patterns: &[&str]) -> Option<String> {
    patterns.iter().find(|pattern| names.contains_key(**pattern)).map(|pattern| (*pattern).to_owned())
}

/// Patterns, each of which covers the one before.
const MAX_PATTERNS: usize = 16;
