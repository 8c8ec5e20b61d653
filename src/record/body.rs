//! The bytes of a body or message: a small one is kept in memory, most of a larger one in the spill file.
//!
//! ```text
//!              ┌─ within the limit and the budget ─▶ chunks, last ─────────────────┐
//! push(bytes) ─┤                                                                   ├─▶ reader: pieces, chunks, last
//!              └─ else: chunks, last, then bytes ─▶ pieces ─▶ spill thread ─▶ file ┘
//! ```
//!
//! `push` never fails. It waits only while the spill thread writes slower than bodies arrive. If the disk is full or hangs, the
//! beginning of the body is kept and [`Body::truncation`] has the number of lost bytes.
//!
//! No buffer is larger than [`CHUNK_BYTES`], and those of that size come from a pool ([`chunk_pool`]).

use crate::coding::crc32::Crc;
use chunk_pool::CHUNK_BYTES;
use std::io;
use std::sync::Arc;

pub(crate) use reader::BodyReader;
pub(crate) use store::BodyStore;
#[cfg(test)]
pub(crate) use store::test_store;
#[cfg(test)]
use store::{MAX_IN_MEMORY_BYTES, MAX_PLENTIFUL_BYTES};

mod chunk_pool;
mod pieces;
mod reader;
mod spill_file;
mod store;

/// The bytes of one body or message: appended as they arrive, read from the start once it ended.
pub(crate) struct Body {
    store: Arc<BodyStore>,
    /// The last bytes. This buffer's capacity is counted in the store's budget, and is at most [`CHUNK_BYTES`].
    last: Vec<u8>,
    /// The bytes before; `None` while all are in `last`.
    long: Option<Box<Long>>,
}

/// The bytes of a long body before its last ones: pieces, then chunks.
#[derive(Default)]
struct Long {
    /// Pieces that the spill thread writes.
    pieces: Vec<SpilledPiece>,
    /// The CRC-32 of pieces and chunks, computed while they are in the processor's cache, and not by the writer.
    crc: Crc,
    /// Full chunks in memory, counted in the store's budget.
    chunks: Vec<Vec<u8>>,
    /// True once the body exceeded its limit or the budget.
    is_spilling: bool,
    truncation: Option<Truncation>,
}

