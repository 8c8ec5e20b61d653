//! The date and time of a ZIP entry (APPNOTE 6.3.10 section 4.4.6), in UTC and in steps of 2 seconds.

use crate::calendar::Utc;
use std::time::Duration;

/// The date in the upper 16 bits, the time in the lower 16.
#[derive(Clone, Copy, Debug)]
pub(super) struct DosDateTime(pub(super) u32);

impl DosDateTime {
    /// Converts a time since the epoch. ZIP covers the years 1980 to 2107: earlier times become 1980-01-01, later years 2107.
    pub(super) fn new(since_epoch: Duration) -> Self {
        let utc = Utc::from_unix(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX));
        let Utc { year, month, day, hour, minute, second } = utc;
        let Ok(years) = u32::try_from(year.saturating_sub(1980)) else {
            return Self(1 << 21 | 1 << 16);
        };
        let date = years.min(127) << 9 | u32::from(month) << 5 | u32::from(day);
        let time = u32::from(hour) << 11 | u32::from(minute) << 5 | u32::from(second) >> 1;
        Self(date << 16 | time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clamps_to_1980_and_2107() {
        let parts =
            |date: DosDateTime| (1980 + (date.0 >> 25), date.0 >> 21 & 15, date.0 >> 16 & 31, date.0 >> 11 & 31);
        assert_eq!(parts(DosDateTime::new(Duration::ZERO)), (1980, 1, 1, 0));
        assert_eq!(parts(DosDateTime::new(Duration::from_secs(1_795_338_429))), (2026, 11, 22, 9));
        assert_eq!(parts(DosDateTime::new(Duration::MAX)).0, 2107);
    }
}
