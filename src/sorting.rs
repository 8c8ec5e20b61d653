//! Sorting with few instances of the standard library's sort, which takes several KB of the binary for each type of item.
//!
//! ```text
//! items ─▶ keys or places ─▶ sorted ─▶ items, swapped into that order
//! ```
//!
//! All are stable. They take 16 bytes for each item while they run, and half of that for the sort itself.

use std::cmp::Ordering;

/// Sorts by a number.
pub fn sort_by_key<T>(items: &mut [T], key: &dyn Fn(&T) -> u64) {
    let mut order: Vec<_> = items.iter().map(key).zip(0..).collect();
    sort_pairs(&mut order);
    arrange(&mut order, &mut |a, b| items.swap(a, b));
}

/// Sorts by a comparison.
pub fn sort_by<T>(items: &mut [T], compare: &dyn Fn(&T, &T) -> Ordering) {
    let mut order: Vec<_> = (0..items.len() as u64).map(|place| (0, place)).collect();
    let item = |place: u64| items.get(place as usize);
    sort_places(&mut order, &|a, b| item(a).zip(item(b)).map_or(Ordering::Equal, |(a, b)| compare(a, b)));
    arrange(&mut order, &mut |a, b| items.swap(a, b));
}

/// Sorts pairs of numbers.
pub fn sort_pairs(pairs: &mut [(u64, u64)]) {
    sort(pairs, &Ord::cmp);
}

fn sort_places(order: &mut [(u64, u64)], compare: &dyn Fn(u64, u64) -> Ordering) {
    sort(order, &|(_, a), (_, b)| compare(*a, *b));
}

/// The only instance of the standard library's sort.
#[inline(never)]
fn sort(pairs: &mut [(u64, u64)], compare: Comparison<'_>) {
    pairs.sort_by(compare);
}

type Comparison<'c> = &'c dyn Fn(&(u64, u64), &(u64, u64)) -> Ordering;

/// Calls `swap` until each item is where `order` has its former place.
fn arrange(order: &mut [(u64, u64)], swap: &mut dyn FnMut(usize, usize)) {
    for start in 0..order.len() {
        // The item from `start` moves along a cycle of places, each of which gets its own item.
        let mut at = start;
        while let Some((_, place)) = order.get_mut(at) {
            let next = std::mem::replace(place, at as u64) as usize;
            if next == start {
                break;
            }
            swap(at, next);
            at = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without an order, some of them equal.
    fn samples(len: u64) -> Vec<(u64, u64)> {
        (0..len).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40 & 0xff, n)).collect()
    }

    #[test]
    fn items_are_sorted_and_equal_ones_stay_in_order() {
        for len in [0, 1, 2, 3, 20, 21, 1000] {
            let mut expected = samples(len);
            expected.sort_by_key(|(key, _)| *key);
            let mut by_key = samples(len);
            sort_by_key(&mut by_key, &|(key, _)| *key);
            assert_eq!(by_key, expected, "{len}");
            let mut compared = samples(len);
            sort_by(&mut compared, &|a, b| a.0.cmp(&b.0));
            assert_eq!(compared, expected, "{len}");
            let mut backwards = samples(len);
            sort_by(&mut backwards, &|a, b| b.cmp(a));
            let mut pairs = samples(len);
            sort_pairs(&mut pairs);
            pairs.reverse();
            assert_eq!(backwards, pairs, "{len}");
        }
    }
}
