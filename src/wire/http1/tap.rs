//! The HTTP/1 tap: two directions of heads and bodies, and the questions that wait for their answers between them.
//!
//! ```text
//!  Up    ┌▶ Head ─▶ Body ─┐                    Down  ┌▶ Head ─▶ Body ─┐
//!        └───────┬────────┘                          └───────┬────────┘
//!                │ Request                    final Response │ pairs with the oldest
//!                └────────────▶ pending ─────────────────────┘
//!
//!  Http ──101 websocket, h2c──▶ Switched        Http ──101, CONNECT, not understood──▶ Quiet
//! ```
//!
//! A direction waits, its bytes held, where only the other can tell what they are:
//! - `Up` after a request that asks to switch protocols: they are of the next request, or of the new protocol.
//! - `Down` while the only question's head is not whole: an origin may refuse it (431, 408) before it is.
//!
//! What is held goes on the moment the other direction has decided, not at the end of the bytes at hand; else the
//! events would depend on how the bytes are cut.

use super::body::BodyReader;
use super::chunked::BodyPiece;
use super::framing::{request_framing, response_framing};
use super::head;
use super::head_scanner::{HeadReader, WholeHead, check_start, leading_empty_lines};
use crate::wire::http2::Http2Tap;
use crate::wire::message::{RequestHead, ResponseHead};
use crate::wire::tap::{Dir, Ending, Event, EventSink, ExchangeId, Finish, Opaque, Tap};
use crate::wire::websocket::WebSocketTap;
use std::collections::VecDeque;

/// Watches a connection that begins with HTTP/1.
pub(crate) struct Http1Tap {
    stage: Stage,
    up: Side,
    down: Side,
    /// How many requests were seen: the number of the next one.
    requests: u32,
    /// Requests that were reported and whose response is not over, oldest first. At most [`MAX_PENDING`].
    pending: VecDeque<Pending>,
    /// The bytes of their heads. At most [`MAX_UNANSWERED`].
    unanswered: usize,
    /// The request that was reported and is not over.
    sending: Option<ExchangeId>,
    /// The request that asks to switch protocols and has no final response yet. It is the last one of `pending`.
    undecided: Option<Undecided>,
}

enum Stage {
    Http,
    /// All goes to the tap of the protocol that was switched to.
    Switched(Box<dyn Tap>),
    Quiet,
}

/// One direction.
struct Side {
    at: At,
    /// Bytes that came while this direction waits; at most [`MAX_HELD`], and none while it does not wait.
    held: Vec<u8>,
    /// How the direction ended, perhaps with bytes still held.
    ended: Option<Ending>,
}

enum At {
    /// Between two messages, or in a head.
    Head(HeadReader),
    Body(BodyReader),
}

/// A question that waits for its answer.
#[derive(Clone, Copy)]
struct Pending {
    id: ExchangeId,
    /// `HEAD`, `CONNECT`, or nothing for all methods that do not bear on the response's framing. A method may be as
    /// long as a head: it is not kept.
    method: &'static str,
    /// How long its head was.
    size: usize,
}

/// A request that asks to switch protocols.
struct Undecided {
    id: ExchangeId,
    /// Its `HTTP2-Settings` field (RFC 7540 section 3.2.1).
    settings: Option<Vec<u8>>,
}

impl Http1Tap {
    pub(crate) fn new() -> Self {
        Self {
            stage: Stage::Http,
            up: Side::new(),
            down: Side::new(),
            requests: 0,
            pending: VecDeque::new(),
            unanswered: 0,
            sending: None,
            undecided: None,
        }
    }
}

impl Tap for Http1Tap {
    fn data(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) {
        if let Err(why) = self.read(dir, bytes, out) {
            self.go_quiet(why, out);
        }
    }

