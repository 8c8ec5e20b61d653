//! The HTTP/1 tap: two directions of heads and bodies, and between them the requests that wait for their responses.
//!
//! ```text
//!  Up    ┌▶ Head ─▶ Body ─┐                    Down  ┌▶ Head ─▶ Body ─┐
//!        └───────┬────────┘                          └───────┬────────┘
//!                │ Request                    final Response │ is paired with the oldest
//!                └────────────▶ pending ─────────────────────┘
//!
//!  Http ──101 websocket, h2c──▶ Switched        Head, Body ──malformed, over a limit──▶ Opaque     that direction only
//!                                               Http ──other 101, CONNECT─────────────▶ Opaque     both directions
//! ```
//!
//! A direction blocks, and its bytes are held back, when their meaning depends on the other direction:
//! - `Up` after a request to switch protocols: the bytes belong to the next request or to the new protocol.
//! - `Down` while the head of the only request is incomplete: the origin may already refuse it (431, 408). If the head remains
//!   incomplete, its complete lines are reported, and the response is paired with it. The same applies while it is
//!   undecided whether a body or a head begins (`expect`).
//!
//! Held bytes are processed as soon as the other direction has decided, in the middle of its bytes. Otherwise the events would
//! depend on how the bytes are split.
//!
//! A direction becomes opaque only if it is unknown where its next message begins. The other direction is still read:
//! - After `Up`, the pending requests still get their responses.
//! - After `Down`, requests are still reported, without their responses.
//! - A response without a request is skipped and loses nothing. If its end is unknown, that is reported when a request follows.

use super::body::Http1BodyReader;
use super::chunked::BodyPiece;
use super::direction::{Http1Direction, MessageReader};
use super::expect::{Continuation, Expectation};
use super::framing::{Framing, request_framing, response_framing};
use super::head;
use super::head_scanner::{check_start, leading_empty_lines};
use super::pending::{PendingRequest, PendingRequests};
use crate::wire::http2::Http2Tap;
use crate::wire::message::{RequestHead, ResponseHead};
use crate::wire::tap::{Dir, Ending, EventSink, ExchangeId, Finish, Opaque, Tap, TapEvent};
use crate::wire::websocket::WebSocketTap;

mod stop;

/// Observes a connection that begins with HTTP/1.
pub(crate) struct Http1Tap {
    phase: Phase,
    up: Http1Direction,
    down: Http1Direction,
    /// The number of requests so far, which is the id of the next one.
    requests: u32,
    /// Reported requests whose response has not ended.
    pending: PendingRequests,
    /// The reported request that has not ended.
    sending: Option<ExchangeId>,
    /// The request that the current response answers; `None` if it is a response without a request.
    answering: Option<PendingRequest>,
    /// A request to switch protocols without a final response yet. It is the last one in `pending`.
    upgrade: Option<UpgradeRequest>,
    /// The expectation of the request in `sending`, until its body begins.
    expectation: Option<Expectation>,
}

enum Phase {
    Http,
    /// All bytes go to the tap for the new protocol.
    Switched(Box<dyn Tap>),
}

/// A request to switch protocols.
struct UpgradeRequest {
    id: ExchangeId,
    /// The value of its `HTTP2-Settings` field (RFC 7540 section 3.2.1).
    settings: Option<Vec<u8>>,
}

impl Http1Tap {
    pub(crate) fn new() -> Self {
        Self {
            phase: Phase::Http,
            up: Http1Direction::new(),
            down: Http1Direction::new(),
            requests: 0,
            pending: PendingRequests::default(),
            sending: None,
            answering: None,
            upgrade: None,
            expectation: None,
        }
    }
}

impl Tap for Http1Tap {
    fn data(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) {
        self.read(dir, bytes, out);
    }

    fn end(&mut self, dir: Dir, how: Ending, out: EventSink<'_>) {
        if let Phase::Switched(tap) = &mut self.phase {
            return tap.end(dir, how, out);
        }
        if dir == Dir::Up {
            // No request line follows.
            self.begin_body(out);
        }
        self.direction(dir).ended = Some(how);
        self.resume(dir, out);
        self.resume(dir.opposite(), out);
    }

    fn memory_bytes(&self) -> usize {
        if let Phase::Switched(tap) = &self.phase {
            return tap.memory_bytes();
        }
        let settings = self.upgrade.as_ref().and_then(|upgrade| upgrade.settings.as_ref()).map_or(0, Vec::capacity);
        let expectation = self.expectation.as_ref().map_or(0, Expectation::memory_bytes);
        let parts =
            [self.up.memory_bytes(), self.down.memory_bytes(), self.pending.memory_bytes(), settings, expectation];
        parts.into_iter().fold(size_of::<Self>(), usize::saturating_add)
    }
}

