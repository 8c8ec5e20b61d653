//! The state of the writer as other threads see it. The writer publishes it after each commit, before it notifies the
//! observer. Readers wait neither for the writer nor for the disk.

use super::bundle_file::BundleFile;
use super::{Writer, WriterSummary};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The published state of one writer; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct PublishedState(Arc<Mutex<WriterState>>);

/// The state of a writer after a commit.
#[derive(Clone, Debug, Default)]
pub(crate) struct WriterState {
    /// The counts so far. `warnings` and `bundle` are set only at the end, so they are empty here.
    pub(crate) counts: WriterSummary,
    /// The path of the unfinished bundle.
    pub(crate) part: PathBuf,
    /// True if another process deleted or replaced it.
    pub(crate) is_part_lost: bool,
    /// Its size in bytes.
    pub(crate) part_bytes: u64,
    /// The size of the bundles before it, without their directories.
    pub(crate) earlier_bytes: u64,
}

impl PublishedState {
    /// The state of a writer that has written nothing to `part`.
    pub(super) fn new(part: &Path) -> Self {
        Self(Arc::new(Mutex::new(WriterState { part: part.to_owned(), ..WriterState::default() })))
    }

    /// Locks the state. No holder of the lock waits for anything.
    pub(crate) fn lock(&self) -> MutexGuard<'_, WriterState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    /// Returns the published state, which changes as the writer runs.
    pub(crate) fn published(&self) -> &PublishedState {
        &self.published
    }

    /// Publishes the current state.
    pub(super) fn publish(&self) {
        // While packers' results are written to an earlier bundle, that one is in the place of the current one.
        let bundles = self.draining.iter().map(|(bundle, _)| bundle).chain([&self.bundle]);
        let Some(BundleFile { archive, is_lost, .. }) = bundles.max_by_key(|bundle| bundle.number) else { return };
        let mut state = self.published.lock();
        let WriterState { counts, part, is_part_lost, part_bytes, earlier_bytes } = &mut *state;
        counts.exchanges = self.totals.trace_count;
        counts.websockets = self.totals.ws_connection_count;
        counts.messages = self.totals.ws_message_count;
        counts.lost = self.errors.lost();
        counts.truncated = self.errors.truncated();
        self.cut_off_exchanges.copy_to(&mut counts.cut_off_exchanges);
        self.cut_off_messages.copy_to(&mut counts.cut_off_messages);
        self.unclosed_websockets.copy_to(&mut counts.unclosed_websockets);
        if counts.bundles != self.finished.bundles {
            counts.bundles.clone_from(&self.finished.bundles);
        }
        if archive.unfinished_path().as_os_str() != part.as_os_str() {
            // Rotation began the next bundle.
            *earlier_bytes = earlier_bytes.saturating_add(*part_bytes);
            archive.unfinished_path().clone_into(part);
        }
        *is_part_lost = *is_lost;
        *part_bytes = archive.committed_bytes();
    }
}
