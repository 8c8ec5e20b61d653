//! What `std` lacks of POSIX: poll(2), epoll(7), splice(2), room in a pipe, a connect that does not wait, reset on close,
//! keepalive, the limit of descriptors. The one file that names `nix`.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, connect, listen, setsockopt, socket, sockopt,
};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// What is waited for on one descriptor.
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

/// Waits until one of the descriptors is ready for what is wanted of it, or `timeout` is over; says which are.
///
/// A descriptor of which nothing is wanted is left out: poll(2) reports a hang-up unasked, and the loop around it would
/// spin. Hang-ups and errors count as whatever was wanted, so that the next read or write meets them. A signal ends the
/// wait early with nothing ready.
///
/// # Errors
/// Only what poll(2) itself says, such as ENOMEM.
pub(crate) fn wait<const N: usize>(
    wanted: [(BorrowedFd<'_>, Interest); N],
    timeout: Option<Duration>,
) -> io::Result<[Interest; N]> {
    // In the place of one that is left out stands another's: no heap is needed for a list that is shorter.
    let first = wanted.iter().find(|(_, interest)| *interest != Interest::default());
    let mut all = wanted.map(|(fd, interest)| {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLIN, interest.read);
        flags.set(PollFlags::POLLOUT, interest.write);
        PollFd::new(first.filter(|_| flags.is_empty()).map_or(fd, |(first, _)| *first), flags)
    });
    let fds: &mut [PollFd<'_>] = if first.is_some() { &mut all } else { &mut [] };
    // Rounded up: a wait that ends a moment early would be repeated with nothing left to wait.
    let timeout = match timeout {
        None => PollTimeout::NONE,
        Some(t) => PollTimeout::try_from(t.saturating_add(Duration::from_micros(999))).unwrap_or(PollTimeout::MAX),
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

/// Like [`wait`] for any number of descriptors, of which room for output is wanted; the first of `wanted` is the exception:
/// of it, input is. Says whether that one is ready, and which of the others.
pub(crate) fn wait_for_writable(
    input: BorrowedFd<'_>,
    outputs: &[BorrowedFd<'_>],
    timeout: Duration,
) -> io::Result<(bool, Vec<bool>)> {
    let mut fds = vec![PollFd::new(input, PollFlags::POLLIN)];
    fds.extend(outputs.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLOUT)));
    let timeout = PollTimeout::try_from(timeout.saturating_add(Duration::from_micros(999))).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(e) => return Err(e.into()),
    }
    let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(false));
    Ok((ready.next().unwrap_or(false), ready.collect()))
}

/// A non-blocking socket that has begun to connect to `addr`: writable once that is decided, then `take_error` says how.
///
/// # Errors
/// If the connection is refused at once, or no descriptor is left.
pub(crate) fn begin_connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let family = if addr.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let fd = own_socket(family)?;
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(addr)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(TcpStream::from(fd)),
        Err(e) => Err(e.into()),
    }
}

/// A socket that does not wait, and that no program which we start inherits.
#[cfg(target_os = "linux")]
fn own_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    Ok(socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?)
}

/// The same where it cannot be asked for at once. What `std` duplicates is not inherited.
#[cfg(not(target_os = "linux"))]
fn own_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let stream = TcpStream::from(socket(family, SockType::Stream, SockFlag::empty(), None)?.try_clone()?);
    stream.set_nonblocking(true)?;
    Ok(stream.into())
}

/// Many descriptors that are waited for at once, at a cost that does not grow with them. Linux alone has it.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(crate) struct Many(nix::sys::epoll::Epoll);

#[cfg(target_os = "linux")]
impl Many {
    /// Whether anything can be added.
    pub(crate) const IS_THERE: bool = true;

