//! One plain request (`GET http://…`) to its origin, and its response.
//!
//! The head was rewritten when it was parsed (`wire/proxy_request.rs`); all other bytes pass unchanged. The client's
//! next request may be for another origin, so data after the end of this request is held back until the response is
//! complete. The framing of the request is determined once, for forwarding and for recording.
//!
//! A client with `Expect: 100-continue` may omit the body after an error (RFC 9110 section 10.1.1). If what follows looks
//! like a request, both connections are closed: the origin may still expect the body, and a body that looks like a request
//! must never be served as one. Clients repeat a request on a new connection if a kept one was closed.

use super::dial::DialError;
use super::leg::Leg;
use super::relay::{self, RelayEnd, Watcher, relay};
use super::response::Response;
use super::shared::Shared;
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
use std::sync::Arc;

/// The connection to the origin of the last request, kept for the next one.
pub(crate) struct KeepAlive {
    authority: Authority,
    pub(crate) leg: Leg,
    /// The time it took to connect; `None` once it was recorded.
    timing: Option<ConnectTiming>,
}

/// The next step on the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another request may come.
    Request,
    /// The connection has ended, or must be closed.
    End,
}

/// Sends `request`, whose body is not yet read from `client`, to its origin, and relays until the response is complete.
pub(crate) fn exchange(
    shared: &Shared,
    client: &mut Leg,
    request: PlainRequest,
    keep_alive: &mut Option<KeepAlive>,
) -> Next {
    let Ok(framing) = request_framing(&request.head) else {
        Response::bad_request("the length of the request body is ambiguous").send(client, &shared.stop);
        return Next::End;
    };
    let KeepAlive { authority, leg: mut origin, timing } = match connect(shared, &request.authority, keep_alive.take())
    {
        Ok(connection) => connection,
        Err(why) => {
            if !matches!(why, DialError::Stopped) {
                shared.counters.add_uncaptured(&request.authority.to_string(), Reason::Unreachable(why.to_string()));
                Response::unreachable(&request.authority, &why).send(client, &shared.stop);
            }
            return Next::End;
        }
    };

    let wanted = shared
        .capture
        .as_ref()
        .filter(|capture| capture.filter.includes([(authority.host.to_string().as_str(), authority.port)]));
    let recorded_origin = Origin { is_tls: false, authority: authority.clone(), connect_timing: timing };
    let account = Account::new(&shared.resources.recording);
    let sink = wanted.map(|capture| capture.sink.clone());
    let mut recorder = Recorder::new(Box::new(Http1Tap::new()), sink, recorded_origin, account);
    if let Some(capture) = wanted {
        recorder = recorder.excluding(Arc::clone(&capture.filter));
    }
    let is_captured = wanted.is_some();
    let domain = authority.host.to_string();
    shared.counters.add_request(&domain);
    let mut byte_counter = ByteCounter::new(Arc::clone(&shared.counters), shared.capture.is_none().then_some(domain));
    byte_counter.add(Dir::Up, request.wire.len());
    let mut watcher = ExchangeWatcher {
        recorder,
        byte_counter,
        counters: is_captured.then_some(&shared.counters),
        host: authority.to_string(),
        body: Http1BodyReader::new(framing),
        expectation: Expectation::new(&request.head, framing),
        omits_body: false,
        is_endless: false,
        has_next_request: false,
        request: request.head,
        response: ResponseState::Awaited,
        is_interrupted: false,
    };
    watcher.recorder.data(Moment::now(), Dir::Up, &request.wire);
    origin.send(&request.wire);
    let end = relay(client, &mut origin, &mut watcher, &shared.stop);
    let persists = watcher.persists();
    if end == RelayEnd::Done {
        // Later bytes belong to the next exchange.
        watcher.end(Dir::Up, Ending::Abandoned);
        if watcher.is_response_over() {
            // As the close would end it.
            watcher.end(Dir::Down, Ending::Clean);
        }
    }
    match end {
        RelayEnd::Done if persists => {
            *keep_alive = Some(KeepAlive { authority, leg: origin, timing: None });
            Next::Request
        }
        RelayEnd::Done => {
            relay::close(client, &shared.stop);
            Next::End
        }
        RelayEnd::Closed => Next::End,
        // Idle does not occur: this watcher does not allow it.
        RelayEnd::Idle | RelayEnd::Stopped => {
            let how = if watcher.is_interrupted || !client.is_flushed() { Ending::Reset } else { Ending::Clean };
            client.end(how);
            origin.end(how);
            Next::End
        }
    }
}

/// Returns the kept connection if it leads to `authority` and is usable, or else a new one.
fn connect(shared: &Shared, authority: &Authority, kept: Option<KeepAlive>) -> Result<KeepAlive, DialError> {
    let usable =
        kept.filter(|kept| kept.authority == *authority && kept.leg.ended().is_none() && kept.leg.is_writable());
    if let Some(kept) = usable {
        return Ok(kept);
    }
    let Connected { leg, timing } = shared.upstream.connect(authority, &shared.stop)?;
    let host = authority.host.to_string();
    shared.counters.add_connection(&host, NameSource::Name);
    if shared.capture.as_ref().is_some_and(|capture| !capture.filter.includes([(host.as_str(), authority.port)])) {
        shared.counters.add_uncaptured(&authority.to_string(), Reason::NotMatched);
    }
    Ok(KeepAlive { authority: authority.clone(), leg, timing: Some(timing) })
}

