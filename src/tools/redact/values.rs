//! The values to replace wherever they stand, and the index that finds them.
//!
//! ```text
//! Values (first pass) ─▶ Index (second pass): hash of the first 8 bytes of each pattern ─▶ patterns
//!                          two bits per hash exclude nearly every position of a text
//! ```
//!
//! A value has up to nine patterns: as it is, in base64 in three positions and two alphabets, and in hexadecimal. Values of less than eight bytes
//! are not sought: they occur by chance.

use super::base64_form::{self, Alphabet};
use crate::sorting::sort_by;
use std::borrow::Cow;
use std::collections::HashSet;
use std::num::NonZeroU32;
use std::ops::Range;

/// The values found so far.
#[derive(Default)]
pub(super) struct Values {
    values: HashSet<Box<str>>,
    bytes: usize,
    /// The number of values beyond the limits.
    skipped: u64,
}

impl Values {
    pub(super) fn add(&mut self, value: &str) {
        if !is_sought(value) || self.values.contains(value) {
            return;
        }
        let bytes = self.bytes.saturating_add(value.len());
        if self.values.len() >= MAX_VALUES || bytes > MAX_BYTES || value.len() > MAX_VALUE_BYTES {
            self.skipped = self.skipped.saturating_add(1);
            return;
        }
        self.bytes = bytes;
        self.values.insert(value.into());
    }

    /// Returns the number of values that were found but are not sought, because there are too many.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped
    }

    pub(super) fn into_index(self) -> Index {
        let mut values: Vec<_> = self.values.into_iter().collect();
        sort_by(&mut values, &|a, b| a.cmp(b));
        Index::new(values)
    }
}

/// Returns true for a value that is sought in other places.
pub(super) fn is_sought(value: &str) -> bool {
    value.len() >= WINDOW_BYTES
}

/// Finds values in texts.
pub(super) struct Index {
    values: Vec<Box<str>>,
    /// Sorted by the hash of the first bytes and by the text.
    patterns: Vec<Pattern>,
    /// The first pattern of each bucket, by the first bits of the hash, and the number of patterns.
    buckets: Vec<u32>,
    /// The hash shifted right by this is the bucket.
    bucket_shift: u32,
    /// Two bits of one word for each hash: a Bloom filter.
    filter: Vec<u64>,
    max_pattern_bytes: usize,
}

#[derive(Clone, Copy)]
struct Pattern {
    /// The hash of the first bytes. Distinct bytes have distinct hashes.
    window: u64,
    value: u32,
    form: PatternForm,
    /// The longest other pattern that this one begins with.
    prefix: Option<NonZeroU32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PatternForm {
    Plain,
    /// The number of bytes before the value, modulo 3.
    Base64(u8),
    UrlSafe(u8),
    Hex,
    UpperHex,
}

/// An occurrence of a value.
#[derive(Debug)]
pub(super) struct Match<'i> {
    pub(super) range: Range<usize>,
    pub(super) value: &'i str,
    form: PatternForm,
}

impl Match<'_> {
    /// Returns the range to replace in `text`, and the replacement, given the placeholder of the value.
    pub(super) fn replacement(self, text: &[u8], placeholder: String) -> (Range<usize>, String) {
        let (before, alphabet) = match self.form {
            PatternForm::Plain => return (self.range, placeholder),
            PatternForm::Hex => return (self.range, hex(&placeholder)),
            PatternForm::UpperHex => return (self.range, hex(&placeholder).to_ascii_uppercase()),
            PatternForm::Base64(before) => (before, Alphabet::Standard),
            PatternForm::UrlSafe(before) => (before, Alphabet::UrlSafe),
        };
        base64_form::replacement(text, self.range, (before.into(), self.value.len()), &placeholder, alphabet)
    }
}

impl PatternForm {
    fn text(self, value: &str) -> Cow<'_, str> {
        match self {
            Self::Plain => value.into(),
            Self::Base64(before) => base64_form::characters(value.as_bytes(), before.into(), Alphabet::Standard).into(),
            Self::UrlSafe(before) => base64_form::characters(value.as_bytes(), before.into(), Alphabet::UrlSafe).into(),
            Self::Hex => hex(value).into(),
            Self::UpperHex => hex(value).to_ascii_uppercase().into(),
        }
    }
}

