//! The JSON of a WebSocket, written when it ends: only then is the number of its messages known.
//!
//! If the capture rotates, a WebSocket that continues is in each bundle that has messages of it, with the number of those. So
//! is the exchange of its handshake.

use super::Writer;
use super::group::{Group, RepeatedHandshake};
use super::handshakes::StoredHandshake;
use crate::bundle::format;
use crate::bundle::id::Id;
use crate::record::cut_off::{CutOffCause, MessageCutOff, MessageSender};
use crate::record::item::{Exchange, WebSocketHandshake, WebSocketKey};
use std::io;

/// The values of a WebSocket's JSON, and counters for its messages.
#[derive(Clone)]
pub(super) struct WebSocketInfo {
    /// The number in its id.
    pub(super) number: u32,
    /// Milliseconds since the epoch.
    pub(super) started_ms: u64,
    pub(super) url: String,
    pub(super) protocols: Vec<String>,
    /// The number of the handshake's exchange; `None` if it could not be written.
    handshake: Option<u32>,
    /// The JSON of that exchange, if the capture rotates.
    stored_handshake: Option<StoredHandshake>,
    /// The number of the last message.
    pub(super) last_message: u32,
    /// The count of messages in all bundles.
    pub(super) written_messages: u64,
    /// The count of messages that are neither in a bundle nor lost yet.
    pub(super) unsettled_messages: u32,
    /// True once a close frame was recorded, of either side.
    pub(super) has_close: bool,
    /// True once its connection ended.
    pub(super) has_ended: bool,
    /// The cause of its end, if it had no close frame.
    pub(super) cut_off: Option<MessageCutOff>,
    /// True if its JSON could not be written, and an error was counted.
    pub(super) write_failed: bool,
    /// The part of it that is in the current bundle; `None` if it began in an earlier one and has no messages in this one.
    in_bundle: Option<InBundle>,
}

/// The part of a WebSocket that is in the current bundle.
#[derive(Clone, Copy, Default)]
struct InBundle {
    handshake: HandshakeState,
    /// The count of messages.
    messages: u32,
}

/// The state of a handshake's exchange in the current bundle.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum HandshakeState {
    #[default]
    Absent,
    Staged,
    Written,
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
            stored_handshake: None,
            last_message: 0,
            written_messages: 0,
            unsettled_messages: 0,
            has_close: false,
            has_ended: false,
            cut_off: None,
            write_failed: false,
            in_bundle: Some(InBundle::default()),
        }
    }

    /// Records the end of its connection.
    pub(super) fn end(&mut self, why: Option<CutOffCause>) {
        self.has_ended = true;
        self.cut_off = why.filter(|_| !self.has_close).map(|why| MessageCutOff { sender: MessageSender::Origin, why });
    }

    /// Records that the exchange of its handshake is in the current bundle. `stored` is its JSON, to be repeated in later
    /// bundles.
    pub(super) fn handshake_written(&mut self, number: u32, stored: Option<StoredHandshake>) {
        self.handshake = Some(number);
        self.stored_handshake = stored.or(self.stored_handshake);
        self.in_bundle.get_or_insert_default().handshake = HandshakeState::Written;
    }

    /// Records that the handshake could not be repeated. The next message tries again.
    pub(super) fn handshake_failed(&mut self) {
        if let Some(in_bundle) = &mut self.in_bundle {
            in_bundle.handshake = HandshakeState::Absent;
        }
    }

    /// Records that a message is in the current bundle.
    fn message_written(&mut self) {
        self.written_messages = self.written_messages.saturating_add(1);
        let in_bundle = self.in_bundle.get_or_insert_default();
        in_bundle.messages = in_bundle.messages.saturating_add(1);
    }

    /// True if it ended, and all its messages are in a bundle or lost.
    fn is_settled(&self) -> bool {
        self.has_ended && self.unsettled_messages == 0
    }

    /// Begins the next bundle. Returns the facts for the JSON in the previous one, if it is in that.
    pub(super) fn leave_bundle(&mut self) -> Option<Self> {
        // One that has ended waits for messages, which will be in the next bundle.
        let left = self.in_bundle.is_some().then(|| Self { has_ended: false, ..self.clone() });
        self.in_bundle = None;
        left
    }

    /// True if it is in the current bundle.
    pub(super) fn is_in_bundle(&self) -> bool {
        self.in_bundle.is_some()
    }

    /// Returns the place of its stored handshake.
    pub(super) fn stored_handshake(&mut self) -> &mut Option<StoredHandshake> {
        &mut self.stored_handshake
    }

    /// Returns its JSON in the current bundle.
    pub(super) fn json(&self) -> format::WebSocket {
        let InBundle { handshake, messages } = self.in_bundle.unwrap_or_default();
        let is_referred = handshake == HandshakeState::Written;
        format::WebSocket {
            id: Id::WebSocket(self.number).to_string(),
            timestamp: self.started_ms,
            url: self.url.clone(),
            handshake_trace_ref: self.handshake.filter(|_| is_referred).map(|number| Id::Trace(number).to_string()),
            protocols: self.protocols.clone(),
            message_count: messages.into(),
            ..format::WebSocket::default()
        }
    }
}

