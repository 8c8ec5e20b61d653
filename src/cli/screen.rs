//! Messages on stderr, which may be slow, paused, closed, or a pipe that nobody reads: the capture must not notice.
//!
//! ```text
//! say, line, complain ─▶ queue ─▶ thread ─▶ stderr
//!                                   └─ between them, on a terminal: one line that says how it is going
//! ```
//!
//! Lines about traffic are dropped when many are waiting, and how many is said; the rest always finds room. At the end the
//! thread gets a moment to finish, and no more.

use status::{Source, StatusLine};
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

mod status;

/// Where messages go.
#[derive(Clone)]
pub(crate) struct Screen {
    told: Sender<Told>,
    counts: Arc<Counts>,
    is_quiet: bool,
    terminal: Terminal,
}

/// What stderr can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Terminal {
    is_one: bool,
    /// Whether a line that was written can be taken back.
    can_erase: bool,
    has_colors: bool,
}

/// What the thread is told.
enum Told {
    Text(String),
    Status(Option<Source>),
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
        let (told, queue) = channel();
        let (done, written) = channel();
        let counts = Arc::<Counts>::default();
        let counter = Arc::clone(&counts);
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        let terminal = Terminal::new(io::stderr().is_terminal(), &variable("TERM"), &variable("NO_COLOR"));
        let line = StatusLine::new(terminal.has_colors);
        // Without the thread nothing is shown, and the capture goes on.
        let _ = thread::Builder::new().name("screen".into()).spawn(move || {
            write_all(&queue, &counter, line);
            let _ = done.send(());
        });
        (Self { told, counts, is_quiet, terminal }, Written(written))
    }

    /// Whether only complaints are shown.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// Whether a person is looking on.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal.is_one
    }

    /// From now on the last line says what `source` says, where somebody looks on and lines can be taken back.
    pub(crate) fn status(&self, source: impl Fn() -> String + Send + 'static) {
        if self.terminal.can_erase && !self.is_quiet {
            self.send(Told::Status(Some(Box::new(source))));
        }
    }

    /// No more.
    pub(crate) fn no_status(&self) {
        self.send(Told::Status(None));
    }

    /// A response's status, in colour where there are colours; 0 is none.
    pub(crate) fn status_code(&self, status: u16) -> String {
        let text = if status == 0 { "---".to_owned() } else { status.to_string() };
        let color = match status {
            0 | 500.. => "31",
            400..=499 => "33",
            _ => "32",
        };
        if self.terminal.has_colors { format!("\x1b[{color}m{text}\x1b[m") } else { text }
    }

    /// Shows a line about traffic soon, or drops it.
    pub(crate) fn line(&self, line: String) {
        if self.is_quiet {
            return;
        }
        if self.counts.waiting.fetch_add(1, Relaxed) < MOST_WAITING {
            self.send(Told::Text(line + "\n"));
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
        self.send(Told::Text(text));
    }

    fn send(&self, told: Told) {
        // Fails only if there is no thread.
        let _ = self.told.send(told);
    }
}

impl Terminal {
    /// `NO_COLOR` counts if it says anything at all (no-color.org).
    fn new(is_one: bool, term: &str, no_color: &str) -> Self {
        let can_erase = is_one && !term.is_empty() && term != "dumb";
        Self { is_one, can_erase, has_colors: can_erase && no_color.is_empty() }
    }
}

impl Written {
    /// Waits until every screen is gone and all is written, but not for a reader that does not read.
    pub(crate) fn wait(self) {
        let _ = self.0.recv_timeout(PATIENCE);
    }
}

fn write_all(queue: &Receiver<Told>, counts: &Counts, mut line: StatusLine) {
    loop {
        let shown = match queue.recv_timeout(line.patience()) {
            Ok(Told::Text(text)) => {
                counts.waiting.fetch_sub(1, Relaxed);
                let dropped = counts.dropped.swap(0, Relaxed);
                let remark = if dropped > 0 { format!("({dropped} lines were not shown)\n") } else { String::new() };
                line.beneath(&(text + &remark))
            }
            Ok(Told::Status(source)) => line.follow(source),
            Err(RecvTimeoutError::Timeout) => line.refresh(),
            Err(RecvTimeoutError::Disconnected) => {
                let _ = io::stderr().write_all(line.follow(None).as_bytes());
                return;
            }
        };
        // A closed stderr takes nothing; the queue is emptied all the same.
        let _ = io::stderr().write_all(shown.as_bytes());
    }
}

/// Some screens full.
const MOST_WAITING: usize = 256;
/// What a terminal over a slow line takes for the last words.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let terminal = |is_one, term, no_color| Terminal::new(is_one, term, no_color);
        let (plain, all) = ((false, false), (true, true));
        for (is_one, term, no_color, expected) in [
            (true, "xterm-256color", "", all),
            (true, "xterm-256color", "1", (true, false)),
            (true, "dumb", "", plain),
            (true, "", "", plain),
            (false, "xterm-256color", "", plain),
        ] {
            let Terminal { can_erase, has_colors, .. } = terminal(is_one, term, no_color);
            assert_eq!((can_erase, has_colors), expected, "{is_one} {term} {no_color}");
        }
    }
}
