//! The errors of a running capture: each kind is reported once as it happens, and counted for the summary.

use crate::bundle::output::part::{OtherPart, Owner, other_part};
use crate::bundle::output::rescue;
use crate::config::Observer;
use crate::notice::{Notice, Warning};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// A kind of error during a capture or at its end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ErrorKind {
    /// A file with the name of an unfinished bundle was found beside the output.
    OtherUnfinished(PathBuf),
    /// An item could not be written to the archive.
    WriteFailed,
    /// A panic lost an item.
    Panic,
    /// The end of a body could not be written to its spill file.
    BodyTruncated,
    /// The end was forced, and bodies of an exchange are as received.
    KeptEncoded,
    /// Exchange ids have more than four digits.
    LongExchangeIds,
    /// Message ids have more than three digits.
    LongMessageIds,
    /// The next bundle could not be begun.
    RotationFailed,
    /// A rotation waits for this number of unfinished bundles.
    RotationDelayed(usize),
    /// A bundle could not be deleted.
    NotDeleted,
    /// The bundle is complete but could not be renamed.
    NotRenamed(PathBuf),
    /// The bundle could not be completed.
    Unfinished(PathBuf),
    /// Another process deleted or replaced this unfinished bundle, which is to become `output`.
    PartLost { part: PathBuf, output: PathBuf },
    /// The same, and the complete bundle was copied.
    Copied { part: PathBuf, copy: PathBuf },
    /// The same, and it could not be copied.
    Lost(PathBuf),
}

impl ErrorKind {
    /// True if each bundle of the capture may have an error of this kind.
    fn is_of_one_bundle(&self) -> bool {
        matches!(
            self,
            Self::NotRenamed(_) | Self::Unfinished(_) | Self::PartLost { .. } | Self::Copied { .. } | Self::Lost(_)
        )
    }
}

/// Errors by kind, so that a full disk does not produce one report per exchange.
pub(super) struct ErrorLog {
    observer: Observer,
    /// Each kind with the number of its errors and the first cause, in order.
    errors: Vec<(ErrorKind, u64, String)>,
    disk: DiskState,
}

/// The state of writing to the archive. The first failure and the first success after it are each reported once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DiskState {
    Working,
    Failing,
    Recovered,
}

impl ErrorLog {
    pub(super) fn new(observer: Observer) -> Self {
        Self { observer, errors: Vec::new(), disk: DiskState::Working }
    }

    /// Counts an error and reports the first one of its kind.
    pub(super) fn add(&mut self, kind: ErrorKind, cause: &str) {
        if let Ok(count) = self.find(&kind) {
            *count = count.saturating_add(1);
            return;
        }
        self.notify(&Notice::Warning(warning(&kind, 1, cause)));
        if kind == ErrorKind::WriteFailed {
            self.disk = DiskState::Failing;
        }
        // Each unfinished bundle is an error of its own kind. A capture that rotates for days may have many.
        if self.errors.len() < MAX_KINDS || !kind.is_of_one_bundle() {
            self.insert(kind, 1, cause);
        }
    }

    /// Counts an error that only the summary reports.
    pub(super) fn count_quietly(&mut self, kind: ErrorKind) {
        match self.find(&kind) {
            Ok(count) => *count = count.saturating_add(1),
            Err(_) => self.insert(kind, 1, ""),
        }
    }

    /// Returns the number of errors of this kind, or the place for the kind.
    fn find(&mut self, kind: &ErrorKind) -> Result<&mut u64, usize> {
        let at = self.errors.partition_point(|(known, ..)| known < kind);
        self.errors.get_mut(at).filter(|(known, ..)| known == kind).map(|(_, count, _)| count).ok_or(at)
    }

    fn insert(&mut self, kind: ErrorKind, count: u64, cause: &str) {
        if let Err(at) = self.find(&kind) {
            self.errors.insert(at, (kind, count, cause.to_owned()));
        }
    }

