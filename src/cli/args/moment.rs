//! Moments: dates and times of day, or a period before now.
//!
//! ```text
//! 2026-11-30                  that day, 00:00
//! 2026-11-30 15:30[:10[.5]]   also with T between, and with Z, +01:00 or UTC at the end
//! 15:30[:10[.5]]              today
//! now, today, yesterday       the last two at 00:00
//! @1795338429[.5]             seconds since the epoch
//! 30s, 10m, 2h, 1d            before now, also as -10m or '10m ago'
//! ```
//!
//! Times without an offset are UTC, as in all lists of this program.

use super::values::invalid;
use super::{number, time};
use spectral_capture::calendar::{parse_date, parse_time, split_offset};

/// Reads a moment, and returns it in milliseconds since the epoch. `now` is one, too.
///
/// # Errors
/// If it is not a moment, or before the epoch.
pub(super) fn parse(text: &str, now: u64) -> Result<u64, String> {
    read(text.trim(), now).ok_or_else(|| invalid("time", text, EXPECTED))
}

fn read(text: &str, now: u64) -> Option<u64> {
    if let Some(seconds) = text.strip_prefix('@') {
        return number::times(seconds, 1000);
    }
    let span = text.strip_suffix("ago").map_or(text, str::trim_end);
    if let Some(before) = time::read(span.strip_prefix('-').unwrap_or(span)) {
        return now.checked_sub(u64::try_from(before.as_millis()).ok()?);
    }
    let today = now.checked_sub(now % DAY_MS)?;
    match text {
        "now" => return Some(now),
        "today" => return Some(today),
        "yesterday" => return today.checked_sub(DAY_MS),
        _ => {}
    }
    if let Some(time) = parse_time(text) {
        return today.checked_add_signed(time);
    }
    let (day, rest) = text.split_at_checked("2026-11-30".len())?;
    let day = parse_date(day)?;
    if rest.is_empty() {
        return u64::try_from(day).ok();
    }
    let (time, offset) = split_offset(rest.strip_prefix(['T', 't', ' '])?)?;
    u64::try_from(day.checked_add(parse_time(time)?)?.checked_sub(offset.unwrap_or_default())?).ok()
}

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
const EXPECTED: &str = "2026-11-30, '2026-11-30 15:30', 15:30 (UTC), or a time before now such as 30s, 10m, 2h or 1d";

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-22 09:07:09.552 UTC.
    const NOW: u64 = 1_795_338_429_552;
    const MIDNIGHT: u64 = 1_795_305_600_000;

    #[test]
    fn reads_dates_times_and_periods() {
        for (text, expected) in [
            ("2026-11-22", MIDNIGHT),
            ("2026-11-22T09:07:09.552Z", NOW),
            ("2026-11-22T09:07:09.552254+00:00", NOW),
            ("2026-11-22 09:07:09.552 UTC", NOW),
            ("2026-11-22t10:07:09.552+01:00", NOW),
            ("2026-11-22 04:37:09.552-0430", NOW),
            ("2026-11-22 09:07", NOW - 9552),
            ("09:07:09", NOW - 552),
            ("09:07", NOW - 9552),
            ("09:07:09.5", NOW - 52),
            ("now", NOW),
            ("today", MIDNIGHT),
            ("yesterday", MIDNIGHT - 86_400_000),
            ("@1795338429", NOW - 552),
            ("@1795338429.552", NOW),
            ("10m", NOW - 600_000),
            ("-10m", NOW - 600_000),
            ("10m ago", NOW - 600_000),
            (" 1.5h", NOW - 5_400_000),
            ("365d", NOW - 365 * 86_400_000),
        ] {
            assert_eq!(parse(text, NOW), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses_other_texts_with_what_is_expected() {
        for text in [
            "",
            "10",
            "@",
            "@x",
            "ago",
            "1m1s",
            "2026-11-31",
            "2026-13-01",
            "2026-1-1",
            "26-11-22",
            "2026-11-22T",
            "2026-11-22T24:00",
            "2026-11-22X09:07",
            "2026-11-22T09:07+",
            "2026-11-22T09:07+1",
            "2026-11-22T09:07+01:60",
            "2026-11-22T09:07+99:00",
            "09:7",
            "9:07",
            "09:07:09.",
            "09:07.5",
            "1969-12-31",
            "tomorrow",
            "2026-11-2é",
            "+10m",
        ] {
            let expected = format!("invalid time '{text}': expected {EXPECTED}");
            assert_eq!(parse(text, NOW), Err(expected), "{text}");
        }
        assert!(parse("1d", 1000).is_err(), "before the epoch");
    }
}
