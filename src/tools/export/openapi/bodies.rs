//! Request and response bodies by media type.
//!
//! | media type | description |
//! |---|---|
//! | JSON | a schema |
//! | forms | a schema of an object with a member for each field; of the value, if a client sends JSON as a form |
//! | lines of JSON | text, and `x-item-schema` for a line |
//! | server-sent events | text, and `x-events`: a schema for the data of each event name |
//! | other text, or without a media type | text; a `contentSchema` if it is JSON |
//! | anything else | no schema |
//!
//! Bodies that are not as their media type requires are counted as `x-malformed`.

use super::id_kind::IdKind;
use super::json_value::{Json, Object};
use super::parse::{add_document, document};
use super::schema::SchemaWriter;
use super::shape::{Budget, Objects, Shape};
use crate::bundle::reader::Header;
use crate::text::as_text;
use crate::tools::export::http::{first, media_type, parameters};
use crate::tools::redact::multipart;

mod events;
#[cfg(test)]
mod tests;

/// The bodies of an operation, in one direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Bodies {
    /// In the order of their first body.
    all: Vec<MediaType>,
}

/// Bodies of a media type.
#[derive(Clone, Debug, Default)]
struct MediaType {
    name: String,
    count: u64,
    /// The number of bodies that are not as the media type requires.
    malformed: u64,
    /// The number of bodies that were too large, or stored encoded.
    unread: u64,
    /// The number of bodies that are text.
    texts: u64,
    /// The number of texts and forms that are JSON documents.
    documents: u64,
    /// The values, those in lines, or the text.
    shape: Shape,
    /// The data of events by the name of the event.
    events: Vec<(Box<str>, Shape)>,
}

/// The grammar of the bodies of a media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grammar {
    Json,
    Form,
    Multipart,
    Lines,
    Events,
    Text,
    /// There is no media type.
    Unknown,
    Binary,
}

impl Grammar {
    fn of(media_type: &str) -> Self {
        let (kind, subtype) = media_type.split_once('/').unwrap_or_default();
        match (kind, subtype) {
            ("*", _) => Self::Unknown,
            (
                "application",
                "x-ndjson" | "ndjson" | "jsonl" | "x-jsonlines" | "jsonlines" | "x-json-stream" | "stream+json",
            ) => Self::Lines,
            (_, "json")
            | ("application", "x-json" | "json-rpc" | "csp-report" | "x-amz-json-1.0" | "x-amz-json-1.1") => Self::Json,
            (_, subtype) if subtype.ends_with("+json") => Self::Json,
            ("application", "x-www-form-urlencoded") => Self::Form,
            ("multipart", _) => Self::Multipart,
            ("text", "event-stream") => Self::Events,
            ("text", _) | ("application", "xml" | "javascript" | "graphql" | "sql" | "yaml") => Self::Text,
            (_, subtype) if subtype.ends_with("+xml") || subtype.ends_with("+yaml") => Self::Text,
            _ => Self::Binary,
        }
    }
}

impl Bodies {
    /// Returns a body. `bytes` is `None` if it cannot be described.
    pub(super) fn of(headers: &[Header], bytes: Option<&[u8]>) -> Self {
        let name = Some(media_type(headers)).filter(|name| is_media_type(name)).unwrap_or_else(|| ANY_TYPE.into());
        let mut media_type = MediaType { name, count: 1, ..MediaType::default() };
        match bytes {
            Some(bytes) => media_type.read(headers, bytes),
            None => media_type.unread = 1,
        }
        Self { all: vec![media_type] }
    }

