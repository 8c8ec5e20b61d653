//! The status line: the last line of a terminal, erased before any other text and shown again below it.

use crate::cli::text::escape;
use std::time::Duration;

/// Returns the current text of the status line.
pub(super) type Source = Box<dyn Fn() -> String + Send>;

/// The state of the status line. Its methods return the bytes to write to the terminal.
pub(super) struct StatusLine {
    source: Option<Source>,
    /// The line as shown, with its colors; empty if none is shown.
    shown: String,
    has_colors: bool,
    /// Texts printed since the last refresh.
    texts: u32,
}

impl StatusLine {
    pub(super) fn new(has_colors: bool) -> Self {
        Self { source: None, shown: String::new(), has_colors, texts: 0 }
    }

    /// Returns the time after which to call [`StatusLine::refresh`].
    pub(super) fn refresh_interval(&self) -> Duration {
        if self.source.is_some() { REFRESH_INTERVAL } else { NO_REFRESH }
    }

    /// Shows the text of `source` from now on, or nothing.
    pub(super) fn set_source(&mut self, source: Option<Source>) -> String {
        self.source = source;
        match self.source {
            Some(_) => self.refresh(),
            None if self.shown.is_empty() => String::new(),
            None => {
                self.shown.clear();
                ERASE.into()
            }
        }
    }

    /// Shows the source's current text, if it changed.
    pub(super) fn refresh(&mut self) -> String {
        self.texts = 0;
        let line = self.line();
        if line == self.shown {
            return String::new();
        }
        self.shown = line;
        format!("{ERASE}{}", self.shown)
    }

    /// Prints `text`, which ends with a newline, above the status line.
    pub(super) fn print_above(&mut self, text: &str) -> String {
        if self.shown.is_empty() {
            return text.to_owned();
        }
        // The refresh interval never passes while texts arrive faster: refresh after a number of texts instead.
        self.texts = self.texts.saturating_add(1);
        if self.texts >= MAX_TEXTS_BETWEEN_REFRESHES {
            self.texts = 0;
            self.shown = self.line();
        }
        format!("{ERASE}{text}{}", self.shown)
    }

    fn line(&self) -> String {
        let Some(source) = &self.source else { return String::new() };
        let line: String = escape(&source()).chars().take(MAX_COLUMNS).collect();
        if self.has_colors { format!("\x1b[2m{line}\x1b[m") } else { line }
    }
}

/// Returns to the first column and erases the line (ECMA-48, EL).
const ERASE: &str = "\r\x1b[K";

/// Fits on one line of an 80-column terminal. A wrapped line could not be erased.
const MAX_COLUMNS: usize = 79;

const REFRESH_INTERVAL: Duration = Duration::from_millis(250);

const MAX_TEXTS_BETWEEN_REFRESHES: u32 = 16;

/// In place of "no timeout"; about 136 years.
const NO_REFRESH: Duration = Duration::from_secs(1 << 32);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    /// Returns a source and the number of its calls so far.
    fn counting() -> (Arc<AtomicU32>, Option<Source>) {
        let count = Arc::<AtomicU32>::default();
        let calls = Arc::clone(&count);
        (count, Some(Box::new(move || format!("call {}", calls.fetch_add(1, Relaxed)))))
    }

    #[test]
    fn is_erased_before_a_text_and_shown_again_below() {
        let mut line = StatusLine::new(false);
        assert_eq!((line.print_above("text\n").as_str(), line.refresh_interval()), ("text\n", NO_REFRESH));
        let (_, source) = counting();
        assert_eq!((line.set_source(source).as_str(), line.refresh_interval()), ("\r\x1b[Kcall 0", REFRESH_INTERVAL));
        assert_eq!(line.print_above("text\n"), "\r\x1b[Ktext\ncall 0");
        assert_eq!(line.refresh(), "\r\x1b[Kcall 1");
        assert_eq!(line.set_source(None), "\r\x1b[K");
        assert_eq!((line.set_source(None), line.refresh()), (String::new(), String::new()));
        assert_eq!(line.print_above("x\n"), "x\n");
    }

    #[test]
    fn is_written_only_when_it_changed() {
        let mut line = StatusLine::new(true);
        let columns = line.set_source(Some(Box::new(|| "same\x1b[2J".repeat(20)))).chars().count();
        assert_eq!(columns, 4 + 4 + MAX_COLUMNS + 3);
        assert_eq!(line.refresh(), "");
    }

    #[test]
    fn is_refreshed_every_16_texts() {
        let mut line = StatusLine::new(false);
        let (count, source) = counting();
        line.set_source(source);
        (0..160).for_each(|_| drop(line.print_above("text\n")));
        assert_eq!(count.load(Relaxed), 11);
    }
}