/// Returns the bytes of `value` in hexadecimal.
fn hex(value: &str) -> String {
    let mut digits = String::with_capacity(value.len().saturating_mul(2));
    for byte in value.bytes() {
        digits.extend([byte >> 4, byte & 15].into_iter().filter_map(|digit| char::from_digit(digit.into(), 16)));
    }
    digits
}

impl Index {
    fn new(values: Vec<Box<str>>) -> Self {
        let mut patterns = Vec::new();
        let mut max_pattern_bytes = 0;
        for (number, value) in values.iter().enumerate() {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            let mut add = |form: PatternForm, text: &str| {
                if let Some(window) = window(text.as_bytes()) {
                    max_pattern_bytes = max_pattern_bytes.max(text.len());
                    patterns.push(Pattern { window, value: number, form, prefix: None });
                }
            };
            add(PatternForm::Plain, value);
            for before in 0..3 {
                let text = PatternForm::Base64(before).text(value);
                add(PatternForm::Base64(before), &text);
                if text.contains(['+', '/']) {
                    add(PatternForm::UrlSafe(before), &PatternForm::UrlSafe(before).text(value));
                }
            }
            let hex = hex(value);
            add(PatternForm::Hex, &hex);
            if hex.bytes().any(|byte| byte.is_ascii_lowercase()) {
                add(PatternForm::UpperHex, &hex.to_ascii_uppercase());
            }
        }
        let text = |pattern: &Pattern| pattern.form.text(values.get(pattern.value as usize).map_or("", |value| value));
        // In place: there may be millions.
        patterns.sort_unstable_by(|a, b| {
            let by_text = || text(a).cmp(&text(b)).then((a.value, a.form).cmp(&(b.value, b.form)));
            a.window.cmp(&b.window).then_with(by_text)
        });
        let mut open: Vec<usize> = Vec::new();
        for at in 0..patterns.len() {
            let Some(pattern) = patterns.get(at) else { break };
            let window_at = |at: usize| patterns.get(at).map(|pattern| pattern.window);
            // Most patterns are the only one with their first bytes.
            if open.last().is_some_and(|last| window_at(*last) != Some(pattern.window)) {
                open.clear();
            }
            if !open.is_empty() {
                let current = text(pattern);
                let is_prefix =
                    |last: &usize| patterns.get(*last).is_some_and(|last| current.starts_with(&*text(last)));
                while open.last().is_some_and(|last| !is_prefix(last)) {
                    open.pop();
                }
            }
            // One more than the index.
            let prefix = open.last().and_then(|last| NonZeroU32::new(u32::try_from(last.saturating_add(1)).ok()?));
            patterns.iter_mut().skip(at).take(1).for_each(|pattern| pattern.prefix = prefix);
            open.push(at);
        }
        let bits = patterns.len().saturating_mul(BITS_PER_PATTERN).next_power_of_two().max(MIN_FILTER_BITS);
        let mut filter = vec![0; bits / 64];
        for pattern in &patterns {
            let (word, mask) = place(pattern.window, filter.len());
            if let Some(word) = filter.get_mut(word) {
                *word |= mask;
            }
        }
        let (buckets, bucket_shift) = buckets(&patterns);
        Self { values, patterns, buckets, bucket_shift, filter, max_pattern_bytes }
    }

    /// Returns the length of the longest pattern.
    pub(super) fn max_pattern_bytes(&self) -> usize {
        self.max_pattern_bytes
    }

    /// Returns true if `value` is one of the values.
    pub(super) fn contains(&self, value: &str) -> bool {
        let mut found = Vec::new();
        if let Some(window) = window(value.as_bytes()).filter(|window| self.may_begin(*window)) {
            self.find_at(value.as_bytes(), 0, window, &mut found);
        }
        found.iter().any(|found| found.value == value)
    }

