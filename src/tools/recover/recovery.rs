//! Copies the complete exchanges and messages of a scanned file into a new bundle, and writes its end.
//!
//! ```text
//! t_0001, t_0002, t_0001 again      the last group of an item is copied; if it is damaged, the last one that is intact
//! ```

use super::bodies::{FoundBody, WaitingBodies, content_of, copy_entry};
use super::failure::Failure;
use super::groups::{GroupCounts, NumberSet, Turn, id_of};
use crate::bundle::archive::Archive;
use crate::bundle::archive::located_entry::LocatedEntry;
use crate::bundle::archive::scan::{Scan, ScanItem};
use crate::bundle::capture_info::CaptureInfo;
use crate::bundle::format::{Manifest, Message, Trace, WebSocket};
use crate::bundle::id::{Id, ItemKind, body_files, item_of, numbers, payload_file, request_file, response_file};
use crate::bundle::json::add_json;
use crate::bundle::meter::Meter;
use crate::bundle::reader::MAX_JSON_BYTES;
use crate::bundle::recovery_note::{AMENDMENT, CaptureIdentity, RecoveryNote};
use crate::tools::body_decoder::{BodyDecoder, Side, encoding};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// A recovery under way.
pub(super) struct Recovery<'f> {
    file: &'f File,
    pub(super) archive: Archive,
    pub(super) info: CaptureInfo,
    /// The identity of the capture, from the first recovery note that has it.
    pub(super) capture: Option<CaptureIdentity>,
    groups: GroupCounts,
    bodies: WaitingBodies,
    decoder: BodyDecoder,
    /// Items whose last group is damaged, with the offset of its end.
    failed: HashMap<Id, u64>,
    /// The number of entries scanned.
    scanned: u64,
    /// The number of entries that were kept, replaced, or are rewritten at the end.
    kept: u64,
    /// The number of entries scanned when the last one was kept.
    scanned_to_kept: u64,
    /// The end of the last entry that was kept.
    pub(super) kept_end: u64,
    /// The exchanges and messages that were kept.
    pub(super) items: NumberSet,
    pub(super) websockets: BTreeMap<u32, KnownWebSocket>,
    /// The start of the first item and the end of the last, in milliseconds since the epoch.
    pub(super) earliest: u64,
    pub(super) latest: u64,
    /// Only complete bundles have a manifest.
    pub(super) manifest: Option<Manifest>,
    /// True if an id has the number of a bundle, as only merged bundles have.
    has_merged_ids: bool,
    meter: Meter,
}

/// The facts that are known about a WebSocket.
#[derive(Default)]
pub(super) struct KnownWebSocket {
    /// Its JSON, or what its handshake shows.
    pub(super) description: Option<WebSocket>,
    pub(super) message_count: u64,
    /// The time of its first message.
    pub(super) first_message: Option<u64>,
}

/// An intact exchange or message.
enum FoundItem {
    Trace(Box<Trace>, [FoundBody; 2]),
    Message(Box<Message>, FoundBody),
}

impl<'f> Recovery<'f> {
    pub(super) fn new(file: &'f File, archive: Archive, output: &Path, meter: Meter) -> Self {
        Self {
            file,
            archive,
            info: CaptureInfo::new(output, Duration::ZERO),
            capture: None,
            groups: GroupCounts::default(),
            bodies: WaitingBodies::default(),
            decoder: BodyDecoder::new(output),
            failed: HashMap::new(),
            scanned: 0,
            kept: 0,
            scanned_to_kept: 0,
            kept_end: 0,
            items: NumberSet::default(),
            websockets: BTreeMap::new(),
            earliest: u64::MAX,
            latest: 0,
            manifest: None,
            has_merged_ids: false,
            meter,
        }
    }

