//! The HTTP/2 tap: two directions of frames, and the streams that they share.
//!
//! ```text
//! stream id   1 … last_requested, odd    2 … last_promised, even       above
//!             open, or ended and removed                                never seen
//! HEADERS     always decoded, because every block may change the dynamic table of its direction
//! DATA        goes to an open stream; is ignored on an ended one; is an error above
//! ```
//!
//! The limits of a direction come from the settings of its receiver, which travel in the opposite direction. Settings for the
//! decoder take effect where the sender acknowledges them. This position in the bytes is the same for both sides and the tap.
//!
//! A reset exchange ends with `Truncated(Reset)` in the direction of the side that reset it, and with `Truncated(Abandoned)` in
//! the other one. A cancellation by the client therefore differs from a failure of the origin, and from an origin that stops
//! an upload after its response (section 8.1).

use super::frame::{FrameHeader, FramePart, FrameReader, FrameType};
use super::head::{Fields, RequestPurpose};
use super::hpack::{HpackDecoder, HpackError, MAX_HEADER_LIST_BYTES};
use super::settings::Settings;
use super::stream::{DirectionState, Stream};
use crate::wire::message::RequestHead;
use crate::wire::tap::{Dir, Ending, EventSink, ExchangeId, Finish, Opaque, Tap, TapEvent};
use std::collections::{BTreeMap, VecDeque};

/// Observes a connection that uses HTTP/2 from its first byte.
pub(crate) struct Http2Tap {
    /// `None` once the connection is opaque.
    connection: Option<Box<Connection>>,
}

struct Connection {
    up: Http2Direction,
    down: Http2Direction,
    /// The part of the client's preface that has not arrived yet.
    preface: &'static [u8],
    streams: BTreeMap<u32, Stream>,
    /// The highest stream id that the client opened.
    last_requested: u32,
    /// The highest stream id that the origin promised.
    last_promised: u32,
    /// The exchange id of a stream is its stream id plus this offset.
    id_offset: u32,
    /// The total size of the fields of all open streams. At most [`MAX_OPEN_FIELDS_BYTES`].
    field_bytes: usize,
}

/// One direction of the connection.
struct Http2Direction {
    frames: FrameReader,
    decoder: HpackDecoder,
    /// The payload so far of the current frame or field block, if it must be parsed as a whole. At most
    /// [`MAX_HEADER_LIST_BYTES`].
    payload: Vec<u8>,
    /// The field block that CONTINUATION frames continue.
    block: Option<FieldBlock>,
    /// The table size in each SETTINGS frame that is not acknowledged. At most [`MAX_UNACKNOWLEDGED_SETTINGS`].
    settings: VecDeque<Option<u32>>,
    /// The last stream that the sender of this direction accepts from the other side (GOAWAY).
    last_accepted: u32,
    ended: Option<Ending>,
}

/// The frame that began a field block.
#[derive(Clone, Copy)]
struct FieldBlock {
    stream: u32,
    is_promise: bool,
    ends_stream: bool,
}

impl Http2Tap {
    pub(crate) fn new() -> Self {
        Self::with_id_offset(0)
    }

    /// Creates a tap for a connection after the 101 to an HTTP/1 request with `Upgrade: h2c`.
    ///
    /// The exchange of that request is `id`. It becomes the first stream, and its request has already ended (RFC 7540 section
    /// 3.2). `settings` is the value of the request's `HTTP2-Settings` field.
    pub(crate) fn upgraded(id: ExchangeId, settings: Option<&[u8]>) -> Self {
        let mut tap = Self::with_id_offset(id.0.wrapping_sub(1));
        if let Some(connection) = &mut tap.connection {
            connection.last_requested = 1;
            connection.streams.insert(1, Stream::after_request(id));
            // The 101 acknowledges these settings.
            let settings = Settings::from_upgrade(settings.unwrap_or_default());
            settings.max_frame_size.into_iter().for_each(|size| connection.down.frames.set_max_size(size));
            settings.table_size.into_iter().for_each(|size| connection.down.decoder.set_max_table_size(size));
        }
        tap
    }

    /// Returns true if no state of any exchange is left.
    #[cfg(any(test, fuzzing))]
    pub(super) fn is_empty(&self) -> bool {
        self.connection.as_ref().is_none_or(|connection| connection.streams.is_empty() && connection.field_bytes == 0)
    }

