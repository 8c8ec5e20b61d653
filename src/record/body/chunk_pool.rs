//! The buffers of large bodies: chunks of one size, reused for later bodies.
//!
//! An allocator keeps free memory that lies before memory in use, in each of its arenas: glibc has up to eight for each
//! processor. If each body had a buffer of its own size, every arena would grow to the largest bodies that its threads ever had.
//! Chunks of one size fit any body and any thread, so that their number is that of the chunks in use at once.
//!
//! Idle chunks together with the bodies in memory take at most half of the budget for bodies.

use crate::memory::Share;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The idle chunks of a capture.
pub(super) struct ChunkPool {
    /// The budget for bodies.
    memory: Arc<Share>,
    idle: Mutex<Vec<Vec<u8>>>,
    /// The number of idle chunks, which is read without the lock.
    idle_count: AtomicUsize,
}

impl ChunkPool {
    /// An empty pool. Chunks in use are counted in `memory`; idle ones are not.
    pub(super) fn new(memory: Arc<Share>) -> Self {
        Self { memory, idle: Mutex::default(), idle_count: AtomicUsize::new(0) }
    }

    /// Returns an empty chunk; `None` if the system has no memory left.
    pub(super) fn acquire(&self) -> Option<Vec<u8>> {
        if self.idle_count.load(Relaxed) > 0 {
            let mut idle = self.idle();
            let chunk = idle.pop();
            self.idle_count.store(idle.len(), Relaxed);
            if chunk.is_some() {
                return chunk;
            }
        }
        let mut chunk = Vec::new();
        chunk.try_reserve_exact(CHUNK_BYTES).ok()?;
        Some(chunk)
    }

    /// Takes back a chunk that is not counted in the budget any more. A buffer of another size is freed.
    pub(super) fn release(&self, mut chunk: Vec<u8>) {
        if chunk.capacity() != CHUNK_BYTES {
            return;
        }
        chunk.clear();
        let mut idle = self.idle();
        let idle_bytes = idle.len().saturating_add(1).saturating_mul(CHUNK_BYTES);
        if self.memory.held().saturating_add(idle_bytes) <= self.memory.limit() / 2 {
            idle.push(chunk);
            self.idle_count.store(idle.len(), Relaxed);
        }
    }

    /// Frees the idle chunks.
    pub(super) fn clear(&self) {
        if self.idle_count.load(Relaxed) > 0 {
            let mut idle = self.idle();
            let chunks = std::mem::take(&mut *idle);
            self.idle_count.store(0, Relaxed);
            drop(idle);
            drop(chunks);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        // No code panics while it holds the lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn idle_count(&self) -> usize {
        self.idle_count.load(Relaxed)
    }
}

/// The size of a chunk, of a slot of the spill file, and the largest size of a piece. Per byte, writes of this size cost two
/// thirds of smaller ones.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;
