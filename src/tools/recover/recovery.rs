//! Copies the complete exchanges and messages of a scanned file into a new bundle, and writes its end.

use crate::bundle::archive::Archive;
use crate::bundle::archive::located_entry::LocatedEntry;
use crate::bundle::archive::scan::{Scan, ScanItem};
use crate::bundle::capture_info::CaptureInfo;
use crate::bundle::format::{Manifest, Message, Trace, WebSocket};
use crate::bundle::id::{Id, ItemKind, item_of, numbers, payload_file, request_file, response_file};
use crate::bundle::iso8601;
use crate::bundle::json::add_json;
use crate::bundle::recovery_note::{CaptureIdentity, RecoveryNote};
use crate::bundle::uuid;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

/// A recovery under way.
pub(super) struct Recovery<'f> {
    file: &'f File,
    pub(super) archive: Archive,
    pub(super) info: CaptureInfo,
    /// The identity of the capture, from the first recovery note that has it.
    capture: Option<CaptureIdentity>,
    /// The last undamaged bodies that no JSON has referred to yet, newest first.
    waiting: Vec<LocatedEntry>,
    /// The number of entries scanned.
    scanned: u64,
    /// The number of entries that were kept, or are rewritten at the end.
    kept: u64,
    /// The number of entries before `kept_end` that were not kept.
    pub(super) damaged_entries: u64,
    /// The end of the last entry that was kept.
    pub(super) kept_end: u64,
    traces: HashSet<u32>,
    websockets: BTreeMap<u32, KnownWebSocket>,
    /// The start of the first item and the end of the last, in milliseconds since the epoch.
    earliest: u64,
    latest: u64,
    /// Only complete bundles have a manifest.
    manifest: Option<Manifest>,
    /// True if an id has the number of a bundle, as only merged bundles have.
    has_merged_ids: bool,
}

/// The facts that are known about a WebSocket.
#[derive(Default)]
struct KnownWebSocket {
    /// Its JSON, or what its handshake shows.
    description: Option<WebSocket>,
    message_count: u64,
    /// The number of its last message.
    last_number: u32,
    /// The time of its first message.
    first_message: Option<u64>,
}

/// A failure, by the file that failed.
pub(super) enum Failure {
    Read(io::Error),
    Write(io::Error),
}

impl<'f> Recovery<'f> {
    pub(super) fn new(file: &'f File, archive: Archive, output: &Path) -> Self {
        Self {
            file,
            archive,
            info: CaptureInfo::new(output, Duration::ZERO),
            capture: None,
            waiting: Vec::new(),
            scanned: 0,
            kept: 0,
            damaged_entries: 0,
            kept_end: 0,
            traces: HashSet::new(),
            websockets: BTreeMap::new(),
            earliest: u64::MAX,
            latest: 0,
            manifest: None,
            has_merged_ids: false,
        }
    }

    /// Copies everything that is complete, then writes the end of the bundle.
    pub(super) fn run(&mut self, scan: &mut Scan<'_>) -> Result<(), Failure> {
        while let ScanItem::Entry(entry) = scan.next().map_err(Failure::Read)? {
            self.scanned = self.scanned.saturating_add(1);
            self.add_entry(entry)?;
        }
        self.end()
    }

    /// Returns true if the file contains merged items only.
    pub(super) fn is_interrupted_merge(&self) -> bool {
        self.has_merged_ids && self.info.is_empty()
    }

    /// Processes the next entry of the file.
    fn add_entry(&mut self, entry: LocatedEntry) -> Result<(), Failure> {
        let name = entry.header.name.as_str();
        let [first, second] = match numbers(name)[..] {
            [first] => [u32::try_from(first).ok(), None],
            [first, second] => [u32::try_from(first).ok(), u32::try_from(second).ok()],
            _ => [None, None],
        };
        match (item_of(name), first, second) {
            (Some((ItemKind::Trace, _)), Some(n), None) => self.add_trace(n, &entry),
            (Some((ItemKind::Message, _)), Some(websocket), Some(n)) => self.add_message(websocket, n, &entry),
            (Some((ItemKind::WebSocket, _)), Some(n), None) => self.add_websocket(n, &entry),
            (Some((_, id)), ..) => {
                self.has_merged_ids |= id.matches('_').count() > 1;
                Ok(())
            }
            (None, ..) if name == "manifest.json" => self.add_manifest(&entry),
            // Rewritten at the end.
            (None, ..) if name == "timeline.json" => {
                self.keep(entry.end, 1);
                Ok(())
            }
            (None, ..) => {
                if entry.read_content(self.file, &mut |_| ()).map_err(Failure::Read)? {
                    self.waiting.truncate(MAX_OLDER_WAITING_BODIES);
                    self.waiting.insert(0, entry);
                }
                Ok(())
            }
        }
    }

