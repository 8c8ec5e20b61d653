//! Searches a body that arrives in pieces.
//!
//! ```text
//! up to 4 MiB ─▶ as a whole
//! beyond       ─▶ JSON: token by token    text: line by line    binary: in overlapping pieces
//!                 otherwise it cannot be searched: a token or a line longer than 4 MiB, a large form, multipart body or XML
//! ```
//!
//! At most 4 MiB and a piece are in memory, and a decoded copy.

use super::charset::{self, Decoding};
use super::edits::{Edit, applied, apply};
use super::grammar::{Grammar, json, multipart};
use super::layer;
use super::leaf::Place;
use super::search::Searcher;
use crate::bundle::reader::Header;
use crate::coding::Content as _;
use crate::tools::temp_body::TempBody;

/// The result for a body.
pub(super) enum Outcome {
    Unchanged,
    Changed(TempBody),
    Unsearchable,
}

/// The media type of a body.
#[derive(Clone, Debug, Default)]
pub(super) struct MediaType {
    /// The type in lower case, without parameters.
    essence: String,
    charset: Option<String>,
    boundary: Option<String>,
}

impl MediaType {
    /// Returns the type that header fields state.
    pub(super) fn of(headers: &[Header]) -> Self {
        let field = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-type"));
        field.map_or_else(Self::default, |field| Self::parse(&field.value))
    }

    fn parse(value: &str) -> Self {
        Self {
            essence: value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase(),
            charset: multipart::parameter(value, "charset"),
            boundary: multipart::parameter(value, "boundary"),
        }
    }

    fn is(&self, essence: &str) -> bool {
        self.essence == essence
    }

    fn is_multipart(&self) -> bool {
        self.essence.starts_with("multipart/")
    }

    fn is_textual(&self) -> bool {
        let application = ["json", "xml", "javascript", "ecmascript", "graphql", "x-www-form-urlencoded", "yaml"];
        self.essence.starts_with("text/")
            || self
                .essence
                .strip_prefix("application/")
                .is_some_and(|kind| application.iter().any(|text| kind.ends_with(text)))
    }

    /// Returns the grammar of a text with this type. Clients often state a wrong one.
    fn grammar(&self, text: &str) -> Grammar {
        match Grammar::of(text) {
            Grammar::Json | Grammar::Xml if self.is("text/javascript") || self.is("text/css") => Grammar::Free,
            sniffed @ (Grammar::Json | Grammar::Xml) => sniffed,
            _ if self.is("application/x-www-form-urlencoded") => Grammar::Form,
            _ if self.is("text/event-stream") => Grammar::Lines,
            sniffed => sniffed,
        }
    }
}

/// The search of one body.
pub(super) struct BodySearch<'s> {
    searcher: &'s mut Searcher,
    media_type: MediaType,
    state: State,
    /// The bytes that were not searched yet.
    buffer: Vec<u8>,
    /// The new body.
    out: TempBody,
    is_changed: bool,
    /// True once the body was found to be binary.
    is_binary: bool,
}

enum State {
    /// All bytes are in the buffer.
    Whole,
    Json(json::Lexer),
    Lines,
    Binary,
    Unsearchable,
}

impl<'s> BodySearch<'s> {
    /// Begins the search. `empty` receives the new body.
    pub(super) fn new(searcher: &'s mut Searcher, media_type: MediaType, empty: TempBody) -> Self {
        let (buffer, is_changed, is_binary) = (Vec::new(), false, false);
        Self { searcher, media_type, state: State::Whole, buffer, out: empty, is_changed, is_binary }
    }

    /// Takes the next piece.
    pub(super) fn push(&mut self, piece: &[u8]) {
        if matches!(self.state, State::Unsearchable) {
            return;
        }
        self.buffer.extend_from_slice(piece);
        if matches!(self.state, State::Whole) && self.buffer.len() > MAX_WHOLE_BYTES {
            self.state = self.streaming_state();
        }
        if !matches!(self.state, State::Whole) && self.buffer.len() >= MIN_PIECE_BYTES {
            self.advance(false);
        }
    }

