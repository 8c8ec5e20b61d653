//! The file under the archive: collects small writes, so that a group that fits is one system call.
//!
//! ```text
//! append ─▶ buffer ─▶ file         patch: bytes that were appended before, wherever they are now
//! rewind: what lies behind is gone, from the buffer and from the file
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// See above.
pub(super) struct BufferedFile {
    file: Arc<File>,
    /// Not written yet, from `at` on.
    buffer: Vec<u8>,
    at: u64,
    /// Nothing of the file lies behind this place; something may lie before it that a failed write left.
    reached: u64,
}

impl BufferedFile {
    pub(super) fn new(file: File) -> Self {
        Self { file: Arc::new(file), buffer: Vec::with_capacity(BUFFER), at: 0, reached: 0 }
    }

    /// Where the next byte goes.
    pub(super) fn end(&self) -> u64 {
        self.at.saturating_add(self.buffer.len() as u64)
    }

    /// Appends `bytes`, all of which are then in the buffer or all in the file.
    pub(super) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len().saturating_add(bytes.len()) > BUFFER {
            self.flush()?;
        }
        if bytes.len() > BUFFER {
            self.write(bytes, self.at)?;
            self.at = self.at.saturating_add(bytes.len() as u64);
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(())
    }

    /// Replaces what one call of `append` put `at` its place by `bytes`, of the same length.
    pub(super) fn patch(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let offset = at.checked_sub(self.at).and_then(|offset| usize::try_from(offset).ok());
        match offset.and_then(|from| self.buffer.get_mut(from..from.checked_add(bytes.len())?)) {
            Some(there) => there.copy_from_slice(bytes),
            None => self.write(bytes, at)?,
        }
        Ok(())
    }

    /// Leaves room for `len` bytes, which whoever has the file writes; what is appended goes behind. The file is as long as that
    /// from now on: where that is not allowed, it is known at once.
    pub(super) fn reserve(&mut self, len: u64) -> io::Result<()> {
        self.flush()?;
        let end = self.at.checked_add(len).ok_or(io::ErrorKind::FileTooLarge)?;
        self.set_len(end)?;
        (self.at, self.reached) = (end, end);
        Ok(())
    }

    /// The file, to write into room that was left.
    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Hands everything to the system.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.write(&buffer, self.at);
        self.buffer = buffer;
        written?;
        self.at = self.end();
        self.buffer.clear();
        Ok(())
    }

    /// Forgets all from `to` on, also in the file, where nothing must be taken for an entry. Frees what a full disk could
    /// not hold.
    pub(super) fn rewind(&mut self, to: u64) -> io::Result<()> {
        match to.checked_sub(self.at).and_then(|keep| usize::try_from(keep).ok()) {
            Some(keep) => self.buffer.truncate(keep),
            None => {
                self.buffer.clear();
                self.at = to;
            }
        }
        if self.reached > self.at {
            self.set_len(self.at)?;
            self.reached = self.at;
        }
        Ok(())
    }

    /// Returns when everything is on the disk.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        #[cfg(any(test, fuzzing))]
        if faults::sync()? == faults::Sync::Skipped {
            return Ok(());
        }
        self.file.sync_all()
    }

    fn write(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.reached = self.reached.max(at.saturating_add(bytes.len() as u64));
        write_at(&self.file, bytes, at)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        #[cfg(any(test, fuzzing))]
        faults::step()?;
        self.file.set_len(len)
    }

    /// Goes on at `at` and leaves a hole.
    #[cfg(test)]
    pub(super) fn skip_to(&mut self, at: u64) {
        self.flush().unwrap();
        (self.at, self.reached) = (at, at);
    }
}

pub(super) fn write_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    #[cfg(any(test, fuzzing))]
    faults::write(file, bytes, at)?;
    file.write_all_at(bytes, at)
}

/// A group that fits is one system call.
pub(super) const BUFFER: usize = 256 * 1024;

/// Disks that fail, for the test's own thread.
#[cfg(any(test, fuzzing))]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "it is for tests")]
pub(crate) mod faults {
    use std::cell::Cell;
    use std::fs::File;
    use std::io;
    use std::os::unix::fs::FileExt;

    thread_local! {
        /// Nothing can be written.
        pub(crate) static DISK_IS_FULL: Cell<bool> = const { Cell::new(false) };
        /// So many steps go well, then so many fail, a write after half of its bytes; later ones go well.
        pub(crate) static STEPS: Cell<Option<(u32, u32)>> = const { Cell::new(None) };
        /// Syncing takes no time, for tests that do it thousands of times.
        pub(crate) static NO_SYNC: Cell<bool> = const { Cell::new(false) };
    }

    #[derive(PartialEq, Eq)]
    pub(super) enum Sync {
        Wanted,
        Skipped,
    }

    pub(super) fn write(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
        if DISK_IS_FULL.get() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        step().inspect_err(|_| file.write_all_at(&bytes[..bytes.len() / 2], at).unwrap())
    }

    pub(super) fn sync() -> io::Result<Sync> {
        step()?;
        Ok(if NO_SYNC.get() { Sync::Skipped } else { Sync::Wanted })
    }

    pub(super) fn step() -> io::Result<()> {
        let (next, fails) = match STEPS.get() {
            None => return Ok(()),
            Some((0, 0 | 1)) => (None, true),
            Some((0, bad)) => (Some((0, bad - 1)), true),
            Some((good, bad)) => (Some((good - 1, bad)), false),
        };
        STEPS.set(next);
        if fails { Err(io::Error::other("the disk failed")) } else { Ok(()) }
    }
}
