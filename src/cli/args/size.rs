//! Sizes such as `64M`.

use super::number;
use super::values::invalid;

/// The sizes that an option accepts.
pub(super) struct Limits {
    pub(super) min: u64,
    pub(super) max: u64,
    /// The two as text.
    pub(super) expected: &'static str,
}

/// For the budgets of a capture: below 1 MB, not even one connection's buffers fit.
pub(super) const MEMORY: Limits = Limits { min: 1 << 20, max: 1 << 40, expected: "1M to 1T" };

/// For bundles.
pub(super) const BUNDLE: Limits = Limits { min: 1 << 10, max: 1 << 50, expected: "1K to 1024T" };

pub(super) const REPORT: Limits = Limits { min: 1 << 20, max: 1 << 30, expected: "1M to 1G" };

pub(super) const REPORT_BODY: Limits = Limits { min: 1 << 10, max: 16 << 20, expected: "1K to 16M" };

pub(super) const BODY: Limits = Limits { min: 1 << 10, max: 1 << 40, expected: "1K to 1T" };

/// Reads a size within `limits`.
///
/// # Errors
/// If it is not a size, or outside the limits.
pub(super) fn parse(text: &str, limits: &Limits) -> Result<u64, String> {
    read(text, limits).ok_or_else(|| invalid("size", text, limits.expected))
}

/// Reads a size; `None` if it is not a size, or outside `limits`.
pub(super) fn read(text: &str, limits: &Limits) -> Option<u64> {
    bytes(text).filter(|size| (limits.min..=limits.max).contains(size))
}

/// Reads a number of bytes: `500K`, `64M`, `1G`, `1.5G`, `67108864`.
fn bytes(text: &str) -> Option<u64> {
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_suffix("IB").or_else(|| upper.strip_suffix('B')).unwrap_or(&upper);
    let units = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1u64 << 40)];
    let scaled = units.iter().find_map(|(letter, unit)| Some((bare.strip_suffix(*letter)?, *unit)));
    let (number, unit) = scaled.unwrap_or((bare, 1));
    number::times(number, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_with_units() {
        for (text, expected) in [
            ("0", 0),
            ("67108864", 64 << 20),
            ("500K", 500 << 10),
            ("64M", 64 << 20),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("64MiB", 64 << 20),
            ("1G", 1 << 30),
            ("1.5g", 3 << 29),
            ("1.5000000009g", 3 << 29),
            ("0.25k", 256),
            ("2.k", 2 << 10),
            ("2T", 2 << 40),
            ("100b", 100),
        ] {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn refuses_invalid_sizes() {
        for text in ["", ".", ".5G", "1.5", "-1K", "+1K", "1e3", "1.5.5M", "infinity", "NaN", "K", "99999999999T"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn names_the_limits_if_a_size_is_outside() {
        for (text, limits) in [("1", &MEMORY), ("1023K", &MEMORY), ("2T", &MEMORY), ("0", &BODY), ("1025G", &BODY)] {
            let expected = format!("invalid size '{text}': expected {}", limits.expected);
            assert_eq!(parse(text, limits), Err(expected));
        }
        assert_eq!((parse("1M", &MEMORY), parse("1T", &MEMORY)), (Ok(1 << 20), Ok(1 << 40)));
        assert_eq!((parse("1K", &BODY), parse("1T", &BODY)), (Ok(1 << 10), Ok(1 << 40)));
    }
}