    /// # Errors
    /// If no descriptor is left.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(nix::sys::epoll::Epoll::new(nix::sys::epoll::EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    /// From now on input on `fd`, or its end, is reported as `key`, again and again until it is removed.
    ///
    /// # Errors
    /// If the system has no room for more.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, key: u64) -> io::Result<()> {
        use nix::sys::epoll::{EpollEvent, EpollFlags};
        Ok(self.0.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, key))?)
    }

    /// Reports `fd` no more.
    pub(crate) fn remove(&self, fd: BorrowedFd<'_>) {
        // Fails only where it was not added.
        let _ = self.0.delete(fd);
    }

    /// Waits until something can be reported or `timeout` is over; the keys of what is ready, some of them perhaps twice.
    pub(crate) fn wait(&self, timeout: Duration) -> Vec<u64> {
        use nix::sys::epoll::{EpollEvent, EpollTimeout};
        let mut ready = [EpollEvent::empty(); 64];
        let timeout = EpollTimeout::try_from(timeout.saturating_add(Duration::from_micros(999)));
        // Only a signal can interrupt it, which counts as nothing.
        let n = self.0.wait(&mut ready, timeout.unwrap_or(EpollTimeout::MAX)).unwrap_or(0);
        ready.iter().take(n).map(EpollEvent::data).collect()
    }
}

/// Where it is not to be had, nothing can be added.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(crate) struct Many;

#[cfg(not(target_os = "linux"))]
impl Many {
    pub(crate) const IS_THERE: bool = false;

    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub(crate) fn add(&self, _: BorrowedFd<'_>, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn remove(&self, _: BorrowedFd<'_>) {}

    pub(crate) fn wait(&self, timeout: Duration) -> Vec<u64> {
        std::thread::sleep(timeout);
        Vec::new()
    }
}

