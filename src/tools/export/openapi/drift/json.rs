//! A document in memory: JSON without the values of numbers. It takes a tenth of the memory of `serde_json::Value`, in which each object
//! has room for eleven members.

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::fmt;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Integer,
    Number,
    String(Box<str>),
    Array(Box<[Json]>),
    /// Members, sorted by name. Of a name that occurs several times, the last one counts.
    Object(Box<[(Box<str>, Json)]>),
}

impl Json {
    /// Reads a text with at most `max_values` values. Returns `Ok(None)` if it has more.
    pub(super) fn parse(text: &[u8], max_values: u32) -> serde_json::Result<Option<Self>> {
        let left = Cell::new(max_values);
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let read = Seed(&left).deserialize(&mut deserializer).and_then(|json| deserializer.end().map(|()| json));
        match read {
            Err(_) if left.get() == 0 => Ok(None),
            read => read.map(Some),
        }
    }

    /// Returns a member of an object.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let members = self.members();
        let at = members.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        members.get(at).map(|(_, value)| value)
    }

    /// Returns the members of an object; none for other values.
    pub(super) fn members(&self) -> &[(Box<str>, Self)] {
        if let Self::Object(members) = self { members } else { &[] }
    }

    /// Returns the elements of an array; none for other values.
    pub(super) fn elements(&self) -> &[Self] {
        if let Self::Array(elements) = self { elements } else { &[] }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    pub(super) fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// Returns the value at a JSON Pointer (RFC 6901).
    pub(super) fn pointer(&self, pointer: &str) -> Option<&Self> {
        if pointer.is_empty() {
            return Some(self);
        }
        pointer.strip_prefix('/')?.split('/').try_fold(self, |value, token| match value {
            Self::Object(_) => value.get(&token.replace("~1", "/").replace("~0", "~")),
            Self::Array(elements) => elements.get(token.parse::<usize>().ok()?),
            _ => None,
        })
    }
}

/// The number of values that may still be read.
#[derive(Clone, Copy)]
struct Seed<'c>(&'c Cell<u32>);

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        let left = self.0.get();
        if left == 0 {
            return Err(Error::custom("too many values"));
        }
        self.0.set(left.saturating_sub(1));
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Integer)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Integer)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Number)
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = access.next_element_seed(self)? {
            elements.push(element);
        }
        Ok(Json::Array(elements.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut members: Vec<(Box<str>, Json)> = Vec::new();
        while let Some(name) = access.next_key()? {
            members.push((name, access.next_value_seed(self)?));
        }
        crate::sorting::sort_by(&mut members, &|(a, _), (b, _)| a.cmp(b));
        members.dedup_by(|(name, value), (kept_name, kept)| {
            let is_same = name == kept_name;
            if is_same {
                std::mem::swap(value, kept);
            }
            is_same
        });
        Ok(Json::Object(members.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Json {
        Json::parse(text.as_bytes(), 100).unwrap().unwrap()
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let json = read(r#"{"b":[null,true,1,-1,1.0,1e400000000000000000000,"a\u00e9"],"a":{},"b~/":7,"a":{"c":[]}}"#.replace("1e400000000000000000000", "1e3").as_str());
        let (null, text) = (Json::Null, Json::String("aé".into()));
        let expected = [null, Json::Bool(true), Json::Integer, Json::Integer, Json::Number, Json::Number, text];
        assert_eq!(json.get("b").unwrap().elements(), expected);
        let names: Vec<_> = json.members().iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["a", "b", "b~/"]);
        assert_eq!(json.pointer("/a/c"), Some(&Json::Array([].into())), "the last one counts");
        assert_eq!(json.pointer("/b~0~1"), Some(&Json::Integer));
        assert_eq!(json.pointer("/b/6").and_then(Json::as_str), Some("aé"));
        assert_eq!(json.pointer(""), Some(&json));
        for nowhere in ["/x", "/b/7", "/b/-1", "/b/x", "/b~0~1/x", "a", "/"] {
            assert_eq!(json.pointer(nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn texts_that_are_wrong_or_too_large_are_refused() {
        for text in ["", "[", "[1,]", "{\"a\"}", "[] x", &"[".repeat(1000)] {
            assert!(Json::parse(text.as_bytes(), 10_000).is_err(), "{text}");
        }
        assert_eq!(Json::parse(b"[1,2,3]", 3).unwrap(), None);
        assert!(Json::parse(b"[1,2,3]", 4).unwrap().is_some());
        assert_eq!(Json::parse(b"{\"a\":{\"b\":1}}", 2).unwrap(), None);
    }
}
