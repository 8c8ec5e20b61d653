//! One client connection: its phases, each of which may be idle.
//!
//! ```text
//! redirected ──────────────────────────▶ upstream ──────────▶ first flight ─▶ tunnel    to its original destination
//! request ─┬─ CONNECT host:port, SOCKS ▶ upstream ─▶ reply ─▶ first flight ─▶ tunnel
//!    ▲     ├─ ClientHello ────────────▶ upstream ──────────▶ first flight ─▶ tunnel    by its SNI  ┐ redirected by
//!    │     ├─ GET /… ─────────────────▶ plain exchange                                 by its Host ┘ another machine
//!    └─────┼─ GET http://…, https://… ▶ plain exchange
//!          ├─ GET /… to our address ──▶ own page
//!          └─ anything else ──────────▶ an error response that states the reason
//! ```

use super::dial::DialError;
use super::first_flight::{FrontEnd, PendingFlight};
use super::leg::Leg;
use super::plain::{Exchange, ForbiddenTunnel, KeepAlive, Target};
use super::relay::{self, RelayEnd};
use super::reply::{HttpConnect, Redirected, Reply, Socks5};
use super::request::{PendingRequest, RefusedRequest, Request, UNKNOWN_HOST};
use super::response::Response;
use super::shared::Shared;
use super::sys::Interest;
use super::tunnel::{Route, Tunnel};
use super::upstream::Connected;
use crate::clock::Moment;
use crate::config::Transparent;
use crate::notice::Reason;
use crate::wire::authority::{Authority, Host};
use crate::wire::client_hello::{ClientHello, Sni};
use crate::wire::message::RequestHead;
use crate::wire::proxy_authorization::{self, Cause, Unauthorized};
use crate::wire::proxy_request::{PlainRequest, ProxyRequest};
use std::net::TcpStream;
use std::os::fd::BorrowedFd;

/// A client connection in one of its phases.
pub(crate) enum Connection {
    Request(Box<PendingRequest>),
    Exchange(Box<Exchange>),
    FirstFlight(Box<PendingFlight>),
    Tunnel(Box<Tunnel>),
}

impl Connection {
    /// The connection of `client`; `None` if it has failed already. A redirected client is connected to its original
    /// destination before it has sent a byte, since its origin may send first.
    pub(crate) fn new(shared: &Shared, client: TcpStream) -> Option<Self> {
        let destination = match shared.transparent {
            Transparent::Off => None,
            Transparent::OriginalDestination | Transparent::ByName => shared.upstream.original_destination(&client),
        };
        let is_own = destination.is_some() && shared.upstream.is_own_connection(&client);
        let mut client = Leg::new(client, &shared.resources).ok()?;
        match destination.map(|destination| Authority::from_address(destination.ip(), destination.port())) {
            Some(destination) if is_own => {
                shared.counters.add_uncaptured(&destination.to_string(), Reason::RedirectLoop);
                client.abort();
                None
            }
            Some(destination) => open_tunnel(shared, client, destination, FrontEnd::Redirect),
            None => Some(Self::awaiting_request(shared, client, None, None)),
        }
    }

    fn awaiting_request(
        shared: &Shared,
        client: Leg,
        kept: Option<KeepAlive>,
        tunnel: Option<ForbiddenTunnel>,
    ) -> Self {
        Self::Request(Box::new(PendingRequest::new(client, kept, tunnel, &shared.timeouts)))
    }

