//! The distinct short words among strings, as long as there are few: candidates for an enumeration.

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
        words.sort_unstable();
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
