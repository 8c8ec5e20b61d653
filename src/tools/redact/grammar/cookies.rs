//! The values of `Cookie` and `Set-Cookie` (RFC 6265).

use super::super::leaf::{Kind, Layer, Leaf, Place, Visitor};

/// Lists the cookies of a `Cookie` field. `is_secret` marks them as parts of a secret.
pub(super) fn cookies(value: &str, is_secret: bool, visitor: &mut dyn Visitor) {
    let mut at = 0;
    for pair in value.split(';') {
        cookie(pair, at, is_secret, visitor);
        at = at.saturating_add(pair.len()).saturating_add(1);
    }
}

/// Lists the cookie of a `Set-Cookie` field. Its attributes are no leaves.
pub(super) fn set_cookie(value: &str, is_secret: bool, visitor: &mut dyn Visitor) {
    cookie(value.split(';').next().unwrap_or_default(), 0, is_secret, visitor);
}

/// Lists `name=value`. A cookie without `=` is a value.
fn cookie(pair: &str, start: usize, is_secret: bool, visitor: &mut dyn Visitor) {
    let equals = pair.find('=');
    let name = equals.and_then(|equals| pair.get(..equals)).unwrap_or_default().trim();
    let from = equals.map_or(0, |equals| equals.saturating_add(1));
    let value = pair.get(from..).unwrap_or_default();
    let mut range = from.saturating_add(value.len().saturating_sub(value.trim_start().len()))..0;
    let value = value.trim();
    range.end = range.start.saturating_add(value.len());
    if value.len() >= 2 && value.starts_with('"') && value.ends_with('"') {
        range = range.start.saturating_add(1)..range.end.saturating_sub(1);
    }
    if !range.is_empty() {
        visitor.leaf(Leaf {
            place: Place::Cookie,
            name,
            range: start.saturating_add(range.start)..start.saturating_add(range.end),
            layer: Layer::Percent,
            kind: Kind::Text,
            is_part_of_secret: is_secret,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::leaf::testing;
    use super::*;

    #[test]
    fn lists_cookies_without_attributes() {
        for (value, expected) in [
            ("id=7; theme = dark;  empty=; \"x\"=\"y z\"", &["!id=7", "!theme=dark", "!\"x\"=y z"][..]),
            ("lonely", &["!=lonely"]),
            ("a=b=c; a=s%3Ax", &["!a=b=c", "!a=s:x"]),
            ("a=\"", &["!a=\""]),
            ("", &[]),
        ] {
            assert_eq!(testing::leaves(value, |value, visitor| cookies(value, true, visitor)), expected, "{value}");
        }
        let found = testing::leaves("id=7; Path=/x; Domain=a", |value, visitor| set_cookie(value, false, visitor));
        assert_eq!(found, ["id=7"]);
    }
}
