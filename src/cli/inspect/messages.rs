//! The messages of one WebSocket, one line each.

use super::{Options, PERIOD};
use crate::cli::json::write_line;
use crate::cli::open_bundle::{CommandError, Opened};
use crate::cli::text::{count, date, escape, or_dash};
use serde::Serialize;
use spectral_capture::reader::{Bundle, Message, State};
use spectral_capture::text::{Base64, as_text};
use std::io::Write;
use std::thread;

/// Shows the WebSocket `id`, and if asked for, what comes until it or its capture ends.
pub(super) fn show(opened: &mut Opened, id: &str, options: &Options, out: &mut dyn Write) -> Result<(), CommandError> {
    let Opened { bundle, state, .. } = opened;
    if !options.json {
        show_socket(bundle, id, out)?;
    }
    let mut seen: usize = 0;
    loop {
        while let Some(message) = bundle.messages(id).get(seen) {
            show_message(bundle, message, options.json, out)?;
            seen = seen.saturating_add(1);
        }
        if !options.follow || *state != State::Growing || !bundle.is_open(id) {
            return Ok(());
        }
        out.flush()?;
        thread::sleep(PERIOD);
        *state = bundle.refresh()?;
    }
}

fn show_socket(bundle: &Bundle, id: &str, out: &mut dyn Write) -> Result<(), CommandError> {
    let socket = bundle.websocket(id)?;
    let so_far = if bundle.is_open(id) { " so far" } else { "" };
    writeln!(out, "{id}  {}", date(socket.timestamp))?;
    writeln!(out, "\n{}", escape(&socket.url))?;
    writeln!(out, "  handshake  {}", or_dash(&escape(socket.handshake_trace_ref.as_deref().unwrap_or_default())))?;
    writeln!(out, "  protocol   {}", or_dash(&escape(&socket.protocols.join(", "))))?;
    Ok(writeln!(out, "  {}{so_far}\n", count(socket.message_count, "message"))?)
}

fn show_message(bundle: &Bundle, id: &str, json: bool, out: &mut dyn Write) -> Result<(), CommandError> {
    let message = bundle.message(id)?;
    let payload = bundle.payload(&message)?;
    if json {
        let text = as_text(&payload).filter(|_| message.opcode == "text");
        let base64 = text.is_none().then_some(Base64(&payload));
        return Ok(write_line(&Line { message: &message, text, base64 }, out)?);
    }
    let time = date(message.timestamp);
    let time = time.split(' ').nth(1).unwrap_or_default();
    let (direction, opcode) = (escape(&message.direction), escape(&message.opcode));
    let line = format!("{id}  {time}  {direction:7}  {opcode:6}  {}", shown(&message.opcode, &payload));
    Ok(writeln!(out, "{}", line.trim_end())?)
}

/// A message as the bundle has it, and what it says: one of the two.
#[derive(Serialize)]
struct Line<'m> {
    #[serde(flatten)]
    message: &'m Message,
    text: Option<&'m str>,
    base64: Option<Base64<'m>>,
}

/// A payload on one line.
fn shown(opcode: &str, payload: &[u8]) -> String {
    // RFC 6455 section 5.5.1: a code, and perhaps a reason.
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
        assert_eq!(shown("text", b"a\nb\x1b"), "a\\nb\\x1b");
        assert_eq!(shown("text", b"\xff"), "1 byte");
        assert_eq!(shown("binary", b"abc"), "3 bytes");
        assert_eq!(shown("close", b"\x03\xe8bye\n"), "1000 bye\\n");
        assert_eq!(shown("close", b"\x03\xe8"), "1000");
        assert_eq!((shown("close", b""), shown("ping", b"x")), (String::new(), "x".into()));
    }
}
