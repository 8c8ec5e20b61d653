//! Space in the archive for one large entry, whose content another thread writes while the archive appends further
//! entries.
//!
//! ```text
//! header (content, being written) │ header body │ header trace.json ║ … │ header trace.json
//!        └── a reservation ─────┘   └──── groups of others ────────┘       └── its own ──┘
//! ```
//!
//! The header is final from the start, but its checksum is right only once all the content is there. A reader of
//! local headers skips the reserved space either way, and accepts the entry only if the checksum is right.

use super::content::{Content, copy_blocks};
use super::directory::mark_claimed;
use super::located_entry::LocatedEntry;
use super::{Archive, EntryHeader, buffered_file, restore, with_zip64};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Reserved space. [`super::Archive::add_reserved`] adds its entry to the archive, [`super::Archive::release`] gives it
/// up.
pub(crate) struct Reservation {
    file: Arc<File>,
    /// The offset of the local header.
    pub(super) start: u64,
    /// The offset of the content.
    content: u64,
    /// The offset of the next entry.
    pub(super) end: u64,
    /// The length of the content that was written.
    filled: u64,
    /// The central header of the entry.
    pub(super) central: Vec<u8>,
}

impl Reservation {
    pub(super) fn new(file: Arc<File>, start: u64, content: u64, len: u64, central: Vec<u8>) -> Self {
        Self { file, start, content, end: content.saturating_add(len), filled: 0, central }
    }

    /// The space of an entry that is in the file already.
    pub(super) fn filled_already(file: Arc<File>, start: u64, content: Range<u64>, central: Vec<u8>) -> Self {
        let filled = content.end.saturating_sub(content.start);
        Self { file, start, content: content.start, end: content.end, filled, central }
    }

    /// Returns the length of the content that was written.
    pub(crate) fn filled(&self) -> u64 {
        self.filled
    }

    /// True if all the content was written.
    pub(crate) fn is_filled(&self) -> bool {
        self.content.saturating_add(self.filled) >= self.end
    }

    /// Writes the next piece of the content, up to `max` bytes. `content` begins where the last piece ended.
    pub(crate) fn fill_next(&mut self, content: &mut dyn Content, max: u64) -> io::Result<()> {
        let mut offset = self.content.saturating_add(self.filled);
        let len = self.end.saturating_sub(offset).min(max);
        copy_blocks(content, len, &mut |blocks| {
            buffered_file::write_at(&self.file, blocks, offset)?;
            offset = offset.saturating_add(buffered_file::total_len(blocks) as u64);
            Ok(())
        })?;
        self.filled = self.filled.saturating_add(len);
        Ok(())
    }
}

impl Archive {
    /// Reserves space for an entry that is compressed already. It is filled while further entries are appended, and a group
    /// adds it with [`Archive::add_reserved`] once it is filled. `member_header` is that of a gzip member, as in
    /// [`Archive::copy_claimed`].
    pub(crate) fn reserve(&mut self, entry: EntryHeader, member_header: Option<&[u8]>) -> io::Result<Reservation> {
        self.commit()?;
        let reservation = self.reserve_one(entry, member_header);
        match &reservation {
            Ok(_) => {
                self.staged.end = self.file.end();
                self.committed = self.staged;
                self.unfinished.keep(true);
            }
            Err(_) => self.rollback(),
        }
        reservation
    }

    fn reserve_one(&mut self, header: EntryHeader, member_header: Option<&[u8]>) -> io::Result<Reservation> {
        let header = with_zip64(header);
        let start = self.file.end();
        // The final header, not zeros: a scan must skip the reserved space, and the checksum shows whether it was
        // filled.
        self.file.append(&header.local(self.date, member_header.unwrap_or_default())?)?;
        let content = self.file.end();
        self.file.reserve(header.compressed_size)?;
        let mut central = Vec::new();
        header.borrowed().append_central(self.date, start, &mut central)?;
        if member_header.is_some() {
            mark_claimed(&mut central);
        }
        Ok(Reservation::new(self.file.file(), start, content, header.compressed_size, central))
    }

    /// Makes an entry of the gzip member as received from that of its slice, whose claims are not verified, in the file of a
    /// committed group. `json` is the entry after it. Returns the place of the member; `None` if it has to be copied.
    pub(crate) fn restore_member(&self, slice: &LocatedEntry, json: &LocatedEntry) -> io::Result<Option<Reservation>> {
        let Some(header) = restore::restore(&self.file.file(), self.date, slice, json)? else { return Ok(None) };
        let end = slice.offset.saturating_add(header.local_of_member(self.date)?.len() as u64);
        self.in_place(&header, slice.offset, end).map(Some)
    }

    /// Returns the place of an entry of a committed group, for another group to list it.
    pub(crate) fn place_of(&self, entry: &LocatedEntry) -> io::Result<Reservation> {
        self.in_place(&entry.header, entry.offset, entry.start)
    }

    fn in_place(&self, header: &EntryHeader, offset: u64, start: u64) -> io::Result<Reservation> {
        let mut central = Vec::new();
        header.borrowed().append_central(self.date, offset, &mut central)?;
        let content = start..start.saturating_add(header.compressed_size);
        Ok(Reservation::filled_already(self.file.file(), offset, content, central))
    }

    /// Adds the entry of a filled reservation to the current group.
    pub(crate) fn add_reserved(&mut self, reservation: &Reservation) -> io::Result<()> {
        self.end_entry()?;
        self.directory.add_line(&reservation.central);
        Ok(())
    }

    /// Gives up a reservation. Its space is reused if nothing was appended after it; otherwise the directory leaves it
    /// out.
    pub(crate) fn release(&mut self, reservation: &Reservation) {
        if self.staged.end == reservation.end && self.staged_bytes() == 0 {
            self.committed.end = reservation.start;
            self.rollback();
        }
    }
}
