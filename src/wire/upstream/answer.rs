//! The beginning of an answer to a plain request that was sent to an upstream proxy.
//!
//! 407 is the proxy's own: the client must not see it, because it would send its password to the wrong place, or ask for it. So
//! an answer is held back until its status is known. All other answers may be the origin's, except the 401 of tinyproxy.
//!
//! ```text
//! H T T P / 1 . 1  2 0 0 │ …            passes from here on
//! H T T P / 1 . 1  4 0 7 … empty line │  a refusal, with the fields of its head
//! H T T P / 1 . 1  1 0 0 … empty line │  an interim response passes, and the next head is held back
//! ```

use super::MAX_HEAD_BYTES;
use super::refusal::Refusal;
use crate::wire::http1::head::response;
use crate::wire::http1::head_scanner::HeadScanner;
use crate::wire::message::ResponseHead;

/// An answer whose status is not known yet.
#[derive(Debug)]
pub(crate) struct HeldAnswer {
    /// The bytes held back, at most [`MAX_HEAD_BYTES`] and one read.
    bytes: Vec<u8>,
    /// Searches them for the end of a head.
    scanner: HeadScanner,
    /// The number of bytes searched so far.
    searched: usize,
    has_credentials: bool,
}

/// The result of more bytes of a held answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// These bytes pass; what follows is still held back. Often empty.
    Held(Vec<u8>),
    /// These bytes pass, and all that follow.
    Passes(Vec<u8>),
    /// Nothing passes: the proxy refused the request.
    Refused(Refusal),
}

impl HeldAnswer {
    /// Expects the answer to a request, which had credentials for the proxy if `has_credentials` is true.
    pub(crate) fn new(has_credentials: bool) -> Self {
        Self { bytes: Vec::new(), scanner: HeadScanner::for_message(), searched: 0, has_credentials }
    }

    /// Reads the next bytes of the answer.
    pub(crate) fn read(&mut self, next: &[u8]) -> Decision {
        self.bytes.extend_from_slice(next);
        let mut passed = Vec::new();
        loop {
            let is_prefix = self.bytes.iter().zip(STATUS_LINE_START).all(|(byte, start)| byte == start);
            match self.bytes.get(STATUS_AT..STATUS_AT.saturating_add(3)) {
                _ if !is_prefix => break,
                None => return Decision::Held(passed),
                Some(b"407" | b"401" | b"100" | b"102" | b"103" | b"104") => {}
                Some(_) => break,
            }
            let end = match self.scanner.find(self.bytes.get(self.searched..).unwrap_or_default()) {
                Ok(None) if self.bytes.len() <= MAX_HEAD_BYTES => {
                    self.searched = self.bytes.len();
                    return Decision::Held(passed);
                }
                // The received part of a head that is too long has its status.
                Ok(None) | Err(_) => self.bytes.len(),
                Ok(Some(end)) => self.searched.saturating_add(end),
            };
            let Ok(head) = response(self.bytes.get(..end).unwrap_or_default()) else { break };
            if head.status == 407 || self.has_credentials && is_of_tinyproxy(&head) {
                return Decision::Refused(Refusal::of_response(&head, self.has_credentials));
            }
            if head.status >= 200 {
                break;
            }
            passed.extend(self.bytes.drain(..end));
            (self.scanner, self.searched) = (HeadScanner::for_message(), 0);
        }
        passed.append(&mut self.bytes);
        Decision::Passes(passed)
    }
}

/// Returns true for the 401 with which tinyproxy rejects a password. An origin's own 401 has the Server field of the origin.
fn is_of_tinyproxy(head: &ResponseHead) -> bool {
    let server = head.headers.first("server").unwrap_or_default();
    head.status == 401 && server.starts_with(b"tinyproxy")
}

/// The beginning of a status line (RFC 9112 section 4); a digit and a space follow.
const STATUS_LINE_START: &[u8] = b"HTTP/1.";
/// The place of the status code in it.
const STATUS_AT: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::upstream::refusal::Authentication;

    /// Feeds `answer` in pieces of `size` bytes; returns the bytes that passed, and the refusal.
    fn read(answer: &str, size: usize) -> (String, Option<Refusal>) {
        let (mut held, mut passed, mut is_held) = (HeldAnswer::new(true), Vec::new(), true);
        for piece in answer.as_bytes().chunks(size) {
            match held.read(piece) {
                _ if !is_held => passed.extend_from_slice(piece),
                Decision::Held(bytes) => passed.extend(bytes),
                Decision::Passes(bytes) => {
                    passed.extend(bytes);
                    is_held = false;
                }
                Decision::Refused(refusal) => return (String::from_utf8(passed).unwrap(), Some(refusal)),
            }
        }
        (String::from_utf8(passed).unwrap(), None)
    }

    #[test]
    fn a_head_that_is_too_long_is_not_held() {
        for (status, is_refused) in [("407 X", true), ("401 X", false), ("103 X", false)] {
            let answer = format!("HTTP/1.1 {status}\r\nA: {}", "x".repeat(MAX_HEAD_BYTES));
            for size in [1000, answer.len()] {
                let (passed, refusal) = read(&answer, size);
                assert_eq!((passed.len(), refusal.is_some()), (if is_refused { 0 } else { answer.len() }, is_refused));
            }
        }
    }

    #[test]
    fn passes_every_answer_but_407() {
        let refusal = Some(Refusal::Authentication(Authentication::Rejected));
        let refused = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=x\r\n\r\n<html>";
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n";
        for size in [1, 2, 5, 100, 1000] {
            for answer in [
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                "HTTP/1.1 101 Switching Protocols\r\n\r\n\0\0",
                "HTTP/1.0 503 Service Unavailable\r\n\r\n",
                "<html>HTTP/1.1 407 no head</html>",
                "HTTP/2",
                "ICY 200 OK\r\n",
                "\r\nHTTP/1.1 200 OK\r\n\r\n",
                "HTTP/1.1 401 Unauthorized\r\nServer: nginx\r\n\r\n<html>",
            ] {
                // Bytes shorter than a status line may still be held back.
                let expected = if answer.len() < 7 { "HTTP/2" } else { answer };
                assert_eq!(read(answer, size), (expected.to_owned(), None), "{size}");
                let after = [interim, answer].concat();
                assert_eq!(read(&after, size), (after.clone(), None), "{size}");
            }
            assert_eq!(read(refused, size), (String::new(), refusal.clone()), "{size}");
            let (passed, after) = read(&[interim, refused].concat(), size);
            assert!(interim.starts_with(&passed) && after == refusal, "{passed} {size}");
            let tinyproxy = "HTTP/1.0 401 Unauthorized\r\nServer: tinyproxy/1.11.1\r\n\r\n<html>";
            assert_eq!(read(tinyproxy, size), (String::new(), refusal.clone()), "{size}");
            let spaced = "HTTP/1.1 4";
            assert_eq!(read(spaced, size), (String::new(), None));
        }
    }
}
