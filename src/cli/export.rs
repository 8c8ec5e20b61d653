//! `spectral capture export`: writes a bundle, or selected exchanges of it, as HAR or as curl commands.

use super::filter::Filter;
use super::message::print_warning;
use super::open_bundle::{CommandError, Opened, Prefer, open, require_exchange, to_message};
use super::output::Output;
use spectral_capture::export::{self, Selection};
use spectral_capture::reader::{Bundle, Error, Trace, WebSocket};
use std::path::PathBuf;

/// The arguments of the command.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) file: PathBuf,
    pub(crate) format: Format,
    /// `None` is stdout.
    pub(crate) output: Option<PathBuf>,
    pub(crate) filter: Filter,
    /// The only exchange to export.
    pub(crate) trace: Option<String>,
}

/// The format of the export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// HTTP Archive 1.2, which browsers' developer tools read.
    Har,
    /// Shell commands.
    Curl,
}

impl Format {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "har" => Some(Self::Har),
            "curl" => Some(Self::Curl),
            _ => None,
        }
    }
}

/// Runs the command.
pub(crate) fn export(options: &Options) -> Result<(), String> {
    to_message(all(options))
}

fn all(options: &Options) -> Result<(), CommandError> {
    let Opened { bundle, warning, .. } = open(&options.file, Prefer::Complete)?;
    if let Some(warning) = warning {
        print_warning(&warning);
    }
    if let Some(id) = &options.trace {
        require_exchange(&bundle, id)?;
    }
    let mut output = Output::open(options.output.as_deref()).map_err(CommandError::Request)?;
    match options.format {
        Format::Har => export::har::write(&bundle, options, &mut output),
        Format::Curl => export::curl::write(&bundle, options, &mut output),
    }
    .map_err(|e| match e {
        export::Error::Read(e) => CommandError::Bundle(e),
        export::Error::Write(e) => CommandError::Output(e),
        e => CommandError::Request(e.to_string()),
    })?;
    Ok(output.finish()?)
}

impl Selection for Options {
    fn considers(&self, id: &str) -> bool {
        self.trace.as_ref().is_none_or(|only| only == id)
    }

    fn selects(&self, bundle: &Bundle, trace: &Trace) -> Result<bool, Error> {
        self.filter.matches(bundle, trace)
    }

    fn selects_websocket(&self, bundle: &Bundle, websocket: &WebSocket) -> Result<bool, Error> {
        Ok(self.trace.is_none() && self.filter.matches_websocket(bundle, websocket)?)
    }
}
