//! HTTP responses of the proxy itself: error responses, and the bytes of any response.
//!
//! They do not depend on the client, and requests change nothing here, so a web page that reaches the port gains
//! nothing.

use super::leg::Leg;
use super::relay;
use super::stop::Stop;
use crate::wire::authority::Authority;
use crate::wire::proxy_request::Refusal;
use crate::wire::tap::Ending;
use std::borrow::Cow;
use std::error::Error;

/// A response of the proxy itself. The connection ends after it, except after a [`Response::password_required`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Response<'b> {
    pub(crate) status: &'static str,
    pub(crate) media_type: &'static str,
    /// The name under which a browser saves the body.
    pub(crate) file_name: Option<&'static str>,
    /// Further fields, each with its line end.
    pub(crate) fields: &'static str,
    pub(crate) body: Cow<'b, [u8]>,
}

impl Response<'_> {
    /// 400 with the reason.
    pub(crate) fn bad_request(why: &str) -> Self {
        Self::text("400 Bad Request", why)
    }

    /// 431: the head of the request exceeds the limit (RFC 6585 section 5).
    pub(crate) fn head_too_long(why: &Refusal) -> Self {
        Self::text("431 Request Header Fields Too Large", &why.to_string())
    }

    /// 408: the head of the request was not complete in time (RFC 9110 section 15.5.9).
    pub(crate) fn head_too_slow() -> Self {
        Self::text("408 Request Timeout", "the request head took too long")
    }

    /// 407: the request lacks the password (RFC 9110 section 15.5.8). The connection ends after it unless `may_continue`.
    pub(crate) fn password_required(may_continue: bool) -> Self {
        let fields = if may_continue { CHALLENGE } else { CHALLENGE_AND_CLOSE };
        Self { fields, ..Self::text("407 Proxy Authentication Required", "this proxy requires a user and a password") }
    }

    /// 502: the origin cannot be reached.
    pub(crate) fn unreachable(authority: &Authority, why: &dyn Error) -> Self {
        Self::text("502 Bad Gateway", &format!("cannot reach {authority}: {why}"))
    }

    /// 502: `peer`, the origin or an upstream proxy, closed its connection in the way `how` before it answered.
    pub(crate) fn unanswered(peer: &str, how: Ending) -> Self {
        let closed = if how == Ending::Reset { "reset" } else { "closed" };
        Self::text("502 Bad Gateway", &format!("{peer} {closed} the connection before it answered"))
    }

    /// 403: the client asks for a tunnel to the proxy itself.
    pub(crate) fn no_tunnel_to_itself() -> Self {
        Self::text(
            "403 Forbidden",
            "A tunnel to this capture proxy itself is not possible. \
             For its certificate, open http://mitm.it/ through it.",
        )
    }

    /// 400 for a request that was sent to this port as if it were a web server.
    pub(crate) fn not_a_proxy_request() -> Self {
        Self::bad_request(
            "This is a capture proxy, not a web server: set HTTP_PROXY and HTTPS_PROXY to its address. \
             Redirected traffic is served only in transparent mode, and by its name only if so configured.",
        )
    }

    /// 400 for a ClientHello that was sent to this port as if it were a web server.
    pub(crate) fn tls_to_the_proxy() -> Self {
        Self::bad_request(
            "The connection to this proxy does not use TLS: write http://, not https://, in HTTPS_PROXY. \
             Redirected traffic is served only in transparent mode, and by its name only if so configured.",
        )
    }

    /// A line of plain text, `spectral: text`.
    pub(crate) fn text(status: &'static str, text: &str) -> Self {
        Self {
            status,
            media_type: "text/plain; charset=utf-8",
            file_name: None,
            fields: CLOSE,
            body: format!("spectral: {text}\n").into_bytes().into(),
        }
    }

    /// Sends the response and ends the connection.
    pub(crate) fn send(&self, client: &mut Leg, stop: &Stop) {
        self.send_to("GET", client, stop);
    }

    /// Sends the response to a request with `method` and ends the connection. HEAD gets no body (RFC 9110 section
    /// 9.3.2).
    pub(crate) fn send_to(&self, method: &str, client: &mut Leg, stop: &Stop) {
        client.send(&self.to_bytes(method == "HEAD"));
        relay::close(client, stop);
    }

    /// The bytes of the response, without the body if `is_head`.
    pub(crate) fn to_bytes(&self, is_head: bool) -> Vec<u8> {
        let mut bytes = format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\n{}",
            self.status,
            self.media_type,
            self.body.len(),
            self.fields
        );
        if let Some(name) = self.file_name {
            bytes.push_str(&format!("Content-Disposition: attachment; filename=\"{name}\"\r\n"));
        }
        bytes.push_str("\r\n");
        let mut bytes = bytes.into_bytes();
        if !is_head {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

/// Fields of responses. The browser shows the realm when it asks for the password.
pub(crate) const CLOSE: &str = "Connection: close\r\n";
const CHALLENGE: &str = "Proxy-Authenticate: Basic realm=\"spectral\"\r\n";
const CHALLENGE_AND_CLOSE: &str = "Proxy-Authenticate: Basic realm=\"spectral\"\r\nConnection: close\r\n";
