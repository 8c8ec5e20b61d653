//! Parses a client's request to the proxy, and rewrites the head of a plain request for the origin.
//!
//! ```text
//! CONNECT h:443 HTTP/1.1        ─▶ Connect    a tunnel
//! GET http://h/p?q HTTP/1.1     ─▶ Absolute   GET /p?q HTTP/1.1 is sent to h
//! GET /p?q HTTP/1.1             ─▶ Origin     sent to this port itself, or redirected to it
//! ```
//!
//! Plain requests are the only messages that the proxy changes. It edits the received bytes: the target becomes origin-form,
//! `Proxy-*` fields are removed, Host is set to the URI's authority, and Content-Length is removed beside Transfer-Encoding.
//! All other bytes stay as sent, including the order and case of fields and the line ends. The recorded head is parsed from
//! the bytes that are sent, so the two cannot differ. A head is refused if the origin could read it in another way than the
//! proxy: they might then disagree about the end of the request.

mod rewrite;

use super::authority::{Authority, BadAuthority};
use super::headers::Headers;
use super::http1::head::parse_request;
use super::message::RequestHead;
use super::tap::Opaque;
use rewrite::{is_clear, rewrite};
use std::fmt;

/// A client's request to the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProxyRequest {
    /// A request for a tunnel (RFC 9110 section 9.3.6).
    Connect(Authority),
    /// A request for an `http` URI (RFC 9112 section 3.2.2).
    Absolute(PlainRequest),
    /// A request in origin-form (RFC 9112 section 3.2.1). `host` is the authority in its Host field, if it has one.
    Origin { host: Option<Authority>, head: RequestHead },
}

/// A request to be sent to an origin without TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlainRequest {
    /// The origin.
    pub authority: Authority,
    /// The parsed form of `wire`.
    pub head: RequestHead,
    /// The bytes of the head to send.
    pub wire: Vec<u8>,
}

impl PlainRequest {
    /// Creates a request that was redirected to this port; its head is sent to `authority` unchanged.
    pub(crate) fn from_origin_form(authority: Authority, head: RequestHead, wire: &[u8]) -> Self {
        Self { authority, head, wire: wire.to_vec() }
    }
}

/// The cause when the proxy refuses a request. Its `Display` is the text of the 400 or 431 response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The bytes are not an HTTP/1 request.
    NotHttp,
    /// The head has too many bytes or fields.
    HeadTooLong,
    /// A line could mean different things to the proxy and to the origin.
    Ambiguous,
    /// The target has none of the four forms in RFC 9112 section 3.2.
    Target,
    /// The target is an `https` URI, which requires CONNECT.
    Https,
    /// The target is a URI with a scheme other than `http` and `https`.
    Scheme,
    /// The target's authority is malformed.
    Authority(BadAuthority),
    /// The Host field is malformed.
    Host(BadAuthority),
    /// The request has more than one Host field.
    SeveralHosts,
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp => f.write_str("not an HTTP/1 request"),
            Self::HeadTooLong => f.write_str("the request head is too long"),
            Self::Ambiguous => f.write_str("the request head has a malformed line"),
            Self::Target => f.write_str("malformed request target"),
            Self::Https => f.write_str("https URLs need a tunnel: use CONNECT"),
            Self::Scheme => f.write_str("unsupported URL scheme: expected http"),
            Self::Authority(cause) => write!(f, "malformed request target: {cause}"),
            Self::Host(cause) => write!(f, "malformed Host field: {cause}"),
            Self::SeveralHosts => f.write_str("more than one Host field"),
        }
    }
}

