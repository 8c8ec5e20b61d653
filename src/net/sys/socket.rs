//! Options and calls for TCP sockets.

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, connect, listen, setsockopt, socket, sockopt,
};
#[cfg(target_os = "linux")]
use nix::sys::socket::{MsgFlags, send};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

/// Starts a connection to `addr` on a non-blocking socket. When the socket is writable, `take_error` has the result.
///
/// # Errors
/// If the connection is refused at once, or no descriptor is left.
pub(crate) fn begin_connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let family = if addr.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let fd = stream_socket(family)?;
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(addr)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(TcpStream::from(fd)),
        Err(e) => Err(e.into()),
    }
}

/// A non-blocking stream socket that child processes do not inherit.
#[cfg(target_os = "linux")]
fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    Ok(socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?)
}

/// A non-blocking stream socket that child processes do not inherit. Without socket flags it is duplicated: `std` sets
/// close-on-exec on duplicates.
#[cfg(not(target_os = "linux"))]
fn stream_socket(family: AddressFamily) -> io::Result<OwnedFd> {
    let stream = TcpStream::from(socket(family, SockType::Stream, SockFlag::empty(), None)?.try_clone()?);
    stream.set_nonblocking(true)?;
    Ok(stream.into())
}

/// Raises the backlog of `listener` to the system's maximum. Beyond the 128 that `std` sets, a client's SYN is dropped,
/// and the client repeats it a second later.
pub(crate) fn maximize_backlog(listener: &TcpListener) {
    // If this fails the backlog is unchanged.
    let _ = listen(listener, Backlog::MAXCONN);
}

/// Enables TCP keepalive, so that the kernel detects dead peers. No timeout of ours could: a long poll may be silent
/// for hours.
pub(crate) fn enable_keepalive(stream: &TcpStream) {
    // Best effort: without it the connection works, but may outlive its peer.
    let _ = setsockopt(stream, sockopt::KeepAlive, &true);
    #[cfg(target_os = "linux")]
    {
        let _ = setsockopt(stream, sockopt::TcpKeepIdle, &KEEPALIVE_IDLE_SECONDS);
        let _ = setsockopt(stream, sockopt::TcpKeepInterval, &KEEPALIVE_INTERVAL_SECONDS);
    }
}

/// Writes to `stream` before more data or FIN follows: the kernel may wait for it, and send them together.
#[cfg(target_os = "linux")]
pub(crate) fn send_more(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::from_bits_retain(nix::libc::MSG_MORE);
    Ok(send(stream.as_raw_fd(), bytes, flags)?)
}

/// Writes to `stream`: other systems cannot wait for more.
#[cfg(not(target_os = "linux"))]
pub(crate) fn send_more(mut stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    io::Write::write(&mut stream, bytes)
}

/// Makes the next close of `stream` send RST instead of FIN.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    // If this fails the close sends FIN: the peer still sees an end.
    let _ = setsockopt(stream, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 });
}

/// With the default of 9 probes, a dead peer is detected after 60 + 9 x 15 seconds.
#[cfg(target_os = "linux")]
const KEEPALIVE_IDLE_SECONDS: u32 = 60;
#[cfg(target_os = "linux")]
const KEEPALIVE_INTERVAL_SECONDS: u32 = 15;

#[cfg(test)]
mod tests {
    use super::super::{Interest, wait};
    use super::*;
    use std::os::fd::AsFd;
    use std::time::Duration;

    #[test]
    fn keepalive_is_enabled() {
        use nix::sys::socket::getsockopt;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(!getsockopt(&stream, sockopt::KeepAlive).unwrap());
        enable_keepalive(&stream);
        assert!(getsockopt(&stream, sockopt::KeepAlive).unwrap());
        #[cfg(target_os = "linux")]
        {
            assert_eq!(getsockopt(&stream, sockopt::TcpKeepIdle).unwrap(), KEEPALIVE_IDLE_SECONDS);
            assert_eq!(getsockopt(&stream, sockopt::TcpKeepInterval).unwrap(), KEEPALIVE_INTERVAL_SECONDS);
        }
    }

    #[test]
    fn a_connect_is_complete_when_the_socket_is_writable() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = begin_connect(listener.local_addr().unwrap()).unwrap();
        let ready = wait([(stream.as_fd(), Interest::WRITE)], Some(Duration::from_secs(10))).unwrap();
        assert_eq!(ready, [Interest::WRITE]);
        assert!(stream.take_error().unwrap().is_none());
    }
}
