//! A body as an entry of the archive: decoded, and compressed if that is worthwhile.

use super::packing_cost::MEDIUM_COST_BYTES;
use crate::bundle::archive::{self, Archive, CompressionMethod, Deflater, Reservation};
use crate::bundle::id::ItemKind;
use crate::record::body::Body;
use crate::record::cut_off::CutOffCause;
use crate::record::decode::{Decoded, codings, decode};
use crate::wire::headers::Headers;
use std::io::{self, Read, Write};

/// A body that will be an entry of the archive.
pub(super) struct BodyEntry {
    /// The name of its file, without the directory; `None` if the body is empty and gets no entry.
    pub(super) file: Option<String>,
    /// The decoded body; the compressed one once `packed_crc` is set and `method` is [`CompressionMethod::Deflated`].
    body: Body,
    /// The size of the decoded body, before compression.
    pub(super) size: u64,
    /// The codings that could not be decoded.
    pub(super) remaining_codings: Option<String>,
    /// The cause if the body is incomplete although the message that it belongs to may be complete.
    pub(super) cut_off: Option<CutOffCause>,
    method: CompressionMethod,
    /// The CRC-32 of the decoded body; `Some` once `body` has the exact bytes of the entry.
    packed_crc: Option<u32>,
    /// The place in the archive to which the entry was copied already.
    reservation: Option<Box<Reservation>>,
}

impl BodyEntry {
    /// Decodes the codings in `headers`, unless the result would exceed `max_bytes`. `name` returns the file name; it
    /// is not called for an empty body.
    pub(super) fn decoded(body: Body, headers: &Headers, max_bytes: u64, name: impl FnOnce() -> String) -> Self {
        // Most bodies are empty; do not allocate a list of codings for them.
        if body.is_empty() {
            return Self::unchanged(body, name);
        }
        let is_shortened = body.truncation().is_some();
        let Decoded { body, remaining_codings, is_truncated } = decode(body, &codings(headers), max_bytes);
        let cut_off = match (is_shortened, is_truncated) {
            (true, _) => Some(CutOffCause::Limit),
            (false, true) => Some(CutOffCause::Closed),
            (false, false) => None,
        };
        let is_compressed =
            remaining_codings.is_some() || headers.first("content-type").is_some_and(is_compressed_media_type);
        let mut entry = Self { remaining_codings, cut_off, ..Self::unchanged(body, name) };
        if is_compressed {
            entry.method = CompressionMethod::Stored;
        }
        entry
    }

    /// Takes the body as it is, without decoding.
    pub(super) fn unchanged(body: Body, name: impl FnOnce() -> String) -> Self {
        let file = (!body.is_empty()).then(name);
        let size = body.len();
        let method = if size < MIN_DEFLATED_BYTES { CompressionMethod::Stored } else { CompressionMethod::Deflated };
        let cut_off = body.truncation().map(|_| CutOffCause::Limit);
        Self { file, body, size, remaining_codings: None, cut_off, method, packed_crc: None, reservation: None }
    }

    /// Compresses a large body now. A smaller one is compressed when it is written.
    pub(super) fn pack(&mut self, deflater: &mut Deflater) -> io::Result<()> {
        if self.size < MEDIUM_COST_BYTES {
            return Ok(());
        }
        self.method = self.best_method(deflater)?;
        let crc = self.body.crc();
        if self.method == CompressionMethod::Deflated {
            let mut packed = self.body.empty_like();
            let mut out = |bytes: &[u8]| {
                packed.push(bytes);
                packed.truncation().map_or(Ok(()), |truncation| Err(truncation.cause.kind().into()))
            };
            deflater.begin();
            self.read_body(&mut |bytes| deflater.push(bytes, &mut out))?;
            deflater.end(&mut out)?;
            self.body = packed;
        }
        self.packed_crc = Some(crc);
        Ok(())
    }

    /// Returns the compression method to use: a large body is compressed only if samples of it shrink. Incompressible
    /// data takes longest to compress.
    fn best_method(&self, deflater: &mut Deflater) -> io::Result<CompressionMethod> {
        let is_incompressible = self.method == CompressionMethod::Deflated
            && self.size >= MIN_SAMPLED_BYTES
            && !self.samples_shrink(deflater)?;
        Ok(if is_incompressible { CompressionMethod::Stored } else { self.method })
    }

    /// True if samples from all over the body shrink. Each is compressed alone: repetition between distant samples is
    /// out of the compressor's window in the body too.
    fn samples_shrink(&self, deflater: &mut Deflater) -> io::Result<bool> {
        let count = (self.size / SAMPLE_INTERVAL_BYTES).clamp(MIN_SAMPLES, MAX_SAMPLES);
        let interval = self.size / count;
        let (mut sample, mut packed_bytes) = ([0; SAMPLE_BYTES], 0u64);
        for n in 0..count {
            // From the middle of each interval: the start of a file differs from the rest.
            let at = interval.saturating_mul(n).saturating_add(interval / 2);
            self.body.reader_at(at).read_exact(&mut sample)?;
            let packed = deflater.whole(&sample)?.map_or(SAMPLE_BYTES, <[u8]>::len);
            packed_bytes = packed_bytes.saturating_add(packed as u64);
        }
        let sampled_bytes = count.saturating_mul(SAMPLE_BYTES as u64);
        Ok(packed_bytes < sampled_bytes.saturating_sub(sampled_bytes / MIN_SAVING_DIVISOR))
    }

