//! Reports that the disk hangs, and that it completes writes again. Runs on a thread of its own, because every thread that uses
//! the disk may hang with it.

use super::sink::ItemSink;
use crate::channel::{RecvTimeoutError, Sender, channel};
use crate::clock::Moment;
use crate::config::Observer;
use crate::notice::{Notice, Warning};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

/// A handle to the thread, which ends when this is dropped.
pub(crate) struct DiskMonitor {
    _end: Sender<()>,
}

impl DiskMonitor {
    /// Starts to report about the disk of `sink`.
    pub(crate) fn start(sink: ItemSink, observer: Observer) -> io::Result<Self> {
        let (end, ended) = channel::<()>();
        let mut reports = HangReports::default();
        let run = move || {
            while ended.recv_timeout(CHECK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                let is_hung = sink.store().disk().is_hung();
                if let Some(warning) = reports.next(Moment::now(), is_hung, sink.refused_items()) {
                    // The observer is the embedder's code.
                    let _ = catch_unwind(AssertUnwindSafe(|| observer.notify(&Notice::Warning(warning))));
                }
            }
        };
        thread::Builder::new().name("disk".into()).spawn(run).map(|_| Self { _end: end })
    }
}

/// Decides what to report.
#[derive(Default)]
struct HangReports {
    /// The time of the last report of a hung disk.
    last: Option<Moment>,
    /// True if the last report is of a hung disk.
    is_hung: bool,
    /// The number of dropped items in earlier reports.
    reported: u64,
}

impl HangReports {
    /// Returns the report that is due. `dropped` is the number of items dropped so far. A disk that hangs again and again is
    /// reported once a minute.
    fn next(&mut self, now: Moment, is_hung: bool, dropped: u64) -> Option<Warning> {
        let is_recent = self.last.is_some_and(|last| now.since(last) < MIN_REPORT_INTERVAL);
        match (self.is_hung, is_hung) {
            (false, true) if !is_recent => {
                (self.is_hung, self.last) = (true, Some(now));
                Some(Warning::DiskHung)
            }
            (true, false) => {
                self.is_hung = false;
                let lost = dropped.saturating_sub(self.reported);
                self.reported = dropped;
                Some(Warning::DiskResumed { lost })
            }
            _ => None,
        }
    }
}

const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// The shortest time between two reports of a hung disk.
const MIN_REPORT_INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_a_hung_disk_and_its_return_at_most_once_a_minute() {
        let start = Moment::now();
        let mut reports = HangReports::default();
        let mut at = |second, is_hung, dropped| reports.next(start.plus(Duration::from_secs(second)), is_hung, dropped);
        let resumed = |lost| Some(Warning::DiskResumed { lost });
        assert_eq!(at(0, false, 0), None);
        assert_eq!(at(1, true, 0), Some(Warning::DiskHung));
        assert_eq!(at(2, true, 5), None);
        assert_eq!(at(3, false, 7), resumed(7));
        assert_eq!(at(4, false, 7), None);
        assert_eq!((at(5, true, 7), at(6, false, 9)), (None, None));
        assert_eq!((at(62, true, 9), at(63, false, 10)), (Some(Warning::DiskHung), resumed(3)));
    }
}
