//! The exchanges, messages or WebSockets that ended early, for the summary: their number, and the first ones.

use crate::bundle::id::Id;
use crate::notice::CutOffItems;

/// Collects items that were cut off. It keeps a few, so a capture of any length needs no more memory for it.
pub(super) struct CutOffs<T> {
    count: u64,
    /// The items with the smallest ids, in order. A map would take several KB of the binary for each type of item.
    first: Vec<(Id, T)>,
}

impl<T: Copy + PartialEq> CutOffs<T> {
    pub(super) fn new() -> Self {
        Self { count: 0, first: Vec::new() }
    }

    /// Adds the item `id`. Large exchanges are written late, so ids come in any order.
    pub(super) fn add(&mut self, id: Id, cut_off: T) {
        self.count = self.count.saturating_add(1);
        self.first.insert(self.first.partition_point(|(listed, _)| *listed < id), (id, cut_off));
        self.first.truncate(MAX_LISTED_ITEMS);
    }

    /// Changes the value of `id`, which was added before.
    pub(super) fn update(&mut self, id: Id, cut_off: T) {
        if let Some((_, listed)) = self.first.iter_mut().find(|(listed, _)| *listed == id) {
            *listed = cut_off;
        }
    }

    /// Updates `items`, an earlier copy of these values.
    pub(super) fn copy_to(&self, items: &mut CutOffItems<T>) {
        if items.count != self.count
            || !items.first.iter().map(|(_, cut_off)| cut_off).eq(self.first.iter().map(|(_, cut_off)| cut_off))
        {
            *items = self.items();
        }
    }

    /// Returns the values for the summary.
    pub(super) fn items(&self) -> CutOffItems<T> {
        let first = self.first.iter().map(|&(id, cut_off)| (id.to_string(), cut_off)).collect();
        CutOffItems { count: self.count, first }
    }
}

/// The summary lists this many items. More are only counted.
const MAX_LISTED_ITEMS: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_first_ids_and_counts_all() {
        let mut cut_offs = CutOffs::new();
        (1..=12).rev().chain([10_000]).for_each(|number| cut_offs.add(Id::Trace(number), number));
        let CutOffItems { count, first } = cut_offs.items();
        assert_eq!(count, 13);
        assert_eq!(first, (1..=10).map(|number| (format!("t_{number:04}"), number)).collect::<Vec<_>>());
        let mut messages = CutOffs::new();
        for id in [Id::Message(10, 1), Id::Message(2, 3), Id::Message(2, 1)] {
            messages.add(id, ());
        }
        let ids: Vec<_> = messages.items().first.into_iter().map(|(id, ())| id).collect();
        assert_eq!(ids, ["ws_0002_m001", "ws_0002_m003", "ws_0010_m001"]);
    }
}