/// A piece that the body owns, alone or with copies of the body.
#[derive(Clone, Copy)]
struct SpilledPiece {
    /// The offset in the body at which it ends.
    end: u64,
    /// Its index in the spill file.
    index: usize,
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
        Self { store: Arc::clone(store), last: Vec::new(), long: None }
    }

    /// Returns an empty body in the same store.
    pub(crate) fn empty_like(&self) -> Self {
        Self::new(&self.store)
    }

    /// Returns a copy of the body in the same store. Pieces are shared; bytes in memory are copied.
    pub(super) fn copy(&self) -> Self {
        let long = self.long.as_ref().map(|long| {
            let truncation = long.truncation.as_ref().map(|Truncation { lost_bytes, cause }| Truncation {
                lost_bytes: *lost_bytes,
                cause: io::Error::new(cause.kind(), cause.to_string()),
            });
            let Long { pieces, crc, chunks, is_spilling, .. } = &**long;
            let (pieces, crc, chunks) = (pieces.clone(), crc.clone(), chunks.clone());
            self.store.spill().share_pieces(pieces.iter().map(|piece| piece.index));
            Box::new(Long { pieces, crc, chunks, is_spilling: *is_spilling, truncation })
        });
        let copy = Self { store: Arc::clone(&self.store), last: self.last.clone(), long };
        copy.store.memory().acquire(copy.charged_bytes());
        copy
    }

    /// Returns the number of bytes that are counted in the store's budget: those in memory, and what its pieces take besides theirs.
    pub(crate) fn charged_bytes(&self) -> usize {
        self.piece_bytes().saturating_add(self.memory_bytes())
    }

    /// Returns the number of bytes that its pieces take in memory besides their content.
    pub(crate) fn piece_bytes(&self) -> usize {
        self.pieces().len().saturating_mul(PIECE_OVERHEAD_BYTES)
    }

    /// Appends `bytes`.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let rest = if self.is_spilling() { bytes } else { self.keep(bytes) };
        if !rest.is_empty() {
            self.spill(rest);
        }
    }

    /// Returns the number of bytes that can be read.
    pub(crate) fn len(&self) -> u64 {
        let in_memory = self.chunks().len().saturating_mul(CHUNK_BYTES).saturating_add(self.last.len());
        self.spilled_len().saturating_add(in_memory as u64)
    }

    /// True if there are no bytes to read.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the loss of the body's end, if there is one.
    pub(crate) fn truncation(&self) -> Option<&Truncation> {
        self.long.as_ref().and_then(|long| long.truncation.as_ref())
    }

    /// Returns all bytes, if they are in one buffer.
    pub(crate) fn in_one_buffer(&self) -> Option<&[u8]> {
        (self.pieces().is_empty() && self.chunks().is_empty()).then_some(&self.last)
    }

    /// Returns the number of bytes of memory that it takes, without those of the spill thread.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.chunks().iter().chain([&self.last]).map(Vec::capacity).sum()
    }

    /// Returns the CRC-32 of all bytes. Only the last ones are read for it.
    pub(crate) fn crc(&self) -> u32 {
        let mut crc = Crc::new();
        if let Some(long) = &self.long {
            crc.combine(&long.crc);
        }
        crc.update(&self.last);
        crc.sum()
    }

    /// Returns a reader from the start.
    #[cfg(test)]
    pub(crate) fn reader(&self) -> BodyReader<'_> {
        self.reader_at(0)
    }

    /// Returns a reader from offset `at`. Each read may be a system call: use a large buffer.
    pub(crate) fn reader_at(&self, at: u64) -> BodyReader<'_> {
        BodyReader::new(self, at)
    }

    fn is_spilling(&self) -> bool {
        self.long.as_ref().is_some_and(|long| long.is_spilling)
    }

    fn pieces(&self) -> &[SpilledPiece] {
        self.long.as_ref().map_or(&[], |long| &long.pieces)
    }

    fn chunks(&self) -> &[Vec<u8>] {
        self.long.as_ref().map_or(&[], |long| &long.chunks)
    }

    fn spilled_len(&self) -> u64 {
        self.pieces().last().map_or(0, |last| last.end)
    }

    /// Appends `bytes` in memory. Returns those that exceed the body's limit or the budget.
    fn keep<'b>(&mut self, mut bytes: &'b [u8]) -> &'b [u8] {
        if self.len().saturating_add(bytes.len() as u64) > self.store.max_in_memory() as u64 {
            return bytes;
        }
        while !bytes.is_empty() {
            if self.last.len() >= CHUNK_BYTES {
                let full = std::mem::take(&mut self.last);
                let long = self.long.get_or_insert_default();
                long.crc.update(&full);
                long.chunks.push(full);
            }
            let (now, later) = split(bytes, CHUNK_BYTES.saturating_sub(self.last.len()));
            if !self.reserve(now.len(), CHUNK_BYTES) {
                break;
            }
            self.last.extend_from_slice(now);
            bytes = later;
        }
        bytes
    }

    /// Reserves memory for `more` bytes after the last ones. Returns false if they exceed `limit` together, or the budget.
    fn reserve(&mut self, more: usize, limit: usize) -> bool {
        let needed = self.last.len().saturating_add(more);
        let capacity = self.last.capacity();
        if needed > limit {
            return false;
        }
        if needed <= capacity {
            return true;
        }
        let wanted = match &self.long {
            Some(_) if limit == CHUNK_BYTES => CHUNK_BYTES,
            _ => needed.next_power_of_two().max(MIN_ALLOCATION_BYTES),
        };
        let growth = wanted.saturating_sub(capacity);
        if wanted <= MAX_UNBUDGETED_BYTES {
            self.store.memory().acquire(growth);
        } else if !self.store.memory().try_acquire(growth) {
            return false;
        }
        let is_reserved = if wanted == CHUNK_BYTES {
            self.store.chunks().acquire().is_some_and(|mut chunk| {
                chunk.extend_from_slice(&self.last);
                self.last = chunk;
                true
            })
        } else {
            self.last.try_reserve_exact(wanted.saturating_sub(self.last.len())).is_ok()
        };
        // The allocator may return more or less than requested; `drop` releases the actual capacity.
        let actual = self.last.capacity().saturating_sub(capacity);
        if actual != growth {
            self.store.memory().acquire(actual);
            self.store.memory().release(growth);
        }
        is_reserved
    }

    /// Appends `bytes` in pieces; the last ones stay in memory if they are few. Counts the bytes that found no place.
    fn spill(&mut self, mut bytes: &[u8]) {
        self.long.get_or_insert_default().is_spilling = true;
        let mut result = Ok(());
        while !bytes.is_empty() && result.is_ok() && self.truncation().is_none() {
            let has_plenty = self.store.has_plenty();
            let limit = if has_plenty { CHUNK_BYTES } else { SMALL_BUFFER_BYTES.max(self.last.capacity()) };
            let (now, later) = split(bytes, CHUNK_BYTES.saturating_sub(self.last.len()));
            if !self.chunks().is_empty() {
                result = self.hand_over_chunks();
            } else if !now.is_empty() && self.reserve(now.len(), limit) {
                self.last.extend_from_slice(now);
                bytes = later;
                if self.last.len() >= CHUNK_BYTES {
                    result = self.hand_over_last();
                }
            } else if !self.last.is_empty() {
                result = self.hand_over_last();
            } else {
                result = self.hand_over_copy(now);
                if result.is_ok() {
                    bytes = later;
                }
            }
        }
        let truncation = &mut self.long.get_or_insert_default().truncation;
        if let Err(cause) = result {
            *truncation = Some(Truncation { lost_bytes: 0, cause });
        }
        if let Some(truncation) = truncation {
            truncation.lost_bytes = truncation.lost_bytes.saturating_add(bytes.len() as u64);
        }
    }

    /// Hands the chunks to the spill thread. Those that find no place stay in memory.
    fn hand_over_chunks(&mut self) -> io::Result<()> {
        let mut chunks = self.take_chunks().into_iter();
        let mut result = Ok(());
        while result.is_ok() && chunks.len() > 0 {
            result = self.store.spill().acquire(CHUNK_BYTES);
            if result.is_ok() {
                chunks.next().into_iter().for_each(|chunk| self.add_budgeted_piece(chunk));
            }
        }
        self.long.get_or_insert_default().chunks = chunks.collect();
        result
    }

    fn take_chunks(&mut self) -> Vec<Vec<u8>> {
        self.long.as_mut().map(|long| std::mem::take(&mut long.chunks)).unwrap_or_default()
    }

    /// Hands the last bytes to the spill thread. If they find no place, they stay in memory.
    fn hand_over_last(&mut self) -> io::Result<()> {
        self.store.spill().acquire(self.last.capacity())?;
        let last = std::mem::take(&mut self.last);
        self.long.get_or_insert_default().crc.update(&last);
        self.add_budgeted_piece(last);
        Ok(())
    }

    /// Hands a copy of `bytes`, at most [`CHUNK_BYTES`], to the spill thread.
    fn hand_over_copy(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.store.spill().acquire(bytes.len())?;
        self.long.get_or_insert_default().crc.update(bytes);
        self.add_piece(bytes.to_vec(), bytes.len());
        Ok(())
    }

    /// Adds a piece whose buffer moves from the store's budget to the spill thread's share.
    fn add_budgeted_piece(&mut self, bytes: Vec<u8>) {
        let capacity = bytes.capacity();
        self.store.memory().release(capacity);
        self.add_piece(bytes, capacity);
    }

    /// Adds a piece that takes `charge` bytes of the spill thread's share.
    fn add_piece(&mut self, bytes: Vec<u8>, charge: usize) {
        self.store.memory().acquire(PIECE_OVERHEAD_BYTES);
        let end = self.spilled_len().saturating_add(bytes.len() as u64);
        let long = self.long.get_or_insert_default();
        long.pieces.push(SpilledPiece { end, index: self.store.spill().enqueue(bytes, charge) });
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if self.long.is_none() && self.last.capacity() < CHUNK_BYTES {
            // Most bodies: no chunks, and nothing in the file.
            return self.store.memory().release(self.last.capacity());
        }
        self.store.memory().release(self.charged_bytes());
        if !self.pieces().is_empty() {
            self.store.spill().release_pieces(self.pieces().iter().map(|piece| piece.index));
        }
        let chunks = self.take_chunks();
        chunks.into_iter().chain([std::mem::take(&mut self.last)]).for_each(|chunk| self.store.chunks().release(chunk));
    }
}

/// Splits `bytes` after at most `max` bytes.
fn split(bytes: &[u8], max: usize) -> (&[u8], &[u8]) {
    bytes.split_at_checked(max).unwrap_or((bytes, &[]))
}

/// The limit of one body's buffer once the budget is spent: small messages cost less in memory than in the file.
const MAX_UNBUDGETED_BYTES: usize = 4 * 1024;

/// The buffer of a body in the spill file once half of the budget is used: a thousand large bodies at once have one each.
/// Before, it has the size of a piece.
const SMALL_BUFFER_BYTES: usize = 16 * 1024;

/// The first allocation of a body. Many WebSocket messages fit into it.
const MIN_ALLOCATION_BYTES: usize = 64;

/// The memory that a piece takes besides its bytes: 32 bytes in the table of all pieces, 16 in the body, and what these lists have
/// more than they use.
const PIECE_OVERHEAD_BYTES: usize = 64;

#[cfg(test)]
mod tests;
