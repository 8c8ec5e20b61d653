//! The HTTP/2 tap: two directions of frames, and the streams that both of them speak of.
//!
//! ```text
//! stream      1 … last_asked, odd        2 … last_promised, even       above
//!             open, or over and forgotten                               never seen
//! HEADERS     decoded in any case: the table of its direction learns from all of them
//! DATA        goes to an open stream, is nobody's on one that is over, makes no sense above
//! ```
//!
//! Each direction has its limits from the settings of its reader: those came the other way, and those that bear on the
//! decoder take effect where the writer acknowledges them, which is the same place in the direction for everyone.
//!
//! An exchange that is reset ends `Truncated(Reset)` in the direction of who reset it and `Truncated(Abandoned)` in the other, so that an
//! origin may drop an upload that it answered (section 8.1), and a client's cancellation is told from an origin's failure.

use super::frame::{Frames, Head, Kind, Part};
use super::head::{Fields, Purpose};
use super::hpack::{Decoder, MAX_LIST, Malformed};
use super::settings::Settings;
use super::stream::{At, Stream};
use crate::wire::message::RequestHead;
use crate::wire::tap::{Dir, Ending, Event, EventSink, ExchangeId, Finish, Opaque, Tap};
use std::collections::{BTreeMap, VecDeque};

/// Watches a connection that speaks HTTP/2 from its first byte.
pub(crate) struct Http2Tap {
    /// `None` once it is opaque.
    connection: Option<Box<Connection>>,
}

struct Connection {
    up: Side,
    down: Side,
    /// How much of the client's preface is to come.
    preface: &'static [u8],
    streams: BTreeMap<u32, Stream>,
    /// The highest stream that the client opened.
    last_asked: u32,
    /// The highest stream that the origin promised.
    last_promised: u32,
    /// What a stream's number and its exchange's differ by.
    numbered_from: u32,
    /// How large the fields of all open streams are. At most [`MAX_FIELDS`].
    fields: usize,
}

/// One direction.
struct Side {
    frames: Frames,
    decoder: Decoder,
    /// The payload so far of the frame or the block that is under way, if it is one to be read as a whole. At most
    /// [`MAX_LIST`].
    payload: Vec<u8>,
    /// The block that CONTINUATION frames go on with.
    block: Option<Block>,
    /// For each SETTINGS frame that is not acknowledged, the table size it announced. At most [`MAX_SETTINGS`].
    settings: VecDeque<Option<u32>>,
    /// The last stream that who sends this way takes of the other.
    takes: u32,
    ended: Option<Ending>,
}

/// A block of fields.
#[derive(Clone, Copy)]
struct Block {
    stream: u32,
    is_promise: bool,
    ends_stream: bool,
}

impl Http2Tap {
    pub(crate) fn new() -> Self {
        Self::numbered_from(0)
    }

    /// After an HTTP/1 request with `Upgrade: h2c` was answered with a 101: its exchange, the request of which is over, is the
    /// first stream (RFC 7540 section 3.2). `settings` is its `HTTP2-Settings` field.
    pub(crate) fn upgraded(id: ExchangeId, settings: Option<&[u8]>) -> Self {
        let mut tap = Self::numbered_from(id.0.wrapping_sub(1));
        if let Some(connection) = &mut tap.connection {
            connection.last_asked = 1;
            connection.streams.insert(1, Stream::answering(id));
            // The 101 acknowledges them.
            let settings = Settings::of_upgrade(settings.unwrap_or_default());
            settings.largest_frame.into_iter().for_each(|size| connection.down.frames.allow(size));
            settings.table.into_iter().for_each(|size| connection.down.decoder.allow(size));
        }
        tap
    }

    /// Whether nothing is left of any exchange.
    #[cfg(any(test, fuzzing))]
    pub(super) fn keeps_nothing(&self) -> bool {
        self.connection.as_ref().is_none_or(|connection| connection.streams.is_empty() && connection.fields == 0)
    }

    fn numbered_from(numbered_from: u32) -> Self {
        Self {
            connection: Some(Box::new(Connection {
                up: Side::new(),
                down: Side::new(),
                preface: PREFACE,
                streams: BTreeMap::new(),
                last_asked: 0,
                last_promised: 0,
                numbered_from,
                fields: 0,
            })),
        }
    }
}

