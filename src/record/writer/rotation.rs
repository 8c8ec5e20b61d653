//! Rotation: begins the next bundle when the current one has its size or age.
//!
//! ```text
//! capture-0001.zip.part ──limit──▶ finisher ─▶ capture-0001.zip
//!                          └─────▶ capture-0002.zip.part ─▶ …        ids and open WebSockets continue
//! ```
//!
//! A rotation takes place between two items. It only creates a file; a bundle is finished on another thread.

use super::Writer;
use super::bundle_file::BundleFile;
use super::bundle_names::BundleNames;
use super::error_log::ErrorKind;
use super::handshakes::Handshakes;
use super::websocket::WebSocketInfo;
use crate::bundle::spill::SpillPlace;
use crate::capture_options::Rotate;
use crate::clock::Moment;
use std::time::Duration;

/// The state of a capture that rotates.
pub(super) struct Rotation {
    limit: Limit,
    names: BundleNames,
    pub(super) handshakes: Handshakes,
    /// True once the first bundle was followed by another.
    has_rotated: bool,
    /// No attempt is made before this moment, after one that failed.
    retry: Option<Moment>,
}

enum Limit {
    Size(u64),
    /// The period, and the end of the current one.
    Time(Duration, Moment),
}

impl Rotation {
    /// The state of a capture that began at `started` and spills to `spill`.
    pub(super) fn new(rotate: Rotate, names: BundleNames, spill: SpillPlace, started: Moment) -> Self {
        let limit = match rotate {
            Rotate::Size(bytes) => Limit::Size(bytes),
            Rotate::Time(period) => Limit::Time(period, started.plus(period)),
        };
        Self { limit, names, handshakes: Handshakes::new(spill), has_rotated: false, retry: None }
    }

    /// Returns true once there was a second bundle.
    pub(super) fn has_rotated(&self) -> bool {
        self.has_rotated
    }

    /// Returns the time after which the limit may be reached although no item is written.
    pub(super) fn check_after(&self, now: Moment) -> Option<Duration> {
        let Limit::Time(_, end) = self.limit else { return None };
        let retry = self.retry.map_or(Duration::ZERO, |retry| retry.since(now));
        Some(end.since(now).max(retry).max(MIN_CHECK_INTERVAL))
    }

    /// Returns true if the limit of `bundle` is reached. A bundle without items is not finished; if its period is over, the
    /// next one begins.
    pub(super) fn is_reached(&mut self, bundle: &mut BundleFile, now: Moment) -> bool {
        let (has_items, has_rotated) = (!bundle.info.is_empty(), self.has_rotated);
        match &mut self.limit {
            Limit::Size(bytes) => has_items && bundle.archive.committed_bytes() >= *bytes,
            Limit::Time(period, end) => {
                let is_over = end.since(now).is_zero();
                if is_over && !has_items && bundle.staged.is_empty() {
                    *end = following(*end, *period, now);
                    // The first bundle begins with the capture.
                    if has_rotated {
                        bundle.restart(now);
                    }
                }
                is_over && has_items
            }
        }
    }
}

impl Writer {
    /// Begins the next bundle if the limit of the current one is reached.
    pub(super) fn rotate_if_due(&mut self) {
        let Some(rotation) = &mut self.rotation else { return };
        let now = Moment::now();
        let is_waiting = rotation.retry.is_some_and(|retry| !retry.since(now).is_zero());
        if !is_waiting && rotation.is_reached(&mut self.bundle, now) {
            self.rotate(now);
        }
    }

    /// Begins the next bundle, and completes the current one on another thread.
    pub(super) fn rotate(&mut self, now: Moment) {
        // A message that is being copied is counted for its WebSocket in this bundle.
        if self.bundle.copies.front().is_some_and(|copying| !copying.group.can_settle_later()) {
            return;
        }
        self.commit();
        self.report_finished();
        let Some(rotation) = &mut self.rotation else { return };
        rotation.retry = None;
        let unfinished = self.finisher.pending().saturating_add(self.draining.len());
        if unfinished >= MAX_UNFINISHED_BUNDLES {
            rotation.retry = Some(now.plus(DELAYED_RETRY));
            return self.errors.add(ErrorKind::RotationDelayed(unfinished), "");
        }
        let mut next = match self.bundle.next(&rotation.names.next(), now) {
            Ok(next) => next,
            Err(e) => {
                rotation.names.release();
                rotation.retry = Some(now.plus(FAILED_RETRY));
                return self.errors.add(ErrorKind::RotationFailed, &e.to_string());
            }
        };
        rotation.has_rotated = true;
        if let Limit::Time(period, end) = &mut rotation.limit {
            *end = following(*end, *period, now);
        }
        next.copies = self.bundle.take_unbegun_copies();
        let mut finished = std::mem::replace(&mut self.bundle, next);
        let continued = self.open_websockets.values_mut().filter_map(WebSocketInfo::leave_bundle);
        finished.unwritten_websockets.extend(continued);
        let stored = self.open_websockets.values_mut().map(WebSocketInfo::stored_handshake);
        rotation.handshakes.compact(stored);
        self.draining.push_back((finished, now));
        self.drain_step();
        self.publish();
    }
}

/// Returns the first end of a period after `now`.
fn following(end: Moment, period: Duration, now: Moment) -> Moment {
    let over = now.since(end).as_nanos().checked_div(period.as_nanos()).unwrap_or_default();
    let periods = u32::try_from(over).ok().and_then(|over| over.checked_add(1));
    // Past 2^32 periods, the schedule restarts now.
    periods.and_then(|periods| period.checked_mul(periods)).map_or(now.plus(period), |time| end.plus(time))
}

/// The number of bundles that may be unfinished besides the current one. Each may have a large directory in memory.
const MAX_UNFINISHED_BUNDLES: usize = 3;

/// The time until a rotation is tried again that failed.
const FAILED_RETRY: Duration = Duration::from_secs(10);

/// The time until a rotation is tried again that waits for the disk.
const DELAYED_RETRY: Duration = Duration::from_secs(1);

/// The writer does not check more often whether a period is over.
const MIN_CHECK_INTERVAL: Duration = Duration::from_millis(20);
