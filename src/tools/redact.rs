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
//! A body that cannot be searched is left out and reported. A placeholder is a hash of the value under a random key, which is
//! discarded at the end of the run. Values can therefore not be guessed and verified with the new bundle alone. Each run gives a
//! value another placeholder.

use super::body_decoder::BodyDecoder;
use super::filter::Selected;
use super::rewriter::{Content, Rewriter, decode_bodies};
use crate::bundle::format::Context;
use crate::bundle::id::ItemKind;
use crate::bundle::other_members::OtherMembers;
use crate::bundle::reader::{self, Bundle, Header, Message, Trace, WebSocket};
use crate::bundle::uuid;
use crate::coding::Content as _;
use body::{BodySearch, MediaType, Outcome};
use edits::{Edit, applied};
use grammar::Grammar;
use search::Searcher;
use std::fs::{self, DirBuilder};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

pub use super::rewriter::{Error, Options};
pub use report::{Bodies, Report};

mod base64_form;
mod body;
mod charset;
mod edits;
mod forms;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod grammar;
mod layer;
mod leaf;
mod names;
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
    let mut report = Report::default();
    let (finished, stats) = Rewriter::write(output, &[bundle], |rewriter| {
        let bundle = open(bundle, options, 2)?;
        let mut selected = Selected::new(&options.filter);
        selected.add_websockets(&bundle)?;
        let mut redaction = Redaction::new(rules, output);
        redaction.pass(&bundle, &selected, None)?;
        redaction.searcher = redaction.searcher.begin_writing();
        redaction.pass(&bundle, &selected, Some(rewriter))?;
        report = redaction.searcher.report;
        report.left_out = bundle.left_out().clone();
        Ok(bundle.manifest().clone())
    })?;
    Ok(Redacted {
        output: finished.path,
        backup: finished.backup,
        exchanges: stats.trace_count,
        websockets: stats.ws_connection_count,
        report,
    })
}

/// Redacts `bundle` into a temporary bundle without a name, and opens it. Exports of it are redacted.
///
/// # Errors
/// As [`redact`].
pub fn redacted_copy(bundle: &Path, rules: &Rules, options: &Options) -> Result<(Bundle, Report), Error> {
    let directory = std::env::temp_dir().join(["spectral-redact-", &uuid::new()].concat());
    let path = directory.join("redacted.zip");
    let failed = |cause| Error::Write { path: directory.clone(), cause };
    DirBuilder::new().mode(0o700).create(&directory).map_err(failed)?;
    let opened = redact(bundle, &path, rules, options).and_then(|redacted| Ok((Bundle::open(&path)?, redacted.report)));
    // The open file remains readable.
    let removed = fs::remove_dir_all(&directory).map_err(failed);
    let opened = opened?;
    removed?;
    Ok(opened)
}

/// Reports what [`redact`] would replace in `bundle`, and writes nothing. Placeholders are not secrets: a redacted bundle is clean.
///
/// # Errors
/// Returns [`Error::Read`] if `bundle` cannot be read or is not finished, and [`Error::Write`] if there is no space for temporary
/// files.
pub fn check(bundle: &Path, rules: &Rules, options: &Options) -> Result<Report, Error> {
    let bundle = open(bundle, options, 1)?;
    let mut selected = Selected::new(&options.filter);
    selected.add_websockets(&bundle)?;
    // The bundle may be in a directory that cannot be written.
    let mut redaction = Redaction::new(rules, &std::env::temp_dir().join("check"));
    redaction.pass(&bundle, &selected, None)?;
    Ok(Report { left_out: bundle.left_out().clone(), ..redaction.searcher.report })
}

/// Opens `bundle`, which is read `passes` times.
fn open(bundle: &Path, options: &Options, passes: usize) -> Result<Bundle, Error> {
    let mut bundle = Bundle::open(bundle)?;
    (0..passes).for_each(|_| options.meter.expect_all_of(bundle.meter()));
    bundle.set_meter(&options.meter);
    Ok(bundle)
}

