//! What a client asks of an HTTP proxy, and the head that goes on to the origin.
//!
//! ```text
//! CONNECT h:443 HTTP/1.1        ─▶ Connect    a tunnel
//! GET http://h/p?q HTTP/1.1     ─▶ Absolute   GET /p?q HTTP/1.1 is sent to h
//! GET /p?q HTTP/1.1             ─▶ Origin     meant for this port itself, or redirected to it
//! ```
//!
//! Plain requests are the one place where the proxy is a party to what is said. It rewrites a head by cutting the bytes that
//! came: the target becomes origin-form, `Proxy-*` fields go, Host says what the URI says, and all else stays as it was sent,
//! order, case and line ends included. What is recorded is read back from what is sent, so the two cannot differ.

use super::authority::{Authority, BadAuthority};
use super::http1::head::parse_request;
use super::message::{Headers, RequestHead};
use super::tap::Opaque;
use std::fmt;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProxyRequest {
    /// A tunnel (RFC 9110 section 9.3.6).
    Connect(Authority),
    /// A request for an `http` URI (RFC 9112 section 3.2.2).
    Absolute(PlainRequest),
    /// A request as an origin gets it (RFC 9112 section 3.2.1), with what its Host field says.
    Origin { host: Option<Authority>, head: RequestHead },
}

/// A request to send to an origin in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlainRequest {
    /// Where to send it.
    pub authority: Authority,
    /// What `wire` says.
    pub head: RequestHead,
    /// The head to send.
    pub wire: Vec<u8>,
}

impl PlainRequest {
    /// A request that was redirected to this port: it goes on to `authority`, its head unchanged.
    pub(crate) fn from_origin_form(authority: Authority, head: RequestHead, wire: &[u8]) -> Self {
        Self { authority, head, wire: wire.to_vec() }
    }
}

/// Why a request is answered with a 400; displayed as the sentence that the answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The bytes are no HTTP/1 request.
    NotHttp,
    /// The head is longer than its limit.
    TooLong,
    /// The target has none of the four forms of RFC 9112 section 3.2.
    Target,
    /// An `https` URI, for which a client has to CONNECT.
    Https,
    /// A URI of another scheme.
    Scheme,
    /// The target's authority is malformed.
    Authority(BadAuthority),
    /// The Host field is malformed.
    Host(BadAuthority),
    /// There is more than one Host field.
    Hosts,
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttp => f.write_str("This is not an HTTP/1 request."),
            Self::TooLong => f.write_str("The request's head is too long."),
            Self::Target => f.write_str("The request's target is malformed."),
            Self::Https => f.write_str("This proxy fetches no https URL: a client has to open a tunnel with CONNECT."),
            Self::Scheme => f.write_str("This proxy fetches http URLs only."),
            Self::Authority(why) => write!(f, "The request's target is malformed: {why}."),
            Self::Host(why) => write!(f, "The request's Host field is malformed: {why}."),
            Self::Hosts => f.write_str("The request has more than one Host field."),
        }
    }
}

/// Reads the request whose head `bytes` begin with.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<(usize, ProxyRequest)>, Refusal> {
    let Some((used, head)) = parse_request(bytes).map_err(unreadable)? else {
        return Ok(None);
    };
    let request = if head.method == "CONNECT" {
        ProxyRequest::Connect(Authority::for_connect(&head.target).map_err(Refusal::Authority)?)
    } else if !head.target.iter().all(|&b| b > b' ' && b != 0x7f) {
        return Err(Refusal::Target);
    } else if head.target.starts_with(b"/") || (head.target == b"*" && head.method == "OPTIONS") {
        ProxyRequest::Origin { host: host_of(&head.headers)?, head }
    } else {
        ProxyRequest::Absolute(absolute(bytes.get(..used).unwrap_or_default(), &head)?)
    };
    Ok(Some((used, request)))
}

fn unreadable(why: Opaque) -> Refusal {
    match why {
        Opaque::TooLong => Refusal::TooLong,
        _ => Refusal::NotHttp,
    }
}

/// What the Host field says; an empty one says nothing (RFC 9110 section 7.2).
fn host_of(headers: &Headers) -> Result<Option<Authority>, Refusal> {
    let mut hosts = headers.all("host");
    let host = hosts.next().unwrap_or_default();
    if hosts.next().is_some() {
        return Err(Refusal::Hosts);
    }
    if host.is_empty() {
        return Ok(None);
    }
    Authority::of_host_header(host, HTTP_PORT).map(Some).map_err(Refusal::Host)
}

