//! Exchanges and messages as a callback gets them: borrowed, and complete.

use crate::bundle::cut_off::{CutOff, CutOffCause};
use crate::wire::headers::Headers;
use std::fmt;
use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// An exchange or a part of a WebSocket that a capture recorded. Text is from the network: escape it before printing it to a
/// terminal ([`text::escape`](crate::text::escape)).
#[derive(Debug)]
#[non_exhaustive]
pub enum Recorded<'r> {
    /// A request and its response.
    Exchange(RecordedExchange<'r>),
    /// A WebSocket message, or a control frame.
    Message(RecordedMessage<'r>),
    /// A WebSocket ended.
    WebSocketEnd {
        /// The WebSocket, as in [`RecordedExchange::websocket`].
        websocket: u64,
    },
}

/// A request and its response. The order of calls is that in which exchanges ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct RecordedExchange<'r> {
    /// The time of the request's first byte.
    pub started: SystemTime,
    /// The time from the request's first byte to the response's last byte, and before it to connect if the connection is new.
    pub total: Duration,
    /// The request method, in the case that was sent.
    pub method: &'r str,
    /// The URL; its scheme is `ws` or `wss` if the exchange opened a WebSocket.
    pub url: &'r str,
    /// The request's header fields, then its trailer fields.
    pub request_headers: RecordedHeaders<'r>,
    /// The request body.
    pub request_body: RecordedBody<'r>,
    /// The response; or the reason why there is none, as a clause.
    pub response: Result<RecordedResponse<'r>, &'r str>,
    /// The WebSocket that the exchange opened: a number that its messages have too. It is not an id of the bundle.
    pub websocket: Option<u64>,
    /// The part that is incomplete.
    pub cut_off: Option<CutOff>,
}

/// A response.
#[derive(Debug)]
#[non_exhaustive]
pub struct RecordedResponse<'r> {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The reason phrase as received; empty in HTTP/2.
    pub reason: &'r [u8],
    /// The header fields, then the trailer fields.
    pub headers: RecordedHeaders<'r>,
    /// The body.
    pub body: RecordedBody<'r>,
}

/// A WebSocket message, or a control frame.
#[derive(Debug)]
#[non_exhaustive]
pub struct RecordedMessage<'r> {
    /// The WebSocket, as in [`RecordedExchange::websocket`].
    pub websocket: u64,
    /// The time of its last byte.
    pub ended: SystemTime,
    /// True if the client sent it.
    pub is_from_client: bool,
    /// Its kind.
    pub kind: MessageKind,
    /// The payload: unmasked, fragments joined, decompressed unless `is_encoded`.
    pub payload: RecordedBody<'r>,
    /// True if an extension's encoding is still on the payload, because it could not be decoded.
    pub is_encoded: bool,
    /// The cause if the message is incomplete.
    pub cut_off: Option<CutOffCause>,
}

/// The kind of a WebSocket message (RFC 6455 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageKind {
    /// UTF-8 text, unless the sender violated the protocol.
    Text,
    /// Binary data.
    Binary,
    /// A ping.
    Ping,
    /// A pong.
    Pong,
    /// A close frame: a status code in two bytes, then text; or nothing.
    Close,
}

/// Header fields in the order and case in which they were received. Duplicates are kept.
#[derive(Clone, Copy, Debug)]
pub struct RecordedHeaders<'r>(pub(crate) &'r Headers);

impl<'r> RecordedHeaders<'r> {
    /// Returns all fields, as name and value. Values are bytes as received, without outer spaces.
    pub fn iter(&self) -> impl Iterator<Item = (&'r [u8], &'r [u8])> {
        self.0.iter()
    }

    /// Returns the value of the first field named `name`. Case is ignored.
    pub fn first(&self, name: &str) -> Option<&'r [u8]> {
        self.0.first(name)
    }
}

/// A body or a payload. Chunked framing is removed. Content codings, such as gzip, are still applied.
#[derive(Clone, Copy)]
pub struct RecordedBody<'r>(pub(crate) &'r dyn BodyBytes);

/// The bytes of a body.
pub(crate) trait BodyBytes {
    /// Returns the number of bytes that can be read.
    fn len(&self) -> u64;
    /// Returns all bytes, if they are in one buffer.
    fn in_one_buffer(&self) -> Option<&[u8]>;
    /// Returns a reader from the start.
    fn reader(&self) -> Box<dyn Read + '_>;
    /// Returns the number of bytes at the end that were lost.
    fn lost_bytes(&self) -> u64;
}

impl<'r> RecordedBody<'r> {
    /// Returns the number of bytes that can be read.
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// True if there are no bytes to read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns all bytes without a copy, if they are in one buffer: usually up to 64 KiB.
    pub fn bytes(&self) -> Option<&'r [u8]> {
        self.0.in_one_buffer()
    }

    /// Returns a reader from the start. Bytes of a large body may be read from the spill file: use a large buffer.
    ///
    /// # Errors
    /// Reading fails if the spill file cannot be read.
    pub fn reader(&self) -> impl Read + 'r {
        self.0.reader()
    }

    /// Returns the number of bytes that were lost at the end, because neither memory nor the spill file had space for them.
    pub fn lost_bytes(&self) -> u64 {
        self.0.lost_bytes()
    }
}

impl fmt::Debug for RecordedBody<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

/// A function that gets each exchange and message once it is complete.
///
/// It runs on a thread of its own, one call at a time, and delays neither the traffic nor the bundle. If it is slower than the
/// traffic, up to 1,024 items wait, in up to 1/16 of [`Limits::memory`](crate::Limits::memory). What exceeds that is not passed to
/// the function, and is counted ([`Summary::unobserved`](crate::Summary::unobserved)); it is still written to the output. The
/// stop of the capture waits until the function has had all items, unless the stop is forced. A panic in the function is caught,
/// and it is called again for the next item.
#[derive(Clone)]
pub struct RecordCallback(Arc<dyn Fn(Recorded<'_>) + Send + Sync>);

impl RecordCallback {
    /// A callback that calls `f`.
    pub fn new(f: impl Fn(Recorded<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(f))
    }

    /// Calls the function.
    pub(crate) fn call(&self, recorded: Recorded<'_>) {
        (self.0)(recorded);
    }
}

impl fmt::Debug for RecordCallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecordCallback")
    }
}
