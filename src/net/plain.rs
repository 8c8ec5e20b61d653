//! One plain request (`GET http://…` or `https://…`) to its origin, and its response.
//!
//! The head was rewritten when it was parsed (`wire/proxy_request.rs`); all other bytes pass unchanged. The client's
//! next request may be for another origin, so data after the end of this request is held back until the response is
//! complete. The framing of the request is determined once, for forwarding and for recording.
//!
//! A client with `Expect: 100-continue` may omit the body after an error (RFC 9110 section 10.1.1). If what follows looks
//! like a request, both connections are closed: the origin may still expect the body, and a body that looks like a request
//! must never be served as one. Clients repeat a request on a new connection if a kept one was closed.

use super::leg::{Leg, MAX_UNUSED_READ_BYTES};
use super::origin_tls::{self, ConnectError};
use super::relay::{self, Relay, RelayEnd, Watcher};
use super::response::Response;
use super::shared::Shared;
use super::stop::Stop;
use super::sys::Interest;
use super::upstream::Connected;
use crate::clock::Moment;
use crate::counters::{ByteCounter, Counters};
use crate::notice::{NameSource, Reason};
use crate::record::account::Account;
use crate::record::origin::{ConnectTiming, Origin};
use crate::record::recorder::Recorder;
use crate::wire::authority::Authority;
use crate::wire::http1::Http1Tap;
use crate::wire::http1::body::Http1BodyReader;
use crate::wire::http1::expect::{Continuation, Expectation};
use crate::wire::http1::framing::{Framing, persists, request_framing, response_framing};
use crate::wire::message::RequestHead;
use crate::wire::proxy_request::PlainRequest;
use crate::wire::tap::{Dir, Ending, Finish, Opaque, TapEvent};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

/// The connection to the origin of the last request, kept for the next one.
pub(crate) struct KeepAlive {
    authority: Authority,
    pub(crate) leg: Leg,
    /// The time it took to connect; `None` once it was recorded.
    timing: Option<ConnectTiming>,
}

/// A plain request whose response is not complete.
pub(crate) struct Exchange {
    relay: Relay,
    watcher: ExchangeWatcher,
    authority: Authority,
}

