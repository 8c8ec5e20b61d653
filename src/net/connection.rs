//! One client connection. Its first bytes decide how it is served; after each plain request, the next bytes decide
//! again.
//!
//! ```text
//! CONNECT host:port ──────▶ upstream ─▶ reply ─▶ first flight ─▶ tunnel
//! redirected ClientHello ─▶ upstream ──────────▶ first flight ─▶ tunnel    by its SNI, in transparent mode
//! GET http://… ───────────▶ plain, then the next request         in transparent mode also GET /…, by its Host
//! GET /… to our address ──▶ own page
//! anything else ──────────▶ an error response that states the reason
//! ```
//!
//! A SOCKS front end would be recognized here by its first byte, and served by [`open_tunnel`] with a [`Reply`] of its
//! own.

use super::dial::DialError;
use super::first_flight;
use super::leg::Leg;
use super::plain::{self, KeepAlive, Next};
use super::reply::{HttpConnect, Redirected, Reply};
use super::response::Response;
use super::shared::Shared;
use super::sys::{self, Interest};
use super::tunnel::{Route, Tunnel};
use super::upstream::Connected;
use crate::clock::Moment;
use crate::notice::Reason;
use crate::wire::authority::{Authority, Host};
use crate::wire::client_hello::{self, ClientHello, Sni};
use crate::wire::http1::head_scanner::HeadScanner;
use crate::wire::message::RequestHead;
use crate::wire::proxy_request::{self, PlainRequest, ProxyRequest, Refusal};
use std::net::TcpStream;
use std::os::fd::AsFd;

/// Serves a client until its connection ends or becomes a tunnel, which is returned.
pub(crate) fn serve(shared: &Shared, socket: TcpStream) -> Option<Tunnel> {
    let mut client = Leg::new(socket, &shared.resources).ok()?;
    let mut keep_alive = None;
    loop {
        let (request, received_head) = match await_request(shared, &mut client, &mut keep_alive) {
            Request::Http { request, received_head } => (*request, received_head),
            Request::Tls(hello) => return redirected_tls(shared, client, &hello),
            Request::Refused(reason, response) => {
                shared.counters.add_uncaptured(PROXY_ITSELF, reason);
                response.send(&mut client, &shared.stop);
                return None;
            }
            Request::None => return None,
        };
        let next = match request {
            ProxyRequest::Connect(authority) => return connect(shared, client, authority),
            ProxyRequest::Absolute(request) if is_own(shared, &request.authority) => {
                send_own_page(shared, &mut client, &request.head);
                return None;
            }
            ProxyRequest::Absolute(request) => plain::exchange(shared, &mut client, request, &mut keep_alive),
            ProxyRequest::Origin { host: Some(host), head } if is_own(shared, &host) => {
                send_own_page(shared, &mut client, &head);
                return None;
            }
            ProxyRequest::Origin { host: Some(host), head } if shared.transparent => {
                let request = PlainRequest::from_origin_form(host, head, &received_head);
                plain::exchange(shared, &mut client, request, &mut keep_alive)
            }
            ProxyRequest::Origin { .. } => {
                shared.counters.add_uncaptured(PROXY_ITSELF, Reason::NotForAProxy);
                Response::not_a_proxy_request().send(&mut client, &shared.stop);
                return None;
            }
        };
        if next == Next::End {
            return None;
        }
    }
}

