//! The queue from the connections to the writer: bounded in bytes, and received in batches.
//!
//! ```text
//! connection ─▶ send ─┐                                            ┌─▶ receive: a batch at once
//! connection ─▶ send ─┼─▶ [items, bounded by a share of memory] ───┤
//! connection ─▶ send ─┘   full: send waits                         └── few: waits BATCH_DELAY for more
//! ```
//!
//! Waking a thread costs more than writing an item. So the receiver waits [`BATCH_DELAY`] for more items and then takes
//! all of them, in batches that let waiting senders go on. A slow disk fills the queue, and senders wait: this slows the traffic
//! instead of filling the memory. While the disk hangs, items that do not fit are refused instead.
//!
//! [`Sender`] and [`Receiver`] have the names and the meaning of those in `std::sync::mpsc`, which cannot receive a
//! batch.

use crate::bundle::disk_watch::DiskWatch;
use crate::memory::Share;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A value in a queue.
pub(crate) trait Queued {
    /// Returns the number of bytes of memory that it takes.
    fn memory_bytes(&self) -> usize;

    /// True if it is small, and others that follow are useless without it.
    fn is_essential(&self) -> bool;
}

/// Returns both ends of a new queue, whose items take up to the bytes of `share`. Senders do not wait while the disk hangs.
pub(crate) fn bounded_queue<T: Queued>(share: Arc<Share>, disk: Arc<DiskWatch>) -> (Sender<T>, Receiver<T>) {
    let state = QueueState {
        items: VecDeque::new(),
        received_bytes: 0,
        round: Round { left: 0, len: 0 },
        sender_count: 1,
        waiting_senders: 0,
        has_receiver: true,
        is_urgent: false,
        is_receiver_waiting: false,
    };
    let queue =
        Arc::new(Queue { state: Mutex::new(state), changed: Condvar::new(), has_space: Condvar::new(), share, disk });
    (Sender(Arc::clone(&queue)), Receiver(queue))
}

/// A queue for tests, which is never full.
#[cfg(test)]
pub(crate) fn queue<T: Queued>() -> (Sender<T>, Receiver<T>) {
    bounded_queue(Arc::new(Share::new(usize::MAX)), DiskWatch::new())
}

/// The connections' end. Clones send to the same receiver.
pub(crate) struct Sender<T>(Arc<Queue<T>>);

/// The writer's end.
pub(crate) struct Receiver<T>(Arc<Queue<T>>);

/// The reason why an item was not queued.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    /// The receiver was closed or dropped.
    Closed,
    /// The queue is full and the disk hangs.
    DiskHung,
}

struct Queue<T> {
    state: Mutex<QueueState<T>>,
    /// Wakes the receiver: items were queued, or the last sender was dropped.
    changed: Condvar,
    /// Wakes senders: items were taken, or the receiver was dropped.
    has_space: Condvar,
    /// The bytes of the items in the queue and of those that were received last.
    share: Arc<Share>,
    disk: Arc<DiskWatch>,
}

struct QueueState<T> {
    /// Each with the number of bytes that it takes.
    items: VecDeque<(usize, T)>,
    /// The bytes of the items that were received last; the receiver still has them.
    received_bytes: usize,
    round: Round,
    sender_count: usize,
    waiting_senders: usize,
    /// False once the receiver was closed or dropped.
    has_receiver: bool,
    /// True once an urgent item was sent: the receiver no longer waits for larger batches.
    is_urgent: bool,
    /// True while the receiver waits for a first item.
    is_receiver_waiting: bool,
}

impl<T> QueueState<T> {
    fn can_receive_more(&self) -> bool {
        self.has_receiver && self.sender_count > 0
    }
}

/// The items that are received after one delay.
#[derive(Clone, Copy)]
struct Round {
    /// The number of those that are still in the queue.
    left: usize,
    len: usize,
}

impl<T> Queue<T> {
    fn state(&self) -> MutexGuard<'_, QueueState<T>> {
        // No code panics between two related changes of the state, so a poisoned lock holds a valid state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Queued> Sender<T> {
    /// Queues `item`. Waits while the queue is full, unless the disk hangs.
    pub(crate) fn send(&self, item: T) -> Result<(), SendError> {
        let bytes = item.memory_bytes();
        let queue = &self.0;
        let mut state = queue.state();
        // An empty queue takes any item.
        while state.has_receiver && !state.items.is_empty() && queue.share.held() >= queue.share.limit() {
            if queue.disk.is_hung() {
                let reserve = queue.share.limit() / RESERVE_DIVISOR;
                if item.is_essential() && queue.share.held() < queue.share.limit().saturating_add(reserve) {
                    break;
                }
                return Err(SendError::DiskHung);
            }
            state.waiting_senders = state.waiting_senders.saturating_add(1);
            // The receiver does not wait for more items then.
            queue.changed.notify_one();
            state = queue.has_space.wait_timeout(state, CHECK_INTERVAL).unwrap_or_else(PoisonError::into_inner).0;
            state.waiting_senders = state.waiting_senders.saturating_sub(1);
        }
        if state.waiting_senders > 0 && queue.share.held().saturating_add(bytes) < queue.share.limit() {
            queue.has_space.notify_one();
        }
        self.push(state, item, bytes)
    }

