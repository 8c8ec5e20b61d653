//! An exchange prepared for the archive: all values of its JSON are present. It can be written at any moment, with its bodies
//! as far as they are packed by then.

use super::body_entry::{BodyEntry, Completeness, Task};
use super::packing::{Packing, PackingTools};
use crate::bundle::archive::{Archive, GroupPlace, with_slack};
use crate::bundle::format::{self, Timing, text};
use crate::bundle::id::{Id, ItemKind, request_path, response_path};
use crate::bundle::json::{self, add_json};
use crate::bundle::other_members::OtherMembers;
use crate::notice::Notice;
use crate::record::body::Body;
use crate::record::cut_off::{CutOff, CutOffCause, CutOffSide};
use crate::record::item::{Exchange, WebSocketHandshake};
use crate::wire::headers::Headers;
use std::borrow::Cow;
use std::io;

/// An exchange prepared for the archive.
pub(super) struct PreparedExchange {
    /// The number in its id.
    pub(super) number: u32,
    /// The id, `t_0001`.
    id: String,
    /// Milliseconds since the epoch.
    pub(super) started_ms: u64,
    method: Cow<'static, str>,
    pub(super) url: String,
    status: u16,
    status_text: Cow<'static, str>,
    /// The fields of the request and of the response.
    headers: [Headers; 2],
    /// The bodies of the request and of the response.
    pub(super) bodies: [BodyEntry; 2],
    timing: Timing,
    pub(super) websocket: Option<WebSocketHandshake>,
    /// The part that was cut off as it was received.
    cut_off: Option<CutOff>,
    /// The error for each body whose end is lost.
    pub(super) truncation_causes: Vec<String>,
}

impl PreparedExchange {
    /// Prepares the bodies as far as that takes no time.
    pub(super) fn new(exchange: Exchange, number: u32, packing: &Packing, tools: &mut PackingTools) -> Self {
        let Exchange {
            started_ms,
            url,
            method,
            mut request_headers,
            request_body,
            response,
            response_body,
            timing,
            websocket,
            mut cut_off,
        } = exchange;
        let id = Id::Trace(number).text();
        let (status, status_text, mut response_headers) = match response {
            Ok(head) => (head.status, decode_text(head.reason), head.headers),
            Err(why) => (0, why, Headers::default()),
        };
        let truncation = |body: &Body| body.truncation().map(|truncation| truncation.cause.to_string());
        let truncation_causes = [&request_body, &response_body].into_iter().filter_map(truncation).collect();
        let cut_off_side = cut_off.map(|cut_off| cut_off.side);
        let mut entry = |body, headers, side, path: fn(&str) -> String| {
            let is_cut_off = cut_off_side.is_some_and(|cut_off| cut_off == side || cut_off == CutOffSide::Both);
            let completeness = if is_cut_off { Completeness::CutOff } else { Completeness::Complete };
            BodyEntry::received(body, headers, completeness, || path(&id), packing, tools)
        };
        let bodies = [
            entry(request_body, &request_headers, CutOffSide::Request, request_path),
            entry(response_body, &response_headers, CutOffSide::Response, response_path),
        ];
        // The bodies are complete, and were prepared with all fields.
        for (side, first_line, headers) in [
            (CutOffSide::Request, &*url, &mut request_headers),
            (CutOffSide::Response, &*status_text, &mut response_headers),
        ] {
            // Most heads are so short that they need not be read for it.
            if first_line.len().saturating_add(headers.memory_bytes()) <= MAX_HEAD_JSON_BYTES / MAX_JSON_GROWTH {
                continue;
            }
            let limit = MAX_HEAD_JSON_BYTES.saturating_sub(max_json_bytes(first_line.as_bytes()));
            if headers.truncate(limit, max_field_json_bytes) {
                cut_off = Some(CutOff::also(cut_off, side, CutOffCause::Limit));
            }
        }
        Self {
            number,
            id,
            started_ms,
            method,
            url,
            status,
            status_text,
            headers: [request_headers, response_headers],
            bodies,
            timing: non_negative(timing),
            websocket,
            cut_off,
            truncation_causes,
        }
    }

