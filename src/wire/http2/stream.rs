//! One stream: an exchange with two directions, or a WebSocket (RFC 9113 section 5.1, RFC 8441).
//!
//! ```text
//! Up    Body ─▶ Ended              Down  Head ─▶ Body ─▶ Ended       both ended: the stream is removed
//!
//! Exchange                                  any other request
//! WebSocketRequest ── 2xx ─▶ WebSocket      the exchange has ended; the directions are still open
//! ```
//!
//! A misplaced frame ends only its own direction: the response to a malformed request may explain the error.

use super::head::RequestPurpose;
use super::hpack::HeaderList;
use crate::wire::headers::Headers;
use crate::wire::message::{RequestHead, ResponseHead};
use crate::wire::tap::{Dir, Ending, EventSink, ExchangeId, Finish, Opaque, Tap, TapEvent};
use crate::wire::websocket::WebSocketTap;

/// A stream of which at least one direction is open.
pub(super) struct Stream {
    id: ExchangeId,
    content: StreamContent,
    up: StreamDirection,
    down: StreamDirection,
    /// True if the response to this request has the body size that its Content-Length says.
    has_sized_response: bool,
    /// The size of its fields, which the recorder stores until the stream ends, and of its early data.
    pub stored_bytes: usize,
}

enum StreamContent {
    Exchange,
    /// A request for a WebSocket. It ends with its head, as in HTTP/1.
    WebSocketRequest(EarlyData),
    WebSocket(Box<WebSocketTap>),
}

/// The data that a client sends before the WebSocket is open.
#[derive(Default)]
struct EarlyData {
    /// At most [`MAX_EARLY_BYTES`].
    bytes: Vec<u8>,
    /// The end of the direction, if it has ended.
    end: Option<Finish>,
}

/// One direction of a stream.
struct StreamDirection {
    state: DirectionState,
    /// The number of bytes that the body still needs according to its Content-Length; `None` if there is no such field.
    missing: Option<u64>,
    /// True if fields of the message were omitted.
    is_truncated: bool,
}

/// The state of a direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DirectionState {
    Head,
    Body,
    Ended,
}

impl Stream {
    /// Reports a request and creates its stream.
    pub(super) fn open(
        id: ExchangeId,
        head: RequestHead,
        purpose: RequestPurpose,
        list: HeaderList,
        out: EventSink<'_>,
    ) -> Self {
        let (is_connect, is_head) = (head.method == "CONNECT", head.method == "HEAD");
        let mut up = StreamDirection::new(DirectionState::Body);
        up.missing = content_length(&head.headers).filter(|_| !is_connect);
        let content = match purpose {
            RequestPurpose::Exchange => StreamContent::Exchange,
            RequestPurpose::WebSocket => StreamContent::WebSocketRequest(EarlyData::default()),
        };
        out(TapEvent::Request { id, head });
        up.note_list(list, out);
        if purpose == RequestPurpose::WebSocket {
            out(TapEvent::End { id, dir: Dir::Up, how: up.finish(Finish::Complete) });
        }
        let down = StreamDirection::new(DirectionState::Head);
        Self { id, content, up, down, has_sized_response: !is_connect && !is_head, stored_bytes: list.size }
    }

    /// Creates the stream of a request that was sent in HTTP/1 and has ended.
    pub(super) fn after_request(id: ExchangeId) -> Self {
        Self {
            id,
            content: StreamContent::Exchange,
            up: StreamDirection::new(DirectionState::Ended),
            down: StreamDirection::new(DirectionState::Head),
            // The request may have been a HEAD.
            has_sized_response: false,
            stored_bytes: 0,
        }
    }

    /// Returns the state of direction `dir`.
    pub(super) fn state(&self, dir: Dir) -> DirectionState {
        match dir {
            Dir::Up => self.up.state,
            Dir::Down => self.down.state,
        }
    }

