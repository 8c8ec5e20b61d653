//! The help texts, the man page and the shells' completions, all made of one table.
//!
//! ```text
//! table.rs ─┬─▶ -h, --help       of the program, or of one command
//!           ├─▶ man.rs           spectral man
//!           └─▶ completions.rs   spectral completions bash|zsh|fish
//! ```
//!
//! Tests hold the table to what the command line accepts: no option more, none less.

use table::{ABOUT, COMMANDS, EXIT_CODES, OPTIONS};

pub(crate) mod completions;
pub(crate) mod man;
mod table;

/// What `-V` prints.
pub(crate) const VERSION: &str = concat!("spectral ", env!("CARGO_PKG_VERSION"), "\n");

/// A command.
struct Command {
    /// How it is called, without the program's name.
    words: &'static str,
    /// What follows.
    usage: &'static str,
    /// In a few words.
    brief: &'static str,
    /// In sentences.
    about: &'static str,
    operand: Operand,
}

/// What a command takes besides options.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operand {
    Nothing,
    File,
    /// A program and its arguments.
    Program,
    Words(&'static [&'static str]),
}

/// An option.
struct Opt {
    short: Option<char>,
    long: &'static str,
    value: Value,
    /// The commands that have it.
    of: &'static [&'static str],
    brief: &'static str,
    about: &'static str,
}

/// What an option takes.
#[derive(Clone, Copy)]
enum Value {
    None,
    File,
    Folder,
    /// One of these.
    Words(&'static [&'static str]),
    /// Something that is called so.
    Text(&'static str),
}

/// How much is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// `-h`
    Short,
    /// `--help`
    Long,
}

/// The help on what is called by `words`: a command, several that begin so, or the program.
pub(crate) fn text(words: &[impl AsRef<str>], length: Length) -> String {
    let words = words.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ");
    let is_asked = |command: &&Command| {
        words.is_empty()
            || command.words == words
            || command.words.strip_prefix(&words).is_some_and(|w| w.starts_with(' '))
    };
    let commands: Vec<_> = COMMANDS.iter().filter(is_asked).collect();
    match (&commands[..], length) {
        ([], _) => text(&[""; 0], length),
        ([command], length) => one(command, length),
        (commands, Length::Short) => briefly(commands),
        (commands, Length::Long) => at_length(commands, words.is_empty()),
    }
}

/// The commands that begin with `word`, without it: `run, proxy, discover or inspect`.
pub(crate) fn listed_under(word: &str) -> String {
    let rest = |command: &Command| command.words.strip_prefix(word)?.strip_prefix(' ');
    let words: Vec<_> = COMMANDS.iter().filter_map(rest).collect();
    match &words[..] {
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
        [] => String::new(),
    }
}

/// The command that was probably meant by one that there is not.
pub(crate) fn nearest_command(words: &str) -> Option<&'static str> {
    let first = |command: &Command| command.words.split(' ').next();
    nearest(words, COMMANDS.iter().flat_map(|command| [Some(command.words), first(command)]).flatten())
}

/// The option that was probably meant; none if `name` is one, of another command.
pub(crate) fn nearest_option(name: &str) -> Option<&'static str> {
    nearest(name, OPTIONS.iter().map(|option| option.long)).filter(|meant| *meant != name)
}

/// What differs least, if that is little.
fn nearest(word: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let (typos, meant) = known.map(|known| (distance(word, known), known)).min()?;
    (typos <= MOST_TYPOS && typos < word.len()).then_some(meant)
}

