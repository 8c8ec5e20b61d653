//! Errors and warnings on stderr, each with one prefix.

use super::text::escape;
use std::io::{self, Write};
use std::process::ExitCode;

/// Returns `problem` as an error line.
pub(crate) fn error_line(problem: &str) -> String {
    format!("spectral: error: {}\n", escape(&without_error_number(problem)))
}

/// Returns `problem` as a warning line.
pub(crate) fn warning_line(problem: &str) -> String {
    format!("spectral: warning: {}\n", escape(&without_error_number(problem)))
}

/// Returns `problem` without the ` (os error 2)` that [`io::Error`] appends to the system's own text.
fn without_error_number(problem: &str) -> String {
    // From the end: a path before it may contain the same words.
    if let Some((before, after)) = problem.rsplit_once(" (os error ")
        && let Some((number, rest)) = after.split_once(')')
        && number.bytes().all(|b| b.is_ascii_digit())
    {
        return [before, rest].concat();
    }
    problem.to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_contain_no_error_numbers() {
        let cause = io::Error::from_raw_os_error(2);
        for (problem, expected) in [
            (format!("cannot read a: {cause}"), "cannot read a: No such file or directory"),
            (format!("cannot read a: {cause}; use b"), "cannot read a: No such file or directory; use b"),
            ("cannot read a (os error x)".into(), "cannot read a (os error x)"),
            ("cannot read a".into(), "cannot read a"),
        ] {
            assert_eq!(error_line(&problem), format!("spectral: error: {expected}\n"));
            assert_eq!(warning_line(&problem), format!("spectral: warning: {expected}\n"));
        }
    }
}
