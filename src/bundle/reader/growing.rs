//! A bundle that a capture is still writing, read entry by entry from its start.
//!
//! ```text
//! header body │ header JSON │ header body │ zeros …      the capture appends here
//!             known         ▲ known_end
//! ```
//!
//! A group of entries ends with its JSON, and is complete only then: a capture may discard a body whose JSON it could
//! not write, and reuse the space. Each scan therefore resumes after the last JSON.

use super::{App, MAX_JSON_BYTES, Manifest, State, Trace, WebSocket};
use crate::bundle::archive::index::Index;
use crate::bundle::archive::located_entry::LocatedEntry;
use crate::bundle::archive::scan::{Scan, ScanItem};
use crate::bundle::archive::unfinished::{Owner, owner_of};
use crate::bundle::archive::{EntryError, EntryHeader, FileRange, OpenError};
use crate::bundle::format::{CAPTURE_METHOD, FORMAT_VERSION};
use crate::bundle::id::{Id, ItemKind, item_of};
use crate::bundle::iso8601;
use crate::bundle::recovery_note::{CaptureIdentity, RecoveryNote};
use std::collections::HashMap;
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
        let file = File::open(path)?;
        if !Scan::new(&file)?.is_bundle()? {
            return Err(OpenError::NotABundle);
        }
        let (index, open_websockets) = (Index::default(), HashMap::new());
        Ok(Self { file, known_end: 0, index, capture: None, open_websockets, state: State::Growing })
    }

    /// Reads new entries, passes their names to `found`, and returns the state of the bundle.
    pub(super) fn refresh(&mut self, found: &mut dyn FnMut(&str)) -> io::Result<State> {
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
        let mut scan = Scan::from(&file, self.known_end)?;
        let mut offset = self.known_end;
        while let ScanItem::Entry(entry) = scan.next()? {
            let (end, is_last) = (entry.end, entry.header.name.ends_with(".json"));
            group.push((offset, entry));
            offset = end;
            if is_last {
                self.known_end = end;
                for (offset, entry) in group.drain(..) {
                    self.index.push(&entry.header.name, offset);
                    found(&entry.header.name);
                    if let Some(name) = self.track_websocket(&entry) {
                        found(&name);
                    }
                }
            }
        }
        self.index.sort();
        self.state = match (scan.has_directory(), owner) {
            (true, _) => State::Complete,
            (false, Owner::Alive) => State::Growing,
            (false, Owner::Gone) => State::Interrupted,
        };
        Ok(self.state)
    }

    /// Keeps track of open WebSockets. If `entry` is the handshake of one, returns the name that its JSON will have.
    fn track_websocket(&mut self, entry: &LocatedEntry) -> Option<String> {
        let name = entry.header.name.as_str();
        if let Some((ItemKind::WebSocket, id)) = item_of(name) {
            self.open_websockets.remove(id);
        }
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
        self.open_websockets.insert(id, websocket);
        Some(name)
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
        let entry = self.locate(name)?;
        entry.map(|entry| entry.read(&self.file, max_size)).transpose()
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
