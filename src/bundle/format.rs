//! The JSON of a bundle: every field in the order that its readers know, nulls written out.
//!
//! ```text
//! manifest.json            Manifest
//! traces/t_0001.json       Trace       + t_0001_request.bin, t_0001_response.bin
//! ws/ws_0001.json          WebSocket
//! ws/ws_0001_m001.json     Message     + ws_0001_m001.bin
//! timeline.json            Timeline
//! ```
//!
//! Written as declared here, and read with tolerance: other producers leave fields out and have some of their own.

use crate::wire::headers::Headers;
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;
use std::hash::{BuildHasher, RandomState};

/// The session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Manifest {
    /// The version of the format, "1.0.0".
    pub format_version: String,
    /// A random UUID.
    pub capture_id: String,
    /// When the capture began, in ISO 8601 with an offset.
    pub created_at: String,
    /// What was captured.
    pub app: App,
    /// The browser, if one captured.
    pub browser: Option<Browser>,
    /// The version of the browser extension that captured. Written as null, as readers take a missing one for theirs.
    pub extension_version: Option<String>,
    /// How long the capture took.
    pub duration_ms: u64,
    /// How many there are of each.
    pub stats: Stats,
    /// "proxy". Readers take a missing one for "chrome_extension".
    pub capture_method: Option<String>,
}

/// What was captured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct App {
    /// The stem of the bundle's name.
    pub name: String,
    /// The origin with the most traces, or nothing.
    pub base_url: String,
    /// The same as the name, or a page's title.
    pub title: String,
}

/// A browser that captured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Browser {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// How many there are of each.
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
    /// What a browser's user did; always 0 from a proxy.
    pub context_count: u64,
}

/// One HTTP exchange. `H` is what its header fields are in, `S` what other text is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, bound(deserialize = "H: Default + Deserialize<'de>, S: Default + Deserialize<'de>"))]
#[non_exhaustive]
pub struct Trace<H = Vec<Header>, S = String> {
    /// `t_0001`; in the order in which exchanges completed.
    pub id: S,
    /// When it started, in milliseconds since the epoch.
    pub timestamp: u64,
    /// "http".
    pub r#type: S,
    /// What was asked.
    pub request: Request<H, S>,
    /// What was answered.
    pub response: Response<H, S>,
    /// How long its parts took.
    pub timing: Timing,
    /// Who asked.
    pub initiator: Initiator<S>,
    /// What a browser's user did to cause it.
    pub context_refs: Vec<String>,
}

/// What was asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Request<H = Vec<Header>, S = String> {
    /// In its original case.
    pub method: S,
    /// As the client meant it.
    pub url: S,
    /// In wire order.
    pub headers: H,
    /// Relative to `traces/`; null where the body is empty.
    pub body_file: Option<S>,
    /// The size of that file.
    pub body_size: u64,
    /// The codings that are still on the body, if any.
    pub body_encoding: Option<S>,
}

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Response<H = Vec<Header>, S = String> {
    /// 0 if there was no answer.
    pub status: u16,
    /// The reason phrase; without an answer, why there is none.
    pub status_text: S,
    /// In wire order.
    pub headers: H,
    /// Relative to `traces/`; null where the body is empty.
    pub body_file: Option<S>,
    /// The size of that file.
    pub body_size: u64,
    /// The codings that are still on the body, if any.
    pub body_encoding: Option<S>,
}

/// A header or trailer field.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Header<S = String> {
    /// In its original case.
    pub name: S,
    /// Without outer blanks.
    pub value: S,
}

/// How long the parts of an exchange took, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Timing {
    /// Resolving the name; 0 on a connection that is there.
    pub dns_ms: f64,
    /// Connecting; 0 on a connection that is there.
    pub connect_ms: f64,
    /// The TLS handshake; 0 on a connection that is there.
    pub tls_ms: f64,
    /// First to last byte of the request.
    pub send_ms: f64,
    /// Last byte of the request to first byte of the response.
    pub wait_ms: f64,
    /// First to last byte of the response.
    pub receive_ms: f64,
    /// All of it.
    pub total_ms: f64,
}

/// Who asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Initiator<S = String> {
    /// "proxy".
    pub r#type: S,
    /// The script, if a browser knows it.
    pub url: Option<S>,
    /// The line in the script.
    pub line: Option<u64>,
}

