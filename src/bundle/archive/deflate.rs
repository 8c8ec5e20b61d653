//! Raw deflate (RFC 1951) in blocks, with a compressor that is reused for many entries.

use flate2::{Compress, Compression, FlushCompress, Status};
use std::io;

/// A compressor.
pub(crate) struct Deflater {
    compress: Compress,
    /// True if the previous stream was ended.
    has_ended: bool,
    /// A buffer for output.
    block: Vec<u8>,
}

impl Deflater {
    pub(crate) fn new() -> Self {
        Self::with_output(BLOCK_BYTES)
    }

    /// A compressor with an output buffer of this size, at least [`BLOCK_BYTES`]. A large one saves calls for large bodies.
    pub(crate) fn with_output(bytes: usize) -> Self {
        Self { compress: new_compress(), has_ended: true, block: vec![0; bytes.max(BLOCK_BYTES)] }
    }

    /// Begins a stream, and discards the state of the previous one.
    pub(crate) fn begin(&mut self) {
        if std::mem::take(&mut self.has_ended) {
            self.compress.reset();
        } else {
            // zlib-rs 0.6 resets an unfinished stream incompletely, and panics later.
            self.compress = new_compress();
        }
    }

    /// Compresses `bytes` and passes output to `out`.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.run(bytes, FlushCompress::None, out)
    }

    /// Compresses `bytes` as one stream. Returns `None` if the output does not fit a block, which cannot happen for up
    /// to [`MAX_WHOLE_BYTES`].
    pub(crate) fn whole(&mut self, bytes: &[u8]) -> io::Result<Option<&[u8]>> {
        self.begin();
        let status = self.compress.compress(bytes, &mut self.block, FlushCompress::Finish).map_err(io::Error::other)?;
        self.has_ended = status == Status::StreamEnd;
        let produced = usize::try_from(self.compress.total_out()).unwrap_or(usize::MAX);
        Ok(if self.has_ended { self.block.get(..produced) } else { None })
    }

    /// Ends the stream and passes the rest of its output to `out`.
    pub(crate) fn end(&mut self, out: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.run(&[], FlushCompress::Finish, out)?;
        self.has_ended = true;
        Ok(())
    }

    fn run(
        &mut self,
        mut bytes: &[u8],
        flush: FlushCompress,
        out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            let (total_in, total_out) = (self.compress.total_in(), self.compress.total_out());
            let status = self.compress.compress(bytes, &mut self.block, flush).map_err(io::Error::other)?;
            let consumed = usize::try_from(self.compress.total_in().saturating_sub(total_in)).unwrap_or(usize::MAX);
            let produced = usize::try_from(self.compress.total_out().saturating_sub(total_out)).unwrap_or(usize::MAX);
            bytes = bytes.get(consumed..).unwrap_or_default();
            out(self.block.get(..produced).unwrap_or_default())?;
            let is_done = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                _ => bytes.is_empty() && produced < self.block.len(),
            };
            if is_done {
                return Ok(());
            }
        }
    }
}

fn new_compress() -> Compress {
    Compress::new(Compression::new(LEVEL), false)
}

/// The fastest level: a capture must not occupy a core, and JSON still shrinks to a third.
const LEVEL: u32 = 1;

/// The largest input that is compressed in one call. A block has space for input that does not shrink.
pub(crate) const MAX_WHOLE_BYTES: usize = BLOCK_BYTES / 2;

/// The largest block of output.
const BLOCK_BYTES: usize = 32 * 1024;
