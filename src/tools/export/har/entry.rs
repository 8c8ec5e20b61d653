//! An exchange as an entry of a HAR document.

use super::cookie::Cookie;
use super::timings::HarTimings;
use crate::bundle::iso8601;
use crate::bundle::reader::{Header, Request, Trace};
use crate::tools::export::http::{all, cookies, first, is_coded, media_type, parameters, query};
use crate::tools::export::stored_body::{BodyString, StoredBody};
use serde::Serialize;
use std::time::Duration;

/// The program that writes the document.
pub(super) const CREATOR: Creator = Creator { name: "spectral", version: env!("CARGO_PKG_VERSION") };

#[derive(Serialize)]
pub(super) struct Creator {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HarEntry<'t> {
    #[serde(rename = "startedDateTime")]
    started: String,
    time: f64,
    request: HarRequest<'t>,
    response: HarResponse<'t>,
    cache: Cache,
    timings: HarTimings,
    comment: &'t str,
    #[serde(rename = "_resourceType", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
}

impl<'t> HarEntry<'t> {
    /// Returns the entry of `trace`, with its request body and response body.
    pub(super) fn new(trace: &'t Trace, [sent, received]: [&'t StoredBody<'t>; 2], opens_websocket: bool) -> Self {
        let timings = HarTimings::new(&trace.timing, trace.request.url.starts_with("https:"));
        Self {
            started: iso8601::millis(Duration::from_millis(trace.timestamp)),
            time: timings.sum(),
            request: HarRequest::new(trace, sent),
            response: HarResponse::new(trace, received),
            cache: Cache {},
            timings,
            comment: &trace.id,
            kind: opens_websocket.then_some("websocket"),
        }
    }
}

/// Always empty: a proxy does not see cache hits.
#[derive(Serialize)]
struct Cache {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HarRequest<'t> {
    method: &'t str,
    url: &'t str,
    http_version: &'static str,
    cookies: Vec<Cookie<'t>>,
    headers: &'t [Header],
    query_string: Vec<Parameter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    post_data: Option<PostData<'t>>,
    headers_size: i64,
    body_size: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

impl<'t> HarRequest<'t> {
    pub(super) fn new(trace: &'t Trace, body: &'t StoredBody<'t>) -> Self {
        let request = &trace.request;
        let cookie = |(name, value)| Cookie::new(name, value);
        let parameter = |(name, value)| Parameter { name, value };
        Self {
            method: &request.method,
            url: &request.url,
            http_version: UNKNOWN,
            cookies: all(&request.headers, "cookie").flat_map(cookies).map(cookie).collect(),
            headers: &request.headers,
            query_string: parameters(query(&request.url)).map(parameter).collect(),
            post_data: (!body.is_empty()).then(|| PostData::new(request, body)),
            headers_size: -1,
            body_size: body_size(&request.headers, body),
            comment: cut_off(trace, "request"),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HarResponse<'t> {
    status: u16,
    status_text: &'t str,
    http_version: &'static str,
    cookies: Vec<Cookie<'t>>,
    headers: &'t [Header],
    content: HarContent<'t>,
    #[serde(rename = "redirectURL")]
    redirect: &'t str,
    headers_size: i64,
    body_size: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    /// The reason why there is no response, or none that is complete, as Chrome writes it.
    #[serde(rename = "_error", skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<'t> HarResponse<'t> {
    pub(super) fn new(trace: &'t Trace, body: &'t StoredBody<'t>) -> Self {
        let response = &trace.response;
        let (text, encoding) = match body.is_text() && response.body_encoding.is_none() {
            true => (body.as_text(), None),
            false => (body.as_base64(), Some("base64")),
        };
        let content = HarContent {
            size: body.len(),
            mime_type: mime_type(&response.headers),
            text: (!body.is_empty()).then_some(text),
            encoding: encoding.filter(|_| !body.is_empty()),
            comment: response.body_encoding.as_deref().map(still_coded),
        };
        Self {
            status: response.status,
            status_text: &response.status_text,
            http_version: UNKNOWN,
            cookies: all(&response.headers, "set-cookie").filter_map(Cookie::parse).collect(),
            headers: &response.headers,
            content,
            redirect: first(&response.headers, "location").unwrap_or_default(),
            headers_size: -1,
            body_size: body_size(&response.headers, body),
            comment: cut_off(trace, "response"),
            error: match response.status {
                0 => Some(response.status_text.clone()),
                _ => cut_off(trace, "response"),
            },
        }
    }
}

/// Returns the words for the cause if this message of the exchange, "request" or "response", was cut off.
fn cut_off(trace: &Trace, message: &str) -> Option<String> {
    let side = trace.cut_off.as_ref()?.side.as_str();
    let is_cut_off = side == message || side == "both";
    trace.describe_cut_off().filter(|_| is_cut_off).map(|part| format!("cut off: {part}"))
}

/// Returns the size of the body on the wire, -1 if unknown: bundles store bodies decoded.
fn body_size(headers: &[Header], body: &StoredBody<'_>) -> i64 {
    match is_coded(headers) {
        true if body.is_empty() => 0,
        true => first(headers, "content-length").and_then(|length| length.parse().ok()).unwrap_or(-1),
        false => i64::try_from(body.len()).unwrap_or(-1),
    }
}

fn mime_type(headers: &[Header]) -> &str {
    first(headers, "content-type").unwrap_or("x-unknown")
}

pub(super) fn still_coded(coding: &str) -> String {
    format!("not decoded: {coding}")
}

#[derive(Serialize)]
struct Parameter {
    name: String,
    value: String,
}

/// Has `text` beside `params`, as browsers write it: `params` alone would not preserve the bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PostData<'t> {
    mime_type: &'t str,
    params: Vec<Parameter>,
    text: BodyString<'t, 't>,
    /// HAR 1.2 has no encoding for binary request bodies.
    #[serde(rename = "_encoding", skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

impl<'t> PostData<'t> {
    fn new(request: &'t Request, body: &'t StoredBody<'t>) -> Self {
        let is_text = body.is_text() && request.body_encoding.is_none();
        let is_form = is_text && media_type(&request.headers) == "application/x-www-form-urlencoded";
        // A large form has its text alone.
        let form = body.text_in_memory().filter(|_| is_form).unwrap_or_default();
        Self {
            mime_type: mime_type(&request.headers),
            params: parameters(form).map(|(name, value)| Parameter { name, value }).collect(),
            text: if is_text { body.as_text() } else { body.as_base64() },
            encoding: (!is_text).then_some("base64"),
            comment: request.body_encoding.as_deref().map(still_coded),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HarContent<'t> {
    size: u64,
    mime_type: &'t str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<BodyString<'t, 't>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

/// The HTTP version, which a bundle does not have. Host or a reason phrase would distinguish HTTP/1 from HTTP/2, but
/// not HTTP/1.0 from HTTP/1.1.
const UNKNOWN: &str = "unknown";
