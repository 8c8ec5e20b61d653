//! Serializes JSON as bundles have it: the layout of `serde_json::to_string_pretty`, byte for byte.
//!
//! ```text
//! {⏎··"a": [⏎····1,⏎····2⏎··]⏎}          each ⏎ is one write, with the comma before it and the indentation after it
//! ```
//!
//! The writer of a capture takes half the time of `serde_json`'s pretty formatter, which writes every two spaces of
//! indentation separately. An exchange has some hundred lines with up to eight spaces. With that formatter, two fifths of
//! the instructions for an exchange were spent on small writes.

use super::archive::Archive;
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use std::io::{self, Write};

/// Adds `value` to the archive as the JSON entry `name`, with the recovery note `note`.
pub(crate) fn add_json(archive: &mut Archive, name: String, value: &impl Serialize, note: &[u8]) -> io::Result<()> {
    archive.add_written(name, note, |out| write(out, value))
}

/// Returns the JSON of `value`.
pub(crate) fn to_vec(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    write(&mut out, value)?;
    Ok(out)
}

/// Appends the JSON of `value` to `out`.
fn write(out: &mut Vec<u8>, value: &impl Serialize) -> io::Result<()> {
    Ok(value.serialize(&mut Serializer::with_formatter(Out(out), Layout::default()))?)
}

/// Appends to a `Vec`. Most writes are one or two bytes (quotes, brackets, colons), for which a push costs less than
/// memcpy.
struct Out<'o>(&'o mut Vec<u8>);

impl Write for Out<'_> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match *bytes {
            [a] => self.0.push(a),
            [a, b] => {
                self.0.push(a);
                self.0.push(b);
            }
            _ => self.0.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The position within a value.
#[derive(Default)]
struct Layout {
    /// The number of open arrays and objects.
    depth: usize,
    /// True if the innermost one has an element.
    is_filled: bool,
}

impl Layout {
    fn open<W: ?Sized + Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth = self.depth.saturating_add(1);
        self.is_filled = false;
        out.write_all(bracket)
    }

    fn close<W: ?Sized + Write>(&mut self, out: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth = self.depth.saturating_sub(1);
        if self.is_filled {
            self.break_line(out, true)?;
        }
        out.write_all(bracket)
    }

    /// Begins a line, after a comma unless it is the first of its array or object.
    fn break_line<W: ?Sized + Write>(&self, out: &mut W, is_first: bool) -> io::Result<()> {
        let from = usize::from(is_first);
        match LINE.get(from..self.depth.saturating_mul(2).saturating_add(2)) {
            Some(line) => out.write_all(line),
            None => {
                out.write_all(LINE.get(from..2).unwrap_or_default())?;
                (0..self.depth).try_for_each(|_| out.write_all(b"  "))
            }
        }
    }
}

impl Formatter for Layout {
    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, is_first: bool) -> io::Result<()> {
        self.break_line(out, is_first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.is_filled = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.open(out, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.close(out, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, is_first: bool) -> io::Result<()> {
        self.break_line(out, is_first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.is_filled = true;
        Ok(())
    }
}

/// The comma, line break and indentation of a line, up to twice the depth of an exchange's JSON.
const LINE: &[u8] = b",\n                ";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn has_the_layout_of_serde_json() {
        let mut deep =
            json!({"a": [], "b": {}, "c": [1, -2.5, null, true], "d": {"e": "\"\u{1}\n\\ü", "": [[], [{}]]}});
        for _ in 0..2 * LINE.len() {
            let mut written = b"before".to_vec();
            write(&mut written, &deep).unwrap();
            assert_eq!(String::from_utf8(written).unwrap(), format!("before{deep:#}"));
            deep = json!([deep, {"f": deep["c"]}, Value::Null]);
        }
    }
}
