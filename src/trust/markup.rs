//! Text within HTML and XML.

/// Escapes `text` for HTML and XML, as content or in a quoted attribute.
pub(super) fn escape_markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_becomes_text() {
        assert_eq!(escape_markup("a <b c=\"d\"> &amp;"), "a &lt;b c=&quot;d&quot;&gt; &amp;amp;");
    }
}