    fn with_id_offset(id_offset: u32) -> Self {
        Self {
            connection: Some(Box::new(Connection {
                up: Http2Direction::new(),
                down: Http2Direction::new(),
                preface: PREFACE,
                streams: BTreeMap::new(),
                last_requested: 0,
                last_promised: 0,
                id_offset,
                field_bytes: 0,
            })),
        }
    }
}

impl Tap for Http2Tap {
    fn data(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) {
        if let Some(connection) = &mut self.connection
            && let Err(cause) = connection.read(dir, bytes, out)
        {
            connection.streams.values_mut().for_each(|stream| stream.become_opaque(cause, out));
            out(TapEvent::Opaque { cause });
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
        while let Some((frame, part)) = self.direction(dir).frames.read(&mut bytes)? {
            match part {
                FramePart::Header => self.begin_frame(dir, frame, out)?,
                FramePart::Payload(piece) => self.read_payload(dir, frame, piece, out)?,
                FramePart::End => self.end_frame(dir, frame, out)?,
            }
        }
        Ok(())
    }

    /// Ends all streams in direction `dir`, which has ended.
    fn end(&mut self, dir: Dir, how: Ending, out: EventSink<'_>) {
        self.direction(dir).ended = Some(how);
        self.streams.retain(|_, stream| {
            stream.end(dir, Finish::Truncated(how), out);
            if stream.is_ended() {
                self.field_bytes -= stream.field_bytes;
            }
            !stream.is_ended()
        });
    }

    /// Processes a frame header.
    fn begin_frame(&mut self, dir: Dir, frame: FrameHeader, out: EventSink<'_>) -> Result<(), Opaque> {
        let direction = self.direction(dir);
        match (direction.block, frame.frame_type) {
            (None, FrameType::Continuation) => return Err(Opaque::Http2),
            (None, _) => direction.payload.clear(),
            // Section 6.10: no other frame may interrupt a field block.
            (Some(block), FrameType::Continuation) if block.stream == frame.stream => return Ok(()),
            (Some(_), _) => return Err(Opaque::Http2),
        }
        let id = self.exchange_id(frame.stream);
        match (frame.frame_type, dir) {
            (FrameType::Headers, Dir::Up) if self.is_new(frame.stream, dir) => out(TapEvent::Begin { id, dir }),
            // All other frames of exchanges belong to a stream that a request opened.
            (FrameType::Headers | FrameType::Data | FrameType::PushPromise, _) if !self.was_opened(frame.stream) => {
                return Err(Opaque::Http2);
            }
            (FrameType::Headers, Dir::Down)
                if self.streams.get(&frame.stream).is_some_and(|s| s.state(dir) == DirectionState::Head) =>
            {
                out(TapEvent::Begin { id, dir });
            }
            (FrameType::PushPromise, Dir::Up) => return Err(Opaque::Http2),
            _ => {}
        }
        Ok(())
    }

    /// Processes a piece of a frame's payload.
    fn read_payload(&mut self, dir: Dir, frame: FrameHeader, piece: &[u8], out: EventSink<'_>) -> Result<(), Opaque> {
        let max_len = match frame.frame_type {
            FrameType::Data => {
                if let Some(stream) = self.streams.get_mut(&frame.stream)
                    && stream.data(dir, piece, out).is_err()
                {
                    self.stream_becomes_opaque(frame.stream, out);
                }
                return Ok(());
            }
            FrameType::Other => return Ok(()),
            // The rest of the payload is an error code and debug data.
            FrameType::GoAway => GOAWAY_STREAM_ID_BYTES,
            FrameType::Headers
            | FrameType::Continuation
            | FrameType::PushPromise
            | FrameType::Settings
            | FrameType::Reset => usize::MAX,
        };
        let payload = &mut self.direction(dir).payload;
        let piece = piece.get(..max_len.saturating_sub(payload.len())).unwrap_or(piece);
        if payload.len() + piece.len() > MAX_HEADER_LIST_BYTES {
            return Err(Opaque::LimitExceeded);
        }
        payload.extend_from_slice(piece);
        Ok(())
    }

    /// Processes the end of a frame.
    fn end_frame(&mut self, dir: Dir, frame: FrameHeader, out: EventSink<'_>) -> Result<(), Opaque> {
        let stream = frame.stream;
        match frame.frame_type {
            FrameType::Data if frame.ends_stream() => self.end_stream(stream, dir, out),
            FrameType::Headers | FrameType::PushPromise | FrameType::Continuation => {
                let is_promise = frame.frame_type == FrameType::PushPromise;
                let first = FieldBlock { stream, is_promise, ends_stream: frame.ends_stream() };
                let block = self.direction(dir).block.take().unwrap_or(first);
                if !frame.ends_block() {
                    self.direction(dir).block = Some(block);
                    return Ok(());
                }
                self.read_block(dir, block, out)?;
            }
            FrameType::Reset => self.update(stream, |stream| stream.reset(dir, out)),
            FrameType::Settings if frame.is_ack() => {
                if let Some(Some(size)) = self.direction(dir.opposite()).settings.pop_front() {
                    self.direction(dir).decoder.set_max_table_size(size);
                }
            }
            FrameType::Settings => {
                let settings = Settings::parse(&self.direction(dir).payload);
                if self.direction(dir).settings.len() >= MAX_UNACKNOWLEDGED_SETTINGS {
                    return Err(Opaque::LimitExceeded);
                }
                self.direction(dir).settings.push_back(settings.table_size);
                let opposite = self.direction(dir.opposite());
                settings.max_frame_size.into_iter().for_each(|size| opposite.frames.set_max_size(size));
            }
            FrameType::GoAway => {
                let direction = self.direction(dir);
                let last = direction.payload.first_chunk().map_or(0, |id| u32::from_be_bytes(*id) & !RESERVED_BIT);
                direction.last_accepted = direction.last_accepted.min(last);
                let above = self.streams.range(last.saturating_add(1)..).map(|(&id, _)| id);
                let above: Vec<_> = above.filter(|&id| opened_by(id) == dir.opposite()).collect();
                above.into_iter().for_each(|id| self.update(id, |stream| stream.reset(dir, out)));
            }
            FrameType::Data | FrameType::Other => {}
        }
        self.direction(dir).release_memory();
        Ok(())
    }

    /// Processes a complete field block.
    fn read_block(&mut self, dir: Dir, block: FieldBlock, out: EventSink<'_>) -> Result<(), Opaque> {
        let Http2Direction { decoder, payload, .. } = self.direction(dir);
        let (promised, payload) = match (block.is_promise, payload.split_first_chunk()) {
            (false, _) => (None, payload.as_slice()),
            (true, Some((promised, payload))) => (Some(u32::from_be_bytes(*promised) & !RESERVED_BIT), payload),
            (true, None) => return Err(Opaque::Http2),
        };
        let mut fields = Fields::default();
        let field_bytes =
            decoder.decode(payload, &mut |name, value| fields.add(name, value)).map_err(|cause| match cause {
                HpackError::ListTooLong => Opaque::LimitExceeded,
                _ => Opaque::Hpack,
            })?;
        let is_new = self.is_new(block.stream, dir);
        match promised {
            Some(promised) if self.is_new(promised, dir) => {
                out(TapEvent::Begin { id: self.exchange_id(promised), dir: Dir::Up });
                let (head, _) = fields.request();
                self.open_stream(promised, head, RequestPurpose::Exchange, field_bytes, out)?;
                self.end_stream(promised, Dir::Up, out);
            }
            Some(_) => return Err(Opaque::Http2),
            None if is_new => {
                let (head, purpose) = fields.request();
                self.open_stream(block.stream, head, purpose, field_bytes, out)?;
            }
            None => self.read_further_block(dir, block, fields, field_bytes, out)?,
        }
        if block.ends_stream {
            self.end_stream(block.stream, dir, out);
        }
        Ok(())
    }

    /// Opens a stream with a request.
    fn open_stream(
        &mut self,
        id: u32,
        head: RequestHead,
        purpose: RequestPurpose,
        field_bytes: usize,
        out: EventSink<'_>,
    ) -> Result<(), Opaque> {
        let by = opened_by(id);
        *(if by == Dir::Up { &mut self.last_requested } else { &mut self.last_promised }) = id;
        if self.streams.len() >= MAX_STREAMS {
            return Err(Opaque::LimitExceeded);
        }
        let exchange = self.exchange_id(id);
        out(TapEvent::Request { id: exchange, head });
        let mut stream = Stream::new(exchange, purpose, out);
        // Section 6.8: after a GOAWAY, the sender ignores streams with a higher id. After the end of the responses' direction,
        // there will be no response.
        if id > self.direction(by.opposite()).last_accepted {
            stream.reset(by.opposite(), out);
        }
        if let Some(how) = self.down.ended {
            stream.end(Dir::Down, Finish::Truncated(how), out);
        }
        if !stream.is_ended() {
            self.streams.insert(id, stream);
        }
        self.count_fields(id, field_bytes)
    }

    /// Processes a field block on a known stream: a response's head, or trailers. On an ended stream the block is ignored.
    fn read_further_block(
        &mut self,
        dir: Dir,
        block: FieldBlock,
        fields: Fields,
        field_bytes: usize,
        out: EventSink<'_>,
    ) -> Result<(), Opaque> {
        let Some(stream) = self.streams.get_mut(&block.stream) else {
            return Ok(());
        };
        match stream.state(dir) {
            DirectionState::Head => match fields.response() {
                // Interim responses are not reported, and they cannot end a stream (section 8.1).
                Some(head) if head.status < 200 && !block.ends_stream => return Ok(()),
                Some(head) if head.status >= 200 => stream.respond(head, out),
                Some(_) | None => self.stream_becomes_opaque(block.stream, out),
            },
            DirectionState::Body if block.ends_stream => {
                stream.trailers(dir, fields.trailers(), out);
            }
            DirectionState::Body => self.stream_becomes_opaque(block.stream, out),
            DirectionState::Ended => {}
        }
        self.count_fields(block.stream, field_bytes)
    }

    /// Counts the size of fields, which the recorder stores until the stream ends.
    fn count_fields(&mut self, id: u32, size: usize) -> Result<(), Opaque> {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.field_bytes += size;
            self.field_bytes += size;
        }
        if self.field_bytes > MAX_OPEN_FIELDS_BYTES { Err(Opaque::LimitExceeded) } else { Ok(()) }
    }

