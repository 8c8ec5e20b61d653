//! The file under the archive. Buffers small writes, so that a group of them that fits the buffer is one system call.
//!
//! ```text
//! append ─▶ buffer ─▶ file         patch: replaces appended bytes, in the buffer or in the file
//! rewind: removes what was appended after an offset, from the buffer and from the file
//! ```

use crate::bundle::disk_watch::{timed, timed_sync};
use rustix::io::{Errno, pwrite, pwritev, retry_on_intr};
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A file that is appended to, and rewound after a failure.
pub(super) struct BufferedFile {
    file: Arc<File>,
    /// Bytes not written yet, which belong at `written`.
    buffer: Vec<u8>,
    written: u64,
    /// An upper bound for the file's length. After a failed write the file may be longer than `written`.
    max_len: u64,
}

impl BufferedFile {
    pub(super) fn new(file: Arc<File>) -> Self {
        Self { file, buffer: Vec::with_capacity(BUFFER_BYTES), written: 0, max_len: 0 }
    }

    /// Returns the offset of the next appended byte.
    pub(super) fn end(&self) -> u64 {
        self.written.saturating_add(self.buffer.len() as u64)
    }

    /// Appends `bytes`, either all to the buffer or all to the file, so that [`BufferedFile::patch`] finds them in one
    /// place.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.append_all(&[bytes])
    }

    /// Appends `blocks`, as one.
    pub(super) fn append_all(&mut self, blocks: &[&[u8]]) -> io::Result<()> {
        let len = total_len(blocks);
        let is_large = len >= MIN_DIRECT_BYTES;
        if is_large || self.buffer.len().saturating_add(len) > BUFFER_BYTES {
            self.flush()?;
        }
        if is_large {
            self.write(blocks, self.written)?;
            self.written = self.written.saturating_add(len as u64);
        } else {
            blocks.iter().for_each(|block| self.buffer.extend_from_slice(block));
        }
        Ok(())
    }

    /// Replaces the bytes that one `append` put at `at` with `bytes` of the same length.
    pub(super) fn patch(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = at.checked_sub(self.written).and_then(|offset| usize::try_from(offset).ok());
        match offset.and_then(|from| self.buffer.get_mut(from..from.checked_add(bytes.len())?)) {
            Some(there) => there.copy_from_slice(bytes),
            None => self.write(&[bytes], at)?,
        }
        Ok(())
    }

    /// Reserves `len` bytes, to be written through [`BufferedFile::file`]. The file grows to that length now, so that a
    /// file size limit fails here.
    pub(super) fn reserve(&mut self, len: u64) -> io::Result<()> {
        self.flush()?;
        let end = self.written.checked_add(len).ok_or(io::ErrorKind::FileTooLarge)?;
        self.set_len(end)?;
        (self.written, self.max_len) = (end, end);
        Ok(())
    }

    /// Returns the file, for writing into reserved space.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Writes the buffer to the file.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.write(&[&buffer], self.written);
        self.buffer = buffer;
        written?;
        self.written = self.end();
        self.buffer.clear();
        Ok(())
    }

    /// Discards everything from `to` on. Truncates the file too: leftover bytes could be taken for an entry, and a full
    /// disk needs the space.
    pub(super) fn rewind(&mut self, to: u64) -> io::Result<()> {
        match to.checked_sub(self.written).and_then(|keep| usize::try_from(keep).ok()) {
            Some(keep) => self.buffer.truncate(keep),
            None => {
                self.buffer.clear();
                self.written = to;
            }
        }
        if self.max_len > self.written {
            self.set_len(self.written)?;
            self.max_len = self.written;
        }
        Ok(())
    }

    /// Writes the buffer and waits until the file is on the disk (`fsync`).
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        #[cfg(any(test, fuzzing))]
        if faults::sync()? == faults::Sync::Skipped {
            return Ok(());
        }
        timed_sync(|| self.file.sync_all())
    }

    fn write(&mut self, blocks: &[&[u8]], at: u64) -> io::Result<()> {
        let len = total_len(blocks);
        if len == 0 {
            return Ok(());
        }
        self.max_len = self.max_len.max(at.saturating_add(len as u64));
        write_at(&self.file, blocks, at)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        #[cfg(any(test, fuzzing))]
        faults::step()?;
        timed(|| self.file.set_len(len))
    }

    /// Continues at `at` after a hole.
    #[cfg(test)]
    pub(super) fn skip_to(&mut self, at: u64) {
        self.flush().unwrap();
        (self.written, self.max_len) = (at, at);
    }
}

/// Writes `blocks`, one behind the other. One large write takes a third less time than one for each block of 64 KiB: the kernel
/// allocates larger folios for it.
pub(super) fn write_at(file: &File, blocks: &[&[u8]], at: u64) -> io::Result<()> {
    #[cfg(any(test, fuzzing))]
    faults::write(file, blocks, at)?;
    timed(|| write_all(blocks, at, |blocks, at| write_some(file, blocks, at)))
}

