//! Exports exchanges of a bundle in formats of other tools: [`har`] and [`curl`].
//!
//! ```no_run
//! use spectral_capture::{export, reader::Bundle};
//!
//! let bundle = Bundle::open("capture.zip")?;
//! let mut out = std::fs::File::create("capture.har")?;
//! export::har::write(&bundle, &export::Everything, &mut out)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! One exchange at a time is in memory. Exchanges are written in the order of their ids.

use crate::bundle::reader::{self, Bundle, Trace, WebSocket};
use std::fmt;
use std::io;

pub mod curl;
pub mod har;
mod http;
mod quote;

/// Selects the exchanges and WebSockets to export.
pub trait Selection {
    /// Returns false if the exchange `id` is excluded by its id alone. It is then not read. The default is true.
    fn considers(&self, id: &str) -> bool {
        let _ = id;
        true
    }

    /// Returns true if `trace` is exported.
    ///
    /// # Errors
    /// If a part of the bundle that decides this cannot be read.
    fn selects(&self, bundle: &Bundle, trace: &Trace) -> Result<bool, reader::Error>;

    /// Returns true if `websocket`, whose handshake is not in the bundle, is exported. Other WebSockets are exported with
    /// their handshake.
    ///
    /// # Errors
    /// If a part of the bundle that decides this cannot be read.
    fn selects_websocket(&self, bundle: &Bundle, websocket: &WebSocket) -> Result<bool, reader::Error>;
}

/// Selects the whole bundle.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everything;

impl Selection for Everything {
    fn selects(&self, _: &Bundle, _: &Trace) -> Result<bool, reader::Error> {
        Ok(true)
    }

    fn selects_websocket(&self, _: &Bundle, _: &WebSocket) -> Result<bool, reader::Error> {
        Ok(true)
    }
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
    selection: &dyn Selection,
    write: &mut dyn FnMut(&Trace) -> Result<(), Error>,
) -> Result<(), Error> {
    for id in bundle.traces().iter().filter(|id| selection.considers(id)) {
        let trace = bundle.trace(id)?;
        if selection.selects(bundle, &trace)? {
            write(&trace)?;
        }
    }
    Ok(())
}
