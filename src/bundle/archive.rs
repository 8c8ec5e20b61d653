//! The ZIP file, and its way from `NAME.zip.part` to `NAME.zip`.
//!
//! ```text
//! group: body, body, trace.json ──▶ deflate ──▶ sink ─commit─▶ NAME.zip.part     all of a group or nothing of it
//!              └─ a line each ──▶ directory (spilled)          │ ▲
//! room: another thread copies a large body to its place ───────┼─┘               its group lists it once it is whole
//! finish: ─────────────────────────▶ its lines, end, fsync ────┤
//!   NAME.zip.bak ◀── NAME.zip ◀────────────────── rename ──────┘
//! ```
//!
//! What groups wrote has left the process when [`Archive::commit`] returns, with its sizes in the local headers: after
//! a crash it can be recovered. Many small groups that are staged are one system call. The file with the output's own name
//! is always a whole bundle, the old or the new one.
//!
//! We write ZIP ourselves for three reasons: nothing of an entry stays in memory, a group is all or nothing whatever fails,
//! and a header is there only once its entry is whole, so that a file that was cut off anywhere says by itself what is good.

use super::spill::Spill;
use crate::error::Error;
use buffered_file::BufferedFile;
use flate2::Crc;
use records::DosDateTime;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use unfinished::UnfinishedBundle;

pub(crate) use deflate::Deflater;
use deflate::WHOLE;
pub(crate) use records::{CompressionMethod, EntryHeader};
pub(crate) use reservation::Reservation;
pub(crate) use unfinished::{FinishError, UnfinishedState, folder};
pub(crate) use zip_reader::ZipReader;

pub(crate) mod buffered_file;
mod deflate;
pub(crate) mod index;
mod records;
mod reservation;
pub(crate) mod scan;
pub(crate) mod unfinished;
mod zip_reader;

/// A bundle being written.
pub(crate) struct Archive {
    sink: BufferedFile,
    /// Up to here all has left the process.
    committed: Checkpoint,
    /// Up to here all groups are whole.
    staged: Checkpoint,
    directory: Spill,
    /// The directory's lines for what is not committed.
    lines: Vec<u8>,
    /// How many lines there are in all.
    count: u64,
    entry: Option<OpenEntry>,
    deflater: Deflater,
    /// Whether small entries are stored as they are.
    is_hurried: bool,
    /// For entries that are written before they are added.
    scratch: Vec<u8>,
    date: DosDateTime,
    part: UnfinishedBundle,
}

/// A place between two groups.
#[derive(Clone, Copy, Default)]
struct Checkpoint {
    /// Where it is in the file.
    end: u64,
    /// How many entries lie before it.
    count: u64,
    /// How much of the uncommitted lines is theirs.
    lines: usize,
}

/// An entry under way. Until it ends there are zeros where its header will be.
struct OpenEntry {
    entry: EntryHeader,
    note: Vec<u8>,
    at: u64,
    /// It was begun with the promise to be no larger.
    most: u64,
    crc: Crc,
}

impl Archive {
    /// Opens `output`'s part, with `modified` (since the epoch) as the time of all entries. The parts of others that were
    /// in the way are returned too; they stay.
    pub(crate) fn create(output: &Path, modified: Duration) -> Result<(Self, Vec<PathBuf>), Error> {
        let (file, part, others) = UnfinishedBundle::create(output)?;
        let archive = Self {
            sink: BufferedFile::new(file),
            committed: Checkpoint::default(),
            staged: Checkpoint::default(),
            directory: Spill::new(folder(part.output()).to_owned()),
            lines: Vec::new(),
            count: 0,
            entry: None,
            deflater: Deflater::new(),
            is_hurried: false,
            scratch: Vec::new(),
            date: DosDateTime::new(modified),
            part,
        };
        Ok((archive, others))
    }

    /// Whether to store small entries as they are: compressing them takes longer than all else that is done for them here.
    pub(crate) fn hurry(&mut self, is_hurried: bool) {
        self.is_hurried = is_hurried;
    }

    /// Where the bundle is until it is finished.
    pub(crate) fn unfinished_path(&self) -> &Path {
        self.part.path()
    }

    /// Writes entries that belong together: `fill` begins each with [`Archive::entry`] and writes it. If anything
    /// fails, or `fill` panics, none of them is in the archive, and the next group takes their place.
    pub(crate) fn group(&mut self, fill: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        self.stage(fill)?;
        self.commit().inspect_err(|_| self.rollback())
    }

    /// As [`Archive::group`], but the group may wait here for [`Archive::commit`].
    pub(crate) fn stage(&mut self, fill: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        self.undo()?;
        let result = fill(self).and_then(|()| self.end_entry());
        match result {
            Ok(()) => self.staged = Checkpoint { end: self.sink.end(), count: self.count, lines: self.lines.len() },
            // If this fails, the next group does it first.
            Err(_) => drop(self.undo()),
        }
        result
    }

