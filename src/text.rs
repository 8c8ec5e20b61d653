//! Captured text and bytes, made safe to show: escaped for a terminal, or in base64.
//!
//! Text from the network may contain control characters that a terminal obeys, hides or reorders. [`escape`] and
//! [`escape_lines`] replace them; JSON for a terminal has escapes of its own.

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt::{self, Display, Write as _};

pub use decoder::TextDecoder;
#[cfg(feature = "tools")]
#[doc(hidden)] // For the binary: its value is of a type of another crate.
pub use json::write_json;

mod decoder;
#[cfg(feature = "tools")]
mod json;

/// Returns `text` on one line. Characters that a terminal obeys, hides or reorders become `\x1b`, `\n`, `\u{202e}`.
///
/// Borrows `text` if there is nothing to escape.
pub fn escape(text: &str) -> Cow<'_, str> {
    escape_except(text, |_| false)
}

/// As [`escape`], but keeps tabs and line breaks. CRLF becomes LF.
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    let is_kept = |c| matches!(c, '\n' | '\t');
    if text.contains('\r') {
        return escape_except(&text.replace("\r\n", "\n"), is_kept).into_owned().into();
    }
    escape_except(text, is_kept)
}

/// Returns `bytes` as text if they are UTF-8 without NUL, which binary formats contain.
pub fn as_text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// Displays and serializes bytes in base64 (RFC 4648 section 4), without a copy: bodies are large.
#[derive(Clone, Copy, Debug)]
pub struct Base64<'b>(pub &'b [u8]);

impl Display for Base64<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Base64Display::new(self.0, &STANDARD).fmt(f)
    }
}

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Decodes base64 in the standard or the URL-safe alphabet, with or without padding. Returns `None` for other text.
#[cfg(feature = "tools")]
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
    let text = text.trim_end_matches('=');
    let mut bytes = vec![0; text.len()];
    let len =
        [STANDARD_NO_PAD, URL_SAFE_NO_PAD].iter().find_map(|engine| engine.decode_slice(text, &mut bytes).ok())?;
    bytes.truncate(len);
    Some(bytes)
}

fn escape_except(text: &str, is_kept: fn(char) -> bool) -> Cow<'_, str> {
    let is_escaped = |c: char| is_unsafe(c) && !is_kept(c);
    let Some(first) = text.find(is_escaped) else {
        return text.into();
    };
    let (safe, rest) = text.split_at(first);
    let mut escaped = String::with_capacity(text.len().saturating_add(16));
    escaped.push_str(safe);
    for c in rest.chars() {
        // Writing to a string does not fail.
        let _ = match c {
            c if !is_escaped(c) => escaped.write_char(c),
            '\n' => escaped.write_str("\\n"),
            '\r' => escaped.write_str("\\r"),
            '\t' => escaped.write_str("\\t"),
            c if u32::from(c) < 0x100 => write!(escaped, "\\x{:02x}", u32::from(c)),
            c => write!(escaped, "{}", c.escape_unicode()),
        };
    }
    escaped.into()
}

/// Returns true if a terminal does more with `c` than show it in its place.
fn is_unsafe(c: char) -> bool {
    // C0, DEL and C1: control sequences begin with these.
    c.is_control()
        || matches!(c,
            // Reorder their surroundings (Unicode UAX 9).
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            // End a line or a paragraph.
            | '\u{2028}' | '\u{2029}'
            // Invisible: zero-width spaces, the byte order mark, tags.
            | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_control_and_bidirectional_characters() {
        assert_eq!(escape("plain grüße 日本 \\ \u{1f600}"), "plain grüße 日本 \\ \u{1f600}");
        assert!(matches!(escape("plain"), Cow::Borrowed(_)));
        assert_eq!(escape("\x1b]0;evil\x07\r\n\t\x7f"), "\\x1b]0;evil\\x07\\r\\n\\t\\x7f");
        assert_eq!(escape("\u{9b}31m"), "\\x9b31m");
        assert_eq!(escape("a\u{202e}txt.exe\u{2066}"), "a\\u{202e}txt.exe\\u{2066}");
        assert_eq!(escape("\u{feff}\u{2028}\u{200b}\u{e0041}"), "\\u{feff}\\u{2028}\\u{200b}\\u{e0041}");
    }

    #[test]
    fn keeps_line_breaks_and_tabs() {
        assert_eq!(escape_lines("a\r\n\tb\rc\x1b"), "a\n\tb\\rc\\x1b");
        assert_eq!(escape_lines("a\nb"), "a\nb");
    }

    #[cfg(feature = "tools")]
    #[test]
    fn json_has_escapes_for_characters_that_a_terminal_obeys() {
        let json = |text: &str| {
            let mut out = Vec::new();
            write_json(&[text], &mut out).unwrap();
            let out = String::from_utf8(out).unwrap();
            assert_eq!(serde_json::from_str::<Vec<String>>(&out).unwrap(), [text], "the same JSON");
            assert!(matches!(escape(&out), Cow::Borrowed(_)), "{out}");
            out
        };
        assert_eq!(json("plain \"grün\" 日本 \u{1f600}"), "[\"plain \\\"grün\\\" 日本 \u{1f600}\"]");
        assert_eq!(json("\u{9b}31m\u{202e}\n\u{7f}\u{2066}"), r#"["\u009b31m\u202e\n\u007f\u2066"]"#);
        assert_eq!(json("\u{e0041}a\u{2028}"), r#"["\udb40\udc41a\u2028"]"#);
        assert_eq!(json("\u{80}\u{9f}\u{200e}\u{200f}\u{202a}\u{2069}\u{2029}").len(), 4 + 7 * 6);
    }

    #[test]
    fn binary_is_not_text() {
        assert_eq!(as_text("grün".as_bytes()), Some("grün"));
        assert_eq!((as_text(b"a\0b"), as_text(b"\xff")), (None, None));
    }

    #[test]
    fn encodes_base64_as_the_rfc_does() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (plain, encoded) in pairs {
            assert_eq!(Base64(plain.as_bytes()).to_string(), encoded);
        }
        assert_eq!(Base64(&[0xfb, 0xff, 0xfe]).to_string(), "+//+");
    }

    #[cfg(feature = "tools")]
    #[test]
    fn decodes_base64_in_both_alphabets() {
        for (plain, encoded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8"), ("foo", "Zm9v")] {
            assert_eq!(from_base64(encoded).as_deref(), Some(plain.as_bytes()));
        }
        for encoded in ["-__-", "+//+"] {
            assert_eq!(from_base64(encoded), Some(vec![0xfb, 0xff, 0xfe]));
        }
        assert_eq!(from_base64("a b"), None);
    }
}
