//! `--stop-after`: limits that end a capture as Ctrl+C does.

use super::text::{binary_size, count, period};
use spectral_capture::Progress;
use std::fmt;
use std::time::Duration;

/// A limit that ends a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopAfter {
    /// Bytes of the bundle; of all bundles of a capture that rotates.
    Size(u64),
    /// Time since the start.
    Time(Duration),
    /// Exchanges in the bundle.
    Exchanges(u64),
}

impl StopAfter {
    /// True if the capture has reached the limit.
    pub(crate) fn is_reached(self, progress: &Progress) -> bool {
        match self {
            Self::Size(bytes) => progress.written >= bytes,
            Self::Time(time) => progress.elapsed >= time,
            Self::Exchanges(number) => progress.exchanges >= number,
        }
    }

    /// Returns the time after which to check the limit again.
    pub(crate) fn check_after(self, progress: &Progress) -> Duration {
        match self {
            Self::Time(time) => time.saturating_sub(progress.elapsed),
            Self::Size(_) | Self::Exchanges(_) => CHECK_INTERVAL,
        }
    }
}

/// The limit as a clause: `at a bundle size of 100M`, `after 10 min`, `after 500 exchanges`.
impl fmt::Display for StopAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(bytes) => write!(f, "at a bundle size of {}", binary_size(*bytes)),
            Self::Time(time) => write!(f, "after {}", period(*time)),
            Self::Exchanges(number) => write!(f, "after {}", count(*number, "exchange")),
        }
    }
}

/// Short, because the capture goes on until the check.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_reached_by_its_own_value() {
        let mut progress = Progress::default();
        (progress.written, progress.elapsed, progress.exchanges) = (100, Duration::from_secs(60), 5);
        let seconds = Duration::from_secs;
        for (limit, is_reached, text) in [
            (StopAfter::Size(100), true, "at a bundle size of 100 B"),
            (StopAfter::Size(10 << 20), false, "at a bundle size of 10M"),
            (StopAfter::Time(seconds(60)), true, "after 1 min"),
            (StopAfter::Time(seconds(7200)), false, "after 2 h"),
            (StopAfter::Exchanges(5), true, "after 5 exchanges"),
            (StopAfter::Exchanges(6), false, "after 6 exchanges"),
        ] {
            assert_eq!((limit.is_reached(&progress), limit.to_string().as_str()), (is_reached, text));
        }
        assert_eq!(StopAfter::Time(seconds(61)).check_after(&progress), seconds(1));
        assert_eq!(StopAfter::Time(seconds(1)).check_after(&progress), Duration::ZERO);
    }
}
