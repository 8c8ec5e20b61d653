//! One plain request (`GET http://…` or `https://…`) to its origin, and its response.
//!
//! The head was rewritten when it was parsed (`wire/proxy_request.rs`); all other bytes pass unchanged. The client's
//! next request may be for another origin, so data after the end of this request is held back until the response is
//! complete. The framing of the request is determined once, for forwarding and for recording.
//!
//! A client with `Expect: 100-continue` may omit the body after an error (RFC 9110 section 10.1.1). If what follows looks
//! like a request, both connections are closed: the origin may still expect the body, and a body that looks like a request
//! must never be served as one. Clients repeat a request on a new connection if a kept one was closed.
//!
//! An upstream HTTP proxy gets the request in absolute form, with its credentials. What is recorded is the same as without it.
//!
//! An origin that closes before it answers is reported to the client with 502. On a kept connection, the request is first
//! sent again where that is safe (`resend.rs`).

mod progress;
mod resend;
mod watcher;

use super::dial::DialError;
use super::leg::Leg;
use super::origin_tls::{self, ConnectError};
use super::relay::{self, Relay, RelayEnd, Watcher as _};
use super::response::Response;
use super::shared::Shared;
use super::sys::{self, Interest};
use super::upstream::Connected;
use crate::clock::Moment;
use crate::counters::ByteCounter;
use crate::notice::{NameSource, Reason};
use crate::record::account::Account;
use crate::record::origin::{ConnectTiming, Origin};
use crate::record::recorder::Recorder;
use crate::wire::authority::{Authority, Host};
use crate::wire::http1::Http1Tap;
use crate::wire::http1::framing::request_framing;
use crate::wire::proxy_request::PlainRequest;
use crate::wire::tap::{Dir, Ending};
use crate::wire::upstream::answer::HeldAnswer;
pub(crate) use progress::Target;
use progress::{RequestBody, ResponseState};
use resend::Resend;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::Duration;
use watcher::{ExchangeWatcher, OriginState};

/// The connection to the origin of the last request, kept for the next one.
pub(crate) struct KeepAlive {
    authority: Authority,
    pub(crate) leg: Leg,
    /// The time it took to connect; `None` once it was recorded.
    timing: Option<ConnectTiming>,
}

impl KeepAlive {
    /// True if the origin has sent more than its response, or has closed.
    pub(crate) fn has_event(&self) -> bool {
        sys::wait([(self.leg.fd(), Interest::READ)], Some(Duration::ZERO)).is_ok_and(|[ready]| ready.read)
    }
}

/// A tunnel that an upstream proxy forbids. The client believes that it is open: its plain requests are forwarded one by one.
#[derive(Debug)]
pub(crate) struct ForbiddenTunnel {
    pub(crate) authority: Authority,
    /// A clause about the origin.
    pub(crate) why: String,
}

impl ForbiddenTunnel {
    /// True if a request with this Host field reaches the origin of the tunnel. The upstream proxy connects to that host: it
    /// replaces the field by the host in the target. For an address it is the only name.
    pub(crate) fn leads_to(&self, host: &Authority) -> bool {
        let is_address = !matches!(self.authority.host, Host::Name(_));
        *host == self.authority || is_address && host.port == self.authority.port
    }
}

/// A plain request whose response is not complete.
pub(crate) struct Exchange {
    relay: Relay,
    watcher: ExchangeWatcher,
    authority: Authority,
    /// The URL of the upstream proxy that got the request in absolute form.
    proxy: Option<String>,
    /// The error of the connection on which the request was to be sent again.
    failure: Option<ConnectError>,
    /// The tunnel that the request was sent in.
    pub(crate) tunnel: Option<ForbiddenTunnel>,
}

