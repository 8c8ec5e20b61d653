//! The free memory that the allocator keeps for threads.
//!
//! glibc gives each thread an arena, up to eight for each processor. An arena keeps up to two thresholds of 128 KiB free at its
//! end, and further memory between allocations in use. Many arenas together exceed the memory that is left beside the shares. They
//! therefore reduce the share of bodies, because bodies can also be in the spill file. Threads reuse arenas, and none is freed: the
//! largest number of threads at the same time counts.

use crate::memory::Share;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The arenas of the threads of one capture.
#[derive(Debug)]
pub(crate) struct Arenas {
    bodies: Arc<Share>,
    threads: AtomicUsize,
    /// The number of arenas by which the share is reduced.
    counted: AtomicUsize,
    /// The largest number that is counted.
    max: usize,
}

impl Arenas {
    /// The arenas of an allocator that has up to `arenas`. They reduce `bodies`, to a quarter at most.
    pub(crate) fn new(bodies: &Arc<Share>, arenas: usize) -> Self {
        let max = (bodies.limit() / 4).saturating_mul(3) / ARENA_BYTES;
        Self {
            bodies: Arc::clone(bodies),
            threads: AtomicUsize::new(0),
            counted: AtomicUsize::new(0),
            max: arenas.saturating_sub(UNCOUNTED_ARENAS).min(max),
        }
    }

    /// Counts a thread that starts.
    pub(crate) fn thread_started(&self) {
        let threads = self.threads.fetch_add(1, Relaxed).saturating_add(1);
        let needed = threads.saturating_sub(UNCOUNTED_ARENAS).min(self.max);
        let before = self.counted.fetch_max(needed, Relaxed);
        self.bodies.reduce(needed.saturating_sub(before).saturating_mul(ARENA_BYTES));
    }

    /// Counts a thread that ends.
    pub(crate) fn thread_ended(&self) {
        self.threads.fetch_sub(1, Relaxed);
    }
}

/// Returns the largest number of arenas of glibc in this process.
pub(crate) fn max_arenas() -> usize {
    let configured = std::env::var("MALLOC_ARENA_MAX").ok().and_then(|max| max.parse().ok()).filter(|&max| max > 0);
    configured.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get().saturating_mul(8)))
}

/// The free memory of one arena under load: 200 KiB at the end and 90 KiB between allocations were measured.
const ARENA_BYTES: usize = 288 << 10;

/// The number of arenas whose memory is within what no share counts: two processors have 16.
const UNCOUNTED_ARENAS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arenas_of_the_most_threads_at_once_reduce_the_share_to_a_quarter_at_most() {
        let reduced_by = |limit, arenas, threads: usize| {
            let bodies = Arc::new(Share::new(limit));
            let counted = Arenas::new(&bodies, arenas);
            for _ in 0..3 {
                (0..threads).for_each(|_| counted.thread_started());
                (0..threads).for_each(|_| counted.thread_ended());
            }
            limit - bodies.limit()
        };
        assert_eq!(reduced_by(20 << 20, 256, 16), 0);
        assert_eq!(reduced_by(20 << 20, 256, 18), 2 * ARENA_BYTES);
        assert_eq!(reduced_by(20 << 20, 24, 1000), 8 * ARENA_BYTES);
        assert_eq!(reduced_by(20 << 20, 8, 1000), 0);
        let most = reduced_by(20 << 20, 256, 1000);
        assert!((14 << 20..=15 << 20).contains(&most), "{most}");
        assert_eq!(reduced_by(0, 256, 1000), 0);
    }
}
