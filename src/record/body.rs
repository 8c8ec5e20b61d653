//! The bytes of a body or message: a small one is kept in memory, a larger one in an unlinked file.
//!
//! ```text
//!              ┌─ within the limit and the budget ─▶ memory ──┐
//! push(bytes) ─┤                                              ├─▶ reader: file first, then memory
//!              └─ else: memory, then bytes ────────▶ file ────┘
//! ```
//!
//! `push` never fails, and never waits for another thread. If the disk is full, the beginning of the body is kept and
//! [`Body::truncation`] has the number of lost bytes.

use crate::bundle::spill;
use flate2::Crc;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

pub(crate) use store::BodyStore;
#[cfg(any(test, fuzzing))]
pub(crate) use store::test_store;

mod store;

/// The bytes of one body or message: appended as they arrive, read from the start once it ended.
pub(crate) struct Body {
    store: Arc<BodyStore>,
    /// The bytes after those in the file. This buffer's capacity is counted in the store's budget.
    memory: Vec<u8>,
    file: Option<File>,
    /// The length of the body's part in the file. The file may be longer, after a failed write.
    spilled: u64,
    /// The CRC-32 of the part in the file.
    spilled_crc: Crc,
    truncation: Option<Truncation>,
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
        Self {
            store: Arc::clone(store),
            memory: Vec::new(),
            file: None,
            spilled: 0,
            spilled_crc: Crc::new(),
            truncation: None,
        }
    }

    /// Returns an empty body in the same store.
    pub(crate) fn empty_like(&self) -> Self {
        Self::new(&self.store)
    }

    /// Appends `bytes`.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.truncation.is_none() && self.reserve(bytes.len()) {
            self.memory.extend_from_slice(bytes);
        } else {
            self.spill(bytes);
        }
    }

    /// Returns the number of bytes that can be read.
    pub(crate) fn len(&self) -> u64 {
        self.spilled.saturating_add(self.memory.len() as u64)
    }

    /// True if there are no bytes to read.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the loss of the body's end, if there is one.
    pub(crate) fn truncation(&self) -> Option<&Truncation> {
        self.truncation.as_ref()
    }

    /// Returns all bytes; `None` if some are in a file.
    pub(crate) fn in_memory(&self) -> Option<&[u8]> {
        self.file.is_none().then_some(&self.memory)
    }

    /// Returns the CRC-32 of all bytes. Only those in memory are read for it.
    pub(crate) fn crc(&self) -> u32 {
        let mut crc = Crc::new();
        crc.combine(&self.spilled_crc);
        crc.update(&self.memory);
        crc.sum()
    }

    /// Returns a reader from the start. Each read may be a system call: use a large buffer.
    pub(crate) fn reader(&self) -> BodyReader<'_> {
        self.reader_at(0)
    }

    /// Returns a reader from offset `at`.
    pub(crate) fn reader_at(&self, at: u64) -> BodyReader<'_> {
        let in_memory = usize::try_from(at.saturating_sub(self.spilled)).unwrap_or(usize::MAX);
        let memory = self.memory.get(in_memory..).unwrap_or_default();
        BodyReader { file: self.file.as_ref(), at: at.min(self.spilled), end: self.spilled, memory }
    }

    /// Reserves memory for `more` bytes. Returns false if they exceed the body's limit or the budget.
    fn reserve(&mut self, more: usize) -> bool {
        let limit = match &self.file {
            None => MAX_IN_MEMORY_BYTES,
            Some(_) if self.store.memory().is_plentiful() => WRITE_BUFFER_BYTES,
            Some(_) => SMALL_WRITE_BUFFER_BYTES.max(self.memory.capacity()),
        };
        let Some(needed) = self.memory.len().checked_add(more).filter(|&needed| needed <= limit) else {
            return false;
        };
        let capacity = self.memory.capacity();
        if needed <= capacity {
            return true;
        }
        let wanted = needed.next_power_of_two().max(MIN_ALLOCATION_BYTES);
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

    /// Writes the memory and `bytes` to the file. Counts the bytes that the file does not take.
    fn spill(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        if self.truncation.is_none() {
            match self.write_out(&mut rest) {
                Ok(()) => return,
                Err(cause) => self.truncation = Some(Truncation { lost_bytes: 0, cause }),
            }
        }
        if let Some(truncation) = &mut self.truncation {
            truncation.lost_bytes = truncation.lost_bytes.saturating_add(rest.len() as u64);
        }
    }

    fn write_out(&mut self, bytes: &mut &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(spill::unlinked_file(self.store.folder())?),
        };
        // If this fails, the memory is unchanged, and `spilled` excludes the bytes that did reach the file.
        file.write_all_at(&self.memory, self.spilled)?;
        self.spilled = self.spilled.saturating_add(self.memory.len() as u64);
        self.spilled_crc.update(&self.memory);
        self.memory.clear();
        if self.memory.capacity() > WRITE_BUFFER_BYTES {
            self.store.memory().release(self.memory.capacity());
            self.memory = Vec::new();
        }
        // Buffering a large piece would only add a copy.
        if bytes.len() <= self.memory.capacity() / 2 {
            self.memory.extend_from_slice(bytes);
            return Ok(());
        }
        while !bytes.is_empty() {
            match file.write_at(bytes, self.spilled) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    self.spilled = self.spilled.saturating_add(n as u64);
                    self.spilled_crc.update(bytes.get(..n).unwrap_or_default());
                    *bytes = bytes.get(n..).unwrap_or_default();
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.store.memory().release(self.memory.capacity());
    }
}

/// Reads a [`Body`].
pub(crate) struct BodyReader<'b> {
    file: Option<&'b File>,
    at: u64,
    end: u64,
    memory: &'b [u8],
}

impl Read for BodyReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.end.saturating_sub(self.at);
        let Some(file) = self.file.filter(|_| left > 0) else {
            return self.memory.read(into);
        };
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        let into = into.get_mut(..len).unwrap_or_default();
        match file.read_at(into, self.at) {
            Ok(0) if len > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                self.at = self.at.saturating_add(n as u64);
                Ok(n)
            }
            Err(e) => Err(e),
        }
    }
}

/// The limit of one body in memory. Nearly all API responses are smaller; most downloads are larger.
const MAX_IN_MEMORY_BYTES: usize = 256 * 1024;

/// The limit of one body in memory once the budget is spent. A file for each small message would use up file
/// descriptors, and the connections need many of those.
const MAX_UNBUDGETED_BYTES: usize = 4 * 1024;

/// The write buffer of a body in a file. It saves a system call for each small piece. Per byte, writes of this size
/// cost two thirds of smaller ones.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;

/// The write buffer of a body in a file once half of the budget is used: a thousand large bodies at once have one each.
const SMALL_WRITE_BUFFER_BYTES: usize = 16 * 1024;

/// The first allocation of a body. Most WebSocket messages fit into it.
const MIN_ALLOCATION_BYTES: usize = 512;

#[cfg(test)]
mod tests;
