//! How every waiting thread learns that the capture stops: a pipe that all poll and nobody writes to. Closing its other end
//! wakes them all at once.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

/// Readable once [`Stop::now`] was called, and for good.
#[derive(Debug)]
pub(crate) struct Stop {
    reader: PipeReader,
    writer: Mutex<Option<PipeWriter>>,
}

impl Stop {
    /// # Errors
    /// If no descriptors are left.
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self { reader, writer: Mutex::new(Some(writer)) })
    }

    /// Wakes everyone.
    pub(crate) fn now(&self) {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Whether [`Stop::now`] was called.
    pub(crate) fn is_now(&self) -> bool {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}
