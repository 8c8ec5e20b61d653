//! Parses heads: request line, status line and fields (RFC 9112 sections 2 to 5).
//!
//! ```text
//! bytes ──▶ HeadScanner: end of the head ──▶ httparse, once, on the whole head ──▶ RequestHead, ResponseHead
//! ```
//!
//! A head with only one possible meaning is accepted, even if a strict parser rejects it. This is the only file that names
//! `httparse`.

use super::head_scanner::{HeadScanner, check_start, leading_empty_lines};
use crate::wire::headers::{Headers, trim};
use crate::wire::message::{self, RequestHead, ResponseHead, Version};
use crate::wire::tap::{Dir, Opaque};
use httparse::{EMPTY_HEADER, Header, ParserConfig, Status};
use std::mem::MaybeUninit;

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
    if first_line(head).is_ascii() {
        return request_with_target(head, head);
    }
    // `httparse` requires a target in UTF-8, but some clients send other bytes unescaped. It parses a copy in which `?`
    // replaces every non-ASCII byte of the first line; all offsets stay the same.
    let line = first_line(head).len();
    let mut masked = head.to_vec();
    masked.iter_mut().take(line).filter(|b| !b.is_ascii()).for_each(|b| *b = b'?');
    request_with_target(&masked, head)
}

/// Parses `head`, but takes the target from the same position in `original`.
fn request_with_target(head: &[u8], original: &[u8]) -> Result<RequestHead, Opaque> {
    let mut config = ParserConfig::default();
    config.allow_multiple_spaces_in_request_line_delimiters(true);
    with_header_array(Opaque::Request, head, MaybeUninit::uninit(), |fields| {
        let mut parsed = httparse::Request::new(&mut []);
        let used = config.parse_request_with_uninit_headers(&mut parsed, head, fields)?;
        let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
            return Ok(None);
        };
        let target = trim(original.get(method.len()..).unwrap_or_default()).get(..target.len());
        Ok((used == Status::Complete(head.len())).then(|| RequestHead {
            method: message::method(method),
            target: target.unwrap_or_default().to_vec(),
            version: version(parsed.version),
            scheme: None,
            authority: None,
            headers: headers(parsed.headers),
        }))
    })
}

/// Parses a response's head, interim responses included. `head` is the whole head and nothing else, without empty lines
/// before it.
pub(crate) fn response(head: &[u8]) -> Result<ResponseHead, Opaque> {
    let mut config = ParserConfig::default();
    config
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        // Lines that are not fields are ignored, as in browsers. Otherwise one odd line would make the connection opaque.
        .ignore_invalid_headers_in_responses(true);
    with_header_array(Opaque::Response, head, MaybeUninit::uninit(), |fields| {
        let mut parsed = httparse::Response::new(&mut []);
        let used = config.parse_response_with_uninit_headers(&mut parsed, head, fields)?;
        let Some(status @ 100..) = parsed.code else {
            return Ok(None);
        };
        Ok((used == Status::Complete(head.len())).then(|| ResponseHead {
            status,
            reason: message::reason(reason(head)),
            version: version(parsed.version),
            headers: headers(parsed.headers),
        }))
    })
}

/// Parses a trailer section, including its empty line (RFC 9112 section 7.1.2).
pub(crate) fn trailers(section: &[u8]) -> Result<Headers, Opaque> {
    with_header_array(Opaque::Framing, section, EMPTY_HEADER, |fields| {
        Ok(match httparse::parse_headers(section, fields)? {
            Status::Complete((_, fields)) => Some(headers(fields)),
            Status::Partial => None,
        })
    })
}

/// Calls `parse` with an array of [`USUAL_FIELDS`] elements, and if that is too small, with one element for each line of
/// `head`.
///
/// `None` from `parse` and errors of `httparse` become `malformed`.
fn with_header_array<F: Copy, T>(
    malformed: Opaque,
    head: &[u8],
    empty: F,
    parse: impl Fn(&mut [F]) -> Result<Option<T>, httparse::Error>,
) -> Result<T, Opaque> {
    let mut result = parse(&mut [empty; USUAL_FIELDS]);
    if matches!(result, Err(httparse::Error::TooManyHeaders)) {
        let lines = head.iter().filter(|&&b| b == b'\n').count();
        result = parse(&mut vec![empty; lines.min(MAX_FIELDS)]);
    }
    match result {
        Ok(Some(value)) => Ok(value),
        Err(httparse::Error::TooManyHeaders) => Err(Opaque::LimitExceeded),
        Ok(None) | Err(_) => Err(malformed),
    }
}

