//! The way from the connections to the writer: bounded, and taken in batches.
//!
//! ```text
//! connection ─▶ send ─┐                      ┌─▶ take: all that is there
//! connection ─▶ send ─┼─▶ [items, up to MOST]┤
//! connection ─▶ send ─┘   full: send waits   └── few: a moment longer, more may come
//! ```
//!
//! To wake a thread costs more than to write what it is woken for: the writer lets items gather for [`GATHER`], and takes them at
//! once. A slow disk fills the queue, and then the connections wait: a disk slows the traffic rather than fill memory.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A queue, from both ends.
pub(crate) fn queue<T>() -> (Sender<T>, Receiver<T>) {
    let state = State { items: VecDeque::new(), senders: 1, is_received: true, is_urgent: false, sleeps: false };
    let shared = Arc::new(Shared { state: Mutex::new(state), came: Condvar::new(), left: Condvar::new() });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// The connections' end.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// The writer's end.
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

/// Nobody receives any more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

struct Shared<T> {
    state: Mutex<State<T>>,
    /// Something changed that the receiver may sleep for.
    came: Condvar,
    /// There is room.
    left: Condvar,
}

struct State<T> {
    items: VecDeque<T>,
    senders: usize,
    /// Whether the receiver is there.
    is_received: bool,
    /// Whether nobody should wait for more.
    is_urgent: bool,
    /// Whether the receiver waits for a first item.
    sleeps: bool,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing between lock and unlock panics half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Sender<T> {
    /// Waits for room; fails if nobody receives any more.
    pub(crate) fn send(&self, item: T) -> Result<(), Closed> {
        self.put(item, false)
    }

    /// The same, and the receiver should not wait for more.
    pub(crate) fn send_last(&self, item: T) -> Result<(), Closed> {
        self.put(item, true)
    }

    fn put(&self, item: T, is_urgent: bool) -> Result<(), Closed> {
        let full = |state: &mut State<T>| state.is_received && state.items.len() >= MOST;
        let mut state = self.0.left.wait_while(self.0.state(), full).unwrap_or_else(PoisonError::into_inner);
        if !state.is_received {
            return Err(Closed);
        }
        state.items.push_back(item);
        state.is_urgent |= is_urgent;
        if state.sleeps || state.is_urgent || state.items.len() == MANY {
            state.sleeps = false;
            drop(state);
            self.0.came.notify_one();
        }
        Ok(())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        let mut state = self.0.state();
        state.senders = state.senders.saturating_add(1);
        drop(state);
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.senders = state.senders.saturating_sub(1);
        if state.senders == 0 {
            drop(state);
            self.0.came.notify_one();
        }
    }
}

impl<T> Receiver<T> {
    /// Takes what is there into `batch`, which is empty: nothing if none came within `patience`. False once nobody is left to
    /// send and all was taken.
    pub(crate) fn take(&self, batch: &mut VecDeque<T>, patience: Option<Duration>) -> bool {
        let mut state = self.0.state();
        if state.items.is_empty() {
            state.sleeps = true;
            let none = |state: &mut State<T>| state.items.is_empty() && state.senders > 0;
            state = match patience {
                None => self.0.came.wait_while(state, none).unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let waited = self.0.came.wait_timeout_while(state, patience, none);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.sleeps = false;
        }
        if !state.items.is_empty() {
            let few = |state: &mut State<T>| state.items.len() < MANY && !state.is_urgent && state.senders > 0;
            let waited = self.0.came.wait_timeout_while(state, GATHER, few);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let was_full = state.items.len() >= MOST;
        std::mem::swap(&mut state.items, batch);
        let goes_on = state.senders > 0 || !batch.is_empty();
        drop(state);
        if was_full {
            self.0.left.notify_all();
        }
        goes_on
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_received = false;
        let items = std::mem::take(&mut state.items);
        drop(state);
        self.0.left.notify_all();
        drop(items);
    }
}

/// So many may wait for the writer, at some 1.5 KB each, and as many again that it has taken; bodies have a budget of their own.
const MOST: usize = 512;

/// A batch of this size is worth waking for: 12,800 exchanges a second.
pub(crate) const MANY: usize = 128;

/// So long a first item waits for others: not to be noticed by anyone who looks at the file, and hundreds on a busy day.
const GATHER: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use std::thread;

    /// For what should not take any time.
    const SOON: Duration = Duration::from_secs(20);

    fn all<T>(receiver: &Receiver<T>) -> Vec<T> {
        let (mut all, mut batch) = (Vec::new(), VecDeque::new());
        while receiver.take(&mut batch, None) {
            all.extend(batch.drain(..));
        }
        all
    }

    #[test]
    fn all_comes_in_order_and_in_batches() {
        let (sender, receiver) = queue();
        for n in 0..10 {
            sender.send(n).unwrap();
        }
        let mut batch = VecDeque::new();
        assert!(receiver.take(&mut batch, None));
        assert_eq!(batch, (0..10).collect::<Vec<_>>());
        batch.clear();
        let more = sender.clone();
        drop(sender);
        more.send(10).unwrap();
        drop(more);
        assert_eq!(all(&receiver), [10]);
        assert!(!receiver.take(&mut batch, None), "nobody is left to send");
    }

    #[test]
    fn who_sends_too_much_waits() {
        let (sender, receiver) = queue();
        let sending = thread::spawn(move || (0..10 * MOST).for_each(|n| sender.send(n).unwrap()));
        let mut batch = VecDeque::new();
        let mut next = 0;
        while receiver.take(&mut batch, None) {
            assert!(batch.len() <= MOST);
            batch.drain(..).for_each(|n| {
                assert_eq!(n, next);
                next += 1;
            });
        }
        assert_eq!(next, 10 * MOST);
        sending.join().unwrap();
    }

    #[test]
    fn who_waits_for_room_hears_that_nobody_receives() {
        let (sender, receiver) = queue();
        (0..MOST).for_each(|n| sender.send(n).unwrap());
        let sending = thread::spawn(move || sender.send(7));
        drop(receiver);
        assert_eq!(sending.join().unwrap(), Err(Closed));
    }

    #[test]
    fn nothing_that_is_urgent_waits_for_more() {
        let (sender, receiver) = queue();
        let began = Moment::now();
        // A gathering each would take longer.
        for n in 0..2000 {
            sender.send_last(n).unwrap();
            let mut batch = VecDeque::new();
            assert!(receiver.take(&mut batch, None));
        }
        assert!(Moment::now().since(began) < GATHER * 1000);
    }

    #[test]
    fn patience_ends() {
        let (sender, receiver) = queue::<u8>();
        let mut batch = VecDeque::new();
        assert!(receiver.take(&mut batch, Some(Duration::from_millis(1))) && batch.is_empty());
        let sending = thread::spawn(move || sender.send(1).unwrap());
        assert!(receiver.take(&mut batch, Some(SOON)));
        assert_eq!(batch, [1]);
        sending.join().unwrap();
    }
}
