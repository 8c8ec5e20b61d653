//! One plain request (`GET http://…`) to its origin and the answer back.
//!
//! The head was rewritten where it was parsed; from there on bytes pass untouched, as in every relay. What differs is that the
//! client's connection may go on to another origin with its next request, so what was read past the end of this one is held
//! back until the answer is over. The framing of the request is decided once, and serves for sending and for recording.

use super::dial::{Undialled, dial};
use super::leg::Leg;
use super::page::{self, Answer};
use super::relay::{self, Relayed, Watch, relay};
use super::shared::Shared;
use crate::clock::Moment;
use crate::counters::{ByteCounter, Counters};
use crate::notice::{NameSource, Reason};
use crate::record::origin::{ConnectTiming, Origin};
use crate::record::recorder::Recorder;
use crate::wire::authority::Authority;
use crate::wire::http1::Http1Tap;
use crate::wire::http1::body::Http1BodyReader;
use crate::wire::http1::framing::{persists, request_framing, response_framing};
use crate::wire::message::RequestHead;
use crate::wire::proxy_request::PlainRequest;
use crate::wire::tap::{Dir, Ending, Finish, TapEvent};
use std::sync::Arc;

/// The origin of the last request, kept for the next one.
pub(crate) struct Kept {
    authority: Authority,
    pub(crate) leg: Leg,
    /// What it took to reach it, until an exchange is recorded that says so.
    reached: Option<ConnectTiming>,
}

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another request may come.
    Request,
    /// It has ended, or is to be.
    End,
}

/// Sends `request`, whose body is still to be read from `client`, to its origin, and relays until the answer is over.
pub(crate) fn exchange(shared: &Shared, client: &mut Leg, request: PlainRequest, kept: &mut Option<Kept>) -> Next {
    let Ok(framing) = request_framing(&request.head) else {
        page::answer(client, &Answer::bad_request("The request's body has no clear end."), &shared.stop);
        return Next::End;
    };
    let Kept { authority, leg: mut origin, reached } = match reach(shared, &request.authority, kept.take()) {
        Ok(kept) => kept,
        Err(why) => {
            if !matches!(why, Undialled::Stopped) {
                shared.counters.add_uncaptured(&request.authority.to_string(), Reason::Unreachable(why.to_string()));
                page::answer(client, &Answer::unreachable(&request.authority, &why), &shared.stop);
            }
            return Next::End;
        }
    };

    let wanted = shared
        .capture
        .as_ref()
        .filter(|capture| capture.filter.wants([(authority.host.to_string().as_str(), authority.port)]));
    let origin_of = Origin { is_tls: false, authority: authority.clone(), connect_timing: reached };
    let recorder = Recorder::new(Box::new(Http1Tap::new()), wanted.map(|capture| capture.sink.clone()), origin_of);
    let is_captured = wanted.is_some();
    let domain = authority.host.to_string();
    shared.counters.add_request(&domain);
    let mut byte_counter = ByteCounter::new(Arc::clone(&shared.counters), shared.capture.is_none().then_some(domain));
    byte_counter.add(Dir::Up, request.wire.len());
    let mut watch = OneExchange {
        recorder,
        byte_counter,
        counters: is_captured.then_some(&shared.counters),
        host: authority.to_string(),
        body: Http1BodyReader::new(framing),
        is_endless: false,
        asked: request.head,
        answer: Stage::Awaited,
        was_cut: false,
    };
    watch.recorder.data(Moment::now(), Dir::Up, &request.wire);
    origin.send(&request.wire);
    match relay(client, &mut origin, &mut watch, &shared.stop) {
        Relayed::Over if watch.answer == (Stage::Ended { persists: true }) => {
            *kept = Some(Kept { authority, leg: origin, reached: None });
            Next::Request
        }
        Relayed::Over => {
            relay::part(client, &shared.stop);
            Next::End
        }
        Relayed::Closed => Next::End,
        // What is not to rest is not idle.
        Relayed::Idle | Relayed::Stopped => {
            let how = if watch.was_cut || !client.is_flushed() { Ending::Reset } else { Ending::Clean };
            client.end(how);
            origin.end(how);
            Next::End
        }
    }
}

