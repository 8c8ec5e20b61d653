//! The stop of a capture: a pipe that every waiting thread polls and that carries no data. Closing its write end wakes
//! all of them at once.

use super::tick::Ticker;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Mutex, PoisonError};

/// An event that is set once. Its descriptor is readable from then on.
#[derive(Debug)]
pub(crate) struct Stop {
    reader: PipeReader,
    /// `None` once set.
    writer: Mutex<Option<PipeWriter>>,
    ticker: Ticker,
}

impl Stop {
    /// Creates an event that is not set.
    ///
    /// # Errors
    /// If no descriptors are left.
    pub(crate) fn new() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        Ok(Self { reader, writer: Mutex::new(Some(writer)), ticker: Ticker::new()? })
    }

    /// Sets the event: wakes all threads that wait for it or for a tick.
    pub(crate) fn set(&self) {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Last: a thread that this wakes must find the event set.
        self.ticker.close();
    }

    /// True once [`Stop::set`] was called.
    pub(crate) fn is_set(&self) -> bool {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// The descriptor that is readable from the next tick on, or once the event is set.
    pub(crate) fn next_tick(&self) -> BorrowedFd<'_> {
        self.ticker.next()
    }

    /// Wakes the threads that wait for a tick. Must be called by one thread only.
    pub(crate) fn tick(&self) {
        self.ticker.tick();
    }
}

/// Detects, in a loop that waits for events, that nothing happened for a whole tick.
#[derive(Debug)]
pub(crate) struct Activity {
    /// True if an event occurred since the last tick.
    is_busy: bool,
    /// True if a whole tick passed without an event, and no event occurred since.
    is_idle: bool,
}

impl Activity {
    /// The state at the start of a loop, which counts as an event.
    pub(crate) fn new() -> Self {
        Self { is_busy: true, is_idle: false }
    }

    /// The descriptor to wait for, beside events: the next tick, or once idle only the stop.
    pub(crate) fn tick<'s>(&self, stop: &'s Stop) -> BorrowedFd<'s> {
        if self.is_idle { stop.as_fd() } else { stop.next_tick() }
    }

    /// True while ticks are not waited for.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// Notes the result of a wait. Returns true if it shows that a whole tick passed without an event.
    pub(crate) fn note(&mut self, is_tick: bool, is_event: bool) -> bool {
        self.is_busy |= is_event;
        self.is_idle &= !is_event;
        if is_tick && !std::mem::take(&mut self.is_busy) {
            self.is_idle = true;
            return true;
        }
        false
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
    fn is_idle_after_a_tick_without_an_event() {
        let stop = Stop::new().unwrap();
        let mut activity = Activity::new();
        for (is_tick, is_event, is_idle) in [
            (true, false, false),
            (false, true, false),
            (true, false, false),
            (true, false, true),
            (false, true, false),
            (true, true, false),
            (true, false, true),
        ] {
            assert_eq!(activity.note(is_tick, is_event), is_idle && is_tick);
            assert_eq!(activity.is_idle(), is_idle);
            assert!(!is_readable(activity.tick(&stop)));
        }
        stop.tick();
        assert!(!is_readable(activity.tick(&stop)), "ticks are not waited for");
        stop.set();
        assert!(is_readable(activity.tick(&stop)));
    }

    #[test]
    fn wakes_those_that_wait_for_it_and_those_that_wait_for_a_tick() {
        let stop = Stop::new().unwrap();
        stop.tick();
        let waiting = stop.next_tick();
        assert!(!is_readable(waiting) && !is_readable(stop.as_fd()) && !stop.is_set());
        stop.set();
        assert!(is_readable(waiting) && is_readable(stop.as_fd()) && stop.is_set());
    }
}
