//! The time and id of every item, sorted by time at the end by an external merge sort, which bounds memory.
//!
//! ```text
//! event ─▶ run in memory ──full──▶ sorted, spilled     run, run, run ─▶ merged by time ─▶ timeline.json
//! ```
//!
//! Ids made of counters take 17 spilled bytes. Ids of other producers and merged bundles are kept in memory as text.

use super::id::{Id, ItemKind, push_number};
use super::spill::{Spill, SpillPlace};
use super::string_arena::StringArena;
use crate::sorting::sort_by_key;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::io::{self, Write};

/// An event of the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Event {
    timestamp: u64,
    item: Item,
}

/// The item that an event refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Item {
    Numbered(Id),
    /// The kind of the item and the index of its id in [`TimelineBuilder::names`].
    Named(ItemKind, u32),
}

/// Collects events and writes them sorted, as [`timeline.json`](super::format::Timeline).
pub(crate) struct TimelineBuilder {
    /// The last events, not sorted yet.
    run: Vec<Event>,
    /// Sorted runs of [`RUN_EVENTS`] events, one after the other.
    runs: Spill,
    /// The ids of named items.
    names: StringArena,
}

impl TimelineBuilder {
    /// Returns an empty timeline that spills to `place`.
    pub(crate) fn new(place: impl Into<SpillPlace>) -> Self {
        Self { run: Vec::new(), runs: Spill::new(place), names: StringArena::default() }
    }

    /// Adds an item of this capture.
    pub(crate) fn push(&mut self, timestamp: u64, id: Id) {
        self.push_event(Event { timestamp, item: Item::Numbered(id) });
    }

    /// Adds an item whose id is not made of our counters.
    pub(crate) fn push_named(&mut self, timestamp: u64, kind: ItemKind, id: &str) {
        // Fewer than 2^32 events are expected.
        let index = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(id);
        self.push_event(Event { timestamp, item: Item::Named(kind, index) });
    }

    fn push_event(&mut self, event: Event) {
        self.run.push(event);
        if self.run.len() >= RUN_EVENTS {
            self.sort();
            self.run.drain(..).for_each(|event| self.runs.append(&encode(event)));
        }
    }

    /// Returns the number of events.
    pub(crate) fn len(&self) -> u64 {
        (self.runs.len() / EVENT_BYTES as u64).saturating_add(self.run.len() as u64)
    }

    /// Returns an upper bound for the size of `timeline.json`.
    pub(crate) fn max_json_bytes(&self) -> u64 {
        let events = self.len().saturating_add(1).saturating_mul(MAX_EVENT_JSON_BYTES);
        events.saturating_add(self.names.text_len() as u64)
    }

    /// Sorts the run in memory. Stable: items of one millisecond keep the order in which they were added.
    fn sort(&mut self) {
        sort_by_key(&mut self.run, &|event| event.timestamp);
    }

