//! Reads a ZIP file from its start by the local headers alone, as far as it is there.
//!
//! ```text
//! header content │ header content │ header cont     a crash, or a cut, ended it here
//!   Whole            Whole            Cut
//! ```
//!
//! The file may hold anything. Lengths are claims until the bytes are there, and contents until their checksum is right.

use super::records::{CompressionMethod, EntryHeader, LOCAL, LocalHeader, ZipRecord, record};
use flate2::{Crc, Decompress, FlushDecompress, Status};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// See above.
pub(crate) struct Scan<'f> {
    file: &'f File,
    at: u64,
    /// Where the file ended when the scan began; what grows behind it is not looked at.
    end: u64,
    has_directory: bool,
}

/// What is at the place the scan has come to.
#[derive(Debug)]
pub(crate) enum ScanItem {
    /// An entry, all of it there.
    Entry(LocatedEntry),
    /// The directory, or the end of the file: there were no more entries.
    End,
    /// An entry that is not whole, or nothing of ours.
    Truncated,
}

/// An entry in the file.
#[derive(Debug)]
pub(crate) struct LocatedEntry {
    pub(crate) entry: EntryHeader,
    /// Our own field in the header.
    pub(crate) note: Vec<u8>,
    /// Where the content begins.
    at: u64,
    /// Where the next entry begins.
    pub(crate) end: u64,
}

impl<'f> Scan<'f> {
    pub(crate) fn new(file: &'f File) -> io::Result<Self> {
        Ok(Self { file, at: 0, end: file.metadata()?.len(), has_directory: false })
    }

    /// Goes on at `at`, where an entry ended, with what the file holds by now.
    pub(crate) fn from(file: &'f File, at: u64) -> io::Result<Self> {
        Ok(Self { at, ..Self::new(file)? })
    }

    /// The length of the file.
    pub(crate) fn len(&self) -> u64 {
        self.end
    }

    /// Whether the file begins as an archive of ours does, or, if it is shorter than that, could go on so. An entry that was
    /// never completed has zeros for a header.
    pub(crate) fn is_bundle(&self) -> io::Result<bool> {
        let bytes = self.bytes(0, LOCAL)?;
        let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
        Ok(begins(b"PK\x03\x04") || begins(&[0; LOCAL]) || record(&bytes) == ZipRecord::Directory)
    }

    /// Whether all entries have been seen, and the directory after them.
    pub(crate) fn has_directory(&self) -> bool {
        self.has_directory
    }

    /// The next entry, whether its content is sound or not.
    pub(crate) fn next(&mut self) -> io::Result<ScanItem> {
        if self.at >= self.end {
            return Ok(ScanItem::End);
        }
        match record(&self.bytes(self.at, LOCAL)?) {
            ZipRecord::Directory => {
                self.has_directory = true;
                Ok(ScanItem::End)
            }
            ZipRecord::Other => Ok(ScanItem::Truncated),
            ZipRecord::Local(head) => {
                let found = self.found(&head)?;
                if let Some(found) = &found {
                    self.at = found.end;
                }
                Ok(found.map_or(ScanItem::Truncated, ScanItem::Entry))
            }
        }
    }

    fn found(&self, head: &LocalHeader) -> io::Result<Option<LocatedEntry>> {
        let (name, extra) = (usize::from(head.name), usize::from(head.extra));
        let from = self.at.saturating_add(LOCAL as u64);
        let rest = self.bytes(from, name.saturating_add(extra))?;
        let Some((entry, note)) =
            rest.split_at_checked(name).filter(|(_, e)| e.len() == extra).and_then(|(n, e)| head.complete(n, e))
        else {
            return Ok(None);
        };
        let at = from.saturating_add(rest.len() as u64);
        let end = at.checked_add(entry.compressed_size).filter(|&end| end <= self.end);
        let note = note.to_owned();
        Ok(end.map(|end| LocatedEntry { entry, note, at, end }))
    }

    fn bytes(&self, at: u64, most: usize) -> io::Result<Vec<u8>> {
        bytes_at(self.file, at, self.end, most)
    }
}

