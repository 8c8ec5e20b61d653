//! The HTTP/2 tap: two directions of frames, and the streams that they share.
//!
//! ```text
//! HEADERS     always decoded, because every block may change the dynamic table of its direction
//! DATA        goes to an open stream; is ignored on a stream that was reset
//! ```
//!
//! The limits of a direction come from the settings of its receiver, which travel in the opposite direction. Settings for the
//! decoder take effect where the sender acknowledges them. This position in the bytes is the same for both sides and the tap.
//!
//! A direction becomes opaque if its frames cannot be separated or its field blocks cannot be decoded. The other direction is
//! still read: the origin's GOAWAY may explain the error, and earlier requests may still get their responses. All other errors
//! concern only one direction of a stream.

use super::direction::{BlockPurpose, FieldBlock, Http2Direction};
use super::frame::{FrameHeader, FramePart, FrameType};
use super::head::{Fields, RequestPurpose};
use super::hpack::HeaderList;
use super::settings::{SETTING_BYTES, Settings};
use super::stream::DirectionState;
use super::streams::{Streams, opened_by};
use crate::wire::error_code::ErrorCode;
use crate::wire::message::RequestHead;
use crate::wire::tap::{Dir, Ending, EventSink, ExchangeId, Finish, Opaque, Tap, TapEvent};

/// Observes a connection that uses HTTP/2 from its first byte.
pub(crate) struct Http2Tap {
    /// `None` once both directions are opaque.
    connection: Option<Box<Connection>>,
}

struct Connection {
    up: Http2Direction,
    down: Http2Direction,
    /// The part of the client's preface that has not arrived yet.
    preface: &'static [u8],
    streams: Streams,
}

impl Http2Tap {
    pub(crate) fn new() -> Self {
        Self { connection: Some(Box::new(Connection::new(Streams::new(0)))) }
    }

    /// Creates a tap for a connection after the 101 to an HTTP/1 request with `Upgrade: h2c`.
    ///
    /// The exchange of that request is `id`. It becomes the first stream, and its request has already ended (RFC 7540 section
    /// 3.2). `settings` is the value of the request's `HTTP2-Settings` field.
    pub(crate) fn upgraded(id: ExchangeId, settings: Option<&[u8]>) -> Self {
        let mut connection = Box::new(Connection::new(Streams::upgraded(id)));
        // The 101 acknowledges these settings.
        let settings = Settings::from_upgrade(settings.unwrap_or_default());
        settings.max_frame_size.into_iter().for_each(|size| connection.down.frames.set_max_size(size));
        settings.table_size.into_iter().for_each(|size| connection.down.decoder.set_max_table_size(size));
        Self { connection: Some(connection) }
    }

    /// Returns true if no state of any exchange is left.
    #[cfg(any(test, fuzzing))]
    pub(super) fn is_empty(&self) -> bool {
        self.connection.as_ref().is_none_or(|connection| connection.streams.is_empty())
    }
}

impl Tap for Http2Tap {
    fn data(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) {
        if let Some(connection) = &mut self.connection
            && !connection.direction(dir).is_opaque()
            && let Err(cause) = connection.read(dir, bytes, out)
        {
            connection.end(dir, Finish::Opaque(cause), out);
            if dir == Dir::Up && !connection.preface.is_empty() {
                // The connection does not use HTTP/2 at all.
                connection.end(Dir::Down, Finish::Opaque(cause), out);
            }
            out(TapEvent::Opaque { cause });
            if connection.direction(dir.opposite()).is_opaque() {
                self.connection = None;
            }
        }
    }

    fn end(&mut self, dir: Dir, how: Ending, out: EventSink<'_>) {
        if let Some(connection) = &mut self.connection
            && !connection.direction(dir).is_opaque()
        {
            connection.end(dir, Finish::Truncated(how), out);
        }
    }

    fn memory_bytes(&self) -> usize {
        self.connection.as_ref().map_or(0, |connection| connection.memory_bytes())
    }
}

impl Connection {
    fn new(streams: Streams) -> Self {
        Self { up: Http2Direction::new(), down: Http2Direction::new(), preface: PREFACE, streams }
    }

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

