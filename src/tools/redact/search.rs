//! Searches a text for secrets, through all the grammars that are nested in it.
//!
//! ```text
//! text ─▶ grammar ─▶ leaf ─┬─ secret by its name ─▶ record the value, replace the leaf
//!            ▲             └─ otherwise: decode it, and search what is inside
//!            └──────────────────────────────────────┘      map the replacements back to the encoded text
//! ```
//!
//! Free text is searched as it is, and again without percent-encoding and without the escapes of JSON. In each of these it is
//! searched for assignments, for the forms of secrets and, in the second pass, for the recorded values.
//!
//! `secrets.rs` decides about leaves, `verdicts.rs` about their names.

use super::Rules;
use super::edits::{Cause, Edit, merge};
use super::forms;
use super::grammar::{Grammar, form, fragments, headers, json, lines, url, xml};
use super::layer;
use super::leaf::{Kind, Layer, Leaf, Place, Visitor};
use super::names::Verdict;
use super::placeholder::Placeholders;
use super::report::Report;
use super::values::{Index, Match, Values};
use plain_headers::PlainHeaders;
use std::ops::Range;
use std::sync::Arc;
use verdicts::Verdicts;

mod plain_headers;
mod secrets;
mod verdicts;

/// The search of a run, or of one of its threads.
pub(super) struct Searcher {
    verdicts: Verdicts,
    placeholders: Placeholders,
    pass: Pass,
    pub(super) report: Report,
    plain_headers: PlainHeaders,
}

enum Pass {
    /// Records values.
    Find(Values),
    /// Lists values for the thread that records them.
    List(Vec<Box<str>>),
    /// Replaces values.
    Write(Arc<Index>),
}

/// The values and the counts of an item.
#[derive(Default)]
pub(super) struct Found {
    values: Vec<Box<str>>,
    report: Report,
}

impl Found {
    /// Returns the size of the values.
    pub(super) fn bytes(&self) -> usize {
        let headers = self.values.len().saturating_mul(size_of::<Box<str>>());
        self.values.iter().map(|value| value.len()).fold(headers, usize::saturating_add)
    }
}

