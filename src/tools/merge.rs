//! One bundle of several.
//!
//! ```text
//! A.zip t_0001, ws_0001_m001 ─▶ t_001_0001, ws_001_0001_m001 ─┐
//! B.zip t_0001, ws_0001_m001 ─▶ t_002_0001, ws_002_0001_m001 ─┴─▶ C.zip
//! ```
//!
//! An id gets its bundle's number, and whatever names the item is changed alike. Bodies are copied as they are packed.

use super::rewriter::{Content, Rewriter, new_manifest};
use crate::bundle::format::{Context, Manifest, Message, Trace, WebSocket};
use crate::bundle::iso8601;
use crate::bundle::reader::Bundle;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use super::rewriter::Error;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Merged {
    /// The new bundle.
    pub output: PathBuf,
    /// Exchanges in it.
    pub exchanges: u64,
    /// WebSockets in it.
    pub websockets: u64,
    /// WebSocket messages in it.
    pub messages: u64,
}

/// Makes the bundle `output` of `bundles`, in that order. One that is there is kept as `.bak`.
///
/// # Errors
/// If one of them cannot be read, or the new one not be written; then nothing has changed.
pub fn merge(bundles: &[PathBuf], output: &Path) -> Result<Merged, Error> {
    let made_of: Vec<_> = bundles.iter().map(PathBuf::as_path).collect();
    let (output, stats) = Rewriter::make(output, &made_of, |rewriter| {
        let mut session = MergedInfo::default();
        for (path, number) in bundles.iter().zip(1..) {
            let bundle = Bundle::open(path)?;
            session.add(bundle.manifest());
            all(&bundle, number, rewriter)?;
        }
        Ok(session.manifest())
    })?;
    let (traces, websockets, messages) = (stats.trace_count, stats.ws_connection_count, stats.ws_message_count);
    Ok(Merged { output, exchanges: traces, websockets, messages })
}

/// Copies all of `bundle`, the `number`th.
fn all(bundle: &Bundle, number: u32, rewriter: &mut Rewriter) -> Result<(), Error> {
    for id in bundle.contexts().iter() {
        let context = bundle.context(id)?;
        rewriter.context(&Context { id: numbered(number, id), ..context })?;
    }
    for id in bundle.traces().iter() {
        let mut trace: Trace = bundle.trace(id)?;
        trace.id = numbered(number, id);
        rename(number, &mut trace.context_refs);
        let bodies = [
            renamed(&mut trace.request.body_file, || format!("{}_request.bin", trace.id)),
            renamed(&mut trace.response.body_file, || format!("{}_response.bin", trace.id)),
        ];
        rewriter.trace(bundle, &trace, bodies)?;
    }
    for id in bundle.websockets().iter() {
        let mut socket: WebSocket = bundle.websocket(id)?;
        socket.id = numbered(number, id);
        socket.handshake_trace_ref = socket.handshake_trace_ref.map(|id| numbered(number, &id));
        rename(number, &mut socket.context_refs);
        rewriter.socket(&socket)?;
        for id in bundle.messages(id).iter() {
            let mut message: Message = bundle.message(id)?;
            message.id = numbered(number, id);
            message.connection_ref.clone_from(&socket.id);
            rename(number, &mut message.context_refs);
            let payload = renamed(&mut message.payload_file, || format!("{}.bin", message.id));
            rewriter.message(bundle, &message, payload)?;
        }
    }
    Ok(())
}

/// `t_0001` of the second bundle is `t_002_0001`.
fn numbered(number: u32, id: &str) -> String {
    let (kind, rest) = id.split_once('_').unwrap_or((id, ""));
    format!("{kind}_{number:03}_{rest}")
}

fn rename(number: u32, refs: &mut [String]) {
    refs.iter_mut().for_each(|id| *id = numbered(number, id));
}

/// Gives a body the name that it has to have.
fn renamed(file: &mut Option<String>, name: impl FnOnce() -> String) -> Content {
    match file.take() {
        Some(old) => {
            *file = Some(name());
            Content::Same(old)
        }
        None => Content::Empty,
    }
}

/// What the new manifest says.
#[derive(Default)]
struct MergedInfo {
    /// Of the first bundle: how it was made.
    first: Option<Manifest>,
    /// When the first began and the last ended, in milliseconds since the epoch.
    span: Option<(u64, u64)>,
    /// As it was written.
    earliest: String,
    longest: u64,
}

impl MergedInfo {
    fn add(&mut self, manifest: &Manifest) {
        self.first.get_or_insert_with(|| manifest.clone());
        self.longest = self.longest.max(manifest.duration_ms);
        let Some(began) = iso8601::parse_millis(&manifest.created_at) else { return };
        let ended = began.saturating_add(manifest.duration_ms);
        let (earliest, latest) = self.span.unwrap_or((u64::MAX, 0));
        if began < earliest {
            self.earliest.clone_from(&manifest.created_at);
        }
        self.span = Some((began.min(earliest), ended.max(latest)));
    }

    fn manifest(self) -> Manifest {
        let first = self.first.unwrap_or_default();
        let unknown = || iso8601::micros(Duration::ZERO);
        Manifest {
            created_at: if self.earliest.is_empty() { unknown() } else { self.earliest },
            duration_ms: self.span.map_or(self.longest, |(began, ended)| ended.saturating_sub(began)),
            browser: first.browser,
            extension_version: first.extension_version,
            capture_method: first.capture_method,
            ..new_manifest()
        }
    }
}
