//! A WebSocket message prepared for the archive: all values of its JSON are present.
//!
//! There may be hundreds of thousands of short messages in a second, so the JSON is written by hand: it takes a fifth of the time
//! that a serializer does.

use super::body_entry::BodyEntry;
use crate::bundle::archive::{Archive, GroupPlace};
use crate::bundle::id::{Id, ItemKind, payload_path, websocket_of};
use crate::record::cut_off::{CutOffCause, MessageCutOff, MessageSender};
use crate::record::item::{WebSocketKey, WebSocketMessage};
use crate::wire::tap::{Dir, Opcode, PayloadEncoding};
use std::io;

/// A WebSocket message prepared for the archive.
pub(super) struct PreparedMessage {
    /// The WebSocket it belongs to.
    pub(super) key: WebSocketKey,
    /// The number in that WebSocket's id.
    pub(super) websocket_number: u32,
    /// The number of the message in its own id.
    pub(super) number: u32,
    /// The id, `ws_0001_m001`.
    id: String,
    /// Milliseconds since the epoch.
    pub(super) ended_ms: u64,
    dir: Dir,
    opcode: Opcode,
    pub(super) payload: BodyEntry,
    encoding: Option<PayloadEncoding>,
    cut_off: Option<CutOffCause>,
}

impl PreparedMessage {
    pub(super) fn new(message: WebSocketMessage, websocket_number: u32, number: u32) -> Self {
        let WebSocketMessage { websocket: key, ended_ms, dir, opcode, payload, encoding, cut_off } = message;
        let id = Id::Message(websocket_number, number).text();
        let payload = BodyEntry::unchanged(payload, || payload_path(&id));
        let cut_off = cut_off.or(payload.cut_off);
        Self { key, websocket_number, number, id, ended_ms, dir, opcode, payload, encoding, cut_off }
    }

    /// Returns the cause if the message is incomplete, with its sender.
    pub(super) fn cut_off(&self) -> Option<MessageCutOff> {
        let sender = match self.dir {
            Dir::Up => MessageSender::Client,
            Dir::Down => MessageSender::Origin,
        };
        self.cut_off.map(|why| MessageCutOff { sender, why })
    }

    /// Stages it in the archive, the JSON last.
    pub(super) fn stage(&self, archive: &mut Archive, note: &[u8]) -> io::Result<GroupPlace> {
        archive.stage(|archive| {
            self.payload.write(archive)?;
            archive.add_written(&ItemKind::Message.json_name(&self.id), note, |out| {
                self.write_json(out);
                Ok(())
            })
        })
    }

    /// Appends its JSON to `out`: a [`format::Message`](crate::bundle::format::Message) in the layout of `json.rs`. No text in it
    /// needs escapes.
    fn write_json(&self, out: &mut Vec<u8>) {
        let id = &*self.id;
        let (mut timestamp, mut size) = (itoa::Buffer::new(), itoa::Buffer::new());
        let (file_start, file, file_end) = match self.payload.file() {
            Some(file) => ("\"", file, "\""),
            None => ("", "null", ""),
        };
        let mut write = |parts: &[&str]| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
        write(&[
            "{\n  \"id\": \"",
            id,
            "\",\n  \"connection_ref\": \"",
            websocket_of(id),
            "\",\n  \"timestamp\": ",
            timestamp.format(self.ended_ms),
            direction(self.dir),
            opcode(self.opcode),
            ",\n  \"payload_file\": ",
            file_start,
            file,
            file_end,
            ",\n  \"payload_size\": ",
            size.format(self.payload.size),
            ",\n  \"context_refs\": []",
        ]);
        if let Some(encoding) = self.encoding {
            write(&[payload_encoding(encoding)]);
        }
        if let Some(why) = self.cut_off {
            write(&[",\n  \"cut_off\": {\n    \"why\": \"", why.name(), "\"\n  }"]);
        }
        write(&["\n}"]);
    }
}

