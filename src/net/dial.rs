//! Connects to a host and port: resolves the name and connects a socket, each with a timeout.
//!
//! Several addresses are tried concurrently, each a quarter of a second after the previous one (RFC 8305), so that a
//! dead IPv6 route costs no more than that.

use super::own_sockets::{OwnAddress, OwnSockets};
use super::stop::Stop;
use super::sys;
use super::thread_pool::ThreadPool;
use crate::channel::channel;
use crate::clock::Moment;
use crate::connector::{ConnectFunction, Kind};
use crate::wire::authority::{Authority, Host};
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

/// Resolves names and connects sockets for one capture.
#[derive(Clone)]
pub(crate) struct Dialer {
    /// The address of this proxy, to which it must not connect.
    listen: Vec<SocketAddr>,
    /// The threads in which names are resolved.
    threads: ThreadPool,
    /// The sockets that it connects.
    own_sockets: OwnSockets,
    connector: Kind,
}

/// A connected socket, and the time it took in milliseconds.
#[derive(Debug)]
pub(crate) struct Dialed {
    pub(crate) own_address: OwnAddress,
    pub(crate) socket: TcpStream,
    pub(crate) dns_ms: f64,
    pub(crate) connect_ms: f64,
}

impl Dialer {
    /// Creates a dialer for the proxy that listens on these addresses.
    pub(crate) fn new(listen: Vec<SocketAddr>, threads: ThreadPool, connector: Kind) -> Self {
        Self { listen, threads, own_sockets: OwnSockets::default(), connector }
    }

    /// Connects to `authority`. If no descriptor is left, retries until the timeout.
    ///
    /// # Errors
    /// If there is no connection, or if it would lead to this proxy itself.
    pub(crate) fn dial(&self, authority: &Authority, stop: &Stop) -> Result<Dialed, DialError> {
        let deadline = Moment::now().plus(CONNECT_TIMEOUT);
        loop {
            match self.dial_once(authority, stop) {
                // The end of another connection frees descriptors; no event announces it.
                Err(DialError::Connect(e))
                    if sys::is_out_of_descriptors(&e) && !deadline.since(Moment::now()).is_zero() =>
                {
                    let _ = sys::wait([(stop.as_fd(), sys::Interest::READ)], Some(DESCRIPTOR_RETRY_INTERVAL));
                }
                dialed => return dialed,
            }
        }
    }

    fn dial_once(&self, authority: &Authority, stop: &Stop) -> Result<Dialed, DialError> {
        if let Kind::Connector(connect) = &self.connector {
            return self.connect_with(connect, authority, stop);
        }
        let began = Moment::now();
        let addrs = self.resolve(authority, stop)?;
        if addrs.iter().any(|addr| self.is_ourselves(*addr)) {
            return Err(DialError::Ourselves);
        }
        let resolved = Moment::now();
        let (socket, own_address) = connect(&addrs, &self.own_sockets, stop)?;
        let (dns_ms, connect_ms) = (resolved.ms_since(began), Moment::now().ms_since(resolved));
        Ok(Dialed { own_address, socket, dns_ms, connect_ms })
    }

    /// Connects to an address inside the clients' namespace, if there is one and it has a server there.
    pub(crate) fn dial_inside(&self, authority: &Authority, stop: &Stop) -> Option<Dialed> {
        let Kind::Namespace(begin) = &self.connector else { return None };
        let ip = match authority.host {
            Host::V4(ip) => IpAddr::V4(ip),
            Host::V6(ip) => IpAddr::V6(ip),
            Host::Name(_) => return None,
        };
        let began = Moment::now();
        let socket = begin(SocketAddr::new(ip, authority.port)).ok()?;
        let (_, ready) = sys::wait_for_writable(stop.as_fd(), &[socket.as_fd()], CONNECT_TIMEOUT).ok()?;
        let is_connected = ready == [true] && matches!(socket.take_error(), Ok(None));
        let own_address = is_connected.then(|| self.own_sockets.add(&socket).ok())??;
        Some(Dialed { own_address, socket, dns_ms: 0.0, connect_ms: Moment::now().ms_since(began) })
    }

    /// True if `client` is one of the sockets that it connects. Addresses of another namespace say nothing about that.
    pub(crate) fn is_own_socket(&self, client: &TcpStream) -> bool {
        !matches!(self.connector, Kind::Namespace(_))
            && client.peer_addr().is_ok_and(|peer| self.own_sockets.contains(peer))
    }

    /// True if `authority`, in any spelling, is the address of this proxy.
    pub(crate) fn leads_here(&self, authority: &Authority, stop: &Stop) -> bool {
        self.listen.iter().any(|own| own.port() == authority.port)
            && self.resolve(authority, stop).is_ok_and(|addrs| addrs.iter().any(|addr| self.is_ourselves(*addr)))
    }

