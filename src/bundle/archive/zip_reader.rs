//! Reads a finished ZIP file by its directory: our bundles, and those of other producers.
//!
//! ```text
//! header content │ header content │ … │ directory: name, sizes, offset ║ … │ [zip64 end, locator] end, comment
//!        ▲                                         │        ▲ index
//!        └─────────────────────────────────────────┘
//! ```
//!
//! The file may be damaged or hostile: the directory's claims are checked when they are used. A directory with two entries of
//! one name is refused, since readers disagree about which one counts. Overlapping entries are refused too: a small file could
//! otherwise contain the same bytes in thousands of entries. Only the index is kept in memory; a central header is read again
//! for each access.

use super::end_records::{END_LEN, ZIP64_END_LEN, ZIP64_LOCATOR_LEN, end_of_directory, zip64_end, zip64_locator};
use super::entry_content::EntryContent;
use super::file_range::{FileRange, read_up_to};
use super::headers::{CENTRAL_LEN, CentralHeader, CentralSizes, EntryHeader, LOCAL_LEN, local_header_len};
use super::index::Index;
use super::located_entry::LocatedEntry;
use super::read_error::{EntryError, OpenError};
use crate::sorting::sort_pairs;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::path::Path;

/// An open ZIP file.
pub(crate) struct ZipReader {
    file: File,
    directory: Range<u64>,
    /// Added to the offsets in the directory: an archive may be appended to another file.
    shift: u64,
    index: Index,
}

impl ZipReader {
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        Self::of(File::open(path)?)
    }

    /// Reads an open file.
    pub(crate) fn of(file: File) -> Result<Self, OpenError> {
        let meta = file.metadata()?;
        if meta.is_dir() {
            return Err(OpenError::IsADirectory);
        }
        let FoundDirectory { directory, count, shift } = find_directory(&file, meta.len())?.ok_or(OpenError::NotZip)?;
        let max_count = directory.end.saturating_sub(directory.start) / CENTRAL_LEN as u64;
        let mut reader = Self { file, directory, shift, index: Index::default() };
        let capacity = usize::try_from(count.min(max_count)).unwrap_or_default();
        let (mut index, mut extents) = (Index::with_capacity(capacity), Vec::with_capacity(capacity));
        let mut entries = reader.entries();
        let mut found: u64 = 0;
        for entry in &mut entries {
            found = found.saturating_add(1);
            extents.push(entry.extent());
            if let Ok(name) = std::str::from_utf8(&entry.name) {
                index.push(name, entry.offset);
            }
        }
        // Programs without ZIP64 count modulo 2^16.
        if entries.offset != reader.directory.end || found & 0xffff != count & 0xffff {
            return Err(OpenError::DamagedDirectory);
        }
        sort_pairs(&mut extents);
        if extents.windows(2).any(|pair| matches!(pair, [(_, end), (next, _)] if end > next)) {
            return Err(OpenError::OverlappingEntries);
        }
        index.sort();
        reader.index = index;
        match reader.repeated_name() {
            Some(name) => Err(OpenError::DuplicateEntry(name)),
            None => Ok(reader),
        }
    }

    /// Returns a name that several entries have.
    fn repeated_name(&self) -> Option<String> {
        self.index.repeated().find_map(|offset| {
            let entry = self.entry_at(offset, USUAL_NAME_BYTES)?;
            let name = String::from_utf8(entry.name).ok()?;
            let same = |offset: &u64| self.entry_at(*offset, name.len()).is_some_and(|it| it.name == name.as_bytes());
            let is_repeated = self.index.offsets(&name).filter(same).nth(1).is_some();
            is_repeated.then_some(name)
        })
    }

    /// Iterates over the names of all entries, except those that are not UTF-8, and the sizes of their contents, as claimed.
    pub(crate) fn names_and_sizes(&self) -> impl Iterator<Item = (String, u64)> {
        self.entries().filter_map(|entry| {
            let size = entry.header.sizes(&entry.extra).size;
            Some((String::from_utf8(entry.name).ok()?, size))
        })
    }

    #[cfg(test)]
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.names_and_sizes().map(|(name, _)| name)
    }

    /// Returns the content of an entry, or `None` if there is no such entry. Fails if it is larger than `max_size`.
    pub(crate) fn read(&self, name: &str, max_size: u64) -> Result<Option<Vec<u8>>, EntryError> {
        let Some(entry) = self.locate(name)? else { return Ok(None) };
        entry.read(&self.file, max_size).map(Some)
    }

    /// Returns the size of the file up to the end of its directory.
    pub(crate) fn file_len(&self) -> u64 {
        self.directory.end
    }

    /// Returns a reader of the content of an entry, or `None` if there is no such entry.
    pub(crate) fn content(&self, name: &str) -> Result<Option<EntryContent<'_>>, EntryError> {
        Ok(self.locate(name)?.map(|entry| entry.content(&self.file)))
    }

    /// Returns an entry's header and its compressed content, or `None` if there is no such entry.
    pub(crate) fn compressed(&self, name: &str) -> Result<Option<(EntryHeader, FileRange<'_>)>, EntryError> {
        let entry = self.locate(name)?;
        Ok(entry.map(|entry| (entry.header.clone(), entry.compressed(&self.file))))
    }

    fn locate(&self, name: &str) -> Result<Option<LocatedEntry>, EntryError> {
        let entry = self
            .index
            .offsets(name)
            .find_map(|offset| self.entry_at(offset, name.len()).filter(|entry| entry.name == name.as_bytes()));
        let Some(DirectoryEntry { header, extra, .. }) = entry else { return Ok(None) };
        let (header, offset) = header.with_name(name, &extra).ok_or(EntryError::UnsupportedCompression)?;
        let offset = offset.checked_add(self.shift).ok_or(EntryError::Damaged)?;
        let local = read_up_to(&self.file, offset..self.directory.start, LOCAL_LEN)?;
        let content = local_header_len(&local).and_then(|len| offset.checked_add(len)).ok_or(EntryError::Damaged)?;
        let entry = LocatedEntry::new(header, None, (offset, content), self.directory.start);
        Ok(Some(entry.ok_or(EntryError::Damaged)?))
    }

    /// Reads the entry whose central header is at `offset`.
    fn entry_at(&self, offset: u64, expected_name_len: usize) -> Option<DirectoryEntry> {
        DirectoryEntries::new(&self.file, offset..self.directory.end, expected_name_len).next()
    }

    fn entries(&self) -> DirectoryEntries<'_> {
        DirectoryEntries::new(&self.file, self.directory.clone(), BUFFER_BYTES)
    }
}

