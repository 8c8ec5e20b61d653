//! The ids of all items of a bundle, and the items that are left out.

use super::Ids;
use crate::bundle::id::{ItemKind, item_of, websocket_of};
use std::collections::HashMap;

/// The ids of all items.
#[derive(Default)]
pub(super) struct AllIds {
    pub(super) traces: Ids,
    pub(super) websockets: Ids,
    /// The ids of each WebSocket's messages, by the id of the WebSocket.
    pub(super) messages: HashMap<String, Ids>,
    pub(super) contexts: Ids,
    pub(super) left_out: LeftOut,
}

/// Items that a bundle has and an operation leaves out: their number and some ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LeftOut {
    /// The number of items.
    pub count: u64,
    /// The ids of the first ten.
    pub first: Vec<String>,
}

impl AllIds {
    /// Adds the id of the item that the archive entry `name` describes, if any, unless its `size` exceeds the limit.
    pub(super) fn add(&mut self, name: &str, size: u64) {
        match item_of(name) {
            Some((kind, id)) if size > max_json_bytes(kind) => self.left_out.add(id),
            Some((ItemKind::Trace, id)) => self.traces.push(id),
            Some((ItemKind::WebSocket, id)) => self.websockets.push(id),
            Some((ItemKind::Message, id)) => {
                let websocket = websocket_of(id);
                match self.messages.get_mut(websocket) {
                    Some(ids) => ids.push(id),
                    None => self.messages.entry(websocket.to_owned()).or_default().push(id),
                }
            }
            Some((ItemKind::Context, id)) => self.contexts.push(id),
            None => {}
        }
    }

    /// Appends ids that are not known yet.
    pub(super) fn append(&mut self, new: Self) {
        self.traces.append(&new.traces);
        self.websockets.append(&new.websockets);
        self.contexts.append(&new.contexts);
        self.left_out.append(new.left_out);
        for (websocket, ids) in new.messages {
            self.messages.entry(websocket).or_default().append(&ids);
        }
    }

    pub(super) fn sort(&mut self) {
        let Self { traces, websockets, messages, contexts, left_out: _ } = self;
        [traces, websockets, contexts].into_iter().chain(messages.values_mut()).for_each(Ids::sort);
    }
}

impl LeftOut {
    /// Adds the item `id`.
    pub fn add(&mut self, id: &str) {
        self.count = self.count.saturating_add(1);
        if self.first.len() < MAX_NAMED {
            self.first.push(id.to_owned());
        }
    }

    /// Adds the items of another list.
    pub(crate) fn append(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.first.extend(other.first);
        self.first.truncate(MAX_NAMED);
    }
}

/// Returns the size of the largest JSON that is read for an item.
pub(super) fn max_json_bytes(kind: ItemKind) -> u64 {
    match kind {
        ItemKind::Context => MAX_CONTEXT_BYTES,
        ItemKind::Trace | ItemKind::WebSocket | ItemKind::Message => MAX_JSON_BYTES,
    }
}

/// The largest JSON document that is read, besides the timeline. A capture writes no larger one. A head of 1 MiB usually takes
/// some 1.5 MiB, and one full of control characters 6 MiB. The fields of the largest take twice its size in memory.
pub(crate) const MAX_JSON_BYTES: u64 = 16 << 20;

/// The largest context. Its values take up to 30 times their size in memory.
const MAX_CONTEXT_BYTES: u64 = 1 << 20;

/// The number of ids in a [`LeftOut`].
const MAX_NAMED: usize = 10;
