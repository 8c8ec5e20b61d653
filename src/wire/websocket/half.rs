//! One direction of a WebSocket: frames become messages (RFC 6455 section 5.4).
//!
//! ```text
//! Begin(Text)   Control   Continue   Continue, final       frames
//! ├─ begin ─ data ─ ping ─ data ────── data ─ end ─┤       events
//! ```

use super::frame::{Frame, Heads, Kind};
use super::inflate::Inflater;
use crate::wire::tap::{Dir, Event, EventSink, ExchangeId, Finish, Opaque};

pub(super) struct Half {
    id: ExchangeId,
    dir: Dir,
    heads: Heads,
    /// The frame whose payload is under way.
    frame: Option<Frame>,
    /// The data message whose last frame has not ended.
    message: Option<Message>,
    /// What turns deflated messages back, if that was negotiated.
    inflater: Option<Inflater>,
    /// The payload so far of a control frame: at most 125 bytes.
    control: Vec<u8>,
    /// Where payloads are unmasked.
    scratch: Vec<u8>,
    closed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    Plain,
    Deflated,
}

impl Half {
    pub(super) fn new(id: ExchangeId, dir: Dir, inflater: Option<Inflater>) -> Self {
        Self {
            id,
            dir,
            heads: Heads::default(),
            frame: None,
            message: None,
            inflater,
            control: Vec::new(),
            scratch: Vec::new(),
            closed: false,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(super) fn read(&mut self, mut bytes: &[u8], out: EventSink<'_>) -> Result<(), Opaque> {
        loop {
            if self.frame.is_none() {
                let Some(frame) = self.heads.read(&mut bytes)? else {
                    return Ok(());
                };
                self.begin(&frame, out)?;
                self.frame = Some(frame);
            }
            self.payload(&mut bytes, out)?;
            match self.frame.take_if(|frame| frame.is_over()) {
                Some(frame) => self.finish(&frame, out)?,
                None => return Ok(()),
            }
        }
    }

    /// Nothing more comes; a message that is open ends like this.
    pub(super) fn close(&mut self, how: Finish, out: EventSink<'_>) {
        self.closed = true;
        if self.message.take().is_some() {
            out(Event::MessageEnd { id: self.id, dir: self.dir, how });
        }
    }

    /// A frame's head is there.
    fn begin(&mut self, frame: &Frame, out: EventSink<'_>) -> Result<(), Opaque> {
        // Only the first frame of a message says that it is deflated (RFC 7692 section 6.1).
        let deflated = match (frame.rsv1, frame.kind, &mut self.inflater) {
            (false, ..) => Message::Plain,
            (true, Kind::Begin(_), Some(inflater)) => {
                inflater.begin();
                Message::Deflated
            }
            (true, ..) => return Err(Opaque::WebSocket),
        };
        match (frame.kind, self.message) {
            (Kind::Begin(opcode), None) => {
                self.message = Some(deflated);
                out(Event::MessageBegin { id: self.id, dir: self.dir, opcode });
                Ok(())
            }
            (Kind::Continue, Some(_)) | (Kind::Control(_), _) => Ok(()),
            (Kind::Begin(_), Some(_)) | (Kind::Continue, None) => Err(Opaque::WebSocket),
        }
    }

    /// Whatever `bytes` have of the frame's payload.
    fn payload(&mut self, bytes: &mut &[u8], out: EventSink<'_>) -> Result<(), Opaque> {
        let Some(frame) = &mut self.frame else {
            return Ok(());
        };
        let (id, dir) = (self.id, self.dir);
        while let Some(piece) = frame.piece(bytes, &mut self.scratch) {
            match (frame.kind, self.message, &mut self.inflater) {
                (Kind::Control(_), ..) => self.control.extend_from_slice(piece),
                (_, Some(Message::Deflated), Some(inflater)) => {
                    inflater.inflate(piece, &mut |bytes| out(Event::MessageData { id, dir, bytes }))?;
                }
                _ => out(Event::MessageData { id, dir, bytes: piece }),
            }
        }
        Ok(())
    }

    /// The frame's payload is over.
    fn finish(&mut self, frame: &Frame, out: EventSink<'_>) -> Result<(), Opaque> {
        let (id, dir) = (self.id, self.dir);
        match frame.kind {
            Kind::Control(opcode) => {
                out(Event::Control { id, dir, opcode, payload: &self.control });
                self.control.clear();
            }
            Kind::Begin(_) | Kind::Continue if frame.is_final => {
                if let (Some(Message::Deflated), Some(inflater)) = (self.message, &mut self.inflater) {
                    inflater.end(&mut |bytes| out(Event::MessageData { id, dir, bytes }))?;
                }
                self.message = None;
                out(Event::MessageEnd { id, dir, how: Finish::Complete });
            }
            Kind::Begin(_) | Kind::Continue => {}
        }
        Ok(())
    }
}
