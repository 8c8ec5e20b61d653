//! The file under the ZIP: collects small writes, and never fails as far as the ZIP knows.
//!
//! ```text
//! zip ──write, seek──▶ cursor ─▶ buffer ─▶ file          good
//!                      cursor ─▶ nothing                 after a write that failed, until `failure` is asked
//! ```
//!
//! So the ZIP can always go back to where a group began, and begin the next one there when there is room again.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

/// See above.
pub(super) struct Sink {
    file: File,
    /// Not written yet, from `at` on.
    buffer: Vec<u8>,
    at: u64,
    cursor: u64,
    failure: Cell<Option<io::Error>>,
    failed: Cell<bool>,
}

impl Sink {
    pub(super) fn new(file: File) -> Self {
        let (failure, failed) = (Cell::new(None), Cell::new(false));
        Self { file, buffer: Vec::with_capacity(BUFFER), at: 0, cursor: 0, failure, failed }
    }

    /// What failed since this was last asked.
    pub(super) fn failure(&self) -> io::Result<()> {
        self.failed.set(false);
        self.failure.take().map_or(Ok(()), Err)
    }

    fn drain(&mut self) {
        if let Err(cause) = self.write_out() {
            self.failure.set(Some(cause));
            self.failed.set(true);
        }
        self.at = self.at.saturating_add(self.buffer.len() as u64);
        self.buffer.clear();
    }

    fn write_out(&self) -> io::Result<()> {
        #[cfg(test)]
        if DISK_IS_FULL.get() && !self.buffer.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.file.write_all_at(&self.buffer, self.at)
    }

    /// Cuts off what aborted groups left behind the end.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.drain();
        self.failure()?;
        self.file.set_len(self.cursor)?;
        self.file.sync_all()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failed.get() {
            self.cursor = self.cursor.saturating_add(bytes.len() as u64);
            return Ok(bytes.len());
        }
        let end = self.at.saturating_add(self.buffer.len() as u64);
        let offset = self.cursor.checked_sub(self.at).and_then(|offset| usize::try_from(offset).ok());
        let inside = offset.and_then(|from| self.buffer.get_mut(from..from.checked_add(bytes.len())?));
        match inside {
            // The sizes in the header of an entry that is still here.
            Some(there) if self.cursor < end => there.copy_from_slice(bytes),
            _ => {
                if self.cursor != end || self.buffer.len().saturating_add(bytes.len()) > BUFFER {
                    self.drain();
                    self.at = self.cursor;
                }
                self.buffer.extend_from_slice(bytes);
            }
        }
        self.cursor = self.cursor.saturating_add(bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.failed.get() {
            self.drain();
        }
        Ok(())
    }
}

impl Seek for Sink {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            // What lies behind the cursor is from aborted groups and does not count.
            SeekFrom::Current(by) | SeekFrom::End(by) => self.cursor.checked_add_signed(by),
        };
        self.cursor = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.cursor)
    }
}

impl Drop for Sink {
    /// A capture that dies of a panic leaves as much as it can.
    fn drop(&mut self) {
        self.drain();
    }
}

/// A group that fits is one system call.
pub(super) const BUFFER: usize = 256 * 1024;

#[cfg(test)]
thread_local! {
    /// Set by tests that need a disk to be full, for their own thread.
    pub(in crate::bundle) static DISK_IS_FULL: Cell<bool> = const { Cell::new(false) };
}
