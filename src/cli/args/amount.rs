//! Amounts that end a capture or a bundle: a size, a time or a number of exchanges, distinguished by their units.
//!
//! ```text
//! 100M, 100MB, 1.5G   a size
//! 30s, 10min, 2h, 1d  a time
//! 500                 a number, where one is expected
//! 10m                 an error: other programs read it as megabytes or as minutes
//! ```

use super::values::invalid;
use super::{size, time};
use crate::cli::stop_after::StopAfter;
use std::time::Duration;

/// An amount of data or time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    /// Bytes of a bundle.
    Size(u64),
    Time(Duration),
}

/// Reads a size within `limits`, with its unit, or a time.
///
/// # Errors
/// If it is neither, has no unit, could be both, or is outside the limits.
pub(super) fn parse(text: &str, limits: &size::Limits) -> Result<Amount, String> {
    check_unit(text)?;
    let has_unit = !text.ends_with(|c: char| c.is_ascii_digit());
    match size::read(text, limits).filter(|_| has_unit) {
        Some(size) => Ok(Amount::Size(size)),
        None => time::read(text).map(Amount::Time).ok_or_else(|| {
            let sizes = ["a size (", limits.expected, ") or a time (1s to 365d, such as 30s, 10min or 2h)"].concat();
            invalid("amount", text, &sizes)
        }),
    }
}

/// Reads the value of `--stop-after`: a size, a time or a number of exchanges.
///
/// # Errors
/// If it is none of them, could be two of them, or is outside the limits.
pub(super) fn parse_stop_after(text: &str) -> Result<StopAfter, String> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let number = text.parse().ok().filter(|number| *number > 0);
        return number.map(StopAfter::Exchanges).ok_or_else(|| invalid("number of exchanges", text, "1 or more"));
    }
    match parse(text, &size::BUNDLE) {
        Ok(Amount::Size(size)) => Ok(StopAfter::Size(size)),
        Ok(Amount::Time(time)) => Ok(StopAfter::Time(time)),
        Err(_) if check_unit(text).is_ok() => Err(invalid("limit", text, STOP_AFTER_EXPECTED)),
        Err(ambiguous) => Err(ambiguous),
    }
}

/// Refuses `10m`.
fn check_unit(text: &str) -> Result<(), String> {
    match text.strip_suffix('m') {
        Some(number) if number.ends_with(|c: char| c.is_ascii_digit() || c == '.') => {
            Err(["ambiguous '", text, "': write ", number, "min for minutes or ", number, "M for megabytes"].concat())
        }
        _ => Ok(()),
    }
}

const STOP_AFTER_EXPECTED: &str =
    "a size (1K to 1024T), a time (1s to 365d, such as 30s, 10min or 2h) or a number of exchanges (500)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_decides_between_size_and_time() {
        let (size, seconds) = (|n| Ok(Amount::Size(n)), |n| Ok(Amount::Time(Duration::from_secs(n))));
        for (text, expected) in [
            ("100M", size(100 << 20)),
            ("100MB", size(100 << 20)),
            ("100mb", size(100 << 20)),
            ("1.5G", size(3 << 29)),
            ("1g", size(1 << 30)),
            ("30s", seconds(30)),
            ("10min", seconds(600)),
            ("2h", seconds(7200)),
            ("1d", seconds(86_400)),
        ] {
            assert_eq!(parse(text, &size::MEMORY), expected, "{text}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_a_number_of_exchanges() {
        assert_eq!(parse_stop_after("500"), Ok(StopAfter::Exchanges(500)));
        assert_eq!(parse_stop_after("500K"), Ok(StopAfter::Size(500 << 10)));
        assert_eq!(parse_stop_after("500s"), Ok(StopAfter::Time(Duration::from_secs(500))));
        for (text, expected) in [
            ("0", "invalid number of exchanges '0': expected 1 or more"),
            ("99999999999999999999", "invalid number of exchanges '99999999999999999999': expected 1 or more"),
            ("5m", "ambiguous '5m': write 5min for minutes or 5M for megabytes"),
            (
                "5x",
                "invalid limit '5x': expected a size (1K to 1024T), a time (1s to 365d, such as 30s, 10min or 2h) or a \
                 number of exchanges (500)",
            ),
        ] {
            assert_eq!(parse_stop_after(text).unwrap_err(), expected);
        }
    }

    #[test]
    fn minutes_are_not_taken_for_megabytes() {
        let expected = "ambiguous '10m': write 10min for minutes or 10M for megabytes";
        assert_eq!(parse("10m", &size::MEMORY).unwrap_err(), expected);
    }

    #[test]
    fn refuses_other_texts_with_what_is_expected() {
        for text in ["", "m", "much", "2000000", "10", "1023K", "2T", "0s", "366d", "10M30s", "10 M", "-1M"] {
            let expected = "expected a size (1M to 1T) or a time (1s to 365d, such as 30s, 10min or 2h)";
            assert_eq!(parse(text, &size::MEMORY), Err(format!("invalid amount '{text}': {expected}")));
        }
    }
}
