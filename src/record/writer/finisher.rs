//! Completes bundles on a thread of its own, while the writer writes the next one: the timeline, the directory, fsync(2) and
//! rename(2) may take seconds. Then deletes old bundles of this capture, if it keeps only some.
//!
//! ```text
//! rotation ─▶ submit ─▶ finish in order ─▶ delete the oldest ─▶ report ─▶ writer: summary, notices
//! ```

use super::bundle_file::{BundleFile, FinishedBundle};
use crate::bundle::disk_watch::{DiskWatch, timed};
use crate::channel::{Receiver, Sender, channel};
use crate::clock::Moment;
use std::collections::VecDeque;
use std::fs::{self, File, Metadata};
use std::io;
use std::num::NonZeroU32;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

/// The writer's handle to the thread that completes bundles.
pub(super) struct Finisher {
    work: Work,
    /// The number of bundles that were submitted and not reported.
    pending: usize,
}

enum Work {
    Thread {
        bundles: Sender<(BundleFile, Moment)>,
        reports: Receiver<FinishReport>,
    },
    /// On the writer thread: the capture writes one bundle, or no thread could be started.
    Inline {
        kept: KeptBundles,
        reports: VecDeque<FinishReport>,
    },
}

/// A bundle that was finished, and those that were deleted then.
pub(super) struct FinishReport {
    pub(super) bundle: FinishedBundle,
    pub(super) deleted: Vec<Deletion>,
}

/// The path of a bundle to delete, and the result.
type Deletion = (PathBuf, io::Result<()>);

impl Finisher {
    /// Finishes bundles on the calling thread.
    pub(super) fn inline(keep: Option<NonZeroU32>) -> Self {
        Self { work: Work::Inline { kept: KeptBundles::new(keep), reports: VecDeque::new() }, pending: 0 }
    }

    /// Starts the thread. The capture keeps the last `keep` finished bundles.
    pub(super) fn start(keep: Option<NonZeroU32>, disk: &Arc<DiskWatch>) -> Self {
        let (bundles, queue) = channel::<(BundleFile, Moment)>();
        let (sender, reports) = channel();
        let mut kept = KeptBundles::new(keep);
        let disk = Arc::clone(disk);
        // Sending a report fails only if the writer is gone; then nothing is left to do.
        let run = move || {
            let _entered = disk.enter();
            for bundle in queue {
                let _ = sender.send(kept.finish(bundle));
            }
        };
        match thread::Builder::new().name("finisher".into()).spawn(run) {
            Ok(_) => Self { work: Work::Thread { bundles, reports }, pending: 0 },
            Err(_) => Self::inline(keep),
        }
    }

    /// Returns a handle without a thread: bundles are not finished while the returned receiver exists.
    #[cfg(all(test, feature = "tools"))]
    pub(super) fn stalled() -> (Self, Receiver<(BundleFile, Moment)>) {
        let ((bundles, queue), (_, reports)) = (channel(), channel());
        (Self { work: Work::Thread { bundles, reports }, pending: 0 }, queue)
    }

    /// Completes `bundle`, which ended at `ended`.
    pub(super) fn submit(&mut self, bundle: BundleFile, ended: Moment) {
        match &mut self.work {
            Work::Thread { bundles, .. } => {
                // The thread ends only when this sender is dropped.
                let _ = bundles.send((bundle, ended));
            }
            Work::Inline { kept, reports } => reports.push_back(kept.finish((bundle, ended))),
        }
        self.pending = self.pending.saturating_add(1);
    }

    /// Returns the number of bundles that are not finished.
    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    /// Returns the next report, if there is one now.
    pub(super) fn try_next(&mut self) -> Option<FinishReport> {
        let report = match &mut self.work {
            Work::Thread { reports, .. } => reports.try_recv(),
            Work::Inline { reports, .. } => reports.pop_front(),
        };
        self.settle(report)
    }

    /// Waits for the next report; returns `None` once all bundles are reported.
    pub(super) fn next(&mut self) -> Option<FinishReport> {
        if self.pending == 0 {
            return None;
        }
        let report = match &mut self.work {
            Work::Thread { reports, .. } => reports.recv().ok(),
            Work::Inline { reports, .. } => reports.pop_front(),
        };
        self.settle(report)
    }

    fn settle(&mut self, report: Option<FinishReport>) -> Option<FinishReport> {
        self.pending = self.pending.saturating_sub(usize::from(report.is_some()));
        report
    }
}

/// The finished bundles of this capture that were not deleted.
struct KeptBundles {
    keep: Option<usize>,
    /// Oldest first; empty if all bundles are kept.
    bundles: VecDeque<OwnBundle>,
}

impl KeptBundles {
    fn new(keep: Option<NonZeroU32>) -> Self {
        Self { keep: keep.and_then(|keep| usize::try_from(keep.get()).ok()), bundles: VecDeque::new() }
    }

    fn finish(&mut self, (bundle, ended): (BundleFile, Moment)) -> FinishReport {
        let part = bundle.archive.unfinished_path().to_owned();
        let finished = catch_unwind(AssertUnwindSafe(|| bundle.finish(ended)));
        let bundle = finished.unwrap_or_else(|_| FinishedBundle::failed(part));
        let mut deleted = Vec::new();
        if let (Some(keep), Ok(finished), Some(file)) = (self.keep, &bundle.result, &bundle.file) {
            self.bundles.extend(OwnBundle::new(finished.path.clone(), file));
            while self.bundles.len() > keep
                && let Some(oldest) = self.bundles.pop_front()
            {
                deleted.extend(oldest.delete());
            }
        }
        FinishReport { bundle, deleted }
    }
}

/// A finished bundle that this capture wrote.
struct OwnBundle {
    path: PathBuf,
    identity: Identity,
}

/// The device, inode, size and modification time of a file. A file that replaced it differs in one of them.
type Identity = (u64, u64, u64, i64, i64);

impl OwnBundle {
    fn new(path: PathBuf, file: &Arc<File>) -> Option<Self> {
        let identity = identity(&timed(|| file.metadata()).ok()?);
        Some(Self { path, identity })
    }

    /// Deletes the file. Returns `None` if it is no longer at its path, or another file is.
    fn delete(self) -> Option<Deletion> {
        let meta = timed(|| fs::symlink_metadata(&self.path)).ok()?;
        if identity(&meta) != self.identity {
            return None;
        }
        let result = timed(|| fs::remove_file(&self.path));
        Some((self.path, result))
    }
}

fn identity(meta: &Metadata) -> Identity {
    (meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec())
}