impl Writer {
    /// Records the end of a WebSocket's connection. Its JSON is written once all its messages are settled, because it has
    /// their number.
    pub(super) fn end_websocket(&mut self, key: WebSocketKey, why: Option<CutOffCause>) {
        let Some(websocket) = self.open_websockets.get_mut(&key) else { return };
        websocket.end(why);
        if websocket.is_settled() {
            self.close_settled(key);
        }
    }

    /// Notes that a message is in the current bundle.
    pub(super) fn message_written(&mut self, key: WebSocketKey) {
        self.settle_message(key, WebSocketInfo::message_written);
    }

    /// Notes that a message is lost.
    pub(super) fn message_lost(&mut self, key: WebSocketKey) {
        self.settle_message(key, |_| {});
    }

    fn settle_message(&mut self, key: WebSocketKey, count: impl FnOnce(&mut WebSocketInfo)) {
        let Some(websocket) = self.open_websockets.get_mut(&key) else { return };
        websocket.unsettled_messages = websocket.unsettled_messages.saturating_sub(1);
        count(websocket);
        if websocket.is_settled() {
            self.close_settled(key);
        }
    }

    fn close_settled(&mut self, key: WebSocketKey) {
        self.ended_websockets.extend(self.open_websockets.remove(&key));
    }

    /// Writes the WebSockets that ended and whose messages are settled. Nothing is staged.
    pub(super) fn write_ended_websockets(&mut self) {
        for websocket in std::mem::take(&mut self.ended_websockets) {
            self.attempt(|writer| writer.write_websocket(websocket));
        }
    }

    /// Writes a WebSocket that ended. One that cannot be written is tried again at the end of the bundle.
    pub(super) fn write_websocket(&mut self, mut websocket: WebSocketInfo) -> io::Result<()> {
        if websocket.is_in_bundle() {
            if let Err(cause) = self.bundle.write_websocket(&websocket) {
                websocket.write_failed = true;
                self.bundle.unwritten_websockets.push(websocket);
                return Err(cause);
            }
            self.errors.written(self.bundle.unwritten_websockets.len());
        }
        self.results().websocket_ended(&websocket);
        Ok(())
    }

    /// Repeats the handshake of a WebSocket that began in an earlier bundle, before its first message in this one. If that
    /// fails, the message is written without it.
    pub(super) fn repeat_handshake(&mut self, key: WebSocketKey) {
        let (Some(rotation), Some(websocket)) = (&self.rotation, self.open_websockets.get_mut(&key)) else { return };
        let (Some(number), Some(stored)) = (websocket.handshake, websocket.stored_handshake) else { return };
        let in_bundle = websocket.in_bundle.get_or_insert_default();
        if in_bundle.handshake != HandshakeState::Absent {
            return;
        }
        let Ok(json) = rotation.handshakes.read(stored) else { return };
        let (started_ms, url) = (websocket.started_ms, websocket.url.clone());
        in_bundle.handshake = HandshakeState::Staged;
        let repeated = RepeatedHandshake { key, number, started_ms, url, json };
        self.stage(Group::Handshake(Box::new(repeated)));
    }
}