    /// Copies everything that is complete, then writes the end of the bundle.
    pub(super) fn run(&mut self, scan: &mut Scan<'_>) -> Result<(), Failure> {
        self.groups = GroupCounts::of(&mut scan.again()).map_err(Failure::Read)?;
        while let ScanItem::Entry(entry) = scan.next().map_err(Failure::Read)? {
            self.scanned = self.scanned.saturating_add(1);
            let end = entry.end;
            self.add_entry(entry)?;
            self.meter.advance_to(end);
        }
        if !self.failed.is_empty() {
            self.fall_back(scan)?;
        }
        self.end()
    }

    /// Returns true if the file contains merged items only.
    pub(super) fn is_interrupted_merge(&self) -> bool {
        self.has_merged_ids && self.info.is_empty()
    }

    /// Returns the number of entries before `kept_end` that were not kept.
    pub(super) fn damaged_entries(&self) -> u64 {
        self.scanned_to_kept.saturating_sub(self.kept)
    }

    /// Processes the next entry of the file.
    fn add_entry(&mut self, entry: LocatedEntry) -> Result<(), Failure> {
        let name = entry.header.name.as_str();
        match (id_of(name), item_of(name)) {
            // The group with the bodies shows the same.
            (Some(_), _) if entry.note == AMENDMENT => {
                self.keep(entry.end, 1);
                Ok(())
            }
            (Some(Id::WebSocket(n)), _) => self.add_websocket(n, &entry),
            (Some(id), _) => match self.groups.turn(id) {
                Turn::Superseded => {
                    self.skip_group(id, &entry);
                    Ok(())
                }
                turn => {
                    if !self.add_item(id, &entry)? && turn == Turn::Last {
                        self.failed.insert(id, entry.end);
                    }
                    Ok(())
                }
            },
            (None, Some((kind, id))) => {
                self.has_merged_ids |= numbers(id).len() > if kind == ItemKind::Message { 2 } else { 1 };
                Ok(())
            }
            (None, None) if name == "manifest.json" => self.add_manifest(&entry),
            // Rewritten at the end.
            (None, None) if name == "timeline.json" => {
                self.keep(entry.end, 1);
                Ok(())
            }
            (None, None) => {
                self.bodies.push(entry);
                Ok(())
            }
        }
    }

    /// Copies the last intact group of each item whose last group is damaged. Such a file is rare: it is read twice more,
    /// so that memory does not depend on it.
    fn fall_back(&mut self, scan: &Scan<'_>) -> Result<(), Failure> {
        // The end of the last intact group, and the number of entries of damaged ones after it.
        let mut found: HashMap<Id, (u64, u64)> = HashMap::new();
        self.each_failed(&mut scan.again(), |recovery, id, entry, last_end| {
            let is_intact = recovery.find_item(id, entry)?.is_some();
            let (intact_end, damaged) = found.entry(id).or_default();
            if is_intact {
                (*intact_end, *damaged) = (entry.end, 0);
            } else if entry.end != last_end {
                *damaged = damaged.saturating_add(recovery.bodies.last_taken).saturating_add(1);
            }
            Ok(())
        })?;
        // They were counted as replaced, and so was the intact one.
        let damaged = found.values().fold(0u64, |sum, (_, damaged)| sum.saturating_add(*damaged));
        let kept = self.kept.saturating_sub(damaged);
        self.each_failed(&mut scan.again(), |recovery, id, entry, _| {
            if found.get(&id).is_some_and(|(intact_end, _)| *intact_end == entry.end) {
                recovery.add_item(id, entry)?;
            }
            Ok(())
        })?;
        self.kept = kept;
        Ok(())
    }

    /// Passes each group of the items in `failed` to `visit`, with the end of the item's last group.
    fn each_failed(
        &mut self,
        scan: &mut Scan<'_>,
        mut visit: impl FnMut(&mut Self, Id, &LocatedEntry, u64) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.bodies = WaitingBodies::default();
        while let ScanItem::Entry(entry) = scan.next().map_err(Failure::Read)? {
            match id_of(&entry.header.name) {
                Some(_) if entry.note == AMENDMENT => {}
                Some(id) => {
                    if let Some(&last_end) = self.failed.get(&id) {
                        visit(self, id, &entry, last_end)?;
                    }
                }
                None => self.bodies.push(entry),
            }
        }
        Ok(())
    }

