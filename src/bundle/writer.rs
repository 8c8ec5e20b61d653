//! One thread writes down what all the others saw.
//!
//! ```text
//! Item ─▶ decode ─▶ bodies and JSON ─▶ archive      one group each: whole in the bundle or not at all
//!   └─▶ packer (a thread, if it takes long) ─▶┘
//!              └─▶ session: counters, times ─▶ at the end: timeline, manifest
//! ```
//!
//! What cannot be written is counted as lost and the capture goes on; if there is room again, so does the bundle.
//! Nothing here trusts an item: ids and names come from counters, and a panic costs the item it happened in.

use super::archive::{Archive, PartState, Unplaced, folder};
use super::body::Store;
use super::format::{self, Id};
use super::item::{Exchange, Item, Message, SocketKey};
use super::note::{self, Note};
use super::session::{Session, json};
use crate::clock::Moment;
use crate::config::Observer;
use crate::error::Error;
use crate::notice::Notice;
use crate::wire::tap::{Dir, Opcode};
use entry::{Entry, takes_long};
use packer::{Done, Job, Packer};
use prepared::Prepared;
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use troubles::{Trouble, Troubles};

mod entry;
mod packer;
mod prepared;
mod troubles;

/// Writes a bundle.
pub(crate) struct Writer {
    archive: Archive,
    store: Arc<Store>,
    started: Moment,
    session: Session,
    /// No body is decoded to more than this.
    max_body: u64,
    packer: Packer,
    /// The last number given to a trace.
    last_trace: u32,
    /// The last number given to a WebSocket.
    last_socket: u32,
    open: HashMap<SocketKey, Socket>,
    /// WebSockets that ended while nothing could be written; tried again at the end, as their messages are there.
    owed: Vec<Socket>,
    troubles: Troubles,
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
pub(crate) struct Tally {
    pub(crate) traces: u64,
    pub(crate) sockets: u64,
    pub(crate) messages: u64,
    /// Exchanges, messages and sockets that could not be written.
    pub(crate) lost: u64,
    /// Bodies whose ends could not be kept.
    pub(crate) cut: u64,
    /// What went wrong, a sentence each.
    pub(crate) troubles: Vec<String>,
    /// `None` if it could not be completed; `troubles` then says what there is instead.
    pub(crate) bundle: Option<PathBuf>,
}

impl Writer {
    /// Opens `output`'s part and leaves every file that was there as it is. If the writer is dropped before it ran, that
    /// part is gone again.
    pub(crate) fn create(output: &Path, limits: Limits, observer: Observer, started: Moment) -> Result<Self, Error> {
        let (archive, others) = Archive::create(output, started.since_epoch())?;
        let mut troubles = Troubles::new(observer);
        for other in others {
            troubles.add(Trouble::OtherPart(other), "");
        }
        Ok(Self {
            archive,
            store: Store::new(folder(output).to_owned(), usize::try_from(limits.memory / BODIES).unwrap_or(usize::MAX)),
            started,
            session: Session::new(output, started.since_epoch()),
            max_body: limits.max_body,
            packer: Packer::start(limits.max_body),
            last_trace: 0,
            last_socket: 0,
            open: HashMap::new(),
            owed: Vec::new(),
            troubles,
        })
    }

    /// Where the bundle is until it is finished.
    pub(crate) fn part(&self) -> &Path {
        self.archive.part()
    }

    /// Where the bodies for this writer are to be kept.
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Writes all that comes until [`Item::Finish`] or until nobody is left to send, then completes the bundle.
    pub(crate) fn run(mut self, items: &Receiver<Item>) -> Tally {
        loop {
            let item = if self.packer.is_busy() { items.recv_timeout(SOON) } else { items.recv().map_err(Into::into) };
            match item {
                Ok(Item::Finish) | Err(RecvTimeoutError::Disconnected) => break self.finish(),
                Ok(item) => self.take(|writer| writer.write(item)),
                Err(RecvTimeoutError::Timeout) => {}
            }
            while let Some(done) = self.packer.ready() {
                self.take_done(done);
            }
        }
    }

    /// Writes what the other thread has prepared.
    fn take_done(&mut self, done: Done) {
        match done {
            Some(prepared) => self.take(|writer| writer.add(prepared).map(Some)),
            None => self.troubles.add(Trouble::Panic, ""),
        }
    }