    /// Writes `timeline.json` in the layout of `json.rs`. By hand, because the events are streamed and reading them
    /// back may fail.
    pub(crate) fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.len() == 0 {
            return out.write_all(b"{\n  \"events\": []\n}");
        }
        out.write_all(b"{\n  \"events\": [")?;
        self.sort();
        let (mut separator, mut text) = ("\n", String::new());
        self.merge(&mut |Event { timestamp, item }| {
            let kind = match item {
                Item::Numbered(id) => id.kind(),
                Item::Named(kind, _) => kind,
            };
            let kind = match kind {
                ItemKind::Trace => "trace",
                ItemKind::WebSocket => "ws_open",
                ItemKind::Message => "ws_message",
                ItemKind::Context => "context",
            };
            text.clear();
            text.push_str(separator);
            text.push_str("    {\n      \"timestamp\": ");
            push_number(&mut text, timestamp, 1);
            text.push_str(",\n      \"type\": \"");
            text.push_str(kind);
            text.push_str("\",\n      \"ref\": \"");
            // Ids consist of ASCII letters, digits and underscores: nothing to escape.
            match item {
                Item::Numbered(id) => id.push_to(&mut text),
                Item::Named(_, index) => text.push_str(self.name(index)),
            }
            text.push_str("\"\n    }");
            separator = ",\n";
            out.write_all(text.as_bytes())
        })?;
        out.write_all(b"\n  ]\n}")
    }

    fn name(&self, index: u32) -> &str {
        usize::try_from(index).ok().and_then(|index| self.names.get(index)).unwrap_or_default()
    }

    /// Passes all events to `sink`, by time. The run in memory must be sorted.
    fn merge(&self, sink: &mut dyn FnMut(Event) -> io::Result<()>) -> io::Result<()> {
        let mut runs = Vec::new();
        let mut offset = 0;
        while offset < self.runs.len() {
            let end = offset.saturating_add((RUN_EVENTS * EVENT_BYTES) as u64).min(self.runs.len());
            runs.push(SpilledRun { offset, end, decoded: Vec::new().into_iter() });
            offset = end;
        }
        let read_events = MERGED_EVENTS.checked_div(runs.len()).unwrap_or_default().max(MIN_READ_EVENTS);
        let mut in_memory = self.run.iter().copied();
        // The next event of each run. At equal times the earlier run wins; the run in memory is the last.
        let mut heads = BinaryHeap::new();
        let in_memory_index = runs.len();
        let mut next = |n: usize| -> io::Result<_> {
            let next = match runs.get_mut(n) {
                Some(run) => run.next(&self.runs, read_events)?,
                None => in_memory.next(),
            };
            Ok(next.map(|event| Reverse((event.timestamp, n, Incomparable(event)))))
        };
        for n in 0..=in_memory_index {
            heads.extend(next(n)?);
        }
        while let Some(mut first) = heads.peek_mut() {
            let Reverse((_, n, Incomparable(event))) = *first;
            sink(event)?;
            // In place: most often the next event of all is of the same run.
            match next(n)? {
                Some(head) => *first = head,
                None => drop(PeekMut::pop(first)),
            }
        }
        Ok(())
    }
}

/// An event that takes no part in the order of the tuple that it is in.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Incomparable(Event);

impl PartialOrd for Incomparable {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Incomparable {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

/// A spilled run that is being read.
struct SpilledRun {
    offset: u64,
    end: u64,
    decoded: std::vec::IntoIter<Event>,
}

impl SpilledRun {
    /// Returns the next event. Reads up to `read_events` at once.
    fn next(&mut self, spill: &Spill, read_events: usize) -> io::Result<Option<Event>> {
        if let Some(event) = self.decoded.next() {
            return Ok(Some(event));
        }
        let remaining = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; remaining.min(read_events.saturating_mul(EVENT_BYTES))];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            filled = match spill.read_at(self.offset.saturating_add(filled as u64), rest)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => filled.saturating_add(n),
            };
        }
        self.offset = self.offset.saturating_add(filled as u64);
        let events: Vec<_> = bytes.chunks_exact(EVENT_BYTES).filter_map(decode).collect();
        self.decoded = events.into_iter();
        Ok(self.decoded.next())
    }
}

