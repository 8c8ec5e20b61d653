//! The results of finished bundles and ended WebSockets: counts for the summary, notices, and errors.

use super::Writer;
use super::bundle_file::Unfinished;
use super::cut_offs::CutOffs;
use super::error_log::{ErrorKind, ErrorLog};
use super::finisher::FinishReport;
use super::websocket::WebSocketInfo;
use crate::bundle::archive::Finished;
use crate::bundle::format::Stats;
use crate::bundle::id::Id;
use crate::notice::{Bundles, Notice};
use crate::record::cut_off::MessageCutOff;
use std::path::PathBuf;

/// The bundles of a capture that were finished.
#[derive(Default)]
pub(super) struct FinishedBundles {
    /// True if the capture rotates: only then bundles are counted and reported.
    pub(super) is_rotating: bool,
    pub(super) bundles: Bundles,
    /// The path of the last one that was completed.
    pub(super) last: Option<PathBuf>,
    /// The path of the bundle that it replaced.
    pub(super) backup: Option<PathBuf>,
    /// The bundle that was not replaced, because the capture has no items.
    pub(super) not_replaced: Option<PathBuf>,
}

/// The state of a capture that a finished bundle or an ended WebSocket changes.
pub(super) struct Results<'w> {
    pub(super) finished: &'w mut FinishedBundles,
    pub(super) totals: &'w mut Stats,
    pub(super) unclosed_websockets: &'w mut CutOffs<MessageCutOff>,
    pub(super) errors: &'w mut ErrorLog,
}

impl Writer {
    pub(super) fn results(&mut self) -> Results<'_> {
        let Self { finished, totals, unclosed_websockets, errors, .. } = self;
        Results { finished, totals, unclosed_websockets, errors }
    }

    /// Reports the bundles that were finished meanwhile.
    pub(super) fn report_finished(&mut self) {
        while let Some(report) = self.finisher.try_next() {
            self.results().bundle_finished(report);
        }
    }
}

impl Results<'_> {
    /// Counts a WebSocket that ended, and notifies the observer.
    pub(super) fn websocket_ended(&mut self, websocket: &WebSocketInfo) {
        let WebSocketInfo { number, cut_off, written_messages: messages, .. } = *websocket;
        self.totals.ws_connection_count = self.totals.ws_connection_count.saturating_add(1);
        if let Some(cut_off) = cut_off {
            self.unclosed_websockets.add(Id::WebSocket(number), cut_off);
        }
        let (id, url) = (Id::WebSocket(number).to_string(), websocket.url.clone());
        self.errors.notify(&Notice::WebSocket { id, url, messages, cut_off });
    }

    /// Counts a bundle that was finished, and notifies the observer.
    pub(super) fn bundle_finished(&mut self, report: FinishReport) {
        let FinishReport { bundle, deleted } = report;
        for websocket in bundle.websockets {
            if websocket.write_failed {
                // It was tried again with success, so the failure that was counted for it no longer holds.
                self.errors.forget(ErrorKind::WriteFailed, 1);
            }
            self.errors.written(0);
            if websocket.has_ended {
                self.websocket_ended(&websocket);
            }
        }
        for (websocket, cause) in bundle.failed_websockets {
            if !websocket.write_failed {
                self.errors.add(ErrorKind::WriteFailed, &cause.to_string());
            }
        }
        let bundles = &mut self.finished.bundles;
        let path = match bundle.result {
            Ok(Finished { path, backup }) => {
                self.finished.backup = backup;
                path
            }
            Err(Unfinished::Discarded(path)) => return self.finished.not_replaced = Some(path),
            Err(Unfinished::Error(kind, cause)) => {
                if let ErrorKind::Copied { part, .. } | ErrorKind::Lost(part) = &kind {
                    self.errors.forget_loss(part);
                }
                bundles.unfinished = bundles.unfinished.saturating_add(u64::from(self.finished.is_rotating));
                return self.errors.add(kind, &cause);
            }
        };
        self.finished.last = Some(path.clone());
        if !self.finished.is_rotating {
            return;
        }
        bundles.completed = bundles.completed.saturating_add(1);
        bundles.last.push(path.clone());
        if bundles.last.len() > MAX_LISTED_BUNDLES {
            bundles.last.remove(0);
        }
        let Stats { trace_count: exchanges, ws_connection_count: websockets, .. } = bundle.stats;
        let messages = bundle.stats.ws_message_count;
        self.errors.notify(&Notice::BundleFinished { path, exchanges, websockets, messages });
        for (path, result) in deleted {
            match result {
                Ok(()) => {
                    bundles.deleted = bundles.deleted.saturating_add(1);
                    bundles.last.retain(|last| *last != path);
                    self.errors.notify(&Notice::BundleDeleted { path });
                }
                Err(e) => self.errors.add(ErrorKind::NotDeleted, &format!("{}: {e}", path.display())),
            }
        }
    }
}

/// The summary lists this many bundles. More are only counted.
const MAX_LISTED_BUNDLES: usize = 10;