impl Http1Tap {
    /// Processes `bytes` until the direction blocks, and holds the rest.
    fn read(&mut self, dir: Dir, mut bytes: &[u8], out: EventSink<'_>) {
        loop {
            if let Phase::Switched(tap) = &mut self.phase {
                if !bytes.is_empty() {
                    tap.data(dir, bytes, out);
                }
                return;
            }
            if !self.direction(dir).is_readable() {
                return;
            }
            if self.is_blocked(dir) {
                if self.hold(dir, bytes) {
                    return;
                }
                self.exceed_held(dir, out);
                continue;
            }
            match self.read_next(dir, bytes, out) {
                Ok(Some(used)) => bytes = bytes.get(used..).unwrap_or_default(),
                Ok(None) => return,
                Err(cause) => self.become_opaque(dir, cause, out),
            }
            self.resume(dir.opposite(), out);
        }
    }

    /// Processes the held bytes and the end of `dir` if it is no longer blocked. May be called at any time.
    fn resume(&mut self, dir: Dir, out: EventSink<'_>) {
        if !self.direction(dir).held.is_empty() && !self.is_blocked(dir) {
            let held = std::mem::take(&mut self.direction(dir).held);
            self.read(dir, &held, out);
        }
        let direction = self.direction(dir);
        match direction.ended {
            Some(how) if direction.held.is_empty() => self.finish(dir, how, out),
            _ => {}
        }
    }

    /// Returns true if the meaning of the next bytes in `dir` depends on the other direction.
    fn is_blocked(&self, dir: Dir) -> bool {
        match (&self.phase, dir) {
            (Phase::Switched(_), _) => false,
            (Phase::Http, Dir::Up) => self.upgrade.is_some() && self.sending.is_none(),
            (Phase::Http, Dir::Down) => {
                let has_begun_request =
                    self.up.is_in_head() || self.expectation.as_ref().is_some_and(Expectation::is_undecided);
                has_begun_request
                    && self.pending.is_empty()
                    && self.down.is_between_messages()
                    && self.up.ended.is_none()
            }
        }
    }

    /// Holds `bytes` of a blocked direction; returns false if that would exceed the limit.
    fn hold(&mut self, dir: Dir, bytes: &[u8]) -> bool {
        if dir == Dir::Up && self.down.ended.is_some() {
            // No response can arrive, so these bytes are dropped, as `finish` drops the ones held earlier.
            return true;
        }
        let held = &mut self.direction(dir).held;
        if held.len().saturating_add(bytes.len()) > MAX_HELD_BYTES {
            return false;
        }
        held.extend_from_slice(bytes);
        true
    }

    /// Unblocks `dir`, whose held bytes exceed the limit.
    fn exceed_held(&mut self, dir: Dir, out: EventSink<'_>) {
        match dir {
            Dir::Up => self.become_opaque(Dir::Up, Opaque::LimitExceeded, out),
            Dir::Down => {
                self.begin_body(out);
                self.end_head(Finish::Opaque(Opaque::LimitExceeded), Opaque::EarlyResponse, out);
                self.resume(Dir::Down, out);
            }
        }
    }

    /// Reads up to the next event or decision and returns how many bytes that took, or `None` if more bytes are needed.
    fn read_next(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) -> Result<Option<usize>, Opaque> {
        if let MessageReader::Body(_) = self.direction(dir).reader {
            return self.read_body(dir, bytes, out);
        }
        if self.direction(dir).is_between_messages() {
            let skipped = leading_empty_lines(bytes);
            if skipped > 0 || bytes.is_empty() {
                return Ok((skipped > 0).then_some(skipped));
            }
        }
        match dir {
            Dir::Up => self.read_request(bytes, out),
            Dir::Down => self.read_response(bytes, out),
        }
    }

