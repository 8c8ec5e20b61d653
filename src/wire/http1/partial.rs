//! Parses the complete lines of a head that ended early: its sender stopped, or it exceeded the limit.
//!
//! ```text
//! GET /a HTTP/1.1 ⏎  Host: x ⏎  Cook     ──▶ GET /a, Host: x
//! GET /a HT                              ──▶ None
//! ```

use super::head;
use crate::wire::message::{RequestHead, ResponseHead};

/// Parses a request; `None` if its first line is incomplete or malformed.
pub(super) fn request(bytes: &[u8]) -> Option<RequestHead> {
    head::request(&close(bytes)?).ok()
}

/// Parses a final response; `None` if its first line is incomplete or malformed, or if it is an interim response.
pub(super) fn response(bytes: &[u8]) -> Option<ResponseHead> {
    head::response(&close(bytes)?).ok().filter(|head| head.status >= 200)
}

/// Returns the complete lines of `bytes` with an empty line after them.
fn close(bytes: &[u8]) -> Option<Vec<u8>> {
    let last = bytes.iter().rposition(|&b| b == b'\n')?;
    Some([bytes.get(..=last)?, b"\r\n"].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_complete_lines() {
        let head = request(b"GET /a HTTP/1.1\r\nHost: x\r\nCookie: a=").unwrap();
        assert_eq!((&*head.method, &head.target[..], head.headers.iter().count()), ("GET", &b"/a"[..], 1));
        assert_eq!(request(b"GET /a HTTP/1.1\n").unwrap().headers.iter().count(), 0);
        assert_eq!(request(b"GET /a HTTP/1.1\r"), None);
        assert_eq!(request(b"GET\r\n"), None);
        assert_eq!(response(b"HTTP/1.1 404 No\r\nA: b\r\nC").unwrap().status, 404);
        assert_eq!(response(b"HTTP/1.1 103 Early\r\nA: b\r\nC"), None);
        assert_eq!(response(b"HTTP/1.1 404 No"), None);
    }
}