/// A redaction under way.
struct Redaction {
    searcher: Searcher,
    decoder: BodyDecoder,
    keep_unsearched: bool,
    /// The bundle that is written, for errors.
    output: PathBuf,
}

impl Redaction {
    fn new(rules: &Rules, output: &Path) -> Self {
        Self {
            searcher: Searcher::new(rules),
            decoder: BodyDecoder::new(output),
            keep_unsearched: rules.keep_unsearched,
            output: output.to_owned(),
        }
    }

    /// Searches all items, and writes them in the second pass.
    fn pass(
        &mut self,
        bundle: &Bundle,
        selected: &Selected<'_>,
        mut rewriter: Option<&mut Rewriter>,
    ) -> Result<(), Error> {
        for id in bundle.contexts().iter() {
            let context = self.context(bundle.context(id)?);
            rewriter.as_mut().map_or(Ok(()), |rewriter| rewriter.add_context(&context))?;
        }
        for id in bundle.traces().iter().filter(|id| selected.considers(id)) {
            let trace = bundle.whole_trace(id)?;
            if !selected.has_exchange(bundle, &trace)? {
                continue;
            }
            let (trace, bodies) = self.trace(bundle, trace)?;
            rewriter.as_mut().map_or(Ok(()), |rewriter| rewriter.add_trace(bundle, trace, bodies))?;
        }
        for id in bundle.websockets().iter().filter(|id| selected.has_websocket(id)) {
            let websocket = self.websocket(bundle.whole_websocket(id)?);
            rewriter.as_mut().map_or(Ok(()), |rewriter| rewriter.add_websocket(&websocket))?;
            for id in bundle.messages(id).iter() {
                let (message, payload) = self.message(bundle, bundle.whole_message(id)?)?;
                rewriter.as_mut().map_or(Ok(()), |rewriter| rewriter.add_message(bundle, message, payload))?;
            }
        }
        Ok(())
    }

    fn trace(&mut self, bundle: &Bundle, mut trace: Trace) -> Result<(Trace, [Content; 2]), Error> {
        let mut bodies = Content::of_trace(bundle, &trace)?;
        decode_bodies(&mut self.decoder, bundle, &mut trace, &mut bodies)?;
        let (request, response) = (&mut trace.request, &mut trace.response);
        self.url(&mut request.url);
        self.headers(&mut request.headers);
        self.headers(&mut response.headers);
        self.text(&mut response.status_text);
        self.others(&mut trace.others);
        trace.initiator.url.iter_mut().for_each(|url| self.url(url));
        let [sent, received] = bodies;
        let place = |side| format!("{} {side}", trace.id);
        let media_type = MediaType::of(&request.headers);
        let coding = &mut request.body_encoding;
        let sent = self.body(bundle, sent, media_type, coding, &mut request.body_size, &place("request"))?;
        let media_type = MediaType::of(&response.headers);
        let coding = &mut response.body_encoding;
        let received = self.body(bundle, received, media_type, coding, &mut response.body_size, &place("response"))?;
        Ok((trace, [sent, received]))
    }

    fn websocket(&mut self, mut websocket: WebSocket) -> WebSocket {
        self.url(&mut websocket.url);
        self.others(&mut websocket.others);
        for protocol in &mut websocket.protocols {
            let edits = self.searcher.protocol(protocol);
            self.apply(protocol, &edits);
        }
        websocket
    }

    fn message(&mut self, bundle: &Bundle, mut message: Message) -> Result<(Message, Content), Error> {
        let payload = Content::stored(bundle, ItemKind::Message, &message.id, message.payload_file.as_deref())?;
        self.others(&mut message.others);
        let Message { id, payload_encoding, payload_size, .. } = &mut message;
        let payload = self.body(bundle, payload, MediaType::default(), payload_encoding, payload_size, id)?;
        Ok((message, payload))
    }

