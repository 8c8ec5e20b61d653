//! Makes a bundle of what a capture left that did not end: a `.part`, or any bundle that was cut off.
//!
//! ```text
//! NAME.zip.part ─▶ scan ─▶ body, body, trace.json ─▶ a group, copied as it is ─┐
//!   (not changed)         payload, message.json ─▶ a group, copied as it is ──┼─▶ archive ─▶ NAME.zip
//!                         socket.json, notes ─▶ what is known of sockets ─────┘     (manifest and timeline made anew)
//! ```
//!
//! An exchange or message is kept if its JSON and its bodies are whole, checksums and all; its JSON comes last, so where a
//! file was cut off, everything before is whole, or a large body that was still being copied while others were written
//! behind. A socket that was open then has no JSON yet: the note beside its handshake says what it would have said. The file may hold anything: nothing in it names a file, and its claims are
//! checked before they are believed.

use crate::bundle::archive::scan::{LocatedEntry, Scan, ScanItem};
use crate::bundle::archive::unfinished::{Owner, backup_of, output_of, owner_of};
use crate::bundle::archive::{Archive, FinishError, UnfinishedState};
use crate::bundle::format::{self, Id, Manifest, Message, Trace, WebSocket};
use crate::bundle::iso8601;
use crate::bundle::reader::{ItemKind, kind, numbers};
use crate::bundle::recovery_note::{CaptureIdentity, RecoveryNote};
use crate::bundle::session::{CaptureInfo, json};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// What was recovered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// The new bundle.
    pub output: PathBuf,
    /// Exchanges in it.
    pub exchanges: u64,
    /// WebSockets in it.
    pub websockets: u64,
    /// WebSocket messages in it.
    pub messages: u64,
    /// So many bytes at the file's end belong to something that is not whole.
    pub cut_off: u64,
    /// So many entries before are damaged, or belong to something that is.
    pub left_out: u64,
    /// Whether a capture is still writing to the file; then it will hold more.
    pub is_alive: bool,
}

/// Why nothing was recovered, in one sentence. No file was changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file does not begin as a bundle does.
    NoBundle(PathBuf),
    /// A capture is still writing it, and nobody said where a copy should go.
    Alive(PathBuf),
    /// It was to be made of other bundles, which are still there.
    Merged(PathBuf),
    /// The file's name does not say what the bundle should be called.
    Nameless(PathBuf),
    /// The bundle would take the place of the file itself.
    Itself(PathBuf),
    /// The bundle cannot be written.
    Write {
        /// The bundle.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The bundle cannot be made where it should be.
    Output(crate::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { path, cause } => write!(f, "cannot read {}: {cause}", path.display()),
            Self::NoBundle(path) => write!(f, "{} is no bundle, nor the beginning of one", path.display()),
            Self::Alive(path) => write!(
                f,
                "a capture is still writing {}: end it (Ctrl+C), or name a file for what it holds so far with -o",
                path.display()
            ),
            Self::Merged(path) => write!(
                f,
                "{} is what a merge left that did not end: its bundles are as they were, merge them again",
                path.display()
            ),
            Self::Nameless(path) => {
                write!(f, "the name {} does not end in .part: name the new bundle with -o", path.display())
            }
            Self::Itself(path) => {
                write!(f, "the new bundle would take the place of {}: choose another with -o", path.display())
            }
            Self::Write { path, cause } => write!(f, "cannot write {}: {cause}", path.display()),
            Self::Output(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { cause, .. } | Self::Write { cause, .. } => Some(cause),
            Self::Output(e) => Some(e),
            Self::NoBundle(_) | Self::Alive(_) | Self::Merged(_) | Self::Nameless(_) | Self::Itself(_) => None,
        }
    }
}

