//! The different kinds of objects at one place, distinguished by their names and a tag.
//!
//! ```text
//! {"type": "card", "last4": ..., "exp": ...}      names exp, last4, type; tag type=card
//! {"type": "bank", "iban": ...}                   names iban, type; tag type=bank
//! ```

use super::words::Words;
use crate::sorting::sort_by;

/// The sets of names that objects have, as long as there are few.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Variants {
    seen: Vec<Variant>,
    is_overflowing: bool,
}

/// Objects with the same names.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Variant {
    /// Sorted.
    names: Vec<Box<str>>,
    count: u64,
    /// Members that have short words.
    tags: Vec<(Box<str>, Words)>,
}

/// One kind of object.
#[derive(Debug, Default)]
pub(in super::super) struct Alternative {
    /// The names that some of its objects have; sorted.
    pub(in super::super) names: Vec<Box<str>>,
    /// Those that all of its objects have.
    pub(in super::super) required: Vec<Box<str>>,
    /// The name of the tag, and its words.
    pub(in super::super) tag: Option<(Box<str>, Words)>,
    count: u64,
}

impl Variant {
    /// Adds a member; `word` is its value if that is a short word.
    pub(in super::super) fn add(&mut self, name: Box<str>, word: Option<Box<str>>) {
        if self.names.len() > MAX_NAMES {
            return;
        }
        if let Some(word) = word
            && self.tags.len() < MAX_TAGS
        {
            let mut words = Words::default();
            words.add(&word);
            self.tags.push((name.clone(), words));
        }
        self.names.push(name);
    }
}

impl Variants {
    /// Adds an object.
    pub(in super::super) fn add(&mut self, mut object: Variant) {
        sort_by(&mut object.names, &|a, b| a.cmp(b));
        object.names.dedup();
        object.count = 1;
        self.add_counted(object);
    }

    pub(super) fn merge(&mut self, other: Self) {
        if other.is_overflowing {
            *self = other;
            return;
        }
        other.seen.into_iter().for_each(|variant| self.add_counted(variant));
    }

    fn add_counted(&mut self, variant: Variant) {
        let has_room = self.seen.len() < MAX_VARIANTS;
        match self.seen.iter_mut().find(|known| known.names == variant.names) {
            _ if self.is_overflowing => {}
            None if has_room && variant.names.len() <= MAX_NAMES => self.seen.push(variant),
            None => *self = Self { seen: Vec::new(), is_overflowing: true },
            Some(known) => {
                known.count += variant.count;
                // A tag has a word in each object.
                known.tags.retain_mut(|(name, words)| {
                    let other = variant.tags.iter().find(|(other, _)| other == name);
                    other.is_some_and(|(_, other)| {
                        words.merge(other.clone());
                        words.all().is_some()
                    })
                });
            }
        }
    }

    /// Returns the number of names of the largest object, `None` if there are too many kinds of objects to know.
    pub(super) fn largest(&self) -> Option<usize> {
        self.seen.iter().map(|variant| variant.names.len()).max()
    }

    /// Returns the kinds of objects if there are several, and no object is of two of them: each kind requires a name that the
    /// others never have.
    pub(in super::super) fn alternatives(&self) -> Option<Vec<Alternative>> {
        let first = self.seen.first().filter(|_| !self.is_overflowing)?;
        let by_tag = first.tags.iter().filter_map(|(name, _)| self.by_tag(name));
        by_tag.chain([self.by_names()]).find(|kinds| {
            let is_exclusive = |a: &Alternative, b: &Alternative| b.required.iter().any(|name| !a.names.contains(name));
            let pairs = || kinds.iter().enumerate().flat_map(|(n, a)| kinds.iter().skip(n + 1).map(move |b| (a, b)));
            kinds.len() >= 2
                && kinds.iter().all(|kind| kind.count >= 2)
                && pairs().all(|(a, b)| is_exclusive(a, b) && is_exclusive(b, a))
        })
    }

