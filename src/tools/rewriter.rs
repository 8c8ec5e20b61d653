//! A bundle made of others, item by item: bodies are copied as they are packed, or written anew.
//!
//! ```text
//! bundle ─▶ trace, bodies ─▶ a group ─┐
//! bundle ─▶ message, payload ─▶ a group ─┼─▶ archive ─▶ NAME.zip
//!            ids, times, origins ─▶ timeline, manifest ─┘
//! ```
//!
//! One item at a time is in memory, and of those that are written some thirty bytes: id and time.

use crate::bundle::archive::{Archive, CompressionMethod, FinishError};
use crate::bundle::format::{self, App, Context, Manifest, Message, Stats, TimelineEvent, Trace, WebSocket};
use crate::bundle::reader::{self, Bundle, ItemKind};
use crate::bundle::session::{BUFFER, MOST_ORIGINS, json, origin};
use crate::bundle::string_arena::StringArena;
use crate::clock::Moment;
use serde::{Serialize, Serializer};
use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Why there is no new bundle, in one sentence. No file was changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// One of the bundles cannot be read.
    Read(reader::Error),
    /// The new bundle would take the place of one that it is made of.
    Itself(PathBuf),
    /// The bundle cannot be made where it should be.
    Output(crate::Error),
    /// The bundle cannot be written.
    Write {
        /// The bundle.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(e) => e.fmt(f),
            Self::Itself(path) => {
                write!(f, "the new bundle would take the place of {}: choose another with -o", path.display())
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
            Self::Itself(_) => None,
        }
    }
}

impl From<reader::Error> for Error {
    fn from(e: reader::Error) -> Self {
        Self::Read(e)
    }
}

/// A bundle under way.
pub(super) struct Rewriter {
    archive: Archive,
    output: PathBuf,
    events: Vec<Event>,
    /// The ids of the events, in the order in which they were written.
    ids: StringArena,
    stats: Stats,
    /// How many traces each origin has.
    origins: HashMap<String, u64>,
}

/// An item's place in time.
struct Event {
    timestamp: u64,
    /// Which of the ids is its own.
    id: u32,
    kind: ItemKind,
}

/// Where an item's bytes come from.
pub(super) enum Content {
    /// There are none.
    Empty,
    /// From this entry, as they are.
    Same(String),
    New(Vec<u8>),
}

impl Rewriter {
    /// Makes `output`, which must not be one of the bundles that it is made of, of what `fill` writes; counts and the app are
    /// what it then holds, the rest of its manifest is as `fill` says. If anything fails, nothing is left behind.
    pub(super) fn make(
        output: &Path,
        made_of: &[&Path],
        fill: impl FnOnce(&mut Self) -> Result<Manifest, Error>,
    ) -> Result<(PathBuf, Stats), Error> {
        let same = |path: &Path| match (path.canonicalize(), output.canonicalize()) {
            (Ok(path), Ok(output)) => path == output,
            _ => false,
        };
        if let Some(path) = made_of.iter().find(|path| same(path)) {
            return Err(Error::Itself(path.to_path_buf()));
        }
        let (archive, _) = Archive::create(output, Moment::now().since_epoch()).map_err(Error::Output)?;
        let (events, ids, origins) = (Vec::new(), StringArena::default(), HashMap::new());
        let mut rewriter = Self { archive, output: output.to_owned(), events, ids, stats: Stats::default(), origins };
        let filled = fill(&mut rewriter).and_then(|manifest| rewriter.end(manifest));
        let Self { mut archive, output, stats, .. } = rewriter;
        if let Err(e) = filled {
            archive.abandon();
            return Err(e);
        }
        let placed = archive.finish().map_err(|FinishError { path: part, cause, .. }| {
            // It is no better than what it was made of.
            let _ = std::fs::remove_file(part);
            Error::Write { path: output, cause }
        })?;
        Ok((placed, stats))
    }

    /// Writes `trace`, whose own bodies are called as they have to be, and whose bytes come from `bundle`.
    pub(super) fn trace(&mut self, bundle: &Bundle, trace: &Trace, bodies: [Content; 2]) -> Result<(), Error> {
        let files = [&trace.request.body_file, &trace.response.body_file];
        self.group(|archive| {
            for (body, file) in bodies.into_iter().zip(files) {
                add(archive, bundle, "traces", file.as_deref(), body)?;
            }
            json(archive, format!("traces/{}.json", trace.id), trace, &[])
        })?;
        self.event(trace.timestamp, ItemKind::Trace, &trace.id);
        self.stats.trace_count = self.stats.trace_count.saturating_add(1);
        let origin = origin(&trace.request.url);
        if let Some(count) = self.origins.get_mut(origin) {
            *count = count.saturating_add(1);
        } else if self.origins.len() < MOST_ORIGINS {
            self.origins.insert(origin.to_owned(), 1);
        }
        Ok(())
    }

