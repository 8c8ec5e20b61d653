//! The framing of a body: how its end is determined (RFC 9112 section 6), and whether the connection persists after it.
//!
//! ```text
//! request head ────────────▶ request_framing ───┬─▶ Framing ──▶ Http1BodyReader
//! method, response head ───▶ response_framing ──┘      │
//!                            persists ◀────────────────┘
//! ```
//!
//! If client and origin could disagree about the end of a message, the framing is unknown. A request is then an error; a
//! response is read up to the end of the connection, which is the end for most clients too.

use crate::wire::headers::{Headers, trim};
use crate::wire::message::{RequestHead, ResponseHead, Version};
use crate::wire::tap::Opaque;

/// The rule that determines the end of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body, even if the fields announce one.
    Empty,
    /// A body of this many bytes.
    Length(u64),
    /// The chunked coding; an empty chunk is the last one.
    Chunked,
    /// A body that ends when the connection closes. Only responses have it.
    UntilClose,
    /// A response's body whose end is unknown. It is not later than the start of the client's next request, or the close of the
    /// connection.
    Unknown,
}

/// Returns the framing of a request's body (RFC 9112 section 6.3).
pub(crate) fn request_framing(head: &RequestHead) -> Result<Framing, Opaque> {
    if head.is_ambiguous {
        return Err(Opaque::Framing);
    }
    if head.headers.first(TRANSFER_ENCODING).is_some() {
        // With chunked in HTTP/1.0, or with another final coding, client and origin may disagree about the end.
        return match (head.version, transfer_codings(&head.headers)) {
            (Version::Http11, TransferCodings::Chunked) => Ok(Framing::Chunked),
            _ => Err(Opaque::Framing),
        };
    }
    Ok(content_length(&head.headers)?.map_or(Framing::Empty, Framing::Length))
}

/// Returns the framing of the body in a response to a request with `method` (RFC 9112 section 6.3).
pub(crate) fn response_framing(method: &str, head: &ResponseHead) -> Framing {
    match (method, head.status) {
        ("HEAD", _) | (_, 100..=199 | 204 | 304) => return Framing::Empty,
        // The connection is a tunnel now: bytes that follow do not belong to this response.
        ("CONNECT", 200..=299) => return Framing::Empty,
        _ if head.is_ambiguous => return Framing::Unknown,
        _ => {}
    }
    match transfer_codings(&head.headers) {
        // In HTTP/1.0 too: section 6.1 calls that faulty, but such servers do send chunks and clients decode them.
        TransferCodings::Chunked | TransferCodings::ChunkedTwice => Framing::Chunked,
        TransferCodings::Other => Framing::UntilClose,
        TransferCodings::None => match content_length(&head.headers) {
            Ok(length) => length.map_or(Framing::UntilClose, Framing::Length),
            Err(_) => Framing::Unknown,
        },
    }
}

/// Returns true if another request may follow on the connection after this exchange (RFC 9112 section 9.3).
///
/// `framing` is the framing of the response's body. The exchange must not switch to another protocol. The rules are those
/// for a proxy.
pub(crate) fn persists(request: &RequestHead, response: &ResponseHead, framing: Framing) -> bool {
    let chunked_and_length =
        request.headers.first(TRANSFER_ENCODING).is_some() && request.headers.first(CONTENT_LENGTH).is_some();
    let stays = match response.version {
        Version::Http11 | Version::Http2 => true,
        Version::Http10 => {
            // Section 6.1: Transfer-Encoding in an HTTP/1.0 message is faulty, and the connection must be closed after it.
            response.headers.list_contains("connection", "keep-alive")
                && response.headers.first(TRANSFER_ENCODING).is_none()
        }
    };
    stays
        && !matches!(framing, Framing::UntilClose | Framing::Unknown)
        // Section 9.3 forbids proxies to persist for HTTP/1.0 clients, because some proxies forward keep-alive without
        // understanding it. We forward it too, but close the connection when client and origin would.
        && (request.version == Version::Http11 || request.headers.list_contains("connection", "keep-alive"))
        // Section 6.1: this may be request smuggling. The request is answered, then the connection is closed.
        && !chunked_and_length
        && !request.headers.list_contains("connection", "close")
        && !response.headers.list_contains("connection", "close")
}

/// The transfer codings of a message, as far as they determine the end of the body.
enum TransferCodings {
    /// No coding.
    None,
    /// Chunked is the last coding and is applied once.
    Chunked,
    /// Chunked is the last coding and is applied more than once, which section 6.1 forbids.
    ChunkedTwice,
    /// The last coding is another one, which does not determine the end of the body.
    Other,
}

fn transfer_codings(headers: &Headers) -> TransferCodings {
    let mut found = TransferCodings::None;
    let mut chunked = 0_usize;
    for coding in headers.list(TRANSFER_ENCODING) {
        if coding.eq_ignore_ascii_case(b"chunked") {
            chunked = chunked.saturating_add(1);
            found = if chunked == 1 { TransferCodings::Chunked } else { TransferCodings::ChunkedTwice };
        } else if !coding.eq_ignore_ascii_case(b"identity") || chunked > 0 {
            // `identity` means no coding (RFC 2616 section 3.6). It is obsolete, but some servers still send it.
            found = TransferCodings::Other;
        }
    }
    found
}

