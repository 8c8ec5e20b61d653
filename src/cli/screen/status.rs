//! The status line: the last line of a terminal, erased before any other text and shown again below it.
//!
//! In the background, the last line of the terminal belongs to another program: it is then neither erased nor written.

use crate::cli::text::{escape, truncated};
use std::time::Duration;

/// Returns the current text of the status line.
pub(crate) type Source = Box<dyn Fn() -> String + Send>;

/// The state of the status line. Its methods return the bytes to write to the terminal.
pub(crate) struct StatusLine {
    source: Option<Source>,
    /// The line as shown, with its colors; empty if none is shown.
    shown: String,
    has_colors: bool,
    /// Texts printed since the last refresh.
    texts: u32,
}

/// The terminal's relation to this process at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// The terminal has this width, and this process is in its foreground.
    Foreground {
        columns: usize,
    },
    Background,
}

impl StatusLine {
    pub(crate) fn new(has_colors: bool) -> Self {
        Self { source: None, shown: String::new(), has_colors, texts: 0 }
    }

    /// Returns true if there is a source, so that the methods need the current [`View`].
    pub(super) fn is_active(&self) -> bool {
        self.source.is_some()
    }

    /// Returns the time after which to call [`StatusLine::refresh`].
    pub(super) fn refresh_interval(&self) -> Duration {
        if self.source.is_some() { REFRESH_INTERVAL } else { NO_REFRESH }
    }

    /// Shows the text of `source` from now on, or nothing.
    pub(crate) fn set_source(&mut self, source: Option<Source>, view: View) -> String {
        self.source = source;
        self.refresh(view)
    }

    /// Shows the source's current text, if it changed.
    pub(crate) fn refresh(&mut self, view: View) -> String {
        self.texts = 0;
        let line = self.line(view);
        if line == self.shown {
            return String::new();
        }
        self.shown = line;
        if view == View::Background { String::new() } else { format!("{ERASE}{}", self.shown) }
    }

    /// Removes the line until the next refresh, if it is shown.
    pub(crate) fn hide(&mut self, view: View) -> String {
        let is_shown = !std::mem::take(&mut self.shown).is_empty() && view != View::Background;
        if is_shown { ERASE.to_owned() } else { String::new() }
    }

    /// Prints `text`, which ends with a newline, above the status line.
    pub(super) fn print_above(&mut self, text: &str, view: View) -> String {
        if view == View::Background {
            self.shown.clear();
        }
        if self.shown.is_empty() {
            return text.to_owned();
        }
        // The refresh interval never passes while texts arrive faster: refresh after a number of texts instead.
        self.texts = self.texts.saturating_add(1);
        if self.texts >= MAX_TEXTS_BETWEEN_REFRESHES {
            self.texts = 0;
            self.shown = self.line(view);
        }
        format!("{ERASE}{text}{}", self.shown)
    }

    fn line(&self, view: View) -> String {
        let (Some(source), View::Foreground { columns }) = (&self.source, view) else { return String::new() };
        let text = source();
        let text = escape(&text);
        // The last column stays free: some terminals wrap a line that reaches it, and a wrapped line cannot be erased.
        let line = truncated(&text, columns.saturating_sub(1));
        if self.has_colors && !line.is_empty() { format!("\x1b[2m{line}\x1b[m") } else { line.to_owned() }
    }
}

/// Returns to the first column and erases the line (ECMA-48, EL).
const ERASE: &str = "\r\x1b[K";

const REFRESH_INTERVAL: Duration = Duration::from_millis(250);

const MAX_TEXTS_BETWEEN_REFRESHES: u32 = 16;

