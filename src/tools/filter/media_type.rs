//! Media types to select responses by, with wildcards.

use crate::bundle::reader::Header;
use crate::wire::pattern::glob_matches;

/// A media type to select responses by.
///
/// ```text
/// application/json    this type, whatever its parameters
/// text/*              every subtype; * matches any characters, ? exactly one
/// json                application/json, application/problem+json: a word of the type, between / and +
/// image               image/png, image/svg+xml
/// ```
///
/// Case is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// Lower case.
    glob: String,
}

impl MediaType {
    /// Creates a pattern from its text. A text that is not a media type matches nothing.
    pub fn new(text: &str) -> Self {
        Self { glob: text.trim().to_ascii_lowercase() }
    }

    /// Returns true if the pattern matches the value of a Content-Type field.
    pub fn matches(&self, content_type: &str) -> bool {
        let name = content_type.split(';').next().unwrap_or_default().trim();
        match self.glob.contains('/') {
            true => glob_matches(&self.glob, name),
            false => name.split(['/', '+']).any(|word| glob_matches(&self.glob, word)),
        }
    }

    /// Returns true if the pattern matches the first Content-Type field.
    pub(super) fn is_in(&self, headers: &[Header]) -> bool {
        let content_type = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-type"));
        content_type.is_some_and(|header| self.matches(&header.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_words_and_wildcards_match() {
        for (pattern, value, expected) in [
            ("application/json", "application/json", true),
            ("application/json", "Application/JSON; charset=utf-8", true),
            ("APPLICATION/json", "application/json;x", true),
            ("application/json", "application/problem+json", false),
            ("application/json", "text/json", false),
            ("json", "application/json", true),
            ("json", "application/problem+json", true),
            ("json", "application/jsonp", false),
            ("json*", "application/jsonp", true),
            ("json", "text/plain; x=json", false),
            ("image", "image/svg+xml", true),
            ("xml", "image/svg+xml", true),
            ("text/*", "text/html", true),
            ("text/*", "application/text/x", false),
            ("*/*+json", "application/problem+json", true),
            ("text/htm?", "text/html", true),
            ("*", "text/html", true),
            ("json", "", false),
        ] {
            assert_eq!(MediaType::new(pattern).matches(value), expected, "{pattern} {value}");
        }
    }
}