    /// Notes a successful write. `pending` items that failed will be tried again and are not lost yet.
    pub(super) fn written(&mut self, pending: usize) {
        if self.disk == DiskState::Failing {
            self.disk = DiskState::Recovered;
            let failed = self.count(&ErrorKind::WriteFailed);
            let lost = failed.saturating_sub(u64::try_from(pending).unwrap_or(u64::MAX));
            self.notify(&Notice::Warning(Warning::WriteResumed { lost }));
        }
    }

    /// Forgets that `part` was deleted or replaced: another error of it is known.
    pub(super) fn forget_loss(&mut self, part: &Path) {
        self.errors.retain(|(kind, ..)| !matches!(kind, ErrorKind::PartLost { part: lost, .. } if lost == part));
    }

    /// Subtracts `times` errors of this kind: their items are tried again.
    pub(super) fn forget(&mut self, kind: ErrorKind, times: u64) {
        if let Ok(count) = self.find(&kind) {
            *count = count.saturating_sub(times);
        }
    }

    /// Calls the observer. It is the embedder's code: a panic in it must not end the writer.
    pub(super) fn notify(&self, notice: &Notice) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.observer.notify(notice)));
    }

    /// Returns the number of items that are not in the bundle.
    pub(super) fn lost(&self) -> u64 {
        self.count(&ErrorKind::WriteFailed).saturating_add(self.count(&ErrorKind::Panic))
    }

    /// Returns the number of truncated bodies.
    pub(super) fn truncated(&self) -> u64 {
        self.count(&ErrorKind::BodyTruncated)
    }

    fn count(&self, kind: &ErrorKind) -> u64 {
        self.errors.iter().find(|(known, ..)| known == kind).map_or(0, |(_, count, _)| *count)
    }

    /// Returns one warning per kind of error.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        let occurred = self.errors.iter().filter(|(_, count, _)| *count > 0);
        occurred.map(|(kind, count, cause)| warning(kind, *count, cause)).collect()
    }
}

fn warning(kind: &ErrorKind, count: u64, cause: &str) -> Warning {
    let cause = cause.to_owned();
    match kind {
        ErrorKind::OtherUnfinished(path) => match other_part(path) {
            OtherPart::Bundle(Owner::Alive) => Warning::OutputShared { path: path.clone() },
            OtherPart::Bundle(Owner::Gone) => Warning::Leftover { path: path.clone() },
            OtherPart::Foreign(what) => Warning::NameTaken { path: path.clone(), what },
        },
        ErrorKind::WriteFailed => Warning::WriteFailed { count, cause },
        ErrorKind::Panic => Warning::LostToPanic { count },
        ErrorKind::BodyTruncated => Warning::BodyTruncated { count, cause },
        ErrorKind::KeptEncoded => Warning::KeptEncoded { count },
        ErrorKind::LongExchangeIds => Warning::LongExchangeIds { limit: MAX_FOUR_DIGITS },
        ErrorKind::LongMessageIds => Warning::LongMessageIds { limit: MAX_THREE_DIGITS },
        ErrorKind::RotationFailed => Warning::RotationFailed { count, cause },
        ErrorKind::RotationDelayed(unfinished) => Warning::RotationDelayed { unfinished: *unfinished },
        ErrorKind::NotDeleted => Warning::NotDeleted { count, cause },
        ErrorKind::NotRenamed(path) => Warning::NotRenamed { path: path.clone(), cause },
        ErrorKind::Unfinished(path) => Warning::Unfinished { path: path.clone(), cause },
        ErrorKind::PartLost { part, output } => {
            Warning::PartLost { path: part.clone(), copy: rescue::first_choice(output) }
        }
        ErrorKind::Copied { part, copy } => Warning::BundleCopied { path: part.clone(), copy: copy.clone() },
        ErrorKind::Lost(path) => Warning::BundleLost { path: path.clone(), cause },
    }
}

/// The number of kinds up to which unfinished bundles are kept for the summary. Later ones are only reported and counted.
const MAX_KINDS: usize = 100;

/// The last number of an exchange id that has four digits. Some consumers of bundles misorder longer ids.
pub(super) const MAX_FOUR_DIGITS: u32 = 9999;

/// The last number of a message id that has three digits.
pub(super) const MAX_THREE_DIGITS: u32 = 999;
