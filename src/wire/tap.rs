//! The tap: an observer that sees both directions of a connection and says what happened.
//!
//! ```text
//!            ┌────────── relay ──────────┐
//! client ◀──▶│ bytes, untouched          │◀──▶ origin
//!            └──┬────────────────────────┘
//!               │ the same bytes: Tap::data(Up | Down, …), Tap::end(Up | Down, …)
//!               ▼
//!              tap ──▶ Event, Event, …
//! ```
//!
//! The contract:
//! - A tap has no errors. What it does not understand it reports as [`Event::Opaque`], once, and is quiet from then on.
//! - **However the bytes are cut, the events are equal**, pieces of one body or message joined.
//! - The bytes of a request are shown to the tap before they are sent, so an answer never precedes its question.
//! - Every exchange that got a [`Event::Request`] gets an [`Event::End`] for `Down`, and for `Up` before or after it,
//!   at the latest when both directions have ended: nothing that began is left without an end.

use super::message::{Headers, RequestHead, ResponseHead};

/// Watches one connection.
pub(crate) trait Tap: Send {
    /// `bytes` were read on their way in direction `dir`.
    fn data(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>);

    /// Direction `dir` ended; nothing more comes that way. Called at most once per direction.
    fn end(&mut self, dir: Dir, how: Ending, out: EventSink<'_>);
}

/// Where a tap reports to.
pub(crate) type EventSink<'o> = &'o mut dyn FnMut(Event<'_>);

/// The way that bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dir {
    /// From the client to the origin.
    Up,
    /// From the origin to the client.
    Down,
}

impl Dir {
    /// The other way.
    pub(crate) fn opposite(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

/// How a direction of a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Closed properly: FIN, after a close_notify alert where TLS is spoken.
    Clean,
    /// FIN without the close_notify that TLS asks for: what came may be cut off (RFC 8446 section 6.1).
    Truncated,
    /// RST, or any other error of the connection.
    Reset,
    /// The other end left, so that this one was ended too.
    Abandoned,
    /// The capture was stopped.
    Stopped,
}

/// Numbers the exchanges of one connection from 0, in the order of their requests (for HTTP/2, the stream).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ExchangeId(pub u32);

/// What a tap saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// The first byte of a request, or of a response (of each one, if interim responses precede the final one).
    Begin { id: ExchangeId, dir: Dir },
    /// A request's head is whole.
    Request { id: ExchangeId, head: RequestHead },
    /// A final response's head is whole. Interim responses (1xx but 101) are not reported.
    Response { id: ExchangeId, head: ResponseHead },
    /// A piece of a body, never empty; chunk framing is removed, every other coding is still on.
    Body { id: ExchangeId, dir: Dir, bytes: &'a [u8] },
    /// Trailer fields, if there were any; before that direction's `End`.
    Trailers { id: ExchangeId, dir: Dir, headers: Headers },
    /// The request (`Up`) or the response (`Down`) is over. A `Cut` `Down` without a `Response` means that no answer came.
    End { id: ExchangeId, dir: Dir, how: Finish },
    /// The `Response` just reported opens a WebSocket with this subprotocol: a 101, or a 2xx in HTTP/2. Its `End` comes next.
    WebSocketOpen { id: ExchangeId, protocol: Option<String> },
    /// The connection goes on in HTTP/2, in which the `Response` comes: a 101 that is not the answer (RFC 7540 section 3.2).
    Upgraded { id: ExchangeId },
    /// A data message begins. In each direction one message ends before the next begins; control frames may stand between
    /// its pieces.
    MessageBegin { id: ExchangeId, dir: Dir, opcode: Opcode },
    /// A piece of the data message, unmasked and inflated, never empty.
    MessageData { id: ExchangeId, dir: Dir, bytes: &'a [u8] },
    /// The data message is over.
    MessageEnd { id: ExchangeId, dir: Dir, how: Finish },
    /// A control frame: ping, pong or close.
    Control { id: ExchangeId, dir: Dir, opcode: Opcode, payload: &'a [u8] },
    /// The WebSocket is over: both directions have ended, or it became opaque.
    WebSocketEnd { id: ExchangeId },
    /// From here on the connection is not understood. Everything open before has got its end.
    Opaque { why: Opaque },
}

/// Whether a message is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// It is.
    Complete,
    /// Its direction ended first.
    Truncated(Ending),
    /// The tap stopped understanding it.
    Opaque,
}

/// A WebSocket message's kind (RFC 6455 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opcode {
    /// UTF-8 text.
    Text,
    /// Anything.
    Binary,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
    /// Ends the connection; its payload is a code and a reason.
    Close,
}

/// Why a tap stopped reading a connection. Its bytes are still relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Opaque {
    /// The client sent bytes that are not an HTTP/1 request.
    Request,
    /// The origin sent bytes that are not an HTTP/1 response.
    Response,
    /// The origin sent a response although no request was pending.
    UnsolicitedResponse,
    /// A limit was exceeded: the size of a head, the length of a line in a chunked body, or the number of open exchanges or
    /// their size.
    LimitExceeded,
    /// The framing of a body is malformed.
    Framing,
    /// The connection switched to a protocol that is not captured.
    Switched,
    /// A WebSocket frame or its compressed payload is malformed.
    WebSocket,
    /// A WebSocket message decompresses to more than the limit.
    Inflated,
    /// The HTTP/2 preface or an HTTP/2 frame is malformed or out of place.
    Http2,
    /// An HTTP/2 field block cannot be decoded (HPACK).
    Hpack,
}

impl std::fmt::Display for Opaque {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Request => "a request that is not HTTP/1",
            Self::Response => "a response that is not HTTP/1",
            Self::UnsolicitedResponse => "a response without a request",
            Self::LimitExceeded => "an exceeded limit (head size, chunk line length or number of exchanges)",
            Self::Framing => "a body with malformed framing",
            Self::Switched => "a switch to another protocol",
            Self::WebSocket => "a malformed WebSocket frame",
            Self::Inflated => "a WebSocket message that decompresses to more than the limit",
            Self::Http2 => "malformed HTTP/2 framing",
            Self::Hpack => "a malformed HTTP/2 field block",
        })
    }
}

#[cfg(any(test, fuzzing))]
pub(crate) mod testing;
