//! The account of one connection with a share.
//!
//! ```text
//! used     0 ─────── FLOOR_BYTES ─────── + STEP_BYTES ─────── + STEP_BYTES …
//! charged      0                  1 step              2 steps
//! ```
//!
//! Every connection may use [`FLOOR_BYTES`] even if the share is spent, so that a few large connections cannot keep the
//! others from being recorded. A connection that stays below the floor never touches the share, which all threads change.

use crate::memory::Share;
use std::sync::Arc;

/// The memory of one connection. Dropping it returns all of it to the share.
#[derive(Debug)]
pub(crate) struct Account {
    share: Arc<Share>,
    /// The bytes taken from the share, a multiple of [`STEP_BYTES`].
    charged: usize,
}

impl Account {
    /// An account with `share` that uses nothing.
    pub(crate) fn new(share: &Arc<Share>) -> Self {
        Self { share: Arc::clone(share), charged: 0 }
    }

    /// Charges the connection for `used` bytes, in the place of those of the last call. Returns false, and changes nothing,
    /// if the share has too few left.
    pub(crate) fn set(&mut self, used: usize) -> bool {
        let needed = used.saturating_sub(FLOOR_BYTES).div_ceil(STEP_BYTES).saturating_mul(STEP_BYTES);
        if needed > self.charged {
            if !self.share.try_acquire(needed.saturating_sub(self.charged)) {
                return false;
            }
            self.charged = needed;
        } else if self.charged > needed {
            // One step is kept, unless the connection is quiet: otherwise a use around a multiple of the step would change
            // the share again and again.
            let kept = if used <= FLOOR_BYTES / 2 { 0 } else { needed.saturating_add(STEP_BYTES) };
            if self.charged > kept {
                self.share.release(self.charged.saturating_sub(kept));
                self.charged = kept;
            }
        }
        true
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.share.release(self.charged);
    }
}

/// The memory of each connection that is not charged to the share. Most connections with HTTP/1 need less: one exchange
/// takes about 1 KiB and its heads.
pub(crate) const FLOOR_BYTES: usize = 12 << 10;

/// The size of the steps in which memory is charged.
const STEP_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE_BYTES: usize = 4 * STEP_BYTES;

    fn share() -> Arc<Share> {
        Arc::new(Share::new(SHARE_BYTES))
    }

    #[test]
    fn below_the_floor_the_share_is_not_touched() {
        let share = share();
        let mut account = Account::new(&share);
        for used in [0, 1, FLOOR_BYTES, 5, FLOOR_BYTES] {
            assert!(account.set(used));
            assert_eq!(share.held(), 0);
        }
    }

    #[test]
    fn memory_is_charged_in_steps_and_returned() {
        let share = share();
        let mut account = Account::new(&share);
        for (used, held) in [
            (FLOOR_BYTES + 1, STEP_BYTES),
            (FLOOR_BYTES + STEP_BYTES, STEP_BYTES),
            (FLOOR_BYTES + STEP_BYTES + 1, 2 * STEP_BYTES),
            (FLOOR_BYTES + 1, 2 * STEP_BYTES),
            (FLOOR_BYTES + 3 * STEP_BYTES, 3 * STEP_BYTES),
            (FLOOR_BYTES + 1, 2 * STEP_BYTES),
            (FLOOR_BYTES, STEP_BYTES),
            (FLOOR_BYTES / 2, 0),
        ] {
            assert!(account.set(used), "{used}");
            assert_eq!(share.held(), held, "{used}");
        }
    }

    #[test]
    fn a_connection_past_the_share_is_refused_without_an_effect_on_others() {
        let share = share();
        let (mut large, mut other) = (Account::new(&share), Account::new(&share));
        assert!(large.set(FLOOR_BYTES + SHARE_BYTES));
        assert!(!large.set(FLOOR_BYTES + SHARE_BYTES + 1));
        assert!(!large.set(usize::MAX));
        assert_eq!(share.held(), SHARE_BYTES);
        // The floor is granted nevertheless.
        assert!(other.set(FLOOR_BYTES) && !other.set(FLOOR_BYTES + 1));
        drop(large);
        assert_eq!(share.held(), 0);
        assert!(other.set(FLOOR_BYTES + 1));
        drop(other);
        assert_eq!(share.held(), 0);
    }
}
