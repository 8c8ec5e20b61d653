//! From an authority to a connected socket: name resolution and connecting, each with a deadline.
//!
//! Several addresses are tried side by side, each a quarter of a second after the one before (RFC 8305), so that a dead
//! IPv6 costs no more than that.

use super::crew::CREW;
use super::stop::Stop;
use super::sys;
use crate::clock::Moment;
use crate::wire::authority::{Authority, Host};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::AsFd;
use std::sync::mpsc;
use std::time::Duration;

/// A connection to an origin, and how long it took, in milliseconds.
#[derive(Debug)]
pub(crate) struct Dialled {
    pub(crate) socket: TcpStream,
    pub(crate) dns_ms: f64,
    pub(crate) connect_ms: f64,
}

/// Connects to `authority`.
///
/// # Errors
/// Says why not, also when that would be `listen`, this proxy itself.
pub(crate) fn dial(authority: &Authority, listen: SocketAddr, stop: &Stop) -> Result<Dialled, Undialled> {
    let deadline = Moment::now().plus(CONNECT_DEADLINE);
    loop {
        match dial_once(authority, listen, stop) {
            // Another connection's end gives some back; nothing says when.
            Err(Undialled::Unconnected(e))
                if sys::is_out_of_descriptors(&e) && !deadline.since(Moment::now()).is_zero() =>
            {
                let _ = sys::wait([(stop.as_fd(), sys::Interest::READ)], Some(RETRY));
            }
            dialled => return dialled,
        }
    }
}

fn dial_once(authority: &Authority, listen: SocketAddr, stop: &Stop) -> Result<Dialled, Undialled> {
    let began = Moment::now();
    let addrs = resolve(authority, stop)?;
    if addrs.iter().any(|addr| is_ourselves(*addr, listen)) {
        return Err(Undialled::Ourselves);
    }
    let resolved = Moment::now();
    let socket = connect(&addrs, stop)?;
    Ok(Dialled { socket, dns_ms: resolved.ms_since(began), connect_ms: Moment::now().ms_since(resolved) })
}

/// Whether `authority`, in any spelling, is `listen`, the address of this proxy.
pub(crate) fn leads_here(authority: &Authority, listen: SocketAddr, stop: &Stop) -> bool {
    authority.port == listen.port()
        && resolve(authority, stop).is_ok_and(|addrs| addrs.iter().any(|addr| is_ourselves(*addr, listen)))
}

/// Why there is no connection to an origin. Displayed as the end of a sentence about the origin.
#[derive(Debug)]
pub(crate) enum Undialled {
    /// It would be a connection of the proxy to itself.
    Ourselves,
    /// Its name does not resolve.
    Unresolved(String),
    /// Its name did not resolve in time.
    ResolvedTooSlowly,
    /// No address of it accepts a connection; what the last one said.
    Unconnected(io::Error),
    /// The capture stops.
    Stopped,
}

impl fmt::Display for Undialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ourselves => f.write_str("it is this proxy itself"),
            Self::Unresolved(why) => write!(f, "its name does not resolve: {why}"),
            Self::ResolvedTooSlowly => {
                write!(f, "its name did not resolve within {} seconds", RESOLVE_DEADLINE.as_secs())
            }
            Self::Unconnected(e) => match e.kind() {
                io::ErrorKind::ConnectionRefused => f.write_str("it refused the connection"),
                io::ErrorKind::TimedOut => {
                    write!(f, "it did not accept a connection within {} seconds", CONNECT_DEADLINE.as_secs())
                }
                _ => write!(f, "connecting to it failed: {e}"),
            },
            Self::Stopped => f.write_str("the capture stopped"),
        }
    }
}

/// The addresses of an authority, never none.
fn resolve(authority: &Authority, stop: &Stop) -> Result<Vec<SocketAddr>, Undialled> {
    let name = match &authority.host {
        Host::V4(ip) => return Ok(vec![SocketAddr::new(IpAddr::V4(*ip), authority.port)]),
        Host::V6(ip) => return Ok(vec![SocketAddr::new(IpAddr::V6(*ip), authority.port)]),
        Host::Name(name) => (name.clone(), authority.port),
    };
    // The system's resolver cannot be interrupted, so it runs in another thread; the pipe, which closes as that one is done,
    // can be polled together with the stop.
    let unresolved = |e: io::Error| Undialled::Unresolved(e.to_string());
    let (done, ending) = io::pipe().map_err(Undialled::Unconnected)?;
    let (sender, answer) = mpsc::channel();
    let asking = name.clone();
    let asked = CREW.hire().map(|hand| {
        hand.give(move || {
            // Nobody waits any more if the deadline is over.
            let _ = sender.send(addresses(&asking));
            drop(ending);
        });
    });
    if asked.is_err() {
        // No thread is to be had, and all there are may be connections that need one: the resolver's own deadlines have to do.
        return found(authority, addresses(&name));
    }
    let deadline = Moment::now().plus(RESOLVE_DEADLINE);
    loop {
        let left = deadline.since(Moment::now());
        let wanted = [(stop.as_fd(), sys::Interest::READ), (done.as_fd(), sys::Interest::READ)];
        let [stopped, resolved] = sys::wait(wanted, Some(left)).map_err(unresolved)?;
        if stopped.read {
            return Err(Undialled::Stopped);
        }
        if resolved.read {
            // It answers before it is done, unless it panicked.
            return found(authority, answer.try_recv().unwrap_or_else(|_| Ok(Vec::new())));
        }
        if left.is_zero() {
            return Err(Undialled::ResolvedTooSlowly);
        }
    }
}

