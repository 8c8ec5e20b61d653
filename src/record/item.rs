//! What a connection hands to the writer.

use super::body::Body;
use crate::wire::message::{Headers, ResponseHead};
use crate::wire::tap::{Dir, Opcode};
use std::borrow::Cow;

/// Goes through the bounded channel, finished: the writer only has to write it down.
pub(crate) enum Item {
    /// An exchange ended.
    Exchange(Box<Exchange>),
    /// A WebSocket message is whole, or cut off by the end of its connection.
    Message(Message),
    /// A WebSocket ended.
    WebSocketEnd(WebSocketKey),
    /// Nothing more will come that matters: finish the bundle.
    Finish,
}

/// One request and its answer.
pub(crate) struct Exchange {
    /// When the request's first byte came, in milliseconds since the epoch.
    pub started: u64,
    /// As the client meant it; `ws` or `wss` where the exchange opened a WebSocket.
    pub url: String,
    /// Case as sent.
    pub method: Cow<'static, str>,
    /// Of the request; its trailers stand at the end.
    pub request_headers: Headers,
    /// As on the wire but for the chunk framing.
    pub request_body: Body,
    /// The response, trailers at the end of its fields; or in a few words why there is none.
    pub response: Result<ResponseHead, &'static str>,
    /// As on the wire but for the chunk framing.
    pub response_body: Body,
    /// How long its parts took.
    pub timing: Timing,
    /// If it opened a WebSocket.
    pub opens: Option<Opens>,
}

/// A WebSocket that begins.
pub(crate) struct Opens {
    /// Names it in later items.
    pub socket: WebSocketKey,
    /// The negotiated subprotocol.
    pub protocol: Option<String>,
}

/// One WebSocket message.
pub(crate) struct Message {
    /// The WebSocket it belongs to.
    pub socket: WebSocketKey,
    /// When its last byte came, in milliseconds since the epoch.
    pub at: u64,
    /// Who sent it.
    pub dir: Dir,
    /// Its kind.
    pub opcode: Opcode,
    /// Unmasked, joined and inflated.
    pub payload: Body,
}

/// Unique for each WebSocket of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WebSocketKey(pub u64);

/// How long the parts of an exchange took, in milliseconds; see the bundle's format for what each means.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Timing {
    pub dns: f64,
    pub connect: f64,
    pub tls: f64,
    pub send: f64,
    pub wait: f64,
    pub receive: f64,
    pub total: f64,
}
