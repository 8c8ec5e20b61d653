//! Bodies that take long are decoded and packed on a thread of their own: what ends meanwhile is written at once.
//!
//! ```text
//! writer ─▶ Job ─▶ jobs (bounded) ─▶ decode, pack ─▶ done ─▶ writer: one copy into the archive
//!     └─ no room: the writer does it itself, so that what cannot be kept up with slows the traffic
//! ```

use super::prepared::Prepared;
use crate::bundle::archive::Deflater;
use crate::bundle::item::Exchange;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread::{self, JoinHandle};

/// See above.
pub(super) struct Packer {
    /// `None` if there is no thread: the writer does everything itself.
    thread: Option<Thread>,
    /// How many are under way.
    under_way: usize,
}

struct Thread {
    jobs: SyncSender<Job>,
    done: Receiver<Done>,
    handle: JoinHandle<()>,
}

/// An exchange and its number.
pub(super) struct Job {
    pub(super) exchange: Exchange,
    pub(super) number: u32,
}

/// What became of a job; `None` if a defect of this program ended it.
pub(super) type Done = Option<Prepared>;

impl Packer {
    /// Decodes bodies that come to no more than `most` bytes.
    pub(super) fn start(most: u64) -> Self {
        let (jobs, queue) = sync_channel::<Job>(QUEUE);
        let (results, done) = channel();
        let work = move || {
            let mut deflater = Deflater::new();
            for Job { exchange, number } in queue {
                let prepare = || {
                    let mut prepared = Prepared::new(exchange, number, most);
                    prepared.pack(&mut deflater);
                    prepared
                };
                // Nobody takes it once the writer is gone.
                let _ = results.send(catch_unwind(AssertUnwindSafe(prepare)).ok());
            }
        };
        let handle = thread::Builder::new().name("packer".into()).spawn(work);
        Self { thread: handle.ok().map(|handle| Thread { jobs, done, handle }), under_way: 0 }
    }

    /// Takes a job, unless others are waiting already.
    pub(super) fn offer(&mut self, job: Job) -> Result<(), Box<Job>> {
        let Some(thread) = &self.thread else { return Err(Box::new(job)) };
        match thread.jobs.try_send(job) {
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
        let done = self.thread.as_ref()?.done.try_recv().ok()?;
        self.under_way = self.under_way.saturating_sub(1);
        Some(done)
    }

    /// Waits for all that is under way.
    pub(super) fn finish(&mut self) -> Vec<Done> {
        let Some(Thread { jobs, done, handle }) = self.thread.take() else { return Vec::new() };
        drop(jobs);
        let rest = done.iter().collect();
        // A panic outside of a job is not to be had.
        let _ = handle.join();
        self.under_way = 0;
        rest
    }
}

/// So many exchanges may wait for the thread.
const QUEUE: usize = 16;
