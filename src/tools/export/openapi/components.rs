//! The components of a document: schemas that occur several times, or that contain themselves.

use super::json_value::{Json, Object};
use super::names::pascal_case;
use crate::sorting::sort_by;
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
        let mut known = Counts::new();
        for (path, item) in paths.members_mut() {
            self.replace(item, path, &counts, &mut known);
        }
    }

    fn replace(&mut self, json: &mut Json, hint: &str, counts: &Counts, known: &mut Counts) {
        let hash = shareable(json).filter(|hash| counts.contains_key(hash));
        let Some(hash) = hash else { return self.replace_within(json, hint, counts, known) };
        if let Some((name, _)) = known.get(&hash).and_then(|at| self.schemas.get(*at)) {
            *json = Self::reference(name);
            return;
        }
        known.insert(hash, self.schemas.len());
        let name = self.reserve(hint);
        self.replace_within(json, hint, counts, known);
        self.define(&name, std::mem::replace(json, Self::reference(&name)));
    }

    fn replace_within(&mut self, json: &mut Json, hint: &str, counts: &Counts, known: &mut Counts) {
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
        sort_by(&mut self.schemas, &|(a, _), (b, _)| a.cmp(b));
        self.schemas.into_iter().fold(Object::default(), |all, (name, schema)| all.with(name, schema))
    }
}

/// A number by the hash of a schema: of its occurrences, or of its component.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::export::openapi::testing::value;
    use serde_json::{Value, json};

    /// The schema of an object with these members.
    fn object(members: &[(&str, Json)]) -> Json {
        let properties = members.iter().fold(Object::default(), |all, (name, schema)| all.with(*name, schema.clone()));
        Object::default().with("type", "object").with("properties", properties).into()
    }

    fn text() -> Json {
        Object::default().with("type", "string").into()
    }

    fn address() -> Json {
        object(&[("street", text()), ("city", text()), ("zip", text())])
    }

    /// Returns what is left of paths after [`Components::share`], and the components.
    fn shared(paths: &[(&str, Json)]) -> (Value, Value) {
        let mut components = Components::default();
        let mut all = paths.iter().fold(Object::default(), |all, (path, schema)| all.with(*path, schema.clone()));
        components.share(&mut all);
        (value(&all.into()), value(&components.into_schemas().into()))
    }

    fn reference(name: &str) -> Value {
        value(&Components::reference(name))
    }

    #[test]
    fn names_are_made_of_the_place_and_distinct() {
        let mut components = Components::default();
        let names = ["/v1/users/{userId}", "users", "User", "", "/{id}", "größe"].map(|hint| components.reserve(hint));
        assert_eq!(names, ["User", "User2", "User3", "Schema", "Schema2", "GrE"]);
        components.define("User2", text());
        assert_eq!(value(&components.into_schemas().into())["User2"], json!({"type": "string"}));
    }

    #[test]
    fn a_schema_that_occurs_twice_becomes_a_component() {
        let (paths, components) = shared(&[("/users", address()), ("/shops", address()), ("/other", text())]);
        assert_eq!(
            paths,
            json!({"/users": reference("User"), "/shops": reference("User"), "/other": {"type": "string"}})
        );
        assert_eq!(components, json!({"User": value(&address())}));
    }

    #[test]
    fn a_schema_within_others_is_called_by_its_member() {
        let user = |name: &str| object(&[(name, text()), ("home", address()), ("id", text())]);
        let (paths, components) = shared(&[("/users", user("a")), ("/shops", user("b"))]);
        assert_eq!(paths["/shops"]["properties"]["home"], reference("Home"));
        assert_eq!(components, json!({"Home": value(&address())}));
    }

    #[test]
    fn components_refer_to_each_other() {
        let user = object(&[("home", address()), ("work", address()), ("id", text())]);
        let (paths, components) = shared(&[("/users", user.clone()), ("/shops", user)]);
        assert_eq!(paths, json!({"/users": reference("User"), "/shops": reference("User")}));
        assert_eq!(components["User"]["properties"]["work"], reference("Home"));
        assert_eq!(components["Home"], value(&address()));
    }

    #[test]
    fn small_objects_and_single_ones_stay_in_place() {
        let small = object(&[("a", text()), ("b", text())]);
        let (paths, components) = shared(&[("/a", small.clone()), ("/b", small.clone()), ("/c", address())]);
        assert_eq!(components, json!({}));
        assert_eq!(paths, json!({"/a": value(&small), "/b": value(&small), "/c": value(&address())}));
    }

    #[test]
    fn a_member_called_properties_is_no_schema_of_an_object() {
        let odd = object(&[("type", text()), ("properties", address()), ("x", text())]);
        let (paths, components) = shared(&[("/a", odd), ("/b", address())]);
        assert_eq!(paths["/a"]["properties"]["properties"], reference("Property"));
        assert_eq!(components.as_object().unwrap().len(), 1);
    }
}
