//! A periodic tick that wakes waiting threads, so that no wait needs a timeout of its own: a timeout costs each wait a
//! kernel timer.
//!
//! Two pipes take turns. Waiters of the next tick poll the pipe that is empty now:
//!
//! ```text
//! ticks    0         1         2         3
//! even ────╿▔▔▔▔▔▔▔▔▔╽─────────╿▔▔▔▔▔▔▔▔▔╽──   readable from one tick to the next
//! odd  ──────────────╿▔▔▔▔▔▔▔▔▔╽─────────╿▔▔
//! ```

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// Wakes all threads that wait for the next tick.
#[derive(Debug)]
pub(crate) struct Ticker {
    even: PipeReader,
    odd: PipeReader,
    /// `None` once closed.
    writers: Mutex<Option<Writers>>,
    /// The number of ticks so far.
    ticks: AtomicUsize,
}

#[derive(Debug)]
struct Writers {
    even: PipeWriter,
    odd: PipeWriter,
}

impl Ticker {
    /// Creates the two pipes.
    ///
    /// # Errors
    /// If no descriptors are left.
    pub(crate) fn new() -> io::Result<Self> {
        let ((even, to_even), (odd, to_odd)) = (io::pipe()?, io::pipe()?);
        let writers = Mutex::new(Some(Writers { even: to_even, odd: to_odd }));
        Ok(Self { even, odd, writers, ticks: AtomicUsize::new(0) })
    }

    /// The descriptor that is readable from the next tick on, or once the ticker is closed.
    pub(crate) fn next(&self) -> BorrowedFd<'_> {
        self.reader(self.ticks.load(Relaxed)).as_fd()
    }

    /// Wakes the waiters of this tick. Must be called by one thread only.
    pub(crate) fn tick(&self) {
        let writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Writers { even, odd }) = &*writers else { return };
        let now = self.ticks.load(Relaxed);
        if let Some(before) = now.checked_sub(1) {
            // Removes the byte of the previous tick. It is there: only this function reads.
            let _ = self.reader(before).read(&mut [0]);
        }
        // Counted before the write: from here on, new waiters poll the other pipe.
        self.ticks.store(now.wrapping_add(1), Relaxed);
        let mut writer = if now.is_multiple_of(2) { even } else { odd };
        // An empty pipe takes one byte.
        let _ = writer.write(&[0]);
    }

    /// Wakes all waiters, now and later.
    pub(crate) fn close(&self) {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// The pipe that receives the byte of tick number `tick`.
    fn reader(&self, tick: usize) -> &PipeReader {
        if tick.is_multiple_of(2) { &self.even } else { &self.odd }
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
    fn a_waiter_is_woken_by_the_next_tick() {
        let ticker = Ticker::new().unwrap();
        for _ in 0..5 {
            let waiting = ticker.next();
            assert!(!is_readable(waiting));
            ticker.tick();
            assert!(is_readable(waiting));
        }
        // A thread that missed a tick is woken by the one after the next.
        let late = ticker.next();
        ticker.tick();
        ticker.tick();
        assert!(!is_readable(late));
        ticker.tick();
        assert!(is_readable(late));
    }

    #[test]
    fn closing_wakes_waiters_for_good() {
        let ticker = Ticker::new().unwrap();
        for _ in 0..2 {
            ticker.tick();
        }
        let waiting = ticker.next();
        assert!(!is_readable(waiting));
        ticker.close();
        assert!(is_readable(waiting));
        // A tick has no effect any more.
        ticker.tick();
        assert!(is_readable(ticker.next()));
    }
}
