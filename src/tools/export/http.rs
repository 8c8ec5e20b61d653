//! Parses header fields and URLs, for formats that have their parts.

use crate::bundle::reader::Header;
use crate::tools::urlencoded::decode;

/// Returns the value of the first header field `name`.
pub(super) fn first<'h>(headers: &'h [Header], name: &str) -> Option<&'h str> {
    headers.iter().find(|header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
}

/// Returns the values of all header fields `name`.
pub(super) fn all<'h>(headers: &'h [Header], name: &'h str) -> impl Iterator<Item = &'h str> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value.as_str())
}

/// Splits `a=b; c=d` into pairs. A cookie without `=` is a value with an empty name.
pub(super) fn cookies(value: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = value.split(';').map(|pair| pair.trim_matches([' ', '\t'])).filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or(("", pair)))
}

/// Splits `a=b&c=d` into pairs, form-decoded.
pub(super) fn parameters(query: &str) -> impl Iterator<Item = (String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(name, value)| (decode(name), decode(value)))
}

/// Returns the query of a URL, empty if it has none.
pub(super) fn query(url: &str) -> &str {
    let url = url.split('#').next().unwrap_or_default();
    url.split_once('?').map_or("", |(_, query)| query)
}

/// Returns the media type without its parameters, in lower case.
pub(super) fn media_type(headers: &[Header]) -> String {
    let value = first(headers, "content-type").unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Returns true if the body had a content coding on the wire. Bundles store it decoded.
pub(super) fn is_coded(headers: &[Header]) -> bool {
    all(headers, "content-encoding").flat_map(|value| value.split(',')).any(|coding| {
        let coding = coding.trim();
        !coding.is_empty() && !coding.eq_ignore_ascii_case("identity")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_parameters() {
        let pairs: Vec<_> = parameters("a=%C3%BC+1&b&=c&&d=%zz%f&e=%ff=").collect();
        let expected = [("a", "ü 1"), ("b", ""), ("", "c"), ("d", "%zz%f"), ("e", "%ff=")];
        assert_eq!(pairs, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!([query("http://a/?b#c?d"), query("http://a/#?b"), query("http://a?")], ["b", "", ""]);
    }

    #[test]
    fn splits_cookies() {
        let pairs: Vec<_> = cookies("a=b; c = d=e;;lonely ").collect();
        assert_eq!(pairs, [("a", "b"), ("c ", " d=e"), ("", "lonely")]);
    }
}