/// The kept connection if it leads there and lives, else a new one.
fn reach(shared: &Shared, authority: &Authority, kept: Option<Kept>) -> Result<Kept, Undialled> {
    let usable = kept.filter(|kept| kept.authority == *authority && kept.leg.ended().is_none() && kept.leg.takes());
    if let Some(kept) = usable {
        return Ok(kept);
    }
    let dialled = dial(authority, shared.listen, &shared.stop)?;
    let host = authority.host.to_string();
    shared.counters.add_connection(&host, NameSource::Name);
    if shared.capture.as_ref().is_some_and(|capture| !capture.filter.wants([(host.as_str(), authority.port)])) {
        shared.counters.add_uncaptured(&authority.to_string(), Reason::NotMatched);
    }
    Ok(Kept {
        authority: authority.clone(),
        leg: Leg::new(dialled.socket).map_err(Undialled::Unconnected)?,
        reached: Some(ConnectTiming { dns_ms: dialled.dns_ms, connect_ms: dialled.connect_ms, tls_ms: 0.0 }),
    })
}

/// Sees one exchange through.
struct OneExchange<'a> {
    recorder: Recorder,
    byte_counter: ByteCounter,
    /// Where to name what is not understood; `None` where nothing is captured anyway.
    counters: Option<&'a Counters>,
    host: String,
    /// Where the request ends.
    body: Http1BodyReader,
    /// Whether the request's end cannot be found.
    is_endless: bool,
    asked: RequestHead,
    answer: Stage,
    was_cut: bool,
}

/// How far the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Awaited,
    /// Its head came; whether the connection to the origin outlives it.
    Begun {
        persists: bool,
    },
    /// It is over, and so is the exchange once the request is.
    Ended {
        persists: bool,
    },
    /// The two ends speak another protocol now.
    Switched,
    /// The origin's connection ends with it, or it is not understood: whatever comes belongs to the client.
    UntilClose,
}

impl Watch for OneExchange<'_> {
    fn pass(&mut self, dir: Dir, bytes: &[u8]) -> usize {
        let now = Moment::now();
        let passed = match dir {
            Dir::Up if self.answer != Stage::Switched && !self.is_endless => match self.body.skip(bytes) {
                Ok(n) => n,
                // Chunks that are none: where the next request would begin is anyone's guess, so there is none.
                Err(_) => {
                    self.is_endless = true;
                    bytes.len()
                }
            },
            Dir::Up | Dir::Down => bytes.len(),
        };
        let bytes = bytes.get(..passed).unwrap_or_default();
        self.byte_counter.add(dir, bytes.len());
        let (stage, asked) = (&mut self.answer, &self.asked);
        self.recorder.data_observed(now, dir, bytes, &mut |event| stage.follow(asked, event));
        passed
    }

    fn end(&mut self, dir: Dir, how: Ending) {
        self.was_cut |= how == Ending::Stopped && !matches!(self.answer, Stage::Ended { .. });
        self.recorder.end(Moment::now(), dir, how);
        if let (Some(counters), Some(why), Dir::Down) = (self.counters, self.recorder.opaque(), dir) {
            counters.add_uncaptured(&self.host, Reason::Opaque(why));
        }
    }

    fn is_open(&self) -> bool {
        !self.body.is_done() || self.is_endless || self.answer == Stage::Switched
    }

    fn is_over(&self) -> bool {
        self.body.is_done() && matches!(self.answer, Stage::Ended { .. })
    }
}

impl Stage {
    fn follow(&mut self, asked: &RequestHead, event: &TapEvent<'_>) {
        *self = match (event, *self) {
            (TapEvent::Upgraded { .. }, _) => Self::Switched,
            (TapEvent::Response { head, .. }, _) if head.status == 101 => Self::Switched,
            // Answers in HTTP/2 end none of it.
            (_, Self::Switched) => Self::Switched,
            (TapEvent::Response { head, .. }, _) => Self::Begun {
                persists: response_framing(&asked.method, head).is_ok_and(|framing| persists(asked, head, framing)),
            },
            (TapEvent::End { dir: Dir::Down, how: Finish::Complete, .. }, Self::Begun { persists }) => {
                Self::Ended { persists }
            }
            (TapEvent::End { dir: Dir::Down, .. }, Self::Begun { .. }) => Self::UntilClose,
            (TapEvent::Opaque { .. }, _) => Self::UntilClose,
            (_, stage) => stage,
        };
    }
}