/// Writes `blocks` with pwritev(2), or the first of them where that does not exist (macOS before 11).
fn write_some(file: &File, blocks: &[IoSlice<'_>], at: u64) -> rustix::io::Result<usize> {
    match retry_on_intr(|| pwritev(file, blocks, at)) {
        Err(Errno::NOSYS) => {
            let first = blocks.first().map_or(&[][..], |block| block);
            retry_on_intr(|| pwrite(file, first, at))
        }
        result => result,
    }
}

/// Calls `write` until all of `blocks` are written. It returns the number of bytes that it wrote.
fn write_all(
    blocks: &[&[u8]],
    mut at: u64,
    mut write: impl FnMut(&[IoSlice<'_>], u64) -> rustix::io::Result<usize>,
) -> io::Result<()> {
    let mut slices: Vec<_> = blocks.iter().filter(|block| !block.is_empty()).map(|block| IoSlice::new(block)).collect();
    let mut left = &mut slices[..];
    while !left.is_empty() {
        let n = write(left, at)?;
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut left, n);
        at = at.saturating_add(n as u64);
    }
    Ok(())
}

pub(super) fn total_len(blocks: &[&[u8]]) -> usize {
    blocks.iter().map(|block| block.len()).fold(0, usize::saturating_add)
}

/// Replaces a few bytes that are in the file already. Either all of them are written or none.
pub(super) fn overwrite(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    #[cfg(any(test, fuzzing))]
    faults::overwrite()?;
    timed(|| file.write_all_at(bytes, at))
}

/// The size of the buffer: a group of small writes up to this size is one system call. Freeing a larger one, when the capture rotates,
/// would raise glibc's thresholds (`docs/relay.md`, "The allocator").
pub(super) const BUFFER_BYTES: usize = 120 * 1024;

/// Bytes from this size on are written without a copy in the buffer.
const MIN_DIRECT_BYTES: usize = 32 * 1024;

/// Injects disk faults into the current thread.
#[cfg(any(test, fuzzing))]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "for tests")]
pub(crate) mod faults {
    use std::cell::Cell;
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt;

    thread_local! {
        /// Every write fails.
        pub(crate) static DISK_IS_FULL: Cell<bool> = const { Cell::new(false) };
        /// `(good, bad)`: after `good` operations, `bad` operations fail, a write after half of its bytes. Later ones
        /// succeed.
        pub(crate) static STEPS: Cell<Option<(u32, u32)>> = const { Cell::new(None) };
        /// Skips `fsync`, for tests that finish thousands of archives.
        pub(crate) static NO_SYNC: Cell<bool> = const { Cell::new(false) };
    }

    #[derive(PartialEq, Eq)]
    pub(super) enum Sync {
        Wanted,
        Skipped,
    }

    pub(super) fn write(file: &File, blocks: &[&[u8]], at: u64) -> io::Result<()> {
        if DISK_IS_FULL.get() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let bytes = blocks.concat();
        step().inspect_err(|_| file.write_all_at(&bytes[..bytes.len() / 2], at).unwrap())
    }

    pub(super) fn overwrite() -> io::Result<()> {
        if DISK_IS_FULL.get() { Err(io::ErrorKind::StorageFull.into()) } else { step() }
    }

    pub(super) fn sync() -> io::Result<Sync> {
        step()?;
        Ok(if NO_SYNC.get() { Sync::Skipped } else { Sync::Wanted })
    }

    /// Counts one operation, and fails if `STEPS` says so.
    pub(super) fn step() -> io::Result<()> {
        let (next, is_failing) = match STEPS.get() {
            None => return Ok(()),
            Some((0, 0 | 1)) => (None, true),
            Some((0, bad)) => (Some((0, bad - 1)), true),
            Some((good, bad)) => (Some((good - 1, bad)), false),
        };
        STEPS.set(next);
        if is_failing { Err(io::Error::other("the disk failed")) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_writes_are_continued() {
        let blocks: [&[u8]; 5] = [b"", b"one", b"", b"twenty", b"3"];
        for max in 1..=11 {
            let mut written: Vec<u8> = Vec::new();
            let write = |slices: &[IoSlice<'_>], at: u64| {
                assert_eq!(at, 7 + written.len() as u64);
                let bytes = slices.iter().flat_map(|slice| slice.iter()).take(max);
                let before = written.len();
                written.extend(bytes);
                Ok(written.len() - before)
            };
            write_all(&blocks, 7, write).unwrap();
            assert_eq!(written, b"onetwenty3");
        }
        write_all(&[], 0, |_, _| unreachable!()).unwrap();
        let refused = write_all(&blocks, 0, |_, _| Ok(0)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WriteZero);
        let refused = write_all(&blocks, 0, |_, _| Err(rustix::io::Errno::NOSPC)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::StorageFull);
    }
}
