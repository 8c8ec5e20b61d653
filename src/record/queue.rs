//! The queue from the connections to the writer: bounded, and received in batches.
//!
//! ```text
//! connection ─▶ send ─┐                                        ┌─▶ receive: all queued items at once
//! connection ─▶ send ─┼─▶ [items, up to MAX_QUEUED_ITEMS] ─────┤
//! connection ─▶ send ─┘   full: send waits                     └── few: waits BATCH_DELAY for more
//! ```
//!
//! Waking a thread costs more than writing an item. So the receiver waits [`BATCH_DELAY`] for more items and then takes
//! all of them. A slow disk fills the queue, and senders wait: this slows the traffic instead of filling the memory.
//!
//! [`Sender`] and [`Receiver`] have the names and the meaning of those in `std::sync::mpsc`, which cannot receive a
//! batch.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Returns both ends of a new queue.
pub(crate) fn queue<T>() -> (Sender<T>, Receiver<T>) {
    let state = QueueState {
        items: VecDeque::new(),
        sender_count: 1,
        has_receiver: true,
        is_urgent: false,
        is_receiver_waiting: false,
    };
    let queue = Arc::new(Queue { state: Mutex::new(state), changed: Condvar::new(), has_space: Condvar::new() });
    (Sender(Arc::clone(&queue)), Receiver(queue))
}

/// The connections' end. Clones send to the same receiver.
pub(crate) struct Sender<T>(Arc<Queue<T>>);

/// The writer's end.
pub(crate) struct Receiver<T>(Arc<Queue<T>>);

/// The receiver was dropped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

struct Queue<T> {
    state: Mutex<QueueState<T>>,
    /// Wakes the receiver: items were queued, or the last sender was dropped.
    changed: Condvar,
    /// Wakes senders: items were taken, or the receiver was dropped.
    has_space: Condvar,
}

struct QueueState<T> {
    items: VecDeque<T>,
    sender_count: usize,
    /// False once the receiver was dropped.
    has_receiver: bool,
    /// True once an urgent item was sent: the receiver no longer waits for larger batches.
    is_urgent: bool,
    /// True while the receiver waits for a first item.
    is_receiver_waiting: bool,
}

impl<T> Queue<T> {
    fn state(&self) -> MutexGuard<'_, QueueState<T>> {
        // No code panics between two related changes of the state, so a poisoned lock holds a valid state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Sender<T> {
    /// Queues `item`; waits while the queue is full.
    pub(crate) fn send(&self, item: T) -> Result<(), Closed> {
        self.push(item, false)
    }

    /// Queues `item`, and makes the receiver take this and later items without delay.
    pub(crate) fn send_urgent(&self, item: T) -> Result<(), Closed> {
        self.push(item, true)
    }

    fn push(&self, item: T, is_urgent: bool) -> Result<(), Closed> {
        let is_full = |state: &mut QueueState<T>| state.has_receiver && state.items.len() >= MAX_QUEUED_ITEMS;
        let waited = self.0.has_space.wait_while(self.0.state(), is_full);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if !state.has_receiver {
            return Err(Closed);
        }
        state.items.push_back(item);
        state.is_urgent |= is_urgent;
        if state.is_receiver_waiting || state.is_urgent || state.items.len() == FULL_BATCH_ITEMS {
            state.is_receiver_waiting = false;
            drop(state);
            self.0.changed.notify_one();
        }
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        let mut state = self.0.state();
        state.sender_count = state.sender_count.saturating_add(1);
        drop(state);
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.sender_count = state.sender_count.saturating_sub(1);
        if state.sender_count == 0 {
            drop(state);
            self.0.changed.notify_one();
        }
    }
}

