//! The one file that asks the clock; everyone else is told the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment, on both of the machine's clocks: one says when it was, the other measures from moment to moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    monotonic: Instant,
    wall: SystemTime,
}

impl Moment {
    /// Now.
    #[expect(clippy::disallowed_methods, reason = "this is the file that asks the clock")]
    pub(crate) fn now() -> Self {
        Self { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    /// By the calendar.
    pub(crate) fn wall(self) -> SystemTime {
        self.wall
    }

    /// Milliseconds since the epoch.
    pub(crate) fn epoch_ms(self) -> u64 {
        self.since_epoch().as_millis().try_into().unwrap_or(u64::MAX)
    }

    /// How long ago the epoch was; zero on a machine whose clock stands before it.
    pub(crate) fn since_epoch(self) -> Duration {
        self.wall.duration_since(UNIX_EPOCH).unwrap_or_default()
    }

    /// How long after `earlier` this is; zero if it is not.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.monotonic.saturating_duration_since(earlier.monotonic)
    }

    /// The same in milliseconds with a fraction.
    pub(crate) fn ms_since(self, earlier: Self) -> f64 {
        self.since(earlier).as_secs_f64() * 1000.0
    }

    /// The moment that is `later` after this one.
    pub(crate) fn plus(self, later: Duration) -> Self {
        Self {
            monotonic: self.monotonic.checked_add(later).unwrap_or(self.monotonic),
            wall: self.wall.checked_add(later).unwrap_or(self.wall),
        }
    }
}
