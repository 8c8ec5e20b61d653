//! JSON: the strings and numbers of documents, in a text that may arrive in pieces.
//!
//! ```text
//! {"a": "x", "b": ["y", 1]}       a=x  b=y  b=1           names are no leaves
//! {"name": "token", "value": "x"} name=token  token=x     a pair
//! {"a": 1}{"a": 2}                lines of documents, and documents with separators
//! {"a": "x                        a truncated document: its last value is a leaf
//! ```
//!
//! A syntax error ends the lexer. The rest of the text has no known grammar.
//!
//! Memory is bounded by the depth and by the lengths of the names that are kept, and by the longest string, which must be in memory
//! as a whole.

use super::super::leaf::{Kind, Layer, Leaf, Place, Visitor};

/// The state between two tokens.
#[derive(Debug, Default)]
pub(in super::super) struct Lexer {
    stack: Vec<Container>,
    expected: Expected,
}

/// An object or array that is open.
#[derive(Debug)]
struct Container {
    is_object: bool,
    /// The name of the current member or, in an array, that of the array.
    name: String,
    is_secret: bool,
    /// The value of a member such as "name", which may be the name of the value beside it.
    pair_name: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Expected {
    #[default]
    Value,
    /// A value, or the end of an array.
    ValueOrEnd,
    /// A name, or the end of an object.
    Name,
    Colon,
    /// A comma, or the end of a container.
    Comma,
}

/// The offset of a syntax error.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct SyntaxError(pub(in super::super) usize);

impl Lexer {
    /// Lists the values in `text`, which follows the texts of earlier calls. Returns the number of bytes that were lexed: the rest is
    /// an incomplete token, to be passed again with more text. At the end of all text, it is a truncated one.
    pub(in super::super) fn leaves(
        &mut self,
        text: &str,
        is_end: bool,
        visitor: &mut dyn Visitor,
    ) -> Result<usize, SyntaxError> {
        let bytes = text.as_bytes();
        let mut at: usize = 0;
        while let Some(&byte) = bytes.get(at) {
            let end = match byte {
                b' ' | b'\t' | b'\r' | b'\n' | RECORD_SEPARATOR => at.saturating_add(1),
                0xef if text.get(at..).is_some_and(|rest| rest.starts_with('\u{feff}')) => at.saturating_add(3),
                b'"' => match string_end(bytes, at).ok_or(SyntaxError(at))? {
                    StringEnd::At(end) => {
                        self.string(text, at.saturating_add(1)..end.saturating_sub(1), visitor)
                            .ok_or(SyntaxError(at))?;
                        end
                    }
                    StringEnd::Truncated if is_end => {
                        self.string(text, at.saturating_add(1)..text.len(), visitor);
                        text.len()
                    }
                    StringEnd::Truncated => return Ok(at),
                },
                b'{' | b'[' | b'}' | b']' | b':' | b',' => {
                    self.punctuation(byte, visitor).ok_or(SyntaxError(at))?;
                    at.saturating_add(1)
                }
                _ => {
                    let len = bytes.iter().skip(at).take_while(|byte| is_in_scalar(**byte)).count();
                    let end = at.saturating_add(len);
                    if end == bytes.len() && !is_end && len <= MAX_SCALAR_BYTES {
                        return Ok(at);
                    }
                    self.scalar(text, at..end, visitor).ok_or(SyntaxError(at))?;
                    end
                }
            };
            at = end;
        }
        Ok(at)
    }

