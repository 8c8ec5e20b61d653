//! Reads bundles: finished or unfinished, of this program or another producer.
//!
//! ```text
//! Bundle::open ──────┬─▶ manifest, ids ─▶ trace(id) ─▶ request_body, response_body
//! Bundle::open_part ─┘                ├─▶ websocket(id)
//!   (a running capture)               └─▶ message(id) ─▶ payload
//! ```
//!
//! ```no_run
//! use spectral_capture::reader::Bundle;
//!
//! let bundle = Bundle::open("capture.zip")?;
//! for id in bundle.traces().iter() {
//!     let trace = bundle.trace(id)?;
//!     println!("{} {}: {} bytes", trace.request.method, trace.response.status, bundle.response_body(&trace)?.len());
//! }
//! # Ok::<(), spectral_capture::reader::Error>(())
//! ```
//!
//! A bundle may come from an untrusted source. Names in it are only looked up in the archive itself, and sizes are limited.
//! Ids are those in the names of entries; an id in the JSON of an item is ignored. Text may contain control characters: pass
//! it through [`crate::text::escape`] before a terminal shows it.

use super::archive::ZipReader;
use super::format::Context;
use super::id::{ItemKind, item_of, websocket_of};
use super::json;
use super::other_members::OtherMembers;
use all_ids::{AllIds, max_json_bytes};
use growing::GrowingBundle;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::path::{Path, PathBuf};

pub use super::format::{
    App, Browser, CutOff, Header, Initiator, Manifest, Message, MessageCutOff, Request, Response, Stats, Timeline,
    TimelineEvent, Timing, Trace, WebSocket,
};
pub use super::meter::{Measured, Meter};
pub use all_ids::LeftOut;
pub(crate) use all_ids::MAX_JSON_BYTES;
pub use body::Body;
#[cfg(feature = "tools")]
pub(crate) use body::BodyEntry;
pub use error::{EntryError, Error, OpenError};
pub use ids::Ids;

mod all_ids;
mod body;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod growing;
mod ids;

/// An open bundle.
pub struct Bundle {
    path: PathBuf,
    source: Source,
    manifest: Manifest,
    ids: AllIds,
    meter: Meter,
}

/// The state of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// The bundle is complete.
    Complete,
    /// A capture is writing the bundle.
    Growing,
    /// The bundle lacks its end, and no process is writing it.
    Interrupted,
}

/// The file that entries are read from.
enum Source {
    Complete(ZipReader),
    Growing(GrowingBundle),
}