    /// True if a connection to `addr` would arrive at this proxy. Listeners in a namespace cannot be reached from outside.
    pub(crate) fn is_ourselves(&self, addr: SocketAddr) -> bool {
        !matches!(self.connector, Kind::Namespace(_)) && self.listen.iter().any(|own| is_ourselves(addr, *own))
    }

    /// True if this proxy listens on loopback only.
    pub(crate) fn listens_on_loopback(&self) -> bool {
        self.listen.iter().all(|own| own.ip().to_canonical().is_loopback())
    }

    /// The addresses of an authority; never empty.
    fn resolve(&self, authority: &Authority, stop: &Stop) -> Result<Vec<SocketAddr>, DialError> {
        let target = match &authority.host {
            Host::V4(ip) => return Ok(vec![SocketAddr::new(IpAddr::V4(*ip), authority.port)]),
            Host::V6(ip) => return Ok(vec![SocketAddr::new(IpAddr::V6(*ip), authority.port)]),
            Host::Name(name) => (name.clone(), authority.port),
        };
        let connector = self.connector.clone();
        match self.run_interruptibly(RESOLVE_TIMEOUT, stop, move || connector.look_up(&target)) {
            Ok(answer) => addresses_of(authority, answer),
            Err(Interrupted::Stopped) => Err(DialError::Stopped),
            Err(Interrupted::TimedOut) => Err(DialError::Resolve(io::ErrorKind::TimedOut.into())),
            Err(Interrupted::Failed(cause)) => Err(DialError::Resolve(cause)),
        }
    }

    /// Connects with the embedder's function.
    fn connect_with(
        &self,
        connect: &Arc<ConnectFunction>,
        authority: &Authority,
        stop: &Stop,
    ) -> Result<Dialed, DialError> {
        let began = Moment::now();
        let (connect, port) = (Arc::clone(connect), authority.port);
        let host = match &authority.host {
            Host::V4(ip) => ip.to_string(),
            Host::V6(ip) => ip.to_string(),
            Host::Name(name) => name.clone(),
        };
        if self.leads_here(authority, stop) {
            return Err(DialError::Ourselves);
        }
        let socket = match self.run_interruptibly(CONNECT_TIMEOUT, stop, move || connect(&host, port)) {
            Ok(connected) => connected.map_err(DialError::Connect)?,
            Err(Interrupted::Stopped) => return Err(DialError::Stopped),
            Err(Interrupted::TimedOut) => return Err(DialError::Connect(io::ErrorKind::TimedOut.into())),
            Err(Interrupted::Failed(cause)) => return Err(DialError::Connect(cause)),
        };
        if socket.peer_addr().is_ok_and(|peer| self.is_ourselves(peer)) {
            return Err(DialError::Ourselves);
        }
        socket.set_nonblocking(true).map_err(DialError::Connect)?;
        let own_address = self.own_sockets.add(&socket).map_err(DialError::Connect)?;
        Ok(Dialed { own_address, socket, dns_ms: 0.0, connect_ms: Moment::now().ms_since(began) })
    }

    /// Runs `work`, which cannot be interrupted, such as getaddrinfo(3), on another thread. Returns early after `timeout` or at the
    /// stop.
    fn run_interruptibly<T: Send + 'static>(
        &self,
        timeout: Duration,
        stop: &Stop,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<io::Result<T>, Interrupted> {
        // A pipe, whose write end that thread closes, can be polled together with the stop.
        let (done, done_writer) = io::pipe().map_err(Interrupted::Failed)?;
        let (sender, result) = channel();
        let Ok(worker) = self.threads.acquire() else {
            // No thread is left. Waiting for one could be a deadlock, because all threads may wait here. So it runs on this
            // thread, with its own timeouts.
            return Ok(work());
        };
        worker.run(move || {
            // The receiver is gone after a timeout.
            let _ = sender.send(work());
            drop(done_writer);
        });
        let deadline = Moment::now().plus(timeout);
        loop {
            let left = deadline.since(Moment::now());
            let wanted = [(stop.as_fd(), sys::Interest::READ), (done.as_fd(), sys::Interest::READ)];
            let [stopped, ended] = sys::wait(wanted, Some(left)).map_err(Interrupted::Failed)?;
            if stopped.read {
                return Err(Interrupted::Stopped);
            }
            if ended.read {
                // The result is sent before the pipe is closed, unless the work panicked.
                return Ok(result.try_recv().unwrap_or_else(|| Err(io::Error::other("a function panicked"))));
            }
            if left.is_zero() {
                return Err(Interrupted::TimedOut);
            }
        }
    }
}

/// The reason why work on another thread has no result.
enum Interrupted {
    /// The capture stops.
    Stopped,
    TimedOut,
    /// The wait itself failed.
    Failed(io::Error),
}

