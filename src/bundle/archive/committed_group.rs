//! A group that was written, read back while the archive grows.
//!
//! ```text
//! archive: lines of the directory ─▶ any thread: local headers, with their notes ─▶ contents
//! ```

use super::headers::CENTRAL_LEN;
use super::headers::CentralHeader;
use super::located_entry::LocatedEntry;
use super::scan::{Scan, ScanItem};
use std::fs::File;
use std::io;
use std::sync::Arc;

/// A committed group. Any thread can read it: nothing in the file is changed once a group is committed, until the end of the
/// capture is forced and no packer reads any more.
pub(crate) struct CommittedGroup {
    file: Arc<File>,
    /// The central headers of its entries.
    lines: Vec<u8>,
}

impl CommittedGroup {
    pub(super) fn new(file: Arc<File>, lines: Vec<u8>) -> Self {
        Self { file, lines }
    }

    /// Returns the file that contains the entries.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Reads the local headers, which have the notes that the directory omits.
    pub(crate) fn entries(&self) -> io::Result<Vec<LocatedEntry>> {
        let mut entries = Vec::new();
        let mut lines = self.lines.as_slice();
        while !lines.is_empty() {
            let (entry, rest) = self.first_entry(lines)?;
            entries.push(entry);
            lines = rest;
        }
        Ok(entries)
    }

    /// Reads the entry of the first line, and returns it with the other lines.
    fn first_entry<'l>(&self, lines: &'l [u8]) -> io::Result<(LocatedEntry, &'l [u8])> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a committed entry cannot be read back");
        let (fixed, rest) = lines.split_at_checked(CENTRAL_LEN).ok_or_else(damaged)?;
        let central = CentralHeader::read(fixed).ok_or_else(damaged)?;
        let (name, rest) = rest.split_at_checked(central.name_len.into()).ok_or_else(damaged)?;
        let (extra, rest) = rest.split_at_checked(central.extra_len.into()).ok_or_else(damaged)?;
        let name = std::str::from_utf8(name).map_err(|_| damaged())?;
        let (header, offset) = central.with_name(name, extra).ok_or_else(damaged)?;
        match Scan::from(&self.file, offset)?.next()? {
            ScanItem::Entry(entry) if entry.header.is_same_content(&header) => Ok((entry, rest)),
            _ => Err(damaged()),
        }
    }
}