    /// True if the queue takes an item without waiting. An empty queue takes any item.
    pub(crate) fn has_space(&self) -> bool {
        self.0.share.held() < self.0.share.limit() || self.0.state().items.is_empty()
    }

    /// Queues `item` even if the queue is full.
    pub(crate) fn send_unbounded(&self, item: T) -> Result<(), SendError> {
        let bytes = item.memory_bytes();
        self.push(self.0.state(), item, bytes)
    }

    /// Queues `item` even if the queue is full, and makes the receiver take this and later items without delay.
    pub(crate) fn send_urgent(&self, item: T) -> Result<(), SendError> {
        let mut state = self.0.state();
        state.is_urgent = true;
        let bytes = item.memory_bytes();
        self.push(state, item, bytes)
    }

    fn push(&self, mut state: MutexGuard<'_, QueueState<T>>, item: T, bytes: usize) -> Result<(), SendError> {
        if !state.has_receiver {
            return Err(SendError::Closed);
        }
        self.0.share.acquire(bytes);
        state.items.push_back((bytes, item));
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
    /// Moves [`MAX_RECEIVED_ITEMS`] into `batch`, which must be empty, or more while they have fewer bytes than
    /// [`MIN_RECEIVED_BYTES`]. Leaves it empty if none is sent within `timeout`. Returns false once all items are taken and no more can be sent. Items count as queued until the next call.
    pub(crate) fn receive(&self, batch: &mut VecDeque<T>, timeout: Option<Duration>) -> bool {
        let mut state = self.0.state();
        self.0.share.release(std::mem::take(&mut state.received_bytes));
        if state.waiting_senders > 0 {
            self.0.has_space.notify_one();
        }
        if state.round.left == 0 {
            state = self.wait_for_round(state, timeout);
        }
        let QueueState { items, received_bytes, round, .. } = &mut *state;
        while round.left > 0 && (batch.len() < MAX_RECEIVED_ITEMS || *received_bytes < MIN_RECEIVED_BYTES) {
            round.left = round.left.saturating_sub(1);
            let Some((bytes, item)) = items.pop_front() else { break };
            *received_bytes = received_bytes.saturating_add(bytes);
            batch.push_back(item);
        }
        if state.items.is_empty() && state.items.capacity() > MAX_IDLE_CAPACITY {
            // Not freed, which would raise glibc's thresholds (`docs/relay.md`, "The allocator").
            state.items.shrink_to(MAX_IDLE_CAPACITY);
        }
        state.can_receive_more() || !batch.is_empty()
    }

    /// Refuses further items. Those in the queue can be received.
    pub(crate) fn close(&self) {
        self.0.state().has_receiver = false;
        self.0.has_space.notify_all();
    }

    /// Waits for a first item and then a moment for more.
    fn wait_for_round<'q>(
        &'q self,
        mut state: MutexGuard<'q, QueueState<T>>,
        timeout: Option<Duration>,
    ) -> MutexGuard<'q, QueueState<T>> {
        if state.items.is_empty() {
            state.is_receiver_waiting = true;
            let is_empty = |state: &mut QueueState<T>| state.items.is_empty() && state.can_receive_more();
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
                let is_few = state.items.len() < FULL_BATCH_ITEMS && state.waiting_senders == 0;
                is_few && !state.is_urgent && state.can_receive_more()
            };
            let waited = self.0.changed.wait_timeout_while(state, BATCH_DELAY, is_small);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.round = Round { left: state.items.len(), len: state.items.len() };
        state
    }

    /// True if items arrive so fast that a whole batch was waiting when the last ones were received.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.0.state().round.len >= FULL_BATCH_ITEMS
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.has_receiver = false;
        let items = std::mem::take(&mut state.items);
        let bytes = items.iter().map(|(bytes, _)| *bytes).sum::<usize>();
        self.0.share.release(bytes.saturating_add(std::mem::take(&mut state.received_bytes)));
        drop(state);
        self.0.has_space.notify_all();
        drop(items);
    }
}

/// The number of items at which the receiver stops waiting for more. Reached within [`BATCH_DELAY`] at 12,800 exchanges
/// a second.
pub(crate) const FULL_BATCH_ITEMS: usize = 128;

/// The largest number of items that are received at once, unless they are small. Waiting senders go on after each batch.
const MAX_RECEIVED_ITEMS: usize = 64;

/// Items are received at once up to this number of bytes, whatever their number: some 300 short messages. Each lock of the
/// queue may wake a sender, which costs more than writing such a message.
const MIN_RECEIVED_BYTES: usize = 64 * 1024;

/// The time a first item waits for others. It is too short to notice in the file, and enough for hundreds of items
/// under load.
const BATCH_DELAY: Duration = Duration::from_millis(10);

/// The interval at which waiting senders look whether the disk hangs.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// While the disk hangs, essential items may exceed the share by its limit divided by this.
const RESERVE_DIVISOR: usize = 8;

/// An empty queue keeps memory for this many items.
const MAX_IDLE_CAPACITY: usize = 1024;

#[cfg(test)]
mod tests;
