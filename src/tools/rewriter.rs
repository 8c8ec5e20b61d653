//! Writes a bundle from the items of others. Bodies are copied without recompression, decoded if they were stored as
//! received, or replaced.
//!
//! ```text
//! bundle ─▶ trace, bodies ─▶ a group ───┐
//! bundle ─▶ message, payload ─▶ a group ┼─▶ archive ─▶ NAME.zip
//!            ids, times, origins ─▶ timeline, manifest ─┘
//! ```
//!
//! Names of entries come from the ids of items, which the reader takes from the names of entries: text in the JSON of a hostile
//! bundle never becomes a name.
//!
//! One item at a time is in memory, and some 30 bytes for each item written: its id and time.

use super::body_decoder::{BodyDecoder, Side};
use super::filter::Filter;
use super::temp_body::TempBody;
use crate::bundle::archive::{Archive, CompressionMethod, FinishError, Finished, OutputFile, PackedEntry};
use crate::bundle::capture_info::CaptureInfo;
use crate::bundle::format::{Context, Manifest, Message, Stats, Trace, WebSocket};
use crate::bundle::id::{ItemKind, payload_file, request_file, response_file};
use crate::bundle::json::{add_json, add_json_with};
use crate::bundle::reader::{self, BodyEntry, Bundle, Meter};
use crate::bundle::spill::SpillPlace;
use crate::bundle::uuid;
use crate::clock::Moment;
use crate::coding::Content as _;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The options of tools that write a bundle from others.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Selects the exchanges and WebSockets of the new bundle. A WebSocket comes with its handshake's exchange and all its
    /// messages, if the filter matches the WebSocket or the exchange.
    pub filter: Filter,
    /// Measures the progress.
    pub meter: Meter,
}

/// The reason why a bundle could not be written from others. No file was changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A source bundle cannot be read.
    Read(reader::Error),
    /// The output is one of the source bundles.
    OutputIsInput(PathBuf),
    /// The output cannot be created.
    Output(crate::error::Error),
    /// The output cannot be written.
    Write {
        /// The path of the output.
        path: PathBuf,
        /// The error of the operating system.
        cause: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(e) => e.fmt(f),
            Self::OutputIsInput(path) => {
                write!(f, "cannot write {}: it is one of the bundles to read", path.display())
            }
            Self::Output(e) => e.fmt(f),
            Self::Write { path, cause } => write!(f, "cannot write {}: {cause}", path.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(e) => Some(e),
            Self::Output(e) => Some(e),
            Self::Write { cause, .. } => Some(cause),
            Self::OutputIsInput(_) => None,
        }
    }
}

impl From<reader::Error> for Error {
    fn from(e: reader::Error) -> Self {
        Self::Read(e)
    }
}

/// A bundle being written from others.
pub(super) struct Rewriter {
    archive: Archive,
    output: PathBuf,
    info: CaptureInfo,
    decoder: BodyDecoder,
}

/// An item to be written, with the contents of its bodies.
pub(super) enum Item {
    Trace(Box<Trace>, [Content; 2]),
    WebSocket(Box<WebSocket>),
    Message(Box<Message>, Content),
    Context(Box<Context>),
}

/// An item with the compressed entries of its bodies and of its JSON.
pub(super) struct PackedItem {
    pub(super) kind: ItemKind,
    pub(super) id: String,
    pub(super) timestamp: u64,
    /// The URL of an exchange.
    pub(super) url: Option<String>,
    pub(super) entries: Vec<PackedEntry>,
}

impl PackedItem {
    /// Returns the size of the entries.
    pub(super) fn bytes(&self) -> usize {
        self.entries.iter().fold(0, |sum: usize, entry| sum.saturating_add(entry.content.len()))
    }
}

/// The content of a body or payload.
pub(super) enum Content {
    Empty,
    /// The content of this entry of the source bundle.
    Copied(BodyEntry),
    /// The decoded content of an entry that was stored as received.
    Decoded(TempBody),
}

impl Content {
    /// Returns the content of the file that the JSON of the item `id` names.
    pub(super) fn stored(bundle: &Bundle, kind: ItemKind, id: &str, file: Option<&str>) -> Result<Self, Error> {
        match file {
            Some(file) => Ok(Self::Copied(bundle.body_entry(kind, id, file)?)),
            None => Ok(Self::Empty),
        }
    }

    /// Returns the contents of the request body and the response body of `trace`.
    pub(super) fn of_trace(bundle: &Bundle, trace: &Trace) -> Result<[Self; 2], Error> {
        let stored = |file: &Option<String>| Self::stored(bundle, ItemKind::Trace, &trace.id, file.as_deref());
        Ok([stored(&trace.request.body_file)?, stored(&trace.response.body_file)?])
    }