/// The reason why there is no connection to an origin. `Display` is a clause about the origin.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The address is this proxy's own.
    Ourselves,
    /// The name does not resolve, has no address, or was not resolved in time. `Display` has one phrase for these: which
    /// of them it is may change with every attempt.
    Resolve(io::Error),
    /// No address accepts a connection; the last error.
    Connect(io::Error),
    /// The upstream proxy does not lead to the origin.
    Upstream {
        /// The proxy's URL, without credentials.
        proxy: String,
        /// A clause about the proxy.
        cause: Box<dyn Error + Send + Sync>,
        /// True if its rules allow no tunnel to the origin.
        forbids_tunnel: bool,
    },
    /// The capture stops.
    Stopped,
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ourselves => f.write_str("it is this proxy itself"),
            Self::Resolve(_) => f.write_str("its name does not resolve"),
            Self::Connect(cause) => match cause.kind() {
                io::ErrorKind::ConnectionRefused => f.write_str("it refused the connection"),
                io::ErrorKind::TimedOut => {
                    write!(f, "it did not accept a connection within {} seconds", CONNECT_TIMEOUT.as_secs())
                }
                _ => write!(f, "cannot connect: {cause}"),
            },
            Self::Upstream { proxy, cause, .. } => write!(f, "the upstream proxy {proxy} {cause}"),
            Self::Stopped => f.write_str("the capture stopped"),
        }
    }
}

impl Error for DialError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Resolve(cause) | Self::Connect(cause) => Some(cause),
            Self::Upstream { cause, .. } => Some(&**cause),
            Self::Ourselves | Self::Stopped => None,
        }
    }
}

/// The addresses in the resolver's answer, or those that `localhost` has by definition.
fn addresses_of(authority: &Authority, answer: io::Result<Vec<SocketAddr>>) -> Result<Vec<SocketAddr>, DialError> {
    match answer {
        Ok(addrs) if !addrs.is_empty() => Ok(addrs),
        _ if authority.host.is_this_machine() => Ok(loopback(authority.port)),
        Ok(_) => Err(DialError::Resolve(io::ErrorKind::NotFound.into())),
        Err(e) => Err(DialError::Resolve(e)),
    }
}

fn loopback(port: u16) -> Vec<SocketAddr> {
    vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
}

/// True if a connection to `addr` would arrive at `listen`.
fn is_ourselves(addr: SocketAddr, listen: SocketAddr) -> bool {
    let (ip, own) = (addr.ip().to_canonical(), listen.ip().to_canonical());
    // A connection to the unspecified address reaches this machine. A listener on it accepts connections to every
    // address of this machine, which is every address that a socket can be bound to.
    addr.port() == listen.port()
        && (ip == own
            || ip.is_unspecified() && (own.is_loopback() || own.is_unspecified())
            || own.is_unspecified() && UdpSocket::bind((ip, 0)).is_ok())
}

/// Connects to the first of `addrs` that accepts.
fn connect(addrs: &[SocketAddr], own_sockets: &OwnSockets, stop: &Stop) -> Result<(TcpStream, OwnAddress), DialError> {
    let deadline = Moment::now().plus(CONNECT_TIMEOUT);
    let mut waiting: VecDeque<_> = interleaved(addrs);
    let mut pending: Vec<(TcpStream, OwnAddress)> = Vec::new();
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    let mut next_at = Moment::now();
    loop {
        let now = Moment::now();
        if next_at.since(now).is_zero() || pending.is_empty() {
            match waiting.pop_front().map(|addr| own_sockets.begin_connect(addr)) {
                Some(Ok(begun)) => pending.push(begun),
                Some(Err(e)) => {
                    last = e;
                    continue;
                }
                None if pending.is_empty() => return Err(DialError::Connect(last)),
                None => {}
            }
            next_at = now.plus(ATTEMPT_DELAY);
        }
        let mut left = deadline.since(now);
        if left.is_zero() {
            return Err(DialError::Connect(io::ErrorKind::TimedOut.into()));
        }
        if !waiting.is_empty() {
            left = left.min(next_at.since(now));
        }
        let fds: Vec<_> = pending.iter().map(|(socket, _)| socket.as_fd()).collect();
        let (stopped, ready) = sys::wait_for_writable(stop.as_fd(), &fds, left).map_err(DialError::Connect)?;
        if stopped {
            return Err(DialError::Stopped);
        }
        // From the back: removing one does not move those before it.
        for i in (0..pending.len()).rev().filter(|i| ready.get(*i) == Some(&true)) {
            let (socket, own_address) = pending.remove(i);
            match socket.take_error() {
                Ok(None) => return Ok((socket, own_address)),
                Ok(Some(e)) | Err(e) => last = e,
            }
        }
    }
}