    /// Returns the number of bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        match &self.content {
            StreamContent::Exchange => 0,
            StreamContent::WebSocketRequest(early) => early.bytes.capacity(),
            StreamContent::WebSocket(tap) => size_of::<WebSocketTap>().saturating_add(tap.memory_bytes()),
        }
    }

    /// Returns true if both directions have ended.
    pub(super) fn is_ended(&self) -> bool {
        self.up.state == DirectionState::Ended && self.down.state == DirectionState::Ended
    }

    /// Reports the final response's head.
    pub(super) fn respond(&mut self, head: ResponseHead, list: HeaderList, out: EventSink<'_>) {
        let id = self.id;
        self.stored_bytes += list.size;
        self.down.state = DirectionState::Body;
        let accepts = (200..=299).contains(&head.status);
        match &mut self.content {
            StreamContent::WebSocketRequest(early) if accepts => {
                let early = std::mem::take(early);
                let mut tap = Box::new(WebSocketTap::open(id, head, out));
                self.down.note_list(list, out);
                out(TapEvent::End { id, dir: Dir::Down, how: self.down.finish(Finish::Complete) });
                self.stored_bytes -= early.bytes.len();
                if !early.bytes.is_empty() {
                    tap.data(Dir::Up, &early.bytes, out);
                }
                if let Some(how) = early.end {
                    tap.close(Dir::Up, websocket_finish(Dir::Up, how), out);
                }
                self.content = StreamContent::WebSocket(tap);
            }
            _ => {
                // Section 8.1.1: a 304 has no body, whatever its Content-Length.
                self.down.missing =
                    content_length(&head.headers).filter(|_| self.has_sized_response && head.status != 304);
                out(TapEvent::Response { id, head });
                self.down.note_list(list, out);
                self.refuse_early_data(out);
            }
        }
    }

    /// Reports the early data of a request for a WebSocket that the origin refused: it belongs to no message.
    fn refuse_early_data(&mut self, out: EventSink<'_>) {
        if let StreamContent::WebSocketRequest(early) = &mut self.content
            && !early.bytes.is_empty()
        {
            self.stored_bytes -= early.bytes.len();
            early.bytes = Vec::new();
            let is_reported = matches!(early.end, Some(Finish::Opaque(_)));
            self.end(Dir::Up, Finish::Opaque(Opaque::Misplaced), out);
            if !is_reported {
                out(TapEvent::Opaque { cause: Opaque::Misplaced });
            }
        }
    }

    /// Reports a piece of DATA. DATA on an ended direction is ignored, because it may cross a reset.
    pub(super) fn data(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) {
        let has_response = self.down.state != DirectionState::Head;
        let direction = if dir == Dir::Up { &mut self.up } else { &mut self.down };
        match (&mut self.content, dir, direction.state) {
            (_, _, DirectionState::Ended) => {}
            (_, _, DirectionState::Head) => self.fail(dir, Opaque::Misplaced, out),
            (StreamContent::Exchange, ..) | (StreamContent::WebSocketRequest(_), Dir::Down, _) => {
                direction.missing = direction.missing.map(|missing| missing.saturating_sub(bytes.len() as u64));
                out(TapEvent::Body { id: self.id, dir, bytes })
            }
            // The origin refused the WebSocket.
            (StreamContent::WebSocketRequest(_), Dir::Up, _) if has_response => self.fail(dir, Opaque::Misplaced, out),
            (StreamContent::WebSocketRequest(early), Dir::Up, _) => {
                let space = MAX_EARLY_BYTES.saturating_sub(early.bytes.len());
                let held = bytes.get(..space).unwrap_or(bytes);
                early.bytes.extend_from_slice(held);
                self.stored_bytes += held.len();
                if held.len() < bytes.len() {
                    self.fail(dir, Opaque::StreamLimit, out);
                }
            }
            (StreamContent::WebSocket(tap), ..) => tap.data(dir, bytes, out),
        }
    }

    /// Reports trailers. A WebSocket has none.
    pub(super) fn trailers(&mut self, dir: Dir, headers: Headers, list: HeaderList, out: EventSink<'_>) {
        self.stored_bytes += list.size;
        let id = self.id;
        let direction = if dir == Dir::Up { &mut self.up } else { &mut self.down };
        match (&self.content, dir) {
            (StreamContent::WebSocket(_), _) | (StreamContent::WebSocketRequest(_), Dir::Up) => {}
            (StreamContent::Exchange, _) | (StreamContent::WebSocketRequest(_), Dir::Down) => {
                if !headers.is_empty() {
                    out(TapEvent::Trailers { id, dir, headers });
                }
                direction.note_list(list, out);
            }
        }
    }

    /// Ends direction `dir` if it is still open.
    pub(super) fn end(&mut self, dir: Dir, how: Finish, out: EventSink<'_>) {
        let direction = if dir == Dir::Up { &mut self.up } else { &mut self.down };
        match (direction.state, how) {
            (DirectionState::Ended, _) => return,
            // The response ended without a head.
            (DirectionState::Head, Finish::Complete) => return self.fail(dir, Opaque::Misplaced, out),
            (DirectionState::Head | DirectionState::Body, _) => direction.state = DirectionState::Ended,
        }
        let how = direction.finish(how);
        match (&mut self.content, dir) {
            (StreamContent::WebSocketRequest(early), Dir::Up) => early.end = Some(how),
            (StreamContent::Exchange | StreamContent::WebSocketRequest(_), _) => {
                out(TapEvent::End { id: self.id, dir, how })
            }
            (StreamContent::WebSocket(tap), _) => tap.close(dir, websocket_finish(dir, how), out),
        }
    }

    /// Ends both directions, that of `how`'s side first.
    pub(super) fn end_both(&mut self, first: Dir, how: Finish, out: EventSink<'_>) {
        self.end(first, how, out);
        self.end(first.opposite(), how, out);
    }

    /// Ends direction `dir` because it cannot be parsed further.
    pub(super) fn fail(&mut self, dir: Dir, cause: Opaque, out: EventSink<'_>) {
        self.end(dir, Finish::Opaque(cause), out);
        if dir == Dir::Down && matches!(self.content, StreamContent::WebSocketRequest(_)) {
            // Without a valid response there is no WebSocket.
            self.end(Dir::Up, Finish::Opaque(cause), out);
        }
        out(TapEvent::Opaque { cause });
    }

    /// Ends both directions because of a limit.
    pub(super) fn exceed_limit(&mut self, out: EventSink<'_>) {
        self.end_both(Dir::Up, Finish::Opaque(Opaque::StreamLimit), out);
        out(TapEvent::Opaque { cause: Opaque::StreamLimit });
    }
}

