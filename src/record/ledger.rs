//! The memory of one connection's recorder: what it has in progress, and the state of its tap.
//!
//! ```text
//! exchanges, WebSockets, messages ─┐
//! state of the tap ────────────────┴▶ charge ─▶ Account ─ refused ─▶ exceeded: nothing is recorded from then on
//! ```

use super::account::{Account, FLOOR_BYTES};

/// The memory of one recorder.
pub(super) struct Ledger {
    account: Account,
    /// The exchanges, WebSockets and messages in progress, without bodies.
    draft_bytes: usize,
    /// The state of the tap after its last piece, and the windows that it has allocated since.
    tap_bytes: usize,
    is_exceeded: bool,
}

impl Ledger {
    /// A ledger without entries that is charged to `account`.
    pub(super) fn new(account: Account) -> Self {
        Self { account, draft_bytes: 0, tap_bytes: 0, is_exceeded: false }
    }

    /// Adds something in progress.
    pub(super) fn add(&mut self, bytes: usize) {
        self.draft_bytes = self.draft_bytes.saturating_add(bytes);
    }

    /// Removes something that was in progress.
    pub(super) fn subtract(&mut self, bytes: usize) {
        self.draft_bytes = self.draft_bytes.saturating_sub(bytes);
    }

    /// Sets the size of the tap's state.
    pub(super) fn set_tap(&mut self, bytes: usize) {
        self.tap_bytes = bytes;
    }

    /// Adds to the size of the tap's state.
    pub(super) fn add_to_tap(&mut self, bytes: usize) {
        self.tap_bytes = self.tap_bytes.saturating_add(bytes);
    }

    /// Charges the account for everything, and for `more`. Returns false if that exceeds the limit.
    pub(super) fn charge(&mut self, more: usize) -> bool {
        let used = self.draft_bytes.saturating_add(self.tap_bytes).saturating_add(more);
        self.is_exceeded |= !self.account.set(used);
        !self.is_exceeded
    }

    /// True once the limit was exceeded.
    pub(super) fn is_exceeded(&self) -> bool {
        self.is_exceeded
    }

    /// True if the limit was exceeded and the tap's state is more than the floor, which needs no charge.
    pub(super) fn must_drop_tap(&self) -> bool {
        self.is_exceeded && self.tap_bytes > FLOOR_BYTES
    }

    /// Returns the memory of what was in progress. The tap's state is not charged from then on.
    pub(super) fn close(&mut self) {
        self.draft_bytes = 0;
        // Returns memory, so it is not refused.
        let _ = self.account.set(0);
    }
}
