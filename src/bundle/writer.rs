//! One thread writes down what all the others saw.
//!
//! ```text
//! Item ─▶ decode ─▶ bodies and JSON ─▶ archive      one group each: whole in the bundle or not at all
//!              └─▶ counters, one Event of 24 bytes ─▶ at the end: timeline, manifest
//! ```
//!
//! What cannot be written is counted as lost and the capture goes on; if there is room again, so does the bundle.
//! Nothing here trusts an item: ids and names come from counters, and a panic costs the item it happened in.

use super::archive::{Archive, Packing, PartState, Unplaced, folder};
use super::body::{Body, Store};
use super::format::{self, Event, Events, Header, Id, iso8601, text, uuid4};
use super::item::{Exchange, Item, Message, SocketKey, Timing};
use crate::clock::Moment;
use crate::config::Observer;
use crate::error::Error;
use crate::notice::Notice;
use crate::wire::message::Headers;
use crate::wire::tap::{Dir, Opcode};
use entry::{Entry, json};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, BufWriter, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use troubles::{Trouble, Troubles};

mod entry;
mod troubles;

/// Writes a bundle.
pub(crate) struct Writer {
    archive: Archive,
    store: Arc<Store>,
    started: Moment,
    /// The stem of the output's name.
    name: String,
    /// The last number given to a WebSocket.
    last_socket: u32,
    open: HashMap<SocketKey, Socket>,
    /// WebSockets that ended while nothing could be written; tried again at the end, as their messages are there.
    owed: Vec<Socket>,
    /// In the order of writing.
    events: Vec<Event>,
    /// How many traces each origin has.
    origins: HashMap<String, u64>,
    traces: u32,
    sockets: u64,
    messages: u64,
    troubles: Troubles,
}

/// What was written.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) traces: u64,
    pub(crate) sockets: u64,
    pub(crate) messages: u64,
    /// Exchanges, messages and sockets that could not be written.
    pub(crate) lost: u64,
    /// What went wrong, a sentence each.
    pub(crate) troubles: Vec<String>,
    /// `None` if it could not be completed; `troubles` then says what there is instead.
    pub(crate) bundle: Option<PathBuf>,
}

impl Writer {
    /// Opens `output`'s part and leaves every file that was there as it is. If the writer is dropped before it ran, that
    /// part is gone again.
    pub(crate) fn create(output: &Path, observer: Observer, started: Moment) -> Result<Self, Error> {
        let (archive, others) = Archive::create(output, started.since_epoch())?;
        let mut troubles = Troubles::new(observer);
        if let Some(other) = others.first() {
            troubles.add(Trouble::OtherPart, &other.display().to_string());
        }
        Ok(Self {
            archive,
            store: Store::new(folder(output).to_owned()),
            started,
            name: output.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            last_socket: 0,
            open: HashMap::new(),
            owed: Vec::new(),
            events: Vec::new(),
            origins: HashMap::new(),
            traces: 0,
            sockets: 0,
            messages: 0,
            troubles,
        })
    }

    /// Where the bodies for this writer are to be kept.
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Writes all that comes until [`Item::Finish`] or until nobody is left to send, then completes the bundle.
    pub(crate) fn run(mut self, items: &Receiver<Item>) -> Tally {
        loop {
            match items.recv() {
                Ok(Item::Finish) | Err(_) => break self.finish(),
                Ok(item) => self.take(|writer| writer.write(item)),
            }
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
            Item::Exchange(exchange) => self.exchange(*exchange).map(Some),
            Item::Message(message) => self.message(message).map(|()| None),
            Item::SocketEnd(key) => self.open.remove(&key).map(|socket| self.socket(socket)).transpose(),
            Item::Finish => Ok(None),
        }
    }

