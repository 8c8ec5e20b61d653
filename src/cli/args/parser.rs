//! Splits a command line into options and operands by the table. The one file that names `lexopt`.
//!
//! ```text
//! spectral capture export --format=har -o x.har a.zip
//!          └─── path ───┘ └─ option ─┘ └─────┘  └───┘ operand
//! ```
//!
//! Values are not checked here, so that `--help` after a wrong value still prints help.

use crate::cli::help::Length;
use crate::cli::help::nearest::{nearest_command, nearest_option};
use crate::cli::table::options::{HELP, VERSION};
use crate::cli::table::{Command, Operands, Opt, SPECTRAL, ValueKind};
use lexopt::Arg;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// A command line, split.
pub(super) struct Args {
    /// [`SPECTRAL`], the groups that the command is in, and the command.
    pub(super) commands: Vec<&'static Command>,
    /// Options with their values (empty for flags), and operands (`None`), in the order given.
    pub(super) items: Vec<(Option<&'static Opt>, OsString)>,
    /// The program to run and its arguments.
    pub(super) program: Vec<OsString>,
    /// The last of `-h` and `--help`.
    pub(super) help: Option<Length>,
}

/// Splits a command line, the program's own name first.
///
/// # Errors
/// If it has an unknown command or option, an option without its value, or too many operands. An error after `-h`,
/// `--help`, `-V` or `--version` is ignored.
pub(super) fn split(args: impl IntoIterator<Item = OsString>) -> Result<Args, String> {
    let mut parser = lexopt::Parser::from_iter(args);
    let mut args = Args { commands: vec![&SPECTRAL], items: Vec::new(), program: Vec::new(), help: None };
    match args.read(&mut parser) {
        Err(problem) if args.help.is_none() && !args.has(&VERSION) => Err(problem),
        _ => Ok(args),
    }
}

impl Args {
    fn read(&mut self, parser: &mut lexopt::Parser) -> Result<(), String> {
        while let Some(arg) = parser.next().map_err(message)? {
            let find =
                |is_meant: &dyn Fn(&Opt) -> bool| self.command().options().into_iter().find(|option| is_meant(option));
            let option = match arg {
                Arg::Value(word) => {
                    self.push_word(word, parser)?;
                    continue;
                }
                Arg::Short(short) => find(&|option| option.short == Some(short))
                    .ok_or_else(|| self.unknown_option(&String::from_iter(['-', short])))?,
                Arg::Long(long) => {
                    find(&|option| option.long == long).ok_or_else(|| self.unknown_option(&["--", long].concat()))?
                }
            };
            if option.is(&HELP) {
                self.help = Some(if matches!(arg, Arg::Short(_)) { Length::Short } else { Length::Long });
            }
            let value = match option.value {
                ValueKind::None => OsString::new(),
                ValueKind::MayBeOneOf(_) => parser.optional_value().unwrap_or_default(),
                _ => parser.value().map_err(message)?,
            };
            // An empty path usually comes from an unset variable in a script.
            if option.value.is_path() && value.is_empty() {
                return Err(needs_value(&option.name()));
            }
            self.items.push((Some(option), value));
        }
        Ok(())
    }

    fn push_word(&mut self, word: OsString, parser: &mut lexopt::Parser) -> Result<(), String> {
        match self.command().operands {
            Operands::Subcommand(_) => {
                let name = word.to_string_lossy();
                let command = self.command().subcommand(&name).ok_or_else(|| unknown_command(&self.commands, &name))?;
                self.commands.push(command);
            }
            Operands::Program => {
                self.program.push(word);
                self.program.extend(parser.raw_args().map_err(message)?);
            }
            Operands::None => return Err(self.unexpected(&word)),
            Operands::One(_) if self.operands().next().is_some() => return Err(self.unexpected(&word)),
            Operands::One(value) | Operands::Many(value) if value.is_path() && word.is_empty() => {
                return Err(self.missing_operand());
            }
            Operands::One(_) | Operands::Many(_) => self.items.push((None, word)),
        }
        Ok(())
    }

    pub(super) fn command(&self) -> &'static Command {
        self.commands.last().copied().unwrap_or(&SPECTRAL)
    }

    pub(super) fn has(&self, option: &Opt) -> bool {
        self.values(option).next().is_some()
    }

    /// Returns the values of a repeatable option.
    pub(super) fn values(&self, option: &Opt) -> impl Iterator<Item = &OsStr> {
        self.items.iter().filter(|(given, _)| given.is_some_and(|given| given.is(option))).map(|(_, value)| &**value)
    }

    /// Returns the values of a repeatable option as texts.
    ///
    /// # Errors
    /// If one is not UTF-8.
    pub(super) fn texts(&self, option: &Opt) -> Result<Vec<&str>, String> {
        let not_utf8 = || ["the value of ", &option.name(), " is not UTF-8"].concat();
        self.values(option).map(|value| value.to_str().ok_or_else(not_utf8)).collect()
    }

