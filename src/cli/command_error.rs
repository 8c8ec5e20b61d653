//! Errors of the commands that read a bundle: `inspect` and `export`.

use super::output::stdout_error;
use spectral_capture::reader::Error;
use std::io;
use std::process::ExitCode;

/// The reason why a command that reads a bundle ends early.
pub(crate) enum CommandError {
    /// Stdout cannot be written.
    Output(io::Error),
    /// The bundle cannot be read.
    Bundle(Error),
    /// The request does not fit the bundle; the text is a complete message.
    Request(String),
}

impl From<io::Error> for CommandError {
    fn from(e: io::Error) -> Self {
        Self::Output(e)
    }
}

impl From<Error> for CommandError {
    fn from(e: Error) -> Self {
        Self::Bundle(e)
    }
}

impl CommandError {
    /// Returns the message, or `None` for a closed stdout: its reader needs no more, which is not an error.
    fn message(self) -> Option<String> {
        match self {
            Self::Output(e) if e.kind() == io::ErrorKind::BrokenPipe => None,
            Self::Output(e) => Some(stdout_error(&e)),
            Self::Bundle(e) => Some(e.to_string()),
            Self::Request(message) => Some(message),
        }
    }
}

/// Turns the result of a command that reads a bundle into its exit code or error message.
pub(crate) fn to_message(result: Result<ExitCode, CommandError>) -> Result<ExitCode, String> {
    result.map_err(CommandError::message).or_else(|message| message.map_or(Ok(ExitCode::SUCCESS), Err))
}
