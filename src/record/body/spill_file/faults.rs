//! Delays and fails the writes of a spill file.

use std::io;
use std::sync::{Condvar, Mutex};

#[derive(Default)]
pub(in super::super) struct Faults {
    state: Mutex<FaultState>,
    changed: Condvar,
}

#[derive(Clone, Copy, Default)]
struct FaultState {
    /// The number of writes that pass; `None` is all.
    passing: Option<usize>,
    is_full: bool,
    writes: usize,
}

impl Faults {
    /// Sets whether further writes wait.
    pub(in super::super) fn stall(&self, is_stalled: bool) {
        let mut state = self.state.lock().unwrap();
        state.passing = is_stalled.then_some(state.writes);
        self.changed.notify_all();
    }

    /// Lets one waiting write pass.
    pub(in super::super) fn pass_one(&self) {
        let mut state = self.state.lock().unwrap();
        state.passing = state.passing.map(|passing| passing + 1);
        self.changed.notify_all();
    }

    /// Sets whether writes fail.
    pub(in super::super) fn fill(&self, is_full: bool) {
        self.state.lock().unwrap().is_full = is_full;
    }

    /// Waits until `count` writes have begun.
    pub(in super::super) fn wait_for_writes(&self, count: usize) {
        let state = self.state.lock().unwrap();
        drop(self.changed.wait_while(state, |state| state.writes < count).unwrap());
    }

    /// Returns the number of writes.
    pub(in super::super) fn writes(&self) -> usize {
        self.state.lock().unwrap().writes
    }

    pub(super) fn write(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.writes += 1;
        let number = state.writes;
        self.changed.notify_all();
        let is_stalled = |state: &mut FaultState| state.passing.is_some_and(|passing| number > passing);
        let state = self.changed.wait_while(state, is_stalled).unwrap();
        if state.is_full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}
