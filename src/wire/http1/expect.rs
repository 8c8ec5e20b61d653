//! The expectation `100-continue` (RFC 9110 section 10.1.1): a client that gets a final response instead of 100 may omit the
//! body, and send its next request in the place of it.
//!
//! ```text
//! > head, Expect: 100-continue
//! < 417                           the final response, before any byte of the body
//! > first line of what follows  ─┬─ a request line ─▶ the next request
//!                                └─ anything else ──▶ the body
//! ```
//!
//! The whole line decides, so that the result does not depend on how the bytes are split. The tap waits for it. The code that
//! forwards plain proxy requests decides by the first piece, because it may not delay a body. It serves neither a request nor
//! a body that looks like one, but closes the connection.

use super::framing::Framing;
use super::head_scanner::MAX_METHOD_BYTES;
use crate::wire::headers::is_tchar;
use crate::wire::message::RequestHead;

/// The expectation of a request whose body has not begun.
pub(crate) struct Expectation {
    /// The length of the body; `None` if it is chunked.
    length: Option<u64>,
    is_answered: bool,
    /// Bytes after the final response, as long as they are undecided. Shorter than [`MAX_LINE_BYTES`].
    held: Vec<u8>,
}

/// The meaning of the bytes after a request whose body may be omitted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Continuation {
    /// They are the body.
    Body,
    /// They are the next request.
    NextRequest,
}

impl Expectation {
    /// Returns the expectation of the request `head`, if its body may be omitted.
    pub(crate) fn new(head: &RequestHead, framing: Framing) -> Option<Self> {
        let length = match framing {
            Framing::Empty | Framing::Length(0) | Framing::UntilClose | Framing::Unknown => return None,
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
        };
        let is_expected = head.headers.list_contains("expect", "100-continue");
        is_expected.then_some(Self { length, is_answered: false, held: Vec::new() })
    }

    /// Notes the final response.
    pub(crate) fn answered(&mut self) {
        self.is_answered = true;
    }

    /// Returns the number of bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        self.held.capacity()
    }

    /// Returns true while bytes are held.
    pub(super) fn is_undecided(&self) -> bool {
        !self.held.is_empty()
    }

    /// Returns the meaning of the held bytes and `next`, or `None` if it depends on further bytes: `next` is held then.
    pub(crate) fn decide(&mut self, next: &[u8]) -> Option<Continuation> {
        if next.is_empty() {
            return None;
        }
        if !self.is_answered {
            return Some(Continuation::Body);
        }
        let held = self.held.len();
        let allowed = MAX_LINE_BYTES.saturating_sub(held);
        let line_end = next.iter().take(allowed).position(|&b| b == b'\n');
        self.held.extend_from_slice(next.get(..line_end.unwrap_or(next.len()).min(allowed)).unwrap_or_default());
        let decided = match line_end {
            Some(_) => Some(self.meaning_of_line()),
            None if self.held.len() >= MAX_LINE_BYTES || !may_be_request_line(&self.held) => Some(Continuation::Body),
            None => None,
        };
        if decided.is_some() {
            self.held.truncate(held);
        }
        decided
    }

    /// Returns the held bytes, which precede all others.
    pub(super) fn into_held(self) -> Vec<u8> {
        self.held
    }

    fn meaning_of_line(&self) -> Continuation {
        // A short body without a line end may precede a request: `bodyGET / HTTP/1.1`.
        let after_body = self.length.and_then(|length| self.held.get(usize::try_from(length).ok()?..));
        match is_request_line(&self.held) && !after_body.is_some_and(is_request_line) {
            true => Continuation::NextRequest,
            false => Continuation::Body,
        }
    }
}

/// Returns true if `line`, without its LF, is a request line (RFC 9112 section 3).
fn is_request_line(line: &[u8]) -> bool {
    let mut parts = line.strip_suffix(b"\r").unwrap_or(line).split(|&b| b == b' ');
    let (method, target, version) = (parts.next(), parts.next(), parts.next());
    method.is_some_and(is_method)
        && target
            .is_some_and(|target| !target.is_empty() && target.iter().all(|b| b.is_ascii_graphic() || !b.is_ascii()))
        && matches!(version, Some(b"HTTP/1.1" | b"HTTP/1.0"))
        && parts.next().is_none()
}

