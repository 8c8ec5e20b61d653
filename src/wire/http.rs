//! A tap for HTTP/1 or HTTP/2, chosen by the first bytes.
//!
//! ```text
//! Up    PRI * HTTP/2.0 ──▶ Http2Tap      anything else ──▶ Http1Tap
//! Down  00 ──────────────▶ Http2Tap      anything else ──▶ Http1Tap        if the origin sends first
//! ```
//!
//! ALPN alone does not determine the version: a client with prior knowledge uses HTTP/2 without negotiation (RFC 9113
//! section 3.3). A direction that ends without data does not determine it either: a client may leave right after the
//! handshake, before the origin's SETTINGS arrive.

use super::http1::Http1Tap;
use super::http2::Http2Tap;
use super::sniff::HTTP2_PREFACE_LINE;
use super::tap::{Dir, Ending, EventSink, Tap};

/// Observes a connection that begins with HTTP/1 or HTTP/2.
pub(crate) enum HttpTap {
    Unknown(FirstBytes),
    /// The version is known. Holds the tap for it.
    Known(Box<dyn Tap>),
}

/// The bytes and the end of a direction while the version is unknown.
#[derive(Default)]
pub(crate) struct FirstBytes {
    /// The client's first bytes.
    up: Vec<u8>,
    /// The direction that has ended. The other one has not: both ends together decide.
    ended: Option<(Dir, Ending)>,
}

impl HttpTap {
    pub(crate) fn new() -> Self {
        Self::Unknown(FirstBytes::default())
    }

    /// Creates the tap for the version and feeds it what happened so far.
    fn choose(&mut self, is_http2: bool, out: EventSink<'_>) {
        let mut tap: Box<dyn Tap> = if is_http2 { Box::new(Http2Tap::new()) } else { Box::new(Http1Tap::new()) };
        if let Self::Unknown(first) = self {
            if !first.up.is_empty() {
                tap.data(Dir::Up, &first.up, out);
            }
            if let Some((dir, how)) = first.ended {
                tap.end(dir, how, out);
            }
        }
        *self = Self::Known(tap);
    }
}

impl Tap for HttpTap {
    fn data(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) {
        if let Self::Unknown(first) = self {
            let is_http2 = match dir {
                Dir::Up => starts_with_preface(&first.up, bytes),
                // The first byte of a SETTINGS frame's length is 0; HTTP/1 responses begin with letters.
                Dir::Down => bytes.first().map(|&byte| byte == 0),
            };
            match is_http2 {
                Some(is_http2) => self.choose(is_http2, out),
                None => first.up.extend_from_slice(bytes),
            }
        }
        if let Self::Known(tap) = self {
            tap.data(dir, bytes, out);
        }
    }

    fn end(&mut self, dir: Dir, how: Ending, out: EventSink<'_>) {
        if let Self::Unknown(first) = self {
            if first.ended.is_none() {
                first.ended = Some((dir, how));
                return;
            }
            self.choose(false, out);
        }
        if let Self::Known(tap) = self {
            tap.end(dir, how, out);
        }
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Self::Unknown(first) => first.up.capacity(),
            Self::Known(tap) => tap.memory_bytes(),
        }
    }
}

