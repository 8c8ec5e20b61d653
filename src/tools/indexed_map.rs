//! A map in the order of insertion: entries in a vector, and their places by the hash of the key.
//!
//! As with [`SortedMap`](super::sorted_map::SortedMap), another pair of types takes a few hundred bytes of the binary. Inserting
//! takes constant time: for maps of any size.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A map in the order of insertion.
#[derive(Clone, Debug)]
pub(super) struct IndexedMap<K, V> {
    entries: Vec<(K, V)>,
    /// Places by hash. A key whose place is taken by another one has the next hash that is free.
    places: HashMap<u64, usize>,
}

impl<K, V> Default for IndexedMap<K, V> {
    fn default() -> Self {
        Self { entries: Vec::new(), places: HashMap::new() }
    }
}

impl<K: Hash + Eq, V> IndexedMap<K, V> {
    pub(super) fn contains_key<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    pub(super) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let at = self.find(key).ok()?;
        self.entries.get(at).map(|(_, value)| value)
    }

    /// Returns the value of `key`, a default one if it has none yet.
    pub(super) fn or_default(&mut self, key: K) -> Option<&mut V>
    where
        V: Default,
    {
        let at = match self.find(&key) {
            Ok(at) => at,
            Err(hash) => self.push(hash, key, V::default()),
        };
        self.entries.get_mut(at).map(|(_, value)| value)
    }

    /// Adds an entry. Returns false if the key has one.
    pub(super) fn insert(&mut self, key: K, value: V) -> bool {
        match self.find(&key) {
            Ok(_) => false,
            Err(hash) => {
                self.push(hash, key, value);
                true
            }
        }
    }

    fn push(&mut self, hash: u64, key: K, value: V) -> usize {
        let at = self.entries.len();
        self.places.insert(hash, at);
        self.entries.push((key, value));
        at
    }

    /// Returns the place of `key`, or else the hash that is free for it.
    fn find<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Result<usize, u64>
    where
        K: Borrow<Q>,
    {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let mut hash = hasher.finish();
        while let Some(at) = self.places.get(&hash) {
            if self.entries.get(*at).is_some_and(|(known, _)| known.borrow() == key) {
                return Ok(*at);
            }
            hash = hash.wrapping_add(1);
        }
        Err(hash)
    }
}

impl<K, V> IndexedMap<K, V> {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.entries.iter().map(|(key, _)| key)
    }

    pub(super) fn into_entries(self) -> Vec<(K, V)> {
        self.entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_the_order_of_insertion() {
        let mut map: IndexedMap<String, usize> = IndexedMap::default();
        for (n, key) in ["b", "a", "c", "a"].into_iter().enumerate() {
            *map.or_default(key.to_owned()).unwrap() += n;
            assert!(!map.insert(key.to_owned(), 100));
        }
        assert!(map.insert("d".into(), 7));
        assert_eq!((map.get("a"), map.get("e"), map.contains_key("d")), (Some(&4), None, true));
        assert_eq!((map.len(), map.is_empty(), map.keys().count()), (4, false, 4));
        let expected = [("b", 0), ("a", 4), ("c", 2), ("d", 7)].map(|(key, value)| (key.to_owned(), value));
        assert_eq!(map.into_entries(), expected);
    }

    #[test]
    fn keys_of_one_hash_are_distinguished() {
        #[derive(PartialEq, Eq)]
        struct Same(u8);
        impl Hash for Same {
            fn hash<H: Hasher>(&self, _: &mut H) {}
        }
        let mut map = IndexedMap::default();
        assert!((0..9).all(|n| map.insert(Same(n), n)));
        assert!((0..9).all(|n| map.get(&Same(n)) == Some(&n)) && map.get(&Same(9)).is_none());
    }
}
