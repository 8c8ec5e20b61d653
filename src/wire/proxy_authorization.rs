//! The password of a request to the proxy: the Proxy-Authorization field (RFC 9110 section 11.7.2) with Basic (RFC 7617).
//!
//! ```text
//! CONNECT h:443 HTTP/1.1                             ─▶ NoPassword
//! Proxy-Authorization: Basic bWU6d3Jvbmc=            ─▶ WrongPassword
//! Proxy-Authorization: Basic bWU6c2VjcmV0            ─▶ accepted
//! ```

use super::credentials::Credentials;
use super::http1::framing::{Framing, request_framing};
use super::http1::head::parse_request;
use super::message::{RequestHead, Version};

/// A request without the password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unauthorized {
    pub cause: Cause,
    /// True for a HEAD request, whose response has no body.
    pub is_head: bool,
    /// True if another request may follow on the connection.
    pub may_continue: bool,
}

/// The cause of a 407 response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    NoPassword,
    WrongPassword,
}

/// Checks the request with the head `head`, which was parsed before; `None` if it has these credentials.
pub(crate) fn check(head: &[u8], credentials: &Credentials) -> Option<Unauthorized> {
    let Ok(Some((_, head))) = parse_request(head) else {
        return Some(Unauthorized { cause: Cause::NoPassword, is_head: false, may_continue: false });
    };
    let mut values = head.headers.all("proxy-authorization").peekable();
    let cause = if values.peek().is_some() { Cause::WrongPassword } else { Cause::NoPassword };
    let is_authorized = values.any(|value| credentials.matches_basic(value));
    let (is_head, may_continue) = (head.method == "HEAD", may_continue(&head));
    (!is_authorized).then_some(Unauthorized { cause, is_head, may_continue })
}

/// True if the request has no body, and its client keeps the connection. (A body is not worth reading: it may be long, and
/// clients repeat the request on another connection.)
fn may_continue(head: &RequestHead) -> bool {
    matches!(request_framing(head), Ok(Framing::Empty | Framing::Length(0)))
        && head.version == Version::Http11
        && !["connection", "proxy-connection"].iter().any(|field| head.headers.list_contains(field, "close"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(request: &str) -> Option<Unauthorized> {
        check(format!("{request}\r\n\r\n").as_bytes(), &Credentials::parse("me:secret").unwrap())
    }

    #[test]
    fn accepts_the_password_only() {
        let cause = |field: &str| {
            let connect = checked(&format!("CONNECT h:443 HTTP/1.1\r\n{field}")).map(|unauthorized| unauthorized.cause);
            let get = checked(&format!("GET http://h/ HTTP/1.1\r\nHost: h\r\n{field}")).map(|other| other.cause);
            assert_eq!(connect, get);
            get
        };
        for right in ["Proxy-Authorization: Basic bWU6c2VjcmV0", "PROXY-AUTHORIZATION: bASIC   bWU6c2VjcmV0"] {
            assert_eq!(cause(right), None);
        }
        for wrong in [
            "",
            "Basic",
            "Basic ",
            "Basic bWU6c2VjcmV",
            "Basic bWU6c2VjcmV0=",
            "Basic BWU6c2VjcmV0",
            "Bearer bWU6c2VjcmV0",
            "bWU6c2VjcmV0",
            "BasicbWU6c2VjcmV0",
        ] {
            assert_eq!(cause(&format!("Proxy-Authorization: {wrong}")), Some(Cause::WrongPassword), "{wrong}");
        }
        for missing in ["A: b", "Authorization: Basic bWU6c2VjcmV0"] {
            assert_eq!(cause(missing), Some(Cause::NoPassword));
        }
    }

    #[test]
    fn another_request_may_follow_one_without_a_body() {
        let may_continue = |head: &str| checked(head).unwrap().may_continue;
        assert!(may_continue("CONNECT h:443 HTTP/1.1"));
        assert!(may_continue("POST http://h/ HTTP/1.1\r\nContent-Length: 0\r\nProxy-Connection: keep-alive"));
        for head in [
            "CONNECT h:443 HTTP/1.0",
            "GET http://h/ HTTP/1.1\r\nConnection: Close",
            "GET http://h/ HTTP/1.1\r\nProxy-Connection: close",
            "POST http://h/ HTTP/1.1\r\nContent-Length: 1",
            "POST http://h/ HTTP/1.1\r\nTransfer-Encoding: chunked",
            "POST http://h/ HTTP/1.1\r\nContent-Length: x",
        ] {
            assert!(!may_continue(head), "{head}");
        }
        assert!(checked("HEAD http://h/ HTTP/1.1").unwrap().is_head);
    }
}