    fn read_request(&mut self, bytes: &[u8], out: EventSink<'_>) -> Result<Option<usize>, Opaque> {
        if self.up.is_between_messages() {
            out(TapEvent::Begin { id: ExchangeId(self.requests), dir: Dir::Up });
        }
        check_start(Dir::Up, self.up.head_len(), bytes)?;
        let (used, head) = match self.up.read_head(bytes) {
            Ok(Some(whole)) => whole,
            Ok(None) => return Ok(None),
            Err(cause) => {
                let lines = self.up.take_incomplete_head(bytes);
                self.report_incomplete_request(&lines, Finish::Opaque(cause), out);
                return Err(cause);
            }
        };
        let head_bytes = head.len();
        let head = head::request(&head)?;
        let framing = request_framing(&head);
        let expectation = framing.ok().and_then(|framing| Expectation::new(&head, framing));
        let settings = requests_upgrade(&head).then(|| head.headers.first("http2-settings").map(Into::into));
        let id = self.report_request(head, head_bytes, out)?;
        self.upgrade = settings.filter(|_| !self.pending.is_empty()).map(|settings| UpgradeRequest { id, settings });
        self.up.reader = MessageReader::Body(Http1BodyReader::new(framing?));
        self.expectation = expectation;
        Ok(Some(used))
    }

    /// Reports a request. Its response ends at once if it cannot be read.
    fn report_request(
        &mut self,
        head: RequestHead,
        head_bytes: usize,
        out: EventSink<'_>,
    ) -> Result<ExchangeId, Opaque> {
        let id = ExchangeId(self.requests);
        self.pending.push(id, &head.method, head_bytes)?;
        self.requests = self.requests.wrapping_add(1);
        self.sending = Some(id);
        out(TapEvent::Request { id, head });
        match &self.down.reader {
            _ if self.down.ended.is_some() => {}
            MessageReader::Skip => self.become_opaque(Dir::Down, Opaque::UnsolicitedResponse, out),
            MessageReader::Opaque => self.end_pending(Opaque::EarlierResponse, out),
            MessageReader::Body(body) if body.is_end_unknown() => match self.answering {
                None => self.become_opaque(Dir::Down, Opaque::UnsolicitedResponse, out),
                Some(_) => self.become_opaque(Dir::Down, Opaque::Framing, out),
            },
            MessageReader::Head(_) | MessageReader::Body(_) => {}
        }
        Ok(id)
    }

    fn read_response(&mut self, bytes: &[u8], out: EventSink<'_>) -> Result<Option<usize>, Opaque> {
        if self.down.is_between_messages() {
            self.answering = self.pending.front();
            out(match self.answering {
                Some(PendingRequest { id, .. }) => TapEvent::Begin { id, dir: Dir::Down },
                None => TapEvent::Unrequested { bytes: bytes.len() },
            });
        }
        check_start(Dir::Down, self.down.head_len(), bytes)?;
        let (used, head) = match self.down.read_head(bytes) {
            Ok(Some(whole)) => whole,
            Ok(None) => return Ok(None),
            Err(cause) => {
                let lines = self.down.take_incomplete_head(bytes);
                self.report_incomplete_response(&lines, out);
                return Err(cause);
            }
        };
        let head = head::response(&head)?;
        let Some(PendingRequest { id, method, .. }) = self.answering else {
            self.down.reader = MessageReader::Body(Http1BodyReader::new(response_framing("", &head)));
            return Ok(Some(used));
        };
        match (method, head.status) {
            (_, 101) => self.switch(id, head, out),
            ("CONNECT", 200..=299) => self.switch_to_unsupported(id, head, out),
            (_, 100..=199) => {
                if head.status == 100 && self.sending == Some(id) {
                    self.expectation = None;
                }
                self.down.end_message();
            }
            _ => {
                if self.upgrade.as_ref().is_some_and(|upgrade| upgrade.id == id) {
                    self.upgrade = None;
                }
                if let Some(expectation) = self.expectation.as_mut().filter(|_| self.sending == Some(id)) {
                    expectation.answered();
                }
                let framing = response_framing(method, &head);
                out(TapEvent::Response { id, head });
                self.down.reader = MessageReader::Body(Http1BodyReader::new(framing));
                if framing == Framing::Unknown && self.pending.len() > 1 {
                    // Nothing shows where the next response begins.
                    return Err(Opaque::Framing);
                }
            }
        }
        Ok(Some(used))
    }

    /// Handles a 101: the bytes after it, in both directions, belong to another protocol.
    fn switch(&mut self, id: ExchangeId, head: ResponseHead, out: EventSink<'_>) {
        // Impossible if bytes after the request were already read as its body or as another request.
        let can_switch = self.pending.len() == 1 && self.sending.is_none() && self.up.is_between_messages();
        if can_switch && head.headers.list_contains("upgrade", "h2c") {
            let settings = self.upgrade.take().and_then(|upgrade| upgrade.settings);
            out(TapEvent::Upgraded { id });
            self.phase = Phase::Switched(Box::new(Http2Tap::upgraded(id, settings.as_deref())));
        } else if can_switch && head.headers.list_contains("upgrade", "websocket") {
            let tap = WebSocketTap::open(id, head, out);
            self.end_message(id, Dir::Down, Finish::Complete, out);
            self.phase = Phase::Switched(Box::new(tap));
        } else {
            self.switch_to_unsupported(id, head, out);
        }
    }

