//! HPACK: the compression of HTTP/2's fields, undone (RFC 7541).
//!
//! ```text
//! block ─▶ representations ─┬─ index ──────────▶ table ──┬─▶ field, field, …
//!          (integer)        └─ name, value ──▶ huffman ──┘
//!                                └─ perhaps into the table
//! ```
//!
//! Each direction of a connection has a decoder of its own, which sees all blocks of that direction in order: the table
//! of one that missed a block is wrong for good. An error is final for the same reason.
//!
//! Limits: an integer, a list of fields and the table each have theirs, and a size update comes before the block's fields and
//! within what the reader of the blocks announced. What does not follow from the bytes is not judged: an encoder that was asked to
//! shrink its table and says nothing is taken to have kept it.

mod huffman;
mod integer;
mod table;

use table::{Name, OVERHEAD, Table};

/// Decodes the blocks of one direction.
pub(crate) struct Decoder {
    table: Table,
    /// What the reader of these blocks allows the table to be.
    allowed: usize,
    /// Where names and values are decoded.
    name: Vec<u8>,
    value: Vec<u8>,
}

/// Why a block cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// It ends within a field.
    Unfinished,
    /// An integer is longer than any that has a use.
    Integer,
    /// An index points at no field.
    Index,
    /// A string in Huffman's code has bad padding, or the end of the string in it.
    Huffman,
    /// The table becomes larger than was announced, or than [`MAX_TABLE`].
    TableSize,
    /// The table's size changes after a field.
    LateUpdate,
    /// The fields are larger than [`MAX_LIST`].
    TooLong,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { table: Table::new(DEFAULT_TABLE), allowed: DEFAULT_TABLE, name: Vec::new(), value: Vec::new() }
    }

    /// The reader announced this `SETTINGS_HEADER_TABLE_SIZE`, and the writer acknowledged it.
    pub(crate) fn allow(&mut self, size: u32) {
        self.allowed = usize::try_from(size).unwrap_or(usize::MAX);
    }

    /// Reads a whole block and hands each field, as `(name, value)`, to `each`. The size of the list (RFC 9113 section
    /// 6.5.2), which is at most [`MAX_LIST`].
    pub(crate) fn decode(&mut self, block: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) -> Result<usize, Malformed> {
        let mut list = List { size: 0, each };
        let mut rest = block;
        while let Some((&first, tail)) = rest.split_first() {
            rest = tail;
            match first {
                // Section 6.1: a field of the tables.
                0x80.. => {
                    let index = integer::read(first, 7, &mut rest)?;
                    let (name, value) = self.table.field(index).ok_or(Malformed::Index)?;
                    list.add(name, value)?;
                }
                // Section 6.2.1: a literal, which the table learns.
                0x40.. => self.literal(first, 6, &mut rest, &mut list, true)?,
                // Section 6.3: the table's size.
                0x20.. => {
                    let size = integer::read(first, 5, &mut rest)?;
                    if list.size > 0 {
                        return Err(Malformed::LateUpdate);
                    }
                    if size > self.allowed.min(MAX_TABLE) {
                        return Err(Malformed::TableSize);
                    }
                    self.table.resize(size);
                }
                // Sections 6.2.2 and 6.2.3: a literal that is not indexed, or never shall be.
                _ => self.literal(first, 4, &mut rest, &mut list, false)?,
            }
        }
        for scratch in [&mut self.name, &mut self.value] {
            scratch.clear();
            scratch.shrink_to(KEPT_SCRATCH);
        }
        Ok(list.size)
    }

    /// A field whose value, and perhaps name, are in the block; `prefix` bits of `first` are the name's index.
    fn literal(
        &mut self,
        first: u8,
        prefix: u32,
        rest: &mut &[u8],
        list: &mut List<'_>,
        is_learned: bool,
    ) -> Result<(), Malformed> {
        let named = match integer::read(first, prefix, rest)? {
            0 => Name::Literal(string(rest, &mut self.name)?),
            index => Name::Of(index),
        };
        let value = string(rest, &mut self.value)?;
        let name = match named {
            Name::Literal(name) => name,
            Name::Of(index) => self.table.field(index).ok_or(Malformed::Index)?.0,
        };
        list.add(name, value)?;
        if is_learned {
            self.table.insert(named, value);
        }
        Ok(())
    }
}

/// The fields of one block so far.
struct List<'e> {
    size: usize,
    each: &'e mut dyn FnMut(&[u8], &[u8]),
}

impl List<'_> {
    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), Malformed> {
        self.size += name.len() + value.len() + OVERHEAD;
        if self.size > MAX_LIST {
            return Err(Malformed::TooLong);
        }
        (self.each)(name, value);
        Ok(())
    }
}

/// The string that `rest` begins with (section 5.2), in `scratch` if it is in Huffman's code.
fn string<'s, 'b: 's>(rest: &mut &'b [u8], scratch: &'s mut Vec<u8>) -> Result<&'s [u8], Malformed> {
    let (&first, tail) = rest.split_first().ok_or(Malformed::Unfinished)?;
    *rest = tail;
    let length = integer::read(first, 7, rest)?;
    let (bytes, tail) = rest.split_at_checked(length).ok_or(Malformed::Unfinished)?;
    *rest = tail;
    if first & 0x80 == 0 {
        return Ok(bytes);
    }
    scratch.clear();
    huffman::decode(bytes, scratch)?;
    Ok(scratch)
}

/// Fuzzing: no block makes it panic, keep more than its limits, or report more than them.
#[cfg(any(test, fuzzing))]
pub(crate) fn any_blocks(data: &[u8]) {
    let [allowed, data @ ..] = data else {
        return;
    };
    let mut decoder = Decoder::new();
    decoder.allow(u32::from(*allowed) << 14);
    // Blocks end at a byte that begins a literal which is never indexed, and so is no loss.
    for block in data.split_inclusive(|&b| b == 0x1f) {
        let mut size = 0;
        let list = decoder.decode(block, &mut |name, value| size += name.len() + value.len() + OVERHEAD);
        assert!(size <= MAX_LIST);
        match list {
            Ok(list) => assert_eq!(list, size),
            Err(_) => return,
        }
    }
}

/// What the table may be before anything is announced (RFC 9113 section 6.5.2).
const DEFAULT_TABLE: usize = 4096;

/// The largest table that is kept, whatever was announced. Browsers announce 64 KiB, and few encoders take more than the
/// default.
const MAX_TABLE: usize = 1024 * 1024;

/// The largest list of fields: as a head of HTTP/1, and as Chromium. Without it a block of 256 KiB stands for some
/// gigabytes (CVE-2016-6581).
pub(crate) const MAX_LIST: usize = 256 * 1024;

/// What each scratch buffer may keep between two blocks.
const KEPT_SCRATCH: usize = 4096;

#[cfg(test)]
mod tests;
