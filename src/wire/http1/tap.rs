//! The HTTP/1 tap: two directions of heads and bodies, and between them the requests that wait for their responses.
//!
//! ```text
//!  Up    ┌▶ Head ─▶ Body ─┐                    Down  ┌▶ Head ─▶ Body ─┐
//!        └───────┬────────┘                          └───────┬────────┘
//!                │ Request                    final Response │ is paired with the oldest
//!                └────────────▶ pending ─────────────────────┘
//!
//!  Http ──101 websocket, h2c──▶ Switched        Http ──other 101, CONNECT, malformed──▶ Opaque
//! ```
//!
//! A direction blocks, and its bytes are held back, when their meaning depends on the other direction:
//! - `Up` after a request to switch protocols: the bytes belong to the next request or to the new protocol.
//! - `Down` while the head of the only request is incomplete: the origin may already refuse it (431, 408).
//!
//! Held bytes are processed as soon as the other direction has decided, in the middle of its bytes. Otherwise the events would
//! depend on how the bytes are split.

use super::body::Http1BodyReader;
use super::chunked::BodyPiece;
use super::framing::{request_framing, response_framing};
use super::head;
use super::head_scanner::{HeadReader, WholeHead, check_start, leading_empty_lines};
use crate::wire::http2::Http2Tap;
use crate::wire::message::{RequestHead, ResponseHead};
use crate::wire::tap::{Dir, Ending, EventSink, ExchangeId, Finish, Opaque, Tap, TapEvent};
use crate::wire::websocket::WebSocketTap;
use std::collections::VecDeque;

/// Observes a connection that begins with HTTP/1.
pub(crate) struct Http1Tap {
    phase: Phase,
    up: Http1Direction,
    down: Http1Direction,
    /// The number of requests so far, which is the id of the next one.
    requests: u32,
    /// Reported requests whose response has not ended, oldest first. At most [`MAX_PENDING_REQUESTS`].
    pending: VecDeque<PendingRequest>,
    /// The total size of their heads. At most [`MAX_PENDING_HEAD_BYTES`].
    pending_head_bytes: usize,
    /// The reported request that has not ended.
    sending: Option<ExchangeId>,
    /// A request to switch protocols without a final response yet. It is the last one in `pending`.
    upgrade: Option<UpgradeRequest>,
}

enum Phase {
    Http,
    /// All bytes go to the tap for the new protocol.
    Switched(Box<dyn Tap>),
    Opaque,
}

/// One direction of the connection.
struct Http1Direction {
    reader: MessageReader,
    /// Bytes received while this direction is blocked. At most [`MAX_HELD_BYTES`]; empty while it is not blocked.
    held: Vec<u8>,
    /// The end of the direction. It may have ended while bytes are held.
    ended: Option<Ending>,
}

/// The reader of the current message.
enum MessageReader {
    /// Between two messages or in a head.
    Head(HeadReader),
    Body(Http1BodyReader),
}

/// A request whose response has not ended.
#[derive(Clone, Copy)]
struct PendingRequest {
    id: ExchangeId,
    /// `HEAD`, `CONNECT`, or empty for all other methods, which have no effect on the response's framing. They are not
    /// stored, because a method can be as long as a head.
    method: &'static str,
    /// The size of its head.
    head_bytes: usize,
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
            pending: VecDeque::new(),
            pending_head_bytes: 0,
            sending: None,
            upgrade: None,
        }
    }
}

impl Tap for Http1Tap {
    fn data(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) {
        if let Err(cause) = self.read(dir, bytes, out) {
            self.become_opaque(cause, out);
        }
    }

    fn end(&mut self, dir: Dir, how: Ending, out: EventSink<'_>) {
        match &mut self.phase {
            Phase::Http => {}
            Phase::Switched(tap) => return tap.end(dir, how, out),
            Phase::Opaque => return,
        }
        self.direction(dir).ended = Some(how);
        let ended = self.resume(dir, out).and_then(|()| self.resume(dir.opposite(), out));
        if let Err(cause) = ended {
            self.become_opaque(cause, out);
        }
    }
}

