//! The static table of HPACK and the dynamic table of a connection (RFC 7541 section 2.3).
//!
//! ```text
//! index   1 …………… 61 │ 62 ………………………… 61 + n
//!         static     │ newest …… oldest ─▶ evicted when the size exceeds the maximum
//!
//! text    dead │ oldest …… newest              one buffer; dead bytes are removed when they are more than half of it
//! ```

use std::collections::VecDeque;
use std::ops::Range;

/// The dynamic table. Look-ups by index also cover the static table.
pub(super) struct DynamicTable {
    /// The names and values of all entries.
    text: Vec<u8>,
    /// The number of bytes of evicted entries at the start of `text`.
    dead: usize,
    /// Newest first.
    entries: VecDeque<DynamicEntry>,
    /// The total size of the entries (section 4.1). At most `max_size`.
    size: usize,
    max_size: usize,
}

struct DynamicEntry {
    /// The offset of the name in the text; the value follows it.
    start: usize,
    name_len: usize,
    value_len: usize,
}

/// The name of a new field.
#[derive(Clone, Copy)]
pub(super) enum FieldName<'a> {
    Literal(&'a [u8]),
    /// The name of the field with this index.
    Indexed(usize),
}

impl DynamicTable {
    pub(super) fn new(max_size: usize) -> Self {
        Self { text: Vec::new(), dead: 0, entries: VecDeque::new(), size: 0, max_size }
    }

    /// Returns the field with this index, as `(name, value)`. Indexes start at 1.
    pub(super) fn field(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let index = index.checked_sub(1)?;
        if let Some((name, value)) = STATIC_TABLE.get(index) {
            return Some((name.as_bytes(), value.as_bytes()));
        }
        let entry = self.entries.get(index.checked_sub(STATIC_TABLE.len())?)?;
        let (name, value) = self.text.get(entry.range())?.split_at_checked(entry.name_len)?;
        Some((name, value))
    }

    /// Adds a field, and evicts entries until the table fits its maximum size (section 4.4). The new field may take its name
    /// from an entry that is evicted for it. A field larger than the maximum size empties the table.
    pub(super) fn insert(&mut self, name: FieldName<'_>, value: &[u8]) {
        let name_len = match name {
            FieldName::Literal(name) => name.len(),
            FieldName::Indexed(index) => self.field(index).map_or(0, |(name, _)| name.len()),
        };
        if name_len.saturating_add(value.len()).saturating_add(ENTRY_OVERHEAD_BYTES) > self.max_size {
            return self.clear();
        }
        let start = self.text.len();
        match name {
            FieldName::Literal(name) => self.text.extend_from_slice(name),
            FieldName::Indexed(index) => match index.checked_sub(STATIC_TABLE.len() + 1) {
                None => self.text.extend_from_slice(self.static_name(index)),
                Some(index) => {
                    if let Some(entry) = self.entries.get(index) {
                        self.text.extend_from_within(entry.start..entry.start + entry.name_len);
                    }
                }
            },
        }
        self.text.extend_from_slice(value);
        let entry = DynamicEntry { start, name_len, value_len: value.len() };
        self.size += entry.size();
        self.entries.push_front(entry);
        self.evict();
    }

    /// Evicts all entries.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.text.clear();
        (self.dead, self.size) = (0, 0);
    }

    /// Returns the maximum total size of the entries.
    pub(super) fn max_size(&self) -> usize {
        self.max_size
    }

    /// Returns the number of bytes allocated.
    pub(super) fn memory_bytes(&self) -> usize {
        self.text.capacity().saturating_add(self.entries.capacity().saturating_mul(size_of::<DynamicEntry>()))
    }

    /// Sets the maximum total size of the entries.
    pub(super) fn resize(&mut self, max_size: usize) {
        self.max_size = max_size;
        self.evict();
    }

    fn static_name(&self, index: usize) -> &'static [u8] {
        let field = index.checked_sub(1).and_then(|index| STATIC_TABLE.get(index));
        field.map(|(name, _)| name.as_bytes()).unwrap_or_default()
    }

    fn evict(&mut self) {
        while self.size > self.max_size {
            let Some(entry) = self.entries.pop_back() else {
                break;
            };
            self.size -= entry.size();
            self.dead = entry.range().end;
        }
        // Fewer bytes are moved than are freed, so the cost stays linear in the size of the blocks.
        if self.dead > self.text.len() / 2 {
            self.text.drain(..self.dead);
            for entry in &mut self.entries {
                entry.start -= self.dead;
            }
            self.dead = 0;
        }
    }
}

