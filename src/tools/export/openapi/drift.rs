//! Compares two OpenAPI documents: lists the operations, and the parts of operations, that are new, gone or changed.
//!
//! ```text
//! earlier ─▶ operations ─┐                         ┌─▶ parameters
//!                        ├─▶ pairs by path, method ┼─▶ request ──▶ media types ─▶ members and their types
//! present ─▶ operations ─┘                         └─▶ statuses ─▶ media types ─▶ members and their types
//! ```
//!
//! A name that is a pattern covers others: `/users/{id}` covers `/users/alice`, `4XX` and `default` cover 404, `text/*` covers
//! `text/csv`, and `additionalProperties` covers a member. A name that the other document covers is neither new nor gone. The contents
//! of an item that is new or gone are not listed again. A schema that allows any value has no members to compare. If a document states
//! that it left something out (`x-incomplete`, `x-parameters-left-out`, `x-calls-left-out`), the other one may have it.
//!
//! Not compared: descriptions, formats, enumerations, required members, types of parameters, response headers and security.
//!
//! Documents may be hostile: depth, work, the number of changes kept and their length are bounded, and references may be cyclic.
//!
//! References: OpenAPI Specification 3.0.4 and 3.1.1, JSON Schema 2020-12, JSON Pointer (RFC 6901).

use json::Json;
use std::fmt;

mod budget;
mod comparison;
mod context;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod json;
mod members;
mod operations;
mod pairs;
mod paths;
mod references;
mod schema;
#[cfg(test)]
mod tests;

/// An OpenAPI 3 document.
#[derive(Clone, Debug)]
pub struct Document(Json);

impl Document {
    /// The size of the largest document that is read, in bytes.
    pub const MAX_SIZE: u64 = 32 << 20;

    /// Reads a document from JSON.
    ///
    /// # Errors
    /// Returns the reason why `json` is not an OpenAPI 3 document. Only its version is checked.
    pub fn parse(json: &[u8]) -> Result<Self, DocumentError> {
        if json.len() as u64 > Self::MAX_SIZE {
            return Err(DocumentError::TooLarge);
        }
        // RFC 8259 section 8.1: a parser may ignore a byte order mark.
        let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
        let read = Json::parse(json, MAX_VALUES).map_err(|e| DocumentError::NotJson(e.to_string()))?;
        let value = read.ok_or(DocumentError::TooLarge)?;
        if !value.is_object() {
            return Err(DocumentError::NotAnObject);
        }
        let version = |member: &str| value.get(member).and_then(Json::as_str).map(shortened);
        match version("openapi") {
            Some(version) if version.starts_with("3.") => Ok(Self(value)),
            Some(version) => Err(DocumentError::UnknownVersion(version)),
            None => Err(version("swagger").map_or(DocumentError::NoVersion, DocumentError::Swagger)),
        }
    }
}

/// The reason why a file is not an OpenAPI 3 document.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DocumentError {
    /// It is larger than [`Document::MAX_SIZE`], or has more than 2,000,000 values.
    TooLarge,
    /// It is not JSON; the text is the cause. YAML is not JSON.
    NotJson(String),
    /// It is JSON, but not an object.
    NotAnObject,
    /// It has a `swagger` member, with this version, instead of `openapi`.
    Swagger(String),
    /// It has no `openapi` member that is a string.
    NoVersion,
    /// Its `openapi` member has this version, which is not 3.
    UnknownVersion(String),
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "larger than {} MiB or {MAX_VALUES} values", Document::MAX_SIZE >> 20),
            Self::NotJson(cause) => write!(f, "not JSON: {cause}"),
            Self::NotAnObject => f.write_str("not an OpenAPI document: not an object"),
            Self::Swagger(version) => write!(f, "Swagger {version} instead of OpenAPI 3"),
            Self::NoVersion => f.write_str("not an OpenAPI document: no member 'openapi' with a version"),
            Self::UnknownVersion(version) => write!(f, "OpenAPI {version} instead of OpenAPI 3"),
        }
    }
}

impl std::error::Error for DocumentError {}

/// The differences between two documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// The first 1,000 changes of each kind, sorted by path, method, place and kind.
    pub listed: Vec<Change>,
    /// The number of all items that only the present document has.
    pub new: u64,
    /// The number of all items that only the earlier document has.
    pub gone: u64,
    /// The number of all values whose types differ.
    pub changed: u64,
    /// The number of distinct references that lead out of their document, or nowhere. The schemas there were not compared.
    pub unresolved: u64,
    /// False if the documents were too complex to be compared in full.
    pub is_complete: bool,
}

/// A difference between two documents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Change {
    /// The path of the operation, with the base path of its server: `/v1/users/{userId}`.
    pub path: String,
    /// The method: `GET`.
    pub method: String,
    /// The part of the operation; empty for the whole one. `query parameter limit`, `request text/csv`, `404`, `200 text/csv`,
    /// `200: data[].name`. Members of JSON are shown without their media type.
    pub place: String,
    /// The kind of difference.
    pub kind: ChangeKind,
}

/// The kind of a difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ChangeKind {
    /// Only the present document has the item.
    New,
    /// Only the earlier document has the item.
    Gone,
    /// The value has other types.
    Types {
        /// Its earlier types: `string`.
        earlier: String,
        /// Its present types: `string, null`.
        present: String,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ChangeKind::New => "new",
            ChangeKind::Gone => "gone",
            ChangeKind::Types { .. } => "changed",
        };
        write!(f, "{kind}: {} {}", self.method, self.path)?;
        if !self.place.is_empty() {
            write!(f, " {}", self.place)?;
        }
        match &self.kind {
            ChangeKind::Types { earlier, present } => write!(f, ": {earlier} -> {present}"),
            ChangeKind::New | ChangeKind::Gone => Ok(()),
        }
    }
}

impl Changes {
    /// Returns the number of all changes.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.new.saturating_add(self.gone).saturating_add(self.changed)
    }
}

/// Compares two documents.
#[must_use]
pub fn changes(earlier: &Document, present: &Document) -> Changes {
    comparison::compare(&earlier.0, &present.0, budget::MAX_STEPS)
}

/// A value for each of the two documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Both<T> {
    earlier: T,
    present: T,
}

impl Both<bool> {
    /// True if only one of the documents has the items, and that one is silent.
    fn hides<T>(self, items: &Both<Vec<T>>) -> bool {
        self.present && items.earlier.is_empty() || self.earlier && items.present.is_empty()
    }
}

/// Returns `text`, or its beginning and an ellipsis if it is long.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_SHOWN_CHARS) {
        Some((end, _)) => [text.get(..end).unwrap_or_default(), "…"].concat(),
        None => text.to_owned(),
    }
}

/// The JSON values that a document may have. Each takes up to 72 bytes of memory, besides its text.
const MAX_VALUES: u32 = 2_000_000;

/// The longest part of a name that is shown, in characters: names in hostile documents have megabytes.
const MAX_SHOWN_CHARS: usize = 200;