    /// Takes a string. Returns `None` where no string may be.
    fn string(&mut self, text: &str, range: std::ops::Range<usize>, visitor: &mut dyn Visitor) -> Option<()> {
        let raw = text.get(range.clone())?;
        match self.expected {
            Expected::Name => {
                let container = self.stack.last_mut()?;
                container.name.clear();
                if raw.len() <= MAX_NAME_BYTES {
                    container.name.push_str(&Layer::Json.decode(raw).text);
                }
                self.expected = Expected::Colon;
                Some(())
            }
            Expected::Value | Expected::ValueOrEnd => {
                self.value(range, Kind::Text, visitor);
                if let Some(container) = self.stack.last_mut()
                    && PAIR_NAMES.contains(&container.name.as_str())
                    && raw.len() <= MAX_NAME_BYTES
                {
                    container.pair_name = Some(Layer::Json.decode(raw).text.into_owned());
                }
                self.expected = self.after_value();
                Some(())
            }
            Expected::Colon | Expected::Comma => None,
        }
    }

    fn scalar(&mut self, text: &str, range: std::ops::Range<usize>, visitor: &mut dyn Visitor) -> Option<()> {
        let scalar = text.get(range.clone())?;
        let is_number = scalar.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit());
        if !matches!(self.expected, Expected::Value | Expected::ValueOrEnd) {
            return None;
        }
        if is_number {
            self.value(range, Kind::Number, visitor);
        } else if !["true", "false", "null"].iter().any(|literal| literal.starts_with(scalar)) || scalar.is_empty() {
            return None;
        }
        self.expected = self.after_value();
        Some(())
    }

    fn value(&self, range: std::ops::Range<usize>, kind: Kind, visitor: &mut dyn Visitor) {
        let container = self.stack.last();
        let name = container.map_or("", |container| match &container.pair_name {
            Some(name) if PAIR_VALUES.contains(&container.name.as_str()) => name,
            _ => &container.name,
        });
        if !range.is_empty() {
            let is_part_of_secret = container.is_some_and(|container| container.is_secret);
            visitor.leaf(Leaf { place: Place::Json, name, range, layer: Layer::Json, kind, is_part_of_secret });
        }
    }

    fn punctuation(&mut self, byte: u8, visitor: &mut dyn Visitor) -> Option<()> {
        let is_object = self.stack.last().is_some_and(|container| container.is_object);
        self.expected = match (byte, self.expected) {
            (b'{' | b'[', Expected::Value | Expected::ValueOrEnd) => {
                if self.stack.len() >= MAX_DEPTH {
                    return None;
                }
                let (name, is_in_secret) =
                    self.stack.last().map_or(("", false), |container| (&*container.name, container.is_secret));
                let is_secret = is_in_secret || (!name.is_empty() && visitor.is_secret_container(Place::Json, name));
                let name = if byte == b'[' { name.to_owned() } else { String::new() };
                self.stack.push(Container { is_object: byte == b'{', name, is_secret, pair_name: None });
                if byte == b'{' { Expected::Name } else { Expected::ValueOrEnd }
            }
            // A comma before the end is accepted.
            (b'}', Expected::Name | Expected::Comma) if is_object => {
                self.stack.pop();
                self.after_value()
            }
            (b']', Expected::Value | Expected::ValueOrEnd | Expected::Comma)
                if !is_object && !self.stack.is_empty() =>
            {
                self.stack.pop();
                self.after_value()
            }
            (b':', Expected::Colon) => Expected::Value,
            (b',', Expected::Comma) if is_object => Expected::Name,
            (b',', Expected::Comma) => Expected::Value,
            _ => return None,
        };
        Some(())
    }

    fn after_value(&self) -> Expected {
        if self.stack.is_empty() { Expected::Value } else { Expected::Comma }
    }
}

enum StringEnd {
    /// The offset after the closing quote.
    At(usize),
    Truncated,
}

/// Finds the end of the string whose opening quote is at `open`. Returns `None` for a line break, which no string contains.
fn string_end(bytes: &[u8], open: usize) -> Option<StringEnd> {
    let mut at = open.saturating_add(1);
    loop {
        let rest = bytes.get(at..)?;
        let Some(len) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r')) else {
            return Some(StringEnd::Truncated);
        };
        match rest.get(len)? {
            b'"' => return Some(StringEnd::At(at.saturating_add(len).saturating_add(1))),
            b'\\' if rest.len() < len.saturating_add(2) => return Some(StringEnd::Truncated),
            b'\\' => at = at.saturating_add(len).saturating_add(2),
            _ => return None,
        }
    }
}