    /// Serves the connection on this thread until it ends or is idle. Returns it if it is idle.
    pub(crate) fn serve(mut self, shared: &Shared) -> Option<Self> {
        loop {
            self = match self {
                Self::Request(mut pending) => match pending.read(shared) {
                    None => return Some(Self::Request(pending)),
                    Some(request) => {
                        if pending.is_challenged() && matches!(request, Request::None) {
                            shared.counters.add_uncaptured(PROXY_ITSELF, Reason::NoPassword);
                        }
                        let (client, kept, tunnel) = pending.into_parts();
                        match tunnel {
                            None => answer(shared, client, kept, request)?,
                            Some(tunnel) => forward(shared, client, kept, request, tunnel)?,
                        }
                    }
                },
                Self::Exchange(mut exchange) => match exchange.relay(shared) {
                    RelayEnd::Idle => return Some(Self::Exchange(exchange)),
                    end => {
                        let tunnel = exchange.tunnel.take();
                        let (client, kept) = exchange.close(end, shared)?;
                        Self::awaiting_request(shared, client, kept, tunnel)
                    }
                },
                Self::FirstFlight(mut pending) => match pending.read(&shared.stop) {
                    None => return Some(Self::FirstFlight(pending)),
                    // The name of the own page has an address, too.
                    Some(flight) if pending.redirected_host(&flight).is_some_and(is_own_page_name) => {
                        Self::awaiting_request(shared, pending.into_client(), None, None)
                    }
                    Some(flight) => Self::Tunnel(Box::new(pending.open(shared, flight)?)),
                },
                Self::Tunnel(mut tunnel) => return tunnel.relay(&shared.stop).then_some(Self::Tunnel(tunnel)),
            };
        }
    }

    /// The events that it waits for while it is idle.
    pub(crate) fn interests(&self) -> [(BorrowedFd<'_>, Interest); 2] {
        match self {
            Self::Request(pending) => pending.interests(),
            Self::Exchange(exchange) => exchange.interests(),
            Self::FirstFlight(pending) => pending.interests(),
            Self::Tunnel(tunnel) => tunnel.interests(),
        }
    }

    /// The time at which it must be served without an event.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        match self {
            Self::Request(pending) => Some(pending.deadline()),
            Self::FirstFlight(pending) => pending.deadline(),
            Self::Exchange(_) | Self::Tunnel(_) => None,
        }
    }
}

/// Answers `request`, or begins to serve it; returns `None` if the connection has ended.
fn answer(shared: &Shared, mut client: Leg, kept: Option<KeepAlive>, request: Request) -> Option<Connection> {
    let (request, received_head) = match request {
        Request::Http { request, received_head } => (*request, received_head),
        Request::Tls(hello) => return tls_without_connect(shared, client, &hello),
        Request::Socks(authority) => return socks(shared, client, authority),
        Request::Refused(RefusedRequest { host, reason, response }) => {
            refuse(shared, &mut client, host.as_ref(), reason, &response);
            return None;
        }
        Request::None => return None,
    };
    if let Some(auth) = &shared.auth
        && let Some(unauthorized) = proxy_authorization::check(&received_head, auth)
        && !is_open(shared, &request)
    {
        return challenge(shared, client, kept, unauthorized);
    }
    let (request, target) = match request {
        ProxyRequest::Connect(authority) => return connect(shared, client, authority),
        ProxyRequest::Absolute(request) if is_own(shared, &request.authority) => {
            send_own_page(shared, &mut client, &request.head);
            return None;
        }
        ProxyRequest::Absolute(request) => {
            if request.is_tls {
                shared.note_clear_hop();
            }
            (request, Target::Proxy)
        }
        ProxyRequest::Origin { host: Some(host), head }
            if is_own_page_name(&host) || shared.upstream.is_addressed(&host, &shared.stop) =>
        {
            send_own_page(shared, &mut client, &head);
            return None;
        }
        ProxyRequest::Origin { host: Some(host), head } if shared.transparent == Transparent::ByName => {
            (PlainRequest::from_origin_form(host, head, &received_head), Target::Origin)
        }
        ProxyRequest::Origin { host, .. } => {
            let response = Response::not_a_proxy_request().to_bytes(false);
            let reason = match shared.transparent {
                Transparent::OriginalDestination => Reason::NoOriginalDestination,
                Transparent::Off | Transparent::ByName => Reason::NotForAProxy,
            };
            refuse(shared, &mut client, host.as_ref(), reason, &response);
            return None;
        }
    };
    Exchange::begin(shared, client, request, target, kept).map(|exchange| Connection::Exchange(Box::new(exchange)))
}

