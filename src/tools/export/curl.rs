//! Exports exchanges as curl commands (7.55 or later) that replay their requests, for a POSIX shell.
//!
//! ```text
//! # t_0001
//! curl --http1.1 -X PUT \
//!   -H 'Accept: text/plain' -H 'User-Agent:' \      the recorded fields in order; fields that curl adds are removed
//!   --data-raw 'text' \                             or: base64 -d <<'END' | curl … --data-binary @-
//!   'https://a.example/b?c'
//! ```
//!
//! The URL is always http or https, so that no text of a bundle becomes an option of curl or names a local file. An exchange with
//! another URL is a comment.
//!
//! A comment above a command states each difference from the recorded request. Two differences cannot be avoided and
//! are not stated: curl sends the Host field first, and chooses its own chunk sizes.

use super::http::{all, first, is_coded};
use super::quote::{literal, word};
use super::stored_body::StoredBody;
use super::{Error, Options, Rendered, for_each_selected};
use crate::bundle::id::ItemKind;
use crate::bundle::reader::{Bundle, Header, LeftOut, Request, Trace};
use crate::text::{Base64, escape, escape_lines};
use crate::tools::filter::Selected;
use std::borrow::Cow;
use std::io::Write;

/// Writes a command for each exchange of `bundle` that `options` select. Returns the damaged items, which are left out.
///
/// # Errors
/// Returns [`Error::Read`] if the bundle cannot be read, [`Error::Write`] if `out` cannot be written.
pub fn write(bundle: &Bundle, options: &Options, out: &mut dyn Write) -> Result<LeftOut, Error> {
    let (mut separator, mut damaged) = ("", LeftOut::default());
    let mut selected = Selected::new(&options.filter);
    selected.add_readable_websockets(bundle, |id| damaged.add(id))?;
    let render = |trace: Trace| {
        let body = StoredBody::new(bundle, ItemKind::Trace, &trace.id, trace.request.body_file.as_deref())?;
        if !body.is_in_memory() {
            return Ok(Rendered::Large(trace.into(), vec![body]));
        }
        let mut text = Vec::new();
        write_command(&trace, &body, &mut text)?;
        Ok(Rendered::Small(text))
    };
    for_each_selected(bundle, &selected, render, |rendered| {
        if let Rendered::Damaged(id) = &rendered {
            damaged.add(id);
            return Ok(());
        }
        write!(out, "{separator}")?;
        separator = "\n";
        match rendered {
            Rendered::Damaged(_) => {}
            Rendered::Small(text) => out.write_all(&text)?,
            Rendered::Large(trace, bodies) => {
                for body in bodies {
                    write_command(&trace, &body, out)?;
                    body.check()?;
                }
            }
        }
        Ok(())
    })?;
    Ok(damaged)
}

fn write_command(trace: &Trace, body: &StoredBody<'_>, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "# {}", escape(&trace.id))?;
    let command = match Command::new(&trace.request, body) {
        Ok(command) => command,
        Err(why) => return writeln!(out, "# {why}"),
    };
    for remark in &command.remarks {
        writeln!(out, "# {remark}")?;
    }
    match command.body {
        Data::None | Data::Text(_) => writeln!(out, "{}", command.line()),
        Data::Bytes => {
            writeln!(out, "base64 -d <<'END' | {}", command.line())?;
            write_base64_lines(body, out)?;
            writeln!(out, "END")
        }
    }
}

/// The parts of a curl command.
struct Command<'r> {
    remarks: Vec<&'static str>,
    options: Vec<String>,
    headers: Vec<String>,
    body: Data<'r>,
    url: String,
}

/// The way in which a body is passed to curl.
#[derive(Clone, Copy)]
enum Data<'r> {
    None,
    /// As an argument.
    Text(&'r str),
    /// Through a pipe, in base64.
    Bytes,
}

