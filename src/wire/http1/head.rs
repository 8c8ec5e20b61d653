//! Parses heads: request line, status line and fields (RFC 9112 sections 2 to 5).
//!
//! ```text
//! bytes ──▶ HeadScanner: end of the head ──┬─▶ request line, status line ──┬─▶ RequestHead, ResponseHead
//!                                          └─▶ fields::read ───────────────┘
//! ```
//!
//! The end of a head follows strict rules. What is in it is read leniently: a head with only one possible meaning is accepted,
//! even if a strict parser rejects it.

use super::fields::{self, Fields};
use super::head_scanner::{HeadScanner, check_start, leading_empty_lines};
use crate::wire::headers::{Headers, is_space, is_tchar, is_visible, trim};
use crate::wire::message::{self, RequestHead, ResponseHead, Version};
use crate::wire::tap::{Dir, Opaque};

/// Parses the request at the start of `bytes` and skips empty lines before it; `None` if its head is incomplete.
///
/// Each call searches from the start. With a slow peer, use a [`HeadScanner`] first.
pub(crate) fn parse_request(bytes: &[u8]) -> Result<Option<(usize, RequestHead)>, Opaque> {
    parse(Dir::Up, bytes, request)
}

/// Parses the response at the start of `bytes` in the same way.
#[cfg(test)]
pub(crate) fn parse_response(bytes: &[u8]) -> Result<Option<(usize, ResponseHead)>, Opaque> {
    parse(Dir::Down, bytes, response)
}

fn parse<T>(
    dir: Dir,
    bytes: &[u8],
    parse_head: impl Fn(&[u8]) -> Result<T, Opaque>,
) -> Result<Option<(usize, T)>, Opaque> {
    let (skipped, bytes) = bytes.split_at(leading_empty_lines(bytes));
    check_start(dir, 0, bytes)?;
    let Some(end) = HeadScanner::for_message().find(bytes)? else {
        return Ok(None);
    };
    let head = parse_head(bytes.get(..end).unwrap_or_default())?;
    Ok(Some((skipped.len().saturating_add(end), head)))
}

/// Parses a request's head. `head` is the whole head and nothing else, without empty lines before it.
pub(crate) fn request(head: &[u8]) -> Result<RequestHead, Opaque> {
    let (line, section) = split_first_line(head);
    let (method, target, version) = request_line(line).ok_or(Opaque::Request)?;
    let Fields { headers, is_ambiguous } = fields::read(section, Dir::Up);
    let (method, target) = (message::method(method), target.to_vec());
    Ok(RequestHead { method, target, version, scheme: None, authority: None, headers, is_ambiguous })
}

/// Parses a response's head, interim responses included. `head` is the whole head and nothing else, without empty lines
/// before it.
pub(crate) fn response(head: &[u8]) -> Result<ResponseHead, Opaque> {
    let (line, section) = split_first_line(head);
    let (version, status, reason) = status_line(line).ok_or(Opaque::Response)?;
    let Fields { headers, is_ambiguous } = fields::read(section, Dir::Down);
    Ok(ResponseHead { status, reason: message::reason(reason), version, headers, is_ambiguous })
}

/// Parses a trailer section, including its empty line (RFC 9112 section 7.1.2).
///
/// A name with a space is an error: the line may be the request line of the next message, which one side takes for a trailer.
pub(crate) fn trailers(section: &[u8]) -> Result<Headers, Opaque> {
    let Fields { headers, is_ambiguous: _ } = fields::read(section, Dir::Up);
    let is_clear = headers.iter().all(|(name, _)| !name.is_empty() && name.iter().all(is_visible));
    if is_clear { Ok(headers) } else { Err(Opaque::Framing) }
}

/// Splits a request line into method, target and version (RFC 9112 section 3).
///
/// The target is between the first and the last space, because some clients send spaces in it. Its bytes may be any.
fn request_line(line: &[u8]) -> Option<(&str, &[u8], Version)> {
    let (method, rest) = line.split_at_checked(line.iter().position(is_space)?)?;
    let rest = trim(rest);
    let (target, version) = rest.split_at_checked(rest.iter().rposition(is_space)?)?;
    if method.is_empty() || !method.iter().all(is_tchar) {
        return None;
    }
    let (version, after) = split_version(trim(version))?;
    after.is_empty().then_some((std::str::from_utf8(method).ok()?, trim(target), version))
}

/// Splits a status line into version, status code and reason phrase (RFC 9112 section 4).
fn status_line(line: &[u8]) -> Option<(Version, u16, &[u8])> {
    let (version, rest) = split_version(line)?;
    rest.first().filter(|b| is_space(b))?;
    let (code, reason) = trim(rest).split_at_checked(STATUS_BYTES)?;
    if !code.iter().all(u8::is_ascii_digit) || !reason.first().is_none_or(is_space) {
        return None;
    }
    let status = std::str::from_utf8(code).ok()?.parse().ok().filter(|&status| status >= 100)?;
    Some((version, status, trim(reason)))
}

/// Splits off `HTTP/1.x`. A minor version above 1 is read as 1 (RFC 9110 section 2.5).
fn split_version(bytes: &[u8]) -> Option<(Version, &[u8])> {
    match bytes.strip_prefix(b"HTTP/1.")?.split_first()? {
        (b'0', rest) => Some((Version::Http10, rest)),
        (b'1'..=b'9', rest) => Some((Version::Http11, rest)),
        _ => None,
    }
}

