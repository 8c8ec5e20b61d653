//! What is owed to sockets that have not taken it yet, and the bound on all of it together.
//!
//! ```text
//! all outboxes     little ──────────────▶ each may owe HIGH_WATER before its source is read again
//!                  past PLENTY ─────────▶ a source is read when nothing is owed, and little at a time
//! ```
//!
//! One slow peer may have what makes its transfer smooth; a thousand slow peers must not have a thousand times as much.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes on their way out.
#[derive(Default)]
pub(crate) struct Outbox {
    bytes: Vec<u8>,
    /// How many at the front have left.
    sent: usize,
}

/// How much a leg may owe and its source still be read.
pub(crate) fn high_water() -> usize {
    if is_plenty() { 1 } else { HIGH_WATER }
}

/// How much to read from a source at once.
pub(crate) fn most_at_once() -> usize {
    if is_plenty() { LITTLE } else { usize::MAX }
}

/// So many bytes more are owed that are in no outbox.
pub(crate) fn hold(n: usize) {
    HELD.fetch_add(n, Relaxed);
}

/// So many of those have left.
pub(crate) fn release(n: usize) {
    HELD.fetch_sub(n, Relaxed);
}

fn is_plenty() -> bool {
    HELD.load(Relaxed) > PLENTY
}

impl Outbox {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// How much it keeps room for.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    pub(crate) fn push(&mut self, more: &[u8]) {
        let had = self.bytes.capacity();
        self.bytes.extend_from_slice(more);
        HELD.fetch_add(self.bytes.capacity() - had, Relaxed);
    }

    /// The first `n` bytes have left.
    pub(crate) fn consume(&mut self, n: usize) {
        self.sent = (self.sent + n).min(self.bytes.len());
        if !self.is_empty() {
            return;
        }
        if is_plenty() {
            *self = Self::default();
        } else {
            self.bytes.clear();
            self.sent = 0;
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        HELD.fetch_sub(self.bytes.capacity(), Relaxed);
    }
}

impl Write for Outbox {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The capacities of all outboxes together, and what is in pipes.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// Some tens of peers may be slow at the same time and not notice each other.
const PLENTY: usize = 4 << 20;
/// A leg that owes this much is not given more.
const HIGH_WATER: usize = 256 << 10;
/// A record of TLS.
const LITTLE: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_all_hold_bounds_what_each_may() {
        // Other tests hold little, and for moments.
        let mut slow: Vec<Outbox> = Vec::new();
        while high_water() == HIGH_WATER {
            let mut outbox = Outbox::default();
            outbox.push(&[0; HIGH_WATER]);
            slow.push(outbox);
            assert!(slow.len() <= PLENTY / HIGH_WATER + 1);
        }
        assert!(slow.len() > PLENTY / HIGH_WATER / 2);
        assert_eq!(most_at_once(), LITTLE);
        let mut last = slow.pop().unwrap();
        slow.push(Outbox::default());
        last.consume(HIGH_WATER);
        assert_eq!(last.bytes.capacity(), 0, "while all hold much, an empty one gives back what it has");
        drop(slow);
        assert_eq!((high_water(), most_at_once()), (HIGH_WATER, usize::MAX));
    }
}