impl Http1Tap {
    /// Processes `bytes` until the direction blocks, and holds the rest.
    fn read(&mut self, dir: Dir, mut bytes: &[u8], out: EventSink<'_>) -> Result<(), Opaque> {
        loop {
            match &mut self.phase {
                Phase::Http => {}
                Phase::Switched(tap) => {
                    if !bytes.is_empty() {
                        tap.data(dir, bytes, out);
                    }
                    return Ok(());
                }
                Phase::Opaque => return Ok(()),
            }
            if self.is_blocked(dir) {
                return self.hold(dir, bytes);
            }
            let Some(used) = self.read_next(dir, bytes, out)? else {
                return Ok(());
            };
            bytes = bytes.get(used..).unwrap_or_default();
            self.resume(dir.opposite(), out)?;
        }
    }

    /// Processes the held bytes and the end of `dir` if it is no longer blocked. May be called at any time.
    fn resume(&mut self, dir: Dir, out: EventSink<'_>) -> Result<(), Opaque> {
        if !self.direction(dir).held.is_empty() && !self.is_blocked(dir) {
            let held = std::mem::take(&mut self.direction(dir).held);
            self.read(dir, &held, out)?;
        }
        let direction = self.direction(dir);
        match direction.ended {
            Some(how) if direction.held.is_empty() => self.finish(dir, how, out),
            _ => {}
        }
        Ok(())
    }

    /// Returns true if the meaning of the next bytes in `dir` depends on the other direction.
    fn is_blocked(&self, dir: Dir) -> bool {
        match (&self.phase, dir) {
            (Phase::Http, Dir::Up) => self.upgrade.is_some() && self.sending.is_none(),
            (Phase::Http, Dir::Down) => self.pending.is_empty() && self.up.in_head() && self.up.ended.is_none(),
            (Phase::Switched(_) | Phase::Opaque, _) => false,
        }
    }

    fn hold(&mut self, dir: Dir, bytes: &[u8]) -> Result<(), Opaque> {
        if dir == Dir::Up && self.down.ended.is_some() {
            // No response can arrive, so these bytes are dropped, as `finish` drops the ones held earlier.
            return Ok(());
        }
        let held = &mut self.direction(dir).held;
        if held.len().saturating_add(bytes.len()) > MAX_HELD_BYTES {
            return Err(match dir {
                Dir::Up => Opaque::Switched,
                Dir::Down => Opaque::UnsolicitedResponse,
            });
        }
        held.extend_from_slice(bytes);
        Ok(())
    }

    /// Reads up to the next event or decision and returns how many bytes that took, or `None` if more bytes are needed.
    fn read_next(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) -> Result<Option<usize>, Opaque> {
        let direction = self.direction(dir);
        match &mut direction.reader {
            MessageReader::Body(_) => return self.read_body(dir, bytes, out),
            MessageReader::Head(head) if head.len() == 0 => {
                let skipped = leading_empty_lines(bytes);
                if skipped > 0 || bytes.is_empty() {
                    return Ok((skipped > 0).then_some(skipped));
                }
            }
            MessageReader::Head(_) => {}
        }
        match dir {
            Dir::Up => self.read_request(bytes, out),
            Dir::Down => self.read_response(bytes, out),
        }
    }

    fn read_request(&mut self, bytes: &[u8], out: EventSink<'_>) -> Result<Option<usize>, Opaque> {
        let id = ExchangeId(self.requests);
        let Some((used, head)) = self.up.read_head(id, Dir::Up, bytes, out)? else {
            return Ok(None);
        };
        let head_bytes = head.len();
        let head = head::request(&head)?;
        self.pending_head_bytes = self.pending_head_bytes.saturating_add(head_bytes);
        if self.pending.len() >= MAX_PENDING_REQUESTS || self.pending_head_bytes > MAX_PENDING_HEAD_BYTES {
            return Err(Opaque::LimitExceeded);
        }
        let method = match &*head.method {
            "HEAD" => "HEAD",
            "CONNECT" => "CONNECT",
            _ => "",
        };
        self.requests = self.requests.wrapping_add(1);
        self.pending.push_back(PendingRequest { id, method, head_bytes });
        self.sending = Some(id);
        self.upgrade = requests_upgrade(&head)
            .then(|| UpgradeRequest { id, settings: head.headers.first("http2-settings").map(Into::into) });
        let framing = request_framing(&head);
        out(TapEvent::Request { id, head });
        self.up.reader = MessageReader::Body(Http1BodyReader::new(framing?));
        self.check_response_end()?;
        Ok(Some(used))
    }