/// Returns the member of a message's JSON.
fn direction(dir: Dir) -> &'static str {
    match dir {
        Dir::Up => ",\n  \"direction\": \"send\"",
        Dir::Down => ",\n  \"direction\": \"receive\"",
    }
}

/// Returns the member of a message's JSON.
fn opcode(opcode: Opcode) -> &'static str {
    match opcode {
        Opcode::Text => ",\n  \"opcode\": \"text\"",
        Opcode::Binary => ",\n  \"opcode\": \"binary\"",
        Opcode::Ping => ",\n  \"opcode\": \"ping\"",
        Opcode::Pong => ",\n  \"opcode\": \"pong\"",
        Opcode::Close => ",\n  \"opcode\": \"close\"",
    }
}

/// Returns the member of a message's JSON.
fn payload_encoding(encoding: PayloadEncoding) -> &'static str {
    match encoding {
        PayloadEncoding::PermessageDeflate => ",\n  \"payload_encoding\": \"permessage-deflate\"",
        PayloadEncoding::Unknown => ",\n  \"payload_encoding\": \"unknown\"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::format::{self, Message};
    use crate::record::body::{Body, test_store};

    /// Returns the message with these values, and the value of its JSON.
    fn message(
        (dir, direction): (Dir, &str),
        (opcode, opcode_name): (Opcode, &str),
        (encoding, encoding_name): (Option<PayloadEncoding>, Option<&str>),
        cut_off: Option<CutOffCause>,
        (websocket, number, ended_ms, size): (u32, u32, u64, usize),
    ) -> (PreparedMessage, Message) {
        let mut payload = Body::new(&test_store(std::env::temp_dir(), 1 << 20));
        payload.push(&vec![b'x'; size]);
        let received =
            WebSocketMessage { websocket: WebSocketKey(7), ended_ms, dir, opcode, payload, encoding, cut_off };
        let id = Id::Message(websocket, number).to_string();
        let expected = Message {
            connection_ref: Id::WebSocket(websocket).to_string(),
            timestamp: ended_ms,
            direction: direction.into(),
            opcode: opcode_name.into(),
            payload_file: (size > 0).then(|| format!("{id}.bin")),
            payload_size: size as u64,
            payload_encoding: encoding_name.map(str::to_owned),
            cut_off: cut_off.map(|why| format::MessageCutOff { why: why.name().into() }),
            id,
            ..Message::default()
        };
        (PreparedMessage::new(received, websocket, number), expected)
    }

    #[test]
    fn the_json_is_that_of_a_serializer() {
        let dirs = [(Dir::Up, "send"), (Dir::Down, "receive")];
        let opcodes = [
            (Opcode::Text, "text"),
            (Opcode::Binary, "binary"),
            (Opcode::Ping, "ping"),
            (Opcode::Pong, "pong"),
            (Opcode::Close, "close"),
        ];
        let encodings = [
            (None, None),
            (Some(PayloadEncoding::PermessageDeflate), Some("permessage-deflate")),
            (Some(PayloadEncoding::Unknown), Some("unknown")),
        ];
        let causes = [None, Some(CutOffCause::Reset), Some(CutOffCause::Limit), Some(CutOffCause::Stopped)];
        let numbers = [(1, 1, 0, 0), (12_345, 1000, 1_795_338_429_123, 1), (u32::MAX, u32::MAX, u64::MAX, 70_000)];
        for dir in dirs {
            for opcode in opcodes {
                for encoding in encodings {
                    for cut_off in causes {
                        for number in numbers {
                            let (message, expected) = message(dir, opcode, encoding, cut_off, number);
                            let mut written = Vec::new();
                            message.write_json(&mut written);
                            let written = String::from_utf8(written).unwrap();
                            assert_eq!(written, serde_json::to_string_pretty(&expected).unwrap());
                        }
                    }
                }
            }
        }
    }
}
