//! An exchange in progress: the parts that the tap has reported so far, and their times.

use super::body::{Body, BodyStore};
use super::cut_off::{CutOff, CutOffCause};
use super::item::{Exchange, WebSocketHandshake};
use super::origin::{ConnectTiming, Origin};
use super::url::request_url;
use crate::bundle::format::Timing;
use crate::clock::Moment;
use crate::wire::error_code::ErrorCode;
use crate::wire::headers::Headers;
use crate::wire::message::{RequestHead, ResponseHead};
use crate::wire::tap::{Dir, Ending, Finish, Opaque};
use std::borrow::Cow;
use std::sync::Arc;

/// An exchange that has not ended.
pub(super) struct PendingExchange {
    connect_timing: Option<ConnectTiming>,
    /// The time of the request's first byte.
    started: Moment,
    pub(super) request: Option<RequestHead>,
    request_body: Body,
    /// The time of the request's last byte, and how the request ended; `Some` once it ended.
    request_end: Option<(Moment, Finish)>,
    /// The time of the response's first byte; of the last response, if interim responses precede it.
    pub(super) response_start: Option<Moment>,
    pub(super) response: Option<ResponseHead>,
    response_body: Body,
    /// The time of the response's last byte, and how the response ended; `Some` once it ended.
    response_end: Option<(Moment, Finish)>,
    pub(super) websocket: Option<WebSocketHandshake>,
}

impl PendingExchange {
    /// An exchange that starts now. `connect_timing` is set for the first one on a connection.
    pub(super) fn new(now: Moment, connect_timing: Option<ConnectTiming>, store: &Arc<BodyStore>) -> Self {
        Self {
            connect_timing,
            started: now,
            request: None,
            request_body: Body::new(store),
            request_end: None,
            response_start: None,
            response: None,
            response_body: Body::new(store),
            response_end: None,
            websocket: None,
        }
    }

    /// Returns the body in direction `dir`.
    pub(super) fn body(&mut self, dir: Dir) -> &mut Body {
        match dir {
            Dir::Up => &mut self.request_body,
            Dir::Down => &mut self.response_body,
        }
    }

    /// Returns the fields in direction `dir`; `None` before that head.
    pub(super) fn headers(&mut self, dir: Dir) -> Option<&mut Headers> {
        match dir {
            Dir::Up => self.request.as_mut().map(|head| &mut head.headers),
            Dir::Down => self.response.as_mut().map(|head| &mut head.headers),
        }
    }

    /// Notes the end of the request (`Up`) or of the response (`Down`).
    pub(super) fn end(&mut self, now: Moment, dir: Dir, how: Finish) {
        match dir {
            Dir::Up => self.request_end = Some((now, how)),
            Dir::Down => self.response_end = Some((now, how)),
        }
    }

    /// True if both the request and the response ended.
    pub(super) fn has_ended(&self) -> bool {
        self.request_end.is_some() && self.response_end.is_some()
    }

    /// Ends the parts that have not ended, in the way `how`.
    pub(super) fn end_open_parts(&mut self, now: Moment, how: Finish) {
        self.request_end.get_or_insert((now, how));
        self.response_end.get_or_insert((now, how));
    }

    /// Returns the size of the exchange in memory, without its bodies.
    pub(super) fn memory_bytes(&self) -> usize {
        let request = self.request.as_ref().map_or(0, RequestHead::memory_bytes);
        let response = self.response.as_ref().map_or(0, ResponseHead::memory_bytes);
        size_of::<Self>().saturating_add(request).saturating_add(response)
    }

    /// Returns the finished exchange; `None` if its request head was never complete. A message that has not ended yet
    /// counts as stopped by the end of the capture. `has_client_left` is true if the client ended its direction before the
    /// origin did.
    pub(super) fn finish(self, now: Moment, origin: &Origin, has_client_left: bool) -> Option<Exchange> {
        let timing = self.timing(now);
        let request = self.request?;
        let finish = |end: Option<(Moment, Finish)>| end.map_or(Finish::Truncated(Ending::Stopped), |(_, how)| how);
        let how = finish(self.response_end);
        let request_cause = CutOffCause::of(Dir::Up, finish(self.request_end), has_client_left);
        // Without a response, the status text has the cause.
        let response_cause = self.response.as_ref().and_then(|_| CutOffCause::of(Dir::Down, how, has_client_left));
        Some(Exchange {
            started_ms: self.started.epoch_ms(),
            url: request_url(&request, origin, self.websocket.is_some()),
            method: request.method,
            request_headers: request.headers,
            request_body: self.request_body,
            response: self.response.ok_or_else(|| no_response_reason(how, has_client_left)),
            response_body: self.response_body,
            timing,
            websocket: self.websocket,
            cut_off: CutOff::of(request_cause, response_cause),
        })
    }

    fn timing(&self, now: Moment) -> Timing {
        let end = self.response_end.map_or(now, |(end, _)| end);
        // A response may start before the request ends; the wait is 0 then.
        let request_end = self.request_end.map_or(end, |(end, _)| end);
        let mut timing = Timing {
            send_ms: request_end.ms_since(self.started),
            wait_ms: self.response_start.unwrap_or(end).ms_since(request_end),
            receive_ms: self.response_start.map_or(0.0, |start| end.ms_since(start)),
            total_ms: end.ms_since(self.started).max(request_end.ms_since(self.started)),
            ..Timing::default()
        };
        if let Some(ConnectTiming { dns_ms, connect_ms, tls_ms }) = self.connect_timing {
            (timing.dns_ms, timing.connect_ms, timing.tls_ms) = (dns_ms, connect_ms, tls_ms);
            timing.total_ms += dns_ms + connect_ms + tls_ms;
        }
        timing
    }
}

/// Returns the `status_text` of an exchange without a response.
fn no_response_reason(how: Finish, has_client_left: bool) -> Cow<'static, str> {
    Cow::Borrowed(match how {
        // HTTP/2 can reset one exchange without the others on the connection (RFC 9113 section 5.4.2).
        Finish::Reset { by: Dir::Up, code } => return format!("client reset the stream ({code})").into(),
        Finish::Reset { by: Dir::Down, code: ErrorCode::REFUSED_STREAM } => {
            "origin refused the stream unprocessed: it may be sent again"
        }
        Finish::Reset { by: Dir::Down, code } => return format!("origin reset the stream ({code})").into(),
        Finish::Truncated(Ending::Clean | Ending::Truncated | Ending::Reset) if has_client_left => {
            "client disconnected"
        }
        Finish::Complete | Finish::Short | Finish::Truncated(Ending::Clean | Ending::Truncated) => {
            "origin closed the connection"
        }
        Finish::Truncated(Ending::Reset) => "origin reset the connection",
        Finish::Truncated(Ending::Abandoned) => "client disconnected",
        Finish::Truncated(Ending::Stopped) => "capture stopped",
        Finish::Opaque(Opaque::EarlierResponse) => "earlier data from the origin could not be parsed",
        Finish::Opaque(Opaque::Switched) => "connection switched to another protocol",
        Finish::Opaque(Opaque::LimitExceeded | Opaque::StreamLimit | Opaque::MemoryLimit) => "a limit was exceeded",
        Finish::Opaque(_) => "response could not be parsed",
    })
}
