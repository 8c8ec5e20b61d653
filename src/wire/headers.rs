//! Header fields as received, in one allocation.

/// Header fields in wire order and original case, duplicates kept (RFC 9110 section 5).
///
/// ```text
/// 4 1 Host a │ 6 3 Accept */* │ …    length of the name, length of the value (u32 each), name, value
/// ```
///
/// All fields are in one allocation. Most heads are freed on another thread than the one that allocated them, which makes
/// each allocation expensive. Values are bytes as received, without outer spaces; callers decide how to show invalid UTF-8.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<u8>);

impl Headers {
    /// Creates an empty list with capacity for `fields` fields of `bytes` bytes in total.
    pub(crate) fn with_capacity(fields: usize, bytes: usize) -> Self {
        Self(Vec::with_capacity(fields.saturating_mul(LENGTHS_BYTES).saturating_add(bytes)))
    }

    /// Appends a field without the outer spaces of its value (RFC 9110 section 5.5).
    pub(crate) fn push(&mut self, name: &[u8], value: &[u8]) {
        // A length has 32 bits. A longer text is truncated, but heads are far shorter (MAX_HEAD_BYTES).
        let clip = |text| <[u8]>::get(text, ..u32::MAX as usize).unwrap_or(text);
        let (name, value) = (clip(name), clip(trim(value)));
        for part in [name, value] {
            self.0.extend_from_slice(&(part.len() as u32).to_le_bytes());
        }
        self.0.extend_from_slice(name);
        self.0.extend_from_slice(value);
    }

    /// Returns all fields, as `(name, value)`.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let (name_len, after) = rest.split_first_chunk()?;
            let (value_len, after) = after.split_first_chunk()?;
            let [name_len, value_len] = [name_len, value_len].map(|len| u32::from_le_bytes(*len) as usize);
            let (name, after) = after.split_at_checked(name_len)?;
            let (value, after) = after.split_at_checked(value_len)?;
            rest = after;
            Some((name, value))
        })
    }

    /// Returns the values of all fields named `name`; case is ignored.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.iter().filter_map(move |(n, value)| n.eq_ignore_ascii_case(name.as_bytes()).then_some(value))
    }

    /// Returns the values of all fields whose name is `name`, or would be without bytes that are invalid in names. Some
    /// recipients take such fields for `name`.
    pub(crate) fn resembling(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.iter().filter_map(move |(n, value)| resembles(n, name).then_some(value))
    }

    /// Returns the value of the first field named `name`; case is ignored.
    pub(crate) fn first(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// Returns the members of the comma-separated list that all fields named `name` form together, without outer spaces and
    /// without empty members (RFC 9110 section 5.6.1).
    pub(crate) fn list(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.all(name).flat_map(|value| value.split(|&b| b == b',')).map(trim).filter(|member| !member.is_empty())
    }

    /// Returns true if the list in the fields named `name` contains `member`; case is ignored.
    pub(crate) fn list_contains(&self, name: &str, member: &str) -> bool {
        self.list(name).any(|m| m.eq_ignore_ascii_case(member.as_bytes()))
    }

    /// Inserts a field before the one at index `at`.
    pub(crate) fn insert(&mut self, at: usize, name: &[u8], value: &[u8]) {
        let size = |(name, value): (&[u8], &[u8])| LENGTHS_BYTES.saturating_add(name.len()).saturating_add(value.len());
        let (start, end) = (self.iter().take(at).map(size).sum(), self.0.len());
        self.push(name, value);
        let added = self.0.len().saturating_sub(end);
        if let Some(moved) = self.0.get_mut(start..) {
            moved.rotate_right(added);
        }
    }

    /// Removes the last fields as long as the sum of `size` of all fields exceeds `limit`. Returns true if some were removed.
    pub(crate) fn truncate(&mut self, limit: usize, size: impl Fn(&[u8], &[u8]) -> usize) -> bool {
        let (mut kept, mut total) = (0usize, 0usize);
        for (name, value) in self.iter() {
            total = total.saturating_add(size(name, value));
            if total > limit {
                break;
            }
            kept = kept.saturating_add(LENGTHS_BYTES).saturating_add(name.len()).saturating_add(value.len());
        }
        let is_cut = kept < self.0.len();
        self.0.truncate(kept);
        is_cut
    }

    /// Returns the number of fields.
    pub(crate) fn len(&self) -> usize {
        self.iter().count()
    }

    /// Returns the number of bytes allocated.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.0.capacity()
    }

    /// Returns true if there are no fields.
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

/// Returns `value` without spaces and tabs at both ends.
pub(crate) fn trim(value: &[u8]) -> &[u8] {
    let start = value.iter().position(|b| !is_space(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !is_space(b)).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

/// Returns true if `name` without the bytes that are invalid in names is `known`; case is ignored.
pub(crate) fn resembles(name: &[u8], known: &str) -> bool {
    name.iter().filter(|b| is_tchar(b)).map(u8::to_ascii_lowercase).eq(known.bytes().map(|b| b.to_ascii_lowercase()))
}

/// Returns true for a character of a token (RFC 9110 section 5.6.2).
pub(crate) fn is_tchar(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b)
}

/// Returns true for a byte that is neither a space nor a control character. Bytes above ASCII violate the grammar, but some
/// clients send them.
pub(crate) fn is_visible(b: &u8) -> bool {
    *b > b' ' && *b != 0x7f
}

/// Returns true for optional whitespace (RFC 9110 section 5.6.3).
pub(crate) fn is_space(b: &u8) -> bool {
    matches!(b, b' ' | b'\t')
}

/// The size of the two lengths before each field.
const LENGTHS_BYTES: usize = 2 * size_of::<u32>();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_fields_are_removed_beyond_a_limit() {
        let all = [(&b"a"[..], &b"1"[..]), (b"", b""), (b"bb", b"22")];
        for (limit, count, is_cut) in [(0, 0, true), (1, 0, true), (2, 2, true), (5, 2, true), (6, 3, false)] {
            let mut headers = Headers::default();
            all.iter().for_each(|(name, value)| headers.push(name, value));
            let was_cut = headers.truncate(limit, |name, value| name.len() + value.len());
            assert_eq!((was_cut, headers.iter().collect::<Vec<_>>()), (is_cut, all[..count].to_vec()), "{limit}");
        }
    }

    #[test]
    fn keeps_order_case_and_duplicates() {
        let mut headers = Headers::default();
        headers.push(b"X-Odd", b" \tone ");
        headers.push(b"x-odd", b"");
        headers.push(b"TE", b"a, , b,");
        let seen: Vec<_> = headers.iter().collect();
        assert_eq!(seen, [(&b"X-Odd"[..], &b"one"[..]), (b"x-odd", b""), (b"TE", b"a, , b,")]);
        assert_eq!(headers.all("X-ODD").count(), 2);
        headers.push(b" x-\x0bodd ", b"three");
        assert_eq!(headers.resembling("X-Odd").collect::<Vec<_>>(), [&b"one"[..], b"", b"three"]);
        headers = headers.iter().take(3).fold(Headers::default(), |mut first, (name, value)| {
            first.push(name, value);
            first
        });
        assert_eq!(headers.list("te").collect::<Vec<_>>(), [b"a", b"b"]);
        assert!(headers.list_contains("te", "B") && !headers.list_contains("te", "c"));
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
}
