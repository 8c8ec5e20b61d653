//! What a connection is: its first bytes decide, and after each plain request the next ones decide again.
//!
//! ```text
//! CONNECT h:p ────────────▶ dial ─▶ tunnel
//! GET http://… ───────────▶ plain, and back here for the next request
//! GET /… to our address ──▶ page
//! redirected (if asked for): GET /… by its Host ─▶ plain; a bare ClientHello by its SNI ─▶ tunnel
//! all else ───────────────▶ a 400 that says why
//! ```

use super::dial::{Undialled, dial, leads_here};
use super::leg::Leg;
use super::page::{self, Answer};
use super::plain::{self, Kept, Next};
use super::shared::Shared;
use super::sys::{self, Interest};
use super::tunnel::{self, Route, Tunnel};
use crate::clock::Moment;
use crate::notice::Reason;
use crate::record::origin::ConnectTiming;
use crate::wire::authority::{Authority, Host};
use crate::wire::client_hello::{self, ClientHello, Sni};
use crate::wire::http1::head_scanner::HeadScanner;
use crate::wire::message::RequestHead;
use crate::wire::proxy_request::{self, PlainRequest, ProxyRequest, Refusal};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Duration;

/// Serves one client to its end, or until it has a tunnel.
pub(crate) fn serve(shared: &Shared, socket: TcpStream) -> Option<Tunnel> {
    let mut client = Leg::new(socket).ok()?;
    let mut kept = None;
    loop {
        let (request, wire) = match await_request(shared, &mut client, &mut kept) {
            Asked::Http { request, head } => (*request, head),
            Asked::Tls(hello) => return redirected_tls(shared, client, &hello),
            Asked::Refused(reason, answer) => {
                shared.counters.add_uncaptured("(the proxy itself)", reason);
                page::answer(&mut client, &answer, &shared.stop);
                return None;
            }
            Asked::Nothing => return None,
        };
        let next = match request {
            ProxyRequest::Connect(authority) => return connect(shared, client, authority),
            ProxyRequest::Absolute(request) if is_own(shared, &request.authority) => {
                own_page(shared, &mut client, &request.head);
                return None;
            }
            ProxyRequest::Absolute(request) => plain::exchange(shared, &mut client, request, &mut kept),
            ProxyRequest::Origin { host: Some(host), head } if is_own(shared, &host) => {
                own_page(shared, &mut client, &head);
                return None;
            }
            ProxyRequest::Origin { host: Some(host), head } if shared.transparent => {
                let request = PlainRequest::from_origin_form(host, head, &wire);
                plain::exchange(shared, &mut client, request, &mut kept)
            }
            ProxyRequest::Origin { .. } => {
                shared.counters.add_uncaptured("(the proxy itself)", Reason::NotForAProxy);
                page::answer(&mut client, &Answer::not_for_a_proxy(), &shared.stop);
                return None;
            }
        };
        if next == Next::End {
            return None;
        }
    }
}

/// What a client asks.
enum Asked {
    Http {
        request: Box<ProxyRequest>,
        /// Its head as it came.
        head: Vec<u8>,
    },
    /// Nothing yet: it begins with TLS.
    Tls(ClientHello),
    /// Something that is not served, and is answered so.
    Refused(Reason, Answer),
    /// It left, or has asked nothing for long, or the capture stops.
    Nothing,
}

/// How long a client may take to ask.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// From the connection, or the answer before, to the first byte. Browsers connect before they have a question; a peer that
    /// has none for ever must not hold a thread for ever.
    pub(crate) first_byte: Duration,
    /// From a head's first byte to its last, however busily it drips in.
    pub(crate) head: Duration,
}

impl Default for Patience {
    /// Five minutes, as Squid has it (request_start_timeout), and longer than browsers keep a connection that idles; a minute,
    /// as servers commonly allow (nginx: client_header_timeout).
    fn default() -> Self {
        Self { first_byte: Duration::from_secs(5 * 60), head: Duration::from_secs(60) }
    }
}

