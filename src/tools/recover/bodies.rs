//! Bodies of a file to recover: found before the JSON that refers to them, verified, and decoded if they were left as
//! received.

use super::failure::Failure;
use crate::bundle::archive::located_entry::LocatedEntry;
use crate::bundle::archive::{Archive, BLOCK_BYTES, CompressionMethod};
use crate::bundle::format::Trace;
use crate::bundle::gzip_body;
use crate::bundle::id::{Id, body_files};
use crate::coding::Content;
use crate::tools::body_decoder::{BodyDecoder, Side, encoding, set_body};
use crate::tools::temp_body::TempBody;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader};

/// The last bodies that no JSON has referred to yet, newest first.
#[derive(Default)]
pub(super) struct WaitingBodies {
    bodies: VecDeque<LocatedEntry>,
    /// The number of bodies taken since it was set to 0.
    pub(super) last_taken: u64,
}

impl WaitingBodies {
    /// Adds a body. Returns the name of one that waits no longer, because there are too many.
    pub(super) fn push(&mut self, body: LocatedEntry) -> Option<String> {
        self.bodies.push_front(body);
        if self.bodies.len() > MAX_WAITING_BODIES { self.bodies.pop_back().map(|body| body.header.name) } else { None }
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.bodies.iter().any(|body| body.header.name == name)
    }

    /// Removes all bodies, and returns their names.
    pub(super) fn take_names(&mut self) -> Vec<String> {
        self.bodies.drain(..).rev().map(|body| body.header.name).collect()
    }

    /// Removes the newest body of this name.
    pub(super) fn take(&mut self, name: &str) -> Option<LocatedEntry> {
        let body = self.bodies.iter().position(|body| body.header.name == name).and_then(|at| self.bodies.remove(at));
        self.last_taken = self.last_taken.saturating_add(u64::from(body.is_some()));
        body
    }
}

/// A body of an intact group.
pub(super) enum FoundBody {
    /// The JSON has no body.
    Absent,
    Intact(LocatedEntry),
    /// A gzip body that was restored as received. The JSON describes it as it was before.
    Restored(LocatedEntry),
    /// A gzip body whose claims about checksum or size are false.
    FalseClaims(LocatedEntry),
}

impl FoundBody {
    /// Reads `entry` to verify it. Returns `None` if it is damaged.
    pub(super) fn verified(entry: LocatedEntry, file: &File) -> io::Result<Option<Self>> {
        if entry.read_content(file, &mut |_| ())? {
            return Ok(Some(if entry.is_restored_member { Self::Restored(entry) } else { Self::Intact(entry) }));
        }
        Ok(gzip_body::is_gzip_body(&entry).then_some(Self::FalseClaims(entry)))
    }
}

/// The content of a body in the new bundle.
pub(super) enum BodyContent<'e> {
    Absent,
    Copied(&'e LocatedEntry),
    /// A decoded body, and how its entry is compressed.
    New(TempBody, CompressionMethod),
}

/// Returns the content of `body`, a body of `trace`, for the new bundle. Updates the trace if it is another one than in
/// the file.
pub(super) fn content_of<'e>(
    file: &File,
    decoder: &mut BodyDecoder,
    trace: &mut Trace,
    side: Side,
    body: &'e FoundBody,
) -> Result<BodyContent<'e>, Failure> {
    if let FoundBody::Restored(entry) = body {
        let received = gzip_body::received_encoding(encoding(trace, side).as_deref());
        set_body(trace, side, entry.header.size, Some(received));
    }
    match body {
        FoundBody::Absent => Ok(BodyContent::Absent),
        FoundBody::Intact(entry) | FoundBody::Restored(entry) => {
            let load = |to: &mut TempBody| entry.read_content(file, &mut |bytes| to.push(bytes)).map(drop);
            let decoded = decoder.decode(trace, side, load).map_err(Failure::Read)?;
            Ok(decoded.map_or(BodyContent::Copied(entry), decoded_content))
        }
        FoundBody::FalseClaims(entry) => {
            let received = gzip_body::received_encoding(encoding(trace, side).as_deref());
            set_body(trace, side, gzip_body::received_len(entry), Some(received));
            let load = |to: &mut TempBody| to.push_all(&mut gzip_body::as_received(entry, file));
            if let Some(decoded) = decoder.decode(trace, side, load).map_err(Failure::Read)? {
                return Ok(decoded_content(decoded));
            }
            let mut body = decoder.empty_body();
            body.push_all(&mut gzip_body::as_received(entry, file)).map_err(Failure::Read)?;
            body.check().map_err(Failure::Write)?;
            Ok(BodyContent::New(body, CompressionMethod::Stored))
        }
    }
}

fn decoded_content<'e>(body: TempBody) -> BodyContent<'e> {
    match body.len() {
        0 => BodyContent::Absent,
        _ => BodyContent::New(body, CompressionMethod::Deflated),
    }
}

impl BodyContent<'_> {
    /// Adds the content to `archive` as the entry `name`.
    pub(super) fn write(&self, archive: &mut Archive, file: &File, name: String) -> io::Result<()> {
        match self {
            Self::Absent => Ok(()),
            Self::Copied(entry) => copy_entry(archive, file, entry),
            Self::New(body, method) => {
                archive.begin_entry(name, body.len(), *method, &[])?;
                body.write_to(archive)
            }
        }
    }
}

/// Returns the names of the entries that an item's bodies may have.
pub(super) fn body_names(id: Id) -> impl Iterator<Item = String> {
    body_files(id.kind(), &id.to_string()).map(move |file| id.kind().body_name(&file))
}

/// Copies an entry as it is.
pub(super) fn copy_entry(archive: &mut Archive, file: &File, entry: &LocatedEntry) -> io::Result<()> {
    let mut blocks = BufReader::with_capacity(BLOCK_BYTES, entry.compressed(file));
    archive.copy(entry.header.clone(), &entry.note, &mut blocks)
}

/// Each packer thread of a capture may have two large bodies in reserved space before their JSON is written.
const MAX_WAITING_BODIES: usize = 512;
