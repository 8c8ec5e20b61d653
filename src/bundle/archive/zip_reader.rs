//! A ZIP file being read, by its directory: ours, and those of others.
//!
//! ```text
//! header content │ header content │ … │ directory: name, sizes, place ║ … │ [zip64 end, locator] end, comment
//!        ▲                                         │        ▲ index
//!        └─────────────────────────────────────────┘
//! ```
//!
//! The file may hold anything: what the directory says is a claim until it was read. Of each entry the index alone is kept;
//! its line is read again whenever it is asked for.

use super::index::Index;
use super::records::{
    CENTRAL, CentralHeader, END, EntryHeader, LOCAL, LOCATOR, central, end_of_directory, local_len, zip64_end,
};
use super::scan::{FileRange, LocatedEntry, bytes_at};
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::Path;

/// A bundle being read.
pub(crate) struct ZipReader {
    file: File,
    directory: Range<u64>,
    /// What places in the file are past those that the directory names: an archive may stand behind something else.
    shift: u64,
    index: Index,
}

impl ZipReader {
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        let meta = file.metadata().map_err(|e| e.to_string())?;
        if meta.is_dir() {
            return Err("that is a folder".into());
        }
        let (directory, count, shift) =
            find(&file, meta.len()).map_err(|e| e.to_string())?.ok_or("it is no ZIP archive, or is cut off")?;
        let most = directory.end.saturating_sub(directory.start) / CENTRAL as u64;
        let mut opened = Self { file, directory, shift, index: Index::default() };
        let mut index = Index::for_entries(usize::try_from(count.min(most)).unwrap_or_default());
        let mut lines = opened.lines();
        let mut found: u64 = 0;
        for line in &mut lines {
            found = found.saturating_add(1);
            if let Ok(name) = std::str::from_utf8(&line.name) {
                index.push(name, line.place);
            }
        }
        // Old programs count in 16 bits, whatever they write.
        if lines.at != opened.directory.end || found & 0xffff != count & 0xffff {
            return Err("it is damaged: its directory is not what it says of itself".into());
        }
        index.put_in_order();
        opened.index = index;
        Ok(opened)
    }

    /// What is in it, but for names that nobody could ask for.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.lines().filter_map(|line| String::from_utf8(line.name).ok())
    }

    /// An entry's content if it is there, and if its size is at most `most`.
    pub(crate) fn read(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, String> {
        let Some(found) = self.found(name)? else { return Ok(None) };
        found.read(&self.file, most).map(Some)
    }

    /// An entry as it is packed, if it is there.
    pub(crate) fn packed(&self, name: &str) -> Result<Option<(EntryHeader, FileRange<'_>)>, String> {
        let found = self.found(name)?;
        Ok(found.map(|found| (found.entry.clone(), found.packed(&self.file))))
    }

    /// The entry `name`, if it is there.
    fn found(&self, name: &str) -> Result<Option<LocatedEntry>, String> {
        let line = self.index.places(name).find_map(|place| {
            let lines = DirectoryEntries::new(&self.file, place..self.directory.end, name.len());
            lines.into_iter().next().filter(|line| line.name == name.as_bytes())
        });
        let Some(DirectoryEntry { head, extra, .. }) = line else { return Ok(None) };
        let (entry, at) = head.complete(name, &extra).ok_or("is packed in a way that is not known here")?;
        let at = at.checked_add(self.shift).ok_or("is damaged")?;
        let local = bytes_at(&self.file, at, self.directory.start, LOCAL).map_err(|e| e.to_string())?;
        let content = local_len(&local).and_then(|len| at.checked_add(len)).ok_or("is damaged")?;
        Ok(Some(LocatedEntry::new(entry, content, self.directory.start).ok_or("is damaged")?))
    }

    fn lines(&self) -> DirectoryEntries<'_> {
        DirectoryEntries::new(&self.file, self.directory.clone(), BUFFER)
    }
}

/// Finds the directory from the end of the file, which is `len` bytes long: where it is, how many entries it says to have, and
/// how far all places are off.
fn find(file: &File, len: u64) -> std::io::Result<Option<(Range<u64>, u64, u64)>> {
    let from = len.saturating_sub(MOST_AT_END);
    let tail = bytes_at(file, from, len, usize::try_from(MOST_AT_END).unwrap_or(usize::MAX))?;
    // The last thing that can be the end record: a comment may look like anything.
    for at in (0..=tail.len().saturating_sub(END)).rev() {
        let Some(mut end) = tail.get(at..).and_then(end_of_directory) else { continue };
        let mut behind = from.saturating_add(at as u64);
        let before = at.checked_sub(LOCATOR).and_then(|locator| tail.get(locator..at));
        if let Some(place) = before.and_then(zip64_end::place) {
            // Where it says, or where it would be if the archive stands behind something else.
            let usual = behind.saturating_sub((LOCATOR + zip64_end::LEN) as u64);
            for place in [usual, place] {
                let record = bytes_at(file, place, len, zip64_end::LEN)?;
                if let Some(larger) = zip64_end::read(&record) {
                    (end, behind) = (larger, place);
                    break;
                }
            }
        }
        let start = behind.checked_sub(end.len);
        if let Some((start, shift)) = start.and_then(|start| Some((start, start.checked_sub(end.at)?))) {
            return Ok(Some((start..behind, end.count, shift)));
        }
    }
    Ok(None)
}

/// The lines of a directory, up to the first that is none.
struct DirectoryEntries<'f> {
    source: BufReader<FileRange<'f>>,
    /// Where the next line begins.
    at: u64,
}

/// A line of a directory.
struct DirectoryEntry {
    /// Where it begins.
    place: u64,
    head: CentralHeader,
    name: Vec<u8>,
    extra: Vec<u8>,
}

impl<'f> DirectoryEntries<'f> {
    fn new(file: &'f File, lines: Range<u64>, expected: usize) -> Self {
        let most = expected.saturating_add(MOST_BESIDES).min(BUFFER);
        Self { at: lines.start, source: BufReader::with_capacity(most, FileRange::new(file, lines)) }
    }

    fn bytes(&mut self, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.source.read_exact(&mut bytes).ok().map(|()| bytes)
    }
}

impl Iterator for DirectoryEntries<'_> {
    type Item = DirectoryEntry;

    fn next(&mut self) -> Option<DirectoryEntry> {
        let mut fixed = [0; CENTRAL];
        self.source.read_exact(&mut fixed).ok()?;
        let head = central(&fixed)?;
        let (name, extra) = (self.bytes(head.name.into())?, self.bytes(head.extra.into())?);
        self.bytes(head.comment.into())?;
        let place = self.at;
        self.at = place.saturating_add(head.len());
        Some(DirectoryEntry { place, head, name, extra })
    }
}

/// The end record with the longest comment, and what ZIP64 puts before it.
const MOST_AT_END: u64 = (END + LOCATOR) as u64 + u16::MAX as u64;

/// A directory is read in pieces of this size.
const BUFFER: usize = 64 * 1024;

/// What a line has besides its name, but for comments and fields that ours do not have.
const MOST_BESIDES: usize = CENTRAL + 32;

#[cfg(test)]
mod tests;
