//! The distinct short words among strings, as long as there are few: candidates for an enumeration.

use crate::sorting::sort_by;
use crate::tools::export::openapi::id_kind::IdKind;

/// Distinct words, and in how many bodies each was seen.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Words {
    seen: Vec<(Box<str>, u64)>,
    is_overflowing: bool,
}

impl Words {
    pub(in super::super) fn add(&mut self, text: &str) {
        if self.is_overflowing {
            return;
        }
        if let Some((_, count)) = self.seen.iter_mut().find(|(known, _)| **known == *text) {
            *count = (*count).max(1);
        } else if self.seen.len() < MAX_WORDS && is_word(text) {
            self.seen.push((text.into(), 1));
        } else {
            self.overflow();
        }
    }

    /// Adds the words of another body.
    pub(super) fn merge(&mut self, other: Self) {
        if other.is_overflowing {
            self.overflow();
        }
        for (word, count) in other.seen {
            let before = self.seen.iter().find(|(known, _)| *known == word).map_or(0, |(_, count)| *count);
            self.add(&word);
            if let Some((_, sum)) = self.seen.iter_mut().find(|(known, _)| *known == word) {
                *sum = before + count;
            }
        }
    }

    fn overflow(&mut self) {
        *self = Self { seen: Vec::new(), is_overflowing: true };
    }

    /// Returns the words, sorted, if all strings were among few.
    pub(in super::super) fn all(&self) -> Option<Vec<&str>> {
        let mut words: Vec<_> = self.seen.iter().map(|(word, _)| &**word).collect();
        sort_by(&mut words, &|a, b| a.cmp(b));
        (!self.is_overflowing && !words.is_empty()).then_some(words)
    }

    /// As [`Words::all`], if all are words of a program, and each was seen in [`MIN_BODIES`] bodies.
    pub(in super::super) fn all_codes(&self) -> Option<Vec<&str>> {
        let are_codes = self.seen.iter().all(|(word, count)| is_code(word) && *count >= MIN_BODIES);
        self.all().filter(|words| are_codes && words.len() <= MAX_CODES)
    }

    /// True if both have a word in common.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.seen.iter().any(|(word, _)| other.seen.iter().any(|(other, _)| word == other))
    }
}

/// True for short text without spaces that is no identifier.
fn is_word(text: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b"_-.:/".contains(&b);
    !text.is_empty() && text.len() <= MAX_WORD_BYTES && text.bytes().all(is_part) && IdKind::of(text).is_none()
}

/// True for a word of a program: `open`, `IN_PROGRESS`, `us-east`. Capitalized words are often names of people and places.
pub(in super::super) fn is_code(text: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_alphabetic() || b"_-.".contains(&b);
    is_word(text)
        && text.bytes().all(is_letter)
        && !(text.bytes().any(|b| b.is_ascii_uppercase()) && text.bytes().any(|b| b.is_ascii_lowercase()))
}

const MAX_WORDS: usize = 12;

const MAX_WORD_BYTES: usize = 24;

/// More words are hardly an enumeration of a program.
const MAX_CODES: usize = 8;

/// A word that is in fewer bodies may be a value of one user.
const MIN_BODIES: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns words, each seen in as many bodies.
    fn words(all: &[(&str, u64)]) -> Words {
        let mut words = Words::default();
        for (word, count) in all {
            for _ in 0..*count {
                let mut body = Words::default();
                body.add(word);
                body.add(word);
                words.merge(body);
            }
        }
        words
    }

    #[test]
    fn codes_are_in_many_bodies() {
        let most = [("open", MIN_BODIES), ("CLOSED", MIN_BODIES + 5)];
        assert_eq!(words(&most).all_codes(), Some(vec!["CLOSED", "open"]));
        assert_eq!(words(&[most[0], ("CLOSED", MIN_BODIES - 1)]).all_codes(), None);
        assert_eq!(words(&[("open", 1), ("closed", 1)]).all(), Some(vec!["closed", "open"]));
        assert_eq!(words(&[]).all(), None);
    }

    #[test]
    fn codes_are_words_of_a_program() {
        for text in ["open", "IN_PROGRESS", "us-east", "a.b", "x"] {
            assert!(is_code(text), "{text}");
        }
        for text in ["", "Alice", "two words", "v1", "café", "17", "a/b", "one,two", &"a".repeat(MAX_WORD_BYTES + 1)] {
            assert!(!is_code(text), "{text}");
        }
    }

    #[test]
    fn many_words_or_text_are_no_enumeration() {
        let names: Vec<_> = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m"].to_vec();
        let seen = |count: usize| words(&names.iter().take(count).map(|name| (*name, MIN_BODIES)).collect::<Vec<_>>());
        assert!(seen(MAX_CODES).all_codes().is_some() && seen(MAX_CODES + 1).all_codes().is_none());
        assert!(seen(MAX_WORDS).all().is_some() && seen(MAX_WORDS + 1).all().is_none());
        let mut mixed = words(&[("open", 20)]);
        mixed.add("a sentence");
        assert_eq!((mixed.all(), mixed.all_codes()), (None, None));
        let mut other = words(&[("open", 20)]);
        other.merge(mixed);
        assert_eq!(other.all(), None, "no word is forgotten by a merge");
    }
}
