//! Names for parameters and components, made of the words in paths and members.

use crate::tools::redact::is_secret_name;

/// Returns the name of a parameter behind the literal segment `before`: `userId` behind `users`. `None` is a place without one.
pub(super) fn parameter_name(before: Option<&str>) -> String {
    let words = split_words(before.unwrap_or_default());
    let mut name = String::new();
    for (n, word) in words.iter().enumerate() {
        let word = if n + 1 == words.len() { singular(word) } else { word.clone() };
        if n == 0 { name.push_str(&word) } else { push_capitalized(&mut name, &word) }
    }
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || name.len() > MAX_NAME_BYTES {
        return "id".into();
    }
    name.push_str("Id");
    name
}

/// Returns the words of `text`, the last one in the singular, as `LikeThis`.
pub(super) fn pascal_case(text: &str) -> String {
    let words = split_words(text.rsplit('/').find(|part| !part.contains('{') && !part.is_empty()).unwrap_or_default());
    let mut name = String::new();
    for (n, word) in words.iter().enumerate() {
        push_capitalized(&mut name, &if n + 1 == words.len() { singular(word) } else { word.clone() });
    }
    name.truncate(MAX_NAME_BYTES);
    name
}

/// True for the name of a member that has words of a program, as opposed to those of a user: their words may be written.
pub(super) fn has_codes(name: &str) -> bool {
    split_words(name).last().is_some_and(|word| CODE_NAMES.contains(&word.as_str())) && !is_secret_name(name, true)
}

/// Splits `userGroups`, `user_groups` and `user-groups` into words in lower case. Other characters than ASCII letters and digits
/// separate.
pub(super) fn split_words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = ' ';
    for c in text.chars() {
        let starts = !before.is_ascii_alphanumeric() || before.is_ascii_lowercase() && c.is_ascii_uppercase();
        if c.is_ascii_alphanumeric() {
            match words.last_mut().filter(|_| !starts) {
                Some(word) => word.push(c.to_ascii_lowercase()),
                None => words.push(c.to_ascii_lowercase().into()),
            }
        }
        before = c;
    }
    words
}

/// Returns the singular of an English noun, by its ending.
fn singular(word: &str) -> String {
    let without = |ending: &str| word.strip_suffix(ending).filter(|stem| stem.len() >= 2);
    if let Some(stem) = without("ies").filter(|stem| stem.len() >= 3) {
        return [stem, "y"].concat();
    }
    if let Some(stem) = without("es").filter(|stem| ["ss", "sh", "ch", "x", "us"].iter().any(|end| stem.ends_with(end)))
    {
        return stem.to_owned();
    }
    let is_singular = ["ss", "us", "is", "news"].iter().any(|end| word.ends_with(end));
    without("s").filter(|_| !is_singular).unwrap_or(word).to_owned()
}

/// True for a noun in the plural, by its ending.
pub(super) fn is_plural(text: &str) -> bool {
    split_words(text).last().is_some_and(|word| word.len() > 3 && singular(word) != *word)
}

fn push_capitalized(name: &mut String, word: &str) {
    let mut chars = word.chars();
    name.extend(chars.next().map(|first| first.to_ascii_uppercase()));
    name.push_str(chars.as_str());
}

/// The last words of names of members that have words of a program.
const CODE_NAMES: [&str; 28] = [
    "type",
    "kind",
    "object",
    "status",
    "state",
    "event",
    "action",
    "op",
    "operation",
    "method",
    "mode",
    "level",
    "severity",
    "priority",
    "visibility",
    "currency",
    "format",
    "unit",
    "units",
    "direction",
    "order",
    "sort",
    "result",
    "outcome",
    "phase",
    "stage",
    "protocol",
    "encoding",
];

const MAX_NAME_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_called_by_the_segment_before() {
        for (before, expected) in [
            ("users", "userId"),
            ("user-groups", "userGroupId"),
            ("user_groups", "userGroupId"),
            ("userGroups", "userGroupId"),
            ("categories", "categoryId"),
            ("addresses", "addressId"),
            ("statuses", "statusId"),
            ("status", "statusId"),
            ("boxes", "boxId"),
            ("news", "newsId"),
            ("series", "seryId"),
            ("Accounts", "accountId"),
            ("", "id"),
            ("über", "berId"),
            ("2fa", "id"),
        ] {
            assert_eq!(parameter_name(Some(before)), expected, "{before}");
        }
        assert_eq!(parameter_name(None), "id");
    }

    #[test]
    fn components_are_called_by_the_last_literal_segment() {
        assert_eq!(pascal_case("/v1/user-groups/{userGroupId}"), "UserGroup");
        assert_eq!(pascal_case("line_items"), "LineItem");
        assert_eq!(pascal_case("/{id}"), "");
    }

    #[test]
    fn only_members_with_words_of_a_program_have_an_enumeration() {
        for name in ["status", "orderState", "@type", "event_type", "currency"] {
            assert!(has_codes(name), "{name}");
        }
        for name in ["user_id", "firstName", "login", "assignee", "status_text", "city", "typed", "statusToken"] {
            assert!(!has_codes(name), "{name}");
        }
    }
}
