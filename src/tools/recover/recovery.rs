//! Copies the complete exchanges and messages of a scanned file into a new bundle, and writes its end.
//!
//! ```text
//! t_0001, t_0002, t_0001 again      the last group of an item is copied; if it is damaged, the last one that is intact
//! ```

use super::bodies::{WaitingBodies, body_names, copy_entry};
use super::failure::Failure;
use super::groups::{GroupCounts, NumberSet, Turn, id_of};
use super::losses::Losses;
use super::waiting_items::WaitingItems;
use crate::bundle::archive::Archive;
use crate::bundle::archive::located_entry::LocatedEntry;
use crate::bundle::archive::scan::{Scan, ScanItem};
use crate::bundle::capture_info::CaptureInfo;
use crate::bundle::format::{Manifest, WebSocket};
use crate::bundle::id::{Id, ItemKind, item_of, numbers};
use crate::bundle::meter::Meter;
use crate::bundle::other_members::OtherMembers;
use crate::bundle::reader::MAX_JSON_BYTES;
use crate::bundle::recovery_note::{AMENDMENT, CaptureIdentity, RecoveryNote};
use crate::tools::body_decoder::BodyDecoder;
use crate::tools::id_set::IdSet;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::Path;
use std::time::Duration;

/// A recovery under way.
pub(super) struct Recovery<'f> {
    pub(super) file: &'f File,
    pub(super) archive: Archive,
    pub(super) info: CaptureInfo,
    /// The identity of the capture, from the first recovery note that has it.
    pub(super) capture: Option<CaptureIdentity>,
    groups: GroupCounts,
    pub(super) bodies: WaitingBodies,
    pub(super) decoder: BodyDecoder,
    /// Items whose last group is damaged, with the offset of its end.
    pub(super) failed: HashMap<Id, u64>,
    /// The number of entries scanned.
    scanned: u64,
    /// The number of entries that were kept, replaced, or are rewritten at the end.
    pub(super) kept: u64,
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
    pub(super) has_merged_ids: bool,
    /// True if an id is not as a capture writes it.
    pub(super) has_other_ids: bool,
    /// Items whose JSON precedes their bodies.
    pub(super) waiting: WaitingItems,
    contexts: IdSet,
    pub(super) losses: Losses,
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
            has_other_ids: false,
            waiting: WaitingItems::default(),
            contexts: IdSet::default(),
            losses: Losses::default(),
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
        if scan.has_directory() {
            // No entry is missing.
            self.scanned_to_kept = self.scanned;
        }
        self.waiting.take_ids().into_iter().for_each(|id| self.losses.add(&id.text()));
        self.bodies.take_names().into_iter().for_each(|name| self.losses.add_body(&name, &self.items));
        if !self.failed.is_empty() {
            self.fall_back(scan)?;
        }
        self.end()
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
                    if self.add_item(id, &entry)? {
                        return Ok(());
                    }
                    match turn {
                        Turn::Last => drop(self.failed.insert(id, entry.end)),
                        Turn::Only | Turn::Superseded => self.wait_for_bodies(id, entry)?,
                    }
                    Ok(())
                }
            },
            (None, Some((ItemKind::Context, id))) if numbers(id).count() == 1 => {
                let id = id.to_owned();
                self.add_context(&id, &entry)
            }
            (None, Some((kind, id))) => {
                self.has_other_ids = true;
                self.has_merged_ids |= numbers(id).count() > if kind == ItemKind::Message { 2 } else { 1 };
                self.losses.add(id);
                Ok(())
            }
            (None, None) if name == "manifest.json" => self.add_manifest(&entry),
            // Rewritten at the end.
            (None, None) if name == "timeline.json" => {
                self.keep(entry.end, 1);
                Ok(())
            }
            // A folder.
            (None, None) if name.ends_with('/') && entry.header.size == 0 => {
                self.keep(entry.end, 1);
                Ok(())
            }
            (None, None) => self.add_body(entry),
        }
    }

    /// Keeps a body until its JSON comes, or copies the item whose JSON waits for it.
    fn add_body(&mut self, entry: LocatedEntry) -> Result<(), Failure> {
        let (name, end) = (entry.header.name.clone(), entry.end);
        if let Some(forgotten) = self.bodies.push(entry) {
            self.losses.add_body(&forgotten, &self.items);
        }
        if let Some((id, json)) = self.waiting.take_complete(&name, &self.bodies) {
            match self.add_item(id, &json)? {
                true => self.keep(end, 0),
                false => self.losses.add(&id.text()),
            }
        }
        Ok(())
    }

    /// Copies a context.
    fn add_context(&mut self, id: &str, entry: &LocatedEntry) -> Result<(), Failure> {
        let Some(Timestamp { timestamp }) = self.read_json(entry)?.filter(|_| self.contexts.insert(id)) else {
            self.losses.add(id);
            return Ok(());
        };
        let file = self.file;
        self.archive.group(|archive| copy_entry(archive, file, entry)).map_err(Failure::Write)?;
        self.info.add_named(ItemKind::Context, id, timestamp, None);
        self.keep(entry.end, 1);
        Ok(())
    }

    /// Counts a group that a later one replaces.
    fn skip_group(&mut self, id: Id, entry: &LocatedEntry) {
        let bodies = body_names(id).filter(|name| self.bodies.take(name).is_some()).count();
        self.keep(entry.end, (bodies as u64).saturating_add(1));
        // The first group of a capture identifies it.
        self.read_note(entry);
    }

    /// Keeps a WebSocket's JSON in memory. It is written at the end, with the number of messages that were recovered.
    fn add_websocket(&mut self, number: u32, entry: &LocatedEntry) -> Result<(), Failure> {
        let id = Id::WebSocket(number).text();
        let content = self.read(entry)?;
        let parsed = content.as_deref().and_then(|json| serde_json::from_slice::<WebSocket>(json).ok());
        match (content, parsed.filter(|websocket| websocket.id == id)) {
            (Some(json), Some(mut websocket)) => {
                websocket.others = OtherMembers::of(&json, &websocket);
                self.extend_span(websocket.timestamp, websocket.timestamp);
                self.websockets.entry(number).or_default().description = Some(websocket);
                self.read_note(entry);
                self.keep(entry.end, 1);
            }
            _ => self.losses.add(&id),
        }
        Ok(())
    }

    /// Keeps the manifest in memory. A new one is written at the end.
    fn add_manifest(&mut self, entry: &LocatedEntry) -> Result<(), Failure> {
        let content = self.read(entry)?;
        let parsed = content.as_deref().and_then(|json| serde_json::from_slice::<Manifest>(json).ok());
        if let (Some(json), Some(mut manifest)) = (content, parsed) {
            manifest.others = OtherMembers::of(&json, &manifest);
            self.manifest = Some(manifest);
            self.keep(entry.end, 1);
        }
        Ok(())
    }

    /// Reads a JSON entry. Returns `None` if it is damaged, not a `T`, or larger than any that readers accept.
    pub(super) fn read_json<T: DeserializeOwned>(&self, entry: &LocatedEntry) -> Result<Option<T>, Failure> {
        Ok(self.read(entry)?.and_then(|json| serde_json::from_slice(&json).ok()))
    }

    /// Reads the content of a JSON entry. Returns `None` if it is damaged, or larger than any that readers accept.
    fn read(&self, entry: &LocatedEntry) -> Result<Option<Vec<u8>>, Failure> {
        if entry.header.size > MAX_JSON_BYTES {
            return Ok(None);
        }
        let mut json = Vec::new();
        let is_intact =
            entry.read_content(self.file, &mut |bytes| json.extend_from_slice(bytes)).map_err(Failure::Read)?;
        Ok(is_intact.then_some(json))
    }

    /// Counts `count` entries up to `end` as kept. Other entries before `end` count as damaged until JSON that comes
    /// later refers to them.
    pub(super) fn keep(&mut self, end: u64, count: u64) {
        self.kept = self.kept.saturating_add(count);
        self.scanned_to_kept = self.scanned;
        self.kept_end = self.kept_end.max(end);
    }

    pub(super) fn extend_span(&mut self, start: u64, end: u64) {
        self.earliest = self.earliest.min(start);
        self.latest = self.latest.max(end);
    }

    pub(super) fn read_note(&mut self, entry: &LocatedEntry) -> RecoveryNote {
        let note = RecoveryNote::decode(&entry.note);
        if self.capture.is_none() {
            self.capture.clone_from(&note.capture);
        }
        note
    }
}

/// The only member of a context that is read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Timestamp {
    timestamp: u64,
}