/// Makes a bundle of what `part` holds: `output`, or what `part` was to become. A bundle of that name is kept with `.bak`
/// at its end. `part` stays as it is.
///
/// # Errors
/// If there is nothing to read or no place to write.
pub fn from_part(part: &Path, output: Option<&Path>) -> Result<Recovered, Error> {
    let unread = |cause| Error::Read { path: part.to_owned(), cause };
    let meta = fs::metadata(part).map_err(unread)?;
    if !meta.is_file() {
        return Err(unread(io::Error::other("it is no ordinary file")));
    }
    let file = File::open(part).map_err(unread)?;
    let is_alive = owner_of(&file) == Owner::Alive;
    let output = match output {
        Some(output) => output.to_owned(),
        None if is_alive => return Err(Error::Alive(part.to_owned())),
        None => output_of(part).ok_or_else(|| Error::Nameless(part.to_owned()))?,
    };
    let target = fs::canonicalize(&output).unwrap_or_else(|_| output.clone());
    let is_part = |path: &Path| fs::metadata(path).is_ok_and(|it| (it.dev(), it.ino()) == (meta.dev(), meta.ino()));
    if is_part(&target) || (target.exists() && is_part(&backup_of(&target))) {
        return Err(Error::Itself(part.to_owned()));
    }
    let mut scan = Scan::new(&file).map_err(unread)?;
    if !scan.is_bundle().map_err(unread)? {
        return Err(Error::NoBundle(part.to_owned()));
    }
    let modified = meta.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let (archive, _) = Archive::create(&output, modified.unwrap_or_default()).map_err(Error::Output)?;
    let mut recovery = Recovery::new(&file, archive, &output);
    let salvaged = recovery.all(&mut scan).and_then(|()| recovery.end());
    if recovery.is_merged && recovery.session.is_empty() {
        recovery.archive.abandon();
        return Err(Error::Merged(part.to_owned()));
    }
    let unwritten = |cause| Error::Write { path: output.clone(), cause };
    if let Err(stop) = salvaged {
        recovery.archive.abandon();
        return Err(match stop {
            Stop::Read(cause) => unread(cause),
            Stop::Write(cause) => unwritten(cause),
        });
    }
    let Recovery { archive, session, left_out, good, .. } = recovery;
    let output = archive.finish().map_err(|FinishError { path: part, state, cause }| {
        if state == UnfinishedState::Truncated {
            // It is no better than what it was made of.
            let _ = fs::remove_file(part);
        }
        unwritten(cause)
    })?;
    let cut_off = if scan.has_directory() { 0 } else { scan.len().saturating_sub(good) };
    let CaptureInfo { traces, websockets, messages, .. } = session;
    Ok(Recovered { output, exchanges: traces, websockets, messages, cut_off, left_out, is_alive })
}

/// What came out of the file so far.
struct Recovery<'f> {
    file: &'f File,
    archive: Archive,
    session: CaptureInfo,
    /// Of whose capture it is, once that is known.
    capture: Option<CaptureIdentity>,
    /// Sound entries that no JSON has named yet, the last ones.
    waiting: Vec<LocatedEntry>,
    /// Entries so far.
    seen: u64,
    /// Those of them that were kept, or made anew.
    taken: u64,
    left_out: u64,
    /// Where the last entry that was kept ends.
    good: u64,
    traces: HashSet<u32>,
    sockets: BTreeMap<u32, Known>,
    /// When the first item began and the last ended, in milliseconds since the epoch.
    earliest: u64,
    latest: u64,
    /// Only a bundle that was complete has one.
    manifest: Option<Manifest>,
    /// There are ids in it that no capture gives, with a number for the bundle that an item is of.
    is_merged: bool,
}

/// What is known of a WebSocket.
#[derive(Default)]
struct Known {
    /// From its own JSON, or else from its handshake.
    described: Option<WebSocket>,
    messages: u64,
    /// The number of its last message.
    last: u32,
    /// When its first message came.
    first: Option<u64>,
}

/// Which of the two files failed.
enum Stop {
    Read(io::Error),
    Write(io::Error),
}

impl<'f> Recovery<'f> {
    fn new(file: &'f File, archive: Archive, output: &Path) -> Self {
        Self {
            file,
            archive,
            session: CaptureInfo::new(output, Duration::ZERO),
            capture: None,
            waiting: Vec::new(),
            seen: 0,
            taken: 0,
            left_out: 0,
            good: 0,
            traces: HashSet::new(),
            sockets: BTreeMap::new(),
            earliest: u64::MAX,
            latest: 0,
            manifest: None,
            is_merged: false,
        }
    }

    fn all(&mut self, scan: &mut Scan<'_>) -> Result<(), Stop> {
        while let ScanItem::Entry(found) = scan.next().map_err(Stop::Read)? {
            self.seen = self.seen.saturating_add(1);
            self.one(found)?;
        }
        Ok(())
    }

