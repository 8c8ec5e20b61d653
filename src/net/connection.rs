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
use super::tunnel::{self, Route};
use crate::bundle::recorder::Reached;
use crate::clock::Moment;
use crate::notice::Reason;
use crate::wire::authority::{Authority, Host};
use crate::wire::client_hello::{self, ClientHello, ServerName};
use crate::wire::http1::head::HeadEnd;
use crate::wire::message::RequestHead;
use crate::wire::proxy_request::{self, PlainRequest, ProxyRequest, Refusal};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Duration;

/// Serves one client to its end.
pub(crate) fn serve(shared: &Shared, socket: TcpStream) {
    let Ok(mut client) = Leg::new(socket) else { return };
    let mut kept = None;
    loop {
        let (request, wire) = match await_request(shared, &mut client, &mut kept) {
            Asked::Http { request, head } => (*request, head),
            Asked::Tls(hello) => return redirected_tls(shared, client, &hello),
            Asked::Nonsense(answer) => {
                shared.tally.uncaptured("(the proxy itself)", Reason::NotForAProxy);
                return page::answer(&mut client, &answer, &shared.stop);
            }
            Asked::Nothing => return,
        };
        let next = match request {
            ProxyRequest::Connect(authority) => return connect(shared, client, authority),
            ProxyRequest::Absolute(request) if is_own(shared, &request.authority) => {
                return own_page(shared, &mut client, &request.head);
            }
            ProxyRequest::Absolute(request) => plain::exchange(shared, &mut client, request, &mut kept),
            ProxyRequest::Origin { host: Some(host), head } if is_own(shared, &host) => {
                return own_page(shared, &mut client, &head);
            }
            ProxyRequest::Origin { host: Some(host), head } if shared.transparent => {
                let request = PlainRequest::from_origin_form(host, head, &wire);
                plain::exchange(shared, &mut client, request, &mut kept)
            }
            ProxyRequest::Origin { .. } => {
                shared.tally.uncaptured("(the proxy itself)", Reason::NotForAProxy);
                return page::answer(&mut client, &Answer::not_for_a_proxy(), &shared.stop);
            }
        };
        if next == Next::End {
            return;
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
    /// Something that is answered so.
    Nonsense(Answer),
    /// It left, or took too long, or the capture stops.
    Nothing,
}

/// Waits for a request. The first byte may take its time; the rest of a head may not. An origin that is kept for the next
/// request and ends meanwhile is let go.
fn await_request(shared: &Shared, client: &mut Leg, kept: &mut Option<Kept>) -> Asked {
    let mut deadline = None;
    let (mut end, mut searched, mut judged) = (HeadEnd::message(), 0, 0);
    loop {
        // Once the head is whole, or there is twice as much as before: one that drips in is not read anew for each drop.
        let bytes = client.unread();
        let found = end.find(bytes.get(searched..).unwrap_or_default());
        searched = bytes.len();
        if found.is_err() {
            return Asked::Nonsense(Answer::bad_request(&Refusal::TooLong.to_string()));
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
        if !client.unread().is_empty() && deadline.is_none() {
            deadline = Some(Moment::now().plus(HEAD));
        }
        let left = deadline.map(|deadline| deadline.since(Moment::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Asked::Nothing;
        }
        let (stop, input) = ((shared.stop.as_fd(), Interest::READ), (client.fd(), Interest::READ));
        let ready = match kept {
            Some(kept) => sys::wait([stop, input, (kept.leg.fd(), Interest::READ)], left),
            None => sys::wait([stop, input], left).map(|[stop, input]| [stop, input, Interest::default()]),
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
            return Some(Asked::Nonsense(Answer::not_tls()));
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
        Err(refusal) => Some(Asked::Nonsense(Answer::bad_request(&refusal.to_string()))),
    }
}

/// Whether a request for `authority` is for the proxy's own page.
fn is_own(shared: &Shared, authority: &Authority) -> bool {
    authority.host == Host::Name(MAGIC_NAME.into()) || leads_here(authority, shared.listen, &shared.stop)
}

fn own_page(shared: &Shared, client: &mut Leg, head: &RequestHead) {
    let ca_pem = shared.capture.as_ref().map(|capture| capture.ca_pem.as_str());
    page::answer_to(client, &head.method, &Answer::own(&head.method, &head.target, ca_pem), &shared.stop);
}

/// Opens a tunnel. The client is answered once the origin is there, so that it learns of one that is not.
fn connect(shared: &Shared, mut client: Leg, authority: Authority) {
    if authority.host == Host::Name(MAGIC_NAME.into()) {
        return page::answer(&mut client, &Answer::no_tunnel_to_itself(), &shared.stop);
    }
    match reach(shared, &authority) {
        Ok((origin, reached)) => {
            client.send(b"HTTP/1.1 200 Connection established\r\n\r\n");
            tunnel::serve(shared, client, origin, Route { authority, reached });
        }
        Err(Undialled::Ourselves) => page::answer(&mut client, &Answer::no_tunnel_to_itself(), &shared.stop),
        Err(Undialled::Stopped) => {}
        Err(why) => {
            shared.tally.uncaptured(&authority.to_string(), Reason::Unreachable(why.to_string()));
            page::answer(&mut client, &Answer::unreachable(&authority, &why), &shared.stop);
        }
    }
}

/// A ClientHello without a CONNECT before it: its SNI says where to.
fn redirected_tls(shared: &Shared, client: Leg, hello: &ClientHello) {
    let ServerName::Dns(name) = &hello.server_name else {
        let why = "it was redirected here without a server name that says where to".to_owned();
        return shared.tally.uncaptured("(unknown)", Reason::ClientTls(why));
    };
    let authority = Authority { host: Host::Name(name.to_ascii_lowercase()), port: 443 };
    match reach(shared, &authority) {
        Ok((origin, reached)) => tunnel::serve(shared, client, origin, Route { authority, reached }),
        Err(Undialled::Stopped) => {}
        Err(why) => shared.tally.uncaptured(&authority.to_string(), Reason::Unreachable(why.to_string())),
    }
}

fn reach(shared: &Shared, authority: &Authority) -> Result<(Leg, Reached), Undialled> {
    let dialled = dial(authority, shared.listen, &shared.stop)?;
    let reached = Reached { dns_ms: dialled.dns_ms, connect_ms: dialled.connect_ms, tls_ms: 0.0 };
    Ok((Leg::new(dialled.socket).map_err(Undialled::Unconnected)?, reached))
}

/// The name under which people look for such a proxy's certificate, wherever it listens.
const MAGIC_NAME: &str = "mitm.it";
/// The type of a TLS record that begins a handshake (RFC 8446 section 5.1); no method begins with it.
const TLS_HANDSHAKE: u8 = 22;
/// As long as a head that was begun may take: what servers commonly allow.
const HEAD: Duration = Duration::from_secs(60);