    fn read_response(&mut self, bytes: &[u8], out: EventSink<'_>) -> Result<Option<usize>, Opaque> {
        let Some(&PendingRequest { id, method, .. }) = self.pending.front() else {
            // A response to an incomplete request, or to none.
            return Err(if self.up.in_head() { Opaque::Request } else { Opaque::UnsolicitedResponse });
        };
        let Some((used, head)) = self.down.read_head(id, Dir::Down, bytes, out)? else {
            return Ok(None);
        };
        let head = head::response(&head)?;
        match (method, head.status) {
            (_, 101) => self.switch(id, head, out)?,
            (_, 100..=199) => self.down.reader = MessageReader::Head(HeadReader::for_message()),
            ("CONNECT", 200..=299) => return self.switch_to_unsupported(id, head, out),
            _ => {
                if self.upgrade.as_ref().is_some_and(|upgrade| upgrade.id == id) {
                    self.upgrade = None;
                }
                let framing = response_framing(method, &head);
                out(TapEvent::Response { id, head });
                self.down.reader = MessageReader::Body(Http1BodyReader::new(framing));
                self.check_response_end()?;
            }
        }
        Ok(Some(used))
    }

    /// Fails if the end of the current response is unknown and another response may follow.
    fn check_response_end(&self) -> Result<(), Opaque> {
        match &self.down.reader {
            MessageReader::Body(body) if body.is_end_unknown() && self.pending.len() > 1 => Err(Opaque::Framing),
            _ => Ok(()),
        }
    }

    /// Handles a 101: the bytes after it, in both directions, belong to another protocol.
    fn switch(&mut self, id: ExchangeId, head: ResponseHead, out: EventSink<'_>) -> Result<(), Opaque> {
        // Impossible if bytes after the request were already read as its body or as another request.
        let can_switch = self.pending.len() == 1 && self.sending.is_none() && !self.up.in_head();
        if can_switch && head.headers.list_contains("upgrade", "h2c") {
            let settings = self.upgrade.take().and_then(|upgrade| upgrade.settings);
            out(TapEvent::Upgraded { id });
            self.phase = Phase::Switched(Box::new(Http2Tap::upgraded(id, settings.as_deref())));
            return Ok(());
        }
        if !can_switch || !head.headers.list_contains("upgrade", "websocket") {
            return self.switch_to_unsupported(id, head, out).map(|_| ());
        }
        let tap = WebSocketTap::open(id, head, out);
        self.end_message(id, Dir::Down, Finish::Complete, out);
        self.phase = Phase::Switched(Box::new(tap));
        Ok(())
    }

    /// Reports a response after which the connection uses a protocol without a tap.
    fn switch_to_unsupported(
        &mut self,
        id: ExchangeId,
        head: ResponseHead,
        out: EventSink<'_>,
    ) -> Result<Option<usize>, Opaque> {
        out(TapEvent::Response { id, head });
        self.end_message(id, Dir::Down, Finish::Complete, out);
        Err(Opaque::Switched)
    }

    fn read_body(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) -> Result<Option<usize>, Opaque> {
        let open = match dir {
            Dir::Up => self.sending,
            Dir::Down => self.pending.front().map(|pending| pending.id),
        };
        let (MessageReader::Body(body), Some(id)) = (&mut self.direction(dir).reader, open) else {
            return Ok(None);
        };
        let Some((used, piece)) = body.read(bytes)? else {
            return Ok(None);
        };
        match piece {
            BodyPiece::Data(bytes) => out(TapEvent::Body { id, dir, bytes }),
            BodyPiece::End(trailers) => {
                if !trailers.is_empty() {
                    out(TapEvent::Trailers { id, dir, headers: trailers });
                }
                self.end_message(id, dir, Finish::Complete, out);
            }
        }
        Ok(Some(used))
    }

