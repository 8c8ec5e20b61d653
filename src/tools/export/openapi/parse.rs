//! Reads JSON into a [`Shape`], without a copy of the document.

use super::shape::variants::Variant;
use super::shape::{Budget, Shape, words};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Adds the JSON document `text` to `shape`. Returns false if it is not JSON: `shape` may then have parts of it.
pub(super) fn add_document(text: &[u8], shape: &mut Shape, budget: &mut Budget) -> bool {
    let mut json = serde_json::Deserializer::from_slice(without_mark(text));
    Place { shape, budget, depth: 0 }.deserialize(&mut json).is_ok() && json.end().is_ok()
}

/// Returns the shape of the JSON document `text`, `None` if it is not JSON.
pub(super) fn document(text: &[u8]) -> Option<Shape> {
    let mut shape = Shape::default();
    let mut budget = Budget::BODY;
    add_document(text, &mut shape, &mut budget).then_some(shape)
}

/// Returns `text` without a byte order mark, which servers may send and parsers may ignore (RFC 8259 section 8.1).
pub(super) fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text)
}

/// A place to which a value is added.
struct Place<'s> {
    shape: &'s mut Shape,
    budget: &'s mut Budget,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    /// The text of a short word, which may be the tag of an object.
    type Value = Option<Box<str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    /// The text of a short word, which may be the tag of an object.
    type Value = Option<Box<str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        self.shape.booleans += 1;
        Ok(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        self.shape.integers += 1;
        Ok(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        self.shape.integers += 1;
        Ok(None)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        // Larger integers than 64 bits arrive here. So do numbers such as 1e30, which are integers in JSON Schema (section 6.1.1).
        let is_integer = number.abs() >= 9_223_372_036_854_775_808.0 && number.is_finite();
        match is_integer {
            true => self.shape.integers += 1,
            false => self.shape.decimals += 1,
        }
        Ok(None)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        self.shape.add_string(text);
        Ok(words::is_code(text).then(|| text.into()))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        self.shape.nulls += 1;
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let arrays = self.shape.arrays.get_or_insert_default();
        arrays.count += 1;
        if self.depth >= MAX_DEPTH {
            arrays.items.is_incomplete = true;
            while elements.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(None);
        }
        loop {
            let place = Place { shape: &mut arrays.items, budget: self.budget, depth: self.depth + 1 };
            if elements.next_element_seed(place)?.is_none() {
                return Ok(None);
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let objects = self.shape.objects.get_or_insert_default();
        objects.count += 1;
        let mut variant = Variant::default();
        while let Some(name) = members.next_key::<Box<str>>()? {
            let shape = if self.depth < MAX_DEPTH { objects.add_member(&name, self.budget) } else { None };
            let word = match shape {
                Some(shape) => members.next_value_seed(Place { shape, budget: self.budget, depth: self.depth + 1 })?,
                None => {
                    self.shape.is_incomplete = true;
                    members.next_value::<IgnoredAny>()?;
                    None
                }
            };
            variant.add(name, word);
        }
        objects.variants.add(variant);
        Ok(None)
    }
}

/// Deeper values are not described.
const MAX_DEPTH: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::export::openapi::testing::written;
    use serde_json::{Value, json};

    fn schema(text: &str) -> Value {
        let shape = document(text.as_bytes()).unwrap_or_else(|| panic!("not JSON: {text}"));
        written(false, |writer| writer.schema(&shape, "")).0
    }

    #[test]
    fn numbers_are_integers_whatever_their_size() {
        for (text, expected) in [
            ("0", "integer"),
            ("-9007199254740993", "integer"),
            ("9007199254740993", "integer"),
            ("18446744073709551615", "integer"),
            ("18446744073709551616", "integer"),
            ("-9223372036854775809", "integer"),
            ("123456789012345678901234567890", "integer"),
            ("1.5", "number"),
            ("1.0", "number"),
            ("1e3", "number"),
            ("-0.0", "number"),
            ("1e-30", "number"),
            ("1e30", "integer"),
        ] {
            assert_eq!(schema(text), json!({"type": expected}), "{text}");
        }
        assert_eq!(schema("[1, 2.5]")["items"], json!({"type": "number"}), "a number may be an integer");
    }

    #[test]
    fn values_have_their_types() {
        for (text, expected) in [
            ("null", json!({"type": "null"})),
            ("true", json!({"type": "boolean"})),
            ("\"a\"", json!({"type": "string"})),
            ("[]", json!({"type": "array", "items": {}})),
            ("{}", json!({"type": "object"})),
            (
                "[1, null, \"a b\", false]",
                json!({"type": "array", "items": {"type": ["string", "integer", "boolean", "null"]}}),
            ),
            ("\u{feff}1", json!({"type": "integer"})),
        ] {
            assert_eq!(schema(text), expected, "{text}");
        }
    }

    #[test]
    fn a_name_that_an_object_repeats_is_counted_once() {
        let shape = document(br#"[{"a": 1, "a": "x y", "b": 1}, {"b": 2}]"#).unwrap();
        let (schema, _) = written(false, |writer| writer.schema(&shape, ""));
        let expected = json!({
            "type": "object",
            "properties": {"a": {"type": ["string", "integer"]}, "b": {"type": "integer"}},
            "required": ["b"],
        });
        assert_eq!(schema["items"], expected);
    }

    #[test]
    fn other_text_is_not_json() {
        for text in ["", " ", "{", "[1,]", "{\"a\": 1} 2", "nul", "'a'", "{\"a\"}", "\u{feff}"] {
            assert!(document(text.as_bytes()).is_none(), "{text}");
        }
        assert!(document(b"\"\xff\"").is_none(), "not UTF-8");
    }

    #[test]
    fn values_below_a_depth_are_left_out_and_that_is_marked() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |depth: usize| [open.repeat(depth), "1".into(), close.repeat(depth)].concat();
            let is_complete = |depth: usize| !schema(&nested(depth)).to_string().contains("x-incomplete");
            assert!(is_complete(MAX_DEPTH) && !is_complete(MAX_DEPTH + 1), "{open}");
            assert!(!is_complete(100_000), "no limit of the parser: {open}");
        }
    }

    #[test]
    fn members_beyond_the_budget_are_left_out_and_that_is_marked() {
        let objects: Vec<_> = (0..100).map(|n| json!({format!("a{n}"): {"b": 1}})).collect();
        let mut shape = Shape::default();
        let mut budget = Budget(50);
        assert!(add_document(json!({"items": objects}).to_string().as_bytes(), &mut shape, &mut budget));
        let (schema, _) = written(false, |writer| writer.schema(&shape, ""));
        assert!(budget.0 == 0 && schema.to_string().contains("x-incomplete"), "{schema}");
    }
}