/// Watches one exchange.
struct ExchangeWatcher<'a> {
    recorder: Recorder,
    byte_counter: ByteCounter,
    /// Receives reports of data that is not recorded; `None` if the exchange is not captured.
    counters: Option<&'a Counters>,
    host: String,
    /// Finds the end of the request.
    body: Http1BodyReader,
    /// The client's expectation of 100, until the body begins. It counts as answered by an error.
    expectation: Option<Expectation>,
    /// True if something that looks like a request follows in the place of the body.
    omits_body: bool,
    /// True if the end of the request cannot be found.
    is_endless: bool,
    /// True if the client's next request followed after the start of a response whose end is unknown.
    has_next_request: bool,
    request: RequestHead,
    response: ResponseState,
    /// True if the stop of the capture interrupted the exchange.
    is_interrupted: bool,
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
    /// The response is complete, and so is the exchange once the request is.
    Complete {
        persists: bool,
    },
    /// Client and origin have switched to another protocol.
    Switched,
    /// The response ends with the origin's connection, or cannot be parsed: all further data goes to the client.
    UntilClose,
}

impl Watcher for ExchangeWatcher<'_> {
    fn bytes(&mut self, dir: Dir, bytes: &[u8]) -> usize {
        let now = Moment::now();
        let is_complete = matches!(self.response, ResponseState::Complete { .. });
        if dir == Dir::Up
            && !bytes.is_empty()
            && let Some(mut expectation) = self.expectation.take()
            && is_complete
            && expectation.decide(bytes) == Some(Continuation::NextRequest)
        {
            self.omits_body = true;
            return 0;
        }
        if dir == Dir::Up
            && self.body.is_done()
            && matches!(self.response, ResponseState::UnknownEnd { .. })
            // Some clients send an empty line after a body (RFC 9112 section 2.2).
            && !bytes.trim_ascii_start().is_empty()
        {
            self.has_next_request = true;
            return 0;
        }
        let passed = match dir {
            Dir::Up if self.response != ResponseState::Switched && !self.is_endless => match self.body.skip(bytes) {
                Ok(n) => n,
                // Malformed chunks: the start of the next request is unknown, so none is read.
                Err(_) => {
                    self.is_endless = true;
                    bytes.len()
                }
            },
            Dir::Up | Dir::Down => bytes.len(),
        };
        let bytes = bytes.get(..passed).unwrap_or_default();
        self.byte_counter.add(dir, bytes.len());
        let (response, expectation, request) = (&mut self.response, &mut self.expectation, &self.request);
        self.recorder.data_observed(now, dir, bytes, &mut |event| {
            response.update(request, event);
            // After a success, clients send the body.
            if let (Some(expectation), TapEvent::Response { head, .. }) = (expectation.as_mut(), event)
                && head.status >= 300
            {
                expectation.answered();
            }
        });
        self.report_unrecorded();
        passed
    }

    fn end(&mut self, dir: Dir, how: Ending) {
        self.is_interrupted |= how == Ending::Stopped && !matches!(self.response, ResponseState::Complete { .. });
        if dir == Dir::Down && matches!(self.response, ResponseState::UnknownEnd { .. }) {
            self.response = ResponseState::UntilClose;
        }
        self.recorder.end(Moment::now(), dir, how);
        self.report_unrecorded();
    }

    fn accepts_more(&self) -> bool {
        let is_done = self.body.is_done() || self.omits_body;
        !is_done || self.is_endless || self.response == ResponseState::Switched
    }

    fn is_done(&self) -> bool {
        self.is_response_over()
            || (self.body.is_done() || self.omits_body) && matches!(self.response, ResponseState::Complete { .. })
    }
}

impl ExchangeWatcher<'_> {
    /// True if the client's next request shows that a response whose end is unknown is over.
    fn is_response_over(&self) -> bool {
        self.has_next_request && matches!(self.response, ResponseState::UnknownEnd { .. })
    }

    /// True if the client's next request can be served once this exchange is done.
    fn persists(&self) -> bool {
        use ResponseState::{Complete, UnknownEnd};
        !self.omits_body && matches!(self.response, Complete { persists: true } | UnknownEnd { persists: true })
    }

    fn report_unrecorded(&mut self) {
        let Some(counters) = self.counters else {
            return;
        };
        for reason in self.recorder.take_unrecorded() {
            counters.add_uncaptured(&self.host, reason);
        }
        for (host, reason) in self.recorder.take_excluded() {
            counters.add_uncaptured(&host.to_string(), reason);
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
            (TapEvent::Response { head, .. }, _) => match response_framing(&request.method, head) {
                Framing::Unknown => Self::UnknownEnd { persists: persists(request, head, Framing::Empty) },
                framing => Self::Started { persists: persists(request, head, framing) },
            },
            (TapEvent::End { dir: Dir::Down, how: Finish::Complete, .. }, Self::Started { persists }) => {
                Self::Complete { persists }
            }
            (
                TapEvent::End { dir: Dir::Down, .. } | TapEvent::Opaque { cause: Opaque::MemoryLimit },
                Self::Started { .. } | Self::UnknownEnd { .. },
            )
            | (TapEvent::End { dir: Dir::Down, how: Finish::Opaque(_), .. }, _)
            // The tap was dropped, so the end of the response will not be found.
            | (TapEvent::Opaque { cause: Opaque::MemoryLimit }, Self::Awaited) => Self::UntilClose,
            (_, state) => state,
        };
    }
}