    /// Returns all occurrences in `text`, by their start. They may overlap. A value that begins or ends with a letter or digit occurs
    /// only where no letter or digit is beside it.
    pub(super) fn find(&self, text: &[u8]) -> Vec<Match<'_>> {
        let mut found = Vec::new();
        if self.patterns.is_empty() {
            return found;
        }
        let mut window = 0u64;
        for (end, byte) in text.iter().enumerate() {
            window = window >> 8 | u64::from(*byte) << 56;
            let hash = hash(window);
            if self.may_begin(hash)
                && let Some(start) = end.checked_sub(WINDOW_BYTES.saturating_sub(1))
            {
                self.find_at(text, start, hash, &mut found);
            }
        }
        found
    }

    /// Returns false if no pattern has these first bytes.
    fn may_begin(&self, window: u64) -> bool {
        let (word, mask) = place(window, self.filter.len());
        self.filter.get(word).is_some_and(|word| word & mask == mask)
    }

    /// Finds the patterns with which `text` begins at `start`. `window` is the hash of its first bytes there. Values often have a common beginning, as web tokens do, so the
    /// number of patterns with this window does not matter: all that match are prefixes of the last one that sorts before the text.
    fn find_at<'i>(&'i self, text: &[u8], start: usize, window: u64, found: &mut Vec<Match<'i>>) {
        let rest = text.get(start..).unwrap_or_default();
        let bucket = usize::try_from(window >> self.bucket_shift).unwrap_or(usize::MAX);
        let bound = |bucket: usize| self.buckets.get(bucket).map_or(self.patterns.len(), |first| *first as usize);
        let first = bound(bucket);
        let patterns = self.patterns.get(first..bound(bucket.saturating_add(1))).unwrap_or_default();
        let after = patterns.partition_point(|pattern| {
            pattern.window < window || (pattern.window == window && self.text(pattern).as_bytes() <= rest)
        });
        let mut next = first.saturating_add(after).checked_sub(1);
        while let Some(pattern) = next.and_then(|at| self.patterns.get(at)).filter(|pattern| pattern.window == window) {
            let pattern_text = self.text(pattern);
            let range = start..start.saturating_add(pattern_text.len());
            if rest.starts_with(pattern_text.as_bytes())
                && (pattern.form != PatternForm::Plain || is_at_boundaries(text, &range))
            {
                let value = self.value(pattern);
                found.push(Match { range, value, form: pattern.form });
            }
            next = pattern.prefix.and_then(|prefix| usize::try_from(prefix.get().checked_sub(1)?).ok());
        }
    }

    fn value(&self, pattern: &Pattern) -> &str {
        self.values.get(pattern.value as usize).map_or("", |value| value)
    }

    fn text(&self, pattern: &Pattern) -> Cow<'_, str> {
        pattern.form.text(self.value(pattern))
    }
}

/// Returns the hash of the first eight bytes.
fn window(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().map(|first| hash(u64::from_le_bytes(*first)))
}

/// Returns a hash whose high bits depend on all bytes. The factor is odd, so that distinct windows have distinct hashes.
fn hash(window: u64) -> u64 {
    window.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Returns the first of the sorted `patterns` in each bucket, one bucket for one or two patterns, and the shift of a hash to its bucket.
fn buckets(patterns: &[Pattern]) -> (Vec<u32>, u32) {
    let bits = patterns.len().max(2).ilog2();
    let shift = 64_u32.saturating_sub(bits);
    let (mut buckets, mut at) = (Vec::with_capacity(1 << bits), 0);
    for bucket in 0..1_u64 << bits {
        let rest = patterns.get(at..).unwrap_or_default();
        at = at.saturating_add(rest.iter().take_while(|pattern| pattern.window >> shift < bucket).count());
        buckets.push(u32::try_from(at).unwrap_or(u32::MAX));
    }
    (buckets, shift)
}

/// Returns the word and the bits of a hash in a filter of `words` words, a power of two.
fn place(hash: u64, words: usize) -> (usize, u64) {
    let word = (hash >> 32) as u32 as usize & words.wrapping_sub(1);
    (word, 1 << (hash >> 58) | 1 << (hash >> 26 & 63))
}

fn is_at_boundaries(text: &[u8], range: &Range<usize>) -> bool {
    let is_word = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_alphanumeric);
    let continues = |before: Option<usize>, after: Option<usize>| is_word(before) && is_word(after);
    let (start, end) = (range.start, range.end);
    !continues(start.checked_sub(1), Some(start)) && !continues(end.checked_sub(1), Some(end))
}

/// The length of the shortest value that is sought.
const WINDOW_BYTES: usize = 8;

const MAX_VALUES: usize = 100_000;
const MAX_BYTES: usize = 32 << 20;
/// Bounds the bytes that pieces of a binary body have in common.
const MAX_VALUE_BYTES: usize = 64 << 10;

