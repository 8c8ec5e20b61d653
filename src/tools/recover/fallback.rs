//! Items whose last group is damaged: the last intact one is copied.

use super::bodies::WaitingBodies;
use super::failure::Failure;
use super::groups::id_of;
use super::recovery::Recovery;
use crate::bundle::archive::located_entry::LocatedEntry;
use crate::bundle::archive::scan::{Scan, ScanItem};
use crate::bundle::id::Id;
use crate::bundle::recovery_note::AMENDMENT;
use crate::sorting::sort_by;
use std::collections::HashMap;

impl Recovery<'_> {
    /// Copies the last intact group of each item whose last group is damaged. Such a file is rare: it is read twice more,
    /// so that memory does not depend on it.
    pub(super) fn fall_back(&mut self, scan: &Scan<'_>) -> Result<(), Failure> {
        // The end of the last intact group, and the number of entries of damaged ones after it.
        let mut found: HashMap<Id, (u64, u64)> = HashMap::new();
        self.each_failed(&mut scan.again(), |recovery, id, entry, last_end| {
            let is_intact = recovery.find_item(id, entry)?.is_some();
            let (intact_end, damaged) = found.entry(id).or_default();
            if is_intact {
                (*intact_end, *damaged) = (entry.end, 0);
            } else if entry.end != last_end {
                *damaged = damaged.saturating_add(recovery.bodies.last_taken).saturating_add(1);
            }
            Ok(())
        })?;
        // They were counted as replaced, and so was the intact one.
        let is_lost = |found: &(Id, (u64, u64))| (found.1.0 == 0).then_some(found.0);
        let mut lost: Vec<_> =
            found.iter().map(|(id, found)| (*id, *found)).filter_map(|found| is_lost(&found)).collect();
        sort_by(&mut lost, &|a: &Id, b| a.cmp(b));
        lost.into_iter().for_each(|id| self.losses.add(&id.text()));
        let damaged = found.values().fold(0u64, |sum, (_, damaged)| sum.saturating_add(*damaged));
        let kept = self.kept.saturating_sub(damaged);
        self.each_failed(&mut scan.again(), |recovery, id, entry, _| {
            if found.get(&id).is_some_and(|(intact_end, _)| *intact_end == entry.end) {
                recovery.add_item(id, entry)?;
            }
            Ok(())
        })?;
        self.kept = kept;
        Ok(())
    }

    /// Passes each group of the items in `failed` to `visit`, with the end of the item's last group.
    fn each_failed(
        &mut self,
        scan: &mut Scan<'_>,
        mut visit: impl FnMut(&mut Self, Id, &LocatedEntry, u64) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.bodies = WaitingBodies::default();
        while let ScanItem::Entry(entry) = scan.next().map_err(Failure::Read)? {
            match id_of(&entry.header.name) {
                Some(_) if entry.note == AMENDMENT => {}
                Some(id) => {
                    if let Some(&last_end) = self.failed.get(&id) {
                        visit(self, id, &entry, last_end)?;
                    }
                }
                None => drop(self.bodies.push(entry)),
            }
        }
        Ok(())
    }
}
