//! The bounded resources that all connections of one running capture share. Two captures in one process share none of
//! them, so that a busy one does not slow the other down.
//!
//! Two files of `net` have statics. `splice.rs`: whether the kernel has splice(2), and the number of wide pipes, whose
//! limit is per user. `buffer_pool.rs`: a number for each thread, which spreads threads over buffers.

use super::arenas::{Arenas, max_arenas};
use super::budget::UnsentBudget;
use super::buffer_pool::BufferPool;
use super::thread_pool::ThreadPool;
use crate::memory::{Memory, Share};
use std::sync::Arc;

/// The shared resources of one capture.
#[derive(Debug)]
pub(crate) struct Resources {
    /// The threads that serve connections and resolve names.
    pub(crate) threads: ThreadPool,
    /// The buffers that sockets are read into.
    pub(crate) buffers: BufferPool,
    /// The bound on bytes that peers have not accepted yet. Each outbox and pipe has a reference to it.
    pub(crate) unsent: Arc<UnsentBudget>,
    /// The bound on exchanges in progress and on the state of parsers.
    pub(crate) recording: Arc<Share>,
}

impl Resources {
    /// The resources of a capture with this memory. `has_spill_file` is false if bodies are in memory alone: their share is not
    /// reduced then.
    pub(crate) fn new(memory: &Memory, has_spill_file: bool) -> Self {
        let arenas = if has_spill_file { max_arenas() } else { 0 };
        Self {
            threads: ThreadPool::new(Arenas::new(&memory.bodies, arenas)),
            buffers: BufferPool::default(),
            unsent: Arc::new(UnsentBudget::new(Arc::clone(&memory.unsent))),
            recording: Arc::clone(&memory.recording),
        }
    }
}

#[cfg(any(test, fuzzing))]
impl Default for Resources {
    fn default() -> Self {
        Self::new(&Memory::new(64 << 20), true)
    }
}
