//! The shape of values: which types were seen at a place, and in objects which members, how often.
//!
//! ```text
//! {"id": 1, "name": "a"}   ┐   object, 2 times
//! {"id": 2, "tags": null}  ┘     id    2 of 2   integer, 2 times
//!                                name  1 of 2   string
//!                                tags  1 of 2   null
//! ```
//!
//! Shapes have no values, apart from short words (see [`Words`]). They are bounded: what does not fit in the [`Budget`] is counted
//! and not described.

use super::id_kind::IdKind;
use super::text_kind::TextKinds;
use variants::Variants;
use words::Words;

pub(super) mod variants;
pub(super) mod words;

/// The values seen at one place.
#[derive(Clone, Debug, Default)]
pub(super) struct Shape {
    pub(super) nulls: u64,
    pub(super) booleans: u64,
    pub(super) integers: u64,
    /// Numbers with a fraction or an exponent.
    pub(super) decimals: u64,
    /// Files in forms.
    pub(super) files: u64,
    pub(super) strings: Option<Box<Strings>>,
    pub(super) arrays: Option<Box<Arrays>>,
    pub(super) objects: Option<Box<Objects>>,
    /// True if values below were left out for the budget or the depth.
    pub(super) is_incomplete: bool,
    /// The component that describes the values instead.
    pub(super) component: Option<Box<str>>,
}

/// Strings.
#[derive(Clone, Debug)]
pub(super) struct Strings {
    pub(super) count: u64,
    /// The kinds that all of them have.
    pub(super) kinds: TextKinds,
    pub(super) words: Words,
}

/// Arrays.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrays {
    pub(super) count: u64,
    /// All elements of all arrays.
    pub(super) items: Shape,
}

/// Objects.
#[derive(Clone, Debug, Default)]
pub(super) struct Objects {
    pub(super) count: u64,
    /// Sorted by name.
    pub(super) members: Vec<Member>,
    /// All further members, once there are too many to be names.
    pub(super) others: Option<Shape>,
    pub(super) variants: Variants,
}

/// A member of objects.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: Box<str>,
    /// The number of objects that have it.
    pub(super) count: u64,
    pub(super) shape: Shape,
    /// The number of the object that had it last.
    last: u64,
}

/// The number of members and item shapes that may still be added.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget(pub(super) usize);

impl Budget {
    /// The budget of one body.
    pub(super) const BODY: Self = Self(20_000);
    /// The budget of a document.
    pub(super) const DOCUMENT: Self = Self(100_000);

    fn take(&mut self) -> bool {
        let has_some = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        has_some
    }
}

impl Shape {
    /// Returns the number of values.
    pub(super) fn count(&self) -> u64 {
        let scalars = self.nulls + self.booleans + self.integers + self.decimals + self.files;
        scalars
            + self.strings.as_ref().map_or(0, |strings| strings.count)
            + self.arrays.as_ref().map_or(0, |arrays| arrays.count)
            + self.objects.as_ref().map_or(0, |objects| objects.count)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Returns a bit for each type, null excluded.
    fn type_bits(&self) -> u8 {
        let types = [
            self.booleans > 0,
            self.integers > 0 || self.decimals > 0,
            self.strings.is_some(),
            self.arrays.is_some(),
            self.objects.is_some(),
        ];
        types.iter().enumerate().filter(|(_, has)| **has).fold(0, |bits, (n, _)| bits | 1 << n)
    }

    pub(super) fn add_string(&mut self, text: &str) {
        self.strings.get_or_insert_default().add(text);
    }

    /// Adds the values of `other`.
    pub(super) fn merge(&mut self, other: Self, budget: &mut Budget) {
        self.nulls += other.nulls;
        self.booleans += other.booleans;
        self.integers += other.integers;
        self.decimals += other.decimals;
        self.files += other.files;
        self.is_incomplete |= other.is_incomplete;
        self.component = self.component.take().or(other.component);
        if let Some(other) = other.strings {
            self.strings.get_or_insert_default().merge(*other);
        }
        if let Some(other) = other.arrays {
            let is_new = self.arrays.is_none();
            if is_new && !budget.take() {
                self.is_incomplete = true;
                return;
            }
            let arrays = self.arrays.get_or_insert_default();
            arrays.count += other.count;
            arrays.items.merge(other.items, budget);
        }
        if let Some(other) = other.objects {
            let is_incomplete = self.objects.get_or_insert_default().merge(*other, budget);
            self.is_incomplete |= is_incomplete;
        }
    }
}

impl Default for Strings {
    fn default() -> Self {
        Self { count: 0, kinds: TextKinds::ALL, words: Words::default() }
    }
}

impl Strings {
    pub(super) fn add(&mut self, text: &str) {
        self.count += 1;
        self.kinds = self.kinds.and(TextKinds::of(text));
        self.words.add(text);
    }

