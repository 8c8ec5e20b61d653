//! The JSON of a WebSocket, written when it ends: only then is the number of its messages known.

use super::Writer;
use crate::bundle::format;
use crate::bundle::id::{Id, ItemKind};
use crate::bundle::json::add_json;
use crate::bundle::recovery_note::RecoveryNote;
use crate::notice::Notice;
use crate::record::cut_off::{CutOffCause, MessageCutOff, MessageSender};
use crate::record::item::{Exchange, WebSocketHandshake};
use std::io;

/// The values of a WebSocket's JSON, and counters for its messages.
pub(super) struct WebSocketInfo {
    /// The number in its id.
    pub(super) number: u32,
    /// Milliseconds since the epoch.
    started_ms: u64,
    url: String,
    pub(super) protocols: Vec<String>,
    /// The exchange of the handshake; `None` if it could not be written.
    pub(super) handshake: Option<Id>,
    /// The number of the last message.
    pub(super) last_message: u32,
    /// The count of messages in the bundle.
    pub(super) written_messages: u32,
    /// True once a close frame was recorded, of either side.
    pub(super) has_close: bool,
    /// The cause of its end, if it had no close frame.
    cut_off: Option<MessageCutOff>,
}

impl WebSocketInfo {
    /// A WebSocket that `exchange` opened.
    pub(super) fn new(number: u32, exchange: &Exchange, opened: &WebSocketHandshake) -> Self {
        Self {
            number,
            started_ms: exchange.started_ms,
            url: exchange.url.clone(),
            protocols: opened.protocol.iter().cloned().collect(),
            handshake: None,
            last_message: 0,
            written_messages: 0,
            has_close: false,
            cut_off: None,
        }
    }

    /// Records the end of its connection.
    pub(super) fn end(&mut self, why: Option<CutOffCause>) {
        self.cut_off = why.filter(|_| !self.has_close).map(|why| MessageCutOff { sender: MessageSender::Origin, why });
    }
}

impl Writer {
    /// Writes a WebSocket that ended. One that cannot be written is tried again at the end of the capture.
    pub(super) fn write_websocket(&mut self, websocket: WebSocketInfo) -> io::Result<()> {
        let json_value = format::WebSocket {
            id: Id::WebSocket(websocket.number).to_string(),
            timestamp: websocket.started_ms,
            url: websocket.url.clone(),
            handshake_trace_ref: websocket.handshake.map(|id| id.to_string()),
            protocols: websocket.protocols.clone(),
            message_count: websocket.written_messages.into(),
            context_refs: Vec::new(),
        };
        let note = RecoveryNote { capture: self.bundle.first_note(), opens: None }.encode();
        let name = ItemKind::WebSocket.json_name(&json_value.id);
        let written = self.bundle.archive.group(|archive| add_json(archive, name, &json_value, &note));
        if let Err(cause) = written {
            self.bundle.unwritten_websockets.push(websocket);
            return Err(cause);
        }
        self.errors.written(self.bundle.unwritten_websockets.len());
        self.bundle.info.add_websocket(websocket.number, websocket.started_ms);
        let format::WebSocket { id, url, message_count: messages, .. } = json_value;
        if let Some(cut_off) = websocket.cut_off {
            self.unclosed_websockets.add(Id::WebSocket(websocket.number), cut_off);
        }
        self.errors.notify(&Notice::WebSocket { id, url, messages, cut_off: websocket.cut_off });
        Ok(())
    }
}
