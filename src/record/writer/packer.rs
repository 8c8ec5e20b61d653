//! Bodies that take long are decoded and packed on threads of their own: what ends meanwhile is written at once.
//!
//! ```text
//! writer ─▶ Job ─▶ some effort (bounded) ─▶ decode, pack ─────────────────▶ done ─▶ writer: the archive
//!     │       └──▶ much effort (bounded) ─▶ decode, pack ─▶ a copy ───────▶ done ─▶ writer: the JSON
//!     │                                         └─ done ─▶ writer: room ─┘
//!     └─ no room in a queue: the writer does it itself, so that what cannot be kept up with slows the traffic
//! ```
//!
//! Two threads, so that what takes milliseconds does not wait behind what takes seconds. A large body is copied to its place in
//! the archive here too: the writer only says where that is.

use super::entry::Effort;
use super::prepared::Prepared;
use crate::bundle::archive::{self, Deflater, Reservation};
use crate::record::item::Exchange;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread;

/// See above.
pub(super) struct Packer {
    /// For some and for much; `None` if there is no thread, or no longer.
    lanes: [Option<SyncSender<Job>>; 2],
    done: Receiver<Done>,
    /// How many are under way.
    under_way: usize,
}

/// An exchange and its number.
pub(super) struct Job {
    pub(super) exchange: Exchange,
    pub(super) number: u32,
}

/// What a thread has come to.
pub(super) enum Done {
    /// It waits for room in the archive.
    Asks(Ask),
    /// The job is done.
    Prepared(Box<Prepared>),
    /// A defect of this program ended the job.
    Panicked,
}

/// A question for room.
pub(super) struct Ask {
    pub(super) entries: Vec<archive::EntryHeader>,
    pub(super) answer: SyncSender<io::Result<Vec<Reservation>>>,
}

impl Packer {
    /// Decodes bodies that come to no more than `most` bytes.
    pub(super) fn start(most: u64) -> Self {
        let (results, done) = channel();
        let lanes = ["packer", "large-packer"].map(|name| {
            let (jobs, queue) = sync_channel(QUEUE);
            let results = results.clone();
            let thread = thread::Builder::new().name(name.into()).spawn(move || work(queue, &results, most));
            thread.is_ok().then_some(jobs)
        });
        Self { lanes, done, under_way: 0 }
    }

    /// Takes a job, unless others are waiting already.
    pub(super) fn offer(&mut self, job: Job, effort: Effort) -> Result<(), Box<Job>> {
        let [some, much] = &self.lanes;
        let lane = if effort == Effort::Much { much } else { some };
        let Some(jobs) = lane else { return Err(Box::new(job)) };
        match jobs.try_send(job) {
            Ok(()) => {
                self.under_way = self.under_way.saturating_add(1);
                Ok(())
            }
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => Err(Box::new(job)),
        }
    }

    /// Whether a result is still to come.
    pub(super) fn is_busy(&self) -> bool {
        self.under_way > 0
    }

    /// A result that is there.
    pub(super) fn ready(&mut self) -> Option<Done> {
        let done = self.done.try_recv().ok();
        self.count(done)
    }

    /// Waits for the next result of what is under way, if anything is; takes no more jobs.
    pub(super) fn last(&mut self) -> Option<Done> {
        self.lanes = [None, None];
        let done = self.done.recv().ok();
        self.count(done)
    }

    fn count(&mut self, done: Option<Done>) -> Option<Done> {
        if matches!(done, Some(Done::Prepared(_) | Done::Panicked)) {
            self.under_way = self.under_way.saturating_sub(1);
        }
        done
    }
}

/// Nobody takes the results once the writer is gone.
fn work(jobs: Receiver<Job>, results: &Sender<Done>, most: u64) {
    let mut deflater = Deflater::new();
    for Job { exchange, number } in jobs {
        let prepare = || {
            let mut prepared = Prepared::new(exchange, number, most);
            prepared.pack(&mut deflater);
            let entries = prepared.wants_rooms();
            if !entries.is_empty() {
                let (answer, rooms) = sync_channel(1);
                let _ = results.send(Done::Asks(Ask { entries, answer }));
                prepared.fill(rooms.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into())));
            }
            prepared
        };
        let prepared = catch_unwind(AssertUnwindSafe(prepare));
        let _ = results.send(prepared.map_or(Done::Panicked, |prepared| Done::Prepared(Box::new(prepared))));
    }
}

/// So many exchanges may wait for each thread.
const QUEUE: usize = 16;