    fn end(&mut self, dir: Dir, how: Ending, out: EventSink<'_>) {
        match &mut self.stage {
            Stage::Http => {}
            Stage::Switched(tap) => return tap.end(dir, how, out),
            Stage::Quiet => return,
        }
        self.side(dir).ended = Some(how);
        let ended = self.resume(dir, out).and_then(|()| self.resume(dir.opposite(), out));
        if let Err(why) = ended {
            self.go_quiet(why, out);
        }
    }
}

impl Http1Tap {
    /// Reads all of `bytes`, or as far as the direction need not wait.
    fn read(&mut self, dir: Dir, mut bytes: &[u8], out: EventSink<'_>) -> Result<(), Opaque> {
        loop {
            match &mut self.stage {
                Stage::Http => {}
                Stage::Switched(tap) => {
                    if !bytes.is_empty() {
                        tap.data(dir, bytes, out);
                    }
                    return Ok(());
                }
                Stage::Quiet => return Ok(()),
            }
            if self.waits(dir) {
                return self.hold(dir, bytes);
            }
            let Some(used) = self.step(dir, bytes, out)? else {
                return Ok(());
            };
            bytes = bytes.get(used..).unwrap_or_default();
            self.resume(dir.opposite(), out)?;
        }
    }

    /// Goes on with what `dir` held, and its end, if it need not wait any longer. Safe to ask at any time.
    fn resume(&mut self, dir: Dir, out: EventSink<'_>) -> Result<(), Opaque> {
        if !self.side(dir).held.is_empty() && !self.waits(dir) {
            let held = std::mem::take(&mut self.side(dir).held);
            self.read(dir, &held, out)?;
        }
        let side = self.side(dir);
        match side.ended {
            Some(how) if side.held.is_empty() => self.finish(dir, how, out),
            _ => {}
        }
        Ok(())
    }

    /// Whether only the other direction can tell what comes next in this one.
    fn waits(&self, dir: Dir) -> bool {
        match (&self.stage, dir) {
            (Stage::Http, Dir::Up) => self.undecided.is_some() && self.sending.is_none(),
            (Stage::Http, Dir::Down) => self.pending.is_empty() && self.up.in_head() && self.up.ended.is_none(),
            (Stage::Switched(_) | Stage::Quiet, _) => false,
        }
    }

    fn hold(&mut self, dir: Dir, bytes: &[u8]) -> Result<(), Opaque> {
        if dir == Dir::Up && self.down.ended.is_some() {
            // As those that were held when it ended (see `finish`).
            return Ok(());
        }
        let held = &mut self.side(dir).held;
        if held.len().saturating_add(bytes.len()) > MAX_HELD {
            return Err(match dir {
                Dir::Up => Opaque::Switched,
                Dir::Down => Opaque::UnsolicitedResponse,
            });
        }
        held.extend_from_slice(bytes);
        Ok(())
    }

    /// Reads up to the next thing to report or decide: how many bytes that takes, `None` if all and more are needed.
    fn step(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) -> Result<Option<usize>, Opaque> {
        let side = self.side(dir);
        match &mut side.at {
            At::Body(_) => return self.body(dir, bytes, out),
            At::Head(head) if head.len() == 0 => {
                let skipped = leading_empty_lines(bytes);
                if skipped > 0 || bytes.is_empty() {
                    return Ok((skipped > 0).then_some(skipped));
                }
            }
            At::Head(_) => {}
        }
        match dir {
            Dir::Up => self.request(bytes, out),
            Dir::Down => self.response(bytes, out),
        }
    }