impl Searcher {
    pub(super) fn new(rules: &Rules) -> Self {
        Self {
            verdicts: Verdicts::new(rules),
            placeholders: Placeholders::default(),
            pass: Pass::Find(Values::default()),
            report: Report::default(),
            plain_headers: PlainHeaders::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn use_key(&mut self, key: &Placeholders) {
        self.placeholders = key.clone();
    }

    /// Returns a searcher for another thread. Its result for an item is [`Searcher::take_found`], to be passed to
    /// [`Searcher::add`] of this one.
    pub(super) fn worker(&self) -> Self {
        let pass = match &self.pass {
            Pass::Find(_) | Pass::List(_) => Pass::List(Vec::new()),
            Pass::Write(index) => Pass::Write(Arc::clone(index)),
        };
        let (verdicts, placeholders) = (self.verdicts.worker(), self.placeholders.clone());
        Self { verdicts, placeholders, pass, report: Report::default(), plain_headers: PlainHeaders::default() }
    }

    /// Returns what was found since the last call.
    pub(super) fn take_found(&mut self) -> Found {
        let values = match &mut self.pass {
            Pass::List(values) => std::mem::take(values),
            Pass::Find(_) | Pass::Write(_) => Vec::new(),
        };
        Found { values, report: std::mem::take(&mut self.report) }
    }

    /// Adds what another searcher found.
    pub(super) fn add(&mut self, Found { values, report }: Found) {
        values.iter().for_each(|value| self.record(value));
        self.report.append(report);
    }

    /// Begins the second pass, which replaces what the first one found.
    pub(super) fn begin_writing(&mut self) {
        if let Pass::Find(values) = &mut self.pass {
            let values = std::mem::take(values);
            self.report = Report { unsought: values.skipped(), ..Report::default() };
            self.pass = Pass::Write(Arc::new(values.into_index()));
            self.plain_headers = PlainHeaders::default();
        }
    }

    /// Returns true in the second pass.
    pub(super) fn is_writing(&self) -> bool {
        matches!(self.pass, Pass::Write(_))
    }

    /// Returns the edits of a text about which nothing is known.
    pub(super) fn text(&mut self, text: &str) -> Vec<Edit> {
        self.nested(text, 0)
    }

    /// Returns the edits of a text with this grammar.
    pub(super) fn text_of(&mut self, grammar: Grammar, text: &str) -> Vec<Edit> {
        self.structured(grammar, text, 0)
    }

    /// Returns the edits of the value of a header field.
    pub(super) fn header(&mut self, name: &str, value: &str) -> Vec<Edit> {
        if self.plain_headers.contains(name, value) {
            return Vec::new();
        }
        let suspicious = self.report.suspicious.values().fold(0, |sum: u64, count| sum.saturating_add(*count));
        let edits = self.collect(value, 0, &mut |visitor| headers::leaves(name, value, visitor));
        let still = self.report.suspicious.values().fold(0, |sum: u64, count| sum.saturating_add(*count));
        if edits.is_empty() && suspicious == still {
            self.plain_headers.add();
        }
        edits
    }

    /// Returns the edits of the name of a malformed header field, and whether its value is part of it.
    pub(super) fn header_name(&mut self, name: &str) -> (Vec<Edit>, bool) {
        let mut is_one = false;
        let edits = self.collect(name, 0, &mut |visitor| is_one = headers::leaves_of_name(name, visitor));
        (edits, is_one)
    }

    /// Returns the edits of a subprotocol of a WebSocket.
    pub(super) fn protocol(&mut self, protocol: &str) -> Vec<Edit> {
        self.collect(protocol, 0, &mut |visitor| headers::protocols(protocol, visitor))
    }

    /// Returns the edit for a text that is secret as a whole because of the name of its field.
    pub(super) fn secret(&mut self, name: &str, text: &str) -> Vec<Edit> {
        self.collect(text, 0, &mut |visitor| {
            visitor.leaf(Leaf {
                place: Place::Parameter,
                name,
                range: 0..text.len(),
                layer: Layer::Plain,
                kind: Kind::Text,
                is_part_of_secret: true,
            });
        })
    }

    /// Returns true if fields with this name are secret.
    pub(super) fn is_secret_name(&mut self, place: Place, name: &str) -> bool {
        matches!(self.verdicts.of(place, name).0, Verdict::Named | Verdict::Secret)
    }

    /// Lexes a piece of JSON, and returns its edits and the number of bytes that were lexed.
    pub(super) fn json(
        &mut self,
        lexer: &mut json::Lexer,
        text: &str,
        is_end: bool,
    ) -> Result<(Vec<Edit>, usize), (Vec<Edit>, json::SyntaxError)> {
        let mut lexed = Ok(0);
        let edits = self.collect(text, 0, &mut |visitor| lexed = lexer.leaves(text, is_end, visitor));
        match lexed {
            Ok(used) => Ok((edits, used)),
            Err(error) => Err((edits, error)),
        }
    }

    /// Returns the edits of bytes without a grammar, which keep their length: it may be stated elsewhere in them.
    pub(super) fn binary(&self, bytes: &[u8]) -> Vec<Edit> {
        let Pass::Write(index) = &self.pass else { return Vec::new() };
        let found = index.find(bytes).into_iter().map(|found| {
            let text = self.placeholders.of_len(found.value, found.range.len());
            Edit { text, range: found.range, cause: Cause::Elsewhere }
        });
        let mut edits: Vec<_> = found.collect();
        merge(&mut edits);
        for edit in &mut edits {
            // Overlapping edits became one that is longer.
            edit.text = edit.text.chars().cycle().take(edit.range.len()).collect();
        }
        edits
    }

    /// Returns the length of the longest pattern that [`Searcher::binary`] finds.
    pub(super) fn max_pattern_bytes(&self) -> usize {
        match &self.pass {
            Pass::Find(_) | Pass::List(_) => 0,
            Pass::Write(index) => index.max_pattern_bytes(),
        }
    }

    fn nested(&mut self, text: &str, depth: u32) -> Vec<Edit> {
        if text.len() < MIN_TEXT_BYTES {
            return Vec::new();
        }
        let kinds = kinds_of(text);
        if kinds == 0 {
            // Most values are words and numbers.
            return self.known(text);
        }
        // Every other grammar needs one of these bytes.
        let is_structured = depth < MAX_DEPTH && kinds & (OPENS | ASSIGNS) != 0;
        let grammar = if is_structured { Grammar::of(text) } else { Grammar::Free };
        self.structured(grammar, text, depth)
    }

    /// Returns the edits for the recorded values in a text.
    fn known(&self, text: &str) -> Vec<Edit> {
        let Pass::Write(index) = &self.pass else { return Vec::new() };
        let found = index.find(text.as_bytes());
        let mut edits: Vec<_> = found.into_iter().map(|found| self.found(text, found)).collect();
        merge(&mut edits);
        edits
    }

    fn structured(&mut self, grammar: Grammar, text: &str, depth: u32) -> Vec<Edit> {
        let mut rest = text.len();
        // Whole documents are not values of others.
        let mut across =
            (self.is_writing() && text.len() <= MAX_ACROSS_BYTES && (depth > 0 || grammar != Grammar::Json))
                .then(Vec::new);
        let leaves = across.as_mut();
        let mut edits = match grammar {
            Grammar::Free => return self.free(text, depth),
            Grammar::Json => self.collect_with(leaves, text, depth, &mut |visitor| {
                if let Err(json::SyntaxError(at)) = json::Lexer::default().leaves(text, true, visitor) {
                    rest = at;
                }
            }),
            Grammar::Xml => self.collect_with(leaves, text, depth, &mut |visitor| xml::leaves(text, visitor)),
            Grammar::Url => self.collect_with(leaves, text, depth, &mut |visitor| url::leaves(text, visitor)),
            Grammar::Form => {
                self.collect_with(leaves, text, depth, &mut |visitor| form::leaves(text, Place::Parameter, visitor))
            }
            Grammar::Lines => self.collect_with(leaves, text, depth, &mut |visitor| lines::leaves(text, visitor)),
        };
        if let Some(unlexed) = text.get(rest..).filter(|unlexed| !unlexed.is_empty()) {
            let found = self.free(unlexed, depth);
            edits.extend(found.into_iter().map(|edit| edit.shifted(rest)));
        }
        if let Some(leaves) = across {
            self.across(text, &leaves, &mut edits);
        }
        merge(&mut edits);
        edits
    }

    /// Adds the values that are in several leaves of `text`: a secret URL has a grammar of its own.
    fn across(&self, text: &str, leaves: &[Range<usize>], edits: &mut Vec<Edit>) {
        let Pass::Write(index) = &self.pass else { return };
        for found in index.find(text.as_bytes()) {
            let after = leaves.partition_point(|leaf| leaf.end <= found.range.start);
            let is_across = leaves.get(after).is_some_and(|leaf| {
                leaf.start < found.range.end && (found.range.start < leaf.start || found.range.end > leaf.end)
            });
            if is_across {
                edits.push(self.found(text, found));
            }
        }
    }

    /// Searches text without a grammar.
    fn free(&mut self, text: &str, depth: u32) -> Vec<Edit> {
        let mut edits = Vec::new();
        let bytes = kinds_of(text);
        if bytes & ASSIGNS != 0 {
            edits = self.collect(text, depth, &mut |visitor| fragments::leaves(text, visitor));
        }
        let forms = if bytes & IN_FORMS != 0 { forms::find(text) } else { Vec::new() };
        for found in forms {
            if let Some(value) = text.get(found.range.clone()) {
                edits.push(self.replacement(value, found.range, Cause::Form(found.name)));
            }
        }
        if let Pass::Write(index) = &self.pass {
            for found in index.find(text.as_bytes()) {
                edits.push(self.found(text, found));
            }
            let unfolded = if bytes & LINES != 0 { Some(layer::unfolded(text)) } else { None };
            if let Some(unfolded) = unfolded.filter(|unfolded| unfolded.is_changed()) {
                for found in index.find(unfolded.text.as_bytes()) {
                    let edit = self.found(&unfolded.text, found);
                    edits.push(Edit { range: unfolded.encoded(edit.range.clone()), ..edit });
                }
            }
        }
        for (layer, escapes) in [(Layer::Percent, PERCENT), (Layer::Json, BACKSLASH)] {
            if bytes & escapes == 0 || depth >= MAX_DEPTH {
                continue;
            }
            let decoded = layer.decode(text);
            if decoded.is_changed() {
                let inner = self.nested(&decoded.text, depth.saturating_add(VIEW_DEPTH));
                edits.extend(inner.into_iter().map(|edit| Edit { range: decoded.encoded(edit.range.clone()), ..edit }));
            }
        }
        merge(&mut edits);
        edits
    }

    /// Returns the edit for an occurrence of a value.
    fn found(&self, text: &str, found: Match<'_>) -> Edit {
        let placeholder = self.placeholders.text(found.value);
        let (range, text) = found.replacement(text.as_bytes(), placeholder);
        Edit { range, text, cause: Cause::Elsewhere }
    }

    /// Returns the edits of the leaves that `grammar` lists, merged.
    fn collect(&mut self, text: &str, depth: u32, grammar: &mut dyn FnMut(&mut dyn Visitor)) -> Vec<Edit> {
        self.collect_with(None, text, depth, grammar)
    }

    /// As [`Searcher::collect`]. Adds the ranges of the leaves to `leaves`.
    fn collect_with(
        &mut self,
        leaves: Option<&mut Vec<Range<usize>>>,
        text: &str,
        depth: u32,
        grammar: &mut dyn FnMut(&mut dyn Visitor),
    ) -> Vec<Edit> {
        let mut collector = Collector { searcher: self, text, depth, edits: Vec::new(), leaves };
        grammar(&mut collector);
        let mut edits = collector.edits;
        merge(&mut edits);
        edits
    }
}

/// Searches the leaves of a text.
struct Collector<'s, 't, 'l> {
    searcher: &'s mut Searcher,
    text: &'t str,
    depth: u32,
    edits: Vec<Edit>,
    /// The ranges of leaves, where they are needed.
    leaves: Option<&'l mut Vec<Range<usize>>>,
}

impl Visitor for Collector<'_, '_, '_> {
    fn is_secret_container(&mut self, place: Place, name: &str) -> bool {
        self.searcher.verdicts.of(place, name).1
    }

