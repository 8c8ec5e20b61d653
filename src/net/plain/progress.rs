//! The progress of a plain exchange: of its request's body, and of its response.
//!
//! ```text
//! Awaited ─▶ Started ─────────────▶ Complete       the next request may be served
//!    │   ├─▶ UnknownEnd ─▶ EndedByNextRequest
//!    │   ├─▶ UntilClose                            both sides may send until the origin closes
//!    │   └─▶ Upgraded ─▶ UpgradedComplete          HTTP/2 with a proxy: one exchange
//!    └─────▶ Switched                              both sides may send
//! ```

use crate::wire::http1::body::Http1BodyReader;
use crate::wire::http1::expect::Expectation;
use crate::wire::http1::framing::{Framing, persists, response_framing};
use crate::wire::message::RequestHead;
use crate::wire::tap::{Dir, ExchangeId, Finish, Opaque, TapEvent};

/// The progress of the request's body.
pub(super) enum RequestBody {
    /// Its end is not reached.
    Passing {
        reader: Http1BodyReader,
        /// The client's expectation of 100, until the body begins. It counts as answered by an error.
        expectation: Option<Expectation>,
    },
    /// It has ended: what follows is the next request.
    Complete,
    /// Something that looks like a request follows where none can be served: in the place of the body, or while a response
    /// ends with the connection. Neither is forwarded.
    Omitted,
    /// Its end cannot be found, or the protocol was switched: all further data goes to the origin.
    UntilClose,
    /// Data that is no request follows it, while a response ends with the connection. It goes to the origin, and is not
    /// recorded.
    Data,
}

impl RequestBody {
    pub(super) fn new(head: &RequestHead, framing: Framing) -> Self {
        let reader = Http1BodyReader::new(framing);
        match reader.is_done() {
            true => Self::Complete,
            false => Self::Passing { reader, expectation: Expectation::new(head, framing) },
        }
    }
}

/// The progress of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseState {
    /// The head was not received.
    Awaited,
    /// The head was received.
    Started {
        /// True if both connections can be used again afterwards.
        persists: bool,
    },
    /// The head was received, and the end of the response is unknown. The client knows it once it sends its next request.
    UnknownEnd { persists: bool },
    /// The client's next request shows that a response whose end is unknown is over.
    EndedByNextRequest { persists: bool },
    /// The response is complete, and so is the exchange once the request is.
    Complete { persists: bool },
    /// Client and origin have switched to another protocol.
    Switched,
    /// The client has switched to HTTP/2 with this proxy, as it sees it: its next stream may be for another origin. So the
    /// connection ends with this exchange, which is the first stream.
    Upgraded(ExchangeId),
    /// The first HTTP/2 stream is complete, and there is no other.
    UpgradedComplete,
    /// The response ends with the origin's connection, or cannot be parsed: all further data goes to the client.
    UntilClose,
}

impl ResponseState {
    /// Updates it after `event`. `target` is the peer that the client addressed.
    pub(super) fn update(&mut self, request: &RequestHead, target: Target, event: &TapEvent<'_>) {
        *self = match (event, *self) {
            (TapEvent::Upgraded { id }, _) if target == Target::Proxy => Self::Upgraded(*id),
            (TapEvent::Upgraded { .. }, _) => Self::Switched,
            (TapEvent::End { dir: Dir::Down, how: Finish::Opaque(_), .. }, Self::Upgraded(_)) => Self::Switched,
            (TapEvent::End { id, dir: Dir::Down, .. }, Self::Upgraded(first)) if *id == first => Self::UpgradedComplete,
            // Streams in progress cannot be ended without an error.
            (TapEvent::Begin { id, dir: Dir::Up }, Self::Upgraded(first)) if *id != first => Self::Switched,
            (_, Self::Upgraded(_) | Self::UpgradedComplete) => *self,
            (TapEvent::Response { head, .. }, _) if head.status == 101 => Self::Switched,
            // After an upgrade to HTTP/2, responses do not change the state.
            (_, Self::Switched) => Self::Switched,
            (TapEvent::Response { .. }, Self::EndedByNextRequest { .. }) => *self,
            (TapEvent::Response { head, .. }, _) => match response_framing(&request.method, head) {
                Framing::Unknown => Self::UnknownEnd { persists: persists(request, head, Framing::Empty) },
                Framing::UntilClose => Self::UntilClose,
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
    pub(super) fn origin_ended(&mut self) {
        if matches!(self, Self::UnknownEnd { .. } | Self::EndedByNextRequest { .. }) {
            *self = Self::UntilClose;
        }
    }
}

/// The peer that a plain request is addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// This proxy: the client may send requests for other origins on the same connection.
    Proxy,
    /// The origin: the request was redirected here.
    Origin,
}
