//! Every item's time and name, sorted at the end, whatever their number.
//!
//! ```text
//! event ─▶ run in memory ──full──▶ sorted, spilled     run, run, run ─▶ merged by time ─▶ timeline.json
//! ```

use super::format::Id;
use super::spill::Spill;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};
use std::path::PathBuf;

/// An item's place in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) timestamp: u64,
    pub(crate) id: Id,
}

/// All events so far.
pub(crate) struct Timeline {
    /// Not sorted yet.
    run: Vec<Event>,
    /// Sorted runs of [`RUN`] events, one after the other.
    runs: Spill,
}

impl Timeline {
    /// Spills to `folder`.
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { run: Vec::new(), runs: Spill::new(folder) }
    }

    pub(crate) fn push(&mut self, event: Event) {
        self.run.push(event);
        if self.run.len() >= RUN {
            self.sort();
            self.run.drain(..).for_each(|event| self.runs.append(&packed(event)));
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        (self.runs.len() / EVENT as u64).saturating_add(self.run.len() as u64)
    }

    /// Stable: what happened in one millisecond stays in the order in which it was written.
    fn sort(&mut self) {
        self.run.sort_by_key(|event| event.timestamp);
    }

    /// Writes `timeline.json`, as `serde_json` would lay it out.
    pub(crate) fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.len() == 0 {
            return out.write_all(b"{\n  \"events\": []\n}");
        }
        out.write_all(b"{\n  \"events\": [")?;
        let mut separator = "\n";
        self.merge(&mut |Event { timestamp, id }| {
            let kind = match id {
                Id::Trace(_) => "trace",
                Id::WebSocket(_) => "ws_open",
                Id::Message(..) => "ws_message",
            };
            write!(out, "{separator}    {{\n      \"timestamp\": {timestamp},\n")?;
            write!(out, "      \"type\": \"{kind}\",\n      \"ref\": \"{id}\"\n    }}")?;
            separator = ",\n";
            Ok(())
        })?;
        out.write_all(b"\n  ]\n}")
    }

    /// Hands `take` all events by time. May be called again.
    fn merge(&mut self, take: &mut dyn FnMut(Event) -> io::Result<()>) -> io::Result<()> {
        self.sort();
        let mut runs = Vec::new();
        let mut at = 0;
        while at < self.runs.len() {
            let end = at.saturating_add((RUN * EVENT) as u64).min(self.runs.len());
            runs.push(Run { at, end, ready: Vec::new().into_iter() });
            at = end;
        }
        let mut last = self.run.iter().copied();
        // Of one time, the earlier run comes first; the last one is what is still in memory.
        let mut heads = BinaryHeap::new();
        let mut advance = |n: usize, heads: &mut BinaryHeap<_>| -> io::Result<()> {
            let next = match runs.get_mut(n) {
                Some(run) => run.next(&self.runs)?,
                None => last.next(),
            };
            heads.extend(next.map(|event| Reverse((event.timestamp, n, Ranked(event)))));
            Ok(())
        };
        let memory = usize::try_from(self.runs.len().div_ceil((RUN * EVENT) as u64)).unwrap_or(usize::MAX);
        (0..=memory).try_for_each(|n| advance(n, &mut heads))?;
        while let Some(Reverse((_, n, Ranked(event)))) = heads.pop() {
            take(event)?;
            advance(n, &mut heads)?;
        }
        Ok(())
    }
}

/// An event that has no order of its own.
#[derive(PartialEq, Eq)]
struct Ranked(Event);

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

/// A spilled run being read.
struct Run {
    at: u64,
    end: u64,
    ready: std::vec::IntoIter<Event>,
}

impl Run {
    fn next(&mut self, spill: &Spill) -> io::Result<Option<Event>> {
        if let Some(event) = self.ready.next() {
            return Ok(Some(event));
        }
        let most = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX).min(AHEAD * EVENT);
        let mut bytes = vec![0; most];
        let mut have = 0;
        while let Some(rest) = bytes.get_mut(have..).filter(|rest| !rest.is_empty()) {
            have = match spill.read_at(self.at.saturating_add(have as u64), rest)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => have.saturating_add(n),
            };
        }
        self.at = self.at.saturating_add(have as u64);
        let events: Vec<_> = bytes.chunks_exact(EVENT).filter_map(unpacked).collect();
        self.ready = events.into_iter();
        Ok(self.ready.next())
    }
}