    /// Returns the kinds of objects by the words of `tag`, `None` if some have none.
    fn by_tag(&self, tag: &str) -> Option<Vec<Alternative>> {
        let mut kinds: Vec<Alternative> = Vec::new();
        for variant in &self.seen {
            let (name, words) = variant.tags.iter().find(|(name, _)| **name == *tag)?;
            let known = kinds.iter_mut().find(|kind| kind.tag.as_ref().is_some_and(|(_, known)| known.overlaps(words)));
            match known {
                None => kinds.push(Alternative::new(variant, Some((name.clone(), words.clone())))),
                Some(kind) => kind.add(variant, words),
            }
        }
        Some(kinds)
    }

    fn by_names(&self) -> Vec<Alternative> {
        self.seen.iter().map(|variant| Alternative::new(variant, None)).collect()
    }
}

impl Alternative {
    fn new(variant: &Variant, tag: Option<(Box<str>, Words)>) -> Self {
        Self { names: variant.names.clone(), required: variant.names.clone(), tag, count: variant.count }
    }

    fn add(&mut self, variant: &Variant, words: &Words) {
        self.required.retain(|name| variant.names.contains(name));
        self.names.extend(variant.names.iter().cloned());
        sort_by(&mut self.names, &|a, b| a.cmp(b));
        self.names.dedup();
        self.count += variant.count;
        if let Some((_, known)) = &mut self.tag {
            known.merge(words.clone());
        }
    }
}

const MAX_VARIANTS: usize = 8;

const MAX_NAMES: usize = 48;

const MAX_TAGS: usize = 6;

#[cfg(test)]
mod tests {
    use crate::tools::export::openapi::testing::shape;
    use serde_json::{Value, json};

    /// Returns the name of the tag, and the names of each kind; `*` if they are required.
    fn kinds(objects: &[Value]) -> Option<Vec<(String, Vec<String>)>> {
        let alternatives = shape(objects).objects.unwrap().variants.alternatives()?;
        let names = |kind: &super::Alternative| {
            kind.names.iter().map(|name| [if kind.required.contains(name) { "*" } else { "" }, name].concat()).collect()
        };
        Some(
            alternatives
                .iter()
                .map(|kind| (kind.tag.as_ref().map_or("", |(tag, _)| tag).into(), names(kind)))
                .collect(),
        )
    }

    fn kind(tag: &str, names: &[&str]) -> (String, Vec<String>) {
        (tag.into(), names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn kinds_are_distinguished_by_a_tag() {
        let card = json!({"type": "card", "last": 1});
        let with_note = json!({"type": "card", "last": 2, "note": "a b"});
        let bank = json!({"type": "bank", "iban": "a b"});
        let objects = [card, with_note, bank.clone(), bank];
        let expected = [kind("type", &["*last", "note", "*type"]), kind("type", &["*iban", "*type"])];
        assert_eq!(kinds(&objects), Some(expected.into()));
    }

    #[test]
    fn kinds_are_distinguished_by_their_names() {
        let (card, bank) = (json!({"last": 1, "id": 1}), json!({"iban": "a b", "id": 2}));
        let expected = [kind("", &["*id", "*last"]), kind("", &["*iban", "*id"])];
        assert_eq!(kinds(&[card.clone(), bank.clone(), card, bank]), Some(expected.into()));
    }

    #[test]
    fn objects_that_do_not_exclude_each_other_are_one_kind() {
        let (small, large) = (json!({"id": 1}), json!({"id": 1, "name": "a b"}));
        assert_eq!(kinds(&[small.clone(), large.clone(), small, large]), None, "optional members");
        let (card, bank) = (json!({"last": 1}), json!({"iban": "a b"}));
        assert_eq!(kinds(&[card.clone(), card.clone(), bank]), None, "one of them occurred once");
        assert_eq!(kinds(&[card.clone(), card]), None, "one kind");
    }

    #[test]
    fn many_kinds_are_none() {
        let objects: Vec<_> =
            "abcdefghi".chars().flat_map(|c| [json!({c.to_string(): 1}), json!({c.to_string(): 2})]).collect();
        let eight = [&objects[..16], &objects[..16]].concat();
        assert_eq!(kinds(&eight).map(|kinds| kinds.len()), Some(8));
        assert_eq!(kinds(&objects), None);
    }
}
