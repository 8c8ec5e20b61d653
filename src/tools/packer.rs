//! Compresses items in memory, so that several threads can compress and one writes.

use super::rewriter::{Content, Error, Item, PackedItem, name_bodies};
use crate::bundle::archive::{Deflater, PackedEntry};
use crate::bundle::id::{ItemKind, payload_file};
use crate::bundle::json;
use crate::bundle::other_members::OtherMembers;
use crate::bundle::reader::Bundle;
use std::io;
use std::path::PathBuf;

/// Compresses one item after the other. The entries are those that [`super::rewriter::Rewriter::add`] writes.
pub(super) struct Packer {
    deflater: Deflater,
    /// The bundle that is written, for errors.
    output: PathBuf,
}

impl Packer {
    pub(super) fn new(output: PathBuf) -> Self {
        Self { deflater: Deflater::new(), output }
    }

    /// Compresses `item` of `bundle`, which must be small.
    pub(super) fn pack(&mut self, bundle: &Bundle, item: Item) -> Result<PackedItem, Error> {
        let mut entries = Vec::with_capacity(3);
        let (kind, id, timestamp, url) = match item {
            Item::Trace(mut trace, bodies) => {
                name_bodies(&mut trace, &bodies);
                for (body, file) in bodies.into_iter().zip([&trace.request.body_file, &trace.response.body_file]) {
                    entries.extend(self.content(bundle, ItemKind::Trace, file.as_deref(), body)?);
                }
                let json = json::to_vec_with(&*trace, &trace.others);
                entries.push(self.json(ItemKind::Trace, &trace.id, json)?);
                (ItemKind::Trace, trace.id, trace.timestamp, Some(trace.request.url))
            }
            Item::WebSocket(websocket) => {
                let json = json::to_vec_with(&*websocket, &websocket.others);
                entries.push(self.json(ItemKind::WebSocket, &websocket.id, json)?);
                (ItemKind::WebSocket, websocket.id, websocket.timestamp, None)
            }
            Item::Message(mut message, payload) => {
                message.payload_file = payload.file(payload_file(&message.id));
                let file = message.payload_file.as_deref();
                entries.extend(self.content(bundle, ItemKind::Message, file, payload)?);
                let json = json::to_vec_with(&*message, &message.others);
                entries.push(self.json(ItemKind::Message, &message.id, json)?);
                (ItemKind::Message, message.id, message.timestamp, None)
            }
            Item::Context(context) => {
                let json = json::to_vec_with(&*context, OtherMembers::NONE);
                entries.push(self.json(ItemKind::Context, &context.id, json)?);
                (ItemKind::Context, context.id, context.timestamp, None)
            }
        };
        Ok(PackedItem { kind, id, timestamp, url, entries })
    }

    fn json(&mut self, kind: ItemKind, id: &str, json: io::Result<Vec<u8>>) -> Result<PackedEntry, Error> {
        let packed = json.and_then(|json| PackedEntry::new(&mut self.deflater, kind.json_name(id), &json));
        packed.map_err(|cause| self.error(cause))
    }

    /// Compresses `content` as the body `file` of an item, if it has one.
    fn content(
        &mut self,
        bundle: &Bundle,
        kind: ItemKind,
        file: Option<&str>,
        content: Content,
    ) -> Result<Option<PackedEntry>, Error> {
        let Some(file) = file else { return Ok(None) };
        let name = kind.body_name(file);
        match content {
            Content::Empty => Ok(None),
            Content::Copied(from) => Ok(Some(bundle.packed(&from, name)?)),
            Content::Decoded(body) => {
                let mut bytes = Vec::new();
                let packed =
                    body.write_to(&mut bytes).and_then(|()| PackedEntry::streamed(&mut self.deflater, name, &bytes));
                packed.map(Some).map_err(|cause| self.error(cause))
            }
        }
    }

    fn error(&self, cause: io::Error) -> Error {
        Error::Write { path: self.output.clone(), cause }
    }
}
