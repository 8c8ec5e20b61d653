//! A body, or a value as JSON, on its way into the archive.

use super::BUFFER;
use crate::bundle::archive::{self, Archive, Deflater, Packing};
use crate::bundle::body::Body;
use crate::bundle::decode::{Decoded, codings, decode};
use crate::wire::message::Headers;
use flate2::Crc;
use std::io::{self, Read, Write};

/// A body on its way into the archive.
pub(super) struct Entry {
    /// Its name there; `None` if there is nothing to keep.
    pub(super) file: Option<String>,
    body: Body,
    /// As it is read.
    pub(super) size: u64,
    /// The checksum of what was read, if `body` is what came of packing it.
    packed: Option<u32>,
    /// The codings that could not be taken off.
    pub(super) still_on: Option<String>,
    packing: Packing,
}

impl Entry {
    /// Without the codings that `headers` tell of, unless it then came to more than `most` bytes; called what `name` says, if there is anything to call.
    pub(super) fn decoded(body: Body, headers: &Headers, most: u64, name: impl FnOnce() -> String) -> Self {
        // Most bodies are empty: no list of codings for those.
        if body.is_empty() {
            return Self::plain(body, name);
        }
        let Decoded { body, still_on } = decode(body, &codings(headers), most);
        let packed = still_on.is_some() || headers.first("content-type").is_some_and(is_packed);
        let entry = Self { still_on, ..Self::plain(body, name) };
        let packing = if packed { Packing::Stored } else { entry.packing };
        Self { packing, ..entry }
    }

    /// As it is.
    pub(super) fn plain(body: Body, name: impl FnOnce() -> String) -> Self {
        let file = (!body.is_empty()).then(name);
        let size = body.len();
        let packing = if size < WORTH_PACKING { Packing::Stored } else { Packing::Deflated };
        Self { file, body, size, packed: None, still_on: None, packing }
    }

    /// Packs it now, if that takes long; what does not get into a file is packed when it is written.
    pub(super) fn pack(&mut self, deflater: &mut Deflater) -> io::Result<()> {
        if self.packing == Packing::Stored || self.size < LONG {
            return Ok(());
        }
        let mut packed = self.body.another();
        let mut crc = Crc::new();
        let mut out = |bytes: &[u8]| {
            packed.push(bytes);
            packed.damaged().map_or(Ok(()), |damage| Err(damage.cause.kind().into()))
        };
        deflater.begin();
        self.read(&mut |bytes| {
            crc.update(bytes);
            deflater.push(bytes, &mut out)
        })?;
        deflater.end(&mut out)?;
        (self.body, self.packed) = (packed, Some(crc.sum()));
        Ok(())
    }

    /// Writes it to `folder`, if there is anything to write.
    pub(super) fn write(&self, archive: &mut Archive, folder: &str) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let name = format!("{folder}/{file}");
        if let Some(crc) = self.packed {
            let (packed, size, packing) = (self.body.len(), self.size, self.packing);
            let entry = archive::Entry { name, packing, crc, packed, size, large: false };
            return archive.copy(entry, &[], &mut self.body.reader());
        }
        if let Some(bytes) = self.body.in_memory() {
            return archive.add(name, bytes, self.packing, &[]);
        }
        archive.entry(name, self.size, self.packing, &[])?;
        self.read(&mut |bytes| archive.write_all(bytes))
    }

    fn read(&self, take: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut left = self.body.len();
        let mut reader = self.body.reader();
        let mut buffer = vec![0; usize::try_from(left).map_or(BUFFER, |left| left.min(BUFFER))];
        while left > 0 {
            let n = reader.read(&mut buffer)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            take(buffer.get(..n).unwrap_or_default())?;
            left = left.saturating_sub(n as u64);
        }
        Ok(())
    }
}

/// Whether `body`, with the fields of its message, takes long to decode and pack.
pub(super) fn takes_long(body: &Body, headers: &Headers) -> bool {
    // What is coded may be a thousand times as much.
    body.len() >= LONG || (body.len() >= LONG_IF_CODED && !codings(headers).is_empty())
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

/// From here on a body takes milliseconds.
const LONG: u64 = 1 << 20;
const LONG_IF_CODED: u64 = 64 << 10;
