//! How a body is framed, and the reader that follows the framing (RFC 9112 section 6).
//!
//! ```text
//! head ──▶ Framing ──▶ BodyReader ──▶ Piece::Data, Piece::Data, … Piece::End
//! ```
//!
//! The framing is decided once. Who forwards bytes counts them with the same reader that takes them apart, so that
//! reading and forwarding cannot differ on where a message ends.

use super::chunked::Chunked;
use crate::wire::message::{Headers, RequestHead, ResponseHead, Version, trim};
use crate::wire::tap::{Ending, Finish, Opaque};

/// What says where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none, whatever the fields say.
    Empty,
    /// It has so many bytes.
    Length(u64),
    /// It comes in chunks, the last of which is empty.
    Chunked,
    /// It ends with the connection. Responses only.
    UntilClose,
}

/// How the body of a request is framed (RFC 9112 section 6.3).
pub(crate) fn request_framing(head: &RequestHead) -> Result<Framing, Opaque> {
    if head.headers.first(TRANSFER_ENCODING).is_some() {
        // Where HTTP/1.0 says chunked, or any other coding comes last, client and origin may disagree on the end.
        return match (head.version, codings(&head.headers)) {
            (Version::Http11, Codings::Chunked) => Ok(Framing::Chunked),
            _ => Err(Opaque::Framing),
        };
    }
    Ok(content_length(&head.headers)?.map_or(Framing::Empty, Framing::Length))
}

/// How the body of a response to a request with `method` is framed (RFC 9112 section 6.3).
pub(crate) fn response_framing(method: &str, head: &ResponseHead) -> Result<Framing, Opaque> {
    match (method, head.status) {
        ("HEAD", _) | (_, 100..=199 | 204 | 304) => return Ok(Framing::Empty),
        // What follows is not this response's: the connection is a tunnel now.
        ("CONNECT", 200..=299) => return Ok(Framing::Empty),
        _ => {}
    }
    match codings(&head.headers) {
        // Of HTTP/1.0 too: section 6.1 calls that faulty, but servers that do it send chunks and clients read them.
        Codings::Chunked | Codings::ChunkedTwice => Ok(Framing::Chunked),
        Codings::Other => Ok(Framing::UntilClose),
        Codings::None => Ok(content_length(&head.headers)?.map_or(Framing::UntilClose, Framing::Length)),
    }
}

/// Whether another request may follow on the connection after this exchange, which switches to no other protocol (RFC
/// 9112 section 9.3); `framing` is that of the response. We are the proxy in the middle.
pub(crate) fn persists(request: &RequestHead, response: &ResponseHead, framing: Framing) -> bool {
    let chunked_and_length =
        request.headers.first(TRANSFER_ENCODING).is_some() && request.headers.first(CONTENT_LENGTH).is_some();
    let stays = match response.version {
        Version::Http11 | Version::Http2 => true,
        Version::Http10 => {
            // Section 6.1: a coding in an HTTP/1.0 message is faulty, and the connection with it.
            response.headers.lists("connection", "keep-alive") && response.headers.first(TRANSFER_ENCODING).is_none()
        }
    };
    stays
        && framing != Framing::UntilClose
        // Section 9.3 keeps proxies from it, as those that do not know the field pass it on blindly. We pass it on too, but
        // close when the two ends would.
        && (request.version == Version::Http11 || request.headers.lists("connection", "keep-alive"))
        // Section 6.1: may be an attempt at smuggling; answered, and no more.
        && !chunked_and_length
        && !request.headers.lists("connection", "close")
        && !response.headers.lists("connection", "close")
}

/// What the transfer codings say about the end of a body.
enum Codings {
    /// No coding is named.
    None,
    /// Chunked is the last one, once.
    Chunked,
    /// Chunked is the last one, and not for the first time (section 7 forbids it).
    ChunkedTwice,
    /// The last one is another, which does not tell where the body ends.
    Other,
}

fn codings(headers: &Headers) -> Codings {
    let mut found = Codings::None;
    let mut chunked = 0_usize;
    for coding in headers.list(TRANSFER_ENCODING) {
        if coding.eq_ignore_ascii_case(b"chunked") {
            chunked = chunked.saturating_add(1);
            found = if chunked == 1 { Codings::Chunked } else { Codings::ChunkedTwice };
        } else if !coding.eq_ignore_ascii_case(b"identity") || chunked > 0 {
            // `identity` was a word for no coding (RFC 2616 section 3.6), and some servers still say it.
            found = Codings::Other;
        }
    }
    found
}

/// The one length that all members of all `Content-Length` fields name (RFC 9110 section 8.6).
fn content_length(headers: &Headers) -> Result<Option<u64>, Opaque> {
    let mut length = None;
    for member in headers.all(CONTENT_LENGTH).flat_map(|value| value.split(|&b| b == b',')) {
        let member = decimal(trim(member)).ok_or(Opaque::Framing)?;
        if length.is_some_and(|length| length != member) {
            return Err(Opaque::Framing);
        }
        length = Some(member);
    }
    Ok(length)
}

