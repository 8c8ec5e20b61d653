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

    /// Returns the number for a value: below 10^9, which every reader represents exactly.
    pub(super) fn number(&self, value: &str) -> String {
        format!("{NUMBER_PREFIX}{:06}", self.hash(value) % 1_000_000)
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
        digits.is_some_and(|digits| digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    is_text || is_number()
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
        assert_eq!(one.of_len("a", 30).len(), 30);
        for value in ["redacted-", "redacted-5b1c0e7f33aG", "xredacted-5b1c0e7f33a9", "99912345", "123456789"] {
            assert!(!is_placeholder(value), "{value}");
        }
    }
}
