//! The members of a JSON document that this program does not know. Other producers and later versions may write some; a new bundle
//! made of theirs keeps them.
//!
//! ```text
//! {"id": …, "mark": 1, "request": {"url": …, "proto": "h3"}}   members: mark, within request: proto
//! ```

use serde::Serialize;
use serde_json::Value;

/// The unknown members of an object, and of the objects and lists in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct OtherMembers {
    members: Vec<(String, Value)>,
    /// Known members, and elements of lists by their index, that have unknown members.
    within: Vec<(String, OtherMembers)>,
}

impl OtherMembers {
    /// No members.
    pub(crate) const NONE: &'static Self = &Self { members: Vec::new(), within: Vec::new() };

    /// Returns the members in the JSON `content` that are missing in `known`, which was read from it.
    pub(crate) fn of(content: &[u8], known: &impl Serialize) -> Self {
        if content.len() > MAX_BYTES {
            return Self::default();
        }
        match (serde_json::from_slice(content), serde_json::to_value(known)) {
            (Ok(all), Ok(known)) => Self::difference(all, &known),
            _ => Self::default(),
        }
    }

    fn difference(all: Value, known: &Value) -> Self {
        let mut others = Self::default();
        let mut compare = |name: String, value: Value, known: Option<&Value>| match known {
            None => others.members.push((name, value)),
            Some(known) => {
                let inner = Self::difference(value, known);
                if inner != *Self::NONE {
                    others.within.push((name, inner));
                }
            }
        };
        match (all, known) {
            (Value::Object(all), Value::Object(known)) => {
                for (name, value) in all {
                    let known = known.get(&name);
                    compare(name, value, known);
                }
            }
            (Value::Array(all), Value::Array(known)) => {
                for (index, (value, known)) in all.into_iter().zip(known).enumerate() {
                    compare(index.to_string(), value, Some(known));
                }
            }
            _ => {}
        }
        others
    }

    /// Returns the unknown members of this object.
    pub(crate) fn members(&self) -> &[(String, Value)] {
        &self.members
    }

    /// Returns those of its member `name`.
    #[inline]
    pub(crate) fn within(&self, name: &str) -> &Self {
        // Documents of this program, which are written while the app runs, have none.
        if self.within.is_empty() { Self::NONE } else { self.find_within(name) }
    }

    fn find_within(&self, name: &str) -> &Self {
        self.within.iter().find(|(known, _)| known == name).map_or(Self::NONE, |(_, others)| others)
    }

    /// Returns those of element `index` of a list.
    pub(crate) fn within_element(&self, index: usize) -> &Self {
        if self.within.is_empty() { Self::NONE } else { self.within(&index.to_string()) }
    }

    /// Adds the members of `later` whose names are not among these.
    #[cfg(feature = "tools")]
    pub(crate) fn add_missing(&mut self, later: Self) {
        for (name, value) in later.members {
            if self.members.iter().all(|(known, _)| *known != name) {
                self.members.push((name, value));
            }
        }
        for (name, others) in later.within {
            match self.within.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => known.add_missing(others),
                None => self.within.push((name, others)),
            }
        }
    }

    /// Replaces values, each with its name.
    pub(crate) fn replace(&mut self, new: &mut dyn FnMut(&str, &Value) -> Option<Value>) {
        for (name, value) in &mut self.members {
            if let Some(new) = new(name, value) {
                *value = new;
            }
        }
        self.within.iter_mut().for_each(|(_, others)| others.replace(new));
    }
}

/// Larger documents lose their unknown members: parsed values take up to 30 times their size in memory.
const MAX_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::json;
    use crate::bundle::reader::Trace;
    use serde_json::json;

    const DOCUMENT: &str = r#"{"id": "t_0001", "later": [1, {"a": null}], "cut_off": null, "request":
        {"url": "http://a.test/", "proto": "h3", "headers": [{"name": "A", "value": "1"}, {"name": "B", "trailer": true}]}}"#;

    #[test]
    fn unknown_members_are_found_and_written() {
        let mut trace: Trace = serde_json::from_str(DOCUMENT).unwrap();
        let mut others = OtherMembers::of(DOCUMENT.as_bytes(), &trace);
        trace.request.url = "http://b.test/".into();
        others.replace(&mut |name, value| (name == "proto").then(|| json!(format!("new {value}"))));
        let written: Value = serde_json::from_slice(&json::to_vec_with(&trace, &others).unwrap()).unwrap();
        assert_eq!(written["later"], json!([1, {"a": null}]));
        assert_eq!((written.get("cut_off"), &written["timestamp"]), (Some(&Value::Null), &json!(0)));
        assert_eq!(written["request"]["proto"], "new \"h3\"");
        assert_eq!(written["request"]["url"], "http://b.test/");
        let headers = &written["request"]["headers"];
        assert_eq!(headers[0], json!({"name": "A", "value": "1"}));
        assert_eq!(headers[1], json!({"name": "B", "value": "", "trailer": true}));
    }

    #[test]
    fn documents_of_this_program_have_none() {
        let trace: Trace = serde_json::from_str(r#"{"id": "t_0001", "cut_off": {"side": "request"}}"#).unwrap();
        let json = json::to_vec(&trace).unwrap();
        assert_eq!(OtherMembers::of(&json, &trace), *OtherMembers::NONE);
        assert_eq!(json::to_vec_with(&trace, OtherMembers::NONE).unwrap(), json);
        let large = format!(r#"{{"later": "{}"}}"#, "x".repeat(MAX_BYTES));
        assert_eq!(OtherMembers::of(large.as_bytes(), &json!({})), *OtherMembers::NONE);
    }
}
