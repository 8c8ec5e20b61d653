//! The messages of one WebSocket, one line each.

use crate::cli::base64::Base64;
use crate::cli::filter::textual;
use crate::cli::reading::Stop;
use crate::cli::text::{count, date, escape, or_none};
use serde::Serialize;
use spectral_capture::reader::{Bundle, Message};
use std::io::Write;

/// Shows the WebSocket `id`.
pub(super) fn show(bundle: &Bundle, id: &str, json: bool, out: &mut dyn Write) -> Result<(), Stop> {
    let socket = bundle.socket(id)?;
    if !json {
        writeln!(out, "{id}  {}", date(socket.timestamp))?;
        writeln!(out, "\n{}", escape(&socket.url))?;
        writeln!(out, "  handshake  {}", or_none(&escape(socket.handshake_trace_ref.as_deref().unwrap_or_default())))?;
        writeln!(out, "  protocol   {}", or_none(&escape(&socket.protocols.join(", "))))?;
        writeln!(out, "  {}\n", count(socket.message_count, "message"))?;
    }
    for id in bundle.messages(id).iter() {
        let message = bundle.message(id)?;
        let payload = bundle.payload(&message)?;
        if json {
            let text = textual(&payload).filter(|_| message.opcode == "text");
            let base64 = text.is_none().then_some(Base64(&payload));
            serde_json::to_writer(&mut *out, &Line { message: &message, text, base64 })?;
            writeln!(out)?;
        } else {
            let time = date(message.timestamp);
            let time = time.split(' ').nth(1).unwrap_or_default();
            let (direction, opcode) = (escape(&message.direction), escape(&message.opcode));
            let line = format!("{id}  {time}  {direction:7}  {opcode:6}  {}", shown(&message.opcode, &payload));
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    Ok(())
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
    match textual(payload) {
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
