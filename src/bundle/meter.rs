//! Measures how far a tool has read its bundles, for a display on another thread.
//!
//! ```text
//! read content        0 ──────▶ ├───────────────┤ content of all entries, from the directory
//! shown: bytes of the file      0 ──────▶ ├─────┤
//! ```
//!
//! Content is counted as it is read, skipped or copied. What was counted too often, because it is read twice, is taken back. The
//! result is an estimate: a tool may end before all is counted.

use crate::clock::Moment;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Measures how far a tool has read its bundles. Clones are one meter, which any thread may read.
#[derive(Clone, Debug)]
pub struct Meter {
    started: Moment,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    file_bytes: AtomicU64,
    content_bytes: AtomicU64,
    read_bytes: AtomicU64,
}

/// The progress of a tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Measured {
    /// The bytes of the files that were processed, an estimate.
    pub done: u64,
    /// The size of the files; 0 as long as it is not known.
    pub total: u64,
    /// The time since the meter was created.
    pub elapsed: Duration,
}

impl Default for Meter {
    fn default() -> Self {
        Self { started: Moment::now(), counts: Arc::default() }
    }
}

impl Meter {
    /// Returns the progress so far.
    pub fn read(&self) -> Measured {
        let Counts { file_bytes, content_bytes, read_bytes } = &*self.counts;
        let (total, content) = (file_bytes.load(Relaxed), content_bytes.load(Relaxed));
        let read = read_bytes.load(Relaxed).min(content);
        let scaled = u128::from(total).saturating_mul(read.into()).checked_div(content.into()).unwrap_or_default();
        let done = u64::try_from(scaled).unwrap_or(total);
        Measured { done, total, elapsed: Moment::now().since(self.started) }
    }

    /// Adds a file with this content to the total.
    pub(crate) fn expect(&self, file_bytes: u64, content_bytes: u64) {
        add(&self.counts.file_bytes, file_bytes);
        add(&self.counts.content_bytes, content_bytes);
    }

    /// Adds the total of another meter to this one's.
    pub(crate) fn expect_all_of(&self, other: &Self) {
        self.expect(other.counts.file_bytes.load(Relaxed), other.counts.content_bytes.load(Relaxed));
    }

    /// Multiplies the total by `passes`, for a tool that reads all content several times.
    pub(crate) fn expect_passes(&self, passes: u64) {
        let content = &self.counts.content_bytes;
        let _ = content.fetch_update(Relaxed, Relaxed, |bytes| Some(bytes.saturating_mul(passes)));
    }

    /// Counts content.
    pub(crate) fn add(&self, bytes: u64) {
        add(&self.counts.read_bytes, bytes);
    }

    /// Takes back content that will be counted again.
    pub(crate) fn take_back(&self, bytes: u64) {
        let _ = self.counts.read_bytes.fetch_update(Relaxed, Relaxed, |read| Some(read.saturating_sub(bytes)));
    }

    /// Sets the counted content, unless it is more already.
    pub(crate) fn advance_to(&self, bytes: u64) {
        self.counts.read_bytes.fetch_max(bytes, Relaxed);
    }
}

/// Adds without wrapping: sizes are claims of the file.
fn add(count: &AtomicU64, bytes: u64) {
    let _ = count.fetch_update(Relaxed, Relaxed, |count| Some(count.saturating_add(bytes)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done_of_total(meter: &Meter) -> (u64, u64) {
        let Measured { done, total, .. } = meter.read();
        (done, total)
    }

    #[test]
    fn content_is_scaled_to_the_files() {
        let meter = Meter::default();
        assert_eq!(done_of_total(&meter), (0, 0));
        meter.add(10);
        assert_eq!(done_of_total(&meter), (0, 0), "nothing is known yet");
        let file = Meter::default();
        file.expect(100, 1000);
        meter.expect_all_of(&file);
        meter.expect(100, 3000);
        meter.add(1990);
        assert_eq!(done_of_total(&meter), (100, 200));
        meter.take_back(1000);
        assert_eq!(done_of_total(&meter.clone()), (50, 200));
        meter.advance_to(3000);
        meter.advance_to(2000);
        assert_eq!(done_of_total(&meter), (150, 200));
        meter.expect_passes(2);
        assert_eq!(done_of_total(&meter), (75, 200));
    }

    #[test]
    fn false_claims_do_no_harm() {
        let meter = Meter::default();
        meter.expect(u64::MAX, 1);
        meter.expect(1, u64::MAX);
        meter.add(u64::MAX);
        meter.add(1);
        assert_eq!(done_of_total(&meter), (u64::MAX, u64::MAX));
        meter.take_back(u64::MAX);
        meter.take_back(1);
        assert_eq!(done_of_total(&meter), (0, u64::MAX));
    }
}
