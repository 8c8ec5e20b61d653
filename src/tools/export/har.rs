//! Exports exchanges as HTTP Archive 1.2 (<http://www.softwareishard.com/blog/har-12-spec/>), with WebSocket messages
//! as Chrome writes them.
//!
//! Values that a bundle does not have are written as unknown (-1, "unknown", ""), never guessed: the protocol version,
//! the size of header fields, DNS timing on a reused connection. The `comment` of an entry is its id in the bundle. A request
//! or response that was cut off has a `comment`; a response that was, or is missing, also has `_error`, as Chrome writes it.

use super::http::{all, cookies, first, is_coded, media_type, parameters, query};
use super::{Error, Options, for_each_selected};
use crate::bundle::iso8601;
use crate::bundle::reader::{self, Bundle, Header, Message, Timing, Trace};
use crate::text::{Base64, as_text, write_json};
use crate::tools::filter::Selected;
use cookie::Cookie;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::Write;
use std::time::Duration;

mod cookie;

/// Writes the exchanges of `bundle` that `options` select as one document, entry by entry.
///
/// # Errors
/// Returns [`Error::Read`] if the bundle cannot be read, [`Error::Write`] if `out` cannot be written.
pub fn write(bundle: &Bundle, options: &Options, out: &mut dyn Write) -> Result<(), Error> {
    let creator = Creator { name: "spectral", version: env!("CARGO_PKG_VERSION") };
    write!(out, "{{\"log\":{{\"version\":\"1.2\",\"creator\":{},", json(&creator)?)?;
    if let Some(browser) = &bundle.manifest().browser {
        write!(out, "\"browser\":{},", json(browser)?)?;
    }
    write!(out, "\"pages\":[],\"entries\":[")?;
    let mut selected = Selected::new(&options.filter);
    selected.add_websockets(bundle)?;
    let (opened_by, without_handshake) = websockets(bundle)?;
    let mut separator = "\n";
    for_each_selected(bundle, &selected, &mut |trace| {
        write!(out, "{separator}")?;
        separator = ",\n";
        write_entry(bundle, trace, opened_by.get(&trace.id).map(String::as_str), out)
    })?;
    for id in without_handshake {
        if selected.has_websocket(&id) {
            let websocket = bundle.websocket(&id)?;
            let mut handshake: Trace = Trace::default();
            handshake.id.clone_from(&id);
            handshake.timestamp = websocket.timestamp;
            handshake.request.method = "GET".into();
            handshake.request.url = websocket.url;
            handshake.response.status = 101;
            write!(out, "{separator}")?;
            separator = ",\n";
            write_entry(bundle, &handshake, Some(&id), out)?;
        }
    }
    Ok(writeln!(out, "\n]}}}}")?)
}

/// Returns the ids of WebSockets by the id of their handshake, and the ids of those whose handshake is not in the bundle.
fn websockets(bundle: &Bundle) -> Result<(HashMap<String, String>, Vec<String>), Error> {
    let (mut opened_by, mut without) = (HashMap::new(), Vec::new());
    for id in bundle.websockets().iter() {
        let handshake =
            bundle.websocket(id)?.handshake_trace_ref.filter(|handshake| bundle.traces().contains(handshake));
        match handshake.map(|handshake| opened_by.entry(handshake)) {
            Some(Entry::Vacant(place)) => drop(place.insert(id.to_owned())),
            // A handshake opens one WebSocket. The file is wrong, but has this one.
            Some(Entry::Occupied(_)) | None => without.push(id.to_owned()),
        }
    }
    Ok((opened_by, without))
}