    /// Copies an exchange if it and its bodies are intact.
    fn add_trace(&mut self, number: u32, entry: &LocatedEntry) -> Result<(), Failure> {
        let Some(trace) = self.read_json::<Trace>(entry)? else { return Ok(()) };
        let id = Id::Trace(number).to_string();
        let (request, response) = (&trace.request, &trace.response);
        let request_body = self.take_body(ItemKind::Trace, &request_file(&id), &request.body_file, request.body_size);
        let response_body =
            self.take_body(ItemKind::Trace, &response_file(&id), &response.body_file, response.body_size);
        let (Some(request_body), Some(response_body)) = (request_body, response_body) else { return Ok(()) };
        if trace.id != id || entry.header.name != ItemKind::Trace.json_name(&id) || !self.traces.insert(number) {
            return Ok(());
        }
        self.copy(&[request_body.as_ref(), response_body.as_ref(), Some(entry)])?;
        self.info.add_trace(number, trace.timestamp, &trace.request.url);
        // Converting a float saturates.
        let duration = trace.timing.total_ms.max(0.0) as u64;
        self.extend_span(trace.timestamp, trace.timestamp.saturating_add(duration));
        if let Some(opens) = self.read_note(entry).opens {
            let known = self.websockets.entry(opens.socket).or_default();
            known.description.get_or_insert(WebSocket {
                timestamp: trace.timestamp,
                url: trace.request.url,
                handshake_trace_ref: Some(id),
                protocols: opens.protocols,
                ..WebSocket::default()
            });
        }
        Ok(())
    }

    /// Copies a message if it and its payload are intact.
    fn add_message(&mut self, websocket: u32, number: u32, entry: &LocatedEntry) -> Result<(), Failure> {
        let Some(message) = self.read_json::<Message>(entry)? else { return Ok(()) };
        let id = Id::Message(websocket, number).to_string();
        let payload =
            self.take_body(ItemKind::Message, &payload_file(&id), &message.payload_file, message.payload_size);
        let Some(payload) = payload else { return Ok(()) };
        let matches_name = message.id == id
            && message.connection_ref == Id::WebSocket(websocket).to_string()
            && entry.header.name == ItemKind::Message.json_name(&id);
        // Messages are written in order. A lower number would be a duplicate.
        if !matches_name || self.websockets.get(&websocket).is_some_and(|known| number <= known.last_number) {
            return Ok(());
        }
        self.copy(&[payload.as_ref(), Some(entry)])?;
        self.info.add_message(websocket, number, message.timestamp);
        self.extend_span(message.timestamp, message.timestamp);
        let known = self.websockets.entry(websocket).or_default();
        known.last_number = number;
        known.message_count = known.message_count.saturating_add(1);
        known.first_message.get_or_insert(message.timestamp);
        self.read_note(entry);
        Ok(())
    }

    /// Keeps a WebSocket's JSON in memory. It is written at the end, with the number of messages that were recovered.
    fn add_websocket(&mut self, number: u32, entry: &LocatedEntry) -> Result<(), Failure> {
        let Some(websocket) = self.read_json::<WebSocket>(entry)? else { return Ok(()) };
        let id = Id::WebSocket(number).to_string();
        if websocket.id == id && entry.header.name == ItemKind::WebSocket.json_name(&id) {
            self.extend_span(websocket.timestamp, websocket.timestamp);
            self.websockets.entry(number).or_default().description = Some(websocket);
            self.read_note(entry);
            self.keep(entry.end, 1);
        }
        Ok(())
    }

    /// Keeps the manifest in memory. A new one is written at the end.
    fn add_manifest(&mut self, entry: &LocatedEntry) -> Result<(), Failure> {
        if let Some(manifest) = self.read_json::<Manifest>(entry)? {
            self.manifest = Some(manifest);
            self.keep(entry.end, 1);
        }
        Ok(())
    }

    /// Reads a JSON entry. Returns `None` if it is damaged or not a `T`.
    fn read_json<T: DeserializeOwned>(&self, entry: &LocatedEntry) -> Result<Option<T>, Failure> {
        if entry.header.size > MAX_JSON_BYTES {
            return Ok(None);
        }
        let mut json = Vec::new();
        let is_intact =
            entry.read_content(self.file, &mut |bytes| json.extend_from_slice(bytes)).map_err(Failure::Read)?;
        Ok(if is_intact { serde_json::from_slice(&json).ok() } else { None })
    }

    /// Copies entries as they are, as one group.
    fn copy(&mut self, entries: &[Option<&LocatedEntry>]) -> Result<(), Failure> {
        let (file, archive) = (self.file, &mut self.archive);
        let entries = entries.iter().copied().flatten();
        let copied = archive.group(|archive| {
            entries
                .clone()
                .try_for_each(|entry| archive.copy(entry.header.clone(), &entry.note, &mut entry.compressed(file)))
        });
        copied.map_err(Failure::Write)?;
        if let Some(last) = entries.clone().last() {
            self.keep(last.end, entries.count() as u64);
        }
        Ok(())
    }

