//! Compares the members of two values, and their types, down to the depth at which one of the documents ends.
//!
//! A document becomes silent below some values: what only it has there is not listed. A recursive schema ends nowhere; once a value has
//! the schema of one of its parents, its members were compared before. A capture may have more than a document describes, which that
//! document states; below such a value, the other document is silent.

use super::Both;
use super::context::{Comparison, Kind};
use super::json::Json;
use super::pairs::{first_of, pair};
use super::schema::{OTHERS, Types, View};
use crate::tools::indexed_map::IndexedMap;
use serde_json::Value;

/// A comparison of two bodies.
pub(super) struct Bodies<'c, 'd> {
    comparison: &'c mut Comparison<'d>,
    /// The values that enclose the compared ones.
    parents: Vec<Both<Vec<usize>>>,
    /// Values that were compared and do not differ.
    equal: IndexedMap<Both<Vec<usize>>, ()>,
}

/// The place of a value in a body.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    parent: Option<&'p Place<'p>>,
    part: Part<'p>,
}

#[derive(Clone, Copy)]
enum Part<'p> {
    /// The body: `200`.
    Body(&'p str),
    Member(&'p str),
    /// The elements of an array.
    Items,
}

impl<'c, 'd> Bodies<'c, 'd> {
    /// Compares the schemas of two bodies. `heading` is the place of the body.
    pub(super) fn compare(
        comparison: &'c mut Comparison<'d>,
        heading: &str,
        earlier: Vec<&'d Json>,
        present: Vec<&'d Json>,
    ) {
        let mut bodies = Self { comparison, parents: Vec::new(), equal: IndexedMap::default() };
        let place = Place { parent: None, part: Part::Body(heading) };
        bodies.value(&place, &Both { earlier, present }, Both::default());
    }

    /// Compares the schemas of a value.
    fn value(&mut self, place: &Place<'_>, schemas: &Both<Vec<&'d Json>>, is_silent: Both<bool>) {
        if self.parents.len() >= MAX_DEPTH {
            self.comparison.budget.is_exceeded = true;
        }
        let Both { earlier, present } = self.views(schemas);
        if self.comparison.budget.is_exceeded || !earlier.is_described() || !present.is_described() {
            return;
        }
        self.types(place, earlier.types, present.types, is_silent);
        let identity = Both { earlier: earlier.identity.clone(), present: present.identity.clone() };
        let has_parent = |is_parent: &dyn Fn(&Both<Vec<usize>>) -> bool| self.parents.iter().any(is_parent);
        let is_silent = Both {
            earlier: is_silent.earlier
                || present.is_incomplete
                || has_parent(&|parent| parent.earlier == identity.earlier),
            present: is_silent.present
                || earlier.is_incomplete
                || has_parent(&|parent| parent.present == identity.present),
        };
        if (is_silent.earlier && is_silent.present) || self.equal.contains_key(&identity) {
            return;
        }
        self.parents.push(identity);
        let before = self.comparison.changes.count();
        if earlier.types.has(Types::OBJECT) && present.types.has(Types::OBJECT) {
            let pairs = pair(earlier.members, present.members, &mut |_, names, _| first_of(names, &[OTHERS]));
            for (name, schemas) in pairs.into_entries() {
                self.member(&Place { parent: Some(place), part: Part::Member(&name) }, &schemas, is_silent);
            }
        }
        if earlier.types.has(Types::ARRAY) && present.types.has(Types::ARRAY) {
            let schemas = Both { earlier: earlier.items, present: present.items };
            self.items(&Place { parent: Some(place), part: Part::Items }, &schemas, is_silent);
        }
        let identity = self.parents.pop();
        if before == self.comparison.changes.count()
            && is_silent == Both::default()
            && let Some(identity) = identity
        {
            self.equal.insert(identity, ());
        }
    }

    /// Compares a member, which one of the documents may lack.
    fn member(&mut self, place: &Place<'_>, schemas: &Both<Vec<&'d Json>>, is_silent: Both<bool>) {
        match (schemas.earlier.is_empty(), schemas.present.is_empty()) {
            (true, _) => self.add(Kind::New, place, is_silent),
            (_, true) => self.add(Kind::Gone, place, is_silent),
            (false, false) => self.value(place, schemas, is_silent),
        }
    }

    /// Compares the elements of arrays. A document that only has empty arrays does not describe elements.
    fn items(&mut self, place: &Place<'_>, schemas: &Both<Vec<&'d Json>>, is_silent: Both<bool>) {
        let Both { earlier, present } = self.views(schemas);
        match (earlier.is_described(), present.is_described()) {
            _ if earlier.is_unknown || present.is_unknown => {}
            (false, true) => self.add(Kind::New, place, is_silent),
            (true, false) => self.add(Kind::Gone, place, is_silent),
            _ => self.value(place, schemas, is_silent),
        }
    }

    fn add(&mut self, kind: Kind, place: &Place<'_>, is_silent: Both<bool>) {
        let is_listed = match kind {
            Kind::New => !is_silent.present,
            Kind::Gone => !is_silent.earlier,
            Kind::Types(..) => true,
        };
        if is_listed {
            self.comparison.add(kind, || place.text());
        }
    }

    fn types(&mut self, place: &Place<'_>, earlier: Types, present: Types, is_silent: Both<bool>) {
        let came = !is_silent.present && present.since(earlier) != Types::NONE;
        let went = !is_silent.earlier && earlier.lost_in(present) != Types::NONE;
        if came || went {
            self.add(Kind::Types(earlier, present), place, is_silent);
        }
    }

    fn views(&mut self, schemas: &Both<Vec<&'d Json>>) -> Both<View<'d>> {
        let Comparison { sources, budget, .. } = &mut *self.comparison;
        Both {
            earlier: View::new(&schemas.earlier, &mut sources.earlier, budget),
            present: View::new(&schemas.present, &mut sources.present, budget),
        }
    }
}

impl Place<'_> {
    /// Returns `200: data[].name`.
    fn text(&self) -> String {
        let mut parts = Vec::new();
        let mut place = Some(self);
        while let Some(Place { parent, part }) = place {
            parts.push(part);
            place = *parent;
        }
        let mut text = String::new();
        for (depth, part) in parts.iter().rev().enumerate() {
            match part {
                Part::Body(heading) => text.push_str(heading),
                Part::Items => text.push_str(if depth == 1 { ": []" } else { "[]" }),
                Part::Member(name) => {
                    text.push_str(if depth == 1 { ": " } else { "." });
                    text.push_str(&shown(name));
                }
            }
        }
        text
    }
}

/// Returns the name of a member, in quotation marks if it could be mistaken for more than a name.
fn shown(name: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || "_-$@".contains(c);
    let text = super::shortened(name);
    if name == OTHERS || !name.is_empty() && name.chars().all(is_plain) {
        text
    } else {
        Value::String(text).to_string()
    }
}

/// Members within members. JSON in a file is at most 128 levels deep, and a member takes two.
const MAX_DEPTH: usize = 64;
