//! Dates and times of day in UTC, by the Gregorian calendar, and their text: `2026-11-22T09:07:09.552+01:00`.
//!
//! The time zone of the machine is never used: only the C library knows it.

/// A second in UTC. The fields are those of a date and a time of day that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc {
    pub year: i64,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
}

impl Utc {
    /// Converts from Unix seconds. Times before the year 0 become its start, times past the year 9999 its end.
    pub fn from_unix(seconds: i64) -> Self {
        let seconds = seconds.clamp(MIN_UNIX, MAX_UNIX);
        let (days, time) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
        // Years begin in March here, so that a leap day is the last one of its year. 400 years are a period of the calendar.
        let days = days + DAYS_TO_1970;
        let (period, day) = (days.div_euclid(DAYS_OF_400_YEARS), days.rem_euclid(DAYS_OF_400_YEARS));
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        // Five months from March on have 153 days, and so have the next five.
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = 400 * period + year + next_year;
        let [month, day, hour, minute, second] =
            [month, day, time / 3600, time / 60 % 60, time % 60].map(|n| u8::try_from(n).unwrap_or_default());
        Self { year, month, day, hour, minute, second }
    }

    /// Returns Unix seconds.
    pub fn unix(self) -> i64 {
        let Self { year, month, day, hour, minute, second } = self;
        let [month, day, hour, minute, second] = [month, day, hour, minute, second].map(i64::from);
        // As above: years begin in March.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let days_before = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        let days = days_before + (153 * month + 2) / 5 + day - 1 - DAYS_TO_1970;
        days * DAY_SECONDS + hour * 3600 + minute * 60 + second
    }

    /// Returns `self` if its date and its time exist, in the years 0 to 9999.
    pub fn checked(self) -> Option<Self> {
        let Self { year, month, day, hour, minute, second } = self;
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 if is_leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let exists = (0..=9999).contains(&year)
            && (1..=12).contains(&month)
            && (1..=days).contains(&day)
            && hour < 24
            && minute < 60
            && second < 60;
        exists.then_some(self)
    }

    /// Formats the date: `2026-11-22`.
    pub fn date(self) -> String {
        let Self { year, month, day, .. } = self;
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// Formats the time of day: `09:07:09`.
    pub fn time(self) -> String {
        let Self { hour, minute, second, .. } = self;
        format!("{hour:02}:{minute:02}:{second:02}")
    }
}

/// Parses a date, `2026-11-30`, and returns its start in milliseconds since the epoch.
pub fn parse_date(text: &str) -> Option<i64> {
    let [year, month, day] = numbers(text, '-', [4, 2, 2])?;
    let date = Utc { year: year.into(), month: byte(month)?, day: byte(day)?, hour: 0, minute: 0, second: 0 };
    Some(date.checked()?.unix() * 1000)
}

/// Parses a time of day, `15:30`, `15:30:10` or `15:30:10.5`, and returns the milliseconds since midnight.
pub fn parse_time(text: &str) -> Option<i64> {
    let (time, fraction) = match text.split_once(['.', ',']) {
        Some((_, "")) => return None,
        Some((time, fraction)) => (time, fraction),
        None if text.len() == "15:30".len() => return parse_time(&[text, ":00"].concat()),
        None => (text, "0"),
    };
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let is_time = hour < 24 && minute < 60 && second < 60 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let digits = fraction.bytes().chain(*b"00").take(3);
    let millis = digits.fold(0, |millis, digit| millis * 10 + i64::from(digit & 0xf));
    is_time.then(|| i64::from((hour * 60 + minute) * 60 + second) * 1000 + millis)
}

/// Splits the offset from UTC off a time: `Z`, ` UTC`, `+01:00` or `-0430`. Returns it in milliseconds, if there is one.
pub fn split_offset(text: &str) -> Option<(&str, Option<i64>)> {
    for utc in ["Z", "z", " UTC"] {
        if let Some(time) = text.strip_suffix(utc) {
            return Some((time, Some(0)));
        }
    }
    let Some(at) = text.rfind(['+', '-']) else { return Some((text, None)) };
    let (time, offset) = text.split_at_checked(at)?;
    let (sign, digits) = offset.split_at_checked(1)?;
    let (hours, minutes) = digits.split_at_checked(2)?;
    let [hours, minutes] = numbers(&[hours, ":", minutes.strip_prefix(':').unwrap_or(minutes)].concat(), ':', [2, 2])?;
    let millis = i64::from(hours * 60 + minutes) * 60_000;
    (hours < 24 && minutes < 60).then_some((time, Some(if sign == "-" { -millis } else { millis })))
}

/// Parses numbers of these lengths, separated by `separator`.
fn numbers<const N: usize>(text: &str, separator: char, lengths: [usize; N]) -> Option<[u32; N]> {
    let mut words = text.split(separator);
    let mut all = [0; N];
    for (number, len) in all.iter_mut().zip(lengths) {
        let word = words.next().filter(|word| word.len() == len && word.bytes().all(|byte| byte.is_ascii_digit()))?;
        *number = word.parse().ok()?;
    }
    words.next().is_none().then_some(all)
}

fn byte(number: u32) -> Option<u8> {
    u8::try_from(number).ok()
}

const DAY_SECONDS: i64 = 24 * 60 * 60;
const DAYS_OF_400_YEARS: i64 = 146_097;
/// From the first of March of the year 0.
const DAYS_TO_1970: i64 = 719_468;
/// The first second of the year 0, and the last one of the year 9999.
const MIN_UNIX: i64 = -62_167_219_200;
const MAX_UNIX: i64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;
    use time::OffsetDateTime;

