//! One direction of an HTTP/1 connection: the reader of its current message, and the bytes that wait for the other direction.

use super::body::Http1BodyReader;
use super::head_scanner::{HeadReader, WholeHead};
use crate::wire::tap::{Ending, Opaque};

/// One direction of the connection.
pub(super) struct Http1Direction {
    pub(super) reader: MessageReader,
    /// Bytes received while this direction is blocked; empty while it is not blocked.
    pub(super) held: Vec<u8>,
    /// The end of the direction. It may have ended while bytes are held.
    pub(super) ended: Option<Ending>,
}

/// The reader of the current message.
pub(super) enum MessageReader {
    /// Between two messages or in a head.
    Head(HeadReader),
    Body(Http1BodyReader),
    /// The end of a response without a request is unknown. `Down` becomes opaque with the next request.
    Skip,
    /// The rest of the direction is not read.
    Opaque,
}

impl Http1Direction {
    pub(super) fn new() -> Self {
        Self { reader: MessageReader::Head(HeadReader::for_message()), held: Vec::new(), ended: None }
    }

    /// Returns the number of bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        let reader = match &self.reader {
            MessageReader::Head(head) => head.memory_bytes(),
            MessageReader::Body(body) => body.memory_bytes(),
            MessageReader::Skip | MessageReader::Opaque => 0,
        };
        reader.saturating_add(self.held.capacity())
    }

    /// Ends the current message.
    pub(super) fn end_message(&mut self) {
        if self.is_readable() {
            self.reader = MessageReader::Head(HeadReader::for_message());
        }
    }

    /// Returns true if the position of the next message is known.
    pub(super) fn is_readable(&self) -> bool {
        matches!(self.reader, MessageReader::Head(_) | MessageReader::Body(_))
    }

    pub(super) fn is_between_messages(&self) -> bool {
        matches!(&self.reader, MessageReader::Head(head) if head.len() == 0)
    }

    /// Returns true if a head has begun and is incomplete.
    pub(super) fn is_in_head(&self) -> bool {
        self.head_len() > 0
    }

    /// Returns the number of bytes received of an incomplete head.
    pub(super) fn head_len(&self) -> usize {
        match &self.reader {
            MessageReader::Head(head) => head.len(),
            _ => 0,
        }
    }

    /// Continues a head; `bytes` is not empty.
    pub(super) fn read_head<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<WholeHead<'a>>, Opaque> {
        match &mut self.reader {
            MessageReader::Head(head) => head.read(bytes),
            _ => Ok(None),
        }
    }

    /// Removes the bytes of an incomplete head and returns them: those received so far and `next`.
    pub(super) fn take_incomplete_head(&mut self, next: &[u8]) -> Vec<u8> {
        match &mut self.reader {
            MessageReader::Head(head) => head.take_incomplete(next),
            _ => Vec::new(),
        }
    }
}
