//! Numbers with a unit: `1.5G`, `30s`.

/// Returns `number`, a decimal such as `1.5`, times `unit`. A fraction needs a unit above 1.
pub(super) fn times(number: &str, unit: u64) -> Option<u64> {
    // Without floats: the standard library's parser for them adds 22 KB to the binary.
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let is_plain = |digits: &str| digits.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_plain(whole) || !is_plain(fraction) || (unit == 1 && number.contains('.')) {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let fraction = fraction.get(..MAX_DECIMALS).unwrap_or(fraction);
    let numerator = if fraction.is_empty() { 0 } else { fraction.parse::<u64>().ok()? };
    let denominator = 10u64.pow(u32::try_from(fraction.len()).ok()?);
    whole.checked_add(numerator * unit / denominator)
}

/// The number of decimals that are used; further ones are ignored. With the largest unit, 2^40, the product of numerator
/// and unit stays below 2^60.
const MAX_DECIMALS: usize = 6;