/// Waits for a request. The first byte may take its time; the rest of a head may not. An origin that is kept for the next
/// request and ends meanwhile is let go.
fn await_request(shared: &Shared, client: &mut Leg, kept: &mut Option<Kept>) -> Asked {
    let began = Moment::now();
    let mut head_began = None;
    let (mut end, mut searched, mut judged) = (HeadScanner::for_message(), 0, 0);
    loop {
        // Once the head is whole, or there is twice as much as before: one that drips in is not read anew for each drop.
        let bytes = client.unread();
        let found = end.find(bytes.get(searched..).unwrap_or_default());
        searched = bytes.len();
        if found.is_err() {
            return refused(&Refusal::HeadTooLong);
        }
        if found != Ok(None) || searched >= judged * 2 {
            judged = searched;
            if let Some(asked) = judge(shared, client) {
                return asked;
            }
        }
        if client.ended().is_some() {
            return Asked::Nothing;
        }
        let now = Moment::now();
        if !client.unread().is_empty() {
            head_began.get_or_insert(now);
        }
        let deadline = match head_began {
            None => began.plus(shared.patience.first_byte),
            Some(began) => began.plus(shared.patience.head),
        };
        let left = deadline.since(now);
        if left.is_zero() {
            return match head_began {
                None => Asked::Nothing,
                Some(_) => Asked::Refused(Reason::Refused("its head took too long".into()), Answer::too_slow()),
            };
        }
        let (stop, input) = ((shared.stop.as_fd(), Interest::READ), (client.fd(), Interest::READ));
        let ready = match kept {
            Some(kept) => sys::wait([stop, input, (kept.leg.fd(), Interest::READ)], Some(left)),
            None => sys::wait([stop, input], Some(left)).map(|[stop, input]| [stop, input, Interest::default()]),
        };
        let Ok([stopped, of_client, of_origin]) = ready else {
            return Asked::Nothing;
        };
        if stopped.read {
            return Asked::Nothing;
        }
        if of_origin.read {
            *kept = None;
        }
        if of_client.read {
            // In the clear this cannot fail.
            let _ = client.receive(&mut |_| 0);
        }
    }
}

/// What was asked, if it is all there; it is taken from what is unread, but for a ClientHello.
fn judge(shared: &Shared, client: &mut Leg) -> Option<Asked> {
    let bytes = client.unread();
    if bytes.first() == Some(&TLS_HANDSHAKE) {
        if !shared.transparent {
            return Some(Asked::Refused(Reason::NotForAProxy, Answer::not_tls()));
        }
        return match client_hello::parse(bytes) {
            Ok(hello) => hello.map(Asked::Tls),
            Err(_) => Some(Asked::Nothing),
        };
    }
    match proxy_request::parse(bytes) {
        Ok(None) => None,
        Ok(Some((used, request))) => {
            let head = bytes.get(..used).unwrap_or_default().to_vec();
            client.consume(used);
            Some(Asked::Http { request: Box::new(request), head })
        }
        Err(refusal) => Some(refused(&refusal)),
    }
}

fn refused(refusal: &Refusal) -> Asked {
    match refusal {
        // It was meant for a proxy, and any other would have served it perhaps: that is told apart.
        Refusal::HeadTooLong => {
            Asked::Refused(Reason::Refused("its head is too long".into()), Answer::too_long(refusal))
        }
        _ => Asked::Refused(Reason::NotForAProxy, Answer::bad_request(&refusal.to_string())),
    }
}

/// Whether a request for `authority` is for the proxy's own page.
fn is_own(shared: &Shared, authority: &Authority) -> bool {
    authority.host == Host::Name(MAGIC_NAME.into()) || leads_here(authority, shared.listen, &shared.stop)
}

fn own_page(shared: &Shared, client: &mut Leg, head: &RequestHead) {
    let ca = shared.capture.as_ref().map(|capture| &capture.ca);
    let answer = Answer::own(&head.method, &head.target, ca, shared.listen);
    page::answer_to(client, &head.method, &answer, &shared.stop);
}

