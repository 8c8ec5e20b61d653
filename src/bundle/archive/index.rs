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
    /// `(hash, offset)`, in order after [`Index::sort`].
    offsets: Vec<(u64, u64)>,
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
    }

    /// Returns the offsets of entries that may be called `name`, the last one first.
    pub(crate) fn offsets(&self, name: &str) -> impl Iterator<Item = u64> + use<'_> {
        let hash = self.hashes.hash_one(name);
        let start = self.offsets.partition_point(|(h, _)| *h < hash);
        let end = self.offsets.partition_point(|(h, _)| *h <= hash);
        self.offsets.get(start..end).unwrap_or_default().iter().rev().map(|(_, offset)| *offset)
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
    }
}
