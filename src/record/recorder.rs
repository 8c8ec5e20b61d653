//! From what a tap sees on one connection to finished exchanges and messages.
//!
//! ```text
//! bytes ─▶ tap ─▶ Begin Request Body… End(Up) ┐
//!                 Begin Response Body… End(Down) ─▶ draft ─▶ Item::Exchange ─▶ channel
//!                 WebSocketOpen Message… WebSocketEnd  ─▶ draft ─▶ Item::Message  ─▶ channel
//! ```
//!
//! The recorder belongs to its connection's thread and is told the time. It waits in one place: the channel to the writer
//! is bounded, so that a slow disk slows the traffic rather than fill memory.
//!
//! What is under way when the recorder is dropped (its thread panicked) is recorded as cut off.

use super::body::{Body, Store};
use super::item::{Exchange, Item, Message, Opens, Timing, WebSocketKey};
use super::origin::{ConnectTiming, Origin};
use super::queue::Sender;
use super::url;
use crate::clock::Moment;
use crate::wire::message::{RequestHead, ResponseHead, Version};
use crate::wire::tap::{Dir, Ending, Event, ExchangeId, Finish, Opaque, Opcode, Tap};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Where the recorders of one capture send what they have.
#[derive(Clone)]
pub(crate) struct Sink {
    items: Sender<Item>,
    store: Arc<Store>,
    next_socket: Arc<AtomicU64>,
    late: Arc<AtomicU64>,
}

impl Sink {
    pub(crate) fn new(items: Sender<Item>, store: Arc<Store>) -> Self {
        Self { items, store, next_socket: Arc::default(), late: Arc::default() }
    }

    fn send(&self, item: Item) {
        // Nobody receives once the bundle is complete.
        if self.items.send(item).is_err() {
            self.late.fetch_add(1, Relaxed);
        }
    }

    /// How many exchanges and messages came after the bundle was complete.
    pub(crate) fn late(&self) -> u64 {
        self.late.load(Relaxed)
    }
}

/// Records one connection.
pub(crate) struct Recorder {
    tap: Box<dyn Tap>,
    log: Log,
}

impl Recorder {
    /// Records into `sink` what `tap` sees of a connection to `origin`. Without a sink it understands and records nothing:
    /// for requests that are not captured, and yet have to be told apart.
    pub(crate) fn new(tap: Box<dyn Tap>, sink: Option<Sink>, origin: Origin) -> Self {
        Self {
            tap,
            log: Log {
                sink,
                origin,
                drafts: BTreeMap::new(),
                sockets: BTreeMap::new(),
                opaque: None,
                client_left: false,
            },
        }
    }

    /// `bytes` are on their way.
    pub(crate) fn data(&mut self, now: Moment, dir: Dir, bytes: &[u8]) {
        self.data_seen(now, dir, bytes, &mut |_| ());
    }

