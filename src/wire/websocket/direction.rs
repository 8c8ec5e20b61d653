//! Assembles the frames of one direction of a WebSocket into messages (RFC 6455 section 5.4).
//!
//! ```text
//! First(Text)   Control   Continuation   Continuation, final       frames
//! ├─ begin ─ data ─ ping ── data ────────── data ─ end ─┤           events
//! ```

use super::frame::{Frame, FrameHeaderReader, FrameRole};
use super::inflate::Inflater;
use crate::wire::tap::{Dir, EventSink, ExchangeId, Finish, Opaque, TapEvent};

/// One direction of a WebSocket.
pub(super) struct WebSocketDirection {
    id: ExchangeId,
    dir: Dir,
    frame_headers: FrameHeaderReader,
    /// The current frame, in its payload.
    frame: Option<Frame>,
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

/// The encoding of a data message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MessageEncoding {
    Plain,
    Deflated,
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

    /// Returns true if the direction is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Processes `bytes`.
    pub(super) fn read(&mut self, mut bytes: &[u8], out: EventSink<'_>) -> Result<(), Opaque> {
        loop {
            if self.frame.is_none() {
                let Some(frame) = self.frame_headers.read(&mut bytes)? else {
                    return Ok(());
                };
                self.begin_frame(&frame, out)?;
                self.frame = Some(frame);
            }
            self.read_payload(&mut bytes, out)?;
            match self.frame.take_if(|frame| frame.is_complete()) {
                Some(frame) => self.end_frame(&frame, out)?,
                None => return Ok(()),
            }
        }
    }

    /// Closes the direction; an open message ends with `how`.
    pub(super) fn close(&mut self, how: Finish, out: EventSink<'_>) {
        self.is_closed = true;
        if self.message.take().is_some() {
            out(TapEvent::MessageEnd { id: self.id, dir: self.dir, how });
        }
    }

    /// Processes a frame header.
    fn begin_frame(&mut self, frame: &Frame, out: EventSink<'_>) -> Result<(), Opaque> {
        // RSV1 is set only on the first frame of a compressed message (RFC 7692 section 6.1).
        let encoding = match (frame.rsv1, frame.role, &mut self.inflater) {
            (false, ..) => MessageEncoding::Plain,
            (true, FrameRole::First(_), Some(inflater)) => {
                inflater.begin();
                MessageEncoding::Deflated
            }
            (true, ..) => return Err(Opaque::WebSocket),
        };
        match (frame.role, self.message) {
            (FrameRole::First(opcode), None) => {
                self.message = Some(encoding);
                out(TapEvent::MessageBegin { id: self.id, dir: self.dir, opcode });
                Ok(())
            }
            (FrameRole::Continuation, Some(_)) | (FrameRole::Control(_), _) => Ok(()),
            (FrameRole::First(_), Some(_)) | (FrameRole::Continuation, None) => Err(Opaque::WebSocket),
        }
    }

    /// Processes the bytes of the frame's payload in `bytes`.
    fn read_payload(&mut self, bytes: &mut &[u8], out: EventSink<'_>) -> Result<(), Opaque> {
        let Some(frame) = &mut self.frame else {
            return Ok(());
        };
        let (id, dir) = (self.id, self.dir);
        while let Some(piece) = frame.read_payload(bytes, &mut self.scratch) {
            match (frame.role, self.message, &mut self.inflater) {
                (FrameRole::Control(_), ..) => self.control.extend_from_slice(piece),
                (_, Some(MessageEncoding::Deflated), Some(inflater)) => {
                    inflater.inflate(piece, &mut |bytes| out(TapEvent::MessageData { id, dir, bytes }))?;
                }
                _ => out(TapEvent::MessageData { id, dir, bytes: piece }),
            }
        }
        Ok(())
    }

    /// Processes the end of a frame.
    fn end_frame(&mut self, frame: &Frame, out: EventSink<'_>) -> Result<(), Opaque> {
        let (id, dir) = (self.id, self.dir);
        match frame.role {
            FrameRole::Control(opcode) => {
                out(TapEvent::Control { id, dir, opcode, payload: &self.control });
                self.control.clear();
            }
            FrameRole::First(_) | FrameRole::Continuation if frame.is_final => {
                if let (Some(MessageEncoding::Deflated), Some(inflater)) = (self.message, &mut self.inflater) {
                    inflater.end(&mut |bytes| out(TapEvent::MessageData { id, dir, bytes }))?;
                }
                self.message = None;
                out(TapEvent::MessageEnd { id, dir, how: Finish::Complete });
            }
            FrameRole::First(_) | FrameRole::Continuation => {}
        }
        Ok(())
    }
}
