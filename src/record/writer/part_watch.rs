//! Notices that another process deleted or replaced an unfinished bundle, also while nothing is captured.
//!
//! The file stays open, so nothing is lost while the capture runs. At the end, its content is copied.

use super::Writer;
use super::error_log::ErrorKind;
use crate::clock::Moment;
use std::time::Duration;

/// The time of the next check.
pub(super) struct PartWatch(Moment);

impl PartWatch {
    pub(super) fn new(now: Moment) -> Self {
        Self(now.plus(CHECK_INTERVAL))
    }

    /// Returns the time until the next check.
    pub(super) fn check_after(&self, now: Moment) -> Duration {
        self.0.since(now)
    }
}

impl Writer {
    /// Reports each unfinished bundle that has lost its path, once.
    pub(super) fn check_parts(&mut self) {
        let now = Moment::now();
        if !self.part_watch.check_after(now).is_zero() {
            return;
        }
        self.part_watch = PartWatch::new(now);
        let bundles = self.draining.iter_mut().map(|(bundle, _)| bundle).chain([&mut self.bundle]);
        let mut lost = Vec::new();
        for bundle in bundles.filter(|bundle| !bundle.is_lost) {
            bundle.is_lost = bundle.archive.is_lost();
            if bundle.is_lost {
                let (part, output) = (bundle.archive.unfinished_path().to_owned(), bundle.archive.output().to_owned());
                lost.push(ErrorKind::PartLost { part, output });
            }
        }
        if !lost.is_empty() {
            self.publish();
            lost.into_iter().for_each(|kind| self.errors.add(kind, ""));
        }
    }
}

/// One lstat(2) in this time costs nothing.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