/// Digits and nothing else: `str::parse` would take a sign.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &digit| {
        let digit = char::from(digit).to_digit(10)?;
        value.checked_mul(10)?.checked_add(digit.into())
    })
}

/// Reads one body.
#[derive(Debug)]
pub(crate) struct BodyReader(State);

#[derive(Debug)]
enum State {
    /// So many bytes before the end.
    Length(u64),
    Chunked(Chunked),
    UntilClose,
}

/// What comes next of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Data, never empty, without chunk framing.
    Data(&'a [u8]),
    /// Nothing more; the trailer fields, mostly none.
    End(Headers),
}

impl BodyReader {
    pub(crate) fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::Empty => State::Length(0),
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunked::new()),
            Framing::UntilClose => State::UntilClose,
        })
    }

    /// The next piece, and how many bytes of `input` it and the framing before it take; `None` if all of `input` is
    /// taken and more is needed. A body may end without a byte: ask with what there is, even if it is nothing, until
    /// the answer is `None` or [`Piece::End`].
    pub(crate) fn read<'a>(&mut self, input: &'a [u8]) -> Result<Option<(usize, Piece<'a>)>, Opaque> {
        match &mut self.0 {
            State::Length(0) => Ok(Some((0, Piece::End(Headers::default())))),
            _ if input.is_empty() => Ok(None),
            State::Length(left) => {
                let data = input.get(..usize::try_from(*left).unwrap_or(usize::MAX)).unwrap_or(input);
                *left = left.saturating_sub(data.len() as u64);
                Ok(Some((data.len(), Piece::Data(data))))
            }
            State::Chunked(chunked) => chunked.read(input),
            State::UntilClose => Ok(Some((input.len(), Piece::Data(input)))),
        }
    }

    /// How many bytes of `input` belong to the body, framing and trailers included: fewer than all only if it ended.
    pub(crate) fn skip(&mut self, input: &[u8]) -> Result<usize, Opaque> {
        let mut rest = input;
        while let Some((used, piece)) = self.read(rest)? {
            rest = rest.get(used..).unwrap_or_default();
            if matches!(piece, Piece::End(_)) {
                return Ok(input.len().saturating_sub(rest.len()));
            }
        }
        Ok(input.len())
    }

    /// Whether all of the body was read.
    pub(crate) fn is_done(&self) -> bool {
        match &self.0 {
            State::Length(left) => *left == 0,
            State::Chunked(chunked) => chunked.is_done(),
            State::UntilClose => false,
        }
    }

    /// How the body ended if its direction ends now.
    pub(crate) fn cut(&self, how: Ending) -> Finish {
        match self.0 {
            State::UntilClose if how == Ending::Clean => Finish::Complete,
            _ if self.is_done() => Finish::Complete,
            _ => Finish::Truncated(how),
        }
    }
}

const TRANSFER_ENCODING: &str = "transfer-encoding";