fn addresses(name: &(String, u16)) -> io::Result<Vec<SocketAddr>> {
    name.to_socket_addrs().map(Iterator::collect)
}

/// What the resolver's answer comes to.
fn found(authority: &Authority, answer: io::Result<Vec<SocketAddr>>) -> Result<Vec<SocketAddr>, Undialled> {
    match answer {
        Ok(addrs) if !addrs.is_empty() => Ok(addrs),
        _ if is_localhost(&authority.host) => Ok(loopback(authority.port)),
        Ok(_) => Err(Undialled::Unresolved("it has no address".into())),
        Err(e) => Err(Undialled::Unresolved(e.to_string())),
    }
}

/// Whether the name means this machine even where the resolver does not know it (RFC 6761 section 6.3).
fn is_localhost(host: &Host) -> bool {
    let Host::Name(name) = host else { return false };
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

fn loopback(port: u16) -> Vec<SocketAddr> {
    vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
}

/// Whether a connection to `addr` would arrive at `listen`.
fn is_ourselves(addr: SocketAddr, listen: SocketAddr) -> bool {
    let (ip, own) = (addr.ip().to_canonical(), listen.ip().to_canonical());
    // The unspecified address connects to this machine, and listens at all of its addresses, which are those that a
    // socket can be bound to.
    addr.port() == listen.port()
        && (ip == own
            || ip.is_unspecified() && (own.is_loopback() || own.is_unspecified())
            || own.is_unspecified() && UdpSocket::bind((ip, 0)).is_ok())
}

/// A socket connected to the first of `addrs` that accepts.
fn connect(addrs: &[SocketAddr], stop: &Stop) -> Result<TcpStream, Undialled> {
    let deadline = Moment::now().plus(CONNECT_DEADLINE);
    let mut waiting: VecDeque<_> = interleaved(addrs);
    let mut pending: Vec<TcpStream> = Vec::new();
    let mut last = io::Error::from(io::ErrorKind::TimedOut);
    let mut next_at = Moment::now();
    loop {
        let now = Moment::now();
        if next_at.since(now).is_zero() || pending.is_empty() {
            match waiting.pop_front().map(sys::begin_connect) {
                Some(Ok(socket)) => pending.push(socket),
                Some(Err(e)) => {
                    last = e;
                    continue;
                }
                None if pending.is_empty() => return Err(Undialled::Unconnected(last)),
                None => {}
            }
            next_at = now.plus(STAGGER);
        }
        let mut left = deadline.since(now);
        if left.is_zero() {
            return Err(Undialled::Unconnected(io::ErrorKind::TimedOut.into()));
        }
        if !waiting.is_empty() {
            left = left.min(next_at.since(now));
        }
        let fds: Vec<_> = pending.iter().map(AsFd::as_fd).collect();
        let (stopped, decided) = sys::wait_for_writable(stop.as_fd(), &fds, left).map_err(Undialled::Unconnected)?;
        if stopped {
            return Err(Undialled::Stopped);
        }
        // From the back, so that removing one does not move those still to be looked at.
        for i in (0..pending.len()).rev().filter(|i| decided.get(*i) == Some(&true)) {
            let socket = pending.remove(i);
            match socket.take_error() {
                Ok(None) => return Ok(socket),
                Ok(Some(e)) | Err(e) => last = e,
            }
        }
    }
}

/// The addresses in their order of preference, the two families in turn (RFC 8305 section 4).
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

/// Longer than the system's resolver takes for one try at two servers (RES_TIMEOUT, 5 s each).
const RESOLVE_DEADLINE: Duration = Duration::from_secs(15);
/// As browsers and curl's users have it: past this, people think that it hangs.
const CONNECT_DEADLINE: Duration = Duration::from_secs(30);
/// RFC 8305 section 5: the "Connection Attempt Delay".
const STAGGER: Duration = Duration::from_millis(250);
const RETRY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn families_take_turns() {
        let order = interleaved(&[addr("[::1]:1"), addr("[::2]:1"), addr("1.1.1.1:1"), addr("[::3]:1")]);
        assert_eq!(order, [addr("[::1]:1"), addr("1.1.1.1:1"), addr("[::2]:1"), addr("[::3]:1")]);
    }

    #[test]
    fn a_dead_first_address_costs_less_than_a_second() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // A listener whose queue is full answers nothing: dead, without any address outside this machine.
        let full = full_listener();
        let began = Moment::now();
        let addrs = [full.0.local_addr().unwrap(), listener.local_addr().unwrap()];
        let socket = connect(&addrs, &Stop::new().unwrap()).unwrap();
        assert_eq!(socket.peer_addr().unwrap(), addrs[1]);
        assert!(Moment::now().since(began) < Duration::from_secs(1));
    }

    /// A listener that neither accepts nor refuses any more.
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
    fn refusals_are_told() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let authority = Authority { host: Host::V4([127, 0, 0, 1].into()), port };
        let said = dial(&authority, addr("127.0.0.1:1"), &Stop::new().unwrap()).unwrap_err().to_string();
        assert_eq!(said, "it refused the connection");
    }

    #[test]
    fn localhost_is_this_machine_whatever_the_resolver_knows() {
        let stop = Stop::new().unwrap();
        for name in ["localhost", "localhost.", "app.localhost"] {
            let addrs = resolve(&Authority { host: Host::Name(name.into()), port: 1 }, &stop).unwrap();
            assert!(addrs.iter().all(|addr| addr.ip().is_loopback()), "{name}: {addrs:?}");
        }
    }

    #[test]
    fn knows_itself_in_any_spelling() {
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
        assert!(leads_here(&decimal, own, &Stop::new().unwrap()));
    }
}