impl Exchange {
    /// Sends `request`, whose body is not yet read from `client`, to its origin. Returns `None` if that is impossible,
    /// after an error response.
    pub(crate) fn begin(
        shared: &Shared,
        mut client: Leg,
        request: PlainRequest,
        kept: Option<KeepAlive>,
    ) -> Option<Self> {
        let Ok(framing) = request_framing(&request.head) else {
            Response::bad_request("the length of the request body is ambiguous").send(&mut client, &shared.stop);
            return None;
        };
        let KeepAlive { authority, leg: mut origin, timing } = match connect(shared, &request, kept) {
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
        let recorded_origin = Origin { is_tls: request.is_tls, authority: authority.clone(), connect_timing: timing };
        let account = Account::new(&shared.resources.recording);
        let sink = wanted.map(|capture| capture.sink.clone());
        let mut recorder = Recorder::new(Box::new(Http1Tap::new()), sink, recorded_origin, account);
        if let Some(capture) = wanted {
            recorder = recorder.excluding(Arc::clone(&capture.filter));
        }
        let domain = authority.host.to_string();
        shared.counters.add_request(&domain);
        let counted_domain = shared.capture.is_none().then_some(&*domain);
        let mut byte_counter = ByteCounter::new(Arc::clone(&shared.counters), counted_domain);
        byte_counter.add(Dir::Up, request.wire.len());
        let mut watcher = ExchangeWatcher {
            recorder,
            byte_counter,
            counters: wanted.map(|_| Arc::clone(&shared.counters)),
            host: authority.to_string(),
            body: RequestBody::new(&request.head, framing),
            request: request.head,
            response: ResponseState::Awaited,
        };
        watcher.recorder.data(Moment::now(), Dir::Up, &request.wire);
        origin.send(&request.wire);
        Some(Self { relay: Relay::new(client, origin), watcher, authority })
    }

    /// Relays until the exchange ends or is idle.
    pub(crate) fn relay(&mut self, stop: &Stop) -> RelayEnd {
        self.relay.run(&mut self.watcher, stop)
    }

    /// Ends the exchange, whose relay ended with `end`. If the client's next request can be served, returns the client and
    /// the connection to the origin, which is kept for that request.
    pub(crate) fn close(self, end: RelayEnd, stop: &Stop) -> Option<(Leg, KeepAlive)> {
        let Self { relay: Relay { mut client, mut origin, .. }, mut watcher, authority } = self;
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
                    return Some((client, KeepAlive { authority, leg: origin, timing: None }));
                }
                relay::close(&mut client, stop);
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

/// Returns the kept connection if it leads to the origin of `request` and is usable, or else a new one.
fn connect(shared: &Shared, request: &PlainRequest, kept: Option<KeepAlive>) -> Result<KeepAlive, ConnectError> {
    let PlainRequest { authority, is_tls, .. } = request;
    let usable = kept.filter(|KeepAlive { authority: kept, leg, .. }| {
        // A request for https must not be sent in the clear, nor another one within TLS.
        kept == authority && leg.tls().is_some() == *is_tls && leg.ended().is_none() && leg.is_writable()
    });
    if let Some(kept) = usable {
        return Ok(kept);
    }
    let Connected { leg, timing } = origin_tls::connect(shared, authority, *is_tls)?;
    let host = authority.host.to_string();
    shared.counters.add_connection(&host, NameSource::Name);
    if shared.capture.as_ref().is_some_and(|capture| !capture.filter.includes([(host.as_str(), authority.port)])) {
        shared.counters.add_uncaptured(&authority.to_string(), Reason::NotMatched);
    }
    Ok(KeepAlive { authority: authority.clone(), leg, timing: Some(timing) })
}

/// Watches one exchange.
struct ExchangeWatcher {
    recorder: Recorder,
    byte_counter: ByteCounter,
    /// Receives reports of data that is not recorded; `None` if the exchange is not captured.
    counters: Option<Arc<Counters>>,
    host: String,
    request: RequestHead,
    body: RequestBody,
    response: ResponseState,
}

/// The progress of the request's body.
enum RequestBody {
    /// Its end is not reached.
    Passing {
        reader: Http1BodyReader,
        /// The client's expectation of 100, until the body begins. It counts as answered by an error.
        expectation: Option<Expectation>,
    },
    /// It has ended: what follows is the next request.
    Complete,
    /// Something that looks like a request follows in the place of the body. Neither is forwarded.
    Omitted,
    /// Its end cannot be found, or the protocol was switched: all further data goes to the origin.
    UntilClose,
}

/// The progress of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResponseState {
    Awaited,
    /// The head was received.
    Started {
        /// True if the connection to the origin can be used again afterwards.
        persists: bool,
    },
    /// The head was received, and the end of the response is unknown. The client knows it once it sends its next request.
    UnknownEnd {
        persists: bool,
    },
    /// The client's next request shows that a response whose end is unknown is over.
    EndedByNextRequest {
        persists: bool,
    },
    /// The response is complete, and so is the exchange once the request is.
    Complete {
        persists: bool,
    },
    /// Client and origin have switched to another protocol.
    Switched,
    /// The response ends with the origin's connection, or cannot be parsed: all further data goes to the client.
    UntilClose,
}

impl Watcher for ExchangeWatcher {
    fn bytes(&mut self, dir: Dir, bytes: &[u8]) -> usize {
        let now = Moment::now();
        let passed = match dir {
            Dir::Up => self.request_bytes(bytes),
            Dir::Down => bytes.len(),
        };
        let bytes = bytes.get(..passed).unwrap_or_default();
        if passed == 0 {
            return 0;
        }
        self.byte_counter.add(dir, bytes.len());
        let (response, body, request) = (&mut self.response, &mut self.body, &self.request);
        self.recorder.data_observed(now, dir, bytes, &mut |event| {
            response.update(request, event);
            if *response == ResponseState::Switched {
                *body = RequestBody::UntilClose;
            }
            match (event, &mut *body) {
                // After a success, clients send the body.
                (TapEvent::Response { head, .. }, RequestBody::Passing { expectation: Some(expectation), .. })
                    if head.status >= 300 =>
                {
                    expectation.answered();
                }
                _ => {}
            }
        });
        self.report_unrecorded();
        passed
    }

    fn end(&mut self, dir: Dir, how: Ending) {
        if dir == Dir::Down {
            self.response.origin_ended();
        }
        self.recorder.end(Moment::now(), dir, how);
        self.report_unrecorded();
    }

    fn accepts_more(&self) -> bool {
        matches!(self.body, RequestBody::Passing { .. } | RequestBody::UntilClose)
    }

    /// The next requests may follow the body.
    fn max_read(&self, dir: Dir) -> usize {
        match (dir, &self.body) {
            (Dir::Down, _) | (_, RequestBody::UntilClose) => usize::MAX,
            (Dir::Up, _) => MAX_UNUSED_READ_BYTES,
        }
    }

