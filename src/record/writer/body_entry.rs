//! A body as an entry of the archive. It can be written at any moment: as received, or as far as it was packed by then.
//!
//! ```text
//! received ─┬─ no coding ──────────▶ plain ──────── task Compress ─▶ deflated
//!           ├─ one gzip member ────▶ its slice ──── task Verify            (size and CRC-32 are its trailer's claims)
//!           └─ other codings ──────▶ as received ── task Decode ───▶ plain, or deflated
//! ```
//!
//! [`BodyEntry::received`] does at once what takes less than a fraction of a millisecond; the task is what is left. A body is
//! replaced by its packed form only when that is complete.

use super::compress::{Compressed, compressed};
use super::packing::{Packing, PackingTools};
use super::source::Source;
use super::unpack::{Effort, Form, MAX_INLINE_BYTES, Unpacked, sole_member, unpack};
use crate::bundle::archive::located_entry::LocatedEntry;
use crate::bundle::archive::{Archive, CommittedGroup, CompressionMethod, Content, EntryHeader, Reservation};
use crate::coding::{Coding, gzip};
use crate::record::body::Body;
use crate::record::codings::codings;
use crate::record::cut_off::CutOffCause;
use crate::wire::headers::Headers;
use std::io::{self, Read};
use std::sync::Arc;

/// A body that will be an entry of the archive.
pub(super) struct BodyEntry {
    /// The name of the entry; `None` if the body is empty and gets no entry.
    path: Option<String>,
    source: Source,
    form: Form,
    /// The size of the entry before compression.
    pub(super) size: u64,
    /// The codings that are still on it, in the syntax of `Content-Encoding`.
    pub(super) remaining_codings: Option<String>,
    /// The cause if the body is incomplete although the message that it belongs to may be complete.
    pub(super) cut_off: Option<CutOffCause>,
    task: Task,
    /// False if its media type is compressed by its own format.
    is_compressible: bool,
    /// The place in the archive to which a large body is being copied, or where a body is already.
    reservation: Option<Box<Reservation>>,
}

/// The work that is left for a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    None,
    /// To compress it, which is not done any more once it is written.
    Compress,
    /// To verify the size and the checksum that a gzip trailer claims.
    Verify,
    /// To decode its codings.
    Decode,
}

/// The completeness of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Completeness {
    Complete,
    CutOff,
}

impl BodyEntry {
    /// A body as received, of a message with these fields. `path` returns the name of the entry; it is not called for an empty
    /// body.
    pub(super) fn received(
        body: Body,
        headers: &Headers,
        completeness: Completeness,
        path: impl FnOnce() -> String,
        packing: &Packing,
        tools: &mut PackingTools,
    ) -> Self {
        // Most bodies are empty; do not allocate a list of codings for them.
        if body.is_empty() {
            return Self::unchanged(body, path);
        }
        let is_complete = completeness == Completeness::Complete && body.truncation().is_none();
        let codings = codings(headers);
        let mut entry = Self::unchanged(body, path);
        entry.is_compressible = !headers.first("content-type").is_some_and(is_compressed_media_type);
        if !codings.is_empty() {
            entry.remaining_codings = Some(codings.join(", "));
            (entry.form, entry.task) = (Form::Plain { may_deflate: false }, Task::Decode);
            entry.prepare(is_complete, packing, tools);
        } else if !entry.is_compressible {
            (entry.form, entry.task) = (Form::Plain { may_deflate: false }, Task::None);
        }
        entry
    }

    /// A body without codings.
    pub(super) fn unchanged(body: Body, path: impl FnOnce() -> String) -> Self {
        let size = body.len();
        Self {
            path: (!body.is_empty()).then(path),
            cut_off: body.truncation().map(|_| CutOffCause::Limit),
            source: Source::Body(body),
            form: Form::Plain { may_deflate: size >= MIN_DEFLATED_BYTES },
            size,
            remaining_codings: None,
            task: if size > MAX_INLINE_BYTES { Task::Compress } else { Task::None },
            is_compressible: true,
            reservation: None,
        }
    }

    /// An empty body.
    pub(super) fn empty() -> Self {
        Self {
            path: None,
            source: Source::Empty,
            form: Form::Plain { may_deflate: false },
            size: 0,
            remaining_codings: None,
            cut_off: None,
            task: Task::None,
            is_compressible: false,
            reservation: None,
        }
    }

    /// A body that is decoded after it was written.
    pub(super) fn encoded(path: String, source: Source, codings: String, is_compressible: bool) -> Self {
        Self {
            path: Some(path),
            size: source.len(),
            source,
            remaining_codings: Some(codings),
            task: Task::Decode,
            is_compressible,
            ..Self::empty()
        }
    }

