//! The ids of a bundle's items, sorted by their numbers.

use crate::bundle::id::numbers;
use crate::bundle::string_arena::StringArena;
use crate::sorting::sort_by;

/// A list of distinct ids of one kind, sorted by number. Ids that a running capture adds follow the known ones. It is compact,
/// some 15 bytes per id, because a bundle may have a million.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    ids: StringArena,
    is_unsorted: bool,
}

impl Ids {
    pub(super) const EMPTY: Self = Self { ids: StringArena::EMPTY, is_unsorted: false };

    /// Returns the number of ids.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns true if there are no ids.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the id at `index`.
    pub fn get(&self, index: usize) -> Option<&str> {
        self.ids.get(index)
    }

    /// Returns the id with the lowest number.
    pub fn first(&self) -> Option<&str> {
        self.ids.get(0)
    }

    /// Returns the id with the highest number.
    pub fn last(&self) -> Option<&str> {
        self.ids.last()
    }

    /// Iterates over the ids in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.ids.iter()
    }

    /// Returns true if `id` is one of them. Compares all ids only if a running capture added some out of order.
    pub fn contains(&self, id: &str) -> bool {
        if self.is_unsorted {
            return self.iter().any(|known| known == id);
        }
        let searched = || numbers(id);
        let (mut start, mut end) = (0, self.len());
        while start < end {
            let middle = start.midpoint(end);
            match self.get(middle) {
                Some(known) if numbers(known).lt(searched()) => start = middle.saturating_add(1),
                _ => end = middle,
            }
        }
        // Ids such as `t_2` and `t_0002` have equal numbers.
        let same = (start..self.len()).map_while(|index| self.get(index).filter(|known| numbers(known).eq(searched())));
        same.into_iter().any(|known| known == id)
    }

    /// Appends an id. [`Ids::sort`] restores the order.
    pub(super) fn push(&mut self, id: &str) {
        match self.last() {
            // In an unfinished bundle, a later entry replaces an earlier one.
            Some(last) if last == id => return,
            Some(last) => self.is_unsorted |= numbers(last).gt(numbers(id)),
            None => {}
        }
        self.ids.push(id);
    }

    /// Appends the ids of `new`, none of which is known.
    pub(super) fn append(&mut self, new: &Self) {
        new.iter().for_each(|id| self.push(id));
    }

    pub(super) fn sort(&mut self) {
        if !self.is_unsorted {
            return;
        }
        let mut ids: Vec<&str> = self.ids.iter().collect();
        sort_by(&mut ids, &|a, b| numbers(a).cmp(numbers(b)));
        ids.dedup();
        *self = Self { ids: ids.into_iter().collect(), is_unsorted: false };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_number() {
        let mut ids = Ids::default();
        for id in ["t_10000", "t_0002", "t_0002", "t_9999", "t_99999999999999999999", "t_0002"] {
            ids.push(id);
        }
        ids.sort();
        assert_eq!(ids.iter().collect::<Vec<_>>(), ["t_99999999999999999999", "t_0002", "t_9999", "t_10000"]);
        assert!(ids.contains("t_9999") && !ids.contains("t_1"));
        for id in ["t_2", "t_00002", "t_10001"] {
            assert!(!ids.contains(id));
            ids.push(id);
            assert!(ids.contains(id) && ids.contains("t_0002") && ids.contains("t_10000"), "{id}");
        }
        ids.sort();
        assert!(["t_2", "t_00002", "t_0002", "t_10001", "t_99999999999999999999"].iter().all(|id| ids.contains(id)));
        assert_eq!((ids.len(), ids.last()), (7, Some("t_10001")));
    }
}
