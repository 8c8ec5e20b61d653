//! The JSON documents of a bundle. Fields have a fixed order, and nulls are written.
//!
//! ```text
//! manifest.json            Manifest
//! traces/t_0001.json       Trace       + t_0001_request.bin, t_0001_response.bin
//! ws/ws_0001.json          WebSocket
//! ws/ws_0001_m001.json     Message     + ws_0001_m001.bin
//! timeline.json            Timeline
//! ```
//!
//! The declarations below are the order in the file. Reading is tolerant: other producers omit fields and add their
//! own, which copies keep (`others`). `cut_off` and `payload_encoding` are omitted where they have nothing to say; all other fields are always written.

use super::cut_off;
use super::other_members::OtherMembers;
use crate::wire::headers::Headers;
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;

/// The manifest: the capture as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Manifest {
    /// The version of the bundle format, "1.0.0".
    pub format_version: String,
    /// A random UUID.
    pub capture_id: String,
    /// The start of the capture, in ISO 8601 with an offset.
    pub created_at: String,
    /// The captured app.
    pub app: App,
    /// The browser, if the browser extension captured.
    pub browser: Option<Browser>,
    /// The version of the browser extension, if it captured. Written as null otherwise: readers take a missing field
    /// for "0.1.0".
    pub extension_version: Option<String>,
    /// The duration of the capture in milliseconds.
    pub duration_ms: u64,
    /// The number of items of each kind.
    pub stats: Stats,
    /// "proxy". Readers take a missing field for "chrome_extension".
    pub capture_method: Option<String>,
    /// The members that this program does not know. Only those who copy the manifest read them.
    #[serde(skip)]
    pub(crate) others: OtherMembers,
}

/// The captured app.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct App {
    /// The stem of the bundle's file name.
    pub name: String,
    /// The origin with the most exchanges; empty if there is none.
    pub base_url: String,
    /// The name, or the title of a web page.
    pub title: String,
}

/// The browser of a capture by the browser extension.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Browser {
    /// The name of the browser.
    pub name: String,
    /// The version of the browser.
    pub version: String,
}

/// The number of items of each kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Stats {
    /// HTTP exchanges.
    pub trace_count: u64,
    /// WebSockets.
    pub ws_connection_count: u64,
    /// Messages of all WebSockets.
    pub ws_message_count: u64,
    /// Contexts, which only the browser extension records.
    pub context_count: u64,
}

/// An HTTP exchange. `H` is the type of the header list, `S` the type of other text; readers use the defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, bound(deserialize = "H: Default + Deserialize<'de>, S: Default + Deserialize<'de>"))]
#[non_exhaustive]
pub struct Trace<H = Vec<Header>, S = String> {
    /// `t_0001`. Numbers follow the order in which exchanges complete.
    pub id: S,
    /// The start of the exchange in milliseconds since the epoch.
    pub timestamp: u64,
    /// "http".
    pub r#type: S,
    /// The request.
    pub request: Request<H, S>,
    /// The response.
    pub response: Response<H, S>,
    /// The duration of each phase.
    pub timing: Timing,
    /// The initiator of the request.
    pub initiator: Initiator<S>,
    /// The ids of contexts that caused the exchange, from the browser extension.
    pub context_refs: Vec<String>,
    /// The part that is incomplete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_off: Option<CutOff<S>>,
    /// The members that this program does not know. Only those who copy the item read them.
    #[serde(skip)]
    pub(crate) others: OtherMembers,
}

impl Trace {
    /// Returns the part of the exchange that was cut off and the cause in words: `response reset by the origin`. Returns
    /// the values in the bundle if they are unknown: escape it before printing to a terminal.
    pub fn describe_cut_off(&self) -> Option<String> {
        let CutOff { side, why } = self.cut_off.as_ref()?;
        let known = cut_off::CutOff::from_names(side, why);
        Some(known.map_or_else(|| format!("{side} {why}"), |known| known.to_string()))
    }
}

/// The part of an exchange that is incomplete, and the cause.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct CutOff<S = String> {
    /// "request", "response" or "both".
    pub side: S,
    /// "reset", "closed", "cancelled", "malformed", "limit" or "stopped".
    pub why: S,
}

