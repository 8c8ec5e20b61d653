//! The messages of one WebSocket, one line each.

use super::options::Options;
use crate::cli::command_error::CommandError;
use crate::cli::json::write_line;
use crate::cli::open_bundle::{Opened, add_damaged};
use crate::cli::text::{count, date, escape, or_dash};
use serde::Serialize;
use spectral_capture::export::stored_body::{BodyString, StoredBody};
use spectral_capture::reader::{Bundle, LeftOut, Message, State};
use spectral_capture::text::{TextDecoder, as_text};
use std::fmt::{self, Display, Formatter};
use std::io::Write;
use std::thread;
use std::time::Duration;

/// Shows the WebSocket `id` and, with `--follow`, new messages until it or its capture ends. Returns the damaged messages: a line of
/// text marks them, and `--json` leaves them out.
pub(super) fn show(
    opened: &mut Opened,
    id: &str,
    options: &Options,
    out: &mut dyn Write,
    refresh_interval: Duration,
) -> Result<LeftOut, CommandError> {
    let Opened { bundle, state, .. } = opened;
    if !options.json {
        show_websocket(bundle, id, out)?;
    }
    let (mut next, mut damaged): (usize, _) = (0, LeftOut::default());
    loop {
        while let Some(message) = bundle.messages(id).get(next) {
            match show_message(bundle, message, options.json, out) {
                Err(CommandError::Bundle(e)) if e.is_of_one_entry() => {
                    add_damaged(&mut damaged, message, options.follow);
                }
                shown => shown?,
            }
            next = next.saturating_add(1);
        }
        if !options.follow || *state != State::Growing || !bundle.is_open(id) {
            return Ok(damaged);
        }
        out.flush()?;
        thread::sleep(refresh_interval);
        *state = bundle.refresh()?;
    }
}

fn show_websocket(bundle: &Bundle, id: &str, out: &mut dyn Write) -> Result<(), CommandError> {
    let websocket = bundle.websocket(id)?;
    let so_far = if bundle.is_open(id) { " so far" } else { "" };
    writeln!(out, "{id}  {}", date(websocket.timestamp))?;
    writeln!(out, "\n{}", escape(&websocket.url))?;
    writeln!(out, "  handshake  {}", or_dash(&escape(websocket.handshake_trace_ref.as_deref().unwrap_or_default())))?;
    writeln!(out, "  protocol   {}", or_dash(&escape(&websocket.protocols.join(", "))))?;
    let unclosed = if is_closed(bundle, id) == Some(false) { ", no close frame" } else { "" };
    Ok(writeln!(out, "  {}{so_far}{unclosed}\n", count(websocket.message_count, "message"))?)
}

/// Returns true if the WebSocket `id` has a close frame of either side. Returns `None` if it has not ended, if a message cannot
/// be read, or if the bundle has no close frames, because the browser extension does not record them.
pub(super) fn is_closed(bundle: &Bundle, id: &str) -> Option<bool> {
    if bundle.is_open(id) || bundle.manifest().capture_method.as_deref() != Some("proxy") {
        return None;
    }
    let messages = bundle.messages(id);
    // A close frame is one of the last messages.
    for message in (0..messages.len()).rev().filter_map(|index| messages.get(index)) {
        if bundle.message(message).ok()?.opcode == "close" {
            return Some(true);
        }
    }
    Some(false)
}

/// Shows a message. Returns the error of one that is damaged.
fn show_message(bundle: &Bundle, id: &str, json: bool, out: &mut dyn Write) -> Result<(), CommandError> {
    let message = bundle.message(id);
    if message.is_err() && !json {
        writeln!(out, "{id}  (damaged)")?;
    }
    let message = message?;
    let payload = StoredBody::of_message(bundle, &message);
    if json {
        let payload = payload?;
        let is_text = message.opcode == "text" && payload.is_text();
        let (text, base64) = (is_text.then(|| payload.as_text()), (!is_text).then(|| payload.as_base64()));
        write_line(&MessageLine { message: &message, text, base64 }, out)?;
        return Ok(payload.check()?);
    }
    let time = date(message.timestamp);
    let time = time.split(' ').nth(1).unwrap_or_default();
    let (direction, opcode) = (escape(&message.direction), escape(&message.opcode));
    let start = format!("{id}  {time}  {direction:7}  {opcode:6}  ");
    match &payload {
        Ok(payload) => match payload.in_memory() {
            Some(bytes) => writeln!(out, "{}", format!("{start}{}", format_message(&message, bytes)).trim_end())?,
            None if payload.is_text() && message.opcode != "binary" => {
                writeln!(out, "{start}{}{}", OneLine(payload), marks(&message))?;
            }
            None => writeln!(out, "{start}{}{}", count(payload.len(), "byte"), marks(&message))?,
        },
        Err(_) => writeln!(out, "{start}(damaged)")?,
    }
    Ok(payload?.check()?)
}

