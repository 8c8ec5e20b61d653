//! Redacts a bundle for sharing: replaces secret values by placeholders.
//!
//! ```text
//! Authorization: Bearer eyJhb…    ─▶  Authorization: Bearer redacted-5b1c0e7f33a9
//! Cookie: id=7; theme=dark        ─▶  Cookie: id=redacted-0f8e…; theme=redacted-91c4…
//! GET /?token=7    (query token)  ─▶  GET /?token=redacted-0f8e…      equal values stay equal
//! {"token":"7"}    (JSON token)   ─▶  {"token":"redacted-0f8e…"}
//! ```
//!
//! Replaced values are counted, and so are bodies that could not be searched. Secrets under names without a rule remain.
//!
//! A placeholder is a hash of the value under a random key, which is discarded at the end of the run. Values can
//! therefore not be guessed and verified with the new bundle alone. Each run gives a value another placeholder.

use super::filter::Selected;
use super::rewriter::{Content, Rewriter};
use crate::bundle::format::Context;
use crate::bundle::id::ItemKind;
use crate::bundle::other_members::OtherMembers;
use crate::bundle::reader::{Bundle, Header, LeftOut, Message, Trace};
use crate::text::as_text;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

pub use super::rewriter::{Error, Options};

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod headers;
mod json;
mod pairs;

/// The values to replace, besides those of Authorization, Proxy-Authorization, Cookie and Set-Cookie, and user information in
/// URLs (`user:password@`). Names are compared without regard to case.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Rules {
    /// Names of header fields. Their whole values are replaced.
    pub headers: Vec<String>,
    /// Names of URL parameters and form fields. URLs are searched for in the request, in header fields and in textual
    /// bodies.
    pub query: Vec<String>,
    /// Names of JSON members, in textual bodies and WebSocket messages, and of form fields. Everything in a member is
    /// replaced.
    pub json: Vec<String>,
    /// Keeps bodies and messages that cannot be searched because they could not be decoded. By default they are left out, if
    /// there is a rule for which bodies are searched (`query` or `json`).
    pub keep_coded: bool,
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
    /// The number of replaced values of header fields.
    pub headers: u64,
    /// The number of replaced values of cookies.
    pub cookies: u64,
    /// The number of replaced values of URL parameters and form fields, and of user information in URLs.
    pub parameters: u64,
    /// The number of replaced values in JSON.
    pub json: u64,
    /// The number of bodies and messages that could not be decoded. They were left out, or kept unsearched if the rules say so.
    pub coded: u64,
    /// The number of bodies and messages that are not text, and were kept unsearched.
    pub binary: u64,
    /// The items of the bundle that are left out because their JSON is too large.
    pub left_out: LeftOut,
}

/// Writes a copy of `bundle` to `output`, redacted by `rules`. An existing `output` is kept: as `.bak`, or `.2.bak` and so on.
/// A filter in `options` is applied to the items as they are in `bundle`; contexts are always copied.
///
/// ```no_run
/// use spectral_capture::redact::{Options, Rules, redact};
///
/// # fn main() -> Result<(), spectral_capture::redact::Error> {
/// let mut rules = Rules::default();
/// rules.json.push("password".into());
/// let redacted = redact("capture.zip".as_ref(), "shared.zip".as_ref(), &rules, &Options::default())?;
/// println!("{} values in JSON replaced", redacted.json);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Returns [`Error::Read`] if `bundle` cannot be read or is not finished, [`Error::OutputIsInput`] if `output` is `bundle`,
/// and [`Error::Output`] or [`Error::Write`] if `output` cannot be created or written. No file is changed then.
pub fn redact(bundle: &Path, output: &Path, rules: &Rules, options: &Options) -> Result<Redacted, Error> {
    let mut redactor =
        Redactor { rules: LowercaseRules::new(rules), placeholders: RandomState::new(), counts: Redacted::default() };
    let (finished, stats) = Rewriter::write(output, &[bundle], |rewriter| {
        let mut bundle = Bundle::open(bundle)?;
        options.meter.expect_all_of(bundle.meter());
        bundle.set_meter(&options.meter);
        redactor.counts.left_out = bundle.left_out().clone();
        let mut selected = Selected::new(&options.filter);
        selected.add_websockets(&bundle)?;
        redactor.redact_all(&bundle, &selected, rewriter)?;
        Ok(bundle.manifest().clone())
    })?;
    Ok(Redacted {
        output: finished.path,
        backup: finished.backup,
        exchanges: stats.trace_count,
        websockets: stats.ws_connection_count,
        ..redactor.counts
    })
}

/// The rules with lowercase names.
struct LowercaseRules {
    headers: Vec<String>,
    query: Vec<String>,
    json: Vec<String>,
    /// Names of form fields: those of parameters and of JSON members.
    fields: Vec<String>,
    keep_coded: bool,
}

