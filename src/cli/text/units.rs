//! Numbers with their units: sizes, durations, dates, counts.

use spectral_capture::calendar::Utc;

/// Formats a size: `999 B`, `1.2 kB`, `34 MB`.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut units = ["B", "kB", "MB", "GB", "TB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    // 999.5 would round to 1000, which is 1.0 of the next unit.
    while value >= 999.5
        && let Some(next) = units.next()
    {
        value /= 1000.0;
        unit = next;
    }
    format!("{} {unit}", short_number(value))
}

/// Formats a size as options read it, in powers of 1024: `100M`; as [`size`] if it is not a multiple of a unit.
pub(crate) fn binary_size(bytes: u64) -> String {
    let units = [("T", 40), ("G", 30), ("M", 20), ("K", 10)];
    let exact = units.iter().find(|(_, shift)| bytes > 0 && bytes.trailing_zeros() >= *shift);
    exact.map_or_else(|| size(bytes), |(unit, shift)| format!("{}{unit}", bytes >> shift))
}

/// Formats a duration: `3.4 ms`, `850 ms`, `1.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn duration(milliseconds: f64) -> String {
    match milliseconds {
        ms if !ms.is_finite() || ms < 0.0 => "0.0 ms".into(),
        ms if ms < 999.5 => format!("{} ms", short_number(ms)),
        ms if ms < 59_950.0 => format!("{} s", short_number(ms / 1000.0)),
        ms => {
            let seconds = (ms / 1000.0).round() as u64;
            match (seconds / 60, seconds / 3600) {
                (minutes, 0) => format!("{minutes} min {} s", seconds % 60),
                (minutes, hours @ ..48) => format!("{hours} h {} min", minutes % 60),
                (_, hours) => format!("{} d {} h", hours / 24, hours % 24),
            }
        }
    }
}

/// Formats a period in its largest whole unit: `30 s`, `10 min`, `2 h`, `1 d`.
pub(crate) fn period(period: std::time::Duration) -> String {
    let units = [("d", 24 * 3600), ("h", 3600), ("min", 60), ("s", 1)];
    let milliseconds = period.as_millis();
    let whole = units.iter().find_map(|(unit, seconds)| Some((unit, whole_quotient(milliseconds, seconds * 1000)?)));
    whole.map_or_else(|| duration(period.as_secs_f64() * 1000.0), |(unit, number)| format!("{number} {unit}"))
}

/// Returns the quotient, unless there is a remainder.
fn whole_quotient(number: u128, divisor: u128) -> Option<u128> {
    number.is_multiple_of(divisor).then(|| number.checked_div(divisor))?
}

/// Formats `value`, which is not negative, with one decimal if it is small, else with none. Integers are formatted: the
/// standard library's formatter for floats adds 20 KB to the binary.
fn short_number(value: f64) -> String {
    if value < 9.95 {
        let tenths = (value * 10.0).round() as u64;
        format!("{}.{}", tenths / 10, tenths % 10)
    } else {
        (value.round() as u64).to_string()
    }
}

/// Formats milliseconds since the epoch: `2026-11-22 09:07:10.216 UTC`.
pub(crate) fn date(epoch_ms: u64) -> String {
    let utc = Utc::from_unix(i64::try_from(epoch_ms / 1000).unwrap_or(i64::MAX));
    format!("{} {}.{:03} UTC", utc.date(), utc.time(), epoch_ms % 1000)
}

/// Formats a count with its noun: `1 exchange`, `2 exchanges`, `2 bodies`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    match (n, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (n, Some(stem)) => format!("{} {stem}ies", grouped(n)),
        (n, None) => format!("{} {noun}s", grouped(n)),
    }
}

/// Formats a number with thousands separators: `12,345`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len().saturating_sub(at)).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_have_their_largest_whole_unit() {
        let text = |ms| period(std::time::Duration::from_millis(ms));
        let periods = [1000, 90_000, 600_000, 5_400_000, 7_200_000, 86_400_000, 172_800_000, 1500].map(text);
        assert_eq!(periods, ["1 s", "90 s", "10 min", "90 min", "2 h", "1 d", "2 d", "1.5 s"]);
    }

    #[test]
    fn sizes_and_durations_have_units() {
        let sizes = [0, 999, 1000, 1234, 9949, 9950, 999_499, 999_500, 5_000_000_000, u64::MAX].map(size);
        let expected = ["0 B", "999 B", "1.0 kB", "1.2 kB", "9.9 kB", "10 kB", "999 kB", "1.0 MB", "5.0 GB"];
        assert_eq!(sizes[..9], expected);
        assert_eq!(sizes[9], "18446744 TB");
        let times = [3_599_499.0, 7_500_000.0, 180_000_000.0].map(duration);
        assert_eq!(times, ["59 min 59 s", "2 h 5 min", "2 d 2 h"]);
        let sizes = [10 << 10, 1 << 30, 3 << 40, 1 << 50, 1500].map(binary_size);
        assert_eq!(sizes, ["10K", "1G", "3T", "1024T", "1.5 kB"]);
        let times = [0.0, 3.43, 9.96, 850.2, 999.6, 1234.0, 59_960.0, 200_000.0].map(duration);
        assert_eq!(times, ["0.0 ms", "3.4 ms", "10 ms", "850 ms", "1.0 s", "1.2 s", "1 min 0 s", "3 min 20 s"]);
        assert_eq!([f64::NAN, -1.0, f64::INFINITY].map(duration), ["0.0 ms"; 3]);
    }

    #[test]
    fn dates_are_in_utc() {
        assert_eq!(date(1_795_338_410_216), "2026-11-22 09:06:50.216 UTC");
        assert!(date(u64::MAX).ends_with(" UTC"));
    }

    #[test]
    fn counts_have_a_singular_a_plural_and_thousands_separators() {
        let exchanges = [0, 1, 2, 1234].map(|n| count(n, "exchange"));
        assert_eq!(exchanges, ["0 exchanges", "1 exchange", "2 exchanges", "1,234 exchanges"]);
        assert_eq!([1, 2].map(|n| count(n, "body")), ["1 body", "2 bodies"]);
        assert_eq!([0, 999, 1000, 12_345, 1_234_567].map(grouped), ["0", "999", "1,000", "12,345", "1,234,567"]);
    }
}
