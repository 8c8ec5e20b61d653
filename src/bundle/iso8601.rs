//! Times in ISO 8601, as manifests and HAR have them. The bundle format fixes the digits and the offset `+00:00`.

use crate::calendar::{Utc, parse_date, parse_time, split_offset};
use std::time::Duration;

/// Formats a time since the epoch in UTC, to the microsecond: `2026-11-22T09:07:09.552254+00:00`.
pub(crate) fn micros(since_epoch: Duration) -> String {
    format!("{}.{:06}+00:00", seconds(since_epoch), since_epoch.subsec_micros())
}

/// Formats a time since the epoch in UTC, to the millisecond: `2026-11-22T09:07:09.552+00:00`.
pub(crate) fn millis(since_epoch: Duration) -> String {
    format!("{}.{:03}+00:00", seconds(since_epoch), since_epoch.subsec_millis())
}

/// Parses a time with an offset from UTC, and returns the milliseconds since the epoch. Returns `None` for times before the
/// epoch.
pub(crate) fn parse_millis(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', 't'])?;
    let (time, offset) = split_offset(time)?;
    u64::try_from(parse_date(date)? + parse_time(time)? - offset?).ok()
}

/// Times past the year 9999 become its last second.
fn seconds(since_epoch: Duration) -> String {
    let utc = Utc::from_unix(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX));
    [&*utc.date(), "T", &utc.time()].concat()
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