    fn request(&mut self, bytes: &[u8], out: EventSink<'_>) -> Result<Option<usize>, Opaque> {
        let id = ExchangeId(self.requests);
        let Some((used, head)) = self.up.head(id, Dir::Up, bytes, out)? else {
            return Ok(None);
        };
        let size = head.len();
        let head = head::request(&head)?;
        self.unanswered = self.unanswered.saturating_add(size);
        if self.pending.len() >= MAX_PENDING || self.unanswered > MAX_UNANSWERED {
            return Err(Opaque::LimitExceeded);
        }
        let method = match &*head.method {
            "HEAD" => "HEAD",
            "CONNECT" => "CONNECT",
            _ => "",
        };
        self.requests = self.requests.wrapping_add(1);
        self.pending.push_back(Pending { id, method, size });
        self.sending = Some(id);
        self.undecided = asks_to_switch(&head)
            .then(|| Undecided { id, settings: head.headers.first("http2-settings").map(Into::into) });
        let framing = request_framing(&head);
        out(Event::Request { id, head });
        self.up.at = At::Body(BodyReader::new(framing?));
        Ok(Some(used))
    }

    fn response(&mut self, bytes: &[u8], out: EventSink<'_>) -> Result<Option<usize>, Opaque> {
        let Some(&Pending { id, method, .. }) = self.pending.front() else {
            // An answer to half a question, or to none.
            return Err(if self.up.in_head() { Opaque::Request } else { Opaque::UnsolicitedResponse });
        };
        let Some((used, head)) = self.down.head(id, Dir::Down, bytes, out)? else {
            return Ok(None);
        };
        let head = head::response(&head)?;
        match (method, head.status) {
            (_, 101) => self.switch(id, head, out)?,
            (_, 100..=199) => self.down.at = At::Head(HeadReader::for_message()),
            ("CONNECT", 200..=299) => return self.leave(id, head, out),
            _ => {
                if self.undecided.as_ref().is_some_and(|undecided| undecided.id == id) {
                    self.undecided = None;
                }
                let framing = response_framing(method, &head);
                out(Event::Response { id, head });
                self.down.at = At::Body(BodyReader::new(framing?));
            }
        }
        Ok(Some(used))
    }

    /// Takes a 101: what follows it, both ways, is another protocol's.
    fn switch(&mut self, id: ExchangeId, head: ResponseHead, out: EventSink<'_>) -> Result<(), Opaque> {
        // Bytes after the question that were taken for a request, or are still its body, cannot be given back.
        let clean = self.pending.len() == 1 && self.sending.is_none() && !self.up.in_head();
        if clean && head.headers.lists("upgrade", "h2c") {
            let settings = self.undecided.take().and_then(|undecided| undecided.settings);
            out(Event::Upgraded { id });
            self.stage = Stage::Switched(Box::new(Http2Tap::upgraded(id, settings.as_deref())));
            return Ok(());
        }
        if !clean || !head.headers.lists("upgrade", "websocket") {
            return self.leave(id, head, out).map(|_| ());
        }
        let protocol = head.headers.first("sec-websocket-protocol");
        let protocol = protocol.map(|name| String::from_utf8_lossy(name).into_owned());
        let socket = WebSocketTap::new(id, &head.headers);
        out(Event::Response { id, head });
        out(Event::WebSocketOpen { id, protocol });
        self.over(id, Dir::Down, Finish::Complete, out);
        self.stage = Stage::Switched(Box::new(socket));
        Ok(())
    }

    /// Reports a response after which the connection speaks a protocol that no tap reads.
    fn leave(&mut self, id: ExchangeId, head: ResponseHead, out: EventSink<'_>) -> Result<Option<usize>, Opaque> {
        out(Event::Response { id, head });
        self.over(id, Dir::Down, Finish::Complete, out);
        Err(Opaque::Switched)
    }

    fn body(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) -> Result<Option<usize>, Opaque> {
        let open = match dir {
            Dir::Up => self.sending,
            Dir::Down => self.pending.front().map(|pending| pending.id),
        };
        let (At::Body(body), Some(id)) = (&mut self.side(dir).at, open) else {
            return Ok(None);
        };
        let Some((used, piece)) = body.read(bytes)? else {
            return Ok(None);
        };
        match piece {
            BodyPiece::Data(bytes) => out(Event::Body { id, dir, bytes }),
            BodyPiece::End(trailers) => {
                if !trailers.is_empty() {
                    out(Event::Trailers { id, dir, headers: trailers });
                }
                self.over(id, dir, Finish::Complete, out);
            }
        }
        Ok(Some(used))
    }

