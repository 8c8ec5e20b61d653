//! The end of a capture: the last exchanges and WebSockets, the timeline and the manifest.

use super::Writer;
use super::error_log::ErrorKind;
use crate::bundle::archive::{FinishError, UnfinishedState};
use crate::clock::Moment;
use crate::notice::{CutOffItems, Warning};
use crate::record::cut_off::{CutOff, CutOffCause, MessageCutOff};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

/// The result of writing a bundle.
#[derive(Debug, Default)]
pub(crate) struct WriterSummary {
    /// Exchanges in the bundle.
    pub(crate) exchanges: u64,
    /// WebSockets in the bundle.
    pub(crate) websockets: u64,
    /// WebSocket messages in the bundle.
    pub(crate) messages: u64,
    /// Exchanges, WebSockets and messages that could not be written.
    pub(crate) lost: u64,
    /// Bodies in the bundle whose ends are lost.
    pub(crate) truncated: u64,
    /// Exchanges in the bundle that are incomplete.
    pub(crate) cut_off_exchanges: CutOffItems<CutOff>,
    /// Messages in the bundle that are incomplete.
    pub(crate) cut_off_messages: CutOffItems<MessageCutOff>,
    /// WebSockets in the bundle without a close frame.
    pub(crate) unclosed_websockets: CutOffItems<MessageCutOff>,
    /// One warning per kind of error.
    pub(crate) warnings: Vec<Warning>,
    /// The bundle's path; `None` if it could not be completed, and a warning then names the unfinished bundle.
    pub(crate) bundle: Option<PathBuf>,
}

impl Writer {
    /// Waits for the packer threads, writes the WebSockets that are still open, and completes the bundle.
    pub(super) fn finish(mut self) -> WriterSummary {
        while let Some(event) = self.packer.finish_next() {
            self.handle_packer_event(event);
        }
        self.commit();
        // WebSockets that could not be written are tried again. The failures counted for them no longer hold.
        let mut websockets = std::mem::take(&mut self.unwritten_websockets);
        let retried = u64::try_from(websockets.len()).unwrap_or(u64::MAX);
        self.errors.forget(ErrorKind::WriteFailed, retried);
        websockets.extend(self.open_websockets.drain().map(|(_, mut websocket)| {
            websocket.end(Some(CutOffCause::Stopped));
            websocket
        }));
        websockets.sort_by_key(|websocket| websocket.number);
        for websocket in websockets {
            self.attempt(|writer| writer.write_websocket(websocket));
        }
        let written = catch_unwind(AssertUnwindSafe(|| self.write_timeline_and_manifest()))
            .unwrap_or_else(|_| Err(io::Error::other("internal error")));
        let mut bundle = None;
        match written {
            Ok(()) => match self.archive.finish() {
                Ok(output) => bundle = Some(output),
                Err(FinishError { path, state: UnfinishedState::Complete, cause }) => {
                    self.errors.add(ErrorKind::NotRenamed(path), &cause.to_string());
                }
                Err(FinishError { path, state: UnfinishedState::Truncated, cause }) => {
                    self.errors.add(ErrorKind::Unfinished(path), &cause.to_string());
                }
            },
            Err(cause) => {
                let path = self.archive.unfinished_path().to_owned();
                self.errors.add(ErrorKind::Unfinished(path), &cause.to_string());
            }
        }
        WriterSummary {
            exchanges: self.info.stats().trace_count,
            websockets: self.info.stats().ws_connection_count,
            messages: self.info.stats().ws_message_count,
            lost: self.errors.lost(),
            truncated: self.errors.truncated(),
            cut_off_exchanges: self.cut_off_exchanges.items(),
            cut_off_messages: self.cut_off_messages.items(),
            unclosed_websockets: self.unclosed_websockets.items(),
            warnings: self.errors.warnings(),
            bundle,
        }
    }

    fn write_timeline_and_manifest(&mut self) -> io::Result<()> {
        if !self.unwritten_websockets.is_empty() {
            // Readers do not expect messages without a WebSocket. Recovery restores the WebSocket from its handshake.
            return Err(io::Error::other("a WebSocket could not be written"));
        }
        let duration_ms = Moment::now().since(self.started).as_millis();
        self.info.write(&mut self.archive, u64::try_from(duration_ms).unwrap_or(u64::MAX))
    }
}
