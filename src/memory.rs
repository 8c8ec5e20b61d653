//! The memory of one capture, `--memory`, divided into shares.
//!
//! ```text
//! --memory ─┬─ bodies ──── bodies of exchanges and messages until they are in the bundle
//!           ├─ spilling ── pieces of bodies on their way to the spill file
//!           ├─ queue ───── finished exchanges and messages that wait for the writer
//!           ├─ recording ─ exchanges in progress, and the state of parsers
//!           ├─ unsent ──── bytes that peers have not accepted yet
//!           ├─ decoding ── windows of decoders
//!           └─ callback ── exchanges and messages that wait for a callback; without one, caches with limits of their own
//! ```
//!
//! A share bounds one kind of data for all connections together. No kind can use up the memory of another: a thread that
//! waits for a share waits only for data of that kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The shares of one capture's memory.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Bodies of exchanges and messages, from their first byte until they are in the bundle.
    pub(crate) bodies: Arc<Share>,
    /// Pieces of bodies on their way to the spill file.
    pub(crate) spilling: Arc<Share>,
    /// Finished exchanges and messages that wait for the writer.
    pub(crate) queue: Arc<Share>,
    /// Exchanges in progress, and the state of parsers.
    pub(crate) recording: Arc<Share>,
    /// Bytes that peers have not accepted yet.
    pub(crate) unsent: Arc<Share>,
    /// Windows of decoders.
    pub(crate) decoding: Arc<Share>,
    /// Exchanges and messages that wait for the callback.
    pub(crate) callback: Arc<Share>,
}

impl Memory {
    /// Returns the size to which the index of a bundle may grow in memory if it has no file: what spilling takes otherwise.
    pub(crate) fn index_bytes(&self) -> u64 {
        self.spilling.limit() as u64
    }

    /// Divides `bytes`.
    pub(crate) fn new(bytes: u64) -> Self {
        let sixteenth = usize::try_from(bytes / 16).unwrap_or(usize::MAX);
        let share = |sixteenths: usize| Arc::new(Share::new(sixteenth.saturating_mul(sixteenths)));
        Self {
            bodies: share(5),
            spilling: share(1),
            queue: share(2),
            recording: share(2),
            unsent: share(1),
            decoding: share(4),
            callback: share(1),
        }
    }
}

/// A bound on the bytes of one kind. On a cache line of its own, because many threads change it.
#[derive(Debug)]
#[repr(align(64))]
pub(crate) struct Share {
    limit: AtomicUsize,
    held: AtomicUsize,
}

impl Share {
    /// A share of `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: AtomicUsize::new(limit), held: AtomicUsize::new(0) }
    }

    /// Takes `bytes`. Returns false, and takes none, if fewer are left.
    pub(crate) fn try_acquire(&self, bytes: usize) -> bool {
        let add = |held: usize| held.checked_add(bytes).filter(|&sum| sum <= self.limit());
        self.held.fetch_update(Relaxed, Relaxed, add).is_ok()
    }

    /// Takes `bytes`, even if that exceeds the limit.
    pub(crate) fn acquire(&self, bytes: usize) {
        if bytes > 0 {
            self.held.fetch_add(bytes, Relaxed);
        }
    }

    /// Returns `bytes`.
    pub(crate) fn release(&self, bytes: usize) {
        if bytes > 0 {
            self.held.fetch_sub(bytes, Relaxed);
        }
    }

    /// The number of bytes that are taken.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// The number of bytes that may be taken.
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// Lowers the limit by `bytes`, which are used for something else from then on.
    pub(crate) fn reduce(&self, bytes: usize) {
        if bytes > 0 {
            let _ = self.limit.fetch_update(Relaxed, Relaxed, |limit| Some(limit.saturating_sub(bytes)));
        }
    }

    /// True if more than the limit is taken.
    pub(crate) fn is_spent(&self) -> bool {
        self.held() > self.limit()
    }

    /// True if less than half of the limit is taken: memory may then serve speed alone.
    pub(crate) fn is_plentiful(&self) -> bool {
        self.held() < self.limit() / 2
    }
}

/// Bytes taken from a share, even past its limit, until this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    share: Arc<Share>,
    bytes: usize,
}

impl Charge {
    /// Takes `bytes` from `share`.
    pub(crate) fn new(share: &Arc<Share>, bytes: usize) -> Self {
        share.acquire(bytes);
        Self { share: Arc::clone(share), bytes }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.share.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_together_do_not_exceed_the_memory() {
        for bytes in [0, 1, 64 << 20, u64::MAX] {
            let Memory { bodies, spilling, queue, recording, unsent, decoding, callback } = Memory::new(bytes);
            let limits =
                [bodies, spilling, queue, recording, unsent, decoding, callback].map(|share| share.limit() as u128);
            assert!(limits.iter().sum::<u128>() <= u128::from(bytes), "{limits:?}");
        }
    }

    #[test]
    fn a_share_refuses_what_exceeds_its_limit() {
        let share = Share::new(100);
        assert!(share.try_acquire(60) && !share.is_plentiful());
        assert!(!share.try_acquire(41));
        assert!(share.try_acquire(40) && !share.is_spent());
        share.acquire(1);
        assert!(share.is_spent());
        share.release(101);
        assert_eq!((share.held(), share.is_plentiful()), (0, true));
    }
}