    /// How many bytes of staged groups wait.
    pub(crate) fn uncommitted(&self) -> u64 {
        self.staged.end.saturating_sub(self.committed.end)
    }

    /// Hands all that is staged to the system. If that fails, the groups are still staged: it can be tried again, or they
    /// are dropped by [`Archive::rollback`].
    pub(crate) fn commit(&mut self) -> io::Result<()> {
        self.undo()?;
        if self.uncommitted() > 0 {
            self.sink.flush()?;
            self.directory.append(&self.lines);
            self.lines.clear();
            self.staged.lines = 0;
            self.committed = self.staged;
            self.part.keep(true);
        }
        Ok(())
    }

    /// Forgets what is staged.
    pub(crate) fn rollback(&mut self) {
        self.staged = self.committed;
        // If this fails, the next group does it first.
        let _ = self.undo();
    }

    /// Begins an entry of at most `most` bytes. `note` is for recovery: it stands in the local header alone.
    pub(crate) fn entry(&mut self, name: String, most: u64, packing: CompressionMethod, note: &[u8]) -> io::Result<()> {
        self.end_entry()?;
        let entry = EntryHeader { name, method: packing, crc: 0, compressed_size: 0, size: 0, is_zip64: most >= LARGE };
        let header = entry.local(self.date, note)?;
        let at = self.sink.end();
        self.sink.append(&vec![0; header.len()])?;
        if packing == CompressionMethod::Deflated {
            self.deflater.begin();
        }
        self.entry = Some(OpenEntry { entry, note: note.to_owned(), at, most, crc: Crc::new() });
        Ok(())
    }