/// The request of a client.
enum Request {
    Http {
        request: Box<ProxyRequest>,
        received_head: Vec<u8>,
    },
    /// A redirected ClientHello, which stays unread.
    Tls(ClientHello),
    /// A request that is refused with this response.
    Refused(Reason, Response<'static>),
    /// No request: the client left, was silent for too long, or sent an invalid ClientHello; or the capture stops.
    None,
}

/// Waits for a request. The origin connection that is kept for it is closed if the origin ends it in the meantime.
fn await_request(shared: &Shared, client: &mut Leg, keep_alive: &mut Option<KeepAlive>) -> Request {
    let began = Moment::now();
    let mut head_began = None;
    let (mut scanner, mut searched, mut parsed) = (HeadScanner::for_message(), 0, 0);
    loop {
        // An HTTP head is parsed when it is complete, and before that each time the bytes have doubled: parsing after every
        // small piece would take quadratic time. A ClientHello does not end in an empty line; it is short, and parsed after
        // each read.
        let bytes = client.unread();
        let found = scanner.find(bytes.get(searched..).unwrap_or_default());
        searched = bytes.len();
        if found.is_err() {
            return refused(&Refusal::HeadTooLong);
        }
        if is_tls(bytes) || found != Ok(None) || searched >= parsed * 2 {
            parsed = searched;
            if let Some(request) = parse(shared, client) {
                return request;
            }
        }
        if client.ended().is_some() {
            return Request::None;
        }
        let now = Moment::now();
        if !client.unread().is_empty() {
            head_began.get_or_insert(now);
        }
        let deadline = match head_began {
            None => began.plus(shared.timeouts.first_byte),
            Some(began) => began.plus(shared.timeouts.head),
        };
        let left = deadline.since(now);
        if left.is_zero() {
            return match head_began {
                None => Request::None,
                Some(_) => {
                    Request::Refused(Reason::Refused("its head took too long".into()), Response::head_too_slow())
                }
            };
        }
        let (stop, input) = ((shared.stop.as_fd(), Interest::READ), (client.fd(), Interest::READ));
        let ready = match keep_alive {
            Some(KeepAlive { leg, .. }) => sys::wait([stop, input, (leg.fd(), Interest::READ)], Some(left)),
            None => sys::wait([stop, input], Some(left)).map(|[stop, input]| [stop, input, Interest::default()]),
        };
        let Ok([stopped, client_ready, origin_ready]) = ready else {
            return Request::None;
        };
        if stopped.read {
            return Request::None;
        }
        if origin_ready.read {
            *keep_alive = None;
        }
        if client_ready.read {
            // Without TLS, receive cannot fail.
            let _ = client.receive(&mut |_| 0);
        }
    }
}

/// Parses the unread bytes; returns `None` while the request is incomplete. An HTTP head is consumed, a ClientHello
/// is not.
fn parse(shared: &Shared, client: &mut Leg) -> Option<Request> {
    let bytes = client.unread();
    if is_tls(bytes) {
        if !shared.transparent {
            return Some(Request::Refused(Reason::NotForAProxy, Response::tls_to_the_proxy()));
        }
        return match client_hello::parse(bytes) {
            Ok(hello) => hello.map(Request::Tls),
            Err(_) => {
                let why = "it was redirected here with an invalid ClientHello".to_owned();
                shared.counters.add_uncaptured(UNKNOWN_HOST, Reason::ClientTls(why));
                Some(Request::None)
            }
        };
    }
    match proxy_request::parse(bytes) {
        Ok(None) => None,
        Ok(Some((used, request))) => {
            let received_head = bytes.get(..used).unwrap_or_default().to_vec();
            client.consume(used);
            Some(Request::Http { request: Box::new(request), received_head })
        }
        Err(refusal) => Some(refused(&refusal)),
    }
}

fn is_tls(bytes: &[u8]) -> bool {
    bytes.first() == Some(&TLS_HANDSHAKE)
}

fn refused(refusal: &Refusal) -> Request {
    match refusal {
        // Another proxy might serve it, so it is not reported as "not a proxy request".
        Refusal::HeadTooLong => {
            Request::Refused(Reason::Refused("its head is too long".into()), Response::head_too_long(refusal))
        }
        _ => Request::Refused(Reason::NotForAProxy, Response::bad_request(&refusal.to_string())),
    }
}

/// True if a request for `authority` is for the proxy's own page.
fn is_own(shared: &Shared, authority: &Authority) -> bool {
    authority.host == Host::Name(OWN_PAGE_NAME.into()) || shared.upstream.leads_here(authority, &shared.stop)
}

fn send_own_page(shared: &Shared, client: &mut Leg, head: &RequestHead) {
    shared.own_page.response(&head.method, &head.target).send_to(&head.method, client, &shared.stop);
}

/// Serves CONNECT.
fn connect(shared: &Shared, mut client: Leg, authority: Authority) -> Option<Tunnel> {
    if authority.host == Host::Name(OWN_PAGE_NAME.into()) {
        HttpConnect.refuse(&mut client, &shared.stop);
        return None;
    }
    open_tunnel(shared, client, authority, &HttpConnect)
}

/// Serves a ClientHello without a CONNECT before it: its SNI is the origin.
fn redirected_tls(shared: &Shared, client: Leg, hello: &ClientHello) -> Option<Tunnel> {
    let Sni::Dns(name) = &hello.server_name else {
        let why = "it was redirected here without a server name (SNI)".to_owned();
        shared.counters.add_uncaptured(UNKNOWN_HOST, Reason::ClientTls(why));
        return None;
    };
    let authority = Authority { host: Host::Name(name.to_ascii_lowercase()), port: 443 };
    open_tunnel(shared, client, authority, &Redirected)
}

/// Connects to the origin, replies to the client, and reads its first flight. The reply comes after the connection, so
/// that the client learns of an unreachable origin.
fn open_tunnel(shared: &Shared, mut client: Leg, authority: Authority, reply: &dyn Reply) -> Option<Tunnel> {
    match shared.upstream.connect(&authority, &shared.stop) {
        Ok(Connected { leg: origin, timing }) => {
            reply.connected(&mut client);
            return first_flight::open(shared, client, origin, Route { authority, timing });
        }
        Err(DialError::Stopped) => {}
        Err(DialError::Ourselves) if reply.refuse(&mut client, &shared.stop) => {}
        Err(why) => {
            shared.counters.add_uncaptured(&authority.to_string(), Reason::Unreachable(why.to_string()));
            reply.unreachable(&mut client, &authority, &why, &shared.stop);
        }
    }
    None
}

/// The name under which requests to the proxy itself are reported.
const PROXY_ITSELF: &str = "(the proxy itself)";
/// The name under which redirected connections without a server name are reported.
const UNKNOWN_HOST: &str = "(unknown)";
/// The host name that reaches the own page through the proxy, at any address. mitmproxy uses the same name.
const OWN_PAGE_NAME: &str = "mitm.it";
/// The type of a TLS record with a handshake message (RFC 8446 section 5.1). No HTTP method starts with this byte.
const TLS_HANDSHAKE: u8 = 22;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Observer;
    use crate::counters::Counters;
    use crate::net::own_page::OwnPage;
    use crate::net::resources::Resources;
    use crate::net::stop::Stop;
    use crate::net::timeouts::Timeouts;
    use crate::net::upstream::{Direct, Upstream};
    use crate::notice::Uncaptured;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::thread;
    use std::time::Duration;

