//! Templates that match the same request without one of them preferred.
//!
//! ```text
//! /issues/comments/{commentId}   ┐ both match /issues/comments/comments, and each has a literal segment
//! /issues/{issueId}/comments     ┘ where the other has a parameter
//! ```

use super::{Parameter, Template};
use crate::tools::export::openapi::paths::{NodeId, decoded};
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

    /// Returns the first conflict of a literal segment and a parameter of `template`.
    pub(super) fn conflict(&self, template: &Template) -> Option<Conflict> {
        template.literals.iter().find_map(|(segment, literal)| {
            let mut others = Vec::new();
            matching(template, segment).for_each(|other| self.add_crossings(literal, &other.below, &mut others));
            let cost = |template: &Template| count_ends(template);
            (!others.is_empty()).then(|| Conflict {
                is_cheaper_below: others.iter().map(|other| cost(other)).sum::<usize>() < cost(literal),
                segment: segment.clone(),
                below: others.iter().flat_map(|other| &other.nodes).copied().collect(),
            })
        })
    }

    /// Adds the literal segments of `other` that stand where `literal` has a parameter, if both match the same request.
    fn add_crossings<'p>(&self, literal: &'p Template, other: &'p Template, found: &mut Vec<&'p Template>) {
        if !self.takes_step() {
            return;
        }
        for (a, b) in pairs(literal, other, Pairs::ButMoreLiteral) {
            self.add_crossings(a, b, found);
        }
        let crossing = pairs(literal, other, Pairs::OnlyMoreLiteral).into_iter();
        found.extend(crossing.filter(|(a, b)| self.overlap(a, b)).map(|(_, b)| b));
    }

    /// True if a path of `a` and one of `b` match the same request.
    fn overlap(&self, a: &Template, b: &Template) -> bool {
        self.takes_step()
            && (a.has_end() && b.has_end() || pairs(a, b, Pairs::All).iter().any(|(a, b)| self.overlap(a, b)))
    }

    /// Returns false once the comparison of templates has taken too long: a capture made for that gets ambiguous templates.
    fn takes_step(&self) -> bool {
        self.steps.set(self.steps.get().saturating_sub(1));
        self.steps.get() > 0
    }
}

/// A literal segment and a parameter at one place, whose templates match the same request.
pub(super) struct Conflict {
    /// The literal segment.
    pub(super) segment: Box<str>,
    /// The literal segments below the parameter, where those of `segment` have a parameter.
    pub(super) below: Vec<NodeId>,
    /// True if fewer templates are lost when those become values, instead of `segment`.
    pub(super) is_cheaper_below: bool,
}

/// Returns the number of endpoints.
fn count_ends(template: &Template) -> usize {
    let below = template.parameters.iter().map(|parameter| &parameter.below).chain(template.literals.values());
    below.map(count_ends).sum::<usize>() + usize::from(template.has_end())
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
#[inline(never)]
fn pairs<'p>(a: &'p Template, b: &'p Template, which: Pairs) -> Vec<(&'p Template, &'p Template)> {
    let mut pairs = Vec::new();
    if which != Pairs::OnlyMoreLiteral {
        for (segment, a) in a.literals.iter() {
            pairs.extend(b.literals.get(segment).map(|b| (a, b)));
            pairs.extend(matching(b, segment).map(|b| (a, &b.below)));
        }
        for a in &a.parameters {
            let same = b.parameters.iter().filter(|b| b.info.affixes == a.info.affixes);
            pairs.extend(same.map(|b| (&a.below, &b.below)));
        }
    }
    if which != Pairs::ButMoreLiteral {
        for (segment, b) in b.literals.iter() {
            pairs.extend(matching(a, segment).map(|a| (&a.below, b)));
        }
    }
    pairs
}

/// Returns the parameters of `template` that `segment` matches.
pub(super) fn matching<'p>(template: &'p Template, segment: &str) -> impl Iterator<Item = &'p Parameter> {
    let decoded = decoded(segment);
    template.parameters.iter().filter(move |parameter| parameter.info.affixes.values(&decoded).is_some())
}

/// Some seconds.
const MAX_STEPS: usize = 10_000_000;