/// Returns true if `bytes` look like the start of a request to a proxy: their first line is a request line, or what there is
/// of it has a target in absolute-form.
pub(crate) fn looks_like_request(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii_start();
    match bytes.iter().position(|&b| b == b'\n') {
        Some(end) => bytes.get(..end).is_some_and(is_request_line),
        None => {
            let mut parts = bytes.splitn(2, |&b| b == b' ');
            parts.next().is_some_and(is_method) && parts.next().is_some_and(|target| target.starts_with(b"http"))
        }
    }
}

/// Returns true if `bytes`, which are not empty, may begin a request line. Only the method is checked, so that many small pieces
/// cost no more than one.
fn may_be_request_line(bytes: &[u8]) -> bool {
    let start = bytes.get(..=MAX_METHOD_BYTES).unwrap_or(bytes);
    start.split(|&b| b == b' ').next().is_some_and(is_method)
}

fn is_method(bytes: &[u8]) -> bool {
    (1..=MAX_METHOD_BYTES).contains(&bytes.len()) && bytes.iter().all(is_tchar)
}

/// The longest request line that is recognized. Limits of servers: nginx 8 KiB, Node 16 KiB.
const MAX_LINE_BYTES: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::head;

    /// Returns the meaning of `bytes` after a final response to a request with a body of `length` bytes.
    fn meaning(length: &str, bytes: &[u8]) -> Option<Continuation> {
        let head = head::request(format!("PUT / HTTP/1.1\r\nExpect: 100-Continue\r\n{length}\r\n").as_bytes()).unwrap();
        let framing = crate::wire::http1::framing::request_framing(&head).unwrap();
        let results = [1, 2, 3, 7, 1 << 20].map(|size| {
            let mut expectation = Expectation::new(&head, framing).unwrap();
            expectation.answered();
            bytes.chunks(size).find_map(|piece| expectation.decide(piece))
        });
        assert!(results.iter().all(|result| *result == results[0]), "{results:?}");
        results.into_iter().next().unwrap()
    }

    #[test]
    fn a_request_line_is_the_next_request() {
        use Continuation::{Body, NextRequest};
        let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(MAX_LINE_BYTES));
        let [method, longer] = [0, 1].map(|more| "M".repeat(MAX_METHOD_BYTES + more));
        let [known, unknown] = [&method, &longer].map(|method| format!("{method} / HTTP/1.1\r\n"));
        for (bytes, expected) in [
            (&b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n"[..], Some(NextRequest)),
            (b"PUT http://a/ HTTP/1.0\n", Some(NextRequest)),
            (b"GET /next HTTP/1.1\r", None),
            (b"GET", None),
            (b"GET /next HTTP/2.0\r\n", Some(Body)),
            (b"GET  /next HTTP/1.1\r\n", Some(Body)),
            (b"GET /a b HTTP/1.1\r\n", Some(Body)),
            (b" GET / HTTP/1.1\r\n", Some(Body)),
            (b"\r\nGET / HTTP/1.1\r\n", Some(Body)),
            (b"{", Some(Body)),
            (b"a=b", Some(Body)),
            (b"text\n", Some(Body)),
            (b"\0", Some(Body)),
            (long.as_bytes(), Some(Body)),
            (method.as_bytes(), None),
            (known.as_bytes(), Some(NextRequest)),
            (longer.as_bytes(), Some(Body)),
            (unknown.as_bytes(), Some(Body)),
        ] {
            assert_eq!(meaning("Content-Length: 1000000\r\n", bytes), expected, "{}", bytes.escape_ascii());
            assert_eq!(meaning("Transfer-Encoding: chunked\r\n", bytes), expected, "{}", bytes.escape_ascii());
        }
        assert_eq!(meaning("Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n"), Some(Body));
    }

    #[test]
    fn the_start_of_a_request_to_a_proxy_is_recognized() {
        for (bytes, expected) in [
            (&b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"[..], true),
            (b"\r\nCONNECT a:1 HTTP/1.1\r\n", true),
            (b"GET /own HTTP/1.1\n", true),
            (b"GET http://a/ HTT", true),
            (b"GET ", false),
            (b"GET /etc", false),
            (b"ls -l\n", false),
            (b"\r\n", false),
            (b"\0\x01", false),
        ] {
            assert_eq!(looks_like_request(bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_short_body_may_precede_a_request() {
        let length = "Content-Length: 4\r\n";
        assert_eq!(meaning(length, b"bodyGET / HTTP/1.1\r\n"), Some(Continuation::Body));
        assert_eq!(meaning(length, b"GET /next HTTP/1.1\r\n"), Some(Continuation::NextRequest));
        assert_eq!(meaning(length, b"body"), None);
    }
}
