//! poll(2): waits for a few descriptors.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// The events to wait for on one descriptor, or those that occurred.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Interest {
    pub read: bool,
    pub write: bool,
}

impl Interest {
    /// Input, or its end.
    pub(crate) const READ: Self = Self { read: true, write: false };
    /// Room for output.
    pub(crate) const WRITE: Self = Self { read: false, write: true };
}

/// Waits until one of the descriptors is ready or `timeout` expires; returns what each is ready for.
///
/// A descriptor with an empty interest is not polled: poll(2) always reports hang-ups, and the caller's loop would
/// spin. Hang-ups and errors count as the events waited for, so that the next read or write returns them. A signal ends
/// the wait early with nothing ready.
///
/// # Errors
/// The errors of poll(2), such as ENOMEM.
pub(crate) fn wait<const N: usize>(
    wanted: [(BorrowedFd<'_>, Interest); N],
    timeout: Option<Duration>,
) -> io::Result<[Interest; N]> {
    // A descriptor that is not polled is replaced by another one without events. A shorter list would need an
    // allocation.
    let first = wanted.iter().find(|(_, interest)| *interest != Interest::default());
    let mut all = wanted.map(|(fd, interest)| {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLIN, interest.read);
        flags.set(PollFlags::POLLOUT, interest.write);
        PollFd::new(first.filter(|_| flags.is_empty()).map_or(fd, |(first, _)| *first), flags)
    });
    let fds: &mut [PollFd<'_>] = if first.is_some() { &mut all } else { &mut [] };
    let timeout = match timeout {
        None => PollTimeout::NONE,
        Some(timeout) => rounded_up(timeout),
    };
    match poll(fds, timeout) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok([Interest::default(); N]),
        Err(e) => return Err(e.into()),
    }
    let mut polled = fds.iter();
    Ok(wanted.map(|(_, interest)| {
        let seen = polled.next().and_then(PollFd::revents).unwrap_or(PollFlags::empty());
        let ended = seen.intersects(PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL);
        Interest {
            read: interest.read && (ended || seen.contains(PollFlags::POLLIN)),
            write: interest.write && (ended || seen.contains(PollFlags::POLLOUT)),
        }
    }))
}

/// Waits until `input` is readable, one of `outputs` is writable, or `timeout` expires; returns which are.
///
/// # Errors
/// The errors of poll(2), such as ENOMEM.
pub(crate) fn wait_for_writable(
    input: BorrowedFd<'_>,
    outputs: &[BorrowedFd<'_>],
    timeout: Duration,
) -> io::Result<(bool, Vec<bool>)> {
    let mut fds = vec![PollFd::new(input, PollFlags::POLLIN)];
    fds.extend(outputs.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLOUT)));
    match poll(&mut fds, rounded_up(timeout)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(e) => return Err(e.into()),
    }
    let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(false));
    Ok((ready.next().unwrap_or(false), ready.collect()))
}

/// `timeout` in whole milliseconds, rounded up. Rounded down, a wait would end early and be repeated without a pause.
fn rounded_up(timeout: Duration) -> PollTimeout {
    PollTimeout::try_from(timeout.saturating_add(Duration::from_micros(999))).unwrap_or(PollTimeout::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Moment;
    use std::os::fd::AsFd;

    #[test]
    fn a_hang_up_without_an_interest_is_not_reported() {
        let (reader, writer) = io::pipe().unwrap();
        drop(writer);
        let nothing = Interest::default();
        let short = Some(Duration::from_millis(1));
        assert_eq!(wait([(reader.as_fd(), nothing)], short).unwrap(), [nothing]);
        let (other, _writer) = io::pipe().unwrap();
        let began = Moment::now();
        for wanted in [[nothing, Interest::READ], [Interest::READ, nothing]] {
            let fds = if wanted[0] == nothing { [&reader, &other] } else { [&other, &reader] };
            let both = [(fds[0].as_fd(), wanted[0]), (fds[1].as_fd(), wanted[1])];
            assert_eq!(wait(both, short).unwrap(), [nothing, nothing]);
        }
        assert!(Moment::now().since(began) >= Duration::from_millis(2), "it waits");
        assert_eq!(wait([(reader.as_fd(), Interest::READ)], None).unwrap(), [Interest::READ]);
    }
}
