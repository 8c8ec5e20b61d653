//! The end of a capture, as seen from other threads: its progress, and a way to shorten it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Shared by the writer and the owner of the capture.
#[derive(Debug, Default)]
pub(crate) struct WriterControl {
    unpacked: AtomicU64,
    is_hurried: AtomicBool,
}

impl WriterControl {
    /// Returns the number of exchanges whose bodies are left to verify or to decode.
    pub(crate) fn unpacked(&self) -> u64 {
        self.unpacked.load(Relaxed)
    }

    pub(super) fn set_unpacked(&self, count: u64) {
        self.unpacked.store(count, Relaxed);
    }

    /// At the end, bodies that are left are kept as received.
    pub(crate) fn hurry(&self) {
        self.is_hurried.store(true, Relaxed);
    }

    pub(super) fn is_hurried(&self) -> bool {
        self.is_hurried.load(Relaxed)
    }
}
