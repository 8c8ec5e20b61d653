//! The local addresses of the sockets that connect to origins. A client with one of these addresses is this proxy itself:
//! a firewall redirects its connections back to it.
//!
//! ```text
//! client ─▶ proxy ─▶ firewall ─┐       each turn would take two more descriptors
//!             ▲                │
//!             └────────────────┘
//! ```

use super::sys;
use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// The addresses of the open sockets. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnSockets(Arc<Mutex<HashSet<SocketAddr>>>);

impl OwnSockets {
    /// Starts a connection to `addr` ([`sys::begin_connect`]).
    ///
    /// # Errors
    /// If the connection is refused at once, or no descriptor is left.
    pub(crate) fn begin_connect(&self, addr: SocketAddr) -> io::Result<(TcpStream, OwnAddress)> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: the connection may be accepted here before this call returns.
        let socket = sys::begin_connect(addr)?;
        let own = canonical(socket.local_addr()?);
        all.insert(own);
        Ok((socket, OwnAddress { own, sockets: self.clone() }))
    }

    /// Adds a connected socket.
    ///
    /// # Errors
    /// If its address cannot be read.
    pub(crate) fn add(&self, socket: &TcpStream) -> io::Result<OwnAddress> {
        let own = canonical(socket.local_addr()?);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(own);
        Ok(OwnAddress { own, sockets: self.clone() })
    }

    /// True if `peer` is the address of one of the sockets.
    pub(crate) fn contains(&self, peer: SocketAddr) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&canonical(peer))
    }
}

/// The address of an open socket. To be dropped before the socket: afterwards, another program may get its port.
#[derive(Debug)]
pub(crate) struct OwnAddress {
    own: SocketAddr,
    sockets: OwnSockets,
}

impl Drop for OwnAddress {
    fn drop(&mut self) {
        self.sockets.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.own);
    }
}

/// An IPv6 listener shows IPv4 peers as mapped addresses.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn an_address_is_known_until_its_socket_closes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sockets = OwnSockets::default();
        let (socket, address) = sockets.begin_connect(listener.local_addr().unwrap()).unwrap();
        let peer = listener.accept().unwrap().1;
        assert!(sockets.contains(peer));
        let SocketAddr::V4(v4) = peer else { panic!("{peer}") };
        assert!(sockets.contains((v4.ip().to_ipv6_mapped(), v4.port()).into()));
        drop(address);
        assert!(!sockets.contains(peer));
        drop(socket);
    }
}
