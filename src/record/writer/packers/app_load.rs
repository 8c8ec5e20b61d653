//! The moments at which packers pause: while the app's traffic keeps the processors busy.
//!
//! ```text
//! CPU time of the process, without packers   ──┐ more than a quarter of the processors, or no sample for a while
//!                                              ├──▶ busy ──▶ not busy: 100 ms without such an interval
//! sampled by the writer between two batches  ──┘
//! ```
//!
//! The CPU time of the app and of its origins is unknown, and on one machine they take about as much as the proxy. Packers have
//! a low priority, but a burst of requests leaves many short gaps in which they would run, and each makes a connection wait.

use crate::clock::Moment;
use std::time::Duration;

/// Decides whether the app is busy.
#[derive(Debug)]
pub(in super::super) struct AppLoad {
    /// The number of processors.
    processors: u32,
    /// The last moment at which the CPU time was taken, and the CPU time.
    last: Option<(Moment, Duration)>,
    /// The end of the last interval in which the app was busy.
    last_busy: Option<Moment>,
}

impl AppLoad {
    /// The load of a machine with this many processors.
    pub(super) fn new(processors: usize) -> Self {
        Self { processors: u32::try_from(processors).unwrap_or(u32::MAX), last: None, last_busy: None }
    }

    /// Returns true if the app is busy. `cpu_time` returns the CPU time that the process has used for it so far.
    pub(in super::super) fn is_busy(&mut self, now: Moment, cpu_time: impl FnOnce() -> Duration) -> bool {
        let elapsed = self.last.map_or(Duration::MAX, |(last, _)| now.since(last));
        if elapsed >= SAMPLE_INTERVAL {
            let used = cpu_time();
            let before = self.last.replace((now, used));
            let is_busy = before.filter(|_| elapsed < MAX_SAMPLE_INTERVAL).is_none_or(|(_, before)| {
                let limit = elapsed.saturating_mul(self.processors) / BUSY_DIVISOR;
                used.saturating_sub(before) > limit
            });
            if is_busy {
                self.last_busy = Some(now);
            }
        }
        self.last_busy.is_some_and(|last| now.since(last) < QUIET_TIME)
    }
}

/// The app is busy while its traffic takes more than this part of the processors. 1,000 gzip bodies of 100 KB per second take a
/// twentieth of two processors, and packers keep up with 4,000.
const BUSY_DIVISOR: u32 = 4;

/// The kernel counts the CPU time of running threads every few milliseconds.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);

/// After so long without a sample, the first items may be those of a burst, which the average does not show.
const MAX_SAMPLE_INTERVAL: Duration = Duration::from_millis(250);

/// The app is not busy any more after this time without a busy interval: a burst has short pauses, and packers begin jobs
/// of up to 100 milliseconds in each.
const QUIET_TIME: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(20);

    /// Returns the answers to samples every 20 ms, in which the process used these parts of two processors, in percent.
    fn answers(percents: &[u32]) -> Vec<bool> {
        let (mut load, mut now, mut used) = (AppLoad::new(2), Moment::now(), Duration::from_secs(7));
        let mut answer = |&percent: &u32| {
            (now, used) = (now.plus(TICK), used + TICK * 2 * percent / 100);
            load.is_busy(now, || used)
        };
        percents.iter().map(&mut answer).collect()
    }

    #[test]
    fn the_app_is_busy_while_it_takes_a_quarter_of_the_processors() {
        // The first sample shows nothing.
        let quiet = [0, 5, 24, 24, 24, 24, 24];
        assert_eq!(answers(&quiet), [true, true, true, true, true, false, false]);
        assert_eq!(answers(&[&quiet[..], &[26, 100]].concat())[7..], [true, true]);
    }

    #[test]
    fn a_short_pause_does_not_end_a_burst() {
        assert_eq!(answers(&[50, 50, 50, 0, 0, 0, 0, 50]), [true; 8]);
        assert_eq!(answers(&[50, 50, 0, 0, 0, 0, 0]), [true, true, true, true, true, true, false]);
    }

    #[test]
    fn the_first_items_after_a_while_may_be_a_burst() {
        let (mut load, started) = (AppLoad::new(2), Moment::now());
        let mut is_busy_at = |ms| load.is_busy(started.plus(Duration::from_millis(ms)), || Duration::ZERO);
        assert!(is_busy_at(0) && is_busy_at(80) && !is_busy_at(100) && !is_busy_at(340));
        assert!(is_busy_at(590) && is_busy_at(689) && !is_busy_at(691));
    }

    #[test]
    fn samples_are_not_taken_more_often_than_the_kernel_counts() {
        let (mut load, now) = (AppLoad::new(2), Moment::now());
        load.is_busy(now, || Duration::from_secs(1));
        load.is_busy(now.plus(TICK / 2), || unreachable!());
        // Packers that count late make the time of the others go back.
        load.is_busy(now.plus(TICK), || Duration::ZERO);
        assert!(!load.is_busy(now.plus(TICK * 6), || Duration::ZERO));
    }
}