    /// Adds the strings of another body or request.
    pub(super) fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.kinds = self.kinds.and(other.kinds);
        self.words.merge(other.words);
    }
}

impl Objects {
    /// Returns the shape to which the value of the member `name` of the present object is added, `None` if it is left out. A
    /// name that an object repeats is counted once.
    pub(super) fn add_member(&mut self, name: &str, budget: &mut Budget) -> Option<&mut Shape> {
        let object = self.count;
        if self.member(name, budget).is_none() {
            return self.other_members();
        }
        let member = self.member(name, budget)?;
        member.count += u64::from(member.last != object);
        member.last = object;
        Some(&mut member.shape)
    }

    fn member(&mut self, name: &str, budget: &mut Budget) -> Option<&mut Member> {
        if name.len() > MAX_NAME_BYTES {
            return None;
        }
        let at = match self.members.binary_search_by(|member| (*member.name).cmp(name)) {
            Ok(at) => at,
            Err(at) if self.others.is_none() && self.members.len() < MAX_MEMBERS => {
                if !budget.take() {
                    return None;
                }
                self.members.insert(at, Member { name: name.into(), count: 0, shape: Shape::default(), last: 0 });
                at
            }
            Err(_) => return None,
        };
        self.members.get_mut(at)
    }

    /// Returns the shape of further members, `None` below [`MAX_MEMBERS`] of them. Above, their names are keys of a map.
    fn other_members(&mut self) -> Option<&mut Shape> {
        (self.members.len() >= MAX_MEMBERS || self.others.is_some()).then(|| self.others.get_or_insert_default())
    }

    /// Adds the objects of `other`. Returns true if members are left out.
    fn merge(&mut self, other: Self, budget: &mut Budget) -> bool {
        self.count += other.count;
        self.variants.merge(other.variants);
        let mut is_incomplete = false;
        for Member { name, count, shape, .. } in other.members {
            if let Some(member) = self.member(&name, budget) {
                member.count += count;
                member.shape.merge(shape, budget);
            } else if let Some(others) = self.other_members() {
                others.merge(shape, budget);
            } else {
                is_incomplete = true;
            }
        }
        if let Some(shape) = other.others {
            self.others.get_or_insert_default().merge(shape, budget);
        }
        is_incomplete
    }

    /// Returns the names, sorted.
    pub(super) fn names(&self) -> Vec<&str> {
        self.members.iter().map(|member| &*member.name).collect()
    }

    /// True if the names are keys, chosen by the data.
    ///
    /// They are if some of them are identifiers, or if values of one type have names that hardly ever return in another object, as
    /// those of a schema do.
    ///
    /// `name` is the name of the member that has the objects: one object is a map if it is called `labels`.
    pub(super) fn is_map(&self, name: &str) -> bool {
        let names = self.members.len();
        let ids = self.members.iter().filter(|member| is_id(&member.name)).count();
        if self.others.is_some() || ids.saturating_mul(4) >= names && ids > 0 {
            return true;
        }
        let mut types = self.members.iter().map(|member| member.shape.type_bits());
        let first = types.next().unwrap_or_default();
        if first.count_ones() != 1 || types.any(|other| other != first) {
            return false;
        }
        let numbered = self.members.iter().filter(|member| is_numbered(&member.name)).count();
        let occurrences: u64 = self.members.iter().map(|member| member.count).sum();
        match self.count {
            0 => false,
            1 if MAP_NAMES.iter().any(|known| name.eq_ignore_ascii_case(known)) => names > 0,
            1 => names >= 2 && numbered.saturating_mul(3) >= names,
            _ => {
                let is_rare = occurrences.saturating_mul(4) < (names as u64).saturating_mul(5);
                // A large object beside empty ones has names that do not return either.
                let largest = self.variants.largest().unwrap_or_default();
                names >= MIN_VARYING_NAMES && is_rare && largest.saturating_mul(5) <= names.saturating_mul(3)
            }
        }
    }
}

