//! The tap: an observer of both directions of a connection that reports events.
//!
//! ```text
//!            ┌────────── relay ──────────┐
//! client ◀──▶│ bytes, unchanged          │◀──▶ origin
//!            └──┬────────────────────────┘
//!               │ the same bytes: Tap::data(Up | Down, …), Tap::end(Up | Down, …)
//!               ▼
//!              tap ──▶ event, event, …
//! ```
//!
//! The contract:
//! - A tap returns no errors. It reports each part that it cannot parse with one [`TapEvent::Opaque`]: a direction in HTTP/1,
//!   in HTTP/2 and in a WebSocket, or a message in HTTP/2. The other parts are still reported.
//! - **The events do not depend on how the bytes are split**, once the pieces of one body or message are joined.
//! - The tap gets the bytes of a request before they are sent, so a response never arrives before its request.
//! - Every exchange with a [`TapEvent::Request`] gets one [`TapEvent::End`] for each direction, in either order, at the latest
//!   when both directions have ended.
//!
//! Four names differ from common ones on purpose:
//! - [`Dir`] is short because it is on almost every line; its values `Up` and `Down` match the arrows of the test dialogues.
//! - [`Ending`] is how a direction of a *connection* ended, [`Finish`] how a *message* did: a complete message can end with a
//!   reset connection.
//! - [`Opaque`] is not an error: the connection works and is still relayed, but a part of its content is unknown to the tap.

use super::error_code::ErrorCode;
use super::headers::Headers;
use super::message::{RequestHead, ResponseHead};
use std::cell::Cell;

/// Observes one connection.
pub(crate) trait Tap: Send {
    /// Processes `bytes`, which travel in direction `dir`.
    fn data(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>);