    /// Returns `name` if an item with this content has a file.
    pub(super) fn file(&self, name: String) -> Option<String> {
        let is_empty = match self {
            Self::Empty => true,
            Self::Copied(_) | Self::Decoded(_) => false,
        };
        (!is_empty).then_some(name)
    }
}

impl Rewriter {
    /// Writes `output` from the items that `fill` adds, and returns its paths and counts. `fill` returns the manifest,
    /// in which the capture's id, the app and the counts are set here. `sources` are the bundles that are read, which
    /// must not include `output`. If anything fails, nothing is left behind.
    pub(super) fn write(
        output: &Path,
        sources: &[&Path],
        fill: impl FnOnce(&mut Self) -> Result<Manifest, Error>,
    ) -> Result<(Finished, Stats), Error> {
        let is_output = |source: &Path| match (source.canonicalize(), output.canonicalize()) {
            (Ok(source), Ok(output)) => source == output,
            _ => false,
        };
        if let Some(source) = sources.iter().find(|source| is_output(source)) {
            return Err(Error::OutputIsInput(source.to_path_buf()));
        }
        let now = Moment::now().since_epoch();
        let archive = Archive::create_temporary(output, now).map_err(Error::Output)?;
        Self::fill(archive, output, now, fill)
    }

    /// As [`Rewriter::write`], into the empty file `file`. Messages and temporary files take `output` for its path.
    pub(super) fn write_to(
        file: &Arc<File>,
        output: &Path,
        fill: impl FnOnce(&mut Self) -> Result<Manifest, Error>,
    ) -> Result<(Finished, Stats), Error> {
        let now = Moment::now().since_epoch();
        let created = Archive::create_in(SpillPlace::beside(output), OutputFile::Open(file), now);
        let (archive, _) = created.map_err(Error::Output)?;
        Self::fill(archive, output, now, fill)
    }

    fn fill(
        archive: Archive,
        output: &Path,
        now: Duration,
        fill: impl FnOnce(&mut Self) -> Result<Manifest, Error>,
    ) -> Result<(Finished, Stats), Error> {
        let (info, decoder) = (CaptureInfo::new(output, now), BodyDecoder::new(output));
        let mut rewriter = Self { archive, output: output.to_owned(), info, decoder };
        let filled = fill(&mut rewriter).and_then(|manifest| rewriter.end(manifest));
        let Self { archive, output, info, .. } = rewriter;
        filled?;
        let finished = archive.finish().map_err(|FinishError { cause, .. }| Error::Write { path: output, cause })?;
        Ok((finished, info.stats().clone()))
    }

    /// Sets the id of the capture. By default it is a new one.
    pub(super) fn set_capture_id(&mut self, id: &str) {
        if uuid::is_uuid(id) {
            id.clone_into(&mut self.info.capture_id);
        }
    }

    /// Decodes those of `bodies` that were stored as received, and updates `trace`, to which they belong.
    pub(super) fn decode_bodies(
        &mut self,
        bundle: &Bundle,
        trace: &mut Trace,
        bodies: &mut [Content; 2],
    ) -> Result<(), Error> {
        decode_bodies(&mut self.decoder, bundle, trace, bodies)
    }

    /// Adds an item.
    pub(super) fn add(&mut self, bundle: &Bundle, item: Item) -> Result<(), Error> {
        match item {
            Item::Trace(trace, bodies) => self.add_trace(bundle, *trace, bodies),
            Item::WebSocket(websocket) => self.add_websocket(&websocket),
            Item::Message(message, payload) => self.add_message(bundle, *message, payload),
            Item::Context(context) => self.add_context(&context),
        }
    }

    /// Adds an item that another thread compressed.
    pub(super) fn add_packed(&mut self, item: &PackedItem) -> Result<(), Error> {
        let PackedItem { kind, id, timestamp, url, entries } = item;
        self.stage(|archive| entries.iter().try_for_each(|entry| archive.add_packed(entry)))?;
        self.info.add_named(*kind, id, *timestamp, url.as_deref());
        Ok(())
    }