/// The directory as its end record describes it.
struct FoundDirectory {
    directory: Range<u64>,
    /// The number of entries that the end record claims.
    count: u64,
    shift: u64,
}

/// Searches backwards from the end of the file, at `len`, for the end record.
fn find_directory(file: &File, len: u64) -> io::Result<Option<FoundDirectory>> {
    let tail_start = len.saturating_sub(MAX_TAIL_BYTES);
    let tail = read_up_to(file, tail_start..len, usize::try_from(MAX_TAIL_BYTES).unwrap_or(usize::MAX))?;
    // Takes the last possible end record: a comment may contain its signature.
    for at in (0..=tail.len().saturating_sub(END_LEN)).rev() {
        let Some(mut end) = tail.get(at..).and_then(end_of_directory) else { continue };
        let mut directory_end = tail_start.saturating_add(at as u64);
        let locator = at.checked_sub(ZIP64_LOCATOR_LEN).and_then(|from| tail.get(from..at));
        if let Some(offset) = locator.and_then(zip64_locator) {
            // The usual place, which is right even in a shifted archive, then the one that the locator claims.
            let usual = directory_end.saturating_sub((ZIP64_LOCATOR_LEN + ZIP64_END_LEN) as u64);
            for offset in [usual, offset] {
                let record = read_up_to(file, offset..len, ZIP64_END_LEN)?;
                if let Some(zip64_end) = zip64_end(&record) {
                    (end, directory_end) = (zip64_end, offset);
                    break;
                }
            }
        }
        if let Some(start) = directory_end.checked_sub(end.len)
            && let Some(shift) = start.checked_sub(end.offset)
        {
            return Ok(Some(FoundDirectory { directory: start..directory_end, count: end.count, shift }));
        }
    }
    Ok(None)
}

/// Iterates over the entries of a directory, up to the first record that is not a central header.
struct DirectoryEntries<'f> {
    source: BufReader<FileRange<'f>>,
    /// The offset of the next entry.
    offset: u64,
}

/// An entry of the directory.
struct DirectoryEntry {
    /// The offset of the central header.
    offset: u64,
    header: CentralHeader,
    name: Vec<u8>,
    extra: Vec<u8>,
}

impl DirectoryEntry {
    /// Returns the range of the file that the entry takes at least: its local header may have more extra fields.
    fn extent(&self) -> (u64, u64) {
        let CentralSizes { compressed_size, offset, .. } = self.header.sizes(&self.extra);
        let header_len = (LOCAL_LEN as u64).saturating_add(self.name.len() as u64);
        (offset, offset.saturating_add(header_len).saturating_add(compressed_size))
    }
}

impl<'f> DirectoryEntries<'f> {
    /// Creates an iterator over the entries in `range`. `expected_name_len` limits the first read to the usual size of an
    /// entry with such a name, for callers that need one entry.
    fn new(file: &'f File, range: Range<u64>, expected_name_len: usize) -> Self {
        let capacity = expected_name_len.saturating_add(USUAL_BYTES_BESIDES_NAME).min(BUFFER_BYTES);
        Self { offset: range.start, source: BufReader::with_capacity(capacity, FileRange::new(file, range)) }
    }

    fn read_exact(&mut self, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.source.read_exact(&mut bytes).ok().map(|()| bytes)
    }
}

impl Iterator for DirectoryEntries<'_> {
    type Item = DirectoryEntry;

    fn next(&mut self) -> Option<DirectoryEntry> {
        let mut fixed = [0; CENTRAL_LEN];
        self.source.read_exact(&mut fixed).ok()?;
        let header = CentralHeader::read(&fixed)?;
        let name = self.read_exact(header.name_len.into())?;
        let extra = self.read_exact(header.extra_len.into())?;
        self.read_exact(header.comment_len.into())?;
        let offset = self.offset;
        self.offset = offset.saturating_add(header.len());
        Some(DirectoryEntry { offset, header, name, extra })
    }
}

/// The end record with the longest comment, and the ZIP64 locator before it.
const MAX_TAIL_BYTES: u64 = (END_LEN + ZIP64_LOCATOR_LEN) as u64 + u16::MAX as u64;

/// The directory is read in blocks of this size.
const BUFFER_BYTES: usize = 64 * 1024;

/// The length of a usual name.
const USUAL_NAME_BYTES: usize = 32;

/// The size of a central header without its name, comments, and extra fields that we do not write.
const USUAL_BYTES_BESIDES_NAME: usize = CENTRAL_LEN + 32;

#[cfg(test)]
mod tests;
