//! What the first bytes of a tunnel are.
//!
//! ```text
//! 16 03 .. .. .. 01             a TLS record that begins a ClientHello
//! token SP target SP HTTP/1.    a request line
//! PRI * HTTP/2.0 CRLF           the preface of HTTP/2
//! ```
//!
//! The verdict comes as early as it is sure and never changes when more bytes come; it stays open only while every byte
//! so far may still be one of these. Whoever waits for more bytes needs a deadline: a server may have to speak first.

/// What the first bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Too few bytes to say.
    Undecided,
    /// A TLS ClientHello; what it holds is not judged here.
    Tls,
    /// An HTTP/1 request.
    Http1,
    /// HTTP/2 with prior knowledge (RFC 9113 section 3.4).
    Http2,
    /// Something else.
    Other,
}

/// Judges the first bytes that a client sends.
pub(crate) fn sniff(bytes: &[u8]) -> Protocol {
    let guesses = [(tls(bytes), Protocol::Tls), (http2(bytes), Protocol::Http2), (http1(bytes), Protocol::Http1)];
    if let Some((_, first)) = guesses.iter().find(|(guess, _)| *guess == PrefixMatch::Yes) {
        return *first;
    }
    match guesses.iter().any(|(guess, _)| *guess == PrefixMatch::Maybe) {
        true => Protocol::Undecided,
        false => Protocol::Other,
    }
}

/// Whether a server of HTTP/2 begins so, with a SETTINGS frame that is no acknowledgement (RFC 9113 section 6.5); `None` while
/// too few bytes are there to say.
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

#[derive(Clone, Copy, PartialEq, Eq)]
enum PrefixMatch {
    Yes,
    Maybe,
    No,
}