/// Forwards a plain request in `tunnel`, or ends the connection: an upstream proxy that allows no tunnel forwards nothing else.
fn forward(
    shared: &Shared,
    mut client: Leg,
    kept: Option<KeepAlive>,
    request: Request,
    tunnel: ForbiddenTunnel,
) -> Option<Connection> {
    let plain = match request {
        Request::None => return None,
        Request::Http { request, received_head } => match *request {
            ProxyRequest::Origin { host: Some(host), head } if tunnel.leads_to(&host) => {
                Some(PlainRequest::from_origin_form(host, head, &received_head))
            }
            ProxyRequest::Origin { host: None, head } => {
                Some(PlainRequest::from_origin_form(tunnel.authority.clone(), head, &received_head))
            }
            _ => None,
        },
        Request::Tls(_) | Request::Socks(_) | Request::Refused(_) => None,
    };
    let Some(plain) = plain else {
        shared.counters.add_uncaptured(&tunnel.authority.to_string(), Reason::Unreachable(tunnel.why));
        client.abort();
        return None;
    };
    let mut exchange = Exchange::begin(shared, client, plain, Target::Origin, kept)?;
    exchange.tunnel = Some(tunnel);
    Some(Connection::Exchange(Box::new(exchange)))
}

/// True for a request that needs no password. In origin-form, it gets the own page or an error.
fn is_open(shared: &Shared, request: &ProxyRequest) -> bool {
    match request {
        ProxyRequest::Connect(_) => false,
        ProxyRequest::Absolute(request) => is_own(shared, &request.authority),
        ProxyRequest::Origin { .. } => true,
    }
}

/// Answers a request without the password. The client may repeat it on its connection, unless that ends. It is not reported
/// under its host: strangers could fill the reports with invented names.
fn challenge(
    shared: &Shared,
    mut client: Leg,
    kept: Option<KeepAlive>,
    unauthorized: Unauthorized,
) -> Option<Connection> {
    let Unauthorized { cause, is_head, may_continue } = unauthorized;
    // A client that does not read its responses could pile them up.
    let may_continue = may_continue && client.is_flushed();
    client.send(&Response::password_required(may_continue).to_bytes(is_head));
    match cause {
        Cause::WrongPassword => shared.counters.add_uncaptured(PROXY_ITSELF, Reason::WrongPassword),
        // Reported unless the client repeats the request with the password.
        Cause::NoPassword if may_continue => {
            let pending = PendingRequest::after_challenge(client, kept, &shared.timeouts);
            return Some(Connection::Request(Box::new(pending)));
        }
        Cause::NoPassword => shared.counters.add_uncaptured(PROXY_ITSELF, Reason::NoPassword),
    }
    if may_continue {
        return Some(Connection::awaiting_request(shared, client, kept, None));
    }
    relay::close(&mut client, &shared.stop);
    None
}

/// Refuses a request of `client` for `host`, if it names one.
fn refuse(shared: &Shared, client: &mut Leg, host: Option<&Authority>, reason: Reason, response: &[u8]) {
    shared.counters.add_uncaptured(&host.map_or_else(|| PROXY_ITSELF.to_owned(), ToString::to_string), reason);
    client.send(response);
    relay::close(client, &shared.stop);
}

/// True if a request for `authority` is for the proxy's own page.
fn is_own(shared: &Shared, authority: &Authority) -> bool {
    is_own_page_name(authority) || shared.upstream.leads_here(authority, &shared.stop)
}

fn is_own_page_name(authority: &Authority) -> bool {
    authority.host == Host::Name(OWN_PAGE_NAME.into())
}

fn send_own_page(shared: &Shared, client: &mut Leg, head: &RequestHead) {
    shared.own_page.response(&head.method, &head.target).send_to(&head.method, client, &shared.stop);
}

/// Serves CONNECT.
fn connect(shared: &Shared, mut client: Leg, authority: Authority) -> Option<Connection> {
    if is_own_page_name(&authority) {
        HttpConnect.refuse(&mut client, &shared.stop);
        return None;
    }
    open_tunnel(shared, client, authority, FrontEnd::Connect)
}

/// Serves a SOCKS5 request. The own page is served as if the client had connected to it.
fn socks(shared: &Shared, mut client: Leg, authority: Authority) -> Option<Connection> {
    if !is_own_page_name(&authority) {
        return open_tunnel(shared, client, authority, FrontEnd::Socks);
    }
    if authority.port != HTTP_PORT {
        Socks5.refuse(&mut client, &shared.stop);
        return None;
    }
    Socks5.connected(&mut client);
    Some(Connection::awaiting_request(shared, client, None, None))
}

