//! Threads that stay a moment after their work, so that the next piece of work does not pay for a new one: starting and ending
//! one costs as much as some twenty system calls, and its memory is touched anew.
//!
//! ```text
//! hire ─▶ one that rests, or a new one ─▶ give(work) ─▶ works ─▶ rests ─▶ hired again
//!                                                                 └─ a second without work: ends
//! ```
//!
//! Whoever has a [`Hand`] has a thread for sure. One that is dropped lets its thread end.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// Those that serve connections, and resolve names for them.
pub(crate) static CREW: Crew = Crew::new();

/// Threads of one kind.
#[derive(Debug)]
pub(crate) struct Crew {
    /// The last to rest is the first to be hired: its memory is in the processor's cache, and the others come to their end.
    resting: Mutex<Vec<Hand>>,
}

impl Crew {
    const fn new() -> Self {
        Self { resting: Mutex::new(Vec::new()) }
    }

    /// A thread that waits for work.
    ///
    /// # Errors
    /// If none rests and the system gives no more.
    pub(crate) fn hire(&'static self) -> io::Result<Hand> {
        if let Some(hand) = self.resting().pop() {
            return Ok(hand);
        }
        // Never more than one is on its way: who gives it gives the hand with it.
        let (orders, given) = sync_channel(1);
        let started =
            thread::Builder::new().name("connection".into()).stack_size(STACK).spawn(move || self.work(&given))?;
        Ok(Hand { thread: started.thread().id(), orders })
    }

    /// A thread's life.
    fn work(&self, given: &Receiver<Order>) {
        loop {
            match given.recv_timeout(REST) {
                Ok(Order { work, hand }) => {
                    // Who gave the work knows what a panic leaves behind.
                    let _ = catch_unwind(AssertUnwindSafe(work));
                    self.rest(hand);
                }
                // If it was hired just now there is work to come; if not, nobody can give any more.
                Err(RecvTimeoutError::Timeout) => self.resting().retain(|hand| hand.thread != thread::current().id()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn rest(&self, hand: Hand) {
        let mut resting = self.resting();
        if resting.len() < MOST_RESTING {
            resting.push(hand);
        }
    }

    fn resting(&self) -> MutexGuard<'_, Vec<Hand>> {
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread that waits for work, and for whoever has this.
#[derive(Debug)]
pub(crate) struct Hand {
    thread: ThreadId,
    /// The one way to give it work: without it, it ends.
    orders: SyncSender<Order>,
}

impl Hand {
    /// Has it done.
    pub(crate) fn give(self, work: impl FnOnce() + Send + 'static) {
        let orders = self.orders.clone();
        // The thread listens as long as there is a hand.
        let _ = orders.send(Order { work: Box::new(work), hand: self });
    }
}

struct Order {
    work: Box<dyn FnOnce() + Send>,
    /// The worker's own, with which it rests.
    hand: Hand,
}

/// What a connection's deepest calls (TLS handshakes) need several times over; getaddrinfo needs some 64 KiB for its answers.
const STACK: usize = 512 << 10;
/// Between a page's connections is less.
const REST: Duration = Duration::from_secs(1);
/// As many connections as a browser has with one host, and their resolvers. Each keeps some 30 KB of stack.
const MOST_RESTING: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use std::sync::mpsc::{Sender, channel};

    /// Until as many rest.
    fn wait_for(crew: &Crew, resting: usize) {
        let deadline = Moment::now().plus(Duration::from_secs(20));
        while crew.resting().len() != resting {
            assert!(!deadline.since(Moment::now()).is_zero(), "{resting} are to rest, and {crew:?} do");
            thread::yield_now();
        }
    }

    #[test]
    fn the_next_piece_of_work_finds_the_same_thread() {
        static CREW: Crew = Crew::new();
        let (tell, told) = channel();
        for _ in 0..3 {
            let tell = tell.clone();
            CREW.hire().unwrap().give(move || tell.send(thread::current().id()).unwrap());
            wait_for(&CREW, 1);
        }
        let threads: Vec<_> = told.try_iter().collect();
        assert_eq!(threads, [threads[0]; 3]);
    }

    #[test]
    fn one_that_is_at_work_is_not_given_more() {
        static CREW: Crew = Crew::new();
        let (go, gone) = channel::<()>();
        CREW.hire().unwrap().give(move || gone.recv().unwrap());
        let (tell, told) = channel();
        CREW.hire().unwrap().give(move || tell.send(()).unwrap());
        told.recv_timeout(Duration::from_secs(20)).unwrap();
        go.send(()).unwrap();
        wait_for(&CREW, 2);
    }

    #[test]
    fn a_panic_ends_the_work_and_not_the_thread() {
        static CREW: Crew = Crew::new();
        CREW.hire().unwrap().give(|| panic!("as it should"));
        wait_for(&CREW, 1);
    }

    #[test]
    fn few_rest_and_not_for_long() {
        static CREW: Crew = Crew::new();
        let (tell, told) = channel();
        let hands: Vec<_> = (0..2 * MOST_RESTING).map(|_| CREW.hire().unwrap()).collect();
        for hand in hands {
            // Told when the thread ends, which drops what it holds for itself.
            let tell = Ended(tell.clone());
            hand.give(move || ENDED.set(Some(tell)));
        }
        for _ in 0..2 * MOST_RESTING {
            told.recv_timeout(Duration::from_secs(20)).unwrap();
            assert!(CREW.resting().len() <= MOST_RESTING);
        }
        assert_eq!(CREW.resting().len(), 0);
    }

    struct Ended(Sender<()>);

    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    thread_local! {
        static ENDED: std::cell::Cell<Option<Ended>> = const { std::cell::Cell::new(None) };
    }
}
