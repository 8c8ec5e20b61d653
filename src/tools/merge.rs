//! Merges bundles into one.
//!
//! ```text
//! A.zip t_0001, ws_0001_m001 ─▶ t_001_0001, ws_001_0001_m001 ─┐
//! B.zip t_0001, ws_0001_m001 ─▶ t_002_0001, ws_002_0001_m001 ─┴─▶ C.zip
//! ```
//!
//! The number of its bundle is inserted into each id and into all references to it. Bodies are copied without
//! recompression.

use super::rewriter::{Content, Rewriter};
use crate::bundle::format::{Context, Manifest, Message, Trace, WebSocket};
use crate::bundle::id::{payload_file, request_file, response_file};
use crate::bundle::iso8601;
use crate::bundle::reader::Bundle;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use super::rewriter::Error;

/// The result of a merge.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Merged {
    /// The path of the new bundle.
    pub output: PathBuf,
    /// The number of exchanges in it.
    pub exchanges: u64,
    /// The number of WebSockets in it.
    pub websockets: u64,
    /// The number of WebSocket messages in it.
    pub messages: u64,
}

/// Merges `bundles`, in that order, into the new bundle `output`. An existing `output` is kept as `.bak`.
///
/// ```no_run
/// # fn main() -> Result<(), spectral_capture::merge::Error> {
/// let merged = spectral_capture::merge::merge(&["monday.zip".into(), "tuesday.zip".into()], "week.zip".as_ref())?;
/// println!("{} exchanges", merged.exchanges);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Returns [`Error::Read`] if a bundle cannot be read or is not finished, [`Error::OutputIsInput`] if `output` is one of
/// `bundles`, and [`Error::Output`] or [`Error::Write`] if `output` cannot be created or written. No file is changed then.
pub fn merge(bundles: &[PathBuf], output: &Path) -> Result<Merged, Error> {
    let sources: Vec<_> = bundles.iter().map(PathBuf::as_path).collect();
    let (output, stats) = Rewriter::write(output, &sources, |rewriter| {
        let mut info = MergedInfo::default();
        for (path, number) in bundles.iter().zip(1..) {
            let bundle = Bundle::open(path)?;
            info.add(bundle.manifest());
            copy_all(&bundle, number, rewriter)?;
        }
        Ok(info.manifest())
    })?;
    Ok(Merged {
        output,
        exchanges: stats.trace_count,
        websockets: stats.ws_connection_count,
        messages: stats.ws_message_count,
    })
}

/// Copies all items of the bundle with the given number.
fn copy_all(bundle: &Bundle, number: u32, rewriter: &mut Rewriter) -> Result<(), Error> {
    for id in bundle.contexts().iter() {
        let context = bundle.context(id)?;
        rewriter.add_context(&Context { id: numbered(number, id), ..context })?;
    }
    for id in bundle.traces().iter() {
        let mut trace: Trace = bundle.trace(id)?;
        trace.id = numbered(number, id);
        number_all(number, &mut trace.context_refs);
        let bodies = [
            rename(&mut trace.request.body_file, || request_file(&trace.id)),
            rename(&mut trace.response.body_file, || response_file(&trace.id)),
        ];
        rewriter.add_trace(bundle, &trace, bodies)?;
    }
    for id in bundle.websockets().iter() {
        let mut websocket: WebSocket = bundle.websocket(id)?;
        websocket.id = numbered(number, id);
        websocket.handshake_trace_ref = websocket.handshake_trace_ref.map(|id| numbered(number, &id));
        number_all(number, &mut websocket.context_refs);
        rewriter.add_websocket(&websocket)?;
        for id in bundle.messages(id).iter() {
            let mut message: Message = bundle.message(id)?;
            message.id = numbered(number, id);
            message.connection_ref.clone_from(&websocket.id);
            number_all(number, &mut message.context_refs);
            let payload = rename(&mut message.payload_file, || payload_file(&message.id));
            rewriter.add_message(bundle, &message, payload)?;
        }
    }
    Ok(())
}

/// Returns `id` with the number of its bundle: `t_002_0001` for `t_0001` of bundle 2.
fn numbered(number: u32, id: &str) -> String {
    let (kind, rest) = id.split_once('_').unwrap_or((id, ""));
    format!("{kind}_{number:03}_{rest}")
}

fn number_all(number: u32, refs: &mut [String]) {
    refs.iter_mut().for_each(|id| *id = numbered(number, id));
}

/// Changes the file name of a body or payload, if there is one, and returns its content.
fn rename(file: &mut Option<String>, name: impl FnOnce() -> String) -> Content {
    match file.take() {
        Some(old) => {
            *file = Some(name());
            Content::Copied(old)
        }
        None => Content::Empty,
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
}

impl MergedInfo {
    fn add(&mut self, manifest: &Manifest) {
        self.first.get_or_insert_with(|| manifest.clone());
        self.longest_ms = self.longest_ms.max(manifest.duration_ms);
        let Some(start) = iso8601::parse_millis(&manifest.created_at) else { return };
        let end = start.saturating_add(manifest.duration_ms);
        let (earliest, latest) = self.span.unwrap_or((u64::MAX, 0));
        if start < earliest {
            self.earliest.clone_from(&manifest.created_at);
        }
        self.span = Some((start.min(earliest), end.max(latest)));
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
            ..Manifest::default()
        }
    }
}
