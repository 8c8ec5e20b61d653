//! Reads JSON into a [`Shape`], without a copy of the document.

use super::shape::variants::Variant;
use super::shape::{Budget, Shape, words};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::io::Read;

/// Adds the JSON document `text` to `shape`. Returns false if it is not JSON: `shape` may then have parts of it.
pub(super) fn add_document(text: &[u8], shape: &mut Shape, budget: &mut Budget) -> bool {
    let mut json = serde_json::Deserializer::from_slice(text);
    Place { shape, budget, depth: 0 }.deserialize(&mut json).is_ok() && json.end().is_ok()
}

/// Returns the shape of the JSON document `text`, `None` if it is not JSON.
pub(super) fn document(text: &[u8]) -> Option<Shape> {
    let mut shape = Shape::default();
    let mut budget = Budget::BODY;
    add_document(text, &mut shape, &mut budget).then_some(shape)
}

/// Returns the shape of the JSON document that `reader` reads, `None` if it is not JSON or cannot be read.
pub(super) fn large_document(reader: impl Read) -> Option<Shape> {
    let mut shape = Shape::default();
    let mut budget = Budget::BODY;
    let mut json = serde_json::Deserializer::from_reader(reader);
    let place = Place { shape: &mut shape, budget: &mut budget, depth: 0 };
    (place.deserialize(&mut json).is_ok() && json.end().is_ok()).then_some(shape)
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
