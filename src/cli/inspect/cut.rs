//! Whether an exchange was cut off, as far as a bundle lets one know.

use serde::Serialize;
use spectral_capture::reader::{Header, Trace};

/// What of an exchange is not all there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Cut {
    Request,
    Response,
}

/// Says what was cut off. A body whose length was not announced, or on which a coding was, may have been without a sign.
pub(super) fn cut_off(trace: &Trace) -> Option<Cut> {
    let (request, response) = (&trace.request, &trace.response);
    if response.status == 0 {
        return Some(Cut::Response);
    }
    // RFC 9110 section 8.6: these announce a length that they do not have.
    let has_body =
        request.method != "HEAD" && request.method != "CONNECT" && !matches!(response.status, 101 | 204 | 304);
    if has_body && is_short(&response.headers, response.body_size) {
        return Some(Cut::Response);
    }
    // An answer may come before the request's end, and then the rest is not sent.
    is_short(&request.headers, request.body_size).then_some(Cut::Request)
}

fn is_short(headers: &[Header], size: u64) -> bool {
    let value = |name: &str| headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value.as_str());
    let is_coded = value("content-encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"))
        || value("transfer-encoding").is_some();
    let announced = value("content-length").and_then(|length| length.parse::<u64>().ok());
    !is_coded && announced.is_some_and(|length| size < length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(json: &str) -> Trace {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_is_shorter_than_announced_was_cut_off() {
        let length = r#"{"name":"content-LENGTH","value":"5"}"#;
        for (method, status, headers, size, expected) in [
            ("GET", 200, length.to_owned(), 4, Some(Cut::Response)),
            ("GET", 200, length.to_owned(), 5, None),
            ("GET", 0, String::new(), 0, Some(Cut::Response)),
            ("HEAD", 200, length.to_owned(), 0, None),
            ("GET", 304, length.to_owned(), 0, None),
            ("GET", 200, String::new(), 0, None),
            ("GET", 200, format!(r#"{length},{{"name":"Content-Encoding","value":"gzip"}}"#), 4, None),
            (
                "GET",
                200,
                format!(r#"{length},{{"name":"Content-Encoding","value":"identity"}}"#),
                4,
                Some(Cut::Response),
            ),
        ] {
            let response = format!(r#"{{"status":{status},"headers":[{headers}],"body_size":{size}}}"#);
            let json = format!(r#"{{"request":{{"method":"{method}"}},"response":{response}}}"#);
            assert_eq!(cut_off(&trace(&json)), expected, "{json}");
        }
        let request = format!(r#"{{"request":{{"method":"POST","headers":[{length}]}},"response":{{"status":413}}}}"#);
        assert_eq!(cut_off(&trace(&request)), Some(Cut::Request));
    }
}