    fn leaf(&mut self, leaf: Leaf<'_>) {
        if let Some(leaves) = &mut self.leaves {
            leaves.push(leaf.range.clone());
        }
        self.searcher.leaf(self.text, &leaf, self.depth, &mut self.edits);
    }
}

fn shift(range: Range<usize>, by: usize) -> Range<usize> {
    range.start.saturating_add(by)..range.end.saturating_add(by)
}

/// Returns the bits of the work that the bytes of a text make necessary.
fn kinds_of(text: &str) -> u8 {
    text.bytes().fold(0, |kinds, byte| kinds | KINDS.get(usize::from(byte)).copied().unwrap_or_default())
}

/// The bit of each byte.
#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const KINDS: [u8; 256] = {
    let mut kinds = [0; 256];
    let mut byte = 0;
    while byte < kinds.len() {
        kinds[byte] = match byte as u8 {
            b':' | b'=' => ASSIGNS,
            b'%' => PERCENT,
            b'\\' => BACKSLASH,
            b'-' | b'_' | b'A' | b'J' => IN_FORMS,
            b'\n' => LINES,
            b'{' | b'[' | b'<' => OPENS,
            _ => 0,
        };
        byte += 1;
    }
    kinds
};

const ASSIGNS: u8 = 1;
const PERCENT: u8 = 2;
const BACKSLASH: u8 = 4;
/// Every form of a secret has one of these bytes.
const IN_FORMS: u8 = 8;
const LINES: u8 = 16;
/// JSON and XML.
const OPENS: u8 = 32;

/// Grammars and encodings within each other, such as JSON in a parameter of a URL in JSON. Deeper text is searched without its
/// grammar.
const MAX_DEPTH: u32 = 8;

/// The depth that a decoded view of free text counts for: each level has two.
const VIEW_DEPTH: u32 = 3;

/// Shorter texts contain neither a named value nor a recorded one.
const MIN_TEXT_BYTES: usize = 4;

/// Larger texts are not searched for values that span several of their leaves.
const MAX_ACROSS_BYTES: usize = 64 << 10;
