//! The head of a message: where it ends, and what it says (RFC 9112 sections 2 to 5).
//!
//! ```text
//! bytes ──▶ HeadEnd: is the empty line there? ──▶ httparse, once, over the whole head ──▶ RequestHead, ResponseHead
//!           goes on where it stopped
//! ```
//!
//! Looking for the end first keeps a head that comes byte by byte linear, and makes the result the same however it is
//! cut. What can be read in one way only is read, even where a strict parser refuses it.

use crate::wire::message::{self, Headers, RequestHead, ResponseHead, Version, trim};
use crate::wire::tap::{Dir, Opaque};
use httparse::{EMPTY_HEADER, Header, ParserConfig, Status};
use std::borrow::Cow;
use std::mem::MaybeUninit;

/// The request at the front of `bytes`, empty lines before it skipped. Searches from the start each time: who reads
/// from a slow peer asks [`HeadEnd`] first.
pub(crate) fn parse_request(bytes: &[u8]) -> Result<Option<(usize, RequestHead)>, Opaque> {
    parse(Dir::Up, bytes, request)
}

#[cfg(test)]
/// The response at the front of `bytes`, in the same way.
pub(crate) fn parse_response(bytes: &[u8]) -> Result<Option<(usize, ResponseHead)>, Opaque> {
    parse(Dir::Down, bytes, response)
}

fn parse<T>(dir: Dir, bytes: &[u8], whole: impl Fn(&[u8]) -> Result<T, Opaque>) -> Result<Option<(usize, T)>, Opaque> {
    let (blank, bytes) = bytes.split_at(blank_lines(bytes));
    begins_well(dir, 0, bytes)?;
    let Some(end) = HeadEnd::message().find(bytes)? else {
        return Ok(None);
    };
    let head = whole(bytes.get(..end).unwrap_or_default())?;
    Ok(Some((blank.len().saturating_add(end), head)))
}

/// How many bytes of empty lines stand at the front: a recipient skips them before a message (RFC 9112 section 2.2).
pub(crate) fn blank_lines(bytes: &[u8]) -> usize {
    bytes.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(bytes.len())
}

/// Finds the empty line that ends a head, in pieces: CRLF CRLF, LF LF, or one of each (RFC 9112 section 2.2).
#[derive(Debug)]
pub(crate) struct HeadEnd {
    /// How many bytes were searched; none of them ends the head.
    searched: usize,
    line: Line,
}

/// What the line that is being searched holds.
#[derive(Clone, Copy, Debug)]
enum Line {
    /// Nothing, and no line before it did: an empty line does not end the head.
    Leading,
    /// Nothing: if it ends here, so does the head.
    Empty,
    /// A CR and nothing else.
    Cr,
    /// Anything else.
    Text,
}

impl HeadEnd {
    /// For the head of a request or a response.
    pub(crate) fn message() -> Self {
        Self { searched: 0, line: Line::Leading }
    }

    /// For a trailer section: it may be empty.
    pub(crate) fn trailers() -> Self {
        Self { searched: 0, line: Line::Empty }
    }

    /// How many of `next`, the bytes that follow those of the last call, belong to the head; `None` if all do and it
    /// goes on. [`Opaque::TooLong`] as soon as no end within [`MAX_HEAD`] is possible.
    pub(crate) fn find(&mut self, next: &[u8]) -> Result<Option<usize>, Opaque> {
        let room = MAX_HEAD.saturating_sub(self.searched);
        let mut at = 0;
        while let Some(&byte) = next.get(at).filter(|_| at < room) {
            at = at.saturating_add(1);
            self.line = match (self.line, byte) {
                (Line::Leading, b'\r' | b'\n') => Line::Leading,
                (Line::Empty | Line::Cr, b'\n') => return Ok(Some(at)),
                (_, b'\n') => Line::Empty,
                (Line::Empty, b'\r') => Line::Cr,
                _ => {
                    // What else is in a line does not matter.
                    let rest = next.get(at..).unwrap_or_default();
                    at = at.saturating_add(rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len()));
                    Line::Text
                }
            };
        }
        if next.len() >= room {
            return Err(Opaque::TooLong);
        }
        self.searched = self.searched.saturating_add(next.len());
        Ok(None)
    }
}

/// How many bytes of the input belonged to a head, and all of the head: of the input if it was whole there.
pub(crate) type WholeHead<'a> = (usize, Cow<'a, [u8]>);

/// Collects a head that comes in pieces; one that comes whole is not copied.
#[derive(Debug)]
pub(crate) struct HeadReader {
    end: HeadEnd,
    /// What came before; no end is in it, so it is shorter than [`MAX_HEAD`].
    bytes: Vec<u8>,
}