/// A request for an absolute URI, of which `sent` are the bytes that `head` was read from.
fn absolute(sent: &[u8], head: &RequestHead) -> Result<PlainRequest, Refusal> {
    let (authority, path) = split_uri(&head.target)?;
    let authority = Authority::of_host_header(authority, HTTP_PORT).map_err(Refusal::Authority)?;
    let wire = rewrite(sent, head, &authority, path).ok_or(Refusal::NotHttp)?;
    match parse_request(&wire).map_err(unreadable)? {
        Some((used, head)) if used == wire.len() => Ok(PlainRequest { authority, head, wire }),
        _ => Err(Refusal::NotHttp),
    }
}

/// The authority of an `http` URI, and what follows it.
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

/// The head as the origin gets it; `None` if the lines of `sent` are not those that `head` was read from.
fn rewrite(sent: &[u8], head: &RequestHead, authority: &Authority, path: &[u8]) -> Option<Vec<u8>> {
    // Empty lines before the request line mean nothing (RFC 9112 section 2.2).
    let mut lines = sent.split_inclusive(|&b| b == b'\n').skip_while(|line| is_empty(line));
    let mut wire = Vec::with_capacity(sent.len());

    let target_and_version = lines.next()?.strip_prefix(head.method.as_bytes())?.strip_prefix(b" ")?;
    let version = target_and_version.strip_prefix(head.target.as_slice())?;
    wire.extend_from_slice(head.method.as_bytes());
    wire.push(b' ');
    wire.extend(origin_form(&head.method, path));
    wire.extend_from_slice(path);
    wire.extend_from_slice(version);

    let mut host = HostField::Due;
    if head.headers.first("host").is_none() {
        write_host(&mut wire, b"Host", authority, b"\r\n");
        host = HostField::Done;
    }
    let chunked = head.headers.first("transfer-encoding").is_some();
    for line in lines {
        if is_empty(line) {
            wire.extend_from_slice(line);
            continue;
        }
        let (name, value) = split_field(line)?;
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        if starts_with_ignore_case(name, b"proxy-") {
            continue;
        }
        // Whoever forwards a message with both has to send only the one that counts (RFC 9112 section 6.3).
        if chunked && is("content-length") {
            continue;
        }
        if is("host") {
            match std::mem::replace(&mut host, HostField::Done) {
                HostField::Due
                    if Authority::of_host_header(value.trim_ascii(), HTTP_PORT).as_ref() != Ok(authority) =>
                {
                    write_host(&mut wire, name, authority, line_end(line));
                    continue;
                }
                HostField::Due => {}
                HostField::Done => continue,
            }
        }
        wire.extend_from_slice(line);
    }
    Some(wire)
}

/// Whether the one Host field that the origin gets is written.
enum HostField {
    Due,
    Done,
}

/// What has to stand before what follows a URI's authority to make it origin-form, or `*` for a server as a whole
/// (RFC 9112 sections 3.2.1 and 3.2.4).
fn origin_form(method: &str, path: &[u8]) -> Option<u8> {
    match path {
        [b'/', ..] => None,
        [] if method == "OPTIONS" => Some(b'*'),
        _ => Some(b'/'),
    }
}

fn write_host(wire: &mut Vec<u8>, name: &[u8], authority: &Authority, end: &[u8]) {
    wire.extend_from_slice(name);
    wire.extend_from_slice(b": ");
    wire.extend_from_slice(authority.to_host_header(HTTP_PORT).as_bytes());
    wire.extend_from_slice(end);
}

/// A field line's name and value. Neither a folded line nor a blank before the colon is taken (RFC 9112 section 5): what one
/// recipient reads as another field could be had past the rules above.
fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&b| b == b':')?;
    let (name, value) = line.split_at_checked(colon)?;
    let token = !name.is_empty() && name.iter().all(|&b| b > b' ' && b < 0x7f);
    token.then_some((name, value.strip_prefix(b":")?))
}

fn is_empty(line: &[u8]) -> bool {
    line == line_end(line)
}

fn line_end(line: &[u8]) -> &[u8] {
    let end = if line.ends_with(b"\r\n") { 2 } else { 1 };
    line.get(line.len().saturating_sub(end)..).unwrap_or_default()
}

