//! A body, or a value as JSON, on its way into the archive.

use super::BUFFER;
use crate::bundle::archive::{Archive, Packing};
use crate::bundle::body::Body;
use crate::bundle::decode::{Decoded, codings, decode};
use crate::wire::message::Headers;
use serde::Serialize;
use std::io::{self, Read, Write};

/// A body on its way into the archive.
pub(super) struct Entry {
    /// Its name there; `None` if there is nothing to keep.
    pub(super) file: Option<String>,
    pub(super) body: Body,
    /// The codings that could not be taken off.
    pub(super) still_on: Option<String>,
    packing: Packing,
}

impl Entry {
    /// Without the codings that `headers` tell of; called what `name` says, if there is anything to call.
    pub(super) fn decoded(body: Body, headers: &Headers, name: impl FnOnce() -> String) -> Self {
        // Most bodies are empty: no list of codings for those.
        if body.is_empty() {
            return Self::plain(body, name);
        }
        let Decoded { body, still_on } = decode(body, &codings(headers));
        let packed = still_on.is_some() || headers.first("content-type").is_some_and(is_packed);
        let packing = if packed { Packing::Stored } else { Packing::Deflated };
        Self { still_on, packing, ..Self::plain(body, name) }
    }

    /// As it is.
    pub(super) fn plain(body: Body, name: impl FnOnce() -> String) -> Self {
        let file = (!body.is_empty()).then(name);
        Self { file, body, still_on: None, packing: Packing::Deflated }
    }

    /// Writes it to `folder`, if there is anything to write.
    pub(super) fn write(&self, archive: &mut Archive, folder: &str) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let mut left = self.body.len();
        let packing = if left < WORTH_PACKING { Packing::Stored } else { self.packing };
        archive.entry(&format!("{folder}/{file}"), left, packing)?;
        let mut reader = self.body.reader();
        let mut buffer = vec![0; usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER))];
        while left > 0 {
            let n = reader.read(&mut buffer)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            archive.write_all(buffer.get(..n).unwrap_or_default())?;
            left = left.saturating_sub(n as u64);
        }
        Ok(())
    }
}

/// Writes `value` as one entry.
pub(super) fn json(archive: &mut Archive, name: &str, value: &impl Serialize) -> io::Result<()> {
    let json = serde_json::to_vec_pretty(value)?;
    archive.entry(name, json.len() as u64, Packing::Deflated)?;
    archive.write_all(&json)
}

/// Whether bodies of this media type are compressed by nature.
fn is_packed(media_type: &[u8]) -> bool {
    let media_type = media_type.split(|b| matches!(b, b';' | b' ')).next().unwrap_or_default().to_ascii_lowercase();
    let is = |prefix: &[u8]| media_type.starts_with(prefix);
    let plain: [&[u8]; 2] = [b"image/svg", b"image/bmp"];
    let packed: [&[u8]; 9] = [
        b"image/",
        b"video/",
        b"audio/",
        b"font/woff",
        b"application/zip",
        b"application/gzip",
        b"application/x-gzip",
        b"application/zstd",
        b"application/java-archive",
    ];
    packed.into_iter().any(is) && !plain.into_iter().any(is)
}

/// Below this, compression costs more than it saves.
const WORTH_PACKING: u64 = 100;