/// Parses the request at the start of `bytes`; `None` if its head is incomplete.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(usize, ProxyRequest)>, Refusal> {
    let Some((used, head)) = parse_request(bytes).map_err(refusal)? else {
        return Ok(None);
    };
    let sent = bytes.get(..used).unwrap_or_default();
    let request = if head.method == "CONNECT" {
        ProxyRequest::Connect(Authority::from_connect_target(&head.target).map_err(Refusal::Authority)?)
    } else if head.is_ambiguous || !is_clear(sent, &head) {
        return Err(Refusal::Ambiguous);
    } else if head.target.starts_with(b"/") || (head.target == b"*" && head.method == "OPTIONS") {
        ProxyRequest::Origin { host: host_of(&head.headers)?, head }
    } else {
        ProxyRequest::Absolute(rewrite_absolute(sent, &head)?)
    };
    Ok(Some((used, request)))
}

fn refusal(cause: Opaque) -> Refusal {
    match cause {
        Opaque::LimitExceeded => Refusal::HeadTooLong,
        _ => Refusal::NotHttp,
    }
}

/// Returns the authority in the Host field; `None` if the field is missing or empty (RFC 9110 section 7.2).
fn host_of(headers: &Headers) -> Result<Option<Authority>, Refusal> {
    let mut hosts = headers.all("host");
    let host = hosts.next().unwrap_or_default();
    if hosts.next().is_some() {
        return Err(Refusal::SeveralHosts);
    }
    if host.is_empty() {
        return Ok(None);
    }
    Authority::from_host_header(host, HTTP_PORT).map(Some).map_err(Refusal::Host)
}

/// Rewrites a request in absolute-form for its origin. `head` was parsed from `sent`.
fn rewrite_absolute(sent: &[u8], head: &RequestHead) -> Result<PlainRequest, Refusal> {
    let (authority, path) = split_uri(&head.target)?;
    let authority = Authority::from_host_header(authority, HTTP_PORT).map_err(Refusal::Authority)?;
    let wire = rewrite(sent, head, &authority, path).ok_or(Refusal::Ambiguous)?;
    match parse_request(&wire).map_err(refusal)? {
        Some((used, head)) if used == wire.len() => Ok(PlainRequest { authority, head, wire }),
        _ => Err(Refusal::NotHttp),
    }
}

/// Splits an `http` URI into its authority and the rest.
fn split_uri(target: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let colon = target.iter().position(|&b| b == b':').ok_or(Refusal::Target)?;
    let (scheme, rest) = target.split_at_checked(colon).ok_or(Refusal::Target)?;
    let rest = rest.strip_prefix(b"://").ok_or(Refusal::Target)?;
    if scheme.eq_ignore_ascii_case(b"https") {
        return Err(Refusal::Https);
    }
    if !scheme.eq_ignore_ascii_case(b"http") {
        return Err(Refusal::Scheme);
    }
    let end = rest.iter().position(|b| b"/?#".contains(b)).unwrap_or(rest.len());
    rest.split_at_checked(end).ok_or(Refusal::Target)
}

/// The default port of `http` (RFC 9110 section 4.2.1).
const HTTP_PORT: u16 = 80;

