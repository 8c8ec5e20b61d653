//! What the proxy says in its own name: its page, the CA to download, and why a request could not be served.
//!
//! Everything here is read-only and the same for everyone, so a web page that reaches the port gains nothing by it.

use super::dial::Undialled;
use super::leg::Leg;
use super::relay;
use super::stop::Stop;
use crate::wire::authority::Authority;
use crate::wire::proxy_request::Refusal;

/// An answer of our own; the connection ends after it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    status: &'static str,
    media_type: &'static str,
    /// What a browser saves it as.
    file_name: Option<&'static str>,
    body: String,
}

impl Answer {
    /// The request cannot be served as it is.
    pub(crate) fn bad_request(why: &str) -> Self {
        Self::sentence("400 Bad Request", why)
    }

    /// The request's head is past the limit (RFC 6585 section 5).
    pub(crate) fn too_long(why: &Refusal) -> Self {
        Self::sentence("431 Request Header Fields Too Large", &why.to_string())
    }

    /// The request's head did not come in time (RFC 9110 section 15.5.9).
    pub(crate) fn too_slow() -> Self {
        Self::sentence("408 Request Timeout", "The request's head took too long.")
    }

    /// There is no connection to the origin.
    pub(crate) fn unreachable(authority: &Authority, why: &Undialled) -> Self {
        Self::sentence("502 Bad Gateway", &format!("Cannot reach {authority}: {why}."))
    }

    /// The client asks for a tunnel to the proxy itself.
    pub(crate) fn no_tunnel_to_itself() -> Self {
        Self {
            status: "403 Forbidden",
            ..Self::sentence(
                "",
                "This is the capture proxy itself: there is nothing to tunnel to. Open http://mitm.it/ through it for its certificate.",
            )
        }
    }

    /// A request that was sent to this port as if it were a web server's.
    pub(crate) fn not_for_a_proxy() -> Self {
        Self::bad_request(
            "This is a capture proxy, not a web server: set HTTP_PROXY and HTTPS_PROXY to it. \
             Traffic that is redirected here needs --transparent.",
        )
    }

    /// A ClientHello that was sent to this port as if it were a web server's.
    pub(crate) fn not_tls() -> Self {
        Self::bad_request(
            "This proxy is spoken to in the clear: write http://, not https://, in HTTPS_PROXY. \
             Traffic that is redirected here needs --transparent.",
        )
    }

    /// The page, or what it links to.
    pub(crate) fn own(method: &str, target: &[u8], ca_pem: Option<&str>) -> Self {
        if !matches!(method, "GET" | "HEAD") {
            return Self::sentence("405 Method Not Allowed", "There is nothing to change here.");
        }
        let path = target.split(|&b| matches!(b, b'?' | b'#')).next().unwrap_or_default();
        match (path, ca_pem) {
            (b"/", Some(_)) => Self::page(PAGE),
            (b"/", None) => Self::page(DISCOVER_PAGE),
            (b"/cert/pem", Some(pem)) => Self::certificate("application/x-pem-file", "mitmproxy-ca-cert.pem", pem),
            // Windows and Android know the same PEM by this name.
            (b"/cert/cer", Some(pem)) => Self::certificate("application/x-x509-ca-cert", "mitmproxy-ca-cert.cer", pem),
            _ => Self::sentence("404 Not Found", "This is the capture proxy itself; its page is at /."),
        }
    }

    fn sentence(status: &'static str, sentence: &str) -> Self {
        Self {
            status,
            media_type: "text/plain; charset=utf-8",
            file_name: None,
            body: format!("spectral: {sentence}\n"),
        }
    }

    fn page(html: &str) -> Self {
        Self { status: "200 OK", media_type: "text/html; charset=utf-8", file_name: None, body: html.to_owned() }
    }

    fn certificate(media_type: &'static str, file_name: &'static str, pem: &str) -> Self {
        Self { status: "200 OK", media_type, file_name: Some(file_name), body: pem.to_owned() }
    }

    /// The bytes to send; to HEAD, without the body (RFC 9110 section 9.3.2).
    fn to_bytes(&self, is_head: bool) -> Vec<u8> {
        let mut bytes = format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\n",
            self.status,
            self.media_type,
            self.body.len()
        );
        if let Some(name) = self.file_name {
            bytes.push_str(&format!("Content-Disposition: attachment; filename=\"{name}\"\r\n"));
        }
        bytes.push_str("\r\n");
        if !is_head {
            bytes.push_str(&self.body);
        }
        bytes.into_bytes()
    }
}

/// Sends `answer` and ends the connection.
pub(crate) fn answer(client: &mut Leg, answer: &Answer, stop: &Stop) {
    send(client, &answer.to_bytes(false), stop);
}

/// Sends `answer`, to a HEAD request without its body, and ends the connection.
pub(crate) fn answer_to(client: &mut Leg, method: &str, answer: &Answer, stop: &Stop) {
    send(client, &answer.to_bytes(method == "HEAD"), stop);
}

fn send(client: &mut Leg, bytes: &[u8], stop: &Stop) {
    client.send(bytes);
    relay::part(client, stop);
}

const PAGE: &str = include_str!("page.html");
const DISCOVER_PAGE: &str = "<!doctype html><html lang=en><meta charset=utf-8>\
    <meta name=viewport content='width=device-width'><title>Spectral</title>\
    <h1>Spectral is listening</h1><p>This proxy only notes which domains an app talks to. It opens no TLS, so there is no \
    certificate to trust.\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn text(method: &str, target: &str, pem: Option<&str>) -> String {
        String::from_utf8(Answer::own(method, target.as_bytes(), pem).to_bytes(method == "HEAD")).unwrap()
    }

    #[test]
    fn offers_the_certificate_and_changes_nothing() {
        assert!(text("GET", "/", Some("PEM")).contains("href=\"/cert/pem\""));
        assert!(text("GET", "/cert/pem", Some("PEM")).ends_with("\r\n\r\nPEM"));
        assert!(text("GET", "/cert/cer?x", Some("PEM")).contains("filename=\"mitmproxy-ca-cert.cer\""));
        assert!(text("HEAD", "/cert/pem", Some("PEM")).ends_with("Length: 3\r\nConnection: close\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nContent-Disposition: attachment; filename=\"mitmproxy-ca-cert.pem\"\r\n\r\n"));
        assert!(text("POST", "/", Some("PEM")).starts_with("HTTP/1.1 405 "));
        assert!(text("GET", "/cert/pem", None).starts_with("HTTP/1.1 404 "));
        assert!(text("GET", "/x", Some("PEM")).starts_with("HTTP/1.1 404 "));
    }
}
