//! The command line: arguments in, messages out, signals between them.

mod address;
mod advice;
mod args;
mod ca;
mod capture;
mod export;
mod filter;
mod help;
mod inspect;
mod json;
mod merge;
mod message;
mod notices;
mod open_bundle;
mod output;
mod process;
mod recover;
mod redact;
mod run;
mod screen;
mod startup;
mod summary;
mod text;

use args::Command;
use message::{fail, print_error};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Runs what the command line asks for.
pub(crate) fn main() -> ExitCode {
    match args::parse(std::env::args_os()) {
        Ok(Command::Print(text)) => print(&text),
        Ok(Command::Help(words, length)) => print(&help::text(&words, length)),
        Ok(Command::Capture(options)) => capture::run(options),
        Ok(Command::Run { options, command }) => run::run(options, &command),
        Ok(Command::Ca(request)) => {
            let out = io::stdout();
            done(ca::run(request, &mut out.lock(), out.is_terminal()))
        }
        Ok(Command::Inspect(options)) => {
            done(inspect::inspect(&options, &mut io::stdout().lock(), io::stdout().is_terminal()))
        }
        Ok(Command::Export(options)) => done(export::export(&options)),
        Ok(Command::Merge { bundles, output }) => done(merge::merge(&bundles, &output, &mut io::stdout().lock())),
        Ok(Command::Redact { file, output, rules }) => {
            done(redact::redact(&file, &output, &rules, &mut io::stdout().lock()))
        }
        Ok(Command::Recover { part, output }) => {
            done(recover::recover(&part, output.as_deref(), &mut io::stdout().lock()))
        }
        Err(usage) => {
            print_error(&usage);
            ExitCode::from(USAGE)
        }
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        // A reader that left has what it wanted.
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => fail(&format!("cannot write: {e}")),
        _ => ExitCode::SUCCESS,
    }
}

/// How a command ended.
fn done(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => fail(&what),
    }
}

/// The exit code for a command line that makes no sense.
const USAGE: u8 = 2;