/// Opens a tunnel. The client is answered once the origin is there, so that it learns of one that is not.
fn connect(shared: &Shared, mut client: Leg, authority: Authority) -> Option<Tunnel> {
    if authority.host == Host::Name(MAGIC_NAME.into()) {
        page::answer(&mut client, &Answer::no_tunnel_to_itself(), &shared.stop);
        return None;
    }
    match reach(shared, &authority) {
        Ok((origin, reached)) => {
            client.send(b"HTTP/1.1 200 Connection established\r\n\r\n");
            return tunnel::open(shared, client, origin, Route { authority, reached });
        }
        Err(Undialled::Ourselves) => page::answer(&mut client, &Answer::no_tunnel_to_itself(), &shared.stop),
        Err(Undialled::Stopped) => {}
        Err(why) => {
            shared.counters.add_uncaptured(&authority.to_string(), Reason::Unreachable(why.to_string()));
            page::answer(&mut client, &Answer::unreachable(&authority, &why), &shared.stop);
        }
    }
    None
}

/// A ClientHello without a CONNECT before it: its SNI says where to.
fn redirected_tls(shared: &Shared, client: Leg, hello: &ClientHello) -> Option<Tunnel> {
    let Sni::Dns(name) = &hello.server_name else {
        let why = "it was redirected here without a server name that says where to".to_owned();
        shared.counters.add_uncaptured("(unknown)", Reason::ClientTls(why));
        return None;
    };
    let authority = Authority { host: Host::Name(name.to_ascii_lowercase()), port: 443 };
    match reach(shared, &authority) {
        Ok((origin, reached)) => return tunnel::open(shared, client, origin, Route { authority, reached }),
        Err(Undialled::Stopped) => {}
        Err(why) => shared.counters.add_uncaptured(&authority.to_string(), Reason::Unreachable(why.to_string())),
    }
    None
}

fn reach(shared: &Shared, authority: &Authority) -> Result<(Leg, ConnectTiming), Undialled> {
    let dialled = dial(authority, shared.listen, &shared.stop)?;
    let reached = ConnectTiming { dns_ms: dialled.dns_ms, connect_ms: dialled.connect_ms, tls_ms: 0.0 };
    Ok((Leg::new(dialled.socket).map_err(Undialled::Unconnected)?, reached))
}

/// The name under which people look for such a proxy's certificate, wherever it listens.
const MAGIC_NAME: &str = "mitm.it";
/// The type of a TLS record that begins a handshake (RFC 8446 section 5.1); no method begins with it.
const TLS_HANDSHAKE: u8 = 22;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Observer;
    use crate::counters::Counters;
    use crate::net::idle::Idle;
    use crate::net::stop::Stop;
    use crate::notice::Uncaptured;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::thread;

    /// What is waited for here, and what no test waits for.
    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(20);

    /// Serves `client` one connection with this patience: what the client says it was told, and what is named.
    fn served(patience: Patience, client: fn(TcpStream) -> String) -> (String, Vec<Uncaptured>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        socket.set_read_timeout(Some(LONG)).unwrap();
        let client = thread::spawn(move || client(socket));
        let stop = Stop::new().unwrap();
        let shared = Shared {
            listen: listener.local_addr().unwrap(),
            transparent: false,
            patience,
            idle: Idle::new(&stop).unwrap(),
            stop,
            counters: Arc::new(Counters::new(Observer::default(), false)),
            capture: None,
        };
        assert!(serve(&shared, listener.accept().unwrap().0).is_none());
        (client.join().unwrap(), shared.counters.uncaptured())
    }

    #[test]
    fn a_head_that_drips_in_has_a_deadline() {
        let (told, named) = served(Patience { first_byte: LONG, head: SHORT }, |mut socket| {
            let (began, mut told) = (Moment::now(), [0; 12]);
            // A byte each time that nothing is said to it.
            socket.set_read_timeout(Some(SHORT / 20)).unwrap();
            while socket.peek(&mut told).is_err() {
                socket.write_all(b"G").unwrap();
                assert!(Moment::now().since(began) < LONG, "it is listened to for ever");
            }
            socket.read_exact(&mut told).unwrap();
            String::from_utf8(told.to_vec()).unwrap()
        });
        assert_eq!(told, "HTTP/1.1 408");
        assert!(matches!(&named[..], [Uncaptured { reason: Reason::Refused(_), .. }]), "{named:?}");
    }

    #[test]
    fn a_client_that_asks_nothing_is_let_go_without_a_word() {
        let (told, named) = served(Patience { first_byte: SHORT, head: LONG }, |mut socket| {
            let mut told = String::new();
            socket.read_to_string(&mut told).unwrap();
            told
        });
        assert_eq!((told.as_str(), named.len()), ("", 0));
    }
}