/// True for a name that is an identifier.
fn is_id(name: &str) -> bool {
    IdKind::of(name).is_some_and(|kind| !matches!(kind, IdKind::Version | IdKind::Text))
}

/// True for a word with two digits or more behind it.
fn is_numbered(name: &str) -> bool {
    let word = name.trim_end_matches(|c: char| c.is_ascii_digit());
    name.len().saturating_sub(word.len()) >= 2 && word.ends_with(|c: char| c.is_ascii_alphabetic())
}

/// More names in one place are keys of a map.
const MAX_MEMBERS: usize = 1000;

/// Fewer names that do not return may be members that happen to be rare.
const MIN_VARYING_NAMES: usize = 4;

/// Names of members that have labels of users.
const MAP_NAMES: [&str; 7] = ["metadata", "labels", "annotations", "tags", "headers", "environment", "env"];

/// Longer names are not described.
const MAX_NAME_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::export::openapi::testing::shape;
    use serde_json::{Value, json};

    /// True if the names in these objects are keys of data.
    fn is_map(objects: &[Value]) -> bool {
        shape(objects).objects.unwrap().is_map("a")
    }

    #[test]
    fn names_that_are_identifiers_are_keys() {
        assert!(is_map(&[json!({"17": 1, "18": 2})]));
        assert!(is_map(&[json!({"8b0c6d4e-4f4e-4a0e-9f0e-0d5b8f0c1a2b": {"a": 1}})]));
        assert!(is_map(&[json!({"2026-01-31": 1, "total": 2})]));
        assert!(is_map(&[json!({"a@example.com": "x"})]));
        assert!(!is_map(&[json!({"17": 1, "name": 1, "mail": 1, "city": 1, "age": 1})]), "one of five");
        assert!(!is_map(&[json!({"1.2.3": 1, "a": 2})]), "a version");
    }

    #[test]
    fn names_that_hardly_return_are_keys() {
        let objects = [json!({"red": 1, "blue": 2}), json!({"green": 3, "violet": 4})];
        assert!(is_map(&objects));
        assert!(!is_map(&[json!({"red": 1, "blue": 2}), json!({"green": "x", "violet": 4})]), "several types");
        assert!(!is_map(&[json!({"red": 1}), json!({"green": 3, "violet": 4})]), "three names");
        assert!(!is_map(&[objects[0].clone(), objects[0].clone(), objects[1].clone()]), "they return");
        assert!(!is_map(&[json!({"red": 1, "blue": 2, "green": 3, "violet": 4})]), "one object");
    }

    #[test]
    fn numbered_names_of_one_object_are_keys() {
        assert!(is_map(&[json!({"user17": {}, "user18": {}, "user19": {}})]));
        assert!(!is_map(&[json!({"line1": "a", "line2": "b"})]), "one digit");
    }

    #[test]
    fn more_names_than_a_schema_has_are_keys() {
        let object = |count: usize| {
            let members =
                (0..count).map(|n| (format!("name{}x", "y".repeat(n % 200) + &"z".repeat(n / 200)), json!(n)));
            Value::Object(members.collect())
        };
        let [exact, more] = [MAX_MEMBERS, MAX_MEMBERS + 1].map(|count| shape(&[object(count)]).objects.unwrap());
        assert_eq!((exact.members.len(), exact.others.is_some()), (MAX_MEMBERS, false));
        assert_eq!((more.members.len(), more.others.map(|shape| shape.count())), (MAX_MEMBERS, Some(1)));
    }

    #[test]
    fn long_names_are_left_out_and_that_is_marked() {
        let long = "n".repeat(MAX_NAME_BYTES + 1);
        let shape = shape(&[json!({"a": 1, long: 2})]);
        assert!(shape.is_incomplete);
        assert_eq!(shape.objects.unwrap().names(), ["a"]);
    }

    #[test]
    fn a_merge_beyond_the_budget_is_marked() {
        let mut all = Shape::default();
        all.merge(shape(&[json!({"a": 1, "b": 2, "c": 3})]), &mut Budget(2));
        assert!(all.is_incomplete);
        assert_eq!(all.objects.unwrap().names(), ["a", "b"]);
        let mut all = Shape::default();
        all.merge(shape(&[json!([[1]])]), &mut Budget(1));
        assert!(all.arrays.unwrap().items.is_incomplete);
    }
}
