//! Writes a [`Shape`] as JSON Schema 2020-12.
//!
//! | shape | schema |
//! |---|---|
//! | names that all objects have | `required` |
//! | names that are keys of data | `additionalProperties` |
//! | objects that exclude each other | `oneOf` |
//! | an object within one of the same names | a component, and `$ref` to it |
//! | parts that are not described | `x-incomplete` |

use super::components::Components;
use super::json_value::{Json, Object};
use super::names::has_codes;
use super::shape::variants::Alternative;
use super::shape::words::Words;
use super::shape::{Arrays, Budget, Member, Objects, Shape, Strings};
use super::text_kind::TextKind;
use crate::tools::redact::is_secret_name;

#[cfg(test)]
mod tests;

/// Writes schemas.
pub(super) struct SchemaWriter<'c> {
    pub(super) components: &'c mut Components,
    /// Words of the capture may be written.
    pub(super) has_examples: bool,
}

impl SchemaWriter<'_> {
    /// Returns the schema of `shape`, at a place called `name`.
    pub(super) fn schema(&mut self, shape: &Shape, name: &str) -> Json {
        if let Some(component) = &shape.component {
            let reference = Components::reference(component);
            let rest = Shape { component: None, ..shape.clone() };
            return match rest.is_empty() {
                true => reference,
                false => Object::default().with("anyOf", Json::Array(vec![reference, self.schema(&rest, name)])).into(),
            };
        }
        let objects = shape.objects.as_deref();
        if let Some(objects) = objects.filter(|objects| !objects.is_map(name) && is_recursive(objects)) {
            return self.recursive(shape, objects, name);
        }
        let alternatives =
            objects.filter(|objects| !objects.is_map(name)).and_then(|objects| objects.variants.alternatives());
        if let Some((objects, alternatives)) = objects.zip(alternatives) {
            return self.one_of(shape, objects, &alternatives, name).into();
        }
        let mut schema = Object::default();
        set_types(&mut schema, &types(shape));
        if let Some(strings) = shape.strings.as_deref() {
            let is_alone = shape.count() == strings.count + shape.nulls;
            self.add_strings(&mut schema, strings, is_alone, shape.nulls > 0, name);
        }
        if shape.files > 0 && shape.strings.is_none() {
            schema.set("format", "binary");
        }
        if let Some(Arrays { items, .. }) = shape.arrays.as_deref() {
            schema.set("items", self.schema(items, name));
        }
        if let Some(objects) = objects {
            self.add_objects(&mut schema, objects, name);
        }
        if shape.is_incomplete {
            schema.set("x-incomplete", true);
        }
        schema.into()
    }

    /// Adds the format or the words of strings. `is_alone` if other values than null were not seen.
    pub(super) fn add_strings(
        &self,
        schema: &mut Object,
        strings: &Strings,
        is_alone: bool,
        has_null: bool,
        name: &str,
    ) {
        if let Some(format) = strings.kinds.format() {
            schema.set("format", format);
        } else if strings.kinds.has(TextKind::Integer) {
            schema.set("pattern", "^-?[0-9]+$");
        } else if let Some(words) = self.enumeration(&strings.words, name).filter(|words| is_alone && words.len() > 1) {
            let words = words.into_iter().map(Json::from);
            schema.set("enum", Json::Array(words.chain(has_null.then_some(Json::Null)).collect()));
        }
    }

    /// Returns the words that may be written.
    fn enumeration<'w>(&self, words: &'w Words, name: &str) -> Option<Vec<&'w str>> {
        match self.has_examples {
            true => words.all().filter(|_| !is_secret_name(name, true)),
            false => words.all_codes().filter(|_| has_codes(name)),
        }
    }

    fn add_objects(&mut self, schema: &mut Object, objects: &Objects, name: &str) {
        if objects.is_map(name) {
            let mut values = Shape::default();
            let mut budget = Budget::BODY;
            objects.members.iter().for_each(|member| values.merge(member.shape.clone(), &mut budget));
            objects.others.iter().for_each(|others| values.merge(others.clone(), &mut budget));
            schema.set("additionalProperties", self.schema(&values, name));
            return;
        }
        let required =
            objects.members.iter().filter(|member| member.count == objects.count).map(|member| &*member.name);
        self.add_members(schema, objects, &objects.names(), &required.collect::<Vec<_>>());
    }

    fn add_members(&mut self, schema: &mut Object, objects: &Objects, names: &[&str], required: &[&str]) {
        let mut properties = Object::default();
        for member in objects.members.iter().filter(|member| names.contains(&&*member.name)) {
            properties.set(&*member.name, self.schema(&member.shape, &member.name));
        }
        schema.set_unless_empty("properties", properties);
        schema.set_unless_empty("required", required.to_vec());
    }

    fn one_of(&mut self, shape: &Shape, objects: &Objects, alternatives: &[Alternative], name: &str) -> Object {
        let mut schemas = Vec::new();
        for alternative in alternatives {
            let mut schema = Object::default().with("type", "object");
            self.add_members(&mut schema, objects, &borrowed(&alternative.names), &borrowed(&alternative.required));
            if let Some((tag, words)) = &alternative.tag
                && self.may_write_tag(objects, tag)
                && let Some(words) = words.all()
                && let Some(Json::Object(properties)) = schema.get_mut("properties")
                && let Some(property) = properties.get_mut(tag)
            {
                let words: Vec<_> = words.into_iter().map(Json::from).collect();
                *property = Object::default().with("enum", Json::Array(words)).into();
            }
            schemas.push(schema.into());
        }
        let rest = Shape { objects: None, ..shape.clone() };
        if !rest.is_empty() {
            schemas.push(self.schema(&rest, name));
        }
        Object::default().with("oneOf", Json::Array(schemas))
    }

    /// True if the words of the member `tag` may be written. Those of all objects decide: they are counted by bodies.
    fn may_write_tag(&self, objects: &Objects, tag: &str) -> bool {
        let member = objects.members.iter().find(|member| *member.name == *tag);
        let strings = member.and_then(|member| member.shape.strings.as_deref());
        strings.is_some_and(|strings| self.enumeration(&strings.words, tag).is_some())
    }

    /// Writes objects that contain objects of their own kind as a component that refers to itself.
    fn recursive(&mut self, shape: &Shape, objects: &Objects, name: &str) -> Json {
        let component = self.components.reserve(name);
        let kind = Kind::of(objects);
        let mut whole = shape.clone();
        while let Some(inner) = take_inner(&mut whole, &kind, &component, 0) {
            whole.merge(inner, &mut Budget::BODY.clone());
        }
        let schema = self.schema(&whole, name);
        self.components.define(&component, schema);
        Components::reference(&component)
    }
}