/// Serves a ClientHello without a CONNECT before it and without an original destination: its SNI is the origin.
fn tls_without_connect(shared: &Shared, mut client: Leg, hello: &ClientHello) -> Option<Connection> {
    let authority = match &hello.server_name {
        Sni::Dns(name) => Some(Authority { host: Host::Name(name.to_ascii_lowercase()), port: 443 }),
        Sni::None | Sni::NotDnsName => None,
    };
    if shared.transparent != Transparent::ByName {
        let response = Response::tls_to_the_proxy().to_bytes(false);
        refuse(shared, &mut client, authority.as_ref(), Reason::NoOriginalDestination, &response);
        return None;
    }
    let Some(authority) = authority else {
        let why = "it was redirected here without a server name (SNI)".to_owned();
        shared.counters.add_uncaptured(UNKNOWN_HOST, Reason::ClientTls(why));
        return None;
    };
    open_tunnel(shared, client, authority, FrontEnd::Redirect)
}

/// Connects to the origin, replies to the client, and expects its first flight. The reply comes after the connection, so
/// that the client learns of an unreachable origin.
fn open_tunnel(shared: &Shared, mut client: Leg, authority: Authority, front_end: FrontEnd) -> Option<Connection> {
    let reply: &dyn Reply = match front_end {
        FrontEnd::Connect => &HttpConnect,
        FrontEnd::Socks => &Socks5,
        FrontEnd::Redirect => &Redirected,
    };
    match shared.upstream.connect(&authority, &shared.stop) {
        Ok(Connected { leg: origin, timing }) => {
            reply.connected(&mut client);
            let pending = PendingFlight::new(client, origin, Route { authority, timing }, front_end);
            return Some(Connection::FirstFlight(Box::new(pending)));
        }
        Err(DialError::Stopped) => {}
        Err(why) if shared.upstream.may_forward_instead(&authority, &why) => {
            reply.connected(&mut client);
            let tunnel = ForbiddenTunnel { authority, why: why.to_string() };
            return Some(Connection::awaiting_request(shared, client, None, Some(tunnel)));
        }
        Err(DialError::Ourselves) if reply.refuse(&mut client, &shared.stop) => {
            shared.counters.add_uncaptured(&authority.to_string(), Reason::Refused(DialError::Ourselves.to_string()));
        }
        Err(why) => {
            shared.counters.add_uncaptured(&authority.to_string(), Reason::Unreachable(why.to_string()));
            reply.unreachable(&mut client, &authority, &why, &shared.stop);
        }
    }
    None
}