impl Exchange {
    /// Sends `request`, whose body is not yet read from `client`, to its origin. Returns `None` if that is impossible,
    /// after an error response.
    pub(crate) fn begin(
        shared: &Shared,
        mut client: Leg,
        request: PlainRequest,
        target: Target,
        kept: Option<KeepAlive>,
    ) -> Option<Self> {
        let Ok(framing) = request_framing(&request.head) else {
            let why = "the length of the request body is ambiguous";
            shared.counters.add_uncaptured(&request.authority.to_string(), Reason::Refused(why.into()));
            Response::bad_request(why).send(&mut client, &shared.stop);
            return None;
        };
        let KeepAlive { authority, leg: mut origin, timing } =
            match connect(shared, &request.authority, request.is_tls, kept) {
                Ok(connection) => connection,
                Err(why) => {
                    if let Some(reason) = why.reason() {
                        shared.counters.add_uncaptured(&request.authority.to_string(), reason);
                        Response::unreachable(&request.authority, &why).send(&mut client, &shared.stop);
                    }
                    return None;
                }
            };

        let wanted = shared
            .capture
            .as_ref()
            .filter(|capture| capture.filter.includes([(authority.host.to_string().as_str(), authority.port)]));
        let is_kept = timing.is_none();
        let recorded_origin = Origin { is_tls: request.is_tls, authority: authority.clone(), connect_timing: timing };
        let account = Account::new(&shared.resources.recording);
        let sink = wanted.map(|capture| capture.sink.clone());
        let mut recorder = Recorder::new(Box::new(Http1Tap::new()), sink, recorded_origin, account);
        if let Some(capture) = wanted {
            recorder = recorder.excluding(Arc::clone(&capture.filter));
        }
        let proxy = (!request.is_tls).then(|| shared.upstream.forwarding(&authority)).flatten();
        let credentials = proxy.and_then(|proxy| proxy.credentials());
        let absolute = proxy.and_then(|_| {
            let authorization = credentials.map(|credentials| credentials.basic());
            request.to_absolute_form(authorization.as_deref())
        });
        let domain = authority.host.to_string();
        shared.counters.add_request(&domain);
        let counted_domain = shared.capture.is_none().then_some(&*domain);
        let mut byte_counter = ByteCounter::new(Arc::clone(&shared.counters), counted_domain);
        byte_counter.add(Dir::Up, request.wire.len());
        recorder.data(Moment::now(), Dir::Up, &request.wire);
        let sent = absolute.unwrap_or(request.wire);
        origin.send(&sent);
        let body = RequestBody::new(&request.head, framing);
        let may_resend = is_kept && matches!(body, RequestBody::Complete);
        let resend = may_resend.then(|| Resend::new(&request.head, sent, &shared.resources)).flatten();
        let watcher = ExchangeWatcher {
            recorder,
            byte_counter,
            counters: wanted.map(|_| Arc::clone(&shared.counters)),
            host: authority.to_string(),
            body,
            request: request.head,
            target,
            response: ResponseState::Awaited,
            origin: OriginState::Silent(resend),
            held: proxy.map(|_| HeldAnswer::new(credentials.is_some())),
            released: Vec::new(),
            refusal: None,
        };
        let proxy = proxy.map(ToString::to_string);
        Some(Self { relay: Relay::new(client, origin), watcher, authority, proxy, failure: None, tunnel: None })
    }

    /// Relays until the exchange ends or is idle.
    pub(crate) fn relay(&mut self, shared: &Shared) -> RelayEnd {
        loop {
            let end = self.relay.run(&mut self.watcher, &shared.stop);
            let OriginState::Silent(resend) = &mut self.watcher.origin else { return end };
            let Some(Resend { wire, .. }) = resend.take_if(|_| end == RelayEnd::Unanswered) else { return end };
            let is_tls = self.relay.origin.tls().is_some();
            // The old connection is closed first: the origin may serve one at a time.
            self.relay.origin.end(Ending::Clean);
            match connect(shared, &self.authority, is_tls, None) {
                Ok(KeepAlive { mut leg, .. }) => {
                    leg.send(&wire);
                    self.watcher.byte_counter.add(Dir::Up, wire.len());
                    self.relay.origin = leg;
                }
                Err(why) if why.reason().is_none() => return RelayEnd::Stopped,
                Err(why) => {
                    self.failure = Some(why);
                    return end;
                }
            }
        }
    }

