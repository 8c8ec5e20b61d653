//! Awaits a client's request: the first one of its connection, or the one after a plain exchange.
//!
//! ```text
//! no byte ── first byte ──▶ part of a head ── rest ──▶ request
//!    │ 5 min                      │ 60 s
//!    └─▶ closed                   └─▶ 408
//! ```
//!
//! A client whose first byte is that of SOCKS5 negotiates first; its request is the last message of the negotiation.
//!
//! A connection that waits for bytes here is idle, also one with a part of a head.

use super::leg::Leg;
use super::plain::{ForbiddenTunnel, KeepAlive};
use super::response::Response;
use super::shared::Shared;
use super::stop::Activity;
use super::sys::{self, Epoll, Interest};
use super::timeouts::Timeouts;
use crate::clock::Moment;
use crate::config::Transparent;
use crate::notice::Reason;
use crate::wire::authority::Authority;
use crate::wire::client_hello::{self, ClientHello};
use crate::wire::credentials::Credentials;
use crate::wire::http1::head_scanner::HeadScanner;
use crate::wire::proxy_request::{self, ProxyRequest, Refusal};
use crate::wire::requested_host::requested_host;
use crate::wire::socks5_server::{self, Negotiation, SOCKS4_REJECTED, Step, is_socks4, is_socks5};
use std::os::fd::BorrowedFd;

/// A client that has not sent its whole request.
pub(crate) struct PendingRequest {
    client: Leg,
    /// The origin connection that is kept for the request. It is closed if the origin ends it in the meantime.
    kept: Option<KeepAlive>,
    progress: Progress,
    deadline: Moment,
    scanner: HeadScanner,
    /// The number of bytes that `scanner` has searched.
    searched: usize,
    /// The number of bytes at the last attempt to parse.
    parsed: usize,
    /// The negotiation of a client that uses SOCKS5.
    socks: Option<Negotiation>,
    /// True if the previous request lacked the password.
    is_challenged: bool,
    /// The tunnel that the client believes to be open.
    tunnel: Option<ForbiddenTunnel>,
}

/// The progress of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// No byte was received.
    Awaited,
    /// A part was received.
    Begun,
}

/// The request of a client.
pub(crate) enum Request {
    Http {
        request: Box<ProxyRequest>,
        received_head: Vec<u8>,
    },
    /// A ClientHello without CONNECT before it, in transparent mode. It stays unread.
    Tls(ClientHello),
    /// A SOCKS5 request for a connection to this origin.
    Socks(Authority),
    /// A request that is refused.
    Refused(RefusedRequest),
    /// No request: the client left, was silent for too long, or sent an invalid ClientHello; or the capture stops.
    None,
}

/// A request that is refused.
pub(crate) struct RefusedRequest {
    /// Its host, if it names one.
    pub(crate) host: Option<Authority>,
    pub(crate) reason: Reason,
    /// The bytes of the response.
    pub(crate) response: Vec<u8>,
}

impl PendingRequest {
    /// Expects a request of `client`, of which some may be unread.
    pub(crate) fn new(
        client: Leg,
        kept: Option<KeepAlive>,
        tunnel: Option<ForbiddenTunnel>,
        timeouts: &Timeouts,
    ) -> Self {
        let deadline = Moment::now().plus(timeouts.first_byte);
        let scanner = HeadScanner::for_message();
        // No wait precedes the parsing of a request that was read already.
        let kept = kept.filter(|kept| client.unread().is_empty() || !kept.has_event());
        Self {
            client,
            kept,
            progress: Progress::Awaited,
            deadline,
            scanner,
            searched: 0,
            parsed: 0,
            socks: None,
            is_challenged: false,
            tunnel,
        }
    }

    /// Expects a request of `client` after one that was answered with 407.
    pub(crate) fn after_challenge(client: Leg, kept: Option<KeepAlive>, timeouts: &Timeouts) -> Self {
        Self { is_challenged: true, ..Self::new(client, kept, None, timeouts) }
    }

    /// True if the previous request lacked the password.
    pub(crate) fn is_challenged(&self) -> bool {
        self.is_challenged
    }

    /// Reads the request. Returns `None` if the connection is idle.
    pub(crate) fn read(&mut self, shared: &Shared) -> Option<Request> {
        let mut activity = Activity::new();
        loop {
            if let Some(request) = self.parse(shared) {
                return Some(request);
            }
            if self.client.ended().is_some() {
                return Some(Request::None);
            }
            if !self.client.unread().is_empty() && self.progress == Progress::Awaited {
                self.progress = Progress::Begun;
                self.deadline = Moment::now().plus(shared.timeouts.head);
            }
            let left = self.deadline.since(Moment::now());
            if left.is_zero() {
                return Some(match self.progress {
                    Progress::Awaited => Request::None,
                    Progress::Begun => self.too_slow(),
                });
            }
            let [of_client, of_kept] = self.interests();
            // Ticks show that the deadline has passed.
            let timeout = activity.is_idle().then_some(left);
            let wanted = [(activity.tick(&shared.stop), Interest::READ), of_client, of_kept];
            let Ok([ticked, client_ready, kept_ready]) = sys::wait(wanted, timeout) else {
                return Some(Request::None);
            };
            if ticked.read && shared.stop.is_set() {
                return Some(Request::None);
            }
            if kept_ready.read {
                self.kept = None;
            }
            if client_ready.read {
                // Without TLS, receive cannot fail.
                let _ = self.client.receive_unread();
            }
            let is_idle = activity.note(ticked.read, client_ready.read || kept_ready.read);
            if is_idle && Epoll::IS_SUPPORTED {
                self.client.shrink();
                return None;
            }
        }
    }

