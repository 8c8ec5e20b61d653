//! Passes recorded items to a callback, on a thread of its own.
//!
//! ```text
//! connection ─▶ sink ─┬─▶ queue ─▶ writer                   waits while it is full
//!                     └─▶ copy ─▶ queue ─▶ this thread      dropped and counted while it is full
//! ```
//!
//! A copy shares the pieces of a body in the spill file, and copies the bytes in memory. Without a bundle there is no copy.

use super::body::Body;
use super::item::{Exchange, Item, WebSocketMessage};
use super::queue::{Receiver, Sender, bounded_queue};
use crate::bundle::disk_watch::DiskWatch;
use crate::memory::Share;
use crate::notice::Summary;
use crate::recorded::{
    BodyBytes, MessageKind, RecordCallback, Recorded, RecordedBody, RecordedExchange, RecordedHeaders, RecordedMessage,
    RecordedResponse,
};
use crate::wire::tap::{Dir, Opcode};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The connections' end of the queue to the callback; clones share it.
#[derive(Clone)]
pub(crate) struct Observed {
    items: Sender<Item>,
    counts: Arc<ObservedCounts>,
}

/// The numbers of items.
#[derive(Debug, Default)]
pub(crate) struct ObservedCounts {
    /// Exchanges that were passed to the callback.
    exchanges: AtomicU64,
    /// WebSockets whose handshakes were.
    websockets: AtomicU64,
    /// Messages that were.
    messages: AtomicU64,
    /// Items that were not, because the queue was full.
    dropped: AtomicU64,
    /// Items in the queue.
    waiting: AtomicU64,
}

/// The callback's thread.
pub(crate) struct ObserverThread {
    items: Sender<Item>,
    ended: Arc<Ended>,
}

/// The end of the callback's thread.
#[derive(Default)]
struct Ended {
    has_ended: Mutex<bool>,
    changed: Condvar,
}

/// A callback and its end of the queue.
pub(crate) struct PreparedObserver {
    callback: RecordCallback,
    items: Receiver<Item>,
    observed: Observed,
}

impl PreparedObserver {
    /// Prepares a queue whose items take up to the bytes of `share`.
    pub(crate) fn new(callback: RecordCallback, share: Arc<Share>, disk: &Arc<DiskWatch>) -> Self {
        let (sender, items) = bounded_queue(share, Arc::clone(disk));
        Self { callback, items, observed: Observed { items: sender, counts: Arc::default() } }
    }

    /// Returns the connections' end of the queue.
    pub(crate) fn observed(&self) -> &Observed {
        &self.observed
    }

    /// Starts the thread.
    pub(crate) fn start(self) -> io::Result<ObserverThread> {
        let Self { callback, items, observed: Observed { items: sender, counts } } = self;
        let ended = Arc::<Ended>::default();
        let at_end = Arc::clone(&ended);
        thread::Builder::new().name("callback".into()).spawn(move || {
            let mut batch = VecDeque::new();
            while items.receive(&mut batch, None) {
                for item in batch.drain(..) {
                    if matches!(item, Item::CaptureEnd) {
                        items.close();
                        continue;
                    }
                    counts.waiting.fetch_sub(1, Relaxed);
                    counts.count(&item);
                    // The callback is the embedder's code.
                    let _ = catch_unwind(AssertUnwindSafe(|| pass(&callback, &item)));
                }
            }
            *at_end.has_ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
            at_end.changed.notify_all();
        })?;
        Ok(ObserverThread { items: sender, ended })
    }
}

