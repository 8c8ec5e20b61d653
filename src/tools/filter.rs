//! A filter of exchanges and WebSockets, and the part of a bundle that it selects.
//!
//! ```text
//! Filter ─▶ matches an exchange     itself
//!        └▶ matches a WebSocket     itself, its handshake's method and status, its messages
//!
//! Selected                          a WebSocket comes with its handshake's exchange and all its messages,
//!                                   if the filter matches the WebSocket or the exchange
//! ```
//!
//! Several values of one criterion match if any of them does. Several criteria match if all of them do.

use super::grpc::GrpcStatus;
use super::id_set::IdSet;
use crate::bundle::reader::{Body, Bundle, Error, Trace, WebSocket};
use crate::clock::Moment;
use crate::wire::pattern::Pattern;
use search::Search;
use std::ops::RangeInclusive;

pub use media_type::MediaType;
pub use search::SearchText;

mod media_type;
mod search;

/// The criteria of a filter. The default filter matches everything.
///
/// ```
/// use spectral_capture::filter::{Filter, MediaType, SearchText};
///
/// let mut filter = Filter::default();
/// filter.hosts = vec!["*.example.com".parse()?];
/// filter.statuses = vec![500..=599];
/// filter.media_types = vec![MediaType::new("json")];
/// filter.texts = vec![SearchText::new("timeout")];
/// # Ok::<(), spectral_capture::BadPattern>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Filter {
    /// Ids of exchanges. Any other id is excluded, and so is every WebSocket that none of these exchanges opened.
    pub ids: Vec<String>,
    /// Patterns of the host in the URL.
    pub hosts: Vec<Pattern>,
    /// Methods, compared without regard to case. That of a WebSocket is its handshake's.
    pub methods: Vec<String>,
    /// Statuses of the response; 0 is no response. That of a WebSocket is its handshake's.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// Statuses of gRPC calls. One match here or in `statuses` is enough.
    pub grpc_statuses: Vec<RangeInclusive<u32>>,
    /// Media types of the response. A WebSocket has none.
    pub media_types: Vec<MediaType>,
    /// The first time at which an exchange or WebSocket may start, in milliseconds since the epoch.
    pub since: Option<u64>,
    /// The first time at which it may not start any more, in milliseconds since the epoch. Two filters, `until` and `since` of
    /// one time, therefore have no exchange in common.
    pub until: Option<u64>,
    /// Excludes exchanges without a response.
    pub answered: bool,
    /// Texts in URLs, status texts, header fields, textual bodies and text messages of WebSockets. Bodies that could not be
    /// decoded are not searched, nor is anything after a NUL byte, which binary formats contain.
    pub texts: Vec<SearchText>,
}

impl Filter {
    /// Returns the current time in milliseconds since the epoch, for `since` and `until`.
    pub fn now() -> u64 {
        Moment::now().epoch_ms()
    }

    /// Returns true if the filter matches everything.
    pub fn is_empty(&self) -> bool {
        let Self { ids, hosts, methods, statuses, grpc_statuses, media_types, since, until, answered, texts } = self;
        let lists = [ids.is_empty(), hosts.is_empty(), methods.is_empty(), statuses.is_empty()];
        let are_empty = lists.into_iter().all(|is_empty| is_empty)
            && grpc_statuses.is_empty()
            && media_types.is_empty()
            && texts.is_empty();
        are_empty && since.is_none() && until.is_none() && !answered
    }

    /// Returns true if the filter matches the exchange. Bodies are read last, block by block.
    ///
    /// # Errors
    /// If a body cannot be read, and no text is found before the damage or in the other body.
    pub fn matches(&self, bundle: &Bundle, trace: &Trace) -> Result<bool, Error> {
        let mut searched = 0;
        let matches = self.considers(&trace.id)
            && self.matches_time(trace.timestamp)
            && self.matches_host(&trace.request.url)
            && self.matches_head(trace)
            && self.matches_status(bundle, trace)?
            && (self.texts.is_empty() || self.is_text_in_exchange(bundle, trace, &mut searched)?);
        bundle.meter().add(body_bytes(trace).saturating_sub(searched));
        Ok(matches)
    }

    /// Returns true if the filter matches the WebSocket itself. One that does not match is still part of a selection if the
    /// filter matches its handshake's exchange.
    ///
    /// # Errors
    /// If the handshake's exchange or a message cannot be read, and no text is found before the damage or in other messages.
    pub fn matches_websocket(&self, bundle: &Bundle, websocket: &WebSocket) -> Result<bool, Error> {
        self.searched_websocket(bundle, websocket, &mut 0)
    }