/// Moves up to `most` bytes from one descriptor to another, one of which is a pipe, without waiting for either.
///
/// # Errors
/// Like those of a read or a write; [`io::ErrorKind::Unsupported`] where there is no splice(2).
#[cfg(target_os = "linux")]
pub(crate) fn splice(from: impl AsFd, to: impl AsFd, most: usize) -> io::Result<usize> {
    use nix::fcntl::{SpliceFFlags, splice};
    Ok(splice(from, None, to, None, most, SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK)?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn splice(_: impl AsFd, _: impl AsFd, _: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Asks for room for so many bytes in a pipe. Whether it was given.
#[cfg(target_os = "linux")]
pub(crate) fn widen(pipe: impl AsFd, bytes: i32) -> bool {
    nix::fcntl::fcntl(pipe, nix::fcntl::FcntlArg::F_SETPIPE_SZ(bytes)).is_ok()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn widen(_: impl AsFd, _: i32) -> bool {
    false
}

/// Lets as many clients wait for `listener` as the system allows. Past the 128 that `std` asks for, a client's first packet is
/// dropped, and it tries again a second later.
pub(crate) fn queue_many(listener: &TcpListener) {
    // If it is refused, the queue stays as it is.
    let _ = listen(listener, Backlog::MAXCONN);
}

/// Whether this process, or the machine, has no descriptor left to give.
pub(crate) fn is_out_of_descriptors(e: &io::Error) -> bool {
    e.raw_os_error().is_some_and(|code| [Errno::EMFILE, Errno::ENFILE].contains(&Errno::from_raw(code)))
}

/// How many descriptors this process may have open.
pub(crate) fn most_descriptors() -> usize {
    // Where there is no limit to be learned, running into it tells.
    getrlimit(Resource::RLIMIT_NOFILE).map_or(usize::MAX, |(soft, _)| usize::try_from(soft).unwrap_or(usize::MAX))
}

/// How many descriptors this process has open; 0 where the system does not say.
pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/dev/fd").map_or(0, Iterator::count)
}

/// Has the kernel find out about peers that are gone without a word, since no deadline of ours would: a long poll may be
/// silent for hours and be well.
pub(crate) fn keep_alive(stream: &TcpStream) {
    // Best effort: without it the connection works, but may outlive its peer.
    let _ = setsockopt(stream, sockopt::KeepAlive, &true);
    #[cfg(target_os = "linux")]
    {
        let _ = setsockopt(stream, sockopt::TcpKeepIdle, &KEEPALIVE_IDLE_SECONDS);
        let _ = setsockopt(stream, sockopt::TcpKeepInterval, &KEEPALIVE_INTERVAL_SECONDS);
    }
}

/// Has the next close of `stream` send RST instead of FIN.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    // If it fails, the close says FIN: the peer still learns of the end.
    let _ = setsockopt(stream, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 });
}

/// A peer that is gone is noticed after 60 + 9 x 15 seconds.
#[cfg(target_os = "linux")]
const KEEPALIVE_IDLE_SECONDS: u32 = 60;
#[cfg(target_os = "linux")]
const KEEPALIVE_INTERVAL_SECONDS: u32 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hang_up_of_which_nothing_is_wanted_is_not_reported() {
        let (reader, writer) = io::pipe().unwrap();
        drop(writer);
        let nothing = Interest::default();
        let short = Some(Duration::from_millis(1));
        assert_eq!(wait([(reader.as_fd(), nothing)], short).unwrap(), [nothing]);
        let (other, _writer) = io::pipe().unwrap();
        let began = crate::clock::Moment::now();
        for wanted in [[nothing, Interest::READ], [Interest::READ, nothing]] {
            let fds = if wanted[0] == nothing { [&reader, &other] } else { [&other, &reader] };
            let both = [(fds[0].as_fd(), wanted[0]), (fds[1].as_fd(), wanted[1])];
            assert_eq!(wait(both, short).unwrap(), [nothing, nothing]);
        }
        assert!(crate::clock::Moment::now().since(began) >= Duration::from_millis(2), "it waits");
        assert_eq!(wait([(reader.as_fd(), Interest::READ)], None).unwrap(), [Interest::READ]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn of_many_those_that_are_ready_are_reported_until_they_are_removed() {
        use std::io::Write;
        let many = Many::new().unwrap();
        let pipes: Vec<_> = (0..3).map(|_| io::pipe().unwrap()).collect();
        for ((reader, _), key) in pipes.iter().zip(0..) {
            many.add(reader.as_fd(), key).unwrap();
        }
        assert!(many.add(pipes[0].0.as_fd(), 7).is_err(), "it is there already");
        let short = Duration::from_millis(1);
        assert!(many.wait(short).is_empty());
        (&pipes[1].1).write_all(b"x").unwrap();
        for _ in 0..2 {
            assert_eq!(many.wait(Duration::from_secs(20)), [1]);
        }
        many.remove(pipes[1].0.as_fd());
        assert!(many.wait(short).is_empty());
        let [first, _, _] = <[_; 3]>::try_from(pipes).unwrap();
        drop(first.1);
        assert_eq!(many.wait(Duration::from_secs(20)), [0], "an end is something");
    }

    #[test]
    fn a_dead_peer_is_looked_for() {
        use nix::sys::socket::getsockopt;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(!getsockopt(&stream, sockopt::KeepAlive).unwrap());
        keep_alive(&stream);
        assert!(getsockopt(&stream, sockopt::KeepAlive).unwrap());
        #[cfg(target_os = "linux")]
        {
            assert_eq!(getsockopt(&stream, sockopt::TcpKeepIdle).unwrap(), KEEPALIVE_IDLE_SECONDS);
            assert_eq!(getsockopt(&stream, sockopt::TcpKeepInterval).unwrap(), KEEPALIVE_INTERVAL_SECONDS);
        }
    }

    #[test]
    fn a_connect_is_decided_when_the_socket_is_writable() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = begin_connect(listener.local_addr().unwrap()).unwrap();
        let ready = wait([(stream.as_fd(), Interest::WRITE)], Some(Duration::from_secs(10))).unwrap();
        assert_eq!(ready, [Interest::WRITE]);
        assert!(stream.take_error().unwrap().is_none());
    }
}