/// Up to `most` bytes of `file` from `at` on, none from `end` on.
pub(super) fn bytes_at(file: &File, at: u64, end: u64, most: usize) -> io::Result<Vec<u8>> {
    let left = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; most.min(left)];
    let mut piece = FileRange { file, at, end };
    let mut have = 0;
    while let Some(rest) = bytes.get_mut(have..).filter(|rest| !rest.is_empty()) {
        match piece.read(rest) {
            Ok(0) => break,
            Ok(n) => have = have.saturating_add(n),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(have);
    Ok(bytes)
}

impl LocatedEntry {
    /// An entry whose content begins at `at`; `None` unless it ends at `most` at the latest.
    pub(super) fn new(entry: EntryHeader, at: u64, most: u64) -> Option<Self> {
        let end = at.checked_add(entry.compressed_size).filter(|&end| end <= most)?;
        Some(Self { entry, note: Vec::new(), at, end })
    }

    /// The content, if its size is at most `most`; if not, why it cannot be read.
    pub(crate) fn read(&self, file: &File, most: u64) -> Result<Vec<u8>, String> {
        if self.entry.size > most {
            return Err(format!("is too large ({} bytes)", self.entry.size));
        }
        let mut content = Vec::new();
        match self.content(file, &mut |bytes| content.extend_from_slice(bytes)) {
            Ok(true) => Ok(content),
            Ok(false) => Err("is damaged".into()),
            Err(e) => Err(e.to_string()),
        }
    }

    /// The content as it is in the file.
    pub(crate) fn packed<'f>(&self, file: &'f File) -> FileRange<'f> {
        FileRange { file, at: self.at, end: self.end }
    }

    /// Reads the content and hands it to `take`; whether it is what the header says.
    pub(crate) fn content(&self, file: &File, take: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
        let (mut crc, mut size) = (Crc::new(), 0u64);
        let mut unpacked = |bytes: &[u8]| {
            crc.update(bytes);
            size = size.saturating_add(bytes.len() as u64);
            take(bytes);
            // No more than was said: a claim must not cost more than itself.
            size <= self.entry.size
        };
        let mut packed = self.packed(file);
        let whole = match self.entry.method {
            CompressionMethod::Stored => stored(&mut packed, &mut unpacked)?,
            CompressionMethod::Deflated => inflated(&mut packed, self.entry.size, &mut unpacked)?,
        };
        Ok(whole && size == self.entry.size && crc.sum() == self.entry.crc)
    }
}

fn stored(packed: &mut FileRange<'_>, take: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<bool> {
    let mut piece = vec![0; piece_of(packed.end.saturating_sub(packed.at))];
    loop {
        match packed.read(&mut piece) {
            Ok(0) => return Ok(true),
            Ok(n) if take(piece.get(..n).unwrap_or_default()) => {}
            Ok(_) => return Ok(false),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// False unless the stream ends where the content, of `size` bytes, does.
fn inflated(packed: &mut FileRange<'_>, size: u64, take: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<bool> {
    let mut inflater = Decompress::new(false);
    let mut out = vec![0; piece_of(size)];
    let mut ended = false;
    let sound = stored(packed, &mut |mut bytes| {
        while !bytes.is_empty() && !ended {
            let (had, gave) = (inflater.total_in(), inflater.total_out());
            let Ok(status) = inflater.decompress(bytes, &mut out, FlushDecompress::None) else { return false };
            let used = usize::try_from(inflater.total_in().saturating_sub(had)).unwrap_or(usize::MAX);
            let made = usize::try_from(inflater.total_out().saturating_sub(gave)).unwrap_or(usize::MAX);
            bytes = bytes.get(used..).unwrap_or_default();
            ended = status == Status::StreamEnd;
            let is_stuck = used == 0 && made == 0 && !ended;
            if is_stuck || !take(out.get(..made).unwrap_or_default()) {
                return false;
            }
        }
        bytes.is_empty()
    })?;
    // What fitted the output exactly may leave a rest inside.
    while sound && !ended {
        let gave = inflater.total_out();
        let Ok(status) = inflater.decompress(&[], &mut out, FlushDecompress::None) else { return Ok(false) };
        let made = usize::try_from(inflater.total_out().saturating_sub(gave)).unwrap_or(usize::MAX);
        ended = status == Status::StreamEnd;
        if (made == 0 && !ended) || !take(out.get(..made).unwrap_or_default()) {
            return Ok(false);
        }
    }
    Ok(sound && ended)
}

/// Reservation to read so much, or a piece of it: most entries are small. One byte more, as room that is just enough looks full.
fn piece_of(len: u64) -> usize {
    usize::try_from(len).map_or(PIECE, |len| len.saturating_add(1).min(PIECE))
}

/// A part of a file.
pub(crate) struct FileRange<'f> {
    file: &'f File,
    at: u64,
    end: u64,
}

impl<'f> FileRange<'f> {
    pub(super) fn new(file: &'f File, range: Range<u64>) -> Self {
        Self { file, at: range.start, end: range.end }
    }
}

impl Read for FileRange<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = left.min(into.len());
        let n = self.file.read_at(into.get_mut(..most).unwrap_or_default(), self.at)?;
        self.at = self.at.saturating_add(n as u64);
        Ok(n)
    }
}

/// Contents are read in pieces of this size.
const PIECE: usize = 64 * 1024;
