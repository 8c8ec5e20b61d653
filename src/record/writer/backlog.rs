//! The groups that were written before their bodies were verified or decoded: a queue on disk.
//!
//! ```text
//! commit ─▶ push ─▶ [number, place in the archive, tasks] ─▶ pop ─▶ packer: reads the group back from the archive
//! ```
//!
//! The bodies wait in the archive itself, so this queue takes 30 bytes for an exchange. Its memory does not grow.

use super::body_entry::Task;
use crate::bundle::archive::{CommittedGroup, GroupPlace};
use crate::bundle::spill::{Spill, SpillPlace};
use std::io;
use std::sync::Arc;

/// The queue of one bundle, first in, first out.
pub(super) struct Backlog {
    records: Spill,
    /// The offset of the first record that was not taken.
    taken: u64,
    /// The sum of the records' bytes.
    bytes: u64,
}

/// A committed exchange, and the tasks that are left for its bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BacklogRecord {
    /// The number in the exchange's id.
    pub(super) number: u32,
    pub(super) place: GroupPlace,
    /// The tasks for the bodies of the request and of the response.
    pub(super) tasks: [Task; 2],
    /// The size of its bodies as received.
    pub(super) bytes: u64,
}

/// A record whose group was found in the archive.
#[derive(Clone)]
pub(super) struct CommittedJob {
    /// The number of the bundle.
    pub(super) bundle: u32,
    pub(super) record: BacklogRecord,
    pub(super) group: Arc<CommittedGroup>,
}

impl Backlog {
    /// Returns an empty queue that spills to `place`.
    pub(super) fn new(place: impl Into<SpillPlace>) -> Self {
        Self { records: Spill::new(place), taken: 0, bytes: 0 }
    }

    /// Returns the number of records.
    pub(super) fn len(&self) -> u64 {
        self.records.len().saturating_sub(self.taken) / RECORD_BYTES as u64
    }

    /// True if packers need not begin with it while the app is busy.
    pub(super) fn is_short(&self) -> bool {
        self.len() < MAX_SHORT_RECORDS && self.bytes < MAX_SHORT_BYTES
    }

    pub(super) fn push(&mut self, record: BacklogRecord) {
        self.bytes = self.bytes.saturating_add(record.bytes);
        self.records.append(&record.encode());
    }

    /// Takes the first record. If it cannot be read back, the queue is empty from then on.
    pub(super) fn pop(&mut self) -> io::Result<Option<BacklogRecord>> {
        if self.len() == 0 {
            return Ok(None);
        }
        let mut bytes = [0; RECORD_BYTES];
        if let Err(e) = self.read(&mut bytes) {
            self.clear();
            return Err(e);
        }
        let record = BacklogRecord::decode(bytes);
        self.taken = self.taken.saturating_add(RECORD_BYTES as u64);
        self.bytes = self.bytes.saturating_sub(record.bytes);
        if self.len() == 0 {
            self.clear();
        }
        Ok(Some(record))
    }

    /// Reads the first record.
    fn read(&self, into: &mut [u8]) -> io::Result<()> {
        let mut filled = 0;
        while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            filled = match self.records.read_at(self.taken.saturating_add(filled as u64), rest)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => filled.saturating_add(n),
            };
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.records.clear();
        (self.taken, self.bytes) = (0, 0);
    }
}

impl BacklogRecord {
    fn encode(self) -> [u8; RECORD_BYTES] {
        let task = |task: Task| match task {
            Task::None | Task::Compress => 0,
            Task::Verify => 1,
            Task::Decode => 2,
        };
        let [request, response] = self.tasks.map(task);
        let mut bytes = [0; RECORD_BYTES];
        let (number, body_bytes) = (self.number.to_le_bytes(), self.bytes.to_le_bytes());
        let fields = [&self.place.encode()[..], &body_bytes, &number, &[request, response]];
        bytes.iter_mut().zip(fields.into_iter().flatten()).for_each(|(to, from)| *to = *from);
        bytes
    }

    fn decode(bytes: [u8; RECORD_BYTES]) -> Self {
        let task = |byte: u8| match byte {
            0 => Task::None,
            1 => Task::Verify,
            _ => Task::Decode,
        };
        let [place @ .., b0, b1, b2, b3, b4, b5, b6, b7, n0, n1, n2, n3, request, response] = bytes;
        Self {
            number: u32::from_le_bytes([n0, n1, n2, n3]),
            place: GroupPlace::decode(place),
            tasks: [task(request), task(response)],
            bytes: u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]),
        }
    }
}

/// A backlog of fewer exchanges and bytes is short. For 10,000 bodies of 100 KB, packers of normal priority on two processors take
/// 2.5 s with gzip, and 12 to 16 s with br or zstd (`docs/performance.md`): twice that for all of these bytes.
/// A forced end takes 0.04 to 0.1 ms for each.
pub(super) const MAX_SHORT_RECORDS: u64 = 32_768;
pub(super) const MAX_SHORT_BYTES: u64 = 2 << 30;

/// The length of a record on disk.
const RECORD_BYTES: usize = GroupPlace::ENCODED_BYTES + 14;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: u32) -> BacklogRecord {
        let mut place = [0; GroupPlace::ENCODED_BYTES];
        place
            .iter_mut()
            .zip((0..).map(|n: u8| n.wrapping_mul(37).wrapping_add(number as u8)))
            .for_each(|(to, n)| *to = n);
        let tasks = match number % 3 {
            0 => [Task::None, Task::Verify],
            1 => [Task::Decode, Task::None],
            _ => [Task::Verify, Task::Decode],
        };
        BacklogRecord { number, place: GroupPlace::decode(place), tasks, bytes: u64::from(number) << 13 }
    }

    #[test]
    fn records_come_back_in_order_and_take_no_memory() {
        let mut backlog = Backlog::new(std::env::temp_dir());
        let (mut pushed, mut popped) = (0, 0);
        for round in 0..30 {
            for _ in 0..20_000 {
                backlog.push(record(pushed));
                pushed += 1;
            }
            // Twice it is emptied in between.
            let rest = if round % 10 == 9 { 0 } else { 10_000 };
            while backlog.len() > rest {
                assert_eq!(backlog.pop().unwrap(), Some(record(popped)));
                popped += 1;
            }
            assert_eq!(backlog.bytes, (popped..pushed).map(|number| u64::from(number) << 13).sum::<u64>());
            assert!(backlog.records.memory_bytes() < 1 << 20, "{} records", backlog.len());
        }
        assert_eq!((backlog.pop().unwrap(), pushed, popped), (None, 600_000, 600_000));
        assert_eq!(backlog.records.len(), 0, "the file is empty again");
    }
}
