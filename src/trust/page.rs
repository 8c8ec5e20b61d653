//! The web page of a running proxy: how to trust its CA, and the certificate in each format. Rendered once, before the
//! proxy listens.

use super::guides::TRUST_GUIDES;
use super::markup::escape_markup;
use super::p12::P12_PASSWORD;
use crate::cert::CaCertificate;
use std::net::SocketAddr;

/// A file of the page.
#[derive(Debug)]
pub(crate) struct PageFile {
    /// The path in its URL.
    pub(crate) path: &'static str,
    pub(crate) media_type: &'static str,
    /// The name under which a browser saves it; `None` to display it.
    pub(crate) file_name: Option<&'static str>,
    pub(crate) body: Vec<u8>,
}

/// Returns the page of a capture by the proxy at `proxy`, and the files that it links to.
pub(crate) fn capture_page(ca: &CaCertificate, proxy: SocketAddr) -> Vec<PageFile> {
    vec![
        PageFile { path: "/", media_type: HTML, file_name: None, body: page(ca, proxy).into() },
        PageFile {
            path: "/cert/pem",
            media_type: "application/x-pem-file",
            file_name: Some("mitmproxy-ca-cert.pem"),
            body: ca.pem().into(),
        },
        // Windows and Android recognize the same PEM by this name.
        PageFile {
            path: "/cert/cer",
            media_type: "application/x-x509-ca-cert",
            file_name: Some("mitmproxy-ca-cert.cer"),
            body: ca.pem().into(),
        },
        PageFile {
            path: "/cert/p12",
            media_type: "application/x-pkcs12",
            file_name: Some("mitmproxy-ca-cert.p12"),
            body: ca.p12(),
        },
        // Safari installs it because of its type. An attachment would only be saved.
        PageFile {
            path: "/cert/mobileconfig",
            media_type: "application/x-apple-aspen-config",
            file_name: None,
            body: ca.mobileconfig().into(),
        },
    ]
}

/// Returns the page of a discovery, which has no CA.
pub(crate) fn discovery_page() -> Vec<PageFile> {
    vec![PageFile { path: "/", media_type: HTML, file_name: None, body: DISCOVERY_PAGE.into() }]
}

/// Returns the HTML page with the values of this proxy.
fn page(ca: &CaCertificate, proxy: SocketAddr) -> String {
    let fingerprint = ca.details().map(|details| details.sha256).unwrap_or_default();
    let mut steps = String::new();
    for guide in TRUST_GUIDES {
        steps.push_str(&format!("<details><summary>{}</summary><ol>\n", escape_markup(guide.title)));
        for step in guide.steps("mitmproxy-ca-cert.pem", proxy) {
            // Code is between backquotes: every second part is code.
            let parts = step.split('`').enumerate().map(|(n, part)| match n % 2 {
                0 => escape_markup(part),
                _ => format!("<code>{}</code>", escape_markup(part)),
            });
            steps.push_str(&format!("<li>{}</li>\n", parts.collect::<String>()));
        }
        steps.push_str("</ol></details>\n");
    }
    PAGE.replace("{name}", &escape_markup(ca.name()))
        .replace("{sha256}", &fingerprint.replace(':', ":<wbr>"))
        .replace("{password}", P12_PASSWORD)
        .replace("{steps}", &steps)
}

const HTML: &str = "text/html; charset=utf-8";
const PAGE: &str = include_str!("page.html");
const DISCOVERY_PAGE: &str = "<!doctype html><html lang=en><meta charset=utf-8>\
    <meta name=viewport content='width=device-width'><title>Spectral</title>\
    <h1>Spectral is listening</h1><p>This proxy only lists the domains that an app connects to. It does not decrypt TLS, so \
    there is no certificate to trust.\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_the_certificate_in_each_format() {
        let ca = CaCertificate::for_tests();
        let files = capture_page(&ca, ([127, 0, 0, 1], 4711).into());
        let file = |path: &str| files.iter().find(|file| file.path == path).unwrap();
        let body = |path: &str| &file(path).body;
        let page = String::from_utf8(body("/").clone()).unwrap();
        for format in ["pem", "cer", "p12", "mobileconfig"] {
            assert!(page.contains(&format!("href=\"/cert/{format}\"")), "{page}");
            assert!(!body(&format!("/cert/{format}")).is_empty());
        }
        for placeholder in ["{name}", "{sha256}", "{password}", "{steps}", "{ca}", "{proxy}", "{host}", "{port}"] {
            assert!(!page.contains(placeholder), "{placeholder} in {page}");
        }
        assert!(page.contains("<code>127.0.0.1</code>") && page.contains("4711"), "{page}");
        assert!(page.contains("&lt;trust-anchors&gt;") && !page.contains("<trust-anchors>"), "steps are escaped");
        assert_eq!(body("/cert/pem"), ca.pem().as_bytes());
        assert_eq!(body("/cert/cer"), ca.pem().as_bytes());
        assert_eq!(body("/cert/p12").len(), ca.p12().len());
        assert!(String::from_utf8_lossy(body("/cert/mobileconfig")).contains("com.apple.security.root"));
        for format in ["pem", "cer", "p12"] {
            let name = format!("mitmproxy-ca-cert.{format}");
            assert_eq!(file(&format!("/cert/{format}")).file_name, Some(name.as_str()));
        }
    }

    #[test]
    fn a_discovery_offers_no_certificate() {
        assert_eq!(discovery_page().iter().map(|file| file.path).collect::<Vec<_>>(), ["/"]);
    }
}