    /// The same, and `look` is shown what the tap sees.
    pub(crate) fn data_seen(&mut self, now: Moment, dir: Dir, bytes: &[u8], look: &mut dyn FnMut(&Event<'_>)) {
        let log = &mut self.log;
        self.tap.data(dir, bytes, &mut |event| {
            look(&event);
            log.event(now, event);
        });
    }

    /// A direction ended.
    pub(crate) fn end(&mut self, now: Moment, dir: Dir, how: Ending) {
        let log = &mut self.log;
        // Of two ends that close, the first is the one that did not want to go on.
        log.client_left |= dir == Dir::Up && how != Ending::Stopped;
        self.tap.end(dir, how, &mut |event| log.event(now, event));
    }

    /// Why the rest of the connection is not recorded, once that is so.
    pub(crate) fn opaque(&self) -> Option<Opaque> {
        self.log.opaque
    }

    /// Whether something is under way that would be cut off.
    pub(crate) fn is_busy(&self) -> bool {
        !self.log.drafts.is_empty() || !self.log.sockets.is_empty()
    }
}

struct Log {
    /// `None` records nothing.
    sink: Option<Sink>,
    origin: Origin,
    /// Most connections have one at a time: no hashes. Boxed, as the map keeps its room, and often there is none for long.
    drafts: BTreeMap<ExchangeId, Box<Draft>>,
    sockets: BTreeMap<ExchangeId, WebSocket>,
    opaque: Option<Opaque>,
    /// Whether the client ended its direction.
    client_left: bool,
}

/// An exchange under way.
struct Draft {
    reached: Option<ConnectTiming>,
    began: Moment,
    request: Option<RequestHead>,
    request_body: Body,
    /// When the last byte of the request came; `Some` once it ended.
    sent: Option<Moment>,
    answered: Option<Moment>,
    response: Option<ResponseHead>,
    response_body: Body,
    /// When and how the response ended.
    received: Option<(Moment, Finish)>,
    opens: Option<Opens>,
}

/// A WebSocket under way.
struct WebSocket {
    key: WebSocketKey,
    up: Option<(Opcode, Body)>,
    down: Option<(Opcode, Body)>,
}

impl Log {
    fn event(&mut self, now: Moment, event: Event<'_>) {
        let Some(sink) = &self.sink else {
            if let Event::Opaque { why } = event {
                self.opaque = Some(why);
            }
            return;
        };
        match event {
            Event::Begin { id, dir: Dir::Up } => {
                let reached = self.origin.reached.take();
                self.drafts.insert(id, Box::new(Draft::new(now, reached, &sink.store)));
            }
            Event::Begin { id, dir: Dir::Down } => {
                if let Some(draft) = self.drafts.get_mut(&id) {
                    draft.answered = Some(now);
                }
            }
            Event::Request { id, head } => self.draft(id, |draft| draft.request = Some(head)),
            Event::Response { id, head } => self.draft(id, |draft| draft.response = Some(head)),
            Event::Body { id, dir, bytes } => self.draft(id, |draft| match dir {
                Dir::Up => draft.request_body.push(bytes),
                Dir::Down => draft.response_body.push(bytes),
            }),
            Event::Trailers { id, dir, headers } => self.draft(id, |draft| {
                let head = match dir {
                    Dir::Up => draft.request.as_mut().map(|head| &mut head.headers),
                    Dir::Down => draft.response.as_mut().map(|head| &mut head.headers),
                };
                if let Some(fields) = head {
                    headers.iter().for_each(|(name, value)| fields.push(name, value));
                }
            }),
            Event::End { id, dir, how } => {
                self.draft(id, |draft| match dir {
                    Dir::Up => draft.sent = Some(now),
                    Dir::Down => draft.received = Some((now, how)),
                });
                if self.drafts.get(&id).is_some_and(|draft| draft.is_over()) {
                    self.finish(id, now);
                }
            }
            Event::WebSocketOpen { id, protocol } => {
                let key = WebSocketKey(sink.next_socket.fetch_add(1, Relaxed));
                self.sockets.insert(id, WebSocket { key, up: None, down: None });
                self.draft(id, |draft| draft.opens = Some(Opens { socket: key, protocol }));
            }
            Event::Upgraded { .. } => {}
            Event::MessageBegin { id, dir, opcode } => {
                let body = Body::new(&sink.store);
                if let Some(socket) = self.sockets.get_mut(&id) {
                    *socket.open(dir) = Some((opcode, body));
                }
            }
            Event::MessageData { id, dir, bytes } => {
                if let Some((_, body)) = self.sockets.get_mut(&id).and_then(|socket| socket.open(dir).as_mut()) {
                    body.push(bytes);
                }
            }
            Event::MessageEnd { id, dir, .. } => self.finish_message(id, now, dir),
            Event::Control { id, dir, opcode, payload } => {
                let mut body = Body::new(&sink.store);
                body.push(payload);
                self.send_message(id, now, dir, opcode, body);
            }
            Event::WebSocketEnd { id } => self.finish_socket(id, now),
            Event::Opaque { why } => self.opaque = Some(why),
        }
    }

