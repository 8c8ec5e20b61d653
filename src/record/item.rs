//! The values that connections send to the writer. Each is complete: the writer only has to write it.

use super::body::Body;
use super::cut_off::{CutOff, CutOffCause};
use super::queue::Queued;
use crate::bundle::format::Timing;
use crate::wire::headers::Headers;
use crate::wire::message::ResponseHead;
use crate::wire::tap::{Dir, Opcode, PayloadEncoding};
use std::borrow::Cow;

/// One value in the queue to the writer.
pub(crate) enum Item {
    /// An exchange ended.
    Exchange(Box<Exchange>),
    /// A WebSocket message is complete, or was truncated by the end of its connection.
    Message(WebSocketMessage),
    /// A WebSocket ended.
    WebSocketEnd {
        /// The WebSocket.
        websocket: WebSocketKey,
        /// The cause of its end, for a WebSocket without a close frame.
        why: Option<CutOffCause>,
    },
    /// The capture ended: the writer completes the bundle. Later items are dropped.
    CaptureEnd,
}

impl Item {
    /// Returns a copy, which shares the spilled pieces of bodies.
    pub(super) fn copy(&self) -> Self {
        match self {
            Self::Exchange(exchange) => Self::Exchange(Box::new(exchange.copy())),
            Self::Message(message) => {
                let WebSocketMessage { websocket, ended_ms, dir, opcode, ref payload, encoding, cut_off } = *message;
                let payload = payload.copy();
                Self::Message(WebSocketMessage { websocket, ended_ms, dir, opcode, payload, encoding, cut_off })
            }
            Self::WebSocketEnd { websocket, why } => Self::WebSocketEnd { websocket: *websocket, why: *why },
            Self::CaptureEnd => Self::CaptureEnd,
        }
    }
}

impl Queued for Item {
    fn memory_bytes(&self) -> usize {
        let inner = match self {
            Self::Exchange(exchange) => size_of::<Exchange>().saturating_add(exchange.memory_bytes()),
            Self::Message(message) => message.payload.charged_bytes(),
            Self::WebSocketEnd { .. } | Self::CaptureEnd => 0,
        };
        inner.saturating_add(QUEUED_BYTES)
    }

    /// Without its handshake, no message of a WebSocket can be written; without its end, it counts as open.
    fn is_essential(&self) -> bool {
        match self {
            Self::Exchange(exchange) => exchange.websocket.is_some(),
            Self::WebSocketEnd { .. } | Self::CaptureEnd => true,
            Self::Message(_) => false,
        }
    }
}

/// The place of an item in the queue, which may be half empty.
const QUEUED_BYTES: usize = 2 * size_of::<(usize, Item)>();

/// One request and its response.
pub(crate) struct Exchange {
    /// The time of the request's first byte, in milliseconds since the epoch.
    pub(crate) started_ms: u64,
    /// The URL; its scheme is `ws` or `wss` if the exchange opened a WebSocket.
    pub(crate) url: String,
    /// The request method, in the case that was sent.
    pub(crate) method: Cow<'static, str>,
    /// The request's header fields, then its trailer fields.
    pub(crate) request_headers: Headers,
    /// The request body: chunked framing is removed, every other coding is still applied.
    pub(crate) request_body: Body,
    /// The response's head, with trailer fields after the header fields; or the reason why there is none.
    pub(crate) response: Result<ResponseHead, Cow<'static, str>>,
    /// The response body: chunked framing is removed, every other coding is still applied.
    pub(crate) response_body: Body,
    /// The time each phase took.
    pub(crate) timing: Timing,
    /// The WebSocket that the exchange opened.
    pub(crate) websocket: Option<WebSocketHandshake>,
    /// The part that is incomplete.
    pub(crate) cut_off: Option<CutOff>,
}

impl Exchange {
    fn copy(&self) -> Self {
        Self {
            started_ms: self.started_ms,
            url: self.url.clone(),
            method: self.method.clone(),
            request_headers: self.request_headers.clone(),
            request_body: self.request_body.copy(),
            response: self.response.clone(),
            response_body: self.response_body.copy(),
            timing: self.timing.clone(),
            websocket: self.websocket.clone(),
            cut_off: self.cut_off,
        }
    }

    /// Returns the number of bytes allocated.
    fn memory_bytes(&self) -> usize {
        let text = |text: &Cow<'_, str>| if let Cow::Owned(text) = text { text.capacity() } else { 0 };
        let protocol = self.websocket.as_ref().and_then(|websocket| websocket.protocol.as_ref());
        let parts = [
            self.url.capacity(),
            text(&self.method),
            self.request_headers.memory_bytes(),
            self.request_body.charged_bytes(),
            self.response.as_ref().map_or_else(text, ResponseHead::memory_bytes),
            self.response_body.charged_bytes(),
            protocol.map_or(0, String::capacity),
        ];
        parts.into_iter().fold(0, usize::saturating_add)
    }
}

/// A WebSocket that an exchange opened.
#[derive(Clone)]
pub(crate) struct WebSocketHandshake {
    /// Identifies the WebSocket in later items.
    pub(crate) key: WebSocketKey,
    /// The negotiated subprotocol.
    pub(crate) protocol: Option<String>,
}

/// One WebSocket message.
pub(crate) struct WebSocketMessage {
    /// The WebSocket it belongs to.
    pub(crate) websocket: WebSocketKey,
    /// The time of its last byte, in milliseconds since the epoch.
    pub(crate) ended_ms: u64,
    /// The direction: `Up` is sent by the client.
    pub(crate) dir: Dir,
    /// The kind of message; binary if the payload is still encoded.
    pub(crate) opcode: Opcode,
    /// The payload: unmasked, fragments joined, decoded.
    pub(crate) payload: Body,
    /// The encoding that is still on the payload, because it could not be decoded.
    pub(crate) encoding: Option<PayloadEncoding>,
    /// The cause if the message is incomplete.
    pub(crate) cut_off: Option<CutOffCause>,
}

/// A number that is unique for each WebSocket of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WebSocketKey(pub(crate) u64);
