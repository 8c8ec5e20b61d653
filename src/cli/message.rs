//! Errors and warnings on stderr, each with its one prefix.

use super::text::escape;
use std::io::{self, Write};
use std::process::ExitCode;

/// Returns `problem` as an error line.
pub(crate) fn error_line(problem: &str) -> String {
    format!("spectral: error: {}\n", escape(problem))
}

/// Returns `problem` as a warning line.
pub(crate) fn warning_line(problem: &str) -> String {
    format!("spectral: warning: {}\n", escape(problem))
}

/// Writes `problem` to stderr as an error and returns exit code 1.
pub(crate) fn fail(problem: &str) -> ExitCode {
    print_error(problem);
    ExitCode::FAILURE
}

/// Writes `problem` to stderr as an error.
pub(crate) fn print_error(problem: &str) {
    // Best effort: stderr may be closed, and the exit code reports the failure too.
    let _ = io::stderr().write_all(error_line(problem).as_bytes());
}

/// Writes `problem` to stderr as a warning.
pub(crate) fn print_warning(problem: &str) {
    let _ = io::stderr().write_all(warning_line(problem).as_bytes());
}