    /// Returns the value of its JSON.
    fn trace(&self) -> format::Trace<&Headers, &str> {
        let ([request_headers, response_headers], [request_body, response_body]) = (&self.headers, &self.bodies);
        format::Trace {
            id: &self.id,
            timestamp: self.started_ms,
            r#type: "http",
            request: format::Request {
                method: &self.method,
                url: &self.url,
                headers: request_headers,
                body_file: request_body.file(),
                body_size: request_body.size,
                body_encoding: request_body.remaining_codings.as_deref(),
            },
            response: format::Response {
                status: self.status,
                status_text: &self.status_text,
                headers: response_headers,
                body_file: response_body.file(),
                body_size: response_body.size,
                body_encoding: response_body.remaining_codings.as_deref(),
            },
            timing: self.timing.clone(),
            initiator: format::Initiator { r#type: "proxy", url: None, line: None },
            context_refs: Vec::new(),
            cut_off: self.cut_off().map(|CutOff { side, why }| format::CutOff { side: side.name(), why: why.name() }),
            others: OtherMembers::default(),
        }
    }

    /// Returns its JSON without bodies, to be repeated in later bundles.
    pub(super) fn handshake_json(&self) -> Option<Vec<u8>> {
        let mut trace = self.trace();
        for (file, size, encoding) in [
            (&mut trace.request.body_file, &mut trace.request.body_size, &mut trace.request.body_encoding),
            (&mut trace.response.body_file, &mut trace.response.body_size, &mut trace.response.body_encoding),
        ] {
            (*file, *size, *encoding) = (None, 0, None);
        }
        json::to_vec(&trace).ok()
    }

    /// Returns the part that is incomplete, as far as the bodies are decoded.
    pub(super) fn cut_off(&self) -> Option<CutOff> {
        let ([request_headers, response_headers], [request, response]) = (&self.headers, &self.bodies);
        let is_partial = self.status == PARTIAL_CONTENT || has_content_range(response_headers);
        let cut_off = also_cut_off(self.cut_off, CutOffSide::Request, request, has_content_range(request_headers));
        also_cut_off(cut_off, CutOffSide::Response, response, is_partial)
    }

    /// Returns the notice that it was written.
    pub(super) fn into_notice(self) -> Notice {
        let cut_off = self.cut_off();
        let Self { id, method, url, status, status_text, timing, bodies: [_, response_body], .. } = self;
        let (method, size, total_ms) = (method.into_owned(), response_body.size, timing.total_ms);
        let no_response = (status == 0).then(|| status_text.into_owned());
        Notice::Exchange { id, method, url, status, no_response, size, total_ms, cut_off }
    }

    /// Returns the size in memory of what it has besides its bodies.
    pub(super) fn head_bytes(&self) -> usize {
        let [sent, received] = &self.headers;
        sent.memory_bytes().saturating_add(received.memory_bytes()).saturating_add(self.url.len())
    }

    /// Stages it in the archive. The JSON comes last: recovery takes an exchange as complete once its JSON is there.
    pub(super) fn stage(&self, archive: &mut Archive, note: &[u8]) -> io::Result<GroupPlace> {
        let last = self.bodies.iter().rfind(|body| body.file().is_some());
        // A forced end needs the space for the trailer of a gzip body.
        let with_slack = last.filter(|body| body.task() == Task::Verify).map(|_| with_slack(note));
        archive.stage(|archive| {
            self.bodies.iter().try_for_each(|body| body.write(archive))?;
            let note = with_slack.as_deref().unwrap_or(note);
            add_json(archive, ItemKind::Trace.json_name(&self.id), &self.trace(), note)
        })
    }
}

/// Returns `cut_off` with the cause if `body` is incomplete. One that is a range of a representation is also a range of its
/// content coding, which may not end in it (RFC 9110 section 14.2).
pub(super) fn also_cut_off(
    cut_off: Option<CutOff>,
    side: CutOffSide,
    body: &BodyEntry,
    is_range: bool,
) -> Option<CutOff> {
    let why = body.cut_off.filter(|&why| why != CutOffCause::Closed || !is_range);
    why.map(|why| CutOff::also(cut_off, side, why)).or(cut_off)
}

/// True if the body is a range of a representation (RFC 9110 section 14.4).
fn has_content_range(headers: &Headers) -> bool {
    headers.first("content-range").is_some()
}

/// Returns [`text`] of `bytes`. Static text stays borrowed: the usual reason phrases need no allocation.
fn decode_text(bytes: Cow<'static, [u8]>) -> Cow<'static, str> {
    match bytes {
        Cow::Borrowed(bytes) => text(bytes),
        Cow::Owned(bytes) => text(&bytes).into_owned().into(),
    }
}

/// The status of a response with a range of a representation.
pub(super) const PARTIAL_CONTENT: u16 = 206;

/// Replaces values that are negative or not finite by 0: JSON cannot express the latter.
fn non_negative(timing: Timing) -> Timing {
    let valid = |ms: f64| if ms.is_finite() && ms > 0.0 { ms } else { 0.0 };
    Timing {
        dns_ms: valid(timing.dns_ms),
        connect_ms: valid(timing.connect_ms),
        tls_ms: valid(timing.tls_ms),
        send_ms: valid(timing.send_ms),
        wait_ms: valid(timing.wait_ms),
        receive_ms: valid(timing.receive_ms),
        total_ms: valid(timing.total_ms),
    }
}

/// Returns an upper bound for the size of a field in JSON.
fn max_field_json_bytes(name: &[u8], value: &[u8]) -> usize {
    FIELD_LAYOUT_BYTES.saturating_add(max_json_bytes(name)).saturating_add(max_json_bytes(value))
}

/// Returns an upper bound for the size of a text in JSON, without the quotation marks.
fn max_json_bytes(text: &[u8]) -> usize {
    let size = |byte: &u8| match byte {
        0..0x20 => 6,
        // Escaped, or in Latin-1.
        b'"' | b'\\' | 0x80.. => 2,
        _ => 1,
    };
    text.iter().map(size).fold(0, usize::saturating_add)
}

/// The JSON of one message's fields and first line. Twice that is less than readers accept
/// ([`MAX_JSON_BYTES`](crate::bundle::reader::MAX_JSON_BYTES)). A head of 1 MiB exceeds it only with more than 130,000 fields.
const MAX_HEAD_JSON_BYTES: usize = 15 << 19;

/// The JSON of a field without name and value: braces, member names, line breaks and indentation.
const FIELD_LAYOUT_BYTES: usize = 57;

/// A head's JSON is at most this many times as long as the head in memory: six bytes for a byte of text, and
/// [`FIELD_LAYOUT_BYTES`] for the two lengths of a field, of four bytes each.
const MAX_JSON_GROWTH: usize = 8;
