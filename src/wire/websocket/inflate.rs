//! permessage-deflate: parses the negotiated parameters and decompresses messages (RFC 7692 section 7).
//!
//! ```text
//! message = deflate blocks, flushed to a byte, without the last four bytes 00 00 ff ff      (section 7.2.1)
//! context = the window of 32 KiB; the next message of the direction continues with it or not (section 7.1.1)
//! ```
//!
//! Negotiated window bits limit only the sender. A receiver with the full window can decompress any smaller one.
//!
//! Receivers that use zlib accept some messages that the RFC does not allow, so they are decompressed here too: the last four
//! bytes were not removed, the last block is final, the flush was partial or is missing. After a message that cannot be
//! decompressed, the window is unknown. Later messages that do not refer to it are still decompressed.

use crate::wire::headers::{Headers, trim};
use crate::wire::tap::Dir;
use zlib_rs::{Inflate, InflateFlush, Status};

/// The negotiated parameters of permessage-deflate.
pub(super) struct DeflateParameters {
    client: DeflateContext,
    server: DeflateContext,
}

/// The handling of a sender's window between two messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum DeflateContext {
    /// The next message continues with the window (context takeover).
    Kept,
    /// Each message begins with an empty window.
    Reset,
}

/// Returns the parameters in the fields of the response that opens a WebSocket. Returns `None` if there is no compression, or
/// an unknown parameter.
pub(super) fn negotiated(response: &Headers) -> Option<DeflateParameters> {
    let mut deflate = DeflateParameters { client: DeflateContext::Kept, server: DeflateContext::Kept };
    let mut extensions =
        response.list("sec-websocket-extensions").map(|extension| extension.split(|&b| b == b';').map(trim));
    let parameters = extensions.find_map(|mut parts| (parts.next()? == b"permessage-deflate").then_some(parts))?;
    for parameter in parameters {
        let name = parameter.split(|&b| b == b'=').next().map(trim);
        match name.unwrap_or_default() {
            b"client_no_context_takeover" => deflate.client = DeflateContext::Reset,
            b"server_no_context_takeover" => deflate.server = DeflateContext::Reset,
            b"client_max_window_bits" | b"server_max_window_bits" => {}
            _ => return None,
        }
    }
    Some(deflate)
}

impl DeflateParameters {
    /// Creates a decompressor for the messages in direction `dir`. `limit` is the largest decompressed message.
    pub(super) fn inflater(&self, dir: Dir, limit: u64) -> Inflater {
        let context = match dir {
            Dir::Up => self.client,
            Dir::Down => self.server,
        };
        Inflater {
            context,
            limit,
            left: limit,
            stream: None,
            last_byte: None,
            tail_bytes: None,
            is_in_sync: true,
            out: Vec::new(),
        }
    }
}

/// Decompresses the messages of one direction.
pub(super) struct Inflater {
    context: DeflateContext,
    limit: u64,
    /// The bytes left up to the limit of the current message.
    left: u64,
    /// Created for the first compressed message: many WebSockets negotiate compression but never use it.
    stream: Option<Inflate>,
    /// The last byte of this message; `None` at its beginning and after a final block.
    last_byte: Option<u8>,
    /// The number of bytes after a final block, if they are the first bytes of the tail.
    tail_bytes: Option<usize>,
    /// True if the stream is between two blocks, at the start of a byte, and has the sender's window.
    is_in_sync: bool,
    /// A buffer for decompressed bytes.
    out: Vec<u8>,
}

/// The error for a message that cannot be decompressed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Undecodable;

impl Inflater {
    /// The size of the window and of the buffer for decompressed bytes.
    pub(super) const WINDOW_BYTES: usize = STREAM_BYTES + OUTPUT_BYTES;

    /// True once a window was allocated.
    pub(super) fn has_window(&self) -> bool {
        self.stream.is_some()
    }

