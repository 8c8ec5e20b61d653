//! The places of pieces in the spill file: slots of equal size, reused.

/// Allocates slots. The file need not be longer than the largest number of slots in use at once.
#[derive(Debug, Default)]
pub(super) struct Slots {
    /// Free slots below `end`.
    free: Vec<u32>,
    /// The number of the first slot that was never in use.
    end: u32,
}

impl Slots {
    /// Takes a slot, a free one if possible. `None` if there are 2^32.
    pub(super) fn acquire(&mut self) -> Option<u32> {
        if let Some(slot) = self.free.pop() {
            return Some(slot);
        }
        let slot = self.end;
        self.end = slot.checked_add(1)?;
        Some(slot)
    }

    /// Returns a slot.
    pub(super) fn release(&mut self, slot: u32) {
        self.free.push(slot);
    }

    /// True if slots were in use and all are free now.
    pub(super) fn are_all_free(&self) -> bool {
        self.end > 0 && self.free.len() == self.end as usize
    }

    /// Forgets the free slots. They must be all.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_slots_are_used_again() {
        let mut slots = Slots::default();
        assert!(!slots.are_all_free());
        let taken: Vec<_> = (0..4).map(|_| slots.acquire().unwrap()).collect();
        assert_eq!(taken, [0, 1, 2, 3]);
        slots.release(2);
        slots.release(0);
        let mut again = [slots.acquire().unwrap(), slots.acquire().unwrap()];
        again.sort_unstable();
        assert_eq!((again, slots.acquire()), ([0, 2], Some(4)));
        (0..5).for_each(|slot| slots.release(slot));
        assert!(slots.are_all_free());
        slots.reset();
        assert_eq!((slots.are_all_free(), slots.acquire()), (false, Some(0)));
    }
}