    fn draft(&mut self, id: ExchangeId, change: impl FnOnce(&mut Draft)) {
        if let Some(draft) = self.drafts.get_mut(&id) {
            change(draft);
        }
    }

    fn finish(&mut self, id: ExchangeId, now: Moment) {
        let exchange = self.drafts.remove(&id).and_then(|draft| draft.finish(now, &self.origin, self.client_left));
        if let (Some(exchange), Some(sink)) = (exchange, &self.sink) {
            sink.send(Item::Exchange(Box::new(exchange)));
        }
    }

    fn finish_message(&mut self, id: ExchangeId, now: Moment, dir: Dir) {
        if let Some((opcode, payload)) = self.sockets.get_mut(&id).and_then(|socket| socket.open(dir).take()) {
            self.send_message(id, now, dir, opcode, payload);
        }
    }

    fn send_message(&self, id: ExchangeId, now: Moment, dir: Dir, opcode: Opcode, payload: Body) {
        if let (Some(socket), Some(sink)) = (self.sockets.get(&id), &self.sink) {
            sink.send(Item::Message(Message { socket: socket.key, at: now.epoch_ms(), dir, opcode, payload }));
        }
    }

    fn finish_socket(&mut self, id: ExchangeId, now: Moment) {
        self.finish_message(id, now, Dir::Up);
        self.finish_message(id, now, Dir::Down);
        if let (Some(socket), Some(sink)) = (self.sockets.remove(&id), &self.sink) {
            sink.send(Item::WebSocketEnd(socket.key));
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if self.drafts.is_empty() && self.sockets.is_empty() {
            return;
        }
        let now = Moment::now();
        while let Some(&id) = self.drafts.keys().next() {
            self.finish(id, now);
        }
        while let Some(&id) = self.sockets.keys().next() {
            self.finish_socket(id, now);
        }
    }
}

impl WebSocket {
    fn open(&mut self, dir: Dir) -> &mut Option<(Opcode, Body)> {
        match dir {
            Dir::Up => &mut self.up,
            Dir::Down => &mut self.down,
        }
    }
}

impl Draft {
    fn new(began: Moment, reached: Option<ConnectTiming>, store: &Arc<Store>) -> Self {
        Self {
            reached,
            began,
            request: None,
            request_body: Body::new(store),
            sent: None,
            answered: None,
            response: None,
            response_body: Body::new(store),
            received: None,
            opens: None,
        }
    }

    fn is_over(&self) -> bool {
        self.sent.is_some() && self.received.is_some()
    }