    /// Reports a response after which the connection uses a protocol without a tap.
    fn switch_to_unsupported(&mut self, id: ExchangeId, head: ResponseHead, out: EventSink<'_>) {
        out(TapEvent::Response { id, head });
        self.end_message(id, Dir::Down, Finish::Complete, out);
        if let Some(id) = self.sending {
            self.end_message(id, Dir::Up, Finish::Opaque(Opaque::Switched), out);
        }
        self.end_pending(Opaque::Switched, out);
        out(TapEvent::Opaque { cause: Opaque::Switched });
        let ended = [self.up.ended, self.down.ended];
        *self = Self { requests: self.requests, ..Self::new() };
        [self.up.ended, self.down.ended] = ended;
        (self.up.reader, self.down.reader) = (MessageReader::Opaque, MessageReader::Opaque);
    }

    fn read_body(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) -> Result<Option<usize>, Opaque> {
        if dir == Dir::Up
            && let Some(expectation) = &mut self.expectation
        {
            match expectation.decide(bytes) {
                None => return Ok((!bytes.is_empty()).then_some(bytes.len())),
                Some(Continuation::Body) => self.begin_body(out),
                Some(Continuation::NextRequest) => self.omit_body(out),
            }
            return Ok(Some(0));
        }
        let open = match dir {
            Dir::Up => self.sending,
            Dir::Down => self.answering.map(|request| request.id),
        };
        let MessageReader::Body(body) = &mut self.direction(dir).reader else {
            return Ok(None);
        };
        let Some((used, piece)) = body.read(bytes)? else {
            return Ok(None);
        };
        match (piece, open) {
            (BodyPiece::Data(bytes), Some(id)) => out(TapEvent::Body { id, dir, bytes }),
            (BodyPiece::End(trailers), Some(id)) => {
                if !trailers.is_empty() {
                    out(TapEvent::Trailers { id, dir, headers: trailers });
                }
                self.end_message(id, dir, Finish::Complete, out);
            }
            // A response without a request.
            (BodyPiece::Data(_), None) => {}
            (BodyPiece::End(_), None) => self.down.end_message(),
        }
        Ok(Some(used))
    }

    /// Reads the bytes that an expectation held as the body. May be called at any time.
    fn begin_body(&mut self, out: EventSink<'_>) {
        if let Some(expectation) = self.expectation.take() {
            self.read(Dir::Up, &expectation.into_held(), out);
        }
    }

    /// Ends a request without its body, and reads the bytes that the expectation held as the next request.
    fn omit_body(&mut self, out: EventSink<'_>) {
        let held = self.expectation.take().map(Expectation::into_held);
        if let Some(id) = self.sending {
            self.end_message(id, Dir::Up, Finish::Truncated(Ending::Abandoned), out);
        }
        self.read(Dir::Up, &held.unwrap_or_default(), out);
    }

    /// Ends the current message of `dir`, which belongs to exchange `id`.
    fn end_message(&mut self, id: ExchangeId, dir: Dir, how: Finish, out: EventSink<'_>) {
        out(TapEvent::End { id, dir, how });
        match dir {
            Dir::Up => (self.sending, self.expectation) = (None, None),
            Dir::Down => {
                self.answering = None;
                self.pending.pop();
            }
        }
        self.direction(dir).end_message();
    }

    fn direction(&mut self, dir: Dir) -> &mut Http1Direction {
        match dir {
            Dir::Up => &mut self.up,
            Dir::Down => &mut self.down,
        }
    }
}

/// Returns true if the client may switch to another protocol after this request (RFC 9110 sections 7.8 and 9.3.6).
fn requests_upgrade(head: &RequestHead) -> bool {
    head.method == "CONNECT"
        || head.headers.first("upgrade").is_some() && head.headers.list_contains("connection", "upgrade")
}

/// The largest number of held bytes in a direction. Clients usually wait for the response to a switch, and a response to an
/// incomplete request is a small error page.
const MAX_HELD_BYTES: usize = 64 * 1024;