/// Returns the length on which all members of all `Content-Length` fields agree (RFC 9110 section 8.6).
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

/// Parses digits only: `str::parse` would accept a sign.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |value, &digit| {
        let digit = char::from(digit).to_digit(10)?;
        value.checked_mul(10)?.checked_add(digit.into())
    })
}

const TRANSFER_ENCODING: &str = "transfer-encoding";

const CONTENT_LENGTH: &str = "content-length";

/// The fields that determine the end of a body, in lower case.
pub(crate) const FRAMING_FIELDS: [&str; 2] = [CONTENT_LENGTH, TRANSFER_ENCODING];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::head::{request, response};

    fn request_head(version: &str, fields: &str) -> RequestHead {
        request(format!("POST / HTTP/{version}\r\n{fields}\r\n").as_bytes()).unwrap()
    }

    fn response_head(version: &str, status: u16, fields: &str) -> ResponseHead {
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
            ("Transfer-Encoding : chunked\r\n", Err(Opaque::Framing)),
            ("Content-Length: 5\r\n Content-Length: 6\r\n", Err(Opaque::Framing)),
            ("X: \x01\r\nContent-Length: 5\r\n", Ok(Framing::Length(5))),
        ] {
            assert_eq!(request_framing(&request_head("1.1", fields)), framing, "{fields:?}");
        }
        assert_eq!(request_framing(&request_head("1.0", "Content-Length: 5\r\n")), Ok(Framing::Length(5)));
        assert_eq!(request_framing(&request_head("1.0", "Transfer-Encoding: chunked\r\n")), Err(Opaque::Framing));
    }

    #[test]
    fn frames_responses() {
        let both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
        for (method, status, fields, framing) in [
            ("GET", 200, "", Framing::UntilClose),
            ("GET", 200, "Content-Length: 5\r\n", Framing::Length(5)),
            ("GET", 200, both, Framing::Chunked),
            ("GET", 200, "Transfer-Encoding: gzip, CHUNKED\r\n", Framing::Chunked),
            ("GET", 200, "Transfer-Encoding: chunked, gzip\r\nContent-Length: 5\r\n", Framing::UntilClose),
            ("GET", 200, "Transfer-Encoding: identity\r\nContent-Length: 5\r\n", Framing::Length(5)),
            ("GET", 200, "Content-Length: 5, 6\r\n", Framing::Unknown),
            ("GET", 200, "Content-Length: 2,\r\n", Framing::Unknown),
            ("GET", 200, "Content-Length: +2\r\n", Framing::Unknown),
            ("GET", 200, "Content-Length: -1\r\n", Framing::Unknown),
            ("GET", 200, "Content-Length:\r\n", Framing::Unknown),
            ("GET", 200, "Content-Length: -1\r\nTransfer-Encoding: chunked\r\n", Framing::Chunked),
            ("GET", 200, "Transfer-Encoding : chunked\r\n", Framing::Unknown),
            ("GET", 200, "Content-Length: 5\r\nTransfer-Encoding\x0b: chunked\r\n", Framing::Unknown),
            ("HEAD", 200, "Transfer-Encoding : chunked\r\n", Framing::Empty),
            ("GET", 404, "", Framing::UntilClose),
            ("HEAD", 200, both, Framing::Empty),
            ("HEAD", 200, "Content-Length: x\r\n", Framing::Empty),
            ("head", 200, "Content-Length: 5\r\n", Framing::Length(5)),
            ("GET", 100, both, Framing::Empty),
            ("GET", 101, both, Framing::Empty),
            ("GET", 204, both, Framing::Empty),
            ("GET", 304, both, Framing::Empty),
            ("CONNECT", 299, both, Framing::Empty),
            ("CONNECT", 403, "Content-Length: 5\r\n", Framing::Length(5)),
        ] {
            let head = response_head("1.1", status, fields);
            assert_eq!(response_framing(method, &head), framing, "{method} {status} {fields:?}");
        }
        assert_eq!(response_framing("GET", &response_head("1.0", 200, both)), Framing::Chunked);
    }

    #[test]
    fn decides_whether_a_connection_persists() {
        let length = Framing::Length(5);
        for (request, response, framing, persist) in [
            (("1.1", ""), ("1.1", ""), length, true),
            (("1.1", ""), ("1.1", ""), Framing::UntilClose, false),
            (("1.1", ""), ("1.1", ""), Framing::Unknown, false),
            (("1.1", "Connection: x, Close\r\n"), ("1.1", ""), length, false),
            (("1.1", ""), ("1.1", "Connection: close\r\n"), length, false),
            (("1.1", ""), ("1.0", ""), length, false),
            (("1.1", ""), ("1.0", "Connection: Keep-Alive\r\n"), length, true),
            (("1.1", ""), ("1.0", "Connection: Keep-Alive\r\nTransfer-Encoding: chunked\r\n"), Framing::Chunked, false),
            (("1.0", "Connection: keep-alive\r\n"), ("1.1", "Connection: keep-alive\r\n"), length, true),
            (("1.0", ""), ("1.1", "Connection: keep-alive\r\n"), length, false),
            (("1.1", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), ("1.1", ""), length, false),
        ] {
            let (request, response) = (request_head(request.0, request.1), response_head(response.0, 200, response.1));
            assert_eq!(persists(&request, &response, framing), persist, "{request:?} {response:?}");
        }
    }
}