    /// Ends direction `dir` of the connection and of all streams.
    fn end(&mut self, dir: Dir, how: Finish, out: EventSink<'_>) {
        let has_method = self.up.block.as_ref().is_some_and(|block| block.fields.has_method());
        if dir == Dir::Up && has_method && self.is_in_request_head(|_| true) {
            self.open_incomplete_request(false, out);
        }
        self.direction(dir).ended = Some(how);
        self.streams.end_all(dir, how, out);
    }

    /// Processes a frame header.
    fn begin_frame(&mut self, dir: Dir, frame: FrameHeader, out: EventSink<'_>) -> Result<(), Opaque> {
        match (&self.direction(dir).block, frame.frame_type) {
            (None, FrameType::Continuation) => return Err(Opaque::Http2),
            (None, _) => self.direction(dir).part.clear(),
            // Section 6.10: no other frame may interrupt a field block.
            (Some(block), FrameType::Continuation) if block.stream == frame.stream => return Ok(()),
            (Some(_), _) => return Err(Opaque::Http2),
        }
        let is_of_exchange = matches!(frame.frame_type, FrameType::Headers | FrameType::Data | FrameType::Reset);
        if dir == Dir::Down && is_of_exchange && self.is_in_request_head(|stream| stream == frame.stream) {
            // The origin responds before the head is complete, so it ignores the rest.
            self.open_incomplete_request(frame.frame_type != FrameType::Reset, out);
        }
        match frame.frame_type {
            FrameType::Headers | FrameType::PushPromise => {
                let purpose = self.block_purpose(dir, frame);
                self.begin_message(dir, frame, purpose, out);
                let (stream, ends_stream) = (frame.stream, frame.ends_stream());
                self.direction(dir).block =
                    Some(FieldBlock { stream, purpose, ends_stream, fields: Fields::default() });
            }
            FrameType::Data => {
                let is_known = self.streams.was_opened(frame.stream);
                let purpose = if is_known { BlockPurpose::Further } else { BlockPurpose::Ignored };
                self.begin_message(dir, frame, purpose, out);
            }
            _ => {}
        }
        Ok(())
    }

    /// Returns the purpose of the field block that `frame` begins.
    fn block_purpose(&self, dir: Dir, frame: FrameHeader) -> BlockPurpose {
        match (frame.frame_type, dir) {
            (FrameType::Headers, Dir::Up) if self.streams.is_new(frame.stream, dir) => BlockPurpose::Request,
            _ if !self.streams.was_opened(frame.stream) => BlockPurpose::Ignored,
            (FrameType::PushPromise, Dir::Up) => BlockPurpose::Ignored,
            (FrameType::PushPromise, Dir::Down) => BlockPurpose::Promise,
            _ => BlockPurpose::Further,
        }
    }

    /// Reports the first byte of a message, or a frame that belongs to no message.
    fn begin_message(&mut self, dir: Dir, frame: FrameHeader, purpose: BlockPurpose, out: EventSink<'_>) {
        let id = self.streams.exchange_id(frame.stream);
        match (purpose, self.streams.state(frame.stream, dir)) {
            (BlockPurpose::Request, _) => out(TapEvent::Begin { id, dir }),
            (BlockPurpose::Ignored, _) => self.report_idle(dir, frame.stream, out),
            (BlockPurpose::Promise, _) => {}
            (BlockPurpose::Further, DirectionState::Ended) => self.direction(dir).completed.report(frame.stream, out),
            (BlockPurpose::Further, DirectionState::Head) if frame.frame_type == FrameType::Headers => {
                out(TapEvent::Begin { id, dir });
            }
            (BlockPurpose::Further, DirectionState::Head | DirectionState::Body) => {}
        }
    }

