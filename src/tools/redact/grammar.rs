//! The grammars of the texts in a bundle. Each lists the values in a text as leaves, and knows nothing else.

use super::leaf::{Kind, Layer, Leaf, Place, Visitor};

pub(super) mod cookies;
pub(super) mod form;
pub(super) mod fragments;
pub(super) mod headers;
pub(super) mod json;
pub(super) mod lines;
pub(in crate::tools) mod multipart;
pub(super) mod url;
pub(super) mod xml;

/// The grammar of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grammar {
    Json,
    Xml,
    Url,
    Form,
    /// An event stream (`text/event-stream`).
    Lines,
    Free,
}

impl Grammar {
    /// Returns the grammar of a text about which nothing else is known.
    pub(super) fn of(text: &str) -> Self {
        let trimmed = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        // Messages of Socket.IO begin with a number.
        let unnumbered = trimmed.trim_start_matches(|c: char| c.is_ascii_digit());
        match trimmed.bytes().next() {
            None => Self::Free,
            Some(b'{' | b'[') => Self::Json,
            // A document that is a string.
            Some(b'"') if serde_json::from_str::<String>(trimmed).is_ok() => Self::Json,
            Some(b'<') if xml::starts_markup(trimmed) => Self::Xml,
            Some(b'0'..=b'9') if unnumbered.starts_with(['{', '[']) => Self::Json,
            Some(_) if lines::is_event_stream(trimmed) => Self::Lines,
            Some(_) if text.contains(|c: char| c.is_whitespace() || c.is_control()) => Self::Free,
            Some(_) if url::is_url(text) => Self::Url,
            Some(_) if form::is_form(text) => Self::Form,
            Some(_) => Self::Free,
        }
    }
}

/// A visitor that shifts the leaves of a part of a text.
struct Shifted<'v> {
    visitor: &'v mut dyn Visitor,
    by: usize,
}

impl Visitor for Shifted<'_> {
    fn is_secret_container(&mut self, place: Place, name: &str) -> bool {
        self.visitor.is_secret_container(place, name)
    }

    fn leaf(&mut self, leaf: Leaf<'_>) {
        let range = leaf.range.start.saturating_add(self.by)..leaf.range.end.saturating_add(self.by);
        self.visitor.leaf(Leaf { range, ..leaf });
    }
}

/// Returns a leaf of text that has no name and is not encoded.
fn unnamed(place: Place, range: std::ops::Range<usize>) -> Leaf<'static> {
    Leaf { place, name: "", range, layer: Layer::Plain, kind: Kind::Text, is_part_of_secret: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_grammars_by_their_beginning() {
        for (text, expected) in [
            (" {\"a\":1}", Grammar::Json),
            ("\u{feff}[1]", Grammar::Json),
            ("42[\"event\",{}]", Grammar::Json),
            ("42", Grammar::Free),
            ("\"a=b\" ", Grammar::Json),
            ("\"a b", Grammar::Free),
            ("\"a\"b", Grammar::Free),
            ("<a/>", Grammar::Xml),
            ("<!doctype html>", Grammar::Xml),
            ("<https://a/?b=c>; rel=next", Grammar::Free),
            ("</?b=c>", Grammar::Free),
            ("YWI9Yw==", Grammar::Free),
            ("https://a/?b=c", Grammar::Url),
            ("/a?b=c", Grammar::Url),
            ("?b=c", Grammar::Url),
            ("#b=c", Grammar::Url),
            ("a=b&c=d", Grammar::Form),
            ("a%5Bb%5D=c", Grammar::Form),
            ("see https://a/?b=c", Grammar::Free),
            ("a = b", Grammar::Free),
            ("data: x\n\n", Grammar::Lines),
            ("datax", Grammar::Free),
            ("", Grammar::Free),
        ] {
            assert_eq!(Grammar::of(text), expected, "{text}");
        }
    }
}
