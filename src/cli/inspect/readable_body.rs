//! A body as people read it: text, with JSON indented, or the size of a binary one. A large body is read twice: to see if it is
//! text, and to show it.

use crate::cli::command_error::CommandError;
use crate::cli::text::{count, escape, escape_lines};
use serde::de::IgnoredAny;
use spectral_capture::reader::{Body, Error};
use spectral_capture::text::{TextDecoder, as_text};
use std::convert::Infallible;
use std::io::{self, Write};

/// Shows the body that `open` opens, after an empty line; nothing if it is empty.
pub(super) fn show_body<'b>(
    open: &dyn Fn() -> Result<Body<'b>, Error>,
    coding: Option<&str>,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let mut body = open()?;
    let size = body.size();
    if size == 0 {
        return Ok(());
    }
    writeln!(out)?;
    if let Some(coding) = coding {
        return Ok(writeln!(out, "{}, {}", escape(coding), count(size, "byte"))?);
    }
    if size <= MAX_INDENTED_BYTES {
        let mut bytes = Vec::new();
        for_each_block(&mut body, &mut |block| {
            bytes.extend_from_slice(block);
            Ok(())
        })?;
        return Ok(show_bytes(&bytes, out)?);
    }
    if !is_text(&mut body)? {
        return Ok(show_binary(size, out)?);
    }
    let mut lines = EscapedLines { out, decoder: TextDecoder::new(), held: String::new() };
    for_each_block(&mut open()?, &mut |block| Ok(lines.push(block)?))?;
    Ok(lines.end()?)
}

fn show_bytes(bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
    match readable(bytes) {
        Some(text) => writeln!(out, "{}", escape_lines(text.trim_end_matches('\n'))),
        None => show_binary(bytes.len() as u64, out),
    }
}

fn show_binary(size: u64, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "binary, {}", count(size, "byte"))
}

fn is_text(body: &mut Body<'_>) -> Result<bool, CommandError> {
    let mut decoder = TextDecoder::new();
    let mut is_text = true;
    for_each_block(body, &mut |block| {
        is_text = is_text && decoder.push(block, &mut |_| Ok::<_, Infallible>(())).is_ok_and(|is_text| is_text);
        Ok(())
    })?;
    Ok(is_text && decoder.is_complete())
}

fn for_each_block(
    body: &mut Body<'_>,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    loop {
        match body.next_block()? {
            [] => return Ok(()),
            block => sink(block)?,
        }
    }
}

/// Writes text that arrives in blocks, escaped, without the line feeds at its end.
struct EscapedLines<'o> {
    out: &'o mut dyn Write,
    decoder: TextDecoder,
    /// Line breaks that are not written yet: others may follow, or the end.
    held: String,
}

impl EscapedLines<'_> {
    fn push(&mut self, block: &[u8]) -> io::Result<()> {
        let Self { out, decoder, held } = self;
        let mut write = |text: &str| {
            held.push_str(text);
            let line_breaks = held.trim_end_matches(['\r', '\n']).len();
            let end = if held.len().saturating_sub(line_breaks) < MAX_HELD_BYTES { line_breaks } else { held.len() };
            let rest = held.split_off(end);
            write!(out, "{}", escape_lines(held))?;
            *held = rest;
            Ok(())
        };
        decoder.push(block, &mut write).map(drop)
    }

    fn end(self) -> io::Result<()> {
        writeln!(self.out, "{}", escape_lines(self.held.trim_end_matches('\n')))
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

/// The largest body that is indented if it is JSON. Others are shown as they are.
#[cfg(not(test))]
const MAX_INDENTED_BYTES: u64 = 4 << 20;
#[cfg(test)]
const MAX_INDENTED_BYTES: u64 = 16 << 10;

/// More line breaks in a row are written at once, also at the end.
const MAX_HELD_BYTES: usize = 64 * 1024;

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
    fn bodies_are_escaped() {
        let mut out = Vec::new();
        show_bytes(b"{\"a\":\"\xc2\x9b\"}", &mut out).unwrap();
        show_bytes(b"a\0", &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "{\n  \"a\": \"\\x9b\"\n}\nbinary, 2 bytes\n");
    }

    #[test]
    fn text_in_blocks_is_shown_as_the_whole_is() {
        for text in ["a\n\nb\r\n\n", "grün\r\nd\x1b", "\n\n", "a\rb\r", "x\r\n", "\u{9b}\n\u{202e}"] {
            let expected = format!("{}\n", escape_lines(text.trim_end_matches('\n')));
            for len in 1..=text.len() {
                let mut out = Vec::new();
                let mut lines = EscapedLines { out: &mut out, decoder: TextDecoder::new(), held: String::new() };
                text.as_bytes().chunks(len).for_each(|block| lines.push(block).unwrap());
                lines.end().unwrap();
                assert_eq!(String::from_utf8(out).unwrap(), expected, "{text:?} in blocks of {len}");
            }
        }
    }
}
