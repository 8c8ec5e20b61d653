//! Request and response bodies by media type.
//!
//! | media type | description |
//! |---|---|
//! | JSON | a schema |
//! | forms | a schema of an object with a member for each field |
//! | lines of JSON | text, and `x-item-schema` for a line |
//! | server-sent events | text, and `x-events`: a schema for the data of each event name |
//! | other text | text; a `contentSchema` if it is JSON |
//! | anything else | no schema |

use super::json_value::{Json, Object};
use super::looks::{BodyReader, Loaded};
use super::parse::{add_document, document, large_document};
use super::schema::SchemaWriter;
use super::shape::{Budget, Objects, Shape};
use crate::bundle::reader::{Body, BodyEntry, Error, Header};
use crate::text::as_text;
use crate::tools::export::http::{first, media_type, parameters};
use crate::tools::redact::multipart;
use std::io::BufReader;

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
    Binary,
}

impl Grammar {
    fn of(media_type: &str) -> Self {
        let (kind, subtype) = media_type.split_once('/').unwrap_or_default();
        match (kind, subtype) {
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
    /// Returns a body. `open` opens a large one.
    ///
    /// # Errors
    /// If a large body cannot be read.
    pub(super) fn of<'b>(
        headers: &[Header],
        body: &Loaded,
        open: impl FnOnce(&BodyEntry) -> Result<Body<'b>, Error>,
    ) -> Result<Self, Error> {
        let name = Some(media_type(headers)).filter(|name| is_media_type(name)).unwrap_or_else(|| "*/*".into());
        let mut media_type = MediaType { name, count: 1, ..MediaType::default() };
        match body {
            Loaded::Bytes(bytes) => media_type.read(headers, bytes),
            Loaded::Large(entry) if Grammar::of(&media_type.name) == Grammar::Json => {
                let mut reader = BodyReader::new(open(entry)?);
                let shape = large_document(BufReader::new(&mut reader));
                if let Some(error) = reader.error {
                    return Err(error);
                }
                media_type.malformed = u64::from(shape.is_none());
                media_type.shape = shape.unwrap_or_default();
            }
            Loaded::Large(_) | Loaded::Encoded => media_type.unread = 1,
        }
        Ok(Self { all: vec![media_type] })
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
            (Grammar::Events, Some(text)) => {
                self.read_events(text);
                true
            }
            (Grammar::Text, Some(text)) => {
                // A number or a word is JSON by chance.
                let is_document = text.trim_start().starts_with(['{', '[']);
                if let Some(shape) = is_document.then(|| document(bytes)).flatten() {
                    self.shape = shape;
                }
                true
            }
            (Grammar::Binary, _) => true,
            (Grammar::Form | Grammar::Lines | Grammar::Events | Grammar::Text, None) => false,
        };
        if !is_read {
            self.malformed = 1;
            self.shape = Shape::default();
        }
    }

    /// Reads server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
    fn read_events(&mut self, text: &str) {
        let mut budget = Budget::BODY;
        let (mut name, mut data) = ("message", String::new());
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for line in text.split_inclusive(['\n', '\r']).map(|line| line.trim_end_matches(['\n', '\r'])) {
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" if is_event_name(value) => name = value,
                "data" => {
                    if !data.is_empty() {
                        data.push('\n');
                    }
                    data.push_str(value);
                }
                // An event ends at an empty line, also between CR and LF.
                "" if line.is_empty() && !data.is_empty() => {
                    self.add_event(name, &data, &mut budget);
                    (name, data) = ("message", String::new());
                }
                _ => {}
            }
        }
    }

    fn add_event(&mut self, name: &str, data: &str, budget: &mut Budget) {
        let shape = document(data.as_bytes()).unwrap_or_else(|| {
            let mut text = Shape::default();
            text.add_string(data);
            text
        });
        if let Some(known) = self.event(name) {
            known.merge(shape, budget);
        }
    }

    fn event(&mut self, name: &str) -> Option<&mut Shape> {
        let at = self.events.iter().position(|(known, _)| **known == *name).unwrap_or(self.events.len());
        if at == self.events.len() && at < MAX_EVENTS {
            self.events.push((name.into(), Shape::default()));
        }
        self.events.get_mut(at).map(|(_, shape)| shape)
    }

    fn merge(&mut self, other: Self, budget: &mut Budget) {
        self.count += other.count;
        self.malformed += other.malformed;
        self.unread += other.unread;
        self.shape.merge(other.shape, budget);
        for (name, shape) in other.events {
            if let Some(known) = self.event(&name) {
                known.merge(shape, budget);
            }
        }
    }

    fn describe(&self, writer: &mut SchemaWriter<'_>, hint: &str) -> Json {
        let text = || Object::default().with("type", "string");
        let mut object = Object::default();
        match Grammar::of(&self.name) {
            Grammar::Json | Grammar::Form | Grammar::Multipart if self.malformed > 0 || self.shape.is_empty() => {}
            Grammar::Json | Grammar::Form | Grammar::Multipart => {
                object.set("schema", writer.schema(&self.shape, hint));
            }
            Grammar::Lines => {
                object.set("schema", text());
                if self.malformed == 0 && !self.shape.is_empty() {
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
            Grammar::Text if self.shape.is_empty() => {
                object.set("schema", text());
            }
            Grammar::Text => {
                let inner = writer.schema(&self.shape, hint);
                object.set("schema", text().with("contentMediaType", "application/json").with("contentSchema", inner));
            }
            Grammar::Binary => {}
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
    for (name, values) in all {
        let Some(shape) = objects.add_member(&name, &mut budget) else { continue };
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
    Shape { objects: Some(Box::new(objects)), ..Shape::default() }
}

fn is_media_type(name: &str) -> bool {
    let is_token =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&b));
    name.len() <= 127 && name.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

fn is_event_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.:/".contains(&b))
}

const MAX_MEDIA_TYPES: usize = 12;

const MAX_EVENTS: usize = 64;

const MAX_FIELDS: usize = 1000;