    fn end_stream(&mut self, id: u32, dir: Dir, out: EventSink<'_>) {
        self.update(id, |stream| stream.end(dir, Finish::Complete, out));
    }

    fn stream_becomes_opaque(&mut self, id: u32, out: EventSink<'_>) {
        self.update(id, |stream| stream.become_opaque(Opaque::Http2, out));
    }

    /// Updates a stream, and removes it if it has ended.
    fn update(&mut self, id: u32, update: impl FnOnce(&mut Stream)) {
        if let Some(stream) = self.streams.get_mut(&id) {
            update(stream);
            if stream.is_ended() {
                self.field_bytes -= stream.field_bytes;
                self.streams.remove(&id);
            }
        }
    }

    /// Returns true if the sender in direction `dir` may open stream `id` now (section 5.1.1).
    fn is_new(&self, id: u32, dir: Dir) -> bool {
        id > 0 && opened_by(id) == dir && !self.was_opened(id)
    }

    fn was_opened(&self, id: u32) -> bool {
        id <= if opened_by(id) == Dir::Up { self.last_requested } else { self.last_promised }
    }

    fn exchange_id(&self, stream: u32) -> ExchangeId {
        ExchangeId(stream.wrapping_add(self.id_offset))
    }

    fn direction(&mut self, dir: Dir) -> &mut Http2Direction {
        match dir {
            Dir::Up => &mut self.up,
            Dir::Down => &mut self.down,
        }
    }
}