    /// Returns the number of bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        if self.has_window() { Self::WINDOW_BYTES } else { 0 }
    }

    /// Begins a compressed message.
    pub(super) fn begin(&mut self) {
        self.left = self.limit;
        self.last_byte = None;
        self.tail_bytes = None;
        // With an empty window, zlib rejects what refers to an earlier message. All other messages do not depend on it.
        let is_kept = self.context == DeflateContext::Kept && self.is_in_sync;
        if let Some(stream) = self.stream.as_mut().filter(|_| !is_kept) {
            stream.reset(false);
        }
        self.is_in_sync = false;
    }

    /// Decompresses a piece of the message and passes the result to `sink` in pieces, never empty.
    ///
    /// Output before a malformed byte is passed on. Otherwise the events would depend on how the bytes are split.
    pub(super) fn inflate(&mut self, mut bytes: &[u8], sink: &mut dyn FnMut(&[u8])) -> Result<(), Undecodable> {
        loop {
            let step = self.step(bytes, InflateFlush::NoFlush, sink)?;
            let (read, rest) = bytes.split_at_checked(step.read).unwrap_or((bytes, &[]));
            if step.is_stream_end {
                self.last_byte = None;
                self.tail_bytes = Some(0);
            } else if let Some(&last_byte) = read.last() {
                self.last_byte = Some(last_byte);
                let after = |len: usize| TAIL.get(len..).is_some_and(|tail| tail.starts_with(read));
                self.tail_bytes = self.tail_bytes.filter(|&len| after(len)).map(|len| len.saturating_add(read.len()));
            } else if step.written == 0 && !bytes.is_empty() {
                return Err(Undecodable);
            }
            bytes = rest;
            // If the buffer is full, there may be more output.
            if bytes.is_empty() && step.written < OUTPUT_BYTES {
                return Ok(());
            }
        }
    }

    /// Ends the message.
    pub(super) fn end(&mut self, sink: &mut dyn FnMut(&[u8])) -> Result<(), Undecodable> {
        let Some(last_byte) = self.last_byte.filter(|_| self.tail_bytes != Some(TAIL.len())) else {
            // The message is empty or ends with a final block, perhaps with a tail. No block is open.
            if let Some(stream) = self.stream.as_mut().filter(|_| self.tail_bytes.is_some()) {
                stream.reset(false);
            }
            self.is_in_sync = true;
            return Ok(());
        };
        // If the sender did not remove the tail, a whole empty block takes its place.
        let is_tail_missing = last_byte <= MAX_LAST_BYTE;
        let mut rest = EMPTY_BLOCK_AND_NEXT_BYTE.get(usize::from(is_tail_missing)..).unwrap_or_default();
        let (left, mut has_ended_block) = (self.left, false);
        // The stream stops before the last byte if the empty block ends there.
        while rest.len() > 1 {
            let step = self.step(rest, InflateFlush::Block, sink)?;
            if step.read == 0 {
                break;
            }
            rest = rest.get(step.read..).unwrap_or_default();
            has_ended_block |= !rest.is_empty();
        }
        self.is_in_sync = rest.len() == 1;
        let is_empty = self.left == self.limit;
        // An empty block has no output. A message that ends in its first block would look like an empty message.
        if self.left != left || (is_empty && !has_ended_block) { Err(Undecodable) } else { Ok(()) }
    }

    /// Decompresses the first of `bytes`: up to the end of a stream, up to the end of a block with [`InflateFlush::Block`],
    /// or until `bytes` or the output buffer are used up.
    fn step(&mut self, bytes: &[u8], flush: InflateFlush, sink: &mut dyn FnMut(&[u8])) -> Result<Step, Undecodable> {
        self.out.resize(OUTPUT_BYTES, 0);
        let stream = self.stream.get_or_insert_with(|| Inflate::new(false, WINDOW_BITS));
        let (read, written) = (stream.total_in(), stream.total_out());
        let status = stream.decompress(bytes, &mut self.out, flush);
        let read = usize::try_from(stream.total_in().saturating_sub(read)).unwrap_or(usize::MAX);
        let written = stream.total_out().saturating_sub(written);

        let allowed = usize::try_from(written.min(self.left)).unwrap_or(OUTPUT_BYTES);
        let piece = self.out.get(..allowed).unwrap_or_default();
        if !piece.is_empty() {
            sink(piece);
        }
        self.left = self.left.checked_sub(written).ok_or(Undecodable)?;

        let is_stream_end = status.map_err(|_| Undecodable)? == Status::StreamEnd;
        if is_stream_end {
            // A final block is not always the last one of the message (RFC 7692 section 7.2.3.4).
            stream.reset(false);
        }
        Ok(Step { read, written: piece.len(), is_stream_end })
    }
}

/// The result of one step.
struct Step {
    read: usize,
    written: usize,
    is_stream_end: bool,
}

/// An empty block without compression, and one byte more. A sender ends each message with this block.
const EMPTY_BLOCK_AND_NEXT_BYTE: &[u8] = &[0, 0, 0, 0xff, 0xff, 0];

/// The bytes that a sender removes from the end of that block (RFC 7692 section 7.2.1).
const TAIL: &[u8] = &[0, 0, 0xff, 0xff];

/// The largest last byte of a message from which the tail was removed: it ends with the three bits 000 that begin a block
/// without compression.
const MAX_LAST_BYTE: u8 = 0x1f;

/// The size of the window, as an exponent of two.
const WINDOW_BITS: u8 = 15;

/// The size of a stream: the window of 32 KiB and the decoding tables.
const STREAM_BYTES: usize = 48 * 1024;

/// The size of the output buffer.
const OUTPUT_BYTES: usize = 16 * 1024;

/// The largest decompressed message. Deflate expands one byte to at most 1032. Without a limit a sender of some MiB could
/// fill the disk. Browsers and common servers reject far smaller messages.
pub(super) const MAX_INFLATED_BYTES: u64 = 1 << 30;

#[cfg(test)]
pub(super) mod testing {
    use super::DeflateContext;
    use flate2::{Compress, Compression, FlushCompress};

    /// Compresses `messages` as a sender does.
    pub(in crate::wire::websocket) fn deflated(messages: &[Vec<u8>], context: DeflateContext) -> Vec<Vec<u8>> {
        let mut messages = flushed(messages, context, FlushCompress::Sync);
        for message in &mut messages {
            assert!(message.ends_with(&[0, 0, 0xff, 0xff]) || message.is_empty());
            message.truncate(message.len().saturating_sub(4));
        }
        messages
    }

    /// Compresses `messages`, each ended with `flush`.
    pub(in crate::wire::websocket) fn flushed(
        messages: &[Vec<u8>],
        context: DeflateContext,
        flush: FlushCompress,
    ) -> Vec<Vec<u8>> {
        let mut compress = Compress::new(Compression::default(), false);
        let deflate = |message: &Vec<u8>| {
            let mut bytes = Vec::with_capacity(message.len() + 1024);
            if context == DeflateContext::Reset {
                compress.reset();
            }
            compress.compress_vec(message, &mut bytes, flush).unwrap();
            bytes
        };
        messages.iter().map(deflate).collect()
    }
}

#[cfg(test)]
mod tests;
