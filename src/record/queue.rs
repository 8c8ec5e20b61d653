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
mod tests {
    use super::*;
    use crate::bundle::disk_watch::timed;
    use crate::clock::Moment;
    use std::sync::mpsc::channel;
    use std::thread;

    /// A limit that no passing test comes near.
    const TEST_TIMEOUT: Duration = Duration::from_secs(20);

    const ITEM_BYTES: usize = MIN_RECEIVED_BYTES / MAX_RECEIVED_ITEMS;

    impl Queued for i32 {
        fn memory_bytes(&self) -> usize {
            ITEM_BYTES
        }

        /// Negative ones are.
        fn is_essential(&self) -> bool {
            *self < 0
        }
    }

    /// A queue for `count` items.
    fn queue_for(count: usize) -> (Sender<i32>, Receiver<i32>, Arc<Share>) {
        let share = Arc::new(Share::new(count * ITEM_BYTES));
        let (sender, receiver) = bounded_queue(Arc::clone(&share), DiskWatch::new());
        (sender, receiver, share)
    }

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
    fn a_batch_is_bounded_and_counts_as_queued_until_the_next() {
        let (sender, receiver, share) = queue_for(1000);
        (0..200).for_each(|n| sender.send(n).unwrap());
        assert_eq!(share.held(), 200 * ITEM_BYTES);
        let mut batch = VecDeque::new();
        let started = Moment::now();
        for (received, held) in [(64, 200), (64, 136), (64, 72), (8, 8)] {
            assert!(receiver.receive(&mut batch, None) && receiver.is_overloaded());
            assert_eq!((batch.len(), share.held()), (received, held * ITEM_BYTES));
            batch.clear();
        }
        assert!(Moment::now().since(started) < TEST_TIMEOUT);
        sender.send(1).unwrap();
        assert!(receiver.receive(&mut batch, None) && !receiver.is_overloaded());
        drop(receiver);
        assert_eq!(share.held(), 0);
    }

    #[test]
    fn more_small_items_are_received_at_once() {
        struct Small;
        impl Queued for Small {
            fn memory_bytes(&self) -> usize {
                ITEM_BYTES / 4
            }

            fn is_essential(&self) -> bool {
                false
            }
        }
        let (sender, receiver) = queue();
        (0..300).for_each(|_| sender.send(Small).unwrap());
        drop(sender);
        let mut batch = VecDeque::new();
        for len in [4 * MAX_RECEIVED_ITEMS, 300 - 4 * MAX_RECEIVED_ITEMS] {
            assert!(receiver.receive(&mut batch, None));
            assert_eq!(batch.len(), len);
            batch.clear();
        }
        assert!(!receiver.receive(&mut batch, None));
    }

    #[test]
    fn senders_wait_while_the_queue_is_full_and_lose_nothing() {
        const COUNT: i32 = 2000;
        for room in [0, 1, 50, 300] {
            let (sender, receiver, share) = queue_for(room);
            let send_all = |sender: Sender<i32>| (0..COUNT).for_each(|n| sender.send(n).unwrap());
            let sending: Vec<_> = (0..4)
                .map(|_| {
                    thread::spawn({
                        let sender = sender.clone();
                        move || send_all(sender)
                    })
                })
                .collect();
            drop(sender);
            let (mut batch, mut sum) = (VecDeque::new(), 0);
            while receiver.receive(&mut batch, None) {
                assert!(share.held() <= (room.max(MAX_RECEIVED_ITEMS) + 2) * ITEM_BYTES, "{}", share.held());
                sum += batch.drain(..).sum::<i32>();
            }
            assert_eq!(sum, 4 * (COUNT * (COUNT - 1) / 2));
            sending.into_iter().for_each(|thread| thread.join().unwrap());
            assert_eq!(share.held(), 0);
        }
    }

    #[test]
    fn items_are_refused_only_while_the_disk_hangs() {
        let disk = DiskWatch::with_limit(Duration::from_millis(20));
        let (sender, receiver) = bounded_queue(Arc::new(Share::new(16 * ITEM_BYTES)), Arc::clone(&disk));
        let (resume, resumed) = channel::<()>();
        let hanging = thread::spawn(move || {
            let _entered = disk.enter();
            timed(|| resumed.recv().unwrap());
        });
        (0..16).for_each(|n| sender.send(n).unwrap());
        assert_eq!(sender.send(16), Err(SendError::DiskHung));
        assert_eq!(sender.send(17), Err(SendError::DiskHung));
        // An eighth more is for essential items.
        assert_eq!([-1, -2, -3].map(|n| sender.send(n).is_ok()), [true, true, false]);
        sender.send_urgent(18).unwrap();
        resume.send(()).unwrap();
        hanging.join().unwrap();
        let sending = thread::spawn(move || sender.send(19).unwrap());
        assert_eq!(receive_all(&receiver), (0..16).chain([-1, -2, 18, 19]).collect::<Vec<_>>());
        sending.join().unwrap();
    }

    #[test]
    fn a_waiting_sender_fails_when_the_receiver_is_dropped() {
        let (sender, receiver, _) = queue_for(8);
        (0..8).for_each(|n| sender.send(n).unwrap());
        let sending = thread::spawn(move || sender.send(7));
        drop(receiver);
        assert_eq!(sending.join().unwrap(), Err(SendError::Closed));
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
        let (sender, receiver) = queue::<i32>();
        let mut batch = VecDeque::new();
        assert!(receiver.receive(&mut batch, Some(Duration::from_millis(1))) && batch.is_empty());
        let sending = thread::spawn(move || sender.send(1).unwrap());
        assert!(receiver.receive(&mut batch, Some(TEST_TIMEOUT)));
        assert_eq!(batch, [1]);
        sending.join().unwrap();
    }

    #[test]
    fn a_long_queue_frees_its_memory() {
        let (sender, receiver) = queue();
        (0..5000).for_each(|n| sender.send(n).unwrap());
        drop(sender);
        assert_eq!(receive_all(&receiver).len(), 5000);
        assert!(receiver.0.state().items.capacity() <= MAX_IDLE_CAPACITY);
    }
}
