//! The ZIP file under construction, from `NAME.zip.part` to `NAME.zip`.
//!
//! ```text
//! group: body, body, trace.json ──▶ deflate ──▶ buffered file ─commit─▶ NAME.zip.part    a group is all or nothing
//!              └─ central headers ──▶ directory (spilled)         │ ▲
//! reservation: another thread writes a large body to its place ───┼─┘    its group lists it once it is complete
//! replacement: a group retires an earlier one ────────────────────┤      the directory leaves that out
//! forced end: unverified slices become members as received ───────┤      in place, by their headers
//! finish: ──────────────────────▶ directory, end record, fsync ───┴─ rename ─▶ NAME.zip
//! ```
//!
//! When [`Archive::commit`] returns, the kernel has the committed groups, with sizes in their local headers, so that
//! they can be recovered after a crash. Small groups are staged, and many of them are written by one system call. The
//! file called `NAME.zip` is a complete bundle at every moment, the old or the new one.
//!
//! A retired group stays in the file. Recovery takes the last group of an item.
//!
//! This is our own ZIP writer for three reasons. Memory does not grow with the number of entries. A group is all or
//! nothing, whatever fails. A header is written only once its entry is complete, so that a truncated file shows which entries
//! are good.

use super::disk_watch::timed;
use super::spill::SpillPlace;
use crate::coding::crc32::Crc;
use crate::error::Error;
use buffered_file::BufferedFile;
use content::copy_blocks;
use deflate::MAX_WHOLE_BYTES;
use directory::{Directory, DirectoryMark};
use dos_time::DosDateTime;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use unfinished::UnfinishedFile;

pub(crate) use committed_group::CommittedGroup;
pub(crate) use content::Content;
pub(crate) use deflate::Deflater;
pub(crate) use directory::GroupPlace;
pub(crate) use file_range::FileRange;
pub(crate) use headers::{CompressionMethod, EntryHeader};
#[cfg(feature = "tools")]
pub(crate) use packed_entry::PackedEntry;
pub use read_error::{EntryError, OpenError};
pub(crate) use reservation::Reservation;
pub(crate) use restore::{with_slack, without_slack};
pub(crate) use unfinished::{FinishError, Finished, OutputFile, UnfinishedState};
pub(crate) use zip_reader::ZipReader;

pub(crate) mod buffered_file;
mod committed_group;
mod content;
mod deflate;
mod directory;
mod dos_time;
mod end_records;
pub(crate) mod entry_content;
pub(crate) mod file_range;
mod headers;
pub(crate) mod index;
mod le;
pub(crate) mod located_entry;
#[cfg(feature = "tools")]
mod packed_entry;
mod read_error;
mod reservation;
mod restore;
pub(crate) mod scan;
mod signatures;
mod unfinished;
mod zip_reader;

/// A bundle being written.
pub(crate) struct Archive {
    file: BufferedFile,
    /// The end of the last committed group.
    committed: Checkpoint,
    /// The end of the last staged group.
    staged: Checkpoint,
    directory: Directory,
    open_entry: Option<OpenEntry>,
    deflater: Deflater,
    /// True if small entries are stored uncompressed.
    stores_small_entries: bool,
    /// A buffer for [`Archive::add_written`].
    scratch: Vec<u8>,
    /// A buffer for a local header.
    local_header: Vec<u8>,
    date: DosDateTime,
    unfinished: UnfinishedFile,
}

/// A position between two groups.
#[derive(Clone, Copy, Default)]
struct Checkpoint {
    /// The offset in the file.
    end: u64,
    directory: DirectoryMark,
}

/// An entry whose content is being written. Its header is zeros in the file until it ends.
struct OpenEntry {
    header: EntryHeader,
    note: Vec<u8>,
    offset: u64,
    /// The size that was declared when it began.
    max_size: u64,
    crc: Crc,
}

