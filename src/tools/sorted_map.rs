//! A small map in a sorted vector.
//!
//! The standard library's maps take several KB of the binary for each pair of types; this one takes a few hundred bytes. Inserting
//! moves the entries behind: for maps with up to some thousand entries.

use std::borrow::Borrow;

/// A map, sorted by its keys.
#[derive(Clone, Debug)]
pub(super) struct SortedMap<K, V>(Vec<(K, V)>);

impl<K, V> Default for SortedMap<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord, V> SortedMap<K, V> {
    pub(super) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let at = self.find(key).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// Returns the value of `key`, a default one if it has none yet.
    pub(super) fn or_default(&mut self, key: K) -> Option<&mut V>
    where
        V: Default,
    {
        let at = match self.find(&key) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, (key, V::default()));
                at
            }
        };
        self.0.get_mut(at).map(|(_, value)| value)
    }

    /// Adds an entry, unless the key has one.
    pub(super) fn insert(&mut self, key: K, value: V) {
        if let Err(at) = self.find(&key) {
            self.0.insert(at, (key, value));
        }
    }

    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0.binary_search_by(|(known, _)| known.borrow().cmp(key))
    }
}

impl<K, V> SortedMap<K, V> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    pub(super) fn into_entries(self) -> Vec<(K, V)> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_sorted_and_unique() {
        let mut map: SortedMap<String, usize> = SortedMap::default();
        for (n, key) in ["b", "a", "c", "a"].into_iter().enumerate() {
            *map.or_default(key.to_owned()).unwrap() += n;
            map.insert(key.to_owned(), 100);
        }
        let entries: Vec<_> = map.iter().map(|(key, value)| (key.as_str(), *value)).collect();
        assert_eq!(entries, [("a", 4), ("b", 0), ("c", 2)]);
        assert_eq!((map.get("c"), map.get("d"), map.len(), map.is_empty()), (Some(&2), None, 3, false));
        map.iter_mut().for_each(|(_, value)| *value += 1);
        assert_eq!(map.values().copied().collect::<Vec<_>>(), [5, 1, 3]);
        assert_eq!((map.keys().count(), map.into_entries().len()), (3, 3));
    }
}
