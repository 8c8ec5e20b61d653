//! Decodes and compresses large bodies on two threads, while the writer writes other exchanges.
//!
//! ```text
//! writer ─▶ PackingJob ─▶ medium cost (bounded) ─▶ decode, pack ─────────▶ Prepared ─▶ writer: archive
//!     │         └───────▶ high cost (bounded) ───▶ decode, pack ─▶ copy ─▶ Prepared ─▶ writer: JSON
//!     │                                               └─ Reserve ─▶ writer ─┘
//!     └─ queue full: the writer packs the exchange itself, which slows the traffic
//! ```
//!
//! With two threads, jobs of milliseconds do not wait behind jobs of seconds. A packer thread also copies a large body
//! into the archive; the writer only reserves the space.

use super::packing_cost::PackingCost;
use super::prepared::PreparedExchange;
use crate::bundle::archive::{self, Deflater, Reservation};
use crate::bundle::disk_watch::DiskWatch;
use crate::record::item::Exchange;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread;

/// The writer's handle to the packer threads.
pub(super) struct Packer {
    /// The queue for jobs of medium cost; `None` if its thread could not start, or no more jobs are accepted.
    medium_cost: Option<SyncSender<PackingJob>>,
    /// The queue for jobs of high cost, likewise.
    high_cost: Option<SyncSender<PackingJob>>,
    events: Receiver<PackerEvent>,
    /// The number of jobs that are queued or in progress.
    pending_jobs: usize,
}

/// An exchange to prepare, and the number of its id.
pub(super) struct PackingJob {
    pub(super) exchange: Exchange,
    pub(super) number: u32,
}

/// A report from a packer thread.
pub(super) enum PackerEvent {
    /// The thread waits for a reservation in the archive.
    Reserve(ReservationRequest),
    /// The job is done.
    Prepared(Box<PreparedExchange>),
    /// The job panicked, and its exchange is lost.
    Panicked,
}

/// A request to reserve places in the archive.
pub(super) struct ReservationRequest {
    pub(super) entries: Vec<archive::EntryHeader>,
    /// Receives one reservation per entry.
    pub(super) reply: SyncSender<io::Result<Vec<Reservation>>>,
}

impl Packer {
    /// Starts the threads. Bodies that would decode to more than `max_body_bytes` stay encoded.
    pub(super) fn start(max_body_bytes: u64, disk: &Arc<DiskWatch>) -> Self {
        let (sender, events) = channel();
        let start = |name: &str| {
            let (jobs, queue) = sync_channel(MAX_QUEUED_JOBS);
            let (sender, disk) = (sender.clone(), Arc::clone(disk));
            let work = move || {
                let _entered = disk.enter();
                run(queue, &sender, max_body_bytes);
            };
            let thread = thread::Builder::new().name(name.into()).spawn(work);
            thread.is_ok().then_some(jobs)
        };
        let (medium_cost, high_cost) = (start("packer"), start("large-packer"));
        Self { medium_cost, high_cost, events, pending_jobs: 0 }
    }

    /// Queues `job`; returns it if the queue is full or there is no thread.
    pub(super) fn try_submit(&mut self, job: PackingJob, cost: PackingCost) -> Result<(), Box<PackingJob>> {
        let queue = if cost == PackingCost::High { &self.high_cost } else { &self.medium_cost };
        let Some(queue) = queue else { return Err(Box::new(job)) };
        match queue.try_send(job) {
            Ok(()) => {
                self.pending_jobs = self.pending_jobs.saturating_add(1);
                Ok(())
            }
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => Err(Box::new(job)),
        }
    }

    /// True if a job is queued or in progress.
    pub(super) fn is_busy(&self) -> bool {
        self.pending_jobs > 0
    }

    /// Returns the next event, if there is one now.
    pub(super) fn try_next(&mut self) -> Option<PackerEvent> {
        let event = self.events.try_recv().ok();
        self.note(event)
    }

    /// Waits for the next event; returns `None` once all jobs are done. Accepts no more jobs.
    pub(super) fn finish_next(&mut self) -> Option<PackerEvent> {
        (self.medium_cost, self.high_cost) = (None, None);
        let event = self.events.recv().ok();
        self.note(event)
    }

    fn note(&mut self, event: Option<PackerEvent>) -> Option<PackerEvent> {
        if matches!(event, Some(PackerEvent::Prepared(_) | PackerEvent::Panicked)) {
            self.pending_jobs = self.pending_jobs.saturating_sub(1);
        }
        event
    }
}

/// Runs a packer thread. Sending an event fails only if the writer is gone; then nothing is left to do.
fn run(jobs: Receiver<PackingJob>, events: &Sender<PackerEvent>, max_body_bytes: u64) {
    let mut deflater = Deflater::new();
    for PackingJob { exchange, number } in jobs {
        let prepare = || {
            let mut prepared = PreparedExchange::new(exchange, number, max_body_bytes);
            prepared.pack(&mut deflater);
            let entries = prepared.to_reserve();
            if !entries.is_empty() {
                let (reply, reservations) = sync_channel(1);
                let _ = events.send(PackerEvent::Reserve(ReservationRequest { entries, reply }));
                prepared.fill(reservations.recv().unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into())));
            }
            prepared
        };
        let prepared = catch_unwind(AssertUnwindSafe(prepare));
        let _ =
            events.send(prepared.map_or(PackerEvent::Panicked, |prepared| PackerEvent::Prepared(Box::new(prepared))));
    }
}

/// The number of exchanges that may wait for each thread.
const MAX_QUEUED_JOBS: usize = 16;
