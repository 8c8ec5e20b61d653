//! The sockets on which a proxy listens, and their addresses.

use super::sys::maximize_backlog;
use crate::error::Error;
use std::net::{SocketAddr, TcpListener};

/// The addresses on which a proxy listens.
#[derive(Clone, Debug)]
pub(crate) struct ListenAddrs {
    pub(crate) first: SocketAddr,
    /// All of them, the first included.
    pub(crate) all: Vec<SocketAddr>,
}

/// Listening sockets, and the address of each.
pub(crate) struct Listening {
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) addrs: ListenAddrs,
}

impl ListenAddrs {
    /// Returns `None` if there is no address.
    pub(crate) fn new(all: Vec<SocketAddr>) -> Option<Self> {
        Some(Self { first: *all.first()?, all })
    }
}

impl Listening {
    /// Binds `addr`.
    pub(crate) fn bind(addr: SocketAddr) -> Result<Self, Error> {
        let listen_error = |cause| Error::Listen { addr, cause };
        let listener = TcpListener::bind(addr).map_err(listen_error)?;
        let addr = listener.local_addr().map_err(listen_error)?;
        Self::new(vec![listener], ListenAddrs { first: addr, all: vec![addr] })
    }

    /// Prepares the sockets `listeners`, which listen on `addrs`.
    pub(crate) fn new(listeners: Vec<TcpListener>, addrs: ListenAddrs) -> Result<Self, Error> {
        for (listener, &addr) in listeners.iter().zip(&addrs.all) {
            listener.set_nonblocking(true).map_err(|cause| Error::Listen { addr, cause })?;
            maximize_backlog(listener);
        }
        Ok(Self { listeners, addrs })
    }
}
