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
    /// Returns true if nothing was found that should not be shared: no secret, and no body that could not be searched.
    pub fn is_clean(&self) -> bool {
        self.names.is_empty() && self.forms.is_empty() && self.unsearched.count == 0
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
}

/// Adds one to the count of `name`. Names come from the bundle: they are cut, and those beyond a limit are counted together.
fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    let short: String = name.chars().take(MAX_NAME_CHARS).flat_map(char::to_lowercase).collect();
    let is_new = !counts.contains_key(&short);
    let name = if is_new && counts.len() >= MAX_NAMES { OTHER_NAMES.to_owned() } else { short };
    let count = counts.entry(name).or_default();
    *count = count.saturating_add(1);
}

const MAX_NAMED: usize = 10;
const MAX_NAMES: usize = 1000;
const MAX_NAME_CHARS: usize = 60;
const OTHER_NAMES: &str = "(other names)";
