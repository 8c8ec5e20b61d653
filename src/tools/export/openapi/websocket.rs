//! The messages of WebSockets, at the operation of their handshake.

use super::json_value::Object;
use super::parse::document;
use super::schema::SchemaWriter;
use super::shape::{Budget, Shape};
use crate::text::as_text;

/// The messages of an operation's WebSockets.
#[derive(Clone, Debug, Default)]
pub(super) struct Messages {
    sent: Direction,
    received: Direction,
    /// The subprotocols that were chosen.
    protocols: Vec<Box<str>>,
}

/// Messages in one direction.
#[derive(Clone, Debug, Default)]
struct Direction {
    texts: u64,
    binaries: u64,
    /// The texts: as JSON if they are, otherwise as strings.
    shape: Shape,
}

impl Messages {
    /// Adds a message of a client or of an origin.
    pub(super) fn add(&mut self, is_sent: bool, is_text: bool, payload: Option<&[u8]>, budget: &mut Budget) {
        let direction = if is_sent { &mut self.sent } else { &mut self.received };
        let text = payload.and_then(as_text).filter(|_| is_text);
        match text {
            None => direction.binaries += 1,
            Some(text) => {
                direction.texts += 1;
                let shape = document(text.as_bytes()).unwrap_or_else(|| {
                    let mut shape = Shape::default();
                    shape.add_string(text);
                    shape
                });
                direction.shape.merge(shape, budget);
            }
        }
    }

    pub(super) fn add_protocol(&mut self, protocol: &str) {
        if self.protocols.len() < MAX_PROTOCOLS && !self.protocols.iter().any(|known| **known == *protocol) {
            self.protocols.push(protocol.into());
        }
    }

    pub(super) fn merge(&mut self, other: Self, budget: &mut Budget) {
        self.sent.merge(other.sent, budget);
        self.received.merge(other.received, budget);
        other.protocols.iter().for_each(|protocol| self.add_protocol(protocol));
    }

    /// Adds the messages to an operation object.
    pub(super) fn describe(&self, operation: &mut Object, writer: &mut SchemaWriter<'_>, hint: &str) {
        let mut messages = Object::default();
        for (name, direction) in [("sent", &self.sent), ("received", &self.received)] {
            if direction.texts + direction.binaries > 0 {
                messages.set(name, direction.describe(writer, hint));
            }
        }
        if messages.is_empty() {
            return;
        }
        let protocols: Vec<_> = self.protocols.iter().map(|protocol| &**protocol).collect();
        messages.set_unless_empty("protocols", protocols);
        operation.set("x-websocket", messages);
    }
}

impl Direction {
    fn merge(&mut self, other: Self, budget: &mut Budget) {
        self.texts += other.texts;
        self.binaries += other.binaries;
        self.shape.merge(other.shape, budget);
    }

    fn describe(&self, writer: &mut SchemaWriter<'_>, hint: &str) -> Object {
        let mut described = Object::default();
        if self.texts > 0 {
            described.set("text", self.texts).set("schema", writer.schema(&self.shape, hint));
        }
        if self.binaries > 0 {
            described.set("binary", self.binaries);
        }
        described
    }
}

const MAX_PROTOCOLS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::export::openapi::testing::{schema, written};
    use serde_json::{Value, json};

    /// Returns the messages of these texts; `None` is binary, `true` is sent.
    fn messages(all: &[(bool, Option<&str>)]) -> Messages {
        let mut messages = Messages::default();
        for (is_sent, text) in all {
            let payload = text.map_or(&b"\0"[..], str::as_bytes);
            messages.add(*is_sent, text.is_some(), Some(payload), &mut Budget::DOCUMENT.clone());
        }
        messages
    }

    fn described(messages: &Messages) -> Value {
        written(false, |writer| {
            let mut operation = Object::default();
            messages.describe(&mut operation, writer, "chat");
            operation.into()
        })
        .0
    }

    #[test]
    fn messages_are_described_by_direction() {
        let all =
            [(true, Some(r#"{"a": 1}"#)), (true, Some(r#"{"a": 2, "b": 1}"#)), (false, Some("hello")), (false, None)];
        let expected = json!({"x-websocket": {
            "sent": {"text": 2, "schema": schema(&[json!({"a": 1}), json!({"a": 1, "b": 1})])},
            "received": {"text": 1, "schema": {"type": "string"}, "binary": 1},
        }});
        assert_eq!(described(&messages(&all)), expected);
        assert_eq!(described(&messages(&[(true, None)])), json!({"x-websocket": {"sent": {"binary": 1}}}));
    }

    #[test]
    fn text_that_cannot_be_read_is_counted_as_binary() {
        let mut messages = Messages::default();
        messages.add(true, true, None, &mut Budget::BODY.clone());
        messages.add(true, true, Some(b"\xff"), &mut Budget::BODY.clone());
        assert_eq!(described(&messages), json!({"x-websocket": {"sent": {"binary": 2}}}));
    }

    #[test]
    fn websockets_of_an_operation_are_added() {
        let mut all = messages(&[(true, Some("1"))]);
        all.add_protocol("chat");
        let mut other = messages(&[(true, Some("2")), (false, None)]);
        (0..20).for_each(|n| other.add_protocol(&format!("p{n}")));
        other.add_protocol("chat");
        all.merge(other, &mut Budget::DOCUMENT.clone());
        let described = &described(&all)["x-websocket"];
        assert_eq!(described["sent"], json!({"text": 2, "schema": {"type": "integer"}}));
        assert_eq!(described["received"], json!({"binary": 1}));
        let protocols = described["protocols"].as_array().unwrap();
        assert_eq!((protocols.len(), &protocols[0], &protocols[1]), (MAX_PROTOCOLS, &json!("chat"), &json!("p0")));
    }

    #[test]
    fn a_websocket_without_messages_is_not_described() {
        let mut messages = Messages::default();
        messages.add_protocol("chat");
        assert_eq!(described(&messages), json!({}));
    }
}
