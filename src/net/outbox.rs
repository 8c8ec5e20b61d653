//! What is owed to sockets that have not taken it yet, and the bound on all of it together.
//!
//! ```text
//! all outboxes     little ──────────────▶ each may owe HIGH_WATER before its source is read again
//!                  past PLENTY ─────────▶ a source is read when nothing is owed, and little at a time
//! ```
//!
//! One slow peer may have what makes its transfer smooth; a thousand slow peers must not have a thousand times as much.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes on their way out.
#[derive(Default)]
pub(crate) struct Outbox {
    /// What is on its way is a part of it; the rest is anything.
    bytes: Vec<u8>,
    /// Where that part begins: so many at the front have left.
    sent: usize,
    /// Where it ends.
    end: usize,
}

/// What came of putting something into the room that there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It took so many bytes.
    Done(usize),
    /// It takes so many, and nothing was put.
    Needs(usize),
    /// It cannot be put anywhere.
    Never,
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
        self.end.saturating_sub(self.sent)
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
        self.bytes.get(self.sent..self.end).unwrap_or_default()
    }

    pub(crate) fn push(&mut self, more: &[u8]) {
        self.append(&mut |room| match room.get_mut(..more.len()) {
            Some(room) => {
                room.copy_from_slice(more);
                Put::Done(more.len())
            }
            None => Put::Needs(more.len()),
        });
    }

    /// Has `put` append something: it is given the room that there is, and more if it needs that. False if it could not.
    pub(crate) fn append(&mut self, put: &mut dyn FnMut(&mut [u8]) -> Put) -> bool {
        let mut did = put(self.bytes.get_mut(self.end..).unwrap_or_default());
        if let Put::Needs(room) = did {
            let had = self.bytes.capacity();
            self.bytes.resize(self.end.saturating_add(room), 0);
            HELD.fetch_add(self.bytes.capacity() - had, Relaxed);
            did = put(self.bytes.get_mut(self.end..).unwrap_or_default());
        }
        let Put::Done(n) = did else { return false };
        self.end = self.end.saturating_add(n).min(self.bytes.len());
        true
    }

    /// The first `n` bytes have left.
    pub(crate) fn consume(&mut self, n: usize) {
        self.sent = self.sent.saturating_add(n).min(self.end);
        if !self.is_empty() {
            return;
        }
        if is_plenty() {
            *self = Self::default();
        } else {
            (self.sent, self.end) = (0, 0);
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        HELD.fetch_sub(self.bytes.capacity(), Relaxed);
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
