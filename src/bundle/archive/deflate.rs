//! Raw deflate (RFC 1951) in blocks, with a compressor that is reused for many entries.
//!
//! A long stream is compressed in segments. zlib moves its window by changing each of 98,304 positions in its hash tables, with
//! every 32 KiB of input: in a build for size, which vectorizes no loop, that takes a third of the time. A new segment begins with
//! empty tables instead. Text grows by 2 % with it.
//!
//! The state of a compressor, 372 KiB, is never freed but reused by later ones: packer threads end whenever they have nothing to
//! do, and freeing it would raise glibc's thresholds (`docs/relay.md`, "The allocator").

use flate2::{Compress, Compression, FlushCompress, Status};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A compressor.
pub(crate) struct Deflater {
    /// `None` until the first stream begins.
    compress: Option<Compress>,
    /// True if the previous stream was ended.
    has_ended: bool,
    /// The length of the input that the current segment can still take.
    segment_space: usize,
    /// A buffer for output.
    block: Vec<u8>,
}

impl Deflater {
    pub(crate) fn new() -> Self {
        Self::with_output(BLOCK_BYTES)
    }

    /// A compressor with an output buffer of this size, at least [`BLOCK_BYTES`]. A large one saves calls for large bodies.
    pub(crate) fn with_output(bytes: usize) -> Self {
        Self { compress: None, has_ended: true, segment_space: 0, block: vec![0; bytes.max(BLOCK_BYTES)] }
    }

    /// Begins a stream, and discards the state of the previous one.
    pub(crate) fn begin(&mut self) {
        let has_ended = std::mem::take(&mut self.has_ended);
        self.segment_space = SEGMENT_BYTES;
        match &mut self.compress {
            Some(compress) if has_ended => compress.reset(),
            // zlib-rs 0.6 resets an unfinished stream incompletely, and panics later.
            Some(compress) => *compress = new_compress(),
            None => self.compress = Some(idle().pop().unwrap_or_else(new_compress)),
        }
    }

    /// Compresses `bytes` and passes output to `out`.
    pub(crate) fn push(&mut self, mut bytes: &[u8], out: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        while let Some((piece, rest)) = bytes.split_at_checked(self.segment_space) {
            // Ends the last block at a byte of its own, without marking it as the last one (RFC 1951 section 3.2.4).
            self.run(piece, FlushCompress::Sync, out)?;
            self.compress.as_mut().ok_or_else(not_begun)?.reset();
            (bytes, self.segment_space) = (rest, SEGMENT_BYTES);
        }
        self.segment_space = self.segment_space.saturating_sub(bytes.len());
        self.run(bytes, FlushCompress::None, out)
    }

    /// Compresses `bytes` as one stream. Returns `None` if the output does not fit a block, which cannot happen for up
    /// to [`MAX_WHOLE_BYTES`].
    pub(crate) fn whole(&mut self, bytes: &[u8]) -> io::Result<Option<&[u8]>> {
        self.begin();
        let compress = self.compress.as_mut().ok_or_else(not_begun)?;
        let status = compress.compress(bytes, &mut self.block, FlushCompress::Finish).map_err(io::Error::other)?;
        self.has_ended = status == Status::StreamEnd;
        let produced = usize::try_from(compress.total_out()).unwrap_or(usize::MAX);
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
        let compress = self.compress.as_mut().ok_or_else(not_begun)?;
        loop {
            let (total_in, total_out) = (compress.total_in(), compress.total_out());
            let status = compress.compress(bytes, &mut self.block, flush).map_err(io::Error::other)?;
            let consumed = usize::try_from(compress.total_in().saturating_sub(total_in)).unwrap_or(usize::MAX);
            let produced = usize::try_from(compress.total_out().saturating_sub(total_out)).unwrap_or(usize::MAX);
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

impl Drop for Deflater {
    fn drop(&mut self) {
        if let Some(mut compress) = self.compress.take().filter(|_| self.has_ended) {
            compress.reset();
            idle().push(compress);
        }
    }
}

fn new_compress() -> Compress {
    Compress::new(Compression::new(LEVEL), false)
}

/// Returns the compressors that no deflater uses, of all captures: as many as were used at the same time.
fn idle() -> MutexGuard<'static, Vec<Compress>> {
    static IDLE: Mutex<Vec<Compress>> = Mutex::new(Vec::new());
    // No code panics while it holds the lock.
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn not_begun() -> io::Error {
    io::Error::other("no stream was begun")
}

/// The fastest level: a capture must not occupy a core, and JSON still shrinks to a third.
const LEVEL: u32 = 1;

/// The largest input that is compressed in one call. A block has space for input that does not shrink.
pub(crate) const MAX_WHOLE_BYTES: usize = BLOCK_BYTES / 2;

/// The input of a segment: the most that zlib takes before it moves its window, which is 64 KiB less 262 bytes.
const SEGMENT_BYTES: usize = 62 * 1024;

/// The largest block of output.
const BLOCK_BYTES: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::DeflateDecoder;
    use std::io::Read as _;

    /// Compresses `data` in pieces of these lengths, repeated.
    fn compressed(deflater: &mut Deflater, mut data: &[u8], lens: &[usize]) -> Vec<u8> {
        let mut stream = Vec::new();
        let mut out = |bytes: &[u8]| {
            stream.extend_from_slice(bytes);
            Ok(())
        };
        deflater.begin();
        for &len in lens.iter().cycle() {
            let (piece, rest) = data.split_at(len.min(data.len()));
            deflater.push(piece, &mut out).unwrap();
            data = rest;
            if data.is_empty() {
                break;
            }
        }
        deflater.end(&mut out).unwrap();
        stream
    }

    #[test]
    fn streams_of_any_number_of_segments_are_decoded() {
        let mut state = 1_u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        let mut deflater = Deflater::new();
        for len in [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 3 * SEGMENT_BYTES, 300_000] {
            let noise: Vec<u8> = (0..len).map(|_| random()).collect();
            let letters: Vec<u8> = noise.iter().map(|b| b'a' + b % 4).collect();
            let zeros = vec![0; len];
            for data in [noise, letters, zeros] {
                for lens in [&[usize::MAX][..], &[SEGMENT_BYTES], &[1000, 7, 64 * 1024], &[SEGMENT_BYTES / 2]] {
                    let stream = compressed(&mut deflater, &data, lens);
                    let mut decoder = DeflateDecoder::new(&stream[..]);
                    let mut decoded = Vec::new();
                    decoder.read_to_end(&mut decoded).unwrap();
                    assert!(decoded == data, "{len} bytes in pieces of {lens:?}");
                    assert_eq!(decoder.total_in(), stream.len() as u64);
                }
            }
        }
    }
}
