//! Words for a POSIX shell, whatever is in them, that a terminal can show as they are.

use crate::text::escape;
use std::borrow::Cow;

/// `text` as one word. What a terminal would obey is spelled out and made by printf(1).
///
/// A shell takes newlines off the end of what printf says, and passes no zero byte on: `text` must have neither.
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

/// `text` as one word, as it stands: between single quotes a shell leaves everything alone.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', QUOTE))
}

/// A single quote between single quotes: the quotes end, one comes by itself, and they begin again.
const QUOTE: &str = r"'\''";

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// What a shell makes of `word`.
    fn shell(word: &str) -> String {
        let output = Command::new("/bin/sh").args(["-c", &format!("printf %s {word}")]).output().unwrap();
        assert!(output.status.success(), "{word}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_shell_reads_back_what_was_quoted() {
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
