//! A JSON value with members in the order of insertion: the document, before it is written.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(u64),
    Text(String),
    Array(Vec<Json>),
    Object(Object),
}

/// The members of an object, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Object(Vec<(String, Json)>);

impl Object {
    /// Appends a member.
    pub(super) fn set(&mut self, name: impl AsRef<str>, value: impl Into<Json>) -> &mut Self {
        self.push(name.as_ref(), value.into());
        self
    }

    #[inline(never)] // Its hundreds of calls would take 20 KB of the binary.
    fn push(&mut self, name: &str, value: Json) {
        self.0.push((name.to_owned(), value));
    }

    /// Appends a member unless `value` is an empty array or object.
    pub(super) fn set_unless_empty(&mut self, name: &str, value: impl Into<Json>) -> &mut Self {
        let value = value.into();
        let is_empty = match &value {
            Json::Array(elements) => elements.is_empty(),
            Json::Object(object) => object.is_empty(),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => false,
        };
        if is_empty { self } else { self.set(name, value) }
    }

    /// As [`Object::set`], for building an object in one expression.
    pub(super) fn with(mut self, name: impl AsRef<str>, value: impl Into<Json>) -> Self {
        self.set(name, value);
        self
    }

    /// As [`Object::with`], unless there is a member `name`.
    pub(super) fn with_new(self, name: String, value: impl Into<Json>) -> Self {
        if self.get(&name).is_some() { self } else { self.with(name, value) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Json> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(super) fn get_mut(&mut self, name: &str) -> Option<&mut Json> {
        self.0.iter_mut().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    pub(super) fn members_mut(&mut self) -> impl Iterator<Item = (&str, &mut Json)> {
        self.0.iter_mut().map(|(name, value)| (name.as_str(), value))
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Json {
    fn from(value: u64) -> Self {
        Self::Number(value)
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Json {
    #[inline(never)]
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Object> for Json {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl<T: Into<Json>> From<Vec<T>> for Json {
    fn from(elements: Vec<T>) -> Self {
        Self::Array(elements.into_iter().map(Into::into).collect())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(value) => serializer.serialize_u64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Array(elements) => {
                let mut seq = serializer.serialize_seq(None)?;
                elements.iter().try_for_each(|element| seq.serialize_element(element))?;
                seq.end()
            }
            Self::Object(object) => {
                let mut map = serializer.serialize_map(None)?;
                object.members().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
                map.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_written_in_their_order() {
        let mut object = Object::default().with("b", 1u64).with("a", "\n").with_new("b".into(), 2u64);
        object.set_unless_empty("c", Object::default()).set_unless_empty("d", Vec::<bool>::new());
        object.set_unless_empty("e", Vec::from([true])).set("f", Json::Null);
        let text = serde_json::to_string(&Json::from(object)).unwrap();
        assert_eq!(text, r#"{"b":1,"a":"\n","e":[true],"f":null}"#);
    }
}
