//! A set of values that wait for an event on their descriptors, or for their deadline, in one epoll(7).
//!
//! ```text
//! insert(value) ─▶ its descriptors in the epoll ─▶ an event, or its deadline ─▶ wait() returns the value
//! ```

use super::sys::{Epoll, Interest};
use crate::clock::Moment;
use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A value that waits for events on two descriptors.
pub(crate) trait Waiting {
    /// The descriptors, and the events to wait for. One with an empty interest is not waited for.
    fn interests(&self) -> [(BorrowedFd<'_>, Interest); 2];

    /// The time at which waiting ends without an event.
    fn deadline(&self) -> Option<Moment>;
}

/// A set of values that wait for an event.
#[derive(Debug)]
pub(crate) struct IdleSet<T> {
    epoll: Epoll,
    /// Deadlines are relative to this moment.
    created: Moment,
    /// `None` once closed.
    entries: Mutex<Option<Entries<T>>>,
}

#[derive(Debug)]
struct Entries<T> {
    values: HashMap<u64, Entry<T>>,
    /// The deadlines of the values that have one, with their keys. The earliest comes first.
    deadlines: BTreeSet<(Duration, u64)>,
    last_key: u64,
}

#[derive(Debug)]
struct Entry<T> {
    value: T,
    deadline: Option<Duration>,
}

impl<T: Waiting> IdleSet<T> {
    /// Creates an empty set. Input on `stop` ends every [`IdleSet::wait`] too.
    ///
    /// # Errors
    /// If no descriptor is left.
    pub(crate) fn new(stop: BorrowedFd<'_>) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        if Epoll::IS_SUPPORTED {
            epoll.add(stop, Interest::READ, STOP_KEY)?;
        }
        let entries = Entries { values: HashMap::new(), deadlines: BTreeSet::new(), last_key: STOP_KEY };
        Ok(Self { epoll, created: Moment::now(), entries: Mutex::new(Some(entries)) })
    }

    /// Inserts `value`. Returns it if that is impossible: the set is closed, or the system lacks memory or epoll(7).
    pub(crate) fn insert(&self, value: T) -> Option<T> {
        let mut lock = self.lock();
        let Some(Entries { values, deadlines, last_key }) = &mut *lock else { return Some(value) };
        *last_key = last_key.wrapping_add(1);
        let added =
            value.interests().into_iter().try_for_each(|(fd, interest)| self.epoll.add(fd, interest, *last_key));
        if added.is_err() {
            self.remove_descriptors(&value);
            return Some(value);
        }
        let deadline = value.deadline().map(|deadline| deadline.since(self.created));
        deadlines.extend(deadline.map(|deadline| (deadline, *last_key)));
        // An event after `add` finds the value: `take` waits for this lock.
        values.insert(*last_key, Entry { value, deadline });
        None
    }

    /// Waits for events and deadlines, at most for `timeout`. Returns the values that have one; they are no longer in the
    /// set.
    pub(crate) fn wait(&self, timeout: Duration) -> Vec<T> {
        let earliest = self.lock().as_ref().and_then(|entries| entries.deadlines.first().copied());
        let left = earliest.map(|(deadline, _)| deadline.saturating_sub(Moment::now().since(self.created)));
        let timeout = left.map_or(timeout, |left| left.min(timeout));
        let mut woken: Vec<_> = self.epoll.wait(timeout).into_iter().filter_map(|key| self.take(key)).collect();
        let now = Moment::now().since(self.created);
        woken.extend(std::iter::from_fn(|| self.take(self.expired(now)?)));
        woken
    }

    /// The key of a value whose deadline is not after `now`.
    fn expired(&self, now: Duration) -> Option<u64> {
        let (deadline, key) = *self.lock().as_ref()?.deadlines.first()?;
        (deadline <= now).then_some(key)
    }

    fn take(&self, key: u64) -> Option<T> {
        let mut lock = self.lock();
        let Entries { values, deadlines, .. } = lock.as_mut()?;
        let Entry { value, deadline } = values.remove(&key)?;
        if let Some(deadline) = deadline {
            deadlines.remove(&(deadline, key));
        }
        drop(lock);
        self.remove_descriptors(&value);
        Some(value)
    }

    /// Closes the set; returns all values.
    pub(crate) fn close(&self) -> Vec<T> {
        let entries = self.lock().take().map(|entries| entries.values);
        entries.into_iter().flat_map(HashMap::into_values).map(|entry| entry.value).collect()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().as_ref().map_or(0, |entries| entries.values.len())
    }

    /// Removes both descriptors, also one that was not added: interests may have changed since.
    fn remove_descriptors(&self, value: &T) {
        for (fd, _) in value.interests() {
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

    const SHORT: Duration = Duration::from_millis(1);
    const LONG: Duration = Duration::from_secs(20);

    struct Pipes {
        readers: [PipeReader; 2],
        interests: [Interest; 2],
        deadline: Option<Moment>,
    }

    impl Waiting for Pipes {
        fn interests(&self) -> [(BorrowedFd<'_>, Interest); 2] {
            let [(one, of_one), (other, of_other)] = [0, 1].map(|n| (&self.readers[n], self.interests[n]));
            [(one.as_fd(), of_one), (other.as_fd(), of_other)]
        }

        fn deadline(&self) -> Option<Moment> {
            self.deadline
        }
    }

    fn pipes() -> (Pipes, [io::PipeWriter; 2]) {
        let ((one, one_writer), (other, other_writer)) = (io::pipe().unwrap(), io::pipe().unwrap());
        let pipes = Pipes { readers: [one, other], interests: [Interest::READ; 2], deadline: None };
        (pipes, [one_writer, other_writer])
    }

    #[test]
    fn returns_values_with_an_event() {
        let (stop, _stop_writer) = io::pipe().unwrap();
        let set = IdleSet::new(stop.as_fd()).unwrap();
        let (value, [_writer, mut writer]) = pipes();
        assert!(set.insert(value).is_none());
        assert!(set.wait(SHORT).is_empty());
        writer.write_all(b"x").unwrap();
        let value = set.wait(LONG).pop().unwrap();
        assert!(set.wait(SHORT).is_empty(), "it is removed");
        assert!(set.insert(value).is_none());
        assert_eq!(set.close().len(), 1);
        assert!(set.insert(pipes().0).is_some(), "it is closed");
    }

    #[test]
    fn does_not_wait_for_a_descriptor_without_an_interest() {
        let (stop, _stop_writer) = io::pipe().unwrap();
        let set = IdleSet::new(stop.as_fd()).unwrap();
        let (mut value, [writer, other_writer]) = pipes();
        value.interests[0] = Interest::default();
        assert!(set.insert(value).is_none());
        drop(writer);
        assert!(set.wait(SHORT).is_empty(), "its hang-up is not reported");
        drop(other_writer);
        assert_eq!(set.wait(LONG).len(), 1);
    }

    #[test]
    fn removes_descriptors_whose_interest_has_changed() {
        let (stop, _stop_writer) = io::pipe().unwrap();
        let set = IdleSet::new(stop.as_fd()).unwrap();
        let (value, [_writer, mut writer]) = pipes();
        assert!(set.insert(value).is_none());
        if let Some(Entries { values, .. }) = &mut *set.lock() {
            values.values_mut().for_each(|entry| entry.value.interests = [Interest::default(); 2]);
        }
        writer.write_all(b"x").unwrap();
        let value = set.wait(LONG).pop().unwrap();
        assert!(set.insert(value).is_none());
        assert!(set.epoll.wait(SHORT).is_empty());
    }

    #[test]
    fn returns_values_at_their_deadlines() {
        let (stop, _stop_writer) = io::pipe().unwrap();
        let set = IdleSet::new(stop.as_fd()).unwrap();
        let now = Moment::now();
        let waiting: Vec<_> = [50, 10, 3_600_000]
            .map(|ms| {
                let (mut value, writers) = pipes();
                value.deadline = Some(now.plus(Duration::from_millis(ms)));
                assert!(set.insert(value).is_none());
                writers
            })
            .into();
        let mut returned = Vec::new();
        while returned.len() < 2 {
            returned.extend(set.wait(LONG));
        }
        let after: Vec<_> = returned.iter().map(|value| value.deadline.unwrap().since(now).as_millis()).collect();
        assert_eq!(after, [10, 50]);
        assert!(Moment::now().since(now).as_millis() >= 50);
        assert!(set.wait(SHORT).is_empty());
        // An event comes before the deadline, which is then forgotten.
        (&waiting[2][0]).write_all(b"x").unwrap();
        assert_eq!(set.wait(LONG).len(), 1);
        assert!(set.lock().as_ref().is_some_and(|entries| entries.deadlines.is_empty()));
    }

    #[test]
    fn the_stop_ends_a_wait() {
        let (stop, stop_writer) = io::pipe().unwrap();
        let set: IdleSet<Pipes> = IdleSet::new(stop.as_fd()).unwrap();
        drop(stop_writer);
        assert!(set.wait(Duration::from_secs(3600)).is_empty());
    }
}
