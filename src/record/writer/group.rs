//! Groups: entries of the archive that belong together. They are staged one by one, and committed together.
//!
//! ```text
//! stage ─▶ put ─▶ archive, in memory        commit ─▶ one write ─▶ settle each: count it, notify the observer
//!                                             └─ failed: roll back, then put and commit each group alone
//! ```

use super::Writer;
use super::error_log::{ErrorKind, MAX_FOUR_DIGITS, MAX_THREE_DIGITS};
use super::prepared::{PreparedExchange, PreparedMessage};
use crate::bundle::id::Id;
use crate::bundle::recovery_note::{self, RecoveryNote};
use std::io;

/// Entries that are in the archive together, or not at all.
pub(super) enum Group {
    /// An exchange: its bodies and its JSON.
    Exchange(Box<PreparedExchange>),
    /// A WebSocket message: its payload and its JSON.
    Message(Box<PreparedMessage>),
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
        let place = match group {
            Group::Exchange(prepared) => {
                let opened = prepared.websocket.as_ref();
                let websocket = opened.and_then(|opened| self.open_websockets.get(&opened.key));
                let opens = websocket.map(|websocket| recovery_note::OpenedWebSocket {
                    socket: websocket.number,
                    protocols: websocket.protocols.clone(),
                });
                prepared.stage(&mut self.bundle.archive, &RecoveryNote { capture, opens }.encode())
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
                if !is_written {
                    writer.put(&group)?;
                    writer.bundle.archive.commit().inspect_err(|_| writer.bundle.archive.rollback())?;
                }
                writer.settle(group);
                Ok(())
            });
        }
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
                let opened = prepared.websocket.as_ref();
                if let Some(websocket) = opened.and_then(|opened| self.open_websockets.get_mut(&opened.key)) {
                    websocket.handshake = Some(Id::Trace(number));
                }
                if number > MAX_FOUR_DIGITS {
                    self.errors.add(ErrorKind::LongExchangeIds, "");
                }
                self.errors.notify(&prepared.into_notice());
            }
            Group::Message(message) => {
                let PreparedMessage { key, websocket_number, number, ended_ms, .. } = *message;
                if let Some(cut_off) = message.cut_off() {
                    self.cut_off_messages.add(Id::Message(websocket_number, number), cut_off);
                }
                self.bundle.info.add_message(websocket_number, number, ended_ms);
                if let Some(websocket) = self.open_websockets.get_mut(&key) {
                    websocket.written_messages = websocket.written_messages.saturating_add(1);
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
