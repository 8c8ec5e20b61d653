//! Messages on stderr while a capture runs. Stderr may be slow, paused, closed, or a pipe that is not read: the capture
//! must not wait for it.
//!
//! ```text
//! print, info, traffic ─▶ queue ─▶ thread ─▶ stderr
//!                                    └─ in the foreground of a terminal, the last line is a status line
//! ```
//!
//! Lines about traffic are dropped while too many are queued, and their number is reported. Other messages are always
//! queued. [`Screen::flush`] waits for the thread, but not indefinitely.

use super::process::terminal;
use spectral_capture::channel::{Receiver, RecvTimeoutError, Sender, channel};
use status::{Source, View};
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

pub(super) use status::StatusLine;

mod status;

/// The stderr of a capture.
#[derive(Clone)]
pub(crate) struct Screen {
    queue: Sender<Item>,
    lines: Arc<LineCounts>,
    is_quiet: bool,
    terminal: Terminal,
    /// The other end of the queue, until the thread is started.
    items: Arc<Mutex<Option<Receiver<Item>>>>,
}

/// The capabilities of stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terminal {
    is_terminal: bool,
    /// True if a line can be erased after it was written.
    pub(super) can_erase: bool,
    pub(super) has_colors: bool,
}

/// An item of the queue.
enum Item {
    Text(String),
    Status(Option<Source>),
    /// Answered once everything before it is written.
    Flush(Sender<()>),
}

#[derive(Default)]
struct LineCounts {
    /// Texts in the queue.
    queued: AtomicUsize,
    /// Lines that were dropped since the last report of dropped lines.
    dropped: AtomicUsize,
}

impl Screen {
    /// Starts the thread that writes to stderr. With `is_quiet`, only [`Screen::print`] shows anything.
    pub(crate) fn new(is_quiet: bool) -> Self {
        let screen = Self::without_thread(is_quiet);
        screen.start();
        screen
    }

    /// As [`Screen::new`], but everything waits in the queue until [`Screen::start`].
    pub(crate) fn without_thread(is_quiet: bool) -> Self {
        let (queue, items) = channel();
        let terminal = Terminal::of_stderr();
        Self { queue, lines: Arc::default(), is_quiet, terminal, items: Arc::new(Mutex::new(Some(items))) }
    }

    /// Starts the thread, once.
    pub(crate) fn start(&self) {
        if let Some(items) = self.items.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let counts = Arc::clone(&self.lines);
            let status = StatusLine::new(self.terminal.has_colors);
            // Best effort: without the thread nothing is shown, and the capture goes on.
            let _ = thread::Builder::new().name("screen".into()).spawn(move || write_all(&items, &counts, status));
        }
    }

    /// True if only [`Screen::print`] shows anything.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    /// True if stderr is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal.is_terminal
    }

    /// Shows `text`, even if quiet.
    pub(crate) fn print(&self, text: String) {
        self.lines.queued.fetch_add(1, Relaxed);
        self.send(Item::Text(text));
    }

    /// Shows `text`, unless quiet.
    pub(crate) fn info(&self, text: String) {
        if !self.is_quiet {
            self.print(text);
        }
    }

    /// Shows a line about traffic, unless quiet or while the queue is full.
    pub(crate) fn traffic(&self, line: String) {
        if !self.is_quiet {
            self.report(line + "\n");
        }
    }

    /// Shows `text`, which was requested, even if quiet, unless the queue is full.
    pub(crate) fn report(&self, text: String) {
        if self.lines.queued.fetch_add(1, Relaxed) < MAX_QUEUED_TEXTS {
            self.send(Item::Text(text));
        } else {
            self.lines.queued.fetch_sub(1, Relaxed);
            self.lines.dropped.fetch_add(1, Relaxed);
        }
    }

    /// True if there can be a status line.
    pub(crate) fn has_status(&self) -> bool {
        self.terminal.can_erase && !self.is_quiet
    }

    /// Shows the text of `source` in a status line and updates it, if stderr is a terminal that can erase lines.
    pub(crate) fn show_status(&self, source: impl Fn() -> String + Send + 'static) {
        if self.has_status() {
            self.send(Item::Status(Some(Box::new(source))));
        }
    }

    /// Removes the status line.
    pub(crate) fn hide_status(&self) {
        self.send(Item::Status(None));
    }

    /// Waits until everything queued before is written, or until [`FLUSH_TIMEOUT`].
    pub(crate) fn flush(&self) {
        let (sender, flushed) = channel();
        self.send(Item::Flush(sender));
        let _ = flushed.recv_timeout(FLUSH_TIMEOUT);
    }

    /// Formats a response's status code, in color if there are colors; 0 (no response) is `---`.
    pub(crate) fn status_code(&self, status: u16) -> String {
        let text = if status == 0 { "---".to_owned() } else { status.to_string() };
        let color = match status {
            0 | 500.. => "31",
            400..=499 => "33",
            _ => "32",
        };
        if self.terminal.has_colors { format!("\x1b[{color}m{text}\x1b[m") } else { text }
    }

    fn send(&self, item: Item) {
        // Fails only without the thread.
        let _ = self.queue.send(item);
    }
}