    /// Searches members that this program does not know as it searches JSON in bodies.
    fn others(&mut self, others: &mut OtherMembers) {
        others.replace(&mut |name, value| {
            let member = serde_json::Map::from_iter([(name.to_owned(), value.clone())]);
            let mut text = serde_json::to_string(&member).ok()?;
            self.text(&mut text);
            serde_json::from_str::<serde_json::Map<_, _>>(&text).ok()?.remove(name)
        });
    }

    fn context(&mut self, mut context: Context) -> Context {
        let Ok(mut text) = serde_json::to_string(&context.rest) else { return context };
        self.text(&mut text);
        if let Ok(rest) = serde_json::from_slice(text.as_bytes()) {
            context.rest = rest;
        }
        context
    }

    /// Searches a body, and updates its coding and size. `place` names it in the report.
    fn body(
        &mut self,
        bundle: &Bundle,
        content: Content,
        media_type: MediaType,
        coding: &mut Option<String>,
        size: &mut u64,
        place: &str,
    ) -> Result<Content, Error> {
        let outcome = match coding {
            _ if matches!(content, Content::Empty) => return Ok(content),
            Some(_) => Outcome::Unsearchable,
            None => self.search(bundle, &content, media_type, place)?,
        };
        match outcome {
            Outcome::Unchanged => Ok(content),
            Outcome::Changed(new) => {
                new.check().map_err(|cause| self.write_error(cause))?;
                *size = new.len();
                Ok(Content::Decoded(new))
            }
            Outcome::Unsearchable => {
                self.searcher.report.unsearched.add(place);
                if self.keep_unsearched {
                    return Ok(content);
                }
                (*coding, *size) = (None, 0);
                Ok(Content::Empty)
            }
        }
    }

    fn search(
        &mut self,
        bundle: &Bundle,
        content: &Content,
        media_type: MediaType,
        place: &str,
    ) -> Result<Outcome, Error> {
        let mut search = BodySearch::new(&mut self.searcher, media_type, self.decoder.empty_body());
        match content {
            Content::Empty => {}
            Content::Copied(entry) => match bundle.stream_body(entry, &mut |bytes| search.push(bytes)) {
                Ok(()) => {}
                // A damaged entry.
                Err(reader::Error::Malformed { .. }) => return Ok(Outcome::Unsearchable),
                Err(e) => return Err(e.into()),
            },
            Content::Decoded(body) => {
                let written = body.write_to(&mut Pieces(&mut search));
                written.map_err(|cause| Error::Write { path: self.output.clone(), cause })?;
            }
        }
        let (outcome, is_binary) = search.finish();
        if is_binary && !matches!(outcome, Outcome::Unsearchable) {
            self.searcher.report.binary.add(place);
        }
        Ok(outcome)
    }

    fn headers(&mut self, headers: &mut [Header]) {
        for header in headers {
            let (edits, has_value_in_name) = self.searcher.header_name(&header.name);
            self.apply(&mut header.name, &edits);
            let edits = match has_value_in_name {
                true => self.searcher.secret(&header.name, &header.value),
                false => self.searcher.header(&header.name, &header.value),
            };
            self.apply(&mut header.value, &edits);
        }
    }

    fn url(&mut self, url: &mut String) {
        let edits = self.searcher.text_of(Grammar::Url, url);
        self.apply(url, &edits);
    }

    fn text(&mut self, text: &mut String) {
        let edits = self.searcher.text(text);
        self.apply(text, &edits);
    }

    /// Counts `edits`, and applies them in the second pass.
    fn apply(&mut self, text: &mut String, edits: &[Edit]) {
        self.searcher.report.count_edits(edits);
        if self.searcher.is_writing() && !edits.is_empty() {
            *text = applied(text, edits);
        }
    }

    fn write_error(&self, cause: io::Error) -> Error {
        Error::Write { path: self.output.clone(), cause }
    }
}

/// Passes pieces of a body to a search.
struct Pieces<'p, 's>(&'p mut BodySearch<'s>);

impl Write for Pieces<'_, '_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.0.push(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
