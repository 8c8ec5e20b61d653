//! The data blocks of a report: script elements with a JSON array, one value per line.

use crate::text::{Base64, write_json};
use serde::Serialize;
use std::io::{self, Write};

/// Writes the data blocks, each when it is large enough.
pub(super) struct Blocks<'o> {
    out: &'o mut dyn Write,
    written: u64,
    row_count: u32,
    rows: Block,
    details: Block,
    /// The row of each line of the open block of details.
    lines: Vec<u32>,
    /// The same of all blocks before it.
    index: Vec<Vec<u32>>,
    binary: Block,
    binary_count: usize,
}

/// A block that is not written yet.
struct Block {
    kind: &'static str,
    json: Vec<u8>,
    lines: usize,
}

impl<'o> Blocks<'o> {
    pub(super) fn new(out: &'o mut dyn Write) -> Self {
        let block = |kind| Block { kind, json: Vec::new(), lines: 0 };
        let [rows, details, binary] = ["rows", "details", "binary"].map(block);
        Self {
            out,
            written: 0,
            row_count: 0,
            rows,
            details,
            lines: Vec::new(),
            index: Vec::new(),
            binary,
            binary_count: 0,
        }
    }

    pub(super) fn out(&mut self) -> &mut dyn Write {
        self.out
    }

    /// Returns the size of all blocks so far, with the lines of the index.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Counts bytes that follow the blocks.
    pub(super) fn reserve(&mut self, len: usize) {
        self.written = self.written.saturating_add(len as u64);
    }

    /// Adds the row of an item, and returns its number.
    pub(super) fn add_row(&mut self, json: &[u8]) -> io::Result<u32> {
        let number = self.row_count;
        self.row_count = number.saturating_add(1);
        self.add(json.len());
        if self.rows.push(json) {
            self.rows.write(self.out)?;
        }
        Ok(number)
    }

    /// Adds a line about the item in this row.
    pub(super) fn add_detail(&mut self, row: u32, json: &[u8]) -> io::Result<()> {
        self.add(json.len());
        self.lines.push(row);
        if self.details.push(json) {
            self.index.push(std::mem::take(&mut self.lines));
            self.details.write(self.out)?;
        }
        Ok(())
    }

    /// Adds bytes, and returns their place: NUL, the number of the block, a colon, and the line.
    pub(super) fn add_binary(&mut self, bytes: &[u8]) -> io::Result<String> {
        let place = format!("\0{}:{}", self.binary_count, self.binary.lines);
        let json = json(&Base64(bytes))?;
        self.add(json.len());
        if self.binary.push(&json) {
            self.binary_count = self.binary_count.saturating_add(1);
            self.binary.write(self.out)?;
        }
        Ok(place)
    }

    fn add(&mut self, len: usize) {
        self.written = self.written.saturating_add(len as u64).saturating_add(LINE_BYTES);
    }

    /// Writes what is left. Returns the output, and the rows of the lines of each block of details.
    pub(super) fn finish(mut self) -> io::Result<(&'o mut dyn Write, Vec<Vec<u32>>)> {
        for block in [&mut self.rows, &mut self.details, &mut self.binary] {
            block.write(self.out)?;
        }
        if !self.lines.is_empty() {
            self.index.push(self.lines);
        }
        Ok((self.out, self.index))
    }
}

impl Block {
    /// Adds a line. Returns true if the block is large enough.
    fn push(&mut self, json: &[u8]) -> bool {
        self.json.extend_from_slice(if self.lines == 0 { b"[\n" } else { b",\n" });
        self.json.extend_from_slice(json);
        self.lines = self.lines.saturating_add(1);
        self.json.len() >= BLOCK_BYTES
    }

    fn write(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.lines == 0 {
            return Ok(());
        }
        write!(out, "<script type=\"application/json\" data-kind=\"{}\">", self.kind)?;
        out.write_all(&self.json)?;
        out.write_all(b"\n]</script>\n")?;
        self.json.clear();
        self.lines = 0;
        Ok(())
    }
}

/// Returns the JSON of a value, without `<`, so that no text in it ends a script element or begins a comment.
pub(super) fn json(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut json = Vec::new();
    write_json(value, &mut json)?;
    if json.contains(&b'<') {
        json = json.split(|byte| *byte == b'<').collect::<Vec<_>>().join(&b"\\u003c"[..]);
    }
    Ok(json)
}

/// The size at which a block is written.
const BLOCK_BYTES: usize = 256 * 1024;
/// More than a line takes besides its JSON: its end, and its number in the index.
const LINE_BYTES: u64 = 10;
