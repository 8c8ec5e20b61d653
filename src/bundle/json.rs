//! Serializes JSON as bundles have it: the layout of `serde_json::to_string_pretty`, byte for byte.
//!
//! ```text
//! {⏎··"a": [⏎····1,⏎····2⏎··]⏎}          each ⏎ is one write, with the comma before it and the indentation after it
//! ```
//!
//! The writer of a capture serializes an exchange in half the time that `serde_json` takes: names of struct fields need no
//! escapes, and most text has nothing to escape, so both are copied. Numbers and other text are left to `serde_json`.
//! Enums with data and byte strings are out of scope: no document of a bundle has them.

use super::archive::Archive;
use super::other_members::OtherMembers;
use serde::Serialize;
use serde::ser::{Error as _, Impossible, SerializeMap, SerializeSeq, SerializeStruct, Serializer};
use serde_json::Error;
use std::io;

/// Adds `value` to the archive as the JSON entry `name`, with the recovery note `note`.
pub(crate) fn add_json(archive: &mut Archive, name: String, value: &impl Serialize, note: &[u8]) -> io::Result<()> {
    archive.add_written(&name, note, |out| write(out, value))
}

/// As [`add_json`], without a note, and with `others` at the ends of their objects.
pub(crate) fn add_json_with(
    archive: &mut Archive,
    name: String,
    value: &impl Serialize,
    others: &OtherMembers,
) -> io::Result<()> {
    archive.add_written(&name, &[], |out| write_with(out, value, others))
}

/// Returns the JSON of `value`.
pub(crate) fn to_vec(value: &impl Serialize) -> io::Result<Vec<u8>> {
    to_vec_with(value, OtherMembers::NONE)
}

/// As [`to_vec`], with `others` at the ends of their objects.
pub(crate) fn to_vec_with(value: &impl Serialize, others: &OtherMembers) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    write_with(&mut out, value, others)?;
    Ok(out)
}

/// Appends the JSON of `value` to `out`.
fn write(out: &mut Vec<u8>, value: &impl Serialize) -> io::Result<()> {
    write_with(out, value, OtherMembers::NONE)
}

fn write_with(out: &mut Vec<u8>, value: &impl Serialize, others: &OtherMembers) -> io::Result<()> {
    Ok(value.serialize(&mut JsonWriter { out, depth: 0, others })?)
}

/// Appends values to `out`.
struct JsonWriter<'o> {
    out: &'o mut Vec<u8>,
    /// The number of open arrays and objects.
    depth: usize,
    /// The members to add to the next value.
    others: &'o OtherMembers,
}

impl JsonWriter<'_> {
    /// Appends a value that needs no layout.
    fn scalar(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        serde_json::to_writer(&mut *self.out, value)
    }

    /// Appends a comma unless this is the first element, a line break, and the indentation.
    fn break_line(&mut self, is_first: bool) {
        let from = usize::from(is_first);
        match LINE.get(from..self.depth.saturating_mul(2).saturating_add(2)) {
            Some(line) => self.out.extend_from_slice(line),
            None => {
                self.out.extend_from_slice(LINE.get(from..2).unwrap_or_default());
                (0..self.depth).for_each(|_| self.out.extend_from_slice(b"  "));
            }
        }
    }
}

/// An array or object that has begun.
struct Elements<'w, 'o> {
    writer: &'w mut JsonWriter<'o>,
    close: u8,
    /// The number of elements so far.
    count: usize,
    /// The members to add to it.
    others: &'o OtherMembers,
}

impl<'w, 'o> Elements<'w, 'o> {
    fn open(writer: &'w mut JsonWriter<'o>, open: u8, close: u8) -> Self {
        writer.out.push(open);
        writer.depth = writer.depth.saturating_add(1);
        let others = writer.others;
        writer.others = OtherMembers::NONE;
        Self { writer, close, count: 0, others }
    }

    /// Begins the line of the next element.
    fn next(&mut self) {
        self.writer.break_line(self.count == 0);
        self.count = self.count.saturating_add(1);
    }

    fn close(self) {
        self.writer.depth = self.writer.depth.saturating_sub(1);
        if self.count > 0 {
            self.writer.break_line(true);
        }
        self.writer.out.push(self.close);
    }
}

