//! Messages on stderr, which may be slow, paused, closed, or a pipe that nobody reads: the capture must not notice.
//!
//! Everything goes through a queue to a thread that writes it. Lines about traffic are dropped when many are waiting, and how
//! many is said; the rest always finds room. At the end the thread gets a moment to finish, and no more.

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// Where messages go.
#[derive(Clone)]
pub(crate) struct Screen {
    texts: Sender<String>,
    counts: Arc<Counts>,
    is_quiet: bool,
    is_terminal: bool,
}

#[derive(Default)]
struct Counts {
    /// Lines that are not written yet.
    waiting: AtomicUsize,
    /// Lines that were dropped and not yet said to be.
    dropped: AtomicUsize,
}

/// Tells when all is written.
pub(crate) struct Written(Receiver<()>);

impl Screen {
    /// Writes to stderr; nothing but complaints if `is_quiet`.
    pub(crate) fn new(is_quiet: bool) -> (Self, Written) {
        let (texts, queue) = channel();
        let (done, written) = channel();
        let counts = Arc::<Counts>::default();
        let counter = Arc::clone(&counts);
        // Without the thread nothing is shown, and the capture goes on.
        let _ = thread::Builder::new().name("screen".into()).spawn(move || {
            write_all(&queue, &counter);
            let _ = done.send(());
        });
        (Self { texts, counts, is_quiet, is_terminal: io::stderr().is_terminal() }, Written(written))
    }

    /// Whether only complaints are shown.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// Whether a person is looking on.
    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Shows a line about traffic soon, or drops it.
    pub(crate) fn line(&self, line: String) {
        if self.is_quiet {
            return;
        }
        if self.counts.waiting.fetch_add(1, Relaxed) < MOST_WAITING {
            self.send(line + "\n");
        } else {
            self.counts.waiting.fetch_sub(1, Relaxed);
            self.counts.dropped.fetch_add(1, Relaxed);
        }
    }

    /// Shows `text`, unless quiet.
    pub(crate) fn say(&self, text: String) {
        if !self.is_quiet {
            self.complain(text);
        }
    }

    /// Shows `text` in any case.
    pub(crate) fn complain(&self, text: String) {
        self.counts.waiting.fetch_add(1, Relaxed);
        self.send(text);
    }

    fn send(&self, text: String) {
        // Fails only if there is no thread.
        let _ = self.texts.send(text);
    }
}

impl Written {
    /// Waits until every screen is gone and all is written, but not for a reader that does not read.
    pub(crate) fn wait(self) {
        let _ = self.0.recv_timeout(PATIENCE);
    }
}

fn write_all(texts: &Receiver<String>, counts: &Counts) {
    for text in texts {
        // A closed stderr takes nothing; the texts are taken from the queue all the same.
        let _ = io::stderr().write_all(text.as_bytes());
        counts.waiting.fetch_sub(1, Relaxed);
        let n = counts.dropped.swap(0, Relaxed);
        if n > 0 {
            let _ = writeln!(io::stderr(), "({n} lines were not shown)");
        }
    }
}

/// Some screens full.
const MOST_WAITING: usize = 256;
/// What a terminal over a slow line takes for the last words.
const PATIENCE: Duration = Duration::from_secs(2);
