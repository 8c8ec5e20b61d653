//! Replacements of ranges of a text.

use crate::sorting::sort_by;
use std::ops::Range;

/// A replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) range: Range<usize>,
    /// The new text; empty in a pass that only finds.
    pub(super) text: String,
    pub(super) cause: Cause,
}

impl Edit {
    /// Returns the edit for a text that contains this one's at the offset `by`.
    pub(super) fn shifted(self, by: usize) -> Self {
        Self { range: self.range.start.saturating_add(by)..self.range.end.saturating_add(by), ..self }
    }
}

/// The reason for a replacement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The name of the field.
    Name(Box<str>),
    /// The form of the value.
    Form(&'static str),
    /// The value was found under a name, or by its form, in another place.
    Elsewhere,
}

/// Sorts edits. Those that overlap become one, with the text of the longest.
pub(super) fn merge(edits: &mut Vec<Edit>) {
    if edits.is_sorted_by(|a, b| a.range.end <= b.range.start) {
        return;
    }
    sort_by(edits, &|a, b| (a.range.start, a.range.end).cmp(&(b.range.start, b.range.end)));
    let mut merged: Vec<Edit> = Vec::with_capacity(edits.len());
    let mut longest: usize = 0;
    for edit in edits.drain(..) {
        let len = edit.range.len();
        match merged.last_mut().filter(|last| edit.range.start < last.range.end) {
            Some(last) => {
                last.range.end = last.range.end.max(edit.range.end);
                if len > longest {
                    longest = len;
                    (last.text, last.cause) = (edit.text, edit.cause);
                }
            }
            None => {
                longest = len;
                merged.push(edit);
            }
        }
    }
    *edits = merged;
}

/// Writes `text` with merged `edits` to `out`.
pub(super) fn apply(text: &[u8], edits: &[Edit], out: &mut dyn FnMut(&[u8])) {
    let mut at = 0;
    for edit in edits {
        out(text.get(at..edit.range.start).unwrap_or_default());
        out(edit.text.as_bytes());
        at = edit.range.end;
    }
    out(text.get(at..).unwrap_or_default());
}

/// Returns `text` with merged `edits`.
pub(super) fn applied(text: &str, edits: &[Edit]) -> String {
    let mut new = Vec::with_capacity(text.len());
    apply(text.as_bytes(), edits, &mut |bytes| new.extend_from_slice(bytes));
    // Edits are ranges of characters.
    String::from_utf8_lossy(&new).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_edits_become_one() {
        let edit = |range: Range<usize>, text: &str| Edit { range, text: text.into(), cause: Cause::Elsewhere };
        let mut edits = vec![edit(6..8, "c"), edit(0..2, "a"), edit(1..5, "b"), edit(4..6, "x"), edit(8..9, "d")];
        merge(&mut edits);
        assert_eq!(edits, [edit(0..6, "b"), edit(6..8, "c"), edit(8..9, "d")]);
        assert_eq!(applied("0123456789", &edits), "bcd9");
    }
}