impl Bundle {
    /// Opens a finished bundle and reads its manifest.
    ///
    /// # Errors
    /// Returns [`Error::Open`] if the file cannot be read or is not a complete ZIP archive, and [`Error::Missing`] or
    /// [`Error::Malformed`] if it has no valid manifest.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        match ZipReader::open(&path) {
            Ok(archive) => Self::of_archive(path, archive),
            Err(cause) => Err(Error::Open { path, cause }),
        }
    }

    /// As [`Bundle::open`], with an open file that messages call `path`.
    #[cfg(feature = "tools")]
    pub(crate) fn of_file(path: PathBuf, file: std::fs::File) -> Result<Self, Error> {
        match ZipReader::of(file) {
            Ok(archive) => Self::of_archive(path, archive),
            Err(cause) => Err(Error::Open { path, cause }),
        }
    }

    fn of_archive(path: PathBuf, archive: ZipReader) -> Result<Self, Error> {
        let mut ids = AllIds::default();
        let mut content_bytes = 0u64;
        archive.names_and_sizes().for_each(|(name, size)| {
            content_bytes = content_bytes.saturating_add(size);
            ids.add(&name, size);
        });
        ids.sort();
        let (manifest, meter) = (Manifest::default(), Meter::default());
        meter.expect(archive.file_len(), content_bytes);
        let mut bundle = Self { path, source: Source::Complete(archive), manifest, ids, meter };
        bundle.manifest = bundle.json(MANIFEST)?;
        Ok(bundle)
    }

    /// Opens an unfinished bundle, `NAME.zip.part`. [`Bundle::refresh`] reads what a running capture appends.
    ///
    /// # Errors
    /// Returns [`Error::Open`] if the file cannot be read or does not begin as a bundle does. See also [`Bundle::refresh`].
    pub fn open_part(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        let growing = GrowingBundle::open(&path).map_err(|cause| Error::Open { path: path.clone(), cause })?;
        let (manifest, ids) = (Manifest::default(), AllIds::default());
        let mut bundle = Self { path, source: Source::Growing(growing), manifest, ids, meter: Meter::default() };
        bundle.refresh()?;
        Ok(bundle)
    }

    /// Reads items that a capture has appended, and returns the state of the bundle. A finished bundle is always
    /// [`State::Complete`]. Ids of new items follow the known ones.
    ///
    /// # Errors
    /// Returns [`Error::Open`] if the file cannot be read, and [`Error::Missing`] or [`Error::Malformed`] if the bundle is
    /// complete now but has no valid manifest.
    pub fn refresh(&mut self) -> Result<State, Error> {
        let Source::Growing(growing) = &mut self.source else { return Ok(State::Complete) };
        let mut new = AllIds::default();
        let mut content_bytes = 0u64;
        let state = growing
            .refresh(&mut |name, size| {
                content_bytes = content_bytes.saturating_add(size);
                new.add(name, size);
            })
            .map_err(|e| Error::Open { path: self.path.clone(), cause: e.into() })?;
        // Of a file that grows, its content is known only.
        self.meter.expect(content_bytes, content_bytes);
        new.sort();
        self.ids.append(new);
        match state {
            State::Complete => self.manifest = self.json(MANIFEST)?,
            State::Growing | State::Interrupted => self.manifest = self.manifest_so_far(),
        }
        Ok(state)
    }

    /// Returns the manifest of an unfinished bundle, as far as it is known.
    fn manifest_so_far(&self) -> Manifest {
        let known = match &self.source {
            Source::Growing(growing) => growing.manifest(),
            Source::Complete(_) => Manifest::default(),
        };
        Manifest { stats: self.counts(), ..known }
    }

    /// Returns the number of items, without contexts.
    fn counts(&self) -> Stats {
        Stats {
            trace_count: self.ids.traces.len() as u64,
            ws_connection_count: self.ids.websockets.len() as u64,
            ws_message_count: self.ids.messages.values().map(|ids| ids.len() as u64).sum(),
            context_count: 0,
        }
    }

    /// Returns the meter of what is read from this bundle.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Counts what is read from now on in another meter.
    pub(crate) fn set_meter(&mut self, meter: &Meter) {
        self.meter = meter.clone();
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the manifest. In an unfinished bundle it has the counts so far, and no duration.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Returns the ids of all exchanges, sorted by number. Those that [`Bundle::refresh`] adds follow the known ones.
    pub fn traces(&self) -> &Ids {
        &self.ids.traces
    }

    /// Returns the ids of all WebSockets, sorted by number.
    pub fn websockets(&self) -> &Ids {
        &self.ids.websockets
    }

    /// Returns the ids of a WebSocket's messages, sorted by number; none if there is no such WebSocket.
    pub fn messages(&self, websocket: &str) -> &Ids {
        static EMPTY: Ids = Ids::EMPTY;
        self.ids.messages.get(websocket).unwrap_or(&EMPTY)
    }

    /// Returns the ids of all contexts, sorted by number.
    pub(crate) fn contexts(&self) -> &Ids {
        &self.ids.contexts
    }

    /// Returns the items that are left out of all lists of ids, because their JSON is larger than that of any usual item: 16 MiB,
    /// 1 MiB for a context.
    pub fn left_out(&self) -> &LeftOut {
        &self.ids.left_out
    }

    /// Reads the context `id`.
    pub(crate) fn context(&self, id: &str) -> Result<Context, Error> {
        let context: Context = self.item(ItemKind::Context, id)?;
        Ok(Context { id: id.to_owned(), ..context })
    }

    /// Reads the timeline.
    ///
    /// # Errors
    /// Returns [`Error::Missing`] if the bundle has no such entry, and [`Error::Malformed`] if it cannot be read.
    pub fn timeline(&self) -> Result<Timeline, Error> {
        let Stats { trace_count, ws_connection_count, ws_message_count, .. } = self.counts();
        let items = [trace_count, ws_connection_count, ws_message_count, self.contexts().len() as u64];
        let items = items.into_iter().fold(0, u64::saturating_add);
        self.limited_json("timeline.json", MAX_JSON_BYTES.saturating_add(items.saturating_mul(MAX_EVENT_BYTES)))
    }

    /// Reads the exchange `id`.
    ///
    /// # Errors
    /// Returns [`Error::Missing`] if the bundle has no such entry, and [`Error::Malformed`] if it cannot be read.
    pub fn trace(&self, id: &str) -> Result<Trace, Error> {
        let trace: Trace = self.item(ItemKind::Trace, id)?;
        Ok(Trace { id: id.to_owned(), ..trace })
    }

    /// Reads the WebSocket `id`. Returns the facts known so far for one that is open in a running capture.
    ///
    /// # Errors
    /// Returns [`Error::Missing`] if the bundle has no such entry, and [`Error::Malformed`] if it cannot be read.
    pub fn websocket(&self, id: &str) -> Result<WebSocket, Error> {
        if let Source::Growing(growing) = &self.source
            && let Some(open) = growing.open_websocket(id)
        {
            return Ok(WebSocket { message_count: self.messages(id).len() as u64, ..open.clone() });
        }
        let websocket: WebSocket = self.item(ItemKind::WebSocket, id)?;
        Ok(WebSocket { id: id.to_owned(), ..websocket })
    }

    /// Returns true if the WebSocket `id` was open at the last refresh.
    pub fn is_open(&self, id: &str) -> bool {
        matches!(&self.source, Source::Growing(growing) if growing.open_websocket(id).is_some())
    }

    /// Reads the message `id`.
    ///
    /// # Errors
    /// Returns [`Error::Missing`] if the bundle has no such entry, and [`Error::Malformed`] if it cannot be read.
    pub fn message(&self, id: &str) -> Result<Message, Error> {
        let message: Message = self.item(ItemKind::Message, id)?;
        Ok(Message { id: id.to_owned(), connection_ref: websocket_of(id).to_owned(), ..message })
    }

    /// Reads the manifest of a finished bundle with the members that this program does not know.
    pub(crate) fn whole_manifest(&self) -> Result<Manifest, Error> {
        let (manifest, others): (Manifest, _) = self.with_others(MANIFEST, MAX_JSON_BYTES)?;
        Ok(Manifest { others, ..manifest })
    }

    /// As [`Bundle::trace`], with the members that this program does not know. Fails with [`EntryError::TooLarge`] if the JSON
    /// exceeds `max_bytes`.
    pub(crate) fn whole_trace(&self, id: &str, max_bytes: u64) -> Result<Trace, Error> {
        let (trace, others): (Trace, _) = self.whole_item(ItemKind::Trace, id, max_bytes)?;
        Ok(Trace { id: id.to_owned(), others, ..trace })
    }

    /// As [`Bundle::whole_trace`], for a WebSocket of a finished bundle.
    pub(crate) fn whole_websocket(&self, id: &str, max_bytes: u64) -> Result<WebSocket, Error> {
        let (websocket, others): (WebSocket, _) = self.whole_item(ItemKind::WebSocket, id, max_bytes)?;
        Ok(WebSocket { id: id.to_owned(), others, ..websocket })
    }

    /// As [`Bundle::whole_trace`], for a message.
    pub(crate) fn whole_message(&self, id: &str, max_bytes: u64) -> Result<Message, Error> {
        let (message, others): (Message, _) = self.whole_item(ItemKind::Message, id, max_bytes)?;
        Ok(Message { id: id.to_owned(), connection_ref: websocket_of(id).to_owned(), others, ..message })
    }

    /// Reads the JSON of the item `id`, with the members that are not in `T`.
    fn whole_item<T: DeserializeOwned + Serialize>(
        &self,
        kind: ItemKind,
        id: &str,
        max_bytes: u64,
    ) -> Result<(T, OtherMembers), Error> {
        let name = kind.json_name(id);
        match item_of(&name) == Some((kind, id)) {
            true => self.with_others(&name, max_bytes.min(max_json_bytes(kind))),
            false => Err(self.missing(&name)),
        }
    }

    /// Reads a JSON document of up to `max_size` bytes, with the members that are not in `T`.
    fn with_others<T: DeserializeOwned + Serialize>(
        &self,
        name: &str,
        max_size: u64,
    ) -> Result<(T, OtherMembers), Error> {
        let content = self.content(name, max_size)?;
        let document = self.parsed(name, &content)?;
        // Most documents are as this program writes them, and need not be parsed again.
        let is_ours = json::to_vec(&document).is_ok_and(|json| json == content);
        let others = if is_ours { OtherMembers::default() } else { OtherMembers::of(&content, &document) };
        Ok((document, others))
    }

    /// Reads the JSON of the item `id`.
    fn item<T: DeserializeOwned>(&self, kind: ItemKind, id: &str) -> Result<T, Error> {
        let name = kind.json_name(id);
        match item_of(&name) == Some((kind, id)) {
            true => self.limited_json(&name, max_json_bytes(kind)),
            false => Err(self.missing(&name)),
        }
    }

    fn json<T: DeserializeOwned>(&self, name: &str) -> Result<T, Error> {
        self.limited_json(name, MAX_JSON_BYTES)
    }

    /// Reads a JSON document of up to `max_size` bytes. `serde_json` limits its depth.
    fn limited_json<T: DeserializeOwned>(&self, name: &str, max_size: u64) -> Result<T, Error> {
        self.parsed(name, &self.content(name, max_size)?)
    }

    fn parsed<T: DeserializeOwned>(&self, name: &str, json: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(json).map_err(|e| self.malformed(name, EntryError::Json(e.into())))
    }

    fn content(&self, name: &str, max_size: u64) -> Result<Vec<u8>, Error> {
        let content = match &self.source {
            Source::Complete(reader) => reader.read(name, max_size),
            Source::Growing(growing) => growing.read(name, max_size),
        };
        let content = content.map_err(|cause| self.malformed(name, cause))?.ok_or_else(|| self.missing(name))?;
        self.meter.add(content.len() as u64);
        Ok(content)
    }

    fn missing(&self, name: &str) -> Error {
        Error::Missing { path: self.path.clone(), name: name.to_owned() }
    }

    fn malformed(&self, name: &str, cause: EntryError) -> Error {
        Error::Malformed { path: self.path.clone(), name: name.to_owned(), cause }
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle").field("path", &self.path).finish_non_exhaustive()
    }
}