    /// As [`Filter::matches_websocket`], and adds the size of payloads that were searched to `searched`.
    fn searched_websocket(&self, bundle: &Bundle, websocket: &WebSocket, searched: &mut u64) -> Result<bool, Error> {
        if !self.media_types.is_empty() || !self.matches_time(websocket.timestamp) || !self.matches_host(&websocket.url)
        {
            return Ok(false);
        }
        if self.needs_handshake() {
            let Some(handshake) = handshake_of(bundle, websocket) else { return Ok(false) };
            let trace = bundle.trace(handshake)?;
            if !self.considers(handshake) || !self.matches_head(&trace) || !self.matches_status(bundle, &trace)? {
                return Ok(false);
            }
        }
        Ok(self.texts.is_empty() || self.is_text_in_websocket(bundle, websocket, searched)?)
    }

    /// Returns false if the exchange `id` is excluded by its id.
    pub(crate) fn considers(&self, id: &str) -> bool {
        self.ids.is_empty() || self.ids.iter().any(|only| only == id)
    }

    /// True if facts of its handshake decide about a WebSocket.
    fn needs_handshake(&self) -> bool {
        !self.ids.is_empty() || !self.methods.is_empty() || self.has_statuses()
    }

    fn matches_time(&self, timestamp: u64) -> bool {
        self.since.is_none_or(|since| timestamp >= since) && self.until.is_none_or(|until| timestamp < until)
    }

    fn matches_host(&self, url: &str) -> bool {
        self.hosts.is_empty() || {
            let (host, port) = host_and_port(url);
            self.hosts.iter().any(|pattern| pattern.matches(host, port))
        }
    }

    /// Compares the method and the media type.
    fn matches_head(&self, trace: &Trace) -> bool {
        let (method, response) = (&trace.request.method, &trace.response);
        (!self.answered || response.status != 0)
            && (self.methods.is_empty() || self.methods.iter().any(|accepted| accepted.eq_ignore_ascii_case(method)))
            && (self.media_types.is_empty()
                || self.media_types.iter().any(|accepted| accepted.is_in(&response.headers)))
    }

    fn has_statuses(&self) -> bool {
        !self.statuses.is_empty() || !self.grpc_statuses.is_empty()
    }

    fn matches_status(&self, bundle: &Bundle, trace: &Trace) -> Result<bool, Error> {
        if !self.has_statuses() || self.statuses.iter().any(|accepted| accepted.contains(&trace.response.status)) {
            return Ok(true);
        }
        if self.grpc_statuses.is_empty() {
            return Ok(false);
        }
        let status = GrpcStatus::of(bundle, trace)?;
        Ok(status.is_some_and(|status| self.grpc_statuses.iter().any(|accepted| accepted.contains(&status.code))))
    }

    /// Searches the heads first: bodies must be read from the file.
    fn is_text_in_exchange(&self, bundle: &Bundle, trace: &Trace, searched: &mut u64) -> Result<bool, Error> {
        let (request, response) = (&trace.request, &trace.response);
        let mut search = Search::new(&self.texts);
        search.push_line(&[&request.url]);
        search.push_line(&[&response.status_text]);
        for header in request.headers.iter().chain(&response.headers) {
            search.push_line(&[&header.name, ": ", &header.value]);
        }
        if search.has_found() {
            return Ok(true);
        }
        let sent = match request.body_encoding {
            None => self.is_text_in_body(bundle.open_request_body(trace), searched),
            Some(_) => Ok(false),
        };
        if matches!(sent, Ok(true)) {
            return sent;
        }
        let received = match response.body_encoding {
            None => self.is_text_in_body(bundle.open_response_body(trace), searched)?,
            Some(_) => false,
        };
        Ok(received || sent?)
    }

