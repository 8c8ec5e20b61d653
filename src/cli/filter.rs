//! Which exchanges and WebSockets are meant: by host, method, status, and text.
//!
//! Options of one kind given several times: any of them. Options of several kinds: all of them.

use spectral_capture::Pattern;
use spectral_capture::reader::{Bundle, Error, Header, Trace, WebSocket};
use spectral_capture::text::as_text;
use std::ops::RangeInclusive;

/// See above. By default everything is meant.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) hosts: Vec<Pattern>,
    pub(crate) methods: Vec<String>,
    pub(crate) statuses: Vec<RangeInclusive<u16>>,
    pub(crate) texts: Vec<Text>,
}

/// A text to look for, whatever its case.
#[derive(Debug)]
pub(crate) struct Text {
    lower: String,
}

impl Filter {
    /// Whether everything is meant.
    pub(crate) fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.methods.is_empty() && self.statuses.is_empty() && self.texts.is_empty()
    }

    /// Whether `trace` is meant.
    pub(crate) fn wants(&self, bundle: &Bundle, trace: &Trace) -> Result<bool, Error> {
        Ok(self.wants_host(&trace.request.url)
            && self.wants_method_and_status(trace)
            && (self.texts.is_empty() || self.finds_in_trace(bundle, trace)?))
    }

    /// Whether `socket` is meant: method and status are its handshake's.
    pub(crate) fn wants_socket(&self, bundle: &Bundle, socket: &WebSocket) -> Result<bool, Error> {
        if !self.wants_host(&socket.url) {
            return Ok(false);
        }
        if !self.methods.is_empty() || !self.statuses.is_empty() {
            let Some(handshake) = &socket.handshake_trace_ref else { return Ok(false) };
            if !self.wants_method_and_status(&bundle.trace(handshake)?) {
                return Ok(false);
            }
        }
        Ok(self.texts.is_empty() || self.finds_in_socket(bundle, socket)?)
    }

    fn wants_host(&self, url: &str) -> bool {
        self.hosts.is_empty() || {
            let (host, port) = host_and_port(url);
            self.hosts.iter().any(|pattern| pattern.matches(host, port))
        }
    }

    fn wants_method_and_status(&self, trace: &Trace) -> bool {
        let (method, status) = (&trace.request.method, trace.response.status);
        (self.methods.is_empty() || self.methods.iter().any(|wanted| wanted.eq_ignore_ascii_case(method)))
            && (self.statuses.is_empty() || self.statuses.iter().any(|wanted| wanted.contains(&status)))
    }

    /// Looks at what costs nothing first.
    fn finds_in_trace(&self, bundle: &Bundle, trace: &Trace) -> Result<bool, Error> {
        let (request, response) = (&trace.request, &trace.response);
        let heads = [&request.url, &response.status_text];
        if heads.into_iter().any(|text| self.finds(text))
            || [&request.headers, &response.headers].into_iter().flatten().any(|header| self.finds_in_header(header))
        {
            return Ok(true);
        }
        if request.body_encoding.is_none() && self.finds_in_bytes(&bundle.request_body(trace)?) {
            return Ok(true);
        }
        Ok(response.body_encoding.is_none() && self.finds_in_bytes(&bundle.response_body(trace)?))
    }

    fn finds_in_socket(&self, bundle: &Bundle, socket: &WebSocket) -> Result<bool, Error> {
        if self.finds(&socket.url) || socket.protocols.iter().any(|protocol| self.finds(protocol)) {
            return Ok(true);
        }
        for id in bundle.messages(&socket.id).iter() {
            let message = bundle.message(id)?;
            if message.opcode == "text" && self.finds_in_bytes(&bundle.payload(&message)?) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn finds_in_header(&self, header: &Header) -> bool {
        self.finds(&format!("{}: {}", header.name, header.value))
    }

    fn finds_in_bytes(&self, bytes: &[u8]) -> bool {
        as_text(bytes).is_some_and(|text| self.finds(text))
    }

    fn finds(&self, text: &str) -> bool {
        self.texts.iter().any(|wanted| wanted.is_in(text))
    }
}

impl Text {
    pub(crate) fn new(text: &str) -> Self {
        Self { lower: text.to_lowercase() }
    }

    fn is_in(&self, text: &str) -> bool {
        let wanted = self.lower.as_bytes();
        if self.lower.is_ascii() {
            // Without a copy: bodies are large.
            return wanted.is_empty() || text.as_bytes().windows(wanted.len()).any(|w| w.eq_ignore_ascii_case(wanted));
        }
        text.to_lowercase().contains(&self.lower)
    }
}

/// Reads a status as `--status` takes it: `404`, `4xx`, `200-299`; 0 is no answer.
pub(crate) fn statuses(text: &str) -> Option<RangeInclusive<u16>> {
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

/// The host in a URL, and the port, which may be the scheme's own.
pub(crate) fn host_and_port(url: &str) -> (&str, u16) {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
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
    fn statuses_are_written_as_people_write_them() {
        let cases = [("404", 404..=404), ("4xx", 400..=499), ("5XX", 500..=599), ("200-299", 200..=299), ("0", 0..=0)];
        for (text, range) in cases {
            assert_eq!(statuses(text), Some(range), "{text}");
        }
        for wrong in ["", "x", "xx", "40x", "0xx", "10xx", "299-200", "1000", "200-", "-1", "4xx-5xx", "+200x"] {
            assert_eq!(statuses(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_url_names_a_host_and_a_port() {
        for (url, host, port) in [
            ("https://a.example/b:c", "a.example", 443),
            ("http://a.example?x:1", "a.example", 80),
            ("wss://a.example:8443", "a.example", 8443),
            ("ws://[::1]/", "[::1]", 80),
            ("http://[::1]:81/", "[::1]", 81),
            ("nonsense", "", 80),
        ] {
            assert_eq!(host_and_port(url), (host, port), "{url}");
        }
    }

    #[test]
    fn text_is_found_whatever_its_case() {
        for (wanted, text) in [("TOKEN", "my token: 1"), ("grÜße", "viele GRÜSSE und Grüße"), ("", ""), ("é", "É")]
        {
            assert!(Text::new(wanted).is_in(text), "{wanted} in {text}");
        }
        for (wanted, text) in [("token", "toke"), ("a", ""), ("é", "e")] {
            assert!(!Text::new(wanted).is_in(text), "{wanted} in {text}");
        }
    }
}
