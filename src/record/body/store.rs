//! The memory that all bodies of a capture share, and their spill file.

use super::chunk_pool::ChunkPool;
use super::spill_file::SpillFile;
use crate::bundle::disk_watch::DiskWatch;
use crate::bundle::spill::SpillPlace;
use crate::memory::{Memory, Share};
#[cfg(test)]
use std::path::PathBuf;
use std::sync::Arc;

/// Memory and the spill file for the bodies of one capture, until they are in the bundle.
pub(crate) struct BodyStore {
    /// The capacity of all bodies' buffers together.
    memory: Arc<Share>,
    chunks: Arc<ChunkPool>,
    spill: Arc<SpillFile>,
    disk: Arc<DiskWatch>,
}

impl BodyStore {
    /// Bodies keep in memory what the shares of `memory` allow. The spill file goes to `place`, which should be the bundle's folder:
    /// a body that does not fit on that disk would not fit into the bundle either.
    pub(crate) fn new(place: SpillPlace, memory: &Memory) -> Arc<Self> {
        Self::with_shares(place, Arc::clone(&memory.bodies), Arc::clone(&memory.spilling), DiskWatch::new())
    }

    /// A store with these shares.
    pub(super) fn with_shares(
        place: SpillPlace,
        memory: Arc<Share>,
        spilling: Arc<Share>,
        disk: Arc<DiskWatch>,
    ) -> Arc<Self> {
        let chunks = Arc::new(ChunkPool::new(Arc::clone(&memory)));
        let spill = SpillFile::new(place, spilling, Arc::clone(&chunks), Arc::clone(&disk));
        Arc::new(Self { memory, chunks, spill, disk })
    }

    /// Opens the spill file and starts its thread now, while descriptors and threads are available. Otherwise the first body
    /// that needs them does.
    pub(crate) fn start(&self) {
        self.spill.start();
    }

    /// False if bodies are kept in memory alone.
    pub(crate) fn has_spill_file(&self) -> bool {
        self.spill.has_file()
    }

    /// Returns the watch of the disk that has the spill file and the bundle.
    pub(crate) fn disk(&self) -> &Arc<DiskWatch> {
        &self.disk
    }

    /// Returns the budget of all bodies.
    pub(super) fn memory(&self) -> &Share {
        &self.memory
    }

    /// True if memory may serve speed: larger bodies stay in it. Otherwise frees the pool's idle chunks.
    pub(super) fn has_plenty(&self) -> bool {
        let is_plentiful = self.memory.is_plentiful();
        if !is_plentiful {
            self.chunks.clear();
        }
        is_plentiful
    }

    /// Returns the limit of one body in memory.
    pub(super) fn max_in_memory(&self) -> usize {
        match (self.spill.has_file(), self.has_plenty()) {
            (false, _) => usize::MAX,
            (true, true) => MAX_PLENTIFUL_BYTES,
            (true, false) => MAX_IN_MEMORY_BYTES,
        }
    }

    /// Returns the pool of chunks.
    pub(super) fn chunks(&self) -> &ChunkPool {
        &self.chunks
    }

    /// Returns the spill file.
    pub(super) fn spill(&self) -> &Arc<SpillFile> {
        &self.spill
    }
}

impl Drop for BodyStore {
    fn drop(&mut self) {
        self.spill.close();
    }
}

/// The limit of one body in memory with a spill file, while less than half of the budget is used. Most API responses and pictures are smaller.
pub(super) const MAX_PLENTIFUL_BYTES: usize = 2 << 20;

/// The limit of one body in memory while more is used. Nearly all API responses are smaller; most downloads are larger.
pub(super) const MAX_IN_MEMORY_BYTES: usize = 256 * 1024;

/// A store in `folder` with a budget of its own.
#[cfg(test)]
pub(crate) fn test_store(folder: impl Into<PathBuf>, budget_bytes: usize) -> Arc<BodyStore> {
    let share = |bytes| Arc::new(Share::new(bytes));
    BodyStore::with_shares(folder.into().into(), share(budget_bytes), share(budget_bytes / 5), DiskWatch::new())
}

/// A store whose bodies take up to `bodies` bytes, and their pieces `spilling` bytes.
#[cfg(test)]
pub(super) fn small_store(folder: &std::path::Path, bodies: usize, spilling: usize) -> Arc<BodyStore> {
    let share = |bytes| Arc::new(Share::new(bytes));
    BodyStore::with_shares(folder.to_owned().into(), share(bodies), share(spilling), DiskWatch::new())
}

/// A store without memory for bodies. Writes of over 100 ms count as hung.
#[cfg(test)]
pub(super) fn store_on_a_hanging_disk(folder: &std::path::Path, spilling: usize) -> Arc<BodyStore> {
    let share = |bytes| Arc::new(Share::new(bytes));
    let disk = DiskWatch::with_limit(std::time::Duration::from_millis(100));
    BodyStore::with_shares(folder.to_owned().into(), share(0), share(spilling), disk)
}