/// One WebSocket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct WebSocket {
    /// `ws_0001`; in the order in which they opened.
    pub id: String,
    /// When the upgrade was asked for, in milliseconds since the epoch.
    pub timestamp: u64,
    /// `ws://` or `wss://`.
    pub url: String,
    /// The trace of the handshake.
    pub handshake_trace_ref: Option<String>,
    /// The negotiated subprotocol, if any.
    pub protocols: Vec<String>,
    /// How many messages there are.
    pub message_count: u64,
    /// What a browser's user did to cause it.
    pub context_refs: Vec<String>,
}

/// One WebSocket message. `S` is what its text is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, bound(deserialize = "S: Default + Deserialize<'de>"))]
#[non_exhaustive]
pub struct Message<S = String> {
    /// `ws_0001_m001`.
    pub id: S,
    /// The WebSocket, `ws_0001`.
    pub connection_ref: S,
    /// When its last byte came, in milliseconds since the epoch.
    pub timestamp: u64,
    /// "send" (client to server) or "receive".
    pub direction: S,
    /// "text", "binary", "ping", "pong" or "close".
    pub opcode: S,
    /// Relative to `ws/`; null where the payload is empty.
    pub payload_file: Option<S>,
    /// The size of that file.
    pub payload_size: u64,
    /// What a browser's user did to cause it.
    pub context_refs: Vec<String>,
}

/// What a browser's user did. Only its name and its time matter here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Context {
    pub(crate) id: String,
    pub(crate) timestamp: u64,
    #[serde(flatten)]
    pub(crate) rest: serde_json::Map<String, serde_json::Value>,
}

/// Every item once, by time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Timeline {
    /// In order.
    pub events: Vec<TimelineEvent>,
}

/// One item's place in time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct TimelineEvent {
    /// The item's own.
    pub timestamp: u64,
    /// "trace", "ws_open", "ws_message", or "context" from a browser.
    pub r#type: String,
    /// The item's id.
    pub r#ref: String,
}

/// An item's name, made of counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    Trace(u32),
    WebSocket(u32),
    Message(u32, u32),
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Trace(n) => write!(f, "t_{n:04}"),
            Self::WebSocket(n) => write!(f, "ws_{n:04}"),
            Self::Message(socket, n) => write!(f, "ws_{socket:04}_m{n:03}"),
        }
    }
}

impl<'a> Header<Cow<'a, str>> {
    /// As a bundle shows it.
    pub(crate) fn new(name: &'a [u8], value: &'a [u8]) -> Self {
        let blank = [' ', '\t'];
        let value = match text(value) {
            Cow::Borrowed(value) => value.trim_matches(blank).into(),
            Cow::Owned(value) => value.trim_matches(blank).to_owned().into(),
        };
        Self { name: text(name), value }
    }

    #[cfg(test)]
    pub(crate) fn owned(self) -> Header {
        Header { name: self.name.into_owned(), value: self.value.into_owned() }
    }
}

/// The fields as they came, for writing them without copying each.
impl Serialize for Headers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(|(name, value)| Header::new(name, value)))
    }
}

/// Text from the wire. What is not UTF-8 is Latin-1, which cannot fail: one bad byte must not spoil a bundle.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().copied().map(char::from).collect::<String>().into(),
    }
}

/// A random UUID (version 4, RFC 9562 section 5.4) of `random` bits.
fn uuid4(random: u128) -> String {
    let bits = random & !(0xf << 76) & !(0b11 << 62) | (0x4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    let part = |from, to| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32))
}

/// Whether `text` is a UUID as we write them.
pub(crate) fn is_uuid(text: &str) -> bool {
    let is_hyphen = |at| matches!(at, 8 | 13 | 18 | 23);
    let fits = |(at, b): (usize, u8)| if is_hyphen(at) { b == b'-' } else { b.is_ascii_hexdigit() };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

/// A UUID that nobody has had.
pub(crate) fn new_uuid() -> String {
    let random = |seed: u64| u128::from(RandomState::new().hash_one(seed));
    uuid4(random(0) << 64 | random(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_to_the_letter() {
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
    fn text_that_is_not_utf8_is_latin1() {
        assert_eq!(text("grün".as_bytes()), "grün");
        assert_eq!(text(b"gr\xfcn"), "grün");
        assert_eq!(Header::new(b"X", b"\t caf\xe9 ").value, "café");
        assert_eq!(Header::new(b"X", b" \t ").value, "");
    }

    #[test]
    fn uuids_have_version_4() {
        assert_eq!(uuid4(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid4(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert!(is_uuid(&new_uuid()) && !is_uuid("") && !is_uuid(&"f".repeat(36)));
    }
}
