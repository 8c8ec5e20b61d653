//! `application/x-www-form-urlencoded`, and the query of a URL.
//!
//! ```text
//! user=me&password=a;b&c        "password" is "a;b", and "c" has no name
//! user=me;password=a            ";" separates only before a name and "="
//! ```

use super::super::leaf::{Kind, Layer, Leaf, Place, Visitor};
use std::ops::Range;

/// Lists the fields of a form.
pub(in super::super) fn leaves(text: &str, place: Place, visitor: &mut dyn Visitor) {
    for range in fields(text) {
        let field = text.get(range.clone()).unwrap_or_default();
        let (name, start) = match field.find('=') {
            Some(equals) => (field.get(..equals).unwrap_or_default(), equals.saturating_add(1)),
            None => ("", 0),
        };
        if start < field.len() {
            let name = Layer::Form.decode(name);
            visitor.leaf(Leaf {
                place,
                name: &name.text,
                range: range.start.saturating_add(start)..range.end,
                layer: Layer::Form,
                kind: Kind::Text,
                is_part_of_secret: false,
            });
        }
    }
}

/// Returns true if a text is like a form: a name and "=", without characters that a form encodes. Base64 ends in "=".
pub(super) fn is_form(text: &str) -> bool {
    starts_with_name(text.trim_end_matches('=')) && !text.contains(['"', '<', '>', '`'])
}

/// Returns true if `text` begins with a name and "=".
pub(super) fn starts_with_name(text: &str) -> bool {
    let name_len = text.bytes().take(MAX_NAME_BYTES).take_while(|byte| is_in_name(*byte)).count();
    name_len > 0 && text.as_bytes().get(name_len) == Some(&b'=')
}

/// Unreserved and percent-encoded characters, and those that frameworks use in names.
pub(super) fn is_in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%+[]$:@!*".contains(&byte) || byte >= 0x80
}

/// Returns the ranges of the fields.
fn fields(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = text.get(start..).filter(|rest| !rest.is_empty())?;
        let is_end = |(at, byte): (usize, u8)| match byte {
            b'&' => true,
            b';' => rest.get(at.saturating_add(1)..).is_some_and(starts_with_name),
            _ => false,
        };
        let len = rest.bytes().enumerate().position(is_end).unwrap_or(rest.len());
        let range = start..start.saturating_add(len);
        start = range.end.saturating_add(1);
        Some(range)
    })
}

/// Longer names are not those of secrets.
const MAX_NAME_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::super::super::leaf::testing;
    use super::*;

    #[test]
    fn fields_end_at_separators_alone() {
        for (text, expected) in [
            ("a=b&c=d", &["a=b", "c=d"][..]),
            ("password=ab;SECRET&x=1", &["password=ab;SECRET", "x=1"]),
            ("a=b;c=d", &["a=b", "c=d"]),
            ("a=b|c'd\"e<f", &["a=b|c'd\"e<f"]),
            ("user%5Bpassword%5D=a%20b+c", &["user[password]=a b c"]),
            ("a=&b==c&&d", &["b==c", "=d"]),
            ("a=b;", &["a=b;"]),
            ("", &[]),
        ] {
            let found = testing::leaves(text, |text, visitor| leaves(text, Place::Parameter, visitor));
            assert_eq!(found, expected, "{text}");
        }
    }
}