impl Http2Direction {
    fn new() -> Self {
        Self {
            frames: FrameReader::new(),
            decoder: HpackDecoder::new(),
            payload: Vec::new(),
            block: None,
            settings: VecDeque::new(),
            last_accepted: u32::MAX,
            ended: None,
        }
    }

    /// Frees the payload buffer if a large block has enlarged it.
    fn release_memory(&mut self) {
        if self.block.is_none() && self.payload.capacity() > MAX_KEPT_PAYLOAD_BYTES {
            self.payload = Vec::new();
        }
    }
}

/// Returns the direction of the request on a stream: clients open odd streams (section 5.1.1).
fn opened_by(stream: u32) -> Dir {
    if stream % 2 == 1 { Dir::Up } else { Dir::Down }
}

/// The client's connection preface (section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The reserved bit in the four bytes of a stream id.
const RESERVED_BIT: u32 = 1 << 31;

/// The size of the stream id in a GOAWAY frame; the rest of the frame has no effect on streams.
const GOAWAY_STREAM_ID_BYTES: usize = 4;

/// The largest number of open streams, as for HTTP/1. Servers allow some hundreds.
const MAX_STREAMS: usize = 10_000;

/// The largest total size of the fields of all open streams. HPACK can encode large fields in a few bytes.
const MAX_OPEN_FIELDS_BYTES: usize = 64 * 1024 * 1024;

/// The largest number of unacknowledged SETTINGS frames (settings flood, CVE-2019-9515).
const MAX_UNACKNOWLEDGED_SETTINGS: usize = 1000;

/// The largest payload buffer that a direction keeps for the next block.
const MAX_KEPT_PAYLOAD_BYTES: usize = 16 * 1024;
