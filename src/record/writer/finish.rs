//! The end of a capture: the last exchanges and WebSockets, the timeline and the manifest.

use super::Writer;
use super::error_log::ErrorKind;
use crate::notice::{CutOffItems, Warning};
use crate::record::cut_off::{CutOff, CutOffCause, MessageCutOff};
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
        self.write_remaining_websockets();
        let stats = self.bundle.info.stats().clone();
        let bundle = self.bundle.finish(&mut self.errors);
        WriterSummary {
            exchanges: stats.trace_count,
            websockets: stats.ws_connection_count,
            messages: stats.ws_message_count,
            lost: self.errors.lost(),
            truncated: self.errors.truncated(),
            cut_off_exchanges: self.cut_off_exchanges.items(),
            cut_off_messages: self.cut_off_messages.items(),
            unclosed_websockets: self.unclosed_websockets.items(),
            warnings: self.errors.warnings(),
            bundle,
        }
    }

    /// Writes the WebSockets that are open at the end of the capture, and those that could not be written before.
    fn write_remaining_websockets(&mut self) {
        // The failures counted for the latter no longer hold.
        let mut websockets = std::mem::take(&mut self.bundle.unwritten_websockets);
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
    }
}