    /// Adds `trace`, with the contents of its request body and response body. Sets the file names.
    pub(super) fn add_trace(&mut self, bundle: &Bundle, mut trace: Trace, bodies: [Content; 2]) -> Result<(), Error> {
        name_bodies(&mut trace, &bodies);
        let files = [&trace.request.body_file, &trace.response.body_file];
        self.stage(|archive| {
            for (body, file) in bodies.into_iter().zip(files) {
                add_content(archive, bundle, ItemKind::Trace, file.as_deref(), body)?;
            }
            add_json_with(archive, ItemKind::Trace.json_name(&trace.id), &trace, &trace.others)
        })?;
        self.info.add_named(ItemKind::Trace, &trace.id, trace.timestamp, Some(&trace.request.url));
        Ok(())
    }

    /// Adds `websocket`.
    pub(super) fn add_websocket(&mut self, websocket: &WebSocket) -> Result<(), Error> {
        self.stage(|archive| {
            add_json_with(archive, ItemKind::WebSocket.json_name(&websocket.id), websocket, &websocket.others)
        })?;
        self.info.add_named(ItemKind::WebSocket, &websocket.id, websocket.timestamp, None);
        Ok(())
    }

    /// Adds `message`, with the content of its payload. Sets the file name.
    pub(super) fn add_message(&mut self, bundle: &Bundle, mut message: Message, payload: Content) -> Result<(), Error> {
        message.payload_file = payload.file(payload_file(&message.id));
        self.stage(|archive| {
            add_content(archive, bundle, ItemKind::Message, message.payload_file.as_deref(), payload)?;
            add_json_with(archive, ItemKind::Message.json_name(&message.id), &message, &message.others)
        })?;
        self.info.add_named(ItemKind::Message, &message.id, message.timestamp, None);
        Ok(())
    }

    /// Adds `context`.
    pub(super) fn add_context(&mut self, context: &Context) -> Result<(), Error> {
        self.stage(|archive| add_json(archive, ItemKind::Context.json_name(&context.id), context, &[]))?;
        self.info.add_named(ItemKind::Context, &context.id, context.timestamp, None);
        Ok(())
    }

    fn end(&mut self, manifest: Manifest) -> Result<(), Error> {
        let manifest = Manifest { capture_id: self.info.capture_id.clone(), ..manifest };
        let written = self.archive.commit().and_then(|()| self.info.write_with(&mut self.archive, manifest));
        written.map_err(|cause| Error::Write { path: self.output.clone(), cause })
    }

    /// Writes the entries that `fill` adds, together with those before and after them if they are small.
    fn stage(&mut self, fill: impl FnOnce(&mut Archive) -> io::Result<()>) -> Result<(), Error> {
        let staged = self.archive.stage(fill).and_then(|_| match self.archive.staged_bytes() >= MAX_STAGED_BYTES {
            true => self.archive.commit(),
            false => Ok(()),
        });
        staged.map_err(|cause| Error::Write { path: self.output.clone(), cause })
    }
}

/// Sets the file names of the bodies of `trace`.
pub(super) fn name_bodies(trace: &mut Trace, [sent, received]: &[Content; 2]) {
    trace.request.body_file = sent.file(request_file(&trace.id));
    trace.response.body_file = received.file(response_file(&trace.id));
}

/// Decodes those of `bodies` that were stored as received, and updates `trace`, to which they belong.
pub(super) fn decode_bodies(
    decoder: &mut BodyDecoder,
    bundle: &Bundle,
    trace: &mut Trace,
    bodies: &mut [Content; 2],
) -> Result<(), Error> {
    for (side, body) in Side::BOTH.into_iter().zip(bodies) {
        let Content::Copied(entry) = body else { continue };
        let load = |to: &mut TempBody| bundle.stream_body(entry, &mut |bytes| to.push(bytes));
        match decoder.decode(trace, side, load) {
            Ok(Some(decoded)) if decoded.len() == 0 => *body = Content::Empty,
            Ok(Some(decoded)) => *body = Content::Decoded(decoded),
            // A damaged entry is copied.
            Ok(None) | Err(reader::Error::Malformed { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

/// Adds `content` as the body `file` of an item, if it has one.
fn add_content(
    archive: &mut Archive,
    bundle: &Bundle,
    kind: ItemKind,
    file: Option<&str>,
    content: Content,
) -> io::Result<()> {
    let Some(file) = file else { return Ok(()) };
    match content {
        Content::Empty => Ok(()),
        Content::Copied(from) => bundle.copy(archive, &from, kind.body_name(file)),
        Content::Decoded(body) => {
            archive.begin_entry(kind.body_name(file), body.len(), CompressionMethod::Deflated, &[])?;
            body.write_to(archive)
        }
    }
}

/// Small items are written to the file together, once they have this size.
const MAX_STAGED_BYTES: u64 = 64 * 1024;
