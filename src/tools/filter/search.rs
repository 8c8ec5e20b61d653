//! Searches text of any length for other texts, ignoring case, in memory that does not grow with it.
//!
//! ```text
//! pieces ─▶ lower case ─▶ │ tail │ piece │ ─▶ memmem
//!                          └ as long as the longest text less one byte: a match may span pieces
//! ```
//!
//! The one file that names `memchr`.

use memchr::{memchr, memmem};
use std::fmt;

/// A text to search for, ignoring case, that of letters outside ASCII too.
#[derive(Clone)]
pub struct SearchText {
    lowercase: String,
    finder: memmem::Finder<'static>,
}

impl SearchText {
    /// Creates a search for `text`. The empty text is found everywhere.
    pub fn new(text: &str) -> Self {
        let lowercase = to_lowercase(text);
        let finder = memmem::Finder::new(lowercase.as_bytes()).into_owned();
        Self { lowercase, finder }
    }
}

impl fmt::Debug for SearchText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SearchText").field(&self.lowercase).finish()
    }
}

/// A search of one body or of some lines for any of several texts.
pub(super) struct Search<'t> {
    texts: &'t [SearchText],
    /// The length of the longest text, less one byte.
    overlap: usize,
    /// True if letters outside ASCII must be mapped too. Bytes of ASCII never occur inside other characters, so that they
    /// need not be decoded for a text of ASCII.
    is_unicode: bool,
    /// In lower case: the end of what was searched, which a match may begin in.
    tail: Vec<u8>,
    /// The beginning of a character whose end was not pushed yet.
    incomplete: Vec<u8>,
    state: SearchState,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SearchState {
    Searching,
    Found,
    /// A NUL byte: the rest is binary.
    Binary,
}

impl<'t> Search<'t> {
    pub(super) fn new(texts: &'t [SearchText]) -> Self {
        let longest = texts.iter().map(|text| text.lowercase.len()).max().unwrap_or_default();
        let is_unicode = !texts.iter().all(|text| text.lowercase.is_ascii());
        let state = match texts.iter().any(|text| text.lowercase.is_empty()) {
            true => SearchState::Found,
            false => SearchState::Searching,
        };
        let (tail, incomplete) = (Vec::new(), Vec::new());
        Self { texts, overlap: longest.saturating_sub(1), is_unicode, tail, incomplete, state }
    }

    /// True if what follows may decide about the result.
    pub(super) fn is_undecided(&self) -> bool {
        self.state == SearchState::Searching
    }

    pub(super) fn has_found(&self) -> bool {
        self.state == SearchState::Found
    }

    /// Searches a line of several parts. No match spans two lines.
    pub(super) fn push_line(&mut self, parts: &[&str]) {
        if self.state == SearchState::Searching {
            parts.iter().for_each(|part| push_lowercase(&mut self.tail, part.as_bytes(), self.is_unicode));
            self.find();
            self.tail.clear();
        }
    }

    /// Searches the next bytes of a body, which are text up to a NUL byte.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.state != SearchState::Searching {
            return;
        }
        let text = memchr(0, bytes).and_then(|nul| bytes.get(..nul)).unwrap_or(bytes);
        match self.is_unicode {
            true => self.search_characters(text),
            false => self.search(text),
        }
        if text.len() < bytes.len() && self.state == SearchState::Searching {
            self.state = SearchState::Binary;
        }
    }

    /// Searches `text` after the incomplete character before it, and keeps the one at its end.
    fn search_characters(&mut self, text: &[u8]) {
        let joined = match self.incomplete.is_empty() {
            true => None,
            false => Some([&std::mem::take(&mut self.incomplete), text].concat()),
        };
        let text = joined.as_deref().unwrap_or(text);
        let (whole, incomplete) = text.split_at(text.len().saturating_sub(incomplete_len(text)));
        self.search(whole);
        self.incomplete.extend_from_slice(incomplete);
    }

    /// Searches the next bytes, which do not end within a character.
    fn search(&mut self, text: &[u8]) {
        if self.state != SearchState::Searching || text.is_empty() {
            return;
        }
        push_lowercase(&mut self.tail, text, self.is_unicode);
        self.find();
        self.tail.drain(..self.tail.len().saturating_sub(self.overlap));
    }

    fn find(&mut self) {
        if self.texts.iter().any(|text| text.finder.find(&self.tail).is_some()) {
            self.state = SearchState::Found;
        }
    }
}

