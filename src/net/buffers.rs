//! What sockets are read into: lent for one read, so that there are as many buffers as threads that read at the same moment,
//! however many connections idle.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// A buffer, given back when it is dropped. What it holds at first is anything.
pub(crate) struct Lent(Vec<u8>);

/// Lends a buffer of [`SIZE`] bytes.
pub(crate) fn lend() -> Lent {
    let spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    Lent(spare.unwrap_or_else(|| vec![0; SIZE]))
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < MOST_SPARE {
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

/// From here on larger reads no longer save CPU time.
const SIZE: usize = 128 << 10;
/// More threads than this read at the same moment on large machines only.
const MOST_SPARE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lent_belongs_to_one() {
        let (mut one, mut other) = (lend(), lend());
        one.fill(1);
        other.fill(2);
        assert!(one.iter().all(|&byte| byte == 1) && other.len() == SIZE);
    }
}
