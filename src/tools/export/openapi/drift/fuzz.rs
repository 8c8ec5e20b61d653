//! The fuzzed property: any two documents are compared without a panic, within the limits, and a document does not differ from itself.

#![allow(clippy::unwrap_used, reason = "a property is asserted")]

use super::comparison::compare;
use super::{Changes, Document};

/// Compares two documents, with a NUL byte between them.
pub(crate) fn check_comparison(data: &[u8]) {
    let (earlier, present) = data.iter().position(|byte| *byte == 0).map_or((data, data), |at| data.split_at(at));
    let (earlier, present) =
        (Document::parse(earlier), Document::parse(present.strip_prefix(b"\0").unwrap_or(present)));
    for document in [&earlier, &present].into_iter().flatten() {
        let same = compared(document, document);
        assert!(same.listed.is_empty() && same.count() == 0, "{same:?}");
    }
    let (Ok(earlier), Ok(present)) = (&earlier, &present) else { return };
    let (there, back) = (compared(earlier, present), compared(present, earlier));
    for changes in [&there, &back] {
        let listed = [changes.new, changes.gone, changes.changed].iter().map(|count| *count.min(&1000)).sum::<u64>();
        assert!(changes.listed.len() as u64 == listed, "{changes:?}");
        assert!(changes.listed.is_sorted());
        assert!(changes.listed.iter().all(|change| change.to_string().chars().count() < 30_000));
    }
    // Types are compared in one direction: an integer is a number.
    if there.is_complete && back.is_complete && there.changed == 0 && back.changed == 0 {
        assert_eq!((there.new, there.gone), (back.gone, back.new));
    }
}

fn compared(earlier: &Document, present: &Document) -> Changes {
    compare(&earlier.0, &present.0, 100_000)
}
