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
//! Times without an offset are UTC, as in all lists of this program: the time zone of the machine is known to the C library
//! only.

use super::values::invalid;
use super::{number, time};
use ::time::{Date, Duration, Month, OffsetDateTime, Time, UtcOffset};

/// Reads a moment, and returns it in milliseconds since the epoch. `now` is one, too.
///
/// # Errors
/// If it is not a moment, or before the epoch.
pub(super) fn parse(text: &str, now: u64) -> Result<u64, String> {
    read(text.trim(), now).ok_or_else(|| invalid("time", text, EXPECTED))
}

fn read(text: &str, now: u64) -> Option<u64> {
    let millis = |moment: OffsetDateTime| u64::try_from(moment.unix_timestamp_nanos().checked_div(1_000_000)?).ok();
    if let Some(seconds) = text.strip_prefix('@') {
        return number::times(seconds, 1000);
    }
    let span = text.strip_suffix("ago").map_or(text, str::trim_end);
    if let Some(before) = time::read(span.strip_prefix('-').unwrap_or(span)) {
        return now.checked_sub(u64::try_from(before.as_millis()).ok()?);
    }
    let present = OffsetDateTime::UNIX_EPOCH.checked_add(Duration::milliseconds(i64::try_from(now).ok()?))?;
    let midnight = |date: Date| date.with_time(Time::MIDNIGHT).assume_utc();
    match text {
        "now" => return Some(now),
        "today" => return millis(midnight(present.date())),
        "yesterday" => return millis(midnight(present.date().previous_day()?)),
        _ => {}
    }
    if let Some(time) = time_of_day(text) {
        return millis(present.date().with_time(time).assume_utc());
    }
    let (day, rest) = text.split_at_checked("2026-11-30".len())?;
    let day = date(day)?;
    if rest.is_empty() {
        return millis(midnight(day));
    }
    let (time, offset) = split_offset(rest.strip_prefix(['T', 't', ' '])?)?;
    millis(day.with_time(time_of_day(time)?).assume_offset(offset))
}

/// Reads `2026-11-30`.
fn date(text: &str) -> Option<Date> {
    let [year, month, day] = numbers(text, '-', &[4, 2, 2])?[..] else { return None };
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    Date::from_calendar_date(i32::try_from(year).ok()?, month, u8::try_from(day).ok()?).ok()
}

/// Reads `15:30`, `15:30:10` or `15:30:10.5`.
fn time_of_day(text: &str) -> Option<Time> {
    let (text, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let with_seconds =
        if text.len() == "15:30".len() && fraction == "0" { [text, ":00"].concat() } else { text.into() };
    let [hour, minute, second] = numbers(&with_seconds, ':', &[2, 2, 2])?[..] else { return None };
    let millisecond = number::times(&["0.", fraction].concat(), 1000).filter(|_| !fraction.is_empty())?;
    let byte = |n: u32| u8::try_from(n).ok();
    Time::from_hms_milli(byte(hour)?, byte(minute)?, byte(second)?, u16::try_from(millisecond).ok()?).ok()
}

/// Splits `15:30Z`, `15:30 UTC` or `15:30+01:00` into the time and its offset from UTC.
fn split_offset(text: &str) -> Option<(&str, UtcOffset)> {
    for utc in ["Z", "z", " UTC"] {
        if let Some(time) = text.strip_suffix(utc) {
            return Some((time, UtcOffset::UTC));
        }
    }
    let Some(at) = text.rfind(['+', '-']) else { return Some((text, UtcOffset::UTC)) };
    let (time, offset) = text.split_at_checked(at)?;
    let (sign, digits) = offset.split_at_checked(1)?;
    let [hours, minutes] = numbers(&digits.replace(':', ""), ':', &[4])?.first().map(|n| [n / 100, n % 100])?;
    let seconds = i32::try_from(hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?).ok()?;
    let is_valid = minutes < 60 && hours < 24;
    let seconds = if sign == "-" { seconds.checked_neg()? } else { seconds };
    let offset = UtcOffset::from_whole_seconds(seconds).ok()?;
    is_valid.then_some((time, offset))
}

/// Reads numbers of these lengths, separated by `separator`.
fn numbers(text: &str, separator: char, lengths: &[usize]) -> Option<Vec<u32>> {
    let words: Vec<_> = text.split(separator).collect();
    let is_number = |word: &str, len: usize| word.len() == len && word.bytes().all(|b| b.is_ascii_digit());
    let are_numbers =
        words.len() == lengths.len() && words.iter().zip(lengths).all(|(word, len)| is_number(word, *len));
    are_numbers.then(|| words.iter().map(|word| word.parse().ok()).collect())?
}

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
