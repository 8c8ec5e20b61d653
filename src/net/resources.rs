//! The bounded resources that all connections of one running capture share. Two captures in one process share none of
//! them, so that a busy one does not slow the other down.
//!
//! Static elsewhere in `net`: facts about the kernel and limits of the user (the availability of splice(2) and the
//! number of wide pipes, `splice.rs`), and the numbers of threads, which only spread them over buffers
//! (`buffer_pool.rs`).

use super::budget::UnsentBudget;
use super::buffer_pool::BufferPool;
use super::thread_pool::ThreadPool;
use std::sync::Arc;

/// The shared resources of one capture.
#[derive(Debug, Default)]
pub(crate) struct Resources {
    /// The threads that serve connections and resolve names.
    pub(crate) threads: ThreadPool,
    /// The buffers that sockets are read into.
    pub(crate) buffers: BufferPool,
    /// The bound on bytes that peers have not accepted yet. Each outbox and pipe has a reference to it.
    pub(crate) unsent: Arc<UnsentBudget>,
}
