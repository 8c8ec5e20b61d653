//! A filter of exchanges and WebSockets by host, method, status and text.
//!
//! Several values of one criterion match if any of them does. Several criteria match if all of them do.

use spectral_capture::Pattern;
use spectral_capture::reader::{Bundle, Error, Header, Trace, WebSocket};
use spectral_capture::text::as_text;
use std::ops::RangeInclusive;

/// The criteria. The default filter matches everything.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) hosts: Vec<Pattern>,
    pub(crate) methods: Vec<String>,
    pub(crate) statuses: Vec<RangeInclusive<u16>>,
    pub(crate) texts: Vec<SearchText>,
}

/// A text to search for, ignoring case.
#[derive(Debug)]
pub(crate) struct SearchText {
    lowercase: String,
}

impl Filter {
    /// Returns true if the filter matches everything.
    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.methods.is_empty() && self.statuses.is_empty() && self.texts.is_empty()
    }

    /// Returns true if the filter matches the exchange.
    pub(crate) fn matches(&self, bundle: &Bundle, trace: &Trace) -> Result<bool, Error> {
        Ok(self.matches_host(&trace.request.url)
            && self.matches_method_and_status(trace)
            && (self.texts.is_empty() || self.is_text_in_exchange(bundle, trace)?))
    }

    /// Returns true if the filter matches the WebSocket. Its method and status are those in the handshake.
    pub(crate) fn matches_websocket(&self, bundle: &Bundle, websocket: &WebSocket) -> Result<bool, Error> {
        if !self.matches_host(&websocket.url) {
            return Ok(false);
        }
        if !self.methods.is_empty() || !self.statuses.is_empty() {
            let handshake = websocket.handshake_trace_ref.as_ref().filter(|id| bundle.traces().contains(id));
            let Some(handshake) = handshake else { return Ok(false) };
            if !self.matches_method_and_status(&bundle.trace(handshake)?) {
                return Ok(false);
            }
        }
        Ok(self.texts.is_empty() || self.is_text_in_websocket(bundle, websocket)?)
    }

    fn matches_host(&self, url: &str) -> bool {
        self.hosts.is_empty() || {
            let (host, port) = host_and_port(url);
            self.hosts.iter().any(|pattern| pattern.matches(host, port))
        }
    }

    fn matches_method_and_status(&self, trace: &Trace) -> bool {
        let (method, status) = (&trace.request.method, trace.response.status);
        (self.methods.is_empty() || self.methods.iter().any(|accepted| accepted.eq_ignore_ascii_case(method)))
            && (self.statuses.is_empty() || self.statuses.iter().any(|accepted| accepted.contains(&status)))
    }

    /// Searches the heads first: bodies must be read from the file.
    fn is_text_in_exchange(&self, bundle: &Bundle, trace: &Trace) -> Result<bool, Error> {
        let (request, response) = (&trace.request, &trace.response);
        let lines = [&request.url, &response.status_text];
        if lines.into_iter().any(|text| self.is_text_in(text))
            || [&request.headers, &response.headers].into_iter().flatten().any(|header| self.is_text_in_header(header))
        {
            return Ok(true);
        }
        if request.body_encoding.is_none() && self.is_text_in_bytes(&bundle.request_body(trace)?) {
            return Ok(true);
        }
        Ok(response.body_encoding.is_none() && self.is_text_in_bytes(&bundle.response_body(trace)?))
    }

    fn is_text_in_websocket(&self, bundle: &Bundle, websocket: &WebSocket) -> Result<bool, Error> {
        if self.is_text_in(&websocket.url) || websocket.protocols.iter().any(|protocol| self.is_text_in(protocol)) {
            return Ok(true);
        }
        for id in bundle.messages(&websocket.id).iter() {
            let message = bundle.message(id)?;
            if message.opcode == "text" && self.is_text_in_bytes(&bundle.payload(&message)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn is_text_in_header(&self, header: &Header) -> bool {
        self.is_text_in(&format!("{}: {}", header.name, header.value))
    }

    fn is_text_in_bytes(&self, bytes: &[u8]) -> bool {
        as_text(bytes).is_some_and(|text| self.is_text_in(text))
    }

    fn is_text_in(&self, text: &str) -> bool {
        self.texts.iter().any(|searched| searched.is_in(text))
    }
}

impl SearchText {
    pub(crate) fn new(text: &str) -> Self {
        Self { lowercase: text.to_lowercase() }
    }

    fn is_in(&self, text: &str) -> bool {
        let searched = self.lowercase.as_bytes();
        if self.lowercase.is_ascii() {
            // Without a copy: bodies are large.
            let is_match = |window: &[u8]| window.eq_ignore_ascii_case(searched);
            return searched.is_empty() || text.as_bytes().windows(searched.len()).any(is_match);
        }
        text.to_lowercase().contains(&self.lowercase)
    }
}

/// Parses a value of `--status`: `404`, `4xx`, `200-299`; 0 matches exchanges without a response.
pub(crate) fn parse_statuses(text: &str) -> Option<RangeInclusive<u16>> {
    let status = |text: &str| text.parse::<u16>().ok().filter(|&n| n < 1000);
    if let Some(class) = text.to_ascii_lowercase().strip_suffix("xx") {
        let first = class.parse::<u16>().ok().filter(|n| (1..=9).contains(n))?.checked_mul(100)?;
        return Some(first..=first.checked_add(99)?);
    }
    match text.split_once('-') {
        Some((from, to)) => Some(status(from)?..=status(to)?).filter(|range| !range.is_empty()),
        None => status(text).map(|status| status..=status),
    }
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
mod tests {
    use super::*;

    #[test]
    fn parses_a_status_a_class_and_a_range() {
        let cases = [("404", 404..=404), ("4xx", 400..=499), ("5XX", 500..=599), ("200-299", 200..=299), ("0", 0..=0)];
        for (text, range) in cases {
            assert_eq!(parse_statuses(text), Some(range), "{text}");
        }
        for invalid in ["", "x", "xx", "40x", "0xx", "10xx", "299-200", "1000", "200-", "-1", "4xx-5xx", "+200x"] {
            assert_eq!(parse_statuses(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn a_url_has_a_host_and_a_port() {
        for (url, host, port) in [
            ("https://a.example/b:c", "a.example", 443),
            ("http://a.example?x:1", "a.example", 80),
            ("wss://a.example:8443", "a.example", 8443),
            ("ws://[::1]/", "[::1]", 80),
            ("http://u:p@a.example:81/@b", "a.example", 81),
            ("http://[::1]:81/", "[::1]", 81),
            ("invalid", "", 80),
        ] {
            assert_eq!(host_and_port(url), (host, port), "{url}");
        }
    }

    #[test]
    fn search_ignores_case() {
        for (searched, text) in [("TOKEN", "my token: 1"), ("grÜße", "viele GRÜSSE und Grüße"), ("", ""), ("é", "É")]
        {
            assert!(SearchText::new(searched).is_in(text), "{searched} in {text}");
        }
        for (searched, text) in [("token", "toke"), ("a", ""), ("é", "e")] {
            assert!(!SearchText::new(searched).is_in(text), "{searched} in {text}");
        }
    }
}
