//! The command that replays a request: its options, header fields, body and URL, and remarks on differences.

use super::super::http::{all, first, is_coded};
use super::super::quote::{literal, word};
use super::super::stored_body::StoredBody;
use crate::bundle::reader::{Header, Request};
use crate::text::escape_lines;
use std::borrow::Cow;

/// The parts of a curl command.
pub(super) struct Command<'r> {
    pub(super) remarks: Vec<&'static str>,
    options: Vec<String>,
    headers: Vec<String>,
    pub(super) body: Data<'r>,
    url: String,
}

/// The way in which a body is passed to curl.
#[derive(Clone, Copy)]
pub(super) enum Data<'r> {
    None,
    /// As an argument.
    Text(&'r str),
    /// Through a pipe, in base64.
    Bytes,
}

impl<'r> Command<'r> {
    /// Returns the command, or the reason why curl cannot send this request.
    pub(super) fn new(request: &'r Request, body: &'r StoredBody<'_>) -> Result<Self, &'static str> {
        if request.method == "CONNECT" {
            return Err("CONNECT request: curl sends it to proxies only.");
        }
        let texts = [&request.method, &request.url].into_iter();
        let mut texts = texts.chain(request.headers.iter().flat_map(|header| [&header.name, &header.value]));
        if texts.any(|text| text.contains(['\0', '\n'])) {
            return Err("A NUL byte or line break in the request line or header fields cannot be passed to a command.");
        }
        if request.method.is_empty() {
            return Err("The request has no method.");
        }
        let url = HttpUrl::parse(&request.url)?;
        let mut command = Self {
            remarks: Vec::new(),
            options: Vec::new(),
            headers: Vec::new(),
            body: Data::None,
            url: String::new(),
        };
        command.set_target(request, &url);
        command.set_method(request, body);
        command.set_fields(request, &url, body);
        command.body = data(body);
        let is_chunked = first(&request.headers, "transfer-encoding").is_some();
        if body.is_empty() && is_chunked {
            // Sends the last chunk alone.
            command.body = Data::Text("");
        }
        Ok(command)
    }

    pub(super) fn line(&self) -> String {
        let mut command =
            ["curl"].into_iter().chain(self.options.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
        for header in &self.headers {
            command.push_str(&format!(" \\\n  -H {header}"));
        }
        match self.body {
            Data::None => {}
            Data::Text(text) => command.push_str(&format!(" \\\n  --data-raw {}", literal(text))),
            Data::Bytes => command.push_str(" \\\n  --data-binary @-"),
        }
        command + &format!(" \\\n  {}", self.url)
    }

    /// Sets the URL. Options keep curl from normalizing it, or pass the request target separately.
    fn set_target(&mut self, request: &Request, url: &HttpUrl<'_>) {
        let HttpUrl { scheme, is_websocket, authority, target } = *url;
        match (scheme, first(&request.headers, "host").is_some()) {
            // HTTP/2 has :authority instead (RFC 9113 section 8.3.1).
            ("https", true) => self.options.push("--http1.1".into()),
            (_, true) | ("https", false) => {}
            (_, false) => {
                self.remarks.push("The request had no Host field, as in HTTP/1.0; curl uses HTTP/1.1 and adds one.");
            }
        }
        if is_websocket {
            self.remarks.push("Opens a WebSocket: curl performs the handshake only.");
        }
        if authority.contains('@') {
            self.remarks.push("The URL has a user or password, which curl also sends in an Authorization field.");
        }
        let texts = request.headers.iter().flat_map(|header| [&*header.name, &*header.value]).chain([target]);
        if texts.into_iter().any(may_be_latin1) {
            self.remarks.push("Characters such as ü are sent in UTF-8; they may have been sent in Latin-1.");
        }
        let path = target.split('?').next().unwrap_or_default().to_ascii_lowercase();
        let has_dots = path.split('/').any(|part| matches!(part.replace("%2e", ".").as_str(), "." | ".."));
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/?%[]{}".contains(c);
        // RFC 9112 section 3.2.4.
        let is_asterisk_form = target.is_empty() && request.method == "OPTIONS";
        if is_asterisk_form || !target.chars().all(is_plain) {
            self.options.push(format!("--request-target {}", word(if is_asterisk_form { "*" } else { target })));
            self.url = word(&format!("{scheme}://{authority}/"));
        } else {
            if has_dots {
                self.options.push("--path-as-is".into());
            }
            self.url = word(&format!("{scheme}://{authority}{target}"));
        }
        if self.url.contains(['[', ']', '{', '}']) {
            self.options.push("--globoff".into());
        }
    }

    fn set_method(&mut self, request: &Request, body: &StoredBody<'_>) {
        match (request.method.as_str(), body.is_empty()) {
            ("GET", true) | ("POST", false) => {}
            // With `-X HEAD` curl would wait for a body.
            ("HEAD", true) => self.options.push("--head".into()),
            (method, _) => self.options.push(format!("-X {}", word(method))),
        }
    }

    fn set_fields(&mut self, request: &Request, url: &HttpUrl<'_>, body: &StoredBody<'_>) {
        let headers = &request.headers;
        let is_decoded = request.body_encoding.is_none() && is_coded(headers) && !body.is_empty();
        if is_decoded {
            self.remarks.push("The body was compressed; this sends it uncompressed.");
        }
        let mut trailers: Vec<_> = all(headers, "trailer").flat_map(|value| value.split(',')).map(str::trim).collect();
        trailers.retain(|name| first(headers, name).is_some());
        if !trailers.is_empty() {
            self.remarks.push("The trailer fields are left out.");
        }
        // Curl reads a file if the argument begins with `@`.
        let is_inexpressible = |name: &str| name.is_empty() || name.starts_with('@') || name.contains([':', ';']);
        if headers.iter().any(|header| is_inexpressible(&header.name)) {
            self.remarks.push("The fields whose names are empty, begin with @, or contain : or ; are left out.");
        }
        for Header { name, value, .. } in headers {
            let is = |known: &str| name.eq_ignore_ascii_case(known);
            let is_trailer = trailers.iter().any(|trailer| is(trailer));
            let is_sent_by_curl = is("host") && value == url.authority;
            let is_obsolete =
                (is("content-encoding") && is_decoded) || (is("content-length") && value.parse() != Ok(body.len()));
            if is_inexpressible(name) || is_trailer || is_sent_by_curl || is_obsolete {
                continue;
            }
            if is("transfer-encoding") {
                if !value.eq_ignore_ascii_case("chunked") {
                    self.remarks.push("The body had a transfer coding besides chunked, which is left out.");
                }
                self.headers.push(word(&format!("{name}: chunked")));
            } else if value.is_empty() {
                self.headers.push(word(&format!("{name};")));
            } else {
                self.headers.push(word(&format!("{name}: {value}")));
            }
        }
        let without = |name| first(headers, name).is_none();
        let mut remove = |name: &str| self.headers.push(word(&format!("{name}:")));
        ["User-Agent", "Accept"].into_iter().filter(|name| without(name)).for_each(&mut remove);
        if !body.is_empty() && without("content-type") {
            remove("Content-Type");
        }
        if body.len() > EXPECT_THRESHOLD_BYTES && without("expect") {
            remove("Expect");
        }
        if !without("accept-encoding") {
            // The request does not change: curl only decodes the response.
            self.options.push("--compressed".into());
        }
    }
}

/// The parts of a URL that curl may request.
#[derive(Clone, Copy)]
struct HttpUrl<'r> {
    /// "http" or "https".
    scheme: &'static str,
    is_websocket: bool,
    authority: &'r str,
    /// The path and the rest.
    target: &'r str,
}

impl<'r> HttpUrl<'r> {
    fn parse(url: &'r str) -> Result<Self, &'static str> {
        let (name, rest) = url.split_once("://").unwrap_or_default();
        let schemes =
            [("http", "http", false), ("https", "https", false), ("ws", "http", true), ("wss", "https", true)];
        let known = schemes.into_iter().find(|(known, ..)| name.eq_ignore_ascii_case(known));
        let Some((_, scheme, is_websocket)) = known else {
            return Err("The URL is neither http, https, ws nor wss.");
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.is_empty() {
            return Err("The URL has no host.");
        }
        Ok(Self { scheme, is_websocket, authority, target })
    }
}

/// Returns true if `text` may have been Latin-1, which bundles contain as Unicode.
fn may_be_latin1(text: &str) -> bool {
    !text.is_ascii() && text.chars().all(|c| u32::from(c) < 0x100)
}

/// Returns the way in which a body is passed: as an argument if it is short text that is safe in a shell and a terminal,
/// otherwise through a pipe.
fn data<'b>(body: &'b StoredBody<'_>) -> Data<'b> {
    let text = body.text_in_memory().filter(|text| text.len() <= MAX_ARGUMENT_BYTES && !text.contains('\r'));
    match text.filter(|text| matches!(escape_lines(text), Cow::Borrowed(_))) {
        _ if body.is_empty() => Data::None,
        Some(text) => Data::Text(text),
        None => Data::Bytes,
    }
}

/// The largest body that is passed as an argument. Linux limits an argument to 128 KiB.
const MAX_ARGUMENT_BYTES: usize = 64 * 1024;

/// For larger bodies some versions of curl send `Expect: 100-continue`.
const EXPECT_THRESHOLD_BYTES: u64 = 1024;