    /// Processes a piece of a frame's payload.
    fn read_payload(
        &mut self,
        dir: Dir,
        frame: FrameHeader,
        mut piece: &[u8],
        out: EventSink<'_>,
    ) -> Result<(), Opaque> {
        let direction = self.direction(dir);
        match frame.frame_type {
            FrameType::Data => self.streams.update(frame.stream, out, |stream, out| stream.data(dir, piece, out)),
            FrameType::Headers | FrameType::Continuation => direction.decode(piece)?,
            FrameType::PushPromise => {
                if direction.fill_part(&mut piece, NUMBER_BYTES) {
                    direction.decode(piece)?;
                }
            }
            FrameType::Settings => {
                while direction.fill_part(&mut piece, SETTING_BYTES) {
                    direction.end_setting();
                }
            }
            // The rest of a GOAWAY is an error code and debug data.
            FrameType::Reset | FrameType::GoAway => {
                direction.fill_part(&mut piece, NUMBER_BYTES);
            }
            FrameType::Other => {}
        }
        Ok(())
    }

    /// Processes the end of a frame.
    fn end_frame(&mut self, dir: Dir, frame: FrameHeader, out: EventSink<'_>) -> Result<(), Opaque> {
        let number = self.direction(dir).part.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        match frame.frame_type {
            FrameType::Data if frame.ends_stream() => self.complete(frame.stream, dir, out),
            FrameType::PushPromise if number.is_none() => return Err(Opaque::Http2),
            FrameType::Headers | FrameType::PushPromise | FrameType::Continuation => {
                if let Some((block, list)) = self.direction(dir).end_block(frame)? {
                    self.end_block(dir, block, list, number, out);
                }
            }
            FrameType::Reset => {
                let how = Finish::Reset { by: dir, code: ErrorCode(number.unwrap_or_default()) };
                self.streams.update(frame.stream, out, |stream, out| stream.end_both(dir, how, out));
            }
            FrameType::Settings => {
                let (sender, receiver) = self.directions(dir);
                match frame.is_ack() {
                    true => receiver.acknowledge_settings(sender),
                    false => sender.end_settings(receiver),
                }
            }
            FrameType::GoAway => self.go_away(dir, number.unwrap_or_default() & !RESERVED_BIT, out),
            FrameType::Data | FrameType::Other => {}
        }
        Ok(())
    }

    /// Processes a GOAWAY, whose sender ignores streams with a higher id than `last` (section 6.8).
    fn go_away(&mut self, dir: Dir, last: u32, out: EventSink<'_>) {
        let accepted = self.direction(dir).last_accepted;
        if last >= accepted {
            return;
        }
        self.direction(dir).last_accepted = last;
        if dir == Dir::Down && self.is_in_request_head(|stream| stream > last) {
            self.open_incomplete_request(false, out);
        }
        // Those above `accepted` are refused already. A flood of GOAWAY frames therefore visits each stream once.
        self.streams.refuse(last.saturating_add(1)..=accepted, dir.opposite(), refused_by(dir), out);
    }

    /// Processes a complete field block. `promised` is the stream id in a PUSH_PROMISE.
    fn end_block(&mut self, dir: Dir, block: FieldBlock, list: HeaderList, promised: Option<u32>, out: EventSink<'_>) {
        let FieldBlock { stream, purpose, ends_stream, fields } = block;
        match purpose {
            BlockPurpose::Request => self.open_stream(stream, fields.request(), list, out),
            BlockPurpose::Promise => {
                let promised = promised.unwrap_or_default() & !RESERVED_BIT;
                if !self.streams.is_new(promised, dir) {
                    return self.report_idle(dir, promised, out);
                }
                out(TapEvent::Begin { id: self.streams.exchange_id(promised), dir: Dir::Up });
                let (head, _) = fields.request();
                self.open_stream(promised, (head, RequestPurpose::Exchange), list, out);
                self.complete(promised, Dir::Up, out);
            }
            BlockPurpose::Further => self.read_further_block(dir, stream, fields, list, ends_stream, out),
            BlockPurpose::Ignored => {}
        }
        if ends_stream {
            self.complete(stream, dir, out);
        }
    }