    /// Returns the shape of the only body if it is JSON.
    pub(super) fn json(&self) -> Option<&Shape> {
        self.all.first().filter(|body| Grammar::of(&body.name) == Grammar::Json).map(|body| &body.shape)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns the number of bodies.
    pub(super) fn count(&self) -> u64 {
        self.all.iter().map(|body| body.count).sum()
    }

    pub(super) fn merge(&mut self, other: Self, budget: &mut Budget) {
        for body in other.all {
            if let Some(known) = self.media_type(&body.name) {
                known.merge(body, budget);
            }
        }
    }

    fn media_type(&mut self, name: &str) -> Option<&mut MediaType> {
        let at = self.all.iter().position(|known| known.name == name).unwrap_or(self.all.len());
        if at == self.all.len() && at < MAX_MEDIA_TYPES {
            self.all.push(MediaType { name: name.to_owned(), ..MediaType::default() });
        }
        self.all.get_mut(at)
    }

    /// Returns the map of media type objects (OpenAPI section 4.8.14).
    pub(super) fn describe(&self, writer: &mut SchemaWriter<'_>, hint: &str) -> Object {
        self.all.iter().fold(Object::default(), |content, body| content.with(&*body.name, body.describe(writer, hint)))
    }
}

impl MediaType {
    fn read(&mut self, headers: &[Header], bytes: &[u8]) {
        let text = as_text(bytes);
        let is_read = match (Grammar::of(&self.name), text) {
            (Grammar::Json, _) => match document(bytes) {
                Some(shape) => {
                    self.shape = shape;
                    true
                }
                None => false,
            },
            (Grammar::Form, Some(text)) if self.read_text(text) => true,
            // The text of a body that is none would be the name of a field.
            (Grammar::Form, Some(text)) if !text.contains('=') && !text.is_empty() => false,
            (Grammar::Form, Some(text)) => {
                self.shape = form(parameters(text.trim()).map(|(name, value)| (name, FieldValue::Text(value))));
                true
            }
            (Grammar::Multipart, _) => {
                let boundary = first(headers, "content-type").and_then(|value| multipart::parameter(value, "boundary"));
                let parts = multipart::parts(bytes, boundary.as_deref());
                let field = |part: &multipart::Part| {
                    let content = bytes.get(part.content.clone()).unwrap_or_default();
                    let text = as_text(content)
                        .filter(|_| part.content_type.is_empty() || part.content_type.starts_with("text/plain"));
                    (
                        part.name.clone(),
                        text.map_or(FieldValue::File, |text| {
                            FieldValue::Text(text.trim_end_matches("\r\n").to_owned())
                        }),
                    )
                };
                self.shape = form(parts.iter().filter(|part| !part.name.is_empty()).map(field));
                !parts.is_empty()
            }
            (Grammar::Lines, Some(text)) => {
                let mut budget = Budget::BODY;
                let mut lines = text.lines().filter(|line| !line.trim().is_empty());
                lines.all(|line| add_document(line.as_bytes(), &mut self.shape, &mut budget))
            }
            (Grammar::Events, _) => {
                self.read_events(&String::from_utf8_lossy(bytes));
                true
            }
            (Grammar::Text | Grammar::Unknown, Some(text)) => {
                self.texts = 1;
                self.read_text(text);
                true
            }
            // Text may have another charset than UTF-8.
            (Grammar::Text | Grammar::Unknown | Grammar::Binary, _) => true,
            (Grammar::Form | Grammar::Lines, None) => false,
        };
        if !is_read {
            self.malformed = 1;
            self.shape = Shape::default();
        }
    }

    /// Reads text that may be a JSON document. Returns false if it is not one.
    fn read_text(&mut self, text: &str) -> bool {
        // A number or a word is JSON by chance.
        let is_document = text.trim_start().starts_with(['{', '[']);
        let shape = is_document.then(|| document(text.as_bytes())).flatten();
        self.documents = u64::from(shape.is_some());
        self.shape = shape.unwrap_or_default();
        self.documents > 0
    }

    fn read_events(&mut self, text: &str) {
        let mut budget = Budget::BODY;
        events::for_each(text, |name, data| self.add_event(name, data, &mut budget));
    }

    fn add_event(&mut self, name: &str, data: &str, budget: &mut Budget) {
        let shape = document(data.as_bytes()).unwrap_or_else(|| {
            let mut text = Shape::default();
            text.add_string(data);
            text
        });
        self.merge_event(if is_event_name(name) { name } else { OTHER_EVENTS }, shape, budget);
    }

    fn merge_event(&mut self, name: &str, shape: Shape, budget: &mut Budget) {
        let is_known = |name: &str| self.events.iter().any(|(known, _)| **known == *name);
        let name = if self.events.len() < MAX_EVENTS || is_known(name) { name } else { OTHER_EVENTS };
        match self.events.iter_mut().find(|(known, _)| **known == *name) {
            Some((_, known)) => known.merge(shape, budget),
            None => self.events.push((name.into(), shape)),
        }
    }

