//! Detects a disk that hangs: an operation on the output's file system that has not returned for two seconds.
//!
//! ```text
//! writer ──────┐ enter: a slot per thread        ┌─ 0, or the time at which the operation began ─┐
//! finisher ────┼───────────────▶ timed(operation) ┤                                              ├─▶ is_hung
//! spill thread ┘                                  └─ 0 again once it has returned ───────────────┘
//! ```
//!
//! Threads of connections do not use that file system. They wait for those that do while the disk is slow, and no longer once
//! it hangs. Packers use it without entering a watch. A timed operation costs one reading of the clock.

use crate::clock::Moment;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

/// The operations of one capture on its output's file system.
#[derive(Debug)]
pub(crate) struct DiskWatch {
    created: Moment,
    limit_ms: u64,
    slots: Mutex<Vec<Weak<Slot>>>,
}

/// The operation of one thread: 0 if there is none, else 1 plus the milliseconds from the creation of the watch to its begin.
type Slot = AtomicU64;

impl DiskWatch {
    /// A watch without operations.
    pub(crate) fn new() -> Arc<Self> {
        Self::with_limit(MAX_OPERATION_TIME)
    }

    /// A watch that takes operations longer than `limit` for hung.
    pub(crate) fn with_limit(limit: Duration) -> Arc<Self> {
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Arc::new(Self { created: Moment::now(), limit_ms, slots: Mutex::default() })
    }

    /// Watches the calling thread until the returned value is dropped.
    pub(crate) fn enter(self: &Arc<Self>) -> Entered {
        let slot = Arc::new(Slot::new(0));
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        drop(slots);
        let previous = CURRENT.replace(Some(WatchedThread { watch: Arc::clone(self), slot }));
        Entered { previous, not_send: std::marker::PhantomData }
    }

    /// True if an operation has been running for longer than the limit.
    pub(crate) fn is_hung(&self) -> bool {
        self.hung_for().is_some()
    }

    /// Returns the time for which the longest operation has been running, if that is longer than the limit.
    pub(crate) fn hung_for(&self) -> Option<Duration> {
        let now = self.now();
        let slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let began = slots.iter().filter_map(Weak::upgrade).map(|slot| slot.load(Relaxed));
        let longest = now.saturating_sub(began.filter(|&began| began > 0).min()?);
        (longest > self.limit_ms).then(|| Duration::from_millis(longest))
    }

    fn now(&self) -> u64 {
        let ms = Moment::now().since(self.created).as_millis();
        u64::try_from(ms).unwrap_or(u64::MAX - 1).saturating_add(1)
    }
}

/// Runs `operation` and, on a thread that has entered a watch, times it.
pub(crate) fn timed<T>(operation: impl FnOnce() -> T) -> T {
    timed_within(Duration::ZERO, operation)
}

/// As [`timed`], for fsync(2): it waits for all data that the kernel holds, and may take longer than a write.
pub(crate) fn timed_sync<T>(operation: impl FnOnce() -> T) -> T {
    timed_within(SYNC_TIME, operation)
}

fn timed_within<T>(extra: Duration, operation: impl FnOnce() -> T) -> T {
    let begin = |thread: &WatchedThread| {
        let extra_ms = u64::try_from(extra.as_millis()).unwrap_or(u64::MAX);
        thread.slot.store(thread.watch.now().saturating_add(extra_ms), Relaxed);
        Running(Arc::clone(&thread.slot))
    };
    let _running = CURRENT.with_borrow(|current| current.as_ref().map(begin));
    operation()
}

/// A thread is watched until this is dropped, on the same thread.
pub(crate) struct Entered {
    /// The watch that the thread had entered before.
    previous: Option<WatchedThread>,
    not_send: std::marker::PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.previous.take());
    }
}

struct WatchedThread {
    watch: Arc<DiskWatch>,
    slot: Arc<Slot>,
}

/// An operation that runs.
struct Running(Arc<Slot>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(0, Relaxed);
    }
}

thread_local! {
    /// The watch that this thread has entered.
    static CURRENT: RefCell<Option<WatchedThread>> = const { RefCell::new(None) };
}

/// The time after which an operation counts as hung. Disks that are merely slow or busy complete a write of at most 1 MiB
/// earlier.
pub(crate) const MAX_OPERATION_TIME: Duration = Duration::from_secs(2);

/// The additional time of fsync(2).
const SYNC_TIME: Duration = Duration::from_secs(28);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread;

    /// Waits until `watch` is hung or not, as wanted.
    fn wait_until(watch: &DiskWatch, is_hung: bool) {
        let started = Moment::now();
        while watch.is_hung() != is_hung {
            assert!(Moment::now().since(started) < Duration::from_secs(20));
            thread::yield_now();
        }
    }

    #[test]
    fn one_operation_that_does_not_return_is_a_hung_disk() {
        let watch = DiskWatch::with_limit(Duration::from_millis(20));
        let (release, released) = channel::<()>();
        let (done, ended) = channel::<()>();
        let thread = thread::spawn({
            let watch = Arc::clone(&watch);
            move || {
                let _entered = watch.enter();
                timed(|| released.recv().unwrap());
                ended.recv().unwrap();
            }
        });
        wait_until(&watch, true);
        // Operations of other threads that return change nothing.
        let entered = watch.enter();
        assert_eq!(timed(|| 7), 7);
        assert!(watch.is_hung());
        drop(entered);
        release.send(()).unwrap();
        wait_until(&watch, false);
        done.send(()).unwrap();
        thread.join().unwrap();
        assert!(!watch.is_hung());
    }

    #[test]
    fn a_thread_is_watched_only_while_it_has_entered() {
        let watch = DiskWatch::with_limit(Duration::ZERO);
        let other = DiskWatch::with_limit(Duration::ZERO);
        timed(|| assert!(!watch.is_hung()));
        let entered = watch.enter();
        timed(|| wait_until(&watch, true));
        let inner = other.enter();
        timed(|| {
            wait_until(&other, true);
            assert!(!watch.is_hung(), "two captures are watched apart");
        });
        drop(inner);
        timed(|| wait_until(&watch, true));
        timed_sync(|| assert!(!watch.is_hung()));
        drop(entered);
        timed(|| assert!(!watch.is_hung()));
    }

    #[test]
    fn a_panic_ends_the_operation() {
        let watch = DiskWatch::with_limit(Duration::ZERO);
        let _entered = watch.enter();
        let panicked = std::panic::catch_unwind(|| timed(|| std::panic::resume_unwind(Box::new(()))));
        assert!(panicked.is_err());
        let later = Moment::now();
        while Moment::now().since(later) < Duration::from_millis(3) {}
        assert!(!watch.is_hung());
    }
}
