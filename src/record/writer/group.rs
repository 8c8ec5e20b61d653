//! Groups: entries of the archive that belong together. They are staged one by one, and committed together.
//!
//! ```text
//! write ─▶ stage ─▶ archive, in memory        commit ─▶ one write ─▶ settle each: count it, notify the observer
//!   └─ large: copied in steps ─┘                └─ failed: roll back, then stage and commit each group alone
//! ```

use super::Failure;
use super::Writer;
use super::backlog::BacklogRecord;
use super::body_entry::{BodyEntry, Task};
use super::error_log::{ErrorKind, MAX_FOUR_DIGITS, MAX_THREE_DIGITS};
use super::packing::{Packing, PackingTools};
use super::prepared::PreparedExchange;
use super::prepared_message::PreparedMessage;
use super::replacement::{CutOffChange, Replacement};
use crate::bundle::archive::{CompressionMethod, GroupPlace};
use crate::bundle::id::{Id, ItemKind};
use crate::bundle::recovery_note::{self, RecoveryNote};
use crate::memory::Charge;
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
    /// An exchange that takes the place of a committed one.
    Replacement(Box<Replacement>),
}

/// A group whose large bodies are copied into the archive in steps. Its memory besides their bytes counts as queued, so that
/// connections wait if there are many.
pub(super) struct Copying {
    pub(super) group: Group,
    charge: Charge,
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

impl Group {
    /// Returns the bodies.
    fn bodies(&self) -> &[BodyEntry] {
        match self {
            Self::Exchange(prepared) => &prepared.bodies,
            Self::Message(message) => std::slice::from_ref(&message.payload),
            Self::Handshake(_) => &[],
            Self::Replacement(replacement) => &replacement.bodies,
        }
    }

    /// Returns the bodies.
    fn bodies_mut(&mut self) -> &mut [BodyEntry] {
        match self {
            Self::Exchange(prepared) => &mut prepared.bodies,
            Self::Message(message) => std::slice::from_mut(&mut message.payload),
            Self::Handshake(_) => &mut [],
            Self::Replacement(replacement) => &mut replacement.bodies,
        }
    }

    /// True if a body is left to compress or to decode.
    pub(super) fn needs_packing(&self) -> bool {
        self.bodies().iter().any(|body| matches!(body.task(), Task::Compress | Task::Decode))
    }

    /// True if all that is left can be done after it was written: it has no body to compress, and can be replaced.
    pub(super) fn can_be_packed_later(&self) -> bool {
        matches!(self, Self::Exchange(_)) && !self.bodies().iter().any(|body| body.task() == Task::Compress)
    }

    /// Compresses and decodes its bodies.
    pub(super) fn pack(&mut self, packing: &Packing, tools: &mut PackingTools) {
        self.bodies_mut().iter_mut().for_each(|body| body.pack(packing, tools));
    }

    /// True if it can be written to its bundle after the next one was begun: it has no WebSocket.
    pub(super) fn can_settle_later(&self) -> bool {
        match self {
            Self::Exchange(prepared) => prepared.websocket.is_none(),
            Self::Replacement(_) => true,
            Self::Message(_) | Self::Handshake(_) => false,
        }
    }

    /// Returns the size in memory, or in the spill file.
    pub(super) fn size(&self) -> usize {
        let bodies = self.bodies().iter().map(BodyEntry::source_len).fold(0, u64::saturating_add);
        usize::try_from(bodies).unwrap_or(usize::MAX).saturating_add(self.head_bytes())
    }