    /// Counts `count` entries up to `end` as kept. Other entries before `end` count as damaged until JSON that comes
    /// later refers to them.
    fn keep(&mut self, end: u64, count: u64) {
        self.kept = self.kept.saturating_add(count);
        self.damaged_entries = self.scanned.saturating_sub(self.kept);
        self.kept_end = end;
    }

    fn extend_span(&mut self, start: u64, end: u64) {
        self.earliest = self.earliest.min(start);
        self.latest = self.latest.max(end);
    }

    fn read_note(&mut self, entry: &LocatedEntry) -> RecoveryNote {
        let note = RecoveryNote::decode(&entry.note);
        if self.capture.is_none() {
            self.capture.clone_from(&note.capture);
        }
        note
    }

    /// Removes the body `name` from the waiting entries and returns it. `file` and `size` are its name and size in the JSON.
    /// Returns `Some(None)` if the JSON has no body, and `None` if the body is missing or does not match the JSON.
    fn take_body(
        &mut self,
        kind: ItemKind,
        name: &str,
        file: &Option<String>,
        size: u64,
    ) -> Option<Option<LocatedEntry>> {
        let Some(file) = file else { return (size == 0).then_some(None) };
        let entry_name = kind.body_name(name);
        let is_body = |entry: &LocatedEntry| entry.header.name == entry_name;
        let entry = self.waiting.iter().position(is_body).map(|at| self.waiting.remove(at))?;
        (file == name && size > 0 && entry.header.size == size).then_some(Some(entry))
    }

    /// Writes the end of the bundle, as the capture would have: WebSockets, timeline, manifest.
    fn end(&mut self) -> Result<(), Failure> {
        for (number, known) in std::mem::take(&mut self.websockets) {
            let description = known.description.unwrap_or_else(|| WebSocket {
                timestamp: known.first_message.unwrap_or_default(),
                url: UNKNOWN_URL.into(),
                ..WebSocket::default()
            });
            let websocket = WebSocket {
                id: Id::WebSocket(number).to_string(),
                handshake_trace_ref: description.handshake_trace_ref.filter(|id| self.has_trace(id)),
                message_count: known.message_count,
                ..description
            };
            let name = ItemKind::WebSocket.json_name(&websocket.id);
            let written = self.archive.group(|archive| add_json(archive, name, &websocket, &[]));
            written.map_err(Failure::Write)?;
            self.info.add_websocket(number, websocket.timestamp);
        }
        let start = self.identify();
        let span = self.latest.saturating_sub(start);
        let duration = self.manifest.as_ref().map_or(span, |manifest| manifest.duration_ms);
        self.info.write(&mut self.archive, duration).map_err(Failure::Write)
    }

    /// Sets the id, time and name of the capture from its recovery note or manifest. Returns its start in milliseconds
    /// since the epoch.
    fn identify(&mut self) -> u64 {
        let (capture_id, created_at, name, start) = match (self.capture.take(), &self.manifest) {
            (Some(CaptureIdentity { id, created, name }), _) => {
                (id, iso8601::micros(Duration::from_micros(created)), name, created / 1000)
            }
            (None, Some(manifest)) => {
                (manifest.capture_id.clone(), manifest.created_at.clone(), manifest.app.name.clone(), self.earliest)
            }
            // The capture started at its first item at the latest.
            (None, None) => {
                let first = self.earliest.min(self.latest);
                (String::new(), iso8601::micros(Duration::from_millis(first)), String::new(), first)
            }
        };
        if uuid::is_uuid(&capture_id) {
            self.info.capture_id = capture_id;
        }
        self.info.created_at = created_at;
        if !name.is_empty() {
            self.info.name = name;
        }
        start
    }

    fn has_trace(&self, id: &str) -> bool {
        let number = numbers(id).first().copied().and_then(|n| u32::try_from(n).ok());
        number.is_some_and(|n| self.traces.contains(&n) && Id::Trace(n).to_string() == id)
    }
}

/// The URL of a WebSocket of which only messages are left. `.invalid` names no host (RFC 2606 section 2).
pub(super) const UNKNOWN_URL: &str = "ws://unknown.invalid/";

/// The number of waiting bodies besides the newest: two exchanges may have large bodies in reserved space before their
/// JSON is written, and one exchange may be written in between.
const MAX_OLDER_WAITING_BODIES: usize = 5;

/// The largest JSON entry that is read. No exchange that we write exceeds it.
const MAX_JSON_BYTES: u64 = 64 << 20;
