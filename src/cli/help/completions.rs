//! Completion scripts for shells: commands, options and their values, with descriptions.
//!
//! Each script walks the words before the cursor along the table, as the parser does. The words of `capture run`'s program
//! are completed by the shell as a command line of their own.

use crate::cli::table::{Command, Opt, SPECTRAL, below};
use crate::cli::text::quoted;

mod bash;
mod fish;
mod zsh;

/// A shell with programmable completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CompletionShell {
    Bash,
    Zsh,
    Fish,
}

impl CompletionShell {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "bash" => Some(Self::Bash),
            "zsh" => Some(Self::Zsh),
            "fish" => Some(Self::Fish),
            _ => None,
        }
    }

    pub(crate) fn script(self) -> String {
        match self {
            Self::Bash => bash::script(),
            Self::Zsh => zsh::script(),
            Self::Fish => fish::script(),
        }
    }
}

/// The program and all commands, each with the words that lead to it: ` capture run`, or nothing for the program.
fn commands() -> Vec<(String, &'static Command)> {
    let below = below(&SPECTRAL).into_iter().map(|(path, command)| ([" ", &path].concat(), command));
    [(String::new(), &SPECTRAL)].into_iter().chain(below).collect()
}

/// Returns patterns that match the path to each command, except `help`: the words after `help` are a path themselves.
fn paths() -> String {
    let paths = commands().into_iter().map(|(path, _)| path).filter(|path| !path.is_empty() && path != HELP);
    paths.map(|path| quoted(&path)).collect::<Vec<_>>().join("|")
}

/// Returns patterns that match an option after its command's words: `' capture run -o'|' capture run --output'`.
fn patterns(path: &str, option: &Opt) -> String {
    option.names().into_iter().map(|name| quoted(&[path, " ", &name].concat())).collect::<Vec<_>>().join("|")
}

/// Returns patterns for all options for which `is_meant` returns true.
fn all_patterns(is_meant: &dyn Fn(&Opt) -> bool) -> String {
    let mut found = Vec::new();
    for (path, command) in commands() {
        let options = command.options().into_iter().filter(|option| is_meant(option));
        found.extend(options.map(|option| patterns(&path, option)));
    }
    found.join("|")
}

/// The words before a program to run.
const RUN: &str = " capture run";

const HELP: &str = " help";
