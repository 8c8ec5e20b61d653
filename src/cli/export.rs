//! `spectral capture export`: a bundle, or some of it, in the words of other tools.
//!
//! One exchange at a time goes through memory, and nothing waits for the last.

use super::filter::Filter;
use super::output::Output;
use super::reading::{Opened, Prefer, Stop, ended, known, open};
use super::text::escape;
use spectral_capture::reader::Bundle;
use std::io::{self, Write};
use std::path::PathBuf;

mod curl;
mod har;
mod http;
mod quote;

/// What to export, and where to.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) file: PathBuf,
    pub(crate) format: Format,
    /// stdout if there is none.
    pub(crate) output: Option<PathBuf>,
    pub(crate) filter: Filter,
    /// One exchange alone.
    pub(crate) trace: Option<String>,
}

/// In whose words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// HTTP Archive 1.2: browsers' developer tools, and most others.
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

/// Exports what `options` ask for.
pub(crate) fn export(options: &Options) -> Result<(), String> {
    ended(all(options))
}

fn all(options: &Options) -> Result<(), Stop> {
    let Opened { bundle, remark, .. } = open(&options.file, Prefer::Whole)?;
    if let Some(remark) = remark {
        let _ = writeln!(io::stderr(), "spectral: {}", escape(&remark));
    }
    if let Some(id) = &options.trace {
        known(&bundle, id)?;
    }
    let mut output = Output::open(options.output.as_deref()).map_err(Stop::Asked)?;
    let mut wanted = Wanted { options, next: 0 };
    match options.format {
        Format::Har => har::write(&bundle, &mut wanted, &mut output)?,
        Format::Curl => curl::write(&bundle, &mut wanted, &mut output)?,
    }
    Ok(output.finish()?)
}

/// The exchanges to export, in the order of their ids.
struct Wanted<'o> {
    options: &'o Options,
    next: usize,
}

impl Wanted<'_> {
    fn next(&mut self, bundle: &Bundle) -> Result<Option<spectral_capture::reader::Trace>, Stop> {
        while let Some(id) = bundle.traces().get(self.next) {
            self.next = self.next.saturating_add(1);
            if self.options.trace.as_ref().is_some_and(|only| only != id) {
                continue;
            }
            let trace = bundle.trace(id)?;
            if self.options.filter.wants(bundle, &trace)? {
                return Ok(Some(trace));
            }
        }
        Ok(None)
    }

    /// Whether WebSockets without a handshake are wanted too.
    fn wants_socket(&self, bundle: &Bundle, socket: &spectral_capture::reader::WebSocket) -> Result<bool, Stop> {
        Ok(self.options.trace.is_none() && self.options.filter.wants_socket(bundle, socket)?)
    }
}
