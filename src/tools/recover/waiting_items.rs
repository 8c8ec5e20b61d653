//! Items whose JSON precedes their bodies, as other producers write them: each waits for its last body.

use super::bodies::WaitingBodies;
use crate::bundle::archive::located_entry::LocatedEntry;
use crate::bundle::id::Id;
use std::collections::VecDeque;

/// The last items with missing bodies, newest first.
#[derive(Default)]
pub(super) struct WaitingItems(VecDeque<WaitingItem>);

struct WaitingItem {
    id: Id,
    json: LocatedEntry,
    /// The names of its bodies' entries.
    bodies: Vec<String>,
}

impl WaitingItems {
    /// Adds the item whose JSON is `json`. Returns the id of one that waits no longer, because there are too many.
    pub(super) fn push(&mut self, id: Id, json: LocatedEntry, bodies: Vec<String>) -> Option<Id> {
        self.0.push_front(WaitingItem { id, json, bodies });
        if self.0.len() > MAX_WAITING_ITEMS { self.0.pop_back().map(|item| item.id) } else { None }
    }

    /// Removes the item of which `name` is a body if all its bodies are among `found`.
    pub(super) fn take_complete(&mut self, name: &str, found: &WaitingBodies) -> Option<(Id, LocatedEntry)> {
        let at = self.0.iter().position(|item| item.bodies.iter().any(|body| body == name))?;
        self.0.get(at).filter(|item| item.bodies.iter().all(|body| found.contains(body)))?;
        self.0.remove(at).map(|item| (item.id, item.json))
    }

    /// Removes all items, and returns their ids.
    pub(super) fn take_ids(&mut self) -> Vec<Id> {
        self.0.drain(..).rev().map(|item| item.id).collect()
    }
}

/// Bodies usually follow their JSON at once.
const MAX_WAITING_ITEMS: usize = 512;
