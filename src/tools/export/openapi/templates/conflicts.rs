//! Templates that match the same request without one of them preferred.
//!
//! ```text
//! /issues/comments/{commentId}   ┐ both match /issues/comments/comments, and each has a literal segment
//! /issues/{issueId}/comments     ┘ where the other has a parameter
//! ```

use super::{Parameter, Template};
use crate::tools::export::openapi::paths::decoded;
use std::cell::Cell;

/// Compares templates, for a limited time.
pub(super) struct Comparison {
    /// The number of steps that are left.
    steps: Cell<usize>,
}

impl Comparison {
    pub(super) fn new() -> Self {
        Self { steps: Cell::new(MAX_STEPS) }
    }

    /// Returns a literal segment whose templates match a request that others with a parameter in its place match too, without
    /// one of them preferred.
    pub(super) fn conflict(&self, template: &Template) -> Option<Box<str>> {
        let mut literals = template.literals.iter();
        let crosses = |literal, segment| matching(template, segment).any(|other| self.crosses(literal, &other.below));
        literals.find_map(|(segment, literal)| crosses(literal, segment).then(|| segment.clone()))
    }

    /// True if a path of `literal` and one of `other` match the same request, and `other` has a literal segment where `literal`
    /// has a parameter.
    fn crosses(&self, literal: &Template, other: &Template) -> bool {
        self.takes_step()
            && (pairs(literal, other, Pairs::ButMoreLiteral).any(|(a, b)| self.crosses(a, b))
                || pairs(literal, other, Pairs::OnlyMoreLiteral).any(|(a, b)| self.overlap(a, b)))
    }

    /// True if a path of `a` and one of `b` match the same request.
    fn overlap(&self, a: &Template, b: &Template) -> bool {
        self.takes_step() && (a.has_end() && b.has_end() || pairs(a, b, Pairs::All).any(|(a, b)| self.overlap(a, b)))
    }

    /// Returns false once the comparison of templates has taken too long: a capture made for that gets ambiguous templates.
    fn takes_step(&self) -> bool {
        self.steps.set(self.steps.get().saturating_sub(1));
        self.steps.get() > 0
    }
}

/// The pairs of places to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pairs {
    All,
    /// All but the next one.
    ButMoreLiteral,
    /// A parameter of the first template, and a literal segment of the second.
    OnlyMoreLiteral,
}

/// Returns the places below `a` and `b` that one segment reaches.
fn pairs<'p>(a: &'p Template, b: &'p Template, which: Pairs) -> impl Iterator<Item = (&'p Template, &'p Template)> {
    let (with_more_literal, with_others) = (which != Pairs::ButMoreLiteral, which != Pairs::OnlyMoreLiteral);
    let same = a.literals.iter().filter_map(|(segment, a)| Some((a, b.literals.get(segment)?)));
    let less_literal = a.literals.iter().flat_map(|(segment, a)| matching(b, segment).map(move |b| (a, &b.below)));
    let both = a.parameters.iter().flat_map(|a| {
        let is_same = |b: &&Parameter| b.info.affixes == a.info.affixes;
        b.parameters.iter().filter(is_same).map(|b| (&a.below, &b.below))
    });
    let more_literal = b.literals.iter().flat_map(|(segment, b)| matching(a, segment).map(move |a| (&a.below, b)));
    let others = same.chain(less_literal).chain(both).filter(move |_| with_others);
    others.chain(more_literal.filter(move |_| with_more_literal))
}

/// Returns the parameters of `template` that `segment` matches.
pub(super) fn matching<'p>(template: &'p Template, segment: &str) -> impl Iterator<Item = &'p Parameter> {
    let decoded = decoded(segment);
    template.parameters.iter().filter(move |parameter| parameter.info.affixes.value(&decoded).is_some())
}

/// Some seconds.
const MAX_STEPS: usize = 10_000_000;
