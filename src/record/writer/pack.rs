//! The writer's side of packing: writes what packers have done, and feeds them with the backlog.
//!
//! ```text
//! while the app runs     backlog ─▶ packers, low priority ─────▶ replacements
//! while the app is busy  bodies ──▶ backlog, up to a bound
//! at the end             all of it ─▶ packers, normal priority ─▶ replacements
//! a forced end           what is left stays as received; unverified slices become the bodies as received
//! ```
//!
//! No checksum or size that is only claimed reaches the directory: the archive does not finish with unverified claims.

use super::Writer;
use super::backlog::{BacklogRecord, CommittedJob};
use super::body_entry::Task;
use super::error_log::ErrorKind;
use super::group::Group;
use super::packers::Outcome;
use super::replacement::CommittedOutcome;
use crate::clock::Moment;
use std::time::Duration;

impl Writer {
    /// Pauses the packers while the app is busy.
    pub(super) fn observe_load(&mut self, now: Moment) {
        let packing = &self.packing;
        let is_busy = self.app_load.is_busy(now, || packing.packer_time.of_others());
        self.pause_if(is_busy);
    }

    /// Pauses the packers if the app `is_busy`, and otherwise lets them go on. They also go on once the backlog has reached its
    /// bound, and while an earlier bundle waits for them.
    pub(super) fn pause_if(&mut self, is_busy: bool) {
        let should_pause = is_busy && self.draining.is_empty() && self.bundle.backlog.is_short();
        if should_pause != self.packers.is_paused() {
            self.packers.set_paused(should_pause);
        }
    }

    /// Submits `group` to the packers if it needs them and they keep up; otherwise writes it as it is.
    pub(super) fn pack_or_write(&mut self, group: Group) {
        if !group.needs_packing() {
            return self.write_group(group);
        }
        let size = group.size();
        if let Err(group) = self.packers.try_submit(group, size) {
            self.write_group(group);
        }
    }

    /// Writes what packers have done, and what has waited for them for too long. Gives them more to do.
    pub(super) fn serve_packers(&mut self) {
        self.handle_outcomes();
        for _ in 0..MAX_OUTCOMES {
            let Some(group) = self.packers.take_overdue() else { break };
            self.write_group(group);
        }
        self.feed_packers();
    }

    /// Verifies and decodes everything that is left.
    pub(super) fn pack_remaining(&mut self) {
        self.packers.raise_priority();
        while !self.control.is_hurried() {
            self.handle_outcomes();
            self.feed_packers();
            self.drain_step();
            if self.copy_step() {
                continue;
            }
            // Settles groups, which may add to the backlog.
            self.commit();
            if self.packers.is_busy() {
                if let Some(outcome) = self.packers.next(HURRY_POLL_INTERVAL) {
                    self.handle(outcome);
                }
            } else if self.bundle.is_drained() && self.draining.is_empty() {
                return;
            }
        }
        self.keep_as_received();
    }

    /// Copies a piece of a large body into an earlier bundle, and completes the bundle if nothing is left to do for it.
    pub(super) fn drain_step(&mut self) {
        let Some((first, _)) = self.draining.front_mut() else { return };
        if !first.copies.is_empty() {
            let number = first.number;
            self.in_bundle(number, |writer| writer.copy_step());
        }
        while let Some((first, _)) = self.draining.front_mut()
            && first.is_drained()
            && let Some((bundle, ended)) = self.draining.pop_front()
        {
            self.finisher.submit(bundle, ended);
        }
    }

    fn handle_outcomes(&mut self) {
        for _ in 0..MAX_OUTCOMES {
            let Some(outcome) = self.packers.try_next() else { break };
            self.handle(outcome);
        }
    }

    /// Submits groups of the backlog, those of earlier bundles first.
    fn feed_packers(&mut self) {
        let Self { draining, bundle, packers, .. } = self;
        for bundle in draining.iter_mut().map(|(bundle, _)| bundle).chain([bundle]) {
            for _ in 0..packers.committed_wanted() {
                // If the backlog cannot be read, bodies stay as they are, and the archive does not finish with claims.
                let Ok(Some(record)) = bundle.backlog.pop() else { break };
                match bundle.committed_job(record) {
                    Ok(job) => {
                        bundle.submitted = bundle.submitted.saturating_add(1);
                        packers.submit_committed(job);
                    }
                    Err(_) => bundle.retries.push(record),
                }
            }
        }
        self.report_left();
    }

