//! Merges bundles into one.
//!
//! ```text
//! A-0001.zip t_0001, ws_0001_m001 ─┐
//! A-0002.zip t_0002, ws_0001_m002 ─┴─▶ t_0001, t_0002, ws_0001_m001, …     parts of one capture: ids are kept
//!
//! A-0001.zip t_0001 ─┐
//! A-0002.zip t_0002 ─┴─▶ t_001_0001, t_001_0002 ─┐
//! B.zip      t_0001 ───▶ t_002_0001 ─────────────┴─▶ C.zip                 different captures: ids get a number
//! ```
//!
//! Bundles with one `capture_id` are parts of one capture. Each of its items is copied once. A WebSocket that continued
//! over several parts is in each of them, and so is its handshake's exchange. If there are several captures, the number
//! of the capture is inserted into each id and into all references to it. Bodies are copied without recompression; those
//! that were stored as received are decoded. Items that a filter excludes are left out; contexts are always copied.
//!
//! Items whose JSON is damaged, or whose body is missing, are left out and named. A WebSocket takes its messages with it. Bodies with
//! damaged content are copied as they are.

use super::filter::Selected;
use super::id_set::IdSet;
use super::rewriter::{Content, Rewriter};
use crate::bundle::format::{Context, Manifest, Message, Trace, WebSocket};
use crate::bundle::id::ItemKind;
use crate::bundle::iso8601;
use crate::bundle::other_members::OtherMembers;
use crate::bundle::reader::{Bundle, LeftOut, MAX_JSON_BYTES};
use captures::{Capture, captures};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use super::rewriter::{Error, Options};

mod captures;

/// The result of a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Merged {
    /// The path of the new bundle.
    pub output: PathBuf,
    /// The backup of the bundle that had this path before.
    pub backup: Option<PathBuf>,
    /// The number of exchanges in it.
    pub exchanges: u64,
    /// The number of WebSockets in it.
    pub websockets: u64,
    /// The number of WebSocket messages in it.
    pub messages: u64,
    /// The items of the merged bundles that are left out because their JSON is too large.
    pub left_out: LeftOut,
    /// The items that are left out because they cannot be read: their JSON is damaged, their body is missing, or the filter
    /// could not search it.
    pub damaged: LeftOut,
}

/// Merges `bundles`, in that order, into the new bundle `output`. An existing `output` is kept: as `.bak`, or `.2.bak` and so
/// on. One bundle and a filter in `options` make a bundle of a part of it.
///
/// Bundles of one capture, by the id in their manifests, may be given in any order, and more than once. If all are of one
/// capture, the new bundle has its id and its items keep their ids.
///
/// ```no_run
/// use spectral_capture::merge::{Options, merge};
///
/// # fn main() -> Result<(), spectral_capture::merge::Error> {
/// let merged = merge(&["monday.zip".into(), "tuesday.zip".into()], "week.zip".as_ref(), &Options::default())?;
/// println!("{} exchanges", merged.exchanges);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Returns [`Error::Read`] if a bundle cannot be read or is not finished, [`Error::OutputIsInput`] if `output` is one of
/// `bundles`, and [`Error::Output`] or [`Error::Write`] if `output` cannot be created or written. No file is changed then.
pub fn merge(bundles: &[PathBuf], output: &Path, options: &Options) -> Result<Merged, Error> {
    let sources: Vec<_> = bundles.iter().map(PathBuf::as_path).collect();
    let (mut left_out, mut damaged) = (LeftOut::default(), LeftOut::default());
    let (finished, stats) = Rewriter::write(output, &sources, |rewriter| {
        let mut info = MergedInfo::default();
        let captures = captures(bundles, |bundle| {
            info.add(bundle.whole_manifest()?);
            options.meter.expect_all_of(bundle.meter());
            left_out.append(bundle.left_out().clone());
            Ok(())
        })?;
        match &captures[..] {
            [capture] => {
                rewriter.set_capture_id(&capture.id);
                copy_capture(capture, Numbering(None), options, &mut damaged, rewriter)?;
            }
            captures => {
                for (capture, number) in captures.iter().zip(1..) {
                    copy_capture(capture, Numbering(Some(number)), options, &mut damaged, rewriter)?;
                }
            }
        }
        Ok(info.manifest())
    })?;
    Ok(Merged {
        output: finished.path,
        backup: finished.backup,
        exchanges: stats.trace_count,
        websockets: stats.ws_connection_count,
        messages: stats.ws_message_count,
        left_out,
        damaged,
    })
}