    /// Adds an entry of which all is here; a small one is stored if packing it saves nothing.
    pub(crate) fn add(
        &mut self,
        name: String,
        bytes: &[u8],
        packing: CompressionMethod,
        note: &[u8],
    ) -> io::Result<()> {
        if bytes.len() > WHOLE {
            self.entry(name, bytes.len() as u64, packing, note)?;
            return self.write_all(bytes);
        }
        self.end_entry()?;
        let mut crc = Crc::new();
        crc.update(bytes);
        let packed = match packing {
            CompressionMethod::Deflated if !self.is_hurried => {
                self.deflater.whole(bytes)?.filter(|packed| packed.len() < bytes.len())
            }
            CompressionMethod::Deflated | CompressionMethod::Stored => None,
        };
        let packing = if packed.is_some() { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let content = packed.unwrap_or(bytes);
        let (packed, size) = (content.len() as u64, bytes.len() as u64);
        let entry =
            EntryHeader { name, method: packing, crc: crc.sum(), compressed_size: packed, size, is_zip64: false };
        let at = self.sink.end();
        self.sink.append(&entry.local(self.date, note)?)?;
        self.sink.append(content)?;
        self.line(&entry, at)
    }

    /// The same, of what `write` writes.
    pub(crate) fn add_written(
        &mut self,
        name: String,
        note: &[u8],
        write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        let added = write(&mut bytes).and_then(|()| self.add(name, &bytes, CompressionMethod::Deflated, note));
        if bytes.capacity() <= PIECE {
            self.scratch = bytes;
        }
        added
    }

    /// Adds an entry that is packed already: `content` has its `packed` bytes.
    pub(crate) fn copy(&mut self, entry: EntryHeader, note: &[u8], content: &mut dyn Read) -> io::Result<()> {
        self.end_entry()?;
        let entry = EntryHeader { is_zip64: entry.size.max(entry.compressed_size) >= LARGE, ..entry };
        let header = entry.local(self.date, note)?;
        let at = self.sink.end();
        self.sink.append(&vec![0; header.len()])?;
        in_pieces(content, entry.compressed_size, &mut |piece| self.sink.append(piece))?;
        self.sink.patch(at, &header)?;
        self.line(&entry, at)
    }

    /// Leaves room for entries that are packed already, to be filled from any thread while others are written behind them. A
    /// group lists them with [`Archive::add_reserved`] once they are whole.
    pub(crate) fn reserve(&mut self, entries: Vec<EntryHeader>) -> io::Result<Vec<Reservation>> {
        self.commit()?;
        let rooms = entries.into_iter().map(|entry| self.leave_room(entry)).collect();
        match &rooms {
            Ok(_) => {
                self.staged.end = self.sink.end();
                self.committed = self.staged;
                self.part.keep(true);
            }
            Err(_) => self.rollback(),
        }
        rooms
    }

    fn leave_room(&mut self, entry: EntryHeader) -> io::Result<Reservation> {
        let entry = EntryHeader { is_zip64: entry.size.max(entry.compressed_size) >= LARGE, ..entry };
        let at = self.sink.end();
        // Not zeros: what is written behind must be found, and the checksum says whether the content came.
        self.sink.append(&entry.local(self.date, &[])?)?;
        let content = self.sink.end();
        self.sink.reserve(entry.compressed_size)?;
        let mut line = Vec::new();
        entry.central(self.date, at, &mut line)?;
        Ok(Reservation::new(self.sink.file(), at, content, entry.compressed_size, line))
    }

    /// Makes the entry in `room` one of the group.
    pub(crate) fn add_reserved(&mut self, room: &Reservation) -> io::Result<()> {
        self.end_entry()?;
        self.lines.extend_from_slice(&room.line);
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    /// Takes room back in which nothing will be. If others were written behind it, it stays, and the directory leaves it out.
    pub(crate) fn release(&mut self, room: &Reservation) {
        if self.staged.end == room.end && self.uncommitted() == 0 {
            self.committed.end = room.at;
            self.rollback();
        }
    }

    /// A compressor, for whoever wants to know what it would make of something.
    pub(crate) fn deflater(&mut self) -> io::Result<&mut Deflater> {
        self.end_entry()?;
        Ok(&mut self.deflater)
    }

    fn end_entry(&mut self) -> io::Result<()> {
        let Some(OpenEntry { mut entry, note, at, crc, .. }) = self.entry.take() else { return Ok(()) };
        if entry.method == CompressionMethod::Deflated {
            let (sink, packed) = (&mut self.sink, &mut entry.compressed_size);
            self.deflater.end(&mut |bytes| append(sink, packed, bytes))?;
        }
        entry.crc = crc.sum();
        self.sink.patch(at, &entry.local(self.date, &note)?)?;
        self.line(&entry, at)
    }

    /// Notes for the directory that `entry` is `at` its place.
    fn line(&mut self, entry: &EntryHeader, at: u64) -> io::Result<()> {
        // Half a line of a group that fails is taken back with the group.
        entry.central(self.date, at, &mut self.lines)?;
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    /// Leaves nothing behind: what it was made of is still there.
    pub(crate) fn abandon(&mut self) {
        self.part.keep(false);
    }

    /// Takes back what does not belong to a whole group.
    fn undo(&mut self) -> io::Result<()> {
        let Checkpoint { end, count, lines } = self.staged;
        self.entry = None;
        self.lines.truncate(lines);
        self.count = count;
        self.sink.rewind(end)
    }

    /// Writes the directory, makes sure that all is on the disk, and gives the bundle its name.
    pub(crate) fn finish(mut self) -> Result<PathBuf, FinishError> {
        self.part.keep(true);
        if let Err(cause) = self.write_end() {
            // What a full disk left of the directory is no use to anyone.
            let _ = self.undo();
            return Err(self.part.finish_error(UnfinishedState::Truncated, cause));
        }
        self.part.place()
    }

    fn write_end(&mut self) -> io::Result<()> {
        self.rollback();
        self.undo()?;
        let (mut read, mut piece) = (0, vec![0; PIECE]);
        while read < self.directory.len() {
            let n = self.directory.read_at(read, &mut piece)?;
            self.sink.append(piece.get(..n).unwrap_or_default())?;
            read = read.saturating_add(n as u64);
        }
        self.sink.append(&records::end(self.count, read, self.committed.end))?;
        self.sink.sync()
    }

    /// Goes on at `at`, behind a hole, as if so much were there.
    #[cfg(test)]
    fn skip_to(&mut self, at: u64) {
        self.sink.skip_to(at);
        (self.committed.end, self.staged.end) = (at, at);
    }
}

impl Write for Archive {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(begun) = &mut self.entry else { return Err(io::Error::other("no entry was begun")) };
        begun.crc.update(bytes);
        begun.entry.size = begun.entry.size.saturating_add(bytes.len() as u64);
        if begun.entry.size > begun.most {
            return Err(io::Error::other("an entry is larger than was said"));
        }
        let (sink, packed) = (&mut self.sink, &mut begun.entry.compressed_size);
        match begun.entry.method {
            CompressionMethod::Deflated => self.deflater.push(bytes, &mut |bytes| append(sink, packed, bytes))?,
            CompressionMethod::Stored => append(sink, packed, bytes)?,
        }
        Ok(bytes.len())
    }

    /// Does nothing, as [`Archive::group`] does it at its end, and in the middle of an entry it would cost compression.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hands the next `left` bytes of `content` to `take`.
fn in_pieces(content: &mut dyn Read, mut left: u64, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut piece = vec![0; usize::try_from(left).map_or(PIECE, |left| left.min(PIECE))];
    while left > 0 {
        let most = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        match content.read(piece.get_mut(..most).unwrap_or_default()) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                take(piece.get(..n).unwrap_or_default())?;
                left = left.saturating_sub(n as u64);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn append(sink: &mut BufferedFile, packed: &mut u64, bytes: &[u8]) -> io::Result<()> {
    *packed = packed.saturating_add(bytes.len() as u64);
    sink.append(bytes)
}

/// From here on an entry has room for sizes past 4 GiB: what does not compress grows, by an eighth at most.
const LARGE: u64 = 3 << 30;

/// What is copied goes in pieces of this size: larger ones leave the processor's cache.
const PIECE: usize = 128 * 1024;

#[cfg(test)]
mod tests;
