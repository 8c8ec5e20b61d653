//! Placeholders: keyed hashes of values.
//!
//! Every replacement consists of letters, digits and `-`, so it needs no escape in JSON, XML, URLs, forms and header fields.

use std::hash::{BuildHasher, RandomState};

/// Makes placeholders under a random key, which is discarded at the end of the run.
#[derive(Clone, Default)]
pub(super) struct Placeholders(RandomState);

impl Placeholders {
    /// Returns the placeholder for a value.
    pub(super) fn text(&self, value: &str) -> String {
        format!("{PREFIX}{:012x}", self.hash(value) & 0xffff_ffff_ffff)
    }

    /// Returns the number for a value: 15 digits, which readers of JSON represent exactly (RFC 8259 section 6). The last six follow
    /// from the others, so that a number of another origin is not taken for a placeholder.
    pub(super) fn number(&self, value: &str) -> String {
        let hash = self.hash(value) % 1_000_000;
        format!("{NUMBER_PREFIX}{hash:06}{:06}", check_digits(hash))
    }

    /// Returns `len` bytes for a value in a binary body, in which lengths may be stated elsewhere.
    pub(super) fn of_len(&self, value: &str, len: usize) -> String {
        self.text(value).chars().cycle().take(len).collect()
    }

    /// Equal values have equal hashes, also where one was in a URL with "+" and the other was not.
    fn hash(&self, value: &str) -> u64 {
        if value.contains(' ') { self.0.hash_one(value.replace(' ', "+")) } else { self.0.hash_one(value) }
    }
}

/// Returns true if a value is a placeholder, perhaps of an earlier run.
pub(super) fn is_placeholder(value: &str) -> bool {
    let is_text = value
        .strip_prefix(PREFIX)
        .is_some_and(|hash| hash.len() == 12 && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    let is_number = || {
        let digits = value.strip_prefix(NUMBER_PREFIX);
        let parse = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?;
        let split = digits.filter(|digits| digits.len() == 12).and_then(|digits| digits.split_at_checked(6));
        split.is_some_and(|(hash, check)| {
            parse(hash).map(check_digits).is_some_and(|digits| parse(check) == Some(digits))
        })
    };
    is_text || is_number()
}

/// Returns the number that follows the six digits of a hash.
fn check_digits(hash: u64) -> u64 {
    (hash.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) % 1_000_000
}

const PREFIX: &str = "redacted-";
const NUMBER_PREFIX: &str = "999";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_equal_placeholders_within_a_run() {
        let (one, other) = (Placeholders::default(), Placeholders::default());
        assert_eq!(one.text("secret"), one.text("secret"));
        assert_eq!(one.text("a+b"), one.text("a b"));
        assert_ne!(one.text("secret"), one.text("Secret"));
        assert_ne!(one.text("secret"), other.text("secret"));
        for placeholder in [one.text("a"), one.number("123456")] {
            assert!(is_placeholder(&placeholder), "{placeholder}");
        }
        let number = one.number("123456");
        assert!(
            number.len() == 15 && number.starts_with("999") && number.parse::<u64>().unwrap() < 1 << 53,
            "{number}"
        );
        let others = (0..1_000_000).filter(|n| is_placeholder(&format!("999123456{n:06}"))).count();
        assert_eq!(others, 1, "of a million numbers with one beginning");
        assert!(!is_placeholder(&format!("{number}0")) && !is_placeholder(&number.replacen("999", "998", 1)));
        assert_eq!(one.of_len("a", 30).len(), 30);
        for value in
            ["redacted-", "redacted-5b1c0e7f33aG", "xredacted-5b1c0e7f33a9", "99912345", "999123456", "123456789"]
        {
            assert!(!is_placeholder(value), "{value}");
        }
    }
}