impl LowercaseRules {
    fn new(rules: &Rules) -> Self {
        let lower = |names: &[String]| names.iter().map(|name| name.to_lowercase()).collect::<Vec<_>>();
        let (query, json) = (lower(&rules.query), lower(&rules.json));
        let fields = [query.clone(), json.clone()].concat();
        Self { headers: lower(&rules.headers), query, json, fields, keep_coded: rules.keep_coded }
    }

    fn searches_bodies(&self) -> bool {
        !self.fields.is_empty()
    }

    fn is_header(&self, name: &str) -> bool {
        self.headers.iter().any(|known| known.eq_ignore_ascii_case(name))
    }
}

/// A redaction under way.
struct Redactor {
    rules: LowercaseRules,
    placeholders: RandomState,
    counts: Redacted,
}

impl Redactor {
    fn redact_all(&mut self, bundle: &Bundle, selected: &Selected<'_>, rewriter: &mut Rewriter) -> Result<(), Error> {
        for id in bundle.contexts().iter() {
            let context = bundle.context(id)?;
            rewriter.add_context(&self.redact_context(context))?;
        }
        for id in bundle.traces().iter().filter(|id| selected.considers(id)) {
            let trace = bundle.whole_trace(id)?;
            if !selected.has_exchange(bundle, &trace)? {
                continue;
            }
            let (trace, bodies) = self.redact_trace(bundle, trace, rewriter)?;
            rewriter.add_trace(bundle, trace, bodies)?;
        }
        for id in bundle.websockets().iter().filter(|id| selected.has_websocket(id)) {
            let mut websocket = bundle.whole_websocket(id)?;
            websocket.url = self.redact_url(&websocket.url);
            self.redact_others(&mut websocket.others);
            if self.rules.is_header("sec-websocket-protocol") {
                websocket
                    .protocols
                    .iter_mut()
                    .for_each(|protocol| *protocol = placeholder(&self.placeholders, protocol));
            }
            rewriter.add_websocket(&websocket)?;
            for id in bundle.messages(id).iter() {
                let message = bundle.whole_message(id)?;
                let (message, payload) = self.redact_message(bundle, message)?;
                rewriter.add_message(bundle, message, payload)?;
            }
        }
        Ok(())
    }

    fn redact_message(&mut self, bundle: &Bundle, mut message: Message) -> Result<(Message, Content), Error> {
        self.redact_others(&mut message.others);
        let stored = Content::stored(bundle, ItemKind::Message, &message.id, message.payload_file.as_deref())?;
        if !self.rules.searches_bodies() || matches!(stored, Content::Empty) {
            return Ok((message, stored));
        }
        if message.payload_encoding.is_some() {
            self.counts.coded = self.counts.coded.saturating_add(1);
            if self.rules.keep_coded {
                return Ok((message, stored));
            }
            (message.payload_encoding, message.payload_size) = (None, 0);
            return Ok((message, Content::Empty));
        }
        let payload = bundle.payload(&message)?;
        let content = match self.redacted_bytes(&payload, "") {
            Some(new) => {
                message.payload_size = new.len() as u64;
                Content::New(new)
            }
            None => stored,
        };
        Ok((message, content))
    }

    fn redact_trace(
        &mut self,
        bundle: &Bundle,
        mut trace: Trace,
        rewriter: &mut Rewriter,
    ) -> Result<(Trace, [Content; 2]), Error> {
        let mut bodies = Content::of_trace(bundle, &trace)?;
        rewriter.decode_bodies(bundle, &mut trace, &mut bodies)?;
        let [sent, received] = bodies;
        let (request, response) = (&mut trace.request, &mut trace.response);
        let bodies = [
            self.redact_body(
                (bundle, rewriter),
                sent,
                &request.headers,
                &mut request.body_encoding,
                &mut request.body_size,
            )?,
            self.redact_body(
                (bundle, rewriter),
                received,
                &response.headers,
                &mut response.body_encoding,
                &mut response.body_size,
            )?,
        ];
        request.url = self.redact_url(&request.url);
        [&mut request.headers, &mut response.headers]
            .into_iter()
            .flatten()
            .for_each(|header| self.redact_header(header));
        self.redact_others(&mut trace.others);
        if let Some(url) = &mut trace.initiator.url {
            *url = self.redact_url(url);
        }
        Ok((trace, bodies))
    }

