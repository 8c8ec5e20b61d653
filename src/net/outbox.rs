//! Bytes that a socket has not accepted yet.

use super::budget::UnsentBudget;
use std::sync::Arc;

/// A queue of bytes to send. Its capacity counts towards the capture's [`UnsentBudget`].
pub(crate) struct Outbox {
    /// Holds the unsent bytes at `sent..end`; the rest is unspecified. Only [`Outbox::append`] and [`Outbox::free`]
    /// change its capacity, which `budget` counts.
    bytes: Vec<u8>,
    /// The start of the unsent bytes.
    sent: usize,
    /// The end of the unsent bytes.
    end: usize,
    budget: Arc<UnsentBudget>,
}

/// The result of an attempt to write into a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Append {
    /// This many bytes were written.
    Written(usize),
    /// Nothing was written: this many bytes are needed.
    Needs(usize),
    /// It cannot be written into any buffer.
    Impossible,
}

impl Outbox {
    /// Creates an empty outbox without capacity.
    pub(crate) fn new(budget: &Arc<UnsentBudget>) -> Self {
        Self { bytes: Vec::new(), sent: 0, end: 0, budget: Arc::clone(budget) }
    }

    /// The number of unsent bytes.
    pub(crate) fn len(&self) -> usize {
        self.end.saturating_sub(self.sent)
    }

    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// True if all bytes were sent.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The unsent bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.sent..self.end).unwrap_or_default()
    }

    /// Appends `more`.
    pub(crate) fn push(&mut self, more: &[u8]) {
        self.append(&mut |room| match room.get_mut(..more.len()) {
            Some(room) => {
                room.copy_from_slice(more);
                Append::Written(more.len())
            }
            None => Append::Needs(more.len()),
        });
    }

    /// Appends the output of `write`, which gets the room at the end, and larger room if it needs that. Returns false
    /// if it could not write.
    pub(crate) fn append(&mut self, write: &mut dyn FnMut(&mut [u8]) -> Append) -> bool {
        let mut appended = write(self.bytes.get_mut(self.end..).unwrap_or_default());
        if let Append::Needs(room) = appended {
            let before = self.bytes.capacity();
            self.bytes.resize(self.end.saturating_add(room), 0);
            self.budget.hold(self.bytes.capacity() - before);
            appended = write(self.bytes.get_mut(self.end..).unwrap_or_default());
        }
        let Append::Written(n) = appended else { return false };
        self.end = self.end.saturating_add(n).min(self.bytes.len());
        true
    }

    /// Removes the first `n` unsent bytes. An empty outbox frees its capacity if the budget is spent.
    pub(crate) fn consume(&mut self, n: usize) {
        self.sent = self.sent.saturating_add(n).min(self.end);
        if !self.is_empty() {
            return;
        }
        if self.budget.is_spent() {
            self.free();
        } else {
            (self.sent, self.end) = (0, 0);
        }
    }

    /// Drops all bytes and frees the capacity.
    pub(crate) fn free(&mut self) {
        let capacity = self.bytes.capacity();
        if capacity > 0 {
            self.bytes = Vec::new();
            self.budget.release(capacity);
        }
        (self.sent, self.end) = (0, 0);
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.free();
    }
}

/// An outbox with a budget of its own.
#[cfg(any(test, fuzzing))]
impl Default for Outbox {
    fn default() -> Self {
        Self::new(&Arc::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_outbox_frees_its_capacity_while_the_budget_is_spent() {
        let budget = Arc::default();
        let mut slow: Vec<Outbox> = Vec::new();
        while !UnsentBudget::is_spent(&budget) {
            let mut outbox = Outbox::new(&budget);
            outbox.push(&[0; 100_000]);
            slow.push(outbox);
        }
        let held = budget.held();
        let mut last = slow.pop().unwrap();
        last.consume(99_999);
        assert_eq!((last.len(), budget.held()), (1, held));
        last.consume(1);
        assert_eq!(last.capacity(), 0);
        drop(slow);
        assert_eq!(budget.held(), 0);
        last.push(&[0; 100_000]);
        last.consume(100_000);
        assert!(last.capacity() >= 100_000, "it keeps its capacity otherwise");
    }
}