impl StreamDirection {
    fn new(state: DirectionState) -> Self {
        Self { state, missing: None, is_truncated: false }
    }

    /// Reports fields that were omitted.
    fn note_list(&mut self, list: HeaderList, out: EventSink<'_>) {
        if list.is_truncated && !self.is_truncated {
            self.is_truncated = true;
            out(TapEvent::Opaque { cause: Opaque::StreamLimit });
        }
    }

    /// Returns how the message of this direction ended if the direction ended with `how`.
    fn finish(&self, how: Finish) -> Finish {
        match how {
            Finish::Complete if self.is_truncated => Finish::Opaque(Opaque::StreamLimit),
            Finish::Complete if self.missing.is_some_and(|missing| missing > 0) => Finish::Short,
            how => how,
        }
    }
}

/// Returns how the open message of a WebSocket ends if the stream ended with `how`. END_STREAM is the FIN of the WebSocket, and
/// RST_STREAM its RST (RFC 8441 section 5).
fn websocket_finish(dir: Dir, how: Finish) -> Finish {
    match how {
        Finish::Complete | Finish::Short => Finish::Truncated(Ending::Clean),
        Finish::Reset { by, .. } if by == dir => Finish::Truncated(Ending::Reset),
        Finish::Reset { .. } => Finish::Truncated(Ending::Abandoned),
        Finish::Truncated(_) | Finish::Opaque(_) => how,
    }
}

/// Returns the value of Content-Length; `None` if it is missing, invalid or ambiguous.
fn content_length(headers: &Headers) -> Option<u64> {
    let mut values = headers.all("content-length");
    let value = values.next().filter(|value| values.all(|other| other == *value))?;
    let digits = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok()
}

/// The largest size of the data that is held until a WebSocket opens: the initial flow-control window, beyond which most clients
/// cannot send (RFC 9113 section 6.9.2).
const MAX_EARLY_BYTES: usize = (1 << 16) - 1;
