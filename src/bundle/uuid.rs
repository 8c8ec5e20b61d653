//! Random UUIDs (version 4, RFC 9562 section 5.4), the ids of captures.

use std::hash::{BuildHasher, RandomState};

/// Returns a new random UUID. Uses the standard library's hash keys, which come from the operating system.
pub(crate) fn new() -> String {
    let random = |seed: u64| u128::from(RandomState::new().hash_one(seed));
    version_4(random(0) << 64 | random(1))
}

/// Returns true if `text` has the form of a UUID.
pub(crate) fn is_uuid(text: &str) -> bool {
    let is_hyphen = |at| matches!(at, 8 | 13 | 18 | 23);
    let is_valid = |(at, b): (usize, u8)| if is_hyphen(at) { b == b'-' } else { b.is_ascii_hexdigit() };
    text.len() == 36 && text.bytes().enumerate().all(is_valid)
}

/// Returns the UUID with the given random bits.
fn version_4(random: u128) -> String {
    let bits = random & !(0xf << 76) & !(0b11 << 62) | (0x4 << 76) | (0b10 << 62);
    let hex = format!("{bits:032x}");
    let digits = |from, to| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", digits(0, 8), digits(8, 12), digits(12, 16), digits(16, 20), digits(20, 32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_version_and_variant() {
        assert_eq!(version_4(0), "00000000-0000-4000-8000-000000000000");
        assert_eq!(version_4(u128::MAX), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert!(is_uuid(&new()) && !is_uuid("") && !is_uuid(&"f".repeat(36)));
    }
}
