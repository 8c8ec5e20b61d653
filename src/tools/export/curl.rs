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

use super::stored_body::StoredBody;
use super::{Error, Options, Rendered, for_each_selected};
use crate::bundle::id::ItemKind;
use crate::bundle::reader::{Bundle, LeftOut, Trace};
use crate::text::{Base64, escape};
use crate::tools::filter::Selected;
use command::{Command, Data};
use std::io::Write;

mod command;

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
    for_each_selected(bundle, &selected, &render, &mut |rendered| {
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
