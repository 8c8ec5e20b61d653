//! Reads bundles: ours, and those of other producers.
//!
//! ```text
//! Bundle::open ──────┬─▶ manifest, ids ─▶ trace(id) ─▶ request_body, response_body
//! Bundle::open_part ─┘                ├─▶ socket(id)
//!   (a capture still running)         └─▶ message(id) ─▶ payload
//! ```
//!
//! A bundle may come from anywhere. Names in it are only ever looked up in the archive itself, sizes are claims, and
//! texts may hold anything: escape them before they reach a terminal.

use super::archive::{Archive, ZipReader};
use growing::GrowingBundle;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::format::Context;
pub use ids::Ids;
pub(crate) use ids::numbers;

pub use super::format::{
    App, Browser, Header, Initiator, Manifest, Message, Request, Response, Stats, Timeline, TimelineEvent, Timing,
    Trace, WebSocket,
};

mod growing;
mod ids;

/// A bundle that is open.
pub struct Bundle {
    path: PathBuf,
    source: Source,
    manifest: Manifest,
    ids: AllIds,
}

/// The ids of all items.
#[derive(Default)]
struct AllIds {
    traces: Ids,
    websockets: Ids,
    /// By the WebSocket that they are of.
    messages: HashMap<String, Ids>,
    contexts: Ids,
}

/// Where entries are read from.
enum Source {
    Complete(ZipReader),
    Growing(GrowingBundle),
}

/// How far a bundle has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is complete.
    Complete,
    /// A capture is writing it.
    Growing,
    /// It lacks its end, and nobody is writing it.
    Interrupted,
}

/// Why a bundle cannot be read, in one sentence.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be opened, or is no archive.
    Open {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Something that must be in the bundle is not.
    Missing {
        /// The file.
        path: PathBuf,
        /// Its name in the bundle.
        name: String,
    },
    /// Something in the bundle cannot be read.
    Malformed {
        /// The file.
        path: PathBuf,
        /// Its name in the bundle.
        name: String,
        /// What is wrong with it.
        what: String,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open { path, what } => write!(f, "cannot read {}: {what}", path.display()),
            Self::Missing { path, name } if name == MANIFEST => {
                write!(f, "{} is no capture bundle: it has no {MANIFEST} in it", path.display())
            }
            Self::Missing { path, name } => write!(f, "{} has no {name} in it", path.display()),
            Self::Malformed { path, name, what } => write!(f, "{name} in {} {what}", path.display()),
        }
    }
}

impl std::error::Error for Error {}