impl HeadReader {
    /// For the head of a request or a response.
    pub(crate) fn message() -> Self {
        Self { end: HeadEnd::message(), bytes: Vec::new() }
    }

    /// For a trailer section.
    pub(crate) fn trailers() -> Self {
        Self { end: HeadEnd::trailers(), bytes: Vec::new() }
    }

    /// How many bytes it holds of a head that is not whole.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The whole head, and how many bytes of `input` belong to it; `None` if all do and it goes on. It reads one head.
    pub(crate) fn read<'a>(&mut self, input: &'a [u8]) -> Result<Option<WholeHead<'a>>, Opaque> {
        let Some(used) = self.end.find(input)? else {
            self.bytes.extend_from_slice(input);
            return Ok(None);
        };
        let last = input.get(..used).unwrap_or_default();
        if self.bytes.is_empty() {
            return Ok(Some((used, Cow::Borrowed(last))));
        }
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.extend_from_slice(last);
        Ok(Some((used, Cow::Owned(bytes))))
    }
}

/// Whether `bytes`, the ones from the `at`th of a message on, can be part of its head at all. What can not is told at
/// its first byte, instead of being kept until it is longer than any head.
pub(crate) fn begins_well(dir: Dir, at: usize, bytes: &[u8]) -> Result<(), Opaque> {
    let well = match dir {
        // A method is a token (RFC 9110 section 9.1).
        Dir::Up => at > 0 || bytes.first().is_none_or(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b)),
        Dir::Down => STATUS_LINE.iter().skip(at).zip(bytes).all(|(due, came)| due == came),
    };
    match (well, dir) {
        (true, _) => Ok(()),
        (false, Dir::Up) => Err(Opaque::Request),
        (false, Dir::Down) => Err(Opaque::Response),
    }
}

/// What a request's head says, all of it and nothing else given, without empty lines before it.
pub(crate) fn request(head: &[u8]) -> Result<RequestHead, Opaque> {
    if first_line(head).is_ascii() {
        return request_with_target(head, head);
    }
    // `httparse` asks that a target be UTF-8, some clients send other bytes unescaped. It shall read a copy with every
    // such byte of the first line covered; the rest, and all offsets, are the same.
    let line = first_line(head).len();
    let mut covered = head.to_vec();
    covered.iter_mut().take(line).filter(|b| !b.is_ascii()).for_each(|b| *b = b'?');
    request_with_target(&covered, head)
}

