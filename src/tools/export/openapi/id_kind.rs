//! Identifiers that machines make, recognized by their form.
//!
//! ```text
//! 17  8b0c6d4e-4f4e-4a0e-9f0e-0d5b8f0c1a2b  2026-01-31    numbers, UUIDs, dates
//! 01J9Z3NDEKTSV4RRFFQ69G5FAV                              ULID
//! da39a3ee5e6b4b0d3255bfef95601890afd80709                a digest in hexadecimal
//! cus_NffrFeUfNV2Hib  tt0111161  PROJ-123                 a prefix, and a number or token
//! 4iV5W9uYEdYUVa79Axb7Rh  violet-a1b2c3d4e5               a token: letters and digits that change as in no word
//! ```

use super::text_kind::{is_date, is_date_time, is_email, is_integer, is_uuid};
use std::net::Ipv4Addr;

/// An identifier that a machine made, by its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum IdKind {
    Integer,
    Uuid,
    Date,
    Hash,
    Ulid,
    Email,
    Prefixed,
    Token,
    Version,
    Ip,
    /// Text that no name has: with spaces or slashes.
    Text,
}

impl IdKind {
    /// Returns the kind of `text`, `None` for words and other text.
    pub(super) fn of(text: &str) -> Option<Self> {
        let is_hex = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
        if text.len() > MAX_ID_BYTES || text.contains(|c: char| c.is_whitespace() || "/\"<>|\\^`".contains(c)) {
            return Some(Self::Text);
        }
        if !text.is_ascii() {
            return None;
        }
        let has_digit = text.bytes().any(|b| b.is_ascii_digit());
        [
            (is_integer(text), Self::Integer),
            (is_uuid(text), Self::Uuid),
            (is_date(text) || is_date_time(text), Self::Date),
            (is_hex(text) && text.len() >= MIN_HASH_BYTES && has_digit, Self::Hash),
            (is_ulid(text), Self::Ulid),
            (is_email(text), Self::Email),
            (is_prefixed(text), Self::Prefixed),
            (has_digit && text.parse::<Ipv4Addr>().is_ok(), Self::Ip),
            (is_semantic_version(text), Self::Version),
            (is_short_token(text), Self::Token),
            (is_token(text) || words(text).any(has_random_part), Self::Token),
        ]
        .into_iter()
        .find_map(|(is, kind)| is.then_some(kind))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Uuid => "uuid",
            Self::Date => "date",
            Self::Hash => "hash",
            Self::Ulid => "ulid",
            Self::Email => "email",
            Self::Prefixed => "prefixed id",
            Self::Token => "token",
            Self::Version => "version number",
            Self::Ip => "IP address",
            Self::Text => "text",
        }
    }
}