/// Returns true if `first` and `bytes` together begin with the first line of the HTTP/2 preface; `None` if more bytes are
/// needed.
fn starts_with_preface(first: &[u8], bytes: &[u8]) -> Option<bool> {
    let agrees = first.iter().chain(bytes).zip(HTTP2_PREFACE_LINE).all(|(a, b)| a == b);
    let is_whole = first.len().saturating_add(bytes.len()) >= HTTP2_PREFACE_LINE.len();
    if agrees && !is_whole { None } else { Some(agrees) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tap::testing::DialogueStep::{self, Down, End, Up};
    use crate::wire::tap::testing::events_in_any_pieces;

    #[track_caller]
    fn dialogue(steps: &[DialogueStep<'_>], lines: &[&str]) {
        assert_eq!(events_in_any_pieces(HttpTap::new, steps), lines);
    }

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    const RESPONSE_204: &[u8] = b"\0\0\x01\x01\x05\0\0\0\x01\x89";
    const REQUEST_EVENTS: [&str; 3] = ["1> begins", "1> GET https:/// Http2", "1> ends Complete"];
    const RESPONSE_EVENTS: [&str; 3] = ["1< begins", "1< 204  Http2", "1< ends Complete"];

    #[test]
    fn a_preface_selects_http_2() {
        dialogue(
            &[Up(PREFACE), Up(b"\0\0\x03\x01\x05\0\0\0\x01\x82\x84\x87"), Down(RESPONSE_204)],
            &[REQUEST_EVENTS, RESPONSE_EVENTS].concat(),
        );
    }

    #[test]
    fn an_origin_that_sends_settings_first_selects_http_2() {
        let settings = b"\0\0\0\x04\0\0\0\0\0";
        let request = b"\0\0\x03\x01\x05\0\0\0\x01\x82\x84\x87";
        dialogue(
            &[Down(settings), Up(PREFACE), Up(request), Down(RESPONSE_204)],
            &[REQUEST_EVENTS, RESPONSE_EVENTS].concat(),
        );
        dialogue(
            &[Up(b"PRI"), Down(settings), Up(&PREFACE[3..]), Up(request), Down(RESPONSE_204)],
            &[REQUEST_EVENTS, RESPONSE_EVENTS].concat(),
        );
    }

    #[test]
    fn anything_else_selects_http_1() {
        let events = ["0> begins", "0> PRI * Http11", "0> ends Complete"];
        dialogue(&[Up(b"PRI * HTTP/1.1\r\n\r\n")], &events);
        let incomplete = "opaque: a request that ended within its first line";
        let ends = [End(Dir::Up, Ending::Clean), End(Dir::Down, Ending::Clean)];
        dialogue(&[&[Up(b"PR")], &ends[..]].concat(), &["0> begins", incomplete]);
        dialogue(&[Up(b"PUT\xff x HTTP/1.1\r\n\r\n")], &["0> begins", "opaque: a request that is not HTTP/1"]);
        dialogue(&[Down(b"HTTP/1.1 408 Slow\r\n\r\n"), End(Dir::Down, Ending::Clean)], &[]);
    }

    #[test]
    fn a_connection_without_a_request_loses_nothing() {
        let settings = Down(b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0");
        let (up, down) = (End(Dir::Up, Ending::Clean), End(Dir::Down, Ending::Clean));
        for steps in [[up, settings, down], [settings, up, down], [settings, down, up]] {
            dialogue(&steps, &[]);
        }
    }

    #[test]
    fn a_client_that_leaves_early_sends_no_request() {
        let settings = b"\0\0\0\x04\0\0\0\0\0";
        let goaway = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let ends = [End(Dir::Up, Ending::Clean), End(Dir::Down, Ending::Clean)];
        for first in [&[][..], &[Up(b"PRI * HT")], &[Up(PREFACE)]] {
            dialogue(&[first, &ends[..1], &[Down(settings), Down(goaway)], &ends[1..]].concat(), &[]);
            dialogue(&[first, &[Down(settings)], &ends[..1], &[Down(goaway)], &ends[1..]].concat(), &[]);
        }
        dialogue(&ends, &[]);
        dialogue(&[ends[1], ends[0]], &[]);
        // The origin half-closes first.
        dialogue(
            &[ends[1], Up(PREFACE), Up(b"\0\0\x03\x01\x05\0\0\0\x01\x82\x84\x87"), ends[0]],
            &[&["1> begins", "1> GET https:/// Http2", "1< ends Truncated(Clean)", "1> ends Complete"][..]].concat(),
        );
    }

    #[test]
    fn an_http_1_response_to_a_client_that_left_is_read_by_http_1() {
        let steps = [Up(b"P"), End(Dir::Up, Ending::Clean), Down(b"HTTP/1.1 408 Request Timeout\r\n\r\n")];
        assert_eq!(events_in_any_pieces(HttpTap::new, &steps), events_in_any_pieces(Http1Tap::new, &steps));
    }
}