    fn merge(&mut self, other: Self, budget: &mut Budget) {
        self.count += other.count;
        self.malformed += other.malformed;
        self.unread += other.unread;
        self.texts += other.texts;
        self.documents += other.documents;
        self.shape.merge(other.shape, budget);
        other.events.into_iter().for_each(|(name, shape)| self.merge_event(&name, shape, budget));
    }

    fn describe(&self, writer: &mut SchemaWriter<'_>, hint: &str) -> Json {
        let text = || Object::default().with("type", "string");
        let mut object = Object::default();
        match Grammar::of(&self.name) {
            Grammar::Json | Grammar::Form | Grammar::Multipart if self.shape.is_empty() => {}
            Grammar::Json | Grammar::Form | Grammar::Multipart => {
                object.set("schema", writer.schema(&self.shape, hint));
            }
            Grammar::Lines => {
                object.set("schema", text());
                if !self.shape.is_empty() {
                    object.set("x-item-schema", writer.schema(&self.shape, hint));
                }
            }
            Grammar::Events => {
                object.set("schema", text());
                let events = self
                    .events
                    .iter()
                    .fold(Object::default(), |events, (name, shape)| events.with(&**name, writer.schema(shape, name)));
                object.set_unless_empty("x-events", events);
            }
            // Bodies without a media type may be anything.
            Grammar::Unknown if self.texts + self.unread < self.count || self.texts == 0 => {}
            Grammar::Text | Grammar::Unknown if self.documents == 0 || self.documents < self.texts => {
                object.set("schema", text());
            }
            Grammar::Text | Grammar::Unknown => {
                let inner = writer.schema(&self.shape, hint);
                object.set("schema", text().with("contentMediaType", "application/json").with("contentSchema", inner));
            }
            Grammar::Binary => {}
        }
        if self.documents > 0 && Grammar::of(&self.name) == Grammar::Form {
            object.set("x-json", self.documents);
        }
        if self.malformed > 0 {
            object.set("x-malformed", self.malformed);
        }
        if self.unread > 0 {
            object.set("x-unread", self.unread);
        }
        object.into()
    }
}

/// The value of a field of a form.
enum FieldValue {
    Text(String),
    File,
}

/// Returns the shape of a form. A field that is there several times is an array.
fn form(fields: impl Iterator<Item = (String, FieldValue)>) -> Shape {
    let mut all: Vec<(String, Vec<FieldValue>)> = Vec::new();
    for (name, value) in fields.take(MAX_FIELDS) {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => all.push((name, vec![value])),
        }
    }
    let mut budget = Budget::BODY;
    let mut objects = Objects { count: 1, ..Objects::default() };
    let mut is_incomplete = false;
    for (name, values) in all {
        let Some(shape) = objects.add_member(&name, &mut budget) else {
            is_incomplete = true;
            continue;
        };
        let place = match values.len() {
            1 => shape,
            _ => {
                let arrays = shape.arrays.get_or_insert_default();
                arrays.count = 1;
                &mut arrays.items
            }
        };
        for value in values {
            match value {
                FieldValue::Text(text) => place.add_string(&text),
                FieldValue::File => place.files += 1,
            }
        }
    }
    Shape { objects: Some(Box::new(objects)), is_incomplete, ..Shape::default() }
}

fn is_media_type(name: &str) -> bool {
    let is_token =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&b));
    name.len() <= 127 && name.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

/// True for a name, and not for an identifier or text.
fn is_event_name(name: &str) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b"_-.:/".contains(&b);
    !name.is_empty() && name.len() <= 64 && name.bytes().all(is_part) && IdKind::of(name).is_none()
}

/// The media type of bodies without one.
const ANY_TYPE: &str = "*/*";

/// The place for events whose names are not written.
const OTHER_EVENTS: &str = "(other)";

const MAX_MEDIA_TYPES: usize = 12;

const MAX_EVENTS: usize = 64;

const MAX_FIELDS: usize = 1000;
