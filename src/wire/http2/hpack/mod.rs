//! Decodes HPACK, the header compression of HTTP/2 (RFC 7541), in pieces of any size.
//!
//! ```text
//! piece ─▶ representations ─┬─ index ──────────▶ table ──┬─▶ field, field, …
//!          (integer)        └─ name, value ──▶ string ───┘
//!                                └─ also into the table, if indexed
//! ```
//!
//! Each direction of a connection has its own decoder, which gets all field blocks of that direction in order. After a
//! missing block the dynamic table would be wrong for the rest of the connection. For the same reason an error is final.
//!
//! Limits: integers, header lists and the dynamic table have a maximum size. Fields above the limit of the header list are
//! omitted, but they still change the table, so later blocks are decoded correctly. The decoder stores at most one literal
//! field; strings that fit neither the header list nor the table are skipped. A size update must precede the fields of its
//! block and must not exceed the announced maximum. An encoder that does not shrink its table although the decoder announced
//! a smaller maximum is not detected: the table keeps its size until an update.
//!
//! No crate fits: `hpack` and `fluke-hpack` panic on the block `[0x3f]`. `loona-hpack` is maintained and does not panic, but
//! it has no limit on the size of a decoded header list, and it brings a dozen crates. This decoder decodes all 47,142 blocks
//! of the public interop stories (http2jp/hpack-test-case) as expected; `tests/data/hpack` has a selection of them.

mod huffman;
mod integer;
mod string;
mod table;

use integer::{IntegerReader, IntegerStart};
use string::StringReader;
use table::{DynamicTable, ENTRY_OVERHEAD_BYTES, FieldName};

/// Decodes the field blocks of one direction.
pub(crate) struct HpackDecoder {
    table: DynamicTable,
    /// The largest table that the receiver of these blocks allows (SETTINGS_HEADER_TABLE_SIZE).
    max_table_size: usize,
    state: State,
    /// The header list of the current block so far.
    list: HeaderList,
    /// True once the current block has a field.
    has_field: bool,
    /// True if the current literal field is added to the table.
    is_indexed: bool,
    /// The index of the name of the current literal field; 0 if the name is in `name`.
    name_index: usize,
    name: StringReader,
    value: StringReader,
}

/// The next byte of a block.
#[derive(Clone, Copy)]
enum State {
    /// The first byte of a representation.
    Representation,
    /// A further byte of an integer.
    Integer(IntegerPurpose, IntegerReader),
    /// The first byte of a string's length.
    Length(LiteralPart),
    /// A byte of a string.
    String(LiteralPart),
}

/// The meaning of an integer.
#[derive(Clone, Copy)]
enum IntegerPurpose {
    /// The index of a field.
    Index,
    /// The index of a literal field's name.
    NameIndex,
    TableSize,
    Length(LiteralPart, StringCoding),
}

/// A string of a literal field.
#[derive(Clone, Copy)]
enum LiteralPart {
    Name,
    Value,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum StringCoding {
    Plain,
    Huffman,
}

/// Receives the name and the value of each field.
pub(crate) type FieldSink<'e> = &'e mut dyn FnMut(&[u8], &[u8]);

/// The header list of a field block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderList {
    /// The size of its fields, without those that were omitted (RFC 9113 section 6.5.2). At most [`MAX_HEADER_LIST_BYTES`].
    pub(crate) size: usize,
    /// True if fields were omitted because the list was too long.
    pub(crate) is_truncated: bool,
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
}

impl HpackDecoder {
    pub(crate) fn new() -> Self {
        Self {
            table: DynamicTable::new(DEFAULT_TABLE_BYTES),
            max_table_size: DEFAULT_TABLE_BYTES,
            state: State::Representation,
            list: HeaderList::default(),
            has_field: false,
            is_indexed: false,
            name_index: 0,
            name: StringReader::default(),
            value: StringReader::default(),
        }
    }

    /// Sets the `SETTINGS_HEADER_TABLE_SIZE` that the receiver announced and the sender acknowledged.
    pub(crate) fn set_max_table_size(&mut self, size: u32) {
        self.max_table_size = usize::try_from(size).unwrap_or(usize::MAX);
    }

    /// Decodes a piece of a field block and calls `each` for every field that is complete and fits the header list.
    pub(crate) fn decode(&mut self, mut piece: &[u8], each: FieldSink<'_>) -> Result<(), HpackError> {
        while let Some((&byte, rest)) = piece.split_first() {
            match self.state {
                State::String(part) => {
                    if self.string(part).read(&mut piece)? {
                        self.end_string(part, each)?;
                    }
                    continue;
                }
                State::Representation => self.begin_representation(byte, each)?,
                State::Length(part) => {
                    let coding = if byte & 0x80 == 0 { StringCoding::Plain } else { StringCoding::Huffman };
                    self.begin_integer(IntegerPurpose::Length(part, coding), byte, 7, each)?;
                }
                State::Integer(purpose, mut reader) => match reader.push(byte)? {
                    Some(value) => self.end_integer(purpose, value, each)?,
                    None => self.state = State::Integer(purpose, reader),
                },
            }
            piece = rest;
        }
        Ok(())
    }

