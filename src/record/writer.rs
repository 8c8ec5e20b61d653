//! One thread writes down what all the others saw.
//!
//! ```text
//! Items ─▶ decode ─▶ bodies and JSON ─▶ staged ─▶ archive      one group each: whole in the bundle or not at all
//!   └─▶ packer (threads, if it takes long) ─▶┘      └─▶ session: counters, times ─▶ at the end: timeline, manifest
//! ```
//!
//! What comes in one batch is written by one system call. What cannot be written is counted as lost and the capture goes on;
//! if there is room again, so does the bundle.
//! Nothing here trusts an item: ids and names come from counters, and a panic costs the item it happened in.

use super::body::Store;
use super::item::{Exchange, Item, Message, WebSocketKey};
use super::queue::{MANY, Receiver};
use crate::bundle::archive::{Archive, FinishError, UnfinishedState, folder};
use crate::bundle::format::{self, Id};
use crate::bundle::recovery_note::{self, RecoveryNote};
use crate::bundle::session::{CaptureInfo, json};
use crate::clock::Moment;
use crate::config::Observer;
use crate::error::Error;
use crate::notice::{Notice, Warning};
use entry::{Effort, effort};
use error_log::{ErrorKind, ErrorLog};
use packer::{Ask, Done, Job, Packer};
use prepared::{Prepared, PreparedMessage};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

mod entry;
mod error_log;
mod packer;
mod prepared;

/// Writes a bundle.
pub(crate) struct Writer {
    archive: Archive,
    store: Arc<Store>,
    started: Moment,
    session: CaptureInfo,
    /// No body is decoded to more than this.
    max_body: u64,
    packer: Packer,
    /// What is staged in the archive, until it has left the process.
    staged: Vec<Group>,
    /// The last number given to a trace.
    last_trace: u32,
    /// The last number given to a WebSocket.
    last_socket: u32,
    open: HashMap<WebSocketKey, WebSocket>,
    /// WebSockets that ended while nothing could be written; tried again at the end, as their messages are there.
    owed: Vec<WebSocket>,
    errors: ErrorLog,
}

/// What a capture may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// About what the process may take.
    pub(crate) memory: u64,
    /// Decoded, each.
    pub(crate) max_body: u64,
}

/// What was written.
#[derive(Debug, Default)]
pub(crate) struct WriterSummary {
    pub(crate) exchanges: u64,
    pub(crate) websockets: u64,
    pub(crate) messages: u64,
    /// Exchanges, messages and sockets that could not be written.
    pub(crate) lost: u64,
    /// Bodies whose ends could not be kept.
    pub(crate) truncated: u64,
    /// What went wrong, a sentence each.
    pub(crate) warnings: Vec<Warning>,
    /// `None` if it could not be completed; `warnings` then says what there is instead.
    pub(crate) bundle: Option<PathBuf>,
}

impl Writer {
    /// Opens `output`'s part and leaves every file that was there as it is. If the writer is dropped before it ran, that
    /// part is gone again.
    pub(crate) fn create(output: &Path, limits: Limits, observer: Observer, started: Moment) -> Result<Self, Error> {
        let (archive, others) = Archive::create(output, started.since_epoch())?;
        let mut errors = ErrorLog::new(observer);
        for other in others {
            errors.add(ErrorKind::OtherPart(other), "");
        }
        Ok(Self {
            archive,
            store: Store::new(folder(output).to_owned(), usize::try_from(limits.memory / BODIES).unwrap_or(usize::MAX)),
            started,
            session: CaptureInfo::new(output, started.since_epoch()),
            max_body: limits.max_body,
            packer: Packer::start(limits.max_body),
            staged: Vec::new(),
            last_trace: 0,
            last_socket: 0,
            open: HashMap::new(),
            owed: Vec::new(),
            errors,
        })
    }

    /// Where the bundle is until it is finished.
    pub(crate) fn part(&self) -> &Path {
        self.archive.unfinished_path()
    }

