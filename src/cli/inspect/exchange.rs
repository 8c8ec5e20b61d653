//! One exchange: both heads, both bodies and the timing.

use crate::cli::command_error::CommandError;
use crate::cli::open_bundle::require_exchange;
use crate::cli::text::{count, date, duration, escape, escape_lines};
use serde::de::IgnoredAny;
use spectral_capture::reader::{Bundle, Header, Timing, Trace};
use spectral_capture::text::as_text;
use std::io::{self, Write};

/// Shows the exchange `id`.
pub(super) fn show(bundle: &Bundle, id: &str, out: &mut dyn Write) -> Result<(), CommandError> {
    require_exchange(bundle, id)?;
    let trace = bundle.trace(id)?;
    let (request_body, response_body) = (bundle.request_body(&trace)?, bundle.response_body(&trace)?);
    let Trace { request, response, .. } = &trace;
    writeln!(out, "{id}  {}", date(trace.timestamp))?;

    writeln!(out, "\n{} {}", escape(&request.method), escape(&request.url))?;
    show_message(&request.headers, &request_body, request.body_encoding.as_deref(), out)?;

    match response.status {
        0 => writeln!(out, "\nno response: {}", escape(&response.status_text))?,
        status => writeln!(out, "\n{}", format!("{status} {}", escape(&response.status_text)).trim_end())?,
    }
    show_message(&response.headers, &response_body, response.body_encoding.as_deref(), out)?;
    if let Some(part) = trace.describe_cut_off() {
        writeln!(out, "\ncut off: {}", escape(&part))?;
    }
    Ok(show_timing(&trace.timing, out)?)
}

/// Shows the header fields and the body of a request or response.
fn show_message(headers: &[Header], body: &[u8], coding: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
    for header in headers {
        writeln!(out, "{}: {}", escape(&header.name), escape(&header.value))?;
    }
    if body.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    match (coding, readable(body)) {
        (Some(coding), _) => writeln!(out, "{}, {}", escape(coding), count(body.len() as u64, "byte")),
        (None, Some(text)) => writeln!(out, "{}", escape_lines(text.trim_end_matches('\n'))),
        (None, None) => writeln!(out, "binary, {}", count(body.len() as u64, "byte")),
    }
}

/// Returns a body as text, if it is text. JSON is indented.
fn readable(body: &[u8]) -> Option<String> {
    let text = as_text(body)?;
    let is_json = serde_json::from_slice::<IgnoredAny>(text.as_bytes()).is_ok();
    Some(if is_json { indent_json(text) } else { text.to_owned() })
}

/// Indents valid JSON, with a line for each member. Changes only the white space, so order, duplicates and digits are
/// kept.
fn indent_json(json: &str) -> String {
    let mut indented = String::with_capacity(json.len().saturating_mul(2));
    let mut depth = 0usize;
    let new_line = |indented: &mut String, depth: usize| {
        indented.push('\n');
        indented.extend(std::iter::repeat_n("  ", depth));
    };
    let mut rest = json.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => {}
            '"' => {
                indented.push(c);
                let mut escaped = false;
                for c in rest.by_ref() {
                    indented.push(c);
                    match c {
                        '"' if !escaped => break,
                        '\\' => escaped = !escaped,
                        _ => escaped = false,
                    }
                }
            }
            '{' | '[' => {
                indented.push(c);
                while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                match rest.next_if(|c| matches!(c, '}' | ']')) {
                    Some(close) => indented.push(close),
                    None => {
                        depth = depth.saturating_add(1);
                        new_line(&mut indented, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut indented, depth);
                indented.push(c);
            }
            ',' => {
                indented.push(c);
                new_line(&mut indented, depth);
            }
            ':' => indented.push_str(": "),
            c => indented.push(c),
        }
    }
    indented
}

fn show_timing(timing: &Timing, out: &mut dyn Write) -> io::Result<()> {
    let phases = [
        ("dns", timing.dns_ms),
        ("connect", timing.connect_ms),
        ("tls", timing.tls_ms),
        ("send", timing.send_ms),
        ("wait", timing.wait_ms),
        ("receive", timing.receive_ms),
        ("total", timing.total_ms),
    ];
    let phases: Vec<_> = phases.iter().map(|(name, ms)| format!("{name} {}", duration(*ms))).collect();
    writeln!(out, "\n{}", phases.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_and_otherwise_unchanged() {
        let json = r#" {"b":[1,2.50,{}, [ ]],"a":{"x y":"q\"{,}\\","a":null},"a":true} "#;
        let expected = r#"{
  "b": [
    1,
    2.50,
    {},
    []
  ],
  "a": {
    "x y": "q\"{,}\\",
    "a": null
  },
  "a": true
}"#;
        assert_eq!(readable(json.as_bytes()).as_deref(), Some(expected));
        assert_eq!(readable(b"3").as_deref(), Some("3"));
    }

    #[test]
    fn other_text_is_unchanged_and_the_rest_is_binary() {
        assert_eq!(readable(b"{not json").as_deref(), Some("{not json"));
        assert_eq!(readable("grün\n".as_bytes()).as_deref(), Some("grün\n"));
        assert_eq!(readable(b"a\0b"), None);
        assert_eq!(readable(b"\xff\xd8\xff"), None);
        let deep = "[".repeat(100_000);
        assert_eq!(readable(deep.as_bytes()), Some(deep));
    }

    #[test]
    fn headers_and_bodies_are_escaped() {
        let mut header = Header::default();
        (header.name, header.value) = ("X\n".into(), "\x1b[2J".into());
        let mut out = Vec::new();
        show_message(&[header], b"{\"a\":\"\xc2\x9b\"}", None, &mut out).unwrap();
        show_message(&[], b"ab", Some("gz\x1bip"), &mut out).unwrap();
        show_message(&[], b"a\0", None, &mut out).unwrap();
        show_message(&[], b"", None, &mut out).unwrap();
        let shown = String::from_utf8(out).unwrap();
        assert_eq!(shown, "X\\n: \\x1b[2J\n\n{\n  \"a\": \"\\x9b\"\n}\n\ngz\\x1bip, 2 bytes\n\nbinary, 2 bytes\n");
    }
}
