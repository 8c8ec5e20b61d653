//! What a bundle says of itself: counts, the app's origin, every item's time; its manifest and its timeline at the end.

use super::archive::{Archive, CompressionMethod, folder};
use super::format::{self, Id, new_uuid};
use super::iso8601;
use super::json;
use super::timeline::{Event, Timeline};
use serde::Serialize;
use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Duration;

/// See above.
pub(crate) struct CaptureInfo {
    /// A UUID.
    pub(crate) capture_id: String,
    /// In ISO 8601.
    pub(crate) created_at: String,
    /// The stem of the output's name.
    pub(crate) name: String,
    pub(crate) traces: u64,
    pub(crate) websockets: u64,
    pub(crate) messages: u64,
    timeline: Timeline,
    /// How many traces each origin has.
    origins: HashMap<String, u64>,
}

impl CaptureInfo {
    /// An empty one, of a capture that began at `created` (since the epoch). What is too much for memory goes beside `output`.
    pub(crate) fn new(output: &Path, created: Duration) -> Self {
        Self {
            capture_id: new_uuid(),
            created_at: iso8601::micros(created),
            name: output.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            traces: 0,
            websockets: 0,
            messages: 0,
            timeline: Timeline::new(folder(output).to_owned()),
            origins: HashMap::new(),
        }
    }

    /// Whether nothing is in the bundle yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.timeline.len() == 0
    }

    /// The exchange `number` is in the bundle.
    pub(crate) fn trace(&mut self, number: u32, timestamp: u64, url: &str) {
        self.traces = self.traces.saturating_add(1);
        self.timeline.push(Event { timestamp, id: Id::Trace(number) });
        if let Some(count) = self.origins.get_mut(origin(url)) {
            *count = count.saturating_add(1);
        } else if self.origins.len() < MOST_ORIGINS {
            self.origins.insert(origin(url).to_owned(), 1);
        }
    }

    /// The WebSocket `number` is in the bundle.
    pub(crate) fn websocket(&mut self, number: u32, timestamp: u64) {
        self.websockets = self.websockets.saturating_add(1);
        self.timeline.push(Event { timestamp, id: Id::WebSocket(number) });
    }

    /// Message `number` of a WebSocket is in the bundle.
    pub(crate) fn message(&mut self, socket: u32, number: u32, timestamp: u64) {
        self.messages = self.messages.saturating_add(1);
        self.timeline.push(Event { timestamp, id: Id::Message(socket, number) });
    }

    /// Writes timeline and manifest.
    pub(crate) fn write(&mut self, archive: &mut Archive, duration_ms: u64) -> io::Result<()> {
        let most = (self.origins.iter()).max_by(|(a, n), (b, m)| n.cmp(m).then_with(|| b.cmp(a)));
        let manifest = format::Manifest {
            format_version: "1.0.0".into(),
            capture_id: self.capture_id.clone(),
            created_at: self.created_at.clone(),
            app: format::App {
                name: self.name.clone(),
                base_url: most.map(|(origin, _)| origin.clone()).unwrap_or_default(),
                title: self.name.clone(),
            },
            browser: None,
            extension_version: None,
            duration_ms,
            stats: format::Stats {
                trace_count: self.traces,
                ws_connection_count: self.websockets,
                ws_message_count: self.messages,
                context_count: 0,
            },
            capture_method: Some("proxy".into()),
        };
        let size = self.timeline.len().saturating_mul(EVENT_SIZE).saturating_add(EVENT_SIZE);
        archive.group(|archive| {
            archive.entry("timeline.json".into(), size, CompressionMethod::Deflated, &[])?;
            let mut piecewise = BufWriter::with_capacity(BUFFER, &mut *archive);
            self.timeline.write(&mut piecewise)?;
            piecewise.flush()?;
            drop(piecewise);
            json(archive, "manifest.json".into(), &manifest, &[])
        })
    }
}

/// Writes `value` as one entry.
pub(crate) fn json(archive: &mut Archive, name: String, value: &impl Serialize, note: &[u8]) -> io::Result<()> {
    archive.add_written(name, note, |out| json::write(out, value))
}

/// `scheme://host[:port]`.
pub(crate) fn origin(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at.saturating_add(3));
    let path = url.get(authority..).and_then(|rest| rest.find(['/', '?', '#']));
    path.and_then(|path| url.get(..authority.saturating_add(path))).unwrap_or(url)
}

/// The origins that traces are counted for; a capture of more hosts has no app to name.
pub(crate) const MOST_ORIGINS: usize = 10_000;

/// An event's JSON is at most this long: two numbers of up to 20 digits in its id, one as its time.
const EVENT_SIZE: u64 = 160;

/// The timeline goes to the archive in pieces of this size.
pub(crate) const BUFFER: usize = 64 * 1024;