impl DynamicEntry {
    fn range(&self) -> Range<usize> {
        self.start..self.start + self.name_len + self.value_len
    }

    fn size(&self) -> usize {
        self.name_len + self.value_len + ENTRY_OVERHEAD_BYTES
    }
}

/// The size of an entry in addition to its name and value (section 4.1).
pub(super) const ENTRY_OVERHEAD_BYTES: usize = 32;

/// The static table (appendix A).
const STATIC_TABLE: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(table: &DynamicTable) -> String {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        (62..).map_while(|i| table.field(i)).map(|(name, value)| text(name) + "=" + &text(value) + " ").collect()
    }

    #[test]
    fn numbers_newest_first_and_evicts_oldest_first() {
        let mut table = DynamicTable::new(3 * (ENTRY_OVERHEAD_BYTES + 2));
        for value in [b"1", b"2", b"3", b"4"] {
            table.insert(FieldName::Literal(b"a"), value);
        }
        assert_eq!(fields(&table), "a=4 a=3 a=2 ");
        table.resize(2 * (ENTRY_OVERHEAD_BYTES + 2) + 1);
        assert_eq!(fields(&table), "a=4 a=3 ");
        table.resize(usize::MAX);
        table.insert(FieldName::Indexed(61), b"x");
        table.insert(FieldName::Indexed(62), b"y");
        assert_eq!(fields(&table), "www-authenticate=y www-authenticate=x a=4 a=3 ");
        table.resize(0);
        assert_eq!((fields(&table).as_str(), table.size, table.text.len()), ("", 0, 0));
    }

    #[test]
    fn an_entry_may_take_its_name_from_one_that_it_evicts() {
        let mut table = DynamicTable::new(ENTRY_OVERHEAD_BYTES + 10);
        table.insert(FieldName::Literal(b"name"), b"old");
        table.insert(FieldName::Indexed(62), b"new");
        assert_eq!(fields(&table), "name=new ");
    }

    #[test]
    fn an_entry_above_the_maximum_empties_the_table() {
        let mut table = DynamicTable::new(ENTRY_OVERHEAD_BYTES + 10);
        table.insert(FieldName::Literal(b"a"), b"b");
        table.insert(FieldName::Literal(b"a"), &[b'x'; 10]);
        assert_eq!(fields(&table), "");
        table.insert(FieldName::Literal(b"a"), &[b'x'; 9]);
        assert_eq!(fields(&table), "a=xxxxxxxxx ");
    }

    #[test]
    fn the_buffer_is_at_most_twice_the_maximum() {
        let mut table = DynamicTable::new(4096);
        for i in 0..100_000_u32 {
            table.insert(FieldName::Literal(b"name"), i.to_string().as_bytes());
            assert!(table.text.len() <= 2 * 4096 && table.size <= 4096);
        }
        assert_eq!(table.field(62), Some((&b"name"[..], &b"99999"[..])));
        assert_eq!(table.entries.len(), 4096 / (ENTRY_OVERHEAD_BYTES + 9));
    }

    #[test]
    fn returns_none_for_unknown_indexes() {
        let table = DynamicTable::new(100);
        assert_eq!(table.field(0), None);
        assert_eq!(table.field(1), Some((&b":authority"[..], &b""[..])));
        assert_eq!(table.field(61), Some((&b"www-authenticate"[..], &b""[..])));
        assert_eq!(table.field(62), None);
        assert_eq!(table.field(usize::MAX), None);
    }
}
