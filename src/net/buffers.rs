//! What sockets are read into: lent for one read, so that there are as many buffers as threads that read at the same moment,
//! however many connections idle. A thread may be held up with its buffer in hand, by a slow disk for one: where many are, the
//! next ones are small.
//!
//! ```text
//! rack  │ 0 │ 1 │ 2 │ … │ 15 │      each thread looks in its own place first, then in the others'; if all are lent, it gets
//!         ▲ lent: locked            a small one that nobody keeps
//! ```
//!
//! To lend is to lock a place that hardly anybody else looks at: a place that all share is in another processor's cache each time.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, TryLockError};

/// A buffer, given back when it is dropped. What it holds at first is anything.
pub(crate) enum Lent {
    Racked(MutexGuard<'static, Vec<u8>>),
    Unracked(Vec<u8>),
}

/// Lends a buffer of [`SIZE`] bytes, or of [`SMALL`] while many are lent.
pub(crate) fn lend() -> Lent {
    let own = OWN_PLACE.with(|place| place % MANY);
    let (before, from_own) = RACK.split_at(own);
    let free = from_own.iter().chain(before).find_map(|place| match place.try_lock() {
        Ok(buffer) => Some(buffer),
        // Somebody panicked over it; what it holds is anything in any case.
        Err(TryLockError::Poisoned(e)) => Some(e.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    });
    match free {
        Some(mut buffer) => {
            if buffer.is_empty() {
                // Not resized, which would touch all of it: most reads are small.
                *buffer = vec![0; SIZE];
            }
            Lent::Racked(buffer)
        }
        None => Lent::Unracked(vec![0; SMALL]),
    }
}

/// A buffer with room for as much again as what is to be in it already.
pub(crate) fn larger(held: usize) -> Lent {
    Lent::Unracked(vec![0; held.saturating_add(held.max(SMALL))])
}

impl Deref for Lent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Racked(buffer) => buffer,
            Self::Unracked(buffer) => buffer,
        }
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Racked(buffer) => buffer,
            Self::Unracked(buffer) => buffer,
        }
    }
}

/// Each has its buffer from its first use on.
static RACK: [Mutex<Vec<u8>>; MANY] = [const { Mutex::new(Vec::new()) }; MANY];

/// How many threads have a place of their own, which some of them share.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static OWN_PLACE: usize = THREADS.fetch_add(1, Relaxed);
}

/// From here on larger reads no longer save CPU time.
const SIZE: usize = 128 << 10;
/// One record of TLS.
const SMALL: usize = 16 << 10;
/// More threads than this read at the same moment only on large machines, or where something holds them up.
const MANY: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use std::time::Duration;

    #[test]
    fn what_is_lent_belongs_to_one() {
        let (mut one, mut other) = (lend(), lend());
        one.fill(1);
        other.fill(2);
        assert!(one.iter().all(|&byte| byte == 1) && other.iter().all(|&byte| byte == 2));
    }

    #[test]
    fn who_panics_with_a_buffer_in_hand_gives_it_back() {
        for _ in 0..3 * MANY {
            let panicked = std::thread::spawn(|| {
                let _lent = lend();
                panic!("with a buffer in hand");
            });
            assert!(panicked.join().is_err());
        }
        // Other tests have all of them for moments.
        let began = Moment::now();
        while lend().len() < SIZE {
            assert!(Moment::now().since(began) < Duration::from_secs(10), "none comes back");
            std::thread::yield_now();
        }
    }

    #[test]
    fn where_many_are_lent_the_next_are_small() {
        let lent: Vec<_> = (0..2 * MANY).map(|_| lend()).collect();
        assert!(lent.iter().filter(|buffer| buffer.len() == SIZE).count() <= MANY);
        assert!(lent.iter().all(|buffer| [SMALL, SIZE].contains(&buffer.len())));
    }
}