    /// Returns the entry, for an item of this kind, if its body is packed and takes so long to copy that it needs a
    /// reservation.
    pub(super) fn to_reserve(&self, kind: ItemKind) -> Option<archive::EntryHeader> {
        let (file, crc) = (self.file.as_ref()?, self.packed_crc?);
        (self.body.len() >= MIN_RESERVED_BYTES).then(|| self.entry_header(kind.body_name(file), self.method, crc))
    }

    /// Returns the entry's header for `body` as it is now.
    fn entry_header(&self, name: String, method: CompressionMethod, crc: u32) -> archive::EntryHeader {
        archive::EntryHeader { name, method, crc, compressed_size: self.body.len(), size: self.size, is_zip64: false }
    }

    /// Copies the packed body to its place in the archive.
    pub(super) fn fill(&mut self, reservation: Reservation) -> io::Result<()> {
        self.reservation.insert(Box::new(reservation)).fill(&mut self.body.reader())
    }

    /// Writes the entry, for an item of this kind. An empty body has none; a body that is in the archive already is only listed.
    pub(super) fn write(&self, archive: &mut Archive, kind: ItemKind) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        if let Some(reservation) = &self.reservation {
            return archive.add_reserved(reservation);
        }
        let name = kind.body_name(file);
        if let Some(crc) = self.packed_crc {
            return archive.copy(self.entry_header(name, self.method, crc), &[], &mut self.body.reader());
        }
        let method = if self.size < MIN_SAMPLED_BYTES { self.method } else { self.best_method(archive.deflater()?)? };
        match self.body.in_memory() {
            Some(bytes) => archive.add(name, bytes, method, &[]),
            None if method == CompressionMethod::Stored => {
                archive.copy(self.entry_header(name, method, self.body.crc()), &[], &mut self.body.reader())
            }
            None => {
                archive.begin_entry(name, self.size, method, &[])?;
                self.read_body(&mut |bytes| archive.write_all(bytes))
            }
        }
    }

    /// Cancels the reservation, if there is one: the entry will not be in the archive.
    pub(super) fn cancel_reservation(&mut self, archive: &mut Archive) {
        if let Some(reservation) = self.reservation.take() {
            archive.release(&reservation);
        }
    }

    /// Passes all bytes of the body to `consume`.
    fn read_body(&self, consume: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut left = self.body.len();
        let mut reader = self.body.reader();
        let mut buffer = vec![0; usize::try_from(left).map_or(BUFFER_BYTES, |left| left.min(BUFFER_BYTES))];
        while left > 0 {
            let n = reader.read(&mut buffer)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            consume(buffer.get(..n).unwrap_or_default())?;
            left = left.saturating_sub(n as u64);
        }
        Ok(())
    }
}

/// True if bodies of this media type are compressed by their own format.
fn is_compressed_media_type(media_type: &[u8]) -> bool {
    let media_type = media_type.split(|b| matches!(b, b';' | b' ')).next().unwrap_or_default().to_ascii_lowercase();
    let has_prefix = |prefix: &[u8]| media_type.starts_with(prefix);
    let uncompressed: [&[u8]; 2] = [b"image/svg", b"image/bmp"];
    let compressed: [&[u8]; 9] = [
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
    compressed.into_iter().any(has_prefix) && !uncompressed.into_iter().any(has_prefix)
}

/// Below this size, compression costs more than it saves.
const MIN_DEFLATED_BYTES: u64 = 100;

/// Samples must shrink by at least one part in this many; otherwise the body is stored.
const MIN_SAVING_DIVISOR: u64 = 20;

/// From this size, a packed body is copied into a reservation, and other exchanges are written during the copy.
const MIN_RESERVED_BYTES: u64 = 8 << 20;

/// From this size, samples decide whether to compress.
const MIN_SAMPLED_BYTES: u64 = 64 << 10;

/// The size of one sample.
const SAMPLE_BYTES: usize = 4 << 10;

/// One sample is taken per this many bytes, within [`MIN_SAMPLES`] and [`MAX_SAMPLES`].
const SAMPLE_INTERVAL_BYTES: u64 = 256 << 10;
const MIN_SAMPLES: u64 = 2;
/// More samples do not improve the estimate.
const MAX_SAMPLES: u64 = 16;

/// Bodies are read in pieces of at most this size.
const BUFFER_BYTES: usize = 64 * 1024;
