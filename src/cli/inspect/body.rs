//! The bytes of a body or of a WebSocket message.

use super::options::BodySide;
use crate::cli::command_error::CommandError;
use crate::cli::open_bundle::{require_exchange, require_message};
use crate::cli::text::escape_lines;
use spectral_capture::reader::Bundle;
use std::borrow::Cow;
use std::io::Write;

/// Writes the bytes of a body of the exchange `id`, or of the message `id`.
pub(super) fn show(
    bundle: &Bundle,
    id: &str,
    side: BodySide,
    out: &mut dyn Write,
    is_terminal: bool,
) -> Result<(), CommandError> {
    let body = match id.rsplit_once("_m") {
        Some((websocket, _)) if bundle.websockets().contains(websocket) => {
            require_message(bundle, websocket, id)?;
            let message = bundle.message(id)?;
            bundle.payload(&message)?
        }
        _ => {
            require_exchange(bundle, id)?;
            let trace = bundle.trace(id)?;
            match side {
                BodySide::Request => bundle.request_body(&trace)?,
                BodySide::Response => bundle.response_body(&trace)?,
            }
        }
    };
    if is_terminal && !is_harmless(&body) {
        return Err(CommandError::Request(format!(
            "cannot write {id} to a terminal: it contains control characters; redirect the output with > FILE or | less"
        )));
    }
    Ok(out.write_all(&body)?)
}

/// Returns true if `bytes` are text without control characters.
fn is_harmless(bytes: &[u8]) -> bool {
    let is_plain = |text: &str| {
        let bare = text.replace("\r\n", "\n");
        matches!(escape_lines(&bare), Cow::Borrowed(_))
    };
    std::str::from_utf8(bytes).is_ok_and(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_not_harmless() {
        for harmless in ["", "text\twith\r\nlines\n", "grün 日本"] {
            assert!(is_harmless(harmless.as_bytes()), "{harmless}");
        }
        for harmful in [&b"\xff"[..], b"a\0", b"\x1b[2J", b"hidden\rshown", "\u{202e}".as_bytes(), "\u{9b}".as_bytes()]
        {
            assert!(!is_harmless(harmful), "{harmful:?}");
        }
    }
}
