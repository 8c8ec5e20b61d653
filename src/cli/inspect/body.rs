//! A body, or a WebSocket message, as its bytes.

use super::Side;
use crate::cli::open_bundle::{CommandError, require_exchange};
use crate::cli::text::escape_lines;
use spectral_capture::reader::Bundle;
use std::borrow::Cow;
use std::io::Write;

/// Writes the bytes of `id`, an exchange's or a message's.
pub(super) fn show(
    bundle: &Bundle,
    id: &str,
    side: Side,
    out: &mut dyn Write,
    is_terminal: bool,
) -> Result<(), CommandError> {
    let body = match id.rsplit_once("_m") {
        Some((socket, _)) if bundle.messages(socket).contains(id) => {
            let message = bundle.message(id)?;
            bundle.payload(&message)?
        }
        _ => {
            require_exchange(bundle, id)?;
            let trace = bundle.trace(id)?;
            match side {
                Side::Request => bundle.request_body(&trace)?,
                Side::Response => bundle.response_body(&trace)?,
            }
        }
    };
    if is_terminal && !is_harmless(&body) {
        return Err(CommandError::Request(format!(
            "{id} holds bytes that a terminal would obey: send it to a file or a program, as with > FILE or | less"
        )));
    }
    Ok(out.write_all(&body)?)
}

/// Whether a terminal shows these bytes and does nothing else.
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
    fn what_a_terminal_obeys_is_not_harmless() {
        for harmless in ["", "text\twith\r\nlines\n", "grün 日本"] {
            assert!(is_harmless(harmless.as_bytes()), "{harmless}");
        }
        for harmful in [&b"\xff"[..], b"a\0", b"\x1b[2J", b"hidden\rshown", "\u{202e}".as_bytes(), "\u{9b}".as_bytes()]
        {
            assert!(!is_harmless(harmful), "{harmful:?}");
        }
    }
}