    /// Each day from the year 0 to the year 9999 is as the crate `time` has it, at a time of day that differs from day to day.
    #[test]
    fn each_day_is_converted_in_both_directions() {
        for day in MIN_UNIX / DAY_SECONDS..=MAX_UNIX / DAY_SECONDS {
            let seconds = day * DAY_SECONDS + day.rem_euclid(DAY_SECONDS);
            let (ours, theirs) = (Utc::from_unix(seconds), OffsetDateTime::from_unix_timestamp(seconds).unwrap());
            let (date, time) = (theirs.to_calendar_date(), theirs.to_hms());
            let expected = Utc {
                year: date.0.into(),
                month: date.1.into(),
                day: date.2,
                hour: time.0,
                minute: time.1,
                second: time.2,
            };
            assert_eq!(ours, expected);
            assert_eq!((ours.unix(), ours.checked()), (seconds, Some(ours)));
        }
        assert_eq!(Utc::from_unix(i64::MIN).date(), "0000-01-01");
        let last = Utc::from_unix(i64::MAX);
        assert_eq!((last.date(), last.time()), ("9999-12-31".into(), "23:59:59".into()));
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for (text, exists) in [
            ("2024-02-29", true),
            ("2000-02-29", true),
            ("2023-02-29", false),
            ("1900-02-29", false),
            ("2026-04-31", false),
            ("2026-12-31", true),
            ("2026-00-01", false),
            ("2026-13-01", false),
            ("2026-01-00", false),
            ("2026-01-32", false),
            ("2026-1-1", false),
            ("26-01-01", false),
            ("2026-01-01-01", false),
            ("+026-01-01", false),
        ] {
            assert_eq!(parse_date(text).is_some(), exists, "{text}");
        }
        assert_eq!(parse_date("1970-01-02"), Some(86_400_000));
    }

    #[test]
    fn times_and_offsets_are_parsed() {
        for (text, expected) in [
            ("00:00", Some(0)),
            ("23:59:59.9999", Some(86_399_999)),
            ("09:07:09.5", Some(32_829_500)),
            ("09:07:09,05", Some(32_829_050)),
            ("24:00", None),
            ("09:60", None),
            ("09:07:60", None),
            ("09:07.5", None),
            ("09:07:09.", None),
            ("09:07:09.x", None),
            ("9:07", None),
        ] {
            assert_eq!(parse_time(text), expected, "{text}");
        }
        for (text, expected) in [
            ("09:07", Some(("09:07", None))),
            ("09:07Z", Some(("09:07", Some(0)))),
            ("09:07 UTC", Some(("09:07", Some(0)))),
            ("09:07+01:30", Some(("09:07", Some(5_400_000)))),
            ("09:07-0430", Some(("09:07", Some(-16_200_000)))),
            ("09:07+1", None),
            ("09:07+", None),
            ("09:07+24:00", None),
            ("09:07+01:60", None),
            ("09:07+1é", None),
        ] {
            assert_eq!(split_offset(text), expected, "{text}");
        }
    }
}