    /// Ends the body. Returns the result, and true if the body is binary.
    pub(super) fn finish(mut self) -> (Outcome, bool) {
        if matches!(self.state, State::Whole) {
            let bytes = std::mem::take(&mut self.buffer);
            let searched = whole(self.searcher, &self.media_type, &bytes, 0);
            self.is_binary = matches!(searched, Searched::Binary(_));
            match searched {
                Searched::Text(Some(new)) | Searched::Binary(Some(new)) => {
                    self.out.push(&new);
                    self.is_changed = true;
                }
                Searched::Text(None) | Searched::Binary(None) => {}
                Searched::Unsearchable => self.state = State::Unsearchable,
            }
        } else {
            self.advance(true);
        }
        let outcome = match self.state {
            State::Unsearchable => Outcome::Unsearchable,
            _ if self.is_changed => Outcome::Changed(self.out),
            _ => Outcome::Unchanged,
        };
        (outcome, self.is_binary)
    }

    /// Returns the way in which a large body is searched.
    fn streaming_state(&self) -> State {
        let text = match std::str::from_utf8(&self.buffer) {
            Ok(text) => Some(text),
            Err(e) if e.error_len().is_none() => {
                std::str::from_utf8(self.buffer.get(..e.valid_up_to()).unwrap_or_default()).ok()
            }
            Err(_) => None,
        };
        let Some(text) = text.filter(|text| !text.contains('\0')) else {
            let is_wide =
                matches!(self.buffer.as_slice(), [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, 0, 0xfe, 0xff, ..]);
            let is_text = is_wide || self.media_type.is_textual() || self.media_type.is_multipart();
            return if is_text { State::Unsearchable } else { State::Binary };
        };
        match self.media_type.grammar(text) {
            _ if self.media_type.is_multipart() => State::Unsearchable,
            Grammar::Json => State::Json(json::Lexer::default()),
            Grammar::Xml | Grammar::Form | Grammar::Url => State::Unsearchable,
            Grammar::Lines | Grammar::Free => State::Lines,
        }
    }

    /// Searches the buffer as far as it can be searched before the next bytes are known.
    fn advance(&mut self, is_end: bool) {
        match &mut self.state {
            State::Whole | State::Unsearchable => {}
            State::Binary => self.advance_binary(is_end),
            State::Lines => self.advance_lines(is_end),
            State::Json(lexer) => {
                let Some(text) = valid_prefix(&self.buffer, is_end) else {
                    self.state = State::Unsearchable;
                    return;
                };
                match self.searcher.json(lexer, text, is_end) {
                    Ok((edits, used)) => self.write(&edits, used),
                    Err((edits, json::SyntaxError(at))) => {
                        // The edits are before the error.
                        self.write(&edits, at);
                        self.state = State::Lines;
                        self.advance_lines(is_end);
                    }
                }
            }
        }
        if self.buffer.len() > MAX_WHOLE_BYTES {
            self.state = State::Unsearchable;
        }
        if matches!(self.state, State::Unsearchable) {
            self.buffer = Vec::new();
        }
    }

    fn advance_lines(&mut self, is_end: bool) {
        let Some(text) = valid_prefix(&self.buffer, is_end) else {
            self.state = State::Unsearchable;
            return;
        };
        let end = if is_end { text.len() } else { text.rfind('\n').map_or(0, |end| end.saturating_add(1)) };
        let lines = text.get(..end).unwrap_or_default();
        // A private key has several lines.
        let open_key = lines
            .rfind("-----BEGIN ")
            .filter(|at| !is_end && !lines.get(*at..).unwrap_or_default().contains("-----END "));
        let lines = open_key.and_then(|at| lines.get(..at)).unwrap_or(lines);
        let grammar = match self.media_type.grammar(lines) {
            Grammar::Lines => Grammar::Lines,
            _ => Grammar::Free,
        };
        let edits = self.searcher.text_of(grammar, lines);
        let mut end = if is_end { lines.len() } else { before_folded(lines, self.searcher.max_pattern_bytes()) };
        // Only whole lines are known to be base64.
        while let Some(cut) = edits.iter().find(|edit| edit.range.start < end && end < edit.range.end) {
            end =
                lines.get(..cut.range.start).and_then(|before| before.rfind('\n')).map_or(0, |at| at.saturating_add(1));
        }
        self.write_until(edits, end);
    }

