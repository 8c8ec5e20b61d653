//! Connections to origins, directly or through an upstream proxy. All of them are made here: for a tunnel, for a plain request,
//! and again for a passthrough after a failed handshake.
//!
//! ```text
//!                              ┌─▶ origin                             no proxy applies
//! connect        ─▶ dialer ────┴─▶ proxy ─▶ dialogue ─▶ origin        CONNECT or SOCKS5; the socket is then a tunnel
//! connect_plain  ─▶ as above, but an HTTP proxy gets the request in absolute form (`forwarding`)
//! ```
//!
//! `proxy_dialogue.rs` leads the dialogue, `wire/upstream` knows its bytes. Names of origins behind a proxy are not resolved
//! here.

use super::dial::{DialError, Dialed, Dialer};
use super::leg::Leg;
use super::proxy_dialogue;
use super::resources::Resources;
use super::stop::Stop;
use super::sys;
use crate::connector::Kind;
use crate::record::origin::ConnectTiming;
use crate::wire::authority::{Authority, Host};
use crate::wire::upstream::proxy::{UpstreamProxies, UpstreamProxy};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// Connects to the origins of one capture.
pub(crate) struct Upstream {
    proxies: UpstreamProxies,
    dialer: Dialer,
    resources: Arc<Resources>,
}

/// A connection to an origin.
pub(crate) struct Connected {
    pub(crate) leg: Leg,
    pub(crate) timing: ConnectTiming,
}

impl Upstream {
    /// Connects through `proxies` and with `connector`, on behalf of the proxy that listens on these addresses. Proxies that are that one itself are removed.
    pub(crate) fn new(
        mut proxies: UpstreamProxies,
        connector: Kind,
        listen: Vec<SocketAddr>,
        resources: &Arc<Resources>,
        stop: &Stop,
    ) -> Self {
        let dialer = Dialer::new(listen, resources.threads.clone(), connector);
        for proxy in [&mut proxies.https, &mut proxies.http] {
            proxy.take_if(|proxy| dialer.leads_here(proxy.authority(), stop));
        }
        Self { proxies, dialer, resources: Arc::clone(resources) }
    }

    /// The proxies in use.
    pub(crate) fn proxies(&self) -> &UpstreamProxies {
        &self.proxies
    }

    /// Connects to the origin `authority`, through a tunnel if a proxy applies.
    ///
    /// # Errors
    /// If there is no connection, or if it would lead to this proxy itself.
    pub(crate) fn connect(&self, authority: &Authority, stop: &Stop) -> Result<Connected, DialError> {
        self.connected(self.dial(authority, self.proxies.for_tunnel(authority), stop)?)
    }

    /// Connects for plain requests to the origin `authority`. With a [`forwarding`](Self::forwarding) proxy, the peer is that proxy.
    ///
    /// # Errors
    /// As [`Upstream::connect`].
    pub(crate) fn connect_plain(&self, authority: &Authority, stop: &Stop) -> Result<Connected, DialError> {
        let dialed = match self.forwarding(authority) {
            Some(proxy) => {
                self.check_not_ourselves(authority, stop)?;
                proxy_dialogue::dial(proxy, None, &self.dialer, stop)?
            }
            None => self.dial(authority, self.proxies.for_plain_request(authority), stop)?,
        };
        self.connected(dialed)
    }

    /// The HTTP proxy that forwards plain requests to the origin `authority`: it gets them in absolute form. Common set-ups of Squid
    /// refuse a tunnel to port 80.
    pub(crate) fn forwarding(&self, authority: &Authority) -> Option<&UpstreamProxy> {
        self.proxies.for_plain_request(authority).filter(|proxy| proxy.is_http())
    }

    /// True if requests to the origin `authority` can be forwarded one by one although there is no tunnel, because of `why`.
    pub(crate) fn may_forward_instead(&self, authority: &Authority, why: &DialError) -> bool {
        let is_forbidden = matches!(why, DialError::Upstream { forbids_tunnel: true, .. });
        is_forbidden && authority.port == HTTP_PORT && self.forwarding(authority).is_some()
    }

    fn dial(&self, authority: &Authority, proxy: Option<&UpstreamProxy>, stop: &Stop) -> Result<Dialed, DialError> {
        if let Some(dialed) = self.dialer.dial_inside(authority, stop) {
            return Ok(dialed);
        }
        match proxy {
            Some(proxy) => {
                self.check_not_ourselves(authority, stop)?;
                proxy_dialogue::dial(proxy, Some(authority), &self.dialer, stop)
            }
            None => self.dialer.dial(authority, stop),
        }
    }