    /// Where the bodies for this writer are to be kept.
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Writes all that comes until [`Item::Finish`] or until nobody is left to send, then completes the bundle.
    pub(crate) fn run(mut self, items: &Receiver<Item>) -> WriterSummary {
        let mut batch = VecDeque::new();
        let mut goes_on = true;
        while goes_on {
            goes_on = items.take(&mut batch, self.packer.is_busy().then_some(SOON));
            // So much traffic wants the processor for itself.
            self.archive.hurry(batch.len() >= MANY);
            for item in batch.drain(..) {
                goes_on &= !matches!(item, Item::Finish);
                self.take(|writer| writer.write(item));
            }
            while let Some(done) = self.packer.ready() {
                self.take_done(done);
            }
            self.commit();
        }
        self.finish()
    }

    /// Writes what another thread has prepared, or makes room for it.
    fn take_done(&mut self, done: Done) {
        match done {
            Done::Asks(Ask { entries, answer }) => {
                self.commit();
                // The thread waits for it.
                let _ = answer.send(self.archive.reserve(entries));
            }
            Done::Prepared(prepared) => self.take(|writer| writer.exchange_prepared(prepared)),
            Done::Panicked => self.errors.add(ErrorKind::Panic, ""),
        }
    }

    /// Lets `write` fail or panic without consequence for what comes after it.
    fn take(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) {
        match catch_unwind(AssertUnwindSafe(|| write(self))) {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => self.errors.add(ErrorKind::WriteFailed, &cause.to_string()),
            Err(_) => self.errors.add(ErrorKind::Panic, ""),
        }
    }

    fn write(&mut self, item: Item) -> io::Result<()> {
        match item {
            Item::Exchange(exchange) => self.exchange(*exchange),
            Item::Message(message) => self.message(message),
            Item::WebSocketEnd(key) => {
                // It tells how many of its messages were written.
                self.commit();
                self.open.remove(&key).map_or(Ok(()), |socket| self.socket(socket))
            }
            Item::Finish => Ok(()),
        }
    }

    fn exchange(&mut self, mut exchange: Exchange) -> io::Result<()> {
        // The messages of a WebSocket matter even if its handshake cannot be written.
        if let Some(opens) = &exchange.opens {
            self.last_socket = self.last_socket.saturating_add(1);
            let (started, url) = (exchange.started, exchange.url.clone());
            let protocols = opens.protocol.iter().cloned().collect();
            let socket = WebSocket { number: self.last_socket, started, url, protocols, ..WebSocket::default() };
            self.open.insert(opens.socket, socket);
        }
        let number = self.last_trace.saturating_add(1);
        let effort = exchange_effort(&exchange);
        if exchange.opens.is_none() && effort > Effort::Little {
            match self.packer.offer(Job { exchange, number }, effort) {
                Ok(()) => {
                    // Ids are in the order of completion, whatever is written first.
                    self.last_trace = number;
                    return Ok(());
                }
                Err(job) => exchange = job.exchange,
            }
        }
        self.exchange_prepared(Box::new(Prepared::new(exchange, number, self.max_body)))
    }

    fn exchange_prepared(&mut self, mut prepared: Box<Prepared>) -> io::Result<()> {
        prepared.is_filled(&mut self.archive)?;
        prepared.cut.iter().for_each(|cause| self.errors.add(ErrorKind::BodyTruncated, cause));
        let (number, opens) = (prepared.number, prepared.opens.is_some());
        self.stage(Group::Exchange(prepared))?;
        self.last_trace = self.last_trace.max(number);
        if opens {
            // What its messages are told of it has to be settled.
            self.commit();
        }
        Ok(())
    }