fn is_in_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')
}

/// JSON text sequences (RFC 7464) and SignalR.
const RECORD_SEPARATOR: u8 = 0x1e;

/// Members whose value is the name of a value beside them, and members with that value.
const PAIR_NAMES: &[&str] = &["name", "key", "field", "header", "id", "Name", "Key"];
const PAIR_VALUES: &[&str] = &["value", "val", "Value", "content", "default"];

/// Deeper documents are not lexed.
const MAX_DEPTH: usize = 1000;

/// Longer names are not those of secrets.
const MAX_NAME_BYTES: usize = 256;

/// No number is longer.
const MAX_SCALAR_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::super::super::leaf::testing;
    use super::*;

    fn leaves(text: &str) -> Vec<String> {
        testing::leaves(text, |text, visitor| {
            assert_eq!(Lexer::default().leaves(text, true, visitor), Ok(text.len()), "{text}");
        })
    }

    #[test]
    fn lists_strings_and_numbers_with_their_names() {
        for (text, expected) in [
            (r#"{"a":"x\"}\\","b":["y",-1.5e3,true,null,{"c":""}],"d":{}}"#, &["a=x\"}\\", "b=y", "b=-1.5e3"][..]),
            (r#" {"\u006bey" : "\u0041"} "#, &["key=A"]),
            (r#"{"secret":{"a":["x",{"b":"y"}],"c":false},"d":"z"}"#, &["!a=x", "!b=y", "d=z"]),
            (r#"[{"name":"token","value":"x"},{"value":"y"}]"#, &["name=token", "token=x", "value=y"]),
            ("{\"a\":1}\n{\"a\":2}\u{1e}\"b\"", &["a=1", "a=2", "=b"]),
            ("42[\"e\",{}]", &["=42", "=e"]),
            ("\u{feff}[1]", &["=1"]),
            (r#"{"a":"cut o"#, &["a=cut o"]),
            (r#"{"a":["b","c\"#, &["a=b", "a=c\\"]),
            (r#"{"a":"#, &[]),
            (r#"{"a":tru"#, &[]),
            ("[1,]", &["=1"]),
        ] {
            assert_eq!(leaves(text), expected, "{text}");
        }
    }

    #[test]
    fn a_syntax_error_ends_the_lexer() {
        for (text, expected) in [
            ("{a:1}", 1),
            ("[1 2]", 3),
            (r#"{"a" "b"}"#, 5),
            ("{\"a\":\"x\ny\"}", 5),
            ("{\"a\":1]", 6),
            ("]", 0),
            (r#"{"a":x}"#, 5),
            (r#"{"a":'x'}"#, 5),
        ] {
            let mut listing = testing::Listing(text, Vec::new());
            assert_eq!(Lexer::default().leaves(text, true, &mut listing), Err(SyntaxError(expected)), "{text}");
        }
        let deep = "[".repeat(2000);
        let mut listing = testing::Listing(&deep, Vec::new());
        assert_eq!(Lexer::default().leaves(&deep, true, &mut listing), Err(SyntaxError(MAX_DEPTH)));
    }

    #[test]
    fn splits_do_not_matter() {
        let text = r#"{"a":"x\"y","\u00fc":[12,{"b":"ü\\"}],"c":true}"#;
        let expected = leaves(text);
        for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
            let mut lexer = Lexer::default();
            let mut found = Vec::new();
            let mut rest = String::new();
            for (piece, is_end) in [(&text[..cut], false), (&text[cut..], true)] {
                rest.push_str(piece);
                let mut listing = testing::Listing(&rest, Vec::new());
                let used = lexer.leaves(&rest, is_end, &mut listing).unwrap();
                found.extend(listing.1);
                rest.drain(..used);
            }
            assert_eq!((found, rest), (expected.clone(), String::new()), "{cut}");
        }
    }
}
