//! The union of the schemas that may describe one value: through references, `allOf`, `oneOf` and `anyOf`.

use super::budget::Budget;
use super::json::Json;
use super::pairs::Named;
use super::references::Source;
use crate::sorting::sort_by;
use crate::tools::indexed_map::IndexedMap;
use std::borrow::Cow;
use std::ops::{BitOr, BitOrAssign};

/// The schemas of a value, united.
#[derive(Debug, Default)]
pub(super) struct View<'d> {
    /// The addresses of the schemas that describe members or elements, sorted: equal for values of a recursive schema.
    pub(super) identity: Vec<usize>,
    pub(super) types: Types,
    /// True if any value is allowed.
    pub(super) is_any: bool,
    /// True if a reference leads nowhere.
    pub(super) is_unknown: bool,
    /// True if a capture had more than the document describes.
    pub(super) is_incomplete: bool,
    /// The schemas of members; [`OTHERS`] for those without a name of their own.
    pub(super) members: Named<'d, &'d Json>,
    /// The schemas of the elements of an array.
    pub(super) items: Vec<&'d Json>,
}

impl<'d> View<'d> {
    /// Unites `schemas`, which are alternatives.
    pub(super) fn new(schemas: &[&'d Json], source: &mut Source<'d>, budget: &mut Budget) -> Self {
        let (mut view, mut seen, mut identity, mut stated) =
            (Self::default(), IndexedMap::default(), Vec::new(), Types::NONE);
        // Schemas, and true for those that allow any value if they have no types.
        let mut waiting: Vec<_> = schemas.iter().map(|schema| (*schema, true)).collect();
        while let Some((schema, is_alternative)) = waiting.pop() {
            let parts = schema.members().iter().map(|(_, part)| part.elements().len().max(part.members().len()));
            if !budget.take_parts(parts.fold(schema.members().len(), usize::saturating_add)) {
                break;
            }
            if !schema.is_object() {
                view.is_any |= is_alternative && *schema == Json::Bool(true);
                continue;
            }
            let address = std::ptr::from_ref(schema).addr();
            if !seen.insert(address, ()) {
                continue;
            }
            let types = Types::of(schema);
            stated |= types;
            let (reference, all) = (schema.get("$ref").and_then(Json::as_str), elements(schema.get("allOf")));
            // Alternatives that only have conditions, such as required members, do not allow other types.
            let are_alternatives = is_alternative && types == Types::NONE && reference.is_none() && all.is_empty();
            match reference.map(|reference| source.target(reference)) {
                Some(Some(target)) => waiting.push((target, is_alternative && types == Types::NONE)),
                Some(None) => view.is_unknown = true,
                None => {}
            }
            waiting.extend(all.iter().map(|schema| (schema, false)));
            let (any, one) = (elements(schema.get("anyOf")), elements(schema.get("oneOf")));
            waiting.extend(any.iter().chain(one).map(|schema| (schema, are_alternatives)));
            view.is_any |= are_alternatives && any.is_empty() && one.is_empty();
            if view.add(schema, types, budget) {
                identity.push(address);
            }
        }
        sort_by(&mut identity, &|a, b| a.cmp(b));
        view.identity = identity;
        view.is_any |= stated == Types::NONE;
        view
    }

    /// True if the schemas state something about the value.
    pub(super) fn is_described(&self) -> bool {
        !self.is_any && !self.is_unknown
    }

    /// Adds the types of one schema, and its members and elements. Returns false if it has none of these.
    fn add(&mut self, schema: &'d Json, types: Types, budget: &mut Budget) -> bool {
        self.types |= types;
        // OpenAPI 3.0.
        if schema.get("nullable") == Some(&Json::Bool(true)) {
            self.types |= Types::NULL;
        }
        self.is_incomplete |= schema.get("x-incomplete") == Some(&Json::Bool(true));
        let mut has_parts = false;
        let properties = schema.get("properties");
        for (name, member) in members(properties).iter().take_while(|(name, _)| budget.take(name)) {
            // Such a member is forbidden.
            if *member != Json::Bool(false) {
                self.members.or_default(Cow::Borrowed(name)).into_iter().for_each(|schemas| schemas.push(member));
                has_parts = true;
            }
        }
        let additional = schema.get("additionalProperties").filter(|others| match others {
            Json::Bool(false) => false,
            // Next to names, they state that more may follow, and describe nothing.
            others => !is_true(others) || properties.is_none(),
        });
        let others: Vec<_> = additional
            .into_iter()
            .chain(members(schema.get("patternProperties")).iter().map(|(_, schema)| schema))
            .collect();
        if !others.is_empty() {
            self.members.or_default(Cow::Borrowed(OTHERS)).into_iter().for_each(|schemas| schemas.extend(&others));
            has_parts = true;
        }
        for items in [schema.get("items"), schema.get("prefixItems")].into_iter().flatten() {
            let items = if let Json::Array(items) = items { items } else { std::slice::from_ref(items) };
            let items = items.iter().filter(|items| **items != Json::Bool(false));
            self.items.extend(items);
            has_parts = true;
        }
        has_parts
    }
}

/// True for a schema that allows any value: `true` or `{}`.
fn is_true(schema: &Json) -> bool {
    *schema == Json::Bool(true) || schema.is_object() && schema.members().is_empty()
}

fn members(value: Option<&Json>) -> &[(Box<str>, Json)] {
    value.map(Json::members).unwrap_or_default()
}

fn elements(value: Option<&Json>) -> &[Json] {
    value.map(Json::elements).unwrap_or_default()
}

/// A set of types of JSON Schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    pub(super) const NONE: Self = Self(0);
    pub(super) const OBJECT: Self = Self(1 << 5);
    pub(super) const ARRAY: Self = Self(1 << 4);
    const NULL: Self = Self(1 << 6);
    const INTEGER: Self = Self(1);
    const NUMBER: Self = Self(1 << 1);

