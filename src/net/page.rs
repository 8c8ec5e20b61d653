//! What the proxy says in its own name: its page, the CA to download, and why a request could not be served.
//!
//! Everything here is read-only and the same for everyone, so a web page that reaches the port gains nothing by it.

use super::dial::Undialled;
use super::leg::Leg;
use super::relay;
use super::stop::Stop;
use crate::cert::CaCertificate;
use crate::trust::guides::TRUST_GUIDES;
use crate::trust::p12::P12_PASSWORD;
use crate::wire::authority::Authority;
use crate::wire::proxy_request::Refusal;
use std::net::SocketAddr;

/// An answer of our own; the connection ends after it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    status: &'static str,
    media_type: &'static str,
    /// What a browser saves it as.
    file_name: Option<&'static str>,
    body: Vec<u8>,
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

    /// The page of a proxy at `proxy`, or what it links to; without a CA, nothing is to be trusted.
    pub(crate) fn own(method: &str, target: &[u8], ca: Option<&CaCertificate>, proxy: SocketAddr) -> Self {
        if !matches!(method, "GET" | "HEAD") {
            return Self::sentence("405 Method Not Allowed", "There is nothing to change here.");
        }
        let path = target.split(|&b| matches!(b, b'?' | b'#')).next().unwrap_or_default();
        match (path, ca) {
            (b"/", Some(ca)) => Self::page(&page(ca, proxy)),
            (b"/", None) => Self::page(DISCOVER_PAGE),
            (b"/cert/pem", Some(ca)) => Self::file("application/x-pem-file", Some("mitmproxy-ca-cert.pem"), ca.pem()),
            // Windows and Android know the same PEM by this name.
            (b"/cert/cer", Some(ca)) => {
                Self::file("application/x-x509-ca-cert", Some("mitmproxy-ca-cert.cer"), ca.pem())
            }
            (b"/cert/p12", Some(ca)) => Self::file("application/x-pkcs12", Some("mitmproxy-ca-cert.p12"), ca.p12()),
            // Safari installs it by its type, and only saves what is an attachment.
            (b"/cert/mobileconfig", Some(ca)) => {
                Self::file("application/x-apple-aspen-config", None, ca.mobileconfig())
            }
            _ => Self::sentence("404 Not Found", "This is the capture proxy itself; its page is at /."),
        }
    }

    fn sentence(status: &'static str, sentence: &str) -> Self {
        Self {
            status,
            media_type: "text/plain; charset=utf-8",
            file_name: None,
            body: format!("spectral: {sentence}\n").into(),
        }
    }

    fn page(html: &str) -> Self {
        Self::file("text/html; charset=utf-8", None, html)
    }

    fn file(media_type: &'static str, file_name: Option<&'static str>, body: impl Into<Vec<u8>>) -> Self {
        Self { status: "200 OK", media_type, file_name, body: body.into() }
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
        let mut bytes = bytes.into_bytes();
        if !is_head {
            bytes.extend_from_slice(&self.body);
        }
        bytes
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

/// The page, with what is known of this proxy.
fn page(ca: &CaCertificate, proxy: SocketAddr) -> String {
    let fingerprint = ca.details().map(|about| about.sha256).unwrap_or_default();
    let mut steps = String::new();
    for platform in TRUST_GUIDES {
        steps.push_str(&format!("<details><summary>{}</summary><ol>\n", html(platform.title)));
        for step in platform.steps("mitmproxy-ca-cert.pem", proxy) {
            // Code stands in backquotes, so every second part is code.
            let parts = step.split('`').enumerate().map(|(n, part)| match n % 2 {
                0 => html(part),
                _ => format!("<code>{}</code>", html(part)),
            });
            steps.push_str(&format!("<li>{}</li>\n", parts.collect::<String>()));
        }
        steps.push_str("</ol></details>\n");
    }
    PAGE.replace("{name}", &html(ca.name()))
        .replace("{sha256}", &fingerprint.replace(':', ":<wbr>"))
        .replace("{password}", P12_PASSWORD)
        .replace("{steps}", &steps)
}

fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const PAGE: &str = include_str!("page.html");
const DISCOVER_PAGE: &str = "<!doctype html><html lang=en><meta charset=utf-8>\
    <meta name=viewport content='width=device-width'><title>Spectral</title>\
    <h1>Spectral is listening</h1><p>This proxy only notes which domains an app talks to. It opens no TLS, so there is no \
    certificate to trust.\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn text(method: &str, target: &str, ca: Option<&CaCertificate>) -> String {
        let answer = Answer::own(method, target.as_bytes(), ca, ([127, 0, 0, 1], 4711).into());
        String::from_utf8_lossy(&answer.to_bytes(method == "HEAD")).into_owned()
    }

    #[test]
    fn offers_the_certificate_and_changes_nothing() {
        let ca = CaCertificate::for_tests();
        let page = text("GET", "/", Some(&ca));
        for format in ["pem", "cer", "p12", "mobileconfig"] {
            assert!(page.contains(&format!("href=\"/cert/{format}\"")), "{page}");
            let file = text("GET", &format!("/cert/{format}"), Some(&ca));
            assert!(file.starts_with("HTTP/1.1 200 OK\r\n"), "{file}");
        }
        for blank in ["{name}", "{sha256}", "{password}", "{steps}", "{ca}", "{proxy}", "{host}", "{port}"] {
            assert!(!page.contains(blank), "{blank} in {page}");
        }
        assert!(page.contains("<code>127.0.0.1</code>") && page.contains("4711"), "{page}");
        assert!(page.contains("&lt;trust-anchors&gt;") && !page.contains("<trust-anchors>"), "steps are escaped");
        assert!(text("GET", "/cert/mobileconfig", Some(&ca)).contains("com.apple.security.root"));
        assert!(text("GET", "/cert/p12", Some(&ca)).contains(&format!("Content-Length: {}\r\n", ca.p12().len())));
        assert!(text("GET", "/cert/pem", Some(&ca)).ends_with(&format!("\r\n\r\n{}", ca.pem())));
        assert!(text("GET", "/cert/cer?x", Some(&ca)).contains("filename=\"mitmproxy-ca-cert.cer\""));
        let head = text("HEAD", "/cert/pem", Some(&ca));
        assert!(
            head.contains(&format!("Content-Length: {}\r\n", ca.pem().len())) && head.ends_with("\r\n\r\n"),
            "{head}"
        );
        assert!(text("POST", "/", Some(&ca)).starts_with("HTTP/1.1 405 "));
        assert!(text("GET", "/cert/pem", None).starts_with("HTTP/1.1 404 "));
        assert!(text("GET", "/x", Some(&ca)).starts_with("HTTP/1.1 404 "));
    }
}
