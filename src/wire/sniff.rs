//! Guesses the protocol of a tunnel from the client's first bytes.
//!
//! ```text
//! 16 03 .. .. .. 01             a TLS record with the start of a ClientHello
//! token SP target SP HTTP/1.    a request line, perhaps after empty lines
//! PRI * HTTP/2.0 CRLF           the first line of the HTTP/2 preface
//! ```
//!
//! The result is final as soon as it is not [`Protocol::Undecided`]: more bytes do not change it. It stays undecided only
//! while all bytes so far can still begin one of these. A caller that waits for more bytes needs a timeout, because in some
//! protocols the server sends first.

use super::headers::{is_space, is_tchar};
use super::http1::head_scanner::{MAX_HEAD_BYTES, MAX_METHOD_BYTES, leading_empty_lines};

/// The protocol of a connection, as its first bytes suggest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// More bytes are needed.
    Undecided,
    /// A TLS ClientHello; its content is not validated here.
    Tls,
    /// An HTTP/1 request.
    Http1,
    /// HTTP/2 with prior knowledge (RFC 9113 section 3.3).
    Http2,
    /// None of these.
    Other,
}

/// Returns the protocol of a client that sent `bytes` first.
pub(crate) fn sniff(bytes: &[u8]) -> Protocol {
    let matches = [(tls(bytes), Protocol::Tls), (http2(bytes), Protocol::Http2), (http1(bytes), Protocol::Http1)];
    if let Some((_, protocol)) = matches.iter().find(|(result, _)| *result == PrefixMatch::Yes) {
        return *protocol;
    }
    match matches.iter().any(|(result, _)| *result == PrefixMatch::Maybe) {
        true => Protocol::Undecided,
        false => Protocol::Other,
    }
}

/// Returns true if `bytes` begin an HTTP/2 server's connection: a SETTINGS frame without ACK (RFC 9113 section 6.5). Returns
/// `None` if more bytes are needed.
pub(crate) fn starts_with_settings(bytes: &[u8]) -> Option<bool> {
    let fits: [fn(u8) -> bool; 9] = [
        |length| length == 0,
        |length| length == 0,
        |length| length % 6 == 0,
        |kind| kind == 4,
        |flags| flags == 0,
        |stream| stream == 0,
        |stream| stream == 0,
        |stream| stream == 0,
        |stream| stream == 0,
    ];
    match fits.iter().zip(bytes).all(|(fit, &byte)| fit(byte)) {
        true if bytes.len() < fits.len() => None,
        agrees => Some(agrees),
    }
}

/// The result of comparing bytes with the start of a protocol's first message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PrefixMatch {
    Yes,
    /// More bytes are needed.
    Maybe,
    No,
}

/// Matches a TLS record header and the type of the handshake message in it (RFC 8446 sections 5.1 and 4).
fn tls(bytes: &[u8]) -> PrefixMatch {
    let fits: [fn(u8) -> bool; 6] = [
        |handshake| handshake == 22,
        |major| major == 3,
        // 1 or 3 today. The format of a ClientHello is the same in all these versions.
        |minor| minor <= 4,
        // At most 2^14 bytes in a record.
        |length_high| length_high <= 0x40,
        |_| true,
        |client_hello| client_hello == 1,
    ];
    if !fits.iter().zip(bytes).all(|(fit, &byte)| fit(byte)) {
        return PrefixMatch::No;
    }
    if bytes.len() < fits.len() { PrefixMatch::Maybe } else { PrefixMatch::Yes }
}

fn http2(bytes: &[u8]) -> PrefixMatch {
    starts_with(bytes, HTTP2_PREFACE_LINE)
}

/// Matches a request line up to its version, after empty lines. The grammar is that of `http1::head`, except that a control
/// character decides against HTTP/1: some binary protocols begin with a word and a space (git), and must not wait for more.
///
/// Lines of other protocols (RTSP, SIP, ICAP) begin in the same way, and a target may contain spaces. They are undecided up to
/// the end of the line.
fn http1(bytes: &[u8]) -> PrefixMatch {
    let bytes = bytes.get(..MAX_HEAD_BYTES).unwrap_or(bytes);
    let line = bytes.get(leading_empty_lines(bytes)..).unwrap_or_default();
    let (method, rest) = split_at(line, |b| !is_tchar(b));
    if method.len() > MAX_METHOD_BYTES || rest.first().is_some_and(|b| method.is_empty() || !is_space(b)) {
        return PrefixMatch::No;
    }
    let (_, rest) = split_at(rest, |b| !is_space(b));
    let (target_and_version, control) = split_at(rest, |b| b.is_ascii_control() && !is_space(b));
    let is_version_start = |w: &[u8]| w.first().is_some_and(is_space) && w.ends_with(VERSION_PREFIX);
    if target_and_version.windows(VERSION_PREFIX.len() + 1).any(is_version_start) {
        return PrefixMatch::Yes;
    }
    if control.is_empty() && bytes.len() < MAX_HEAD_BYTES { PrefixMatch::Maybe } else { PrefixMatch::No }
}

/// Splits before the first byte that is `end`.
fn split_at(bytes: &[u8], end: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let at = bytes.iter().position(end).unwrap_or(bytes.len());
    bytes.split_at_checked(at).unwrap_or((bytes, b""))
}

fn starts_with(bytes: &[u8], expected: &[u8]) -> PrefixMatch {
    if bytes.starts_with(expected) {
        PrefixMatch::Yes
    } else if expected.starts_with(bytes) {
        PrefixMatch::Maybe
    } else {
        PrefixMatch::No
    }
}

