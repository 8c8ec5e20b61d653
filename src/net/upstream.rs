//! Connections to origins. All of them are made here: for a tunnel, for a plain request, and again for a passthrough
//! after a failed handshake.
//!
//! An upstream proxy (HTTP or SOCKS), a fixed address, or a connector of an embedding program is one more
//! implementation of [`Connector`], in a file of its own. `proxy.rs` selects it when it creates the [`Upstream`] of a
//! capture.

use super::dial::{DialError, Dialed, Dialer};
use super::leg::Leg;
use super::resources::Resources;
use super::stop::Stop;
use super::sys;
use crate::record::origin::ConnectTiming;
use crate::wire::authority::Authority;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// Connects sockets to origins. Called once per connection.
pub(crate) trait Connector: Send + Sync {
    /// Returns a socket whose peer is the origin `authority`, or relays to it. `dialer` connects to any address except
    /// this proxy's own.
    ///
    /// # Errors
    /// If there is no connection; [`DialError::Stopped`] once `stop` is set.
    fn connect(&self, authority: &Authority, dialer: &Dialer, stop: &Stop) -> Result<Dialed, DialError>;
}

/// Connects to the origin itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Direct;

impl Connector for Direct {
    fn connect(&self, authority: &Authority, dialer: &Dialer, stop: &Stop) -> Result<Dialed, DialError> {
        dialer.dial(authority, stop)
    }
}

/// Connects to the origins of one capture.
pub(crate) struct Upstream {
    connector: Box<dyn Connector>,
    dialer: Dialer,
    resources: Arc<Resources>,
}

/// A connection to an origin.
pub(crate) struct Connected {
    pub(crate) leg: Leg,
    pub(crate) timing: ConnectTiming,
}

impl Upstream {
    /// Connects with `connector`, on behalf of the proxy that listens on `listen`.
    pub(crate) fn new(connector: Box<dyn Connector>, listen: SocketAddr, resources: &Arc<Resources>) -> Self {
        let dialer = Dialer::new(listen, resources.threads.clone());
        Self { connector, dialer, resources: Arc::clone(resources) }
    }

    /// Connects to the origin `authority`.
    ///
    /// # Errors
    /// If there is no connection, or if it would lead to this proxy itself.
    pub(crate) fn connect(&self, authority: &Authority, stop: &Stop) -> Result<Connected, DialError> {
        let Dialed { own_address, socket, dns_ms, connect_ms } =
            self.connector.connect(authority, &self.dialer, stop)?;
        let leg = Leg::to_origin(socket, own_address, &self.resources).map_err(DialError::Connect)?;
        Ok(Connected { leg, timing: ConnectTiming { dns_ms, connect_ms, tls_ms: 0.0 } })
    }

    /// True if `authority`, in any spelling, is the address of this proxy.
    pub(crate) fn leads_here(&self, authority: &Authority, stop: &Stop) -> bool {
        self.dialer.leads_here(authority, stop)
    }

    /// The address that a client connected to before a firewall of this machine redirected it; `None` if the client
    /// connected to this proxy.
    pub(crate) fn original_destination(&self, client: &TcpStream) -> Option<SocketAddr> {
        sys::original_destination(client).filter(|addr| !self.dialer.is_ourselves(*addr))
    }

    /// True if `client` is a connection of this proxy to an origin, which a firewall redirected to it.
    pub(crate) fn is_own_connection(&self, client: &TcpStream) -> bool {
        client.peer_addr().is_ok_and(|peer| self.dialer.own_sockets().contains(peer))
    }

    /// True if only programs on this machine can reach this proxy.
    pub(crate) fn listens_on_loopback(&self) -> bool {
        self.dialer.listens_on_loopback()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::authority::Host;
    use std::net::TcpListener;

    /// Connects to one address, whatever the origin is.
    struct Fixed(Authority);

    impl Connector for Fixed {
        fn connect(&self, _: &Authority, dialer: &Dialer, stop: &Stop) -> Result<Dialed, DialError> {
            dialer.dial(&self.0, stop)
        }
    }

    #[test]
    fn another_connector_serves_any_origin_but_never_leads_to_this_proxy() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let fixed = || Box::new(Fixed(Authority { host: Host::V4([127, 0, 0, 1].into()), port: addr.port() }));
        let origin = Authority { host: Host::Name("origin.invalid".into()), port: 443 };
        let stop = Stop::new().unwrap();
        let connected = Upstream::new(fixed(), ([127, 0, 0, 1], 1).into(), &Arc::default()).connect(&origin, &stop);
        assert!(connected.is_ok());
        let ourselves = Upstream::new(fixed(), addr, &Arc::default()).connect(&origin, &stop);
        assert!(matches!(ourselves, Err(DialError::Ourselves)));
    }
}
