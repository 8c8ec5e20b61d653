//! The packer threads: decode, verify and compress bodies while the writer writes other items.
//!
//! ```text
//! fresh: groups in memory, bounded in bytes and age ──┐
//!                                                     ├─▶ threads ─▶ outcomes ─▶ writer
//! committed: groups in the file, a few at a time ─────┘
//! ```
//!
//! Fresh groups come first: until they are in the file, a crash loses them. The writer takes back those that wait for too
//! long, and writes them as they are. Threads start when there is work, as many as processors, with a low priority, and end
//! when there is none. At the end of the capture, fresh threads with normal priority replace them: a nice value cannot be
//! raised again.
//!
//! While they are paused, threads begin no job that can be done later: no committed one, and of the fresh ones only those
//! with a body to compress. The others wait as if the threads were behind. If bodies to compress come faster than threads
//! compress them, threads begin nothing until the pause ends: they would slow the app, and most bodies would be stored anyway.

use super::backlog::CommittedJob;
use super::group::Group;
use super::packer_time::PackerTime;
use super::packing::{Packing, PackingTools};
use super::replacement::CommittedOutcome;
use crate::channel::{Receiver, Sender, channel};
use crate::clock::Moment;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

pub(super) use app_load::AppLoad;

mod app_load;
mod priority;

/// The writer's handle to the packer threads.
pub(super) struct Packers {
    pool: Arc<Pool>,
    outcomes: Receiver<Outcome>,
    sender: Sender<Outcome>,
    max_threads: usize,
    /// The largest sum of the sizes of fresh groups that are queued, in progress, or done and not written.
    max_fresh_bytes: usize,
    fresh_bytes: usize,
    /// The number of jobs that are queued, in progress, or done and not taken.
    pending: usize,
    /// The number of committed jobs among them.
    pending_committed: usize,
    allowed: Jobs,
    #[cfg(test)]
    refuses_fresh: bool,
}

/// A job that is done.
pub(super) enum Outcome {
    /// The group is packed as far as possible.
    Fresh {
        /// The group.
        group: Group,
        /// The size with which it was submitted.
        bytes: usize,
    },
    /// A committed group was verified or decoded.
    Committed(CommittedJob, CommittedOutcome),
}

struct Pool {
    state: Mutex<PoolState>,
    /// Wakes threads: there is a job, or they should end.
    changed: Condvar,
    packing: Arc<Packing>,
}

struct PoolState {
    fresh: VecDeque<FreshJob>,
    committed: VecDeque<CommittedJob>,
    /// The priority of the threads. Threads of another one end after their job.
    priority: Priority,
    /// The number of threads of that priority.
    threads: usize,
    /// The number of those that wait for a job.
    idle: usize,
    allowed: Jobs,
    /// False once the writer has ended.
    is_open: bool,
    /// True while no thread may begin a job.
    #[cfg(test)]
    is_held: bool,
}

/// The jobs that threads begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Jobs {
    All,
    /// Those that cannot be done later.
    Urgent,
    None,
}

struct FreshJob {
    group: Group,
    bytes: usize,
    since: Moment,
}

enum Job {
    Fresh(FreshJob),
    Committed(CommittedJob),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Priority {
    Low,
    Normal,
}

impl Packers {
    /// Returns a pool without threads. Fresh groups together may have up to `max_fresh_bytes`.
    pub(super) fn new(packing: Arc<Packing>, max_fresh_bytes: usize) -> Self {
        let (sender, outcomes) = channel();
        let state = PoolState {
            fresh: VecDeque::new(),
            committed: VecDeque::new(),
            priority: Priority::Low,
            threads: 0,
            idle: 0,
            allowed: Jobs::All,
            is_open: true,
            #[cfg(test)]
            is_held: false,
        };
        let max_threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        Self {
            pool: Arc::new(Pool { state: Mutex::new(state), changed: Condvar::new(), packing }),
            outcomes,
            sender,
            max_threads,
            max_fresh_bytes,
            fresh_bytes: 0,
            pending: 0,
            pending_committed: 0,
            allowed: Jobs::All,
            #[cfg(test)]
            refuses_fresh: false,
        }
    }

    /// Queues a group of `bytes` in memory; returns it if the threads are behind.
    pub(super) fn try_submit(&mut self, group: Group, bytes: usize) -> Result<(), Group> {
        #[cfg(test)]
        if self.refuses_fresh {
            return Err(group);
        }
        let now = Moment::now();
        let is_urgent = !group.can_be_packed_later();
        if is_urgent && self.allowed == Jobs::None {
            return Err(group);
        }
        let mut state = self.pool.state();
        let is_overdue = |oldest: &FreshJob| now.since(oldest.since) >= MAX_WAIT;
        let is_behind = !self.is_paused() && state.fresh.front().is_some_and(is_overdue);
        // Groups that wait for the end of a pause leave space for others.
        let waits = self.is_paused() && !is_urgent;
        let max_bytes = if waits { self.max_fresh_bytes / 2 } else { self.max_fresh_bytes };
        // A group of any size is accepted if it is the only one.
        let is_full = self.fresh_bytes > 0 && self.fresh_bytes.saturating_add(bytes) > max_bytes;
        if is_full && is_urgent && self.allowed == Jobs::Urgent {
            (self.allowed, state.allowed) = (Jobs::None, Jobs::None);
        }
        if is_behind || is_full || !self.ensure_thread(&mut state) {
            return Err(group);
        }
        state.fresh.push_back(FreshJob { group, bytes, since: now });
        drop(state);
        self.fresh_bytes = self.fresh_bytes.saturating_add(bytes);
        self.pending = self.pending.saturating_add(1);
        self.pool.changed.notify_one();
        Ok(())
    }