    /// A timeout that expires in the test, and one that does not.
    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(20);

    #[derive(PartialEq)]
    enum Mode {
        Explicit,
        Transparent,
    }

    /// Serves one connection of `client` with these timeouts; returns what the client received, and the reports.
    fn serve_one(timeouts: Timeouts, client: fn(TcpStream) -> String) -> (String, Vec<Uncaptured>) {
        serve_one_in(Mode::Explicit, timeouts, client)
    }

    fn serve_one_in(mode: Mode, timeouts: Timeouts, client: fn(TcpStream) -> String) -> (String, Vec<Uncaptured>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = listener.local_addr().unwrap();
        let socket = TcpStream::connect(listen).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        let client = thread::spawn(move || client(socket));
        let resources = Arc::<Resources>::default();
        let shared = Shared {
            transparent: mode == Mode::Transparent,
            timeouts,
            stop: Stop::new().unwrap(),
            counters: Arc::new(Counters::new(Observer::default(), false)),
            upstream: Upstream::new(Box::new(Direct), listen, &resources),
            resources,
            own_page: OwnPage::default(),
            capture: None,
        };
        assert!(serve(&shared, listener.accept().unwrap().0).is_none());
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
            serve_one_in(Mode::Transparent, Timeouts { first_byte: LONG, head: LONG }, |mut socket| {
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
            serve_one_in(Mode::Transparent, Timeouts { first_byte: LONG, head: LONG }, |mut socket| {
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