/// True for `v1`, `v2beta1`, `1.1` and `2023-10`: versions of an API, not of a thing.
pub(super) fn is_api_version(text: &str) -> bool {
    let numbers = |text: &str, separator: char, lengths: [usize; 2]| {
        let parts = text.split_once(separator).map(|(a, b)| [a, b]);
        parts.is_some_and(|parts| {
            parts.iter().zip(lengths).all(|(part, len)| part.len() == len && part.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    let Some(mut rest) = text.strip_prefix(['v', 'V']) else {
        return numbers(text, '.', [1, 1]) || numbers(text, '-', [4, 2]);
    };
    let mut is_first = true;
    while !rest.is_empty() || is_first {
        let stage = STAGES.iter().find_map(|stage| rest.strip_prefix(stage)).filter(|_| !is_first);
        let after = stage.or_else(|| rest.strip_prefix(['.', '_', '-']).filter(|_| !is_first)).unwrap_or(rest);
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 && stage.is_none() || digits > 8 {
            return false;
        }
        rest = after.get(digits..).unwrap_or_default();
        is_first = false;
    }
    true
}

/// The stages of a version of an API.
const STAGES: [&str; 5] = ["alpha", "beta", "preview", "rc", "p"];

/// 26 characters of Crockford's base 32; the first is at most 7.
fn is_ulid(text: &str) -> bool {
    text.len() == 26
        && text.bytes().next().is_some_and(|first| (b'0'..=b'7').contains(&first))
        && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase() && !b"ILOU".contains(&b))
}

/// A prefix of letters, and behind it a number or a token.
fn is_prefixed(text: &str) -> bool {
    if let Some((prefix, rest)) = text.split_once(['_', '-'])
        && (1..=8).contains(&prefix.len())
        && prefix.bytes().all(|b| b.is_ascii_alphabetic())
    {
        let last = rest.rsplit('_').next().unwrap_or_default();
        let is_number = rest.bytes().all(|b| b.is_ascii_digit())
            && (rest.len() >= 6 || prefix.bytes().all(|b| b.is_ascii_uppercase()));
        return !rest.is_empty() && is_number
            || last.len() >= 8 && (is_mixed(last) || is_token(last) || has_random_part(last));
    }
    let letters = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let rest = text.get(letters..).unwrap_or_default();
    let is_number = rest.len() >= 5 && rest.bytes().all(|b| b.is_ascii_digit());
    // AC2f…: letters, and hexadecimal digits with numbers among them. C024BE91L: capitals and digits.
    let is_hexadecimal = text.len() >= 18
        && text.get(2..).is_some_and(|rest| {
            rest.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
                && rest.bytes().any(|b| b.is_ascii_digit())
        })
        && text.bytes().take(2).all(|b| b.is_ascii_alphabetic());
    let is_capitals = text.len() >= 9
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        && text.bytes().filter(u8::is_ascii_digit).count() >= 2;
    (1..=4).contains(&letters) && is_number || is_hexadecimal || is_capitals
}

/// Three numbers with dots: the version of a package.
fn is_semantic_version(text: &str) -> bool {
    let numbers = text.strip_prefix('v').unwrap_or(text).split(['-', '+']).next().unwrap_or_default();
    numbers.split('.').count() == 3
        && numbers.split('.').all(|part| (1..=6).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
}

/// True for capitals and small letters that change as no name does: `rQTKwXDGiVVJgj`.
fn is_mixed(text: &str) -> bool {
    let is_capital: Vec<_> = text.bytes().map(|b| b.is_ascii_uppercase()).collect();
    let changes = is_capital.iter().zip(is_capital.iter().skip(1)).filter(|(a, b)| a != b).count();
    text.bytes().all(|b| b.is_ascii_alphabetic()) && changes.saturating_mul(5) >= text.len().saturating_mul(2)
}

/// Text of 12 characters or more that changes so often between digits, capitals and small letters that no word does.
fn is_token(text: &str) -> bool {
    let text = text.trim_end_matches('=');
    if text.len() < MIN_TOKEN_BYTES || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
        return false;
    }
    let class = |b: u8| match b {
        b'0'..=b'9' => 0,
        b'A'..=b'Z' => 1,
        b'a'..=b'z' => 2,
        _ => 3,
    };
    let classes: Vec<_> = text.bytes().map(class).collect();
    let changes = classes.iter().zip(classes.iter().skip(1)).filter(|(a, b)| a != b && **a != 3 && **b != 3).count();
    let has = |class| classes.contains(&class);
    let is_mixed =
        has(1) && has(2) && (has(0) || text.len() >= 20) || has(0) && (has(1) || has(2)) && !text.contains(['-', '_']);
    is_mixed && changes.saturating_mul(5) >= text.len().saturating_mul(2)
}

/// Seven characters or more of all three classes, hardly two of one in a row: `aZ3kP9x`.
fn is_short_token(text: &str) -> bool {
    let class = |b: u8| (b.is_ascii_digit(), b.is_ascii_uppercase());
    let classes: Vec<_> = text.bytes().map(class).collect();
    let changes = classes.iter().zip(classes.iter().skip(1)).filter(|(a, b)| a != b).count();
    let has_all = [(true, false), (false, true), (false, false)].iter().all(|class| classes.contains(class));
    text.len() >= MIN_HASH_BYTES
        && text.bytes().all(|b| b.is_ascii_alphanumeric())
        && has_all
        && changes.saturating_mul(2) > text.len()
}

/// The parts between separators.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(['-', '_', '.', '~'])
}

/// True for a part of a slug that is no word: it has digits at two places, or hardly any vowels.
fn has_random_part(word: &str) -> bool {
    if word.len() < MIN_RANDOM_BYTES || !word.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return false;
    }
    let is_digit: Vec<_> = word.bytes().map(|b| b.is_ascii_digit()).collect();
    let groups =
        is_digit.iter().zip([false].iter().chain(&is_digit)).filter(|(now, before)| **now && !**before).count();
    let is_inside = groups == 1 && is_digit.first() == Some(&false) && is_digit.last() == Some(&false);
    let letters = is_digit.iter().filter(|is_digit| !**is_digit).count();
    let vowels = word.bytes().filter(|b| b"aeiouAEIOU".contains(b)).count();
    let has_vowels = |parts: usize| vowels.saturating_mul(parts) >= letters;
    letters > 0 && (groups >= 2 || is_inside && !has_vowels(4) || word.len() >= MIN_UNSPOKEN_BYTES && !has_vowels(6))
}

/// Longer text is not a name.
const MAX_ID_BYTES: usize = 256;

/// The shortest digest: that of an abbreviated commit.
const MIN_HASH_BYTES: usize = 7;

const MIN_TOKEN_BYTES: usize = 12;

const MIN_RANDOM_BYTES: usize = 8;

/// Shorter words without vowels are abbreviations.
const MIN_UNSPOKEN_BYTES: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_made_by_machines_are_recognized() {
        for (text, expected) in [
            ("17", Some(IdKind::Integer)),
            ("8b0c6d4e-4f4e-4a0e-9f0e-0d5b8f0c1a2b", Some(IdKind::Uuid)),
            ("2026-01-31", Some(IdKind::Date)),
            ("da39a3ee5e6b4b0d3255bfef95601890afd80709", Some(IdKind::Hash)),
            ("1f3a9c2", Some(IdKind::Hash)),
            ("01J9Z3NDEKTSV4RRFFQ69G5FAV", Some(IdKind::Ulid)),
            ("a@example.com", Some(IdKind::Email)),
            ("cus_NffrFeUfNV2Hib", Some(IdKind::Prefixed)),
            ("tt0111161", Some(IdKind::Prefixed)),
            ("PROJ-123", Some(IdKind::Prefixed)),
            ("C024BE91L", Some(IdKind::Prefixed)),
            ("PN0123456789abcdef0123456789abcdef", Some(IdKind::Prefixed)),
            ("4iV5W9uYEdYUVa79Axb7Rh", Some(IdKind::Token)),
            ("violet-a1b2c3d4e5", Some(IdKind::Prefixed)),
            ("dark-violet-a1b2c3d4e5", Some(IdKind::Token)),
            ("18.2.0", Some(IdKind::Version)),
            ("192.0.2.1", Some(IdKind::Ip)),
            ("aZ3kP9x", Some(IdKind::Token)),
            ("two words", Some(IdKind::Text)),
        ] {
            assert_eq!(IdKind::of(text), expected, "{text}");
        }
    }

    #[test]
    fn words_are_not_identifiers() {
        for text in [
            "",
            "users",
            "me",
            "chat.postMessage",
            "oauth2",
            "oauth2-access-token",
            "s3",
            "user-groups",
            "getUserAccountInformation",
            "v1",
            "v1beta1",
            "decade",
            "facade",
            "base64",
            "sha256sum",
            "ipv4",
            "user_account_settings",
            "ALL_CAPS_NAME",
            "web-hooks-v2",
            "auto_renew_2fa",
            "search",
            "maple-birch",
            "amber23",
            "grün",
            "Users('alice')",
            "k8s-cluster",
            "utf-8",
            "iso-8601",
        ] {
            assert_eq!(IdKind::of(text), None, "{text}");
        }
    }

    #[test]
    fn versions_of_an_api_are_recognized() {
        for text in [
            "v1",
            "V2",
            "v1beta1",
            "v1alpha2",
            "1.1",
            "v1.2",
            "v1_0",
            "v10",
            "v2rc1",
            "v1p1beta1",
            "v20260131",
            "2023-10",
        ] {
            assert!(is_api_version(text), "{text}");
        }
        for text in
            ["1", "17", "users", "v", "version", "value", "1.2.3.4", "v1users", "2026-01-31", "video1", "v1-users"]
        {
            assert!(!is_api_version(text), "{text}");
        }
    }
}
