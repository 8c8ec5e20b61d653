//! Redacts a bundle for sharing: replaces secret values by placeholders.
//!
//! ```text
//! Authorization: Bearer eyJhb…    ─▶  Authorization: Bearer redacted-5b1c0e7f33a9
//! Cookie: id=7; theme=dark        ─▶  Cookie: id=redacted-0f8e…; theme=redacted-91c4…
//! GET /?token=7                   ─▶  GET /?token=redacted-0f8e…          equal values stay equal
//! {"hello":"you sent eyJhb…"}     ─▶  {"hello":"you sent redacted-5b1c…"}
//! ```
//!
//! Two passes over the bundle run the same search:
//!
//! ```text
//!           text ─▶ grammar ─▶ values with names ─▶ secret by name or form?   nested text ─▶ grammar ─▶ …
//! first pass:   records the secret values
//! second pass:  replaces them, and each recorded value of eight bytes or more wherever else it stands: as it is, percent-encoded,
//!               with escapes of JSON, in base64
//! ```
//!
//! | file | idea |
//! |---|---|
//! | `pass.rs` | read all items on several threads, write them in order |
//! | `item.rs` | search the fields and bodies of an item |
//! | `grammar/` | list the values in a text: where each begins and ends, its name, its encoding |
//! | `names.rs`, `forms.rs` | decide which values are secret |
//! | `layer.rs` | decode a value, map ranges back to the encoded text |
//! | `search.rs` | search a text through nested grammars, return replacements of ranges |
//! | `values.rs`, `base64_form.rs` | find recorded values anywhere |
//! | `charset.rs`, `body.rs` | bodies: character sets, multipart, large bodies in pieces |
//!
//! The rule not to break: a grammar never writes. A replacement consists of letters, digits and `-` and takes the place of a range
//! within a value, so what was well-formed stays well-formed, and no other byte changes.
//!
//! A body that cannot be searched is left out and reported, and so is an item that cannot be read. A placeholder is a hash of the value under a random key, which is
//! discarded at the end of the run. Values can therefore not be guessed and verified with the new bundle alone. Each run gives a
//! value another placeholder.

use super::filter::Selected;
use super::rewriter::Rewriter;
use crate::bundle::reader::{Bundle, LeftOut, Manifest};
use crate::bundle::spill::unlinked_file;
use pass::Redaction;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use super::rewriter::{Error, Options};
pub(super) use grammar::multipart;
pub(super) use names::is_secret as is_secret_name;
pub use report::{Bodies, Report};

mod base64_form;
mod body;
mod charset;
mod edits;
mod forms;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod grammar;
mod item;
mod layer;
mod leaf;
mod names;
mod pass;
mod placeholder;
mod report;
mod search;
mod values;

/// The values to replace. Names are compared without regard to case and separators: `user-id` is `userId` and `user[id]`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Rules {
    /// Names of header fields, parameters, form fields, cookies, members of JSON, elements and attributes of XML, and arguments of
    /// GraphQL.
    pub names: Vec<String>,
    /// Names of header fields alone.
    pub headers: Vec<String>,
    /// Names of URL parameters and form fields alone.
    pub query: Vec<String>,
    /// Names of JSON members and form fields alone. Everything in a member is replaced.
    pub json: Vec<String>,
    /// Switches the default list of names off.
    pub only_named: bool,
    /// Keeps bodies and messages that cannot be searched. By default they are left out.
    pub keep_unsearched: bool,
}

/// The result of a redaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redacted {
    /// The path of the new bundle.
    pub output: PathBuf,
    /// The number of exchanges in it.
    pub exchanges: u64,
    /// The number of WebSockets in it.
    pub websockets: u64,
    /// The backup of the bundle that had this path before.
    pub backup: Option<PathBuf>,
    /// The values that were replaced, and all that remains for a person to look at.
    pub report: Report,
}

/// Writes a copy of `bundle` to `output`, redacted by `rules`. An existing `output` is kept: as `.bak`, or `.2.bak` and so on.
/// A filter in `options` is applied to the items as they are in `bundle`; contexts are always copied.
///
/// ```no_run
/// use spectral_capture::redact::{Options, Rules, redact};
///
/// # fn main() -> Result<(), spectral_capture::redact::Error> {
/// let mut rules = Rules::default();
/// rules.names.push("customer_id".into());
/// let redacted = redact("capture.zip".as_ref(), "shared.zip".as_ref(), &rules, &Options::default())?;
/// for (name, count) in &redacted.report.names {
///     println!("{count} {name}");
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Returns [`Error::Read`] if `bundle` cannot be read or is not finished, [`Error::OutputIsInput`] if `output` is `bundle`,
/// and [`Error::Output`] or [`Error::Write`] if `output` cannot be created or written. No file is changed then.
pub fn redact(bundle: &Path, output: &Path, rules: &Rules, options: &Options) -> Result<Redacted, Error> {
    redact_with(bundle, output, rules, options, &mut |_| {})
}

