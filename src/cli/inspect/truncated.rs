//! Detection of truncated exchanges. A bundle has no field for it, so the body sizes are compared with the headers.

use serde::Serialize;
use spectral_capture::reader::{Header, Trace};

/// The truncated part of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Truncated {
    Request,
    Response,
}

/// Returns the truncated part of an exchange. A truncated body without a Content-Length, or with a coding, is not
/// detected.
pub(super) fn truncated(trace: &Trace) -> Option<Truncated> {
    let (request, response) = (&trace.request, &trace.response);
    if response.status == 0 {
        return Some(Truncated::Response);
    }
    // RFC 9110 section 8.6: these responses may have a Content-Length but no body.
    let has_body =
        request.method != "HEAD" && request.method != "CONNECT" && !matches!(response.status, 101 | 204 | 304);
    if has_body && is_short(&response.headers, response.body_size) {
        return Some(Truncated::Response);
    }
    // A response may precede the end of the request; the client then does not send the rest.
    is_short(&request.headers, request.body_size).then_some(Truncated::Request)
}

/// Returns true if a body has fewer bytes than its Content-Length.
fn is_short(headers: &[Header], size: u64) -> bool {
    let value = |name: &str| headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value.as_str());
    let is_coded = value("content-encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"))
        || value("transfer-encoding").is_some();
    let content_length = value("content-length").and_then(|length| length.parse::<u64>().ok());
    !is_coded && content_length.is_some_and(|length| size < length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(json: &str) -> Trace {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_body_shorter_than_its_content_length_is_truncated() {
        let length = r#"{"name":"content-LENGTH","value":"5"}"#;
        for (method, status, headers, size, expected) in [
            ("GET", 200, length.to_owned(), 4, Some(Truncated::Response)),
            ("GET", 200, length.to_owned(), 5, None),
            ("GET", 0, String::new(), 0, Some(Truncated::Response)),
            ("HEAD", 200, length.to_owned(), 0, None),
            ("GET", 304, length.to_owned(), 0, None),
            ("GET", 200, String::new(), 0, None),
            ("GET", 200, format!(r#"{length},{{"name":"Content-Encoding","value":"gzip"}}"#), 4, None),
            (
                "GET",
                200,
                format!(r#"{length},{{"name":"Content-Encoding","value":"identity"}}"#),
                4,
                Some(Truncated::Response),
            ),
        ] {
            let response = format!(r#"{{"status":{status},"headers":[{headers}],"body_size":{size}}}"#);
            let json = format!(r#"{{"request":{{"method":"{method}"}},"response":{response}}}"#);
            assert_eq!(truncated(&trace(&json)), expected, "{json}");
        }
        let request = format!(r#"{{"request":{{"method":"POST","headers":[{length}]}},"response":{{"status":413}}}}"#);
        assert_eq!(truncated(&trace(&request)), Some(Truncated::Request));
    }
}
