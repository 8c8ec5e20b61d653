//! The offsets of an archive's entries by name, in 16 bytes per entry, independent of the length of its name.
//!
//! ```text
//! name ─▶ hash ─▶ candidate offsets ─▶ compare the names in the file
//! ```
//!
//! Hashes may collide, and an archive may contain a name twice: callers compare the names. Of equal names the last entry
//! comes first: other ZIP readers use that one too.

use std::hash::{BuildHasher, RandomState};

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
        self.offsets.sort();
        self.sorted = self.offsets.len();
    }

    /// Removes the entry `name` at `offset`.
    pub(crate) fn remove(&mut self, name: &str, offset: u64) {
        if let Ok(at) = self.sorted().binary_search(&(self.hashes.hash_one(name), offset)) {
            self.offsets.remove(at);
            self.sorted = self.sorted.saturating_sub(1);
        }
    }

    /// Returns the last offset of each name that occurs more than once.
    pub(crate) fn repeated(&self) -> impl Iterator<Item = u64> + use<'_> {
        let runs = self.sorted().chunk_by(|(a, _), (b, _)| a == b);
        runs.filter(|run| run.len() > 1).filter_map(|run| run.last().map(|(_, offset)| *offset))
    }

    /// Returns the offsets of entries that may be called `name`, the last one first.
    pub(crate) fn offsets(&self, name: &str) -> impl Iterator<Item = u64> + use<'_> {
        let hash = self.hashes.hash_one(name);
        let start = self.sorted().partition_point(|(h, _)| *h < hash);
        let end = self.sorted().partition_point(|(h, _)| *h <= hash);
        self.sorted().get(start..end).unwrap_or_default().iter().rev().map(|(_, offset)| *offset)
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
        index.remove("a", 3);
        index.remove("a", 2);
        index.sort();
        assert_eq!(
            (index.offsets("a").collect::<Vec<_>>(), index.offsets("b").collect::<Vec<_>>()),
            (vec![1], vec![4, 2])
        );
    }
}
