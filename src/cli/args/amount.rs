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

/// Refuses `10m`.
fn check_unit(text: &str) -> Result<(), String> {
    match text.strip_suffix('m') {
        Some(number) if number.ends_with(|c: char| c.is_ascii_digit() || c == '.') => {
            Err(["ambiguous '", text, "': write ", number, "min for minutes or ", number, "M for megabytes"].concat())
        }
        _ => Ok(()),
    }
}

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