    /// Counts a group that a later one replaces.
    fn skip_group(&mut self, id: Id, entry: &LocatedEntry) {
        let bodies = body_names(id).filter(|name| self.bodies.take(name).is_some()).count();
        self.keep(entry.end, (bodies as u64).saturating_add(1));
        // The first group of a capture identifies it.
        self.read_note(entry);
    }

    /// Copies an exchange or message if its group is intact. Returns false if it is not.
    fn add_item(&mut self, id: Id, entry: &LocatedEntry) -> Result<bool, Failure> {
        let Some(found) = self.find_item(id, entry)? else { return Ok(false) };
        if !self.items.insert(id) {
            return Ok(false);
        }
        match found {
            FoundItem::Trace(trace, bodies) => self.add_trace(id, entry, *trace, bodies)?,
            FoundItem::Message(message, payload) => self.add_message(id, entry, &message, payload)?,
        }
        Ok(true)
    }

    /// Reads an item whose JSON is `entry`. Returns `None` if it or one of its bodies is damaged.
    fn find_item(&mut self, id: Id, entry: &LocatedEntry) -> Result<Option<FoundItem>, Failure> {
        self.bodies.last_taken = 0;
        let text = id.to_string();
        if let Id::Message(websocket, _) = id {
            let Some(message) = self.read_json::<Message>(entry)? else { return Ok(None) };
            let name = payload_file(&text);
            let payload = self.take_body(ItemKind::Message, &name, &message.payload_file, message.payload_size)?;
            let matches_name = message.id == text && message.connection_ref == Id::WebSocket(websocket).to_string();
            // Only bodies of exchanges are gzip bodies.
            let is_payload = |body: &FoundBody| matches!(body, FoundBody::Absent | FoundBody::Intact(_));
            let payload = payload.filter(|payload| matches_name && is_payload(payload));
            return Ok(payload.map(|payload| FoundItem::Message(Box::new(message), payload)));
        }
        let Some(trace) = self.read_json::<Trace>(entry)? else { return Ok(None) };
        let (request, response) = (&trace.request, &trace.response);
        let sent = self.take_body(ItemKind::Trace, &request_file(&text), &request.body_file, request.body_size)?;
        let received =
            self.take_body(ItemKind::Trace, &response_file(&text), &response.body_file, response.body_size)?;
        let (Some(sent), Some(received)) = (sent, received) else { return Ok(None) };
        Ok((trace.id == text).then(|| FoundItem::Trace(Box::new(trace), [sent, received])))
    }

    /// Copies an exchange. Decodes bodies that were left as received.
    fn add_trace(
        &mut self,
        id: Id,
        entry: &LocatedEntry,
        mut trace: Trace,
        bodies: [FoundBody; 2],
    ) -> Result<(), Failure> {
        let count = bodies.iter().filter(|body| !matches!(body, FoundBody::Absent)).count();
        let before = (trace.request.body_size, trace.response.body_size);
        let encodings = Side::BOTH.map(|side| encoding(&trace, side).clone());
        let mut contents = Vec::new();
        for (side, body) in Side::BOTH.into_iter().zip(&bodies) {
            contents.push(content_of(self.file, &mut self.decoder, &mut trace, side, body)?);
        }
        let is_changed = before != (trace.request.body_size, trace.response.body_size)
            || encodings != Side::BOTH.map(|side| encoding(&trace, side).clone());
        let file = self.file;
        let group = self.archive.group(|archive| {
            for (content, name) in contents.iter().zip(body_names(id)) {
                content.write(archive, file, name)?;
            }
            match is_changed {
                true => add_json(archive, entry.header.name.clone(), &trace, &entry.note),
                false => copy_entry(archive, file, entry),
            }
        });
        group.map_err(Failure::Write)?;
        self.keep(entry.end, (count as u64).saturating_add(1));
        let Id::Trace(number) = id else { return Ok(()) };
        self.info.add_trace(number, trace.timestamp, &trace.request.url);
        // Converting a float saturates.
        let duration = trace.timing.total_ms.max(0.0) as u64;
        self.extend_span(trace.timestamp, trace.timestamp.saturating_add(duration));
        if let Some(opens) = self.read_note(entry).opens {
            let known = self.websockets.entry(opens.socket).or_default();
            known.description.get_or_insert(WebSocket {
                timestamp: trace.timestamp,
                url: trace.request.url,
                handshake_trace_ref: Some(id.to_string()),
                protocols: opens.protocols,
                ..WebSocket::default()
            });
        }
        Ok(())
    }

