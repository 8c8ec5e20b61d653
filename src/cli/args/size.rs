//! Sizes as people write them.

/// A number of bytes: `500K`, `64M`, `1G`, `1.5G`, `67108864`.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let wrong = || format!("'{text}' is no size: give a number of bytes, with K, M or G perhaps, such as 64M");
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_suffix("IB").or_else(|| upper.strip_suffix('B')).unwrap_or(&upper);
    let units = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30), ('T', 1u64 << 40)];
    let scaled = units.iter().find_map(|(letter, unit)| Some((bare.strip_suffix(*letter)?, *unit)));
    let (number, unit) = scaled.unwrap_or((bare, 1));
    if let Ok(number) = number.parse::<u64>() {
        return number.checked_mul(unit).ok_or_else(wrong);
    }
    // A fraction of a unit, and nothing else that a float may be: a sign, an exponent, infinity.
    let is_plain = number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let fraction = number.parse::<f64>().ok().filter(|_| is_plain && unit > 1).ok_or_else(wrong)?;
    Ok((fraction * unit as f64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("67108864", 64 << 20),
            ("500K", 500 << 10),
            ("64M", 64 << 20),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("64MiB", 64 << 20),
            ("1G", 1 << 30),
            ("1.5g", 3 << 29),
            ("2T", 2 << 40),
            ("100b", 100),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }
}