    fn one(&mut self, found: LocatedEntry) -> Result<(), Stop> {
        let name = found.entry.name.as_str();
        let [first, second] = match numbers(name)[..] {
            [first] => [u32::try_from(first).ok(), None],
            [first, second] => [u32::try_from(first).ok(), u32::try_from(second).ok()],
            _ => [None, None],
        };
        match (kind(name), first, second) {
            (Some((ItemKind::Trace, _)), Some(n), None) => self.trace(n, &found),
            (Some((ItemKind::Message, _)), Some(socket), Some(n)) => self.message(socket, n, &found),
            (Some((ItemKind::WebSocket, _)), Some(n), None) => self.socket(n, &found),
            (Some((_, id)), ..) => {
                self.is_merged |= id.matches('_').count() > 1;
                Ok(())
            }
            (None, ..) if name == "manifest.json" => self.manifest(&found),
            // Made anew.
            (None, ..) if name == "timeline.json" => {
                self.kept(found.end, 1);
                Ok(())
            }
            (None, ..) => {
                if found.content(self.file, &mut |_| ()).map_err(Stop::Read)? {
                    self.waiting.truncate(MOST_WAITING);
                    self.waiting.insert(0, found);
                }
                Ok(())
            }
        }
    }

    fn trace(&mut self, number: u32, found: &LocatedEntry) -> Result<(), Stop> {
        let Some(trace) = self.read::<Trace>(found)? else { return Ok(()) };
        let id = Id::Trace(number).to_string();
        let (request, response) = (&trace.request, &trace.response);
        let sent = self.body("traces", &format!("{id}_request.bin"), &request.body_file, request.body_size);
        let received = self.body("traces", &format!("{id}_response.bin"), &response.body_file, response.body_size);
        let (Some(sent), Some(received)) = (sent, received) else { return Ok(()) };
        if trace.id != id || found.entry.name != format!("traces/{id}.json") || !self.traces.insert(number) {
            return Ok(());
        }
        self.copy(&[sent.as_ref(), received.as_ref(), Some(found)])?;
        self.session.trace(number, trace.timestamp, &trace.request.url);
        // A float that is too large saturates.
        let took = trace.timing.total_ms.max(0.0) as u64;
        self.lasts(trace.timestamp, trace.timestamp.saturating_add(took));
        if let Some(opens) = self.note(found).opens {
            let known = self.sockets.entry(opens.socket).or_default();
            known.described.get_or_insert(WebSocket {
                timestamp: trace.timestamp,
                url: trace.request.url,
                handshake_trace_ref: Some(id),
                protocols: opens.protocols,
                ..WebSocket::default()
            });
        }
        Ok(())
    }

    fn message(&mut self, socket: u32, number: u32, found: &LocatedEntry) -> Result<(), Stop> {
        let Some(message) = self.read::<Message>(found)? else { return Ok(()) };
        let id = Id::Message(socket, number).to_string();
        let payload = self.body("ws", &format!("{id}.bin"), &message.payload_file, message.payload_size);
        let Some(payload) = payload else { return Ok(()) };
        let is_its_own = message.id == id
            && message.connection_ref == Id::WebSocket(socket).to_string()
            && found.entry.name == format!("ws/{id}.json");
        // They were written in their order, so that one that goes back would be there twice.
        if !is_its_own || self.sockets.get(&socket).is_some_and(|known| number <= known.last) {
            return Ok(());
        }
        self.copy(&[payload.as_ref(), Some(found)])?;
        self.session.message(socket, number, message.timestamp);
        self.lasts(message.timestamp, message.timestamp);
        let known = self.sockets.entry(socket).or_default();
        known.last = number;
        known.messages = known.messages.saturating_add(1);
        known.first.get_or_insert(message.timestamp);
        self.note(found);
        Ok(())
    }

    /// What it says is written at the end, with the messages that are there.
    fn socket(&mut self, number: u32, found: &LocatedEntry) -> Result<(), Stop> {
        let Some(socket) = self.read::<WebSocket>(found)? else { return Ok(()) };
        let id = Id::WebSocket(number).to_string();
        if socket.id == id && found.entry.name == format!("ws/{id}.json") {
            self.lasts(socket.timestamp, socket.timestamp);
            self.sockets.entry(number).or_default().described = Some(socket);
            self.note(found);
            self.kept(found.end, 1);
        }
        Ok(())
    }

    fn manifest(&mut self, found: &LocatedEntry) -> Result<(), Stop> {
        if let Some(manifest) = self.read::<Manifest>(found)? {
            self.manifest = Some(manifest);
            self.kept(found.end, 1);
        }
        Ok(())
    }

    /// The JSON of `found`, if it is sound and makes sense.
    fn read<T: DeserializeOwned>(&self, found: &LocatedEntry) -> Result<Option<T>, Stop> {
        if found.entry.size > LARGEST_JSON {
            return Ok(None);
        }
        let mut json = Vec::new();
        let sound = found.content(self.file, &mut |bytes| json.extend_from_slice(bytes)).map_err(Stop::Read)?;
        Ok(if sound { serde_json::from_slice(&json).ok() } else { None })
    }