impl<'r> Command<'r> {
    /// Returns the command, or the reason why curl cannot send this request.
    fn new(request: &'r Request, body: &'r StoredBody<'_>) -> Result<Self, &'static str> {
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

    fn line(&self) -> String {
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

/// Writes `body` in base64, in lines of [`BASE64_LINE_BYTES`].
fn write_base64_lines(body: &StoredBody<'_>, out: &mut dyn Write) -> std::io::Result<()> {
    let (mut line, mut written) = (Vec::new(), Ok(()));
    body.read(&mut |block| {
        let mut rest = block;
        while !rest.is_empty() {
            let missing = BASE64_LINE_BYTES.saturating_sub(line.len());
            let (now, later) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
            line.extend_from_slice(now);
            rest = later;
            if line.len() == BASE64_LINE_BYTES && written.is_ok() {
                written = writeln!(out, "{}", Base64(&line));
                line.clear();
            }
        }
    });
    written?;
    if line.is_empty() { Ok(()) } else { writeln!(out, "{}", Base64(&line)) }
}

/// The largest body that is passed as an argument. Linux limits an argument to 128 KiB.
const MAX_ARGUMENT_BYTES: usize = 64 * 1024;

/// For larger bodies some versions of curl send `Expect: 100-continue`.
const EXPECT_THRESHOLD_BYTES: u64 = 1024;

/// The number of bytes in a line of base64, which then has 76 characters (RFC 2045 section 6.8).
const BASE64_LINE_BYTES: usize = 57;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_out_names_that_curl_reads_as_files() {
        let headers = r#"[{"name":"@/etc/passwd","value":"a"},{"name":"","value":"b"},{"name":"X @","value":"c"}]"#;
        let shown = commands(&format!(r#"{{"method":"GET","url":"http://a/","headers":{headers}}}"#), b"");
        assert!(shown.contains("# The fields whose names are empty") && shown.contains("-H 'X @: c'"), "{shown}");
        assert!(!shown.contains("passwd") && !shown.contains(": b"), "{shown}");
    }

    fn commands(request: &str, body: &[u8]) -> String {
        let trace: Trace = serde_json::from_str(&format!(r#"{{"id":"t_0001","request":{request}}}"#)).unwrap();
        let mut out = Vec::new();
        write_command(&trace, &StoredBody::of_bytes(body.to_vec()), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn writes_a_simple_command_for_a_simple_request() {
        let headers = r#"[{"name":"Host","value":"a.example"},{"name":"User-Agent","value":"x"},
            {"name":"accept","value":"*/*"},{"name":"X-Empty","value":""}]"#;
        let request = format!(r#"{{"method":"GET","url":"https://a.example/b?c=d","headers":{headers}}}"#);
        let expected = "# t_0001\ncurl --http1.1 \\\n  -H 'User-Agent: x' \\\n  -H 'accept: */*' \\\n  -H 'X-Empty;' \\\n  \
                        'https://a.example/b?c=d'\n";
        assert_eq!(commands(&request, b""), expected);
    }

    #[test]
    fn keeps_curl_from_normalizing_urls() {
        for (url, expected) in [
            ("http://a/x[1]{2}", "curl --globoff"),
            ("http://a/x/../y", "curl --path-as-is"),
            ("http://a/x/%2E%2e/y", "curl --path-as-is"),
            ("http://a/..x/y..?../", "curl \\"),
            ("http://a/x y", "curl --request-target '/x y'"),
            ("http://a/x#y", "curl --request-target '/x#y'"),
            ("http://[::1]:81/", "curl --globoff"),
            ("http://a/\\u001b[2J", "curl --request-target \"$(printf '/\\033[2J')\""),
        ] {
            let shown = commands(&format!(r#"{{"method":"GET","url":"{url}"}}"#), b"");
            assert!(shown.lines().any(|line| line.starts_with(expected)), "{url}: {shown}");
        }
        let shown = commands(r#"{"method":"OPTIONS","url":"http://a"}"#, b"");
        assert!(shown.contains("curl --request-target '*' -X 'OPTIONS'") && shown.contains("'http://a/'"), "{shown}");
    }

    #[test]
    fn only_urls_of_http_become_commands() {
        for url in [
            "file:///etc/passwd",
            "FILE:///etc/passwd",
            "-K/tmp/x",
            "--config=/tmp/x",
            "@/tmp/x",
            "ftp://a/",
            "gopher://a/",
            "dict://a/",
            "httpx://a/",
            "http:/a",
            "//a/",
            "a/b",
            "",
            " http://a/",
            "http:///etc/passwd",
            "https://?x",
        ] {
            let shown = commands(&format!(r#"{{"method":"GET","url":"{url}"}}"#), b"");
            assert!(shown.starts_with("# t_0001\n# The URL ") && shown.lines().count() == 2, "{url}: {shown}");
        }
        for (url, expected) in [
            ("HTTPS://a/-K/tmp/x", "'https://a/-K/tmp/x'"),
            ("Wss://a/", "'https://a/'"),
            ("ws://-K/tmp/x", "'http://-K/tmp/x'"),
        ] {
            let shown = commands(&format!(r#"{{"method":"GET","url":"{url}"}}"#), b"");
            assert!(shown.ends_with(&format!("  {expected}\n")), "{url}: {shown}");
        }
    }

    #[test]
    fn text_of_a_request_becomes_no_option_and_no_file_name() {
        let headers = r#"[{"name":"Host","value":"a"},{"name":"-K/tmp/x","value":"@/etc/passwd"},{"name":"X","value":"-o /tmp/x"}]"#;
        let request = format!(r#"{{"method":"-K/tmp/x","url":"http://a/-o","headers":{headers}}}"#);
        let shown = commands(&request, b"@/etc/passwd");
        let expected = "# t_0001\ncurl -X '-K/tmp/x' \\\n  -H '-K/tmp/x: @/etc/passwd' \\\n  -H 'X: -o /tmp/x' \\\n  \
                        -H 'User-Agent:' \\\n  -H 'Accept:' \\\n  -H 'Content-Type:' \\\n  --data-raw '@/etc/passwd' \\\n  'http://a/-o'\n";
        assert_eq!(shown, expected);
        // Field names in which curl finds another name.
        let shown = commands(
            r#"{"method":"GET","url":"http://a/","headers":[{"name":"a;b","value":""},{"name":"c:d","value":"e"}]}"#,
            b"",
        );
        assert!(
            !shown.contains("a;b") && !shown.contains("c:d") && shown.contains("# The fields whose names"),
            "{shown}"
        );
        for request in [
            r#"{"method":"GET\n","url":"http://a/"}"#,
            r#"{"method":"GET","url":"http://a/\nX: y"}"#,
            r#"{"method":"GET","url":"http://a/","headers":[{"name":"X","value":"y\nZ: 1"}]}"#,
            r#"{"method":"","url":"http://a/"}"#,
        ] {
            assert!(!commands(request, b"").contains("\ncurl"), "{request}");
        }
    }

    #[test]
    fn what_is_not_replayed_byte_for_byte_is_remarked() {
        let remark = |request: &str| {
            let shown = commands(request, b"");
            shown.lines().filter(|line| line.starts_with("# ")).skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        let host = r#""headers":[{"name":"Host","value":"a"}]"#;
        assert!(remark(&format!(r#"{{"method":"GET","url":"http://a/",{host}}}"#)).is_empty());
        assert!(remark(r#"{"method":"GET","url":"https://a/"}"#).is_empty(), "HTTP/2");
        for (request, expected) in [
            (r#"{"method":"GET","url":"http://a/"}"#.to_owned(), "The request had no Host field"),
            (format!(r#"{{"method":"GET","url":"http://a/grün",{host}}}"#), "may have been sent in Latin-1"),
            (format!(r#"{{"method":"GET","url":"http://u:p@a/",{host}}}"#), "a user or password"),
            (format!(r#"{{"method":"GET","url":"ws://a/",{host}}}"#), "Opens a WebSocket"),
        ] {
            let remarks = remark(&request);
            assert!(remarks.len() == 1 && remarks[0].contains(expected), "{request}: {remarks:?}");
        }
        assert!(remark(&format!(r#"{{"method":"GET","url":"http://a/日",{host}}}"#)).is_empty(), "UTF-8");
    }

    #[test]
    fn comments_state_differences() {
        let coded = r#"{"method":"POST","url":"http://a/","headers":[{"name":"Content-Encoding","value":"gzip"},
            {"name":"Content-Length","value":"99"}]}"#;
        let shown = commands(coded, b"text");
        assert!(
            shown.contains("# The body was compressed") && !shown.contains("gzip") && !shown.contains("99"),
            "{shown}"
        );
        let connect = r#"{"method":"CONNECT","url":"https://a/"}"#;
        assert!(!commands(connect, b"").contains("\ncurl"));
    }

    #[test]
    fn passes_binary_bodies_through_a_pipe() {
        let request = r#"{"method":"POST","url":"http://a/","headers":[{"name":"Host","value":"a"}]}"#;
        for (body, expected) in [(&b"a'b\n"[..], "--data-raw 'a'\\''b\n'"), (b"@x", "--data-raw '@x'")] {
            let shown = commands(request, body);
            assert!(shown.contains(expected), "{shown}");
        }
        for body in [&b"\x1b[2J"[..], b"\xff", b"a\r\nb", b"\0"] {
            let shown = commands(request, body);
            assert!(shown.starts_with("# t_0001\nbase64 -d <<'END' | curl "), "{shown}");
            assert!(shown.ends_with(&format!("\n{}\nEND\n", Base64(body))), "{shown}");
        }
    }
}
