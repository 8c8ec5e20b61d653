//! A body, or a value as JSON, on its way into the archive.

use super::BUFFER;
use crate::bundle::archive::{self, Archive, CompressionMethod, Deflater, Reservation};
use crate::record::body::Body;
use crate::record::decode::{Decoded, codings, decode};
use crate::wire::message::Headers;
use std::io::{self, Read, Write};

/// A body on its way into the archive.
pub(super) struct Entry {
    /// Its name there; `None` if there is nothing to keep.
    pub(super) file: Option<String>,
    body: Body,
    /// As it is read.
    pub(super) size: u64,
    /// The codings that could not be taken off.
    pub(super) still_on: Option<String>,
    packing: CompressionMethod,
    /// The checksum of what is read, once `body` is what the archive will hold.
    ready: Option<u32>,
    /// Where it is in the archive already.
    room: Option<Box<Reservation>>,
}

impl Entry {
    /// Without the codings that `headers` tell of, unless it then came to more than `most` bytes; called what `name` says, if
    /// there is anything to call.
    pub(super) fn decoded(body: Body, headers: &Headers, most: u64, name: impl FnOnce() -> String) -> Self {
        // Most bodies are empty: no list of codings for those.
        if body.is_empty() {
            return Self::plain(body, name);
        }
        let Decoded { body, still_on } = decode(body, &codings(headers), most);
        let packed = still_on.is_some() || headers.first("content-type").is_some_and(is_packed);
        let entry = Self { still_on, ..Self::plain(body, name) };
        let packing = if packed { CompressionMethod::Stored } else { entry.packing };
        Self { packing, ..entry }
    }

    /// As it is.
    pub(super) fn plain(body: Body, name: impl FnOnce() -> String) -> Self {
        let file = (!body.is_empty()).then(name);
        let size = body.len();
        let packing = if size < WORTH_PACKING { CompressionMethod::Stored } else { CompressionMethod::Deflated };
        Self { file, body, size, still_on: None, packing, ready: None, room: None }
    }

    /// Packs it now, if that takes long; what does not get into a file is packed when it is written.
    pub(super) fn pack(&mut self, deflater: &mut Deflater) -> io::Result<()> {
        if self.size < LONG {
            return Ok(());
        }
        self.packing = self.worth(deflater)?;
        let crc = self.body.crc();
        if self.packing == CompressionMethod::Deflated {
            let mut packed = self.body.another();
            let mut out = |bytes: &[u8]| {
                packed.push(bytes);
                packed.damaged().map_or(Ok(()), |damage| Err(damage.cause.kind().into()))
            };
            deflater.begin();
            self.read(&mut |bytes| deflater.push(bytes, &mut out))?;
            deflater.end(&mut out)?;
            self.body = packed;
        }
        self.ready = Some(crc);
        Ok(())
    }

    /// What is worth doing: of what is long a sample tells.
    fn worth(&self, deflater: &mut Deflater) -> io::Result<CompressionMethod> {
        let is_hopeless =
            self.packing == CompressionMethod::Deflated && self.size >= SAMPLED && !self.shrinks(deflater)?;
        Ok(if is_hopeless { CompressionMethod::Stored } else { self.packing })
    }

    /// Whether pieces from all over it get smaller, each by itself: pieces that are alike, though far from each other, say
    /// nothing.
    fn shrinks(&self, deflater: &mut Deflater) -> io::Result<bool> {
        let pieces = (self.size / SAMPLE_EVERY).clamp(FEWEST_SAMPLES, MOST_SAMPLES);
        let stride = self.size / pieces;
        let (mut piece, mut made) = ([0; SAMPLE], 0u64);
        for n in 0..pieces {
            // From the middle of each: what begins a file is unlike the rest.
            let at = stride.saturating_mul(n).saturating_add(stride / 2);
            self.body.reader_at(at).read_exact(&mut piece)?;
            made = made.saturating_add(deflater.whole(&piece)?.map_or(SAMPLE, <[u8]>::len) as u64);
        }
        let read = pieces.saturating_mul(SAMPLE as u64);
        Ok(made < read.saturating_sub(read / WORTH_PACKING_PART))
    }

    /// What it will be in the archive's `folder`, if to copy it there takes long.
    pub(super) fn wants_room(&self, folder: &str) -> Option<archive::EntryHeader> {
        let (file, crc) = (self.file.as_ref()?, self.ready?);
        (self.body.len() >= ROOMY).then(|| self.described([folder, "/", file].concat(), self.packing, crc))
    }

    /// Of `body` as it is.
    fn described(&self, name: String, packing: CompressionMethod, crc: u32) -> archive::EntryHeader {
        archive::EntryHeader {
            name,
            method: packing,
            crc,
            compressed_size: self.body.len(),
            size: self.size,
            is_zip64: false,
        }
    }

    /// Copies it to its place in the archive.
    pub(super) fn fill(&mut self, room: Reservation) -> io::Result<()> {
        self.room.insert(Box::new(room)).fill(&mut self.body.reader())
    }

    /// Writes it to `folder`, if there is anything to write that is not there yet.
    pub(super) fn write(&self, archive: &mut Archive, folder: &str) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if let Some(room) = &self.room {
            return archive.add_reserved(room);
        }
        let name = [folder, "/", file].concat();
        if let Some(crc) = self.ready {
            return archive.copy(self.described(name, self.packing, crc), &[], &mut self.body.reader());
        }
        let packing = if self.size < SAMPLED { self.packing } else { self.worth(archive.deflater()?)? };
        match self.body.in_memory() {
            Some(bytes) => archive.add(name, bytes, packing, &[]),
            None if packing == CompressionMethod::Stored => {
                archive.copy(self.described(name, packing, self.body.crc()), &[], &mut self.body.reader())
            }
            None => {
                archive.entry(name, self.size, packing, &[])?;
                self.read(&mut |bytes| archive.write_all(bytes))
            }
        }
    }

    /// It will not be in the archive.
    pub(super) fn give_up(&mut self, archive: &mut Archive) {
        if let Some(room) = self.room.take() {
            archive.release(&room);
        }
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

/// What a body asks of whoever decodes and packs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effort {
    Little,
    /// Milliseconds.
    Some,
    /// Perhaps seconds.
    Much,
}

/// What `body` asks for, with the fields of its message.
pub(super) fn effort(body: &Body, headers: &Headers) -> Effort {
    match body.len() {
        VERY_LONG.. => Effort::Much,
        LONG.. => Effort::Some,
        // What is coded may be a thousand times as much.
        LONG_IF_CODED.. if !codings(headers).is_empty() => Effort::Some,
        _ => Effort::Little,
    }
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

/// One part in so many has to be saved, or it is stored.
const WORTH_PACKING_PART: u64 = 20;

/// From here on a body takes milliseconds.
const LONG: u64 = 1 << 20;
const LONG_IF_CODED: u64 = 64 << 10;
/// From here on it takes so long that others do not wait behind it.
const VERY_LONG: u64 = 16 << 20;

/// From here on to copy it into the archive takes so long that others are written meanwhile.
const ROOMY: u64 = 8 << 20;

/// From here on a sample is taken first: pieces of this size, one of every so many bytes, as what does not get smaller takes
/// longest to compress.
const SAMPLED: u64 = 64 << 10;
const SAMPLE: usize = 4 << 10;
const SAMPLE_EVERY: u64 = 256 << 10;
const FEWEST_SAMPLES: u64 = 2;
/// More do not tell more.
const MOST_SAMPLES: u64 = 16;
