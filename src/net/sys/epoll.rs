//! epoll(7): waits for many descriptors, at a cost that does not grow with their number. Linux only.

use super::poll::Interest;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// A set of descriptors to wait for, each with a key.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(crate) struct Epoll(nix::sys::epoll::Epoll);

#[cfg(target_os = "linux")]
impl Epoll {
    /// True if this system has epoll(7): otherwise nothing can be added.
    pub(crate) const IS_SUPPORTED: bool = true;

    /// Creates an empty set.
    ///
    /// # Errors
    /// If no descriptor is left.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(nix::sys::epoll::Epoll::new(nix::sys::epoll::EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    /// Reports the events of `interest` on `fd` as `key` from each wait until `fd` is removed. An empty interest adds
    /// nothing: epoll(7) always reports hang-ups.
    ///
    /// # Errors
    /// If `fd` was added before, or the system has no room for more.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, interest: Interest, key: u64) -> io::Result<()> {
        use nix::sys::epoll::{EpollEvent, EpollFlags};
        let mut flags = EpollFlags::empty();
        flags.set(EpollFlags::EPOLLIN, interest.read);
        flags.set(EpollFlags::EPOLLOUT, interest.write);
        if flags.is_empty() {
            return Ok(());
        }
        Ok(self.0.add(fd, EpollEvent::new(flags, key))?)
    }

    /// Removes `fd`.
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) {
        // Fails only if it was not added.
        let _ = self.0.delete(fd);
    }

    /// Waits until a descriptor is ready or `timeout` expires. Returns the keys of those that are ready; a key may
    /// occur twice.
    pub(crate) fn wait(&self, timeout: Duration) -> Vec<u64> {
        use nix::sys::epoll::{EpollEvent, EpollTimeout};
        let mut ready = [EpollEvent::empty(); 64];
        // Rounded up to whole milliseconds, as for poll(2).
        let timeout = EpollTimeout::try_from(timeout.saturating_add(Duration::from_micros(999)));
        // The only possible error is an interruption by a signal.
        let n = self.0.wait(&mut ready, timeout.unwrap_or(EpollTimeout::MAX)).unwrap_or(0);
        ready.iter().take(n).map(EpollEvent::data).collect()
    }
}

/// A set to which nothing can be added: this system has no epoll(7).
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(crate) struct Epoll;

#[cfg(not(target_os = "linux"))]
impl Epoll {
    pub(crate) const IS_SUPPORTED: bool = false;

    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn add(&self, _: BorrowedFd<'_>, _: Interest, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn remove(&self, _: BorrowedFd<'_>) {}

    pub(crate) fn wait(&self, timeout: Duration) -> Vec<u64> {
        std::thread::sleep(timeout);
        Vec::new()
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;

    #[test]
    fn ready_descriptors_are_reported_until_they_are_removed() {
        let epoll = Epoll::new().unwrap();
        let pipes: Vec<_> = (0..3).map(|_| io::pipe().unwrap()).collect();
        for ((reader, _), key) in pipes.iter().zip(0..) {
            epoll.add(reader.as_fd(), Interest::READ, key).unwrap();
        }
        assert!(epoll.add(pipes[0].0.as_fd(), Interest::READ, 7).is_err(), "it was added before");
        let short = Duration::from_millis(1);
        assert!(epoll.wait(short).is_empty());
        (&pipes[1].1).write_all(b"x").unwrap();
        for _ in 0..2 {
            assert_eq!(epoll.wait(Duration::from_secs(20)), [1]);
        }
        epoll.remove(pipes[1].0.as_fd());
        assert!(epoll.wait(short).is_empty());
        let [first, _, _] = <[_; 3]>::try_from(pipes).unwrap();
        drop(first.1);
        assert_eq!(epoll.wait(Duration::from_secs(20)), [0], "the end of input is reported");
    }

    #[test]
    fn only_the_events_of_the_interest_are_reported() {
        let epoll = Epoll::new().unwrap();
        let (ended, writer) = io::pipe().unwrap();
        drop(writer);
        epoll.add(ended.as_fd(), Interest::default(), 1).unwrap();
        assert!(epoll.wait(Duration::from_millis(1)).is_empty(), "a hang-up without an interest is not reported");
        let (_reader, writer) = io::pipe().unwrap();
        epoll.add(writer.as_fd(), Interest::WRITE, 2).unwrap();
        assert_eq!(epoll.wait(Duration::from_secs(20)), [2]);
    }
}