fn write_entry(bundle: &Bundle, trace: &Trace, websocket: Option<&str>, out: &mut dyn Write) -> Result<(), Error> {
    let (request_body, response_body) = (bundle.request_body(trace)?, bundle.response_body(trace)?);
    let timings = HarTimings::new(&trace.timing, trace.request.url.starts_with("https:"));
    let entry = HarEntry {
        started: iso8601::millis(Duration::from_millis(trace.timestamp)),
        time: timings.sum(),
        request: HarRequest::new(trace, &request_body),
        response: HarResponse::new(trace, &response_body),
        cache: Cache {},
        timings,
        comment: &trace.id,
        kind: websocket.map(|_| "websocket"),
    };
    let Some(websocket) = websocket else { return Ok(write_json(&entry, out)?) };
    // Messages are streamed before the closing brace of the object: there may be any number of them.
    let json = json(&entry)?;
    write!(out, "{},\"_webSocketMessages\":[", json.strip_suffix('}').unwrap_or(&json))?;
    let mut separator = "\n";
    for id in bundle.messages(websocket).iter() {
        let message = bundle.message(id)?;
        let payload = bundle.payload(&message)?;
        write!(out, "{separator}")?;
        write_json(&WebSocketMessage::new(&message, &payload), out)?;
        separator = ",\n";
    }
    Ok(write!(out, "]}}")?)
}

/// Returns the JSON of `value`.
fn json(value: &impl Serialize) -> Result<String, Error> {
    let mut json = Vec::new();
    write_json(value, &mut json)?;
    // JSON is UTF-8.
    Ok(String::from_utf8_lossy(&json).into_owned())
}