/// The head of a TLS record and the type of the handshake message in it (RFC 8446 sections 5.1 and 4).
fn tls(bytes: &[u8]) -> PrefixMatch {
    let fits: [fn(u8) -> bool; 6] = [
        |handshake| handshake == 22,
        |major| major == 3,
        // Always 1 or 3 today; whatever a version's number was, a hello has kept this shape.
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

/// A request line up to its version: other protocols (RTSP, SIP, ICAP) have lines that begin in the same way.
fn http1(bytes: &[u8]) -> PrefixMatch {
    let Some((method, rest)) = split_at_space(bytes, MAX_METHOD_BYTES) else {
        return if bytes.len() <= MAX_METHOD_BYTES && bytes.iter().all(is_tchar) {
            PrefixMatch::Maybe
        } else {
            PrefixMatch::No
        };
    };
    if method.is_empty() || !method.iter().all(is_tchar) {
        return PrefixMatch::No;
    }
    let Some((target, version)) = split_at_space(rest, MAX_TARGET_BYTES) else {
        return if rest.len() <= MAX_TARGET_BYTES && rest.iter().all(is_visible) {
            PrefixMatch::Maybe
        } else {
            PrefixMatch::No
        };
    };
    if target.is_empty() || !target.iter().all(is_visible) {
        return PrefixMatch::No;
    }
    starts_with(version, b"HTTP/1.")
}

/// What is before and after the first space, if at most `limit` bytes are before it.
fn split_at_space(bytes: &[u8], limit: usize) -> Option<(&[u8], &[u8])> {
    let space = bytes.iter().take(limit + 1).position(|&b| b == b' ')?;
    let (before, after) = bytes.split_at_checked(space)?;
    Some((before, after.strip_prefix(b" ")?))
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

/// A character of a token (RFC 9110 section 5.6.2).
fn is_tchar(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b)
}

/// No space and no control character; bytes past ASCII are against the grammar but sent.
fn is_visible(b: &u8) -> bool {
    *b > b' ' && *b != 0x7f
}

/// The first line of the preface of HTTP/2 (RFC 9113 section 3.4).
pub(crate) const HTTP2_PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// The longest registered method, `UPDATEREDIRECTREF`, has 17 characters.
const MAX_METHOD_BYTES: usize = 32;

/// Longer than any server accepts by default (8 KiB in Apache and nginx, 64 KiB in some).
const MAX_TARGET_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on `bytes`, with the number of bytes that it took, the same however many follow.
    fn decided(bytes: &[u8]) -> (usize, Protocol) {
        let mut verdict = None;
        for end in 0..=bytes.len() {
            let first = sniff(&bytes[..end]);
            match verdict {
                None if first == Protocol::Undecided => {}
                None => verdict = Some((end, first)),
                Some((_, before)) => assert_eq!(first, before, "changed at {end}"),
            }
        }
        verdict.unwrap_or((bytes.len(), Protocol::Undecided))
    }

    #[test]
    fn requests() {
        assert_eq!(decided(b"GET / HTTP/1.1\r\nHost: h\r\n"), (13, Protocol::Http1));
        assert_eq!(decided(b"M-SEARCH * HTTP/1.0\r\n"), (18, Protocol::Http1));
        assert_eq!(decided(b"GET /\xc3\xa9 HTTP/1.1\r\n"), (15, Protocol::Http1));
        assert_eq!(decided(b"PRI /x HTTP/1.1\r\n"), (14, Protocol::Http1));
        assert_eq!(decided(b"GET /unfinished"), (15, Protocol::Undecided));
        let long = [b"GET /", &vec![b'a'; MAX_TARGET_BYTES - 1][..], b" HTTP/1.1"].concat();
        assert_eq!(sniff(&long), Protocol::Http1);
        assert_eq!(sniff(&long[..MAX_TARGET_BYTES]), Protocol::Undecided);
    }

    #[test]
    fn no_requests() {
        assert_eq!(decided(b"SSH-2.0-OpenSSH_9.9\r\n"), (20, Protocol::Other));
        assert_eq!(decided(b"EHLO example.com\r\n"), (17, Protocol::Other));
        assert_eq!(decided(b"OPTIONS rtsp://h/ RTSP/1.0"), (19, Protocol::Other));
        assert_eq!(decided(b"GET  / HTTP/1.1"), (5, Protocol::Other));
        assert_eq!(decided(b" GET / HTTP/1.1"), (1, Protocol::Other));
        assert_eq!(decided(b"GET /\t HTTP/1.1"), (6, Protocol::Other));
        assert_eq!(decided(b"GET / HTTP/3.0"), (12, Protocol::Other));
        assert_eq!(decided(&[b'A'; 40]), (33, Protocol::Other));
        let endless = [b"GET /", &vec![b'a'; MAX_TARGET_BYTES][..], b" HTTP/1.1"].concat();
        assert_eq!(sniff(&endless), Protocol::Other);
    }

    #[test]
    fn tls_and_its_lookalikes() {
        assert_eq!(decided(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), (6, Protocol::Tls));
        assert_eq!(decided(b"\x16\x03\x01\x02\x00\x02"), (6, Protocol::Other), "a ServerHello");
        assert_eq!(decided(b"\x16\x03\x01\xff"), (4, Protocol::Other), "a record past its limit");
        assert_eq!(decided(b"\x17\x03\x03"), (1, Protocol::Other), "application data");
        assert_eq!(decided(b"\x80\x2e\x01\x03\x01"), (1, Protocol::Other), "SSL 2");
        assert_eq!(decided(b"\x16"), (1, Protocol::Undecided));
    }

    #[test]
    fn http2() {
        assert_eq!(decided(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), (16, Protocol::Http2));
        assert_eq!(decided(b"PRI * HTTP/2.1"), (14, Protocol::Other));
        assert_eq!(decided(b""), (0, Protocol::Undecided));
    }

    #[test]
    fn a_server_of_http2() {
        let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x03";
        for end in 0..=settings.len() {
            assert_eq!(starts_with_settings(&settings[..end]), (end >= 9).then_some(true), "{end}");
        }
        for other in [&b"\0\0\x05"[..], b"\0\0\0\x04\x01", b"\0\0\0\x06", b"220 ", b"\0\0\0\x04\0\0\0\0\x01"] {
            assert_eq!(starts_with_settings(other), Some(false), "{other:?}");
        }
    }
}
