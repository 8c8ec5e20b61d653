//! The work that a comparison may take. Schemas share others, so a small document can describe more members than fit into memory.

/// The steps that are left.
#[derive(Debug)]
pub(super) struct Budget {
    steps: u64,
    /// True once something was left out.
    pub(super) is_exceeded: bool,
}

impl Budget {
    pub(super) fn new(steps: u64) -> Self {
        Self { steps, is_exceeded: false }
    }

    /// Takes a step for an item with this name; false if none is left. A long name costs more: it is compared and copied.
    pub(super) fn take(&mut self, name: &str) -> bool {
        self.take_steps((name.len() as u64 / BYTES_PER_STEP).saturating_add(1))
    }

    /// Takes the steps for an item that is kept during the comparison, with copies of its name.
    pub(super) fn take_memory(&mut self, name: &str) -> bool {
        self.take_steps((name.len() as u64 / (BYTES_PER_STEP / 4)).saturating_add(8))
    }

    /// Takes the steps for a value with so many parts, all of which are looked at.
    pub(super) fn take_parts(&mut self, parts: usize) -> bool {
        self.take_steps((parts as u64 / PARTS_PER_STEP).saturating_add(1))
    }

    fn take_steps(&mut self, cost: u64) -> bool {
        self.is_exceeded |= cost > self.steps;
        self.steps = if self.is_exceeded { 0 } else { self.steps.saturating_sub(cost) };
        !self.is_exceeded
    }
}

/// Some seconds at most, and some 256 MB for items that are kept.
pub(super) const MAX_STEPS: u64 = 4_000_000;

const BYTES_PER_STEP: u64 = 64;

const PARTS_PER_STEP: u64 = 16;