    /// Parses the unread bytes if they may be complete; returns `None` while they are not.
    ///
    /// An HTTP head is parsed when it is complete, and before that each time the bytes have doubled: parsing after every
    /// small piece would take quadratic time. A ClientHello does not end in an empty line; it is short, and parsed after
    /// each read.
    fn parse(&mut self, shared: &Shared) -> Option<Request> {
        let bytes = self.client.unread();
        if self.socks.is_some() || is_socks5(bytes) && self.tunnel.is_none() {
            return self.negotiate(shared.auth.as_ref());
        }
        let found = self.scanner.find(bytes.get(self.searched..).unwrap_or_default());
        self.searched = bytes.len();
        if found.is_err() {
            return Some(invalid(bytes, &Refusal::HeadTooLong));
        }
        if found == Ok(None) && !self.client.charge_unread() {
            let reason = Reason::Refused("the memory limit leaves no room for its head".into());
            let request = refused(self.client.unread(), reason, &Response::head_too_long(&Refusal::HeadTooLong));
            // Not kept while the client reads the response.
            self.client.consume(usize::MAX);
            return Some(request);
        }
        let bytes = self.client.unread();
        if !is_tls(bytes) && found == Ok(None) && self.searched < self.parsed * 2 {
            return None;
        }
        self.parsed = self.searched;
        parse(shared, &mut self.client)
    }

    /// Negotiates SOCKS5 as far as the client's messages are complete.
    fn negotiate(&mut self, credentials: Option<&Credentials>) -> Option<Request> {
        let negotiation = self.socks.get_or_insert_default();
        loop {
            let (used, step) = negotiation.next(self.client.unread(), credentials)?;
            self.client.consume(used);
            match step {
                Step::Reply(reply) => self.client.send(&reply),
                Step::Connect(authority) => return Some(Request::Socks(authority)),
                Step::Refuse { reply, refusal } => {
                    let reason = match refusal {
                        socks5_server::Refusal::NoPassword => Reason::NoPassword,
                        socks5_server::Refusal::WrongPassword => Reason::WrongPassword,
                        _ => Reason::Refused(refusal.to_string()),
                    };
                    let host = if let socks5_server::Refusal::Command(_, host) = refusal { host } else { None };
                    return Some(Request::Refused(RefusedRequest { host, reason, response: reply }));
                }
            }
        }
    }

    /// The request of a client whose time is over.
    fn too_slow(&self) -> Request {
        match self.socks {
            None => {
                let reason = Reason::Refused("its head took too long".into());
                refused(self.client.unread(), reason, &Response::head_too_slow())
            }
            // SOCKS5 has no reply for a timeout during the negotiation.
            Some(_) => {
                let reason = Reason::Refused("its SOCKS negotiation took too long".into());
                Request::Refused(RefusedRequest { host: None, reason, response: Vec::new() })
            }
        }
    }

    /// The client, the origin connection that is kept for its request, and the tunnel that the client believes to be open.
    pub(crate) fn into_parts(self) -> (Leg, Option<KeepAlive>, Option<ForbiddenTunnel>) {
        (self.client, self.kept, self.tunnel)
    }

    /// The events that it waits for while it is idle.
    pub(crate) fn interests(&self) -> [(BorrowedFd<'_>, Interest); 2] {
        let of_kept = match &self.kept {
            Some(KeepAlive { leg, .. }) => (leg.fd(), Interest::READ),
            None => (self.client.fd(), Interest::default()),
        };
        [(self.client.fd(), Interest::READ), of_kept]
    }

    /// The time at which it must be served without an event.
    pub(crate) fn deadline(&self) -> Moment {
        self.deadline
    }
}

/// Parses the unread bytes; returns `None` while the request is incomplete. An HTTP head is consumed, a ClientHello
/// is not.
fn parse(shared: &Shared, client: &mut Leg) -> Option<Request> {
    let bytes = client.unread();
    if is_tls(bytes) {
        if shared.transparent == Transparent::Off {
            return Some(refused(&[], Reason::TlsToTheProxy, &Response::tls_to_the_proxy()));
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
    if is_socks4(bytes) {
        let reason = Reason::Refused("SOCKS4 is not supported, SOCKS5 is".into());
        let response = SOCKS4_REJECTED.to_vec();
        return Some(Request::Refused(RefusedRequest { host: None, reason, response }));
    }
    match proxy_request::parse(bytes) {
        Ok(None) => None,
        Ok(Some((used, request))) => {
            let received_head = bytes.get(..used).unwrap_or_default().to_vec();
            client.consume(used);
            Some(Request::Http { request: Box::new(request), received_head })
        }
        Err(refusal) => Some(invalid(bytes, &refusal)),
    }
}

fn is_tls(bytes: &[u8]) -> bool {
    bytes.first() == Some(&TLS_HANDSHAKE)
}

/// The request that begins with `bytes`, which is not a valid one.
fn invalid(bytes: &[u8], refusal: &Refusal) -> Request {
    match refusal {
        Refusal::HeadTooLong => {
            refused(bytes, Reason::Refused("its head is too long".into()), &Response::head_too_long(refusal))
        }
        _ => {
            let why = refusal.to_string();
            refused(bytes, Reason::Refused(why.clone()), &Response::bad_request(&why))
        }
    }
}

fn refused(bytes: &[u8], reason: Reason, response: &Response<'_>) -> Request {
    let response = response.to_bytes(false);
    Request::Refused(RefusedRequest { host: requested_host(bytes), reason, response })
}

/// The name under which redirected connections without a server name are reported.
pub(crate) const UNKNOWN_HOST: &str = "(unknown)";
/// The type of a TLS record with a handshake message (RFC 8446 section 5.1). No HTTP method starts with this byte.
const TLS_HANDSHAKE: u8 = 22;
