//! Searches the fields and bodies of an item.

use super::body::{BodySearch, MediaType, Outcome};
use super::edits::{Edit, applied};
use super::grammar::Grammar;
use super::search::Searcher;
use crate::bundle::format::Context;
use crate::bundle::other_members::OtherMembers;
use crate::bundle::reader::{Bundle, Header, Manifest, Message, Trace, WebSocket};
use crate::coding::Content as _;
use crate::tools::rewriter::{Content, Error, Item};
use crate::tools::temp_body::TempBody;
use std::io::{self, Write};
use std::path::Path;

/// Searches one item of a bundle after the other.
pub(super) struct ItemSearch<'b> {
    pub(super) bundle: &'b Bundle,
    pub(super) searcher: Searcher,
    /// True if bodies that cannot be searched are kept.
    pub(super) keep_unsearched: bool,
    /// An empty body, for new ones.
    pub(super) empty: TempBody,
    /// The bundle that is written, for errors.
    pub(super) output: &'b Path,
}

impl ItemSearch<'_> {
    /// Returns a search for another thread, which passes on the values that it finds.
    pub(super) fn worker(&self) -> Self {
        Self { searcher: self.searcher.worker(), empty: self.empty.empty_like(), ..*self }
    }

    /// Searches `item`, and returns it redacted in the second pass.
    pub(super) fn search_item(&mut self, item: Item) -> Result<Item, Error> {
        Ok(match item {
            Item::Trace(mut trace, bodies) => {
                let bodies = self.trace(&mut trace, bodies)?;
                Item::Trace(trace, bodies)
            }
            Item::WebSocket(mut websocket) => {
                self.websocket(&mut websocket);
                Item::WebSocket(websocket)
            }
            Item::Message(mut message, payload) => {
                let payload = self.message(&mut message, payload)?;
                Item::Message(message, payload)
            }
            Item::Context(mut context) => {
                self.context(&mut context);
                Item::Context(context)
            }
        })
    }

    /// Searches the members of a manifest that this program does not know. The others are counts, times and the producer.
    pub(super) fn manifest(&mut self, manifest: &mut Manifest) {
        self.others(&mut manifest.others);
    }

    fn trace(&mut self, trace: &mut Trace, [sent, received]: [Content; 2]) -> Result<[Content; 2], Error> {
        let (request, response) = (&mut trace.request, &mut trace.response);
        self.url(&mut request.url);
        self.headers(&mut request.headers);
        self.headers(&mut response.headers);
        self.text(&mut response.status_text);
        self.others(&mut trace.others);
        trace.initiator.url.iter_mut().for_each(|url| self.url(url));
        let place = |side| format!("{} {side}", trace.id);
        let media_type = MediaType::of(&request.headers);
        let coding = &mut request.body_encoding;
        let sent = self.body(sent, media_type, coding, &mut request.body_size, &place("request"))?;
        let media_type = MediaType::of(&response.headers);
        let coding = &mut response.body_encoding;
        let received = self.body(received, media_type, coding, &mut response.body_size, &place("response"))?;
        Ok([sent, received])
    }

    fn websocket(&mut self, websocket: &mut WebSocket) {
        self.url(&mut websocket.url);
        self.others(&mut websocket.others);
        for protocol in &mut websocket.protocols {
            let edits = self.searcher.protocol(protocol);
            self.apply(protocol, &edits);
        }
    }

    fn message(&mut self, message: &mut Message, payload: Content) -> Result<Content, Error> {
        self.others(&mut message.others);
        let Message { id, payload_encoding, payload_size, .. } = message;
        self.body(payload, MediaType::default(), payload_encoding, payload_size, id)
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

    fn context(&mut self, context: &mut Context) {
        let Ok(mut text) = serde_json::to_string(&context.rest) else { return };
        self.text(&mut text);
        if let Ok(rest) = serde_json::from_slice(text.as_bytes()) {
            context.rest = rest;
        }
    }

    /// Searches a body, and updates its coding and size. `place` names it in the report.
    fn body(
        &mut self,
        content: Content,
        media_type: MediaType,
        coding: &mut Option<String>,
        size: &mut u64,
        place: &str,
    ) -> Result<Content, Error> {
        let outcome = match coding {
            _ if matches!(content, Content::Empty) => return Ok(content),
            Some(_) => Outcome::Unsearchable,
            None => self.search(&content, media_type, place)?,
        };
        match outcome {
            Outcome::Unchanged => Ok(content),
            Outcome::Changed(new) => {
                new.check().map_err(|cause| Error::Write { path: self.output.to_owned(), cause })?;
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

    fn search(&mut self, content: &Content, media_type: MediaType, place: &str) -> Result<Outcome, Error> {
        let mut search = BodySearch::new(&mut self.searcher, media_type, self.empty.empty_like());
        match content {
            Content::Empty => {}
            Content::Copied(entry) => match self.bundle.stream_body(entry, &mut |bytes| search.push(bytes)) {
                Err(e) if e.is_of_one_entry() => return Ok(Outcome::Unsearchable),
                read => read?,
            },
            Content::Decoded(body) => {
                let written = body.write_to(&mut Pieces(&mut search));
                written.map_err(|cause| Error::Write { path: self.output.to_owned(), cause })?;
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
