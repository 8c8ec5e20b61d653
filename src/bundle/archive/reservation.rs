//! Reservation in the archive for one large entry, whose content is written while the archive goes on behind it.
//!
//! ```text
//! header (content, as it comes) │ header body │ header trace.json ║ … │ header trace.json
//!        └── a room ──────────┘   └──── the groups of others ───┘       └── of the room ─┘
//! ```
//!
//! The header is true from the start and its checksum is not, until all the content is there: whoever reads the file by its
//! local headers passes over the room either way, and takes it for an entry only if it is whole.

use super::{buffered_file, in_pieces};
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

/// See above.
pub(crate) struct Reservation {
    file: Arc<File>,
    /// Where the header is.
    pub(super) at: u64,
    /// Where the content begins.
    content: u64,
    /// Where the next entry begins.
    pub(super) end: u64,
    /// The entry's line in the directory.
    pub(super) line: Vec<u8>,
}

impl Reservation {
    pub(super) fn new(file: Arc<File>, at: u64, content: u64, len: u64, line: Vec<u8>) -> Self {
        Self { file, at, content, end: content.saturating_add(len), line }
    }

    /// Writes the content, all of it.
    pub(crate) fn fill(&self, packed: &mut dyn Read) -> io::Result<()> {
        let mut at = self.content;
        in_pieces(packed, self.end.saturating_sub(at), &mut |piece| {
            buffered_file::write_at(&self.file, piece, at)?;
            at = at.saturating_add(piece.len() as u64);
            Ok(())
        })
    }
}
