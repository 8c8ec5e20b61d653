//! The bytes of a body or of a WebSocket message, of any size.

use super::options::BodySide;
use crate::cli::command_error::CommandError;
use crate::cli::open_bundle::{require_exchange, require_message};
use crate::cli::text::escape_lines;
use spectral_capture::reader::{Body, Bundle, Error};
use spectral_capture::text::TextDecoder;
use std::borrow::Cow;
use std::convert::Infallible;
use std::io::Write;

/// Writes the bytes of a body of the exchange `id`, or of the message `id`.
pub(super) fn show(
    bundle: &Bundle,
    id: &str,
    side: BodySide,
    out: &mut dyn Write,
    is_terminal: bool,
) -> Result<(), CommandError> {
    // Read once more for a terminal: it may be too large for the memory.
    if is_terminal && !is_harmless(open(bundle, id, side)?)? {
        return Err(CommandError::Request(format!(
            "cannot write {id} to a terminal: it contains control characters; redirect the output with > FILE or | less"
        )));
    }
    let mut body = open(bundle, id, side)?;
    loop {
        match body.next_block()? {
            [] => return Ok(()),
            block => out.write_all(block)?,
        }
    }
}

fn open<'b>(bundle: &'b Bundle, id: &str, side: BodySide) -> Result<Body<'b>, CommandError> {
    let body = match id.rsplit_once("_m") {
        Some((websocket, _)) if bundle.websockets().contains(websocket) => {
            require_message(bundle, websocket, id)?;
            let message = bundle.message(id)?;
            bundle.open_payload(&message)
        }
        _ => {
            require_exchange(bundle, id)?;
            let trace = bundle.trace(id)?;
            match side {
                BodySide::Request => bundle.open_request_body(&trace),
                BodySide::Response => bundle.open_response_body(&trace),
            }
        }
    };
    Ok(body?)
}

/// Returns true if `body` is text without control characters.
fn is_harmless(mut body: Body<'_>) -> Result<bool, Error> {
    let mut check = HarmlessText::default();
    loop {
        match body.next_block()? {
            [] => return Ok(check.is_complete()),
            block if check.push(block) => {}
            _ => return Ok(false),
        }
    }
}

/// A check for control characters in text that arrives in blocks.
#[derive(Default)]
struct HarmlessText {
    decoder: TextDecoder,
    /// True after a carriage return. A line feed must follow.
    is_after_return: bool,
}

impl HarmlessText {
    /// Returns false if `block` is not text, or contains control characters.
    fn push(&mut self, block: &[u8]) -> bool {
        let Self { decoder, is_after_return } = self;
        let mut is_harmless = true;
        let decoded = decoder.push(block, &mut |text| {
            is_harmless &= !*is_after_return || text.starts_with('\n');
            *is_after_return = text.ends_with('\r');
            let bare = text.strip_suffix('\r').unwrap_or(text).replace("\r\n", "\n");
            is_harmless &= matches!(escape_lines(&bare), Cow::Borrowed(_));
            Ok::<_, Infallible>(())
        });
        decoded.is_ok_and(|is_text| is_text && is_harmless)
    }

    /// Returns true if the text does not end within a character or a line break.
    fn is_complete(&self) -> bool {
        self.decoder.is_complete() && !self.is_after_return
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_not_harmless() {
        let is_harmless = |text: &[u8], len: usize| {
            let mut check = HarmlessText::default();
            text.chunks(len).all(|block| check.push(block)) && check.is_complete()
        };
        for harmless in ["", "text\twith\r\nlines\n", "grün 日本"] {
            for len in 1..=harmless.len().max(1) {
                assert!(is_harmless(harmless.as_bytes(), len), "{harmless}");
            }
        }
        for harmful in
            [&b"\xff"[..], b"a\0", b"\x1b[2J", b"hidden\rshown", b"a\r", "\u{202e}".as_bytes(), "\u{9b}".as_bytes()]
        {
            for len in 1..=harmful.len() {
                assert!(!is_harmless(harmful, len), "{harmful:?}");
            }
        }
    }
}
