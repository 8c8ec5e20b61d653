//! Deflate (RFC 1951) without a wrapper, piece by piece; one compressor's memory serves all entries.

use flate2::{Compress, Compression, FlushCompress, Status};
use std::io;

/// A compressor.
pub(crate) struct Deflater {
    compress: Compress,
    /// Whether the stream before came to its end.
    ended: bool,
    piece: Vec<u8>,
}

impl Deflater {
    pub(crate) fn new() -> Self {
        Self { compress: fresh(), ended: true, piece: vec![0; PIECE] }
    }

    /// Forgets what an entry before left.
    pub(crate) fn begin(&mut self) {
        if std::mem::take(&mut self.ended) {
            self.compress.reset();
        } else {
            // zlib-rs 0.6 does not reset all of a stream that was given up in the middle, and panics later.
            self.compress = fresh();
        }
    }

    /// Compresses `bytes` and hands `out` what comes of it.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.run(bytes, FlushCompress::None, out)
    }

    /// Compresses all of `bytes` at once, as a stream of its own; `None` if they are more than [`WHOLE`] and it did not fit.
    pub(crate) fn whole(&mut self, bytes: &[u8]) -> io::Result<Option<&[u8]>> {
        self.begin();
        let status = self.compress.compress(bytes, &mut self.piece, FlushCompress::Finish).map_err(io::Error::other)?;
        self.ended = status == Status::StreamEnd;
        let made = usize::try_from(self.compress.total_out()).unwrap_or(usize::MAX);
        Ok(if self.ended { self.piece.get(..made) } else { None })
    }

    /// Ends the stream.
    pub(crate) fn end(&mut self, out: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        self.run(&[], FlushCompress::Finish, out)?;
        self.ended = true;
        Ok(())
    }

    fn run(
        &mut self,
        mut bytes: &[u8],
        flush: FlushCompress,
        out: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            let (had, gave) = (self.compress.total_in(), self.compress.total_out());
            let status = self.compress.compress(bytes, &mut self.piece, flush).map_err(io::Error::other)?;
            let used = usize::try_from(self.compress.total_in().saturating_sub(had)).unwrap_or(usize::MAX);
            let made = usize::try_from(self.compress.total_out().saturating_sub(gave)).unwrap_or(usize::MAX);
            bytes = bytes.get(used..).unwrap_or_default();
            out(self.piece.get(..made).unwrap_or_default())?;
            let is_over = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                _ => bytes.is_empty() && made < self.piece.len(),
            };
            if is_over {
                return Ok(());
            }
        }
    }
}

fn fresh() -> Compress {
    Compress::new(Compression::new(LEVEL), false)
}

/// The fastest: a capture should not keep a core busy, and JSON still gets to a third.
const LEVEL: u32 = 1;

/// So much is compressed at once: with room to spare for what does not get smaller.
pub(crate) const WHOLE: usize = PIECE / 2;

/// Compressed bytes go on in pieces of at most this size.
const PIECE: usize = 32 * 1024;