impl ObserverThread {
    /// Lets the callback have the items that wait, until all are passed or `is_forced`. Then later ones are dropped.
    pub(crate) fn finish(self, is_forced: impl Fn() -> bool) {
        let _ = self.items.send_urgent(Item::CaptureEnd);
        drop(self.items);
        let mut has_ended = self.ended.has_ended.lock().unwrap_or_else(PoisonError::into_inner);
        while !*has_ended && !is_forced() {
            let waited = self.ended.changed.wait_timeout(has_ended, CHECK_INTERVAL);
            has_ended = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Observed {
    /// Queues a copy of `item`, unless the queue is full.
    pub(super) fn offer_copy(&self, item: &Item) {
        match self.has_space().then(|| item.copy()) {
            Some(copy) => self.queue(copy),
            None => self.count_dropped(),
        }
    }

    /// Queues `item`, unless the queue is full.
    pub(super) fn offer(&self, item: Item) {
        if self.has_space() { self.queue(item) } else { self.count_dropped() }
    }

    /// Returns the counts.
    pub(crate) fn counts(&self) -> &Arc<ObservedCounts> {
        &self.counts
    }

    fn has_space(&self) -> bool {
        self.counts.waiting.load(Relaxed) < MAX_WAITING_ITEMS && self.items.has_space()
    }

    fn queue(&self, item: Item) {
        self.counts.waiting.fetch_add(1, Relaxed);
        // Closed: the capture ended.
        if self.items.send_unbounded(item).is_err() {
            self.count_dropped();
        }
    }

    fn count_dropped(&self) {
        self.counts.dropped.fetch_add(1, Relaxed);
    }
}

impl ObservedCounts {
    /// Returns the number of items that were not passed to the callback and will not be.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Returns the number of items that were not passed to the callback, also of those that still wait.
    pub(crate) fn missed(&self) -> u64 {
        self.dropped().saturating_add(self.waiting.load(Relaxed))
    }

    /// Returns the numbers of exchanges and of WebSockets.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.exchanges.load(Relaxed), self.websockets.load(Relaxed))
    }

    /// Sets the counts of the callback, of which `unobserved` items were not or will not be passed to it. Without a bundle, they are
    /// those of the capture.
    pub(crate) fn add_to(&self, summary: &mut Summary, unobserved: u64, has_bundle: bool) {
        summary.unobserved = unobserved;
        if !has_bundle {
            (summary.exchanges, summary.websockets) = self.totals();
            summary.messages = self.messages.load(Relaxed);
            summary.lost = unobserved;
        }
    }

    fn count(&self, item: &Item) {
        match item {
            Item::Exchange(exchange) => {
                self.exchanges.fetch_add(1, Relaxed);
                self.websockets.fetch_add(u64::from(exchange.websocket.is_some()), Relaxed);
            }
            Item::Message(_) => drop(self.messages.fetch_add(1, Relaxed)),
            Item::WebSocketEnd { .. } | Item::CaptureEnd => {}
        }
    }
}

/// Calls `callback` with `item`.
fn pass(callback: &RecordCallback, item: &Item) {
    match item {
        Item::Exchange(exchange) => callback.call(Recorded::Exchange(recorded_exchange(exchange))),
        Item::Message(message) => callback.call(Recorded::Message(recorded_message(message))),
        Item::WebSocketEnd { websocket, .. } => callback.call(Recorded::WebSocketEnd { websocket: websocket.0 }),
        Item::CaptureEnd => {}
    }
}

fn recorded_exchange(exchange: &Exchange) -> RecordedExchange<'_> {
    let response = match &exchange.response {
        Ok(head) => Ok(RecordedResponse {
            status: head.status,
            reason: &head.reason,
            headers: RecordedHeaders(&head.headers),
            body: RecordedBody(&exchange.response_body),
        }),
        Err(why) => Err(&**why),
    };
    RecordedExchange {
        started: time(exchange.started_ms),
        total: Duration::try_from_secs_f64(exchange.timing.total_ms / 1000.0).unwrap_or_default(),
        method: &exchange.method,
        url: &exchange.url,
        request_headers: RecordedHeaders(&exchange.request_headers),
        request_body: RecordedBody(&exchange.request_body),
        response,
        websocket: exchange.websocket.as_ref().map(|websocket| websocket.key.0),
        cut_off: exchange.cut_off,
    }
}

fn recorded_message(message: &WebSocketMessage) -> RecordedMessage<'_> {
    RecordedMessage {
        websocket: message.websocket.0,
        ended: time(message.ended_ms),
        is_from_client: message.dir == Dir::Up,
        kind: match message.opcode {
            Opcode::Text => MessageKind::Text,
            Opcode::Binary => MessageKind::Binary,
            Opcode::Ping => MessageKind::Ping,
            Opcode::Pong => MessageKind::Pong,
            Opcode::Close => MessageKind::Close,
        },
        payload: RecordedBody(&message.payload),
        is_encoded: message.encoding.is_some(),
        cut_off: message.cut_off,
    }
}

fn time(epoch_ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(epoch_ms)).unwrap_or(UNIX_EPOCH)
}

impl BodyBytes for Body {
    fn len(&self) -> u64 {
        self.len()
    }

    fn in_one_buffer(&self) -> Option<&[u8]> {
        self.in_one_buffer()
    }

    fn reader(&self) -> Box<dyn Read + '_> {
        Box::new(self.reader_at(0))
    }

    fn lost_bytes(&self) -> u64 {
        self.truncation().map_or(0, |truncation| truncation.lost_bytes)
    }
}

/// The largest number of items that wait for the callback.
const MAX_WAITING_ITEMS: u64 = 1000;

/// The interval at which a stop that waits for the callback looks whether it is forced.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
