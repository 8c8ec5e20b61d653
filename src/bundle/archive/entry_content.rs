//! The uncompressed content of an entry, block by block, checked against its header.
//!
//! ```text
//! FileRange ─▶ input ─▶ inflater ─▶ output ─▶ next() ─▶ block, block, …, empty: size and checksum match
//! ```
//!
//! A caller that stops early has content that was not checked. Content never exceeds the size in the header, so a small entry
//! cannot expand without limit.

use super::file_range::FileRange;
use super::headers::{CompressionMethod, EntryHeader};
use super::read_error::EntryError;
use crate::coding::crc32::Crc;
use flate2::{Decompress, FlushDecompress, Status};
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A reader of an entry's content.
pub(crate) struct EntryContent<'f> {
    compressed: FileRange<'f>,
    /// The size in the header.
    size: u64,
    /// The checksum in the header.
    crc: u32,
    /// `None` if the content is stored.
    inflater: Option<PooledInflater>,
    /// Compressed bytes; empty if the content is stored.
    input: Vec<u8>,
    /// The part of `input` that is not inflated yet.
    pending: Range<usize>,
    output: Vec<u8>,
    passed: u64,
    passed_crc: Crc,
}

impl<'f> EntryContent<'f> {
    /// Returns a reader of the entry with this header, whose compressed content is `compressed`.
    pub(super) fn new(header: &EntryHeader, compressed: FileRange<'f>) -> Self {
        let inflater = match header.method {
            CompressionMethod::Stored => None,
            CompressionMethod::Deflated => Some(PooledInflater::acquire()),
        };
        let input = inflater.as_ref().map_or(0, |_| buffer_len(compressed.remaining()));
        Self {
            compressed,
            size: header.size,
            crc: header.crc,
            inflater,
            input: vec![0; input],
            pending: 0..0,
            output: vec![0; buffer_len(header.size)],
            passed: 0,
            passed_crc: Crc::new(),
        }
    }

    /// Returns the size of the content, as the header claims it.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Returns the next block of the content, of at most 64 KiB; empty at its end, if the content matches the header. Fails
    /// with [`EntryError::Damaged`] if it does not.
    pub(crate) fn next(&mut self) -> Result<&[u8], EntryError> {
        let filled = match &mut self.inflater {
            None => read(&mut self.compressed, &mut self.output)?,
            Some(inflater) => {
                let input = Input { from: &mut self.compressed, buffer: &mut self.input, pending: &mut self.pending };
                inflate(inflater, input, &mut self.output)?
            }
        };
        let block = self.output.get(..filled).unwrap_or_default();
        self.passed = self.passed.saturating_add(filled as u64);
        self.passed_crc.update(block);
        let is_whole = filled > 0 || (self.passed == self.size && self.passed_crc.sum() == self.crc);
        if self.passed > self.size || !is_whole {
            return Err(EntryError::Damaged);
        }
        Ok(block)
    }
}

/// The source of an inflater.
struct Input<'c, 'f> {
    from: &'c mut FileRange<'f>,
    buffer: &'c mut [u8],
    pending: &'c mut Range<usize>,
}

/// Inflates into `output` and returns the number of bytes there; 0 at the end of a stream that ends where its input does.
fn inflate(inflater: &mut PooledInflater, input: Input<'_, '_>, output: &mut [u8]) -> Result<usize, EntryError> {
    let Input { from, buffer, pending } = input;
    loop {
        if pending.start >= pending.end {
            *pending = 0..read(from, buffer)?;
        }
        let bytes = buffer.get(pending.clone()).unwrap_or_default();
        if inflater.has_ended {
            return if bytes.is_empty() { Ok(0) } else { Err(EntryError::Damaged) };
        }
        let Some(decompress) = &mut inflater.decompress else { return Err(EntryError::Damaged) };
        let (total_in, total_out) = (decompress.total_in(), decompress.total_out());
        // Without input, output that filled the buffer may leave more inside the inflater.
        let status = decompress.decompress(bytes, output, FlushDecompress::None).map_err(|_| EntryError::Damaged)?;
        let used = usize::try_from(decompress.total_in().saturating_sub(total_in)).unwrap_or(usize::MAX);
        let made = usize::try_from(decompress.total_out().saturating_sub(total_out)).unwrap_or(usize::MAX);
        pending.start = pending.start.saturating_add(used).min(pending.end);
        inflater.has_ended = status == Status::StreamEnd;
        if made > 0 {
            return Ok(made);
        }
        if used == 0 && !inflater.has_ended {
            return Err(EntryError::Damaged);
        }
    }
}

fn read(from: &mut FileRange<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match from.read(buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

/// An inflater, which is reused after a stream that ended: a bundle has a million entries.
struct PooledInflater {
    /// `None` once it is dropped.
    decompress: Option<Decompress>,
    has_ended: bool,
}

impl PooledInflater {
    fn acquire() -> Self {
        let decompress = idle().pop().unwrap_or_else(|| Decompress::new(false));
        Self { decompress: Some(decompress), has_ended: false }
    }
}

impl Drop for PooledInflater {
    fn drop(&mut self) {
        if let Some(mut decompress) = self.decompress.take().filter(|_| self.has_ended) {
            decompress.reset(false);
            idle().push(decompress);
        }
    }
}

/// Returns the inflaters that no reader uses: as many as were used at the same time.
fn idle() -> MutexGuard<'static, Vec<Decompress>> {
    static IDLE: Mutex<Vec<Decompress>> = Mutex::new(Vec::new());
    // No code panics while it holds the lock.
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the size of a buffer for `len` bytes: most entries are small. One byte more, because the inflater cannot
/// report the end of a stream that fills its output exactly.
fn buffer_len(len: u64) -> usize {
    usize::try_from(len).map_or(MAX_BUFFER_BYTES, |len| len.saturating_add(1).min(MAX_BUFFER_BYTES))
}

/// The largest buffer for reading content.
const MAX_BUFFER_BYTES: usize = 64 * 1024;
