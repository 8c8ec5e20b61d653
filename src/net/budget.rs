//! The budget of unsent bytes: a bound on all outboxes of a running capture together.
//!
//! ```text
//! below the budget ──▶ a source is read while its destination has less than MAX_OUTBOX_BYTES pending
//! above it ──────────▶ a source is read when its destination has nothing pending, and in small pieces
//! ```
//!
//! One slow peer may fill its outbox, which keeps its transfer smooth. The outboxes of a thousand slow peers together
//! stay within the budget.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The unsent bytes of one capture. On a cache line of its own: it is read before every read of a socket.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct UnsentBudget {
    /// The capacities of all outboxes, and the bytes in all pipes.
    held: AtomicUsize,
}

impl UnsentBudget {
    /// Counts `n` more bytes.
    pub(crate) fn hold(&self, n: usize) {
        self.held.fetch_add(n, Relaxed);
    }

    /// Counts `n` bytes less.
    pub(crate) fn release(&self, n: usize) {
        self.held.fetch_sub(n, Relaxed);
    }

    /// The limit of pending bytes on a leg. More is read for the leg only while fewer bytes are pending.
    pub(crate) fn window(&self) -> usize {
        if self.is_spent() { 1 } else { MAX_OUTBOX_BYTES }
    }

    /// The number of bytes to read from a source at once.
    pub(crate) fn max_read(&self) -> usize {
        if self.is_spent() { REDUCED_READ_BYTES } else { usize::MAX }
    }

    /// True while more than [`BUDGET_BYTES`] are held.
    pub(crate) fn is_spent(&self) -> bool {
        self.held.load(Relaxed) > BUDGET_BYTES
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.held.load(Relaxed)
    }
}

/// About 16 peers may have a full outbox without an effect on others.
const BUDGET_BYTES: usize = 4 << 20;
/// While this much is pending on a leg, nothing more is read for it.
const MAX_OUTBOX_BYTES: usize = 256 << 10;
/// One TLS record.
const REDUCED_READ_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_budget_reduces_window_and_reads() {
        let budget = UnsentBudget::default();
        budget.hold(BUDGET_BYTES);
        assert_eq!((budget.window(), budget.max_read()), (MAX_OUTBOX_BYTES, usize::MAX));
        budget.hold(1);
        assert_eq!((budget.window(), budget.max_read()), (1, REDUCED_READ_BYTES));
        budget.release(1);
        assert!(!budget.is_spent());
    }
}