/// Copies each selected item of a capture once. Adds those that are left out in all parts to `damaged`.
fn copy_capture(
    capture: &Capture<'_>,
    numbering: Numbering,
    options: &Options,
    damaged: &mut LeftOut,
    rewriter: &mut Rewriter,
) -> Result<(), Error> {
    let (mut selected, mut copied) = (Selected::new(&options.filter), Copied::default());
    if !options.filter.is_empty() {
        for part in &capture.parts {
            let undecided = |id: &str| copied.damaged.extend([id.to_owned()]);
            selected.add_readable_websockets(&open(part.path, options)?, undecided)?;
        }
    }
    for part in &capture.parts {
        copy_part(&open(part.path, options)?, &selected, &capture.split_websockets, numbering, &mut copied, rewriter)?;
    }
    // Another part may have the same item undamaged.
    copied.damaged.iter().filter(|id| !copied.ids.contains(id)).for_each(|id| damaged.add(id));
    for (id, SplitWebSocket { description, messages }) in copied.split_websockets {
        let has_handshake = |id: &String| copied.ids.contains(id);
        let handshake_trace_ref = description.handshake_trace_ref.filter(has_handshake);
        let websocket = WebSocket { id, handshake_trace_ref, message_count: messages, ..description };
        copy_websocket(websocket, numbering, rewriter)?;
    }
    Ok(())
}

/// Opens a bundle, and counts what is read from it.
fn open(path: &Path, options: &Options) -> Result<Bundle, Error> {
    let mut bundle = Bundle::open(path)?;
    bundle.set_meter(&options.meter);
    Ok(bundle)
}

/// The items of a capture that were copied from its earlier parts.
#[derive(Default)]
struct Copied {
    /// The ids of exchanges, messages and contexts.
    ids: IdSet,
    /// The WebSockets that are in several parts, by id. They are written last, with the number of all their messages.
    split_websockets: BTreeMap<String, SplitWebSocket>,
    /// The ids of items that could not be read in one of the parts.
    damaged: BTreeSet<String>,
}

impl Copied {
    /// Returns the item, or `None` and adds its id to the damaged ones if it cannot be read.
    fn readable<T>(&mut self, id: &str, read: Result<T, Error>) -> Result<Option<T>, Error> {
        match read {
            Err(Error::Read(e)) if e.is_of_one_entry() => {
                self.damaged.insert(id.to_owned());
                Ok(None)
            }
            read => read.map(Some),
        }
    }
}

/// A WebSocket that is in several parts of a capture.
struct SplitWebSocket {
    /// Its JSON in the first part that refers to its handshake.
    description: WebSocket,
    /// The number of its messages that were copied.
    messages: u64,
}

/// Copies the selected items of a bundle that are not in `copied`.
fn copy_part(
    bundle: &Bundle,
    selected: &Selected<'_>,
    split_websockets: &IdSet,
    numbering: Numbering,
    copied: &mut Copied,
    rewriter: &mut Rewriter,
) -> Result<(), Error> {
    for id in bundle.contexts().iter() {
        if copied.ids.contains(id) {
            continue;
        }
        let Some(context) = copied.readable(id, bundle.context(id).map_err(Error::Read))? else { continue };
        copied.ids.insert(id);
        rewriter.add_context(&Context { id: numbering.apply(id), ..context })?;
    }
    for id in bundle.traces().iter().filter(|id| selected.considers(id)) {
        if copied.ids.contains(id) {
            continue;
        }
        let read = read_trace(bundle, id, selected);
        let Some(Some((mut trace, mut bodies))) = copied.readable(id, read)? else { continue };
        copied.ids.insert(id);
        trace.id = numbering.apply(id);
        numbering.apply_all(&mut trace.context_refs);
        rewriter.decode_bodies(bundle, &mut trace, &mut bodies)?;
        rewriter.add_trace(bundle, trace, bodies)?;
    }
    for id in bundle.websockets().iter().filter(|id| selected.has_websocket(id)) {
        let read = bundle.whole_websocket(id, MAX_JSON_BYTES).map_err(Error::Read);
        let Some(websocket) = copied.readable(id, read)? else { continue };
        let mut messages: u64 = 0;
        for message_id in bundle.messages(id).iter() {
            if copied.ids.contains(message_id) {
                continue;
            }
            let read = read_message(bundle, message_id);
            let Some((mut message, payload)) = copied.readable(message_id, read)? else { continue };
            copied.ids.insert(message_id);
            message.id = numbering.apply(message_id);
            message.connection_ref = numbering.apply(id);
            numbering.apply_all(&mut message.context_refs);
            rewriter.add_message(bundle, message, payload)?;
            messages = messages.saturating_add(1);
        }
        if !split_websockets.contains(id) {
            copy_websocket(websocket, numbering, rewriter)?;
        } else if let Some(known) = copied.split_websockets.get_mut(id) {
            known.messages = known.messages.saturating_add(messages);
            // A recovered part may have lost the handshake.
            if known.description.handshake_trace_ref.is_none() && websocket.handshake_trace_ref.is_some() {
                known.description = websocket;
            }
        } else {
            copied.split_websockets.insert(id.to_owned(), SplitWebSocket { description: websocket, messages });
        }
    }
    Ok(())
}