const CONTENT_LENGTH: &str = "content-length";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::head::{request, response};

    fn post(version: &str, fields: &str) -> RequestHead {
        request(format!("POST / HTTP/{version}\r\n{fields}\r\n").as_bytes()).unwrap()
    }

    fn answer(version: &str, status: u16, fields: &str) -> ResponseHead {
        response(format!("HTTP/{version} {status} X\r\n{fields}\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn frames_requests() {
        for (fields, framing) in [
            ("", Ok(Framing::Empty)),
            ("Content-Length: 0\r\n", Ok(Framing::Length(0))),
            ("content-LENGTH: 0005\r\n", Ok(Framing::Length(5))),
            ("Content-Length: 18446744073709551615\r\n", Ok(Framing::Length(u64::MAX))),
            ("Content-Length: 18446744073709551616\r\n", Err(Opaque::Framing)),
            ("Content-Length: 5, 5\r\nContent-Length: 05\r\n", Ok(Framing::Length(5))),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", Err(Opaque::Framing)),
            ("Content-Length: 5,\r\n", Err(Opaque::Framing)),
            ("Content-Length:\r\n", Err(Opaque::Framing)),
            ("Content-Length: +5\r\n", Err(Opaque::Framing)),
            ("Content-Length: -5\r\n", Err(Opaque::Framing)),
            ("Content-Length: 5 5\r\n", Err(Opaque::Framing)),
            ("Content-Length: 0x5\r\n", Err(Opaque::Framing)),
            ("Content-Length: 5\r\nTransfer-Encoding: Chunked\r\n", Ok(Framing::Chunked)),
            ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", Ok(Framing::Chunked)),
            ("Transfer-Encoding: chunked, gzip\r\n", Err(Opaque::Framing)),
            ("Transfer-Encoding: chunked, chunked\r\n", Err(Opaque::Framing)),
            ("Transfer-Encoding: chunked, identity\r\n", Err(Opaque::Framing)),
            ("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", Err(Opaque::Framing)),
            ("Transfer-Encoding: xchunked\r\n", Err(Opaque::Framing)),
            ("Transfer-Encoding:\r\nContent-Length: 5\r\n", Err(Opaque::Framing)),
        ] {
            assert_eq!(request_framing(&post("1.1", fields)), framing, "{fields:?}");
        }
        assert_eq!(request_framing(&post("1.0", "Content-Length: 5\r\n")), Ok(Framing::Length(5)));
        assert_eq!(request_framing(&post("1.0", "Transfer-Encoding: chunked\r\n")), Err(Opaque::Framing));
    }

    #[test]
    fn frames_responses() {
        let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
        for (method, status, fields, framing) in [
            ("GET", 200, "", Ok(Framing::UntilClose)),
            ("GET", 200, "Content-Length: 5\r\n", Ok(Framing::Length(5))),
            ("GET", 200, both, Ok(Framing::Chunked)),
            ("GET", 200, "Transfer-Encoding: gzip, CHUNKED\r\n", Ok(Framing::Chunked)),
            ("GET", 200, "Transfer-Encoding: chunked, gzip\r\nContent-Length: 5\r\n", Ok(Framing::UntilClose)),
            ("GET", 200, "Transfer-Encoding: identity\r\nContent-Length: 5\r\n", Ok(Framing::Length(5))),
            ("GET", 200, "Content-Length: 5, 6\r\n", Err(Opaque::Framing)),
            ("GET", 404, "", Ok(Framing::UntilClose)),
            ("HEAD", 200, both, Ok(Framing::Empty)),
            ("HEAD", 200, "Content-Length: x\r\n", Ok(Framing::Empty)),
            ("head", 200, "Content-Length: 5\r\n", Ok(Framing::Length(5))),
            ("GET", 100, both, Ok(Framing::Empty)),
            ("GET", 101, both, Ok(Framing::Empty)),
            ("GET", 204, both, Ok(Framing::Empty)),
            ("GET", 304, both, Ok(Framing::Empty)),
            ("CONNECT", 299, both, Ok(Framing::Empty)),
            ("CONNECT", 403, "Content-Length: 5\r\n", Ok(Framing::Length(5))),
        ] {
            let head = answer("1.1", status, fields);
            assert_eq!(response_framing(method, &head), framing, "{method} {status} {fields:?}");
        }
        assert_eq!(response_framing("GET", &answer("1.0", 200, both)), Ok(Framing::Chunked));
    }

    #[test]
    fn knows_when_a_connection_persists() {
        let length = Framing::Length(5);
        for (request, response, framing, persist) in [
            (("1.1", ""), ("1.1", ""), length, true),
            (("1.1", ""), ("1.1", ""), Framing::UntilClose, false),
            (("1.1", "Connection: x, Close\r\n"), ("1.1", ""), length, false),
            (("1.1", ""), ("1.1", "Connection: close\r\n"), length, false),
            (("1.1", ""), ("1.0", ""), length, false),
            (("1.1", ""), ("1.0", "Connection: Keep-Alive\r\n"), length, true),
            (("1.1", ""), ("1.0", "Connection: Keep-Alive\r\nTransfer-Encoding: chunked\r\n"), Framing::Chunked, false),
            (("1.0", "Connection: keep-alive\r\n"), ("1.1", "Connection: keep-alive\r\n"), length, true),
            (("1.0", ""), ("1.1", "Connection: keep-alive\r\n"), length, false),
            (("1.1", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), ("1.1", ""), length, false),
        ] {
            let (request, response) = (post(request.0, request.1), answer(response.0, 200, response.1));
            assert_eq!(persists(&request, &response, framing), persist, "{request:?} {response:?}");
        }
    }

    #[test]
    fn counts_what_belongs_to_a_body() {
        let skip = |framing, input: &[u8]| {
            let mut body = BodyReader::new(framing);
            (body.skip(input), body.is_done())
        };
        assert_eq!(skip(Framing::Empty, b"GET"), (Ok(0), true));
        assert_eq!(skip(Framing::Length(0), b""), (Ok(0), true));
        assert_eq!(skip(Framing::Length(3), b"ab"), (Ok(2), false));
        assert_eq!(skip(Framing::Length(3), b"abcGET"), (Ok(3), true));
        assert_eq!(skip(Framing::Chunked, b"1\r\na\r\n0\r\n\r\nGET"), (Ok(11), true));
        assert_eq!(skip(Framing::Chunked, b"1\r\na\r\n0\r\n"), (Ok(9), false));
        assert_eq!(skip(Framing::Chunked, b"x"), (Err(Opaque::Framing), false));
        assert_eq!(skip(Framing::UntilClose, b"abc"), (Ok(3), false));
    }

    #[test]
    fn tells_a_whole_body_from_a_cut_one() {
        assert_eq!(BodyReader::new(Framing::UntilClose).cut(Ending::Clean), Finish::Complete);
        assert_eq!(BodyReader::new(Framing::UntilClose).cut(Ending::Truncated), Finish::Truncated(Ending::Truncated));
        assert_eq!(BodyReader::new(Framing::Length(1)).cut(Ending::Clean), Finish::Truncated(Ending::Clean));
        assert_eq!(BodyReader::new(Framing::Empty).cut(Ending::Reset), Finish::Complete);
    }
}
