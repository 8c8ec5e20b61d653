//! Walks over the members and strings of a JSON document, without a copy of it.

use super::parse::without_mark;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Where a member or string is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// The number of objects around it.
    pub(super) depth: usize,
    pub(super) is_in_array: bool,
}

/// Receives the name of each member, and then each string in it, with its name.
pub(super) type Watch<'w> = dyn FnMut(Place, &str, Option<&str>) + 'w;

/// Walks over a document. Returns false if it is not JSON.
pub(super) fn walk(json: &[u8], watch: &mut Watch<'_>) -> bool {
    let mut json = serde_json::Deserializer::from_slice(without_mark(json));
    Walker { place: Place::default(), name: "", watch }.deserialize(&mut json).is_ok() && json.end().is_ok()
}

struct Walker<'w, 'f> {
    place: Place,
    name: &'w str,
    watch: &'w mut Watch<'f>,
}

impl<'de> DeserializeSeed<'de> for Walker<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walker<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        (self.watch)(self.place, self.name, Some(text));
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let place = Place { is_in_array: true, ..self.place };
        while elements.next_element_seed(Walker { place, name: self.name, watch: self.watch })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let place = Place { depth: self.place.depth + 1, ..self.place };
        while let Some(name) = members.next_key::<Box<str>>()? {
            (self.watch)(place, &name, None);
            if place.depth > MAX_DEPTH {
                members.next_value::<IgnoredAny>()?;
            } else {
                members.next_value_seed(Walker { place, name: &name, watch: self.watch })?;
            }
        }
        Ok(())
    }
}

/// Deeper members are not walked over.
const MAX_DEPTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns `depth name`, `*` in an array, and the string of each call.
    fn walked(json: &str) -> Option<Vec<String>> {
        let mut calls = Vec::new();
        let is_json = walk(json.as_bytes(), &mut |Place { depth, is_in_array }, name, text| {
            let array = if is_in_array { "*" } else { "" };
            calls.push(format!("{depth}{array} {name}{}", text.map(|text| [" = ", text].concat()).unwrap_or_default()));
        });
        is_json.then_some(calls)
    }

    #[test]
    fn members_and_their_strings_are_visited_in_order() {
        let expected = ["1 a", "1 a = x", "1 b", "2 c", "2* c = y", "2* c = z", "1 d"];
        assert_eq!(walked(r#"{"a": "x", "b": {"c": ["y", ["z", 1, null]]}, "d": 1.5}"#).unwrap(), expected);
        assert_eq!(walked(r#"["x", {"a": true}]"#).unwrap(), ["0*  = x", "1* a"]);
        assert_eq!(walked("\u{feff}\"x\"").unwrap(), ["0  = x"]);
    }

    #[test]
    fn deep_members_are_skipped() {
        let nested = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        assert_eq!(walked(&nested(MAX_DEPTH)).unwrap().len(), MAX_DEPTH);
        assert_eq!(walked(&nested(10_000)).unwrap().len(), MAX_DEPTH + 1);
    }

    #[test]
    fn other_text_is_not_json() {
        for text in ["", "{", "{} x", "{'a': 1}", "\u{feff}\u{feff}1"] {
            assert_eq!(walked(text), None, "{text}");
        }
        assert!(walk(&[b"[".repeat(50), b"]".repeat(50)].concat(), &mut |_, _, _| {}));
        assert!(!walk(&b"[".repeat(100_000), &mut |_, _, _| {}), "too deep");
    }
}
