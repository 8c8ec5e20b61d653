//! The dialogue with an HTTP proxy: CONNECT and its response (RFC 9110 section 9.3.6).
//!
//! ```text
//! ▶ CONNECT h:443 HTTP/1.1, Host, Proxy-Authorization
//! ◀ HTTP/1.1 200 Connection established, fields, an empty line; the next byte is the origin's
//! ```
//!
//! A 2xx response has no body, whatever its Content-Length and Transfer-Encoding say.

use super::refusal::Refusal;
use super::{Dialogue, MAX_HEAD_BYTES};
use crate::wire::authority::Authority;
use crate::wire::credentials::Credentials;
use crate::wire::http1::head::response;
use crate::wire::http1::head_scanner::{HeadReader, check_start, leading_empty_lines};
use crate::wire::tap::Dir;

/// A CONNECT request and the response to it.
pub(crate) struct Connect {
    request: Vec<u8>,
    head: HeadReader,
    has_credentials: bool,
    is_open: bool,
}

impl Connect {
    /// Asks for a tunnel to `origin`.
    pub(crate) fn new(origin: &Authority, credentials: Option<&Credentials>) -> Self {
        let mut request = format!("CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\n").into_bytes();
        if let Some(credentials) = credentials {
            request.extend([b"Proxy-Authorization: ", credentials.basic().as_slice(), b"\r\n"].concat());
        }
        request.extend(b"\r\n");
        Self { request, head: HeadReader::for_message(), has_credentials: credentials.is_some(), is_open: false }
    }
}

impl Dialogue for Connect {
    fn output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.request)
    }

    fn input(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        // Empty lines before a head are skipped (RFC 9112 section 2.2).
        let skipped = if self.head.len() == 0 { leading_empty_lines(bytes) } else { 0 };
        let bytes = bytes.get(skipped..).unwrap_or_default();
        check_start(Dir::Down, self.head.len(), bytes).map_err(|_| Refusal::NotHttp)?;
        let Some((used, head)) = self.head.read(bytes).map_err(|_| Refusal::NotHttp)? else {
            if self.head.len() > MAX_HEAD_BYTES {
                return Err(Refusal::NotHttp);
            }
            return Ok(skipped.saturating_add(bytes.len()));
        };
        let head = response(&head).map_err(|_| Refusal::NotHttp)?;
        match head.status {
            // An interim response; 101 is not one to CONNECT.
            100 | 102..200 => self.head = HeadReader::for_message(),
            200..300 => self.is_open = true,
            _ => return Err(Refusal::of_response(&head, self.has_credentials)),
        }
        Ok(skipped.saturating_add(used))
    }

    fn is_open(&self) -> bool {
        self.is_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connect() -> Connect {
        Connect::new(&Authority::from_connect_target(b"h:443").unwrap(), None)
    }

    /// Feeds `answer` in pieces of `size` bytes as the socket's reader does; returns the bytes behind the answer.
    fn read(answer: &[u8], size: usize) -> Result<Vec<u8>, Refusal> {
        let mut connect = connect();
        let mut at = 0;
        while !connect.is_open() && at < answer.len() {
            at += connect.input(&answer[at..answer.len().min(at + size)])?;
        }
        assert!(connect.is_open(), "incomplete");
        Ok(answer[at..].to_vec())
    }

    #[test]
    fn requests_a_tunnel_with_basic_authentication() {
        let credentials = Credentials::parse("u:p");
        let mut connect = Connect::new(&Authority::from_connect_target(b"[::1]:443").unwrap(), credentials.as_ref());
        assert_eq!(
            String::from_utf8(connect.output()).unwrap(),
            "CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\nProxy-Authorization: Basic dTpw\r\n\r\n"
        );
        assert_eq!(connect.output(), b"");
    }

    #[test]
    fn uses_the_head_and_nothing_behind_it() {
        for answer in [
            "HTTP/1.1 200 Connection established\r\n\r\n",
            "HTTP/1.0 200\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "\r\nHTTP/1.1 204 No Content\nA: b\n\n",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        ] {
            for size in [1, 2, 7, 1000] {
                for rest in ["", "220 ready\r\n\r\n"] {
                    assert_eq!(read(&[answer, rest].concat().into_bytes(), size), Ok(rest.into()), "{answer} {size}");
                }
            }
        }
    }

    #[test]
    fn other_answers_are_refusals() {
        for (answer, refusal) in [
            ("HTTP/1.1 403 Forbidden\r\n\r\n", Refusal::Status("403 Forbidden".into())),
            ("HTTP/1.1 101 Switching\r\n\r\n", Refusal::Status("101 Switching".into())),
            ("SSH-2.0-OpenSSH_9\r\n", Refusal::NotHttp),
            ("\x05\x00", Refusal::NotHttp),
            ("HTTP/1.1 abc\r\n\r\n", Refusal::NotHttp),
        ] {
            for size in [1, 1000] {
                assert_eq!(read(answer.as_bytes(), size), Err(refusal.clone()), "{answer}");
            }
        }
        let endless = [b"HTTP/1.1 200 ".as_slice(), &vec![b'x'; 2 << 20]].concat();
        assert_eq!(read(&endless, 4096), Err(Refusal::NotHttp));
    }
}
