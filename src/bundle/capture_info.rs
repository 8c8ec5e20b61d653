//! The facts about a whole bundle: counts, origins, and the time of each item. They are written last, as timeline and
//! manifest.

use super::archive::{Archive, CompressionMethod};
use super::format::{App, CAPTURE_METHOD, FORMAT_VERSION, Manifest, Stats};
use super::id::{Id, ItemKind};
use super::json::add_json_with;
use super::spill::SpillPlace;
use super::timeline::TimelineBuilder;
use super::{iso8601, uuid};
use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

/// The facts about a bundle that is being written.
pub(crate) struct CaptureInfo {
    /// A UUID.
    pub(crate) capture_id: String,
    /// In ISO 8601.
    pub(crate) created_at: String,
    /// The stem of the output's file name.
    pub(crate) name: String,
    stats: Stats,
    timeline: TimelineBuilder,
    origins: OriginCounts,
}

impl CaptureInfo {
    /// Returns the facts about an empty bundle of a capture that began at `created`, since the epoch. The timeline is
    /// spilled to the directory of `output`.
    pub(crate) fn new(output: &Path, created: Duration) -> Self {
        Self::spilling_to(SpillPlace::beside(output), output, created)
    }

    /// As [`CaptureInfo::new`], with a timeline that is spilled to `place`.
    pub(crate) fn spilling_to(place: SpillPlace, output: &Path, created: Duration) -> Self {
        Self {
            capture_id: uuid::new(),
            created_at: iso8601::micros(created),
            name: output.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            stats: Stats::default(),
            timeline: TimelineBuilder::new(place),
            origins: OriginCounts::default(),
        }
    }

    /// Returns true if the bundle has no items.
    pub(crate) fn is_empty(&self) -> bool {
        self.timeline.len() == 0
    }

    /// Returns the number of items of each kind.
    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Adds the exchange `number` of a capture.
    pub(crate) fn add_trace(&mut self, number: u32, timestamp: u64, url: &str) {
        self.origins.add(url);
        self.add(Id::Trace(number), timestamp);
    }

    /// Adds the WebSocket `number` of a capture.
    pub(crate) fn add_websocket(&mut self, number: u32, timestamp: u64) {
        self.add(Id::WebSocket(number), timestamp);
    }

    /// Adds message `number` of a WebSocket of a capture.
    pub(crate) fn add_message(&mut self, websocket: u32, number: u32, timestamp: u64) {
        self.add(Id::Message(websocket, number), timestamp);
    }

    fn add(&mut self, id: Id, timestamp: u64) {
        self.count(id.kind());
        self.timeline.push(timestamp, id);
    }

    /// Adds an item with an id of another producer, or of a merged bundle. `url` is the URL of an exchange.
    pub(crate) fn add_named(&mut self, kind: ItemKind, id: &str, timestamp: u64, url: Option<&str>) {
        if let Some(url) = url {
            self.origins.add(url);
        }
        self.count(kind);
        self.timeline.push_named(timestamp, kind, id);
    }

    fn count(&mut self, kind: ItemKind) {
        let count = match kind {
            ItemKind::Trace => &mut self.stats.trace_count,
            ItemKind::WebSocket => &mut self.stats.ws_connection_count,
            ItemKind::Message => &mut self.stats.ws_message_count,
            ItemKind::Context => &mut self.stats.context_count,
        };
        *count = count.saturating_add(1);
    }

    /// Writes the timeline, and the manifest of a capture by this proxy.
    pub(crate) fn write(&mut self, archive: &mut Archive, duration_ms: u64) -> io::Result<()> {
        let manifest = Manifest {
            capture_id: self.capture_id.clone(),
            created_at: self.created_at.clone(),
            duration_ms,
            capture_method: Some(CAPTURE_METHOD.into()),
            ..Manifest::default()
        };
        self.write_with(archive, manifest)
    }

    /// Writes the timeline, and `manifest` with the format version, the app and the counts set.
    pub(crate) fn write_with(&mut self, archive: &mut Archive, manifest: Manifest) -> io::Result<()> {
        let base_url = self.origins.most_frequent().to_owned();
        let app = App { name: self.name.clone(), base_url, title: self.name.clone() };
        let manifest = Manifest { format_version: FORMAT_VERSION.into(), app, stats: self.stats.clone(), ..manifest };
        let max_size = self.timeline.max_json_bytes();
        let written = archive.group(|archive| {
            archive.begin_entry("timeline.json".into(), max_size, CompressionMethod::Deflated, &[])?;
            let mut buffered = BufWriter::with_capacity(TIMELINE_BUFFER_BYTES, &mut *archive);
            self.timeline.write(&mut buffered)?;
            buffered.flush()?;
            drop(buffered);
            add_json_with(archive, "manifest.json".into(), &manifest, &manifest.others)
        });
        written.map(drop)
    }
}

/// The number of exchanges of each origin.
#[derive(Default)]
struct OriginCounts(HashMap<String, u64>);

impl OriginCounts {
    fn add(&mut self, url: &str) {
        let origin = origin(url);
        if let Some(count) = self.0.get_mut(&*origin) {
            *count = count.saturating_add(1);
        } else if self.0.len() < MAX_ORIGINS {
            self.0.insert(origin.into_owned(), 1);
        }
    }

    /// Returns the origin with the most exchanges, of ties the first by text; empty if there is none.
    fn most_frequent(&self) -> &str {
        let most = self.0.iter().max_by(|(a, n), (b, m)| n.cmp(m).then_with(|| b.cmp(a)));
        most.map(|(origin, _)| origin.as_str()).unwrap_or_default()
    }
}

/// Returns the `scheme://host[:port]` of a URL.
fn origin(url: &str) -> Cow<'_, str> {
    let authority = url.find("://").map_or(0, |at| at.saturating_add(3));
    let path = url.get(authority..).and_then(|rest| rest.find(['/', '?', '#']));
    let origin = path.and_then(|path| url.get(..authority.saturating_add(path))).unwrap_or(url);
    match (origin.get(..authority), origin.rsplit_once('@')) {
        (Some(scheme), Some((_, host))) => format!("{scheme}{host}").into(),
        _ => origin.into(),
    }
}

/// The largest number of origins that are counted, to bound memory. A capture with more has no typical origin.
const MAX_ORIGINS: usize = 10_000;

/// The timeline is passed to the archive in blocks of this size.
const TIMELINE_BUFFER_BYTES: usize = 64 * 1024;