fn starts_with_ignore_case(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// The port of `http` (RFC 9110 section 4.2.1).
const HTTP_PORT: u16 = 80;

/// Fuzzing: a verdict stays whatever follows, and what goes on to an origin is what this file promises.
#[cfg(any(test, fuzzing))]
pub(crate) fn cut_anyhow(data: &[u8]) {
    let whole = parse(data);
    // Long inputs in steps, so that a fuzzer gets on.
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
        assert!(!head.headers.iter().any(|(name, _)| starts_with_ignore_case(name, b"proxy-")));
        assert!(head.headers.first("transfer-encoding").is_none() || head.headers.first("content-length").is_none());
        assert_eq!(parse(&wire), Ok(Some((wire.len(), ProxyRequest::Origin { host: Some(authority), head }))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::mutations::mutations;

    fn request(bytes: &str) -> Result<ProxyRequest, Refusal> {
        cut_anyhow(bytes.as_bytes());
        let (used, request) = parse(bytes.as_bytes())?.expect("a whole head");
        assert_eq!(used, bytes.find("\r\n\r\n").map_or(bytes.len(), |end| end + 4));
        Ok(request)
    }

    /// What the origin gets.
    fn sent(bytes: &str) -> String {
        let Ok(ProxyRequest::Absolute(plain)) = request(bytes) else { panic!("not in absolute-form: {bytes}") };
        String::from_utf8(plain.wire).unwrap()
    }

    #[test]
    fn the_target_becomes_origin_form_and_proxy_fields_go() {
        assert_eq!(
            sent(
                "GET http://Example.com:80/a%2fb/?q=%zz HTTP/1.1\r\nhOST:  example.com\r\nPROXY-connection: keep-alive\r\n\
                 X-Odd:\t a  \r\nProxy-Authorization: Basic eA==\r\nx-odd:b\r\nConnection: close\r\nProxy-X: y\r\n\r\n"
            ),
            "GET /a%2fb/?q=%zz HTTP/1.1\r\nhOST:  example.com\r\nX-Odd:\t a  \r\nx-odd:b\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn what_is_recorded_is_what_is_sent() {
        let bytes = "POST http://h:81/p HTTP/1.0\r\nProxy-A: b\r\nHost: other\r\nContent-Length: 3\r\n\r\nabc";
        let Ok(ProxyRequest::Absolute(plain)) = request(bytes) else { panic!() };
        assert_eq!(plain.authority.to_string(), "h:81");
        assert_eq!(plain.head, parse_request(&plain.wire).unwrap().unwrap().1);
        assert_eq!(plain.head.target, b"/p");
        let fields: Vec<_> = plain.head.headers.iter().collect();
        assert_eq!(fields, [(&b"Host"[..], &b"h:81"[..]), (b"Content-Length", b"3")]);
    }

    #[test]
    fn targets() {
        let target = |line: &str| {
            let wire = sent(&format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"));
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
    fn host_says_what_the_uri_says() {
        let head = |fields: &str| sent(&format!("GET http://[::1]:81/ HTTP/1.1\r\n{fields}\r\n"));
        assert_eq!(head("A: b\r\n"), "GET / HTTP/1.1\r\nHost: [::1]:81\r\nA: b\r\n\r\n");
        assert_eq!(head("A: b\r\nhost:evil\r\nC: d\r\n"), "GET / HTTP/1.1\r\nA: b\r\nhost: [::1]:81\r\nC: d\r\n\r\n");
        assert_eq!(head("HOST: [0::1]:81\r\n"), "GET / HTTP/1.1\r\nHOST: [0::1]:81\r\n\r\n");
        assert_eq!(head("Host: [::1]:81\r\nHost: evil\r\n"), "GET / HTTP/1.1\r\nHost: [::1]:81\r\n\r\n");
        assert_eq!(head("Host: a b\r\n"), "GET / HTTP/1.1\r\nHost: [::1]:81\r\n\r\n");
        assert_eq!(sent("GET http://h:80/ HTTP/1.0\r\n\r\n"), "GET / HTTP/1.0\r\nHost: h\r\n\r\n");
    }

    #[test]
    fn of_two_framings_the_one_that_counts() {
        assert_eq!(
            sent("POST http://h/ HTTP/1.1\r\nHost: h\r\ncontent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        let alone = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(sent(&alone.replace("/ ", "http://h/ ")), alone);
    }

    #[test]
    fn bare_line_feeds_stay_and_empty_lines_before_go() {
        let bytes = b"\r\n\nGET http://h/ HTTP/1.1\nHost: x\nProxy-A: b\nC: d\n\nGET";
        cut_anyhow(bytes);
        let Ok(Some((used, ProxyRequest::Absolute(plain)))) = parse(bytes) else { panic!() };
        assert_eq!(used, bytes.len() - 3);
        assert_eq!(plain.wire, b"GET / HTTP/1.1\nHost: h\nC: d\n\n");
    }

    #[test]
    fn tunnels() {
        let target = |target: &str| match request(&format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n")) {
            Ok(ProxyRequest::Connect(authority)) => Ok(authority.to_string()),
            Ok(other) => panic!("{other:?}"),
            Err(why) => Err(why),
        };
        assert_eq!(target("Example.com:443").unwrap(), "example.com:443");
        assert_eq!(target("::1:443").unwrap(), "[::1]:443");
        assert_eq!(target("example.com"), Err(Refusal::Authority(BadAuthority::NoPort)));
        assert_eq!(target("http://example.com/"), Err(Refusal::Authority(BadAuthority::Port)));
        assert_eq!(target("/"), Err(Refusal::Authority(BadAuthority::Byte(b'/'))));
    }

    #[test]
    fn origin_form() {
        let host = |bytes: &str| match request(bytes) {
            Ok(ProxyRequest::Origin { host, head }) => Ok((host.map(|h| h.to_string()), head.target)),
            Ok(other) => panic!("{other:?}"),
            Err(why) => Err(why),
        };
        assert_eq!(host("GET /a HTTP/1.1\r\nHost: H:81\r\n\r\n"), Ok((Some("h:81".into()), b"/a".to_vec())));
        assert_eq!(host("GET / HTTP/1.0\r\n\r\n"), Ok((None, b"/".to_vec())));
        assert_eq!(host("GET / HTTP/1.1\r\nHost:\r\n\r\n"), Ok((None, b"/".to_vec())));
        assert_eq!(host("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"), Ok((Some("h:80".into()), b"*".to_vec())));
        assert_eq!(host("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), Err(Refusal::Hosts));
        assert_eq!(host("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), Err(Refusal::Host(BadAuthority::Byte(b'/'))));
        assert_eq!(host("GET * HTTP/1.1\r\nHost: h\r\n\r\n"), Err(Refusal::Target));

        let bytes = b"GET /a HTTP/1.1\r\nProxy-A: b\r\nHost: h\r\n\r\n";
        let Ok(Some((_, ProxyRequest::Origin { host: Some(host), head }))) = parse(bytes) else { panic!() };
        assert_eq!(PlainRequest::from_origin_form(host, head, bytes).wire, bytes);
    }

    #[test]
    fn refused_with_a_sentence() {
        let said = |bytes: &str| request(bytes).unwrap_err().to_string();
        assert!(said("GET https://h/ HTTP/1.1\r\n\r\n").contains("CONNECT"));
        assert!(said("GET ftp://h/ HTTP/1.1\r\n\r\n").contains("http URLs only"));
        assert!(said("GET http:/h HTTP/1.1\r\n\r\n").contains("target"));
        assert!(said("GET h HTTP/1.1\r\n\r\n").contains("target"));
        assert!(said("connect h:443 HTTP/1.1\r\n\r\n").contains("target"));
        assert_eq!(said("GET http:///p HTTP/1.1\r\n\r\n"), "The request's target is malformed: the host is empty.");
        assert!(said("GET http://u:p@h/ HTTP/1.1\r\n\r\n").contains("malformed"));
        assert!(said("GET http://h:0/ HTTP/1.1\r\n\r\n").contains("1 to 65535"));
        assert_eq!(said("SSH-2.0-x\r\n\r\n"), "This is not an HTTP/1 request.");
        assert_eq!(said("GET http://h/a b HTTP/1.1\r\n\r\n"), "This is not an HTTP/1 request.");
        assert_eq!(said("GET http://h/ HTTP/1.1\r\nProxy-A: b\r\n c\r\n\r\n"), "This is not an HTTP/1 request.");
        assert_eq!(said("GET http://h/ HTTP/1.1\r\nProxy-A : b\r\n\r\n"), "This is not an HTTP/1 request.");
        assert_eq!(parse(b"GET http://h/ HTTP/1.1\r\nA: b\r\n"), Ok(None));
    }

    #[test]
    fn cut_anyhow_it_is_the_same() {
        let seeds = [
            b"GET http://h:81/p?q HTTP/1.1\r\nHost: x\r\nProxy-A: b\r\nC: d\r\n\r\nrest".to_vec(),
            b"CONNECT [::1]:443 HTTP/1.1\r\nHost: x\r\n\r\n\x16\x03\x01".to_vec(),
            b"\r\nOPTIONS http://h HTTP/1.0\nTransfer-Encoding: chunked\nContent-Length: 1\n\n".to_vec(),
            b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
        ];
        mutations(&seeds, 3000, cut_anyhow);
    }
}