    /// Processes the end of direction `dir`. Called at most once for each direction, after all its bytes.
    fn end(&mut self, dir: Dir, how: Ending, out: EventSink<'_>);

    /// Returns the size of the tap's state, approximately. Takes constant time.
    fn memory_bytes(&self) -> usize;
}

/// Receives the events of a tap.
pub(crate) type EventSink<'o> = &'o mut dyn FnMut(TapEvent<'_>);

/// The direction in which bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dir {
    /// From the client to the origin.
    Up,
    /// From the origin to the client.
    Down,
}

impl Dir {
    /// Returns the other direction.
    pub(crate) fn opposite(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// The way a direction of a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Closed with FIN, and with a close_notify alert before it if the connection uses TLS.
    Clean,
    /// Closed with FIN but without the close_notify that TLS requires: the data may be truncated (RFC 8446 section 6.1).
    Truncated,
    /// Ended by RST or another connection error.
    Reset,
    /// Ended by the proxy because the other side closed.
    Abandoned,
    /// Ended because the capture was stopped.
    Stopped,
}

/// The id of an exchange on its connection. In HTTP/1 it counts requests from 0. In HTTP/2 it is the stream id, plus an offset
/// after an upgrade from HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ExchangeId(pub u32);

/// An event on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TapEvent<'a> {
    /// The first byte of a request or a response. Each interim response has an event of its own.
    Begin { id: ExchangeId, dir: Dir },
    /// A request's head is complete.
    Request { id: ExchangeId, head: RequestHead },
    /// A final response's head is complete. Interim responses (1xx except 101) are not reported.
    Response { id: ExchangeId, head: ResponseHead },
    /// A piece of a body, never empty. Chunk framing is removed; all other codings are still applied.
    Body { id: ExchangeId, dir: Dir, bytes: &'a [u8] },
    /// Trailer fields; only if there are any, and before the `End` of this direction.
    Trailers { id: ExchangeId, dir: Dir, headers: Headers },
    /// The request (`Up`) or the response (`Down`) ended. `Truncated` in `Down` without a `Response` means that the request
    /// was not answered.
    End { id: ExchangeId, dir: Dir, how: Finish },
    /// The last `Response` opens a WebSocket with this subprotocol: a 101, or a 2xx in HTTP/2. Its `End` follows.
    WebSocketOpen { id: ExchangeId, protocol: Option<String> },
    /// The connection switches to HTTP/2. The 101 is not reported: the `Response` follows in HTTP/2 (RFC 7540 section 3.2).
    Upgraded { id: ExchangeId },
    /// A data message begins, or a control frame that is not whole or not allowed. Such a control frame may begin and end
    /// within a data message of its direction. The events below then belong to the control frame until its end. A
    /// [`TapEvent::Control`] may also occur within a data message.
    MessageBegin { id: ExchangeId, dir: Dir, opcode: Opcode },
    /// A piece of the message, unmasked and decoded, never empty.
    MessageData { id: ExchangeId, dir: Dir, bytes: &'a [u8] },
    /// A piece of the message, unmasked but still encoded, never empty. Only for messages with an encoding, and before the
    /// `MessageData` that is decoded from it.
    MessageEncoded { id: ExchangeId, dir: Dir, bytes: &'a [u8] },
    /// The message cannot be decoded: its payload is its `MessageData` before the first `MessageEncoded`, then all of its
    /// `MessageEncoded`. Other `MessageData` is void. At most once, and no `MessageData` follows.
    MessageUndecodable { id: ExchangeId, dir: Dir, encoding: PayloadEncoding },
    /// The message ended.
    MessageEnd { id: ExchangeId, dir: Dir, how: Finish },
    /// A control frame: ping, pong or close.
    Control { id: ExchangeId, dir: Dir, opcode: Opcode, payload: &'a [u8] },
    /// The WebSocket ended: both directions have ended or became opaque. `how` is the end of the connection or stream as the
    /// client saw it: that of the origin's direction, or `Abandoned` if the client left first. It is `Opaque` if a direction
    /// became opaque before that, and never `Complete`.
    WebSocketEnd { id: ExchangeId, how: Finish },
    /// The tap is about to allocate `bytes` for a window that decompresses messages. If the receiver sets `is_refused`, the
    /// tap does without, and the message is undecodable.
    WindowNeeded { bytes: usize, is_refused: &'a Cell<bool> },
    /// The last `bytes` of the input are from the origin and answer no request. Only in HTTP/1.
    Unrequested { bytes: usize },
    /// A part of the connection is not reported. Messages that are incomplete for this reason end with [`Finish::Opaque`].
    Opaque { cause: Opaque },
}

impl TapEvent<'_> {
    /// Returns the exchange that the event belongs to; `None` if it concerns the connection.
    pub(crate) fn id(&self) -> Option<ExchangeId> {
        match self {
            Self::Begin { id, .. }
            | Self::Request { id, .. }
            | Self::Response { id, .. }
            | Self::Body { id, .. }
            | Self::Trailers { id, .. }
            | Self::End { id, .. }
            | Self::WebSocketOpen { id, .. }
            | Self::Upgraded { id }
            | Self::MessageBegin { id, .. }
            | Self::MessageData { id, .. }
            | Self::MessageEncoded { id, .. }
            | Self::MessageUndecodable { id, .. }
            | Self::MessageEnd { id, .. }
            | Self::Control { id, .. }
            | Self::WebSocketEnd { id, .. } => Some(*id),
            Self::WindowNeeded { .. } | Self::Unrequested { .. } | Self::Opaque { .. } => None,
        }
    }
}

/// The way a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// The message is complete.
    Complete,
    /// Its direction ended before the message did.
    Truncated(Ending),
    /// The tap could not parse the rest of the message, or a limit was exceeded.
    Opaque(Opaque),
    /// The client (`Up`) or the origin (`Down`) reset the message's HTTP/2 stream (RFC 9113 section 5.4.2). A GOAWAY resets
    /// the streams that it excludes with REFUSED_STREAM, because it means the same for them (section 6.8).
    Reset { by: Dir, code: ErrorCode },
    /// The message ended properly, but with fewer bytes than its Content-Length (RFC 9113 section 8.1.1).
    Short,
}

/// The encoding of a WebSocket payload that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PayloadEncoding {
    /// Compressed with permessage-deflate (RFC 7692), but not valid, or only valid after an earlier message that is not.
    PermessageDeflate,
    /// The encoding of an unknown extension: its reserved bits are set, or the opcode is reserved (RFC 6455 section 5.2).
    Unknown,
}

/// The type of a WebSocket message or control frame (RFC 6455 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    /// UTF-8 text.
    Text,
    /// Binary data.
    Binary,
    /// Requests a pong.
    Ping,
    /// Answers a ping.
    Pong,
    /// Closes the connection; the payload is a status code and a reason.
    Close,
}

/// The cause when a tap stops reading a part of a connection. The bytes are still relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Opaque {
    /// The client sent bytes that are not an HTTP/1 request.
    Request,
    /// The client's direction ended within the first line of a request.
    IncompleteRequest,
    /// The origin answered within the first line of a request.
    EarlyResponse,
    /// The origin sent bytes that are not an HTTP/1 response.
    Response,
    /// The origin sent data although no request was pending, and its end is unknown. Reported with the next request.
    UnsolicitedResponse,
    /// The origin's data before this response could not be parsed.
    EarlierResponse,
    /// A limit of HTTP/1 was exceeded: the size of a head, the length of a line in a chunked body, the number or size of open
    /// exchanges, or the size of the bytes that wait for the other direction.
    LimitExceeded,
    /// The framing of a body is malformed.
    Framing,
    /// The connection switched to a protocol that is not captured.
    Switched,
    /// A WebSocket frame is malformed.
    WebSocket,
    /// The HTTP/2 preface or an HTTP/2 frame is malformed, or interrupts a field block.
    Http2,
    /// An HTTP/2 frame is out of place. Only it or the rest of its message is not reported.
    Misplaced,
    /// An HTTP/2 message exceeds a limit: the size of its head, or the number or size of open streams. Only its fields or
    /// the rest of its stream are not reported.
    StreamLimit,
    /// An HTTP/2 field block cannot be decoded (HPACK).
    Hpack,
    /// The memory for recording is used up. The rest of the connection is not recorded.
    MemoryLimit,
}

impl std::fmt::Display for Opaque {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Request => "a request that is not HTTP/1",
            Self::IncompleteRequest => "a request that ended within its first line",
            Self::EarlyResponse => "a response to an incomplete request",
            Self::Response => "a response that is not HTTP/1",
            Self::UnsolicitedResponse => "a response without a request",
            Self::EarlierResponse => "an earlier response that could not be parsed",
            Self::LimitExceeded => "an exceeded limit (head size, chunk line length or number of exchanges)",
            Self::Framing => "a body with malformed framing",
            Self::Switched => "a switch to another protocol",
            Self::WebSocket => "a malformed WebSocket frame",
            Self::Http2 => "malformed HTTP/2 framing",
            Self::Misplaced => "misplaced HTTP/2 frames",
            Self::StreamLimit => "an exceeded limit of an HTTP/2 message (head size, number or size of streams)",
            Self::Hpack => "a malformed HTTP/2 field block",
            Self::MemoryLimit => "the memory limit",
        })
    }
}

#[cfg(any(test, fuzzing))]
pub(crate) mod testing;
