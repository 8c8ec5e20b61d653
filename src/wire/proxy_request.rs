//! Parses a client's request to the proxy, and rewrites the head of a plain request for the origin.
//!
//! ```text
//! CONNECT h:443 HTTP/1.1        ─▶ Connect    a tunnel
//! GET http://h/p?q HTTP/1.1     ─▶ Absolute   GET /p?q HTTP/1.1 is sent to h; for https and wss through TLS
//! GET /p?q HTTP/1.1             ─▶ Origin     sent to this port itself, or redirected to it
//! ```
//!
//! Plain requests are the only messages that the proxy changes. It edits the received bytes:
//!
//! - The target becomes origin-form. Credentials in the URI become an Authorization field, unless there is one.
//! - Host is set to the URI's authority. Content-Length is removed beside Transfer-Encoding.
//! - Proxy-Connection, Proxy-Authorization, and other `Proxy-*` fields that Connection names are removed.
//!
//! All other bytes stay as sent, including the order and case of fields and the line ends. The recorded head is parsed from
//! the bytes that are sent, so the two cannot differ.
//!
//! Bytes of targets and fields may violate the grammar, since apps send such heads and origins accept them. A head is refused
//! if the origin could read other lines, another Host, or another end of the request in it than the proxy:
//!
//! - A line contains CR or NUL, has no colon, or consists of spaces; the first one begins with a space; the target contains
//!   something like a version.
//! - Host or a framing field (Content-Length, Transfer-Encoding) is folded, has a space before its colon, or has a name that
//!   a recipient may repair.

mod rewrite;

use super::authority::{Authority, BadAuthority};
use super::credentials::Credentials;
use super::headers::Headers;
use super::http1::head::parse_request;
use super::message::RequestHead;
use super::tap::Opaque;
use rewrite::{OriginForm, absolute_form, is_clear, rewrite};
use std::fmt;

/// A client's request to the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProxyRequest {
    /// A request for a tunnel (RFC 9110 section 9.3.6).
    Connect(Authority),
    /// A request for an `http`, `https`, `ws` or `wss` URI (RFC 9112 section 3.2.2).
    Absolute(PlainRequest),
    /// A request in origin-form (RFC 9112 section 3.2.1). `host` is the authority in its Host field, if it has one.
    Origin { host: Option<Authority>, head: RequestHead },
}

/// A request that the proxy sends to an origin itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlainRequest {
    /// The origin.
    pub authority: Authority,
    /// True if the origin is reached through TLS: the URL is one of `https` or `wss`.
    pub is_tls: bool,
    /// The parsed form of `wire`.
    pub head: RequestHead,
    /// The bytes of the head to send.
    pub wire: Vec<u8>,
}

impl PlainRequest {
    /// Creates a request that was redirected to this port; its head is sent to `authority` unchanged.
    pub(crate) fn from_origin_form(authority: Authority, head: RequestHead, wire: &[u8]) -> Self {
        Self { authority, is_tls: false, head, wire: wire.to_vec() }
    }

    /// Returns the head for an upstream HTTP proxy: `wire` with the target in absolute form (RFC 9112 section 3.2.2), and with
    /// `authorization` in a Proxy-Authorization field. `None` if `wire` does not match `head`.
    ///
    /// The host in the target is that of the Host field, which the proxy would replace by it.
    pub(crate) fn to_absolute_form(&self, authorization: Option<&[u8]>) -> Option<Vec<u8>> {
        let host = host_of(&self.head.headers).ok().flatten();
        let host = host.as_ref().unwrap_or(&self.authority).to_host_header(HTTP_PORT);
        absolute_form(&self.wire, &self.head, &host, authorization)
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
    /// The target is a URI with a scheme other than `http`, `https`, `ws` and `wss`.
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
            Self::Scheme => f.write_str("unsupported URL scheme: expected http, https, ws or wss"),
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
    let Uri { is_tls, userinfo, authority, path } = split_uri(&head.target)?;
    let default_port = default_port(is_tls);
    let authority = Authority::from_host_header(authority, default_port).map_err(Refusal::Authority)?;
    let to = OriginForm {
        authority: &authority,
        default_port,
        path,
        authorization: Credentials::from_userinfo(userinfo).map(|credentials| credentials.basic()),
    };
    let wire = rewrite(sent, head, &to).ok_or(Refusal::Ambiguous)?;
    match parse_request(&wire).map_err(refusal)? {
        Some((used, head)) if used == wire.len() => Ok(PlainRequest { authority, is_tls, head, wire }),
        _ => Err(Refusal::NotHttp),
    }
}

/// The parts of an absolute URI.
struct Uri<'a> {
    is_tls: bool,
    /// The part before the last `@` of the authority; may be empty.
    userinfo: &'a [u8],
    authority: &'a [u8],
    /// The path and all that follows it; may be empty.
    path: &'a [u8],
}

