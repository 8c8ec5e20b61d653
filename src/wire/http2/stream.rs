//! One stream: an exchange with its two directions, or the WebSocket it became (RFC 9113 section 5.1, RFC 8441).
//!
//! ```text
//! Up    Body ─▶ Ended              Down  Head ─▶ Body ─▶ Ended       both ended: nothing of it is kept
//!
//! Exchange ─────────── stays one
//! AsksSocket ── 2xx ─▶ Socket      the exchange has both its ends; what is still open are the directions
//! ```

use super::head::Purpose;
use crate::wire::message::{Headers, ResponseHead};
use crate::wire::tap::{Dir, Ending, Event, EventSink, ExchangeId, Finish, Tap};
use crate::wire::websocket::WebSocketTap;

/// A stream with a direction that has not ended.
pub(super) struct Stream {
    id: ExchangeId,
    kind: Kind,
    up: At,
    down: At,
    /// How large its fields are that somebody keeps until it is over.
    pub fields: usize,
}

enum Kind {
    Exchange,
    /// The request is over with its head, as that of a WebSocket in HTTP/1 is.
    AsksSocket,
    Socket(Box<WebSocketTap>),
}

/// Where a direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Head,
    Body,
    Ended,
}

/// The bytes are not ones that this exchange can have.
pub(super) struct Misplaced;

impl Stream {
    /// The stream whose request was just reported.
    pub(super) fn new(id: ExchangeId, purpose: Purpose, out: EventSink<'_>) -> Self {
        let kind = match purpose {
            Purpose::Exchange => Kind::Exchange,
            Purpose::Socket => {
                out(Event::End { id, dir: Dir::Up, how: Finish::Complete });
                Kind::AsksSocket
            }
        };
        Self { id, kind, up: At::Body, down: At::Head, fields: 0 }
    }

    /// The stream of a request that came in another way, and is over.
    pub(super) fn answering(id: ExchangeId) -> Self {
        Self { id, kind: Kind::Exchange, up: At::Ended, down: At::Head, fields: 0 }
    }

    pub(super) fn at(&self, dir: Dir) -> At {
        match dir {
            Dir::Up => self.up,
            Dir::Down => self.down,
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.up == At::Ended && self.down == At::Ended
    }

    /// The final response's head.
    pub(super) fn answer(&mut self, head: ResponseHead, out: EventSink<'_>) {
        let id = self.id;
        self.down = At::Body;
        if !matches!(self.kind, Kind::AsksSocket) || !(200..=299).contains(&head.status) {
            return out(Event::Response { id, head });
        }
        let protocol = head.headers.first("sec-websocket-protocol");
        let protocol = protocol.map(|name| String::from_utf8_lossy(name).into_owned());
        let mut socket = Box::new(WebSocketTap::new(id, &head.headers));
        out(Event::Response { id, head });
        out(Event::WebSocketOpen { id, protocol });
        out(Event::End { id, dir: Dir::Down, how: Finish::Complete });
        if self.up == At::Ended {
            socket.end(Dir::Up, Ending::Clean, out);
        }
        self.kind = Kind::Socket(socket);
    }

    /// A piece of DATA. What comes after the end, as it may while a reset travels, is nobody's.
    pub(super) fn data(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) -> Result<(), Misplaced> {
        match (&mut self.kind, dir, if dir == Dir::Up { self.up } else { self.down }) {
            (_, _, At::Ended) => {}
            (_, _, At::Head) => return Err(Misplaced),
            (Kind::Exchange, ..) | (Kind::AsksSocket, Dir::Down, _) => out(Event::Body { id: self.id, dir, bytes }),
            // There is no socket yet that could read it.
            (Kind::AsksSocket, Dir::Up, _) => return Err(Misplaced),
            (Kind::Socket(socket), ..) => socket.data(dir, bytes, &mut within(out)),
        }
        Ok(())
    }

    /// The fields after a body. A WebSocket has none.
    pub(super) fn trailers(&mut self, dir: Dir, headers: Headers, out: EventSink<'_>) {
        match (&self.kind, dir) {
            _ if headers.is_empty() => {}
            (Kind::Socket(_), _) | (Kind::AsksSocket, Dir::Up) => {}
            (Kind::Exchange, _) | (Kind::AsksSocket, Dir::Down) => out(Event::Trailers { id: self.id, dir, headers }),
        }
    }

    /// Direction `dir` is over, if it was not before.
    pub(super) fn end(&mut self, dir: Dir, how: Finish, out: EventSink<'_>) {
        let at = match dir {
            Dir::Up => &mut self.up,
            Dir::Down => &mut self.down,
        };
        let how = match (std::mem::replace(at, At::Ended), how) {
            (At::Ended, _) => return,
            // The end of an answer that never began.
            (At::Head, Finish::Complete) => Finish::Opaque,
            (At::Head | At::Body, how) => how,
        };
        match (&mut self.kind, dir, how) {
            (Kind::AsksSocket, Dir::Up, _) => {}
            (Kind::Exchange | Kind::AsksSocket, ..) => out(Event::End { id: self.id, dir, how }),
            (Kind::Socket(socket), _, Finish::Complete) => socket.end(dir, Ending::Clean, &mut within(out)),
            (Kind::Socket(socket), _, Finish::Truncated(how)) => socket.end(dir, how, &mut within(out)),
            (Kind::Socket(socket), _, Finish::Opaque) => socket.close(Finish::Opaque, out),
        }
    }

    /// Both directions are over: the one that says so, and with it the other.
    pub(super) fn reset(&mut self, by: Dir, out: EventSink<'_>) {
        self.end(by, Finish::Truncated(Ending::Reset), out);
        self.end(by.opposite(), Finish::Truncated(Ending::Abandoned), out);
    }

    /// Nothing more of it is understood.
    pub(super) fn give_up(&mut self, out: EventSink<'_>) {
        self.end(Dir::Up, Finish::Opaque, out);
        self.end(Dir::Down, Finish::Opaque, out);
    }
}

/// What a socket reports, but that its connection became opaque: only the socket did, and has said so of its messages.
fn within<'o>(out: EventSink<'o>) -> impl FnMut(Event<'_>) + 'o {
    |event| {
        if !matches!(event, Event::Opaque { .. }) {
            out(event);
        }
    }
}