    /// Lets `write` fail or panic without consequence for what comes after it.
    fn take(&mut self, write: impl FnOnce(&mut Self) -> io::Result<Option<Notice>>) {
        match catch_unwind(AssertUnwindSafe(|| write(self))) {
            Ok(Ok(Some(notice))) => self.troubles.tell(&notice),
            Ok(Ok(None)) => {}
            Ok(Err(cause)) => self.troubles.add(Trouble::Unwritten, &cause.to_string()),
            Err(_) => self.troubles.add(Trouble::Panic, ""),
        }
    }

    fn write(&mut self, item: Item) -> io::Result<Option<Notice>> {
        match item {
            Item::Exchange(exchange) => self.exchange(*exchange),
            Item::Message(message) => self.message(message).map(|()| None),
            Item::SocketEnd(key) => self.open.remove(&key).map(|socket| self.socket(socket)).transpose(),
            Item::Finish => Ok(None),
        }
    }

    /// Nothing to tell yet if it takes long.
    fn exchange(&mut self, mut exchange: Exchange) -> io::Result<Option<Notice>> {
        // The messages of a WebSocket matter even if its handshake cannot be written.
        if let Some(opens) = &exchange.opens {
            self.last_socket = self.last_socket.saturating_add(1);
            let (started, url) = (exchange.started, exchange.url.clone());
            let protocols = opens.protocol.iter().cloned().collect();
            let socket = Socket { number: self.last_socket, started, url, protocols, ..Socket::default() };
            self.open.insert(opens.socket, socket);
        }
        let number = self.last_trace.saturating_add(1);
        if exchange.opens.is_none() && exchange_takes_long(&exchange) {
            match self.packer.offer(Job { exchange, number }) {
                Ok(()) => {
                    // Ids are in the order of completion, whatever is written first.
                    self.last_trace = number;
                    return Ok(None);
                }
                Err(job) => exchange = job.exchange,
            }
        }
        self.add(Prepared::new(exchange, number, self.max_body)).map(Some)
    }

    fn add(&mut self, prepared: Prepared) -> io::Result<Notice> {
        prepared.cut.iter().for_each(|cause| self.troubles.add(Trouble::CutBody, cause));
        let key = prepared.opens.as_ref().map(|opens| opens.socket);
        let socket = key.and_then(|key| self.open.get(&key));
        let opens = socket.map(|s| note::Opens { socket: s.number, protocols: s.protocols.clone() });
        let note = Note { opens, ..self.session_note() };
        prepared.write(&mut self.archive, &note.encode())?;
        let Prepared { number, trace, notice, .. } = prepared;
        self.last_trace = self.last_trace.max(number);
        self.session.trace(number, trace.timestamp, &trace.request.url);
        if let Some(socket) = key.and_then(|key| self.open.get_mut(&key)) {
            socket.handshake = Some(Id::Trace(number));
        }
        if number > MOST_TRACES {
            self.troubles.add(Trouble::ManyTraces, "");
        }
        Ok(notice)
    }

    fn message(&mut self, message: Message) -> io::Result<()> {
        let note = self.session_note().encode();
        let socket =
            self.open.get_mut(&message.socket).ok_or_else(|| io::Error::other("a message without a socket"))?;
        let number = socket.messages.saturating_add(1);
        let id = Id::Message(socket.number, number);
        if let Some(damage) = message.payload.damaged() {
            self.troubles.add(Trouble::CutBody, &damage.cause.to_string());
        }
        let payload = Entry::plain(message.payload, || format!("{id}.bin"));
        let described = format::Message {
            id: id.to_string(),
            connection_ref: Id::Socket(socket.number).to_string(),
            timestamp: message.at,
            direction: direction(message.dir).into(),
            opcode: opcode(message.opcode).into(),
            payload_file: payload.file.clone(),
            payload_size: payload.size,
            context_refs: Vec::new(),
        };
        self.archive.group(|archive| {
            payload.write(archive, "ws")?;
            json(archive, &format!("ws/{id}.json"), &described, &note)
        })?;
        socket.messages = number;
        self.session.message(socket.number, number, message.at);
        if number > MOST_MESSAGES {
            self.troubles.add(Trouble::ManyMessages, "");
        }
        Ok(())
    }

