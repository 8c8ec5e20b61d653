//! The bytes of a body or message: a small one is kept in memory, most of a larger one in the spill file.
//!
//! ```text
//!              ┌─ within the limit and the budget ─▶ memory ──────────────────┐
//! push(bytes) ─┤                                                              ├─▶ reader: pieces first, then memory
//!              └─ else: memory, then bytes ─▶ pieces ─▶ spill thread ─▶ file ─┘
//! ```
//!
//! `push` never fails. It waits only while the spill thread writes slower than bodies arrive. If the disk is full or hangs, the
//! beginning of the body is kept and [`Body::truncation`] has the number of lost bytes.

use flate2::Crc;
use spill_file::{PIECE_BYTES, Piece};
use std::io::{self, Read};
use std::sync::Arc;

pub(crate) use store::BodyStore;
#[cfg(any(test, fuzzing))]
pub(crate) use store::test_store;

mod slots;
mod spill_file;
mod store;

/// The bytes of one body or message: appended as they arrive, read from the start once it ended.
pub(crate) struct Body {
    store: Arc<BodyStore>,
    /// The bytes after those in pieces. This buffer's capacity is counted in the store's budget.
    memory: Vec<u8>,
    /// `None` while all bytes are in `memory`.
    spilled: Option<Box<Spilled>>,
}

/// The beginning of a body, as pieces that the spill thread writes, and the loss of the body's end.
#[derive(Default)]
struct Spilled {
    pieces: Vec<SpilledPiece>,
    crc: Crc,
    truncation: Option<Truncation>,
}

struct SpilledPiece {
    /// The offset in the body at which it ends.
    end: u64,
    piece: Arc<Piece>,
}

/// The loss of a body's end.
#[derive(Debug)]
pub(crate) struct Truncation {
    /// The number of bytes that are missing.
    pub(crate) lost_bytes: u64,
    /// The error of the spill file.
    pub(crate) cause: io::Error,
}

impl Body {
    /// An empty body. It allocates nothing.
    pub(crate) fn new(store: &Arc<BodyStore>) -> Self {
        Self { store: Arc::clone(store), memory: Vec::new(), spilled: None }
    }

    /// Returns an empty body in the same store.
    pub(crate) fn empty_like(&self) -> Self {
        Self::new(&self.store)
    }