/// The names that objects of one kind have in common.
#[derive(Debug, PartialEq, Eq)]
struct Kind {
    /// The names of members, and whether all objects have them.
    names: Vec<(Box<str>, bool)>,
}

impl Kind {
    fn of(objects: &Objects) -> Self {
        let member = |member: &Member| (member.name.clone(), member.count == objects.count);
        Self { names: objects.members.iter().map(member).collect() }
    }

    fn is_of(&self, objects: &Objects) -> bool {
        objects.members.len() == self.names.len() && Self::of(objects) == *self
    }
}

/// True if objects of the same kind are within these, and could contain the next ones at the same place.
fn is_recursive(objects: &Objects) -> bool {
    let kind = Kind::of(objects);
    let mut path = Vec::new();
    kind.names.len() >= 2
        && objects.members.iter().any(|member| has_inner(&member.shape, &member.name, &kind, &mut path))
}

/// `path` has the names of the members from the outer objects to the one that has `name`.
fn has_inner<'s>(shape: &'s Shape, name: &'s str, kind: &Kind, path: &mut Vec<&'s str>) -> bool {
    path.push(name);
    let in_objects = |objects: &'s Objects, path: &mut Vec<&'s str>| {
        kind.is_of(objects) && has_path(objects, path)
            || objects.members.iter().any(|member| has_inner(&member.shape, &member.name, kind, path))
    };
    let mut items = shape;
    while let Some(arrays) = items.arrays.as_deref() {
        items = &arrays.items;
    }
    let has =
        [shape, items].iter().any(|shape| shape.objects.as_deref().is_some_and(|objects| in_objects(objects, path)));
    path.pop();
    has
}

/// True if the members of `path` are there, one within the other.
fn has_path(objects: &Objects, path: &[&str]) -> bool {
    let Some((first, rest)) = path.split_first() else { return true };
    let Some(member) = objects.members.iter().find(|member| *member.name == **first) else { return false };
    let mut shape = &member.shape;
    while let Some(arrays) = shape.arrays.as_deref() {
        shape = &arrays.items;
    }
    rest.is_empty() || shape.objects.as_deref().is_some_and(|objects| has_path(objects, rest))
}

/// Takes the objects of the first inner shape that are of `kind`, or for which `component` stands already, and leaves a reference.
/// `depth` is zero for the outer shape.
fn take_inner(shape: &mut Shape, kind: &Kind, component: &str, depth: usize) -> Option<Shape> {
    let is_known = shape.component.as_deref() == Some(component);
    if depth > 0 && shape.objects.as_deref().is_some_and(|objects| is_known || kind.is_of(objects)) {
        shape.component = Some(component.into());
        return Some(Shape { objects: shape.objects.take(), ..Shape::default() });
    }
    let members = shape.objects.iter_mut().flat_map(|objects| &mut objects.members).map(|member| &mut member.shape);
    let items = shape.arrays.iter_mut().map(|arrays| &mut arrays.items);
    items.chain(members).find_map(|inner| take_inner(inner, kind, component, depth + 1))
}

fn borrowed(names: &[Box<str>]) -> Vec<&str> {
    names.iter().map(|name| &**name).collect()
}

/// Returns the types of JSON Schema that were seen.
fn types(shape: &Shape) -> Vec<&'static str> {
    let has_decimals = shape.decimals > 0;
    [
        (shape.objects.is_some(), "object"),
        (shape.arrays.is_some(), "array"),
        (shape.strings.is_some() || shape.files > 0, "string"),
        (shape.integers > 0 && !has_decimals, "integer"),
        (has_decimals, "number"),
        (shape.booleans > 0, "boolean"),
        (shape.nulls > 0, "null"),
    ]
    .into_iter()
    .filter_map(|(is_seen, name)| is_seen.then_some(name))
    .collect()
}

fn set_types(schema: &mut Object, types: &[&'static str]) {
    match types {
        [] => {}
        [one] => {
            schema.set("type", *one);
        }
        several => {
            schema.set("type", several.to_vec());
        }
    }
}
