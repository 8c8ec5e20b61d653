//! The formats of text: numbers, times, addresses.
//!
//! ```text
//! 17  3.5  true                                           numbers and booleans
//! 2026-01-31  2026-01-31T10:00:00Z                        RFC 3339
//! 8b0c6d4e-4f4e-4a0e-9f0e-0d5b8f0c1a2b                    UUID (RFC 9562)
//! a@example.com  https://example.com/  192.0.2.1  ::1     addresses
//! ```

use crate::calendar::{parse_date, parse_time, split_offset};
use std::net::{Ipv4Addr, Ipv6Addr};

/// A set of [`TextKind`]s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TextKinds(u16);

/// A kind of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum TextKind {
    Integer = 1,
    Number = 1 << 1,
    Boolean = 1 << 2,
    Date = 1 << 3,
    DateTime = 1 << 4,
    Uuid = 1 << 5,
    Email = 1 << 6,
    Uri = 1 << 7,
    Ipv4 = 1 << 8,
    Ipv6 = 1 << 9,
}

impl TextKinds {
    pub(super) const ALL: Self = Self(u16::MAX);
    pub(super) const NONE: Self = Self(0);

    /// Returns all kinds of `text`.
    pub(super) fn of(text: &str) -> Self {
        // Most text is none of them.
        if text.len() > MAX_URI_BYTES || text.contains(char::is_whitespace) {
            return Self(0);
        }
        let bytes = text.as_bytes();
        let is_numeric = bytes.first().is_some_and(|b| b.is_ascii_digit() || *b == b'-');
        let is_integer = is_numeric && is_integer(text);
        let kinds = [
            (is_integer, TextKind::Integer),
            (is_integer || is_numeric && is_decimal(text), TextKind::Number),
            (matches!(text, "true" | "false"), TextKind::Boolean),
            (is_date(text), TextKind::Date),
            (is_date_time(text), TextKind::DateTime),
            (is_uuid(text), TextKind::Uuid),
            (is_email(text), TextKind::Email),
            (is_uri(text), TextKind::Uri),
            (is_numeric && text.parse::<Ipv4Addr>().is_ok(), TextKind::Ipv4),
            (text.contains("::") || text.matches(':').count() == 7, TextKind::Ipv6),
        ];
        let mut all = kinds.iter().filter(|(has, _)| *has).fold(0, |all, (_, kind)| all | *kind as u16);
        if all & TextKind::Ipv6 as u16 != 0 && text.parse::<Ipv6Addr>().is_err() {
            all &= !(TextKind::Ipv6 as u16);
        }
        Self(all)
    }

    pub(super) fn has(self, kind: TextKind) -> bool {
        self.0 & kind as u16 != 0
    }

    /// Returns the kinds in both sets.
    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the value of `format` in JSON Schema for text of these kinds.
    pub(super) fn format(self) -> Option<&'static str> {
        [
            (TextKind::DateTime, "date-time"),
            (TextKind::Date, "date"),
            (TextKind::Uuid, "uuid"),
            (TextKind::Email, "email"),
            (TextKind::Uri, "uri"),
            (TextKind::Ipv4, "ipv4"),
            (TextKind::Ipv6, "ipv6"),
        ]
        .into_iter()
        .find_map(|(kind, name)| self.has(kind).then_some(name))
    }
}

pub(super) fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.len() <= 40 && digits.bytes().all(|b| b.is_ascii_digit())
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.split_once('.').is_some_and(|(whole, fraction)| {
        [whole, fraction].iter().all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    })
}

pub(super) fn is_date(text: &str) -> bool {
    text.len() == 10 && text.is_ascii() && parse_date(text).is_some()
}

pub(super) fn is_date_time(text: &str) -> bool {
    let parsed = || {
        let (date, time) = text.split_once(['T', 't'])?;
        let (time, offset) = split_offset(time)?;
        (is_date(date) && parse_time(time).is_some()).then_some(offset?)
    };
    text.len() >= 20 && text.is_ascii() && parsed().is_some()
}

pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| match at {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

pub(super) fn is_email(text: &str) -> bool {
    let Some((user, host)) = text.split_once('@') else { return false };
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    !user.is_empty()
        && !user.contains(['/', ':', '<', '>', '(', ')'])
        && host.contains('.')
        && host.split('.').all(is_label)
        && host.rsplit('.').next().is_some_and(|last| last.bytes().any(|b| b.is_ascii_alphabetic()))
}

fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return false };
    matches!(scheme, "http" | "https" | "ws" | "wss" | "ftp" | "s3" | "git" | "ssh") && !rest.is_empty()
}

/// Longer text has no format.
const MAX_URI_BYTES: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_the_formats_of_json_schema() {
        for (text, expected) in [
            ("2026-01-31", Some("date")),
            ("2026-02-31", None),
            ("2026-01-31T10:00:00Z", Some("date-time")),
            ("2026-01-31T10:00:00.123+02:00", Some("date-time")),
            ("2026-01-31T10:00:00", None),
            ("8b0c6d4e-4f4e-4a0e-9f0e-0d5b8f0c1a2b", Some("uuid")),
            ("8B0C6D4E-4F4E-4A0E-9F0E-0D5B8F0C1A2B", Some("uuid")),
            ("a.b+c@example.com", Some("email")),
            ("a@b", None),
            ("https://example.com/x?y", Some("uri")),
            ("https://", None),
            ("javascript:alert(1)", None),
            ("192.0.2.1", Some("ipv4")),
            ("2001:db8::1", Some("ipv6")),
            ("a::b c", None),
            ("", None),
            ("plain", None),
        ] {
            assert_eq!(TextKinds::of(text).format(), expected, "{text}");
        }
        let both = TextKinds::of("1").and(TextKinds::of("2.5"));
        assert!(both.has(TextKind::Number) && !both.has(TextKind::Integer));
        assert!(TextKinds::of("true").has(TextKind::Boolean) && !TextKinds::of("-").has(TextKind::Integer));
    }
}
