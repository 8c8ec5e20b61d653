//! Words quoted for a POSIX shell.

/// Returns `text` as one shell word, in single quotes only where needed.
pub(crate) fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) { text.to_owned() } else { quoted(text) }
}

/// Returns `text` in single quotes.
pub(crate) fn quoted(text: &str) -> String {
    ["'", &text.replace('\'', r"'\''"), "'"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_only_where_needed() {
        assert_eq!(shell_word("/home/a/.mitmproxy/ca.pem"), "/home/a/.mitmproxy/ca.pem");
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("/home/o'b c"), r"'/home/o'\''b c'");
    }
}
