//! Channels between threads: a queue under a lock. They have the names and the meaning of those in `std::sync::mpsc`, whose code
//! takes several KB of the binary for each type of item.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Returns a channel without a bound. Sending never waits.
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    sync_channel(usize::MAX)
}

/// Returns a channel in which up to `bound` items wait. Sending waits for room.
pub fn sync_channel<T>(bound: usize) -> (Sender<T>, Receiver<T>) {
    let state = State { items: VecDeque::new(), bound: bound.max(1), senders: 1, is_received: true };
    let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// Sends items. The receiver gets those of one sender in order.
pub struct Sender<T>(Arc<Shared<T>>);

/// Receives the items of all senders.
pub struct Receiver<T>(Arc<Shared<T>>);

/// The error for a channel without senders and items, or without a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnected;

/// The reason why [`Receiver::recv_timeout`] returns no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// The timeout has passed.
    Timeout,
    /// All senders were dropped.
    Disconnected,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// Notified when an item is added, when one is taken from a full channel, and when the last sender or the receiver is dropped.
    changed: Condvar,
}

struct State<T> {
    items: VecDeque<T>,
    bound: usize,
    senders: usize,
    is_received: bool,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // No code of others runs under the lock, so a panic leaves the state whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Sender<T> {
    /// Sends an item; waits while the channel is full.
    ///
    /// # Errors
    /// Returns [`Disconnected`] if the receiver was dropped. The item is dropped then.
    pub fn send(&self, item: T) -> Result<(), Disconnected> {
        let mut state = self.0.lock();
        while state.is_received && state.items.len() >= state.bound {
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if !state.is_received {
            drop(state);
            return Err(Disconnected);
        }
        state.items.push_back(item);
        drop(state);
        self.0.changed.notify_all();
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// Returns the next item; waits for it.
    ///
    /// # Errors
    /// Returns [`Disconnected`] if there is none and all senders were dropped.
    pub fn recv(&self) -> Result<T, Disconnected> {
        let state = self.0.lock();
        let state = self.0.changed.wait_while(state, State::is_pending);
        self.take(state.unwrap_or_else(PoisonError::into_inner)).ok_or(Disconnected)
    }

    /// Returns the next item; waits for it up to `timeout`.
    ///
    /// # Errors
    /// If there is none by then, or if all senders were dropped.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let state = self.0.lock();
        let state = self.0.changed.wait_timeout_while(state, timeout, State::is_pending);
        let state = state.unwrap_or_else(PoisonError::into_inner).0;
        let none = if state.senders == 0 { RecvTimeoutError::Disconnected } else { RecvTimeoutError::Timeout };
        self.take(state).ok_or(none)
    }

    /// Returns the next item if there is one.
    pub fn try_recv(&self) -> Option<T> {
        self.take(self.0.lock())
    }

    fn take(&self, mut state: MutexGuard<'_, State<T>>) -> Option<T> {
        let was_full = state.items.len() >= state.bound;
        let item = state.items.pop_front();
        drop(state);
        // Senders wait for room only. A notification is a system call.
        if was_full {
            self.0.changed.notify_all();
        }
        item
    }
}

impl<T> State<T> {
    /// True if there is no item yet, and one may come.
    fn is_pending(&mut self) -> bool {
        self.items.is_empty() && self.senders > 0
    }
}

impl<T> Iterator for Receiver<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.recv().ok()
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver")
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        let mut state = self.0.lock();
        state.senders = state.senders.saturating_add(1);
        drop(state);
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.senders = state.senders.saturating_sub(1);
        drop(state);
        self.0.changed.notify_all();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_received = false;
        // Dropping an item may run other code, even send: not under the lock.
        let items = std::mem::take(&mut state.items);
        drop(state);
        self.0.changed.notify_all();
        drop(items);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn items_arrive_in_order_until_all_senders_are_dropped() {
        let (sender, receiver) = sync_channel(2);
        let second = sender.clone();
        let thread = thread::spawn(move || (0..1000).for_each(|n| sender.send(n).unwrap()));
        let first: Vec<_> = std::iter::from_fn(|| receiver.recv().ok()).take(1000).collect();
        assert_eq!(first, (0..1000).collect::<Vec<_>>());
        thread.join().unwrap();
        assert_eq!(receiver.try_recv(), None);
        second.send(7).unwrap();
        drop(second);
        assert_eq!(receiver.collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn a_full_channel_makes_the_sender_wait() {
        let (sender, receiver) = sync_channel(1);
        let (done, is_done) = channel();
        thread::spawn(move || {
            (0..3).for_each(|n| sender.send(n).unwrap());
            done.send(()).unwrap();
        });
        assert_eq!(receiver.recv(), Ok(0));
        assert_eq!(is_done.try_recv(), None);
        assert_eq!((receiver.recv(), receiver.recv()), (Ok(1), Ok(2)));
        assert_eq!((is_done.recv(), receiver.recv()), (Ok(()), Err(Disconnected)));
    }

    #[test]
    fn a_dropped_receiver_ends_senders_that_wait() {
        let (sender, receiver) = sync_channel(1);
        sender.send(1).unwrap();
        let waits = thread::spawn(move || sender.send(2));
        drop(receiver);
        assert_eq!(waits.join().unwrap(), Err(Disconnected));
    }

    #[test]
    fn receiving_with_a_timeout_ends() {
        let (sender, receiver) = channel();
        assert_eq!(receiver.recv_timeout(Duration::from_millis(5)), Err(RecvTimeoutError::Timeout));
        sender.send(1).unwrap();
        assert_eq!(receiver.recv_timeout(Duration::MAX), Ok(1));
        drop(sender);
        assert_eq!(receiver.recv_timeout(Duration::MAX), Err(RecvTimeoutError::Disconnected));
    }
}
