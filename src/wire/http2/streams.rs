//! The open streams of a connection, and the ids of those that have ended.
//!
//! ```text
//! stream id   1 … last_requested, odd    2 … last_promised, even       above
//!             open, or ended and removed                                never seen
//! ```

use super::head::RequestPurpose;
use super::hpack::HeaderList;
use super::stream::{DirectionState, Stream};
use crate::wire::message::RequestHead;
use crate::wire::tap::{Dir, EventSink, ExchangeId, Finish, Opaque, TapEvent};
use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;

/// The streams of one connection.
pub(super) struct Streams {
    open: BTreeMap<u32, Stream>,
    /// The highest stream id that the client opened.
    last_requested: u32,
    /// The highest stream id that the origin promised.
    last_promised: u32,
    /// The exchange id of a stream is its stream id plus this offset.
    id_offset: u32,
    /// The total size of what is stored for the open streams. At most [`MAX_STORED_BYTES`].
    stored_bytes: usize,
    /// The total size of what the open streams have allocated.
    allocated_bytes: usize,
}

impl Streams {
    pub(super) fn new(id_offset: u32) -> Self {
        Self {
            open: BTreeMap::new(),
            last_requested: 0,
            last_promised: 0,
            id_offset,
            stored_bytes: 0,
            allocated_bytes: 0,
        }
    }

    /// Creates the streams of a connection that began with an HTTP/1 request. Its exchange `id` is the first stream, and its
    /// request has already ended (RFC 7540 section 3.2).
    pub(super) fn upgraded(id: ExchangeId) -> Self {
        let mut streams = Self::new(id.0.wrapping_sub(1));
        streams.last_requested = 1;
        streams.open.insert(1, Stream::after_request(id));
        streams
    }

    /// Returns true if no state of any exchange is left.
    #[cfg(any(test, fuzzing))]
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.stored_bytes == 0 && self.allocated_bytes == 0
    }

    /// Returns the number of bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        self.open.len().saturating_mul(OPEN_STREAM_BYTES).saturating_add(self.allocated_bytes)
    }

    /// Returns the exchange id of a stream.
    pub(super) fn exchange_id(&self, stream: u32) -> ExchangeId {
        ExchangeId(stream.wrapping_add(self.id_offset))
    }

    /// Returns true if the sender in direction `dir` may open stream `id` now (section 5.1.1).
    pub(super) fn is_new(&self, id: u32, dir: Dir) -> bool {
        id > 0 && opened_by(id) == dir && !self.was_opened(id)
    }

    /// Returns true if stream `id` is open or has ended.
    pub(super) fn was_opened(&self, id: u32) -> bool {
        id <= if opened_by(id) == Dir::Up { self.last_requested } else { self.last_promised }
    }

    /// Returns the state of a direction of stream `id`. A stream that is not open has ended.
    pub(super) fn state(&self, id: u32, dir: Dir) -> DirectionState {
        self.open.get(&id).map_or(DirectionState::Ended, |stream| stream.state(dir))
    }

    /// Reports a request and opens its stream. Above the limits, only the request's head is reported.
    pub(super) fn open(
        &mut self,
        id: u32,
        (head, purpose): (RequestHead, RequestPurpose),
        list: HeaderList,
        out: EventSink<'_>,
    ) {
        *(if opened_by(id) == Dir::Up { &mut self.last_requested } else { &mut self.last_promised }) = id;
        let mut stream = Stream::open(self.exchange_id(id), head, purpose, list, out);
        if self.open.len() >= MAX_STREAMS {
            return stream.exceed_limit(out);
        }
        self.stored_bytes += stream.stored_bytes;
        self.allocated_bytes += stream.memory_bytes();
        self.open.insert(id, stream);
        self.update(id, out, |_, _| ());
    }

    /// Updates a stream, and removes it if it has ended. Does nothing if the stream is not open.
    pub(super) fn update(&mut self, id: u32, out: EventSink<'_>, update: impl FnOnce(&mut Stream, EventSink<'_>)) {
        let Some(stream) = self.open.get_mut(&id) else {
            return;
        };
        self.stored_bytes -= stream.stored_bytes;
        self.allocated_bytes -= stream.memory_bytes();
        update(stream, out);
        if self.stored_bytes + stream.stored_bytes > MAX_STORED_BYTES {
            stream.exceed_limit(out);
        }
        if stream.is_ended() {
            self.open.remove(&id);
        } else {
            self.stored_bytes += stream.stored_bytes;
            self.allocated_bytes += stream.memory_bytes();
        }
    }

    /// Ends direction `dir` of all streams.
    pub(super) fn end_all(&mut self, dir: Dir, how: Finish, out: EventSink<'_>) {
        let ids: Vec<_> = self.open.keys().copied().collect();
        ids.into_iter().for_each(|id| self.update(id, out, |stream, out| stream.end(dir, how, out)));
    }

    /// Ends the streams in `ids` that `opener` opened, because the other side refuses them (section 6.8).
    pub(super) fn refuse(&mut self, ids: RangeInclusive<u32>, opener: Dir, how: Finish, out: EventSink<'_>) {
        let refused = self.open.range(ids).map(|(&id, _)| id);
        let refused: Vec<_> = refused.filter(|&id| opened_by(id) == opener).collect();
        let by = opener.opposite();
        refused.into_iter().for_each(|id| self.update(id, out, |stream, out| stream.end_both(by, how, out)));
    }
}

/// The last streams that one side ended with END_STREAM. Further messages on them are errors, which is not true of streams that
/// were reset: there the messages may have been sent before the reset arrived (section 5.1).
#[derive(Default)]
pub(super) struct CompletedStreams {
    /// Oldest first. At most [`MAX_COMPLETED_STREAMS`].
    ids: VecDeque<u32>,
}

impl CompletedStreams {
    /// Returns the number of bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        self.ids.capacity().saturating_mul(size_of::<u32>())
    }

    pub(super) fn add(&mut self, id: u32) {
        if self.ids.len() >= MAX_COMPLETED_STREAMS {
            self.ids.pop_front();
        }
        self.ids.push_back(id);
    }

    /// Reports a message on stream `id` after its end, once for each stream.
    pub(super) fn report(&mut self, id: u32, out: EventSink<'_>) {
        if let Some(at) = self.ids.iter().position(|&completed| completed == id) {
            self.ids.remove(at);
            out(TapEvent::Opaque { cause: Opaque::Misplaced });
        }
    }
}

/// Returns the direction of the request on a stream: clients open odd streams (section 5.1.1).
pub(super) fn opened_by(stream: u32) -> Dir {
    if stream % 2 == 1 { Dir::Up } else { Dir::Down }
}

/// The size of an entry of `open`. Nodes of a B-tree are at least half full.
const OPEN_STREAM_BYTES: usize = 2 * (size_of::<u32>() + size_of::<Stream>());

/// The largest number of open streams, as for HTTP/1. Servers allow some hundreds.
const MAX_STREAMS: usize = 10_000;

/// The largest total size of what is stored for the open streams. HPACK can encode large fields in a few bytes.
const MAX_STORED_BYTES: usize = 64 * 1024 * 1024;

/// The number of completed streams that each direction remembers.
const MAX_COMPLETED_STREAMS: usize = 64;