    /// A body as it is in a committed entry.
    pub(super) fn committed(
        path: String,
        group: &Arc<CommittedGroup>,
        entry: LocatedEntry,
        codings: Option<String>,
    ) -> Self {
        let EntryHeader { method, crc, compressed_size, size, .. } = entry.header;
        let form = match method {
            CompressionMethod::Stored => Form::Plain { may_deflate: false },
            CompressionMethod::Deflated => Form::Deflated { range: 0..compressed_size, crc, claimed_by: None },
        };
        let source = Source::Committed(Arc::clone(group), Box::new(entry));
        Self { path: Some(path), source, form, size, remaining_codings: codings, ..Self::empty() }
    }

    /// A body that is in the archive already, at `place`.
    pub(super) fn in_place(path: String, place: Reservation, size: u64, codings: Option<String>) -> Self {
        let reservation = Some(Box::new(place));
        Self { path: Some(path), size, remaining_codings: codings, reservation, ..Self::empty() }
    }

    /// Returns the name of its file, without the directory; `None` if the body is empty.
    pub(super) fn file(&self) -> Option<&str> {
        self.path.as_deref().map(|path| path.split_once('/').map_or(path, |(_, file)| file))
    }

    /// Returns the task that is left.
    pub(super) fn task(&self) -> Task {
        self.task
    }

    /// Decodes a small body, and makes a slice of a gzip body.
    fn prepare(&mut self, is_complete: bool, packing: &Packing, tools: &mut PackingTools) {
        let codings = self.remaining_codings.as_deref().unwrap_or_default();
        if is_complete
            && matches!(codings, "gzip" | "x-gzip")
            && let Some(member) = sole_member(&self.source)
            && u64::from(member.size) > MAX_INLINE_BYTES
        {
            if u64::from(member.size) <= packing.max_body_bytes {
                // If the header cannot be read, neither can the body: it stays a body to decode.
                let _ = self.claim(member);
            }
            return;
        }
        let is_known = codings.rsplit(", ").next().is_some_and(|last| Coding::from_name(last).is_some());
        // A body with an unknown coding stays as it is.
        if self.source.len() <= MAX_INLINE_BYTES || !is_known {
            self.decode(Effort::Small, packing, tools);
        }
    }

    /// Makes the slice of a gzip member the entry's content. Its size and checksum are not verified yet.
    fn claim(&mut self, member: gzip::Member) -> io::Result<()> {
        let gzip::Member { header_len, slice_len, crc, size } = member;
        let mut header = vec![0; header_len];
        self.source.reader_at(0)?.read_exact(&mut header)?;
        let start = header_len as u64;
        self.form = Form::Deflated { range: start..start.saturating_add(slice_len), crc, claimed_by: Some(header) };
        self.size = size.into();
        self.remaining_codings = None;
        self.task = Task::Verify;
        Ok(())
    }

    /// Compresses or decodes the body, if that is the task. A task that is interrupted is left.
    pub(super) fn pack(&mut self, packing: &Packing, tools: &mut PackingTools) {
        match self.task {
            Task::Compress => self.compress(packing, tools),
            Task::Decode => self.decode(Effort::Full, packing, tools),
            Task::None | Task::Verify => {}
        }
    }

    /// Computes the checksum if all of the body has to be read for it, so that the writer need not do it.
    pub(super) fn compute_crc(&mut self) -> io::Result<()> {
        match self.form {
            Form::Plain { .. } => self.source.compute_crc(),
            Form::Deflated { .. } => Ok(()),
        }
    }

    #[cfg(test)]
    pub(super) fn has_computed_crc(&self) -> bool {
        matches!(self.source, Source::Member { crc: Some(_), .. })
    }

    fn compress(&mut self, packing: &Packing, tools: &mut PackingTools) {
        match compressed(&self.source, packing, tools) {
            Ok(Compressed::Smaller(body, crc)) => {
                self.form = Form::Deflated { range: 0..body.len(), crc, claimed_by: None };
                self.source = Source::Body(body);
            }
            Ok(Compressed::Incompressible) => self.form = Form::Plain { may_deflate: false },
            // The body is stored.
            Err(_) => {}
        }
        self.task = Task::None;
    }

    fn decode(&mut self, effort: Effort, packing: &Packing, tools: &mut PackingTools) {
        let codings = self.remaining_codings.as_deref().unwrap_or_default();
        let unpacked = unpack(&self.source, codings, self.is_compressible, effort, packing, tools);
        let Ok(Unpacked { source, form, size, remaining_codings, is_truncated }) = unpacked else { return };
        if let Some(source) = source {
            self.source = source;
        }
        (self.form, self.size, self.remaining_codings) = (form, size, remaining_codings);
        if size == 0 {
            self.path = None;
        }
        if is_truncated && self.cut_off.is_none() {
            self.cut_off = Some(CutOffCause::Closed);
        }
        self.task = Task::None;
    }