    /// `None` if not even the request's head came.
    fn finish(self, now: Moment, origin: &Origin, client_left: bool) -> Option<Exchange> {
        let request = self.request?;
        let (ended, how) = self.received.unwrap_or((now, Finish::Truncated(Ending::Stopped)));
        let version = request.version;
        let timing = timing(&self.reached, self.began, self.sent, self.answered, ended);
        Some(Exchange {
            started: self.began.epoch_ms(),
            url: url::of(&request, origin, self.opens.is_some()),
            method: request.method,
            request_headers: request.headers,
            request_body: self.request_body,
            response: self.response.ok_or(why_unanswered(how, version, client_left)),
            response_body: self.response_body,
            timing,
            opens: self.opens,
        })
    }
}

fn timing(
    reached: &Option<ConnectTiming>,
    began: Moment,
    sent: Option<Moment>,
    answered: Option<Moment>,
    ended: Moment,
) -> Timing {
    // An answer may come before the request is sent whole: nobody waited then.
    let sent = sent.unwrap_or(ended);
    let mut timing = Timing {
        send: sent.ms_since(began),
        wait: answered.unwrap_or(ended).ms_since(sent),
        receive: answered.map_or(0.0, |first| ended.ms_since(first)),
        total: ended.ms_since(began).max(sent.ms_since(began)),
        ..Timing::default()
    };
    if let Some(reached) = reached {
        timing.dns = reached.dns_ms;
        timing.connect = reached.connect_ms;
        timing.tls = reached.tls_ms;
        timing.total += reached.dns_ms + reached.connect_ms + reached.tls_ms;
    }
    timing
}

fn why_unanswered(how: Finish, version: Version, client_left: bool) -> &'static str {
    match how {
        Finish::Truncated(Ending::Clean | Ending::Truncated | Ending::Reset) if client_left => "client left",
        Finish::Complete | Finish::Truncated(Ending::Clean | Ending::Truncated) => "origin closed the connection",
        // Of many exchanges on one connection each can be reset alone (RFC 9113 section 5.4.2).
        Finish::Truncated(Ending::Reset) if version == Version::Http2 => "origin reset the stream",
        Finish::Truncated(Ending::Reset) => "origin reset the connection",
        Finish::Truncated(Ending::Abandoned) if version == Version::Http2 && !client_left => "client cancelled",
        Finish::Truncated(Ending::Abandoned) => "client left",
        Finish::Truncated(Ending::Stopped) => "capture stopped",
        Finish::Opaque => "answer not understood",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::queue::queue;
    use crate::wire::authority::Authority;
    use crate::wire::http2::Http2Tap;

    /// Frames as a client and an origin send them, of a connection whose first two streams open WebSockets.
    const UP: [&[u8]; 2] = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
          \0\0\x25\x01\x04\0\0\0\x01\x02\x07CONNECT\0\x09:protocol\x09websocket\x04\x02/1\x01\x01a\
          \0\0\x25\x01\x04\0\0\0\x03\x02\x07CONNECT\0\x09:protocol\x09websocket\x04\x02/3\x01\x01a",
        b"\0\0\x07\0\0\0\0\0\x01\x01\x81\0\0\0\0x\0\0\x07\0\0\0\0\0\x03\x82\x81\0\0\0\0y\
          \0\0\x07\0\0\0\0\0\x01\x80\x81\0\0\0\0z",
    ];
    const DOWN: &[u8] = b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x01\x01\x04\0\0\0\x03\x88";

    fn recorder(items: Sender<Item>) -> Recorder {
        let sink = Sink::new(items, Store::new(std::env::temp_dir(), 1 << 20));
        let authority = Authority::from_host_header(b"a", 443).unwrap();
        Recorder::new(Box::new(Http2Tap::new()), Some(sink), Origin { tls: true, authority, reached: None })
    }

    fn seen(item: Item) -> String {
        match item {
            Item::Exchange(exchange) => format!("{} {:?}", exchange.url, exchange.opens.map(|opens| opens.socket)),
            Item::Message(message) => format!("{:?} {:?} {}", message.socket, message.opcode, message.payload.len()),
            Item::WebSocketEnd(socket) => format!("{socket:?} ends"),
            Item::Finish => "finish".into(),
        }
    }

    #[test]
    fn many_sockets_on_one_connection() {
        let (items, received) = queue();
        let mut recorder = recorder(items);
        let now = Moment::now();
        recorder.data(now, Dir::Up, UP[0]);
        recorder.data(now, Dir::Down, DOWN);
        recorder.data(now, Dir::Up, UP[1]);
        assert!(recorder.is_busy() && recorder.opaque().is_none());
        recorder.data(now, Dir::Up, b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08");
        assert_eq!(recorder.log.sockets.len(), 1);
        drop(recorder);
        let mut batch = std::collections::VecDeque::new();
        assert!(received.take(&mut batch, None));
        let seen: Vec<_> = batch.into_iter().map(seen).collect();
        assert_eq!(
            seen,
            [
                "wss://a/1 Some(WebSocketKey(0))",
                "wss://a/3 Some(WebSocketKey(1))",
                "WebSocketKey(1) Binary 1",
                "WebSocketKey(0) Text 2",
                "WebSocketKey(0) ends",
                "WebSocketKey(1) ends",
            ]
        );
    }
}