impl Tap for Http2Tap {
    fn data(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) {
        if let Some(connection) = &mut self.connection
            && let Err(why) = connection.read(dir, bytes, out)
        {
            connection.streams.values_mut().for_each(|stream| stream.give_up(out));
            out(Event::Opaque { why });
            self.connection = None;
        }
    }

    fn end(&mut self, dir: Dir, how: Ending, out: EventSink<'_>) {
        if let Some(connection) = &mut self.connection {
            connection.end(dir, how, out);
        }
    }
}

impl Connection {
    fn read(&mut self, dir: Dir, mut bytes: &[u8], out: EventSink<'_>) -> Result<(), Opaque> {
        if dir == Dir::Up {
            while let (Some((expected, preface)), Some((byte, rest))) =
                (self.preface.split_first(), bytes.split_first())
            {
                if byte != expected {
                    return Err(Opaque::Http2);
                }
                (self.preface, bytes) = (preface, rest);
            }
        }
        while let Some((head, part)) = self.side(dir).frames.read(&mut bytes)? {
            match part {
                Part::Head => self.begin(dir, head, out)?,
                Part::Payload(piece) => self.payload(dir, head, piece, out)?,
                Part::End => self.finish(dir, head, out)?,
            }
        }
        Ok(())
    }

    /// Nothing more comes in direction `dir`.
    fn end(&mut self, dir: Dir, how: Ending, out: EventSink<'_>) {
        self.side(dir).ended = Some(how);
        self.streams.retain(|_, stream| {
            stream.end(dir, Finish::Truncated(how), out);
            if stream.is_over() {
                self.fields -= stream.fields;
            }
            !stream.is_over()
        });
    }

    /// A frame's head came.
    fn begin(&mut self, dir: Dir, head: Head, out: EventSink<'_>) -> Result<(), Opaque> {
        let side = self.side(dir);
        match (side.block, head.kind) {
            (None, Kind::Continuation) => return Err(Opaque::Http2),
            (None, _) => side.payload.clear(),
            // Section 6.10: nothing may come between.
            (Some(block), Kind::Continuation) if block.stream == head.stream => return Ok(()),
            (Some(_), _) => return Err(Opaque::Http2),
        }
        let id = self.id(head.stream);
        match (head.kind, dir) {
            (Kind::Headers, Dir::Up) if self.is_new(head.stream, dir) => out(Event::Begin { id, dir }),
            (Kind::Headers | Kind::Data | Kind::PushPromise, _) if !self.was_opened(head.stream) => {
                return Err(Opaque::Http2);
            }
            (Kind::Headers, Dir::Down) if self.streams.get(&head.stream).is_some_and(|s| s.at(dir) == At::Head) => {
                out(Event::Begin { id, dir });
            }
            (Kind::PushPromise, Dir::Up) => return Err(Opaque::Http2),
            _ => {}
        }
        Ok(())
    }

    fn payload(&mut self, dir: Dir, head: Head, piece: &[u8], out: EventSink<'_>) -> Result<(), Opaque> {
        let keep = match head.kind {
            Kind::Data => {
                if let Some(stream) = self.streams.get_mut(&head.stream)
                    && stream.data(dir, piece, out).is_err()
                {
                    self.give_up(head.stream, out);
                }
                return Ok(());
            }
            Kind::Other => return Ok(()),
            // The rest is for people.
            Kind::GoAway => GOAWAY,
            Kind::Headers | Kind::Continuation | Kind::PushPromise | Kind::Settings | Kind::Reset => usize::MAX,
        };
        let payload = &mut self.side(dir).payload;
        let piece = piece.get(..keep.saturating_sub(payload.len())).unwrap_or(piece);
        if payload.len() + piece.len() > MAX_LIST {
            return Err(Opaque::LimitExceeded);
        }
        payload.extend_from_slice(piece);
        Ok(())
    }

