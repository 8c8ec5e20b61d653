//! The two tables of HPACK: the fields that everybody knows, and those that this connection has learned (RFC 7541 section
//! 2.3).
//!
//! ```text
//! index   1 …………… 61 │ 62 ………………………… 61 + n
//!         static     │ newest …… oldest ─▶ evicted when the size passes its bound
//!
//! text    dead │ oldest …… newest              one buffer, appended to; dead bytes go when they are the half of it
//! ```

use std::collections::VecDeque;
use std::ops::Range;

/// The dynamic table, and the static one before it.
pub(super) struct Table {
    text: Vec<u8>,
    /// How many bytes at the start of `text` are of evicted entries.
    dead: usize,
    /// Newest first.
    entries: VecDeque<Entry>,
    /// The sum of the entries' sizes. Not above `bound`.
    size: usize,
    bound: usize,
}

struct Entry {
    /// Where its name begins in the text; its value follows.
    start: usize,
    name: usize,
    value: usize,
}

/// The name of a new entry.
#[derive(Clone, Copy)]
pub(super) enum Name<'a> {
    Literal(&'a [u8]),
    /// That of the field with this index.
    Of(usize),
}

impl Table {
    pub(super) fn new(bound: usize) -> Self {
        Self { text: Vec::new(), dead: 0, entries: VecDeque::new(), size: 0, bound }
    }

    /// The field with this index, as `(name, value)`; they count from 1.
    pub(super) fn field(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let index = index.checked_sub(1)?;
        if let Some((name, value)) = STATIC.get(index) {
            return Some((name.as_bytes(), value.as_bytes()));
        }
        let entry = self.entries.get(index.checked_sub(STATIC.len())?)?;
        let (name, value) = self.text.get(entry.range())?.split_at_checked(entry.name)?;
        Some((name, value))
    }

    /// Adds a field, and evicts what there is no room for any more (section 4.4). The name may be that of an entry which
    /// is evicted for it.
    pub(super) fn insert(&mut self, name: Name<'_>, value: &[u8]) {
        let start = self.text.len();
        match name {
            Name::Literal(name) => self.text.extend_from_slice(name),
            Name::Of(index) => match index.checked_sub(STATIC.len() + 1) {
                None => self.text.extend_from_slice(self.static_name(index)),
                Some(index) => {
                    if let Some(entry) = self.entries.get(index) {
                        self.text.extend_from_within(entry.start..entry.start + entry.name);
                    }
                }
            },
        }
        let name = self.text.len() - start;
        self.text.extend_from_slice(value);
        let entry = Entry { start, name, value: value.len() };
        self.size += entry.size();
        self.entries.push_front(entry);
        self.evict();
    }

    /// Sets the most that the entries may take together.
    pub(super) fn resize(&mut self, bound: usize) {
        self.bound = bound;
        self.evict();
    }

    fn static_name(&self, index: usize) -> &'static [u8] {
        let field = index.checked_sub(1).and_then(|index| STATIC.get(index));
        field.map(|(name, _)| name.as_bytes()).unwrap_or_default()
    }

    fn evict(&mut self) {
        while self.size > self.bound {
            let Some(entry) = self.entries.pop_back() else {
                break;
            };
            self.size -= entry.size();
            self.dead = entry.range().end;
        }
        // What is moved is less than what is freed: each byte of a block pays for one.
        if self.dead > self.text.len() / 2 {
            self.text.drain(..self.dead);
            for entry in &mut self.entries {
                entry.start -= self.dead;
            }
            self.dead = 0;
        }
    }
}

impl Entry {
    fn range(&self) -> Range<usize> {
        self.start..self.start + self.name + self.value
    }

    fn size(&self) -> usize {
        self.name + self.value + OVERHEAD
    }
}

/// What an entry counts for beyond its text (section 4.1).
pub(super) const OVERHEAD: usize = 32;

/// Appendix A.
const STATIC: [(&str, &str); 61] = [
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

    fn fields(table: &Table) -> String {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        (62..).map_while(|i| table.field(i)).map(|(name, value)| text(name) + "=" + &text(value) + " ").collect()
    }

    #[test]
    fn newest_first_oldest_out() {
        let mut table = Table::new(3 * (OVERHEAD + 2));
        for value in [b"1", b"2", b"3", b"4"] {
            table.insert(Name::Literal(b"a"), value);
        }
        assert_eq!(fields(&table), "a=4 a=3 a=2 ");
        table.resize(2 * (OVERHEAD + 2) + 1);
        assert_eq!(fields(&table), "a=4 a=3 ");
        table.resize(usize::MAX);
        table.insert(Name::Of(61), b"x");
        table.insert(Name::Of(62), b"y");
        assert_eq!(fields(&table), "www-authenticate=y www-authenticate=x a=4 a=3 ");
        table.resize(0);
        assert_eq!((fields(&table).as_str(), table.size, table.text.len()), ("", 0, 0));
    }

    #[test]
    fn an_entry_may_take_its_name_from_one_that_it_evicts() {
        let mut table = Table::new(OVERHEAD + 10);
        table.insert(Name::Literal(b"name"), b"old");
        table.insert(Name::Of(62), b"new");
        assert_eq!(fields(&table), "name=new ");
    }

    #[test]
    fn an_entry_past_the_bound_empties_the_table() {
        let mut table = Table::new(OVERHEAD + 10);
        table.insert(Name::Literal(b"a"), b"b");
        table.insert(Name::Literal(b"a"), &[b'x'; 10]);
        assert_eq!(fields(&table), "");
        table.insert(Name::Literal(b"a"), &[b'x'; 9]);
        assert_eq!(fields(&table), "a=xxxxxxxxx ");
    }

    #[test]
    fn keeps_little_more_than_its_bound() {
        let mut table = Table::new(4096);
        for i in 0..100_000_u32 {
            table.insert(Name::Literal(b"name"), i.to_string().as_bytes());
            assert!(table.text.len() <= 2 * 4096 && table.size <= 4096);
        }
        assert_eq!(table.field(62), Some((&b"name"[..], &b"99999"[..])));
        assert_eq!(table.entries.len(), 4096 / (OVERHEAD + 9));
    }

    #[test]
    fn what_is_not_there() {
        let table = Table::new(100);
        assert_eq!(table.field(0), None);
        assert_eq!(table.field(1), Some((&b":authority"[..], &b""[..])));
        assert_eq!(table.field(61), Some((&b"www-authenticate"[..], &b""[..])));
        assert_eq!(table.field(62), None);
        assert_eq!(table.field(usize::MAX), None);
    }
}