    /// Returns the size in memory without bodies.
    fn head_bytes(&self) -> usize {
        match self {
            Self::Exchange(prepared) => size_of::<PreparedExchange>().saturating_add(prepared.head_bytes()),
            Self::Message(_) => size_of::<PreparedMessage>(),
            Self::Handshake(handshake) => size_of::<RepeatedHandshake>().saturating_add(handshake.json.len()),
            Self::Replacement(replacement) => size_of::<Replacement>().saturating_add(replacement.head_bytes()),
        }
    }
}

impl Writer {
    /// Writes `group` as it is. A large body is copied in steps.
    pub(super) fn write_group(&mut self, group: Group) {
        if let Group::Exchange(prepared) = &group {
            prepared.truncation_causes.iter().for_each(|cause| self.errors.add(ErrorKind::BodyTruncated, cause));
        }
        if group.bodies().iter().any(BodyEntry::needs_steps) {
            let pieces = group.bodies().iter().map(BodyEntry::piece_bytes).fold(0, usize::saturating_add);
            let charge = Charge::new(&self.queued, group.head_bytes().saturating_add(pieces));
            let steps = group.bodies().iter().map(BodyEntry::steps).fold(0, u64::saturating_add);
            self.added_steps = self.added_steps.saturating_add(steps);
            self.bundle.copies.push_back(Copying { group, charge });
            return;
        }
        self.stage(group);
    }

    /// Puts `group` into the archive, where it waits for [`Writer::commit`].
    pub(super) fn stage(&mut self, group: Group) {
        if let Group::Message(message) = &group {
            self.repeat_handshake(message.key);
        }
        match self.guard(|writer| writer.put(&group)) {
            Ok(place) => self.bundle.staged.push((group, place)),
            Err(failure) => self.lose(group, failure),
        }
        if self.bundle.archive.staged_bytes() >= MIN_COMMIT_BYTES {
            self.commit();
        }
    }

    fn put(&mut self, group: &Group) -> io::Result<GroupPlace> {
        let capture = if self.bundle.staged.is_empty() { self.bundle.first_note() } else { None };
        let opens = |key: WebSocketKey| {
            let websocket = self.open_websockets.get(&key)?;
            Some(recovery_note::OpenedWebSocket { socket: websocket.number, protocols: websocket.protocols.clone() })
        };
        match group {
            Group::Exchange(prepared) => {
                let opens = prepared.websocket.as_ref().and_then(|opened| opens(opened.key));
                prepared.stage(&mut self.bundle.archive, &RecoveryNote { capture, opens }.encode())
            }
            Group::Handshake(handshake) => {
                let note = RecoveryNote { capture, opens: opens(handshake.key) }.encode();
                let name = ItemKind::Trace.json_name(&Id::Trace(handshake.number).to_string());
                let method = CompressionMethod::Deflated;
                self.bundle.archive.stage(|archive| archive.add(&name, &handshake.json, method, &note))
            }
            Group::Message(message) => {
                message.stage(&mut self.bundle.archive, &RecoveryNote { capture, opens: None }.encode())
            }
            Group::Replacement(replacement) => replacement.stage(&mut self.bundle.archive),
        }
    }

    /// Writes the staged groups. If that fails, each group is tried alone, so that an error loses only the groups it
    /// affects.
    pub(super) fn commit(&mut self) {
        let mut staged = std::mem::take(&mut self.bundle.staged);
        let is_written = self.bundle.archive.commit().is_ok();
        if !is_written {
            self.bundle.archive.rollback();
        }
        for (group, place) in staged.drain(..) {
            let place = if is_written { Ok(place) } else { self.guard(|writer| writer.put_alone(&group)) };
            match place {
                Ok(place) => self.settle(group, place),
                Err(failure) => self.lose(group, failure),
            }
        }
        // Settling stages nothing. The buffer is kept for the next groups.
        self.bundle.staged = staged;
        self.write_ended_websockets();
        self.publish();
    }

    fn put_alone(&mut self, group: &Group) -> io::Result<GroupPlace> {
        let place = self.put(group)?;
        self.bundle.archive.commit().inspect_err(|_| self.bundle.archive.rollback())?;
        Ok(place)
    }