    /// Fails if `authority` is this proxy's own address. A name is not resolved, because the upstream proxy does that.
    fn check_not_ourselves(&self, authority: &Authority, stop: &Stop) -> Result<(), DialError> {
        let is_name = matches!(authority.host, Host::Name(_));
        if !is_name && self.dialer.leads_here(authority, stop) { Err(DialError::Ourselves) } else { Ok(()) }
    }

    fn connected(&self, Dialed { own_address, socket, dns_ms, connect_ms }: Dialed) -> Result<Connected, DialError> {
        let leg = Leg::to_origin(socket, own_address, &self.resources).map_err(DialError::Connect)?;
        Ok(Connected { leg, timing: ConnectTiming { dns_ms, connect_ms, tls_ms: 0.0 } })
    }

    /// True if a plain request for `authority`, in any spelling, is for this proxy itself. A name that an upstream proxy would
    /// resolve is not.
    pub(crate) fn leads_here(&self, authority: &Authority, stop: &Stop) -> bool {
        let is_resolved_here =
            !matches!(authority.host, Host::Name(_)) || self.proxies.for_plain_request(authority).is_none();
        is_resolved_here && self.dialer.leads_here(authority, stop)
    }

    /// True if `authority`, which a client addressed when it connected to this proxy, is the address of this proxy.
    pub(crate) fn is_addressed(&self, authority: &Authority, stop: &Stop) -> bool {
        self.dialer.leads_here(authority, stop)
    }

    /// The address that a client connected to before a firewall of this machine redirected it; `None` if the client
    /// connected to this proxy.
    pub(crate) fn original_destination(&self, client: &TcpStream) -> Option<SocketAddr> {
        sys::original_destination(client).filter(|addr| !self.dialer.is_ourselves(*addr))
    }

    /// True if `client` is a connection of this proxy to an origin, which a firewall redirected to it.
    pub(crate) fn is_own_connection(&self, client: &TcpStream) -> bool {
        self.dialer.is_own_socket(client)
    }

    /// True if only programs on this machine can reach this proxy.
    pub(crate) fn listens_on_loopback(&self) -> bool {
        self.dialer.listens_on_loopback()
    }
}

/// The port to which common set-ups of Squid refuse a tunnel, and at which a client is expected to send plain requests.
const HTTP_PORT: u16 = 80;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    fn authority(target: &str) -> Authority {
        Authority::from_connect_target(target.as_bytes()).unwrap()
    }

    fn upstream(proxy: SocketAddr, listen: SocketAddr) -> Upstream {
        let proxies = UpstreamProxies::all(UpstreamProxy::parse(&format!("http://{proxy}")).unwrap());
        Upstream::new(proxies, Kind::System, vec![listen], &Arc::default(), &Stop::new().unwrap())
    }

    /// Starts a proxy that accepts one tunnel.
    fn proxy() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        });
        addr
    }

    #[test]
    fn a_proxy_serves_any_origin_but_this_proxy() {
        let stop = Stop::new().unwrap();
        let listen = ([192, 0, 2, 1], 8080).into();
        let upstream = upstream(proxy(), listen);
        let ourselves = upstream.connect(&authority("192.0.2.1:8080"), &stop);
        assert!(matches!(ourselves, Err(DialError::Ourselves)));
        let ourselves = upstream.connect_plain(&authority("192.0.2.1:8080"), &stop);
        assert!(matches!(ourselves, Err(DialError::Ourselves)));
        assert!(upstream.leads_here(&authority("192.0.2.1:8080"), &stop));
        // This name would take long to resolve.
        assert!(!upstream.leads_here(&authority("origin.invalid:8080"), &stop));
        let connected = upstream.connect(&authority("origin.invalid:443"), &stop).unwrap();
        assert_eq!(connected.timing.dns_ms.total_cmp(&0.0), std::cmp::Ordering::Equal);
    }

    #[test]
    fn a_proxy_that_is_this_proxy_itself_is_ignored() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = listener.local_addr().unwrap();
        assert_eq!(*upstream(listen, listen).proxies(), UpstreamProxies::default());
        let mut all: SocketAddr = listen;
        all.set_ip([0, 0, 0, 0].into());
        assert_eq!(*upstream(all, listen).proxies(), UpstreamProxies::default());
        let other = ([127, 0, 0, 1], listen.port() ^ 1).into();
        assert!(upstream(other, listen).proxies().https.is_some());
    }
}