const MANIFEST: &str = "manifest.json";

/// More than an event of the timeline takes, with a long id.
const MAX_EVENT_BYTES: u64 = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_file_is_read() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        let seed = std::fs::read(directory.join("extension.zip")).unwrap();
        crate::wire::mutations::mutations(&[Vec::new(), seed], 300, fuzz::check_directory);
    }

    #[test]
    fn reads_bundles_of_the_browser_extension() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/extension.zip");
        let bundle = Bundle::open(path).unwrap();
        let manifest = bundle.manifest();
        assert_eq!((manifest.capture_method.as_deref(), manifest.extension_version.as_deref()), (None, Some("0.1.0")));
        assert_eq!(manifest.browser.as_ref().map(|browser| browser.name.as_str()), Some("Chrome"));
        assert_eq!(bundle.traces().len(), 5);
        let trace = bundle.trace("t_0002").unwrap();
        assert_eq!((trace.initiator.line, trace.context_refs.as_slice()), (Some(12), &["c_0001".to_owned()][..]));
        assert!(bundle.traces().iter().all(|id| bundle.trace(id).unwrap().cut_off.is_none()));
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
    fn errors_name_the_file() {
        let error = Bundle::open("/nowhere/capture.zip").unwrap_err();
        assert!(error.to_string().starts_with("cannot read /nowhere/capture.zip: "), "{error}");
    }
}
