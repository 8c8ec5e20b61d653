//! The way to connect to origins and upstream proxies: the system's resolver and sockets, or functions of the embedder.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;

/// Connects to origins and upstream proxies. The default uses the system's resolver and sockets.
///
/// Functions run on threads of the capture, several at the same time. A resolver has 15 s, a connector 30 s. After that, or at the
/// stop, their result is ignored, but the thread is in use until they return.
#[derive(Clone, Default)]
pub struct Connector(pub(crate) Kind);

#[derive(Clone, Default)]
pub(crate) enum Kind {
    #[default]
    System,
    Resolver(Arc<ResolveFunction>),
    Connector(Arc<ConnectFunction>),
    Namespace(Arc<NamespaceFunction>),
}

/// Begins a connection inside a namespace.
pub(crate) type NamespaceFunction = dyn Fn(SocketAddr) -> io::Result<TcpStream> + Send + Sync;
type ResolveFunction = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;
pub(crate) type ConnectFunction = dyn Fn(&str, u16) -> io::Result<TcpStream> + Send + Sync;

impl Connector {
    /// A connector that resolves names with `resolve`, and connects with the system's sockets. Addresses are not resolved.
    /// Several addresses are tried as in RFC 8305. `localhost` and names below it need no answer: they are this machine.
    pub fn with_resolver(resolve: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        Self(Kind::Resolver(Arc::new(resolve)))
    }

    /// A connector that connects with `connect`, which gets a name or an address without brackets, and a port. No name is resolved
    /// otherwise. The socket is made non-blocking. A connection that leads to the proxy itself is closed.
    pub fn with_connect(connect: impl Fn(&str, u16) -> io::Result<TcpStream> + Send + Sync + 'static) -> Self {
        Self(Kind::Connector(Arc::new(connect)))
    }

    /// A connector for clients in a network namespace of their own. A connection to an address is first attempted with `connect`, which
    /// reaches the servers of that namespace. If it fails, or returns an error, the system's sockets are used, as they are for names.
    ///
    /// `connect` returns a non-blocking socket on which connect(2) was called, and an error for the capture's own listeners. Since
    /// addresses belong to a namespace, the capture does not look for connections that lead to itself.
    pub fn with_namespace(connect: impl Fn(SocketAddr) -> io::Result<TcpStream> + Send + Sync + 'static) -> Self {
        Self(Kind::Namespace(Arc::new(connect)))
    }
}

impl Kind {
    /// Resolves a name and port.
    pub(crate) fn look_up(&self, (name, port): &(String, u16)) -> io::Result<Vec<SocketAddr>> {
        match self {
            Self::System | Self::Namespace(_) => (name.as_str(), *port).to_socket_addrs().map(Iterator::collect),
            Self::Resolver(resolve) => Ok(resolve(name)?.into_iter().map(|ip| SocketAddr::new(ip, *port)).collect()),
            Self::Connector(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::System => "Connector",
            Kind::Resolver(_) => "Connector with a resolver",
            Kind::Connector(_) => "Connector with a function",
            Kind::Namespace(_) => "Connector with a namespace",
        })
    }
}
