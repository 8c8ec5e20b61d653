//! The URL of an exchange.

use super::origin::Origin;
use crate::bundle::format::text;
use crate::wire::authority::Authority;
use crate::wire::headers::is_visible;
use crate::wire::message::{RequestHead, Version};
use std::fmt::Write;

/// Returns the URL of `request`, `scheme://authority/path?query`.
///
/// - Scheme: the `:scheme` of HTTP/2, else the connection's; `ws` or `wss` if `is_websocket`.
/// - Authority: the first that is present of `:authority`, the Host field, an absolute-form target, the connection's.
///   The port is shown if it is not the scheme's default. User information before it (`user:password@`) is kept.
/// - Path and query: as sent. Bytes that are not UTF-8 are read as Latin-1.
pub(super) fn request_url(request: &RequestHead, origin: &Origin, is_websocket: bool) -> String {
    let is_tls = match request.scheme.as_deref() {
        Some(b"https") => true,
        Some(b"http") => false,
        Some(_) | None => origin.is_tls,
    };
    let (scheme, default_port) = match (is_websocket, is_tls) {
        (false, false) => ("http", 80),
        (false, true) => ("https", 443),
        (true, false) => ("ws", 80),
        (true, true) => ("wss", 443),
    };
    let target = text(&request.target);
    let (absolute, path) = split_absolute(&target);
    let parse = |named| NamedAuthority::parse(named, origin.authority.port);
    let in_target = absolute.map(str::as_bytes).and_then(parse);
    let named = request.authority.as_deref().or(request.headers.first("host")).map_or_else(|| in_target.clone(), parse);
    let NamedAuthority { userinfo, authority } =
        named.unwrap_or_else(|| NamedAuthority { userinfo: b"", authority: origin.authority.clone() });
    // Clients send the user information in the target, but not in Host.
    let userinfo = match in_target {
        Some(target) if userinfo.is_empty() && target.authority == authority => target.userinfo,
        _ => userinfo,
    };
    let mut url = String::with_capacity(target.len().saturating_add(TYPICAL_ORIGIN_BYTES));
    // Writing to a `String` cannot fail.
    let _ = write!(url, "{scheme}://{}{}", text(userinfo), authority.to_host_header(default_port));
    match path {
        // Asterisk-form means the server as a whole and has no path (RFC 9110 section 9.3.7).
        "*" => {}
        _ if path.starts_with('/') => url.push_str(path),
        _ => {
            url.push('/');
            url.push_str(path);
        }
    }
    url
}

/// Returns every authority that `request` names: `:authority`, each Host field, and that of an absolute-form target. A host
/// without a port has the connection's.
///
/// Malformed ones count too, unlike in the URL, since an origin may accept them: `Host : a`, and the `a` of `a:x`.
pub(super) fn named_authorities(request: &RequestHead, origin: &Origin) -> Vec<Authority> {
    let target = text(&request.target);
    let (absolute, _) = split_absolute(&target);
    let named = request.authority.as_deref().into_iter();
    let named = named.chain(request.headers.resembling("host")).chain(absolute.map(str::as_bytes));
    let parse = |text| NamedAuthority::parse(text, origin.authority.port).map(|named| named.authority);
    named.filter_map(|text| parse(text).or_else(|| parse(host_part(text)))).collect()
}

/// Returns the host in a malformed authority: what follows the user information, up to the first byte that is invalid in a
/// host name.
fn host_part(authority: &[u8]) -> &[u8] {
    let host = authority.rsplit(|&b| b == b'@').next().unwrap_or_default();
    let is_valid = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    host.split(|b| !is_valid(b)).next().unwrap_or_default()
}

/// Returns the authority that `request` asks a proxy to connect to, if it is a CONNECT; its exchange is not one of `origin`.
/// The extended CONNECT of HTTP/2 has a path, and is a request to the origin (RFC 8441 section 4).
pub(super) fn connect_authority(request: &RequestHead, origin: &Origin) -> Option<Authority> {
    let is_extended =
        request.version == Version::Http2 && request.target != *request.authority.as_deref().unwrap_or(b"");
    if request.method != "CONNECT" || is_extended {
        return None;
    }
    Some(Authority::from_connect_target(&request.target).unwrap_or_else(|_| origin.authority.clone()))
}

/// An authority and the user information before it (RFC 3986 section 3.2.1).
#[derive(Clone)]
struct NamedAuthority<'a> {
    /// Ends with its `@`; empty if there is none.
    userinfo: &'a [u8],
    authority: Authority,
}