/// With 16 bits for a pattern, one of 50 positions passes the filter by chance at most.
const BITS_PER_PATTERN: usize = 16;
const MIN_FILTER_BITS: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Base64;

    fn index(values: &[&str]) -> Index {
        let mut found = Values::default();
        values.iter().for_each(|value| found.add(value));
        found.into_index()
    }

    #[test]
    fn finds_values_at_token_boundaries() {
        let index = index(&["s3cret-value", ";odd|value;", "short", "pass word 1"]);
        let found = |text: &str| {
            let found = index.find(text.as_bytes());
            found.iter().map(|found| text[found.range.clone()].to_owned()).collect::<Vec<_>>()
        };
        for (text, expected) in [
            ("s3cret-value", &["s3cret-value"][..]),
            ("a=s3cret-value;s3cret-value", &["s3cret-value", "s3cret-value"]),
            ("xs3cret-value s3cret-value2 short", &[]),
            ("x;odd|value;y", &[";odd|value;"]),
            ("(pass word 1)", &["pass word 1"]),
            ("s3cret-valu", &[]),
        ] {
            assert_eq!(found(text), expected, "{text}");
        }
        assert!(index.contains("s3cret-value") && !index.contains("s3cret-valu") && !index.contains("short"));
    }

    #[test]
    fn finds_values_within_base64() {
        let value = "~~~SECRET???";
        let index = index(&[value]);
        for before in 0..5 {
            let text = [&b"12345"[..before], value.as_bytes(), b"67"].concat();
            let encoded = Base64(&text).to_string();
            assert_eq!(index.find(encoded.as_bytes()).len(), 1, "{encoded}");
            let encoded = encoded.replace('+', "-").replace('/', "_");
            assert_eq!(index.find(encoded.as_bytes()).len(), 1, "{encoded}");
        }
    }

    #[test]
    fn finds_values_in_hexadecimal() {
        let index = index(&["s3cret-value", "12345678"]);
        for (text, expected) in [
            ("x7333637265742d76616c75657d", "7265646163746564"),
            ("7333637265742D76616C7565", "7265646163746564"),
            ("3132333435363738", "7265646163746564"),
            ("x7333637265742d76616c756", ""),
        ] {
            let found = index.find(text.as_bytes());
            let new: Vec<_> =
                found.into_iter().map(|found| found.replacement(text.as_bytes(), "redacted".into()).1).collect();
            assert_eq!(new.concat(), expected, "{text}");
        }
        let found = index.find(b"7333637265742D76616C7565").remove(0);
        assert_eq!(found.replacement(b"", "redacted-0n".into()).1, "72656461637465642D306E");
    }

    #[test]
    fn values_may_begin_with_others() {
        let index = index(&["aaaaaaaa", "aaaaaaaa-b", "aaaaaaaa-b-c", "aaaaaaaa-d", "aaaaaaaa.e"]);
        let lens = |text: &str| index.find(text.as_bytes()).iter().map(|found| found.value.len()).collect::<Vec<_>>();
        assert_eq!(lens("aaaaaaaa-b-c!"), [12, 10, 8]);
        assert_eq!(lens("aaaaaaaa-b-"), [10, 8]);
        assert_eq!(lens("aaaaaaaa-z"), [8]);
        assert_eq!(lens("aaaaaaaa"), [8]);
        assert_eq!(lens("aaaaaaaa.e"), [10, 8]);
        assert!(index.contains("aaaaaaaa") && index.contains("aaaaaaaa-d") && !index.contains("aaaaaaaa-"));
    }

    #[test]
    fn values_beyond_the_limits_are_counted() {
        let mut values = Values::default();
        for n in 0..MAX_VALUES + 7 {
            values.add(&format!("value {n:09}"));
            values.add("value 000000000");
        }
        values.add("short");
        assert_eq!(values.skipped(), 7);
        let mut large = Values::default();
        (0..600).for_each(|n| large.add(&format!("{n:060000}")));
        assert_eq!(large.skipped(), 600 - (MAX_BYTES / 60_000) as u64);
        assert!(values.values.contains("value 000099999") && !values.values.contains("value 000100000"));
    }

    #[test]
    fn each_of_many_values_is_found_and_no_other() {
        let value = |n: u64| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for count in [0, 1, 2, 3, 3000] {
            let values: Vec<_> = (1..=count).map(value).collect();
            let index = index(&values.iter().map(String::as_str).collect::<Vec<_>>());
            for value in &values {
                let found = index.find(format!("a {value}, b").as_bytes());
                assert_eq!(found.iter().map(|found| found.value).collect::<Vec<_>>(), [value], "{count}");
            }
            assert!((count + 1..count + 500).all(|n| index.find(value(n).as_bytes()).is_empty()), "{count}");
        }
    }
}
