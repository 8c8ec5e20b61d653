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

use super::Rules;
use super::edits::{Cause, Edit, merge};
use super::forms::{self, is_random};
use super::grammar::{Grammar, form, fragments, headers, json, lines, url, xml};
use super::leaf::{Kind, Layer, Leaf, Place, Visitor};
use super::names::{Names, Verdict};
use super::placeholder::{Placeholders, is_placeholder};
use super::report::Report;
use super::values::{Index, Match, Values};
use crate::text::from_base64;
use std::collections::HashMap;
use std::ops::Range;

/// The search of a run.
pub(super) struct Searcher {
    names: Names,
    /// The conclusions so far: most names occur often.
    verdicts: [HashMap<String, (Verdict, bool)>; PLACES],
    placeholders: Placeholders,
    pass: Pass,
    pub(super) report: Report,
}

enum Pass {
    /// Records values.
    Find(Values),
    /// Replaces values.
    Write(Index),
}

impl Searcher {
    pub(super) fn new(rules: &Rules) -> Self {
        Self {
            names: Names::new(rules),
            verdicts: Default::default(),
            placeholders: Placeholders::default(),
            pass: Pass::Find(Values::default()),
            report: Report::default(),
        }
    }

    /// Begins the second pass, which replaces what the first one found.
    pub(super) fn begin_writing(self) -> Self {
        let Pass::Find(values) = self.pass else { return self };
        let report = Report { unsought: values.skipped(), ..Report::default() };
        Self { pass: Pass::Write(values.into_index()), report, ..self }
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
        self.collect(value, 0, |visitor| headers::leaves(name, value, visitor)).0
    }

    /// Returns the edits of the name of a malformed header field, and whether its value is part of it.
    pub(super) fn header_name(&mut self, name: &str) -> (Vec<Edit>, bool) {
        let mut is_one = false;
        let (edits, _) = self.collect(name, 0, |visitor| is_one = headers::leaves_of_name(name, visitor));
        (edits, is_one)
    }

    /// Returns the edits of a subprotocol of a WebSocket.
    pub(super) fn protocol(&mut self, protocol: &str) -> Vec<Edit> {
        self.collect(protocol, 0, |visitor| headers::protocols(protocol, visitor)).0
    }

    /// Returns the edit for a text that is secret as a whole because of the name of its field.
    pub(super) fn secret(&mut self, name: &str, text: &str) -> Vec<Edit> {
        let leaf = Leaf {
            place: Place::Parameter,
            name,
            range: 0..text.len(),
            layer: Layer::Plain,
            kind: Kind::Text,
            is_part_of_secret: true,
        };
        self.collect(text, 0, |visitor| visitor.leaf(leaf)).0
    }

    /// Returns true if fields with this name are secret.
    pub(super) fn is_secret_name(&mut self, place: Place, name: &str) -> bool {
        matches!(self.verdict(place, name), Verdict::Named | Verdict::Secret)
    }

