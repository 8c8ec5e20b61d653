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
pub(crate) enum First {
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
pub(crate) fn sniff(bytes: &[u8]) -> First {
    let guesses = [(tls(bytes), First::Tls), (http2(bytes), First::Http2), (http1(bytes), First::Http1)];
    if let Some((_, first)) = guesses.iter().find(|(guess, _)| *guess == Guess::Yes) {
        return *first;
    }
    match guesses.iter().any(|(guess, _)| *guess == Guess::Maybe) {
        true => First::Undecided,
        false => First::Other,
    }
}

/// Whether a server of HTTP/2 begins so, with a SETTINGS frame that is no acknowledgement (RFC 9113 section 6.5); `None` while
/// too few bytes are there to say.
pub(crate) fn begins_settings(bytes: &[u8]) -> Option<bool> {
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
enum Guess {
    Yes,
    Maybe,
    No,
}

/// The head of a TLS record and the type of the handshake message in it (RFC 8446 sections 5.1 and 4).
fn tls(bytes: &[u8]) -> Guess {
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
        return Guess::No;
    }
    if bytes.len() < fits.len() { Guess::Maybe } else { Guess::Yes }
}

fn http2(bytes: &[u8]) -> Guess {
    starts_with(bytes, HTTP2_LINE)
}

/// A request line up to its version: other protocols (RTSP, SIP, ICAP) have lines that begin in the same way.
fn http1(bytes: &[u8]) -> Guess {
    let Some((method, rest)) = split_at_blank(bytes, MAX_METHOD) else {
        return if bytes.len() <= MAX_METHOD && bytes.iter().all(is_tchar) { Guess::Maybe } else { Guess::No };
    };
    if method.is_empty() || !method.iter().all(is_tchar) {
        return Guess::No;
    }
    let Some((target, version)) = split_at_blank(rest, MAX_TARGET) else {
        return if rest.len() <= MAX_TARGET && rest.iter().all(is_visible) { Guess::Maybe } else { Guess::No };
    };
    if target.is_empty() || !target.iter().all(is_visible) {
        return Guess::No;
    }
    starts_with(version, b"HTTP/1.")
}

/// What is before and after the first blank, if at most `limit` bytes are before it.
fn split_at_blank(bytes: &[u8], limit: usize) -> Option<(&[u8], &[u8])> {
    let blank = bytes.iter().take(limit + 1).position(|&b| b == b' ')?;
    let (before, after) = bytes.split_at_checked(blank)?;
    Some((before, after.strip_prefix(b" ")?))
}

fn starts_with(bytes: &[u8], expected: &[u8]) -> Guess {
    if bytes.starts_with(expected) {
        Guess::Yes
    } else if expected.starts_with(bytes) {
        Guess::Maybe
    } else {
        Guess::No
    }
}

/// A character of a token (RFC 9110 section 5.6.2).
fn is_tchar(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b)
}

/// No blank and no control character; bytes past ASCII are against the grammar but sent.
fn is_visible(b: &u8) -> bool {
    *b > b' ' && *b != 0x7f
}

/// The first line of the preface of HTTP/2 (RFC 9113 section 3.4).
pub(crate) const HTTP2_LINE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// The longest registered method, `UPDATEREDIRECTREF`, has 17 characters.
const MAX_METHOD: usize = 32;

/// Longer than any server accepts by default (8 KiB in Apache and nginx, 64 KiB in some).
const MAX_TARGET: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on `bytes`, with the number of bytes that it took, the same however many follow.
    fn decided(bytes: &[u8]) -> (usize, First) {
        let mut verdict = None;
        for end in 0..=bytes.len() {
            let first = sniff(&bytes[..end]);
            match verdict {
                None if first == First::Undecided => {}
                None => verdict = Some((end, first)),
                Some((_, before)) => assert_eq!(first, before, "changed at {end}"),
            }
        }
        verdict.unwrap_or((bytes.len(), First::Undecided))
    }

    #[test]
    fn requests() {
        assert_eq!(decided(b"GET / HTTP/1.1\r\nHost: h\r\n"), (13, First::Http1));
        assert_eq!(decided(b"M-SEARCH * HTTP/1.0\r\n"), (18, First::Http1));
        assert_eq!(decided(b"GET /\xc3\xa9 HTTP/1.1\r\n"), (15, First::Http1));
        assert_eq!(decided(b"PRI /x HTTP/1.1\r\n"), (14, First::Http1));
        assert_eq!(decided(b"GET /unfinished"), (15, First::Undecided));
        let long = [b"GET /", &vec![b'a'; MAX_TARGET - 1][..], b" HTTP/1.1"].concat();
        assert_eq!(sniff(&long), First::Http1);
        assert_eq!(sniff(&long[..MAX_TARGET]), First::Undecided);
    }

    #[test]
    fn no_requests() {
        assert_eq!(decided(b"SSH-2.0-OpenSSH_9.9\r\n"), (20, First::Other));
        assert_eq!(decided(b"EHLO example.com\r\n"), (17, First::Other));
        assert_eq!(decided(b"OPTIONS rtsp://h/ RTSP/1.0"), (19, First::Other));
        assert_eq!(decided(b"GET  / HTTP/1.1"), (5, First::Other));
        assert_eq!(decided(b" GET / HTTP/1.1"), (1, First::Other));
        assert_eq!(decided(b"GET /\t HTTP/1.1"), (6, First::Other));
        assert_eq!(decided(b"GET / HTTP/3.0"), (12, First::Other));
        assert_eq!(decided(&[b'A'; 40]), (33, First::Other));
        let endless = [b"GET /", &vec![b'a'; MAX_TARGET][..], b" HTTP/1.1"].concat();
        assert_eq!(sniff(&endless), First::Other);
    }

    #[test]
    fn tls_and_its_lookalikes() {
        assert_eq!(decided(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), (6, First::Tls));
        assert_eq!(decided(b"\x16\x03\x01\x02\x00\x02"), (6, First::Other), "a ServerHello");
        assert_eq!(decided(b"\x16\x03\x01\xff"), (4, First::Other), "a record past its limit");
        assert_eq!(decided(b"\x17\x03\x03"), (1, First::Other), "application data");
        assert_eq!(decided(b"\x80\x2e\x01\x03\x01"), (1, First::Other), "SSL 2");
        assert_eq!(decided(b"\x16"), (1, First::Undecided));
    }

    #[test]
    fn http2() {
        assert_eq!(decided(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), (16, First::Http2));
        assert_eq!(decided(b"PRI * HTTP/2.1"), (14, First::Other));
        assert_eq!(decided(b""), (0, First::Undecided));
    }

    #[test]
    fn a_server_of_http2() {
        let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x03";
        for end in 0..=settings.len() {
            assert_eq!(begins_settings(&settings[..end]), (end >= 9).then_some(true), "{end}");
        }
        for other in [&b"\0\0\x05"[..], b"\0\0\0\x04\x01", b"\0\0\0\x06", b"220 ", b"\0\0\0\x04\0\0\0\0\x01"] {
            assert_eq!(begins_settings(other), Some(false), "{other:?}");
        }
    }
}