    fn socket(&mut self, socket: Socket) -> io::Result<Notice> {
        let id = Id::Socket(socket.number);
        let described = format::Socket {
            id: id.to_string(),
            timestamp: socket.started,
            url: socket.url.clone(),
            handshake_trace_ref: socket.handshake.map(|id| id.to_string()),
            protocols: socket.protocols.clone(),
            message_count: socket.messages.into(),
            context_refs: Vec::new(),
        };
        let note = self.session_note().encode();
        let written = self.archive.group(|archive| json(archive, &format!("ws/{id}.json"), &described, &note));
        if let Err(cause) = written {
            self.owed.push(socket);
            return Err(cause);
        }
        self.session.socket(socket.number, socket.started);
        Ok(Notice::Socket { id: described.id, url: socket.url, messages: described.message_count })
    }

    /// The first JSON in the file says whose it is.
    fn session_note(&self) -> Note {
        let capture = self.session.is_empty().then(|| note::Capture {
            id: self.session.capture_id.clone(),
            created: u64::try_from(self.started.since_epoch().as_micros()).unwrap_or(u64::MAX),
            name: self.session.name.clone(),
        });
        Note { capture, opens: None }
    }

    fn finish(mut self) -> Tally {
        for done in self.packer.finish() {
            self.take_done(done);
        }
        // What could not be written before may go in now; those that end with the capture are written now.
        let mut sockets = std::mem::take(&mut self.owed);
        let again = u64::try_from(sockets.len()).unwrap_or(u64::MAX);
        self.troubles.forget(Trouble::Unwritten, again);
        sockets.extend(self.open.drain().map(|(_, socket)| socket));
        sockets.sort_by_key(|socket| socket.number);
        for socket in sockets {
            self.take(|writer| writer.socket(socket).map(Some));
        }
        let mut bundle = None;
        match catch_unwind(AssertUnwindSafe(|| self.write_end())) {
            Ok(Ok(())) => match self.archive.finish() {
                Ok(output) => bundle = Some(output),
                Err(Unplaced { part, state: PartState::Whole, cause }) => {
                    self.troubles.add(Trouble::Unnamed(part), &cause.to_string());
                }
                Err(Unplaced { part, state: PartState::Cut, cause }) => {
                    self.troubles.add(Trouble::Unfinished(part), &cause.to_string());
                }
            },
            ended => {
                let cause = ended.map_or_else(
                    |_| "a defect of this program".into(),
                    |e| e.err().map_or_else(String::new, |e| e.to_string()),
                );
                self.troubles.add(Trouble::Unfinished(self.archive.part().to_owned()), &cause);
            }
        }
        Tally {
            traces: self.session.traces,
            sockets: self.session.sockets,
            messages: self.session.messages,
            lost: self.troubles.lost(),
            cut: self.troubles.cut(),
            troubles: self.troubles.sentences(),
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
struct Socket {
    number: u32,
    started: u64,
    url: String,
    protocols: Vec<String>,
    handshake: Option<Id>,
    messages: u32,
}

fn exchange_takes_long(exchange: &Exchange) -> bool {
    let answer = exchange.response.as_ref().is_ok_and(|head| takes_long(&exchange.response_body, &head.headers));
    answer || takes_long(&exchange.request_body, &exchange.request.headers)
}

fn direction(dir: Dir) -> &'static str {
    match dir {
        Dir::Up => "send",
        Dir::Down => "receive",
    }
}

fn opcode(opcode: Opcode) -> &'static str {
    match opcode {
        Opcode::Text => "text",
        Opcode::Binary => "binary",
        Opcode::Ping => "ping",
        Opcode::Pong => "pong",
        Opcode::Close => "close",
    }
}

/// Readers expect ids of four digits.
const MOST_TRACES: u32 = 9999;

/// Readers expect numbers of three digits.
const MOST_MESSAGES: u32 = 999;

/// What the other thread has prepared waits so long at most.
const SOON: Duration = Duration::from_millis(20);

/// Bodies go to the archive in pieces of at most this size.
const BUFFER: usize = 64 * 1024;

/// The part of the memory that bodies may take; threads, TLS and what slow peers have yet to take need the rest.
const BODIES: u64 = 8;

#[cfg(test)]
mod tests;
