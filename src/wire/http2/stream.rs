//! One stream: an exchange with two directions, or a WebSocket (RFC 9113 section 5.1, RFC 8441).
//!
//! ```text
//! Up    Body ─▶ Ended              Down  Head ─▶ Body ─▶ Ended       both ended: the stream is removed
//!
//! Exchange                                  any other request
//! WebSocketRequest ── 2xx ─▶ WebSocket      the exchange has ended; the directions are still open
//! ```

use super::head::RequestPurpose;
use crate::wire::headers::Headers;
use crate::wire::message::ResponseHead;
use crate::wire::tap::{Dir, Ending, EventSink, ExchangeId, Finish, Opaque, Tap, TapEvent};
use crate::wire::websocket::WebSocketTap;

/// A stream of which at least one direction is open.
pub(super) struct Stream {
    id: ExchangeId,
    content: StreamContent,
    up: DirectionState,
    down: DirectionState,
    /// The size of its fields, which the recorder stores until the stream ends.
    pub field_bytes: usize,
}

enum StreamContent {
    Exchange,
    /// A request for a WebSocket. It ends with its head, as in HTTP/1.
    WebSocketRequest,
    WebSocket(Box<WebSocketTap>),
}

/// The state of a direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DirectionState {
    Head,
    Body,
    Ended,
}

/// The error for DATA that this exchange cannot have in its current state.
pub(super) struct Misplaced;

impl Stream {
    /// Creates the stream of a request that was just reported.
    pub(super) fn new(id: ExchangeId, purpose: RequestPurpose, out: EventSink<'_>) -> Self {
        let content = match purpose {
            RequestPurpose::Exchange => StreamContent::Exchange,
            RequestPurpose::WebSocket => {
                out(TapEvent::End { id, dir: Dir::Up, how: Finish::Complete });
                StreamContent::WebSocketRequest
            }
        };
        Self { id, content, up: DirectionState::Body, down: DirectionState::Head, field_bytes: 0 }
    }

    /// Creates the stream of a request that was sent in HTTP/1 and has ended.
    pub(super) fn after_request(id: ExchangeId) -> Self {
        Self {
            id,
            content: StreamContent::Exchange,
            up: DirectionState::Ended,
            down: DirectionState::Head,
            field_bytes: 0,
        }
    }

    /// Returns the state of direction `dir`.
    pub(super) fn state(&self, dir: Dir) -> DirectionState {
        match dir {
            Dir::Up => self.up,
            Dir::Down => self.down,
        }
    }

    /// Returns true if both directions have ended.
    pub(super) fn is_ended(&self) -> bool {
        self.up == DirectionState::Ended && self.down == DirectionState::Ended
    }

    /// Reports the final response's head.
    pub(super) fn respond(&mut self, head: ResponseHead, out: EventSink<'_>) {
        let id = self.id;
        self.down = DirectionState::Body;
        if !matches!(self.content, StreamContent::WebSocketRequest) || !(200..=299).contains(&head.status) {
            return out(TapEvent::Response { id, head });
        }
        let mut tap = Box::new(WebSocketTap::open(id, head, out));
        out(TapEvent::End { id, dir: Dir::Down, how: Finish::Complete });
        if self.up == DirectionState::Ended {
            tap.end(Dir::Up, Ending::Clean, out);
        }
        self.content = StreamContent::WebSocket(tap);
    }

    /// Reports a piece of DATA. DATA on an ended direction is ignored, because it may cross a reset.
    pub(super) fn data(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) -> Result<(), Misplaced> {
        match (&mut self.content, dir, if dir == Dir::Up { self.up } else { self.down }) {
            (_, _, DirectionState::Ended) => {}
            (_, _, DirectionState::Head) => return Err(Misplaced),
            (StreamContent::Exchange, ..) | (StreamContent::WebSocketRequest, Dir::Down, _) => {
                out(TapEvent::Body { id: self.id, dir, bytes })
            }
            // The WebSocket is not open yet.
            (StreamContent::WebSocketRequest, Dir::Up, _) => return Err(Misplaced),
            (StreamContent::WebSocket(tap), ..) => tap.data(dir, bytes, &mut without_opaque(out)),
        }
        Ok(())
    }

    /// Reports trailers. A WebSocket has none.
    pub(super) fn trailers(&mut self, dir: Dir, headers: Headers, out: EventSink<'_>) {
        match (&self.content, dir) {
            _ if headers.is_empty() => {}
            (StreamContent::WebSocket(_), _) | (StreamContent::WebSocketRequest, Dir::Up) => {}
            (StreamContent::Exchange, _) | (StreamContent::WebSocketRequest, Dir::Down) => {
                out(TapEvent::Trailers { id: self.id, dir, headers })
            }
        }
    }

    /// Ends direction `dir` if it is still open.
    pub(super) fn end(&mut self, dir: Dir, how: Finish, out: EventSink<'_>) {
        let state = match dir {
            Dir::Up => &mut self.up,
            Dir::Down => &mut self.down,
        };
        let how = match (std::mem::replace(state, DirectionState::Ended), how) {
            (DirectionState::Ended, _) => return,
            // The response ended without a head.
            (DirectionState::Head, Finish::Complete) => Finish::Opaque(Opaque::Http2),
            (DirectionState::Head | DirectionState::Body, how) => how,
        };
        match (&mut self.content, dir, how) {
            (StreamContent::WebSocketRequest, Dir::Up, _) => {}
            (StreamContent::Exchange | StreamContent::WebSocketRequest, ..) => {
                out(TapEvent::End { id: self.id, dir, how })
            }
            (StreamContent::WebSocket(tap), _, Finish::Complete) => {
                tap.end(dir, Ending::Clean, &mut without_opaque(out))
            }
            (StreamContent::WebSocket(tap), _, Finish::Truncated(how)) => tap.end(dir, how, &mut without_opaque(out)),
            (StreamContent::WebSocket(tap), _, Finish::Opaque(_)) => tap.close(how, out),
        }
    }

    /// Ends both directions: the one of the side that reset the stream, and the other.
    pub(super) fn reset(&mut self, by: Dir, out: EventSink<'_>) {
        self.end(by, Finish::Truncated(Ending::Reset), out);
        self.end(by.opposite(), Finish::Truncated(Ending::Abandoned), out);
    }

    /// Ends both directions because the stream cannot be parsed.
    pub(super) fn become_opaque(&mut self, cause: Opaque, out: EventSink<'_>) {
        self.end(Dir::Up, Finish::Opaque(cause), out);
        self.end(Dir::Down, Finish::Opaque(cause), out);
    }
}

/// Returns a sink for the events of a WebSocket that drops `Opaque`: only the WebSocket is opaque, not the connection, and its
/// messages have already ended as opaque.
fn without_opaque<'o>(out: EventSink<'o>) -> impl FnMut(TapEvent<'_>) + 'o {
    |event| {
        if !matches!(event, TapEvent::Opaque { .. }) {
            out(event);
        }
    }
}
