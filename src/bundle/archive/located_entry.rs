//! An entry at a known place in a file. Its content is read, and checked against the header.

use super::file_range::FileRange;
use super::headers::{CompressionMethod, EntryHeader};
use super::read_error::EntryError;
use crate::coding::crc32::Crc;
use flate2::{Decompress, FlushDecompress, Status};
use std::fs::File;
use std::io::{self, Read};

/// An entry and the range of the file that its compressed content takes.
#[derive(Debug)]
pub(crate) struct LocatedEntry {
    pub(crate) header: EntryHeader,
    /// The recovery note; empty if the entry was found through the directory, which leaves it out.
    pub(crate) note: Vec<u8>,
    /// True if it is a gzip member as received, which was the entry of its slice before.
    pub(crate) is_restored_member: bool,
    /// The offset of the local header.
    pub(super) offset: u64,
    /// The offset of the content.
    pub(super) start: u64,
    /// The end of the content, at which the next entry begins.
    pub(crate) end: u64,
}

impl LocatedEntry {
    /// Returns an entry whose local header, with the note `note`, is at `offset`, and its content at `start`; `None` if it
    /// extends past `limit`.
    pub(super) fn new(
        header: EntryHeader,
        note: Option<&[u8]>,
        (offset, start): (u64, u64),
        limit: u64,
    ) -> Option<Self> {
        let end = start.checked_add(header.compressed_size).filter(|&end| end <= limit)?;
        let is_restored_member = note == Some(&[]) && header.method == CompressionMethod::Stored;
        Some(Self { header, note: note.unwrap_or_default().to_owned(), is_restored_member, offset, start, end })
    }

    /// Returns the uncompressed content if its size is at most `max_size`.
    pub(crate) fn read(&self, file: &File, max_size: u64) -> Result<Vec<u8>, EntryError> {
        if self.header.size > max_size {
            return Err(EntryError::TooLarge(self.header.size));
        }
        let mut content = Vec::new();
        match self.read_content(file, &mut |bytes| content.extend_from_slice(bytes))? {
            true => Ok(content),
            false => Err(EntryError::Damaged),
        }
    }

    /// Returns the compressed content, as it is in the file.
    pub(crate) fn compressed<'f>(&self, file: &'f File) -> FileRange<'f> {
        FileRange::new(file, self.start..self.end)
    }

    /// As [`LocatedEntry::compressed`], from offset `at` of it.
    pub(crate) fn compressed_from<'f>(&self, file: &'f File, at: u64) -> FileRange<'f> {
        FileRange::new(file, self.start.saturating_add(at).min(self.end)..self.end)
    }

    /// Passes the uncompressed content to `sink`. Returns true if its size and checksum match the header.
    pub(crate) fn read_content(&self, file: &File, sink: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
        let (mut crc, mut size) = (Crc::new(), 0u64);
        let mut checked_sink = |bytes: &[u8]| {
            crc.update(bytes);
            size = size.saturating_add(bytes.len() as u64);
            sink(bytes);
            // Stops once the content exceeds the size in the header, so that a small entry cannot expand without limit.
            size <= self.header.size
        };
        let mut compressed = self.compressed(file);
        let is_complete = match self.header.method {
            CompressionMethod::Stored => read_all(&mut compressed, &mut checked_sink)?,
            CompressionMethod::Deflated => inflate(&mut compressed, self.header.size, &mut checked_sink)?,
        };
        Ok(is_complete && size == self.header.size && crc.sum() == self.header.crc)
    }
}

/// Passes all of `range` to `sink`. Returns false if `sink` does.
fn read_all(range: &mut FileRange<'_>, sink: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<bool> {
    let mut buffer = vec![0; buffer_len(range.remaining())];
    loop {
        match range.read(&mut buffer) {
            Ok(0) => return Ok(true),
            Ok(n) if sink(buffer.get(..n).unwrap_or_default()) => {}
            Ok(_) => return Ok(false),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Inflates all of `compressed` into `sink`. Returns false if the stream is invalid, if `sink` returns false, or if the
/// stream does not end where `compressed` does. `size` is the expected size of the output.
fn inflate(compressed: &mut FileRange<'_>, size: u64, sink: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<bool> {
    let mut inflater = Decompress::new(false);
    let mut out = vec![0; buffer_len(size)];
    let mut has_ended = false;
    let is_valid = read_all(compressed, &mut |mut bytes| {
        while !bytes.is_empty() && !has_ended {
            let (total_in, total_out) = (inflater.total_in(), inflater.total_out());
            let Ok(status) = inflater.decompress(bytes, &mut out, FlushDecompress::None) else { return false };
            let consumed = usize::try_from(inflater.total_in().saturating_sub(total_in)).unwrap_or(usize::MAX);
            let produced = usize::try_from(inflater.total_out().saturating_sub(total_out)).unwrap_or(usize::MAX);
            bytes = bytes.get(consumed..).unwrap_or_default();
            has_ended = status == Status::StreamEnd;
            let is_stuck = consumed == 0 && produced == 0 && !has_ended;
            if is_stuck || !sink(out.get(..produced).unwrap_or_default()) {
                return false;
            }
        }
        bytes.is_empty()
    })?;
    // Output that filled the buffer exactly may leave more inside the inflater.
    while is_valid && !has_ended {
        let total_out = inflater.total_out();
        let Ok(status) = inflater.decompress(&[], &mut out, FlushDecompress::None) else { return Ok(false) };
        let produced = usize::try_from(inflater.total_out().saturating_sub(total_out)).unwrap_or(usize::MAX);
        has_ended = status == Status::StreamEnd;
        if (produced == 0 && !has_ended) || !sink(out.get(..produced).unwrap_or_default()) {
            return Ok(false);
        }
    }
    Ok(is_valid && has_ended)
}

/// Returns the size of a buffer for `len` bytes: most entries are small. One byte more, because the inflater cannot
/// report the end of a stream that fills its output exactly.
fn buffer_len(len: u64) -> usize {
    usize::try_from(len).map_or(MAX_BUFFER_BYTES, |len| len.saturating_add(1).min(MAX_BUFFER_BYTES))
}

/// The largest buffer for reading content.
const MAX_BUFFER_BYTES: usize = 64 * 1024;
