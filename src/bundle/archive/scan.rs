//! Reads a ZIP file from its start by the local headers alone, up to where it was truncated.
//!
//! ```text
//! header content │ header content │ header cont     ◀─ the file ends here
//!   Entry            Entry            Truncated
//! ```
//!
//! An entry may be 8 bytes after the end of the last one: a crash may have interrupted [`super::restore`] between its two
//! writes. If the machine crashed, it may also be 8 bytes before: only the second one reached the disk.
//!
//! The file may be damaged or hostile: lengths are checked against the file, and contents against their checksums.

use super::file_range::read_up_to;
use super::headers::{LOCAL_LEN, LocalHeader, ZipRecord, zip_record};
use super::located_entry::LocatedEntry;
use super::restore::MAX_SHIFT;
use crate::bundle::disk_watch::timed;
use std::fs::File;
use std::io;

/// A scan of a file, entry by entry.
pub(crate) struct Scan<'f> {
    file: &'f File,
    offset: u64,
    /// The length of the file when the scan began. Bytes appended later are ignored.
    len: u64,
    has_directory: bool,
}

/// The record at the current offset of a [`Scan`].
#[derive(Debug)]
pub(crate) enum ScanItem {
    /// An entry that is complete by its length. Its content is not checked yet.
    Entry(LocatedEntry),
    /// The directory or the end of the file: no more entries follow.
    End,
    /// An entry that extends past the end of the file, or anything that we do not write.
    Truncated,
}

impl<'f> Scan<'f> {
    pub(crate) fn new(file: &'f File) -> io::Result<Self> {
        Self::from(file, 0)
    }

    /// Begins at `offset`, the start of an entry, with the current length of the file.
    pub(crate) fn from(file: &'f File, offset: u64) -> io::Result<Self> {
        Ok(Self { file, offset, len: timed(|| file.metadata())?.len(), has_directory: false })
    }

    /// Returns a scan from the start of the file, with the same end.
    pub(crate) fn again(&self) -> Self {
        Self { offset: 0, has_directory: false, ..*self }
    }

    /// Returns the length of the file when the scan began.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Returns true if the file begins as our archives do, or is a prefix of such a beginning. An entry that was never
    /// completed has zeros for its header.
    pub(crate) fn is_bundle(&self) -> io::Result<bool> {
        let bytes = self.read_at(0, LOCAL_LEN)?;
        let begins_with = |prefix: &[u8]| bytes.iter().zip(prefix).all(|(a, b)| a == b);
        Ok(begins_with(b"PK\x03\x04") || begins_with(&[0; LOCAL_LEN]) || zip_record(&bytes) == ZipRecord::Directory)
    }

    /// Returns true once [`Scan::next`] has reached the directory.
    pub(crate) fn has_directory(&self) -> bool {
        self.has_directory
    }

    /// Returns the record at the current offset, and moves past it if it is an entry.
    pub(crate) fn next(&mut self) -> io::Result<ScanItem> {
        if self.offset >= self.len {
            return Ok(ScanItem::End);
        }
        for offset in [self.offset, self.offset.saturating_add(MAX_SHIFT), self.offset.saturating_sub(MAX_SHIFT)] {
            match zip_record(&self.read_at(offset, LOCAL_LEN)?) {
                ZipRecord::Directory if offset == self.offset => {
                    self.has_directory = true;
                    return Ok(ScanItem::End);
                }
                ZipRecord::Directory | ZipRecord::Other => {}
                ZipRecord::Local(header) => {
                    let Some(entry) = self.locate(offset, &header)? else { return Ok(ScanItem::Truncated) };
                    self.offset = entry.end;
                    return Ok(ScanItem::Entry(entry));
                }
            }
        }
        Ok(ScanItem::Truncated)
    }

    fn locate(&self, offset: u64, header: &LocalHeader) -> io::Result<Option<LocatedEntry>> {
        let (name_len, extra_len) = (usize::from(header.name_len), usize::from(header.extra_len));
        let start = offset.saturating_add(LOCAL_LEN as u64);
        let rest = self.read_at(start, name_len.saturating_add(extra_len))?;
        let Some((name, extra)) = rest.split_at_checked(name_len).filter(|(_, extra)| extra.len() == extra_len) else {
            return Ok(None);
        };
        let content = start.saturating_add(rest.len() as u64);
        let entry = header.with_name(name, extra);
        Ok(entry.and_then(|(entry, note)| LocatedEntry::new(entry, note, (offset, content), self.len)))
    }

    fn read_at(&self, offset: u64, max: usize) -> io::Result<Vec<u8>> {
        read_up_to(self.file, offset..self.len, max)
    }
}