/// Splits the URI of a proxy request. Some WebSocket clients send the schemes of RFC 6455 section 3.
fn split_uri(target: &[u8]) -> Result<Uri<'_>, Refusal> {
    let colon = target.iter().position(|&b| b == b':').ok_or(Refusal::Target)?;
    let (scheme, rest) = target.split_at_checked(colon).ok_or(Refusal::Target)?;
    let rest = rest.strip_prefix(b"://").ok_or(Refusal::Target)?;
    let is_tls = match scheme.to_ascii_lowercase().as_slice() {
        b"http" | b"ws" => false,
        b"https" | b"wss" => true,
        _ => return Err(Refusal::Scheme),
    };
    let end = rest.iter().position(|b| b"/?#".contains(b)).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or(Refusal::Target)?;
    let mut parts = authority.rsplitn(2, |&b| b == b'@');
    let (authority, userinfo) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    Ok(Uri { is_tls, userinfo, authority, path })
}

/// Returns the default port of `http` and `ws`, or of `https` and `wss` (RFC 9110 section 4.2, RFC 6455 section 3).
fn default_port(is_tls: bool) -> u16 {
    if is_tls { 443 } else { HTTP_PORT }
}

/// The default port of `http`.
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
    if let Ok(Some((_, ProxyRequest::Absolute(PlainRequest { authority, is_tls, head, wire })))) = whole {
        assert!(head.target.starts_with(b"/") || head.target == b"*");
        assert_eq!(head.headers.all("host").count(), 1);
        let host = head.headers.first("host").unwrap_or_default();
        assert_eq!(Authority::from_host_header(host, default_port(is_tls)), Ok(authority));
        assert!(!head.headers.iter().any(|(name, _)| rewrite::is_for_proxy(name, &head)));
        assert!(head.headers.first("transfer-encoding").is_none() || head.headers.first("content-length").is_none());
        let host = Authority::from_host_header(host, HTTP_PORT).ok();
        assert_eq!(parse(&wire), Ok(Some((wire.len(), ProxyRequest::Origin { host, head: head.clone() }))));
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
                 X-Odd:\t a  \r\nProxy-Authorization: Basic eA==\r\nx-odd:b\r\nConnection: close\r\n\r\n"
            ),
            "GET /a%2fb/?q=%zz HTTP/1.1\r\nhOST:  example.com\r\nX-Odd:\t a  \r\nx-odd:b\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(
            rewritten(
                "GET http://h/ HTTP/1.1\r\nHost: h\r\nProxy-Authorization : Basic\r\n\teA==\r\nA: b\r\n\
                 Proxy-Connection: a\r\n b:c\r\n\r\n"
            ),
            "GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n"
        );
    }

    #[test]
    fn keeps_proxy_fields_of_the_app_and_what_connection_lists() {
        let wire = |connection: &str, fields: &str| {
            format!(
                "GET / HTTP/1.1\r\nHost: h\r\nConnection: {connection}\r\nProxy-Foo: 1\r\n{fields}Proxy-Bar : 2\r\n\r\n"
            )
        };
        let sent = |connection: &str, fields: &str| wire(connection, fields).replace("GET ", "GET http://h");
        let upgrade = "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nTE: trailers\r\n";
        let options = "Upgrade, HTTP2-Settings, TE";
        assert_eq!(rewritten(&sent(options, upgrade)), wire(options, upgrade));
        let options = "keep-alive, PROXY-foo ,X,proxy-bar";
        assert_eq!(
            rewritten(&sent(options, "")),
            format!("GET / HTTP/1.1\r\nHost: h\r\nConnection: {options}\r\n\r\n")
        );
    }

    #[test]
    fn sends_the_credentials_of_the_uri_as_a_field() {
        let head = |uri: &str, fields: &str| rewritten(&format!("GET {uri} HTTP/1.1\r\nHost: x\r\n{fields}\r\n"));
        let with = |host: &str, fields: &str| format!("GET /p HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
        let basic = "Authorization: Basic dTpw\r\n";
        assert_eq!(head("http://u:p@h/p", ""), with("h", basic));
        assert_eq!(head("https://%75:%70@h:8/p", "A: b\r\n"), with("h:8", &format!("A: b\r\n{basic}")));
        for own in ["Authorization: Bearer x\r\n", "AUTHORIZATION:\r\n"] {
            assert_eq!(head("http://u:p@h/p", own), with("h", own));
        }
        assert_eq!(head("http://@h/p", ""), with("h", ""));
        assert_eq!(head("http://a@b:c@h/p", ""), with("h", "Authorization: Basic YUBiOmM=\r\n"));
    }

    #[test]
    fn records_the_head_that_is_sent() {
        let bytes = "POST http://h:81/p HTTP/1.0\r\nProxy-Connection: b\r\nHost: other\r\nContent-Length: 3\r\n\r\nabc";
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
    fn the_scheme_determines_tls_and_the_default_port() {
        for (scheme, is_tls, port) in
            [("http", false, 80), ("ws", false, 80), ("https", true, 443), ("WSS", true, 443), ("Https", true, 443)]
        {
            for (authority, shown, host) in [
                ("h".to_owned(), format!("h:{port}"), "h".to_owned()),
                (format!("h:{port}"), format!("h:{port}"), "h".to_owned()),
                ("h:8443".to_owned(), "h:8443".to_owned(), "h:8443".to_owned()),
                (format!("h:{}", 523 - port), format!("h:{}", 523 - port), format!("h:{}", 523 - port)),
            ] {
                let sent = format!("GET {scheme}://{authority}/p HTTP/1.1\r\nHost: other\r\n\r\n");
                let Ok(ProxyRequest::Absolute(plain)) = request(&sent) else { panic!("{sent}") };
                assert_eq!((plain.authority.to_string(), plain.is_tls), (shown, is_tls), "{sent}");
                let wire = format!("GET /p HTTP/1.1\r\nHost: {host}\r\n\r\n");
                assert_eq!(String::from_utf8(plain.wire).unwrap(), wire, "{sent}");
            }
        }
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
    fn an_upstream_proxy_gets_the_absolute_form() {
        let sent = |bytes: &str, authorization: Option<&[u8]>| {
            let (used, request) = parse(bytes.as_bytes()).unwrap().unwrap();
            let plain = match request {
                ProxyRequest::Absolute(plain) => plain,
                ProxyRequest::Origin { host: Some(host), head } => {
                    PlainRequest::from_origin_form(host, head, &bytes.as_bytes()[..used])
                }
                other => panic!("{other:?}"),
            };
            String::from_utf8(plain.to_absolute_form(authorization).unwrap()).unwrap()
        };
        let rest = "Host: h:81\r\nx-A:  b \r\n\r\n";
        for target in ["http://h:81/p?q=http://x", "http://u:p@h:81//a", "ws://h:81/{|}#f"] {
            let absolute = sent(&format!("GET {target} HTTP/1.1\r\n{rest}"), None);
            let expected = target.replace("u:p@", "").replace("ws:", "http:");
            assert!(absolute.starts_with(&format!("GET {expected} HTTP/1.1\r\nHost: h:81\r\n")), "{absolute}");
        }
        assert_eq!(
            sent(&format!("POST http://h:81 HTTP/1.0\r\nProxy-Authorization: mine\r\n{rest}"), Some(b"Basic dTpw")),
            format!("POST http://h:81/ HTTP/1.0\r\nProxy-Authorization: Basic dTpw\r\n{rest}")
        );
        assert_eq!(sent("OPTIONS http://h HTTP/1.1\nHost: h\n\n", None), "OPTIONS http://h HTTP/1.1\nHost: h\n\n");
        // Redirected to this port.
        assert_eq!(
            sent(&format!("\r\nGET /p HTTP/1.1\r\n{rest}"), None),
            format!("GET http://h:81/p HTTP/1.1\r\n{rest}")
        );
        // To an address: the proxy needs the name.
        let (_, request) = parse(b"GET /p HTTP/1.1\r\nHost: name\r\n\r\n").unwrap().unwrap();
        let ProxyRequest::Origin { head, .. } = request else { panic!() };
        let address = Authority::from_connect_target(b"192.0.2.1:80").unwrap();
        let plain = PlainRequest::from_origin_form(address, head, b"GET /p HTTP/1.1\r\nHost: name\r\n\r\n");
        assert_eq!(plain.to_absolute_form(None).unwrap(), b"GET http://name/p HTTP/1.1\r\nHost: name\r\n\r\n");
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
        let bytes = b"\r\n\nGET http://h/ HTTP/1.1\nHost: x\nProxy-Connection: b\nC: d\n\nGET";
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
        let odd = "X: \x01\x7f\r\nX-[a]/: \u{e9}\r\n\u{e9}: c\r\nX[1]: a\r\nX-Gr\u{f6}\u{df}e: b\r\n\"Pasted\": \"quotes\"\r\nX Y : b\r\n\
                   : b\r\nX: a\r\n  folded\r\n\tmore: folded\r\nConnection : close\r\n";
        for target in ["/a b?\x1b\x0b\x0c\t|", "/ ", "/\u{201c}q\u{201d}"] {
            let wire = format!("GET {target} HTTP/1.1\r\nHost: h\r\n{odd}\r\n");
            assert_eq!(rewritten(&wire.replace("GET ", "GET http://h")), wire);
            assert!(matches!(request(&wire), Ok(ProxyRequest::Origin { .. })), "{wire:?}");
        }
        let wire = "GET\t/a\t  HTTP/1.1\r\nHost: h\r\n\r\n";
        assert_eq!(rewritten(&wire.replace("GET\t", "GET\thttp://h")), wire);
    }

    #[test]
    fn forwards_the_odd_heads_of_curls_tests() {
        let sent = |number: u32, fields: &str| {
            format!("GET http://127.0.0.1:8990/{number} HTTP/1.1\r\nHost: 127.0.0.1:8990\r\n{fields}\r\n")
        };
        let (large, name) = ("x".repeat(307_200), "X".repeat(307_201));
        for (number, fields) in [
            (470, "User-Agent: curl/8.18.0\r\nAccept: */*\r\n\u{201c}host:fake\u{201d}\r\n"),
            (1147, "Accept: */*\r\nOne: 1\r\nTwo: 2\r\n And A Funny One : wohoo\r\n"),
            (3228, &format!("Accept: */*\r\nX-Large: {large}\r\n{name}:\r\nConnection: {large}\r\n")),
        ] {
            let sent = sent(number, fields);
            let Ok(Some((_, ProxyRequest::Absolute(plain)))) = parse(sent.as_bytes()) else { panic!("{number}") };
            assert!(plain.wire == sent.replace("http://127.0.0.1:8990", "").into_bytes(), "{number}");
        }
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
            " X: b",
            " Host: b",
            "X: a\r\n Host: b",
            "X: a\r\n\tHost\x0b: b",
            "X: a\r\n Content-Length: 1",
            "X: a\r\n Transfer-Encoding",
            "X: a\r\n ",
            "X: a\r\n \t\x0b",
            "X: a\r\n b\r",
            "X: a\r\n \0",
            "Host: h\r\n b",
            "Host : b",
            "Host\x0b: b",
            "\u{a0}Host: b",
            "\u{2003}host: b",
            "no field",
            "no field\r\n a: b",
            "X: a\rHost: b",
            "X: \0",
            "X\0: a",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding:\r\n chunked",
            "Transfer-Encoding\x0b: chunked",
            "Transfer-Encoding[: chunked",
            "Content-Length: 1\x01",
            "Content-Length: 1\r\n 2",
        ] {
            for target in ["http://h/", "/"] {
                let head = format!("GET {target} HTTP/1.1\r\n{field}\r\n\r\n");
                assert_eq!(request(&head), Err(Refusal::Ambiguous), "{head:?}");
            }
        }
        for line in [
            "GET http://h/ HTTP/1.0 HTTP/1.1",
            "GET http://h/\thttp/1.0 HTTP/1.1",
            "GET http://h/ HTTP/1.1 ",
            "GET http://h/ HTTP/1.2",
            "GET /a\r HTTP/1.1",
            "GET /a\x0bHTTP/1.0 HTTP/1.1",
            "GET /a\0 HTTP/1.1",
        ] {
            assert_eq!(request(&format!("{line}\r\n\r\n")), Err(Refusal::Ambiguous), "{line:?}");
        }
    }

    #[test]
    fn displays_the_cause_of_a_refusal() {
        let refusal = |bytes: &str| request(bytes).unwrap_err().to_string();
        assert_eq!(refusal("GET ftp://h/ HTTP/1.1\r\n\r\n"), "unsupported URL scheme: expected http, https, ws or wss");
        assert!(refusal("GET http:/h HTTP/1.1\r\n\r\n").contains("target"));
        assert!(refusal("GET h HTTP/1.1\r\n\r\n").contains("target"));
        assert!(refusal("connect h:443 HTTP/1.1\r\n\r\n").contains("target"));
        assert_eq!(refusal("GET http:///p HTTP/1.1\r\n\r\n"), "malformed request target: the host is empty");
        assert!(refusal("GET http://u:p@h@/ HTTP/1.1\r\n\r\n").contains("the host is empty"));
        assert!(refusal("GET http://h:0/ HTTP/1.1\r\n\r\n").contains("1 and 65535"));
        assert_eq!(refusal("SSH-2.0-x\r\n\r\n"), "not an HTTP/1 request");
        assert_eq!(refusal("GET http://h/ HTTP/1.1\r\nA b\r\n\r\n"), "the request head has a malformed line");
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
            b"GET wss://u:p@h/\t HTTP/1.1\r\nX : y\r\n z: \r\nConnection: proxy-a\r\nProxy-A: b\r\n c\r\nHost: x\r\n\r\n".to_vec(),
        ];
        mutations(&seeds, 3000, check_any_split);
    }
}
