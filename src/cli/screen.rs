//! Messages on stderr, which may be slow, paused or closed: the capture must not notice.
//!
//! Lines about traffic go through a short queue to a thread that writes them. When the queue is full they are dropped, and
//! how many is said.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Where lines about traffic go.
#[derive(Clone)]
pub(crate) struct Screen {
    lines: Option<SyncSender<String>>,
    dropped: Arc<AtomicU64>,
    is_terminal: bool,
}

impl Screen {
    /// Writes to stderr; nothing if `quiet`.
    pub(crate) fn new(quiet: bool) -> Self {
        let (sender, lines) = sync_channel(QUEUE);
        let dropped = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&dropped);
        let writer = thread::Builder::new().name("screen".into()).spawn(move || write_all(&lines, &counter));
        Self { lines: (!quiet && writer.is_ok()).then_some(sender), dropped, is_terminal: io::stderr().is_terminal() }
    }

    /// Whether a person is looking on.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Shows `line` soon, or drops it.
    pub(crate) fn show(&self, line: String) {
        if self.lines.as_ref().is_some_and(|lines| lines.try_send(line).is_err()) {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

fn write_all(lines: &Receiver<String>, dropped: &AtomicU64) {
    for line in lines {
        // A closed stderr takes nothing; the lines are taken from the queue all the same.
        let _ = writeln!(io::stderr(), "{line}");
        let n = dropped.swap(0, Relaxed);
        if n > 0 {
            let _ = writeln!(io::stderr(), "({n} lines were not shown)");
        }
    }
}

/// Some screens full.
const QUEUE: usize = 256;