/// Fuzzing: asserts that more bytes never change a result, and that a rewritten head has the properties in this file's head.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_any_split(data: &[u8]) {
    let whole = parse(data);
    // Long inputs are checked in steps to keep the fuzzer fast.
    let step = data.len() / 256 + 1;
    for end in (0..data.len()).step_by(step) {
        match parse(data.get(..end).unwrap_or_default()) {
            Ok(None) => {}
            Ok(decided) => assert_eq!(Ok(decided), whole),
            Err(_) => assert!(whole.is_err()),
        }
    }
    if let Ok(Some((_, ProxyRequest::Absolute(PlainRequest { authority, head, wire })))) = whole {
        assert!(head.target.starts_with(b"/") || head.target == b"*");
        assert_eq!(host_of(&head.headers), Ok(Some(authority.clone())));
        assert!(!head.headers.iter().any(|(name, _)| rewrite::starts_with_ignore_case(name, b"proxy-")));
        assert!(head.headers.first("transfer-encoding").is_none() || head.headers.first("content-length").is_none());
        assert_eq!(parse(&wire), Ok(Some((wire.len(), ProxyRequest::Origin { host: Some(authority), head }))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mutations::mutations;

    fn request(bytes: &str) -> Result<ProxyRequest, Refusal> {
        check_any_split(bytes.as_bytes());
        let (used, request) = parse(bytes.as_bytes())?.expect("a whole head");
        assert_eq!(used, bytes.find("\r\n\r\n").map_or(bytes.len(), |end| end + 4));
        Ok(request)
    }

    /// Returns the head that the origin receives.
    fn rewritten(bytes: &str) -> String {
        let Ok(ProxyRequest::Absolute(plain)) = request(bytes) else { panic!("not in absolute-form: {bytes}") };
        String::from_utf8(plain.wire).unwrap()
    }

    #[test]
    fn rewrites_the_target_and_removes_proxy_fields() {
        assert_eq!(
            rewritten(
                "GET http://Example.com:80/a%2fb/?q=%zz HTTP/1.1\r\nhOST:  example.com\r\nPROXY-connection: keep-alive\r\n\
                 X-Odd:\t a  \r\nProxy-Authorization: Basic eA==\r\nx-odd:b\r\nConnection: close\r\nProxy-X: y\r\n\r\n"
            ),
            "GET /a%2fb/?q=%zz HTTP/1.1\r\nhOST:  example.com\r\nX-Odd:\t a  \r\nx-odd:b\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn records_the_head_that_is_sent() {
        let bytes = "POST http://h:81/p HTTP/1.0\r\nProxy-A: b\r\nHost: other\r\nContent-Length: 3\r\n\r\nabc";
        let Ok(ProxyRequest::Absolute(plain)) = request(bytes) else { panic!() };
        assert_eq!(plain.authority.to_string(), "h:81");
        assert_eq!(plain.head, parse_request(&plain.wire).unwrap().unwrap().1);
        assert_eq!(plain.head.target, b"/p");
        let fields: Vec<_> = plain.head.headers.iter().collect();
        assert_eq!(fields, [(&b"Host"[..], &b"h:81"[..]), (b"Content-Length", b"3")]);
    }

    #[test]
    fn rewrites_targets() {
        let target = |line: &str| {
            let wire = rewritten(&format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"));
            wire.split(' ').nth(1).unwrap().to_owned()
        };
        assert_eq!(target("GET http://h"), "/");
        assert_eq!(target("GET HTTP://h/"), "/");
        assert_eq!(target("GET http://h?q"), "/?q");
        assert_eq!(target("GET http://h#f"), "/#f");
        assert_eq!(target("GET http://h//a/../b#f?g"), "//a/../b#f?g");
        assert_eq!(target("GET http://h/http://other/"), "/http://other/");
        assert_eq!(target("GET http://h/{a|b}\"\\"), "/{a|b}\"\\");
        assert_eq!(target("OPTIONS http://h"), "*");
        assert_eq!(target("OPTIONS http://h/"), "/");
        assert_eq!(target("OPTIONS http://h?q"), "/?q");
    }

    #[test]
    fn sets_host_to_the_authority_of_the_uri() {
        let head = |fields: &str| rewritten(&format!("GET http://[::1]:81/ HTTP/1.1\r\n{fields}\r\n"));
        assert_eq!(head("A: b\r\n"), "GET / HTTP/1.1\r\nHost: [::1]:81\r\nA: b\r\n\r\n");
        assert_eq!(head("A: b\r\nhost:evil\r\nC: d\r\n"), "GET / HTTP/1.1\r\nA: b\r\nhost: [::1]:81\r\nC: d\r\n\r\n");
        assert_eq!(head("HOST: [0::1]:81\r\n"), "GET / HTTP/1.1\r\nHOST: [0::1]:81\r\n\r\n");
        assert_eq!(head("Host: [::1]:81\r\nHost: evil\r\n"), "GET / HTTP/1.1\r\nHost: [::1]:81\r\n\r\n");
        assert_eq!(head("Host: a b\r\n"), "GET / HTTP/1.1\r\nHost: [::1]:81\r\n\r\n");
        assert_eq!(rewritten("GET http://h:80/ HTTP/1.0\r\n\r\n"), "GET / HTTP/1.0\r\nHost: h\r\n\r\n");
    }

    #[test]
    fn removes_content_length_beside_transfer_encoding() {
        assert_eq!(
            rewritten("POST http://h/ HTTP/1.1\r\nHost: h\r\ncontent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let alone = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(rewritten(&alone.replace("/ ", "http://h/ ")), alone);
    }

    #[test]
    fn keeps_bare_line_feeds_and_removes_leading_empty_lines() {
        let bytes = b"\r\n\nGET http://h/ HTTP/1.1\nHost: x\nProxy-A: b\nC: d\n\nGET";
        check_any_split(bytes);
        let Ok(Some((used, ProxyRequest::Absolute(plain)))) = parse(bytes) else { panic!() };
        assert_eq!(used, bytes.len() - 3);
        assert_eq!(plain.wire, b"GET / HTTP/1.1\nHost: h\nC: d\n\n");
    }

    #[test]
    fn parses_connect() {
        let target = |target: &str| match request(&format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n")) {
            Ok(ProxyRequest::Connect(authority)) => Ok(authority.to_string()),
            Ok(other) => panic!("{other:?}"),
            Err(cause) => Err(cause),
        };
        assert_eq!(target("Example.com:443").unwrap(), "example.com:443");
        assert_eq!(target("::1:443").unwrap(), "[::1]:443");
        assert_eq!(target("example.com"), Err(Refusal::Authority(BadAuthority::MissingPort)));
        assert_eq!(target("http://example.com/"), Err(Refusal::Authority(BadAuthority::InvalidPort)));
        assert_eq!(target("/"), Err(Refusal::Authority(BadAuthority::InvalidByte(b'/'))));
    }

    #[test]
    fn parses_origin_form() {
        let host = |bytes: &str| match request(bytes) {
            Ok(ProxyRequest::Origin { host, head }) => Ok((host.map(|h| h.to_string()), head.target)),
            Ok(other) => panic!("{other:?}"),
            Err(cause) => Err(cause),
        };
        assert_eq!(host("GET /a HTTP/1.1\r\nHost: H:81\r\n\r\n"), Ok((Some("h:81".into()), b"/a".to_vec())));
        assert_eq!(host("GET / HTTP/1.0\r\n\r\n"), Ok((None, b"/".to_vec())));
        assert_eq!(host("GET / HTTP/1.1\r\nHost:\r\n\r\n"), Ok((None, b"/".to_vec())));
        assert_eq!(host("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"), Ok((Some("h:80".into()), b"*".to_vec())));
        assert_eq!(host("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), Err(Refusal::SeveralHosts));
        assert_eq!(host("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), Err(Refusal::Host(BadAuthority::InvalidByte(b'/'))));
        assert_eq!(host("GET * HTTP/1.1\r\nHost: h\r\n\r\n"), Err(Refusal::Target));

        let bytes = b"GET /a HTTP/1.1\r\nProxy-A: b\r\nHost: h\r\n\r\n";
        let Ok(Some((_, ProxyRequest::Origin { host: Some(host), head }))) = parse(bytes) else { panic!() };
        assert_eq!(PlainRequest::from_origin_form(host, head, bytes).wire, bytes);
    }

    #[test]
    fn forwards_odd_lines_with_one_meaning() {
        let wire = "GET /a b?\x1b HTTP/1.1\r\nHost: h\r\nX: \x01\x7f\r\nX-[a]/: \u{e9}\r\n\u{e9}: c\r\n\r\n";
        assert_eq!(rewritten(&wire.replace("GET ", "GET http://h")), wire);
        assert!(matches!(request(wire), Ok(ProxyRequest::Origin { head, .. }) if head.target == b"/a b?\x1b"));
    }

    #[test]
    fn replaces_a_host_with_a_control_character() {
        for end in ["\x0c", "\x0b ", "\t\x01"] {
            let sent = format!("GET http://h/ HTTP/1.1\r\nHost: h{end}\r\n\r\n");
            assert_eq!(rewritten(&sent), "GET / HTTP/1.1\r\nHost: h\r\n\r\n", "{end:?}");
        }
    }

    #[test]
    fn refuses_lines_that_an_origin_may_read_in_another_way() {
        for field in [
            "Proxy-A: b\r\n c",
            "Proxy-A : b",
            " Host: b",
            "X: a\r\n b",
            "no field",
            ": b",
            "X: a\rHost: b",
            "X: \0",
            "X\0: a",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding\x0b: chunked",
            "Transfer-Encoding[: chunked",
            "Content-Length: 1\x01",
        ] {
            for target in ["http://h/", "/"] {
                let head = format!("GET {target} HTTP/1.1\r\n{field}\r\n\r\n");
                assert_eq!(request(&head), Err(Refusal::Ambiguous), "{head:?}");
            }
        }
        for line in [
            "GET http://h/ HTTP/1.0 HTTP/1.1",
            "GET\thttp://h/ HTTP/1.1",
            "GET http://h/ HTTP/1.2",
            "GET /a\r HTTP/1.1",
            "GET /a\x0bHTTP/1.0 HTTP/1.1",
            "GET http://h/a\x0c HTTP/1.1",
        ] {
            assert_eq!(request(&format!("{line}\r\n\r\n")), Err(Refusal::Ambiguous), "{line:?}");
        }
    }

    #[test]
    fn displays_the_cause_of_a_refusal() {
        let refusal = |bytes: &str| request(bytes).unwrap_err().to_string();
        assert!(refusal("GET https://h/ HTTP/1.1\r\n\r\n").contains("CONNECT"));
        assert_eq!(refusal("GET ftp://h/ HTTP/1.1\r\n\r\n"), "unsupported URL scheme: expected http");
        assert!(refusal("GET http:/h HTTP/1.1\r\n\r\n").contains("target"));
        assert!(refusal("GET h HTTP/1.1\r\n\r\n").contains("target"));
        assert!(refusal("connect h:443 HTTP/1.1\r\n\r\n").contains("target"));
        assert_eq!(refusal("GET http:///p HTTP/1.1\r\n\r\n"), "malformed request target: the host is empty");
        assert!(refusal("GET http://u:p@h/ HTTP/1.1\r\n\r\n").contains("malformed"));
        assert!(refusal("GET http://h:0/ HTTP/1.1\r\n\r\n").contains("1 and 65535"));
        assert_eq!(refusal("SSH-2.0-x\r\n\r\n"), "not an HTTP/1 request");
        assert_eq!(refusal("GET http://h/ HTTP/1.1\r\nA : b\r\n\r\n"), "the request head has a malformed line");
        assert_eq!(parse(b"GET http://h/ HTTP/1.1\r\nA: b\r\n"), Ok(None));
    }

    #[test]
    fn results_do_not_depend_on_splits() {
        let seeds = [
            b"GET http://h:81/p?q HTTP/1.1\r\nHost: x\r\nProxy-A: b\r\nC: d\r\n\r\nrest".to_vec(),
            b"CONNECT [::1]:443 HTTP/1.1\r\nHost: x\r\n\r\n\x16\x03\x01".to_vec(),
            b"\r\nOPTIONS http://h HTTP/1.0\nTransfer-Encoding: chunked\nContent-Length: 1\n\n".to_vec(),
            b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
            b"POST http://h/a b HTTP/1.1\r\nX-[a]: \x01\r\nContent-Length : 1\r\n c: d\re\r\n\r\n".to_vec(),
        ];
        mutations(&seeds, 3000, check_any_split);
    }
}