/// The request of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Request<H = Vec<Header>, S = String> {
    /// The method, case preserved.
    pub method: S,
    /// The URL that the client requested.
    pub url: S,
    /// Header fields, then trailer fields, in wire order.
    pub headers: H,
    /// The file of the body, relative to `traces/`; null if the body is empty.
    pub body_file: Option<S>,
    /// The size of the stored body in bytes.
    pub body_size: u64,
    /// The content codings that the stored body still has, if it could not be decoded.
    pub body_encoding: Option<S>,
}

/// The response of an exchange.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Response<H = Vec<Header>, S = String> {
    /// The status code; 0 if there was no response.
    pub status: u16,
    /// The reason phrase; without a response, the reason why there is none.
    pub status_text: S,
    /// Header fields, then trailer fields, in wire order.
    pub headers: H,
    /// The file of the body, relative to `traces/`; null if the body is empty.
    pub body_file: Option<S>,
    /// The size of the stored body in bytes.
    pub body_size: u64,
    /// The content codings that the stored body still has, if it could not be decoded.
    pub body_encoding: Option<S>,
}

/// A header or trailer field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "S: Default + Deserialize<'de>"))]
#[non_exhaustive]
pub struct Header<S = String> {
    /// The field name, case preserved. It is required: a field takes 48 bytes of memory, and `{}` would take 2 in a file.
    pub name: S,
    /// The field value, without leading and trailing spaces and tabs.
    #[serde(default)]
    pub value: S,
}

/// The duration of each phase of an exchange, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Timing {
    /// DNS resolution; 0 on a reused connection.
    pub dns_ms: f64,
    /// The TCP connect; 0 on a reused connection.
    pub connect_ms: f64,
    /// The TLS handshake; 0 on a reused connection.
    pub tls_ms: f64,
    /// From the first to the last byte of the request.
    pub send_ms: f64,
    /// From the last byte of the request to the first byte of the response.
    pub wait_ms: f64,
    /// From the first to the last byte of the response.
    pub receive_ms: f64,
    /// From the start, including the phases above, to the end.
    pub total_ms: f64,
}

/// The initiator of a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Initiator<S = String> {
    /// "proxy".
    pub r#type: S,
    /// The script, if the browser extension captured.
    pub url: Option<S>,
    /// The line in the script.
    pub line: Option<u64>,
}

/// A WebSocket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct WebSocket {
    /// `ws_0001`. Numbers follow the order in which WebSockets open.
    pub id: String,
    /// The time of the upgrade request in milliseconds since the epoch.
    pub timestamp: u64,
    /// The URL, `ws://` or `wss://`.
    pub url: String,
    /// The id of the handshake's exchange.
    pub handshake_trace_ref: Option<String>,
    /// The negotiated subprotocol, if any.
    pub protocols: Vec<String>,
    /// The number of messages.
    pub message_count: u64,
    /// The ids of contexts that caused it, from the browser extension.
    pub context_refs: Vec<String>,
    /// The members that this program does not know. Only those who copy the item read them.
    #[serde(skip)]
    pub(crate) others: OtherMembers,
}

/// A WebSocket message. `S` is the type of text; readers use the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, bound(deserialize = "S: Default + Deserialize<'de>"))]
#[non_exhaustive]
pub struct Message<S = String> {
    /// `ws_0001_m001`.
    pub id: S,
    /// The id of the WebSocket, `ws_0001`.
    pub connection_ref: S,
    /// The time of the message's last byte in milliseconds since the epoch.
    pub timestamp: u64,
    /// "send" (client to server) or "receive".
    pub direction: S,
    /// "text", "binary", "ping", "pong" or "close".
    pub opcode: S,
    /// The file of the payload, relative to `ws/`; null if the payload is empty.
    pub payload_file: Option<S>,
    /// The size of the payload in bytes, unmasked and decoded.
    pub payload_size: u64,
    /// The ids of contexts that caused it, from the browser extension.
    pub context_refs: Vec<String>,
    /// The encoding that is still on the payload because it could not be decoded: "permessage-deflate" or "unknown".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_encoding: Option<S>,
    /// The cause if the message is incomplete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_off: Option<MessageCutOff<S>>,
    /// The members that this program does not know. Only those who copy the item read them.
    #[serde(skip)]
    pub(crate) others: OtherMembers,
}

