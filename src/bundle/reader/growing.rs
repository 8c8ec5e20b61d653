//! A bundle that is still being written, read entry by entry from its start.
//!
//! ```text
//! header body │ header JSON │ header body │ zeros …      the capture writes on here
//!             known         ▲ seen
//! ```
//!
//! What belongs together ends with its JSON, and only then is it whole: a capture may take back a body whose JSON it could
//! not write, and write something else in its place. So the scan goes on behind the last JSON.

use super::{App, LARGEST_JSON, Manifest, State, Trace, WebSocket};
use crate::bundle::archive::EntryHeader;
use crate::bundle::archive::index::Index;
use crate::bundle::archive::scan::{FileRange, LocatedEntry, Scan, ScanItem};
use crate::bundle::archive::unfinished::{Owner, owner_of};
use crate::bundle::format::Id;
use crate::bundle::iso8601;
use crate::bundle::recovery_note::{CaptureIdentity, RecoveryNote};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

/// See above.
pub(super) struct GrowingBundle {
    file: File,
    /// Up to here all is known.
    seen: u64,
    index: Index,
    capture: Option<CaptureIdentity>,
    /// WebSockets that have not ended: their handshakes tell of them.
    open: HashMap<String, WebSocket>,
    state: State,
}

impl GrowingBundle {
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        let is_bundle = Scan::new(&file).and_then(|scan| scan.is_bundle()).map_err(|e| e.to_string())?;
        if !is_bundle {
            return Err("it is no bundle, nor the beginning of one".into());
        }
        let (index, open) = (Index::default(), HashMap::new());
        Ok(Self { file, seen: 0, index, capture: None, open, state: State::Growing })
    }

    /// Tells the names of what is new, and how far the bundle has come.
    pub(super) fn refresh(&mut self, name: &mut dyn FnMut(&str)) -> io::Result<State> {
        if self.state == State::Complete {
            return Ok(State::Complete);
        }
        // Asked for before the scan: of a capture that ends meanwhile, the next scan finds the rest.
        let owner = owner_of(&self.file);
        if owner == Owner::Gone {
            // Asking has locked it.
            let _ = self.file.unlock();
        }
        let mut waiting = Vec::new();
        let file = self.file.try_clone()?;
        let mut scan = Scan::from(&file, self.seen)?;
        let mut place = self.seen;
        while let ScanItem::Entry(found) = scan.next()? {
            let (end, is_last) = (found.end, found.entry.name.ends_with(".json"));
            waiting.push((place, found));
            place = end;
            if is_last {
                self.seen = end;
                for (place, found) in waiting.drain(..) {
                    self.index.push(&found.entry.name, place);
                    name(&found.entry.name);
                    if let Some(socket) = self.follow_socket(&found) {
                        name(&socket);
                    }
                }
            }
        }
        self.index.put_in_order();
        self.state = match (scan.has_directory(), owner) {
            (true, _) => State::Complete,
            (false, Owner::Alive) => State::Growing,
            (false, Owner::Gone) => State::Interrupted,
        };
        Ok(self.state)
    }

    /// Notes that a WebSocket opens, and gives the name that its JSON will have; or that it has ended, and speaks for itself.
    fn follow_socket(&mut self, found: &LocatedEntry) -> Option<String> {
        let name = found.entry.name.as_str();
        if let Some(id) = name.strip_prefix("ws/").and_then(|name| name.strip_suffix(".json")) {
            self.open.remove(id);
        }
        if found.note.is_empty() {
            return None;
        }
        let note = RecoveryNote::decode(&found.note);
        if self.capture.is_none() {
            self.capture = note.capture;
        }
        let opens = note.opens?;
        let handshake: Trace = serde_json::from_slice(&found.read(&self.file, LARGEST_JSON).ok()?).ok()?;
        let id = Id::WebSocket(opens.socket).to_string();
        let socket = WebSocket {
            id: id.clone(),
            timestamp: handshake.timestamp,
            url: handshake.request.url,
            handshake_trace_ref: Some(handshake.id),
            protocols: opens.protocols,
            ..WebSocket::default()
        };
        let name = format!("ws/{id}.json");
        self.open.insert(id, socket);
        Some(name)
    }

    /// What is known of a WebSocket that has not ended, but for its messages.
    pub(super) fn open_socket(&self, id: &str) -> Option<&WebSocket> {
        self.open.get(id)
    }

    /// What is known of the session, but for what is counted.
    pub(super) fn manifest(&self) -> Manifest {
        let Some(CaptureIdentity { id, created, name }) = self.capture.clone() else { return Manifest::default() };
        Manifest {
            format_version: "1.0.0".into(),
            capture_id: id,
            created_at: iso8601::micros(Duration::from_micros(created)),
            app: App { name: name.clone(), base_url: String::new(), title: name },
            capture_method: Some("proxy".into()),
            ..Manifest::default()
        }
    }

    /// An entry as it is packed, if it is there.
    pub(super) fn packed(&self, name: &str) -> Result<Option<(EntryHeader, FileRange<'_>)>, String> {
        let found = self.found(name).map_err(|e| e.to_string())?;
        Ok(found.map(|found| (found.entry.clone(), found.packed(&self.file))))
    }

    /// An entry's content if it is there, and if its size is at most `most`.
    pub(super) fn read(&self, name: &str, most: u64) -> Result<Option<Vec<u8>>, String> {
        let found = self.found(name).map_err(|e| e.to_string())?;
        found.map(|found| found.read(&self.file, most)).transpose()
    }

    fn found(&self, name: &str) -> io::Result<Option<LocatedEntry>> {
        for place in self.index.places(name) {
            if let ScanItem::Entry(found) = Scan::from(&self.file, place)?.next()?
                && found.entry.name == name
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}
