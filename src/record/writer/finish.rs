//! The end of a capture: the last exchanges and WebSockets, the timeline and the manifest.

use super::Writer;
use super::finished::Results;
use crate::clock::Moment;
use crate::notice::{Bundles, CutOffItems, Summary, Warning};
use crate::record::cut_off::{CutOff, CutOffCause, MessageCutOff};
use crate::sorting::sort_by_key;
use std::path::PathBuf;

/// The result of writing a bundle.
#[derive(Clone, Debug, Default)]
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
    /// The path of the bundle that it replaced.
    pub(crate) backup: Option<PathBuf>,
    /// The bundle that was not replaced, because nothing was captured.
    pub(crate) not_replaced: Option<PathBuf>,
    /// The bundles of a capture that rotates.
    pub(crate) bundles: Bundles,
}

impl WriterSummary {
    /// Returns the part of the capture's summary that the writer knows.
    pub(crate) fn into_summary(self) -> Summary {
        Summary {
            bundle: self.bundle,
            backup: self.backup,
            not_replaced: self.not_replaced,
            bundles: self.bundles,
            exchanges: self.exchanges,
            websockets: self.websockets,
            messages: self.messages,
            lost: self.lost,
            truncated: self.truncated,
            cut_off_exchanges: self.cut_off_exchanges,
            cut_off_messages: self.cut_off_messages,
            unclosed_websockets: self.unclosed_websockets,
            warnings: self.warnings,
            ..Summary::default()
        }
    }
}

impl Writer {
    /// Verifies and decodes the bodies that are left, writes the WebSockets that are still open, and completes the bundle.
    pub(super) fn finish(mut self) -> WriterSummary {
        self.pack_remaining();
        self.commit();
        self.end_open_websockets();
        let Self {
            bundle, mut finisher, rotation, mut finished, mut totals, mut unclosed_websockets, mut errors, ..
        } = self;
        if bundle.info.is_empty() && rotation.is_some_and(|rotation| rotation.has_rotated()) {
            bundle.discard();
        } else {
            finisher.submit(bundle, Moment::now());
        }
        let mut results = Results {
            finished: &mut finished,
            totals: &mut totals,
            unclosed_websockets: &mut unclosed_websockets,
            errors: &mut errors,
        };
        while let Some(report) = finisher.next() {
            results.bundle_finished(report);
        }
        WriterSummary {
            exchanges: totals.trace_count,
            websockets: totals.ws_connection_count,
            messages: totals.ws_message_count,
            lost: errors.lost(),
            truncated: errors.truncated(),
            cut_off_exchanges: self.cut_off_exchanges.items(),
            cut_off_messages: self.cut_off_messages.items(),
            unclosed_websockets: unclosed_websockets.items(),
            warnings: errors.warnings(),
            bundle: finished.last,
            backup: finished.backup,
            not_replaced: finished.not_replaced,
            bundles: finished.bundles,
        }
    }

    /// Ends the WebSockets that are open at the end of the capture.
    fn end_open_websockets(&mut self) {
        let mut open: Vec<_> = std::mem::take(&mut self.open_websockets).into_values().collect();
        sort_by_key(&mut open, &|websocket| websocket.number.into());
        for mut websocket in open {
            websocket.end(Some(CutOffCause::Stopped));
            if websocket.is_in_bundle() {
                self.bundle.unwritten_websockets.push(websocket);
            } else {
                self.results().websocket_ended(&websocket);
            }
        }
    }
}
