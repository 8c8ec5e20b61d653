//! Netlink sockets. The kernel handles a message before send(2) returns, and answers only errors and what was requested.

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};
use std::os::fd::{AsRawFd, OwnedFd};

/// A netlink socket of the namespace in which it was opened.
pub(super) struct Netlink(OwnedFd);

impl Netlink {
    pub(super) fn open(protocol: SockProtocol) -> Result<Self, Errno> {
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).map(Self)
    }

    /// Sends messages, and passes the body of each answer to `receive`.
    ///
    /// # Errors
    /// The first error in the answers.
    pub(super) fn send(&self, messages: &[u8], receive: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
        send(self.0.as_raw_fd(), messages, MsgFlags::empty())?;
        let mut buffer = vec![0; 32 << 10];
        loop {
            let received = match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                // Everything was answered.
                Err(Errno::EAGAIN) => return Ok(()),
                Err(Errno::EINTR) => continue,
                received => received?,
            };
            let mut rest = buffer.get(..received).unwrap_or_default();
            while let Some((&[l0, l1, l2, l3, k0, k1, ..], _)) = rest.split_first_chunk::<HEADER>() {
                let length = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
                let body = rest.get(HEADER..length).unwrap_or_default();
                match (u16::from_ne_bytes([k0, k1]), body.first_chunk()) {
                    (ERROR, Some(&error)) => match i32::from_ne_bytes(error) {
                        0 => {}
                        error => return Err(Errno::from_raw(error.wrapping_neg())),
                    },
                    (DONE, _) => return Ok(()),
                    _ => receive(body),
                }
                rest = rest.get(length.next_multiple_of(4).max(HEADER)..).unwrap_or_default();
            }
        }
    }
}

/// The length of a message's header.
const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
