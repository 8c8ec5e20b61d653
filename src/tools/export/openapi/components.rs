//! The components of a document: schemas that occur several times, or that contain themselves.

use super::json_value::{Json, Object};
use super::names::pascal_case;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Schemas by name.
#[derive(Debug, Default)]
pub(super) struct Components {
    schemas: Vec<(String, Json)>,
}

impl Components {
    /// Returns a name for a schema that is defined later, made of `hint`.
    pub(super) fn reserve(&mut self, hint: &str) -> String {
        let base = Some(pascal_case(hint)).filter(|name| !name.is_empty()).unwrap_or_else(|| "Schema".into());
        let is_free = |name: &String| self.schemas.iter().all(|(known, _)| known != name);
        let numbered = (2..).map(|n: u32| format!("{base}{n}"));
        let name = std::iter::once(base.clone()).chain(numbered).find(is_free).unwrap_or_default();
        self.schemas.push((name.clone(), Json::Null));
        name
    }

    pub(super) fn define(&mut self, name: &str, schema: Json) {
        if let Some((_, place)) = self.schemas.iter_mut().find(|(known, _)| known == name) {
            *place = schema;
        }
    }

    /// Returns `{"$ref": ...}`.
    pub(super) fn reference(name: &str) -> Json {
        Object::default().with("$ref", ["#/components/schemas/", name].concat()).into()
    }

    /// Replaces schemas of objects that occur more than once in `paths` by references.
    pub(super) fn share(&mut self, paths: &mut Object) {
        let mut counts = HashMap::new();
        paths.members().for_each(|(_, item)| count(item, &mut counts));
        self.schemas.iter().for_each(|(_, schema)| count_members(schema, &mut counts));
        counts.retain(|_, count| *count >= 2);
        let mut known = HashMap::new();
        for (path, item) in paths.members_mut() {
            self.replace(item, path, &counts, &mut known);
        }
    }

    fn replace(&mut self, json: &mut Json, hint: &str, counts: &Counts, known: &mut HashMap<u64, String>) {
        let hash = shareable(json).filter(|hash| counts.contains_key(hash));
        let Some(hash) = hash else { return self.replace_within(json, hint, counts, known) };
        let name = known.get(&hash).cloned().unwrap_or_else(|| {
            let name = self.reserve(hint);
            known.insert(hash, name.clone());
            let mut schema = json.clone();
            self.replace_within(&mut schema, hint, counts, known);
            self.define(&name, schema);
            name
        });
        *json = Self::reference(&name);
    }

    fn replace_within(&mut self, json: &mut Json, hint: &str, counts: &Counts, known: &mut HashMap<u64, String>) {
        match json {
            Json::Object(object) => {
                for (name, value) in object.members_mut() {
                    match (name, value) {
                        ("properties", Json::Object(properties)) => {
                            properties.members_mut().for_each(|(name, value)| self.replace(value, name, counts, known));
                        }
                        (_, value) => self.replace(value, hint, counts, known),
                    }
                }
            }
            Json::Array(elements) => elements.iter_mut().for_each(|value| self.replace(value, hint, counts, known)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => {}
        }
    }

    /// Returns the schemas, sorted by name.
    pub(super) fn into_schemas(mut self) -> Object {
        self.schemas.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.schemas.into_iter().fold(Object::default(), |all, (name, schema)| all.with(name, schema))
    }
}

/// The number of occurrences by the hash of a schema.
type Counts = HashMap<u64, usize>;

fn count(json: &Json, counts: &mut Counts) {
    if let Some(hash) = shareable(json) {
        let known = counts.entry(hash).or_insert(0usize);
        *known += 1;
        if *known > 1 {
            return;
        }
    }
    count_members(json, counts);
}

fn count_members(json: &Json, counts: &mut Counts) {
    match json {
        Json::Object(object) => object.members().for_each(|(_, value)| count(value, counts)),
        Json::Array(elements) => elements.iter().for_each(|value| count(value, counts)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => {}
    }
}

/// Returns the hash of `json` if it is the schema of an object with members enough to have a name.
fn shareable(json: &Json) -> Option<u64> {
    let Json::Object(object) = json else { return None };
    let Some(Json::Object(properties)) = object.get("properties") else { return None };
    let is_object = matches!(object.get("type"), Some(Json::Text(name)) if name == "object");
    (is_object && properties.len() >= MIN_SHARED_MEMBERS).then(|| {
        let mut hasher = DefaultHasher::new();
        json.hash(&mut hasher);
        hasher.finish()
    })
}

/// Objects with fewer members, such as `{"id": ...}`, are alike by chance.
const MIN_SHARED_MEMBERS: usize = 3;