/// The name under which refused requests are reported that name no host.
const PROXY_ITSELF: &str = "(the proxy itself)";
/// The host name that reaches the own page through the proxy, at any address. mitmproxy uses the same name.
const OWN_PAGE_NAME: &str = "mitm.it";
/// The port of the own page under that name.
const HTTP_PORT: u16 = 80;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::timeouts::Timeouts;
    use crate::notice::Uncaptured;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use std::thread;
    use std::time::Duration;

    /// A timeout that expires in the test, and one that does not.
    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(20);

    /// Serves one connection of `client` with these timeouts; returns what the client received, and the reports.
    fn serve_one(timeouts: Timeouts, client: fn(TcpStream) -> String) -> (String, Vec<Uncaptured>) {
        serve_one_in(Transparent::Off, timeouts, client)
    }

    fn serve_one_in(
        transparent: Transparent,
        timeouts: Timeouts,
        client: fn(TcpStream) -> String,
    ) -> (String, Vec<Uncaptured>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = listener.local_addr().unwrap();
        let socket = TcpStream::connect(listen).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        let client = thread::spawn(move || client(socket));
        let shared = Shared { transparent, ..Shared::for_test(timeouts, listen) };
        let mut connection = Connection::new(&shared, listener.accept().unwrap().0);
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Relaxed) {
                    shared.stop.tick();
                    thread::sleep(SHORT / 20);
                }
            });
            // It is idle again and again.
            while let Some(idle) = connection {
                assert!(idle.deadline().is_some());
                connection = idle.serve(&shared);
            }
            is_over.store(true, Relaxed);
        });
        (client.join().unwrap(), shared.counters.uncaptured())
    }

    #[test]
    fn answers_408_when_the_head_is_slow() {
        let (received, reports) = serve_one(Timeouts { first_byte: LONG, head: SHORT }, |mut socket| {
            let (began, mut received) = (Moment::now(), [0; 12]);
            // Sends a byte whenever there is no response yet.
            socket.set_read_timeout(Some(SHORT / 20)).unwrap();
            while socket.peek(&mut received).is_err() {
                socket.write_all(b"G").unwrap();
                assert!(Moment::now().since(began) < LONG, "the head has no timeout");
            }
            socket.read_exact(&mut received).unwrap();
            String::from_utf8(received.to_vec()).unwrap()
        });
        assert_eq!(received, "HTTP/1.1 408");
        assert!(matches!(&reports[..], [Uncaptured { reason: Reason::Refused(_), .. }]), "{reports:?}");
    }

    #[test]
    fn closes_when_a_socks_negotiation_is_slow() {
        let (received, reports) = serve_one(Timeouts { first_byte: LONG, head: SHORT }, |mut socket| {
            let mut received = [0; 2];
            socket.write_all(b"\x05\x01\x00").unwrap();
            socket.read_exact(&mut received).unwrap();
            assert_eq!(received, [5, 0]);
            socket.write_all(b"\x05\x01").unwrap();
            let mut rest = String::new();
            socket.read_to_string(&mut rest).unwrap();
            rest
        });
        assert_eq!(received, "");
        assert!(
            matches!(&reports[..], [Uncaptured { reason: Reason::Refused(why), .. }] if why.contains("SOCKS")),
            "{reports:?}"
        );
    }

    /// A ClientHello without extensions, and so without SNI (RFC 8446 section 4.1.2).
    fn client_hello() -> Vec<u8> {
        let mut body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0, 0, 0]].concat();
        let length = u8::try_from(body.len()).unwrap();
        body.splice(0..0, [22, 3, 1, 0, length + 4, 1, 0, 0, length]);
        body
    }

    #[test]
    fn reads_a_redirected_client_hello_that_arrives_in_pieces() {
        let (received, reports) =
            serve_one_in(Transparent::ByName, Timeouts { first_byte: LONG, head: LONG }, |mut socket| {
                let hello = client_hello();
                let (most, rest) = hello.split_at(hello.len() * 3 / 4);
                socket.write_all(most).unwrap();
                // Until the proxy has read the first piece and waits for more.
                socket.set_read_timeout(Some(SHORT)).unwrap();
                socket.peek(&mut [0]).unwrap_err();
                socket.set_read_timeout(Some(LONG)).unwrap();
                socket.write_all(rest).unwrap();
                let mut received = String::new();
                socket.read_to_string(&mut received).unwrap();
                received
            });
        assert_eq!(received, "");
        assert!(
            matches!(&reports[..], [Uncaptured { reason: Reason::ClientTls(why), .. }] if why.contains("server name")),
            "{reports:?}"
        );
    }

    #[test]
    fn reports_a_redirected_client_hello_that_is_invalid() {
        let (received, reports) =
            serve_one_in(Transparent::ByName, Timeouts { first_byte: LONG, head: LONG }, |mut socket| {
                let mut hello = client_hello();
                // The length of the session id exceeds the message.
                hello[9 + 2 + 32] = 255;
                socket.write_all(&hello).unwrap();
                let mut received = String::new();
                socket.read_to_string(&mut received).unwrap();
                received
            });
        assert_eq!(received, "");
        assert!(
            matches!(&reports[..], [Uncaptured { reason: Reason::ClientTls(why), .. }] if why.contains("invalid")),
            "{reports:?}"
        );
    }

    #[test]
    fn closes_a_silent_connection_without_a_response_or_report() {
        let (received, reports) = serve_one(Timeouts { first_byte: SHORT, head: LONG }, |mut socket| {
            let mut received = String::new();
            socket.read_to_string(&mut received).unwrap();
            received
        });
        assert_eq!((received.as_str(), reports.len()), ("", 0));
    }
}