    /// Takes back a queued group that has waited for [`MAX_WAIT`].
    pub(super) fn take_overdue(&mut self) -> Option<Group> {
        let mut state = self.pool.state();
        let oldest = state.fresh.front()?;
        if Moment::now().since(oldest.since) < MAX_WAIT {
            return None;
        }
        let FreshJob { group, bytes, .. } = state.fresh.pop_front()?;
        drop(state);
        self.settle_fresh(bytes);
        Some(group)
    }

    /// Returns the load of this machine, without the CPU time of packers.
    pub(super) fn app_load(&self) -> AppLoad {
        AppLoad::new(thread::available_parallelism().map_or(1, usize::from))
    }

    /// Begins a pause, or ends it.
    pub(super) fn set_paused(&mut self, is_set: bool) {
        self.allowed = if is_set { Jobs::Urgent } else { Jobs::All };
        self.pool.state().allowed = self.allowed;
        self.pool.changed.notify_all();
    }

    /// True during a pause.
    pub(super) fn is_paused(&self) -> bool {
        self.allowed != Jobs::All
    }

    /// Returns the number of committed groups that should be submitted to keep the threads busy.
    pub(super) fn committed_wanted(&self) -> usize {
        let max_pending = if self.is_paused() { 0 } else { MAX_COMMITTED_PER_THREAD.saturating_mul(self.max_threads) };
        max_pending.saturating_sub(self.pending_committed)
    }

    /// Queues a committed group.
    pub(super) fn submit_committed(&mut self, job: CommittedJob) {
        let mut state = self.pool.state();
        self.ensure_thread(&mut state);
        state.committed.push_back(job);
        drop(state);
        self.pending = self.pending.saturating_add(1);
        self.pending_committed = self.pending_committed.saturating_add(1);
        self.pool.changed.notify_one();
    }

    /// Returns the number of groups in memory that are queued, in progress, or done and not taken.
    pub(super) fn fresh(&self) -> u64 {
        self.pending.saturating_sub(self.pending_committed) as u64
    }

    /// True if a job is queued, in progress, or done and not taken.
    pub(super) fn is_busy(&self) -> bool {
        self.pending > 0
    }

    /// Returns the next outcome, if there is one now.
    pub(super) fn try_next(&mut self) -> Option<Outcome> {
        let outcome = self.outcomes.try_recv()?;
        Some(self.settle(outcome))
    }

    /// Returns the next outcome, or `None` after `timeout`. Works on this thread if no other could be started.
    pub(super) fn next(&mut self, timeout: Duration) -> Option<Outcome> {
        let mut state = self.pool.state();
        if !self.ensure_thread(&mut state)
            && let Some(job) = state.next_job()
        {
            drop(state);
            let outcome = self.pool.run(job, &mut PackingTools::new());
            return Some(self.settle(outcome));
        }
        drop(state);
        let outcome = self.outcomes.recv_timeout(timeout).ok()?;
        Some(self.settle(outcome))
    }

    /// Replaces the threads with others of normal priority.
    pub(super) fn raise_priority(&mut self) {
        self.set_paused(false);
        let mut state = self.pool.state();
        if state.priority == Priority::Low {
            state.priority = Priority::Normal;
            (state.threads, state.idle) = (0, 0);
            for _ in 0..self.max_threads.min(state.fresh.len().saturating_add(state.committed.len())) {
                self.ensure_thread(&mut state);
            }
        }
        drop(state);
        self.pool.changed.notify_all();
    }

    /// Returns all queued jobs: fresh groups, which are to be written as they are, and committed ones. Jobs in progress
    /// end early.
    pub(super) fn cancel(&mut self) -> (Vec<Group>, Vec<CommittedJob>) {
        self.pool.packing.cancel();
        let mut state = self.pool.state();
        let (fresh, committed) = (std::mem::take(&mut state.fresh), std::mem::take(&mut state.committed));
        drop(state);
        self.pending = self.pending.saturating_sub(committed.len());
        self.pending_committed = self.pending_committed.saturating_sub(committed.len());
        let groups = fresh.into_iter().map(|job| {
            self.settle_fresh(job.bytes);
            job.group
        });
        (groups.collect(), committed.into())
    }

