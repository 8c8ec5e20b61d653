//! Times in ISO 8601, as manifests and HAR have them.
//!
//! Written by hand because the bundle format fixes the digits and the offset `+00:00`, where `time` writes `Z`.

use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Iso8601;

/// Formats a time since the epoch in UTC, to the microsecond: `2026-11-22T09:07:09.552254+00:00`.
pub(crate) fn micros(since_epoch: Duration) -> String {
    let time = utc(since_epoch);
    format!("{}.{:06}+00:00", seconds(time), time.microsecond())
}

/// Formats a time since the epoch in UTC, to the millisecond: `2026-11-22T09:07:09.552+00:00`.
pub(crate) fn millis(since_epoch: Duration) -> String {
    let time = utc(since_epoch);
    format!("{}.{:03}+00:00", seconds(time), time.millisecond())
}

/// Parses a time in any offset, and returns the milliseconds since the epoch. Returns `None` for times before the
/// epoch.
pub(crate) fn parse_millis(text: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(text, &Iso8601::PARSING).ok()?;
    u64::try_from(time.unix_timestamp_nanos().checked_div(1_000_000)?).ok()
}

/// Times past the year 9999 become its end.
fn utc(since_epoch: Duration) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH.saturating_add(since_epoch.try_into().unwrap_or(time::Duration::MAX))
}

fn seconds(time: OffsetDateTime) -> String {
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second) = time.to_hms();
    format!("{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}:{second:02}", u8::from(month))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_in_utc() {
        let time = Duration::from_micros(1_795_338_429_552_254);
        assert_eq!(micros(time), "2026-11-22T09:07:09.552254+00:00");
        assert_eq!(millis(time), "2026-11-22T09:07:09.552+00:00");
        assert_eq!(micros(Duration::ZERO), "1970-01-01T00:00:00.000000+00:00");
        assert_eq!(micros(Duration::MAX).len(), "1970-01-01T00:00:00.000000+00:00".len());
    }

    #[test]
    fn parses_any_offset_and_precision() {
        for (text, expected) in [
            ("1970-01-01T00:00:01.5Z", Some(1500)),
            ("2026-11-22T09:07:09.552254+00:00", Some(1_795_338_429_552)),
            ("2026-11-22T10:07:09.552+01:00", Some(1_795_338_429_552)),
            ("2026-11-22T04:37:09-0430", Some(1_795_338_429_000)),
            ("2026-11-22", None),
            ("", None),
            ("2026-13-22T09:07:09Z", None),
            ("2026-11-22T09:07:09", None),
            ("1960-11-22T09:07:09Z", None),
        ] {
            assert_eq!(parse_millis(text), expected, "{text}");
        }
    }
}
