//! Members of JSON by their names, in any text: a document, lines of documents, events, a script, a document that was cut off.
//!
//! ```text
//! … "token" : "value" …        a quoted name and a colon: what follows is its value
//! … \"token\":\"value\" …      JSON inside a JSON string
//! ```
//!
//! Only values change, so that valid JSON stays valid: strings become strings, numbers numbers, `true` becomes `false`, objects
//! and lists keep their shape and lose what is in them, `null` stays.

use super::pairs::{Replaced, is_one_of};
use super::placeholder;
use std::hash::{BuildHasher, RandomState};

/// The values of members called one of `names`, replaced.
pub(super) fn members(text: &str, names: &[String], placeholders: &RandomState) -> Option<Replaced> {
    let longest = names.iter().map(String::len).max()?;
    let mut made = Replaced { text: String::new(), values: 0 };
    let (mut copied, mut at) = (0, 0);
    while let Some(quote) = text.get(at..).and_then(|rest| rest.find('"')) {
        let open = at.saturating_add(quote);
        at = open.saturating_add(1);
        let mark = Quoting::before(text, open);
        // A letter may be written in six, or seven inside a string.
        let Some(name) = mark.string(text, at, longest.saturating_mul(7)) else { continue };
        let Some(value) = after_colon(text, name.end) else { continue };
        if !is_one_of(&mark.decoded(name.inner), names) {
            continue;
        }
        let mut hider = Hider { text, mark, placeholders, made: &mut made };
        hider.made.text.push_str(text.get(copied..value).unwrap_or_default());
        copied = hider.value(value);
        at = copied;
    }
    made.text.push_str(text.get(copied..).unwrap_or_default());
    (made.values > 0).then_some(made)
}

/// What stands before the quotes of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoting {
    Nothing,
    /// A backslash: the JSON is inside a string.
    Backslash,
}

/// A string that was found.
struct QuotedString<'t> {
    inner: &'t str,
    /// Behind its closing quote.
    end: usize,
}

impl Quoting {
    fn before(text: &str, quote: usize) -> Self {
        if text.get(..quote).is_some_and(|before| before.ends_with('\\')) { Self::Backslash } else { Self::Nothing }
    }

    /// The string that begins at `from`, behind its opening quote, if it ends within `most` bytes.
    fn string<'t>(self, text: &'t str, from: usize, most: usize) -> Option<QuotedString<'t>> {
        let bytes = text.as_bytes().get(from..)?;
        let mut backslashes: usize = 0;
        for (length, byte) in bytes.iter().enumerate().take(most.saturating_add(2)) {
            match (byte, self) {
                (b'\\', _) => backslashes = backslashes.saturating_add(1),
                // An escaped backslash, or more of them, escape nothing.
                (b'"', Self::Nothing) if backslashes.is_multiple_of(2) => return found(text, from, length, 0),
                (b'"', Self::Backslash) if backslashes % 4 == 1 => return found(text, from, length, 1),
                // The end of the string that all of this is in.
                (b'"', Self::Backslash) if backslashes.is_multiple_of(2) => return None,
                (b'\n' | b'\r', _) => return None,
                _ => backslashes = 0,
            }
        }
        None
    }

    /// What a string says.
    fn decoded(self, inner: &str) -> String {
        let once = |inner: &str| serde_json::from_str::<String>(&format!("\"{inner}\"")).ok();
        let decoded = match self {
            Self::Nothing => once(inner),
            Self::Backslash => once(inner).and_then(|inner| once(&inner)),
        };
        decoded.unwrap_or_else(|| inner.to_owned())
    }

    fn quote(self) -> &'static str {
        match self {
            Self::Nothing => "\"",
            Self::Backslash => "\\\"",
        }
    }
}

fn found(text: &str, from: usize, length: usize, mark: usize) -> Option<QuotedString<'_>> {
    let inner = text.get(from..from.checked_add(length)?.checked_sub(mark)?)?;
    Some(QuotedString { inner, end: from.checked_add(length)?.checked_add(1)? })
}

/// Where the value begins, if what stands at `at` is a colon.
fn after_colon(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?.trim_start().strip_prefix(':')?.trim_start();
    text.len().checked_sub(rest.len())
}

/// Replaces one value.
struct Hider<'a> {
    text: &'a str,
    mark: Quoting,
    placeholders: &'a RandomState,
    made: &'a mut Replaced,
}

impl Hider<'_> {
    /// Writes something else for the value at `at`, and says where it ends. What is no value stays.
    fn value(&mut self, at: usize) -> usize {
        let mut at = at;
        let mut depth: usize = 0;
        loop {
            let rest = self.text.get(at..).unwrap_or_default();
            let Some(first) = rest.chars().next() else { return at };
            let end = match first {
                '{' | '[' => {
                    depth = depth.saturating_add(1);
                    self.keep(at, 1)
                }
                '}' | ']' if depth > 0 => {
                    depth = depth.saturating_sub(1);
                    self.keep(at, 1)
                }
                ',' | ':' | ' ' | '\t' | '\r' | '\n' if depth > 0 => self.keep(at, 1),
                // White space inside a string.
                '\\' if depth > 0 && ["\\n", "\\r", "\\t"].iter().any(|blank| rest.starts_with(blank)) => {
                    self.keep(at, 2)
                }
                _ if rest.starts_with(self.mark.quote()) => self.string(at),
                c if is_in_scalar(c) => self.scalar(at),
                _ => return at,
            };
            at = end;
            if depth == 0 {
                return at;
            }
        }
    }

    fn keep(&mut self, at: usize, len: usize) -> usize {
        let end = at.saturating_add(len);
        self.made.text.push_str(self.text.get(at..end).unwrap_or_default());
        end
    }

    fn string(&mut self, at: usize) -> usize {
        let quote = self.mark.quote();
        let from = at.saturating_add(quote.len());
        let Some(QuotedString { inner, end }) = self.mark.string(self.text, from, usize::MAX) else {
            // It was cut off, or a line break ends what is no JSON: it is secret up to there.
            let rest = self.text.get(from..).unwrap_or_default();
            let inner = rest.split(['\n', '\r']).next().unwrap_or_default();
            self.hide(&format!("{quote}{}", placeholder(self.placeholders, inner)));
            return from.saturating_add(inner.len());
        };
        if after_colon(self.text, end).is_some() {
            return self.keep(at, end.saturating_sub(at));
        }
        let hidden = placeholder(self.placeholders, &self.mark.decoded(inner));
        self.hide(&format!("{quote}{hidden}{quote}"));
        end
    }

    fn scalar(&mut self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let scalar = rest.get(..rest.find(|c| !is_in_scalar(c)).unwrap_or(rest.len())).unwrap_or_default();
        match scalar {
            "null" | "false" => {
                return self.keep(at, scalar.len());
            }
            "true" => self.hide("false"),
            number if number.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
                // As long as numbers in general are, and exact in every reader.
                let hidden = self.placeholders.hash_one(number) % 1_000_000_000;
                self.hide(&hidden.to_string());
            }
            // A name in a script.
            _ => return self.keep(at, scalar.len()),
        }
        at.saturating_add(scalar.len())
    }

    fn hide(&mut self, by: &str) {
        self.made.text.push_str(by);
        self.made.values = self.made.values.saturating_add(1);
    }
}

fn is_in_scalar(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.' | '_')
}
