//! The WebSocket tap: observes both directions of a connection after its 101, or of an HTTP/2 stream (RFC 6455, RFC 8441).
//!
//! ```text
//! bytes ─▶ frame ─────▶ direction ────────▶ MessageBegin, MessageData …, MessageEnd
//!          headers,     joins fragments  ▲  Control
//!          unmasking    └─▶ inflate ─────┘  (permessage-deflate, RFC 7692)
//! ```
//!
//! Only frame headers and the payloads of control frames are collected; messages of any size need a buffer of a few KiB.
//! A payload that cannot be decoded is reported as it is. A direction becomes opaque only if the end of a frame cannot be
//! known; the other one is still read. Frames that are only forbidden (a client's frame without a mask, data after a close,
//! invalid UTF-8) are reported as they are, because client and origin validate them.

mod direction;
mod frame;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod inflate;

use super::headers::Headers;
use super::message::ResponseHead;
use super::tap::{Dir, Ending, EventSink, ExchangeId, Finish, Tap, TapEvent};
use direction::WebSocketDirection;

/// Observes one WebSocket.
pub(crate) struct WebSocketTap {
    id: ExchangeId,
    /// `None` once the WebSocket has ended.
    directions: Option<Directions>,
}

struct Directions {
    up: WebSocketDirection,
    down: WebSocketDirection,
    /// The way the WebSocket ends, once that is known.
    ending: Option<Finish>,
}

impl WebSocketTap {
    /// Reports `head`, the response with which exchange `id` opens a WebSocket, and returns the tap of the WebSocket.
    pub(crate) fn open(id: ExchangeId, head: ResponseHead, out: EventSink<'_>) -> Self {
        let protocol = head.headers.first("sec-websocket-protocol");
        let protocol = protocol.map(|name| String::from_utf8_lossy(name).into_owned());
        let tap = Self::new(id, &head.headers);
        out(TapEvent::Response { id, head });
        out(TapEvent::WebSocketOpen { id, protocol });
        tap
    }

    /// Creates the tap of a WebSocket that exchange `id` opens. `response` are the header fields of its response.
    pub(crate) fn new(id: ExchangeId, response: &Headers) -> Self {
        Self::with_limit(id, response, inflate::MAX_INFLATED_BYTES)
    }

    fn with_limit(id: ExchangeId, response: &Headers, max_inflated: u64) -> Self {
        let deflate = inflate::negotiated(response);
        let direction =
            |dir| WebSocketDirection::new(id, dir, deflate.as_ref().map(|deflate| deflate.inflater(dir, max_inflated)));
        let directions = Directions { up: direction(Dir::Up), down: direction(Dir::Down), ending: None };
        Self { id, directions: Some(directions) }
    }

    /// Ends direction `dir`; its open message ends with `how`.
    pub(crate) fn close(&mut self, dir: Dir, how: Finish, out: EventSink<'_>) {
        let Some(directions) = &mut self.directions else {
            return;
        };
        if directions.direction(dir).is_closed() {
            return;
        }
        directions.direction(dir).close(how, out);
        directions.ending = directions.ending.or(match (dir, how) {
            // The client left first.
            (Dir::Up, Finish::Truncated(Ending::Clean | Ending::Truncated | Ending::Reset)) => {
                Some(Finish::Truncated(Ending::Abandoned))
            }
            // The proxy ended this direction because the other one ended.
            (Dir::Up, Finish::Truncated(Ending::Abandoned)) => None,
            _ => Some(how),
        });
        if directions.up.is_closed() && directions.down.is_closed() {
            let how = directions.ending.unwrap_or(how);
            self.directions = None;
            out(TapEvent::WebSocketEnd { id: self.id, how });
        }
    }
}

impl Tap for WebSocketTap {
    fn data(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) {
        let read = match &mut self.directions {
            Some(directions) => directions.direction(dir).read(bytes, out),
            None => Ok(()),
        };
        if let Err(cause) = read {
            self.close(dir, Finish::Opaque(cause), out);
            out(TapEvent::Opaque { cause });
        }
    }

    fn end(&mut self, dir: Dir, how: Ending, out: EventSink<'_>) {
        self.close(dir, Finish::Truncated(how), out);
    }

    fn memory_bytes(&self) -> usize {
        let directions = self.directions.as_ref();
        directions.map_or(0, |Directions { up, down, .. }| up.memory_bytes().saturating_add(down.memory_bytes()))
    }
}

impl Directions {
    fn direction(&mut self, dir: Dir) -> &mut WebSocketDirection {
        match dir {
            Dir::Up => &mut self.up,
            Dir::Down => &mut self.down,
        }
    }
}

#[cfg(test)]
mod tests;
