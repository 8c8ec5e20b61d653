//! An entry at a known place in a file. Its content is read, and checked against the header.

use super::entry_content::EntryContent;
use super::file_range::FileRange;
use super::headers::{CompressionMethod, EntryHeader};
use super::read_error::EntryError;
use std::fs::File;
use std::io;

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

    /// Returns a reader of the uncompressed content.
    pub(crate) fn content<'f>(&self, file: &'f File) -> EntryContent<'f> {
        EntryContent::new(&self.header, self.compressed(file))
    }

    /// Passes the uncompressed content to `sink`. Returns true if its size and checksum match the header.
    pub(crate) fn read_content(&self, file: &File, sink: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
        let mut content = self.content(file);
        loop {
            match content.next() {
                Ok([]) => return Ok(true),
                Ok(block) => sink(block),
                Err(EntryError::Io(e)) => return Err(e),
                Err(_) => return Ok(false),
            }
        }
    }
}