impl Bundle {
    /// Opens a bundle and reads its manifest.
    ///
    /// # Errors
    /// If it is no bundle.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let archive = ZipReader::open(&path).map_err(|what| Error::Open { path: path.clone(), what })?;
        let mut ids = AllIds::default();
        archive.names().for_each(|name| ids.add(&name));
        ids.put_in_order();
        let mut bundle = Self { path, source: Source::Complete(archive), manifest: Manifest::default(), ids };
        bundle.manifest = bundle.json(MANIFEST)?;
        Ok(bundle)
    }

    /// Opens what a capture has written so far, its `NAME.zip.part`. [`Bundle::refresh`] shows what came since.
    ///
    /// # Errors
    /// If it is no beginning of a bundle.
    pub fn open_part(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let part = GrowingBundle::open(&path).map_err(|what| Error::Open { path: path.clone(), what })?;
        let (manifest, ids) = (Manifest::default(), AllIds::default());
        let mut bundle = Self { path, source: Source::Growing(part), manifest, ids };
        bundle.refresh()?;
        Ok(bundle)
    }

    /// Notes what a capture has written since, and says how far it has come. Ids that are new stand behind those known.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn refresh(&mut self) -> Result<State, Error> {
        let Source::Growing(part) = &mut self.source else { return Ok(State::Complete) };
        let ids = &mut self.ids;
        let state = part
            .refresh(&mut |name| ids.add(name))
            .map_err(|e| Error::Open { path: self.path.clone(), what: e.to_string() })?;
        ids.put_in_order();
        match state {
            State::Complete => self.manifest = self.json(MANIFEST)?,
            State::Growing | State::Interrupted => self.manifest = self.manifest_so_far(),
        }
        Ok(state)
    }

    /// What the manifest would say now, as far as that is known.
    fn manifest_so_far(&self) -> Manifest {
        let known = match &self.source {
            Source::Growing(part) => part.manifest(),
            Source::Complete(_) => Manifest::default(),
        };
        let stats = Stats {
            trace_count: self.ids.traces.len() as u64,
            ws_connection_count: self.ids.websockets.len() as u64,
            ws_message_count: self.ids.messages.values().map(|of_one| of_one.len() as u64).sum(),
            context_count: 0,
        };
        Manifest { stats, ..known }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The session.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The ids of all exchanges, by number.
    pub fn traces(&self) -> &Ids {
        &self.ids.traces
    }

    /// The ids of all WebSockets, by number.
    pub fn websockets(&self) -> &Ids {
        &self.ids.websockets
    }

    /// The ids of all messages of one WebSocket, by number.
    pub fn messages(&self, socket: &str) -> &Ids {
        static NONE: Ids = Ids::NONE;
        self.ids.messages.get(socket).unwrap_or(&NONE)
    }

    /// The ids of what a browser's user did, by number.
    pub(crate) fn contexts(&self) -> &Ids {
        &self.ids.contexts
    }

    /// What a browser's user did, as it is: nothing here knows its fields.
    pub(crate) fn context(&self, id: &str) -> Result<Context, Error> {
        self.json(&format!("contexts/{id}.json"))
    }

    /// Every item once, by time.
    ///
    /// # Errors
    /// If it is missing or malformed.
    pub fn timeline(&self) -> Result<Timeline, Error> {
        self.json("timeline.json")
    }

    /// The exchange called `id`.
    ///
    /// # Errors
    /// If it is missing or malformed.
    pub fn trace(&self, id: &str) -> Result<Trace, Error> {
        self.json(&format!("traces/{id}.json"))
    }

    /// The WebSocket called `id`. Of one that is open while its capture runs, this is what is known so far.
    ///
    /// # Errors
    /// If it is missing or malformed.
    pub fn websocket(&self, id: &str) -> Result<WebSocket, Error> {
        if let Source::Growing(part) = &self.source
            && let Some(open) = part.open_socket(id)
        {
            return Ok(WebSocket { message_count: self.messages(id).len() as u64, ..open.clone() });
        }
        self.json(&format!("ws/{id}.json"))
    }

    /// Whether the WebSocket called `id` was still open when its capture wrote last.
    pub fn is_open(&self, id: &str) -> bool {
        matches!(&self.source, Source::Growing(part) if part.open_socket(id).is_some())
    }

    /// The message called `id`.
    ///
    /// # Errors
    /// If it is missing or malformed.
    pub fn message(&self, id: &str) -> Result<Message, Error> {
        self.json(&format!("ws/{id}.json"))
    }

    /// The body of an exchange's request; empty if it has none.
    ///
    /// # Errors
    /// If it is missing or malformed.
    pub fn request_body(&self, trace: &Trace) -> Result<Vec<u8>, Error> {
        self.body("traces", trace.request.body_file.as_deref())
    }

    /// The body of an exchange's response; empty if it has none.
    ///
    /// # Errors
    /// If it is missing or malformed.
    pub fn response_body(&self, trace: &Trace) -> Result<Vec<u8>, Error> {
        self.body("traces", trace.response.body_file.as_deref())
    }

    /// A message's payload; empty if it has none.
    ///
    /// # Errors
    /// If it is missing or malformed.
    pub fn payload(&self, message: &Message) -> Result<Vec<u8>, Error> {
        self.body("ws", message.payload_file.as_deref())
    }

    /// Copies the entry `from` to `archive`, packed as it is and called `to`.
    pub(crate) fn copy(&self, archive: &mut Archive, from: &str, to: String) -> io::Result<()> {
        let missing =
            || io::Error::other(Error::Missing { path: self.path.clone(), name: from.to_owned() }.to_string());
        let malformed = |what| io::Error::other(format!("{from} in {} {what}", self.path.display()));
        let packed = match &self.source {
            Source::Complete(opened) => opened.packed(from),
            Source::Growing(part) => part.packed(from),
        };
        let (entry, mut content) = packed.map_err(malformed)?.ok_or_else(missing)?;
        archive.copy(super::archive::EntryHeader { name: to, ..entry }, &[], &mut content)
    }

    fn body(&self, folder: &str, file: Option<&str>) -> Result<Vec<u8>, Error> {
        match file {
            Some(file) => self.content(&format!("{folder}/{file}"), LARGEST_BODY),
            None => Ok(Vec::new()),
        }
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        let content = self.content(name, LARGEST_JSON)?;
        serde_json::from_slice(&content).map_err(|e| self.malformed(name, format!("is malformed: {e}")))
    }

    fn content(&self, name: &str, most: u64) -> Result<Vec<u8>, Error> {
        let read = match &self.source {
            Source::Complete(archive) => archive.read(name, most),
            Source::Growing(part) => part.read(name, most),
        };
        match read {
            Ok(Some(content)) => Ok(content),
            Ok(None) => Err(Error::Missing { path: self.path.clone(), name: name.to_owned() }),
            Err(what) => Err(self.malformed(name, what)),
        }
    }

    fn malformed(&self, name: &str, what: String) -> Error {
        Error::Malformed { path: self.path.clone(), name: name.to_owned(), what }
    }
}

impl AllIds {
    /// Notes the id in `name`, an entry's.
    fn add(&mut self, name: &str) {
        match kind(name) {
            Some((ItemKind::Trace, id)) => self.traces.push(id),
            Some((ItemKind::WebSocket, id)) => self.websockets.push(id),
            Some((ItemKind::Message, id)) => {
                let socket = id.rsplit_once("_m").map_or(id, |(socket, _)| socket);
                match self.messages.get_mut(socket) {
                    Some(of_it) => of_it.push(id),
                    None => self.messages.entry(socket.to_owned()).or_default().push(id),
                }
            }
            Some((ItemKind::Context, id)) => self.contexts.push(id),
            None => {}
        }
    }

