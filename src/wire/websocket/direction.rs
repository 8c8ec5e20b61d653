//! Assembles the frames of one direction of a WebSocket into messages (RFC 6455 section 5.4).
//!
//! ```text
//! First(Text)   Control   Continuation   Continuation, final       frames
//! ├─ begin ─ data ─ ping ── data ────────── data ─ end ─┤           events
//! ```
//!
//! Every payload byte is reported, also that of a frame that the RFC does not allow, as long as its length is known:
//!
//! | frame | reported as |
//! |---|---|
//! | reserved bits of an unknown extension, or a reserved opcode | undecodable |
//! | permessage-deflate that does not decompress | undecodable |
//! | a first frame within an open message | the open message ends as opaque, the next begins |
//! | a continuation without a first frame | a binary message, undecodable |
//! | a control frame that is fragmented, too long or undecodable | a message of its own |

use super::frame::{Frame, FrameHeaderReader, FrameRole, ReservedBits};
use super::inflate::Inflater;
use crate::wire::tap::{Dir, EventSink, ExchangeId, Finish, Opaque, Opcode, PayloadEncoding, TapEvent};
use std::cell::Cell;

/// One direction of a WebSocket.
pub(super) struct WebSocketDirection {
    id: ExchangeId,
    dir: Dir,
    frame_headers: FrameHeaderReader,
    /// The current frame, in its payload.
    frame: Option<(Frame, FrameContent)>,
    /// The encoding of the open data message.
    message: Option<MessageEncoding>,
    /// Decompresses messages if permessage-deflate was negotiated.
    inflater: Option<Inflater>,
    /// The payload so far of a control frame, at most 125 bytes.
    control: Vec<u8>,
    /// A buffer for unmasked payload.
    scratch: Vec<u8>,
    is_closed: bool,
}

/// The content of a frame.
#[derive(Clone, Copy)]
enum FrameContent {
    /// A part of the open data message.
    Data,
    /// A control frame whose payload is collected.
    Control(Opcode),
    /// A control frame that is reported as a message of its own.
    OddControl(MessageEncoding),
}

/// The encoding of a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MessageEncoding {
    Plain,
    /// permessage-deflate.
    Deflated,
    /// permessage-deflate that does not decompress. This is reported at the end of the message.
    Damaged,
    /// An unknown encoding. This has been reported.
    Unknown,
}

impl WebSocketDirection {
    pub(super) fn new(id: ExchangeId, dir: Dir, inflater: Option<Inflater>) -> Self {
        Self {
            id,
            dir,
            frame_headers: FrameHeaderReader::default(),
            frame: None,
            message: None,
            inflater,
            control: Vec::new(),
            scratch: Vec::new(),
            is_closed: false,
        }
    }

    /// Returns the size of the state.
    pub(super) fn memory_bytes(&self) -> usize {
        let inflater = self.inflater.as_ref().map_or(0, Inflater::memory_bytes);
        let buffers = self.control.capacity().saturating_add(self.scratch.capacity());
        size_of::<Self>().saturating_add(buffers).saturating_add(inflater)
    }

