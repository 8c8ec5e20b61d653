//! The last line of a terminal, which says how it is going and gives way to every other.

use crate::cli::text::escape;
use std::time::Duration;

/// What the line says now.
pub(super) type Source = Box<dyn Fn() -> String + Send>;

/// See above. Its functions return what is to be written.
pub(super) struct StatusLine {
    source: Option<Source>,
    /// What stands there, colours and all; empty if nothing does.
    shown: String,
    has_colors: bool,
    /// Texts since it was last asked what to say.
    texts: u32,
}

impl StatusLine {
    pub(super) fn new(has_colors: bool) -> Self {
        Self { source: None, shown: String::new(), has_colors, texts: 0 }
    }

    /// How long to wait for something else to show.
    pub(super) fn patience(&self) -> Duration {
        if self.source.is_some() { PERIOD } else { FOREVER }
    }

    /// Says what `source` says from now on, or nothing.
    pub(super) fn follow(&mut self, source: Option<Source>) -> String {
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

    /// Says what is so now.
    pub(super) fn refresh(&mut self) -> String {
        self.texts = 0;
        let line = self.line();
        if line == self.shown {
            return String::new();
        }
        self.shown = line;
        format!("{ERASE}{}", self.shown)
    }

    /// Shows `text`, which ends its lines, and the line below it.
    pub(super) fn beneath(&mut self, text: &str) -> String {
        if self.shown.is_empty() {
            return text.to_owned();
        }
        // Where texts come faster than the line would be asked anew, they count the time.
        self.texts = self.texts.saturating_add(1);
        if self.texts >= MOST_TEXTS {
            self.texts = 0;
            self.shown = self.line();
        }
        format!("{ERASE}{text}{}", self.shown)
    }

    fn line(&self) -> String {
        let Some(source) = &self.source else { return String::new() };
        let line: String = escape(&source()).chars().take(WIDTH).collect();
        if self.has_colors { format!("\x1b[2m{line}\x1b[m") } else { line }
    }
}

/// Back to the beginning, and nothing behind (ECMA-48, EL).
const ERASE: &str = "\r\x1b[K";

/// What the narrowest usual terminal shows without a second line, which could not be taken back.
const WIDTH: usize = 79;

/// Often enough to see that something happens.
const PERIOD: Duration = Duration::from_millis(250);

/// The line is asked anew after so many texts that left no time for it.
const MOST_TEXTS: u32 = 16;

/// Nothing is to be shown by itself.
const FOREVER: Duration = Duration::from_secs(1 << 32);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    /// A source that counts how often it is asked.
    fn counting() -> (Arc<AtomicU32>, Option<Source>) {
        let count = Arc::<AtomicU32>::default();
        let asked = Arc::clone(&count);
        (count, Some(Box::new(move || format!("said {}", asked.fetch_add(1, Relaxed)))))
    }

    #[test]
    fn gives_way_and_comes_back() {
        let mut line = StatusLine::new(false);
        assert_eq!((line.beneath("text\n").as_str(), line.patience()), ("text\n", FOREVER));
        let (_, source) = counting();
        assert_eq!((line.follow(source).as_str(), line.patience()), ("\r\x1b[Ksaid 0", PERIOD));
        assert_eq!(line.beneath("text\n"), "\r\x1b[Ktext\nsaid 0");
        assert_eq!(line.refresh(), "\r\x1b[Ksaid 1");
        assert_eq!(line.follow(None), "\r\x1b[K");
        assert_eq!((line.follow(None), line.refresh(), line.beneath("x\n")), ("".into(), "".into(), "x\n".into()));
    }

    #[test]
    fn is_not_written_again_if_nothing_changed() {
        let mut line = StatusLine::new(true);
        assert_eq!(line.follow(Some(Box::new(|| "same\x1b[2J".repeat(20)))).chars().count(), 4 + 4 + WIDTH + 3);
        assert_eq!(line.refresh(), "");
    }

    #[test]
    fn is_asked_seldom_while_texts_come() {
        let mut line = StatusLine::new(false);
        let (count, source) = counting();
        line.follow(source);
        (0..160).for_each(|_| drop(line.beneath("text\n")));
        assert_eq!(count.load(Relaxed), 11);
    }
}
