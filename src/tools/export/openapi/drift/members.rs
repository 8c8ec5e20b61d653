//! Compares the members of two values, and their types, down to the depth at which one of the documents ends.
//!
//! A recursive schema ends nowhere. Once a value has the schema of one of its parents, the members that only that schema has were
//! compared before, and are not listed again.

use super::Both;
use super::context::{Comparison, Kind};
use super::json::Json;
use super::pairs::{first_of, pair};
use super::schema::{OTHERS, Types, View};
use serde_json::Value;
use std::collections::BTreeSet;

/// A comparison of two bodies.
pub(super) struct Bodies<'c, 'd> {
    comparison: &'c mut Comparison<'d>,
    /// The values that enclose the compared ones.
    parents: Vec<Both<Vec<usize>>>,
    /// Values that were compared and do not differ.
    equal: BTreeSet<Both<Vec<usize>>>,
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
        let mut bodies = Self { comparison, parents: Vec::new(), equal: BTreeSet::new() };
        let place = Place { parent: None, part: Part::Body(heading) };
        bodies.value(&place, &Both { earlier, present }, Both::default());
    }

    /// Compares the schemas of a value. `is_recursive` is true for a document that has no more to compare.
    fn value(&mut self, place: &Place<'_>, schemas: &Both<Vec<&'d Json>>, is_recursive: Both<bool>) {
        if self.parents.len() >= MAX_DEPTH {
            self.comparison.budget.is_exceeded = true;
        }
        let Both { earlier, present } = self.views(schemas);
        if self.comparison.budget.is_exceeded || earlier.is_any || present.is_any {
            return;
        }
        self.types(place, earlier.types, present.types, is_recursive);
        let identity = Both { earlier: earlier.identity.clone(), present: present.identity.clone() };
        let is_recursive = Both {
            earlier: is_recursive.earlier || self.has_parent(&|parent| parent.earlier == identity.earlier),
            present: is_recursive.present || self.has_parent(&|parent| parent.present == identity.present),
        };
        if (is_recursive.earlier && is_recursive.present) || self.equal.contains(&identity) {
            return;
        }
        self.parents.push(identity);
        let before = self.comparison.changes.count();
        if earlier.types.has(Types::OBJECT) && present.types.has(Types::OBJECT) {
            let pairs = pair(earlier.members, present.members, &mut |_, names, _| first_of(names, &[OTHERS]));
            for (name, schemas) in pairs {
                self.part(&Place { parent: Some(place), part: Part::Member(&name) }, &schemas, is_recursive);
            }
        }
        if earlier.types.has(Types::ARRAY) && present.types.has(Types::ARRAY) {
            let schemas =
                Both { earlier: earlier.items.unwrap_or_default(), present: present.items.unwrap_or_default() };
            self.part(&Place { parent: Some(place), part: Part::Items }, &schemas, is_recursive);
        }
        let identity = self.parents.pop();
        if before == self.comparison.changes.count() && is_recursive == Both::default() {
            self.equal.extend(identity);
        }
    }

    /// Compares a member or the elements of an array, which one of the documents may lack.
    fn part(&mut self, place: &Place<'_>, schemas: &Both<Vec<&'d Json>>, is_recursive: Both<bool>) {
        let kind = match (schemas.earlier.is_empty(), schemas.present.is_empty()) {
            (false, false) => return self.value(place, schemas, is_recursive),
            (true, false) if !is_recursive.present => Kind::New,
            (false, true) if !is_recursive.earlier => Kind::Gone,
            _ => return,
        };
        // Elements of any type are not described.
        if matches!(place.part, Part::Items) {
            let views = self.views(schemas);
            if views.earlier.is_any && views.present.is_any {
                return;
            }
        }
        self.comparison.add(kind, || place.text());
    }

    fn types(&mut self, place: &Place<'_>, earlier: Types, present: Types, is_recursive: Both<bool>) {
        let came = !is_recursive.present && present.since(earlier) != Types::NONE;
        let went = !is_recursive.earlier && earlier.lost_in(present) != Types::NONE;
        if came || went {
            self.comparison.add(Kind::Types(earlier, present), || place.text());
        }
    }

    fn has_parent(&self, is_parent: &dyn Fn(&Both<Vec<usize>>) -> bool) -> bool {
        self.parents.iter().any(is_parent)
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