    fn advance_binary(&mut self, is_end: bool) {
        self.is_binary = true;
        let edits = self.searcher.binary(&self.buffer);
        // A pattern may begin in the last bytes, and the byte before it counts.
        let tail = self.searcher.max_pattern_bytes().saturating_add(1);
        let end = if is_end { self.buffer.len() } else { self.buffer.len().saturating_sub(tail) };
        self.write_until(edits, end);
    }

    /// Writes the buffer up to `end`, or up to an edit that contains `end`.
    fn write_until(&mut self, mut edits: Vec<Edit>, end: usize) {
        let cut = edits.iter().find(|edit| edit.range.contains(&end));
        let end = cut.map_or(end, |cut| cut.range.start);
        edits.retain(|edit| edit.range.end <= end);
        self.write(&edits, end);
    }

    /// Writes `len` bytes of the buffer with `edits`.
    fn write(&mut self, edits: &[Edit], len: usize) {
        self.searcher.report.count_edits(edits);
        if self.searcher.is_writing() {
            let out = &mut self.out;
            apply(self.buffer.get(..len).unwrap_or_default(), edits, &mut |bytes| out.push(bytes));
            self.is_changed |= !edits.is_empty();
        }
        self.buffer.drain(..len.min(self.buffer.len()));
    }
}

/// The result for bytes that are in memory: the new bytes, if any.
enum Searched {
    Text(Option<Vec<u8>>),
    Binary(Option<Vec<u8>>),
    Unsearchable,
}

/// Searches bytes.
fn whole(searcher: &mut Searcher, media_type: &MediaType, bytes: &[u8], depth: u32) -> Searched {
    if media_type.is_multipart() && depth < MAX_MULTIPART_DEPTH {
        let parts = multipart::parts(bytes, media_type.boundary.as_deref());
        if !parts.is_empty() {
            return in_parts(searcher, &parts, bytes, depth);
        }
    }
    match charset::decode(bytes, media_type.charset.as_deref(), media_type.is_textual()) {
        Decoding::Utf8 => {
            let text = std::str::from_utf8(bytes).unwrap_or_default();
            let edits = searcher.text_of(media_type.grammar(text), text);
            Searched::Text(edited(searcher, bytes, &edits))
        }
        Decoding::Text(charset, text) => {
            let edits = searcher.text_of(media_type.grammar(&text), &text);
            searcher.report.count_edits(&edits);
            Searched::Text(
                (searcher.is_writing() && !edits.is_empty()).then(|| charset.encode(&applied(&text, &edits))),
            )
        }
        Decoding::Binary => {
            let edits = searcher.binary(bytes);
            Searched::Binary(edited(searcher, bytes, &edits))
        }
        Decoding::Unknown => Searched::Unsearchable,
    }
}

