//! The beginning of a body, as much as a report contains.

use crate::bundle::id::ItemKind;
use crate::bundle::reader::{Bundle, Error};
use crate::text::as_text;

/// The beginning of a body in memory.
pub(super) struct Loaded {
    pub(super) bytes: Vec<u8>,
    /// The size of the whole body.
    pub(super) size: u64,
}

/// Reads the first `max` bytes of the body that the JSON of the item `id` calls `file`; none without a file.
pub(super) fn load(bundle: &Bundle, kind: ItemKind, id: &str, file: Option<&str>, max: u64) -> Result<Loaded, Error> {
    let mut bytes = Vec::new();
    let Some(file) = file else { return Ok(Loaded { bytes, size: 0 }) };
    let mut body = bundle.open_body(&bundle.body_entry(kind, id, file)?)?;
    let size = body.size();
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    while bytes.len() < max {
        let block = match body.next_block()? {
            [] => break,
            block => block,
        };
        let wanted = max.saturating_sub(bytes.len());
        bytes.extend_from_slice(block.get(..wanted).unwrap_or(block));
    }
    let mut loaded = Loaded { bytes, size };
    loaded.drop_split_character();
    Ok(loaded)
}

impl Loaded {
    /// Returns the text, if the body is text as far as it was read.
    pub(super) fn text(&self) -> Option<&str> {
        as_text(&self.bytes)
    }

    /// Returns the approximate size of the JSON.
    pub(super) fn json_len(&self) -> usize {
        self.bytes.len() / 3 * if self.text().is_some() { 3 } else { 4 }
    }

    /// Drops the start of a character at the end if the rest of it was not read.
    fn drop_split_character(&mut self) {
        if (self.bytes.len() as u64) < self.size
            && let Err(e) = std::str::from_utf8(&self.bytes)
            && e.error_len().is_none()
        {
            self.bytes.truncate(e.valid_up_to());
        }
    }
}