    /// Starts a thread if none is idle and there may be more. Returns false if there is none at all.
    fn ensure_thread(&self, state: &mut PoolState) -> bool {
        let waiting = state.fresh.len().saturating_add(state.committed.len());
        if state.idle <= waiting && state.threads < self.max_threads {
            let (pool, sender, priority) = (Arc::clone(&self.pool), self.sender.clone(), state.priority);
            let work = move || pool.work(&sender, priority);
            if thread::Builder::new().name("packer".into()).spawn(work).is_ok() {
                state.threads = state.threads.saturating_add(1);
            }
        }
        state.threads > 0
    }

    fn settle(&mut self, outcome: Outcome) -> Outcome {
        match &outcome {
            Outcome::Fresh { bytes, .. } => self.settle_fresh(*bytes),
            Outcome::Committed(..) => {
                self.pending = self.pending.saturating_sub(1);
                self.pending_committed = self.pending_committed.saturating_sub(1);
            }
        }
        outcome
    }

    fn settle_fresh(&mut self, bytes: usize) {
        self.pending = self.pending.saturating_sub(1);
        self.fresh_bytes = self.fresh_bytes.saturating_sub(bytes);
    }

    /// Sets whether all groups in memory are refused, as if the threads were behind.
    #[cfg(test)]
    pub(super) fn refuse_fresh(&mut self, is_set: bool) {
        self.refuses_fresh = is_set;
    }

    /// Sets whether threads begin no job.
    #[cfg(test)]
    pub(super) fn hold(&self, is_held: bool) {
        self.pool.state().is_held = is_held;
        self.pool.changed.notify_all();
    }
}

impl Drop for Packers {
    fn drop(&mut self) {
        self.pool.packing.cancel();
        self.pool.state().is_open = false;
        self.pool.changed.notify_all();
    }
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, PoolState> {
        // No code panics between two related changes of the state, so a poisoned lock holds a valid state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a thread. Sending an outcome fails only if the writer is gone; then nothing is left to do. The thread is not
    /// watched for a hung disk: with its priority it may have to wait for seconds within any system call.
    fn work(&self, outcomes: &Sender<Outcome>, priority: Priority) {
        if priority == Priority::Low {
            priority::lower();
        }
        PackerTime::register();
        let mut tools = PackingTools::new();
        while let Some(job) = self.wait(priority) {
            let _ = outcomes.send(self.run(job, &mut tools));
        }
    }

    /// Waits for a job; returns `None` if the thread should end.
    fn wait(&self, priority: Priority) -> Option<Job> {
        let mut state = self.state();
        let mut is_idle = false;
        loop {
            if !state.is_open || state.priority != priority {
                return None;
            }
            if let Some(job) = state.next_job() {
                state.idle = state.idle.saturating_sub(usize::from(is_idle));
                return Some(job);
            }
            if !is_idle {
                is_idle = true;
                state.idle = state.idle.saturating_add(1);
            }
            let (waited, timeout) = self.changed.wait_timeout(state, MAX_IDLE).unwrap_or_else(PoisonError::into_inner);
            state = waited;
            if timeout.timed_out() && state.priority == priority && !state.has_job() {
                state.idle = state.idle.saturating_sub(1);
                state.threads = state.threads.saturating_sub(1);
                return None;
            }
        }
    }

    /// A panic leaves the group as it is, which is valid: bodies are replaced only when they are complete.
    fn run(&self, job: Job, tools: &mut PackingTools) -> Outcome {
        match job {
            Job::Fresh(FreshJob { mut group, bytes, .. }) => {
                if catch_unwind(AssertUnwindSafe(|| group.pack(&self.packing, tools))).is_err() {
                    *tools = PackingTools::new();
                }
                Outcome::Fresh { group, bytes }
            }
            Job::Committed(job) => {
                let outcome = catch_unwind(AssertUnwindSafe(|| job.run(&self.packing, tools))).unwrap_or_else(|_| {
                    *tools = PackingTools::new();
                    CommittedOutcome::Undone
                });
                Outcome::Committed(job, outcome)
            }
        }
    }
}

impl PoolState {
    fn has_job(&self) -> bool {
        !(self.fresh.is_empty() && self.committed.is_empty())
    }

    fn next_job(&mut self) -> Option<Job> {
        #[cfg(test)]
        if self.is_held {
            return None;
        }
        match self.allowed {
            Jobs::All => {
                let fresh = self.fresh.pop_front().map(Job::Fresh);
                fresh.or_else(|| self.committed.pop_front().map(Job::Committed))
            }
            Jobs::Urgent => {
                let at = self.fresh.iter().position(|job| !job.group.can_be_packed_later())?;
                self.fresh.remove(at).map(Job::Fresh)
            }
            Jobs::None => None,
        }
    }
}

/// The longest time that a group waits in memory: a crash of the process loses no more than fractions of a second.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// A thread without a job ends after this time, and frees its buffers.
const MAX_IDLE: Duration = Duration::from_secs(1);

/// Committed groups in memory, per thread: enough for 20 milliseconds, so that the writer need not be woken for each.
const MAX_COMMITTED_PER_THREAD: usize = 32;

/// Each thread has about a megabyte of buffers and tables.
const MAX_THREADS: usize = 16;