/// The addresses in order of preference, with the two families interleaved (RFC 8305 section 4).
fn interleaved(addrs: &[SocketAddr]) -> VecDeque<SocketAddr> {
    let first_is_v6 = addrs.first().is_some_and(SocketAddr::is_ipv6);
    let (preferred, other): (Vec<SocketAddr>, Vec<_>) = addrs.iter().partition(|addr| addr.is_ipv6() == first_is_v6);
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    let mut order = VecDeque::with_capacity(addrs.len());
    loop {
        let pair = (preferred.next(), other.next());
        if pair == (None, None) {
            return order;
        }
        order.extend([pair.0, pair.1].into_iter().flatten());
    }
}

/// Longer than the system's resolver needs for one attempt at each of two servers (RES_TIMEOUT, 5 s each).
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(15);
/// After this, users assume a hang. Browsers have similar limits.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// The "Connection Attempt Delay" of RFC 8305 section 5.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
const DESCRIPTOR_RETRY_INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn dialer(listen: &str) -> Dialer {
        Dialer::new(vec![addr(listen)], ThreadPool::default(), Kind::System)
    }

    #[test]
    fn address_families_are_interleaved() {
        let order = interleaved(&[addr("[::1]:1"), addr("[::2]:1"), addr("1.1.1.1:1"), addr("[::3]:1")]);
        assert_eq!(order, [addr("[::1]:1"), addr("1.1.1.1:1"), addr("[::2]:1"), addr("[::3]:1")]);
    }

    #[test]
    fn a_dead_first_address_costs_less_than_a_second() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // A listener with a full backlog does not answer: a dead address on this machine.
        let full = full_listener();
        let began = Moment::now();
        let addrs = [full.0.local_addr().unwrap(), listener.local_addr().unwrap()];
        let (socket, _) = connect(&addrs, &OwnSockets::default(), &Stop::new().unwrap()).unwrap();
        assert_eq!(socket.peer_addr().unwrap(), addrs[1]);
        assert!(Moment::now().since(began) < Duration::from_secs(1));
    }

    /// A listener that neither accepts nor refuses.
    fn full_listener() -> (TcpListener, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let filler = (0..4500)
            .map(|_| sys::begin_connect(at).unwrap())
            .take_while(|socket| {
                let fds = [socket.as_fd()];
                let stop = Stop::new().unwrap();
                sys::wait_for_writable(stop.as_fd(), &fds, Duration::from_millis(300)).unwrap().1 == [true]
            })
            .collect();
        (listener, filler)
    }

    #[test]
    fn a_refusal_is_reported() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let authority = Authority { host: Host::V4([127, 0, 0, 1].into()), port };
        let error = dialer("127.0.0.1:1").dial(&authority, &Stop::new().unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "it refused the connection");
        assert!(error.source().is_some());
    }

    #[test]
    fn a_failed_lookup_has_one_phrase() {
        let authority = Authority { host: Host::Name("a.invalid".into()), port: 1 };
        for answer in [Ok(Vec::new()), Err(io::Error::other("EAI_AGAIN")), Err(io::ErrorKind::TimedOut.into())] {
            let error = addresses_of(&authority, answer).unwrap_err();
            assert_eq!(error.to_string(), "its name does not resolve");
        }
    }

    #[test]
    fn localhost_is_this_machine_even_if_the_resolver_does_not_know_it() {
        let stop = Stop::new().unwrap();
        for name in ["localhost", "localhost.", "app.localhost"] {
            let authority = Authority { host: Host::Name(name.into()), port: 1 };
            let addrs = dialer("127.0.0.1:2").resolve(&authority, &stop).unwrap();
            assert!(addrs.iter().all(|addr| addr.ip().is_loopback()), "{name}: {addrs:?}");
        }
    }

    #[test]
    fn recognizes_its_own_address_in_any_spelling() {
        let all = addr("0.0.0.0:80");
        let own = addr("127.0.0.1:80");
        for (spelling, listen) in [
            ("127.0.0.1:80", own),
            ("0.0.0.0:80", own),
            ("[::ffff:127.0.0.1]:80", own),
            ("127.0.0.1:80", all),
            ("127.8.9.10:80", all),
        ] {
            assert!(is_ourselves(addr(spelling), listen), "{spelling} {listen}");
        }
        for (other, listen) in [("127.0.0.1:81", own), ("127.0.0.2:80", own), ("192.0.2.1:80", all)] {
            assert!(!is_ourselves(addr(other), listen), "{other} {listen}");
        }
        let decimal = Authority { host: Host::Name("2130706433".into()), port: 80 };
        assert!(dialer("127.0.0.1:80").leads_here(&decimal, &Stop::new().unwrap()));
    }
}
