//! Turns the entry of a gzip member's slice into the entry of the member as received, in place. Only headers change: the
//! member's content stays where it is.
//!
//! ```text
//! before   local header, note: gzip header │ deflate stream │ local header, note: slack │ JSON
//! after    local header, note │ gzip header, deflate stream, trailer │ local header │ JSON
//! ```
//!
//! The gzip header is the end of the note, so it becomes content when the note becomes shorter. The JSON that follows has a
//! note with 8 bytes of slack for the trailer.
//!
//! Two writes do it, the trailer and the header of the JSON first. If the process ends between them, the slice is as it was,
//! and [`super::scan::Scan`] finds the JSON 8 bytes behind it. Each write is within a page, which Linux writes whole or not at
//! all when a process is killed. An entry whose headers cross a page is left to the caller.

use super::buffered_file::overwrite;
use super::dos_time::DosDateTime;
use super::file_range::FileRange;
use super::headers::{CompressionMethod, EntryHeader};
use super::located_entry::LocatedEntry;
use crate::coding::crc32::Crc;
use crate::coding::gzip;
use std::fs::File;
use std::io::{self, Read};

/// The distance by which the header of the JSON moves.
pub(super) const MAX_SHIFT: u64 = gzip::TRAILER_BYTES as u64;

/// Returns a note for JSON that follows a slice. Its extra field is 8 bytes longer than that of `note`.
pub(crate) fn with_slack(note: &[u8]) -> Vec<u8> {
    // Readers of notes skip spaces. Without a note there is no field, which has a head of 4 bytes.
    [note, if note.is_empty() { SLACK_WITHOUT_NOTE } else { SLACK }].concat()
}

/// Returns the note without its slack; `None` if it has none.
pub(crate) fn without_slack(note: &[u8]) -> Option<&[u8]> {
    if note == SLACK_WITHOUT_NOTE { Some(&[]) } else { note.strip_suffix(SLACK) }
}

/// Restores the member whose slice is `slice`, with `json` after it. Both are in `file`, with the date `date`. Returns the
/// header of the member; `None` if that is not possible in place, and then nothing was changed.
pub(super) fn restore(
    file: &File,
    date: DosDateTime,
    slice: &LocatedEntry,
    json: &LocatedEntry,
) -> io::Result<Option<EntryHeader>> {
    let Some(note) = without_slack(&json.note) else { return Ok(None) };
    // The size is kept modulo 2^32.
    let trailer = gzip::trailer(slice.header.crc, slice.header.size as u32);
    let Some(start) = slice.start.checked_sub(slice.note.len() as u64) else { return Ok(None) };
    let is_adjacent = slice.end == json.offset && !slice.header.is_zip64;
    let len = slice.end.saturating_sub(start).saturating_add(trailer.len() as u64);
    let mut header =
        EntryHeader { method: CompressionMethod::Stored, compressed_size: len, size: len, ..slice.header.clone() };
    let shifted = [&trailer[..], &json.header.local(date, note)?].concat();
    let member_len = header.local_of_member(date)?.len();
    let has_space = slice.offset.checked_add(member_len as u64) == Some(start)
        && json.offset.checked_add(shifted.len() as u64) == Some(json.start);
    if !is_adjacent || !has_space || crosses_page(slice.offset, member_len) || crosses_page(json.offset, shifted.len())
    {
        return Ok(None);
    }
    header.crc = crc(FileRange::new(file, start..slice.end).chain(&trailer[..]), len)?;
    let before = json.header.local(date, &json.note)?;
    overwrite(file, &shifted, json.offset)?;
    if let Err(cause) = overwrite(file, &header.local_of_member(date)?, slice.offset) {
        // If this fails too, a scan of the file still finds both.
        overwrite(file, &before, json.offset)?;
        return Err(cause);
    }
    Ok(Some(header))
}

/// Returns the CRC-32 of the `len` bytes that `bytes` yields.
fn crc(mut bytes: impl Read, len: u64) -> io::Result<u32> {
    let mut crc = Crc::new();
    let mut block = vec![0; BLOCK_BYTES.min(usize::try_from(len).unwrap_or(BLOCK_BYTES))];
    let mut left = len;
    while left > 0 {
        match bytes.read(&mut block) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(n) => {
                crc.update(block.get(..n).unwrap_or_default());
                left = left.saturating_sub(n as u64);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(crc.sum())
}

/// True if the `len` bytes at `offset` are in more than one page.
fn crosses_page(offset: u64, len: usize) -> bool {
    let last = offset.saturating_add(len as u64).saturating_sub(1);
    offset / MIN_PAGE_BYTES != last / MIN_PAGE_BYTES
}

const SLACK: &[u8] = b"        ";
const SLACK_WITHOUT_NOTE: &[u8] = b"    ";

/// Pages of all systems are multiples of this size.
const MIN_PAGE_BYTES: u64 = 4096;

/// Content is read in blocks of this size.
const BLOCK_BYTES: usize = 64 * 1024;
