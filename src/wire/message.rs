//! What an HTTP message's head says, whatever version carried it: the words that the taps and the bundle share.

use std::ops::Range;

/// Header fields in wire order and original case, duplicates kept (RFC 9110 section 5).
///
/// One allocation holds the text of all fields. Values are bytes as received, without outer blanks; who shows them
/// decides how to read those that are not UTF-8.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers {
    text: Vec<u8>,
    fields: Vec<(Range<usize>, Range<usize>)>,
}

impl Headers {
    /// An empty list with room for `fields` fields of `bytes` bytes in all.
    pub(crate) fn with_capacity(fields: usize, bytes: usize) -> Self {
        Self { text: Vec::with_capacity(bytes), fields: Vec::with_capacity(fields) }
    }

    /// Appends a field; outer blanks of the value are dropped (RFC 9110 section 5.5).
    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) {
        let name = self.append(name);
        let value = self.append(trim(value));
        self.fields.push((name, value));
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.text.len();
        self.text.extend_from_slice(bytes);
        start..self.text.len()
    }

    /// All fields, as `(name, value)`.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let part = |range: &Range<usize>| self.text.get(range.clone()).unwrap_or_default();
        self.fields.iter().map(move |(name, value)| (part(name), part(value)))
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
        self.push(name, value);
        if let Some(late) = self.fields.get_mut(at..) {
            late.rotate_right(1);
        }
    }

    /// How many fields there are.
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no field.
    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty()
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
    pub method: String,
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
    pub reason: Vec<u8>,
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

/// Without blanks (space, tab) at both ends.
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let start = value.iter().position(|b| !blank(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !blank(b)).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

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
        assert_eq!(headers.len(), 5);
    }
}