    /// Appends `bytes`.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.spilled.is_none() && self.reserve(bytes.len()) {
            self.memory.extend_from_slice(bytes);
        } else {
            self.spill(bytes);
        }
    }

    /// Returns the number of bytes that can be read.
    pub(crate) fn len(&self) -> u64 {
        self.spilled_len().saturating_add(self.memory.len() as u64)
    }

    /// True if there are no bytes to read.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the loss of the body's end, if there is one.
    pub(crate) fn truncation(&self) -> Option<&Truncation> {
        self.spilled.as_ref().and_then(|spilled| spilled.truncation.as_ref())
    }

    /// Returns all bytes; `None` if some were handed to the spill thread.
    pub(crate) fn in_memory(&self) -> Option<&[u8]> {
        self.pieces().is_empty().then_some(&self.memory)
    }

    /// Returns the number of bytes of memory that it takes, without those of the spill thread.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.memory.capacity()
    }

    /// Returns the CRC-32 of all bytes. Only those in memory are read for it.
    pub(crate) fn crc(&self) -> u32 {
        let mut crc = Crc::new();
        if let Some(spilled) = &self.spilled {
            crc.combine(&spilled.crc);
        }
        crc.update(&self.memory);
        crc.sum()
    }

    /// Returns a reader from the start.
    #[cfg(test)]
    pub(crate) fn reader(&self) -> BodyReader<'_> {
        self.reader_at(0)
    }

    /// Returns a reader from offset `at`. Each read may be a system call: use a large buffer.
    pub(crate) fn reader_at(&self, at: u64) -> BodyReader<'_> {
        let pieces = self.pieces();
        let index = pieces.partition_point(|piece| piece.end <= at);
        let start = index.checked_sub(1).and_then(|before| pieces.get(before)).map_or(0, |before| before.end);
        let in_piece = usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
        let in_memory = usize::try_from(at.saturating_sub(self.spilled_len())).unwrap_or(usize::MAX);
        let memory = self.memory.get(in_memory..).unwrap_or_default();
        BodyReader { pieces: pieces.get(index..).unwrap_or_default(), in_piece, memory }
    }

    fn pieces(&self) -> &[SpilledPiece] {
        self.spilled.as_ref().map_or(&[], |spilled| &spilled.pieces)
    }

    fn spilled_len(&self) -> u64 {
        self.pieces().last().map_or(0, |last| last.end)
    }

    /// Reserves memory for `more` bytes. Returns false if they exceed the body's limit or the budget.
    fn reserve(&mut self, more: usize) -> bool {
        let limit = match (&self.spilled, self.store.memory().is_plentiful()) {
            (None, true) => MAX_PLENTIFUL_BYTES,
            (None, false) => MAX_IN_MEMORY_BYTES,
            (Some(_), true) => PIECE_BYTES,
            (Some(_), false) => SMALL_BUFFER_BYTES.max(self.memory.capacity()),
        };
        let Some(needed) = self.memory.len().checked_add(more).filter(|&needed| needed <= limit) else {
            return false;
        };
        let capacity = self.memory.capacity();
        if needed <= capacity {
            return true;
        }
        let wanted = match limit {
            PIECE_BYTES => PIECE_BYTES,
            _ => needed.next_power_of_two().max(MIN_ALLOCATION_BYTES),
        };
        let growth = wanted.saturating_sub(capacity);
        if wanted <= MAX_UNBUDGETED_BYTES {
            self.store.memory().acquire(growth);
        } else if !self.store.memory().try_acquire(growth) {
            return false;
        }
        let spare = wanted.saturating_sub(self.memory.len());
        let is_reserved = self.memory.try_reserve_exact(spare).is_ok();
        // The allocator may return more or less than requested; `drop` releases the actual capacity.
        let actual = self.memory.capacity().saturating_sub(capacity);
        if actual != growth {
            self.store.memory().acquire(actual);
            self.store.memory().release(growth);
        }
        is_reserved
    }

    /// Appends `bytes` in pieces; the last ones stay in memory if they are few. Counts the bytes that found no place.
    fn spill(&mut self, mut bytes: &[u8]) {
        let mut result = Ok(());
        while !bytes.is_empty() && result.is_ok() && self.truncation().is_none() {
            let room = PIECE_BYTES.saturating_sub(self.memory.len()).min(bytes.len());
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            if room > 0 && self.spilled.is_some() && self.reserve(room) {
                self.memory.extend_from_slice(now);
                bytes = later;
                if self.memory.len() == PIECE_BYTES {
                    result = self.hand_over_memory();
                }
            } else if !self.memory.is_empty() {
                result = self.hand_over_memory();
            } else if self.spilled.is_none() {
                self.spilled = Some(Box::default());
            } else {
                result = self.hand_over(now);
                if result.is_ok() {
                    bytes = later;
                }
            }
        }
        let truncation = &mut self.spilled.get_or_insert_default().truncation;
        if let Err(cause) = result {
            *truncation = Some(Truncation { lost_bytes: 0, cause });
        }
        if let Some(truncation) = truncation {
            truncation.lost_bytes = truncation.lost_bytes.saturating_add(bytes.len() as u64);
        }
    }

    /// Hands the bytes in memory to the spill thread. Those that find no place stay in memory.
    fn hand_over_memory(&mut self) -> io::Result<()> {
        let capacity = self.memory.capacity();
        if capacity <= PIECE_BYTES {
            self.store.spill().acquire(capacity)?;
            self.store.memory().release(capacity);
            let bytes = std::mem::take(&mut self.memory);
            self.add_piece(bytes, capacity);
            return Ok(());
        }
        let mut memory = std::mem::take(&mut self.memory);
        let mut done = 0usize;
        let result = memory.chunks(PIECE_BYTES).try_for_each(|chunk| {
            self.hand_over(chunk)?;
            done = done.saturating_add(chunk.len());
            Ok(())
        });
        if result.is_ok() {
            self.store.memory().release(capacity);
        } else {
            memory.drain(..done);
            self.memory = memory;
        }
        result
    }

    /// Hands a copy of `bytes`, at most [`PIECE_BYTES`], to the spill thread.
    fn hand_over(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.store.spill().acquire(bytes.len())?;
        self.add_piece(bytes.to_vec(), bytes.len());
        Ok(())
    }

    /// Adds a piece that takes `charge` bytes of the spill thread's share.
    fn add_piece(&mut self, bytes: Vec<u8>, charge: usize) {
        self.store.memory().acquire(PIECE_OVERHEAD_BYTES);
        let end = self.spilled_len().saturating_add(bytes.len() as u64);
        let spilled = self.spilled.get_or_insert_default();
        spilled.crc.update(&bytes);
        spilled.pieces.push(SpilledPiece { end, piece: self.store.spill().enqueue(bytes, charge) });
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let overhead = self.pieces().len().saturating_mul(PIECE_OVERHEAD_BYTES);
        self.store.memory().release(self.memory.capacity().saturating_add(overhead));
    }
}

/// Reads a [`Body`].
pub(crate) struct BodyReader<'b> {
    /// The pieces that are not read yet, to their ends.
    pieces: &'b [SpilledPiece],
    /// The offset in the first of them.
    in_piece: usize,
    memory: &'b [u8],
}

impl Read for BodyReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        while let Some((first, rest)) = self.pieces.split_first() {
            match first.piece.read_at(self.in_piece, into)? {
                0 => (self.pieces, self.in_piece) = (rest, 0),
                n => {
                    self.in_piece = self.in_piece.saturating_add(n);
                    return Ok(n);
                }
            }
        }
        self.memory.read(into)
    }
}

/// The limit of one body in memory while less than half of the budget is used. Most API responses and pictures are smaller.
const MAX_PLENTIFUL_BYTES: usize = 2 << 20;

/// The limit of one body in memory while more is used. Nearly all API responses are smaller; most downloads are larger.
const MAX_IN_MEMORY_BYTES: usize = 256 * 1024;

/// The limit of one body's buffer once the budget is spent: small messages cost less in memory than in the file.
const MAX_UNBUDGETED_BYTES: usize = 4 * 1024;

/// The buffer of a body in the spill file once half of the budget is used: a thousand large bodies at once have one each.
/// Before, it has the size of a piece.
const SMALL_BUFFER_BYTES: usize = 16 * 1024;

/// The first allocation of a body. Many WebSocket messages fit into it.
const MIN_ALLOCATION_BYTES: usize = 64;

/// The memory that a piece takes besides its bytes.
const PIECE_OVERHEAD_BYTES: usize = 128;

#[cfg(test)]
mod tests;
