//! Turns the events of one connection's tap into finished exchanges and messages.
//!
//! ```text
//! bytes ─▶ tap ─▶ Begin, Request, Body…, End (Up)     ─┐
//!                 Begin, Response, Body…, End (Down)  ─┴▶ PendingExchange ─▶ Item::Exchange ─▶ queue
//!                 WebSocketOpen, MessageData…, MessageEnd ─▶ OpenWebSocket ─▶ Item::Message  ─▶ queue
//! ```
//!
//! A recorder belongs to its connection's thread. It blocks in two places: the queue to the writer and the memory of bodies on
//! their way to the spill file are bounded, so a slow disk slows the traffic instead of filling the memory.
//!
//! The exchanges in progress and the state of the tap are charged to the connection's account ([`Ledger`]). Past its
//! limit, the exchanges and messages in progress are recorded as cut off, and the rest of the connection is not recorded.
//!
//! If the connection's thread panics, the recorder is dropped, and what is in progress is recorded as truncated.

use super::account::Account;
use super::body::Body;
use super::cut_off::CutOffCause;
use super::excluded::ExcludedExchanges;
use super::item::{Item, WebSocketHandshake, WebSocketKey, WebSocketMessage};
use super::ledger::Ledger;
use super::origin::Origin;
use super::pending::PendingExchange;
use super::sink::ItemSink;
use super::url::named_authorities;
use crate::clock::Moment;
use crate::notice::Reason;
use crate::wire::alt_svc::offers_http3;
use crate::wire::authority::Authority;
use crate::wire::pattern::HostFilter;
use crate::wire::tap::{Dir, Ending, ExchangeId, Finish, Opaque, Opcode, PayloadEncoding, Tap, TapEvent};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Records one connection.
pub(crate) struct Recorder {
    /// `None` once the connection is not recorded because of the memory limit.
    tap: Option<Box<dyn Tap>>,
    assembler: Assembler,
}

impl Recorder {
    /// Creates a recorder that sends the exchanges and messages that `tap` reports to `sink`. Without a sink nothing is
    /// recorded, but [`Recorder::data_observed`] still passes on the events. Memory is charged to `account`.
    pub(crate) fn new(tap: Box<dyn Tap>, sink: Option<ItemSink>, origin: Origin, account: Account) -> Self {
        Self {
            tap: Some(tap),
            assembler: Assembler {
                sink,
                origin,
                exchanges: BTreeMap::new(),
                websockets: BTreeMap::new(),
                excluded: ExcludedExchanges::default(),
                unrecorded: Vec::new(),
                reported: Vec::new(),
                offers: Vec::new(),
                last_offer: None,
                first_to_end: None,
                ledger: Ledger::new(account),
            },
        }
    }

    /// Leaves out the exchanges with hosts that `filter` excludes.
    pub(crate) fn excluding(mut self, filter: Arc<HostFilter>) -> Self {
        self.assembler.excluded.set_filter(filter);
        self
    }

    /// Records `bytes`, which were read in direction `dir`.
    pub(crate) fn data(&mut self, now: Moment, dir: Dir, bytes: &[u8]) {
        self.data_observed(now, dir, bytes, &mut |_| ());
    }