impl<T> Receiver<T> {
    /// Moves all queued items into `batch`, which must be empty. Leaves it empty if none is sent within `timeout`.
    /// Returns false once all senders are dropped and all items are taken.
    pub(crate) fn receive(&self, batch: &mut VecDeque<T>, timeout: Option<Duration>) -> bool {
        let mut state = self.0.state();
        if state.items.is_empty() {
            state.is_receiver_waiting = true;
            let is_empty = |state: &mut QueueState<T>| state.items.is_empty() && state.sender_count > 0;
            state = match timeout {
                None => self.0.changed.wait_while(state, is_empty).unwrap_or_else(PoisonError::into_inner),
                Some(timeout) => {
                    let waited = self.0.changed.wait_timeout_while(state, timeout, is_empty);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.is_receiver_waiting = false;
        }
        if !state.items.is_empty() {
            let is_small = |state: &mut QueueState<T>| {
                state.items.len() < FULL_BATCH_ITEMS && !state.is_urgent && state.sender_count > 0
            };
            let waited = self.0.changed.wait_timeout_while(state, BATCH_DELAY, is_small);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let was_full = state.items.len() >= MAX_QUEUED_ITEMS;
        std::mem::swap(&mut state.items, batch);
        let is_open = state.sender_count > 0 || !batch.is_empty();
        drop(state);
        if was_full {
            self.0.has_space.notify_all();
        }
        is_open
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.has_receiver = false;
        let items = std::mem::take(&mut state.items);
        drop(state);
        self.0.has_space.notify_all();
        drop(items);
    }
}

/// The number of items in the queue, at about 1.5 KB each. The batch that the writer has taken may hold as many again.
/// Bodies have a budget of their own.
const MAX_QUEUED_ITEMS: usize = 512;

/// The number of items at which the receiver stops waiting for more. Reached within [`BATCH_DELAY`] at 12,800 exchanges
/// a second.
pub(crate) const FULL_BATCH_ITEMS: usize = 128;

/// The time a first item waits for others. It is too short to notice in the file, and enough for hundreds of items
/// under load.
const BATCH_DELAY: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use std::thread;

    /// A limit that no passing test comes near.
    const TEST_TIMEOUT: Duration = Duration::from_secs(20);

    fn receive_all<T>(receiver: &Receiver<T>) -> Vec<T> {
        let (mut all, mut batch) = (Vec::new(), VecDeque::new());
        while receiver.receive(&mut batch, None) {
            all.extend(batch.drain(..));
        }
        all
    }

    #[test]
    fn receives_in_order_and_in_batches() {
        let (sender, receiver) = queue();
        for n in 0..10 {
            sender.send(n).unwrap();
        }
        let mut batch = VecDeque::new();
        assert!(receiver.receive(&mut batch, None));
        assert_eq!(batch, (0..10).collect::<Vec<_>>());
        batch.clear();
        let second_sender = sender.clone();
        drop(sender);
        second_sender.send(10).unwrap();
        drop(second_sender);
        assert_eq!(receive_all(&receiver), [10]);
        assert!(!receiver.receive(&mut batch, None), "all senders were dropped");
    }

    #[test]
    fn a_sender_waits_while_the_queue_is_full() {
        let (sender, receiver) = queue();
        let sending = thread::spawn(move || (0..10 * MAX_QUEUED_ITEMS).for_each(|n| sender.send(n).unwrap()));
        let mut batch = VecDeque::new();
        let mut next = 0;
        while receiver.receive(&mut batch, None) {
            assert!(batch.len() <= MAX_QUEUED_ITEMS);
            batch.drain(..).for_each(|n| {
                assert_eq!(n, next);
                next += 1;
            });
        }
        assert_eq!(next, 10 * MAX_QUEUED_ITEMS);
        sending.join().unwrap();
    }

    #[test]
    fn a_waiting_sender_fails_when_the_receiver_is_dropped() {
        let (sender, receiver) = queue();
        (0..MAX_QUEUED_ITEMS).for_each(|n| sender.send(n).unwrap());
        let sending = thread::spawn(move || sender.send(7));
        drop(receiver);
        assert_eq!(sending.join().unwrap(), Err(Closed));
    }

    #[test]
    fn an_urgent_item_is_received_without_delay() {
        let (sender, receiver) = queue();
        let started = Moment::now();
        // With a delay for each item, this would take twice the limit.
        for n in 0..2000 {
            sender.send_urgent(n).unwrap();
            let mut batch = VecDeque::new();
            assert!(receiver.receive(&mut batch, None));
        }
        assert!(Moment::now().since(started) < BATCH_DELAY * 1000);
    }

    #[test]
    fn receive_returns_an_empty_batch_after_the_timeout() {
        let (sender, receiver) = queue::<u8>();
        let mut batch = VecDeque::new();
        assert!(receiver.receive(&mut batch, Some(Duration::from_millis(1))) && batch.is_empty());
        let sending = thread::spawn(move || sender.send(1).unwrap());
        assert!(receiver.receive(&mut batch, Some(TEST_TIMEOUT)));
        assert_eq!(batch, [1]);
        sending.join().unwrap();
    }
}
