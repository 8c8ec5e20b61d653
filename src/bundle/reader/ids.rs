//! The ids of a bundle's items, in the order of their numbers.

use crate::bundle::string_arena::StringArena;

/// Ids of one kind, each once. They take some fifteen bytes each: a bundle may have a million.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    texts: StringArena,
    /// Some stand where they do not belong.
    is_mixed: bool,
}

impl Ids {
    pub(super) const NONE: Self = Self { texts: StringArena::NONE, is_mixed: false };

    /// How many there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The one at `index`.
    pub fn get(&self, index: usize) -> Option<&str> {
        self.texts.get(index)
    }

    /// The one with the lowest number.
    pub fn first(&self) -> Option<&str> {
        self.texts.get(0)
    }

    /// The one with the highest number.
    pub fn last(&self) -> Option<&str> {
        self.texts.last()
    }

    /// All of them.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        self.texts.iter()
    }

    /// Whether `id` is one of them.
    pub fn contains(&self, id: &str) -> bool {
        self.iter().any(|known| known == id)
    }

    /// Adds one; they have their order again after [`Ids::put_in_order`].
    pub(super) fn push(&mut self, id: &str) {
        match self.last() {
            // An archive may have an entry twice; readers find one of them.
            Some(last) if last == id => return,
            Some(last) => self.is_mixed |= numbers(last) > numbers(id),
            None => {}
        }
        self.texts.push(id);
    }

    pub(super) fn put_in_order(&mut self) {
        if !self.is_mixed {
            return;
        }
        let mut ids: Vec<&str> = self.texts.iter().collect();
        ids.sort_by_cached_key(|id| numbers(id));
        ids.dedup();
        *self = Self { texts: ids.into_iter().collect(), is_mixed: false };
    }
}

/// The numbers in an id: ids past four digits sort after those of four.
pub(crate) fn numbers(id: &str) -> Vec<u64> {
    id.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
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
        ids.put_in_order();
        assert_eq!(ids.iter().collect::<Vec<_>>(), ["t_99999999999999999999", "t_0002", "t_9999", "t_10000"]);
        assert!(ids.contains("t_9999") && !ids.contains("t_1"));
        assert_eq!((ids.len(), ids.last()), (4, Some("t_10000")));
    }
}