    /// Copies a message.
    fn add_message(
        &mut self,
        id: Id,
        entry: &LocatedEntry,
        message: &Message,
        payload: FoundBody,
    ) -> Result<(), Failure> {
        let (file, mut count) = (self.file, 1);
        let group = self.archive.group(|archive| {
            if let FoundBody::Intact(payload) = &payload {
                copy_entry(archive, file, payload)?;
                count = 2;
            }
            copy_entry(archive, file, entry)
        });
        group.map_err(Failure::Write)?;
        self.keep(entry.end, count);
        let Id::Message(websocket, number) = id else { return Ok(()) };
        self.info.add_message(websocket, number, message.timestamp);
        self.extend_span(message.timestamp, message.timestamp);
        let known = self.websockets.entry(websocket).or_default();
        known.message_count = known.message_count.saturating_add(1);
        let first = known.first_message.unwrap_or(u64::MAX);
        known.first_message = Some(first.min(message.timestamp));
        self.read_note(entry);
        Ok(())
    }

    /// Keeps a WebSocket's JSON in memory. It is written at the end, with the number of messages that were recovered.
    fn add_websocket(&mut self, number: u32, entry: &LocatedEntry) -> Result<(), Failure> {
        let Some(websocket) = self.read_json::<WebSocket>(entry)? else { return Ok(()) };
        if websocket.id == Id::WebSocket(number).to_string() {
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

    /// Reads a JSON entry. Returns `None` if it is damaged, not a `T`, or larger than any that readers accept.
    fn read_json<T: DeserializeOwned>(&self, entry: &LocatedEntry) -> Result<Option<T>, Failure> {
        if entry.header.size > MAX_JSON_BYTES {
            return Ok(None);
        }
        let mut json = Vec::new();
        let is_intact =
            entry.read_content(self.file, &mut |bytes| json.extend_from_slice(bytes)).map_err(Failure::Read)?;
        Ok(if is_intact { serde_json::from_slice(&json).ok() } else { None })
    }

    /// Counts `count` entries up to `end` as kept. Other entries before `end` count as damaged until JSON that comes
    /// later refers to them.
    fn keep(&mut self, end: u64, count: u64) {
        self.kept = self.kept.saturating_add(count);
        self.scanned_to_kept = self.scanned;
        self.kept_end = self.kept_end.max(end);
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

    /// Removes the body `name` from the waiting entries and returns it. `file` and `size` are its name and size in the
    /// JSON. Returns `None` if the body is missing, damaged, or does not match the JSON.
    fn take_body(
        &mut self,
        kind: ItemKind,
        name: &str,
        file: &Option<String>,
        size: u64,
    ) -> Result<Option<FoundBody>, Failure> {
        let Some(file) = file else { return Ok((size == 0).then_some(FoundBody::Absent)) };
        let entry = self.bodies.take(&kind.body_name(name));
        let matches_json = |entry: &LocatedEntry| entry.header.size == size || entry.is_restored_member;
        match entry.filter(|entry| file == name && size > 0 && matches_json(entry)) {
            Some(entry) => FoundBody::verified(entry, self.file).map_err(Failure::Read),
            None => Ok(None),
        }
    }
}

/// Returns the names of the entries that an item's bodies may have.
fn body_names(id: Id) -> impl Iterator<Item = String> {
    body_files(id.kind(), &id.to_string()).map(move |file| id.kind().body_name(&file))
}
