//! Reads a command line: [`parser`] splits it by the table, and each command's reader here turns the parts into its options.

use super::ca::Request;
use super::stop_after::StopAfter;
use super::table::SPECTRAL;
use super::table::options::VERSION;
use super::upstream::UpstreamOptions;
use super::{export, help, inspect};
use help::Length;
use help::completions::CompletionShell;
use parser::{Args, unknown_command};
use spectral_capture::Config;
use spectral_capture::filter::Filter;
use spectral_capture::redact::Rules;
use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

mod amount;
mod bundles;
mod ca;
mod capture;
mod filter;
mod moment;
mod number;
mod parser;
mod size;
mod time;
mod values;

/// A command with its options, ready to be run.
#[derive(Debug)]
pub(crate) enum Task {
    /// Prints help, the version, the man page or completions.
    Print(String),
    /// `capture proxy` or `capture discover`.
    Capture(CaptureOptions),
    /// `capture run`, or `capture discover` with a command.
    Run {
        options: CaptureOptions,
        /// A program and its arguments.
        command: Vec<OsString>,
    },
    /// `ca`.
    Ca(Request),
    /// `capture inspect`.
    Inspect(inspect::Options),
    /// `capture export`.
    Export(export::Options),
    /// `capture merge`.
    Merge {
        /// The bundles, in the order of their numbers.
        bundles: Vec<PathBuf>,
        output: PathBuf,
        filter: Filter,
        quiet: bool,
        keep_backups: Option<NonZeroU32>,
    },
    /// `capture redact`.
    Redact {
        file: PathBuf,
        /// `None` with `--check`.
        output: Option<PathBuf>,
        rules: Rules,
        filter: Filter,
        quiet: bool,
        keep_backups: Option<NonZeroU32>,
    },
    /// `capture recover`.
    Recover {
        /// The unfinished bundle.
        part: PathBuf,
        output: Option<PathBuf>,
        quiet: bool,
        keep_backups: Option<NonZeroU32>,
    },
}

/// The options of a capture.
#[derive(Debug)]
pub(crate) struct CaptureOptions {
    pub(crate) config: Config,
    /// Select the upstream proxies in `config`.
    pub(crate) upstream: UpstreamOptions,
    pub(crate) quiet: bool,
    /// Prints a line for each exchange.
    pub(crate) verbose: bool,
    /// Prints discovered domains as JSON.
    pub(crate) json: bool,
    /// The interval of the lines that show the progress.
    pub(crate) log_every: Option<Duration>,
    /// The first limit that is reached ends the capture.
    pub(crate) stop_after: Vec<StopAfter>,
    /// The file with the user and password that clients must send.
    pub(crate) auth_file: Option<PathBuf>,
    /// Captures all TCP of a command, in a network of its own.
    pub(crate) all: bool,
    /// The file for discovered domains.
    pub(crate) domains_file: Option<PathBuf>,
    /// The number of backups to keep of a bundle that is replaced; `None` keeps all.
    pub(crate) keep_backups: Option<NonZeroU32>,
}

/// Reads a command line, the program's own name first.
///
/// # Errors
/// A line that states the usage error.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Task, String> {
    let args = parser::split(args)?;
    if let Some(length) = args.help {
        return Ok(Task::Print(help::text(&args.commands, length)));
    }
    if args.has(&VERSION) {
        return Ok(Task::Print(help::VERSION.into()));
    }
    let names: Vec<_> = args.commands.iter().skip(1).map(|command| command.name).collect();
    match names[..] {
        ["capture", "run"] => capture::run(args),
        ["capture", "proxy"] => capture::capture(&args, Config::capture("capture.zip")).map(Task::Capture),
        ["capture", "discover"] => capture::discover(args),
        ["capture", "inspect"] => bundles::inspect(&args),
        ["capture", "export"] => bundles::export(&args),
        ["capture", "merge"] => bundles::merge(&args),
        ["capture", "redact"] => bundles::redact(&args),
        ["capture", "recover"] => bundles::recover(&args),
        ["ca", name] => ca::read(name, &args),
        ["completions"] => completions(&args),
        ["man"] => Ok(Task::Print(help::man::page())),
        ["help"] => help_on(&args),
        _ => Err(args.missing_command()),
    }
}

fn completions(args: &Args) -> Result<Task, String> {
    values::operand_choice(args, "shell", CompletionShell::from_name).map(|shell| Task::Print(shell.script()))
}

fn help_on(args: &Args) -> Result<Task, String> {
    let mut path = vec![&SPECTRAL];
    for word in args.operands() {
        let name = word.to_string_lossy();
        let group = path.last().copied().unwrap_or(&SPECTRAL);
        path.push(group.subcommand(&name).ok_or_else(|| unknown_command(&path, &name))?);
    }
    Ok(Task::Print(help::text(&path, Length::Long)))
}

#[cfg(test)]
mod tests;
