//! An exchange, or a message, made ready for the archive: bodies decoded, JSON put together. Needs nothing of the writer's.

use super::entry::Entry;
use crate::bundle::archive::{self, Archive, Deflater, Room};
use crate::bundle::body::Body;
use crate::bundle::format::{self, Id, text};
use crate::bundle::item::{Exchange, Message, Opens, SocketKey, Timing};
use crate::bundle::session::json;
use crate::notice::Notice;
use crate::wire::message::Headers;
use crate::wire::tap::{Dir, Opcode};
use std::io;

/// See above.
pub(super) struct Prepared {
    pub(super) number: u32,
    pub(super) trace: format::Trace<Headers>,
    bodies: [Entry; 2],
    pub(super) notice: Notice,
    pub(super) opens: Option<Opens>,
    /// Why ends of bodies are missing, for each that lacks its end.
    pub(super) cut: Vec<String>,
    /// Why it cannot be written, if that is known already.
    failed: Option<io::Error>,
}

impl Prepared {
    /// Decodes bodies that come to no more than `most` bytes.
    pub(super) fn new(exchange: Exchange, number: u32, most: u64) -> Self {
        let Exchange { started, url, request, request_body, response, response_body, timing, opens } = exchange;
        let id = Id::Trace(number);
        let (status, status_text, response_headers) = match response {
            Ok(head) => (head.status, text(&head.reason).into_owned(), head.headers),
            Err(why) => (0, why.to_owned(), Headers::default()),
        };
        let notice = Notice::Exchange {
            id: id.to_string(),
            method: request.method.clone(),
            url: url.clone(),
            status,
            size: response_body.len(),
            total_ms: milliseconds(timing.total),
        };
        let damage = |body: &Body| body.damaged().map(|damage| damage.cause.to_string());
        let cut = [&request_body, &response_body].into_iter().filter_map(damage).collect();
        let request_body = Entry::decoded(request_body, &request.headers, most, || format!("{id}_request.bin"));
        let response_body = Entry::decoded(response_body, &response_headers, most, || format!("{id}_response.bin"));
        let trace = format::Trace {
            id: id.to_string(),
            timestamp: started,
            r#type: "http".into(),
            request: format::Request {
                method: request.method,
                url,
                headers: request.headers,
                body_file: request_body.file.clone(),
                body_size: request_body.size,
                body_encoding: request_body.still_on.clone(),
            },
            response: format::Response {
                status,
                status_text,
                headers: response_headers,
                body_file: response_body.file.clone(),
                body_size: response_body.size,
                body_encoding: response_body.still_on.clone(),
            },
            timing: timing.into(),
            initiator: format::Initiator { r#type: "proxy".into(), ..Default::default() },
            context_refs: Vec::new(),
        };
        Self { number, trace, bodies: [request_body, response_body], notice, opens, cut, failed: None }
    }

    /// Packs what takes long.
    pub(super) fn pack(&mut self, deflater: &mut Deflater) {
        for body in &mut self.bodies {
            // If it fails, the writer does it.
            let _ = body.pack(deflater);
        }
    }

    /// What its bodies will be in the archive, of those that take long to copy.
    pub(super) fn wants_rooms(&self) -> Vec<archive::Entry> {
        self.bodies.iter().filter_map(|body| body.wants_room(FOLDER)).collect()
    }

    /// Copies those to where they will be.
    pub(super) fn fill(&mut self, rooms: io::Result<Vec<Room>>) {
        let wanting = self.bodies.iter_mut().filter(|body| body.wants_room(FOLDER).is_some());
        let filled = rooms.and_then(|rooms| wanting.zip(rooms).try_for_each(|(body, room)| body.fill(room)));
        self.failed = filled.err();
    }

    /// Whether that went well. If not, it cannot be written, and what it had of `archive` is given up.
    pub(super) fn is_filled(&mut self, archive: &mut Archive) -> io::Result<()> {
        let Some(cause) = self.failed.take() else { return Ok(()) };
        self.bodies.iter_mut().rev().for_each(|body| body.give_up(archive));
        Err(cause)
    }

    /// Its JSON comes last: recovery takes an exchange for whole once that is there.
    pub(super) fn stage(&self, archive: &mut Archive, note: &[u8]) -> io::Result<()> {
        archive.stage(|archive| {
            self.bodies.iter().try_for_each(|body| body.write(archive, FOLDER))?;
            json(archive, format!("{FOLDER}/{}.json", self.trace.id), &self.trace, note)
        })
    }
}

/// A WebSocket message.
pub(super) struct PreparedMessage {
    pub(super) key: SocketKey,
    /// The numbers of its WebSocket and of itself.
    pub(super) socket: u32,
    pub(super) number: u32,
    /// In milliseconds since the epoch.
    pub(super) at: u64,
    dir: Dir,
    opcode: Opcode,
    payload: Entry,
}

impl PreparedMessage {
    pub(super) fn new(message: Message, socket: u32, number: u32) -> Self {
        let Message { socket: key, at, dir, opcode, payload } = message;
        let payload = Entry::plain(payload, || format!("{}.bin", Id::Message(socket, number)));
        Self { key, socket, number, at, dir, opcode, payload }
    }

    /// As [`Prepared::stage`].
    pub(super) fn stage(&self, archive: &mut Archive, note: &[u8]) -> io::Result<()> {
        let id = Id::Message(self.socket, self.number).to_string();
        let name = format!("ws/{id}.json");
        let described = format::Message {
            id,
            connection_ref: Id::Socket(self.socket).to_string(),
            timestamp: self.at,
            direction: direction(self.dir).into(),
            opcode: opcode(self.opcode).into(),
            payload_file: self.payload.file.clone(),
            payload_size: self.payload.size,
            context_refs: Vec::new(),
        };
        archive.stage(|archive| {
            self.payload.write(archive, "ws")?;
            json(archive, name, &described, note)
        })
    }
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

/// Where exchanges are in a bundle.
const FOLDER: &str = "traces";
