//! Pairs the items of two documents by name. A name that only one document has joins a pattern of the other that covers it.

use super::Both;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The items of a document, by name.
pub(super) type Named<'d, T> = BTreeMap<Cow<'d, str>, Vec<T>>;

/// The items of both documents, by name.
pub(super) type Pairs<'d, T> = BTreeMap<Cow<'d, str>, Both<Vec<T>>>;

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
    let mut patterns = BTreeMap::new();
    for (names, others, side) in [(&earlier, &present, Side::Present), (&present, &earlier, Side::Earlier)] {
        for name in names.keys().filter(|name| !others.contains_key(*name)) {
            if let Some(pattern) = covering(name, others, side) {
                patterns.insert(name.clone().into_owned(), pattern);
            }
        }
    }
    let mut pairs = Pairs::new();
    for (named, side) in [(earlier, Side::Earlier), (present, Side::Present)] {
        for (mut name, items) in named {
            // A pattern may itself join a more general one.
            for _ in 0..MAX_PATTERNS {
                let Some(pattern) = patterns.get(&*name) else { break };
                name = pattern.clone().into();
            }
            let pair = pairs.entry(name).or_insert_with(|| Both { earlier: Vec::new(), present: Vec::new() });
            match side {
                Side::Earlier => pair.earlier.extend(items),
                Side::Present => pair.present.extend(items),
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