    /// Opens a stream with a request.
    fn open_stream(&mut self, id: u32, request: (RequestHead, RequestPurpose), list: HeaderList, out: EventSink<'_>) {
        self.streams.open(id, request, list, out);
        // Section 6.8: after a GOAWAY, the sender ignores streams with a higher id.
        let opener = opened_by(id);
        let refuser = opener.opposite();
        let is_refused = id > self.direction(refuser).last_accepted;
        // A direction may have ended before: there will be no response, or the request stays incomplete.
        let (request_end, response_end) = (self.up.ended.filter(|_| opener == Dir::Up), self.down.ended);
        self.streams.update(id, out, |stream, out| {
            if is_refused {
                stream.end_both(refuser, refused_by(refuser), out);
            }
            request_end.into_iter().for_each(|how| stream.end(Dir::Up, how, out));
            response_end.into_iter().for_each(|how| stream.end(Dir::Down, how, out));
        });
    }

    /// Processes a field block on a known stream: a response's head, or trailers. On an ended stream the block is ignored.
    fn read_further_block(
        &mut self,
        dir: Dir,
        id: u32,
        fields: Fields,
        list: HeaderList,
        ends_stream: bool,
        out: EventSink<'_>,
    ) {
        self.streams.update(id, out, |stream, out| match stream.state(dir) {
            DirectionState::Head => match fields.response() {
                // Interim responses are not reported, and they cannot end a stream (section 8.1).
                Some(head) if head.status < 200 && !ends_stream => {}
                Some(head) if head.status >= 200 => stream.respond(head, list, out),
                Some(_) | None => stream.fail(dir, Opaque::Misplaced, out),
            },
            DirectionState::Body if ends_stream => stream.trailers(dir, fields.trailers(), list, out),
            DirectionState::Body => stream.fail(dir, Opaque::Misplaced, out),
            DirectionState::Ended => {}
        });
    }

    /// Processes END_STREAM in direction `dir` of a stream.
    fn complete(&mut self, id: u32, dir: Dir, out: EventSink<'_>) {
        if self.streams.state(id, dir) != DirectionState::Ended {
            self.direction(dir).completed.add(id);
            self.streams.update(id, out, |stream, out| stream.end(dir, Finish::Complete, out));
        }
    }

    /// Returns true if the client is sending the head of a request on a stream for which `test` is true.
    fn is_in_request_head(&self, test: impl FnOnce(u32) -> bool) -> bool {
        let block = self.up.block.as_ref();
        block.is_some_and(|block| block.purpose == BlockPurpose::Request && test(block.stream))
    }

    /// Opens the stream of the request whose head the client is sending, with the fields so far.
    fn open_incomplete_request(&mut self, is_answered: bool, out: EventSink<'_>) {
        if let Some(block) = &mut self.up.block {
            block.purpose = BlockPurpose::Ignored;
            let (stream, fields, list) = (block.stream, std::mem::take(&mut block.fields), self.up.decoder.list());
            let list = HeaderList { is_truncated: list.is_truncated || is_answered, ..list };
            self.open_stream(stream, fields.request(), list, out);
        }
    }

    /// Reports a frame on an idle stream, unless the tap may have missed the request.
    fn report_idle(&mut self, dir: Dir, stream: u32, out: EventSink<'_>) {
        if !self.direction(opened_by(stream)).is_opaque() {
            self.direction(dir).report_idle(out);
        }
    }

    fn direction(&mut self, dir: Dir) -> &mut Http2Direction {
        self.directions(dir).0
    }

    fn memory_bytes(&self) -> usize {
        let parts = [self.up.memory_bytes(), self.down.memory_bytes(), self.streams.memory_bytes()];
        parts.into_iter().fold(size_of::<Self>(), usize::saturating_add)
    }

    /// Returns direction `dir` and the other one.
    fn directions(&mut self, dir: Dir) -> (&mut Http2Direction, &mut Http2Direction) {
        match dir {
            Dir::Up => (&mut self.up, &mut self.down),
            Dir::Down => (&mut self.down, &mut self.up),
        }
    }
}

/// Returns how a stream ends that `side` excludes with a GOAWAY.
fn refused_by(side: Dir) -> Finish {
    Finish::Reset { by: side, code: ErrorCode::REFUSED_STREAM }
}

/// The client's connection preface (section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The reserved bit in the four bytes of a stream id.
const RESERVED_BIT: u32 = 1 << 31;

/// The size of a stream id and of an error code.
const NUMBER_BYTES: usize = 4;