    fn message(&mut self, message: Message) -> io::Result<()> {
        let socket =
            self.open.get_mut(&message.socket).ok_or_else(|| io::Error::other("a message without a socket"))?;
        let number = socket.last_message.saturating_add(1);
        if let Some(damage) = message.payload.damaged() {
            self.errors.add(ErrorKind::BodyTruncated, &damage.cause.to_string());
        }
        let key = message.socket;
        let message = PreparedMessage::new(message, socket.number, number);
        self.stage(Group::Message(Box::new(message)))?;
        if let Some(socket) = self.open.get_mut(&key) {
            socket.last_message = number;
        }
        Ok(())
    }

    /// Puts `group` into the archive, where it waits for [`Writer::commit`].
    fn stage(&mut self, group: Group) -> io::Result<()> {
        self.put(&group)?;
        self.staged.push(group);
        if self.archive.uncommitted() >= WORTH_A_WRITE {
            self.commit();
        }
        Ok(())
    }

    fn put(&mut self, group: &Group) -> io::Result<()> {
        // The first JSON in the file says whose it is.
        let capture = (self.session.is_empty() && self.staged.is_empty()).then(|| self.capture_note());
        match group {
            Group::Exchange(prepared) => {
                let socket = prepared.opens.as_ref().and_then(|opens| self.open.get(&opens.socket));
                let opens =
                    socket.map(|s| recovery_note::OpenedWebSocket { socket: s.number, protocols: s.protocols.clone() });
                prepared.stage(&mut self.archive, &RecoveryNote { capture, opens }.encode())
            }
            Group::Message(message) => {
                message.stage(&mut self.archive, &RecoveryNote { capture, opens: None }.encode())
            }
        }
    }

    /// Hands what is staged to the system. If that fails each group is tried alone: a fault costs what it hits.
    fn commit(&mut self) {
        let staged = std::mem::take(&mut self.staged);
        let written = self.archive.commit().is_ok();
        if !written {
            self.archive.rollback();
        }
        for group in staged {
            self.take(|writer| {
                if !written {
                    writer.put(&group)?;
                    writer.archive.commit().inspect_err(|_| writer.archive.rollback())?;
                }
                writer.settle(group);
                Ok(())
            });
        }
    }

    /// Counts what is in the bundle now, and tells of it.
    fn settle(&mut self, group: Group) {
        self.errors.written(self.owed.len());
        match group {
            Group::Exchange(prepared) => {
                let number = prepared.number;
                self.session.trace(number, prepared.started, &prepared.url);
                if let Some(socket) = prepared.opens.as_ref().and_then(|opens| self.open.get_mut(&opens.socket)) {
                    socket.handshake = Some(Id::Trace(number));
                }
                if number > MOST_TRACES {
                    self.errors.add(ErrorKind::LongExchangeIds, "");
                }
                self.errors.notify(&prepared.notice());
            }
            Group::Message(message) => {
                let PreparedMessage { key, socket, number, at, .. } = *message;
                self.session.message(socket, number, at);
                if let Some(socket) = self.open.get_mut(&key) {
                    socket.messages = socket.messages.saturating_add(1);
                }
                if number > MOST_MESSAGES {
                    self.errors.add(ErrorKind::LongMessageIds, "");
                }
            }
        }
    }

    fn socket(&mut self, socket: WebSocket) -> io::Result<()> {
        let id = Id::WebSocket(socket.number);
        let described = format::WebSocket {
            id: id.to_string(),
            timestamp: socket.started,
            url: socket.url.clone(),
            handshake_trace_ref: socket.handshake.map(|id| id.to_string()),
            protocols: socket.protocols.clone(),
            message_count: socket.messages.into(),
            context_refs: Vec::new(),
        };
        let capture = self.session.is_empty().then(|| self.capture_note());
        let note = RecoveryNote { capture, opens: None }.encode();
        let written = self.archive.group(|archive| json(archive, format!("ws/{id}.json"), &described, &note));
        if let Err(cause) = written {
            self.owed.push(socket);
            return Err(cause);
        }
        self.errors.written(self.owed.len());
        self.session.websocket(socket.number, socket.started);
        self.errors.notify(&Notice::WebSocket { id: described.id, url: socket.url, messages: described.message_count });
        Ok(())
    }

