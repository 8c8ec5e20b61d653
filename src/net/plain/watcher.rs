//! Watches one plain exchange: finds the end of its request and of its response, and records both.
//!
//! Data that belongs to another exchange does not pass. The client's waits for its turn. The origin's is dropped, because
//! the client would take it for the response to its next request, which may be for another origin.
//!
//! The beginning of an upstream proxy's answer waits until its status is known: 407 does not pass.

use super::progress::{RequestBody, ResponseState, Target};
use super::resend::Resend;
use crate::clock::Moment;
use crate::counters::{ByteCounter, Counters};
use crate::net::leg::MAX_UNUSED_READ_BYTES;
use crate::net::relay::Watcher;
use crate::notice::Reason;
use crate::record::recorder::Recorder;
use crate::wire::http1::expect::{Continuation, looks_like_request};
use crate::wire::message::RequestHead;
use crate::wire::tap::{Dir, Ending, Opaque, TapEvent};
use crate::wire::upstream::answer::{Decision, HeldAnswer};
use crate::wire::upstream::refusal::Refusal;
use std::sync::Arc;

/// Watches one exchange.
pub(super) struct ExchangeWatcher {
    pub(super) recorder: Recorder,
    pub(super) byte_counter: ByteCounter,
    /// Receives reports of data that is not recorded; `None` if the exchange is not captured.
    pub(super) counters: Option<Arc<Counters>>,
    pub(super) host: String,
    pub(super) request: RequestHead,
    pub(super) target: Target,
    pub(super) body: RequestBody,
    pub(super) response: ResponseState,
    pub(super) origin: OriginState,
    /// The beginning of an answer of an upstream proxy, until its status is known; else `None`.
    pub(super) held: Option<HeldAnswer>,
    /// Bytes of it that may pass.
    pub(super) released: Vec<u8>,
    /// The reason why an upstream proxy did not forward the request.
    pub(super) refusal: Option<Refusal>,
}

/// The data of the origin, apart from its meaning.
pub(super) enum OriginState {
    /// No byte was received. The request may be sent again if it is kept here.
    Silent(Option<Resend>),
    Answering,
    /// It sent more than the response, so its connection cannot be used again.
    ExceededResponse,
}

impl Watcher for ExchangeWatcher {
    fn bytes(&mut self, dir: Dir, bytes: &[u8]) -> usize {
        match &mut self.held {
            Some(held) if dir == Dir::Down => {
                let decision = held.read(bytes);
                self.decide(decision);
                0
            }
            _ => self.passing(dir, bytes),
        }
    }

    fn end(&mut self, dir: Dir, how: Ending) {
        if dir == Dir::Down {
            self.response.origin_ended();
        }
        self.recorder.end(Moment::now(), dir, how);
        self.report_unrecorded();
    }

    fn accepts_more(&self) -> bool {
        match self.body {
            RequestBody::Passing { .. } | RequestBody::UntilClose | RequestBody::Data => true,
            RequestBody::Complete => self.response == ResponseState::UntilClose,
            RequestBody::Omitted => false,
        }
    }

    /// The next requests may follow the body.
    fn max_read(&self, dir: Dir) -> usize {
        match (dir, &self.body) {
            (Dir::Down, _) | (_, RequestBody::UntilClose | RequestBody::Data) => usize::MAX,
            (Dir::Up, _) => MAX_UNUSED_READ_BYTES,
        }
    }

    fn is_done(&self) -> bool {
        match self.response {
            ResponseState::EndedByNextRequest { .. } | ResponseState::UpgradedComplete => true,
            ResponseState::Complete { .. } => matches!(self.body, RequestBody::Complete | RequestBody::Omitted),
            _ => false,
        }
    }

    fn is_last(&self) -> bool {
        self.response == ResponseState::UpgradedComplete
    }

    fn take_released(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.released)
    }

    fn is_refused(&self) -> bool {
        self.refusal.is_some()
    }

    fn is_unanswered(&self) -> bool {
        matches!(self.origin, OriginState::Silent(_))
    }
}

