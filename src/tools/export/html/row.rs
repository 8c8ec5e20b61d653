//! The row and the heads of an item.

use super::super::{Error, Rendered as Export};
use super::blocks::json;
use crate::bundle::reader::{Header, Message, Timing, Trace, WebSocket};

/// The texts of an exchange, which a worker joined into one: flags, id, row and heads, each on a line.
pub(super) struct Rendered<'t> {
    pub(super) id: &'t str,
    pub(super) has_body: bool,
    pub(super) is_redacted: bool,
    pub(super) row: &'t [u8],
    pub(super) head: &'t [u8],
}

/// Renders the row and the heads of an exchange, on a worker.
pub(super) fn render<'b>(trace: Trace) -> Result<Export<'b>, Error> {
    let Trace { id, timestamp, request, response, timing, .. } = &trace;
    let url = start_of(&request.url, MAX_URL_BYTES);
    let media_type = media_type(&response.headers);
    let row = json(&(
        id,
        timestamp,
        start_of(&request.method, MAX_TEXT_BYTES),
        url,
        response.status,
        media_type,
        request.body_size,
        response.body_size,
        rounded(timing.total_ms),
        phases(timing),
        trace.cut_off.is_some(),
        false,
    ))?;
    let cut_off = trace.describe_cut_off().map_or_else(String::new, |text| ["Cut off: ", &text].concat());
    // The list has the rest.
    let long_url = if url.len() < request.url.len() { &*request.url } else { "" };
    let head =
        json(&(id, "head", long_url, &response.status_text, cut_off, flat(&request.headers), flat(&response.headers)))?;
    let is_redacted = contains_placeholder(&row) || contains_placeholder(&head);
    let has_body = request.body_file.is_some() || response.body_file.is_some();
    let flags = match (has_body, is_redacted) {
        (false, false) => "-",
        (true, false) => "b",
        (false, true) => "r",
        (true, true) => "br",
    };
    Ok(Export::Small([flags.as_bytes(), id.as_bytes(), &row, &head].join(&b'\n')))
}

impl<'t> Rendered<'t> {
    /// Splits the text that [`render`] returned. JSON has no line breaks here, and neither have ids.
    pub(super) fn of(text: &'t [u8]) -> Self {
        let mut parts = text.splitn(4, |byte| *byte == b'\n');
        let mut next = || parts.next().unwrap_or_default();
        let (flags, id, row, head) = (next(), next(), next(), next());
        let id = str::from_utf8(id).unwrap_or_default();
        Self { id, has_body: flags.contains(&b'b'), is_redacted: flags.contains(&b'r'), row, head }
    }
}

/// Renders the row of a WebSocket, which lasts until its `last` message.
pub(super) fn websocket(websocket: &WebSocket, last: Option<&Message>) -> Result<Vec<u8>, Error> {
    let WebSocket { id, timestamp, url, .. } = websocket;
    let duration = last.map_or(0, |message| message.timestamp.saturating_sub(*timestamp));
    let url = start_of(url, MAX_URL_BYTES);
    let phases = phases(&Timing::default());
    Ok(json(&(id, timestamp, "WS", url, 101, "websocket", 0, 0, duration, phases, false, true))?)
}

/// Returns names and values in turns.
fn flat(headers: &[Header]) -> Vec<&str> {
    headers.iter().flat_map(|header| [&*header.name, &*header.value]).collect()
}

fn media_type(headers: &[Header]) -> &str {
    let field = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-type"));
    let value = field.map_or("", |header| &*header.value);
    start_of(value.split(';').next().unwrap_or_default().trim(), MAX_TEXT_BYTES)
}

fn phases(timing: &Timing) -> [f64; 6] {
    let Timing { dns_ms, connect_ms, tls_ms, send_ms, wait_ms, receive_ms, .. } = timing;
    [dns_ms, connect_ms, tls_ms, send_ms, wait_ms, receive_ms].map(|ms| rounded(*ms))
}

/// Rounds to microseconds. What is no duration becomes 0.
fn rounded(ms: f64) -> f64 {
    if ms.is_finite() && ms >= 0.0 { (ms * 1000.0).round() / 1000.0 } else { 0.0 }
}

/// Returns the first characters of `text`, at most `max` bytes.
fn start_of(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// True if there is a placeholder of `redact`.
fn contains_placeholder(json: &[u8]) -> bool {
    const PLACEHOLDER: &[u8] = b"redacted-";
    json.windows(PLACEHOLDER.len()).any(|window| window == PLACEHOLDER)
}

const MAX_URL_BYTES: usize = 2000;
const MAX_TEXT_BYTES: usize = 100;