impl Archive {
    /// As [`Archive::create_in`], spilled beside the output.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn create(output: &Path, modified: Duration) -> Result<(Self, Vec<PathBuf>), Error> {
        Self::create_in(SpillPlace::beside(output), OutputFile::Path(output), modified)
    }

    /// Creates the unfinished bundle of a capture into `output`, whose directory is spilled to `place`. All entries get the time
    /// `modified`, since the epoch. Also returns the paths of other files with such a name, which are left alone.
    pub(crate) fn create_in(
        place: SpillPlace,
        output: OutputFile<'_>,
        modified: Duration,
    ) -> Result<(Self, Vec<PathBuf>), Error> {
        let (unfinished, others) = timed(|| UnfinishedFile::of_capture(output))?;
        Ok((Self::new(unfinished, place, modified), others))
    }

    /// Creates the temporary file of a tool that writes `output`. It is deleted if it is not finished.
    pub(crate) fn create_temporary(output: &Path, modified: Duration) -> Result<Self, Error> {
        let unfinished = UnfinishedFile::temporary(output)?;
        let place = SpillPlace::beside(unfinished.output());
        Ok(Self::new(unfinished, place, modified))
    }

    fn new(unfinished: UnfinishedFile, place: SpillPlace, modified: Duration) -> Self {
        Self {
            file: BufferedFile::new(Arc::clone(unfinished.file())),
            committed: Checkpoint::default(),
            staged: Checkpoint::default(),
            directory: Directory::new(place),
            open_entry: None,
            deflater: Deflater::new(),
            stores_small_entries: false,
            scratch: Vec::new(),
            local_header: Vec::new(),
            date: DosDateTime::new(modified),
            unfinished,
        }
    }

    /// Sets whether small entries are stored uncompressed. Compressing one takes longer than the rest of writing it.
    pub(crate) fn store_small_entries(&mut self, is_set: bool) {
        self.stores_small_entries = is_set;
    }

    /// Returns the path of the bundle until it is finished.
    pub(crate) fn unfinished_path(&self) -> &Path {
        self.unfinished.path()
    }

    /// Returns the path of the bundle once it is finished.
    pub(crate) fn output(&self) -> &Path {
        self.unfinished.output()
    }

    /// Writes and commits the entries that `fill` adds, as one group. If anything fails or `fill` panics, none of them
    /// is in the archive, and the next group takes their place.
    pub(crate) fn group(&mut self, fill: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<GroupPlace> {
        let place = self.stage(fill)?;
        self.commit().inspect_err(|_| self.rollback())?;
        Ok(place)
    }

    /// As [`Archive::group`], but leaves the group staged for a later [`Archive::commit`]. The returned place is valid
    /// until a rollback.
    pub(crate) fn stage(&mut self, fill: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<GroupPlace> {
        self.discard_unstaged()?;
        let result = (fill(self).and_then(|()| self.end_entry()))
            .and_then(|()| self.directory.group_since(self.staged.directory));
        match result {
            Ok(_) => self.staged = Checkpoint { end: self.file.end(), directory: self.directory.mark() },
            // The next group discards again if this fails.
            Err(_) => drop(self.discard_unstaged()),
        }
        result
    }

    /// Removes an earlier, committed group from the directory when the current group is committed. So one group replaces
    /// another: in the file both are there, and the later one counts.
    pub(crate) fn retire(&mut self, earlier: GroupPlace) -> io::Result<()> {
        self.directory.retire(earlier)
    }

    /// Returns a committed group, which any thread can read.
    pub(crate) fn read_group(&self, place: GroupPlace) -> io::Result<CommittedGroup> {
        Ok(CommittedGroup::new(self.file.file(), self.directory.lines(place)?))
    }

    /// True if another process deleted or replaced the file of a capture.
    pub(crate) fn is_lost(&self) -> bool {
        self.unfinished.is_lost()
    }

    /// Returns the size of the file up to the end of the last committed group.
    pub(crate) fn committed_bytes(&self) -> u64 {
        self.committed.end
    }

    /// Returns the size of the directory of committed entries.
    pub(crate) fn directory_bytes(&self) -> u64 {
        self.directory.bytes()
    }

    /// Returns the file, which stays the same when it is renamed.
    pub(crate) fn file(&self) -> Arc<File> {
        self.file.file()
    }

    /// Returns the number of bytes in staged groups.
    pub(crate) fn staged_bytes(&self) -> u64 {
        self.staged.end.saturating_sub(self.committed.end)
    }

    /// Writes all staged groups to the file. On failure they stay staged, for another attempt or [`Archive::rollback`].
    pub(crate) fn commit(&mut self) -> io::Result<()> {
        self.discard_unstaged()?;
        if self.staged_bytes() > 0 || !self.directory.is_committed() {
            self.file.flush()?;
            self.directory.commit();
            self.staged.directory = DirectoryMark::default();
            self.committed = self.staged;
            self.unfinished.keep(true);
        }
        Ok(())
    }

    /// Discards all staged groups.
    pub(crate) fn rollback(&mut self) {
        self.staged = self.committed;
        // The next group discards again if this fails.
        let _ = self.discard_unstaged();
    }

    /// Begins an entry of at most `max_size` bytes. Its content is then written through [`Write`]. `note` is the
    /// recovery note in its local header.
    pub(crate) fn begin_entry(
        &mut self,
        name: String,
        max_size: u64,
        method: CompressionMethod,
        note: &[u8],
    ) -> io::Result<()> {
        self.end_entry()?;
        let is_zip64 = max_size >= ZIP64_MARGIN_BYTES;
        let header = EntryHeader { name, method, crc: 0, compressed_size: 0, size: 0, is_zip64 };
        let offset = self.file.end();
        self.file.append(&vec![0; header.local(self.date, note)?.len()])?;
        if method == CompressionMethod::Deflated {
            self.deflater.begin();
        }
        self.open_entry = Some(OpenEntry { header, note: note.to_owned(), offset, max_size, crc: Crc::new() });
        Ok(())
    }

    /// Adds an entry with the content `bytes`. A small one is stored if compression does not make it smaller.
    pub(crate) fn add(&mut self, name: &str, bytes: &[u8], method: CompressionMethod, note: &[u8]) -> io::Result<()> {
        if bytes.len() > MAX_WHOLE_BYTES {
            self.begin_entry(name.to_owned(), bytes.len() as u64, method, note)?;
            return self.write_all(bytes);
        }
        self.end_entry()?;
        let mut crc = Crc::new();
        crc.update(bytes);
        let compressed = match method {
            CompressionMethod::Deflated if !self.stores_small_entries => {
                self.deflater.whole(bytes)?.filter(|compressed| compressed.len() < bytes.len())
            }
            CompressionMethod::Deflated | CompressionMethod::Stored => None,
        };
        let method = if compressed.is_some() { CompressionMethod::Deflated } else { CompressionMethod::Stored };
        let content = compressed.unwrap_or(bytes);
        let (compressed_size, size) = (content.len() as u64, bytes.len() as u64);
        let header = EntryHeader { name, method, crc: crc.sum(), compressed_size, size, is_zip64: false };
        let offset = self.file.end();
        self.local_header.clear();
        header.append_local(self.date, note, &mut self.local_header)?;
        self.file.append(&self.local_header)?;
        self.file.append(content)?;
        self.directory.add(header, self.date, offset)
    }

    /// As [`Archive::add`], with the content that `write` produces.
    pub(crate) fn add_written(
        &mut self,
        name: &str,
        note: &[u8],
        write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        let added = write(&mut bytes).and_then(|()| self.add(name, &bytes, CompressionMethod::Deflated, note));
        if bytes.capacity() <= BLOCK_BYTES {
            self.scratch = bytes;
        }
        added
    }

    /// Adds an entry that another thread compressed.
    #[cfg(feature = "tools")]
    pub(crate) fn add_packed(&mut self, PackedEntry { header, content }: &PackedEntry) -> io::Result<()> {
        self.end_entry()?;
        let offset = self.file.end();
        self.local_header.clear();
        header.borrowed().append_local(self.date, &[], &mut self.local_header)?;
        self.file.append(&self.local_header)?;
        self.file.append(content)?;
        self.add_to_directory(header, offset)
    }

    /// Adds an entry that is compressed already: `content` yields its `compressed_size` bytes.
    pub(crate) fn copy(&mut self, header: EntryHeader, note: &[u8], content: &mut dyn Content) -> io::Result<()> {
        let (header, offset) = self.copy_content(header, note, content)?;
        self.add_to_directory(&header, offset)
    }

    /// Appends an entry. Returns its header, and the offset of its local header.
    fn copy_content(
        &mut self,
        header: EntryHeader,
        note: &[u8],
        content: &mut dyn Content,
    ) -> io::Result<(EntryHeader, u64)> {
        self.end_entry()?;
        let header = with_zip64(header);
        let local = header.local(self.date, note)?;
        let offset = self.file.end();
        self.file.append(&vec![0; local.len()])?;
        copy_blocks(content, header.compressed_size, &mut |blocks| self.file.append_all(blocks))?;
        self.file.patch(offset, &local)?;
        Ok((header, offset))
    }

    /// As [`Archive::copy`], with the deflate stream of a gzip member whose trailer claims the CRC-32 and the size in
    /// `header`. Its header is the entry's note, so that the member can be rebuilt. The archive is not finished until the
    /// group is confirmed or retired.
    pub(crate) fn copy_claimed(
        &mut self,
        header: EntryHeader,
        member_header: &[u8],
        content: &mut dyn Content,
    ) -> io::Result<()> {
        let (header, offset) = self.copy_content(header, member_header, content)?;
        self.directory.add_claimed(header.borrowed(), self.date, offset)
    }

    /// Notes that the claims of a committed group are verified.
    pub(crate) fn confirm(&mut self, place: GroupPlace) -> io::Result<()> {
        self.directory.confirm(place)
    }

    fn end_entry(&mut self) -> io::Result<()> {
        let Some(OpenEntry { mut header, note, offset, crc, .. }) = self.open_entry.take() else { return Ok(()) };
        if header.method == CompressionMethod::Deflated {
            let (file, compressed_size) = (&mut self.file, &mut header.compressed_size);
            self.deflater.end(&mut |bytes| append_content(file, compressed_size, bytes))?;
        }
        header.crc = crc.sum();
        self.file.patch(offset, &header.local(self.date, &note)?)?;
        self.add_to_directory(&header, offset)
    }

    fn add_to_directory(&mut self, header: &EntryHeader, offset: u64) -> io::Result<()> {
        self.directory.add(header.borrowed(), self.date, offset)
    }

    /// Deletes the unfinished bundle on drop. For bundles whose sources still exist.
    pub(crate) fn abandon(&mut self) {
        self.unfinished.keep(false);
    }

    /// Discards everything after the last complete group.
    fn discard_unstaged(&mut self) -> io::Result<()> {
        self.open_entry = None;
        self.directory.truncate(self.staged.directory);
        self.file.rewind(self.staged.end)
    }

    /// Writes the directory, syncs the file, and renames it to its output path. A file there becomes a backup.
    pub(crate) fn finish(mut self) -> Result<Finished, FinishError> {
        match self.complete() {
            Ok(()) => self.unfinished.finish(),
            Err(cause) => Err(self.unfinished.leave(cause)),
        }
    }

    /// As [`Archive::finish`], but discards the bundle if a file is at its output path.
    pub(crate) fn finish_if_free(mut self) -> Result<Finished, FinishError> {
        match self.complete() {
            Ok(()) => self.unfinished.finish_if_free(),
            Err(cause) => Err(self.unfinished.leave(cause)),
        }
    }

    /// Leaves a bundle that cannot be completed because of `cause`.
    pub(crate) fn leave(mut self, cause: io::Error) -> FinishError {
        self.unfinished.keep(true);
        self.unfinished.leave(cause)
    }

    fn complete(&mut self) -> io::Result<()> {
        self.unfinished.keep(true);
        self.write_directory().inspect_err(|_| {
            // Removes a partial directory, to free space on a full disk.
            let _ = self.discard_unstaged();
        })
    }

    fn write_directory(&mut self) -> io::Result<()> {
        self.rollback();
        // Again, because a rollback ignores its error.
        self.discard_unstaged()?;
        let file = &mut self.file;
        let (count, len) = self.directory.write(&mut |lines| file.append(lines))?;
        self.file.append(&end_records::end_records(count, len, self.committed.end))?;
        self.file.sync()
    }

    /// Continues at `offset` after a hole, to test large offsets.
    #[cfg(test)]
    fn skip_to(&mut self, offset: u64) {
        self.file.skip_to(offset);
        (self.committed.end, self.staged.end) = (offset, offset);
    }
}

/// Writes the content of the entry that [`Archive::begin_entry`] began.
impl Write for Archive {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(entry) = &mut self.open_entry else { return Err(io::Error::other("no entry was begun")) };
        entry.crc.update(bytes);
        entry.header.size = entry.header.size.saturating_add(bytes.len() as u64);
        if entry.header.size > entry.max_size {
            return Err(io::Error::other("an entry exceeds its declared size"));
        }
        let (file, compressed_size) = (&mut self.file, &mut entry.header.compressed_size);
        match entry.header.method {
            CompressionMethod::Deflated => {
                self.deflater.push(bytes, &mut |bytes| append_content(file, compressed_size, bytes))?;
            }
            CompressionMethod::Stored => append_content(file, compressed_size, bytes)?,
        }
        Ok(bytes.len())
    }

    /// Does nothing: [`Archive::commit`] flushes, and a flush within an entry would cost compression.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn with_zip64(header: EntryHeader) -> EntryHeader {
    EntryHeader { is_zip64: header.size.max(header.compressed_size) >= ZIP64_MARGIN_BYTES, ..header }
}

/// Appends compressed content and counts it.
fn append_content(file: &mut BufferedFile, compressed_size: &mut u64, bytes: &[u8]) -> io::Result<()> {
    *compressed_size = compressed_size.saturating_add(bytes.len() as u64);
    file.append(bytes)
}

/// Entries from this size on have ZIP64 sizes. Below 4 GiB, because incompressible content grows, by an eighth at most.
const ZIP64_MARGIN_BYTES: u64 = 3 << 30;

/// Content is copied in blocks of this size: larger ones do not fit the processor's cache.
pub(crate) const BLOCK_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests;