/// Searches a multipart body part by part.
fn in_parts(searcher: &mut Searcher, parts: &[multipart::Part], bytes: &[u8], depth: u32) -> Searched {
    let mut new = Vec::new();
    let (mut at, mut is_changed, mut is_binary) = (0, false, false);
    for part in parts {
        if let Some(head) = searched_head(searcher, bytes.get(part.head.clone()).unwrap_or_default()) {
            new.extend_from_slice(bytes.get(at..part.head.start).unwrap_or_default());
            new.extend_from_slice(&head);
            (at, is_changed) = (part.head.end, true);
        }
        let content = bytes.get(part.content.clone()).unwrap_or_default();
        let searched = if searcher.is_secret_name(Place::Parameter, &part.name) {
            let text = String::from_utf8_lossy(content);
            let edits = searcher.secret(&part.name, &text);
            Searched::Text(edited(searcher, text.as_bytes(), &edits))
        } else {
            whole(searcher, &MediaType::parse(&part.content_type), content, depth.saturating_add(1))
        };
        is_binary |= matches!(searched, Searched::Binary(_));
        match searched {
            Searched::Text(None) | Searched::Binary(None) => {}
            Searched::Text(Some(content)) | Searched::Binary(Some(content)) => {
                new.extend_from_slice(bytes.get(at..part.content.start).unwrap_or_default());
                new.extend_from_slice(&content);
                (at, is_changed) = (part.content.end, true);
            }
            Searched::Unsearchable => return Searched::Unsearchable,
        }
    }
    new.extend_from_slice(bytes.get(at..).unwrap_or_default());
    let new = is_changed.then_some(new);
    if is_binary { Searched::Binary(new) } else { Searched::Text(new) }
}

/// Searches the fields of a part, such as file names. Names of form fields stay.
fn searched_head(searcher: &mut Searcher, head: &[u8]) -> Option<Vec<u8>> {
    let Ok(text) = std::str::from_utf8(head) else {
        let edits = searcher.binary(head);
        return edited(searcher, head, &edits);
    };
    let (mut edits, mut at) = (Vec::new(), 0);
    for line in text.split_inclusive('\n') {
        let found = match multipart::field(line) {
            Some((name, value)) => {
                let found = searcher.header(name, line.get(value.clone()).unwrap_or_default());
                found.into_iter().map(|edit| edit.shifted(value.start)).collect()
            }
            None => {
                let (mut found, name) = (searcher.text_of(Grammar::Free, line), multipart::name_range(line));
                found.retain(|edit| edit.range.end <= name.start || edit.range.start >= name.end);
                found
            }
        };
        edits.extend(found.into_iter().map(|edit| edit.shifted(at)));
        at = at.saturating_add(line.len());
    }
    edited(searcher, head, &edits)
}

/// Counts `edits`, and returns the new bytes in the second pass.
fn edited(searcher: &mut Searcher, bytes: &[u8], edits: &[Edit]) -> Option<Vec<u8>> {
    searcher.report.count_edits(edits);
    (searcher.is_writing() && !edits.is_empty()).then(|| {
        let mut new = Vec::with_capacity(bytes.len());
        apply(bytes, edits, &mut |bytes| new.extend_from_slice(bytes));
        new
    })
}

/// Returns the offset of the base64 at the end of `lines` that may continue in the next piece, as far as a pattern of `max_pattern`
/// bytes may begin in it; the length of `lines` without such base64.
fn before_folded(lines: &str, max_pattern: usize) -> usize {
    let (mut end, mut held) = (lines.len(), 0);
    while held < max_pattern {
        let Some(rest) = lines.get(..end).and_then(|lines| lines.strip_suffix('\n')) else { break };
        let start = rest.rfind('\n').map_or(0, |before| before.saturating_add(1));
        let line = rest.get(start..).unwrap_or_default();
        let line = line.strip_suffix('\r').unwrap_or(line);
        if !layer::is_folded(line) {
            break;
        }
        (end, held) = (start, held.saturating_add(line.len()));
    }
    end
}

/// Returns the text in `bytes`, without the beginning of a character at the end.
fn valid_prefix(bytes: &[u8], is_end: bool) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(e) if e.error_len().is_none() && !is_end => std::str::from_utf8(bytes.get(..e.valid_up_to())?).ok(),
        Err(_) => None,
    }
}

/// Larger bodies are searched in pieces. This is also the longest token and line.
const MAX_WHOLE_BYTES: usize = 4 << 20;

/// Pieces are at least this long, so that a long token is not lexed again for each read.
const MIN_PIECE_BYTES: usize = 256 << 10;

/// Multipart bodies within multipart bodies.
const MAX_MULTIPART_DEPTH: u32 = 4;
