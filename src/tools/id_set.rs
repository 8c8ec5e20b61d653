//! A set of ids. Ids that differ by consecutive numbers share one range, so the items of a capture take little memory.

use std::collections::{BTreeMap, HashMap};

/// A set of ids.
#[derive(Default)]
pub(super) struct IdSet {
    /// The first and last number of each range, by the text before the number.
    ranges: HashMap<Box<str>, BTreeMap<u64, u64>>,
}

impl IdSet {
    /// Adds `id`. Returns false if it is in the set already.
    pub(super) fn insert(&mut self, id: &str) -> bool {
        let (prefix, number) = split(id);
        let ranges = match self.ranges.get_mut(prefix) {
            Some(ranges) => ranges,
            None => self.ranges.entry(prefix.into()).or_default(),
        };
        let before = ranges.range(..=number).next_back().map(|(&first, &last)| (first, last));
        if before.is_some_and(|(_, last)| last >= number) {
            return false;
        }
        let adjacent = before.filter(|(_, last)| last.checked_add(1) == Some(number));
        let first = adjacent.map_or(number, |(first, _)| first);
        let following = number.checked_add(1).and_then(|next| ranges.remove(&next));
        ranges.insert(first, following.unwrap_or(number));
        true
    }

    /// Returns true if `id` is in the set.
    pub(super) fn contains(&self, id: &str) -> bool {
        let (prefix, number) = split(id);
        let range = self.ranges.get(prefix).and_then(|ranges| ranges.range(..=number).next_back());
        range.is_some_and(|(_, &last)| last >= number)
    }
}

/// Splits `id` before its last number, leading zeros excluded: distinct ids have distinct pairs.
fn split(id: &str) -> (&str, u64) {
    let digits = id.get(id.trim_end_matches(|c: char| c.is_ascii_digit()).len()..).unwrap_or_default();
    let number = digits.trim_start_matches('0');
    match (id.strip_suffix(number), number.parse()) {
        (Some(prefix), Ok(number)) => (prefix, number),
        // No number, zero, or one that is too large.
        _ => (id, 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn has_the_ids_that_were_added() {
        let (mut set, mut expected) = (IdSet::default(), HashSet::new());
        let numbers = [5, 7, 6, 6, 1, 9999, 10_000, 9998, 10_001, 2, 0, 0, 3].map(|n| format!("t_{n:04}"));
        let others =
            ["t_5", "t_05", "t_00005", "t_002_0005", "ws_0005", "ws_0005_m005", "t_", "t_18446744073709551615"];
        let too_large = ["t_99999999999999999999", "t_099999999999999999999", "t_18446744073709551615"];
        for id in numbers.iter().map(String::as_str).chain(others).chain(too_large) {
            assert_eq!(set.contains(id), expected.contains(id), "{id}");
            assert_eq!(set.insert(id), expected.insert(id.to_owned()), "{id}");
            assert!(set.contains(id), "{id}");
        }
        assert!(["t_0004", "t_0008", "t_10002", "ws_0006"].iter().all(|id| !set.contains(id)));
    }

    #[test]
    fn consecutive_ids_share_one_range() {
        let mut set = IdSet::default();
        for n in (1..=3000).rev().chain(3001..9000) {
            assert!(set.insert(&format!("t_{n:04}")));
        }
        assert_eq!(set.ranges.values().map(BTreeMap::len).collect::<Vec<_>>(), [1; 4]);
    }
}