    fn put_in_order(&mut self) {
        let Self { traces, websockets, messages, contexts } = self;
        [traces, websockets, contexts].into_iter().chain(messages.values_mut()).for_each(Ids::put_in_order);
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle").field("path", &self.path).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ItemKind {
    Trace,
    WebSocket,
    Message,
    Context,
}

/// What an entry is by its name, and its id. A merged bundle's ids have more than one number: `t_001_0001`.
pub(crate) fn kind(name: &str) -> Option<(ItemKind, &str)> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let numbered = |text: &str| text.split('_').all(digits);
    if let Some(id) = name.strip_prefix("traces/").and_then(|rest| rest.strip_suffix(".json")) {
        return numbered(id.strip_prefix("t_")?).then_some((ItemKind::Trace, id));
    }
    if let Some(id) = name.strip_prefix("contexts/").and_then(|rest| rest.strip_suffix(".json")) {
        return numbered(id.strip_prefix("c_")?).then_some((ItemKind::Context, id));
    }
    let id = name.strip_prefix("ws/")?.strip_suffix(".json")?;
    let number = id.strip_prefix("ws_")?;
    match number.split_once("_m") {
        Some((socket, message)) => (numbered(socket) && digits(message)).then_some((ItemKind::Message, id)),
        None => numbered(number).then_some((ItemKind::WebSocket, id)),
    }
}

const MANIFEST: &str = "manifest.json";

/// A timeline of a million events is 90 MB.
pub(crate) const LARGEST_JSON: u64 = 512 << 20;

/// No producer writes larger ones that one would want in memory.
const LARGEST_BODY: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_known_by_their_names() {
        assert_eq!(kind("traces/t_0001.json"), Some((ItemKind::Trace, "t_0001")));
        assert_eq!(kind("ws/ws_0001.json"), Some((ItemKind::WebSocket, "ws_0001")));
        assert_eq!(kind("ws/ws_0001_m12345.json"), Some((ItemKind::Message, "ws_0001_m12345")));
        assert_eq!(kind("traces/t_002_0001.json"), Some((ItemKind::Trace, "t_002_0001")));
        assert_eq!(kind("ws/ws_002_0001.json"), Some((ItemKind::WebSocket, "ws_002_0001")));
        assert_eq!(kind("ws/ws_002_001_0001_m001.json"), Some((ItemKind::Message, "ws_002_001_0001_m001")));
        for name in [
            "traces/t_0001_request.bin",
            "traces/t_.json",
            "traces/t_1_.json",
            "traces/../t_0001.json",
            "./traces/t_0001.json",
            "ws/ws_0001_m001.bin",
            "ws/ws_1_m_1.json",
            "contexts/c_.json",
            "manifest.json",
            "",
        ] {
            assert_eq!(kind(name), None, "{name}");
        }
    }

    #[test]
    fn bundles_of_the_browser_extension_are_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/extension.zip");
        let bundle = Bundle::open(path).unwrap();
        let manifest = bundle.manifest();
        assert_eq!((manifest.capture_method.as_deref(), manifest.extension_version.as_deref()), (None, Some("0.1.0")));
        assert_eq!(manifest.browser.as_ref().map(|browser| browser.name.as_str()), Some("Chrome"));
        assert_eq!(bundle.traces().len(), 5);
        let trace = bundle.trace("t_0002").unwrap();
        assert_eq!((trace.initiator.line, trace.context_refs.as_slice()), (Some(12), &["c_0001".to_owned()][..]));
        assert_eq!(bundle.request_body(&trace).unwrap(), "{\"n\":\"é\"}".as_bytes());
        assert_eq!(bundle.websocket("ws_0001").unwrap().protocols, ["graphql-transport-ws"]);
        let messages: Vec<_> = bundle.messages("ws_0001").iter().map(String::from).collect();
        let payload = |id: &str| {
            let message = bundle.message(id).unwrap();
            bundle.payload(&message).unwrap().len()
        };
        assert_eq!(messages.iter().map(|id| payload(id)).collect::<Vec<_>>(), [26, 3, 8, 0]);
        assert_eq!(bundle.timeline().unwrap().events.len(), 11);
        assert!(matches!(bundle.trace("t_0009"), Err(Error::Missing { .. })));
    }

    #[test]
    fn errors_are_sentences() {
        let error = Bundle::open("/nowhere/capture.zip").unwrap_err();
        assert!(error.to_string().starts_with("cannot read /nowhere/capture.zip: "), "{error}");
        let name = "timeline.json".to_owned();
        let missing = Error::Missing { path: "capture.zip".into(), name: name.clone() };
        assert_eq!(missing.to_string(), "capture.zip has no timeline.json in it");
        let malformed = Error::Malformed { path: "capture.zip".into(), name, what: "is cut off".into() };
        assert_eq!(malformed.to_string(), "timeline.json in capture.zip is cut off");
    }
}
