//! Replaces the values of JSON members in any text: a document, lines of documents, events, a script, a truncated
//! document.
//!
//! ```text
//! … "token" : "value" …        a quoted name, a colon, and the value
//! … \"token\":\"value\" …      JSON inside a JSON string
//! ```
//!
//! Valid JSON stays valid: strings become strings, numbers become numbers, `true` becomes `false`, `null` stays.
//! Objects and arrays keep their shape, and all values in them are replaced.

use super::pairs::{Replaced, is_one_of};
use super::placeholder;
use std::hash::{BuildHasher, RandomState};

/// Replaces the values of the members `names`. Returns `None` if there are none.
pub(super) fn members(text: &str, names: &[String], placeholders: &RandomState) -> Option<Replaced> {
    let longest = names.iter().map(String::len).max()?;
    let mut replaced = Replaced { text: String::new(), values: 0 };
    let (mut copied, mut at) = (0, 0);
    while let Some(quote) = text.get(at..).and_then(|rest| rest.find('"')) {
        let open = at.saturating_add(quote);
        at = open.saturating_add(1);
        let quoting = Quoting::before(text, open);
        // A letter takes up to six bytes as an escape, seven inside a string.
        let Some(name) = quoting.string(text, at, longest.saturating_mul(7)) else { continue };
        let Some(value) = after_colon(text, name.end) else { continue };
        if !is_one_of(&quoting.decoded(name.content), names) {
            continue;
        }
        let mut replacer = ValueReplacer { text, quoting, placeholders, replaced: &mut replaced };
        replacer.replaced.text.push_str(text.get(copied..value).unwrap_or_default());
        copied = replacer.value(value);
        at = copied;
    }
    replaced.text.push_str(text.get(copied..).unwrap_or_default());
    (replaced.values > 0).then_some(replaced)
}

/// The quoting of a string, by the character before its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoting {
    Plain,
    /// `\"`: the JSON is inside a JSON string.
    Escaped,
}

/// A string in the text.
struct QuotedString<'t> {
    content: &'t str,
    /// The offset after the closing quote.
    end: usize,
}

impl Quoting {
    fn before(text: &str, quote: usize) -> Self {
        if text.get(..quote).is_some_and(|before| before.ends_with('\\')) { Self::Escaped } else { Self::Plain }
    }

    /// Returns the string whose content begins at `from`, if it ends within `max_len` bytes.
    fn string<'t>(self, text: &'t str, from: usize, max_len: usize) -> Option<QuotedString<'t>> {
        let bytes = text.as_bytes().get(from..)?;
        let mut backslashes: usize = 0;
        for (length, byte) in bytes.iter().enumerate().take(max_len.saturating_add(2)) {
            match (byte, self) {
                (b'\\', _) => backslashes = backslashes.saturating_add(1),
                // An even number of backslashes does not escape the quote.
                (b'"', Self::Plain) if backslashes.is_multiple_of(2) => return quoted_string(text, from, length, 0),
                // Inside a JSON string `\"` closes the string, and `\\\"` is a quote within it.
                (b'"', Self::Escaped) if backslashes % 4 == 1 => return quoted_string(text, from, length, 1),
                // The end of the enclosing string.
                (b'"', Self::Escaped) if backslashes.is_multiple_of(2) => return None,
                (b'\n' | b'\r', _) => return None,
                _ => backslashes = 0,
            }
        }
        None
    }

    /// Returns a string without its escapes.
    fn decoded(self, content: &str) -> String {
        let once = |content: &str| serde_json::from_slice::<String>(format!("\"{content}\"").as_bytes()).ok();
        let decoded = match self {
            Self::Plain => once(content),
            Self::Escaped => once(content).and_then(|content| once(&content)),
        };
        decoded.unwrap_or_else(|| content.to_owned())
    }

    fn quote(self) -> &'static str {
        match self {
            Self::Plain => "\"",
            Self::Escaped => "\\\"",
        }
    }
}

/// Returns the string whose content begins at `from`, and whose closing quote is `length` bytes further, after
/// `backslash_len` bytes of its own.
fn quoted_string(text: &str, from: usize, length: usize, backslash_len: usize) -> Option<QuotedString<'_>> {
    let content = text.get(from..from.checked_add(length)?.checked_sub(backslash_len)?)?;
    Some(QuotedString { content, end: from.checked_add(length)?.checked_add(1)? })
}

/// Returns the offset of the value if a colon follows at `at`.
fn after_colon(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?.trim_start().strip_prefix(':')?.trim_start();
    text.len().checked_sub(rest.len())
}

/// Replaces a value.
struct ValueReplacer<'a> {
    text: &'a str,
    quoting: Quoting,
    placeholders: &'a RandomState,
    replaced: &'a mut Replaced,
}

impl ValueReplacer<'_> {
    /// Writes a replacement for the value at `at`, and returns the offset of its end. Writes nothing if there is no value.
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
                // White space inside a JSON string.
                '\\' if depth > 0 && ["\\n", "\\r", "\\t"].iter().any(|space| rest.starts_with(space)) => {
                    self.keep(at, 2)
                }
                _ if rest.starts_with(self.quoting.quote()) => self.string(at),
                c if is_in_scalar(c) => self.scalar(at),
                _ => return at,
            };
            at = end;
            if depth == 0 {
                return at;
            }
        }
    }

    /// Copies `len` bytes at `at`, and returns the offset of their end.
    fn keep(&mut self, at: usize, len: usize) -> usize {
        let end = at.saturating_add(len);
        self.replaced.text.push_str(self.text.get(at..end).unwrap_or_default());
        end
    }

    fn string(&mut self, at: usize) -> usize {
        let quote = self.quoting.quote();
        let from = at.saturating_add(quote.len());
        let Some(QuotedString { content, end }) = self.quoting.string(self.text, from, usize::MAX) else {
            // Truncated, or not JSON: everything up to the line break is replaced.
            let rest = self.text.get(from..).unwrap_or_default();
            let content = rest.split(['\n', '\r']).next().unwrap_or_default();
            self.replace(&format!("{quote}{}", placeholder(self.placeholders, content)));
            return from.saturating_add(content.len());
        };
        if after_colon(self.text, end).is_some() {
            return self.keep(at, end.saturating_sub(at));
        }
        let placeholder = placeholder(self.placeholders, &self.quoting.decoded(content));
        self.replace(&format!("{quote}{placeholder}{quote}"));
        end
    }

    fn scalar(&mut self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let scalar = rest.get(..rest.find(|c| !is_in_scalar(c)).unwrap_or(rest.len())).unwrap_or_default();
        match scalar {
            "null" | "false" => return self.keep(at, scalar.len()),
            "true" => self.replace("false"),
            number if number.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
                // Below 10^9, which every reader represents exactly.
                let placeholder = self.placeholders.hash_one(number) % 1_000_000_000;
                self.replace(&placeholder.to_string());
            }
            // An identifier in a script.
            _ => return self.keep(at, scalar.len()),
        }
        at.saturating_add(scalar.len())
    }

    fn replace(&mut self, by: &str) {
        self.replaced.text.push_str(by);
        self.replaced.values = self.replaced.values.saturating_add(1);
    }
}

fn is_in_scalar(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.' | '_')
}
