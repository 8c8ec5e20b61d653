//! A WebSocket message in a HAR document.

use super::entry::still_coded;
use crate::bundle::reader::Message;
use crate::tools::export::stored_body::{BodyString, StoredBody};
use serde::Serialize;

/// A message as Chrome's developer tools write it: in base64 for all opcodes but 1.
#[derive(Serialize)]
pub(super) struct WebSocketMessage<'m> {
    r#type: &'m str,
    /// Seconds since the epoch.
    time: f64,
    opcode: u8,
    data: BodyString<'m, 'm>,
    /// Marks a payload that is still encoded, or incomplete.
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

impl<'m> WebSocketMessage<'m> {
    pub(super) fn new(message: &'m Message, payload: &'m StoredBody<'m>) -> Self {
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
            1 => payload.as_text(),
            _ => payload.as_base64(),
        };
        let encoding = message.payload_encoding.as_deref().map(still_coded);
        let cut_off = message.describe_cut_off().map(|cause| format!("cut off: {cause}"));
        let marks: Vec<_> = encoding.into_iter().chain(cut_off).collect();
        let comment = (!marks.is_empty()).then(|| marks.join("; "));
        Self { r#type: &message.direction, time: message.timestamp as f64 / 1000.0, opcode, data, comment }
    }
}
