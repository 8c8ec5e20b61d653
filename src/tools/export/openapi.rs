//! Exports a description of the captured API: an OpenAPI 3.1 document, inferred from the exchanges.
//!
//! ```text
//! 1  heads of all exchanges   ─▶ paths       the tree of path segments, and which exchanges are none of an API
//! 2  answers                  ─▶ answers     evidence: segments that answers have as values
//!                                templates   which segments are parameters
//! 3  exchanges and messages   ─▶ operation   parameters, bodies and statuses of each operation
//!                                document    the document, written at the end
//! ```
//!
//! The document has names and shapes, and no values of the capture: no identifiers, texts or secrets. Words of an enumeration are
//! an exception, if they look like those of a program and are in many exchanges.
//!
//! Nothing is guessed from the shapes of answers alone, and no model is asked: the same capture gives the same document. Memory is
//! bounded by limits on paths, operations and members; what does not fit is counted in the document.
//!
//! References: OpenAPI Specification 3.1.1 (<https://spec.openapis.org/oas/v3.1.1>), JSON Schema 2020-12
//! (<https://json-schema.org/draft/2020-12>).

use super::Error;
use crate::bundle::json;
use crate::bundle::reader::{Bundle, LeftOut};
use crate::tools::filter::Filter;
use api::Api;
use std::io::Write;
use survey::Survey;

mod affixes;
mod answers;
mod api;
mod bodies;
mod calls;
mod components;
mod evidence;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod id_kind;
mod json_value;
mod looks;
mod names;
mod omissions;
mod operation;
mod parameters;
mod parse;
mod paths;
mod schema;
mod security;
mod shape;
mod sketch;
mod survey;
mod templates;
#[cfg(test)]
mod testing;
mod text_kind;
mod walk;
mod websocket;

pub mod drift;

/// The options of a description.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// Selects the exchanges and WebSockets, as in [`export::Options`](super::Options).
    pub filter: Filter,
    /// Adds values of the capture: enumerations, constants and one example of each parameter. Secrets are never added.
    pub has_examples: bool,
}

/// The result of an export.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Written {
    /// Damaged items, which are left out.
    pub damaged: LeftOut,
    /// The exchanges that are not described, by reason.
    pub omitted: Vec<Omitted>,
    /// The number of operations in the document.
    pub operations: u64,
}

/// Exchanges that are not described.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Omitted {
    /// The reason in words: `static file`.
    pub reason: &'static str,
    /// The number of exchanges.
    pub count: u64,
}

/// Writes the document, as JSON.
///
/// # Errors
/// Returns [`Error::Read`] if the bundle cannot be read, [`Error::Write`] if `out` cannot be written.
pub fn write(bundle: &Bundle, options: &Options, out: &mut dyn Write) -> Result<Written, Error> {
    // Heads are read once more, but bodies are most of the content.
    bundle.meter().expect_passes(2);
    let mut survey = Survey::new(bundle, &options.filter)?;
    survey.find_evidence(bundle)?;
    let api = Api::observe(bundle, survey)?;
    let (document, written) = api.document(options.has_examples);
    out.write_all(&json::to_vec(&document)?)?;
    writeln!(out)?;
    Ok(written)
}
