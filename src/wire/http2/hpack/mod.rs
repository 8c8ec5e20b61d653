//! Decodes HPACK, the header compression of HTTP/2 (RFC 7541).
//!
//! ```text
//! block ─▶ representations ─┬─ index ──────────▶ table ──┬─▶ field, field, …
//!          (integer)        └─ name, value ──▶ huffman ──┘
//!                                └─ also into the table, if indexed
//! ```
//!
//! Each direction of a connection has its own decoder, which gets all field blocks of that direction in order. After a
//! missing block the dynamic table would be wrong for the rest of the connection. For the same reason an error is final.
//!
//! Limits: integers, header lists and the dynamic table have a maximum size. A size update must precede the fields of its
//! block and must not exceed the announced maximum. An encoder that does not shrink its table although the decoder announced
//! a smaller maximum is not detected: the table keeps its size until an update.
//!
//! No crate fits: `hpack` and `fluke-hpack` panic on the block `[0x3f]`. `loona-hpack` is maintained and does not panic, but
//! it has no limit on the size of a decoded header list, and it brings a dozen crates. This decoder decodes all 47,142 blocks
//! of the public interop stories (http2jp/hpack-test-case) as expected; `tests/data/hpack` has a selection of them.

mod huffman;
mod integer;
mod table;

use table::{DynamicTable, ENTRY_OVERHEAD_BYTES, FieldName};

/// Decodes the field blocks of one direction.
pub(crate) struct HpackDecoder {
    table: DynamicTable,
    /// The largest table that the receiver of these blocks allows (SETTINGS_HEADER_TABLE_SIZE).
    max_table_size: usize,
    /// Buffers for Huffman-decoded names and values.
    name: Vec<u8>,
    value: Vec<u8>,
}

/// The cause when a field block cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HpackError {
    /// The block ends in the middle of a field.
    Incomplete,
    /// An integer has too many bytes.
    IntegerTooLong,
    /// An index is not in the static or the dynamic table.
    Index,
    /// A Huffman-coded string has invalid padding or contains the end-of-string symbol.
    Huffman,
    /// A size update exceeds the announced maximum or [`MAX_TABLE_BYTES`].
    TableSize,
    /// A size update follows a field.
    LateUpdate,
    /// The header list is larger than [`MAX_HEADER_LIST_BYTES`].
    ListTooLong,
}

impl HpackDecoder {
    pub(crate) fn new() -> Self {
        Self {
            table: DynamicTable::new(DEFAULT_TABLE_BYTES),
            max_table_size: DEFAULT_TABLE_BYTES,
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// Sets the `SETTINGS_HEADER_TABLE_SIZE` that the receiver announced and the sender acknowledged.
    pub(crate) fn set_max_table_size(&mut self, size: u32) {
        self.max_table_size = usize::try_from(size).unwrap_or(usize::MAX);
    }

    /// Decodes a complete field block and calls `each` with the name and value of every field.
    ///
    /// Returns the size of the header list (RFC 9113 section 6.5.2), which is at most [`MAX_HEADER_LIST_BYTES`].
    pub(crate) fn decode(&mut self, block: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) -> Result<usize, HpackError> {
        let mut list = HeaderList { size: 0, each };
        let mut rest = block;
        while let Some((&first, tail)) = rest.split_first() {
            rest = tail;
            match first {
                // Section 6.1: indexed field.
                0x80.. => {
                    let index = integer::read(first, 7, &mut rest)?;
                    let (name, value) = self.table.field(index).ok_or(HpackError::Index)?;
                    list.add(name, value)?;
                }
                // Section 6.2.1: literal with incremental indexing.
                0x40.. => self.decode_literal(first, 6, &mut rest, &mut list, true)?,
                // Section 6.3: size update.
                0x20.. => {
                    let size = integer::read(first, 5, &mut rest)?;
                    if list.size > 0 {
                        return Err(HpackError::LateUpdate);
                    }
                    if size > self.max_table_size.min(MAX_TABLE_BYTES) {
                        return Err(HpackError::TableSize);
                    }
                    self.table.resize(size);
                }
                // Sections 6.2.2 and 6.2.3: literal without indexing, or never indexed.
                _ => self.decode_literal(first, 4, &mut rest, &mut list, false)?,
            }
        }
        for scratch in [&mut self.name, &mut self.value] {
            scratch.clear();
            scratch.shrink_to(MAX_KEPT_SCRATCH_BYTES);
        }
        Ok(list.size)
    }

    /// Decodes a literal field. The low `prefix` bits of `first` begin the index of its name; 0 means a literal name.
    fn decode_literal(
        &mut self,
        first: u8,
        prefix: u32,
        rest: &mut &[u8],
        list: &mut HeaderList<'_>,
        is_indexed: bool,
    ) -> Result<(), HpackError> {
        let field_name = match integer::read(first, prefix, rest)? {
            0 => FieldName::Literal(read_string(rest, &mut self.name)?),
            index => FieldName::Indexed(index),
        };
        let value = read_string(rest, &mut self.value)?;
        let name = match field_name {
            FieldName::Literal(name) => name,
            FieldName::Indexed(index) => self.table.field(index).ok_or(HpackError::Index)?.0,
        };
        list.add(name, value)?;
        if is_indexed {
            self.table.insert(field_name, value);
        }
        Ok(())
    }
}

/// The header list of one field block so far.
struct HeaderList<'e> {
    size: usize,
    each: &'e mut dyn FnMut(&[u8], &[u8]),
}

impl HeaderList<'_> {
    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), HpackError> {
        self.size += name.len() + value.len() + ENTRY_OVERHEAD_BYTES;
        if self.size > MAX_HEADER_LIST_BYTES {
            return Err(HpackError::ListTooLong);
        }
        (self.each)(name, value);
        Ok(())
    }
}

