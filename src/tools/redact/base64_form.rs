//! A value within base64: the characters that depend on it alone, in the three positions it may have in a group of three bytes.
//!
//! ```text
//! bytes        p   v   v | v   v   v | v   s   s      p: before, s: after
//! characters   p ? v   v | v v v   v | v ? s   s      ?: mixed, so they remain
//!                └───────────────────┘
//! ```
//!
//! The replacement also sets the value's bits in the mixed characters, and is as long as the value modulo three bytes. So it decodes to
//! the placeholder, and all around it decodes as before.

use std::ops::Range;

/// The alphabet (RFC 4648 sections 4 and 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alphabet {
    Standard,
    UrlSafe,
}

/// Returns the characters for `value` after `before` bytes (modulo 3) that depend on it alone.
pub(super) fn characters(value: &[u8], before: usize, alphabet: Alphabet) -> String {
    let before = before % 3;
    let padded = [vec![0; before].as_slice(), value].concat();
    let mut encoded = alphabet.encode(&padded);
    // Bits of the last character beyond the value depend on the bytes after it.
    encoded.truncate(padded.len().saturating_mul(8) / 6);
    encoded.drain(..first_character(before).min(encoded.len()));
    encoded
}

/// Returns the replacement of a value of `len` bytes whose [`characters`] are at `range` of `text`, and its range.
pub(super) fn replacement(
    text: &[u8],
    range: Range<usize>,
    (before, len): (usize, usize),
    placeholder: &str,
    alphabet: Alphabet,
) -> (Range<usize>, String) {
    let before = before % 3;
    let mixed_before = range.start.checked_sub(1).and_then(|at| text.get(at)).and_then(|byte| sextet(*byte));
    let mixed_after = text.get(range.end).and_then(|byte| sextet(*byte));
    let filler = "xx".get(..len % 3).unwrap_or_default();
    // The bits of the bytes before and after the value that are in mixed characters.
    let before_bits = mixed_before.unwrap_or_default();
    let head: &[u8] = match before {
        0 => &[],
        1 => &[before_bits >> 4],
        _ => &[0, before_bits >> 2],
    };
    let end = before.saturating_add(len);
    let tail: &[u8] = match (end % 3, mixed_after) {
        (1, Some(mixed)) => &[(mixed & 0b1111) << 4],
        (2, Some(mixed)) => &[(mixed & 0b11) << 6],
        _ => &[],
    };
    let bytes = [head, placeholder.as_bytes(), filler.as_bytes(), tail].concat();
    let encoded = alphabet.encode(&bytes);
    // The mixed character is missing at the start of a line or of a part of base64.
    let has_mixed = before > 0 && mixed_before.is_some();
    let start = first_character(before).saturating_sub(usize::from(has_mixed));
    let new_end = before.saturating_add(placeholder.len()).saturating_add(filler.len()).saturating_mul(8);
    let new_end = if tail.is_empty() { new_end / 6 } else { new_end.div_ceil(6) };
    let replaced_start = range.start.saturating_sub(usize::from(has_mixed));
    let replaced_end = range.end.saturating_add(usize::from(!tail.is_empty()));
    (replaced_start..replaced_end, encoded.get(start..new_end).unwrap_or_default().to_owned())
}

impl Alphabet {
    /// Encodes `bytes` without padding. Each value has several such forms, and values are short.
    fn encode(self, bytes: &[u8]) -> String {
        let mut encoded = String::with_capacity(bytes.len().saturating_mul(4).div_ceil(3));
        for group in bytes.chunks(3) {
            let byte = |at: usize| group.get(at).copied().unwrap_or_default();
            let bits = u32::from_be_bytes([0, byte(0), byte(1), byte(2)]);
            let characters = [18, 12, 6, 0].map(|shift: u32| self.character(bits >> shift & 63));
            encoded.extend(characters.into_iter().take(group.len().saturating_add(1)));
        }
        encoded
    }

    fn character(self, sextet: u32) -> char {
        let last = if self == Self::Standard { "+/" } else { "-_" };
        let index = sextet as usize;
        let character = LETTERS_AND_DIGITS.get(index).or_else(|| last.as_bytes().get(index.saturating_sub(62)));
        character.copied().map_or('A', char::from)
    }
}

/// Returns the six bits of a character.
fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => byte.checked_sub(b'A'),
        b'a'..=b'z' => byte.checked_sub(b'a').map(|n| n.saturating_add(26)),
        b'0'..=b'9' => byte.checked_sub(b'0').map(|n| n.saturating_add(52)),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

const LETTERS_AND_DIGITS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Returns the index of the first character that depends on no byte before the value.
fn first_character(before: usize) -> usize {
    before.saturating_mul(8).div_ceil(6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Base64, from_base64};
    use crate::tools::redact::placeholder::Placeholders;

    #[test]
    fn characters_occur_wherever_the_value_is() {
        for value in ["SECRET-VALUE?>~\u{fc}", "\u{fc}2345678", "123456789", "1234567890"] {
            for before in 0..6 {
                for after in 0..4 {
                    let (head, tail) = (&"{\"a\":\""[..before], &"\"}xy"[..after]);
                    let encoded = Base64([head, value, tail].concat().as_bytes()).to_string();
                    let characters = characters(value.as_bytes(), before, Alphabet::Standard);
                    assert!(characters.len() >= 8, "{characters}");
                    let at = encoded.find(&characters).expect(&encoded);
                    let placeholder = Placeholders::default().text(value);
                    let range = at..at + characters.len();
                    let (range, new) =
                        replacement(encoded.as_bytes(), range, (before, value.len()), &placeholder, Alphabet::Standard);
                    let redacted = [&encoded[..range.start], &new, &encoded[range.end..]].concat();
                    let decoded = String::from_utf8(from_base64(&redacted).expect(&redacted)).unwrap();
                    let filler = &"xx"[..value.len() % 3];
                    assert_eq!(decoded, [head, &placeholder, filler, tail].concat());
                }
            }
        }
        // Without the character before: nothing else is replaced.
        for text in ["", "\u{fffd}", "\n"] {
            for before in 1..3 {
                let found = characters(b"SECRET-VALUE", before, Alphabet::Standard);
                let (text, range) = ([text, &found].concat(), text.len()..text.len() + found.len());
                let (replaced, new) =
                    replacement(text.as_bytes(), range.clone(), (before, 12), "redacted-1", Alphabet::Standard);
                assert_eq!(replaced.start, range.start, "{text:?}");
                assert!(characters(b"redacted-1", before, Alphabet::Standard).starts_with(&new[..8]), "{new}");
            }
        }
        assert_eq!(characters(&[0xfb, 0xff, 0xfe], 0, Alphabet::UrlSafe), "-__-");
    }
}
