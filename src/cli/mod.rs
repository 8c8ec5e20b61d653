//! The command line: arguments in, messages out, signals between them.

mod args;
mod ca;
mod capture;
mod help;
mod inspect;
mod process;
mod recover;
mod run;
mod screen;
mod summary;
mod text;

use args::Command;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Runs what the command line asks for.
pub(crate) fn main() -> ExitCode {
    match args::parse(std::env::args_os()) {
        Ok(Command::Print(text)) => {
            // A reader that left has what it wanted.
            let _ = io::stdout().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Ok(Command::Capture(options)) => capture::run(options),
        Ok(Command::Run { options, command }) => run::run(options, &command),
        Ok(Command::Ca(request)) => {
            let out = io::stdout();
            match ca::answer(request, &mut out.lock(), out.is_terminal()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(what) => fail(&what),
            }
        }
        Ok(Command::Inspect { file, trace }) => {
            match inspect::inspect(&file, trace.as_deref(), &mut io::stdout().lock()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(what) => fail(&what),
            }
        }
        Ok(Command::Recover { part, output }) => {
            match recover::recover(&part, output.as_deref(), &mut io::stdout().lock()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(what) => fail(&what),
            }
        }
        Err(usage) => {
            complain(&usage);
            ExitCode::from(USAGE)
        }
    }
}

/// Says what went wrong.
fn fail(what: &str) -> ExitCode {
    complain(what);
    ExitCode::FAILURE
}

fn complain(what: &str) {
    // Nobody may be reading; the exit code says it too.
    let _ = writeln!(io::stderr(), "spectral: {}", text::escape(what));
}

/// The exit code for a command line that makes no sense.
const USAGE: u8 = 2;
