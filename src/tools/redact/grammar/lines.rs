//! Event streams (`text/event-stream`): the data of each line is a text of its own, usually JSON.

use super::super::leaf::{Place, Visitor};
use super::unnamed;

/// Lists the values of the lines.
pub(in super::super) fn leaves(text: &str, visitor: &mut dyn Visitor) {
    let mut at: usize = 0;
    for line in text.split_inclusive(['\n', '\r']) {
        let value = FIELDS.iter().find_map(|field| line.strip_prefix(field)).unwrap_or(line);
        let start = at.saturating_add(line.len().saturating_sub(value.trim_start().len()));
        let end = start.saturating_add(value.trim().len());
        if start < end {
            visitor.leaf(unnamed(Place::Line, start..end));
        }
        at = at.saturating_add(line.len());
    }
}

/// Returns true if `text` begins as an event stream.
pub(super) fn is_event_stream(text: &str) -> bool {
    FIELDS.iter().any(|field| text.starts_with(field)) && text.contains('\n')
}

const FIELDS: &[&str] = &["data:", "event:", "id:", "retry:", ":"];

#[cfg(test)]
mod tests {
    use super::super::super::leaf::testing;
    use super::*;

    #[test]
    fn lists_the_values_of_lines() {
        let found = testing::leaves("event: a\r\ndata: {\"b\":1}\n\n:c\nd", leaves);
        assert_eq!(found, ["=a", "={\"b\":1}", "=c", "=d"]);
    }
}
