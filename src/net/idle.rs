//! A set of values that wait for an event on their descriptors, in one epoll(7).
//!
//! ```text
//! insert(value) ─▶ its descriptors in the epoll ─▶ an event ─▶ wait() returns the value
//! ```

use super::sys::Epoll;
use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A value with the two descriptors on which its events occur.
pub(crate) trait Descriptors {
    /// The descriptors; the same ones on each call.
    fn descriptors(&self) -> [BorrowedFd<'_>; 2];
}

/// A set of values that wait for an event.
#[derive(Debug)]
pub(crate) struct IdleSet<T> {
    epoll: Epoll,
    /// `None` once closed.
    entries: Mutex<Option<Entries<T>>>,
}

#[derive(Debug)]
struct Entries<T> {
    values: HashMap<u64, T>,
    last_key: u64,
}

impl<T: Descriptors> IdleSet<T> {
    /// Creates an empty set. Input on `stop` ends every [`IdleSet::wait`] too.
    ///
    /// # Errors
    /// If no descriptor is left.
    pub(crate) fn new(stop: BorrowedFd<'_>) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        if Epoll::IS_SUPPORTED {
            epoll.add(stop, STOP_KEY)?;
        }
        Ok(Self { epoll, entries: Mutex::new(Some(Entries { values: HashMap::new(), last_key: STOP_KEY })) })
    }

    /// Inserts `value`. Returns it if that is impossible: the set is closed, or the system lacks memory or epoll(7).
    pub(crate) fn insert(&self, value: T) -> Option<T> {
        let mut lock = self.lock();
        let Some(Entries { values, last_key }) = &mut *lock else { return Some(value) };
        *last_key = last_key.wrapping_add(1);
        let added = value.descriptors().into_iter().try_for_each(|fd| self.epoll.add(fd, *last_key));
        if added.is_err() {
            self.remove_descriptors(&value);
            return Some(value);
        }
        // An event after `add` finds the value: `take` waits for this lock.
        values.insert(*last_key, value);
        None
    }

    /// Waits for events, at most for `timeout`. Returns the values that have one; they are no longer in the set.
    pub(crate) fn wait(&self, timeout: Duration) -> Vec<T> {
        self.epoll.wait(timeout).into_iter().filter_map(|key| self.take(key)).collect()
    }

    fn take(&self, key: u64) -> Option<T> {
        let value = self.lock().as_mut()?.values.remove(&key)?;
        self.remove_descriptors(&value);
        Some(value)
    }

    /// Closes the set; returns all values.
    pub(crate) fn close(&self) -> Vec<T> {
        self.lock().take().map(|entries| entries.values.into_values().collect()).unwrap_or_default()
    }

    fn remove_descriptors(&self, value: &T) {
        for fd in value.descriptors() {
            self.epoll.remove(fd);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Entries<T>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key of the stop. Values have other keys.
const STOP_KEY: u64 = 0;

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::io::{PipeReader, Write};
    use std::os::fd::AsFd;

    impl Descriptors for (PipeReader, PipeReader) {
        fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
            [self.0.as_fd(), self.1.as_fd()]
        }
    }

    #[test]
    fn returns_values_with_an_event() {
        let (stop, _stop_writer) = io::pipe().unwrap();
        let set = IdleSet::new(stop.as_fd()).unwrap();
        let (short, long) = (Duration::from_millis(1), Duration::from_secs(20));
        let ((one, _one_writer), (other, mut writer)) = (io::pipe().unwrap(), io::pipe().unwrap());
        assert!(set.insert((one, other)).is_none());
        assert!(set.wait(short).is_empty());
        writer.write_all(b"x").unwrap();
        let value = set.wait(long).pop().unwrap();
        assert!(set.wait(short).is_empty(), "it is removed");
        assert!(set.insert(value).is_none());
        assert_eq!(set.close().len(), 1);
        let (reader, _writer) = io::pipe().unwrap();
        let copy = reader.try_clone().unwrap();
        assert!(set.insert((reader, copy)).is_some(), "it is closed");
    }

    #[test]
    fn the_stop_ends_a_wait() {
        let (stop, stop_writer) = io::pipe().unwrap();
        let set: IdleSet<(PipeReader, PipeReader)> = IdleSet::new(stop.as_fd()).unwrap();
        drop(stop_writer);
        assert!(set.wait(Duration::from_secs(3600)).is_empty());
    }
}
