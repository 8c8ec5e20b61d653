//! Exports exchanges of a bundle: as [`har`] and [`curl`] for other tools, and as [`html`], a report for people.
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
//! A few exchanges at a time are in memory, without large bodies. Exchanges are written in the order of their ids. Damaged ones are
//! left out, whole, and returned: a body is checked before its exchange is written.

use super::filter::{Filter, Selected};
use super::in_order::{self, Outcome};
use crate::bundle::reader::{self, Bundle, LeftOut, Trace};
use std::fmt;
use std::io;
use stored_body::StoredBody;

pub mod curl;
pub mod har;
pub mod html;
mod http;
pub mod openapi;
mod quote;
#[doc(hidden)] // For the binary, which shows payloads.
pub mod stored_body;

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

/// Calls `render` with each selected exchange, on several threads, and passes the results to `write`, in order. Damaged
/// exchanges are passed as [`Rendered::Damaged`].
fn for_each_selected<'b>(
    bundle: &'b Bundle,
    selected: &Selected<'_>,
    render: &(dyn Fn(Trace) -> Result<Rendered<'b>, Error> + Sync),
    write: &mut dyn FnMut(Rendered<'b>) -> Result<(), Error>,
) -> Result<(), Error> {
    let ids = bundle.traces().iter().filter(|id| selected.considers(id));
    let worker = || {
        |id: &str| {
            let rendered = bundle
                .trace(id)
                .map_err(Error::Read)
                .and_then(|trace| selected.has_exchange(bundle, &trace)?.then(|| render(trace)).transpose());
            match rendered {
                Err(Error::Read(e)) if e.is_of_one_entry() => Ok(Some(Rendered::Damaged(id.to_owned()))),
                rendered => rendered,
            }
        }
    };
    in_order::map(ids, worker, |rendered| rendered.map_or(Ok(()), &mut *write))
}

/// An exchange in the format of the export.
enum Rendered<'b> {
    /// Its text.
    Small(Vec<u8>),
    /// An exchange with more than belongs in memory, and its bodies: it is rendered when it is written.
    Large(Box<Trace>, Vec<StoredBody<'b>>),
    /// The id of an exchange that cannot be read.
    Damaged(String),
}

/// Returns the value, or `None` and adds the item `id` to `damaged` if it cannot be read.
fn readable<T>(read: Result<T, reader::Error>, id: &str, damaged: &mut LeftOut) -> Result<Option<T>, Error> {
    match read {
        Err(e) if e.is_of_one_entry() => {
            damaged.add(id);
            Ok(None)
        }
        read => Ok(Some(read?)),
    }
}

impl Outcome for Rendered<'_> {
    fn size(&self) -> usize {
        match self {
            Self::Small(text) => text.len(),
            Self::Damaged(id) => id.len(),
            Self::Large(_, bodies) => bodies.iter().fold(LARGE_BYTES, |sum, body| sum.saturating_add(body.memory())),
        }
    }
}

/// More than most heads have.
const LARGE_BYTES: usize = 16 * 1024;
