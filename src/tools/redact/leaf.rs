//! The interface between grammars and the search: a grammar lists the values in a text.
//!
//! ```text
//! "https://a/?page=2&token=x%26y"   grammar::url
//!                  │         └───▶  Leaf { name: "token", range: 24..29, layer: Form }
//!                  └─────────────▶  Leaf { name: "page", range: 17..18, layer: Form }
//! ```
//!
//! A grammar only delimits. It never changes a text and decides nothing, so it can be tested by the list of its leaves.

use std::ops::Range;

/// A value in a text: that of a field, or a text without a name.
#[derive(Debug)]
pub(super) struct Leaf<'t> {
    pub(super) place: Place,
    /// The decoded name; empty without one.
    pub(super) name: &'t str,
    /// The offsets of the encoded value.
    pub(super) range: Range<usize>,
    pub(super) layer: Layer,
    pub(super) kind: Kind,
    /// True if the value belongs to a secret whole: a cookie, or a member of a secret object.
    pub(super) is_part_of_secret: bool,
}

/// The place of a value. Options of a user may name secrets for one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Header,
    Cookie,
    /// A parameter of a URL.
    Url,
    /// A field of a form.
    Parameter,
    Json,
    /// An attribute or element of XML or HTML.
    Markup,
    /// A line of an event stream.
    Line,
    /// An assignment in free text: a script, GraphQL.
    Text,
}

/// The encoding of a value within its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    Plain,
    /// `%41`
    Percent,
    /// `%41`, and `+` for a space.
    Form,
    /// `\u0041`
    Json,
    /// `&#65;`
    Xml,
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// A number of JSON. Its replacement must be a number.
    Number,
}

/// Receives the leaves of a text in order.
pub(super) trait Visitor {
    /// Returns true if everything in an object or element with this name is secret.
    fn is_secret_container(&mut self, place: Place, name: &str) -> bool;

    fn leaf(&mut self, leaf: Leaf<'_>);
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// Lists leaves as `name=value`, with `!` before those that are part of a secret. Objects called "secret" are secret.
    pub(in super::super) struct Listing<'t>(pub(in super::super) &'t str, pub(in super::super) Vec<String>);

    impl Visitor for Listing<'_> {
        fn is_secret_container(&mut self, _: Place, name: &str) -> bool {
            name == "secret"
        }

        fn leaf(&mut self, leaf: Leaf<'_>) {
            let mark = if leaf.is_part_of_secret { "!" } else { "" };
            let value = leaf.layer.decode(&self.0[leaf.range]).text.into_owned();
            self.1.push(format!("{mark}{}={value}", leaf.name));
        }
    }

    /// Returns the leaves that `grammar` lists.
    pub(in super::super) fn leaves(text: &str, grammar: impl FnOnce(&str, &mut dyn Visitor)) -> Vec<String> {
        let mut listing = Listing(text, Vec::new());
        grammar(text, &mut listing);
        listing.1
    }
}