    /// Returns the types that a schema itself allows, also if it implies them.
    fn of(schema: &Json) -> Self {
        match schema.get("type") {
            Some(Json::String(name)) => Self::named(name),
            Some(Json::Array(names)) => {
                names.iter().filter_map(Json::as_str).map(Self::named).fold(Self::NONE, |all, one| all | one)
            }
            _ => Self::implied(schema),
        }
    }

    fn implied(schema: &Json) -> Self {
        let has = |names: &[&str]| names.iter().any(|name| schema.get(name).is_some());
        let mut types = schema.get("const").map_or(Self::NONE, Self::of_value);
        types |= elements(schema.get("enum")).iter().map(Self::of_value).fold(Self::NONE, |all, one| all | one);
        if has(&["properties", "additionalProperties", "patternProperties"]) {
            types |= Self::OBJECT;
        }
        if has(&["items", "prefixItems"]) {
            types |= Self::ARRAY;
        }
        types
    }

    fn of_value(value: &Json) -> Self {
        Self::named(match value {
            Json::Null => "null",
            Json::Bool(_) => "boolean",
            Json::Integer => "integer",
            Json::Number => "number",
            Json::String(_) => "string",
            Json::Array(_) => "array",
            Json::Object(_) => "object",
        })
    }

    fn named(name: &str) -> Self {
        NAMES.iter().position(|known| *known == name).map_or(Self::NONE, |at| Self(1 << at))
    }

    pub(super) fn has(self, type_: Self) -> bool {
        self.0 & type_.0 != 0
    }

    /// Returns the types of a value that came: those that it has and the `earlier` ones do not allow. Integers are numbers.
    pub(super) fn since(self, earlier: Self) -> Self {
        let allowed = if earlier.has(Self::NUMBER) { earlier | Self::INTEGER } else { earlier };
        Self(self.0 & !allowed.0)
    }

    /// Returns the types of a value that went: those that it had and the `present` ones lack. Numbers are still numbers if all of them
    /// are integers.
    pub(super) fn lost_in(self, present: Self) -> Self {
        let kept =
            if present.has(Self::INTEGER | Self::NUMBER) { present | Self::INTEGER | Self::NUMBER } else { present };
        Self(self.0 & !kept.0)
    }

    /// Returns the names: `string, null`.
    pub(super) fn names(self) -> String {
        let names: Vec<_> = NAMES.iter().copied().filter(|name| self.has(Self::named(name))).collect();
        names.join(", ")
    }
}

impl BitOr for Types {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Types {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// Members without a name of their own.
pub(super) const OTHERS: &str = "*";

/// The types in the order in which they are shown; null is the last one.
const NAMES: [&str; 7] = ["integer", "number", "string", "boolean", "array", "object", "null"];