/// Appends `text` in lower case.
fn push_lowercase(lowercase: &mut Vec<u8>, text: &[u8], is_unicode: bool) {
    if !is_unicode || text.is_ascii() {
        let from = lowercase.len();
        lowercase.extend_from_slice(text);
        lowercase.get_mut(from..).unwrap_or_default().make_ascii_lowercase();
        return;
    }
    for chunk in text.utf8_chunks() {
        lowercase.extend_from_slice(to_lowercase(chunk.valid()).as_bytes());
        lowercase.extend_from_slice(chunk.invalid());
    }
}

/// Maps `text` to lower case. Both lower-case sigmas become one: which of them a capital one is depends on the characters around
/// it, which may be in another piece.
fn to_lowercase(text: &str) -> String {
    // The loop over characters in the standard library is faster than one of this crate, which is optimized for size.
    let lowercase = text.to_lowercase();
    if lowercase.contains('ς') { lowercase.replace('ς', "σ") } else { lowercase }
}

/// Returns the length of the beginning of a character at the end of `text`, whose other bytes are missing.
fn incomplete_len(text: &[u8]) -> usize {
    let last = text.iter().rev().take(3).zip(1..).find(|(byte, _)| **byte & 0xc0 != 0x80);
    match last {
        Some((lead, len)) if *lead >= 0xc0 => {
            let whole = if *lead >= 0xf0 { 4 } else { 2 + usize::from(*lead >= 0xe0) };
            if len < whole { len } else { 0 }
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_found(searched: &[&str], pieces: &[&[u8]]) -> bool {
        let texts: Vec<_> = searched.iter().map(|text| SearchText::new(text)).collect();
        let mut search = Search::new(&texts);
        pieces.iter().for_each(|piece| search.push(piece));
        search.has_found()
    }

    const FOUND: &[(&str, &str)] = &[
        ("TOKEN", "my token: 1"),
        ("token", "my TOKEN"),
        ("grÜße", "viele GRÜSSE und Grüße"),
        ("", ""),
        ("é", "É"),
        ("ΟΔΟΣ", "η οδος"),
        ("ς", "Σ"),
        ("İ", "i̇"),
        ("日本", "は日本語"),
        ("😀x", "😀X"),
        ("aab", "aaab"),
    ];

    const NOT_FOUND: &[(&str, &str)] = &[("token", "toke"), ("a", ""), ("é", "e"), ("日本", "日"), ("ab", "a\0b")];

    #[test]
    fn ignores_case() {
        for (searched, text) in FOUND {
            assert!(is_found(&[searched], &[text.as_bytes()]), "{searched} in {text}");
        }
        for (searched, text) in NOT_FOUND {
            assert!(!is_found(&[searched], &[text.as_bytes()]), "{searched} in {text}");
        }
    }

    #[test]
    fn pieces_of_any_length_are_one_text() {
        for (expected, cases) in [(true, FOUND), (false, NOT_FOUND)] {
            for (searched, text) in cases {
                for len in 1..6 {
                    let pieces: Vec<_> = text.as_bytes().chunks(len).collect();
                    // Beside another text, which changes the overlap, or the mapping to lower case.
                    for other in [None, Some("nothing of this length"), Some("ß")] {
                        let searched: Vec<_> = [*searched].into_iter().chain(other).collect();
                        assert_eq!(is_found(&searched, &pieces), expected, "{searched:?} in {text}, {len}");
                    }
                }
            }
        }
    }

    #[test]
    fn text_is_searched_up_to_a_nul_byte_and_whatever_its_characters_are() {
        assert!(is_found(&["token"], &[b"gr\xfc\xdfe, Token\0"]));
        assert!(is_found(&["grü"], &[b"\xff\xfe\xc3", "grü".as_bytes()]));
        assert!(!is_found(&["token"], &[b"a\0", b"token"]));
    }

    #[test]
    fn memory_does_not_grow() {
        let texts = [SearchText::new("é, absent")];
        let mut search = Search::new(&texts);
        (0..1000).for_each(|_| search.push("ab é".repeat(100).as_bytes()));
        assert!(search.tail.len() < 16 && search.incomplete.is_empty());
        assert!(search.tail.capacity() < 4096, "{}", search.tail.capacity());
    }

    #[test]
    fn lines_are_searched_one_by_one() {
        let texts = [SearchText::new("x: y")];
        let mut search = Search::new(&texts);
        search.push_line(&["x: "]);
        search.push_line(&["y"]);
        assert!(!search.has_found());
        search.push_line(&["X", ": ", "Yes"]);
        assert!(search.has_found());
    }
}