    /// A frame is over.
    fn finish(&mut self, dir: Dir, head: Head, out: EventSink<'_>) -> Result<(), Opaque> {
        let stream = head.stream;
        match head.kind {
            Kind::Data if head.ends_stream() => self.end_stream(stream, dir, out),
            Kind::Headers | Kind::PushPromise | Kind::Continuation => {
                let is_promise = head.kind == Kind::PushPromise;
                let first = Block { stream, is_promise, ends_stream: head.ends_stream() };
                let block = self.side(dir).block.take().unwrap_or(first);
                if !head.ends_block() {
                    self.side(dir).block = Some(block);
                    return Ok(());
                }
                self.block(dir, block, out)?;
            }
            Kind::Reset => self.change(stream, |stream| stream.reset(dir, out)),
            Kind::Settings if head.is_ack() => {
                if let Some(Some(size)) = self.side(dir.opposite()).settings.pop_front() {
                    self.side(dir).decoder.allow(size);
                }
            }
            Kind::Settings => {
                let settings = Settings::read(&self.side(dir).payload);
                if self.side(dir).settings.len() >= MAX_SETTINGS {
                    return Err(Opaque::LimitExceeded);
                }
                self.side(dir).settings.push_back(settings.table);
                let opposite = self.side(dir.opposite());
                settings.largest_frame.into_iter().for_each(|size| opposite.frames.allow(size));
            }
            Kind::GoAway => {
                let side = self.side(dir);
                let last = side.payload.first_chunk().map_or(0, |id| u32::from_be_bytes(*id) & !RESERVED);
                side.takes = side.takes.min(last);
                let above = self.streams.range(last.saturating_add(1)..).map(|(&id, _)| id);
                let above: Vec<_> = above.filter(|&id| opened_by(id) == dir.opposite()).collect();
                above.into_iter().for_each(|id| self.change(id, |stream| stream.reset(dir, out)));
            }
            Kind::Data | Kind::Other => {}
        }
        self.side(dir).tidy();
        Ok(())
    }

    /// A block of fields is whole.
    fn block(&mut self, dir: Dir, block: Block, out: EventSink<'_>) -> Result<(), Opaque> {
        let Side { decoder, payload, .. } = self.side(dir);
        let (promised, payload) = match (block.is_promise, payload.split_first_chunk()) {
            (false, _) => (None, payload.as_slice()),
            (true, Some((promised, payload))) => (Some(u32::from_be_bytes(*promised) & !RESERVED), payload),
            (true, None) => return Err(Opaque::Http2),
        };
        let mut fields = Fields::default();
        let size = decoder.decode(payload, &mut |name, value| fields.add(name, value)).map_err(|why| match why {
            Malformed::TooLong => Opaque::LimitExceeded,
            _ => Opaque::Hpack,
        })?;
        let is_new = self.is_new(block.stream, dir);
        match promised {
            Some(promised) if self.is_new(promised, dir) => {
                out(Event::Begin { id: self.id(promised), dir: Dir::Up });
                let (head, _) = fields.request();
                self.open(promised, head, Purpose::Exchange, size, out)?;
                self.end_stream(promised, Dir::Up, out);
            }
            Some(_) => return Err(Opaque::Http2),
            None if is_new => {
                let (head, purpose) = fields.request();
                self.open(block.stream, head, purpose, size, out)?;
            }
            None => self.further(dir, block, fields, size, out)?,
        }
        if block.ends_stream {
            self.end_stream(block.stream, dir, out);
        }
        Ok(())
    }

    /// A request begins a stream.
    fn open(
        &mut self,
        id: u32,
        head: RequestHead,
        purpose: Purpose,
        size: usize,
        out: EventSink<'_>,
    ) -> Result<(), Opaque> {
        let by = opened_by(id);
        *(if by == Dir::Up { &mut self.last_asked } else { &mut self.last_promised }) = id;
        if self.streams.len() >= MAX_STREAMS {
            return Err(Opaque::LimitExceeded);
        }
        let exchange = self.id(id);
        out(Event::Request { id: exchange, head });
        let mut stream = Stream::new(exchange, purpose, out);
        // Section 6.8: who sent a GOAWAY does not look at what was on its way; and who has left never answers.
        if id > self.side(by.opposite()).takes {
            stream.reset(by.opposite(), out);
        }
        if let Some(how) = self.down.ended {
            stream.end(Dir::Down, Finish::Truncated(how), out);
        }
        if !stream.is_over() {
            self.streams.insert(id, stream);
        }
        self.keep(id, size)
    }

