//! The offsets of an archive's entries by name, in 16 bytes per entry, independent of the length of its name.
//!
//! ```text
//! name ─▶ hash ─▶ candidate offsets ─▶ compare the names in the file
//! ```
//!
//! Hashes may collide, and an unfinished bundle may contain a name twice: callers compare the names. Of equal names the last
//! entry comes first.

use crate::sorting::sort_pairs;
use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;

/// Maps hashes of names to offsets.
#[derive(Default)]
pub(crate) struct Index {
    /// Randomly keyed, so that names with equal hashes cannot be crafted.
    hashes: RandomState,
    /// `(hash, offset)`, in order up to `sorted`.
    offsets: Vec<(u64, u64)>,
    sorted: usize,
}

impl Index {
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self { offsets: Vec::with_capacity(count), ..Self::default() }
    }

    /// Adds an entry. It can be found after [`Index::sort`].
    pub(crate) fn push(&mut self, name: &str, offset: u64) {
        self.offsets.push((self.hashes.hash_one(name), offset));
    }

    /// Restores the order. The stable sort is fast on mostly sorted input: a growing bundle is sorted again and again.
    pub(crate) fn sort(&mut self) {
        sort_pairs(&mut self.offsets);
        self.sorted = self.offsets.len();
    }

    /// Removes the entries at these offsets. All entries must be in order.
    pub(crate) fn remove(&mut self, removed: &HashSet<u64>) {
        if !removed.is_empty() {
            self.offsets.retain(|(_, offset)| !removed.contains(offset));
            self.sorted = self.offsets.len();
        }
    }

    /// Returns the last offset of each name that occurs more than once.
    pub(crate) fn repeated(&self) -> impl Iterator<Item = u64> + use<'_> {
        let runs = self.sorted().chunk_by(|(a, _), (b, _)| a == b);
        runs.filter(|run| run.len() > 1).filter_map(|run| run.last().map(|(_, offset)| *offset))
    }

    /// Returns the offsets of entries that may be called `name`, the last one first.
    pub(crate) fn offsets(&self, name: &str) -> impl Iterator<Item = u64> + use<'_> {
        self.offsets_within(name, 0..u64::MAX)
    }

    /// As [`Index::offsets`], for the entries that begin within `range`.
    pub(crate) fn offsets_within(&self, name: &str, range: Range<u64>) -> impl Iterator<Item = u64> + use<'_> {
        let hash = self.hashes.hash_one(name);
        let start = self.sorted().partition_point(|entry| *entry < (hash, range.start));
        let following = self.sorted().get(start..).unwrap_or_default();
        // Few names occur twice, and a search takes long.
        let is_before = |entry: &(u64, u64)| *entry < (hash, range.end);
        let count = match following {
            [first, second, ..] if !is_before(second) => usize::from(is_before(first)),
            _ => following.partition_point(is_before),
        };
        following.get(..count).unwrap_or_default().iter().rev().map(|(_, offset)| *offset)
    }

    fn sorted(&self) -> &[(u64, u64)] {
        self.offsets.get(..self.sorted).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_the_last_of_equal_names_first() {
        let mut index = Index::with_capacity(3);
        for (name, offset) in [("a", 1), ("b", 2), ("a", 3)] {
            index.push(name, offset);
        }
        index.sort();
        let offsets = |name| index.offsets(name).collect::<Vec<_>>();
        assert_eq!((offsets("a"), offsets("b"), offsets("c")), (vec![3, 1], vec![2], vec![]));
        assert_eq!(index.repeated().collect::<Vec<_>>(), [3]);
        index.push("b", 4);
        assert_eq!(index.offsets("b").collect::<Vec<_>>(), [2], "found after the next sort");
        index.sort();
        let offsets = |index: &Index, name| index.offsets(name).collect::<Vec<_>>();
        let within = |range| index.offsets_within("b", range).collect::<Vec<_>>();
        assert_eq!((within(0..5), within(2..4), within(3..4)), (vec![4, 2], vec![2], vec![]));
        index.remove(&HashSet::from([3, 5]));
        assert_eq!((offsets(&index, "a"), offsets(&index, "b")), (vec![1], vec![4, 2]));
    }
}
