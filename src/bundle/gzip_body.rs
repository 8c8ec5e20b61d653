//! A body that was received as one gzip member, and is in the bundle as the deflate stream of that member.
//!
//! ```text
//! received       gzip header │ deflate stream │ crc-32, size
//! local header   note: gzip header; crc-32, size      entry content: the deflate stream
//! ```
//!
//! So the writer of a capture neither inflates nor deflates it, and the bytes as received can be rebuilt. Checksum and
//! size are the sender's claims until they are verified. A body whose claims are false is replaced by the body as
//! received, before the bundle is finished.

use super::archive::CompressionMethod;
use super::archive::located_entry::LocatedEntry;
use crate::coding::gzip;
use std::fs::File;
use std::io::{Cursor, Read};

/// True if `entry` is the deflate stream of a gzip body. The notes of JSON entries are JSON.
pub(crate) fn is_gzip_body(entry: &LocatedEntry) -> bool {
    entry.header.method == CompressionMethod::Deflated && entry.note.starts_with(&gzip::MAGIC)
}

/// Returns a reader of a gzip body as it was received.
pub(crate) fn as_received<'f>(entry: &LocatedEntry, file: &'f File) -> impl Read + use<'f> {
    // The size is kept modulo 2^32.
    let trailer = gzip::trailer(entry.header.crc, entry.header.size as u32);
    Cursor::new(entry.note.clone()).chain(entry.compressed(file)).chain(Cursor::new(trailer))
}

/// Returns the size of a gzip body as it was received.
pub(crate) fn received_len(entry: &LocatedEntry) -> u64 {
    (entry.note.len() as u64).saturating_add(entry.header.compressed_size).saturating_add(gzip::TRAILER_BYTES as u64)
}

/// Returns the codings of a body as received: gzip is applied after those that its JSON lists.
pub(crate) fn received_encoding(remaining: Option<&str>) -> String {
    remaining.map_or_else(|| "gzip".to_owned(), |remaining| [remaining, ", gzip"].concat())
}