    /// A block on a stream that was opened before: of an answer, or after a body. On one that is over it is nobody's.
    fn further(
        &mut self,
        dir: Dir,
        block: Block,
        fields: Fields,
        size: usize,
        out: EventSink<'_>,
    ) -> Result<(), Opaque> {
        let Some(stream) = self.streams.get_mut(&block.stream) else {
            return Ok(());
        };
        match stream.at(dir) {
            At::Head => match fields.response() {
                // Interim ones are not the answer, and never the end (section 8.1).
                Some(head) if head.status < 200 && !block.ends_stream => return Ok(()),
                Some(head) if head.status >= 200 => stream.answer(head, out),
                Some(_) | None => self.give_up(block.stream, out),
            },
            At::Body if block.ends_stream => {
                stream.trailers(dir, fields.trailers(), out);
            }
            At::Body => self.give_up(block.stream, out),
            At::Ended => {}
        }
        self.keep(block.stream, size)
    }

    /// Fields of `size` are kept by somebody as long as the stream is open.
    fn keep(&mut self, id: u32, size: usize) -> Result<(), Opaque> {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.fields += size;
            self.fields += size;
        }
        if self.fields > MAX_FIELDS { Err(Opaque::LimitExceeded) } else { Ok(()) }
    }

    fn end_stream(&mut self, id: u32, dir: Dir, out: EventSink<'_>) {
        self.change(id, |stream| stream.end(dir, Finish::Complete, out));
    }

    fn give_up(&mut self, id: u32, out: EventSink<'_>) {
        self.change(id, |stream| stream.give_up(out));
    }

    /// Changes a stream, and forgets it if it is over then.
    fn change(&mut self, id: u32, change: impl FnOnce(&mut Stream)) {
        if let Some(stream) = self.streams.get_mut(&id) {
            change(stream);
            if stream.is_over() {
                self.fields -= stream.fields;
                self.streams.remove(&id);
            }
        }
    }

    /// Whether who sends in direction `dir` may open stream `id` now (section 5.1.1).
    fn is_new(&self, id: u32, dir: Dir) -> bool {
        id > 0 && opened_by(id) == dir && !self.was_opened(id)
    }

    fn was_opened(&self, id: u32) -> bool {
        id <= if opened_by(id) == Dir::Up { self.last_asked } else { self.last_promised }
    }

    fn id(&self, stream: u32) -> ExchangeId {
        ExchangeId(stream.wrapping_add(self.numbered_from))
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
        Self {
            frames: Frames::new(),
            decoder: Decoder::new(),
            payload: Vec::new(),
            block: None,
            settings: VecDeque::new(),
            takes: u32::MAX,
            ended: None,
        }
    }

    /// Gives back what an unusually large block took.
    fn tidy(&mut self) {
        if self.block.is_none() && self.payload.capacity() > KEPT_PAYLOAD {
            self.payload = Vec::new();
        }
    }
}

/// Clients open odd streams (section 5.1.1).
fn opened_by(stream: u32) -> Dir {
    if stream % 2 == 1 { Dir::Up } else { Dir::Down }
}

/// Section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Of a stream's four bytes, the bit that means nothing.
const RESERVED: u32 = 1 << 31;

/// What of a GOAWAY says what becomes of streams.
const GOAWAY: usize = 4;

/// The most exchanges that are open at a time, as many as HTTP/1 keeps track of. Servers allow some hundreds.
const MAX_STREAMS: usize = 10_000;

/// The most that the fields of all open exchanges may come to: with HPACK some bytes stand for many.
const MAX_FIELDS: usize = 64 * 1024 * 1024;

/// The most SETTINGS frames that wait for their acknowledgement (as CVE-2019-9515 has it, sent without end).
const MAX_SETTINGS: usize = 1000;

/// The room that a direction keeps for the next block.
const KEPT_PAYLOAD: usize = 16 * 1024;
