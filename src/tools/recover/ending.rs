//! Writes the end of a recovered bundle, as the capture would have: WebSockets, timeline, manifest.

use super::failure::Failure;
use super::groups::id_of;
use super::recovery::Recovery;
use crate::bundle::format::{CAPTURE_METHOD, Manifest, WebSocket};
use crate::bundle::id::{Id, ItemKind};
use crate::bundle::iso8601;
use crate::bundle::json::add_json_with;
use crate::bundle::recovery_note::CaptureIdentity;
use crate::bundle::uuid;
use std::time::Duration;

impl Recovery<'_> {
    /// Writes the end of the bundle, as the capture would have: WebSockets, timeline, manifest.
    pub(super) fn end(&mut self) -> Result<(), Failure> {
        for (number, known) in std::mem::take(&mut self.websockets) {
            let description = known.description.unwrap_or_else(|| WebSocket {
                timestamp: known.first_message.unwrap_or_default(),
                url: UNKNOWN_URL.into(),
                ..WebSocket::default()
            });
            let websocket = WebSocket {
                id: Id::WebSocket(number).to_string(),
                handshake_trace_ref: description.handshake_trace_ref.filter(|id| self.has_trace(id)),
                message_count: known.message_count,
                ..description
            };
            let name = ItemKind::WebSocket.json_name(&websocket.id);
            let written = self.archive.group(|archive| add_json_with(archive, name, &websocket, &websocket.others));
            written.map_err(Failure::Write)?;
            self.info.add_websocket(number, websocket.timestamp);
        }
        let start = self.identify();
        let span = self.latest.saturating_sub(start);
        let known = self.manifest.take();
        let duration_ms = known.as_ref().map_or(span, |manifest| manifest.duration_ms);
        let known =
            known.unwrap_or_else(|| Manifest { capture_method: Some(CAPTURE_METHOD.into()), ..Manifest::default() });
        let manifest = Manifest {
            capture_id: self.info.capture_id.clone(),
            created_at: self.info.created_at.clone(),
            duration_ms,
            ..known
        };
        self.info.write_with(&mut self.archive, manifest).map_err(Failure::Write)
    }

    /// Sets the id, time and name of the capture from its recovery note or manifest. Returns its start in milliseconds
    /// since the epoch.
    fn identify(&mut self) -> u64 {
        let (capture_id, created_at, name, start) = match (self.capture.take(), &self.manifest) {
            (Some(CaptureIdentity { id, created, name }), _) => {
                (id, iso8601::micros(Duration::from_micros(created)), name, created / 1000)
            }
            (None, Some(manifest)) => {
                (manifest.capture_id.clone(), manifest.created_at.clone(), manifest.app.name.clone(), self.earliest)
            }
            // The capture started at its first item at the latest.
            (None, None) => {
                let first = self.earliest.min(self.latest);
                (String::new(), iso8601::micros(Duration::from_millis(first)), String::new(), first)
            }
        };
        if uuid::is_uuid(&capture_id) {
            self.info.capture_id = capture_id;
        }
        self.info.created_at = created_at;
        if !name.is_empty() {
            self.info.name = name;
        }
        start
    }

    fn has_trace(&self, id: &str) -> bool {
        let trace = id_of(&ItemKind::Trace.json_name(id));
        trace.is_some_and(|trace| self.items.contains(trace))
    }
}

/// The URL of a WebSocket of which only messages are left. `.invalid` names no host (RFC 2606 section 2).
pub(super) const UNKNOWN_URL: &str = "ws://unknown.invalid/";
