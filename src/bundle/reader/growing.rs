//! A bundle that a capture is still writing, read entry by entry from its start.
//!
//! ```text
//! header body │ header JSON │ header body │ zeros …      the capture appends here
//!             known         ▲ known_end
//! ```
//!
//! A group of entries ends with its JSON, and is complete only then: a capture may discard a body whose JSON it could
//! not write, and reuse the space. Each scan therefore resumes after the last JSON.
//!
//! A group may replace an earlier one of the same item. The last intact one is read.

use super::body::Received;
use super::{App, MAX_JSON_BYTES, Manifest, Message, State, Trace, WebSocket};
use crate::bundle::archive::entry_content::EntryContent;
use crate::bundle::archive::index::Index;
use crate::bundle::archive::located_entry::LocatedEntry;
use crate::bundle::archive::scan::{Scan, ScanItem};
use crate::bundle::archive::{EntryError, EntryHeader, FileRange, OpenError};
use crate::bundle::format::{CAPTURE_METHOD, FORMAT_VERSION};
use crate::bundle::gzip_body::{as_received, is_gzip_body, received_len};
use crate::bundle::id::{Id, ItemKind, body_files, item_of};
use crate::bundle::iso8601;
use crate::bundle::output::part::{Owner, owner_of};
use crate::bundle::output::sys::open_regular;
use crate::bundle::recovery_note::{AMENDMENT, CaptureIdentity, RecoveryNote};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

/// An unfinished bundle that may grow.
pub(super) struct GrowingBundle {
    file: File,
    /// The end of the last complete group.
    known_end: u64,
    index: Index,
    capture: Option<CaptureIdentity>,
    /// WebSockets without JSON of their own yet, from the recovery notes of their handshakes.
    open_websockets: HashMap<String, WebSocket>,
    state: State,
}

