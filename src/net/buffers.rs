//! What sockets are read into: lent for one read, so that there are as many buffers as threads that read at the same moment,
//! however many connections idle. A thread may be held up with its buffer in hand, by a slow disk for one: where many are, the
//! next ones are small.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// A buffer, given back when it is dropped. What it holds at first is anything.
pub(crate) struct Lent(Vec<u8>);

/// Lends a buffer of [`SIZE`] bytes, or of [`SMALL`] while many are lent.
pub(crate) fn lend() -> Lent {
    if LENT.fetch_add(1, Relaxed) >= MANY {
        return Lent(vec![0; SMALL]);
    }
    let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    Lent(spare.unwrap_or_else(|| vec![0; SIZE]))
}

/// A buffer with room for as much again as what is to be in it already.
pub(crate) fn larger(held: usize) -> Lent {
    LENT.fetch_add(1, Relaxed);
    Lent(vec![0; held.saturating_add(held.max(SMALL))])
}

impl Drop for Lent {
    fn drop(&mut self) {
        LENT.fetch_sub(1, Relaxed);
        if self.0.len() != SIZE {
            return;
        }
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < MANY {
            spare.push(std::mem::take(&mut self.0));
        }
    }
}

impl Deref for Lent {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// Last in, first out: the one that is in the processor's cache.
static SPARE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// How many are lent now.
static LENT: AtomicUsize = AtomicUsize::new(0);

/// From here on larger reads no longer save CPU time.
const SIZE: usize = 128 << 10;
/// One record of TLS.
const SMALL: usize = 16 << 10;
/// More threads than this read at the same moment only on large machines, or where something holds them up.
const MANY: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_belongs_to_one() {
        let (mut one, mut other) = (lend(), lend());
        one.fill(1);
        other.fill(2);
        assert!(one.iter().all(|&byte| byte == 1) && other.iter().all(|&byte| byte == 2));
    }

    #[test]
    fn where_many_are_lent_the_next_are_small() {
        // Other tests have some for moments.
        let lent: Vec<_> = (0..2 * MANY).map(|_| lend()).collect();
        assert!(lent.iter().filter(|buffer| buffer.len() == SIZE).count() <= MANY);
        assert_eq!(lent[2 * MANY - 1].len(), SMALL);
    }
}