    /// Returns the length of all bytes that it is made of.
    pub(super) fn source_len(&self) -> u64 {
        self.source.len()
    }

    /// Returns the memory that its pieces in the spill file take.
    pub(super) fn piece_bytes(&self) -> usize {
        self.source.piece_bytes()
    }

    /// Returns the number of steps in which its content is copied, at most.
    pub(super) fn steps(&self) -> u64 {
        if self.needs_steps() { (self.content_len() / STEP_BYTES).saturating_add(2) } else { 0 }
    }

    /// Returns the length of the entry's content in the archive, unless it is compressed when it is written.
    fn content_len(&self) -> u64 {
        match &self.form {
            Form::Plain { .. } => self.source.len(),
            Form::Deflated { range, .. } => range.end.saturating_sub(range.start),
        }
    }

    /// Returns the header of the entry `path`, whose content is copied as it is.
    fn header(&self, path: &str) -> io::Result<EntryHeader> {
        let (method, crc) = match self.form {
            Form::Plain { .. } => (CompressionMethod::Stored, self.source.crc()?),
            Form::Deflated { crc, .. } => (CompressionMethod::Deflated, crc),
        };
        let (name, compressed_size) = (path.to_owned(), self.content_len());
        Ok(EntryHeader { name, method, crc, compressed_size, size: self.size, is_zip64: false })
    }

    /// Returns the content, and what follows it in the source.
    fn content(&self) -> io::Result<Box<dyn Content + '_>> {
        self.source.content_at(self.content_start())
    }

    /// Returns the offset of the content in the source.
    fn content_start(&self) -> u64 {
        match &self.form {
            Form::Plain { .. } => 0,
            Form::Deflated { range, .. } => range.start,
        }
    }

    /// True if its content is so large that it is copied in steps, and not all of it was copied.
    pub(super) fn needs_steps(&self) -> bool {
        match &self.reservation {
            Some(reservation) => !reservation.is_filled(),
            None => self.path.is_some() && self.content_len() >= MIN_RESERVED_BYTES,
        }
    }

    /// Reserves space for the content, or copies the next piece of it.
    pub(super) fn copy_step(&mut self, archive: &mut Archive) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        if self.reservation.is_none() {
            let reservation = archive.reserve(self.header(path)?, self.claimed_by())?;
            self.reservation = Some(Box::new(reservation));
            return Ok(());
        }
        let filled = self.reservation.as_ref().map_or(0, |reservation| reservation.filled());
        let mut content = self.source.content_at(self.content_start().saturating_add(filled))?;
        match &mut self.reservation {
            Some(reservation) => reservation.fill_next(&mut *content, STEP_BYTES),
            None => Ok(()),
        }
    }

    /// Cancels the reservation, if there is one: the entry will not be in the archive.
    pub(super) fn cancel_reservation(&mut self, archive: &mut Archive) {
        if let Some(reservation) = self.reservation.take() {
            archive.release(&reservation);
        }
    }

    /// Returns the header of the gzip member that claims size and checksum.
    fn claimed_by(&self) -> Option<&[u8]> {
        match &self.form {
            Form::Deflated { claimed_by, .. } => claimed_by.as_deref(),
            Form::Plain { .. } => None,
        }
    }

    /// Writes the entry. An empty body has none; a body that was copied already is only listed.
    pub(super) fn write(&self, archive: &mut Archive) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        if let Some(reservation) = &self.reservation {
            return archive.add_reserved(reservation);
        }
        match &self.form {
            &Form::Plain { may_deflate } if self.size <= MAX_INLINE_BYTES => {
                let method = if may_deflate { CompressionMethod::Deflated } else { CompressionMethod::Stored };
                let mut buffer = Vec::new();
                let bytes = match self.source.in_one_buffer() {
                    Some(bytes) => bytes,
                    None => {
                        self.source.reader_at(0)?.read_to_end(&mut buffer)?;
                        &buffer
                    }
                };
                archive.add(path, bytes, method, &[])
            }
            Form::Deflated { claimed_by: Some(member_header), .. } => {
                archive.copy_claimed(self.header(path)?, member_header, &mut *self.content()?)
            }
            Form::Plain { .. } | Form::Deflated { .. } => archive.copy(self.header(path)?, &[], &mut *self.content()?),
        }
    }
}

/// True if bodies of this media type are compressed by their own format.
pub(super) fn is_compressed_media_type(media_type: &[u8]) -> bool {
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

/// From this size, content is copied into a reservation in steps, and other groups are written in between.
const MIN_RESERVED_BYTES: u64 = 1 << 20;

/// The size of a step: it takes less than a millisecond.
const STEP_BYTES: u64 = 1 << 20;