/// Time, kind and numbers.
fn packed(Event { timestamp, id }: Event) -> [u8; EVENT] {
    let (kind, a, b) = match id {
        Id::Trace(n) => (0, n, 0),
        Id::WebSocket(n) => (1, n, 0),
        Id::Message(socket, n) => (2, socket, n),
    };
    let fields = u128::from(timestamp) | u128::from(a) << 64 | u128::from(b) << 96;
    let mut bytes = [kind; EVENT];
    bytes.iter_mut().zip(fields.to_le_bytes()).for_each(|(to, from)| *to = from);
    bytes
}

fn unpacked(bytes: &[u8]) -> Option<Event> {
    let (fields, kind) = bytes.split_first_chunk::<16>()?;
    let fields = u128::from_le_bytes(*fields);
    let (timestamp, a, b) = (fields as u64, (fields >> 64) as u32, (fields >> 96) as u32);
    let id = match kind.first()? {
        0 => Id::Trace(a),
        1 => Id::WebSocket(a),
        _ => Id::Message(a, b),
    };
    Some(Event { timestamp, id })
}

/// So many events, of 24 bytes, are in memory at most.
#[cfg(not(test))]
const RUN: usize = 64 * 1024;
#[cfg(test)]
const RUN: usize = 1000;

/// So many of each run are read at once: a capture of 10 million has 160 runs.
const AHEAD: usize = 256;

/// A spilled event's length.
const EVENT: usize = 17;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::format;

    fn written(events: impl Iterator<Item = Event>) -> String {
        let mut timeline = Timeline::new(std::env::temp_dir());
        events.for_each(|event| timeline.push(event));
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        timeline.write(&mut once).unwrap();
        timeline.write(&mut twice).unwrap();
        assert!(once == twice);
        String::from_utf8(once).unwrap()
    }

    #[test]
    fn is_laid_out_like_all_json() {
        let events = [
            Event { timestamp: 6, id: Id::WebSocket(12345) },
            Event { timestamp: 5, id: Id::Trace(7) },
            Event { timestamp: 6, id: Id::Message(1, 1234) },
        ];
        for some in [&events[..], &[]] {
            let written = written(some.iter().copied());
            let read: format::Timeline = serde_json::from_str(&written).unwrap();
            assert_eq!(serde_json::to_string_pretty(&read).unwrap(), written);
            let refs: Vec<_> = read.events.iter().map(|e| format!("{} {}", e.r#type, e.r#ref)).collect();
            assert_eq!(refs, ["trace t_0007", "ws_open ws_12345", "ws_message ws_0001_m1234"][..some.len()]);
        }
    }

    #[test]
    fn is_sorted_by_time_and_keeps_the_order_of_writing() {
        for count in [RUN - 1, RUN, 3 * RUN, 5 * RUN + 7] {
            let at = |n: usize| (n as u64).wrapping_mul(2_654_435_761) % 97;
            let event = |n: usize| Event { timestamp: at(n), id: Id::Message(u32::MAX, n as u32) };
            let read: format::Timeline = serde_json::from_str(&written((0..count).map(event))).unwrap();
            let mut expected: Vec<_> = (0..count).map(event).collect();
            expected.sort_by_key(|event| event.timestamp);
            let expected: Vec<_> = expected.iter().map(|e| (e.timestamp, e.id.to_string())).collect();
            let read: Vec<_> = read.events.into_iter().map(|e| (e.timestamp, e.r#ref)).collect();
            assert!(read == expected, "{count} events");
        }
    }

    #[test]
    fn an_event_is_packed_and_unpacked() {
        for id in [Id::Trace(u32::MAX), Id::WebSocket(1), Id::Message(u32::MAX, 3)] {
            let event = Event { timestamp: u64::MAX, id };
            assert_eq!(unpacked(&packed(event)), Some(event));
        }
    }
}
