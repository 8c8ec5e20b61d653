//! The clock. This is the only file that reads it; all other code takes the time as an argument or calls
//! [`Moment::now`].

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point in time on both clocks of the system. The wall clock gives timestamps; the monotonic clock measures
/// durations. (`Instant` has only the monotonic clock.)
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    monotonic: Instant,
    wall: SystemTime,
}

impl Moment {
    /// Reads both clocks.
    #[expect(clippy::disallowed_methods, reason = "this is the file that reads the clock")]
    pub(crate) fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// Returns the wall-clock time.
    pub(crate) fn wall(self) -> SystemTime {
        self.wall
    }

    /// Returns the wall-clock time in milliseconds since the epoch.
    pub(crate) fn epoch_ms(self) -> u64 {
        self.since_epoch().as_millis().try_into().unwrap_or(u64::MAX)
    }

    /// Returns the wall-clock time since the epoch; zero if the clock is set to a time before it.
    pub(crate) fn since_epoch(self) -> Duration {
        self.wall.duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// Returns the duration since `earlier`; zero if `earlier` is later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.monotonic.saturating_duration_since(earlier.monotonic)
    }

    /// Returns the duration since `earlier` in milliseconds, with a fraction; zero if `earlier` is later.
    pub(crate) fn ms_since(self, earlier: Self) -> f64 {
        self.since(earlier).as_secs_f64() * 1000.0
    }

    /// Returns the moment `duration` later.
    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self {
            monotonic: self.monotonic.checked_add(duration).unwrap_or(self.monotonic),
            wall: self.wall.checked_add(duration).unwrap_or(self.wall),
        }
    }
}