/// Reads the string at the start of `rest` (section 5.2). A Huffman-coded string is decoded into `scratch`.
fn read_string<'s, 'b: 's>(rest: &mut &'b [u8], scratch: &'s mut Vec<u8>) -> Result<&'s [u8], HpackError> {
    let (&first, tail) = rest.split_first().ok_or(HpackError::Incomplete)?;
    *rest = tail;
    let length = integer::read(first, 7, rest)?;
    let (bytes, tail) = rest.split_at_checked(length).ok_or(HpackError::Incomplete)?;
    *rest = tail;
    if first & 0x80 == 0 {
        return Ok(bytes);
    }
    scratch.clear();
    huffman::decode(bytes, scratch)?;
    Ok(scratch)
}

/// Fuzzing: asserts that no block causes a panic or a header list above the limit, and that reported sizes are correct.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_limits(data: &[u8]) {
    let [max_table_size, data @ ..] = data else {
        return;
    };
    let mut decoder = HpackDecoder::new();
    decoder.set_max_table_size(u32::from(*max_table_size) << 14);
    // Each 0x1f ends a block. It begins a never-indexed literal, so little coverage is lost.
    for block in data.split_inclusive(|&b| b == 0x1f) {
        let mut size = 0;
        let list = decoder.decode(block, &mut |name, value| size += name.len() + value.len() + ENTRY_OVERHEAD_BYTES);
        assert!(size <= MAX_HEADER_LIST_BYTES);
        match list {
            Ok(list) => assert_eq!(list, size),
            Err(_) => return,
        }
    }
}

/// The initial value of SETTINGS_HEADER_TABLE_SIZE (RFC 9113 section 6.5.2).
const DEFAULT_TABLE_BYTES: usize = 4096;

/// The largest dynamic table, even if more was announced. Browsers announce 64 KiB, and few encoders use more than the
/// default.
const MAX_TABLE_BYTES: usize = 1024 * 1024;

/// The largest header list, as for an HTTP/1 head and as in Chromium. Without this limit a block of 256 KiB could decode to
/// some gigabytes (CVE-2016-6581).
pub(crate) const MAX_HEADER_LIST_BYTES: usize = 256 * 1024;

/// The largest capacity that each buffer keeps between two blocks.
const MAX_KEPT_SCRATCH_BYTES: usize = 4096;

#[cfg(test)]
mod tests;
