//! The progress of a command that reads bundles, on the last line of a terminal, once the command lasts a second.
//!
//! ```text
//! command ─▶ rows ─▶ AboveLine ─▶ stdout ─┐
//! thread ──▶ status line ──────▶ stderr ──┴─▶ terminal
//! ```
//!
//! Both write under one lock: the line is erased before any row, and shown again only below a complete row. It is erased at the
//! end, before the summary or an error.

use super::screen::{StatusLine, Terminal, view};
use super::text::{duration, size};
use spectral_capture::channel::{RecvTimeoutError, Sender, channel};
use spectral_capture::reader::{Measured, Meter};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A line that shows the progress until it is dropped.
pub(crate) struct ProgressLine {
    /// `None` if nothing is shown.
    shown: Option<Shown>,
}

struct Shown {
    line: Arc<Mutex<Line>>,
    /// Ends the thread when it is dropped.
    running: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Line {
    status: StatusLine,
    /// True if the cursor is at the start of a line, or at the end of the status line.
    is_row_complete: bool,
}

impl ProgressLine {
    /// Shows what `meter` measures, if stderr is a terminal that can erase a line, and not `is_quiet`.
    pub(crate) fn start(meter: &Meter, is_quiet: bool) -> Self {
        let terminal = Terminal::of_stderr();
        if is_quiet || !terminal.can_erase {
            return Self { shown: None };
        }
        let mut status = StatusLine::new(terminal.has_colors);
        let meter = meter.clone();
        // Nothing is shown yet.
        let _ = status.set_source(Some(Box::new(move || text(&meter.read()))), view());
        let line = Arc::new(Mutex::new(Line { status, is_row_complete: true }));
        let (running, ended) = channel::<()>();
        let drawn = Arc::clone(&line);
        let draw = move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(INTERVAL) {
                lock(&drawn).refresh();
            }
        };
        // Best effort: without the thread nothing is shown.
        let thread = thread::Builder::new().name("progress".into()).spawn(draw).ok();
        Self { shown: Some(Shown { line, running: Some(running), thread }) }
    }

    /// Returns a writer to `out`, whose rows appear above the line if `out` is a terminal.
    pub(crate) fn above<'o>(&self, out: &'o mut dyn Write, is_terminal: bool) -> AboveLine<'o> {
        let line = self.shown.as_ref().filter(|_| is_terminal).map(|shown| Arc::clone(&shown.line));
        AboveLine { out, line, row: Vec::new() }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        let Some(Shown { line, running, thread }) = &mut self.shown else { return };
        drop(running.take());
        if let Some(thread) = thread.take() {
            // A panic of the thread was printed.
            let _ = thread.join();
        }
        lock(line).erase();
    }
}

impl Line {
    fn refresh(&mut self) {
        if self.is_row_complete {
            let shown = self.status.refresh(view());
            // Best effort: the terminal may be gone.
            let _ = io::stderr().write_all(shown.as_bytes());
        }
    }

    fn erase(&mut self) {
        let erased = self.status.hide(view());
        let _ = io::stderr().write_all(erased.as_bytes());
    }
}

/// The lock is never poisoned: a panic while it is held ends the process or the thread that draws.
fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A writer of rows, complete ones at a time.
pub(crate) struct AboveLine<'o> {
    out: &'o mut dyn Write,
    /// `None` if the rows do not go to the terminal that shows the line.
    line: Option<Arc<Mutex<Line>>>,
    /// The beginning of a row.
    row: Vec<u8>,
}

impl Write for AboveLine<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.line.is_none() {
            return self.out.write(bytes);
        }
        self.row.extend_from_slice(bytes);
        if bytes.contains(&b'\n') {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(line) = &self.line else { return self.out.flush() };
        let mut line = lock(line);
        line.erase();
        line.is_row_complete = self.row.last().is_none_or(|last| *last == b'\n');
        let row = std::mem::take(&mut self.row);
        self.out.write_all(&row)?;
        self.out.flush()
    }
}

/// Returns the progress: `1.2 GB of 4.1 GB, 350 MB/s, 8 s left`; nothing in the first second.
fn text(measured: &Measured) -> String {
    let Measured { done, total, elapsed, .. } = *measured;
    if elapsed < MIN_ELAPSED || total == 0 {
        return String::new();
    }
    let seconds = elapsed.as_secs_f64();
    let rate = done as f64 / seconds;
    let left = match total.saturating_sub(done) {
        0 => "finishing".into(),
        _ if done == 0 => return format!("{} of {}", size(done), size(total)),
        rest => format!("{} left", duration((rest as f64 / rate).ceil().max(1.0) * 1000.0)),
    };
    format!("{} of {}, {}/s, {left}", size(done), size(total), size(rate as u64))
}

/// The line is shown after this time: most commands have ended by then.
const MIN_ELAPSED: Duration = Duration::from_secs(1);

const INTERVAL: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_bytes_rate_and_time_left_after_a_second() {
        let shown = |done, total, ms| {
            let mut measured = Measured::default();
            (measured.done, measured.total, measured.elapsed) = (done, total, Duration::from_millis(ms));
            text(&measured)
        };
        assert_eq!(shown(5, 10, 999), "");
        assert_eq!(shown(0, 0, 2000), "");
        assert_eq!(shown(0, 4_100_000_000, 1000), "0 B of 4.1 GB");
        assert_eq!(shown(1_400_000_000, 4_100_000_000, 4000), "1.4 GB of 4.1 GB, 350 MB/s, 8.0 s left");
        assert_eq!(shown(1, 4_000_000, 1000), "1 B of 4.0 MB, 1 B/s, 46 d 7 h left");
        assert_eq!(shown(999_999, 1_000_000, 1000), "1.0 MB of 1.0 MB, 1.0 MB/s, 1.0 s left");
        assert_eq!(shown(4_100_000_000, 4_100_000_000, 10_000), "4.1 GB of 4.1 GB, 410 MB/s, finishing");
    }

    #[test]
    fn rows_are_written_whole() {
        let mut out = Vec::new();
        let line = Line { status: StatusLine::new(false), is_row_complete: true };
        let line = Some(Arc::new(Mutex::new(line)));
        let mut above = AboveLine { out: &mut out, line: line.clone(), row: Vec::new() };
        above.write_all(b"a row ").unwrap();
        assert!(above.row == b"a row " && lock(line.as_ref().unwrap()).is_row_complete);
        above.write_all(b"ends\nthe next").unwrap();
        assert!(!lock(line.as_ref().unwrap()).is_row_complete, "the status line would follow it");
        above.write_all(b" too\n").unwrap();
        assert!(lock(line.as_ref().unwrap()).is_row_complete);
        assert_eq!(out, b"a row ends\nthe next too\n");
    }
}