    /// Ends the exchange, whose relay ended with `end`. If the client's next request can be served, returns the client, and
    /// the connection to the origin if it is kept for that request.
    pub(crate) fn close(self, end: RelayEnd, shared: &Shared) -> Option<(Leg, Option<KeepAlive>)> {
        let Self { relay: Relay { mut client, mut origin, .. }, mut watcher, authority, proxy, failure, .. } = self;
        let stop = &shared.stop;
        let persists = watcher.persists();
        match end {
            RelayEnd::Done => {
                // Later bytes belong to the next exchange.
                watcher.end(Dir::Up, Ending::Abandoned);
                if matches!(watcher.response, ResponseState::EndedByNextRequest { .. }) {
                    // As the close would end it.
                    watcher.end(Dir::Down, Ending::Clean);
                }
                if persists {
                    let may_keep = !matches!(watcher.origin, OriginState::ExceededResponse);
                    let kept = may_keep.then_some(KeepAlive { authority, leg: origin, timing: None });
                    return Some((client, kept));
                }
                relay::close(&mut client, stop);
            }
            RelayEnd::Unanswered => {
                let how = origin.ended().unwrap_or(Ending::Abandoned);
                watcher.end(Dir::Down, how);
                watcher.end(Dir::Up, Ending::Abandoned);
                drop(origin);
                let response = match (watcher.refusal.take(), failure, proxy) {
                    (Some(refusal), _, Some(proxy)) => {
                        let why = DialError::Upstream { proxy, cause: Box::new(refusal), forbids_tunnel: false };
                        shared.counters.add_uncaptured(&authority.to_string(), Reason::Unreachable(why.to_string()));
                        Response::unreachable(&authority, &why)
                    }
                    (_, Some(why), _) => Response::unreachable(&authority, &why),
                    (_, None, Some(proxy)) => Response::unanswered(&format!("the upstream proxy {proxy}"), how),
                    (_, None, None) => Response::unanswered(&authority.to_string(), how),
                };
                response.send_to(&watcher.request.method, &mut client, stop);
            }
            RelayEnd::Stopped => {
                // An incomplete response must not look like a clean end.
                let is_complete = matches!(watcher.response, ResponseState::Complete { .. });
                let how = if is_complete && client.is_flushed() { Ending::Clean } else { Ending::Reset };
                client.end(how);
                origin.end(how);
            }
            RelayEnd::Closed | RelayEnd::Idle => {}
        }
        None
    }

    /// The events that it waits for while it is idle.
    pub(crate) fn interests(&self) -> [(BorrowedFd<'_>, Interest); 2] {
        self.relay.interests(&self.watcher)
    }
}

/// Returns the kept connection if it leads to the origin `authority` and is usable, or else a new one, with TLS if `is_tls`.
fn connect(
    shared: &Shared,
    authority: &Authority,
    is_tls: bool,
    kept: Option<KeepAlive>,
) -> Result<KeepAlive, ConnectError> {
    let usable = kept.filter(|KeepAlive { authority: kept, leg, .. }| {
        // A request for https must not be sent in the clear, nor another one within TLS.
        kept == authority && leg.tls().is_some() == is_tls && leg.ended().is_none() && leg.is_writable()
    });
    if let Some(kept) = usable {
        return Ok(kept);
    }
    let Connected { leg, timing } = origin_tls::connect(shared, authority, is_tls)?;
    let host = authority.host.to_string();
    shared.counters.add_connection(&host, NameSource::Name);
    if shared.capture.as_ref().is_some_and(|capture| !capture.filter.includes([(host.as_str(), authority.port)])) {
        shared.counters.add_uncaptured(&authority.to_string(), Reason::NotMatched);
    }
    Ok(KeepAlive { authority: authority.clone(), leg, timing: Some(timing) })
}