    /// Copies the next piece of a large body. While the queue has no memory left, copies as many as the last items have added: each
    /// item that is sent nevertheless adds a body otherwise, however slow the disk.
    pub(super) fn copy_steps(&mut self) {
        let mut left = std::mem::take(&mut self.added_steps);
        while self.copy_step() && left > 0 && self.queued.held() >= self.queued.limit() {
            left = left.saturating_sub(1);
        }
    }

    /// Copies the next piece of a large body. Returns false if there is none.
    pub(super) fn copy_step(&mut self) -> bool {
        let Some(Copying { mut group, charge }) = self.bundle.copies.pop_front() else { return false };
        // Reserving space commits, and a group that is committed has to be settled.
        self.commit();
        let step = self.guard(|writer| match group.bodies_mut().iter_mut().find(|body| body.needs_steps()) {
            Some(body) => body.copy_step(&mut writer.bundle.archive).map(|()| true),
            None => Ok(false),
        });
        match step {
            Ok(true) => self.bundle.copies.push_front(Copying { group, charge }),
            Ok(false) => self.stage(group),
            Err(failure) => {
                group.bodies_mut().iter_mut().rev().for_each(|body| body.cancel_reservation(&mut self.bundle.archive));
                self.lose(group, failure);
            }
        }
        true
    }

    /// Counts a group that is in the bundle now, and notifies the observer.
    fn settle(&mut self, group: Group, place: GroupPlace) {
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
                let tasks = prepared.bodies.each_ref().map(BodyEntry::task);
                if tasks.iter().any(|task| matches!(task, Task::Verify | Task::Decode)) {
                    let bytes = prepared.bodies.iter().map(BodyEntry::source_len).fold(0, u64::saturating_add);
                    self.bundle.backlog.push(BacklogRecord { number, place, tasks, bytes });
                }
                // The observer may read the counts.
                self.publish();
                self.errors.notify(&prepared.into_notice());
            }
            Group::Message(message) => {
                let PreparedMessage { key, websocket_number, number, ended_ms, .. } = *message;
                if let Some(cut_off) = message.cut_off() {
                    self.cut_off_messages.add(Id::Message(websocket_number, number), cut_off);
                }
                self.bundle.info.add_message(websocket_number, number, ended_ms);
                self.totals.ws_message_count = self.totals.ws_message_count.saturating_add(1);
                self.message_written(key);
                if number > MAX_THREE_DIGITS {
                    self.errors.add(ErrorKind::LongMessageIds, "");
                }
            }
            Group::Handshake(handshake) => {
                self.bundle.info.add_trace(handshake.number, handshake.started_ms, &handshake.url);
                if let Some(websocket) = self.open_websockets.get_mut(&handshake.key) {
                    websocket.handshake_written(handshake.number, None);
                }
            }
            Group::Replacement(replacement) => {
                let id = Id::Trace(replacement.record.number);
                match replacement.cut_off_change {
                    Some(CutOffChange::New(cut_off)) => self.cut_off_exchanges.add(id, cut_off),
                    Some(CutOffChange::Changed(cut_off)) => self.cut_off_exchanges.update(id, cut_off),
                    None => {}
                }
            }
        }
    }

    /// Counts a group that is not in the bundle. A committed group that is good enough stays; one that must not stay is tried
    /// again at the end.
    fn lose(&mut self, group: Group, failure: Failure) {
        match group {
            Group::Exchange(_) => self.log(failure),
            Group::Message(message) => {
                self.log(failure);
                self.message_lost(message.key);
            }
            // It is not lost: an earlier bundle has it.
            Group::Handshake(handshake) => {
                if let Some(websocket) = self.open_websockets.get_mut(&handshake.key) {
                    websocket.handshake_failed();
                }
            }
            Group::Replacement(replacement) if replacement.is_needed => self.bundle.retries.push(replacement.record),
            // All its claims are true.
            Group::Replacement(replacement) => self.confirm(&replacement.record),
        }
    }
}

/// Staged bytes are written from this amount on, or at the end of a batch of items.
const MIN_COMMIT_BYTES: u64 = 96 * 1024;
