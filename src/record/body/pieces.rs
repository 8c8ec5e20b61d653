//! The pieces of all bodies, in one table. The index of a piece is its slot in the spill file: slots have one size, and are
//! reused.
//!
//! ```text
//!             ┌─ set_written ─▶ File ─────────┐
//! insert ─▶ Memory                            ├─ last owner released ─▶ Free
//!             └─ last owner released ─▶ Dropped, until the spill thread comes to it
//! ```
//!
//! One table instead of an allocation for each piece: a backlog of 100,000 small allocations, in the arenas of as many threads as
//! made them, would keep the C library from returning the free memory before them.

use std::sync::Arc;

/// All pieces, by their index.
#[derive(Default)]
pub(super) struct PieceTable {
    entries: Vec<Entry>,
    /// The indexes of free entries.
    free: Vec<usize>,
}

struct Entry {
    /// The number of bodies that have the piece.
    owners: u32,
    place: Place,
}

enum Place {
    Free,
    /// In memory, with the bytes of the share that it takes.
    Memory(Arc<Vec<u8>>, usize),
    /// In the queue or being written, with the bytes of the share that are left for the spill thread to release.
    Dropped(usize),
    /// In the file, with its length.
    File(usize),
}

/// The bytes of a piece.
pub(super) enum Stored {
    Memory(Arc<Vec<u8>>),
    /// They are in the file, in this number.
    File(usize),
}

/// Memory that a piece no longer needs: the buffer, unless another thread still has it, and the bytes of the share to release.
#[derive(Default)]
pub(super) struct Freed {
    pub(super) buffer: Option<Vec<u8>>,
    pub(super) charge: usize,
}

impl PieceTable {
    /// Adds a piece in memory, which has one owner. Returns its index, a free one if possible.
    pub(super) fn insert(&mut self, bytes: Vec<u8>, charge: usize) -> usize {
        let entry = Entry { owners: 1, place: Place::Memory(Arc::new(bytes), charge) };
        let index = self.free.pop().unwrap_or(self.entries.len());
        match self.entries.get_mut(index) {
            Some(free) => *free = entry,
            None => self.entries.push(entry),
        }
        index
    }