/// As [`redact`]. `prepare` changes the redaction before it begins.
fn redact_with(
    bundle: &Path,
    output: &Path,
    rules: &Rules,
    options: &Options,
    prepare: &mut dyn FnMut(&mut Redaction<'_>),
) -> Result<Redacted, Error> {
    let mut report = Report::default();
    let (finished, stats) = Rewriter::write(output, &[bundle], |rewriter| {
        let manifest;
        (manifest, report) = rewrite(rewriter, (bundle, output), rules, options, prepare)?;
        Ok(manifest)
    })?;
    Ok(Redacted {
        output: finished.path,
        backup: finished.backup,
        exchanges: stats.trace_count,
        websockets: stats.ws_connection_count,
        report,
    })
}

/// Adds the redacted items of `bundle` to `rewriter`, which writes `output`. Returns the manifest, and the counts.
fn rewrite(
    rewriter: &mut Rewriter,
    (bundle, output): (&Path, &Path),
    rules: &Rules,
    options: &Options,
    prepare: &mut dyn FnMut(&mut Redaction<'_>),
) -> Result<(Manifest, Report), Error> {
    let bundle = open(bundle, options, 2)?;
    let (selected, undecided) = select(&bundle, options)?;
    let mut redaction = Redaction::new(&bundle, &selected, rules, output);
    prepare(&mut redaction);
    redaction.find()?;
    let manifest = redaction.write(rewriter)?;
    Ok((manifest, redaction.into_report(undecided)))
}

/// Redacts `bundle` into a temporary bundle without a name, and opens it. Exports of it are redacted.
///
/// # Errors
/// As [`redact`].
pub fn redacted_copy(bundle: &Path, rules: &Rules, options: &Options) -> Result<(Bundle, Report), Error> {
    let directory = std::env::temp_dir();
    let path = directory.join("redacted.zip");
    let failed = |cause| Error::Write { path: directory.clone(), cause };
    // However the process ends, nothing is left behind.
    let file = Arc::new(unlinked_file(&directory).map_err(failed)?);
    let mut report = Report::default();
    Rewriter::write_to(&file, &path, |rewriter| {
        let manifest;
        (manifest, report) = rewrite(rewriter, (bundle, &path), rules, options, &mut |_| {})?;
        Ok(manifest)
    })?;
    let file = file.try_clone().map_err(failed)?;
    Ok((Bundle::of_file(path, file)?, report))
}

/// Reports what [`redact`] would replace in `bundle`, and writes nothing. Placeholders are not secrets: a redacted bundle is clean.
///
/// # Errors
/// Returns [`Error::Read`] if `bundle` cannot be read or is not finished, and [`Error::Write`] if there is no space for temporary
/// files.
pub fn check(bundle: &Path, rules: &Rules, options: &Options) -> Result<Report, Error> {
    let bundle = open(bundle, options, 1)?;
    let (selected, undecided) = select(&bundle, options)?;
    // The bundle may be in a directory that cannot be written.
    let output = std::env::temp_dir().join("check");
    let mut redaction = Redaction::new(&bundle, &selected, rules, &output);
    redaction.find()?;
    Ok(redaction.into_report(undecided))
}

/// Returns the part of `bundle` that the filter selects, and the WebSockets that it cannot decide because they are damaged.
fn select<'o>(bundle: &Bundle, options: &'o Options) -> Result<(Selected<'o>, LeftOut), Error> {
    let (mut selected, mut undecided) = (Selected::new(&options.filter), LeftOut::default());
    selected.add_readable_websockets(bundle, |id| undecided.add(id))?;
    Ok((selected, undecided))
}

/// Opens `bundle`, which is read `passes` times.
fn open(bundle: &Path, options: &Options, passes: usize) -> Result<Bundle, Error> {
    let mut bundle = Bundle::open(bundle)?;
    (0..passes).for_each(|_| options.meter.expect_all_of(bundle.meter()));
    bundle.set_meter(&options.meter);
    Ok(bundle)
}

#[cfg(test)]
mod tests;