fn headers(fields: &[Header<'_>]) -> Headers {
    let bytes = fields.iter().map(|field| field.name.len().saturating_add(field.value.len())).sum();
    let mut headers = Headers::with_capacity(fields.len(), bytes);
    for field in fields {
        if field.value.contains(&b'\n') {
            // Line folding is replaced with spaces (RFC 9112 section 5.2).
            let unfold = |&b: &u8| if matches!(b, b'\r' | b'\n') { b' ' } else { b };
            headers.push(field.name.as_bytes(), &field.value.iter().map(unfold).collect::<Vec<_>>());
        } else {
            headers.push(field.name.as_bytes(), field.value);
        }
    }
    headers
}

/// Returns the reason phrase of a well-formed head. `httparse` omits reason phrases with bytes above 127.
fn reason(head: &[u8]) -> &[u8] {
    let code = trim(first_line(head).get(VERSION_BYTES..).unwrap_or_default());
    trim(code.get(STATUS_BYTES..).unwrap_or_default())
}

fn first_line(head: &[u8]) -> &[u8] {
    let line = head.split(|&b| b == b'\n').next().unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn version(minor: Option<u8>) -> Version {
    match minor {
        Some(0) => Version::Http10,
        _ => Version::Http11,
    }
}

/// The largest number of fields in a head. The array for `httparse` then takes 2 MiB.
const MAX_FIELDS: usize = 65_536;

/// Heads with up to this many fields are parsed without an allocation.
const USUAL_FIELDS: usize = 64;

/// The length of `HTTP/1.1`.
const VERSION_BYTES: usize = 8;

/// The length of a status code, such as `200`.
const STATUS_BYTES: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

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
    fn reads_targets_that_are_not_utf_8() {
        let (_, head) = parse_request(b"GET /caf\xe9?\xc3\xa9 HTTP/1.1\r\nX: \xff\r\n\r\n").unwrap().unwrap();
        assert_eq!(head.target, b"/caf\xe9?\xc3\xa9");
        assert_eq!(head.headers.first("x"), Some(&b"\xff"[..]));
    }

    #[test]
    fn reads_responses_that_strict_parsers_reject() {
        let bytes =
            b"HTTP/1.1   200   Tr\xe8s bien \r\nServer : a\r\nX-Fold: one\r\n  two\r\nno field\r\nlast: 1\r\n\r\n";
        let (used, head) = parse_response(bytes).unwrap().unwrap();
        assert_eq!((used, head.status, &head.reason[..]), (bytes.len(), 200, &b"Tr\xe8s bien"[..]));
        let fields: Vec<_> = head.headers.iter().collect();
        assert_eq!(fields, [(&b"Server"[..], &b"a"[..]), (b"X-Fold", b"one    two"), (b"last", b"1")]);
        assert_eq!(&parse_response(b"HTTP/1.0 404\n\n").unwrap().unwrap().1.reason[..], b"");
    }

    #[test]
    fn rejects_bytes_that_are_not_http_1() {
        for bytes in [
            &b"\x16\x03\x01"[..],
            b" GET / HTTP/1.1\r\n\r\n",
            b"GET /\r\n\r\n",
            b"GET / HTTP/2.0\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET / HTTP/1.1\r\nno field\r\n\r\n",
            b"GET / HTTP/1.1\r\nName : value\r\n\r\n",
            b"GET / HTTP/1.1\r\na: \0\r\n\r\n",
        ] {
            assert_eq!(parse_request(bytes), Err(Opaque::Request), "{}", bytes.escape_ascii());
        }
        for bytes in [&b"220 smtp"[..], b"HTTP/2", b"HTTP/1.1 099 x\r\n\r\n", b"HTTP/1.1 20\r\n\r\n", b"ICY 200"] {
            assert_eq!(parse_response(bytes), Err(Opaque::Response), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn accepts_fields_up_to_the_limit() {
        let head = |fields: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a:\n".repeat(fields));
        for fields in [0, 64, 65, 50_000, MAX_FIELDS] {
            let (_, parsed) = parse_response(head(fields).as_bytes()).unwrap().unwrap();
            assert_eq!(parsed.headers.iter().count(), fields);
        }
        assert_eq!(parse_response(head(MAX_FIELDS + 1).as_bytes()), Err(Opaque::LimitExceeded));
    }
}