impl<'w, 'o> Serializer for &'w mut JsonWriter<'o> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Elements<'w, 'o>;
    type SerializeTuple = Impossible<(), Error>;
    type SerializeTupleStruct = Impossible<(), Error>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Elements<'w, 'o>;
    type SerializeStruct = Elements<'w, 'o>;
    type SerializeStructVariant = Impossible<(), Error>;

    fn serialize_str(self, text: &str) -> Result<(), Error> {
        if has_escapes(text.as_bytes()) {
            return self.scalar(text);
        }
        self.out.reserve(text.len().saturating_add(2));
        self.out.push(b'"');
        self.out.extend_from_slice(text.as_bytes());
        self.out.push(b'"');
        Ok(())
    }

    fn serialize_u64(self, n: u64) -> Result<(), Error> {
        self.scalar(&n)
    }

    fn serialize_i64(self, n: i64) -> Result<(), Error> {
        self.scalar(&n)
    }

    fn serialize_f64(self, n: f64) -> Result<(), Error> {
        self.scalar(&n)
    }

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.scalar(&value)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements<'w, 'o>, Error> {
        Ok(Elements::open(self, b'[', b']'))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Elements<'w, 'o>, Error> {
        Ok(Elements::open(self, b'{', b'}'))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Elements<'w, 'o>, Error> {
        self.serialize_map(None)
    }

    fn serialize_i8(self, n: i8) -> Result<(), Error> {
        self.serialize_i64(n.into())
    }

    fn serialize_i16(self, n: i16) -> Result<(), Error> {
        self.serialize_i64(n.into())
    }

    fn serialize_i32(self, n: i32) -> Result<(), Error> {
        self.serialize_i64(n.into())
    }

    fn serialize_u8(self, n: u8) -> Result<(), Error> {
        self.serialize_u64(n.into())
    }

    fn serialize_u16(self, n: u16) -> Result<(), Error> {
        self.serialize_u64(n.into())
    }

    fn serialize_u32(self, n: u32) -> Result<(), Error> {
        self.serialize_u64(n.into())
    }

    fn serialize_f32(self, n: f32) -> Result<(), Error> {
        self.scalar(&n)
    }

    fn serialize_char(self, c: char) -> Result<(), Error> {
        self.scalar(&c)
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Error> {
        Err(unsupported())
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_none()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        Err(unsupported())
    }

    fn serialize_tuple(self, _: usize) -> Result<Impossible<(), Error>, Error> {
        Err(unsupported())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Impossible<(), Error>, Error> {
        Err(unsupported())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Error>, Error> {
        Err(unsupported())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Error>, Error> {
        Err(unsupported())
    }
}

impl SerializeSeq for Elements<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Error> {
        self.writer.others = self.others.within_element(self.count);
        self.next();
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

impl SerializeStruct for Elements<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: ?Sized + Serialize>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.next();
        self.writer.out.push(b'"');
        self.writer.out.extend_from_slice(name.as_bytes());
        self.writer.out.extend_from_slice(b"\": ");
        self.writer.others = self.others.within(name);
        value.serialize(&mut *self.writer)
    }

    fn end(mut self) -> Result<(), Error> {
        self.writer.others = OtherMembers::NONE;
        for (name, value) in self.others.members() {
            self.next();
            self.writer.scalar(name)?;
            self.writer.out.extend_from_slice(b": ");
            value.serialize(&mut *self.writer)?;
        }
        self.close();
        Ok(())
    }
}

impl SerializeMap for Elements<'_, '_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Error> {
        self.next();
        let start = self.writer.out.len();
        key.serialize(&mut *self.writer)?;
        let is_text = self.writer.out.get(start) == Some(&b'"');
        if is_text { Ok(()) } else { Err(unsupported()) }
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Error> {
        self.writer.out.extend_from_slice(b": ");
        value.serialize(&mut *self.writer)
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

/// True if `text` contains a byte that JSON escapes: a control character, a quotation mark, or a backslash. Searches eight bytes
/// at a time, because a build for size vectorizes no loop.
fn has_escapes(text: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH_BITS: u64 = u64::from_ne_bytes([0x80; 8]);
    // The high bit of a byte is set where that byte is less than `limit`, and perhaps in bytes above such a one.
    let less_than = |word: u64, limit: u8| word.wrapping_sub(ONES.wrapping_mul(limit.into())) & !word & HIGH_BITS;
    let equal = |word: u64, byte: u8| less_than(word ^ ONES.wrapping_mul(byte.into()), 1);
    let (words, rest) = text.as_chunks::<8>();
    let in_word = |bytes: &[u8; 8]| {
        let word = u64::from_le_bytes(*bytes);
        less_than(word, b' ') | equal(word, b'"') | equal(word, b'\\') != 0
    };
    words.iter().any(in_word) || rest.iter().any(|&b| b < b' ' || b == b'"' || b == b'\\')
}

fn unsupported() -> Error {
    Error::custom("no document of a bundle has values of this type")
}

/// The comma, line break and indentation of a line, up to twice the depth of an exchange's JSON.
const LINE: &[u8] = b",\n                ";

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[derive(Serialize)]
    struct Named<'a> {
        text: &'a str,
        none: Option<u64>,
        some: Option<u16>,
        float: f64,
        list: Vec<Named<'a>>,
    }

    #[test]
    fn structs_have_the_layout_of_serde_json() {
        let texts = ["", "plain", "ü", "\"", "\\", "\u{1f}", "\u{7f}\u{80}", "a\nb", "/"];
        let floats = [0.0, 1.5, -0.25, 1e300, f64::NAN, f64::INFINITY, 0.1 + 0.2];
        let named = |text, float| Named { text, none: None, some: Some(u16::MAX), float, list: Vec::new() };
        for text in texts {
            for float in floats {
                let value = Named { list: vec![named(text, float), named("b", 1.0)], ..named(text, float) };
                let mut written = Vec::new();
                write(&mut written, &value).unwrap();
                assert_eq!(String::from_utf8(written).unwrap(), serde_json::to_string_pretty(&value).unwrap());
            }
        }
    }

    #[test]
    fn finds_a_byte_to_escape_at_any_place() {
        for len in 0..20 {
            for at in 0..len {
                for byte in 0..=0x7f_u8 {
                    // Beside neighbours whose subtraction borrows, or sets high bits.
                    for other in [b' ', b'!', 0x7f, 0xc3, 0xff] {
                        let mut text = vec![other; len];
                        text[at] = byte;
                        let is_escaped = byte < b' ' || byte == b'"' || byte == b'\\';
                        assert_eq!(has_escapes(&text), is_escaped, "{byte} among {other} at {at} of {len}");
                    }
                }
            }
        }
    }

    #[test]
    fn rejects_values_that_no_document_has() {
        let maps = std::collections::BTreeMap::from([(1, 2)]);
        assert!(write(&mut Vec::new(), &maps).is_err());
        assert!(write(&mut Vec::new(), &(1, 2)).is_err());
        assert!(write(&mut Vec::new(), &Ok::<u8, u8>(1)).is_err());
    }

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