    fn exchange(&mut self, exchange: Exchange) -> io::Result<Notice> {
        let Exchange { started, url, request, request_body, response, response_body, timing, opens, .. } = exchange;
        let number = self.traces.saturating_add(1);
        let id = Id::Trace(number);
        // The messages of a WebSocket matter even if its handshake cannot be written.
        let socket = opens.map(|opens| {
            self.last_socket = self.last_socket.saturating_add(1);
            let protocols = opens.protocol.into_iter().collect();
            let socket = Socket { number: self.last_socket, started, url: url.clone(), protocols, ..Socket::default() };
            self.open.insert(opens.socket, socket);
            opens.socket
        });
        let (status, status_text, response_headers) = match &response {
            Ok(head) => (head.status, text(&head.reason).into_owned(), &head.headers),
            Err(why) => (0, (*why).to_owned(), &Headers::default()),
        };
        let notice = Notice::Exchange {
            id: id.to_string(),
            method: request.method.clone(),
            url: url.clone(),
            status,
            size: response_body.len(),
            total_ms: milliseconds(timing.total),
        };
        let request_body = self.decoded(request_body, &request.headers, || format!("{id}_request.bin"));
        let response_body = self.decoded(response_body, response_headers, || format!("{id}_response.bin"));
        let trace = format::Trace {
            id: id.to_string(),
            timestamp: started,
            r#type: "http".into(),
            request: format::Request {
                method: request.method,
                url,
                headers: headers(&request.headers),
                body_file: request_body.file.clone(),
                body_size: request_body.body.len(),
                body_encoding: request_body.still_on.clone(),
            },
            response: format::Response {
                status,
                status_text,
                headers: headers(response_headers),
                body_file: response_body.file.clone(),
                body_size: response_body.body.len(),
                body_encoding: response_body.still_on.clone(),
            },
            timing: timing.into(),
            initiator: format::Initiator { r#type: "proxy".into(), ..Default::default() },
            context_refs: Vec::new(),
        };
        self.archive.group(|archive| {
            request_body.write(archive, "traces")?;
            response_body.write(archive, "traces")?;
            json(archive, &format!("traces/{id}.json"), &trace)
        })?;
        self.traces = number;
        self.events.push(Event { timestamp: started, id });
        self.count_origin(&trace.request.url);
        if let Some(socket) = socket.and_then(|key| self.open.get_mut(&key)) {
            socket.handshake = Some(id);
        }
        if number > MOST_TRACES {
            self.troubles.add(Trouble::ManyTraces, "");
        }
        Ok(notice)
    }

    fn message(&mut self, message: Message) -> io::Result<()> {
        let socket =
            self.open.get_mut(&message.socket).ok_or_else(|| io::Error::other("a message without a socket"))?;
        let number = socket.messages.saturating_add(1);
        let id = Id::Message(socket.number, number);
        self.troubles.look_at(&message.payload);
        let payload = Entry::plain(message.payload, || format!("{id}.bin"));
        let described = format::Message {
            id: id.to_string(),
            connection_ref: Id::Socket(socket.number).to_string(),
            timestamp: message.at,
            direction: direction(message.dir).into(),
            opcode: opcode(message.opcode).into(),
            payload_file: payload.file.clone(),
            payload_size: payload.body.len(),
            context_refs: Vec::new(),
        };
        self.archive.group(|archive| {
            payload.write(archive, "ws")?;
            json(archive, &format!("ws/{id}.json"), &described)
        })?;
        socket.messages = number;
        self.messages = self.messages.saturating_add(1);
        self.events.push(Event { timestamp: message.at, id });
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
        let written = self.archive.group(|archive| json(archive, &format!("ws/{id}.json"), &described));
        if let Err(cause) = written {
            self.owed.push(socket);
            return Err(cause);
        }
        self.sockets = self.sockets.saturating_add(1);
        self.events.push(Event { timestamp: socket.started, id });
        Ok(Notice::Socket { id: described.id, url: socket.url, messages: described.message_count })
    }

    fn decoded(&mut self, body: Body, headers: &Headers, name: impl FnOnce() -> String) -> Entry {
        self.troubles.look_at(&body);
        Entry::decoded(body, headers, name)
    }

    fn count_origin(&mut self, url: &str) {
        if let Some(count) = self.origins.get_mut(origin(url)) {
            *count = count.saturating_add(1);
        } else if self.origins.len() < MOST_ORIGINS {
            self.origins.insert(origin(url).to_owned(), 1);
        }
    }

    fn finish(mut self) -> Tally {
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
            traces: self.traces.into(),
            sockets: self.sockets,
            messages: self.messages,
            lost: self.troubles.lost(),
            troubles: self.troubles.sentences(),
            bundle,
        }
    }