impl Message {
    /// Returns the cause why the message was cut off in words: `reset by the origin`. Returns the value in the bundle if it
    /// is unknown: escape it before printing to a terminal.
    pub fn describe_cut_off(&self) -> Option<String> {
        let MessageCutOff { why } = self.cut_off.as_ref()?;
        let known = cut_off::MessageCutOff::from_names(&self.direction, why);
        Some(known.map_or_else(|| why.clone(), |known| known.to_string()))
    }
}

/// The cause why a message is incomplete.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct MessageCutOff<S = String> {
    /// As in [`CutOff::why`].
    pub why: S,
}

/// A user's action in a browser, recorded by the browser extension. Its other fields are carried unchanged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Context {
    pub(crate) id: String,
    pub(crate) timestamp: u64,
    #[serde(flatten)]
    pub(crate) rest: serde_json::Map<String, serde_json::Value>,
}

/// All items by time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Timeline {
    /// The events in order.
    pub events: Vec<TimelineEvent>,
}

/// An event of the timeline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct TimelineEvent {
    /// The timestamp of the item in milliseconds since the epoch.
    pub timestamp: u64,
    /// "trace", "ws_open", "ws_message", or "context" from a browser.
    pub r#type: String,
    /// The id of the item.
    pub r#ref: String,
}

impl<'a> Header<Cow<'a, str>> {
    /// Returns a field as bundles store it, from its bytes on the wire.
    pub(crate) fn new(name: &'a [u8], value: &'a [u8]) -> Self {
        let value = match text(value) {
            Cow::Borrowed(value) => value.trim_matches(WHITESPACE).into(),
            Cow::Owned(value) => value.trim_matches(WHITESPACE).to_owned().into(),
        };
        Self { name: text(name), value }
    }

    #[cfg(test)]
    pub(crate) fn owned(self) -> Header {
        Header { name: self.name.into_owned(), value: self.value.into_owned() }
    }
}

/// Serializes header fields without copying them.
impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|(name, value)| Header::new(name, value)))
    }
}

/// Decodes text from the wire: as UTF-8, else as Latin-1, which cannot fail.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().copied().map(char::from).collect::<String>().into(),
    }
}

/// The version of the bundle format in manifests.
pub(crate) const FORMAT_VERSION: &str = "1.0.0";

/// The capture method in the manifests of this program.
pub(crate) const CAPTURE_METHOD: &str = "proxy";

/// Optional whitespace around field values (RFC 9110 section 5.6.3).
const WHITESPACE: [char; 2] = [' ', '\t'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_written_field_by_field() {
        let trace: Trace = Trace {
            id: "t_0001".into(),
            timestamp: 1,
            r#type: "http".into(),
            request: Request {
                method: "GET".into(),
                url: "https://ü.test/".into(),
                headers: vec![Header::new(b"A", b" b\t").owned()],
                ..Request::default()
            },
            ..Trace::default()
        };
        let expected = r#"{
  "id": "t_0001",
  "timestamp": 1,
  "type": "http",
  "request": {
    "method": "GET",
    "url": "https://ü.test/",
    "headers": [
      {
        "name": "A",
        "value": "b"
      }
    ],
    "body_file": null,
    "body_size": 0,
    "body_encoding": null
  },
  "response": {
    "status": 0,
    "status_text": "",
    "headers": [],
    "body_file": null,
    "body_size": 0,
    "body_encoding": null
  },
  "timing": {
    "dns_ms": 0.0,
    "connect_ms": 0.0,
    "tls_ms": 0.0,
    "send_ms": 0.0,
    "wait_ms": 0.0,
    "receive_ms": 0.0,
    "total_ms": 0.0
  },
  "initiator": {
    "type": "",
    "url": null,
    "line": null
  },
  "context_refs": []
}"#;
        assert_eq!(serde_json::to_string_pretty(&trace).unwrap(), expected);
    }

    #[test]
    fn decodes_invalid_utf8_as_latin1() {
        assert_eq!(text("grün".as_bytes()), "grün");
        assert_eq!(text(b"gr\xfcn"), "grün");
        assert_eq!(Header::new(b"X", b"\t caf\xe9 ").value, "café");
        assert_eq!(Header::new(b"X", b" \t ").value, "");
    }
}