    /// Whose the file is.
    fn capture_note(&self) -> recovery_note::CaptureIdentity {
        recovery_note::CaptureIdentity {
            id: self.session.capture_id.clone(),
            created: u64::try_from(self.started.since_epoch().as_micros()).unwrap_or(u64::MAX),
            name: self.session.name.clone(),
        }
    }

    fn finish(mut self) -> WriterSummary {
        while let Some(done) = self.packer.last() {
            self.take_done(done);
        }
        self.commit();
        // What could not be written before may go in now; those that end with the capture are written now.
        let mut sockets = std::mem::take(&mut self.owed);
        let again = u64::try_from(sockets.len()).unwrap_or(u64::MAX);
        self.errors.forget(ErrorKind::WriteFailed, again);
        sockets.extend(self.open.drain().map(|(_, socket)| socket));
        sockets.sort_by_key(|socket| socket.number);
        for socket in sockets {
            self.take(|writer| writer.socket(socket));
        }
        let mut bundle = None;
        match catch_unwind(AssertUnwindSafe(|| self.write_end())) {
            Ok(Ok(())) => match self.archive.finish() {
                Ok(output) => bundle = Some(output),
                Err(FinishError { path: part, state: UnfinishedState::Complete, cause }) => {
                    self.errors.add(ErrorKind::NotRenamed(part), &cause.to_string());
                }
                Err(FinishError { path: part, state: UnfinishedState::Truncated, cause }) => {
                    self.errors.add(ErrorKind::Unfinished(part), &cause.to_string());
                }
            },
            ended => {
                let cause = ended
                    .map_or_else(|_| "internal error".into(), |e| e.err().map_or_else(String::new, |e| e.to_string()));
                self.errors.add(ErrorKind::Unfinished(self.archive.unfinished_path().to_owned()), &cause);
            }
        }
        WriterSummary {
            exchanges: self.session.traces,
            websockets: self.session.websockets,
            messages: self.session.messages,
            lost: self.errors.lost(),
            truncated: self.errors.truncated(),
            warnings: self.errors.warnings(),
            bundle,
        }
    }

    fn write_end(&mut self) -> io::Result<()> {
        if !self.owed.is_empty() {
            // Messages of no socket are not what readers expect; recovery knows the sockets from their handshakes.
            return Err(io::Error::other("a WebSocket could not be written"));
        }
        let duration = Moment::now().since(self.started).as_millis();
        self.session.write(&mut self.archive, u64::try_from(duration).unwrap_or(u64::MAX))
    }
}

/// A WebSocket until its end: counters, and what its JSON will say.
#[derive(Default)]
struct WebSocket {
    number: u32,
    started: u64,
    url: String,
    protocols: Vec<String>,
    handshake: Option<Id>,
    /// The last number given to a message.
    last_message: u32,
    /// How many were written.
    messages: u32,
}

/// What belongs together in the archive.
enum Group {
    Exchange(Box<Prepared>),
    Message(Box<PreparedMessage>),
}

fn exchange_effort(exchange: &Exchange) -> Effort {
    let answer = exchange.response.as_ref().map(|head| effort(&exchange.response_body, &head.headers));
    answer.unwrap_or(Effort::Little).max(effort(&exchange.request_body, &exchange.request_headers))
}

/// Readers expect ids of four digits.
const MOST_TRACES: u32 = 9999;

/// Readers expect numbers of three digits.
const MOST_MESSAGES: u32 = 999;

/// What another thread has prepared, or asks for, waits so long at most.
const SOON: Duration = Duration::from_millis(20);

/// What is staged goes to the system when it comes to so much, or at the end of its batch.
const WORTH_A_WRITE: u64 = 128 * 1024;

/// Bodies go to the archive in pieces of at most this size.
const BUFFER: usize = 64 * 1024;

/// The part of the memory that bodies may take; threads, TLS and what slow peers have yet to take need the rest.
const BODIES: u64 = 8;

#[cfg(test)]
mod tests;
