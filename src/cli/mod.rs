//! The command line: arguments in, messages out, signals between them.

mod address;
mod advice;
mod args;
mod backups;
mod ca;
mod capture;
mod command_error;
mod credentials;
mod domains;
mod ending;
mod export;
mod help;
mod inspect;
mod json;
mod merge;
mod message;
#[cfg(target_os = "linux")]
mod namespace;
#[cfg(not(target_os = "linux"))]
#[path = "namespace/unsupported.rs"]
mod namespace;
mod notices;
mod open_bundle;
mod output;
mod process;
mod progress;
mod progress_line;
mod recover;
mod redact;
mod run;
mod screen;
mod startup;
mod stop_after;
mod summary;
mod table;
mod text;
mod upstream;

use args::Task;
use message::{fail, print_error};
use spectral_capture::output::delete_temporary_files;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

/// Runs the command of this process's command line.
pub(crate) fn main() -> ExitCode {
    let task = match args::parse(std::env::args_os()) {
        Ok(task) => task,
        Err(problem) => {
            print_error(&problem);
            return ExitCode::from(USAGE_ERROR);
        }
    };
    if let Task::Capture(_) | Task::Run { .. } | Task::Ca(_) = task {
        // They read the CA's key.
        process::forbid_dumps();
    }
    if let Task::Export(_) | Task::Merge { .. } | Task::Redact { .. } | Task::Recover { .. } = task
        && let Err(problem) = process::clean_up_on_signals(delete_temporary_files)
    {
        return fail(&problem);
    }
    let out = &mut io::stdout();
    let is_terminal = out.is_terminal();
    let result = match task {
        Task::Capture(options) => return capture::run(options),
        Task::Run { options, command } => return run::run(options, &command),
        Task::Print(text) => output::print(text, out),
        Task::Ca(request) => ca::run(request, out, is_terminal),
        Task::Inspect(options) => return or_fail(inspect::inspect(&options, out, is_terminal)),
        Task::Export(options) => return or_fail(export::export(&options)),
        Task::Merge { bundles, output, filter, quiet, keep_backups } => {
            return or_fail(merge::merge(&bundles, &output, filter, quiet, keep_backups, out));
        }
        Task::Redact { file, output, rules, filter, quiet, keep_backups } => {
            return or_fail(match output {
                Some(output) => redact::redact((&file, &output), &rules, filter, quiet, keep_backups, out),
                None => redact::check(&file, &rules, filter, quiet, out),
            });
        }
        Task::Recover { part, output, quiet, keep_backups } => {
            return or_fail(recover::recover(&part, output.as_deref(), quiet, keep_backups, out));
        }
    };
    or_fail(result.map(|()| ExitCode::SUCCESS))
}

fn or_fail(result: Result<ExitCode, String>) -> ExitCode {
    result.unwrap_or_else(|problem| fail(&problem))
}

/// The exit code for a usage error.
const USAGE_ERROR: u8 = 2;
