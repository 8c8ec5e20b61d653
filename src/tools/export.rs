//! Exports exchanges of a bundle in formats of other tools: [`har`] and [`curl`].
//!
//! ```no_run
//! use spectral_capture::{export, reader::Bundle};
//!
//! let bundle = Bundle::open("capture.zip")?;
//! let mut out = std::fs::File::create("capture.har")?;
//! export::har::write(&bundle, &export::Options::default(), &mut out)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! One exchange at a time is in memory. Exchanges are written in the order of their ids.

use super::filter::{Filter, Selected};
use crate::bundle::reader::{self, Bundle, Trace};
use std::fmt;
use std::io;

pub mod curl;
pub mod har;
mod http;
mod quote;
mod stored_body;

/// The options of an export.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Selects the exchanges and WebSockets to export. A WebSocket comes with its handshake's exchange and all its messages, if
    /// the filter matches the WebSocket or the exchange.
    pub filter: Filter,
}

/// The reason why an export stopped.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The bundle cannot be read.
    Read(reader::Error),
    /// The output cannot be written.
    Write(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(e) => e.fmt(f),
            Self::Write(e) => write!(f, "cannot write: {e}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(e) => Some(e),
            Self::Write(e) => Some(e),
        }
    }
}

impl From<reader::Error> for Error {
    fn from(e: reader::Error) -> Self {
        Self::Read(e)
    }
}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Self {
        Self::Write(e)
    }
}

/// Calls `write` with each selected exchange.
fn for_each_selected(
    bundle: &Bundle,
    selected: &Selected<'_>,
    write: &mut dyn FnMut(&Trace) -> Result<(), Error>,
) -> Result<(), Error> {
    for id in bundle.traces().iter().filter(|id| selected.considers(id)) {
        let trace = bundle.trace(id)?;
        if selected.has_exchange(bundle, &trace)? {
            write(&trace)?;
        }
    }
    Ok(())
}