    /// Returns the redacted body, and updates its coding and size.
    fn redact_body(
        &mut self,
        (bundle, rewriter): (&Bundle, &Rewriter),
        content: Content,
        headers: &[Header],
        coding: &mut Option<String>,
        size: &mut u64,
    ) -> Result<Content, Error> {
        if !self.rules.searches_bodies() || matches!(content, Content::Empty) {
            return Ok(content);
        }
        if coding.is_some() {
            self.counts.coded = self.counts.coded.saturating_add(1);
            if self.rules.keep_coded {
                return Ok(content);
            }
            (*coding, *size) = (None, 0);
            return Ok(Content::Empty);
        }
        let bytes = rewriter.bytes_of(bundle, &content)?;
        let media_type = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-type"));
        match self.redacted_bytes(&bytes, media_type.map_or("", |header| &header.value)) {
            Some(new) => {
                *size = new.len() as u64;
                Ok(Content::New(new))
            }
            None => Ok(content),
        }
    }

    /// Returns redacted `bytes` of this media type, or `None` if nothing is replaced.
    fn redacted_bytes(&mut self, bytes: &[u8], media_type: &str) -> Option<Vec<u8>> {
        if !self.rules.searches_bodies() || bytes.is_empty() {
            return None;
        }
        if let Some(text) = as_text(bytes) {
            return self.redacted_text(text, media_type).map(String::into_bytes);
        }
        let textual_types = ["text/", "application/json", "application/x-www-form-urlencoded"];
        if !textual_types.iter().any(|kind| media_type.to_ascii_lowercase().starts_with(kind)) {
            self.counts.binary = self.counts.binary.saturating_add(1);
            return None;
        }
        // Another character set, in which names are still ASCII: each byte is mapped to a character and back.
        let text: String = bytes.iter().copied().map(char::from).collect();
        let new = self.redacted_text(&text, media_type)?;
        Some(new.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect())
    }

    /// Returns redacted `text`, or `None` if nothing is replaced.
    fn redacted_text(&mut self, text: &str, media_type: &str) -> Option<String> {
        let media_type = media_type.to_ascii_lowercase();
        let Self { rules, placeholders, counts } = self;
        let hide = replacer(placeholders);
        let mut new = None;
        let is = |kind| media_type.starts_with(kind);
        if is("application/x-www-form-urlencoded") {
            apply(&mut counts.parameters, &mut new, pairs::form(text, &rules.fields, &hide));
        } else if is("multipart/form-data") {
            apply(&mut counts.parameters, &mut new, pairs::multipart(text, &rules.fields, &hide));
        }
        let replaced = json::members(new.as_deref().unwrap_or(text), &rules.json, placeholders);
        apply(&mut counts.json, &mut new, replaced);
        let replaced = pairs::in_text(new.as_deref().unwrap_or(text), &rules.query, &hide);
        apply(&mut counts.parameters, &mut new, replaced);
        new
    }

    fn redact_url(&mut self, url: &str) -> String {
        let hide = replacer(&self.placeholders);
        let (count, mut new) = (&mut self.counts.parameters, None);
        apply(count, &mut new, pairs::url(url, &self.rules.query, &hide));
        let replaced = pairs::userinfo(new.as_deref().unwrap_or(url), &hide);
        apply(count, &mut new, replaced);
        new.unwrap_or_else(|| url.to_owned())
    }

    /// Searches members that this program does not know as it searches JSON in bodies.
    fn redact_others(&mut self, others: &mut OtherMembers) {
        if self.rules.searches_bodies() {
            others.replace(&mut |name, value| {
                let json =
                    serde_json::to_string(&serde_json::Map::from_iter([(name.to_owned(), value.clone())])).ok()?;
                let new = self.redacted_text(&json, "application/json")?;
                serde_json::from_str::<serde_json::Map<_, _>>(&new).ok()?.remove(name)
            });
        }
    }

    fn redact_context(&mut self, mut context: Context) -> Context {
        let Ok(text) = serde_json::to_string(&context.rest) else { return context };
        if self.rules.searches_bodies()
            && let Some(new) = self.redacted_text(&text, "application/json")
            && let Ok(rest) = serde_json::from_slice(new.as_bytes())
        {
            context.rest = rest;
        }
        context
    }

    fn placeholder(&self, value: &str) -> String {
        placeholder(&self.placeholders, value)
    }
}

/// Adds the number of replaced values to `count` and stores the new text in `text`. Does nothing without replacements.
fn apply(count: &mut u64, text: &mut Option<String>, replaced: Option<pairs::Replaced>) {
    if let Some(replaced) = replaced {
        *count = count.saturating_add(replaced.values);
        *text = Some(replaced.text);
    }
}

/// Returns the placeholder for `value`.
fn placeholder(placeholders: &RandomState, value: &str) -> String {
    format!("redacted-{:012x}", placeholders.hash_one(value) & 0xffff_ffff_ffff)
}

fn replacer(placeholders: &RandomState) -> impl Fn(&str) -> String {
    move |value| placeholder(placeholders, value)
}

#[cfg(test)]
mod tests;
