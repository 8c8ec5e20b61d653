//! The memory budget that all bodies of a capture share, and the folder of their spill files.

use crate::memory::Share;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Memory and spill files for the bodies of one capture, until they are in the bundle.
pub(crate) struct BodyStore {
    folder: PathBuf,
    /// The capacity of all bodies' buffers together.
    memory: Arc<Share>,
}

impl BodyStore {
    /// Bodies keep in memory what `memory` allows. Spill files go to `folder`, which should be the bundle's: a
    /// body that does not fit on that disk would not fit into the bundle either.
    pub(crate) fn new(folder: PathBuf, memory: Arc<Share>) -> Arc<Self> {
        Arc::new(Self { folder, memory })
    }

    /// Returns the folder for spill files.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the budget of all bodies.
    pub(super) fn memory(&self) -> &Share {
        &self.memory
    }
}

/// A store in `folder` with a budget of its own.
#[cfg(any(test, fuzzing))]
pub(crate) fn test_store(folder: impl Into<PathBuf>, budget_bytes: usize) -> Arc<BodyStore> {
    BodyStore::new(folder.into(), Arc::new(Share::new(budget_bytes)))
}