/// In place of "no timeout"; about 136 years.
const NO_REFRESH: Duration = Duration::from_secs(1 << 32);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    const WIDE: View = View::Foreground { columns: 80 };

    /// Returns a source and the number of its calls so far.
    fn counting() -> (Arc<AtomicU32>, Option<Source>) {
        let count = Arc::<AtomicU32>::default();
        let calls = Arc::clone(&count);
        (count, Some(Box::new(move || format!("call {}", calls.fetch_add(1, Relaxed)))))
    }

    fn constant(text: &'static str) -> Option<Source> {
        Some(Box::new(move || text.to_owned()))
    }

    #[test]
    fn is_erased_before_a_text_and_shown_again_below() {
        let mut line = StatusLine::new(false);
        assert_eq!((line.print_above("text\n", WIDE).as_str(), line.refresh_interval()), ("text\n", NO_REFRESH));
        let (_, source) = counting();
        assert_eq!(line.set_source(source, WIDE), "\r\x1b[Kcall 0");
        assert_eq!(line.refresh_interval(), REFRESH_INTERVAL);
        assert_eq!(line.print_above("text\n", WIDE), "\r\x1b[Ktext\ncall 0");
        assert_eq!(line.refresh(WIDE), "\r\x1b[Kcall 1");
        assert_eq!(line.set_source(None, WIDE), "\r\x1b[K");
        assert_eq!((line.set_source(None, WIDE), line.refresh(WIDE)), (String::new(), String::new()));
        assert_eq!(line.print_above("x\n", WIDE), "x\n");
    }

    #[test]
    fn is_hidden_until_the_next_refresh() {
        let mut line = StatusLine::new(true);
        assert_eq!((line.set_source(constant(""), WIDE), line.hide(WIDE)), (String::new(), String::new()));
        assert_eq!(line.set_source(constant("a"), WIDE), "\r\x1b[K\x1b[2ma\x1b[m");
        assert_eq!((line.hide(WIDE).as_str(), line.hide(WIDE).as_str()), ("\r\x1b[K", ""));
        assert_eq!(line.refresh(WIDE), "\r\x1b[K\x1b[2ma\x1b[m");
        assert_eq!(line.hide(View::Background), "");
    }

    #[test]
    fn is_written_only_when_it_changed() {
        let mut line = StatusLine::new(true);
        assert_eq!(line.set_source(constant("same\x1b[2J"), WIDE), "\r\x1b[K\x1b[2msame\\x1b[2J\x1b[m");
        assert_eq!(line.refresh(WIDE), "");
    }

    #[test]
    fn leaves_the_terminal_to_the_foreground() {
        let mut line = StatusLine::new(false);
        assert_eq!(line.set_source(constant("status"), View::Background), "");
        assert_eq!(line.print_above("text\n", View::Background), "text\n");
        assert_eq!(line.refresh(WIDE), "\r\x1b[Kstatus");
        // The shell has written its prompt: erasing would remove it.
        assert_eq!(line.refresh(View::Background), "");
        assert_eq!(line.refresh(WIDE), "\r\x1b[Kstatus");
        assert_eq!(line.print_above("text\n", View::Background), "text\n");
        assert_eq!(line.set_source(None, View::Background), "");
        assert_eq!(line.refresh(WIDE), "");
    }

    #[test]
    fn fits_the_terminal_when_its_width_changes() {
        let mut line = StatusLine::new(false);
        assert_eq!(line.set_source(constant("0123456789"), View::Foreground { columns: 11 }), "\r\x1b[K0123456789");
        assert_eq!(line.refresh(View::Foreground { columns: 10 }), "\r\x1b[K012345678");
        assert_eq!(line.refresh(View::Foreground { columns: 0 }), "\r\x1b[K");
        assert_eq!(line.refresh(View::Foreground { columns: 300 }), "\r\x1b[K0123456789");
    }

    #[test]
    fn is_refreshed_every_16_texts() {
        let mut line = StatusLine::new(false);
        let (count, source) = counting();
        line.set_source(source, WIDE);
        (0..160).for_each(|_| drop(line.print_above("text\n", WIDE)));
        assert_eq!(count.load(Relaxed), 11);
    }
}
