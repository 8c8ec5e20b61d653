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

use super::{buffered_file, copy_blocks};
use std::fs::File;
use std::io::{self, Read};
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
    pub(crate) fn fill_next(&mut self, content: &mut dyn Read, max: u64) -> io::Result<()> {
        let mut offset = self.content.saturating_add(self.filled);
        let len = self.end.saturating_sub(offset).min(max);
        copy_blocks(content, len, &mut |block| {
            buffered_file::write_at(&self.file, block, offset)?;
            offset = offset.saturating_add(block.len() as u64);
            Ok(())
        })?;
        self.filled = self.filled.saturating_add(len);
        Ok(())
    }
}