    /// Records `bytes` as [`Recorder::data`] does, and passes each event to `observe` first.
    pub(crate) fn data_observed(
        &mut self,
        now: Moment,
        dir: Dir,
        bytes: &[u8],
        observe: &mut dyn FnMut(&TapEvent<'_>),
    ) {
        let mut rest = bytes;
        while let Some(tap) = &mut self.tap {
            let (piece, after) = rest.split_at_checked(MAX_PIECE_BYTES).unwrap_or((rest, &[]));
            let assembler = &mut self.assembler;
            tap.data(dir, piece, &mut |mut event| {
                if let TapEvent::Unrequested { bytes } = &mut event {
                    // The later pieces answer no request either.
                    *bytes = bytes.saturating_add(after.len());
                }
                observe(&event);
                assembler.event(now, event);
            });
            self.check_memory(now, observe);
            rest = after;
            if rest.is_empty() {
                return;
            }
        }
    }

    /// Charges the state of the tap. Past the limit, the tap is dropped, unless it is small: an observer may need its events.
    fn check_memory(&mut self, now: Moment, observe: &mut dyn FnMut(&TapEvent<'_>)) {
        let Some(tap) = &self.tap else {
            return;
        };
        self.assembler.ledger.set_tap(tap.memory_bytes());
        self.assembler.charge(now);
        if self.assembler.ledger.must_drop_tap() {
            self.tap = None;
            observe(&TapEvent::Opaque { cause: Opaque::MemoryLimit });
        }
    }

    /// Records the end of direction `dir`.
    pub(crate) fn end(&mut self, now: Moment, dir: Dir, how: Ending) {
        let assembler = &mut self.assembler;
        // The proxy itself ends directions that are abandoned or stopped.
        if matches!(how, Ending::Clean | Ending::Truncated | Ending::Reset) {
            assembler.first_to_end.get_or_insert(dir);
        }
        if let Some(tap) = &mut self.tap {
            tap.end(dir, how, &mut |event| assembler.event(now, event));
        }
        self.check_memory(now, &mut |_| ());
    }

    /// Returns the reasons why parts of the connection are not recorded, each once for the whole connection. Empty while all
    /// of it is recorded. Call it after each call that passes bytes or an end.
    #[must_use]
    pub(crate) fn take_unrecorded(&mut self) -> Vec<Reason> {
        std::mem::take(&mut self.assembler.unrecorded)
    }

    /// Returns the host of each exchange since the last call that was left out or has something else to report, and the reason.
    /// Call it after each call that passes bytes.
    #[must_use]
    pub(crate) fn take_exchange_reports(&mut self) -> Vec<(Authority, Reason)> {
        let mut reports = self.assembler.excluded.take_authorities();
        reports.extend(self.assembler.offers.drain(..).map(|host| (host, Reason::Http3Offered)));
        reports
    }

    /// True if an exchange or a WebSocket is in progress, recorded or excluded. It would be truncated if the connection ended
    /// now.
    pub(crate) fn is_busy(&self) -> bool {
        let Assembler { exchanges, websockets, excluded, .. } = &self.assembler;
        !exchanges.is_empty() || !websockets.is_empty() || !excluded.is_empty()
    }
}

/// Assembles events into items.
struct Assembler {
    /// Receives the items; `None` records nothing.
    sink: Option<ItemSink>,
    origin: Origin,
    /// Exchanges in progress. Most connections have one at a time, so a map without hashing is faster. Values are
    /// boxed: the map keeps its allocation, and is often empty for a long time.
    exchanges: BTreeMap<ExchangeId, Box<PendingExchange>>,
    /// WebSockets in progress.
    websockets: BTreeMap<ExchangeId, OpenWebSocket>,
    excluded: ExcludedExchanges,
    /// The reasons for parts that are not recorded, until they are taken.
    unrecorded: Vec<Reason>,
    /// The causes reported so far.
    reported: Vec<Opaque>,
    /// The hosts that offer HTTP/3, until they are taken.
    offers: Vec<Authority>,
    /// The last of them. Most connections have one host, which repeats its offer in each response.
    last_offer: Option<Authority>,
    /// The direction that its sender ended before the other.
    first_to_end: Option<Dir>,
    ledger: Ledger,
}

/// A WebSocket that has not ended, with the messages in progress in each direction: a data message, and a control frame within
/// it.
struct OpenWebSocket {
    key: WebSocketKey,
    /// The bytes charged for the URL, which the writer keeps until the end.
    url_bytes: usize,
    up: Vec<OpenMessage>,
    down: Vec<OpenMessage>,
}

/// A message that has not ended.
struct OpenMessage {
    opcode: Opcode,
    payload: Body,
    /// The payload before decoding; `None` while the message has no encoding. Every [`Body`] counts a reference to the store, which
    /// two threads do for each message.
    encoded: Option<Body>,
    /// The encoding, if the payload cannot be decoded.
    encoding: Option<PayloadEncoding>,
}

impl Assembler {
    fn event(&mut self, now: Moment, event: TapEvent<'_>) {
        if let TapEvent::WindowNeeded { bytes, is_refused } = event {
            // Until the tap counts it, after the current piece.
            self.ledger.add_to_tap(bytes);
            self.charge(now);
            return is_refused.set(self.ledger.is_exceeded());
        }
        if self.sink.is_none() || self.ledger.is_exceeded() {
            return;
        }
        if let Some(id) = self.excluded.exclude(&event, &self.origin) {
            // It began before its host was known.
            self.remove_exchange(id);
        } else {
            self.record(now, event);
        }
        self.charge(now);
    }

    fn record(&mut self, now: Moment, event: TapEvent<'_>) {
        let Some(sink) = &self.sink else {
            return;
        };
        match event {
            TapEvent::Begin { id, dir: Dir::Up } => {
                let connect_timing = self.origin.connect_timing.take();
                let exchange = PendingExchange::new(now, connect_timing, sink.store());
                self.ledger.add(exchange.memory_bytes() + EXCHANGE_BYTES);
                self.exchanges.insert(id, Box::new(exchange));
            }
            TapEvent::Begin { id, dir: Dir::Down } => self.update(id, |exchange| exchange.response_start = Some(now)),
            TapEvent::Request { id, head } => self.update(id, |exchange| exchange.request = Some(head)),
            TapEvent::Response { id, head } => {
                // Clients ignore offers in the clear.
                if self.origin.is_tls && offers_http3(&head.headers) {
                    self.note_offer(id);
                }
                self.update(id, |exchange| exchange.response = Some(head));
            }
            TapEvent::Body { id, dir, bytes } => {
                if let Some(exchange) = self.exchanges.get_mut(&id) {
                    exchange.body(dir).push(bytes);
                }
            }
            TapEvent::Trailers { id, dir, headers } => self.update(id, |exchange| {
                if let Some(fields) = exchange.headers(dir) {
                    headers.iter().for_each(|(name, value)| fields.push(name, value));
                }
            }),
            TapEvent::End { id, dir, how } => {
                self.update(id, |exchange| exchange.end(now, dir, how));
                if self.exchanges.get(&id).is_some_and(|exchange| exchange.has_ended()) {
                    self.finish_exchange(id, now);
                }
            }
            TapEvent::WebSocketOpen { id, protocol } => {
                let key = sink.next_websocket_key();
                self.ledger.add(WEBSOCKET_BYTES);
                self.websockets.insert(id, OpenWebSocket { key, url_bytes: 0, up: Vec::new(), down: Vec::new() });
                self.update(id, |exchange| exchange.websocket = Some(WebSocketHandshake { key, protocol }));
            }
            TapEvent::Upgraded { .. } | TapEvent::WindowNeeded { .. } | TapEvent::Unrequested { .. } => {}
            TapEvent::MessageBegin { id, dir, opcode } => {
                let message = OpenMessage::new(opcode, Body::new(sink.store()));
                if let Some(websocket) = self.websockets.get_mut(&id) {
                    websocket.messages(dir).push(message);
                    self.ledger.add(MESSAGE_BYTES);
                }
            }
            TapEvent::MessageData { id, dir, bytes } => {
                self.update_message(id, dir, |message| message.payload.push(bytes))
            }
            TapEvent::MessageEncoded { id, dir, bytes } => {
                self.update_message(id, dir, |message| message.push_encoded(bytes));
            }
            TapEvent::MessageUndecodable { id, dir, encoding } => {
                self.update_message(id, dir, |message| message.keep_encoded(encoding));
            }
            TapEvent::MessageEnd { id, dir, how } => self.finish_message(id, now, dir, how),
            TapEvent::Control { id, dir, opcode, payload: bytes } => {
                let mut message = OpenMessage::new(opcode, Body::new(sink.store()));
                message.payload.push(bytes);
                self.send_message(id, now, dir, message, Finish::Complete);
            }
            TapEvent::WebSocketEnd { id, how } => self.finish_websocket(id, now, how),
            TapEvent::Opaque { cause } if self.reported.contains(&cause) => {}
            TapEvent::Opaque { cause } => {
                self.reported.push(cause);
                self.unrecorded.push(Reason::Opaque(cause));
            }
        }
    }

    /// Notes that the host of an exchange offers HTTP/3.
    fn note_offer(&mut self, id: ExchangeId) {
        let request = self.exchanges.get(&id).and_then(|exchange| exchange.request.as_ref());
        let host = request.and_then(|request| named_authorities(request, &self.origin).into_iter().next());
        if host.is_some() && host != self.last_offer {
            self.offers.extend(host.clone());
            self.last_offer = host;
        }
    }

    fn update(&mut self, id: ExchangeId, change: impl FnOnce(&mut PendingExchange)) {
        if let Some(exchange) = self.exchanges.get_mut(&id) {
            let before = exchange.memory_bytes();
            change(exchange);
            self.ledger.add(exchange.memory_bytes());
            self.ledger.subtract(before);
        }
    }

    fn remove_exchange(&mut self, id: ExchangeId) -> Option<Box<PendingExchange>> {
        let exchange = self.exchanges.remove(&id)?;
        self.ledger.subtract(exchange.memory_bytes() + EXCHANGE_BYTES);
        Some(exchange)
    }

    fn finish_exchange(&mut self, id: ExchangeId, now: Moment) {
        let pending = self.remove_exchange(id);
        let exchange = pending.and_then(|pending| pending.finish(now, &self.origin, self.has_client_left()));
        if let (Some(exchange), Some(sink)) = (exchange, &self.sink) {
            if let Some(websocket) = self.websockets.get_mut(&id) {
                // Twice: a rotation copies it.
                websocket.url_bytes = exchange.url.len().saturating_mul(2);
                self.ledger.add(websocket.url_bytes);
            }
            sink.send(Item::Exchange(Box::new(exchange)));
        }
    }

    fn update_message(&mut self, id: ExchangeId, dir: Dir, change: impl FnOnce(&mut OpenMessage)) {
        if let Some(message) = self.websockets.get_mut(&id).and_then(|websocket| websocket.messages(dir).last_mut()) {
            change(message);
        }
    }

    fn finish_message(&mut self, id: ExchangeId, now: Moment, dir: Dir, how: Finish) {
        if let Some(message) = self.websockets.get_mut(&id).and_then(|websocket| websocket.messages(dir).pop()) {
            self.ledger.subtract(MESSAGE_BYTES);
            self.send_message(id, now, dir, message, how);
        }
    }

    fn send_message(&self, id: ExchangeId, now: Moment, dir: Dir, message: OpenMessage, how: Finish) {
        let (Some(websocket), Some(sink)) = (self.websockets.get(&id), &self.sink) else {
            return;
        };
        let OpenMessage { opcode, payload, encoded, encoding } = message;
        let (opcode, payload) = match encoded {
            Some(encoded) if encoding.is_some() => (Opcode::Binary, encoded),
            _ => (opcode, payload),
        };
        sink.send(Item::Message(WebSocketMessage {
            websocket: websocket.key,
            ended_ms: now.epoch_ms(),
            dir,
            opcode,
            payload,
            encoding,
            cut_off: CutOffCause::of(dir, how, self.has_client_left()),
        }));
    }

    /// Finishes a WebSocket whose connection ended with `how`.
    fn finish_websocket(&mut self, id: ExchangeId, now: Moment, how: Finish) {
        for dir in [Dir::Up, Dir::Down] {
            // Messages are in progress only if the tap was interrupted.
            while self.websockets.get_mut(&id).is_some_and(|websocket| !websocket.messages(dir).is_empty()) {
                self.finish_message(id, now, dir, how);
            }
        }
        if let (Some(websocket), Some(sink)) = (self.websockets.remove(&id), &self.sink) {
            self.ledger.subtract(WEBSOCKET_BYTES + websocket.url_bytes);
            sink.send(Item::WebSocketEnd { websocket: websocket.key, why: CutOffCause::of(Dir::Down, how, false) });
        }
    }

    /// Charges the memory in use. Past the limit, the recording ends.
    fn charge(&mut self, now: Moment) {
        if self.ledger.is_exceeded() || self.ledger.charge(self.excluded.memory_bytes()) {
            return;
        }
        let how = Finish::Opaque(Opaque::MemoryLimit);
        while let Some(mut first) = self.exchanges.first_entry() {
            let id = *first.key();
            first.get_mut().end_open_parts(now, how);
            self.finish_exchange(id, now);
        }
        while let Some(&id) = self.websockets.keys().next() {
            self.finish_websocket(id, now, how);
        }
        self.excluded.clear();
        if self.sink.is_some() {
            self.unrecorded.push(Reason::Opaque(Opaque::MemoryLimit));
        }
        self.ledger.close();
    }

    /// True if the client ended its direction before the origin did.
    fn has_client_left(&self) -> bool {
        self.first_to_end == Some(Dir::Up)
    }
}

impl Drop for Assembler {
    fn drop(&mut self) {
        if self.exchanges.is_empty() && self.websockets.is_empty() {
            return;
        }
        let now = Moment::now();
        while let Some(&id) = self.exchanges.keys().next() {
            self.finish_exchange(id, now);
        }
        while let Some(&id) = self.websockets.keys().next() {
            self.finish_websocket(id, now, Finish::Truncated(Ending::Stopped));
        }
    }
}

impl OpenWebSocket {
    /// Returns the messages in progress in direction `dir`.
    fn messages(&mut self, dir: Dir) -> &mut Vec<OpenMessage> {
        match dir {
            Dir::Up => &mut self.up,
            Dir::Down => &mut self.down,
        }
    }
}

impl OpenMessage {
    /// A message whose payload will be in `payload`.
    fn new(opcode: Opcode, payload: Body) -> Self {
        Self { opcode, payload, encoded: None, encoding: None }
    }

    /// Adds bytes of the payload before decoding.
    fn push_encoded(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.encoded.get_or_insert_with(|| self.payload.empty_like()).push(bytes);
        }
    }

    /// Keeps the payload as it was before decoding.
    fn keep_encoded(&mut self, encoding: PayloadEncoding) {
        self.encoding = Some(encoding);
        let empty = self.payload.empty_like();
        let decoded = std::mem::replace(&mut self.payload, empty);
        // Without encoded bytes, the message had no encoding so far.
        self.encoded.get_or_insert(decoded);
    }
}

/// The size of an entry of [`Assembler::exchanges`], whose nodes are at least half full, and of the header of an allocation.
const EXCHANGE_BYTES: usize = 2 * size_of::<(ExchangeId, Box<PendingExchange>)>() + 16;
/// Here, and in the writer without the URL.
const WEBSOCKET_BYTES: usize = 2 * size_of::<(ExchangeId, OpenWebSocket)>() + 512;
/// A message in a list with as much spare capacity.
const MESSAGE_BYTES: usize = 2 * size_of::<OpenMessage>();

/// The tap gets at most this many bytes at once, so that its state is checked often enough. Few reads are larger.
const MAX_PIECE_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests;
