//! Decides which leaves are secret, and records their values.

use super::super::edits::{Cause, Edit};
use super::super::forms::{self, is_random};
use super::super::grammar::{headers, url};
use super::super::leaf::{Kind, Layer, Leaf, Place};
use super::super::names::Verdict;
use super::super::placeholder::is_placeholder;
use super::super::values::is_sought;
use super::{Pass, Searcher, shift};
use crate::text::from_base64;
use std::ops::Range;

impl Searcher {
    /// Adds the edits of a leaf of `text`.
    pub(super) fn leaf(&mut self, text: &str, leaf: &Leaf<'_>, depth: u32, edits: &mut Vec<Edit>) {
        let Some(raw) = text.get(leaf.range.clone()) else { return };
        let is_userinfo = leaf.name == url::USERINFO;
        let verdict = self.verdicts.of(leaf.place, leaf.name).0;
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
    pub(super) fn replacement(&mut self, value: &str, range: Range<usize>, cause: Cause) -> Edit {
        self.record(value);
        let text = if self.is_writing() { self.placeholders.text(value) } else { String::new() };
        Edit { range, text, cause }
    }

    /// Records a value to be sought in other places.
    pub(super) fn record(&mut self, value: &str) {
        match &mut self.pass {
            Pass::Find(values) => values.add(value),
            Pass::List(values) if is_sought(value) => values.push(value.into()),
            Pass::List(_) | Pass::Write(_) => {}
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

const AUTHORIZATION: &str = "authorization";

/// The name of a cookie or a subprotocol without one, in the report.
const UNNAMED: &str = "(no name)";

/// Shorter numbers are counts and codes.
const MIN_SECRET_DIGITS: usize = 6;