/// What `head` says, but the target is read at its place in `original`.
fn request_with_target(head: &[u8], original: &[u8]) -> Result<RequestHead, Opaque> {
    let mut config = ParserConfig::default();
    config.allow_multiple_spaces_in_request_line_delimiters(true);
    with_room(Opaque::Request, head, MaybeUninit::uninit(), |fields| {
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

/// What a response's head says, all of it and nothing else given, without empty lines before it. Interim ones too.
pub(crate) fn response(head: &[u8]) -> Result<ResponseHead, Opaque> {
    let mut config = ParserConfig::default();
    config
        .allow_multiple_spaces_in_response_status_delimiters(true)
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        // A line that is no field is passed over, as browsers do; else one odd line would hide the whole connection.
        .ignore_invalid_headers_in_responses(true);
    with_room(Opaque::Response, head, MaybeUninit::uninit(), |fields| {
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

/// The fields of a trailer section, its empty line included (RFC 9112 section 7.1.2).
pub(crate) fn trailers(section: &[u8]) -> Result<Headers, Opaque> {
    with_room(Opaque::Framing, section, EMPTY_HEADER, |fields| {
        Ok(match httparse::parse_headers(section, fields)? {
            Status::Complete((_, fields)) => Some(headers(fields)),
            Status::Partial => None,
        })
    })
}

/// Calls `parse` with room for the usual number of fields, each `empty`, and if that is not enough, for as many as `head` has
/// lines. `None` means malformed, as an error of `httparse` does; both become `malformed`.
fn with_room<F: Copy, T>(
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
        Err(httparse::Error::TooManyHeaders) => Err(Opaque::TooLong),
        Ok(None) | Err(_) => Err(malformed),
    }
}

fn headers(fields: &[Header<'_>]) -> Headers {
    let bytes = fields.iter().map(|field| field.name.len().saturating_add(field.value.len())).sum();
    let mut headers = Headers::with_capacity(fields.len(), bytes);
    for field in fields {
        if field.value.contains(&b'\n') {
            // A folded line counts as blanks (RFC 9112 section 5.2).
            let unfold = |&b: &u8| if matches!(b, b'\r' | b'\n') { b' ' } else { b };
            headers.push(field.name.as_bytes(), &field.value.iter().map(unfold).collect::<Vec<_>>());
        } else {
            headers.push(field.name.as_bytes(), field.value);
        }
    }
    headers
}

/// The reason phrase of a well-formed head. `httparse` gives none that has a byte above 127.
fn reason(head: &[u8]) -> &[u8] {
    let code = trim(first_line(head).get(VERSION_LEN..).unwrap_or_default());
    trim(code.get(STATUS_LEN..).unwrap_or_default())
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

/// The longest head that is read, its empty line included. Servers and clients refuse far shorter ones: nginx 32 KiB,
/// Node 16 KiB, curl 300 KiB, Chromium 256 KiB.
pub(crate) const MAX_HEAD: usize = 256 * 1024;

/// The most fields of a head; what `httparse` writes them into takes 2 MiB then.
const MAX_FIELDS: usize = 65_536;

/// Fields that need no allocation to be parsed.
const USUAL_FIELDS: usize = 64;

/// How every HTTP/1 response begins.
const STATUS_LINE: &[u8] = b"HTTP/1.";

/// `HTTP/1.1`
const VERSION_LEN: usize = 8;

/// `200`
const STATUS_LEN: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_requests_as_sent() {
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
    fn reads_responses_that_strict_parsers_refuse() {
        let bytes =
            b"HTTP/1.1   200   Tr\xe8s bien \r\nServer : a\r\nX-Fold: one\r\n  two\r\nno field\r\nlast: 1\r\n\r\n";
        let (used, head) = parse_response(bytes).unwrap().unwrap();
        assert_eq!((used, head.status, &head.reason[..]), (bytes.len(), 200, &b"Tr\xe8s bien"[..]));
        let fields: Vec<_> = head.headers.iter().collect();
        assert_eq!(fields, [(&b"Server"[..], &b"a"[..]), (b"X-Fold", b"one    two"), (b"last", b"1")]);
        assert_eq!(&parse_response(b"HTTP/1.0 404\n\n").unwrap().unwrap().1.reason[..], b"");
    }

    #[test]
    fn refuses_what_is_not_http_1() {
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
    fn finds_the_end_in_every_spelling() {
        for (head, rest) in [
            ("A\r\nb\r\n\r\n", "\r\n"),
            ("A\nb\n\n", "\n"),
            ("A\r\nb\n\r\n", "x"),
            ("A\r\n\n", "x"),
            ("A\r\n\r\r\n\r\n", ""),
            ("\r\n\r\nA\n\r\n", "\r\n"),
        ] {
            let all = [head, rest].concat();
            assert_eq!(HeadEnd::message().find(all.as_bytes()), Ok(Some(head.len())), "{all:?}");
            let (mut end, mut used) = (HeadEnd::message(), 0);
            while end.find(&all.as_bytes()[used..=used]) == Ok(None) {
                used += 1;
            }
            assert_eq!(used + 1, head.len(), "{all:?} byte by byte");
        }
        assert_eq!(HeadEnd::trailers().find(b"\r\nGET"), Ok(Some(2)));
    }

    #[test]
    fn takes_a_head_of_the_limit_and_no_byte_more() {
        let head = |len: usize| format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "x".repeat(len - 23));
        let (used, _) = parse_request(head(MAX_HEAD).as_bytes()).unwrap().unwrap();
        assert_eq!(used, MAX_HEAD);
        assert_eq!(parse_request(head(MAX_HEAD + 1).as_bytes()), Err(Opaque::TooLong));
        let unfinished = head(MAX_HEAD);
        assert_eq!(parse_request(&unfinished.as_bytes()[..MAX_HEAD - 1]), Ok(None));
        let mut reader = HeadReader::message();
        for byte in unfinished.as_bytes()[..MAX_HEAD - 1].chunks(1) {
            assert_eq!(reader.read(byte), Ok(None));
        }
        assert_eq!(reader.read(b"x"), Err(Opaque::TooLong));
    }

    #[test]
    fn takes_as_many_fields_as_fit() {
        let head = |fields: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a:\n".repeat(fields));
        for fields in [0, 64, 65, 50_000, MAX_FIELDS] {
            let (_, parsed) = parse_response(head(fields).as_bytes()).unwrap().unwrap();
            assert_eq!(parsed.headers.iter().count(), fields);
        }
        assert_eq!(parse_response(head(MAX_FIELDS + 1).as_bytes()), Err(Opaque::TooLong));
    }
}
