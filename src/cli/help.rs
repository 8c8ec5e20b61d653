//! The help texts, the man page and the completions, all made from the table of commands.

use super::table::{Command, EXAMPLE, EXIT_CODES, Opt, SPECTRAL, below};

pub(crate) mod completions;
pub(crate) mod man;
pub(crate) mod nearest;

/// The output of `-V`.
pub(crate) const VERSION: &str = concat!("spectral ", env!("CARGO_PKG_VERSION"), "\n");

/// The length of a help text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// `-h`: a line for each option or command.
    Short,
    /// `--help`: everything.
    Long,
}

/// Returns the help on a command or group. `path` leads to it from [`SPECTRAL`].
pub(crate) fn text(path: &[&'static Command], length: Length) -> String {
    let command = path.last().copied().unwrap_or(&SPECTRAL);
    let name = path.iter().map(|command| command.name).collect::<Vec<_>>().join(" ");
    let mut text = match length {
        Length::Short => [command.brief, "\n"].concat(),
        Length::Long => wrapped(&description(command.brief, command.more), 0),
    };
    text.extend(["\nUsage: ", &usage(&name, command), "\n\n"]);
    let is_group = !command.subcommands().is_empty();
    match (is_group, length) {
        (false, Length::Short) => {
            text.push_str(&option_rows(command.options()));
            text.extend(["\nSee '", &name, " --help' for details.\n"]);
        }
        (false, Length::Long) => command.options().into_iter().for_each(|option| text.push_str(&entry(option))),
        (true, _) => {
            text.push_str(&commands_below(command, &name, length));
            text.extend(["\nSee '", &name, " ", command.usage, " -h' for options, '--help' for details.\n"]);
        }
    }
    text
}

/// Returns a line for each command below `group` or, in the long help, a table of its options.
fn commands_below(group: &'static Command, name: &str, length: Length) -> String {
    let mut commands = below(group);
    commands.retain(|(_, command)| command.subcommands().is_empty());
    if length == Length::Short {
        let lines = rows(commands.into_iter().map(|(path, command)| (path, command.brief)).collect());
        let options = option_rows(group.options.to_vec());
        return if options.is_empty() { lines } else { [&*lines, "\n", &options].concat() };
    }
    let mut text = String::new();
    for (path, command) in &commands {
        text.extend([&usage(&[name, " ", path].concat(), command), "\n  ", command.brief, ".\n"]);
        text.extend([&*option_rows(command.options.to_vec()), "\n"]);
    }
    text.push_str(&option_rows(group.options()));
    if group.name == SPECTRAL.name {
        text.extend(["\nExit codes:\n", &wrapped(EXIT_CODES, 2)]);
    }
    text
}

/// Returns `spectral capture merge FILE... -o FILE`.
fn usage(name: &str, command: &Command) -> String {
    [name, " ", command.usage].concat().trim_end().to_owned()
}

/// Returns a line for each option.
fn option_rows(options: Vec<&'static Opt>) -> String {
    rows(options.into_iter().map(|option| (option.signature(), option.brief)).collect())
}

/// Returns a table of two columns; the first is as wide as its widest cell.
fn rows(rows: Vec<(String, &str)>) -> String {
    let width = rows.iter().map(|(left, _)| left.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (left, right) in &rows {
        let padding = " ".repeat(width.saturating_sub(left.len()));
        text.extend(["  ", left, &padding, "  ", right, "\n"]);
    }
    text
}

/// Returns the entry of an option in the long help.
fn entry(option: &Opt) -> String {
    ["  ", option.signature().trim_start(), "\n", &wrapped(&description(option.brief, option.more), 6)].concat()
}

/// Returns `brief` as a sentence, and the sentences or the example after it.
fn description(brief: &str, more: &str) -> String {
    let space = match more {
        "" => "",
        more if more.starts_with(EXAMPLE) => "\n\n",
        _ => " ",
    };
    [brief, ".", space, more].concat()
}

/// Wraps paragraphs at [`WIDTH`] and indents them by `indent` spaces. Examples keep their lines.
fn wrapped(text: &str, indent: usize) -> String {
    let indentation = " ".repeat(indent);
    let mut wrapped = String::new();
    for line in text.lines() {
        let mut column = 0_usize;
        for word in if line.starts_with(EXAMPLE) { vec![line] } else { line.split(' ').collect() } {
            let length = word.chars().count();
            if column > 0 && column.saturating_add(length) >= WIDTH {
                wrapped.push('\n');
                column = 0;
            }
            wrapped.push_str(if column == 0 && !word.is_empty() { &indentation } else { "" });
            wrapped.push_str(if column == 0 { "" } else { " " });
            wrapped.push_str(word);
            column = column.max(indent).saturating_add(length).saturating_add(1);
        }
        wrapped.push('\n');
    }
    wrapped
}

/// Columns of a help text.
const WIDTH: usize = 100;

#[cfg(test)]
mod tests;
