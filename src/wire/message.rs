//! What an HTTP message's head says, whatever version carried it: the words that the taps and the bundle share.

use std::borrow::Cow;

/// Header fields in wire order and original case, duplicates kept (RFC 9110 section 5).
///
/// ```text
/// 00000004 00000001 Host a │ 00000006 00000003 Accept */* │ …    a name's length, its value's, and both
/// ```
///
/// One allocation holds them all: most heads end on another thread than the one that they began on, and memory that goes that
/// way is dear. Values are bytes as received, without outer blanks; who shows them decides how to read those that are not UTF-8.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<u8>);

impl Headers {
    /// An empty list with room for `fields` fields of `bytes` bytes in all.
    pub(crate) fn with_capacity(fields: usize, bytes: usize) -> Self {
        Self(Vec::with_capacity(fields.saturating_mul(LENGTHS).saturating_add(bytes)))
    }

    /// Appends a field; outer blanks of the value are dropped (RFC 9110 section 5.5).
    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) {
        // No head is that long; what is longer ends there.
        let clip = |text| <[u8]>::get(text, ..u32::MAX as usize).unwrap_or(text);
        let (name, value) = (clip(name), clip(trim(value)));
        for part in [name, value] {
            self.0.extend_from_slice(&(part.len() as u32).to_le_bytes());
        }
        self.0.extend_from_slice(name);
        self.0.extend_from_slice(value);
    }

    /// All fields, as `(name, value)`.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let (name, after) = rest.split_first_chunk()?;
            let (value, after) = after.split_first_chunk()?;
            let [name_len, value_len] = [name, value].map(|len| u32::from_le_bytes(*len) as usize);
            let (name, after) = after.split_at_checked(name_len)?;
            let (value, after) = after.split_at_checked(value_len)?;
            rest = after;
            Some((name, value))
        })
    }

    /// The values of every field called `name`, in any case.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.iter().filter_map(move |(n, value)| n.eq_ignore_ascii_case(name.as_bytes()).then_some(value))
    }

    /// The value of the first field called `name`, in any case.
    pub(crate) fn first(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// The members of the comma-separated list that all fields called `name` form together, without outer blanks,
    /// empty members left out (RFC 9110 section 5.6.1).
    pub(crate) fn list(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.all(name).flat_map(|value| value.split(|&b| b == b',')).map(trim).filter(|member| !member.is_empty())
    }

    /// Whether the list that the fields called `name` form has `member` in it, in any case.
    pub(crate) fn lists(&self, name: &str, member: &str) -> bool {
        self.list(name).any(|m| m.eq_ignore_ascii_case(member.as_bytes()))
    }

    /// Adds a field before the one at place `at`.
    pub(crate) fn insert(&mut self, at: usize, name: &[u8], value: &[u8]) {
        let before = |(name, value): (&[u8], &[u8])| LENGTHS.saturating_add(name.len()).saturating_add(value.len());
        let (place, end) = (self.iter().take(at).map(before).sum(), self.0.len());
        self.push(name, value);
        let added = self.0.len().saturating_sub(end);
        if let Some(late) = self.0.get_mut(place..) {
            late.rotate_right(added);
        }
    }

    /// How many fields there are.
    pub(crate) fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no field.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, value)| format!("{}: {}", name.escape_ascii(), value.escape_ascii())))
            .finish()
    }
}

/// A request's head (RFC 9112 section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestHead {
    /// A token, case as sent.
    pub method: Cow<'static, str>,
    /// The request target as sent: origin-form, absolute-form, authority-form or `*`. For HTTP/2 its `:path`, or what CONNECT
    /// names instead.
    pub target: Vec<u8>,
    /// The protocol's version.
    pub version: Version,
    /// The scheme that HTTP/2 names apart from the target; `None` in HTTP/1.
    pub scheme: Option<Vec<u8>>,
    /// The authority that HTTP/2 names apart from the target; `None` in HTTP/1.
    pub authority: Option<Vec<u8>>,
    /// The fields of the head, without pseudo-header fields.
    pub headers: Headers,
}

/// A final response's head (RFC 9112 section 4); 101 is final, the other 1xx are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResponseHead {
    /// 100 to 999.
    pub status: u16,
    /// The reason phrase as received, without outer blanks; HTTP/2 has none.
    pub reason: Cow<'static, [u8]>,
    /// The protocol's version.
    pub version: Version,
    /// The fields of the head.
    pub headers: Headers,
}

/// The version in a message's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// HTTP/1.0: closes by default.
    Http10,
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    Http2,
}

/// A method as it is kept: the usual ones need no memory.
pub(crate) fn method(name: &str) -> Cow<'static, str> {
    match METHODS.into_iter().find(|usual| *usual == name) {
        Some(usual) => usual.into(),
        None => name.to_owned().into(),
    }
}

/// A reason phrase as it is kept.
pub(crate) fn reason(phrase: &[u8]) -> Cow<'static, [u8]> {
    match REASONS.into_iter().find(|usual| usual.as_bytes() == phrase) {
        Some(usual) => usual.as_bytes().into(),
        None => phrase.to_owned().into(),
    }
}

/// Without blanks (space, tab) at both ends.
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = value.iter().position(|b| !blank(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !blank(b)).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

/// What the two lengths before a field take.
const LENGTHS: usize = 2 * size_of::<u32>();

/// RFC 9110 section 9.3 and RFC 5789, those that are sent most first.
const METHODS: [&str; 8] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT"];

/// Some of RFC 9110 section 15, those that are sent most first.
const REASONS: [&str; 8] =
    ["OK", "Not Modified", "No Content", "Found", "Not Found", "Created", "Switching Protocols", "Unauthorized"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_order_case_and_duplicates() {
        let mut headers = Headers::default();
        headers.push(b"X-Odd", b" \tone ");
        headers.push(b"x-odd", b"");
        headers.push(b"TE", b"a, , b,");
        let seen: Vec<_> = headers.iter().collect();
        assert_eq!(seen, [(&b"X-Odd"[..], &b"one"[..]), (b"x-odd", b""), (b"TE", b"a, , b,")]);
        assert_eq!(headers.all("X-ODD").count(), 2);
        assert_eq!(headers.list("te").collect::<Vec<_>>(), [b"a", b"b"]);
        assert!(headers.lists("te", "B") && !headers.lists("te", "c"));
        headers.insert(1, b"a", b"b");
        headers.insert(4, b"z", b"");
        assert_eq!(
            headers.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            [&b"X-Odd"[..], b"a", b"x-odd", b"TE", b"z"]
        );
        assert_eq!((headers.len(), headers.list("te").count()), (5, 2));
        headers.insert(7, b"last", b"");
        assert_eq!(headers.iter().last(), Some((&b"last"[..], &b""[..])));
        assert!(!headers.is_empty() && Headers::default().is_empty());
    }

    #[test]
    fn words_are_kept_as_they_were_sent() {
        assert!(METHODS.into_iter().all(|name| matches!(method(name), Cow::Borrowed(_))));
        assert!(REASONS.into_iter().all(|phrase| matches!(reason(phrase.as_bytes()), Cow::Borrowed(_))));
        for word in METHODS.into_iter().chain(["get", "GETS", "", "M-SEARCH"]) {
            assert_eq!(method(word), word);
        }
        for phrase in REASONS.into_iter().chain(["Ok", "OK ", "", "Nicht gefunden"]) {
            assert_eq!(&reason(phrase.as_bytes())[..], phrase.as_bytes());
        }
    }
}
