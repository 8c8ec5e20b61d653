//! The proxy's own web page: a table from paths to files, rendered before the proxy listens.

use super::response::{CLOSE, Response};
use std::borrow::Cow;

/// The files that the proxy serves at its own address.
#[derive(Debug, Default)]
pub(crate) struct OwnPage(Vec<OwnFile>);

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnFile {
    /// The path in its URL, `/cert/pem`.
    pub(crate) path: &'static str,
    pub(crate) media_type: &'static str,
    /// The name under which a browser saves it; `None` to display it.
    pub(crate) file_name: Option<&'static str>,
    pub(crate) body: Vec<u8>,
}

impl OwnPage {
    /// Serves `files`.
    pub(crate) fn new(files: Vec<OwnFile>) -> Self {
        Self(files)
    }

    /// The response to a request. Only GET and HEAD are allowed; query and fragment are ignored.
    pub(crate) fn response(&self, method: &str, target: &[u8]) -> Response<'_> {
        if !matches!(method, "GET" | "HEAD") {
            return Response::text("405 Method Not Allowed", "only GET and HEAD are allowed here");
        }
        let path = target.split(|&b| matches!(b, b'?' | b'#')).next().unwrap_or_default();
        match self.0.iter().find(|file| file.path.as_bytes() == path) {
            Some(file) => Response {
                status: "200 OK",
                media_type: file.media_type,
                file_name: file.file_name,
                fields: CLOSE,
                body: Cow::Borrowed(&file.body),
            },
            None => Response::text("404 Not Found", "not found: the page of this proxy is at /"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(method: &str, target: &str) -> String {
        let file = OwnFile {
            path: "/cert/cer",
            media_type: "application/x-x509-ca-cert",
            file_name: Some("ca.cer"),
            body: b"certificate".into(),
        };
        let page = OwnPage::new(vec![file]);
        String::from_utf8(page.response(method, target.as_bytes()).to_bytes(method == "HEAD")).unwrap()
    }

    #[test]
    fn serves_files_by_path() {
        let response = text("GET", "/cert/cer?x");
        assert!(response.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/x-x509-ca-cert\r\n"), "{response}");
        assert!(response.contains("filename=\"ca.cer\"") && response.ends_with("\r\n\r\ncertificate"), "{response}");
        let head = text("HEAD", "/cert/cer");
        assert!(head.contains("Content-Length: 11\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    }

    #[test]
    fn rejects_other_paths_and_methods() {
        assert!(text("POST", "/cert/cer").starts_with("HTTP/1.1 405 "));
        assert!(text("GET", "/x").starts_with("HTTP/1.1 404 "));
    }
}