    /// Lexes a piece of JSON, and returns its edits and the number of bytes that were lexed.
    pub(super) fn json(
        &mut self,
        lexer: &mut json::Lexer,
        text: &str,
        is_end: bool,
    ) -> Result<(Vec<Edit>, usize), (Vec<Edit>, json::SyntaxError)> {
        let mut lexed = Ok(0);
        let (edits, _) = self.collect(text, 0, |visitor| lexed = lexer.leaves(text, is_end, visitor));
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
            Pass::Find(_) => 0,
            Pass::Write(index) => index.max_pattern_bytes(),
        }
    }

    fn nested(&mut self, text: &str, depth: u32) -> Vec<Edit> {
        if text.len() < MIN_TEXT_BYTES {
            return Vec::new();
        }
        let grammar = if depth < MAX_DEPTH { Grammar::of(text) } else { Grammar::Free };
        self.structured(grammar, text, depth)
    }

    fn structured(&mut self, grammar: Grammar, text: &str, depth: u32) -> Vec<Edit> {
        let mut rest = text.len();
        let (mut edits, leaves) = match grammar {
            Grammar::Free => return self.free(text, depth),
            Grammar::Json => self.collect(text, depth, |visitor| {
                if let Err(json::SyntaxError(at)) = json::Lexer::default().leaves(text, true, visitor) {
                    rest = at;
                }
            }),
            Grammar::Xml => self.collect(text, depth, |visitor| xml::leaves(text, visitor)),
            Grammar::Url => self.collect(text, depth, |visitor| url::leaves(text, visitor)),
            Grammar::Form => self.collect(text, depth, |visitor| form::leaves(text, Place::Parameter, visitor)),
            Grammar::Lines => self.collect(text, depth, |visitor| lines::leaves(text, visitor)),
        };
        if let Some(unlexed) = text.get(rest..).filter(|unlexed| !unlexed.is_empty()) {
            let found = self.free(unlexed, depth);
            edits.extend(found.into_iter().map(|edit| shifted(edit, rest)));
        }
        // Whole documents are not values of others.
        if text.len() <= MAX_ACROSS_BYTES && (depth > 0 || grammar != Grammar::Json) {
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
        let bytes = text.bytes().fold(0, |bytes, byte| bytes | kind_of(byte));
        if bytes & ASSIGNS != 0 {
            edits = self.collect(text, depth, |visitor| fragments::leaves(text, visitor)).0;
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

    /// Returns the edits of the leaves that `grammar` lists, merged, and the ranges of the leaves.
    fn collect(
        &mut self,
        text: &str,
        depth: u32,
        grammar: impl FnOnce(&mut dyn Visitor),
    ) -> (Vec<Edit>, Vec<Range<usize>>) {
        let mut collector = Collector { searcher: self, text, depth, edits: Vec::new(), leaves: Vec::new() };
        grammar(&mut collector);
        let Collector { mut edits, leaves, .. } = collector;
        merge(&mut edits);
        (edits, leaves)
    }

    fn leaf(&mut self, text: &str, leaf: &Leaf<'_>, depth: u32, edits: &mut Vec<Edit>) {
        let Some(raw) = text.get(leaf.range.clone()) else { return };
        let is_userinfo = leaf.name == url::USERINFO;
        let verdict = self.verdict(leaf.place, leaf.name);
        let is_secret = leaf.is_part_of_secret || matches!(verdict, Verdict::Named | Verdict::Secret);
        if leaf.kind == Kind::Number {
            edits.extend(self.number(raw, leaf, verdict));
            return;
        }
        let decoded = leaf.layer.decode(raw);
        if is_secret {
            let start = if is_credentials(leaf.name) { headers::credentials_start(&decoded.text) } else { 0 };
            let Some(value) = decoded.text.get(start..).filter(|value| !value.is_empty() && !is_placeholder(value))
            else {
                return;
            };
            self.record_parts(value, leaf.name);
            if leaf.layer == Layer::Form {
                // Outside forms, "+" is itself.
                self.record(&Layer::Percent.decode(raw).text);
            }
            let range = shift(decoded.encoded(start..decoded.text.len()), leaf.range.start);
            let name = if leaf.name.is_empty() { UNNAMED } else { leaf.name };
            let name = if is_userinfo { "user:password@ in URLs" } else { name };
            edits.push(self.replacement(value, range, Cause::Name(name.into())));
            return;
        }
        if verdict == Verdict::Key && is_random(decoded.text.trim()) && !is_placeholder(decoded.text.trim()) {
            edits.push(self.replacement(decoded.text.trim(), leaf.range.clone(), Cause::Form(forms::RANDOM_KEY)));
            return;
        }
        // All of the text around an assignment is searched anyway.
        let found =
            if leaf.place == Place::Text { Vec::new() } else { self.nested(&decoded.text, depth.saturating_add(1)) };
        if verdict == Verdict::Suspicious && found.is_empty() {
            let start = if is_credentials(leaf.name) { headers::credentials_start(&decoded.text) } else { 0 };
            if is_worth_a_look(decoded.text.get(start..).unwrap_or_default()) {
                self.report.count_suspicious(leaf.name);
            }
        }
        let to_text = |edit: Edit| Edit { range: shift(decoded.encoded(edit.range), leaf.range.start), ..edit };
        edits.extend(found.into_iter().map(to_text));
    }

    fn number(&mut self, raw: &str, leaf: &Leaf<'_>, verdict: Verdict) -> Option<Edit> {
        let digits = raw.bytes().filter(u8::is_ascii_digit).count();
        let is_secret = match verdict {
            _ if is_placeholder(raw) => return None,
            Verdict::Named => true,
            _ if leaf.is_part_of_secret => true,
            Verdict::Secret => digits >= MIN_SECRET_DIGITS,
            Verdict::Key | Verdict::Suspicious | Verdict::Plain => false,
        };
        let is_known = || matches!(&self.pass, Pass::Write(index) if index.contains(raw));
        let cause = match is_secret {
            true => Cause::Name(leaf.name.into()),
            false if is_known() => Cause::Elsewhere,
            false => return None,
        };
        self.record(raw);
        let text = if self.is_writing() { self.placeholders.number(raw) } else { String::new() };
        Some(Edit { range: leaf.range.clone(), text, cause })
    }

    /// Records a value and returns its replacement.
    fn replacement(&mut self, value: &str, range: Range<usize>, cause: Cause) -> Edit {
        self.record(value);
        let text = if self.is_writing() { self.placeholders.text(value) } else { String::new() };
        Edit { range, text, cause }
    }

    fn record(&mut self, value: &str) {
        if let Pass::Find(values) = &mut self.pass {
            values.add(value);
        }
    }

    /// Records the secrets within a value that consists of several.
    fn record_parts(&mut self, value: &str, name: &str) {
        if self.is_writing() {
            return;
        }
        for part in value.split([' ', '\t', ',', ';', '=', ':', '"', '\'']).filter(|part| part.len() < value.len()) {
            if is_random(part) {
                self.record(part);
            }
        }
        let basic =
            is_credentials(name).then(|| from_base64(value)).flatten().and_then(|bytes| String::from_utf8(bytes).ok());
        let userinfo = if name == url::USERINFO { Some(value.to_owned()) } else { basic };
        if let Some(userinfo) = userinfo
            && let Some((_, password)) = userinfo.split_once(':')
        {
            self.record(&userinfo);
            self.record(password);
        }
    }

    fn verdict(&mut self, place: Place, name: &str) -> Verdict {
        self.conclusions(place, name).0
    }

    /// Returns the conclusion for a value called `name`, and whether everything in an object of this name is secret.
    fn conclusions(&mut self, place: Place, name: &str) -> (Verdict, bool) {
        if name.is_empty() {
            return (Verdict::Plain, false);
        }
        if name == url::USERINFO {
            return (self.names.userinfo(), false);
        }
        let Some(known) = self.verdicts.get_mut(place as usize) else { return (Verdict::Plain, false) };
        if let Some(conclusions) = known.get(name) {
            return *conclusions;
        }
        let conclusions = (self.names.verdict(place, name), self.names.is_secret_container(place, name));
        if known.len() < MAX_VERDICTS {
            known.insert(name.to_owned(), conclusions);
        }
        conclusions
    }
}

/// Searches the leaves of a text.
struct Collector<'s, 't> {
    searcher: &'s mut Searcher,
    text: &'t str,
    depth: u32,
    edits: Vec<Edit>,
    /// The ranges of leaves, in the second pass and for short texts.
    leaves: Vec<Range<usize>>,
}

impl Visitor for Collector<'_, '_> {
    fn is_secret_container(&mut self, place: Place, name: &str) -> bool {
        self.searcher.conclusions(place, name).1
    }

    fn leaf(&mut self, leaf: Leaf<'_>) {
        if self.searcher.is_writing() && self.text.len() <= MAX_ACROSS_BYTES {
            self.leaves.push(leaf.range.clone());
        }
        self.searcher.leaf(self.text, &leaf, self.depth, &mut self.edits);
    }
}

/// Returns true if values with this name may begin with a scheme of authentication.
fn is_credentials(name: &str) -> bool {
    let end = name.len().checked_sub(AUTHORIZATION.len()).and_then(|at| name.get(at..));
    end.is_some_and(|end| end.eq_ignore_ascii_case(AUTHORIZATION))
}

/// Returns true if a value could be a secret, so that a person should look at it.
fn is_worth_a_look(value: &str) -> bool {
    value.len() >= 8
        && value.bytes().any(|byte| byte.is_ascii_digit())
        && !value.contains(char::is_whitespace)
        && !value.contains("://")
        && !is_placeholder(value)
}

fn shift(range: Range<usize>, by: usize) -> Range<usize> {
    range.start.saturating_add(by)..range.end.saturating_add(by)
}

fn shifted(edit: Edit, by: usize) -> Edit {
    Edit { range: shift(edit.range, by), ..edit }
}

/// Returns the bit of the work that a byte makes necessary in free text.
fn kind_of(byte: u8) -> u8 {
    match byte {
        b':' | b'=' => ASSIGNS,
        b'%' => PERCENT,
        b'\\' => BACKSLASH,
        b'-' | b'_' | b'A' | b'J' => IN_FORMS,
        _ => 0,
    }
}

const ASSIGNS: u8 = 1;
const PERCENT: u8 = 2;
const BACKSLASH: u8 = 4;
/// Every form of a secret has one of these bytes.
const IN_FORMS: u8 = 8;

/// The number of places.
const PLACES: usize = Place::Text as usize + 1;

const AUTHORIZATION: &str = "authorization";

/// The name of a cookie or a subprotocol without one, in the report.
const UNNAMED: &str = "(no name)";

/// Grammars and encodings within each other, such as JSON in a parameter of a URL in JSON. Deeper text is searched without its
/// grammar.
const MAX_DEPTH: u32 = 8;

/// The depth that a decoded view of free text counts for: each level has two.
const VIEW_DEPTH: u32 = 3;

/// Shorter texts contain neither a named value nor a recorded one.
const MIN_TEXT_BYTES: usize = 4;

/// Larger texts are not searched for values that span several of their leaves.
const MAX_ACROSS_BYTES: usize = 64 << 10;

/// Shorter numbers are counts and codes.
const MIN_SECRET_DIGITS: usize = 6;

/// The conclusions that are remembered for a place. Names come from the bundle.
const MAX_VERDICTS: usize = 10_000;
