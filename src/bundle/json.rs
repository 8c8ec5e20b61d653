//! JSON as bundles have it: as `serde_json` lays it out for people, byte for byte, but what a line begins with is one write.
//!
//! ```text
//! {⏎··"a": [⏎····1,⏎····2⏎··]⏎}          each ⏎ with its comma before it and the blanks behind it at once
//! ```
//!
//! `serde_json` makes a write of each two blanks. An exchange has some hundred lines of up to eight: small writes were some
//! two fifths of all instructions that the writer took for it.

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use std::io::{self, Write};

/// Appends `value` to `out`.
pub(super) fn write(out: &mut Vec<u8>, value: &impl Serialize) -> io::Result<()> {
    Ok(value.serialize(&mut Serializer::with_formatter(Out(out), Layout::default()))?)
}

/// Most writes are one or two bytes (quotes, brackets, colons), which are pushed for less than calling memcpy takes.
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

/// Where in a value the next byte goes.
#[derive(Default)]
struct Layout {
    /// So many lists and objects are open.
    depth: usize,
    /// Whether something is in the innermost.
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

    /// Begins a line. What is not the first in its list or object has a comma before it.
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

/// What begins a line, at twice the depth that exchanges have.
const LINE: &[u8] = b",\n                ";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn is_laid_out_as_serde_json_does_it() {
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
