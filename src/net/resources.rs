//! The bounded resources that all connections of one running capture share. Two captures in one process share none of them, so
//! that a busy one does not slow the other down.
//!
//! Static elsewhere in `net`, because they are facts about the kernel or limits of the user: the number of wide pipes and the
//! availability of splice(2) (`splice.rs`), the availability of epoll(7) (`sys/epoll.rs`).

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