    /// Ends the current message of `dir`, which belongs to exchange `id`.
    fn end_message(&mut self, id: ExchangeId, dir: Dir, how: Finish, out: EventSink<'_>) {
        out(TapEvent::End { id, dir, how });
        match dir {
            Dir::Up => self.sending = None,
            Dir::Down => {
                let head_bytes = self.pending.pop_front().map_or(0, |answered| answered.head_bytes);
                self.pending_head_bytes = self.pending_head_bytes.saturating_sub(head_bytes);
            }
        }
        self.direction(dir).reader = MessageReader::Head(HeadReader::for_message());
    }

    /// Ends all open messages of `dir`, which has ended.
    ///
    /// Called again for messages that begin later: a request may arrive after the direction of its response has ended.
    fn finish(&mut self, dir: Dir, how: Ending, out: EventSink<'_>) {
        if let Phase::Switched(tap) = &mut self.phase {
            // The direction ended before the switch or while its bytes were held, so this is the first call for the new tap.
            return tap.end(dir, how, out);
        }
        let mut finish = match &self.direction(dir).reader {
            MessageReader::Body(body) => body.finish(how),
            MessageReader::Head(_) => Finish::Truncated(how),
        };
        match dir {
            Dir::Up => {
                if let Some(id) = self.sending {
                    self.end_message(id, dir, finish, out);
                }
            }
            Dir::Down => {
                while let Some(&PendingRequest { id, .. }) = self.pending.front() {
                    self.end_message(id, dir, finish, out);
                    finish = Finish::Truncated(how);
                }
                // The meaning of the held bytes depends on a response that can no longer arrive.
                self.up.held = Vec::new();
            }
        }
    }

    fn become_opaque(&mut self, cause: Opaque, out: EventSink<'_>) {
        if let Some(id) = self.sending {
            self.end_message(id, Dir::Up, Finish::Opaque(cause), out);
        }
        while let Some(&PendingRequest { id, .. }) = self.pending.front() {
            self.end_message(id, Dir::Down, Finish::Opaque(cause), out);
        }
        out(TapEvent::Opaque { cause });
        *self = Self { phase: Phase::Opaque, ..Self::new() };
    }

    fn direction(&mut self, dir: Dir) -> &mut Http1Direction {
        match dir {
            Dir::Up => &mut self.up,
            Dir::Down => &mut self.down,
        }
    }
}

impl Http1Direction {
    fn new() -> Self {
        Self { reader: MessageReader::Head(HeadReader::for_message()), held: Vec::new(), ended: None }
    }

    /// Returns true if a head has begun and is incomplete.
    fn in_head(&self) -> bool {
        matches!(&self.reader, MessageReader::Head(head) if head.len() > 0)
    }

    /// Continues the head of exchange `id`; `bytes` is not empty.
    fn read_head<'a>(
        &mut self,
        id: ExchangeId,
        dir: Dir,
        bytes: &'a [u8],
        out: EventSink<'_>,
    ) -> Result<Option<WholeHead<'a>>, Opaque> {
        let MessageReader::Head(head) = &mut self.reader else {
            return Ok(None);
        };
        if head.len() == 0 {
            out(TapEvent::Begin { id, dir });
        }
        check_start(dir, head.len(), bytes)?;
        head.read(bytes)
    }
}

/// Returns true if the client may switch to another protocol after this request (RFC 9110 sections 7.8 and 9.3.6).
fn requests_upgrade(head: &RequestHead) -> bool {
    head.method == "CONNECT"
        || head.headers.first("upgrade").is_some() && head.headers.list_contains("connection", "upgrade")
}

/// The largest number of unanswered requests. Clients that pipeline send some tens.
const MAX_PENDING_REQUESTS: usize = 10_000;

/// The largest total size of the heads of unanswered requests.
const MAX_PENDING_HEAD_BYTES: usize = 16 * 1024 * 1024;

/// The largest number of held bytes in a direction. Clients usually wait for the response to a switch, and a response to an
/// incomplete request is a small error page.
const MAX_HELD_BYTES: usize = 64 * 1024;
