//! Read buffers of a running capture. A thread holds one only during a read. The number of buffers is therefore the
//! number of threads that read at the same time; idle connections hold none.
//!
//! ```text
//! slots  │ 0 │ 1 │ 2 │ … │ 15 │      a thread tries its own slot first, then the others; if all are in use, it
//!          ▲ in use: locked          gets a small buffer that is freed after the read
//! ```
//!
//! A slow disk can block many threads that hold a buffer. Buffers beyond the slots are therefore small.
//!
//! Acquiring a buffer locks a slot that few other threads use. A single list would need one lock, which would move
//! between the processors' caches at each read.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, TryLockError};

/// The buffers of one capture. Each is allocated at its first use.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    slots: [Slot; SLOTS],
}

/// A slot on a cache line of its own: threads do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Slot(Mutex<Vec<u8>>);

impl BufferPool {
    /// Acquires a buffer of [`LARGE_BYTES`], or of [`SMALL_BYTES`] if all slots are in use. Its contents are
    /// unspecified.
    pub(crate) fn acquire(&self) -> PooledBuffer<'_> {
        let own = THREAD_NUMBER.with(|number| number % SLOTS);
        let (before, from_own) = self.slots.split_at(own);
        let free = from_own.iter().chain(before).find_map(|slot| match slot.0.try_lock() {
            Ok(buffer) => Some(buffer),
            // The lock was poisoned by a panic; the buffer's contents are scratch.
            Err(TryLockError::Poisoned(e)) => Some(e.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        });
        match free {
            Some(mut buffer) => {
                if buffer.is_empty() {
                    // Not resized, which would touch all pages: most reads are small.
                    *buffer = vec![0; LARGE_BYTES];
                }
                PooledBuffer::Slot(buffer)
            }
            None => PooledBuffer::Heap(vec![0; SMALL_BYTES]),
        }
    }
}

/// A buffer for one read; released when dropped.
#[derive(Debug)]
pub(crate) enum PooledBuffer<'p> {
    /// In a slot of the pool.
    Slot(MutexGuard<'p, Vec<u8>>),
    /// Outside the pool.
    Heap(Vec<u8>),
}

impl PooledBuffer<'_> {
    /// A buffer outside the pool for `n` bytes and at least as many more behind them.
    pub(crate) fn twice(n: usize) -> Self {
        Self::Heap(vec![0; n.saturating_add(n.max(SMALL_BYTES))])
    }
}

impl Deref for PooledBuffer<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Slot(buffer) => buffer,
            Self::Heap(buffer) => buffer,
        }
    }
}

impl DerefMut for PooledBuffer<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Slot(buffer) => buffer,
            Self::Heap(buffer) => buffer,
        }
    }
}

/// The number of threads that have acquired a buffer. It only spreads threads over slots, so one sequence serves all
/// captures.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD_NUMBER: usize = THREADS.fetch_add(1, Relaxed);
}

/// Larger reads save no further CPU time.
const LARGE_BYTES: usize = 128 << 10;
/// One TLS record.
const SMALL_BYTES: usize = 16 << 10;
/// More threads than this read at the same time only on large machines, or while a slow disk blocks them.
const SLOTS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_in_use_is_not_shared() {
        let pool = BufferPool::default();
        let (mut one, mut other) = (pool.acquire(), pool.acquire());
        one.fill(1);
        other.fill(2);
        assert!(one.iter().all(|&byte| byte == 1) && other.iter().all(|&byte| byte == 2));
    }

    #[test]
    fn a_thread_that_panics_releases_its_buffer() {
        let pool = BufferPool::default();
        for _ in 0..3 * SLOTS {
            std::thread::scope(|scope| {
                let panicked = scope.spawn(|| {
                    let _buffer = pool.acquire();
                    panic!("with a buffer in use");
                });
                assert!(panicked.join().is_err());
            });
        }
        let buffers: Vec<_> = (0..SLOTS).map(|_| pool.acquire()).collect();
        assert!(buffers.iter().all(|buffer| buffer.len() == LARGE_BYTES));
    }

    #[test]
    fn buffers_beyond_the_slots_are_small() {
        let pool = BufferPool::default();
        let buffers: Vec<_> = (0..2 * SLOTS).map(|_| pool.acquire()).collect();
        assert_eq!(buffers.iter().filter(|buffer| buffer.len() == LARGE_BYTES).count(), SLOTS);
        assert_eq!(buffers.iter().filter(|buffer| buffer.len() == SMALL_BYTES).count(), SLOTS);
    }

    #[test]
    fn pools_do_not_affect_each_other() {
        let (one, other) = (BufferPool::default(), BufferPool::default());
        let _buffers: Vec<_> = (0..SLOTS).map(|_| one.acquire()).collect();
        assert_eq!((one.acquire().len(), other.acquire().len()), (SMALL_BYTES, LARGE_BYTES));
    }
}
