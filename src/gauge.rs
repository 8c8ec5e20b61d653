//! Reads a running capture from any thread, without waiting for the writer or the disk.

use crate::bundle::disk_watch::DiskWatch;
use crate::clock::Moment;
use crate::counters::Counters;
use crate::net::live::LiveConnections;
use crate::notice::{Progress, Summary};
use crate::record::observed::ObservedCounts;
use crate::record::writer::{PublishedState, WriterControl, WriterSummary};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Reads the progress of a capture, also while [`Running::stop`](crate::Running::stop) ends it.
#[derive(Clone)]
pub struct Gauge {
    started: Moment,
    counters: Arc<Counters>,
    live: Arc<LiveConnections>,
    /// `None` if no bundle is written.
    writer: Option<WriterHandles>,
    /// The counts of the callback.
    observed: Option<Arc<ObservedCounts>>,
}

/// The state of the writer that other threads may read.
#[derive(Clone)]
pub(crate) struct WriterHandles {
    pub(crate) published: PublishedState,
    pub(crate) control: Arc<WriterControl>,
    pub(crate) disk: Arc<DiskWatch>,
}

impl Gauge {
    pub(crate) fn new(
        started: Moment,
        counters: Arc<Counters>,
        live: Arc<LiveConnections>,
        writer: Option<WriterHandles>,
        observed: Option<Arc<ObservedCounts>>,
    ) -> Self {
        Self { started, counters, live, writer, observed }
    }

    /// The progress now.
    pub fn read(&self) -> Progress {
        let now = Moment::now();
        let mut progress = Progress {
            epoch_ms: now.epoch_ms(),
            elapsed: now.since(self.started),
            open: self.live.count(),
            bytes: self.counters.relayed_bytes(),
            domains: self.counters.domain_count(),
            ..Progress::default()
        };
        if let Some(WriterHandles { published, control, disk }) = &self.writer {
            progress.stalled_write = disk.hung_for();
            let state = published.lock();
            progress.exchanges = state.counts.exchanges;
            progress.cut_off_exchanges = state.counts.cut_off_exchanges.count;
            progress.websockets = state.counts.websockets;
            progress.bundle = state.part_bytes;
            progress.written = state.earlier_bytes.saturating_add(state.part_bytes);
            progress.unpacked = control.unpacked();
        } else if let Some(observed) = &self.observed {
            (progress.exchanges, progress.websockets) = observed.totals();
        }
        progress
    }

    /// The summary of what is in the bundle now, and of what was not captured until now. `bundle` is `None`, because it is
    /// not complete. `warnings` is empty: the observer got them.
    pub fn summary_so_far(&self) -> Summary {
        let counts = self.writer.as_ref().map(|writer| writer.published.lock().counts.clone());
        let mut summary = Summary {
            uncaptured: self.counters.uncaptured(),
            domains: self.counters.domains(),
            ..counts.map(WriterSummary::into_summary).unwrap_or_default()
        };
        if let Some(observed) = &self.observed {
            observed.add_to(&mut summary, observed.dropped(), self.writer.is_some());
        }
        summary
    }

    /// The path of the bundle until it is complete, `NAME.zip.part`; `None` if none is written, and if another process deleted or
    /// replaced it.
    pub fn unfinished_bundle(&self) -> Option<PathBuf> {
        let state = self.writer.as_ref()?.published.lock();
        (!state.is_part_lost).then(|| state.part.clone())
    }

    /// The path that the bundle had until another process deleted or replaced it; `None` if it still has a path.
    pub fn lost_bundle(&self) -> Option<PathBuf> {
        let state = self.writer.as_ref()?.published.lock();
        state.is_part_lost.then(|| state.part.clone())
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gauge").field(&self.read()).finish()
    }
}