    /// Returns the last value of an option.
    ///
    /// # Errors
    /// If one is not UTF-8.
    pub(super) fn text(&self, option: &Opt) -> Result<Option<&str>, String> {
        Ok(self.texts(option)?.pop())
    }

    pub(super) fn path(&self, option: &Opt) -> Option<PathBuf> {
        self.values(option).last().map(PathBuf::from)
    }

    pub(super) fn operands(&self) -> impl Iterator<Item = &OsStr> {
        self.items.iter().filter(|(option, _)| option.is_none()).map(|(_, word)| &**word)
    }

    /// Returns the first operand.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn operand(&self) -> Result<&OsStr, String> {
        self.operands().next().ok_or_else(|| self.missing_operand())
    }

    /// Returns `missing FILE: spectral capture inspect FILE`, or `missing SHELL: expected bash, zsh or fish`.
    pub(super) fn missing_operand(&self) -> String {
        let usage = self.required_usage();
        let name = usage.split(' ').find(|word| word.starts_with(char::is_uppercase)).unwrap_or_default();
        let name = name.trim_end_matches("...");
        match self.command().operands {
            Operands::One(ValueKind::OneOf(known)) => ["missing ", name, ": expected ", &listed(known)].concat(),
            _ => self.missing(name),
        }
    }

    /// Returns `missing -o FILE: spectral capture merge FILE... -o FILE` for the argument `name`.
    pub(super) fn missing(&self, name: &str) -> String {
        ["missing ", name, ": ", &words(&self.commands), " ", &self.required_usage()].concat()
    }

    /// Returns the command's arguments without those in brackets, which are optional.
    fn required_usage(&self) -> String {
        let is_required = |word: &&str| !word.starts_with('[') && !word.ends_with(']');
        self.command().usage.split(' ').filter(is_required).collect::<Vec<_>>().join(" ")
    }

    /// Returns `missing subcommand: expected path, show or env. See 'spectral ca -h'.` for a group without a command.
    pub(super) fn missing_command(&self) -> String {
        let kind = if self.commands.len() > 1 { "subcommand" } else { "command" };
        let names: Vec<_> = self.command().subcommands().iter().map(|command| command.name).collect();
        ["missing ", kind, ": expected ", &listed(&names), ".", &see_help(&self.commands)].concat()
    }

    pub(super) fn unexpected(&self, word: &OsStr) -> String {
        ["unexpected argument '", &word.to_string_lossy(), "'.", &see_help(&self.commands)].concat()
    }

    fn unknown_option(&self, name: &str) -> String {
        let meant = name.strip_prefix("--").and_then(|long| nearest_option(self.command(), long));
        let hint = meant.map(|meant| ["; did you mean '--", meant, "'?"].concat()).unwrap_or_else(|| ".".into());
        ["unknown option '", name, "'", &hint, &see_help(&self.commands)].concat()
    }
}

impl Opt {
    /// True if both are the same option of one command, perhaps with different texts.
    fn is(&self, other: &Opt) -> bool {
        self.long == other.long
    }
}

/// Returns an error for `name`, which is not a command in the group at the end of `path`.
pub(super) fn unknown_command(path: &[&'static Command], name: &str) -> String {
    let group: Vec<_> = path.iter().skip(1).map(|command| command.name).collect();
    let typed = [&group[..], &[name]].concat().join(" ");
    match nearest_command(path.last().copied().unwrap_or(&SPECTRAL), name) {
        Some(meant) => {
            ["unknown command '", &typed, "'; did you mean '", &[&group[..], &[&meant]].concat().join(" "), "'?"]
                .concat()
        }
        None => ["unknown command '", &typed, "'.", &see_help(path)].concat(),
    }
}

/// Returns `spectral capture proxy`.
fn words(path: &[&'static Command]) -> String {
    path.iter().map(|command| command.name).collect::<Vec<_>>().join(" ")
}

/// Returns ` See 'spectral capture proxy -h'.`
fn see_help(path: &[&'static Command]) -> String {
    [" See '", &words(path), " -h'."].concat()
}

/// Returns `pem, der or p12`.
pub(super) fn listed(words: &[&str]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => [&first.join(", "), " or ", last].concat(),
        _ => words.concat(),
    }
}

fn needs_value(option: &str) -> String {
    ["option '", option, "' needs a value"].concat()
}

fn message(error: lexopt::Error) -> String {
    match error {
        lexopt::Error::MissingValue { option: Some(option) } => needs_value(&option),
        lexopt::Error::UnexpectedValue { option, .. } => ["option '", &option, "' takes no value"].concat(),
        other => other.to_string(),
    }
}
