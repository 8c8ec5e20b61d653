//! JSON that a terminal can show.

use serde::Serialize;
use serde_json::ser::Formatter;
use std::io::{self, Write};

/// Writes `value` as JSON on one line. Characters that [`super::escape`] replaces become escapes such as `\u009b`, so that a terminal
/// shows the JSON as it is, and parsers read the same text.
///
/// # Errors
/// If `out` fails, or `value` does.
pub fn write_json<W: Write + ?Sized>(value: &impl Serialize, out: &mut W) -> io::Result<()> {
    Ok(value.serialize(&mut serde_json::Serializer::with_formatter(out, EscapingFormatter))?)
}

/// The compact layout, with more escapes.
struct EscapingFormatter;

impl Formatter for EscapingFormatter {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // C0 characters are not in fragments. Most text is ASCII, and most of it is in bodies.
        if fragment.is_ascii() && !fragment.as_bytes().contains(&0x7f) {
            return writer.write_all(fragment.as_bytes());
        }
        let mut rest = fragment;
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| super::is_unsafe(*c)) {
            let (safe, after) = rest.split_at(at);
            writer.write_all(safe.as_bytes())?;
            c.encode_utf16(&mut [0; 2]).iter().try_for_each(|unit| write!(writer, "\\u{unit:04x}"))?;
            rest = after.get(c.len_utf8()..).unwrap_or_default();
        }
        writer.write_all(rest.as_bytes())
    }
}