/// The first line of the HTTP/2 preface (RFC 9113 section 3.4).
pub(crate) const HTTP2_PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// The start of the version of an HTTP/1 request.
const VERSION_PREFIX: &[u8] = b"HTTP/1.";

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the protocol of `bytes` and how many bytes decided it, after asserting that more bytes do not change it.
    fn decide(bytes: &[u8]) -> (usize, Protocol) {
        let mut decided = None;
        for end in 0..=bytes.len() {
            let protocol = sniff(&bytes[..end]);
            match decided {
                None if protocol == Protocol::Undecided => {}
                None => decided = Some((end, protocol)),
                Some((_, before)) => assert_eq!(protocol, before, "changed at {end}"),
            }
        }
        decided.unwrap_or((bytes.len(), Protocol::Undecided))
    }

    #[test]
    fn recognises_http1_requests() {
        assert_eq!(decide(b"GET / HTTP/1.1\r\nHost: h\r\n"), (13, Protocol::Http1));
        assert_eq!(decide(b"M-SEARCH * HTTP/1.0\r\n"), (18, Protocol::Http1));
        assert_eq!(decide(b"GET /\xc3\xa9 HTTP/1.1\r\n"), (15, Protocol::Http1));
        assert_eq!(decide(b"PRI /x HTTP/1.1\r\n"), (14, Protocol::Http1));
        assert_eq!(decide(b"GET /unfinished"), (15, Protocol::Undecided));
        assert_eq!(decide(b"\r\n\nGET  /  HTTP/1.1\r\n"), (18, Protocol::Http1));
        assert_eq!(decide(b"GET /a b HTTP HTTP/1.1\r\n"), (21, Protocol::Http1));
        assert_eq!(decide(b"GET\t/a\tb\tHTTP/1.1\r\n"), (16, Protocol::Http1));
        assert_eq!(decide(b"\r\n"), (2, Protocol::Undecided));
        let long = [b"GET /", &vec![b'a'; MAX_HEAD_BYTES - 18][..], b" HTTP/1.1\r\n\r\n"].concat();
        assert_eq!((long.len(), sniff(&long)), (MAX_HEAD_BYTES, Protocol::Http1));
        assert_eq!(sniff(&long[..MAX_HEAD_BYTES - 13]), Protocol::Undecided);
    }

    #[test]
    fn rejects_bytes_that_are_not_requests() {
        assert_eq!(decide(b"SSH-2.0-OpenSSH_9.9\r\n"), (20, Protocol::Other));
        assert_eq!(decide(b"EHLO example.com\r\n"), (17, Protocol::Other));
        assert_eq!(decide(b"OPTIONS rtsp://h/ RTSP/1.0\r\n"), (27, Protocol::Other));
        assert_eq!(decide(b"003egit-upload-pack /project.git\0host=h\0"), (33, Protocol::Other));
        assert_eq!(decide(b" GET / HTTP/1.1"), (1, Protocol::Other));
        assert_eq!(decide(b"GET HTTP/1.1\r\n"), (13, Protocol::Other));
        assert_eq!(decide(b"GET  HTTP/1.1\r\n"), (14, Protocol::Other));
        assert_eq!(decide(b"GET /\x01 HTTP/1.1"), (6, Protocol::Other));
        assert_eq!(decide(b"GET / HTTP/3.0\r\n"), (15, Protocol::Other));
        assert_eq!(decide(b"\r\n\x16\x03\x01"), (3, Protocol::Other));
        assert_eq!(decide(&[b'A'; 40]), (33, Protocol::Other));
        assert_eq!(
            sniff(&[b"GET /", &vec![b'a'; MAX_HEAD_BYTES][..], b" HTTP/1.1"].concat()[..MAX_HEAD_BYTES]),
            Protocol::Other
        );
        assert_eq!(sniff(&vec![b'\n'; MAX_HEAD_BYTES]), Protocol::Other);
    }

    #[test]
    fn recognises_client_hellos() {
        assert_eq!(decide(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), (6, Protocol::Tls));
        assert_eq!(decide(b"\x16\x03\x01\x02\x00\x02"), (6, Protocol::Other), "a ServerHello");
        assert_eq!(decide(b"\x16\x03\x01\xff"), (4, Protocol::Other), "a record above the limit");
        assert_eq!(decide(b"\x17\x03\x03"), (1, Protocol::Other), "application data");
        assert_eq!(decide(b"\x80\x2e\x01\x03\x01"), (1, Protocol::Other), "SSL 2");
        assert_eq!(decide(b"\x16"), (1, Protocol::Undecided));
    }

    #[test]
    fn recognises_the_http2_preface() {
        assert_eq!(decide(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), (16, Protocol::Http2));
        assert_eq!(decide(b"PRI * HTTP/2.1\r\n"), (15, Protocol::Other));
        assert_eq!(decide(b""), (0, Protocol::Undecided));
    }

    #[test]
    fn recognises_an_http2_server() {
        let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x03";
        for end in 0..=settings.len() {
            assert_eq!(starts_with_settings(&settings[..end]), (end >= 9).then_some(true), "{end}");
        }
        for other in [&b"\0\0\x05"[..], b"\0\0\0\x04\x01", b"\0\0\0\x06", b"220 ", b"\0\0\0\x04\0\0\0\0\x01"] {
            assert_eq!(starts_with_settings(other), Some(false), "{other:?}");
        }
    }
}
