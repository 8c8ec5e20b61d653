//! The memory budget that all bodies of a capture share, and the folder of their spill files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Memory and spill files for the bodies of one capture, until they are in the bundle.
pub(crate) struct BodyStore {
    folder: PathBuf,
    budget_bytes: usize,
    /// The capacity of all bodies' buffers together.
    used_bytes: AtomicUsize,
}

impl BodyStore {
    /// Bodies keep up to `budget_bytes` in memory together. Spill files go to `folder`, which should be the bundle's: a
    /// body that does not fit on that disk would not fit into the bundle either.
    pub(crate) fn new(folder: PathBuf, budget_bytes: usize) -> Arc<Self> {
        Arc::new(Self { folder, budget_bytes, used_bytes: AtomicUsize::new(0) })
    }

    /// Returns the folder for spill files.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Takes `bytes` from the budget. Returns false, and takes none, if fewer are left.
    pub(super) fn try_acquire(&self, bytes: usize) -> bool {
        let add = |used: usize| used.checked_add(bytes).filter(|&sum| sum <= self.budget_bytes);
        self.used_bytes.fetch_update(Relaxed, Relaxed, add).is_ok()
    }

    /// Takes `bytes`, even if that exceeds the budget.
    pub(super) fn acquire(&self, bytes: usize) {
        self.used_bytes.fetch_add(bytes, Relaxed);
    }

    /// Returns `bytes` to the budget.
    pub(super) fn release(&self, bytes: usize) {
        // Most bodies are empty, and all processors share this number.
        if bytes > 0 {
            self.used_bytes.fetch_sub(bytes, Relaxed);
        }
    }

    /// True if less than half of the budget is used: memory may then serve speed alone.
    pub(super) fn is_plentiful(&self) -> bool {
        self.used_bytes.load(Relaxed) < self.budget_bytes / 2
    }

    #[cfg(test)]
    pub(super) fn used_bytes(&self) -> usize {
        self.used_bytes.load(Relaxed)
    }
}