    fn report_left(&self) {
        let earlier = self.draining.iter().fold(0, |left: u64, (bundle, _)| left.saturating_add(bundle.left()));
        self.control.set_unpacked(earlier.saturating_add(self.bundle.left()).saturating_add(self.packers.fresh()));
    }

    pub(super) fn handle(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Fresh { group, .. } => self.write_group(group),
            Outcome::Committed(job, outcome) => self.in_bundle(job.bundle, |writer| {
                writer.bundle.submitted = writer.bundle.submitted.saturating_sub(1);
                match outcome {
                    CommittedOutcome::Stays => writer.confirm(&job.record),
                    CommittedOutcome::Replaced(replacement) => writer.write_group(Group::Replacement(replacement)),
                    CommittedOutcome::Undone => writer.keep(&job),
                }
            }),
        }
    }

    /// Runs `work` with the bundle of this number as the current one.
    fn in_bundle<T>(&mut self, number: u32, work: impl FnOnce(&mut Self) -> T) -> T {
        let Some(at) = self.draining.iter().position(|(bundle, _)| bundle.number == number) else { return work(self) };
        // WebSockets that ended belong to the current bundle.
        self.commit();
        let swap = |writer: &mut Self| {
            if let Some((bundle, _)) = writer.draining.get_mut(at) {
                std::mem::swap(bundle, &mut writer.bundle);
            }
        };
        swap(self);
        let result = work(self);
        self.commit();
        swap(self);
        result
    }

    /// Notes that the claims of a committed group are true.
    pub(super) fn confirm(&mut self, record: &BacklogRecord) {
        if record.tasks.contains(&Task::Verify) {
            // If this fails, the archive does not finish.
            let _ = self.bundle.archive.confirm(record.place);
        }
    }

    /// Leaves everything that is left as received. Bodies that are not verified are only read, or copied.
    fn keep_as_received(&mut self) {
        let (groups, jobs) = self.packers.cancel();
        groups.into_iter().for_each(|group| self.write_group(group));
        for job in jobs {
            self.handle(Outcome::Committed(job, CommittedOutcome::Undone));
        }
        while self.packers.is_busy() {
            if let Some(outcome) = self.packers.next(HURRY_POLL_INTERVAL) {
                self.handle(outcome);
            }
        }
        let numbers: Vec<_> = self.draining.iter().map(|(bundle, _)| bundle.number).collect();
        for number in numbers.into_iter().chain([self.bundle.number]) {
            self.in_bundle(number, Self::keep_bundle);
        }
        while let Some((bundle, ended)) = self.draining.pop_front() {
            self.finisher.submit(bundle, ended);
        }
        self.control.set_unpacked(0);
    }

    /// Leaves everything that is left in the current bundle as received.
    fn keep_bundle(&mut self) {
        while self.copy_step() {}
        self.commit();
        while let Ok(Some(record)) = self.bundle.backlog.pop() {
            match self.bundle.committed_job(record) {
                Ok(job) => self.keep(&job),
                Err(_) => self.bundle.retries.push(record),
            }
        }
        while self.copy_step() {}
        self.commit();
        // The ones that could not be written are verified after all.
        while let Ok(Some(record)) = self.bundle.retries.pop() {
            if let Ok(job) = self.bundle.committed_job(record)
                && job.are_claims_true(self.packing.max_body_bytes, &mut self.tools).unwrap_or(false)
            {
                self.confirm(&job.record);
            }
        }
    }

    /// Leaves the bodies of a committed group as received.
    fn keep(&mut self, job: &CommittedJob) {
        self.errors.count_quietly(ErrorKind::KeptEncoded);
        match job.as_received(&self.bundle.archive) {
            Ok(Some(replacement)) => self.write_group(Group::Replacement(Box::new(replacement))),
            Ok(None) => {}
            Err(_) => self.bundle.retries.push(job.record),
        }
    }
}

/// The number of outcomes that are handled between two batches of items.
const MAX_OUTCOMES: usize = 64;

/// A forced end is noticed within this time.
const HURRY_POLL_INTERVAL: Duration = Duration::from_millis(20);