impl Terminal {
    pub(super) fn of_stderr() -> Self {
        let variable = |name: &str| std::env::var(name).unwrap_or_default();
        Self::new(io::stderr().is_terminal(), &variable("TERM"), &variable("NO_COLOR"))
    }

    /// Any value of `NO_COLOR` except the empty one disables colors (no-color.org).
    fn new(is_terminal: bool, term: &str, no_color: &str) -> Self {
        let can_erase = is_terminal && !term.is_empty() && term != "dumb";
        Self { is_terminal, can_erase, has_colors: can_erase && no_color.is_empty() }
    }
}

/// Writes the items of the queue to stderr until every [`Screen`] is dropped.
fn write_all(items: &Receiver<Item>, counts: &LineCounts, mut status: StatusLine) {
    loop {
        let shown = match items.recv_timeout(status.refresh_interval()) {
            Ok(Item::Text(text)) => {
                counts.queued.fetch_sub(1, Relaxed);
                let dropped = match counts.dropped.swap(0, Relaxed) {
                    0 => String::new(),
                    1 => "(1 line not shown)\n".into(),
                    n => format!("({n} lines not shown)\n"),
                };
                let view = if status.is_active() { view() } else { View::Background };
                status.print_above(&(text + &dropped), view)
            }
            Ok(Item::Status(source)) => status.set_source(source, view()),
            Ok(Item::Flush(flushed)) => {
                // Fails if the timeout has passed.
                let _ = flushed.send(());
                continue;
            }
            Err(RecvTimeoutError::Timeout) => status.refresh(view()),
            Err(RecvTimeoutError::Disconnected) => {
                let _ = io::stderr().write_all(status.set_source(None, view()).as_bytes());
                return;
            }
        };
        // Fails if stderr is closed; the queue must still be emptied.
        let _ = io::stderr().write_all(shown.as_bytes());
    }
}

/// Returns the current relation to the terminal.
pub(super) fn view() -> View {
    match terminal::is_in_foreground() {
        true => View::Foreground { columns: terminal::columns().unwrap_or(DEFAULT_COLUMNS) },
        false => View::Background,
    }
}

/// The width of a terminal that does not report its width.
const DEFAULT_COLUMNS: usize = 80;
/// A few screens of text.
const MAX_QUEUED_TEXTS: usize = 256;
/// Enough for a terminal over a slow connection.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_need_a_terminal_that_allows_them() {
        let (neither, both) = ((false, false), (true, true));
        for (is_terminal, term, no_color, expected) in [
            (true, "xterm-256color", "", both),
            (true, "xterm-256color", "1", (true, false)),
            (true, "dumb", "", neither),
            (true, "", "", neither),
            (false, "xterm-256color", "", neither),
        ] {
            let Terminal { can_erase, has_colors, .. } = Terminal::new(is_terminal, term, no_color);
            assert_eq!((can_erase, has_colors), expected, "{is_terminal} {term} {no_color}");
        }
    }
}
