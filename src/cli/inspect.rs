//! `spectral capture inspect`: what a bundle holds, for people.
//!
//! Everything shown comes from a file that anyone may have made, so all of it is escaped.

use super::text::{Align, Table, count, date, duration, escape, escape_lines, size};
use serde::de::IgnoredAny;
use spectral_capture::reader::{Bundle, Error, Header, Timing, Trace};
use std::io::{self, Write};
use std::path::Path;

/// Shows `file`, or one of its exchanges whole. An `out` that is closed early is nothing to complain about.
pub(crate) fn inspect(file: &Path, trace: Option<&str>, out: &mut dyn Write) -> Result<(), String> {
    let shown = Bundle::open(file).map_err(Stop::Bundle).and_then(|mut bundle| match trace {
        Some(id) => show_trace(&mut bundle, id, out),
        None => show_all(&mut bundle, out),
    });
    match shown.and_then(|()| out.flush().map_err(Stop::Out)) {
        Ok(()) => Ok(()),
        Err(Stop::Out(e)) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(Stop::Out(e)) => Err(format!("cannot write: {e}")),
        Err(Stop::Bundle(e)) => Err(escape(&e.to_string()).into_owned()),
        Err(Stop::Unknown(what)) => Err(escape(&what).into_owned()),
    }
}

/// Why nothing more is shown.
enum Stop {
    Out(io::Error),
    Bundle(Error),
    Unknown(String),
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Self {
        Self::Out(e)
    }
}

impl From<Error> for Stop {
    fn from(e: Error) -> Self {
        Self::Bundle(e)
    }
}

fn show_all(bundle: &mut Bundle, out: &mut dyn Write) -> Result<(), Stop> {
    let manifest = bundle.manifest();
    let (app, stats) = (&manifest.app, &manifest.stats);
    writeln!(out, "Bundle {}", escape(&app.name))?;
    if !app.base_url.is_empty() {
        writeln!(out, "  base URL  {}", escape(&app.base_url))?;
    }
    // A bundle that does not say how it was made is the browser extension's.
    let method = manifest.capture_method.as_deref().unwrap_or("chrome_extension");
    writeln!(out, "  captured  {} by {}", escape(&manifest.created_at), escape(method))?;
    writeln!(out, "  lasted    {}", duration(manifest.duration_ms as f64))?;
    writeln!(
        out,
        "  holds     {}, {}, {}",
        count(stats.trace_count, "HTTP trace"),
        count(stats.ws_connection_count, "WS connection"),
        count(stats.ws_message_count, "WS message"),
    )?;
    show_traces(bundle, out)?;
    show_sockets(bundle, out)
}

fn show_traces(bundle: &mut Bundle, out: &mut dyn Write) -> Result<(), Stop> {
    let ids = bundle.traces().to_vec();
    if ids.is_empty() {
        return Ok(());
    }
    let mut table = Table::new([
        ("ID", Align::Left),
        ("METHOD", Align::Left),
        ("STATUS", Align::Right),
        ("TIME", Align::Right),
        ("SIZE", Align::Right),
        ("URL", Align::Left),
    ]);
    for id in ids {
        let trace = bundle.trace(&id)?;
        table.row([
            id,
            escape(&trace.request.method).into_owned(),
            match trace.response.status {
                0 => "-".into(),
                status => status.to_string(),
            },
            duration(trace.timing.total_ms),
            size(trace.response.body_size),
            escape(&trace.request.url).into_owned(),
        ]);
    }
    writeln!(out)?;
    Ok(table.write(out)?)
}

fn show_sockets(bundle: &mut Bundle, out: &mut dyn Write) -> Result<(), Stop> {
    let ids = bundle.sockets().to_vec();
    if ids.is_empty() {
        return Ok(());
    }
    let mut table = Table::new([
        ("ID", Align::Left),
        ("HANDSHAKE", Align::Left),
        ("MESSAGES", Align::Right),
        ("PROTOCOL", Align::Left),
        ("URL", Align::Left),
    ]);
    let or_none = |text: String| if text.is_empty() { "-".into() } else { text };
    for id in ids {
        let socket = bundle.socket(&id)?;
        table.row([
            id,
            or_none(escape(socket.handshake_trace_ref.as_deref().unwrap_or_default()).into_owned()),
            socket.message_count.to_string(),
            or_none(escape(&socket.protocols.join(", ")).into_owned()),
            escape(&socket.url).into_owned(),
        ]);
    }
    writeln!(out)?;
    Ok(table.write(out)?)
}

