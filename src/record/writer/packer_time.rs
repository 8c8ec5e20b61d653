//! The CPU time of the process, and that of its packer threads.

use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The CPU time that the packer threads of a capture have used so far.
#[derive(Debug, Default)]
pub(super) struct PackerTime {
    nanos: AtomicU64,
    /// The number of calls of [`PackerTime::of_others`].
    #[cfg(test)]
    pub(super) reads: AtomicU64,
}

thread_local! {
    /// The part of the thread's CPU time that is in [`PackerTime`]; `None` on threads that are no packers.
    static COUNTED: Cell<Option<Duration>> = const { Cell::new(None) };
}

impl PackerTime {
    /// Makes the calling thread a packer: its CPU time counts from its start on.
    pub(super) fn register() {
        COUNTED.set(Some(Duration::ZERO));
    }

    /// Adds the CPU time that the calling packer has used since the last call. Does nothing on other threads.
    pub(super) fn count(&self) {
        if let Some(counted) = COUNTED.get() {
            let now = cpu_time(ClockId::ThreadCPUTime);
            let nanos = u64::try_from(now.saturating_sub(counted).as_nanos()).unwrap_or_default();
            self.nanos.fetch_add(nanos, Relaxed);
            COUNTED.set(Some(now));
        }
    }

    /// Returns the CPU time of the process without that of the packers.
    pub(super) fn of_others(&self) -> Duration {
        #[cfg(test)]
        self.reads.fetch_add(1, Relaxed);
        let packers = Duration::from_nanos(self.nanos.load(Relaxed));
        cpu_time(ClockId::ProcessCPUTime).saturating_sub(packers)
    }
}

#[cfg(test)]
impl PackerTime {
    /// Returns the CPU time of the packers.
    pub(super) fn of_packers(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Relaxed))
    }

    /// Uses `time` of the calling thread's CPU time.
    pub(super) fn burn(time: Duration) {
        let end = cpu_time(ClockId::ThreadCPUTime) + time;
        while cpu_time(ClockId::ThreadCPUTime) < end {}
    }
}

fn cpu_time(clock: ClockId) -> Duration {
    Duration::try_from(clock_gettime(clock)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_time_of_packers_is_counted_once() {
        const TIME: Duration = Duration::from_millis(30);
        let packers = PackerTime::default();
        let others_before = packers.of_others();
        PackerTime::burn(TIME);
        packers.count();
        assert_eq!(packers.of_packers(), Duration::ZERO, "this thread is no packer");
        assert!(packers.of_others() - others_before >= TIME);
        std::thread::scope(|scope| {
            let packer = scope.spawn(|| {
                PackerTime::register();
                PackerTime::burn(TIME);
                packers.count();
                packers.count();
                cpu_time(ClockId::ThreadCPUTime)
            });
            let most = packer.join().unwrap();
            assert!((TIME..=most).contains(&packers.of_packers()), "{:?} of {most:?}", packers.of_packers());
            assert!(packers.of_others() + packers.of_packers() <= cpu_time(ClockId::ProcessCPUTime));
        });
    }
}