    pub(super) fn socket(&mut self, socket: &WebSocket) -> Result<(), Error> {
        self.group(|archive| json(archive, format!("ws/{}.json", socket.id), socket, &[]))?;
        self.event(socket.timestamp, ItemKind::WebSocket, &socket.id);
        self.stats.ws_connection_count = self.stats.ws_connection_count.saturating_add(1);
        Ok(())
    }

    /// As [`Rewriter::trace`].
    pub(super) fn message(&mut self, bundle: &Bundle, message: &Message, payload: Content) -> Result<(), Error> {
        self.group(|archive| {
            add(archive, bundle, "ws", message.payload_file.as_deref(), payload)?;
            json(archive, format!("ws/{}.json", message.id), message, &[])
        })?;
        self.event(message.timestamp, ItemKind::Message, &message.id);
        self.stats.ws_message_count = self.stats.ws_message_count.saturating_add(1);
        Ok(())
    }

    pub(super) fn context(&mut self, context: &Context) -> Result<(), Error> {
        self.group(|archive| json(archive, format!("contexts/{}.json", context.id), context, &[]))?;
        self.event(context.timestamp, ItemKind::Context, &context.id);
        self.stats.context_count = self.stats.context_count.saturating_add(1);
        Ok(())
    }

    /// Writes timeline and manifest.
    fn end(&mut self, known: Manifest) -> Result<(), Error> {
        // Stable: what happened in one millisecond stays in the order in which it was written.
        self.events.sort_by_key(|event| event.timestamp);
        let most = self.origins.iter().max_by(|(a, n), (b, m)| n.cmp(m).then_with(|| b.cmp(a)));
        let name = self.output.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let base_url = most.map(|(origin, _)| origin.clone()).unwrap_or_default();
        let app = App { name: name.clone(), base_url, title: name };
        let manifest = Manifest { app, stats: self.stats.clone(), ..known };
        let (events, ids) = (std::mem::take(&mut self.events), std::mem::take(&mut self.ids));
        self.group(|archive| {
            let size = (events.len() as u64).saturating_mul(EVENT_SIZE).saturating_add(EVENT_SIZE);
            archive.entry("timeline.json".into(), size, CompressionMethod::Deflated, &[])?;
            let mut piecewise = BufWriter::with_capacity(BUFFER, &mut *archive);
            serde_json::to_writer_pretty(&mut piecewise, &Timeline { events: Events { all: &events, ids: &ids } })?;
            piecewise.flush()?;
            drop(piecewise);
            json(archive, "manifest.json".into(), &manifest, &[])
        })
    }

    fn event(&mut self, timestamp: u64, kind: ItemKind, id: &str) {
        // Nobody has four billion.
        let place = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
        self.ids.push(id);
        self.events.push(Event { timestamp, id: place, kind });
    }

    /// Writes what belongs together.
    fn group(&mut self, fill: impl FnOnce(&mut Archive) -> io::Result<()>) -> Result<(), Error> {
        self.archive.group(fill).map_err(|cause| Error::Write { path: self.output.clone(), cause })
    }
}

/// Adds a body to the archive, where there is one.
fn add(archive: &mut Archive, bundle: &Bundle, folder: &str, file: Option<&str>, content: Content) -> io::Result<()> {
    let Some(file) = file else { return Ok(()) };
    match content {
        Content::Empty => Ok(()),
        Content::Same(from) => bundle.copy(archive, &format!("{folder}/{from}"), format!("{folder}/{file}")),
        Content::New(bytes) => archive.add(format!("{folder}/{file}"), &bytes, CompressionMethod::Deflated, &[]),
    }
}

/// The timeline, an event at a time.
#[derive(Serialize)]
struct Timeline<'e> {
    events: Events<'e>,
}

struct Events<'e> {
    all: &'e [Event],
    ids: &'e StringArena,
}

impl Serialize for Events<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.all.iter().map(|event| TimelineEvent {
            timestamp: event.timestamp,
            r#type: match event.kind {
                ItemKind::Trace => "trace".into(),
                ItemKind::WebSocket => "ws_open".into(),
                ItemKind::Message => "ws_message".into(),
                ItemKind::Context => "context".into(),
            },
            r#ref: event.id.try_into().ok().and_then(|id| self.ids.get(id)).unwrap_or_default().to_owned(),
        }))
    }
}

/// The start of a manifest for a bundle that was made now of others.
pub(super) fn new_manifest() -> Manifest {
    Manifest { format_version: "1.0.0".into(), capture_id: format::new_uuid(), ..Manifest::default() }
}

/// An event's JSON is at most this long, but for its id, which is as long as the file names that are read.
const EVENT_SIZE: u64 = 160 + (1 << 16);