    /// The message that `dir` is in, which is of exchange `id`, is over.
    fn over(&mut self, id: ExchangeId, dir: Dir, how: Finish, out: EventSink<'_>) {
        out(Event::End { id, dir, how });
        match dir {
            Dir::Up => self.sending = None,
            Dir::Down => {
                let size = self.pending.pop_front().map_or(0, |answered| answered.size);
                self.unanswered = self.unanswered.saturating_sub(size);
            }
        }
        self.side(dir).at = At::Head(HeadReader::for_message());
    }

    /// Ends all that `dir` has open, since nothing more comes that way. In a direction that has ended so, what begins
    /// later, as a request without hope of an answer does, is ended by asking again.
    fn finish(&mut self, dir: Dir, how: Ending, out: EventSink<'_>) {
        if let Stage::Switched(tap) = &mut self.stage {
            // The direction ended before the switch, or while its bytes were held; this is the first the new tap hears.
            return tap.end(dir, how, out);
        }
        let mut finish = match &self.side(dir).at {
            At::Body(body) => body.finish(how),
            At::Head(_) => Finish::Truncated(how),
        };
        match dir {
            Dir::Up => {
                if let Some(id) = self.sending {
                    self.over(id, dir, finish, out);
                }
            }
            Dir::Down => {
                while let Some(&Pending { id, .. }) = self.pending.front() {
                    self.over(id, dir, finish, out);
                    finish = Finish::Truncated(how);
                }
                // The answer that would tell what they are never comes.
                self.up.held = Vec::new();
            }
        }
    }

    fn go_quiet(&mut self, why: Opaque, out: EventSink<'_>) {
        if let Some(id) = self.sending {
            self.over(id, Dir::Up, Finish::Opaque, out);
        }
        while let Some(&Pending { id, .. }) = self.pending.front() {
            self.over(id, Dir::Down, Finish::Opaque, out);
        }
        out(Event::Opaque { why });
        *self = Self { stage: Stage::Quiet, ..Self::new() };
    }

    fn side(&mut self, dir: Dir) -> &mut Side {
        match dir {
            Dir::Up => &mut self.up,
            Dir::Down => &mut self.down,
        }
    }
}

impl Side {
    fn new() -> Self {
        Self { at: At::Head(HeadReader::for_message()), held: Vec::new(), ended: None }
    }

    /// Whether a head has begun and is not whole.
    fn in_head(&self) -> bool {
        matches!(&self.at, At::Head(head) if head.len() > 0)
    }

    /// Reads on in the head of exchange `id`; `bytes` has one at least.
    fn head<'a>(
        &mut self,
        id: ExchangeId,
        dir: Dir,
        bytes: &'a [u8],
        out: EventSink<'_>,
    ) -> Result<Option<WholeHead<'a>>, Opaque> {
        let At::Head(head) = &mut self.at else {
            return Ok(None);
        };
        if head.len() == 0 {
            out(Event::Begin { id, dir });
        }
        check_start(dir, head.len(), bytes)?;
        head.read(bytes)
    }
}

/// Whether the client may go on in another protocol (RFC 9110 sections 7.8 and 9.3.6).
fn asks_to_switch(head: &RequestHead) -> bool {
    head.method == "CONNECT" || head.headers.first("upgrade").is_some() && head.headers.lists("connection", "upgrade")
}

/// The most requests without an answer that are kept track of. Clients that pipeline send some tens.
const MAX_PENDING: usize = 10_000;

/// The most bytes that the heads of these requests may have together.
const MAX_UNANSWERED: usize = 16 * 1024 * 1024;

/// The most bytes that wait for the other direction. Who asks to switch waits for the answer, as a rule; and an answer
/// to half a question is an error page.
const MAX_HELD: usize = 64 * 1024;