    /// Returns true if the direction is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Processes `bytes`. Fails if the end of a frame cannot be known.
    pub(super) fn read(&mut self, mut bytes: &[u8], out: EventSink<'_>) -> Result<(), Opaque> {
        while !self.is_closed {
            if self.frame.is_none() {
                let Some(frame) = self.frame_headers.read(&mut bytes)? else {
                    return Ok(());
                };
                let content = self.begin_frame(&frame, out);
                self.frame = Some((frame, content));
            }
            self.read_payload(&mut bytes, out);
            match self.frame.take_if(|(frame, _)| frame.is_complete()) {
                Some((frame, content)) => self.end_frame(&frame, content, out),
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Closes the direction. An open message and an incomplete control frame end with `how`.
    pub(super) fn close(&mut self, how: Finish, out: EventSink<'_>) {
        self.is_closed = true;
        match self.frame.take() {
            Some((_, FrameContent::Control(opcode))) => {
                self.begin_message(opcode, MessageEncoding::Plain, out);
                if !self.control.is_empty() {
                    out(TapEvent::MessageData { id: self.id, dir: self.dir, bytes: &self.control });
                }
                self.end_message(MessageEncoding::Plain, how, out);
            }
            Some((_, FrameContent::OddControl(encoding))) => self.end_message(encoding, how, out),
            Some((_, FrameContent::Data)) | None => {}
        }
        self.end_data_message(how, out);
    }

    /// Processes a frame header.
    fn begin_frame(&mut self, frame: &Frame, out: EventSink<'_>) -> FrameContent {
        match frame.role {
            FrameRole::First(opcode) => {
                self.end_data_message(Finish::Opaque(Opaque::WebSocket), out);
                // RSV1 is set only on the first frame of a compressed message (RFC 7692 section 6.1).
                let encoding = match (opcode, frame.reserved, &mut self.inflater) {
                    (Some(_), ReservedBits::None, _) => MessageEncoding::Plain,
                    (Some(_), ReservedBits::Rsv1, Some(inflater)) => {
                        inflater.begin();
                        MessageEncoding::Deflated
                    }
                    _ => MessageEncoding::Unknown,
                };
                self.begin_message(opcode.unwrap_or(Opcode::Binary), encoding, out);
                self.message = Some(encoding);
                FrameContent::Data
            }
            FrameRole::Continuation => {
                if self.message.is_none() {
                    self.begin_message(Opcode::Binary, MessageEncoding::Unknown, out);
                    self.message = Some(MessageEncoding::Unknown);
                }
                if frame.reserved != ReservedBits::None && self.message != Some(MessageEncoding::Unknown) {
                    self.report_undecodable(PayloadEncoding::Unknown, out);
                    self.message = Some(MessageEncoding::Unknown);
                }
                FrameContent::Data
            }
            FrameRole::Control(opcode) => {
                let encoding = match (opcode, frame.reserved) {
                    (Some(opcode), ReservedBits::None) if frame.is_final && frame.fits_control() => {
                        return FrameContent::Control(opcode);
                    }
                    (Some(_), ReservedBits::None) => MessageEncoding::Plain,
                    _ => MessageEncoding::Unknown,
                };
                self.begin_message(opcode.unwrap_or(Opcode::Binary), encoding, out);
                FrameContent::OddControl(encoding)
            }
        }
    }

    /// Processes the bytes of the frame's payload in `bytes`.
    fn read_payload(&mut self, bytes: &mut &[u8], out: EventSink<'_>) {
        let Some((frame, content)) = &mut self.frame else {
            return;
        };
        let (id, dir) = (self.id, self.dir);
        while let Some(piece) = frame.read_payload(bytes, &mut self.scratch) {
            let encoding = match content {
                FrameContent::Control(_) => {
                    self.control.extend_from_slice(piece);
                    continue;
                }
                FrameContent::OddControl(encoding) => encoding,
                FrameContent::Data => self.message.get_or_insert(MessageEncoding::Plain),
            };
            match (*encoding, &mut self.inflater) {
                (MessageEncoding::Plain, _) => out(TapEvent::MessageData { id, dir, bytes: piece }),
                (MessageEncoding::Deflated, Some(inflater)) => {
                    out(TapEvent::MessageEncoded { id, dir, bytes: piece });
                    let is_refused = Cell::new(false);
                    if !inflater.has_window() {
                        out(TapEvent::WindowNeeded { bytes: Inflater::WINDOW_BYTES, is_refused: &is_refused });
                    }
                    if is_refused.get()
                        || inflater.inflate(piece, &mut |bytes| out(TapEvent::MessageData { id, dir, bytes })).is_err()
                    {
                        *encoding = MessageEncoding::Damaged;
                    }
                }
                _ => out(TapEvent::MessageEncoded { id, dir, bytes: piece }),
            }
        }
    }

    /// Processes the end of a frame.
    fn end_frame(&mut self, frame: &Frame, content: FrameContent, out: EventSink<'_>) {
        match content {
            FrameContent::Control(opcode) => {
                out(TapEvent::Control { id: self.id, dir: self.dir, opcode, payload: &self.control });
                self.control.clear();
            }
            FrameContent::OddControl(encoding) => {
                // A control frame cannot be continued: the rest of a fragmented one is unknown.
                let how = if frame.is_final { Finish::Complete } else { Finish::Opaque(Opaque::WebSocket) };
                self.end_message(encoding, how, out);
            }
            FrameContent::Data if frame.is_final => self.end_data_message(Finish::Complete, out),
            FrameContent::Data => {}
        }
    }

    /// Ends the data message, if one is open.
    fn end_data_message(&mut self, how: Finish, out: EventSink<'_>) {
        let (id, dir) = (self.id, self.dir);
        let Some(mut encoding) = self.message.take() else {
            return;
        };
        if let (MessageEncoding::Deflated, Finish::Complete, Some(inflater)) = (encoding, how, &mut self.inflater)
            && inflater.end(&mut |bytes| out(TapEvent::MessageData { id, dir, bytes })).is_err()
        {
            encoding = MessageEncoding::Damaged;
        }
        self.end_message(encoding, how, out);
    }

    fn begin_message(&self, opcode: Opcode, encoding: MessageEncoding, out: EventSink<'_>) {
        out(TapEvent::MessageBegin { id: self.id, dir: self.dir, opcode });
        if encoding == MessageEncoding::Unknown {
            self.report_undecodable(PayloadEncoding::Unknown, out);
        }
    }

    fn end_message(&self, encoding: MessageEncoding, how: Finish, out: EventSink<'_>) {
        // Reported here, the order of the events does not depend on how the bytes are split.
        if encoding == MessageEncoding::Damaged {
            self.report_undecodable(PayloadEncoding::PermessageDeflate, out);
        }
        out(TapEvent::MessageEnd { id: self.id, dir: self.dir, how });
    }

    fn report_undecodable(&self, encoding: PayloadEncoding, out: EventSink<'_>) {
        out(TapEvent::MessageUndecodable { id: self.id, dir: self.dir, encoding });
    }
}