#[derive(Serialize)]
struct Creator {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HarEntry<'t> {
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

/// Always empty: a proxy does not see cache hits.
#[derive(Serialize)]
struct Cache {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HarRequest<'t> {
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
    fn new(trace: &'t Trace, body: &'t [u8]) -> Self {
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
struct HarResponse<'t> {
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
    fn new(trace: &'t Trace, body: &'t [u8]) -> Self {
        let response = &trace.response;
        let (text, encoding) = match as_text(body).filter(|_| response.body_encoding.is_none()) {
            Some(text) => (Text::Plain(text), None),
            None => (Text::Binary(Base64(body)), Some("base64")),
        };
        let content = HarContent {
            size: body.len() as u64,
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
fn body_size(headers: &[Header], body: &[u8]) -> i64 {
    match is_coded(headers) {
        true if body.is_empty() => 0,
        true => first(headers, "content-length").and_then(|length| length.parse().ok()).unwrap_or(-1),
        false => i64::try_from(body.len()).unwrap_or(-1),
    }
}

fn mime_type(headers: &[Header]) -> &str {
    first(headers, "content-type").unwrap_or("x-unknown")
}

fn still_coded(coding: &str) -> String {
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
    text: Text<'t>,
    /// HAR 1.2 has no encoding for binary request bodies.
    #[serde(rename = "_encoding", skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

impl<'t> PostData<'t> {
    fn new(request: &'t reader::Request, body: &'t [u8]) -> Self {
        let text = as_text(body).filter(|_| request.body_encoding.is_none());
        let is_form = media_type(&request.headers) == "application/x-www-form-urlencoded";
        let form = text.filter(|_| is_form).unwrap_or_default();
        Self {
            mime_type: mime_type(&request.headers),
            params: parameters(form).map(|(name, value)| Parameter { name, value }).collect(),
            text: text.map_or(Text::Binary(Base64(body)), Text::Plain),
            encoding: text.is_none().then_some("base64"),
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
    text: Option<Text<'t>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Text<'t> {
    Plain(&'t str),
    Binary(Base64<'t>),
}

/// Durations in milliseconds; -1 for phases that do not apply.
#[derive(Serialize)]
struct HarTimings {
    blocked: f64,
    dns: f64,
    connect: f64,
    ssl: f64,
    send: f64,
    wait: f64,
    receive: f64,
}

impl HarTimings {
    /// `connect` includes `ssl`, as the specification requires. The rest of the total is `blocked`: the connection was
    /// idle.
    fn new(timing: &Timing, is_tls: bool) -> Self {
        let or_unknown = |ms: f64, applies: bool| if applies { ms } else { -1.0 };
        let has_connected = timing.connect_ms > 0.0;
        let known =
            [timing.dns_ms, timing.connect_ms, timing.tls_ms, timing.send_ms, timing.wait_ms, timing.receive_ms];
        let rest = timing.total_ms - known.iter().sum::<f64>();
        Self {
            blocked: or_unknown(rest, rest >= MIN_BLOCKED_MS),
            dns: or_unknown(timing.dns_ms, timing.dns_ms > 0.0),
            connect: or_unknown(timing.connect_ms + timing.tls_ms, has_connected),
            ssl: or_unknown(timing.tls_ms, has_connected && (is_tls || timing.tls_ms > 0.0)),
            send: timing.send_ms,
            wait: timing.wait_ms,
            receive: timing.receive_ms,
        }
    }

    /// Sums the phases that apply. `connect` includes `ssl`.
    fn sum(&self) -> f64 {
        [self.blocked, self.dns, self.connect, self.send, self.wait, self.receive].iter().filter(|ms| **ms > 0.0).sum()
    }
}

/// A message as Chrome's developer tools write it: in base64 for all opcodes but 1.
#[derive(Serialize)]
struct WebSocketMessage<'m> {
    r#type: &'m str,
    /// Seconds since the epoch.
    time: f64,
    opcode: u8,
    data: Cow<'m, str>,
    /// Marks a payload that is still encoded, or incomplete.
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

impl<'m> WebSocketMessage<'m> {
    fn new(message: &'m Message, payload: &'m [u8]) -> Self {
        // RFC 6455 section 11.8.
        let opcode = match message.opcode.as_str() {
            "text" => 1,
            "close" => 8,
            "ping" => 9,
            "pong" => 10,
            _ => 2,
        };
        let data = match opcode {
            // Invalid UTF-8 only if the connection ended within a character.
            1 => String::from_utf8_lossy(payload),
            _ => Base64(payload).to_string().into(),
        };
        let encoding = message.payload_encoding.as_deref().map(still_coded);
        let cut_off = message.describe_cut_off().map(|cause| format!("cut off: {cause}"));
        let marks: Vec<_> = encoding.into_iter().chain(cut_off).collect();
        let comment = (!marks.is_empty()).then(|| marks.join("; "));
        Self { r#type: &message.direction, time: message.timestamp as f64 / 1000.0, opcode, data, comment }
    }
}

/// The HTTP version, which a bundle does not have. Host or a reason phrase would distinguish HTTP/1 from HTTP/2, but
/// not HTTP/1.0 from HTTP/1.1.
const UNKNOWN: &str = "unknown";

/// One microsecond. Smaller differences are rounding errors.
const MIN_BLOCKED_MS: f64 = 0.001;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::archive::Archive;
    use crate::bundle::json::add_json;
    use crate::bundle::test_dir::TestDir;
    use serde_json::{Value, json};

    #[test]
    fn timings_add_up() {
        let timing = |json: &str| serde_json::from_str::<Timing>(json).unwrap();
        let first =
            timing(r#"{"dns_ms":1,"connect_ms":2,"tls_ms":4,"send_ms":8,"wait_ms":16,"receive_ms":32,"total_ms":64}"#);
        let first = HarTimings::new(&first, true);
        assert_eq!((first.connect, first.ssl, first.blocked, first.sum()), (6.0, 4.0, 1.0, 64.0));
        let later = HarTimings::new(&timing(r#"{"send_ms":1,"wait_ms":2,"receive_ms":3,"total_ms":5}"#), true);
        assert_eq!([later.blocked, later.dns, later.connect, later.ssl], [-1.0; 4]);
        assert_eq!(later.sum(), 6.0);
        let plain = HarTimings::new(&timing(r#"{"connect_ms":2,"total_ms":2}"#), false);
        assert_eq!((plain.connect, plain.ssl, plain.dns, plain.sum()), (2.0, -1.0, -1.0, 2.0));
    }

    #[test]
    fn what_was_cut_off_is_marked() {
        let written = |members: &str| {
            let trace: Trace = serde_json::from_str(members).unwrap();
            let (request, response) = (HarRequest::new(&trace, b""), HarResponse::new(&trace, b""));
            let value = serde_json::to_value((request, response)).unwrap();
            [&value[0]["comment"], &value[1]["comment"], &value[1]["_error"]]
                .map(|mark| mark.as_str().map(str::to_owned))
        };
        let (request, response) = ("cut off: request ended early", "cut off: response reset by the origin");
        let both = "cut off: request and response reset by the origin";
        for (members, expected) in [
            (r#"{"response":{"status":200}}"#, [None, None, None]),
            (
                r#"{"response":{"status":200},"cut_off":{"side":"response","why":"reset"}}"#,
                [None, Some(response), Some(response)],
            ),
            (r#"{"response":{"status":413},"cut_off":{"side":"request","why":"closed"}}"#, [Some(request), None, None]),
            (
                r#"{"response":{"status":200},"cut_off":{"side":"both","why":"reset"}}"#,
                [Some(both), Some(both), Some(both)],
            ),
            (
                r#"{"response":{"status":0,"status_text":"why"},"cut_off":{"side":"request","why":"closed"}}"#,
                [Some(request), None, Some("why")],
            ),
        ] {
            assert_eq!(written(members), expected.map(|mark| mark.map(str::to_owned)), "{members}");
        }
        let message: Message = serde_json::from_str(
            r#"{"direction":"receive","opcode":"binary","payload_encoding":"unknown","cut_off":{"why":"stopped"}}"#,
        )
        .unwrap();
        let message = serde_json::to_value(WebSocketMessage::new(&message, b"Hel")).unwrap();
        assert_eq!((&message["opcode"], &message["data"]), (&2.into(), &"SGVs".into()));
        assert_eq!(message["comment"], "not decoded: unknown; cut off: interrupted by the end of the capture");
        let whole = serde_json::to_value(WebSocketMessage::new(&Message::default(), b"")).unwrap();
        assert_eq!(whole.get("comment"), None);
    }

    #[test]
    fn every_websocket_is_exported() {
        let dir = TestDir::new("har");
        let (mut archive, _) = Archive::create(&dir.path("a.zip"), Duration::ZERO).unwrap();
        archive
            .group(|archive| {
                add_json(
                    archive,
                    "traces/t_0001.json".into(),
                    &json!({"id": "t_0001", "request": {"url": "ws://a/1"}}),
                    &[],
                )?;
                // The handshake is there, is another one's, is not in the bundle, and is unknown.
                for (n, handshake) in
                    [(1, json!("t_0001")), (2, json!("t_0001")), (3, json!("t_0009")), (4, json!(null))]
                {
                    let id = format!("ws_000{n}");
                    let url = format!("ws://a/{n}");
                    let websocket = json!({"id": id, "url": url, "handshake_trace_ref": handshake});
                    add_json(archive, format!("ws/{id}.json"), &websocket, &[])?;
                    let message = json!({"id": format!("{id}_m001"), "opcode": "text"});
                    add_json(archive, format!("ws/{id}_m001.json"), &message, &[])?;
                }
                add_json(archive, "manifest.json".into(), &json!({}), &[])
            })
            .unwrap();
        let bundle = Bundle::open(archive.finish().unwrap()).unwrap();
        let mut out = Vec::new();
        write(&bundle, &Options::default(), &mut out).unwrap();
        let har: Value = serde_json::from_slice(&out).unwrap();
        let entries = har["log"]["entries"].as_array().unwrap();
        let exported: Vec<_> = entries.iter().map(|entry| entry["request"]["url"].as_str().unwrap()).collect();
        assert_eq!(exported, ["ws://a/1", "ws://a/2", "ws://a/3", "ws://a/4"]);
        assert!(entries.iter().all(|entry| entry["_webSocketMessages"].as_array().unwrap().len() == 1));
    }
}