    fn write_end(&mut self) -> io::Result<()> {
        // Stable: what happened in one millisecond stays in the order in which it was written.
        self.events.sort_by_key(|event| event.timestamp);
        let most = (self.origins.iter()).max_by(|(a, n), (b, m)| n.cmp(m).then_with(|| b.cmp(a)));
        let random = |seed: u64| u128::from(RandomState::new().hash_one(seed));
        let manifest = format::Manifest {
            format_version: "1.0.0".into(),
            capture_id: uuid4(random(0) << 64 | random(1)),
            created_at: iso8601(self.started.since_epoch()),
            app: format::App {
                name: self.name.clone(),
                base_url: most.map(|(origin, _)| origin.clone()).unwrap_or_default(),
                title: self.name.clone(),
            },
            browser: None,
            extension_version: None,
            duration_ms: u64::try_from(Moment::now().since(self.started).as_millis()).unwrap_or(u64::MAX),
            stats: format::Stats {
                trace_count: self.traces.into(),
                ws_connection_count: self.sockets,
                ws_message_count: self.messages,
                context_count: 0,
            },
            capture_method: Some("proxy".into()),
        };
        let events = Events { events: &self.events };
        let size = (self.events.len() as u64).saturating_mul(EVENT_SIZE);
        self.archive.group(|archive| {
            archive.entry("timeline.json", size, Packing::Deflated)?;
            let mut piecewise = BufWriter::with_capacity(BUFFER, &mut *archive);
            serde_json::to_writer_pretty(&mut piecewise, &events)?;
            piecewise.flush()?;
            drop(piecewise);
            json(archive, "manifest.json", &manifest)
        })
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

fn headers(headers: &Headers) -> Vec<Header> {
    headers.iter().map(|(name, value)| Header::new(name, value)).collect()
}

impl From<Timing> for format::Timing {
    fn from(timing: Timing) -> Self {
        Self {
            dns_ms: milliseconds(timing.dns),
            connect_ms: milliseconds(timing.connect),
            tls_ms: milliseconds(timing.tls),
            send_ms: milliseconds(timing.send),
            wait_ms: milliseconds(timing.wait),
            receive_ms: milliseconds(timing.receive),
            total_ms: milliseconds(timing.total),
        }
    }
}

/// JSON has no word for what is not a number.
fn milliseconds(value: f64) -> f64 {
    if value.is_finite() && value > 0.0 { value } else { 0.0 }
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

/// `scheme://host[:port]`.
fn origin(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |at| at.saturating_add(3));
    let path = url.get(authority..).and_then(|rest| rest.find(['/', '?', '#']));
    path.and_then(|path| url.get(..authority.saturating_add(path))).unwrap_or(url)
}

/// Readers expect ids of four digits.
const MOST_TRACES: u32 = 9999;

/// Readers expect numbers of three digits.
const MOST_MESSAGES: u32 = 999;

/// The origins that traces are counted for; a capture of more hosts has no app to name.
const MOST_ORIGINS: usize = 10_000;

/// Bodies and the timeline go to the archive in pieces of at most this size.
const BUFFER: usize = 64 * 1024;

/// An event's JSON is at most this long: two numbers of up to 20 digits in its id, one as its time.
const EVENT_SIZE: u64 = 160;

#[cfg(test)]
mod tests;
