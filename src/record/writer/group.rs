//! Groups: entries of the archive that belong together. They are staged one by one, and committed together.
//!
//! ```text
//! stage ─▶ put ─▶ archive, in memory        commit ─▶ one write ─▶ settle each: count it, notify the observer
//!                                             └─ failed: roll back, then put and commit each group alone
//! ```

use super::Writer;
use super::error_log::{ErrorKind, MAX_FOUR_DIGITS, MAX_THREE_DIGITS};
use super::prepared::{PreparedExchange, PreparedMessage};
use super::websocket::WebSocketInfo;
use crate::bundle::archive::CompressionMethod;
use crate::bundle::id::{Id, ItemKind};
use crate::bundle::recovery_note::{self, RecoveryNote};
use crate::record::item::WebSocketKey;
use std::io;

/// Entries that are in the archive together, or not at all.
pub(super) enum Group {
    /// An exchange: its bodies and its JSON.
    Exchange(Box<PreparedExchange>),
    /// A WebSocket message: its payload and its JSON.
    Message(Box<PreparedMessage>),
    /// The JSON of a handshake that is in an earlier bundle.
    Handshake(Box<RepeatedHandshake>),
}

/// The handshake of a WebSocket that continues from an earlier bundle.
pub(super) struct RepeatedHandshake {
    pub(super) key: WebSocketKey,
    /// The number of its exchange.
    pub(super) number: u32,
    /// Milliseconds since the epoch.
    pub(super) started_ms: u64,
    pub(super) url: String,
    /// The JSON of its exchange.
    pub(super) json: Vec<u8>,
}

impl Writer {
    /// Puts `group` into the archive, where it waits for [`Writer::commit`].
    pub(super) fn stage(&mut self, group: Group) -> io::Result<()> {
        self.put(&group)?;
        self.bundle.staged.push(group);
        if self.bundle.archive.staged_bytes() >= MIN_COMMIT_BYTES {
            self.commit();
        }
        Ok(())
    }

    fn put(&mut self, group: &Group) -> io::Result<()> {
        let capture = if self.bundle.staged.is_empty() { self.bundle.first_note() } else { None };
        let opens = |key: WebSocketKey| {
            let WebSocketInfo { number, protocols, .. } = self.open_websockets.get(&key)?;
            Some(recovery_note::OpenedWebSocket { socket: *number, protocols: protocols.clone() })
        };
        let place = match group {
            Group::Exchange(prepared) => {
                let opens = prepared.websocket.as_ref().and_then(|opened| opens(opened.key));
                prepared.stage(&mut self.bundle.archive, &RecoveryNote { capture, opens }.encode())
            }
            Group::Handshake(handshake) => {
                let note = RecoveryNote { capture, opens: opens(handshake.key) }.encode();
                let name = ItemKind::Trace.json_name(&Id::Trace(handshake.number).to_string());
                let method = CompressionMethod::Deflated;
                self.bundle.archive.stage(|archive| archive.add(name, &handshake.json, method, &note))
            }
            Group::Message(message) => {
                message.stage(&mut self.bundle.archive, &RecoveryNote { capture, opens: None }.encode())
            }
        };
        place.map(drop)
    }

    /// Writes the staged groups. If that fails, each group is tried alone, so that an error loses only the groups it
    /// affects.
    pub(super) fn commit(&mut self) {
        let staged = std::mem::take(&mut self.bundle.staged);
        let is_written = self.bundle.archive.commit().is_ok();
        if !is_written {
            self.bundle.archive.rollback();
        }
        for group in staged {
            self.attempt(|writer| {
                if !is_written && let Err(cause) = writer.put_alone(&group) {
                    let Group::Handshake(handshake) = group else { return Err(cause) };
                    // It is not lost: an earlier bundle has it.
                    if let Some(websocket) = writer.open_websockets.get_mut(&handshake.key) {
                        websocket.handshake_failed();
                    }
                    return Ok(());
                }
                writer.settle(group);
                Ok(())
            });
        }
    }

    fn put_alone(&mut self, group: &Group) -> io::Result<()> {
        self.put(group)?;
        self.bundle.archive.commit().inspect_err(|_| self.bundle.archive.rollback())
    }

    /// Counts a group that is in the bundle now, and notifies the observer.
    fn settle(&mut self, group: Group) {
        self.errors.written(self.bundle.unwritten_websockets.len());
        match group {
            Group::Exchange(prepared) => {
                let number = prepared.number;
                if let Some(cut_off) = prepared.cut_off() {
                    self.cut_off_exchanges.add(Id::Trace(number), cut_off);
                }
                self.bundle.info.add_trace(number, prepared.started_ms, &prepared.url);
                self.totals.trace_count = self.totals.trace_count.saturating_add(1);
                let opened = prepared.websocket.as_ref();
                if let Some(websocket) = opened.and_then(|opened| self.open_websockets.get_mut(&opened.key)) {
                    let handshakes = self.rotation.as_mut().map(|rotation| &mut rotation.handshakes);
                    let stored = handshakes.and_then(|handshakes| Some(handshakes.add(&prepared.handshake_json()?)));
                    websocket.handshake_written(number, stored);
                }
                if number > MAX_FOUR_DIGITS {
                    self.errors.add(ErrorKind::LongExchangeIds, "");
                }
                self.errors.notify(&prepared.into_notice());
            }
            Group::Handshake(handshake) => {
                self.bundle.info.add_trace(handshake.number, handshake.started_ms, &handshake.url);
                if let Some(websocket) = self.open_websockets.get_mut(&handshake.key) {
                    websocket.handshake_written(handshake.number, None);
                }
            }
            Group::Message(message) => {
                let PreparedMessage { key, websocket_number, number, ended_ms, .. } = *message;
                if let Some(cut_off) = message.cut_off() {
                    self.cut_off_messages.add(Id::Message(websocket_number, number), cut_off);
                }
                self.bundle.info.add_message(websocket_number, number, ended_ms);
                self.totals.ws_message_count = self.totals.ws_message_count.saturating_add(1);
                if let Some(websocket) = self.open_websockets.get_mut(&key) {
                    websocket.message_written();
                }
                if number > MAX_THREE_DIGITS {
                    self.errors.add(ErrorKind::LongMessageIds, "");
                }
            }
        }
    }
}

/// Staged bytes are written from this amount on, or at the end of a batch of items.
const MIN_COMMIT_BYTES: u64 = 128 * 1024;