    /// Adds an owner.
    pub(super) fn share(&mut self, index: usize) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.owners = entry.owners.saturating_add(1);
        }
    }

    /// Removes an owner. Without any, a piece in the file is free; one in memory is dropped.
    pub(super) fn release(&mut self, index: usize) -> Freed {
        let Some(entry) = self.entries.get_mut(index) else { return Freed::default() };
        entry.owners = entry.owners.saturating_sub(1);
        if entry.owners > 0 {
            return Freed::default();
        }
        match std::mem::replace(&mut entry.place, Place::Dropped(0)) {
            Place::Memory(bytes, charge) => match Arc::try_unwrap(bytes) {
                Ok(buffer) => Freed { buffer: Some(buffer), charge },
                Err(_) => {
                    // The spill thread writes it, and releases its memory afterwards.
                    entry.place = Place::Dropped(charge);
                    Freed::default()
                }
            },
            Place::File(_) | Place::Free | Place::Dropped(_) => {
                self.make_free(index);
                Freed::default()
            }
        }
    }

    /// Returns the bytes of a piece that has an owner.
    pub(super) fn stored(&self, index: usize) -> Option<Stored> {
        match &self.entries.get(index)?.place {
            Place::Memory(bytes, _) => Some(Stored::Memory(Arc::clone(bytes))),
            Place::File(len) => Some(Stored::File(*len)),
            Place::Free | Place::Dropped(_) => None,
        }
    }

    /// Returns the bytes of a piece in the queue. A dropped one is free from now on.
    pub(super) fn unless_dropped(&mut self, index: usize) -> Option<Arc<Vec<u8>>> {
        match self.stored(index) {
            Some(Stored::Memory(bytes)) => Some(bytes),
            _ => {
                self.make_free(index);
                None
            }
        }
    }

    /// Marks a piece as written from `bytes`, which are those in its entry. If it was dropped meanwhile, it is free from now on.
    pub(super) fn set_written(&mut self, index: usize, bytes: Arc<Vec<u8>>) -> Freed {
        let len = bytes.len();
        let Some(entry) = self.entries.get_mut(index) else { return Freed::default() };
        let charge = match std::mem::replace(&mut entry.place, Place::File(len)) {
            Place::Memory(_, charge) => charge,
            Place::Dropped(charge) => {
                self.make_free(index);
                charge
            }
            Place::File(_) | Place::Free => 0,
        };
        // A reader may still have it.
        Freed { buffer: Arc::into_inner(bytes), charge }
    }

    /// True if pieces were in use and all are free now.
    pub(super) fn are_all_free(&self) -> bool {
        !self.entries.is_empty() && self.free.len() == self.entries.len()
    }

    /// Forgets the free entries. They must be all.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    fn make_free(&mut self, index: usize) {
        if let Some(entry) = self.entries.get_mut(index)
            && !matches!(entry.place, Place::Free)
        {
            *entry = Entry { owners: 0, place: Place::Free };
            self.free.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_in_memory(pieces: &PieceTable, index: usize) -> bool {
        matches!(pieces.stored(index), Some(Stored::Memory(_)))
    }

    #[test]
    fn free_indexes_are_used_again() {
        let mut pieces = PieceTable::default();
        assert!(!pieces.are_all_free());
        let insert = |pieces: &mut PieceTable| {
            let index = pieces.insert(vec![1], 1);
            let bytes = pieces.unless_dropped(index).unwrap();
            assert_eq!(pieces.set_written(index, bytes).charge, 1);
            index
        };
        let taken: Vec<_> = (0..4).map(|_| insert(&mut pieces)).collect();
        assert_eq!(taken, [0, 1, 2, 3]);
        pieces.release(2);
        pieces.release(0);
        let mut again = [insert(&mut pieces), insert(&mut pieces)];
        again.sort_unstable();
        assert_eq!((again, insert(&mut pieces)), ([0, 2], 4));
        (0..5).for_each(|index| drop(pieces.release(index)));
        assert!(pieces.are_all_free());
        pieces.reset();
        assert_eq!((pieces.are_all_free(), insert(&mut pieces)), (false, 0));
    }

    #[test]
    fn a_shared_piece_stays_until_its_last_owner_releases_it() {
        let mut pieces = PieceTable::default();
        let index = pieces.insert(vec![7; 5], 8);
        pieces.share(index);
        assert!(pieces.release(index).buffer.is_none() && is_in_memory(&pieces, index));
        let bytes = pieces.unless_dropped(index).unwrap();
        let freed = pieces.set_written(index, bytes);
        assert_eq!((freed.buffer, freed.charge), (Some(vec![7; 5]), 8));
        assert!(matches!(pieces.stored(index), Some(Stored::File(5))) && !pieces.are_all_free());
        pieces.release(index);
        assert!(pieces.are_all_free());
    }

    #[test]
    fn a_dropped_piece_keeps_its_index_while_it_is_in_the_queue() {
        let mut pieces = PieceTable::default();
        let first = pieces.insert(vec![1], 4);
        let freed = pieces.release(first);
        assert_eq!((freed.buffer, freed.charge), (Some(vec![1]), 4), "its memory is free at once");
        assert_eq!(pieces.insert(vec![2], 4), 1);
        assert!(pieces.unless_dropped(first).is_none());
        assert_eq!(pieces.insert(vec![3], 4), first);
    }

    #[test]
    fn a_piece_that_is_dropped_while_it_is_written_frees_its_memory_afterwards() {
        let mut pieces = PieceTable::default();
        let index = pieces.insert(vec![1], 4);
        let bytes = pieces.unless_dropped(index).unwrap();
        assert_eq!(pieces.release(index).charge, 0);
        assert!(!pieces.are_all_free());
        assert_eq!(pieces.set_written(index, bytes).charge, 4);
        assert!(pieces.are_all_free());
    }

    #[test]
    fn a_reader_keeps_the_buffer_of_a_piece_that_is_written() {
        let mut pieces = PieceTable::default();
        let index = pieces.insert(vec![1, 2], 2);
        let Some(Stored::Memory(read)) = pieces.stored(index) else { panic!() };
        let bytes = pieces.unless_dropped(index).unwrap();
        let freed = pieces.set_written(index, bytes);
        assert_eq!((freed.buffer, freed.charge, &**read), (None, 2, &[1, 2][..]));
    }
}
