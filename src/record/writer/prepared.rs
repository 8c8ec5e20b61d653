//! An exchange, or a message, made ready for the archive: bodies decoded, JSON put together. Needs nothing of the writer's.

use super::entry::Entry;
use crate::bundle::archive::{self, Archive, Deflater, Reservation};
use crate::bundle::format::{self, Id, text};
use crate::bundle::session::json;
use crate::notice::Notice;
use crate::record::body::Body;
use crate::record::item::{Exchange, Message, Opens, Timing, WebSocketKey};
use crate::wire::message::Headers;
use crate::wire::tap::{Dir, Opcode};
use std::borrow::Cow;
use std::io;

/// See above.
pub(super) struct Prepared {
    pub(super) number: u32,
    /// `t_0001`.
    id: String,
    /// In milliseconds since the epoch.
    pub(super) started: u64,
    method: Cow<'static, str>,
    pub(super) url: String,
    status: u16,
    status_text: Cow<'static, str>,
    /// Of the request and of the response, as the bodies.
    headers: [Headers; 2],
    bodies: [Entry; 2],
    /// The response's body as it came, in bytes.
    received: u64,
    timing: Timing,
    pub(super) opens: Option<Opens>,
    /// Why ends of bodies are missing, for each that lacks its end.
    pub(super) cut: Vec<String>,
    /// Why it cannot be written, if that is known already.
    failed: Option<io::Error>,
}

impl Prepared {
    /// Decodes bodies that come to no more than `most` bytes.
    pub(super) fn new(exchange: Exchange, number: u32, most: u64) -> Self {
        let Exchange { started, url, method, request_headers, request_body, response, response_body, timing, opens } =
            exchange;
        let id = Id::Trace(number).to_string();
        let (status, status_text, response_headers) = match response {
            Ok(head) => (head.status, owned_text(head.reason), head.headers),
            Err(why) => (0, why.into(), Headers::default()),
        };
        let received = response_body.len();
        let damage = |body: &Body| body.damaged().map(|damage| damage.cause.to_string());
        let cut = [&request_body, &response_body].into_iter().filter_map(damage).collect();
        let entry = |body, headers, part| Entry::decoded(body, headers, most, || [id.as_str(), part].concat());
        let bodies = [
            entry(request_body, &request_headers, "_request.bin"),
            entry(response_body, &response_headers, "_response.bin"),
        ];
        Self {
            number,
            id,
            started,
            method,
            url,
            status,
            status_text,
            headers: [request_headers, response_headers],
            bodies,
            received,
            timing,
            opens,
            cut,
            failed: None,
        }
    }

    /// What its JSON says.
    fn trace(&self) -> format::Trace<&Headers, &str> {
        let ([request_headers, response_headers], [request_body, response_body]) = (&self.headers, &self.bodies);
        format::Trace {
            id: &self.id,
            timestamp: self.started,
            r#type: "http",
            request: format::Request {
                method: &self.method,
                url: &self.url,
                headers: request_headers,
                body_file: request_body.file.as_deref(),
                body_size: request_body.size,
                body_encoding: request_body.still_on.as_deref(),
            },
            response: format::Response {
                status: self.status,
                status_text: &self.status_text,
                headers: response_headers,
                body_file: response_body.file.as_deref(),
                body_size: response_body.size,
                body_encoding: response_body.still_on.as_deref(),
            },
            timing: self.timing.into(),
            initiator: format::Initiator { r#type: "proxy", url: None, line: None },
            context_refs: Vec::new(),
        }
    }

    /// What is told of it.
    pub(super) fn notice(self) -> Notice {
        let total_ms = milliseconds(self.timing.total);
        let Self { id, method, url, status, received: size, .. } = self;
        Notice::Exchange { id, method: method.into_owned(), url, status, size, total_ms }
    }

    /// Packs what takes long.
    pub(super) fn pack(&mut self, deflater: &mut Deflater) {
        for body in &mut self.bodies {
            // If it fails, the writer does it.
            let _ = body.pack(deflater);
        }
    }

    /// What its bodies will be in the archive, of those that take long to copy.
    pub(super) fn wants_rooms(&self) -> Vec<archive::EntryHeader> {
        self.bodies.iter().filter_map(|body| body.wants_room(FOLDER)).collect()
    }

    /// Copies those to where they will be.
    pub(super) fn fill(&mut self, rooms: io::Result<Vec<Reservation>>) {
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
            json(archive, [FOLDER, "/", &self.id, ".json"].concat(), &self.trace(), note)
        })
    }
}

/// A WebSocket message.
pub(super) struct PreparedMessage {
    pub(super) key: WebSocketKey,
    /// The numbers of its WebSocket and of itself.
    pub(super) socket: u32,
    pub(super) number: u32,
    /// `ws_0001_m001`.
    id: String,
    /// In milliseconds since the epoch.
    pub(super) at: u64,
    dir: Dir,
    opcode: Opcode,
    payload: Entry,
}

impl PreparedMessage {
    pub(super) fn new(message: Message, socket: u32, number: u32) -> Self {
        let Message { socket: key, at, dir, opcode, payload } = message;
        let id = Id::Message(socket, number).to_string();
        let payload = Entry::plain(payload, || [id.as_str(), ".bin"].concat());
        Self { key, socket, number, id, at, dir, opcode, payload }
    }

    /// As [`Prepared::stage`].
    pub(super) fn stage(&self, archive: &mut Archive, note: &[u8]) -> io::Result<()> {
        let described = format::Message {
            id: self.id.as_str(),
            connection_ref: &Id::WebSocket(self.socket).to_string(),
            timestamp: self.at,
            direction: direction(self.dir),
            opcode: opcode(self.opcode),
            payload_file: self.payload.file.as_deref(),
            payload_size: self.payload.size,
            context_refs: Vec::new(),
        };
        archive.stage(|archive| {
            self.payload.write(archive, "ws")?;
            json(archive, ["ws/", &self.id, ".json"].concat(), &described, note)
        })
    }
}

/// [`text`] of what is kept for good or belongs to us.
fn owned_text(bytes: Cow<'static, [u8]>) -> Cow<'static, str> {
    match bytes {
        Cow::Borrowed(bytes) => text(bytes),
        Cow::Owned(bytes) => text(&bytes).into_owned().into(),
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