/// Splits `head` into its first line, without the line end, and the rest.
fn split_first_line(head: &[u8]) -> (&[u8], &[u8]) {
    let end = head.iter().position(|&b| b == b'\n').map_or(head.len(), |at| at.saturating_add(1));
    let (line, rest) = head.split_at_checked(end).unwrap_or((head, b""));
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    (line.strip_suffix(b"\r").unwrap_or(line), rest)
}

/// The length of a status code, such as `200`.
const STATUS_BYTES: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::head_scanner::MAX_HEAD_BYTES;

    #[test]
    fn keeps_requests_as_sent() {
        let bytes = b"\r\n\nGeT  /a?b=%20  HTTP/1.0\nHOST: x\r\nx-y:\r\nX-Y: \xe9 \r\n\r\nrest";
        let (used, head) = parse_request(bytes).unwrap().unwrap();
        assert_eq!(used, bytes.len() - 4);
        assert_eq!((&*head.method, &head.target[..], head.version), ("GeT", &b"/a?b=%20"[..], Version::Http10));
        let fields: Vec<_> = head.headers.iter().collect();
        assert_eq!(fields, [(&b"HOST"[..], &b"x"[..]), (b"x-y", b""), (b"X-Y", b"\xe9")]);
    }

    #[test]
    fn reads_request_lines_that_strict_parsers_reject() {
        for (line, target, version) in [
            (&b"GET /caf\xe9?\xc3\xa9 HTTP/1.1"[..], &b"/caf\xe9?\xc3\xa9"[..], Version::Http11),
            (b"GET /a b HTTP/1.1", b"/a b", Version::Http11),
            (b"GET   /a  b  HTTP/1.0", b"/a  b", Version::Http10),
            (b"GET /a HTTP/1.1 HTTP/1.0", b"/a HTTP/1.1", Version::Http10),
            (b"GET /\x01\"<>\x7f HTTP/1.1", b"/\x01\"<>\x7f", Version::Http11),
            (b"GET\t/\tHTTP/1.1\t", b"/", Version::Http11),
            (b"GET / HTTP/1.7", b"/", Version::Http11),
        ] {
            let head = request(&[line, b"\r\n\r\n"].concat()).unwrap();
            assert_eq!((&*head.method, &head.target[..], head.version), ("GET", target, version));
        }
    }

    #[test]
    fn reads_status_lines_that_strict_parsers_reject() {
        for (line, status, reason) in [
            (&b"HTTP/1.1   200   Tr\xe8s bien "[..], 200, &b"Tr\xe8s bien"[..]),
            (b"HTTP/1.0 404", 404, b""),
            (b"HTTP/1.1 999\t\x01\x00", 999, b"\x01\x00"),
            (b"HTTP/1.2 204 a\rb", 204, b"a\rb"),
        ] {
            let head = response(&[line, b"\n\n"].concat()).unwrap();
            assert_eq!((head.status, &head.reason[..]), (status, reason));
        }
    }

    #[test]
    fn rejects_bytes_that_are_not_http_1() {
        for bytes in [
            &b"\x16\x03\x01"[..],
            b" GET / HTTP/1.1\r\n\r\n",
            b"GET /\r\n\r\n",
            b"GET HTTP/1.1\r\n\r\n",
            b"GET  HTTP/1.1\r\n\r\n",
            b"G\x01T / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1x\r\n\r\n",
            b"GET / HTTP/1.\r\n\r\n",
            b"GET / HTTP/1.1\rX: y\r\n\r\n",
            b"GET / HTTP/2.0\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            assert_eq!(parse_request(bytes), Err(Opaque::Request), "{}", bytes.escape_ascii());
        }
        for bytes in [
            &b"220 smtp"[..],
            b"HTTP/2",
            b"HTTP/1.1 099 x\r\n\r\n",
            b"HTTP/1.1 20\r\n\r\n",
            b"HTTP/1.1 2000\r\n\r\n",
            b"HTTP/1.1 +20 x\r\n\r\n",
            b"HTTP/1.1200 OK\r\n\r\n",
            b"ICY 200",
        ] {
            assert_eq!(parse_response(bytes), Err(Opaque::Response), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn reads_as_many_fields_as_fit_in_a_head() {
        let head = |fields: usize| format!("HTTP/1.1 200\r\n{}\r\n", "a\n".repeat(fields));
        let most = (MAX_HEAD_BYTES - head(0).len()) / 2;
        for fields in [0, 1, 63, 64, 65, most] {
            let (_, parsed) = parse_response(head(fields).as_bytes()).unwrap().unwrap();
            assert_eq!(parsed.headers.len(), fields);
        }
        assert_eq!(parse_response(head(most + 1).as_bytes()), Err(Opaque::LimitExceeded));
    }

    #[test]
    fn rejects_trailers_that_may_be_another_message() {
        let trailers = |section: &[u8]| trailers(section).map(|trailers| trailers.len());
        assert_eq!(trailers(b"\r\n"), Ok(0));
        assert_eq!(trailers(b"X: \x01\r\nX-[\xe9]: b\r\n c\r\n\r\n"), Ok(2));
        for section in [&b"GET /a:b HTTP/1.1\r\n\r\n"[..], b": x\r\n\r\n", b" X: y\r\n\r\n", b"X : y\r\n\r\n"] {
            assert_eq!(trailers(section), Err(Opaque::Framing), "{}", section.escape_ascii());
        }
    }
}