/// How many letters have to be put in, taken out, or exchanged (Levenshtein's distance).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (n, a) in from.chars().enumerate() {
        let mut left = n.saturating_add(1);
        let mut above_left = std::mem::replace(row.first_mut().unwrap_or(&mut 0), left);
        for (b, cell) in to.chars().zip(row.iter_mut().skip(1)) {
            let exchanged = above_left.saturating_add(usize::from(a != b));
            above_left = *cell;
            left = exchanged.min(cell.saturating_add(1)).min(left.saturating_add(1));
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

fn briefly(commands: &[&Command]) -> String {
    let mut text = format!("spectral {ABOUT}.\n\n");
    for command in commands {
        text.push_str(&format!("  {:28}{}\n", format!("spectral {}", command.words), command.brief));
    }
    text + "\nspectral COMMAND -h says more of one, spectral --help all there is to say.\n"
}

fn one(command: &Command, length: Length) -> String {
    let mut text = format!("{}\n", called(command));
    match length {
        Length::Short => text.push_str(&format!("  {}\n\n", command.brief)),
        Length::Long => text.push_str(&format!("{}\n", wrapped(command.about, 4))),
    }
    for option in options_of(command) {
        match length {
            Length::Short => text.push_str(&format!("  {:34}{}\n", option.shown(), option.brief)),
            Length::Long => text.push_str(&format!("  {}\n{}", option.shown().trim_start(), wrapped(option.about, 6))),
        }
    }
    match length {
        Length::Short => text + "\n--help says more.\n",
        Length::Long => text + "  -h, --help, -V, --version\n",
    }
}

fn at_length(commands: &[&Command], is_all: bool) -> String {
    let mut text = format!("spectral {ABOUT}.\n\nUSAGE\n");
    for command in commands {
        text.push_str(&format!("  {}\n{}\n", called(command), wrapped(command.about, 6)));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    let mut group = &[][..];
    let is_shown = |option: &&Opt| commands.iter().any(|command| option.of.contains(&command.words));
    for option in OPTIONS.iter().filter(is_shown) {
        if option.of != group {
            group = option.of;
            text.push_str(&format!("\n{}", wrapped(&format!("OPTIONS of {}", listed(group)), 0)));
        }
        text.push_str(&format!("  {}\n{}", option.shown().trim_start(), wrapped(option.about, 6)));
    }
    text.push_str("\n  -h, --help, -V, --version\n");
    if is_all { text + &format!("\nEXIT CODES\n{}", wrapped(EXIT_CODES, 2)) } else { text }
}

/// `capture run, capture proxy and ca env`.
fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn called(command: &Command) -> String {
    format!("spectral {} {}", command.words, command.usage).trim_end().to_owned()
}

fn options_of(command: &Command) -> impl Iterator<Item = &'static Opt> {
    let words = command.words;
    OPTIONS.iter().filter(move |option| option.of.contains(&words))
}

impl Opt {
    /// `-o, --output FILE`
    fn shown(&self) -> String {
        let short = self.short.map_or("    ".to_owned(), |short| format!("-{short}, "));
        format!("{short}--{} {}", self.long, self.value.name()).trim_end().to_owned()
    }
}

impl Value {
    fn name(self) -> String {
        match self {
            Self::None => String::new(),
            Self::File => "FILE".into(),
            Self::Folder => "DIR".into(),
            Self::Words(words) => words.join("|"),
            Self::Text(name) => name.into(),
        }
    }
}

/// Paragraphs in lines of at most [`WIDTH`], each with `indent` blanks before it; examples stay as they are.
fn wrapped(text: &str, indent: usize) -> String {
    let blanks = " ".repeat(indent);
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.is_empty() || line.starts_with(EXAMPLE) {
            lines.push(format!("{blanks}{line}"));
            continue;
        }
        let mut current = blanks.clone();
        for word in line.split(' ') {
            if current.len() > indent && current.chars().count().saturating_add(word.chars().count()) >= WIDTH {
                lines.push(std::mem::replace(&mut current, blanks.clone()));
            }
            if current.len() > indent {
                current.push(' ');
            }
            current.push_str(word);
        }
        lines.push(current);
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Begins lines that are not wrapped.
const EXAMPLE: &str = "    ";

/// Two letters exchanged are two.
const MOST_TYPOS: usize = 2;

/// What the narrowest usual terminal shows.
const WIDTH: usize = 80;

#[cfg(test)]
mod tests;