impl<'a> NamedAuthority<'a> {
    fn parse(bytes: &'a [u8], default_port: u16) -> Option<Self> {
        let at = bytes.iter().rposition(|&b| b == b'@').map_or(0, |at| at.saturating_add(1));
        let (userinfo, host) = bytes.split_at_checked(at)?;
        let authority = Authority::from_host_header(host, default_port).ok()?;
        userinfo.iter().all(|b| is_visible(b) && !b"/?#".contains(b)).then_some(Self { userinfo, authority })
    }
}

/// Splits an absolute-form target into its authority and the rest (RFC 9112 section 3.2.2). Other targets have no
/// authority.
fn split_absolute(target: &str) -> (Option<&str>, &str) {
    let scheme = ["http://", "https://", "ws://", "wss://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let Some(rest) = scheme.and_then(|scheme| target.get(scheme.len()..)) else {
        return (None, target);
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    (Some(authority), path)
}

/// Scheme and authority of most URLs are at most this long.
const TYPICAL_ORIGIN_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::authority::Host;
    use crate::wire::headers::Headers;

    fn url(is_tls: bool, port: u16, target: &str, host: Option<&str>) -> String {
        let mut headers = Headers::default();
        if let Some(host) = host {
            headers.push(b"hOst", host.as_bytes());
        }
        let request = RequestHead {
            method: "GET".into(),
            target: target.into(),
            version: Version::Http11,
            scheme: None,
            authority: None,
            headers,
            is_ambiguous: false,
        };
        let authority = Authority { host: Host::V6("::1".parse().unwrap()), port };
        request_url(&request, &Origin { is_tls, authority, connect_timing: None }, false)
    }

    #[test]
    fn returns_the_url_of_an_http1_request() {
        for (is_tls, port, target, host, expected) in [
            (true, 443, "/a?b=%20c", Some("Api.Example.COM"), "https://api.example.com/a?b=%20c"),
            (true, 443, "/", Some("a.example:443"), "https://a.example/"),
            (true, 443, "/", Some("a.example:80"), "https://a.example:80/"),
            (true, 8443, "/", Some("a.example"), "https://a.example:8443/"),
            (false, 80, "/", Some("[2001:DB8::1]:81"), "http://[2001:db8::1]:81/"),
            (false, 8080, "/x", None, "http://[::1]:8080/x"),
            (false, 80, "/x", Some("no host/"), "http://[::1]/x"),
            (false, 80, "*", Some("a"), "http://a"),
            (false, 80, "?q", Some("a"), "http://a/?q"),
            (false, 80, "HTTP://b.example?q", None, "http://b.example/?q"),
            (true, 443, "https://b.example/p", Some("a.example"), "https://a.example/p"),
            (true, 443, "", Some("a"), "https://a/"),
            (false, 80, "http://u:p@w@b.example:81/p", None, "http://u:p@w@b.example:81/p"),
            (true, 443, "http://u:p@b.example", Some("b.example"), "https://u:p@b.example/"),
            (true, 443, "https://u@b.example/p", Some("a.example"), "https://a.example/p"),
            (true, 443, "/p", Some("u:p@a.example"), "https://u:p@a.example/p"),
            (false, 80, "/p", Some("u/p@a.example"), "http://[::1]/p"),
            (false, 80, "*", Some("u@a"), "http://u@a"),
        ] {
            assert_eq!(url(is_tls, port, target, host), expected, "{target} {host:?}");
        }
    }

    #[test]
    fn returns_the_url_of_an_http2_request() {
        for (is_tls, scheme, named, host, target, is_websocket, expected) in [
            (true, Some("https"), Some("A.example"), None, "/a?b", false, "https://a.example:8443/a?b"),
            (true, Some("https"), Some("a.example:443"), Some("b.example"), "/", false, "https://a.example/"),
            (true, Some("http"), Some("a.example:80"), None, "/", false, "http://a.example/"),
            (false, Some("https"), Some("a.example:1"), None, "/", true, "wss://a.example:1/"),
            (false, Some("odd"), Some("a.example:80"), None, "*", false, "http://a.example"),
            (true, None, None, Some("b.example:443"), "/", false, "https://b.example/"),
            (true, None, None, None, "/", false, "https://c.example:8443/"),
        ] {
            let mut headers = Headers::default();
            if let Some(host) = host {
                headers.push(b"host", host.as_bytes());
            }
            let request = RequestHead {
                method: "GET".into(),
                target: target.into(),
                version: Version::Http2,
                scheme: scheme.map(Into::into),
                authority: named.map(Into::into),
                headers,
                is_ambiguous: false,
            };
            let authority = Authority { host: Host::Name("c.example".into()), port: 8443 };
            let origin = Origin { is_tls, authority, connect_timing: None };
            assert_eq!(request_url(&request, &origin, is_websocket), expected);
        }
    }
}
