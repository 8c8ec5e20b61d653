//! The domains of a command: a table or lines of JSON, on stderr or in a file. Stdout is the command's.

use crate::cli::advice::Client;
use crate::cli::domains;
use crate::cli::output::Output;
use crate::cli::screen::Screen;
use crate::cli::summary;
use spectral_capture::{Config, Summary};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The form of the domains and the file for them.
pub(super) struct DomainsFile {
    is_json: bool,
    /// `None` is stderr.
    file: Option<(PathBuf, Output)>,
}

impl DomainsFile {
    /// Opens the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn open(is_json: bool, path: Option<&Path>) -> Result<Self, String> {
        let file = path.map(|path| Output::open(Some(path)).map(|output| (path.to_owned(), output)));
        Ok(Self { is_json, file: file.transpose()? })
    }

    /// Writes the domains, and shows the rest on stderr.
    pub(super) fn report(self, summary: &Summary, config: &Config, screen: &Screen) -> Result<(), String> {
        let text = if self.is_json { domains::json_lines(summary) } else { domains::table(summary) };
        let mut result = Ok(());
        match self.file {
            None => screen.print(text),
            Some((path, mut output)) => {
                let written = output.write_all(text.as_bytes()).and_then(|()| output.finish());
                result = written.map_err(|e| format!("cannot write {}: {e}", path.display()));
            }
        }
        screen.info(summary::of_discovery(summary, config));
        if !self.is_json {
            screen.info(domains::capture_hint(summary, Client::Redirected));
        }
        result
    }
}