    fn is_done(&self) -> bool {
        match self.response {
            ResponseState::EndedByNextRequest { .. } => true,
            ResponseState::Complete { .. } => matches!(self.body, RequestBody::Complete | RequestBody::Omitted),
            _ => false,
        }
    }
}

impl ExchangeWatcher {
    /// Returns how many of the client's `bytes` belong to the request's body, and may pass.
    fn request_bytes(&mut self, bytes: &[u8]) -> usize {
        match &mut self.body {
            RequestBody::Passing { reader, expectation } => {
                if !bytes.is_empty()
                    && let Some(mut expectation) = expectation.take()
                    && matches!(self.response, ResponseState::Complete { .. })
                    && expectation.decide(bytes) == Some(Continuation::NextRequest)
                {
                    self.body = RequestBody::Omitted;
                    return 0;
                }
                match reader.skip(bytes) {
                    Ok(n) => {
                        if reader.is_done() {
                            self.body = RequestBody::Complete;
                        }
                        n
                    }
                    // Malformed chunks: the start of the next request is unknown, so none is read.
                    Err(_) => {
                        self.body = RequestBody::UntilClose;
                        bytes.len()
                    }
                }
            }
            RequestBody::Complete => {
                if let ResponseState::UnknownEnd { persists } = self.response
                    // Some clients send an empty line after a body (RFC 9112 section 2.2).
                    && !bytes.trim_ascii_start().is_empty()
                {
                    self.response = ResponseState::EndedByNextRequest { persists };
                }
                0
            }
            RequestBody::Omitted => 0,
            RequestBody::UntilClose => bytes.len(),
        }
    }

    /// True if the client's next request can be served once this exchange is done.
    fn persists(&self) -> bool {
        use ResponseState::{Complete, EndedByNextRequest};
        let is_omitted = matches!(self.body, RequestBody::Omitted);
        !is_omitted && matches!(self.response, Complete { persists: true } | EndedByNextRequest { persists: true })
    }

    fn report_unrecorded(&mut self) {
        let Some(counters) = &self.counters else { return };
        for reason in self.recorder.take_unrecorded() {
            counters.add_uncaptured(&self.host, reason);
        }
        for (host, reason) in self.recorder.take_excluded() {
            counters.add_uncaptured(&host.to_string(), reason);
        }
    }
}

impl RequestBody {
    fn new(head: &RequestHead, framing: Framing) -> Self {
        let reader = Http1BodyReader::new(framing);
        match reader.is_done() {
            true => Self::Complete,
            false => Self::Passing { reader, expectation: Expectation::new(head, framing) },
        }
    }
}

impl ResponseState {
    fn update(&mut self, request: &RequestHead, event: &TapEvent<'_>) {
        *self = match (event, *self) {
            (TapEvent::Upgraded { .. }, _) => Self::Switched,
            (TapEvent::Response { head, .. }, _) if head.status == 101 => Self::Switched,
            // After an upgrade to HTTP/2, responses do not change the state.
            (_, Self::Switched) => Self::Switched,
            (TapEvent::Response { .. }, Self::EndedByNextRequest { .. }) => *self,
            (TapEvent::Response { head, .. }, _) => match response_framing(&request.method, head) {
                Framing::Unknown => Self::UnknownEnd { persists: persists(request, head, Framing::Empty) },
                framing => Self::Started { persists: persists(request, head, framing) },
            },
            (TapEvent::End { dir: Dir::Down, how: Finish::Complete, .. }, Self::Started { persists }) => {
                Self::Complete { persists }
            }
            (
                TapEvent::End { dir: Dir::Down, .. } | TapEvent::Opaque { cause: Opaque::MemoryLimit },
                Self::Started { .. } | Self::UnknownEnd { .. } | Self::EndedByNextRequest { .. },
            )
            | (TapEvent::End { dir: Dir::Down, how: Finish::Opaque(_), .. }, _)
            // The tap was dropped, so the end of the response will not be found.
            | (TapEvent::Opaque { cause: Opaque::MemoryLimit }, Self::Awaited) => Self::UntilClose,
            (_, state) => state,
        };
    }

    /// Notes the end of the origin's direction.
    fn origin_ended(&mut self) {
        if matches!(self, Self::UnknownEnd { .. } | Self::EndedByNextRequest { .. }) {
            *self = Self::UntilClose;
        }
    }
}
