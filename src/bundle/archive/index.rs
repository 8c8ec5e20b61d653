//! Where the entries of an archive are, by their names: sixteen bytes for each, however long its name.
//!
//! ```text
//! name ─▶ hash ─▶ places ─▶ what stands there says its name     the one that is meant
//! ```
//!
//! Two names may have one hash, and a name may be there twice: whoever asks compares the names, the last place first.

use std::hash::{BuildHasher, RandomState};

/// See above.
#[derive(Default)]
pub(crate) struct Index {
    /// Its key is nobody's to know: names cannot be made to have one hash.
    hashes: RandomState,
    /// By hash, then by place, once they are in order.
    places: Vec<(u64, u64)>,
}

impl Index {
    /// Reservation for `count` entries.
    pub(crate) fn for_entries(count: usize) -> Self {
        Self { places: Vec::with_capacity(count), ..Self::default() }
    }

    /// Notes where the entry `name` is; it is found after [`Index::put_in_order`].
    pub(crate) fn push(&mut self, name: &str, place: u64) {
        self.places.push((self.hashes.hash_one(name), place));
    }

    pub(crate) fn put_in_order(&mut self) {
        // Stable, as that is fast where most are in order already: a bundle that grows is put in order again and again.
        self.places.sort();
    }

    /// Where the entry `name` may be.
    pub(crate) fn places(&self, name: &str) -> impl Iterator<Item = u64> + use<'_> {
        let hash = self.hashes.hash_one(name);
        let (from, to) =
            (self.places.partition_point(|(h, _)| *h < hash), self.places.partition_point(|(h, _)| *h <= hash));
        self.places.get(from..to).unwrap_or_default().iter().rev().map(|(_, place)| *place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_name_comes_first() {
        let mut index = Index::for_entries(3);
        for (name, place) in [("a", 1), ("b", 2), ("a", 3)] {
            index.push(name, place);
        }
        index.put_in_order();
        let places = |name| index.places(name).collect::<Vec<_>>();
        assert_eq!((places("a"), places("b"), places("c")), (vec![3, 1], vec![2], vec![]));
    }
}