impl GrowingBundle {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let file = open_regular(path)?;
        if !Scan::new(&file)?.is_bundle()? {
            return Err(OpenError::NotABundle);
        }
        let (index, open_websockets) = (Index::default(), HashMap::new());
        Ok(Self { file, known_end: 0, index, capture: None, open_websockets, state: State::Growing })
    }

    /// Reads new entries, passes their names and sizes to `found`, and returns the state of the bundle.
    pub(super) fn refresh(&mut self, found: &mut dyn FnMut(&str, u64)) -> io::Result<State> {
        if self.state == State::Complete {
            return Ok(State::Complete);
        }
        // Checked before the scan: if the capture ends in between, the next refresh finds the rest.
        let owner = owner_of(&self.file);
        if owner == Owner::Gone {
            // `owner_of` acquired a shared lock.
            let _ = self.file.unlock();
        }
        let mut group = Vec::new();
        let file = self.file.try_clone()?;
        let before = self.known_end;
        let mut scan = Scan::from(&file, before)?;
        let mut offset = before;
        while let ScanItem::Entry(entry) = scan.next()? {
            let (end, is_last) = (entry.end, entry.header.name.ends_with(".json"));
            group.push((offset, entry));
            offset = end;
            if is_last {
                self.known_end = end;
                for (offset, entry) in group.drain(..) {
                    let name = entry.header.name.as_str();
                    self.index.push(name, offset);
                    let (was_open, opened) = self.track_websocket(&entry);
                    if !was_open && self.locate(name)?.is_none() {
                        found(name, entry.header.size);
                    }
                    if let Some(name) = opened {
                        found(&name, 0);
                    }
                }
            }
        }
        self.index.sort();
        self.discard_damaged_replacements(before)?;
        self.state = match (scan.has_directory(), owner) {
            (true, _) => State::Complete,
            (false, Owner::Alive) => State::Growing,
            (false, Owner::Gone) => State::Interrupted,
        };
        Ok(self.state)
    }

    /// Removes groups after `before` from the index if they replace an earlier one and are damaged. Only groups that replace
    /// another one are read for that.
    fn discard_damaged_replacements(&mut self, before: u64) -> io::Result<()> {
        let mut discarded = HashSet::new();
        for last in self.index.repeated().filter(|&offset| offset >= before) {
            let ScanItem::Entry(entry) = Scan::from(&self.file, last)?.next()? else { continue };
            let name = entry.header.name;
            let Some((kind, id)) = item_of(&name) else { continue };
            // The last group first. The first group stays, whatever its state.
            for (offset, earlier) in self.index.offsets(&name).zip(self.index.offsets(&name).skip(1)) {
                if self.is_intact(kind, offset, earlier)? {
                    break;
                }
                discarded.insert(offset);
                for file in body_files(kind, id) {
                    discarded.extend(self.index.offsets_within(&kind.body_name(&file), earlier..offset));
                }
            }
        }
        self.index.remove(&discarded);
        Ok(())
    }

    /// True if the group of an item is intact. Its JSON is at `offset`, that of the group before it at `earlier`.
    fn is_intact(&self, kind: ItemKind, offset: u64, earlier: u64) -> io::Result<bool> {
        let ScanItem::Entry(entry) = Scan::from(&self.file, offset)?.next()? else { return Ok(false) };
        let Ok(json) = entry.read(&self.file, MAX_JSON_BYTES) else { return Ok(false) };
        if entry.note == AMENDMENT {
            return Ok(true);
        }
        let files = match kind {
            ItemKind::Trace => {
                serde_json::from_slice(&json).map(|trace: Trace| [trace.request.body_file, trace.response.body_file])
            }
            ItemKind::Message => serde_json::from_slice(&json).map(|message: Message| [message.payload_file, None]),
            ItemKind::WebSocket | ItemKind::Context => return Ok(true),
        };
        let Ok(files) = files else { return Ok(false) };
        for file in files.into_iter().flatten() {
            let name = kind.body_name(&file);
            let Some(at) = self.index.offsets_within(&name, earlier..offset).next() else { return Ok(false) };
            let ScanItem::Entry(body) = Scan::from(&self.file, at)?.next()? else { return Ok(false) };
            if body.header.name != name || !(is_gzip_body(&body) || body.read_content(&self.file, &mut |_| ())?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Keeps track of open WebSockets. Returns true if `entry` is the JSON of one. If it is the handshake of another one,
    /// also returns the name that its JSON will have.
    fn track_websocket(&mut self, entry: &LocatedEntry) -> (bool, Option<String>) {
        let item = item_of(&entry.header.name);
        let id = item.filter(|(kind, _)| *kind == ItemKind::WebSocket).map(|(_, id)| id);
        let was_open = id.is_some_and(|id| self.open_websockets.remove(id).is_some());
        (was_open, self.opened_websocket(entry))
    }

    /// If `entry` is the handshake of a WebSocket that was not known, returns the name that its JSON will have.
    fn opened_websocket(&mut self, entry: &LocatedEntry) -> Option<String> {
        if entry.note.is_empty() {
            return None;
        }
        let note = RecoveryNote::decode(&entry.note);
        if self.capture.is_none() {
            self.capture = note.capture;
        }
        let opens = note.opens?;
        let handshake: Trace = serde_json::from_slice(&entry.read(&self.file, MAX_JSON_BYTES).ok()?).ok()?;
        let id = Id::WebSocket(opens.socket).to_string();
        let websocket = WebSocket {
            id: id.clone(),
            timestamp: handshake.timestamp,
            url: handshake.request.url,
            handshake_trace_ref: Some(handshake.id),
            protocols: opens.protocols,
            ..WebSocket::default()
        };
        let name = ItemKind::WebSocket.json_name(&id);
        let is_new = self.open_websockets.insert(id, websocket).is_none();
        is_new.then_some(name)
    }

    /// Returns the known facts about an open WebSocket. Its messages are not counted.
    pub(super) fn open_websocket(&self, id: &str) -> Option<&WebSocket> {
        self.open_websockets.get(id)
    }

    /// Returns the known part of the manifest, without counts.
    pub(super) fn manifest(&self) -> Manifest {
        let Some(CaptureIdentity { id, created, name }) = self.capture.clone() else { return Manifest::default() };
        Manifest {
            format_version: FORMAT_VERSION.into(),
            capture_id: id,
            created_at: iso8601::micros(Duration::from_micros(created)),
            app: App { name: name.clone(), base_url: String::new(), title: name },
            capture_method: Some(CAPTURE_METHOD.into()),
            ..Manifest::default()
        }
    }

    /// Returns an entry's header and its compressed content, or `None` if there is no such entry.
    pub(super) fn compressed(&self, name: &str) -> Result<Option<(EntryHeader, FileRange<'_>)>, EntryError> {
        let entry = self.locate(name)?;
        Ok(entry.map(|entry| (entry.header.clone(), entry.compressed(&self.file))))
    }

    /// Returns the content of an entry, or `None` if there is no such entry. Fails if it is larger than `max_size`.
    pub(super) fn read(&self, name: &str, max_size: u64) -> Result<Option<Vec<u8>>, EntryError> {
        self.locate(name)?.map(|entry| entry.read(&self.file, max_size)).transpose()
    }

    /// Returns a reader of the content of an entry, or `None` if there is no such entry.
    pub(super) fn content(&self, name: &str) -> Result<Option<EntryContent<'_>>, EntryError> {
        Ok(self.locate(name)?.map(|entry| entry.content(&self.file)))
    }

    /// Returns a gzip body as it was received, if its claims are false. Reads all of it to verify them.
    pub(super) fn received(&self, name: &str) -> Result<Option<Received<'_>>, EntryError> {
        let Some(entry) = self.locate(name)?.filter(is_gzip_body) else { return Ok(None) };
        if entry.read_content(&self.file, &mut |_| ())? {
            return Ok(None);
        }
        let from = Box::new(as_received(&entry, &self.file));
        Ok(Some(Received { from, size: received_len(&entry), block: Vec::new() }))
    }

    fn locate(&self, name: &str) -> io::Result<Option<LocatedEntry>> {
        for offset in self.index.offsets(name) {
            if let ScanItem::Entry(entry) = Scan::from(&self.file, offset)?.next()?
                && entry.header.name == name
            {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}