fn show_trace(bundle: &mut Bundle, id: &str, out: &mut dyn Write) -> Result<(), Stop> {
    if !bundle.traces().iter().any(|known| known == id) {
        let range = match (bundle.traces().first(), bundle.traces().last()) {
            (Some(first), Some(last)) => format!("its traces are {first} to {last}"),
            _ => "it has no traces".into(),
        };
        return Err(Stop::Unknown(format!("{} has no trace {id}: {range}", bundle.path().display())));
    }
    let trace = bundle.trace(id)?;
    let (sent, received) = (bundle.request_body(&trace)?, bundle.response_body(&trace)?);
    let Trace { request, response, .. } = &trace;
    writeln!(out, "{id}  {}", date(trace.timestamp))?;

    writeln!(out, "\n{} {}", escape(&request.method), escape(&request.url))?;
    show_message(&request.headers, &sent, request.body_encoding.as_deref(), out)?;

    match response.status {
        0 => writeln!(out, "\nno answer: {}", escape(&response.status_text))?,
        status => writeln!(out, "\n{}", format!("{status} {}", escape(&response.status_text)).trim_end())?,
    }
    show_message(&response.headers, &received, response.body_encoding.as_deref(), out)?;
    Ok(show_timing(&trace.timing, out)?)
}

fn show_message(headers: &[Header], body: &[u8], coding: Option<&str>, out: &mut dyn Write) -> io::Result<()> {
    for header in headers {
        writeln!(out, "{}: {}", escape(&header.name), escape(&header.value))?;
    }
    if body.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    match (coding, readable(body)) {
        (Some(coding), _) => writeln!(out, "{}, {} bytes", escape(coding), body.len()),
        (None, Some(text)) => writeln!(out, "{}", escape_lines(text.trim_end_matches('\n'))),
        (None, None) => writeln!(out, "binary, {} bytes", body.len()),
    }
}

/// A body as text, if it is that; JSON is laid out.
fn readable(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok().filter(|text| !text.contains('\0'))?;
    let json = serde_json::from_str::<IgnoredAny>(text).is_ok();
    Some(if json { lay_out(text) } else { text.to_owned() })
}

/// Valid JSON with a line for each member. Works on the text, so that order, duplicates and digits stay as they are.
fn lay_out(json: &str) -> String {
    let mut laid = String::with_capacity(json.len().saturating_mul(2));
    let mut depth = 0usize;
    let new_line = |laid: &mut String, depth: usize| {
        laid.push('\n');
        laid.extend(std::iter::repeat_n("  ", depth));
    };
    let mut rest = json.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => {}
            '"' => {
                laid.push(c);
                let mut escaped = false;
                for c in rest.by_ref() {
                    laid.push(c);
                    match c {
                        '"' if !escaped => break,
                        '\\' => escaped = !escaped,
                        _ => escaped = false,
                    }
                }
            }
            '{' | '[' => {
                laid.push(c);
                while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                match rest.next_if(|c| matches!(c, '}' | ']')) {
                    Some(close) => laid.push(close),
                    None => {
                        depth = depth.saturating_add(1);
                        new_line(&mut laid, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut laid, depth);
                laid.push(c);
            }
            ',' => {
                laid.push(c);
                new_line(&mut laid, depth);
            }
            ':' => laid.push_str(": "),
            c => laid.push(c),
        }
    }
    laid
}

fn show_timing(timing: &Timing, out: &mut dyn Write) -> io::Result<()> {
    let parts = [
        ("dns", timing.dns_ms),
        ("connect", timing.connect_ms),
        ("tls", timing.tls_ms),
        ("send", timing.send_ms),
        ("wait", timing.wait_ms),
        ("receive", timing.receive_ms),
        ("total", timing.total_ms),
    ];
    let parts: Vec<_> = parts.iter().map(|(name, ms)| format!("{name} {}", duration(*ms))).collect();
    writeln!(out, "\n{}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_laid_out_without_a_change() {
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
    fn other_text_stays_and_the_rest_is_binary() {
        assert_eq!(readable(b"{not json").as_deref(), Some("{not json"));
        assert_eq!(readable("grün\n".as_bytes()).as_deref(), Some("grün\n"));
        assert_eq!(readable(b"a\0b"), None);
        assert_eq!(readable(b"\xff\xd8\xff"), None);
        let deep = "[".repeat(100_000);
        assert_eq!(readable(deep.as_bytes()), Some(deep));
    }

    #[test]
    fn a_message_is_escaped() {
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

    #[test]
    fn what_cannot_be_opened_is_said_in_one_line() {
        let error = inspect(Path::new("/nowhere/a\x1b.zip"), None, &mut Vec::new()).unwrap_err();
        assert!(error.starts_with("cannot read /nowhere/a\\x1b.zip: "), "{error}");
    }
}
