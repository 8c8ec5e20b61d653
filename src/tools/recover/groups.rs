//! The groups of each exchange and message in an unfinished bundle: usually one, or several if a later one replaces it.
//!
//! ```text
//! count: t_0001, t_0002, t_0001, t_0003      repeated: t_0001 twice
//! turn:  superseded, only, last, only
//! ```
//!
//! Only the headers are read to count. A page of the set has 256 numbers in 32 bytes.

use crate::bundle::archive::scan::{Scan, ScanItem};
use crate::bundle::id::{Id, ItemKind, item_of, numbers};
use crate::bundle::recovery_note::AMENDMENT;
use std::collections::HashMap;
use std::io;

/// The number of groups of items that have more than one.
#[derive(Default)]
pub(super) struct GroupCounts {
    remaining: HashMap<Id, u32>,
}

/// The place of a group among those of its item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Another group of the item follows.
    Superseded,
    /// The last group of an item that has several.
    Last,
    Only,
}

impl GroupCounts {
    /// Counts the groups up to the end of `scan`.
    pub(super) fn of(scan: &mut Scan<'_>) -> io::Result<Self> {
        let (mut seen, mut counts) = (NumberSet::default(), Self::default());
        while let ScanItem::Entry(entry) = scan.next()? {
            if let Some(id @ (Id::Trace(_) | Id::Message(..))) = id_of(&entry.header.name)
                && entry.note != AMENDMENT
                && !seen.insert(id)
            {
                let count = counts.remaining.entry(id).or_insert(1);
                *count = count.saturating_add(1);
            }
        }
        Ok(counts)
    }

    /// Returns the place of the next group of `id`.
    pub(super) fn turn(&mut self, id: Id) -> Turn {
        match self.remaining.get_mut(&id) {
            None => Turn::Only,
            Some(count @ 2..) => {
                *count = count.saturating_sub(1);
                Turn::Superseded
            }
            Some(_) => Turn::Last,
        }
    }
}

/// Returns the id of the item whose JSON entry has this name, as a capture writes it.
pub(super) fn id_of(name: &str) -> Option<Id> {
    let (kind, text) = item_of(name)?;
    let number = |n: &u64| u32::try_from(*n).ok();
    let id = match (kind, &numbers(text).collect::<Vec<_>>()[..]) {
        (ItemKind::Trace, [n]) => Id::Trace(number(n)?),
        (ItemKind::WebSocket, [n]) => Id::WebSocket(number(n)?),
        (ItemKind::Message, [websocket, n]) => Id::Message(number(websocket)?, number(n)?),
        _ => return None,
    };
    (id.to_string() == text).then_some(id)
}

/// A set of ids. Consecutive numbers share a page.
#[derive(Default)]
pub(super) struct NumberSet {
    pages: HashMap<(ItemKind, u32, u32), [u64; 4]>,
}

impl NumberSet {
    /// Adds `id`. Returns false if it is in the set already.
    pub(super) fn insert(&mut self, id: Id) -> bool {
        let (page, word, bit) = position(id);
        let Some(word) = self.pages.entry(page).or_default().get_mut(word) else { return false };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    pub(super) fn contains(&self, id: Id) -> bool {
        let (page, word, bit) = position(id);
        self.pages.get(&page).and_then(|page| page.get(word)).is_some_and(|word| word & bit != 0)
    }
}

/// Returns the page of an id, and the word and the bit within it.
fn position(id: Id) -> ((ItemKind, u32, u32), usize, u64) {
    let (websocket, number) = match id {
        Id::Trace(n) | Id::WebSocket(n) => (0, n),
        Id::Message(websocket, n) => (websocket, n),
    };
    ((id.kind(), websocket, number >> 8), usize::from((number >> 6 & 3) as u8), 1 << (number & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_the_ids_that_were_added() {
        let mut set = NumberSet::default();
        let ids = [0, 1, 63, 64, 255, 256, 10_000, u32::MAX]
            .into_iter()
            .flat_map(|n| [Id::Trace(n), Id::WebSocket(n), Id::Message(1, n), Id::Message(n, 1)]);
        let mut known = std::collections::BTreeSet::new();
        for id in ids {
            assert_eq!(set.contains(id), known.contains(&id), "{id}");
            assert_eq!(set.insert(id), known.insert(id), "{id}");
            assert!(set.contains(id));
        }
        assert!(!set.contains(Id::Trace(2)) && !set.contains(Id::Message(2, 2)));
    }

    #[test]
    fn only_names_that_a_capture_writes_have_an_id() {
        assert_eq!(id_of("traces/t_0001.json"), Some(Id::Trace(1)));
        assert_eq!(id_of("traces/t_10000.json"), Some(Id::Trace(10_000)));
        assert_eq!(id_of("ws/ws_0001.json"), Some(Id::WebSocket(1)));
        assert_eq!(id_of("ws/ws_0001_m002.json"), Some(Id::Message(1, 2)));
        for name in ["traces/t_00001.json", "traces/t_002_0001.json", "traces/t_4294967296.json", "ws/ws_0001_m02.json"]
        {
            assert_eq!(id_of(name), None, "{name}");
        }
    }
}
