//! The counts of a run.

use super::edits::{Cause, Edit};
use crate::bundle::reader::LeftOut;
use std::collections::BTreeMap;

/// The values that were replaced, and all that remains for a person to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The numbers of values replaced because of the name of their field, by that name in lower case.
    pub names: BTreeMap<String, u64>,
    /// The numbers of values replaced because of their form, by the kind of secret.
    pub forms: BTreeMap<String, u64>,
    /// The number of places without such a name or form where one of these values was replaced.
    pub elsewhere: u64,
    /// The number of values that were not sought in other places, because there are too many.
    pub unsought: u64,
    /// The numbers of values that were kept although their name resembles that of a secret, by that name.
    pub suspicious: BTreeMap<String, u64>,
    /// The bodies and messages that could not be searched. They are left out, unless the rules keep them.
    pub unsearched: Bodies,
    /// The binary bodies and messages. They were searched only for the values found elsewhere.
    pub binary: Bodies,
    /// The items of the bundle that are left out because their JSON is too large.
    pub left_out: LeftOut,
    /// The items that are left out because they cannot be read: their JSON is damaged, their body is missing or that of another
    /// item, or the filter could not search them.
    pub damaged: LeftOut,
}

/// Bodies and messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bodies {
    /// The number of bodies and messages.
    pub count: u64,
    /// The first ten: the id of the exchange and "request" or "response", or the id of the message.
    pub first: Vec<String>,
}

impl Report {
    /// Returns true if nothing was found that should not be shared: no secret, and no body or item that could not be searched.
    pub fn is_clean(&self) -> bool {
        self.names.is_empty() && self.forms.is_empty() && self.unsearched.count == 0 && self.unread() == 0
    }

    /// Returns the number of items that were not read.
    pub fn unread(&self) -> u64 {
        self.left_out.count.saturating_add(self.damaged.count)
    }

    /// Adds the counts of an item.
    pub(super) fn append(&mut self, item: Self) {
        for (all, new) in
            [(&mut self.names, item.names), (&mut self.forms, item.forms), (&mut self.suspicious, item.suspicious)]
        {
            new.into_iter().for_each(|(name, n)| add(all, name, n));
        }
        self.elsewhere = self.elsewhere.saturating_add(item.elsewhere);
        self.unsought = self.unsought.saturating_add(item.unsought);
        self.unsearched.append(item.unsearched);
        self.binary.append(item.binary);
    }

    pub(super) fn count_edits(&mut self, edits: &[Edit]) {
        for edit in edits {
            match &edit.cause {
                Cause::Name(name) => count(&mut self.names, name),
                Cause::Form(form) => count(&mut self.forms, form),
                Cause::Elsewhere => self.elsewhere = self.elsewhere.saturating_add(1),
            }
        }
    }

    pub(super) fn count_suspicious(&mut self, name: &str) {
        count(&mut self.suspicious, name);
    }
}

impl Bodies {
    pub(super) fn add(&mut self, place: &str) {
        self.count = self.count.saturating_add(1);
        if self.first.len() < MAX_NAMED {
            self.first.push(place.to_owned());
        }
    }

    fn append(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.first.extend(other.first);
        self.first.truncate(MAX_NAMED);
    }
}

/// Adds one to the count of `name`. Names come from the bundle: they are cut.
fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    add(counts, name.chars().take(MAX_NAME_CHARS).flat_map(char::to_lowercase).collect(), 1);
}

/// Adds `n` to the count of `name`. The names beyond a limit are counted together.
fn add(counts: &mut BTreeMap<String, u64>, name: String, n: u64) {
    let is_new = counts.len() >= MAX_NAMES && !counts.contains_key(&name);
    let count = counts.entry(if is_new { OTHER_NAMES.to_owned() } else { name }).or_default();
    *count = count.saturating_add(n);
}

const MAX_NAMED: usize = 10;
const MAX_NAMES: usize = 1000;
const MAX_NAME_CHARS: usize = 60;
const OTHER_NAMES: &str = "(other names)";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_report_has_nothing_that_was_not_searched() {
        let mut bodies = Bodies::default();
        bodies.add("t_0001 request");
        let mut items = LeftOut::default();
        items.add("t_0001");
        let names = BTreeMap::from([("token".to_owned(), 1)]);
        for report in [
            Report { unsearched: bodies.clone(), ..Report::default() },
            Report { damaged: items.clone(), ..Report::default() },
            Report { left_out: items, ..Report::default() },
            Report { forms: names.clone(), ..Report::default() },
            Report { names, ..Report::default() },
        ] {
            assert!(!report.is_clean(), "{report:?}");
        }
        assert!(Report { binary: bodies, elsewhere: 1, ..Report::default() }.is_clean());
    }

    #[test]
    fn counts_of_items_are_added() {
        let edits: Vec<_> = (0..MAX_NAMES + 2)
            .map(|n| Edit { range: 0..0, text: String::new(), cause: Cause::Name(format!("Name {n:04}").into()) })
            .collect();
        let (mut report, mut item) = (Report::default(), Report::default());
        report.count_edits(&edits[..3]);
        report.unsearched.add("first");
        item.count_edits(&edits);
        item.count_suspicious("token");
        (0..MAX_NAMED).for_each(|n| item.unsearched.add(&n.to_string()));
        item.elsewhere = 2;
        report.append(item);
        assert_eq!((report.names["name 0002"], report.names["name 0003"], report.names.len()), (2, 1, MAX_NAMES));
        assert_eq!((report.names[OTHER_NAMES], report.names.values().sum()), (3, MAX_NAMES as u64 + 5));
        assert_eq!((report.suspicious["token"], report.elsewhere), (1, 2));
        let Bodies { count, first } = report.unsearched;
        assert_eq!((count, first.len(), first[0].as_str(), first[9].as_str()), (11, 10, "first", "8"));
    }
}
