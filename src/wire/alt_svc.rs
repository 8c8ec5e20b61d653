//! The Alt-Svc field of a response (RFC 7838 section 3): other services for the origin, of which those over QUIC bypass a proxy.
//!
//! ```text
//! Alt-Svc: h3=":443"; ma=86400, h3-29="alt.test:8443"
//!          └┬┘ └─┬─┘  └──┬───┘
//!           │    │       parameter: the lifetime in seconds
//!           │    authority
//!           protocol (ALPN), percent-encoded
//! ```
//!
//! `clear` withdraws earlier offers. What does not match the grammar ends the list: clients ignore it.

use super::headers::{Headers, is_space, is_tchar};

/// Returns true if the Alt-Svc fields of a response offer HTTP/3, or HTTP over an earlier version of QUIC.
pub(crate) fn offers_http3(headers: &Headers) -> bool {
    headers.all("alt-svc").any(field_offers_http3)
}

fn field_offers_http3(value: &[u8]) -> bool {
    let mut rest = value;
    loop {
        rest = trim_start(rest);
        let Some((protocol, is_current, after)) = alternative(rest) else { return false };
        if is_current && is_quic(&protocol) {
            return true;
        }
        let Some(after) = trim_start(after).strip_prefix(b",") else { return false };
        rest = after;
    }
}

/// Parses one alternative. Returns its protocol, whether its lifetime is longer than zero, and the bytes after it.
fn alternative(bytes: &[u8]) -> Option<(Vec<u8>, bool, &[u8])> {
    let (protocol, rest) = token(bytes)?;
    let (_authority, mut rest) = quoted_string(rest.strip_prefix(b"=")?)?;
    let mut is_current = true;
    while let Some(parameter) = trim_start(rest).strip_prefix(b";") {
        let (name, after) = token(trim_start(parameter))?;
        let after = after.strip_prefix(b"=")?;
        let (value, after) = token(after).or_else(|| quoted_string(after))?;
        is_current &= name != b"ma" || value.iter().any(|digit| *digit != b'0');
        rest = after;
    }
    Some((percent_decoded(protocol), is_current, rest))
}

/// True for the ALPN name of HTTP/3 or one of its drafts, and for that of Google's QUIC.
fn is_quic(protocol: &[u8]) -> bool {
    protocol == b"h3" || protocol.starts_with(b"h3-") || protocol == b"quic"
}

fn token(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|b| !is_tchar(b)).unwrap_or(bytes.len());
    bytes.split_at_checked(end).filter(|(token, _)| !token.is_empty())
}

/// Splits off a quoted-string (RFC 9110 section 5.6.4); its content, with escapes.
fn quoted_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let content = bytes.strip_prefix(b"\"")?;
    let mut is_escaped = false;
    let end = content.iter().position(|b| {
        let is_end = *b == b'"' && !is_escaped;
        is_escaped = *b == b'\\' && !is_escaped;
        is_end
    })?;
    let (content, rest) = content.split_at_checked(end)?;
    Some((content, rest.strip_prefix(b"\"")?))
}

/// Decodes `%xx` (RFC 7838 section 3).
fn percent_decoded(name: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    decoded
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|b| !is_space(b)).unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offers(values: &[&str]) -> bool {
        let mut headers = Headers::default();
        values.iter().for_each(|value| headers.push(b"Alt-Svc", value.as_bytes()));
        offers_http3(&headers)
    }

    #[test]
    fn finds_http3_among_the_alternatives() {
        for value in [
            r#"h3=":443""#,
            r#"h3=":443"; ma=86400, h3-29=":443"; ma=86400"#,
            r#"h2="alt.example.test:8000", h3="alt.example.test:443""#,
            r#"h2=":443";ma=60 ; persist=1 ,h3-29=":443""#,
            r#"quic=":443"; ma=2592000; v="46,43""#,
            r#"w%3Dx%3Ay="a,h3=\":1\"", %68%33=":443""#,
        ] {
            assert!(offers(&[value]), "{value}");
        }
        assert!(offers(&["clear", r#"h3=":443""#]));
    }

    #[test]
    fn other_values_offer_nothing() {
        for value in [
            "",
            "clear",
            "h3",
            "h3=:443",
            r#"h3=":443"; ma=0"#,
            r#"h3=":443"; ma"#,
            r#"h3=":443"#,
            r#"h2=":443"; x="h3=\":443\"", hx=":1""#,
            r#"h2=":443" h3=":443""#,
            r#"h2=":443", =, h3=":443""#,
            r#"H3=":443""#,
            r#"h30=":443""#,
            r#"%=":443""#,
        ] {
            assert!(!offers(&[value]), "{value}");
        }
        assert!(!offers(&[]));
    }
}
