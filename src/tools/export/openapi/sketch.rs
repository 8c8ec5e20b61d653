//! The names in an answer, as a small set of hashes: enough to see that two answers are of different kinds.

use std::hash::{DefaultHasher, Hash, Hasher};

/// A set of hashed names, sorted; at most [`MAX_NAMES`].
#[derive(Clone, Debug, Default)]
pub(super) struct Sketch(Vec<u32>);

impl Sketch {
    /// Adds a name at a depth; `is_in_array` if it is of an element.
    pub(super) fn add(&mut self, depth: usize, is_in_array: bool, name: &str) {
        let mut hasher = DefaultHasher::new();
        (depth, is_in_array, name).hash(&mut hasher);
        self.insert(low_half(hasher.finish()));
    }

    /// Returns the names as those in answers to one method.
    pub(super) fn of_method(self, method: &str) -> Self {
        let mut sketch = Self::default();
        for hash in &self.0 {
            let mut hasher = DefaultHasher::new();
            (hash, method).hash(&mut hasher);
            sketch.insert(low_half(hasher.finish()));
        }
        sketch
    }

    fn insert(&mut self, hash: u32) {
        if let Err(at) = self.0.binary_search(&hash)
            && self.0.len() < MAX_NAMES
        {
            self.0.insert(at, hash);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|hash| self.insert(*hash));
    }

    /// True if there was no answer with a status of success.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of names.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the hashes.
    pub(super) fn hashes(&self) -> impl Iterator<Item = u32> {
        self.0.iter().copied()
    }

    /// True if nearly all of its names are in `whole`, which is sorted.
    pub(super) fn is_part_of(&self, whole: &[u32]) -> bool {
        let common = self.0.iter().filter(|hash| whole.binary_search(hash).is_ok()).count();
        !self.0.is_empty() && common.saturating_mul(5) >= self.0.len().saturating_mul(4)
    }
}

fn low_half(hash: u64) -> u32 {
    u32::try_from(hash & u64::from(u32::MAX)).unwrap_or_default()
}

const MAX_NAMES: usize = 96;
