//! Quotes text for a POSIX shell, so that a terminal can show it unchanged.

use crate::text::escape;
use std::borrow::Cow;

/// Quotes `text` as one word. Characters that a terminal obeys, hides or reorders are escaped and produced by
/// printf(1).
///
/// `text` must not contain NUL nor end in a line break: command substitution drops both.
pub(super) fn word(text: &str) -> String {
    if matches!(escape(text), Cow::Borrowed(_)) {
        return literal(text);
    }
    let mut format = String::new();
    for c in text.chars() {
        match c {
            '\\' => format.push_str("\\\\"),
            '%' => format.push_str("%%"),
            '\'' => format.push_str(QUOTE),
            c if matches!(escape(c.encode_utf8(&mut [0; 4])), Cow::Borrowed(_)) => format.push(c),
            c => format.extend(c.encode_utf8(&mut [0; 4]).bytes().map(|byte| format!("\\{byte:03o}"))),
        }
    }
    format!("\"$(printf '{format}')\"")
}

/// Quotes `text` as one word, in single quotes, between which a shell changes nothing.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', QUOTE))
}

/// A single quote within single quotes: ends them, adds an escaped quote, and begins them again.
const QUOTE: &str = r"'\''";

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Returns `word` as a shell expands it.
    fn shell(word: &str) -> String {
        let output = Command::new("/bin/sh").args(["-c", &format!("printf %s {word}")]).output().unwrap();
        assert!(output.status.success(), "{word}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_shell_expands_quoted_text_to_the_original() {
        for text in [
            "",
            "plain",
            "it's",
            "''",
            "$HOME `id` $(id) \\n \" ! * ? ~ # & ; | < > ( ) { } [ ] \\",
            "-n",
            "%s %d \x1b[31m 'x' \\x \u{9b}\u{202e}grün\u{7f}",
            "\n a\tb\r\nc\x01",
        ] {
            assert_eq!(shell(&word(text)), text, "{}", word(text));
            assert!(matches!(escape(&word(text)), Cow::Borrowed(_)), "{}", word(text));
        }
        assert_eq!(shell(&literal("a\nb'\n")), "a\nb'\n");
    }
}
