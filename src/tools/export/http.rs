//! What headers and URLs say, for formats that want it in pieces.

use crate::bundle::reader::Header;

/// The value of the first header called `name`.
pub(super) fn first<'h>(headers: &'h [Header], name: &str) -> Option<&'h str> {
    headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
}

/// The values of all headers called `name`.
pub(super) fn all<'h>(headers: &'h [Header], name: &'h str) -> impl Iterator<Item = &'h str> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
}

/// `a=b; c=d` in pairs; a cookie without a name has an empty one.
pub(super) fn cookies(value: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = value.split(';').map(|pair| pair.trim_matches([' ', '\t'])).filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or(("", pair)))
}

/// `a=b&c=d` in pairs, decoded as forms are.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(name, value)| (decoded(name), decoded(value)))
}

/// What stands behind the `?` of a URL.
pub(super) fn query(url: &str) -> &str {
    let url = url.split('#').next().unwrap_or_default();
    url.split_once('?').map_or("", |(_, query)| query)
}

/// A media type without its parameters, in lower case.
pub(super) fn media_type(headers: &[Header]) -> String {
    let value = first(headers, "content-type").unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether a content coding was on the body, which a bundle has without it.
pub(super) fn is_coded(headers: &[Header]) -> bool {
    all(headers, "content-encoding").flat_map(|value| value.split(',')).any(|coding| {
        let coding = coding.trim();
        !coding.is_empty() && !coding.eq_ignore_ascii_case("identity")
    })
}

/// `%41+b` as `A b`; what does not come to UTF-8 stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        let is_hex = |digits: &&[u8]| digits.iter().all(u8::is_ascii_hexdigit);
        match (first, after.get(..2).filter(is_hex).and_then(hex)) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
                continue;
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(byte),
        }
        rest = after;
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let pairs: Vec<_> = parameters("a=%C3%BC+1&b&=c&&d=%zz%f&e=%ff=").collect();
        let expected = [("a", "ü 1"), ("b", ""), ("", "c"), ("d", "%zz%f"), ("e", "%ff=")];
        assert_eq!(pairs, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!([query("http://a/?b#c?d"), query("http://a/#?b"), query("http://a?")], ["b", "", ""]);
    }

    #[test]
    fn cookies_are_pairs() {
        let pairs: Vec<_> = cookies("a=b; c = d=e;;lonely ").collect();
        assert_eq!(pairs, [("a", "b"), ("c ", " d=e"), ("", "lonely")]);
    }
}