/// A message with the bundle's own field names, and its payload as either text or base64.
#[derive(Serialize)]
struct MessageLine<'m> {
    #[serde(flatten)]
    message: &'m Message,
    text: Option<BodyString<'m, 'm>>,
    base64: Option<BodyString<'m, 'm>>,
}

/// A payload as text on one line, without characters that a terminal obeys.
struct OneLine<'p>(&'p StoredBody<'p>);

impl Display for OneLine<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (mut decoder, mut written) = (TextDecoder::new(), Ok(()));
        self.0.read(&mut |block| {
            if written.is_ok() {
                written = decoder.push(block, &mut |text| f.write_str(&escape(text))).map(drop);
            }
        });
        written
    }
}

/// Formats the content of a message on one line, with its marks.
fn format_message(message: &Message, payload: &[u8]) -> String {
    format!("{}{}", format_payload(&message.opcode, payload), marks(message))
}

/// Returns the marks of a message that is still encoded or incomplete.
fn marks(message: &Message) -> String {
    let encoding = message.payload_encoding.as_ref().map(|encoding| format!("not decoded: {encoding}"));
    let cut_off = message.describe_cut_off().map(|cause| format!("cut off: {cause}"));
    let marks: Vec<_> = encoding.into_iter().chain(cut_off).map(|mark| format!("  ({})", escape(&mark))).collect();
    marks.concat()
}

/// Formats a payload on one line.
fn format_payload(opcode: &str, payload: &[u8]) -> String {
    // RFC 6455 section 5.5.1: a code and an optional reason.
    if let ("close", Some((code, reason))) = (opcode, payload.split_first_chunk::<2>()) {
        let reason = String::from_utf8_lossy(reason);
        return format!("{} {}", u16::from_be_bytes(*code), escape(&reason)).trim_end().to_owned();
    }
    match as_text(payload) {
        Some(text) if opcode != "binary" || payload.is_empty() => escape(text).into_owned(),
        _ => count(payload.len() as u64, "byte"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_message_is_one_line() {
        assert_eq!(format_payload("text", b"a\nb\x1b"), "a\\nb\\x1b");
        assert_eq!(format_payload("text", b"\xff"), "1 byte");
        assert_eq!(format_payload("binary", b"abc"), "3 bytes");
        assert_eq!(format_payload("close", b"\x03\xe8bye\n"), "1000 bye\\n");
        assert_eq!(format_payload("close", b"\x03\xe8"), "1000");
        assert_eq!((format_payload("close", b""), format_payload("ping", b"x")), (String::new(), "x".into()));
    }

    #[test]
    fn incomplete_and_encoded_messages_are_marked() {
        for (members, expected) in [
            ("", "Hel"),
            (r#","cut_off":{"why":"reset"}"#, "Hel  (cut off: reset by the origin)"),
            (r#","cut_off":{"why":"a\u001b"}"#, "Hel  (cut off: a\\x1b)"),
            (r#","payload_encoding":"unknown""#, "Hel  (not decoded: unknown)"),
            (
                r#","payload_encoding":"permessage-deflate","cut_off":{"why":"stopped"}"#,
                "Hel  (not decoded: permessage-deflate)  (cut off: interrupted by the end of the capture)",
            ),
        ] {
            let json = format!(r#"{{"direction":"receive","opcode":"text"{members}}}"#);
            assert_eq!(format_message(&serde_json::from_str(&json).unwrap(), b"Hel"), expected);
        }
    }
}