/// Encodes time, up to two numbers, and a tag.
fn encode(Event { timestamp, item }: Event) -> [u8; EVENT_BYTES] {
    let (tag, a, b) = match item {
        Item::Numbered(Id::Trace(n)) => (0, n, 0),
        Item::Numbered(Id::WebSocket(n)) => (1, n, 0),
        Item::Numbered(Id::Message(websocket, n)) => (2, websocket, n),
        Item::Named(ItemKind::Trace, index) => (3, index, 0),
        Item::Named(ItemKind::WebSocket, index) => (4, index, 0),
        Item::Named(ItemKind::Message, index) => (5, index, 0),
        Item::Named(ItemKind::Context, index) => (6, index, 0),
    };
    let fields = u128::from(timestamp) | u128::from(a) << 64 | u128::from(b) << 96;
    let mut bytes = [tag; EVENT_BYTES];
    bytes.iter_mut().zip(fields.to_le_bytes()).for_each(|(to, from)| *to = from);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Event> {
    let (fields, tag) = bytes.split_first_chunk::<16>()?;
    let fields = u128::from_le_bytes(*fields);
    let (timestamp, a, b) = (fields as u64, (fields >> 64) as u32, (fields >> 96) as u32);
    let item = match tag.first()? {
        0 => Item::Numbered(Id::Trace(a)),
        1 => Item::Numbered(Id::WebSocket(a)),
        2 => Item::Numbered(Id::Message(a, b)),
        3 => Item::Named(ItemKind::Trace, a),
        4 => Item::Named(ItemKind::WebSocket, a),
        5 => Item::Named(ItemKind::Message, a),
        _ => Item::Named(ItemKind::Context, a),
    };
    Some(Event { timestamp, item })
}

/// The number of events, of 24 bytes each, that are kept in memory: 96 KiB. Freeing a larger buffer, or the sort's, would raise
/// glibc's thresholds (`docs/relay.md`, "The allocator").
#[cfg(not(test))]
const RUN_EVENTS: usize = 4 * 1024;
#[cfg(test)]
const RUN_EVENTS: usize = 1000;

/// The number of events in memory while runs are merged: a capture of 10 million events has 2,400 runs, of which 26 events
/// each are read at once.
const MERGED_EVENTS: usize = 64 * 1024;

/// The smallest number of events that are read at once from a run.
const MIN_READ_EVENTS: usize = 8;

/// The length of a spilled event.
const EVENT_BYTES: usize = 17;

/// The largest JSON of an event without a named id: the time has up to 20 digits, and an id two numbers of up to 10.
const MAX_EVENT_JSON_BYTES: u64 = 160;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::format;

    fn written(mut timeline: TimelineBuilder) -> String {
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        timeline.write(&mut once).unwrap();
        timeline.write(&mut twice).unwrap();
        assert!(once == twice);
        assert!(once.len() as u64 <= timeline.max_json_bytes());
        String::from_utf8(once).unwrap()
    }

    fn timeline() -> TimelineBuilder {
        TimelineBuilder::new(std::env::temp_dir())
    }

    #[test]
    fn has_the_layout_of_serde_json() {
        let mut full = timeline();
        full.push(6, Id::WebSocket(12345));
        full.push(5, Id::Trace(7));
        full.push(6, Id::Message(1, 1234));
        full.push_named(7, ItemKind::Context, "c_0001");
        let expected = ["trace t_0007", "ws_open ws_12345", "ws_message ws_0001_m1234", "context c_0001"];
        for (timeline, expected) in [(full, &expected[..]), (timeline(), &[])] {
            let written = written(timeline);
            let read: format::Timeline = serde_json::from_str(&written).unwrap();
            assert_eq!(serde_json::to_string_pretty(&read).unwrap(), written);
            let refs: Vec<_> = read.events.iter().map(|e| format!("{} {}", e.r#type, e.r#ref)).collect();
            assert_eq!(refs, expected);
        }
    }

    #[test]
    fn sorts_by_time_and_is_stable() {
        for count in [RUN_EVENTS - 1, RUN_EVENTS, 3 * RUN_EVENTS, 5 * RUN_EVENTS + 7] {
            let time = |n: usize| (n as u64).wrapping_mul(2_654_435_761) % 97;
            let id = |n: usize| Id::Message(u32::MAX, n as u32);
            let (mut numbered, mut named) = (timeline(), timeline());
            for n in 0..count {
                numbered.push(time(n), id(n));
                named.push_named(time(n), ItemKind::Message, &id(n).to_string());
            }
            let numbered = written(numbered);
            let read: format::Timeline = serde_json::from_str(&numbered).unwrap();
            let mut expected: Vec<_> = (0..count).map(|n| (time(n), id(n).to_string())).collect();
            expected.sort_by_key(|(timestamp, _)| *timestamp);
            let read: Vec<_> = read.events.into_iter().map(|e| (e.timestamp, e.r#ref)).collect();
            assert!(read == expected, "{count} events");
            assert!(written(named) == numbered, "{count} named events");
        }
    }

    #[test]
    fn spilled_events_round_trip() {
        let kinds = [ItemKind::Trace, ItemKind::WebSocket, ItemKind::Message, ItemKind::Context];
        let named = kinds.map(|kind| Item::Named(kind, u32::MAX));
        let numbered = [Id::Trace(u32::MAX), Id::WebSocket(1), Id::Message(u32::MAX, 3)].map(Item::Numbered);
        for item in named.into_iter().chain(numbered) {
            let event = Event { timestamp: u64::MAX, item };
            assert_eq!(decode(&encode(event)), Some(event));
        }
        assert_eq!(size_of::<Event>(), 24);
    }
}
