//! References within a document: `{"$ref": "#/components/schemas/User"}`.

use super::json::Json;
use crate::tools::indexed_map::IndexedMap;
use std::borrow::Cow;

/// A document whose references are followed.
#[derive(Debug)]
pub(super) struct Source<'d> {
    pub(super) root: &'d Json,
    /// References that lead out of the document, or nowhere.
    pub(super) unresolved: IndexedMap<&'d str, ()>,
}

impl<'d> Source<'d> {
    pub(super) fn new(root: &'d Json) -> Self {
        Self { root, unresolved: IndexedMap::default() }
    }

    /// Returns the object that `value` is or refers to; null if it cannot be found.
    pub(super) fn resolve(&mut self, value: &'d Json) -> &'d Json {
        let mut value = value;
        for _ in 0..MAX_REFERENCES {
            let Some(reference) = value.get("$ref").and_then(Json::as_str) else { return value };
            let Some(target) = self.target(reference) else { break };
            value = target;
        }
        &Json::Null
    }

    /// Returns the target of `reference`, or notes that it cannot be found.
    pub(super) fn target(&mut self, reference: &'d str) -> Option<&'d Json> {
        let pointer = reference.strip_prefix('#').filter(|pointer| pointer.len() <= MAX_POINTER_BYTES);
        let found = pointer.and_then(|pointer| self.root.pointer(&percent_decoded(pointer)));
        if found.is_none() {
            self.unresolved.insert(reference, ());
        }
        found
    }
}

/// Decodes a URI fragment: `~1users~1%7Bid%7D` is the pointer `~1users~1{id}`.
fn percent_decoded(pointer: &str) -> Cow<'_, str> {
    if !pointer.contains('%') {
        return pointer.into();
    }
    let mut bytes = Vec::with_capacity(pointer.len());
    let mut rest = pointer.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).filter(|digits| byte == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let decoded = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(decoded.unwrap_or(byte));
        rest = if decoded.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// References in a row.
const MAX_REFERENCES: usize = 16;

/// A longer pointer is not followed.
const MAX_POINTER_BYTES: usize = 1000;
