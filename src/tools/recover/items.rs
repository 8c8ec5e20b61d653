//! The exchanges and messages of a scanned file: finds them with their bodies, and copies those that are intact.

use super::bodies::{FoundBody, body_names, content_of, copy_entry};
use super::failure::Failure;
use super::recovery::Recovery;
use crate::bundle::archive::located_entry::LocatedEntry;
use crate::bundle::format::{Message, Trace, WebSocket};
use crate::bundle::id::{Id, ItemKind, payload_file, request_file, response_file};
use crate::bundle::json::add_json;
use crate::tools::body_decoder::{Side, encoding};

/// An intact exchange or message.
pub(super) enum FoundItem {
    Trace(Box<Trace>, [FoundBody; 2]),
    Message(Box<Message>, FoundBody),
}

impl Recovery<'_> {
    /// Copies an exchange or message if its group is intact. Returns false if it is not.
    pub(super) fn add_item(&mut self, id: Id, entry: &LocatedEntry) -> Result<bool, Failure> {
        let Some(found) = self.find_item(id, entry)? else { return Ok(false) };
        if !self.items.insert(id) {
            return Ok(false);
        }
        match found {
            FoundItem::Trace(trace, bodies) => self.add_trace(id, entry, *trace, bodies)?,
            FoundItem::Message(message, payload) => self.add_message(id, entry, &message, payload)?,
        }
        Ok(true)
    }

    /// Reads an item whose JSON is `entry`. Returns `None` if it or one of its bodies is damaged.
    pub(super) fn find_item(&mut self, id: Id, entry: &LocatedEntry) -> Result<Option<FoundItem>, Failure> {
        self.bodies.last_taken = 0;
        let text = id.to_string();
        if let Id::Message(websocket, _) = id {
            let Some(message) = self.read_json::<Message>(entry)? else { return Ok(None) };
            let name = payload_file(&text);
            let payload = self.take_body(ItemKind::Message, &name, &message.payload_file, message.payload_size)?;
            let matches_name = message.id == text && message.connection_ref == Id::WebSocket(websocket).to_string();
            // Only bodies of exchanges are gzip bodies.
            let is_payload = |body: &FoundBody| matches!(body, FoundBody::Absent | FoundBody::Intact(_));
            let payload = payload.filter(|payload| matches_name && is_payload(payload));
            return Ok(payload.map(|payload| FoundItem::Message(Box::new(message), payload)));
        }
        let Some(trace) = self.read_json::<Trace>(entry)? else { return Ok(None) };
        let (request, response) = (&trace.request, &trace.response);
        let sent = self.take_body(ItemKind::Trace, &request_file(&text), &request.body_file, request.body_size)?;
        let received =
            self.take_body(ItemKind::Trace, &response_file(&text), &response.body_file, response.body_size)?;
        let (Some(sent), Some(received)) = (sent, received) else { return Ok(None) };
        Ok((trace.id == text).then(|| FoundItem::Trace(Box::new(trace), [sent, received])))
    }

    /// Copies an exchange. Decodes bodies that were left as received.
    fn add_trace(
        &mut self,
        id: Id,
        entry: &LocatedEntry,
        mut trace: Trace,
        bodies: [FoundBody; 2],
    ) -> Result<(), Failure> {
        let count = bodies.iter().filter(|body| !matches!(body, FoundBody::Absent)).count();
        let before = (trace.request.body_size, trace.response.body_size);
        let encodings = Side::BOTH.map(|side| encoding(&trace, side).clone());
        let mut contents = Vec::new();
        for (side, body) in Side::BOTH.into_iter().zip(&bodies) {
            contents.push(content_of(self.file, &mut self.decoder, &mut trace, side, body)?);
        }
        let is_changed = before != (trace.request.body_size, trace.response.body_size)
            || encodings != Side::BOTH.map(|side| encoding(&trace, side).clone());
        let file = self.file;
        let group = self.archive.group(|archive| {
            for (content, name) in contents.iter().zip(body_names(id)) {
                content.write(archive, file, name)?;
            }
            match is_changed {
                true => add_json(archive, entry.header.name.clone(), &trace, &entry.note),
                false => copy_entry(archive, file, entry),
            }
        });
        group.map_err(Failure::Write)?;
        self.keep(entry.end, (count as u64).saturating_add(1));
        let Id::Trace(number) = id else { return Ok(()) };
        self.info.add_trace(number, trace.timestamp, &trace.request.url);
        // Converting a float saturates.
        let duration = trace.timing.total_ms.max(0.0) as u64;
        self.extend_span(trace.timestamp, trace.timestamp.saturating_add(duration));
        if let Some(opens) = self.read_note(entry).opens {
            let known = self.websockets.entry(opens.socket).or_default();
            known.description.get_or_insert(WebSocket {
                timestamp: trace.timestamp,
                url: trace.request.url,
                handshake_trace_ref: Some(id.to_string()),
                protocols: opens.protocols,
                ..WebSocket::default()
            });
        }
        Ok(())
    }

    /// Copies a message.
    fn add_message(
        &mut self,
        id: Id,
        entry: &LocatedEntry,
        message: &Message,
        payload: FoundBody,
    ) -> Result<(), Failure> {
        let (file, mut count) = (self.file, 1);
        let group = self.archive.group(|archive| {
            if let FoundBody::Intact(payload) = &payload {
                copy_entry(archive, file, payload)?;
                count = 2;
            }
            copy_entry(archive, file, entry)
        });
        group.map_err(Failure::Write)?;
        self.keep(entry.end, count);
        let Id::Message(websocket, number) = id else { return Ok(()) };
        self.info.add_message(websocket, number, message.timestamp);
        self.extend_span(message.timestamp, message.timestamp);
        let known = self.websockets.entry(websocket).or_default();
        known.message_count = known.message_count.saturating_add(1);
        let first = known.first_message.unwrap_or(u64::MAX);
        known.first_message = Some(first.min(message.timestamp));
        self.read_note(entry);
        Ok(())
    }

    /// Keeps the JSON of an item that is not complete until its bodies come. Without a body it is damaged.
    pub(super) fn wait_for_bodies(&mut self, id: Id, json: LocatedEntry) -> Result<(), Failure> {
        let (mut names, mut bodies) = (body_names(id), Vec::new());
        let mut add = |file: &Option<String>, size: u64| {
            bodies.extend(names.next().filter(|_| file.is_some() && size > 0));
        };
        match id {
            Id::Message(..) => {
                let message: Option<Message> = self.read_json(&json)?;
                message.iter().for_each(|message| add(&message.payload_file, message.payload_size));
            }
            _ => {
                let trace: Option<Trace> = self.read_json(&json)?;
                if let Some(Trace { request, response, .. }) = &trace {
                    add(&request.body_file, request.body_size);
                    add(&response.body_file, response.body_size);
                }
            }
        }
        let lost =
            if bodies.is_empty() || self.items.contains(id) { Some(id) } else { self.waiting.push(id, json, bodies) };
        lost.into_iter().for_each(|id| self.losses.add(&id.text()));
        Ok(())
    }

    /// Removes the body `name` from the waiting entries and returns it. `file` and `size` are its name and size in the
    /// JSON. Returns `None` if the body is missing, damaged, or does not match the JSON.
    fn take_body(
        &mut self,
        kind: ItemKind,
        name: &str,
        file: &Option<String>,
        size: u64,
    ) -> Result<Option<FoundBody>, Failure> {
        let Some(file) = file else { return Ok((size == 0).then_some(FoundBody::Absent)) };
        let entry = self.bodies.take(&kind.body_name(name));
        let matches_json = |entry: &LocatedEntry| entry.header.size == size || entry.is_restored_member;
        match entry.filter(|entry| file == name && size > 0 && matches_json(entry)) {
            Some(entry) => FoundBody::verified(entry, self.file).map_err(Failure::Read),
            None => Ok(None),
        }
    }
}