    fn is_text_in_websocket(&self, bundle: &Bundle, websocket: &WebSocket, searched: &mut u64) -> Result<bool, Error> {
        let mut search = Search::new(&self.texts);
        search.push_line(&[&websocket.url]);
        websocket.protocols.iter().for_each(|protocol| search.push_line(&[protocol]));
        if search.has_found() {
            return Ok(true);
        }
        // A match in a later message decides, whatever this one has.
        let mut undecided = Ok(false);
        for id in bundle.messages(&websocket.id).iter() {
            match self.is_text_in_message(bundle, id, searched) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(e) => undecided = undecided.and(Err(e)),
            }
        }
        undecided
    }

    fn is_text_in_message(&self, bundle: &Bundle, id: &str, searched: &mut u64) -> Result<bool, Error> {
        let message = bundle.message(id)?;
        Ok(message.opcode == "text"
            && message.payload_encoding.is_none()
            && self.is_text_in_body(bundle.open_payload(&message), searched)?)
    }

    /// Searches a body of any size, no further than the first match or NUL byte.
    fn is_text_in_body(&self, body: Result<Body<'_>, Error>, searched: &mut u64) -> Result<bool, Error> {
        let (mut body, mut search) = (body?, Search::new(&self.texts));
        while search.is_undecided() {
            match body.next_block()? {
                [] => return Ok(false),
                block => {
                    *searched = searched.saturating_add(block.len() as u64);
                    search.push(block);
                }
            }
        }
        Ok(search.has_found())
    }
}

/// The part of one or more bundles that a filter selects.
pub(crate) struct Selected<'f> {
    filter: &'f Filter,
    /// The ids of selected WebSockets and of their handshakes' exchanges.
    websockets: IdSet,
}

impl<'f> Selected<'f> {
    pub(crate) fn new(filter: &'f Filter) -> Self {
        Self { filter, websockets: IdSet::default() }
    }

    /// Adds the WebSockets of `bundle`, which are decided before the exchanges: a handshake may be selected because of a
    /// message. Of a capture in several bundles, all are added: a message may be in another one than its handshake. Calls
    /// `damaged` with the id of each WebSocket that cannot be read.
    pub(crate) fn add_readable_websockets(
        &mut self,
        bundle: &Bundle,
        mut damaged: impl FnMut(&str),
    ) -> Result<(), Error> {
        if self.filter.is_empty() {
            return Ok(());
        }
        for id in bundle.websockets().iter() {
            match self.add_websocket(bundle, id) {
                Err(e) if e.is_of_one_entry() => damaged(id),
                result => result?,
            }
        }
        Ok(())
    }

    fn add_websocket(&mut self, bundle: &Bundle, id: &str) -> Result<(), Error> {
        if self.websockets.contains(id) {
            return Ok(());
        }
        let websocket = bundle.websocket(id)?;
        let handshake = handshake_of(bundle, &websocket);
        let mut searched = 0;
        let itself = self.filter.searched_websocket(bundle, &websocket, &mut searched);
        let is_selected = matches!(itself, Ok(true))
            || handshake.map_or(Ok(false), |handshake| self.filter.matches(bundle, &bundle.trace(handshake)?))?
            || itself?;
        if is_selected {
            bundle.meter().take_back(searched);
            self.websockets.insert(id);
            let _ = handshake.is_some_and(|handshake| self.websockets.insert(handshake));
        }
        Ok(())
    }

    /// Returns false if the exchange `id` is excluded by its id. It need not be read then.
    pub(crate) fn considers(&self, id: &str) -> bool {
        self.filter.considers(id)
    }

    pub(crate) fn has_exchange(&self, bundle: &Bundle, trace: &Trace) -> Result<bool, Error> {
        if self.filter.is_empty() || self.websockets.contains(&trace.id) {
            return Ok(true);
        }
        let matches = self.filter.matches(bundle, trace)?;
        if matches {
            // They are read again.
            bundle.meter().take_back(body_bytes(trace));
        }
        Ok(matches)
    }

    pub(crate) fn has_websocket(&self, id: &str) -> bool {
        self.filter.is_empty() || self.websockets.contains(id)
    }
}

/// Returns the id of the handshake's exchange, if the bundle has it.
fn handshake_of<'w>(bundle: &Bundle, websocket: &'w WebSocket) -> Option<&'w str> {
    websocket.handshake_trace_ref.as_deref().filter(|id| bundle.traces().contains(id))
}

/// Returns the size of both bodies, as the exchange claims it.
fn body_bytes(trace: &Trace) -> u64 {
    trace.request.body_size.saturating_add(trace.response.body_size)
}

/// Returns the host and port of a URL. The port defaults to the scheme's.
fn host_and_port(url: &str) -> (&str, u16) {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit('@').next().unwrap_or_default();
    let default_port = if matches!(scheme, "https" | "wss") { 443 } else { 80 };
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(default_port)),
        _ => (authority, default_port),
    }
}

#[cfg(test)]
mod tests;