/// Reads an exchange and finds its bodies; `None` if it is not selected.
fn read_trace(bundle: &Bundle, id: &str, selected: &Selected<'_>) -> Result<Option<(Trace, [Content; 2])>, Error> {
    let trace = bundle.whole_trace(id, MAX_JSON_BYTES)?;
    if !selected.has_exchange(bundle, &trace)? {
        return Ok(None);
    }
    let bodies = Content::of_trace(bundle, &trace)?;
    bodies.iter().try_for_each(|body| require_entry(bundle, body))?;
    Ok(Some((trace, bodies)))
}

/// Reads a message and finds its payload.
fn read_message(bundle: &Bundle, id: &str) -> Result<(Message, Content), Error> {
    let message = bundle.whole_message(id, MAX_JSON_BYTES)?;
    let payload = Content::stored(bundle, ItemKind::Message, id, message.payload_file.as_deref())?;
    require_entry(bundle, &payload)?;
    Ok((message, payload))
}

/// Fails if the entry to copy is missing, or cannot be found in the file.
fn require_entry(bundle: &Bundle, content: &Content) -> Result<(), Error> {
    match content {
        Content::Copied(entry) => Ok(bundle.require_entry(entry)?),
        Content::Empty | Content::Decoded(_) => Ok(()),
    }
}

fn copy_websocket(mut websocket: WebSocket, numbering: Numbering, rewriter: &mut Rewriter) -> Result<(), Error> {
    websocket.id = numbering.apply(&websocket.id);
    websocket.handshake_trace_ref = websocket.handshake_trace_ref.map(|id| numbering.apply(&id));
    numbering.apply_all(&mut websocket.context_refs);
    rewriter.add_websocket(&websocket)
}

/// The number that is inserted into the ids of a capture's items; `None` keeps the ids.
#[derive(Clone, Copy)]
struct Numbering(Option<u32>);

impl Numbering {
    /// Returns `id` with the number: `t_002_0001` for `t_0001` and 2.
    fn apply(self, id: &str) -> String {
        let Some(number) = self.0 else { return id.to_owned() };
        let (kind, rest) = id.split_once('_').unwrap_or((id, ""));
        format!("{kind}_{number:03}_{rest}")
    }

    fn apply_all(self, refs: &mut [String]) {
        refs.iter_mut().for_each(|id| *id = self.apply(id));
    }
}

/// The facts that the new manifest takes from those of the merged bundles.
#[derive(Default)]
struct MergedInfo {
    /// The manifest of the first bundle, from which the new one takes the producer.
    first: Option<Manifest>,
    /// The earliest start and the latest end, in milliseconds since the epoch.
    span: Option<(u64, u64)>,
    /// The earliest start as its manifest has it.
    earliest: String,
    /// The longest duration, used if no start is known.
    longest_ms: u64,
    /// The members that this program does not know. Of those with one name, the first is kept.
    others: OtherMembers,
}

impl MergedInfo {
    fn add(&mut self, mut manifest: Manifest) {
        self.others.add_missing(std::mem::take(&mut manifest.others));
        self.longest_ms = self.longest_ms.max(manifest.duration_ms);
        if let Some(start) = iso8601::parse_millis(&manifest.created_at) {
            let end = start.saturating_add(manifest.duration_ms);
            let (earliest, latest) = self.span.unwrap_or((u64::MAX, 0));
            if start < earliest {
                self.earliest.clone_from(&manifest.created_at);
            }
            self.span = Some((start.min(earliest), end.max(latest)));
        }
        self.first.get_or_insert(manifest);
    }

    fn manifest(self) -> Manifest {
        let first = self.first.unwrap_or_default();
        let unknown = || iso8601::micros(Duration::ZERO);
        Manifest {
            created_at: if self.earliest.is_empty() { unknown() } else { self.earliest },
            duration_ms: self.span.map_or(self.longest_ms, |(start, end)| end.saturating_sub(start)),
            browser: first.browser,
            extension_version: first.extension_version,
            capture_method: first.capture_method,
            others: self.others,
            ..Manifest::default()
        }
    }
}

#[cfg(test)]
mod tests;
