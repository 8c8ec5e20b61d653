//! How every waiting thread learns that the capture stops: a pipe that all poll and nobody writes to. Closing its other end
//! wakes them all at once.
//!
//! Two more pipes tell them now and then that time has passed, so that no wait needs a deadline of its own, which costs it a
//! timer:
//!
//! ```text
//! ticks    0         1         2         3
//! even ────╿▔▔▔▔▔▔▔▔▔╽─────────╿▔▔▔▔▔▔▔▔▔╽──   readable from one tick to the next:
//! odd  ──────────────╿▔▔▔▔▔▔▔▔▔╽─────────╿▔▔   who wait for a tick wait on the other
//! ```

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Readable once [`Stop::now`] was called, and for good.
#[derive(Debug)]
pub(crate) struct Stop {
    reader: PipeReader,
    even: PipeReader,
    odd: PipeReader,
    /// `None` once the capture stops.
    writers: Mutex<Option<Writers>>,
    /// How many ticks there were.
    ticks: AtomicUsize,
}

#[derive(Debug)]
struct Writers {
    _stop: PipeWriter,
    even: PipeWriter,
    odd: PipeWriter,
}

impl Stop {
    /// # Errors
    /// If no descriptors are left.
    pub(crate) fn new() -> io::Result<Self> {
        let ((reader, stop), (even, to_even), (odd, to_odd)) = (io::pipe()?, io::pipe()?, io::pipe()?);
        let writers = Mutex::new(Some(Writers { _stop: stop, even: to_even, odd: to_odd }));
        Ok(Self { reader, even, odd, writers, ticks: AtomicUsize::new(0) })
    }

    /// Wakes everyone.
    pub(crate) fn now(&self) {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Whether [`Stop::now`] was called.
    pub(crate) fn is_now(&self) -> bool {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Readable at the next tick, or once the capture stops.
    pub(crate) fn next_tick(&self) -> BorrowedFd<'_> {
        self.side(self.ticks.load(Relaxed)).as_fd()
    }

    /// Wakes those who wait for a tick. For one thread to call.
    pub(crate) fn tick(&self) {
        let writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Writers { even, odd, .. }) = &*writers else { return };
        let now = self.ticks.load(Relaxed);
        if let Some(before) = now.checked_sub(1) {
            // The byte of the tick before, which is there: nobody else reads.
            let _ = self.side(before).read(&mut [0]);
        }
        // First of all nobody waits any more for what is about to be.
        self.ticks.store(now.wrapping_add(1), Relaxed);
        let mut side = if now.is_multiple_of(2) { even } else { odd };
        // A pipe takes one byte.
        let _ = side.write(&[0]);
    }

    fn side(&self, tick: usize) -> &PipeReader {
        if tick.is_multiple_of(2) { &self.even } else { &self.odd }
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::sys::{self, Interest};
    use std::time::Duration;

    fn is_readable(fd: BorrowedFd<'_>) -> bool {
        sys::wait([(fd, Interest::READ)], Some(Duration::ZERO)).unwrap() == [Interest::READ]
    }

    #[test]
    fn who_waits_for_a_tick_is_woken_by_the_next_one() {
        let stop = Stop::new().unwrap();
        for _ in 0..5 {
            let waiting = stop.next_tick();
            assert!(!is_readable(waiting));
            stop.tick();
            assert!(is_readable(waiting));
            assert!(!is_readable(stop.as_fd()));
        }
        // Somebody who slept over a tick meets the one after.
        let late = stop.next_tick();
        stop.tick();
        stop.tick();
        assert!(!is_readable(late));
        stop.tick();
        assert!(is_readable(late));
    }

    #[test]
    fn the_stop_wakes_whoever_waits_for_a_tick() {
        let stop = Stop::new().unwrap();
        for _ in 0..2 {
            stop.tick();
        }
        let waiting = stop.next_tick();
        assert!(!is_readable(waiting) && !stop.is_now());
        stop.now();
        assert!(is_readable(waiting) && is_readable(stop.as_fd()) && stop.is_now());
        // There is nothing left to tick.
        stop.tick();
        assert!(is_readable(stop.next_tick()));
    }
}
