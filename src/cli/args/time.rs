//! Times such as `30s`, `5m` or `1h`.

use super::number;
use super::values::invalid;
use std::time::Duration;

/// Reads a time: `30s`, `5m` or `5min`, `1.5h`, `2d`.
///
/// # Errors
/// If it is not a time, has no unit, or is outside the limits.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    read(text).ok_or_else(|| invalid("time", text, EXPECTED))
}

/// Reads a time within the limits.
pub(super) fn read(text: &str) -> Option<Duration> {
    let (number, seconds) = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, *seconds)))?;
    // In milliseconds, so that seconds may have a fraction.
    let milliseconds = number::times(number, seconds * 1000)?;
    let time = Duration::from_millis(milliseconds);
    (MIN..=MAX).contains(&time).then_some(time)
}

/// The units, in seconds.
const UNITS: &[(&str, u64)] = &[("s", 1), ("min", 60), ("m", 60), ("h", 3600), ("d", 24 * 3600)];

const MIN: Duration = Duration::from_secs(1);
const MAX: Duration = Duration::from_secs(365 * 24 * 3600);
const EXPECTED: &str = "1s to 365d, such as 30s, 5m or 1h";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times_with_units() {
        for (text, seconds) in [
            ("1s", 1.0),
            ("30s", 30.0),
            ("1.5s", 1.5),
            ("5m", 300.0),
            ("5min", 300.0),
            ("1h", 3600.0),
            ("1.5h", 5400.0),
            ("365d", 31_536_000.0),
        ] {
            assert_eq!(parse(text).map(|time| time.as_secs_f64()), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn refuses_other_texts_with_what_is_expected() {
        for text in
            ["", "30", "s", "min", ".5h", "-1s", "+1s", "1e3s", "0s", "0.5s", "366d", "5M", "1H", "1 h", "1h30m"]
        {
            let expected = format!("invalid time '{text}': expected 1s to 365d, such as 30s, 5m or 1h");
            assert_eq!(parse(text), Err(expected));
        }
        assert_eq!(read("99999999999999999999d"), None);
        assert_eq!(read("999999999999999999d"), None);
    }
}