impl ExchangeWatcher {
    /// Acts on more bytes of a held answer.
    fn decide(&mut self, decision: Decision) {
        if let OriginState::Silent(resend) = &mut self.origin {
            // The request may have been processed.
            *resend = None;
        }
        let mut bytes = match decision {
            Decision::Held(bytes) => bytes,
            Decision::Passes(bytes) => {
                self.held = None;
                bytes
            }
            Decision::Refused(refusal) => {
                self.refusal.get_or_insert(refusal);
                return;
            }
        };
        if !bytes.is_empty() {
            bytes.truncate(self.passing(Dir::Down, &bytes));
            self.released.append(&mut bytes);
        }
    }

    /// Sees `bytes` on their way and returns how many of them may pass.
    fn passing(&mut self, dir: Dir, bytes: &[u8]) -> usize {
        let now = Moment::now();
        let passed = match dir {
            Dir::Up => self.request_bytes(bytes),
            Dir::Down => self.response_bytes(bytes),
        };
        let bytes = bytes.get(..passed).unwrap_or_default();
        if passed == 0 {
            return 0;
        }
        if let (Dir::Up, RequestBody::Data) = (dir, &self.body) {
            self.byte_counter.add(dir, passed);
            return passed;
        }
        let mut unrequested = 0;
        let (response, body, request, target) = (&mut self.response, &mut self.body, &self.request, self.target);
        self.recorder.data_observed(now, dir, bytes, &mut |event| {
            response.update(request, target, event);
            match (*response, event, &mut *body) {
                (ResponseState::Switched | ResponseState::Upgraded(_), ..) => *body = RequestBody::UntilClose,
                // After a success, clients send the body.
                (_, TapEvent::Response { head, .. }, RequestBody::Passing { expectation: Some(expectation), .. })
                    if head.status >= 300 =>
                {
                    expectation.answered();
                }
                (_, TapEvent::Unrequested { bytes }, _) => unrequested = unrequested.max(*bytes),
                _ => {}
            }
        });
        self.report_unrecorded();
        let passed = match dir {
            Dir::Down if unrequested > 0 => {
                self.origin = OriginState::ExceededResponse;
                passed.saturating_sub(unrequested)
            }
            _ => passed,
        };
        self.byte_counter.add(dir, passed);
        passed
    }

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
                // Some clients send an empty line after a body (RFC 9112 section 2.2).
                let is_empty_line = bytes.trim_ascii_start().is_empty();
                match self.response {
                    ResponseState::UnknownEnd { persists } if !is_empty_line => {
                        self.response = ResponseState::EndedByNextRequest { persists };
                        0
                    }
                    // Old clients of Docker talk on like this, without a switch of protocols.
                    ResponseState::UntilClose if looks_like_request(bytes) => {
                        self.body = RequestBody::Omitted;
                        0
                    }
                    ResponseState::UntilClose => {
                        if !is_empty_line {
                            self.body = RequestBody::Data;
                            if let Some(counters) = &self.counters {
                                counters.add_uncaptured(&self.host, Reason::Opaque(Opaque::Switched));
                            }
                        }
                        bytes.len()
                    }
                    _ => 0,
                }
            }
            RequestBody::Omitted => 0,
            RequestBody::UntilClose | RequestBody::Data => bytes.len(),
        }
    }

    /// Returns how many of the origin's `bytes` may belong to the response.
    fn response_bytes(&mut self, bytes: &[u8]) -> usize {
        if matches!(self.response, ResponseState::Complete { .. }) {
            self.origin = OriginState::ExceededResponse;
            return 0;
        }
        if matches!(self.origin, OriginState::Silent(_)) {
            self.origin = OriginState::Answering;
        }
        bytes.len()
    }

    /// True if the client's next request can be served once this exchange is done.
    pub(super) fn persists(&self) -> bool {
        use ResponseState::{Complete, EndedByNextRequest};
        let is_omitted = matches!(self.body, RequestBody::Omitted);
        !is_omitted && matches!(self.response, Complete { persists: true } | EndedByNextRequest { persists: true })
    }

    fn report_unrecorded(&mut self) {
        let Some(counters) = &self.counters else { return };
        for reason in self.recorder.take_unrecorded() {
            counters.add_uncaptured(&self.host, reason);
        }
        for (host, reason) in self.recorder.take_exchange_reports() {
            counters.add_uncaptured(&host.to_string(), reason);
        }
    }
}