    /// Returns the number of bytes allocated.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.table.memory_bytes().saturating_add(self.name.capacity()).saturating_add(self.value.capacity())
    }

    /// Returns the header list of the current block so far.
    pub(crate) fn list(&self) -> HeaderList {
        self.list
    }

    /// Ends the field block, and returns its header list.
    pub(crate) fn end_block(&mut self) -> Result<HeaderList, HpackError> {
        if !matches!(self.state, State::Representation) {
            return Err(HpackError::Incomplete);
        }
        self.has_field = false;
        self.name.release_memory();
        self.value.release_memory();
        Ok(std::mem::take(&mut self.list))
    }

    fn begin_representation(&mut self, first: u8, each: FieldSink<'_>) -> Result<(), HpackError> {
        let (purpose, prefix) = match first {
            // Section 6.1: indexed field.
            0x80.. => (IntegerPurpose::Index, 7),
            // Section 6.2.1: literal with incremental indexing.
            0x40.. => (IntegerPurpose::NameIndex, 6),
            // Section 6.3: size update.
            0x20.. => (IntegerPurpose::TableSize, 5),
            // Sections 6.2.2 and 6.2.3: literal without indexing, or never indexed.
            _ => (IntegerPurpose::NameIndex, 4),
        };
        self.is_indexed = prefix == 6;
        self.begin_integer(purpose, first, prefix, each)
    }

    fn begin_integer(
        &mut self,
        purpose: IntegerPurpose,
        first: u8,
        prefix: u32,
        each: FieldSink<'_>,
    ) -> Result<(), HpackError> {
        match integer::start(first, prefix) {
            IntegerStart::Whole(value) => self.end_integer(purpose, value, each),
            IntegerStart::Continued(reader) => {
                self.state = State::Integer(purpose, reader);
                Ok(())
            }
        }
    }

    fn end_integer(&mut self, purpose: IntegerPurpose, value: usize, each: FieldSink<'_>) -> Result<(), HpackError> {
        match purpose {
            IntegerPurpose::Index => {
                let (name, value) = self.table.field(value).ok_or(HpackError::Index)?;
                self.has_field = true;
                self.list.add(name, value, each);
                self.state = State::Representation;
            }
            IntegerPurpose::NameIndex => {
                self.name_index = value;
                self.state = State::Length(if value == 0 { LiteralPart::Name } else { LiteralPart::Value });
            }
            IntegerPurpose::TableSize => {
                if self.has_field {
                    return Err(HpackError::LateUpdate);
                }
                if value > self.max_table_size.min(MAX_TABLE_BYTES) {
                    return Err(HpackError::TableSize);
                }
                self.table.resize(value);
                self.state = State::Representation;
            }
            IntegerPurpose::Length(part, coding) => {
                let max_len = self.table.max_size().max(MAX_HEADER_LIST_BYTES);
                self.string(part).begin(value, coding == StringCoding::Huffman, max_len);
                self.state = State::String(part);
                if value == 0 {
                    self.end_string(part, each)?;
                }
            }
        }
        Ok(())
    }

    fn end_string(&mut self, part: LiteralPart, each: FieldSink<'_>) -> Result<(), HpackError> {
        match part {
            LiteralPart::Name => self.state = State::Length(LiteralPart::Value),
            LiteralPart::Value => {
                self.state = State::Representation;
                self.end_literal(each)?;
            }
        }
        Ok(())
    }

    /// Processes a complete literal field.
    fn end_literal(&mut self, each: FieldSink<'_>) -> Result<(), HpackError> {
        self.has_field = true;
        let name = match self.name_index {
            0 => self.name.text(),
            index => Some(self.table.field(index).ok_or(HpackError::Index)?.0),
        };
        let (Some(name), Some(value)) = (name, self.value.text()) else {
            // The field is larger than the table.
            self.list.is_truncated = true;
            if self.is_indexed {
                self.table.clear();
            }
            return Ok(());
        };
        self.list.add(name, value, each);
        if self.is_indexed {
            let name = match (self.name_index, self.name.text()) {
                (0, Some(name)) => FieldName::Literal(name),
                (index, _) => FieldName::Indexed(index),
            };
            self.table.insert(name, value);
        }
        Ok(())
    }

    fn string(&mut self, part: LiteralPart) -> &mut StringReader {
        match part {
            LiteralPart::Name => &mut self.name,
            LiteralPart::Value => &mut self.value,
        }
    }
}

impl HeaderList {
    /// Adds a field, unless the list would be too long.
    fn add(&mut self, name: &[u8], value: &[u8], each: FieldSink<'_>) {
        let size = self.size + name.len() + value.len() + ENTRY_OVERHEAD_BYTES;
        if size > MAX_HEADER_LIST_BYTES {
            self.is_truncated = true;
        } else {
            self.size = size;
            each(name, value);
        }
    }
}

/// Fuzzing: asserts that no block causes a panic or a header list above the limit, that reported sizes are correct, and that
/// the fields do not depend on how a block is split.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_limits(data: &[u8]) {
    let [max_table_size, data @ ..] = data else {
        return;
    };
    let decode = |piece_size: usize| {
        let mut decoder = HpackDecoder::new();
        decoder.set_max_table_size(u32::from(*max_table_size) << 14);
        let mut lists = Vec::new();
        // Each 0x1f ends a block. It begins a never-indexed literal, so little coverage is lost.
        for block in data.split_inclusive(|&b| b == 0x1f) {
            let (mut size, mut fields) = (0, Vec::new());
            let mut add = |name: &[u8], value: &[u8]| {
                size += name.len() + value.len() + ENTRY_OVERHEAD_BYTES;
                fields.push((name.to_vec(), value.to_vec()));
            };
            let mut pieces = block.chunks(piece_size);
            let list = pieces.try_for_each(|piece| decoder.decode(piece, &mut add)).and_then(|()| decoder.end_block());
            assert!(size <= MAX_HEADER_LIST_BYTES);
            list.iter().for_each(|list| assert_eq!(list.size, size));
            lists.push((list, fields));
            if list.is_err() {
                break;
            }
        }
        lists
    };
    let whole = decode(usize::MAX);
    for piece_size in [1, 2, 5] {
        assert!(decode(piece_size) == whole, "in pieces of {piece_size}");
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

#[cfg(test)]
mod tests;
