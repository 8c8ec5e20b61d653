//! The budget of unsent bytes: a bound on all outboxes of a running capture together.
//!
//! ```text
//! below the budget ──▶ a source is read while its destination has less than MAX_OUTBOX_BYTES pending
//! above it ──────────▶ a source is read when its destination has nothing pending, and in small pieces
//! ```
//!
//! One slow peer may fill its outbox, which keeps its transfer smooth. The outboxes of a thousand slow peers together
//! stay within the budget.

use crate::memory::Share;
use std::sync::Arc;

/// The unsent bytes of one capture.
#[derive(Debug)]
pub(crate) struct UnsentBudget {
    /// The capacities of all outboxes, and the bytes in all pipes.
    share: Arc<Share>,
}

impl UnsentBudget {
    /// A budget of the bytes in `share`.
    pub(crate) fn new(share: Arc<Share>) -> Self {
        Self { share }
    }

    /// Counts `n` more bytes.
    pub(crate) fn hold(&self, n: usize) {
        self.share.acquire(n);
    }

    /// Counts `n` bytes less.
    pub(crate) fn release(&self, n: usize) {
        self.share.release(n);
    }

    /// The limit of pending bytes on a leg. More is read for the leg only while fewer bytes are pending.
    pub(crate) fn window(&self) -> usize {
        if self.is_spent() { 1 } else { MAX_OUTBOX_BYTES }
    }

    /// The number of bytes to read from a source at once.
    pub(crate) fn max_read(&self) -> usize {
        if self.is_spent() { REDUCED_READ_BYTES } else { usize::MAX }
    }

    /// True while more bytes are held than the budget has.
    pub(crate) fn is_spent(&self) -> bool {
        self.share.is_spent()
    }

    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.share.held()
    }
}

/// While this much is pending on a leg, nothing more is read for it.
const MAX_OUTBOX_BYTES: usize = 256 << 10;
/// One TLS record.
const REDUCED_READ_BYTES: usize = 16 << 10;

/// A budget of its own for a test: about 16 peers may have a full outbox without an effect on others.
#[cfg(any(test, fuzzing))]
impl Default for UnsentBudget {
    fn default() -> Self {
        Self::new(Arc::new(Share::new(16 * MAX_OUTBOX_BYTES)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_budget_reduces_window_and_reads() {
        let budget = UnsentBudget::default();
        budget.hold(16 * MAX_OUTBOX_BYTES);
        assert_eq!((budget.window(), budget.max_read()), (MAX_OUTBOX_BYTES, usize::MAX));
        budget.hold(1);
        assert_eq!((budget.window(), budget.max_read()), (1, REDUCED_READ_BYTES));
        budget.release(1);
        assert!(!budget.is_spent());
    }
}
