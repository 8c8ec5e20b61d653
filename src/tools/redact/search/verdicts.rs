//! The conclusions from names, remembered: most names occur often.

use super::super::Rules;
use super::super::grammar::url;
use super::super::leaf::Place;
use super::super::names::{Names, Verdict};
use std::collections::HashMap;
use std::sync::Arc;

/// The names of secrets, and the conclusions so far for each place.
pub(super) struct Verdicts {
    names: Arc<Names>,
    known: [HashMap<Box<str>, (Verdict, bool)>; PLACES],
}

impl Verdicts {
    pub(super) fn new(rules: &Rules) -> Self {
        Self { names: Arc::new(Names::new(rules)), known: Default::default() }
    }

    /// Returns the same names for another thread.
    pub(super) fn worker(&self) -> Self {
        Self { names: Arc::clone(&self.names), known: Default::default() }
    }

    /// Returns the conclusion for a value called `name`, and whether everything in an object of this name is secret.
    pub(super) fn of(&mut self, place: Place, name: &str) -> (Verdict, bool) {
        if name.is_empty() {
            return (Verdict::Plain, false);
        }
        if name == url::USERINFO {
            return (self.names.userinfo(), false);
        }
        let Some(known) = self.known.get_mut(place as usize) else { return (Verdict::Plain, false) };
        if let Some(conclusions) = known.get(name) {
            return *conclusions;
        }
        let conclusions = (self.names.verdict(place, name), self.names.is_secret_container(place, name));
        if known.len() < MAX_KNOWN && name.len() <= MAX_KNOWN_NAME_BYTES {
            known.insert(name.into(), conclusions);
        }
        conclusions
    }
}

/// The number of places.
const PLACES: usize = Place::Text as usize + 1;

/// The conclusions that are remembered for a place, and the longest of their names: names come from the bundle.
const MAX_KNOWN: usize = 2000;
const MAX_KNOWN_NAME_BYTES: usize = 64;