    /// Copies entries as they are, as one group.
    fn copy(&mut self, entries: &[Option<&LocatedEntry>]) -> Result<(), Stop> {
        let (file, archive) = (self.file, &mut self.archive);
        let entries = entries.iter().copied().flatten();
        let copied = archive.group(|archive| {
            entries.clone().try_for_each(|e| archive.copy(e.entry.clone(), &e.note, &mut e.packed(file)))
        });
        copied.map_err(Stop::Write)?;
        if let Some(last) = entries.clone().last() {
            self.kept(last.end, entries.count() as u64);
        }
        Ok(())
    }

    /// Of the entries up to `end`, `count` more are kept, or made anew. Any other may still be: the body of something whose JSON
    /// comes later.
    fn kept(&mut self, end: u64, count: u64) {
        self.taken = self.taken.saturating_add(count);
        self.left_out = self.seen.saturating_sub(self.taken);
        self.good = end;
    }

    fn lasts(&mut self, from: u64, to: u64) {
        self.earliest = self.earliest.min(from);
        self.latest = self.latest.max(to);
    }

    fn note(&mut self, found: &LocatedEntry) -> RecoveryNote {
        let note = RecoveryNote::decode(&found.note);
        if self.capture.is_none() {
            self.capture.clone_from(&note.capture);
        }
        note
    }

    /// Writes what the capture would have written at its end.
    fn end(&mut self) -> Result<(), Stop> {
        for (number, known) in std::mem::take(&mut self.sockets) {
            let id = Id::WebSocket(number);
            let described = known.described.unwrap_or_else(|| WebSocket {
                timestamp: known.first.unwrap_or_default(),
                url: UNKNOWN_URL.into(),
                ..WebSocket::default()
            });
            let socket = WebSocket {
                id: id.to_string(),
                handshake_trace_ref: described.handshake_trace_ref.filter(|id| self.has_trace(id)),
                message_count: known.messages,
                ..described
            };
            let written = self.archive.group(|archive| json(archive, format!("ws/{id}.json"), &socket, &[]));
            written.map_err(Stop::Write)?;
            self.session.websocket(number, socket.timestamp);
        }
        let (capture_id, created_at, name, began) = match (self.capture.take(), &self.manifest) {
            (Some(CaptureIdentity { id, created, name }), _) => {
                (id, iso8601::micros(Duration::from_micros(created)), name, created / 1000)
            }
            (None, Some(manifest)) => {
                (manifest.capture_id.clone(), manifest.created_at.clone(), manifest.app.name.clone(), self.earliest)
            }
            // Nothing says when the capture began, but that it was not after its first item.
            (None, None) => {
                let first = self.earliest.min(self.latest);
                (String::new(), iso8601::micros(Duration::from_millis(first)), String::new(), first)
            }
        };
        if format::is_uuid(&capture_id) {
            self.session.capture_id = capture_id;
        }
        self.session.created_at = created_at;
        if !name.is_empty() {
            self.session.name = name;
        }
        let lasted = self.latest.saturating_sub(began);
        let duration = self.manifest.as_ref().map_or(lasted, |manifest| manifest.duration_ms);
        self.session.write(&mut self.archive, duration).map_err(Stop::Write)
    }

    /// `Some` if the body is as the JSON says: not there, or called `name`, in `folder`, and of the right size. It is waited
    /// for no longer.
    fn body(&mut self, folder: &str, name: &str, file: &Option<String>, size: u64) -> Option<Option<LocatedEntry>> {
        let Some(file) = file else { return (size == 0).then_some(None) };
        let is_it = |found: &LocatedEntry| found.entry.name.strip_prefix(folder) == Some(&format!("/{name}"));
        let found = self.waiting.iter().position(is_it).map(|at| self.waiting.remove(at))?;
        (file == name && size > 0 && found.entry.size == size).then_some(Some(found))
    }

    fn has_trace(&self, id: &str) -> bool {
        let number = numbers(id).first().copied().and_then(|n| u32::try_from(n).ok());
        number.is_some_and(|n| self.traces.contains(&n) && Id::Trace(n).to_string() == id)
    }
}

/// Of a WebSocket of which only messages are left. No host has such a name (RFC 2606 section 2).
const UNKNOWN_URL: &str = "ws://unknown.invalid/";

/// So many bodies wait besides the newest: of two exchanges whose large bodies are in their places before their JSON is, and
/// one of the exchange that is written between.
const MOST_WAITING: usize = 5;

/// No exchange that we write has so much JSON.
const LARGEST_JSON: u64 = 64 << 20;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;
