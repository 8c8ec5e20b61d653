//! Infers path templates: which segments are names, and which are values of a parameter.
//!
//! At each place, from the root on:
//!
//! ```text
//! segments ─▶ values by evidence ─▶ more values: the same continuation, or the same methods and answers as those
//!         └─▶ the others are literal
//! ```
//!
//! All values of a place are one parameter, and what follows them is one subtree. A request matches a literal segment before a
//! parameter. No two templates match one request with neither of them preferred: where they would, the literal segment
//! becomes a value.
//!
//! More traffic adds evidence. It can turn a literal segment into a parameter, never the reverse.

use super::affixes::Affixes;
use super::evidence::Evidence;
use super::id_kind::IdKind;
use super::paths::{NodeId, Path, PathTree};
use super::text_kind::TextKinds;
use crate::tools::sorted_map::SortedMap;
use conflicts::matching;

mod child;
mod conflicts;
mod resolver;

/// A place in a path, and what may follow.
#[derive(Debug, Default)]
pub(super) struct Template {
    /// The places that it describes.
    nodes: Vec<NodeId>,
    literals: SortedMap<Box<str>, Template>,
    /// Those with a verb behind the value come first: `{operationId}:cancel`, `{operationId}`.
    parameters: Vec<Parameter>,
    /// The number of requests that end here, without and with a slash behind.
    ends: [u64; 2],
    /// Their methods, a bit each.
    methods: u16,
    /// The number of the endpoint, if requests end here.
    endpoint: Option<usize>,
}

/// The values at a place, and what may follow.
#[derive(Debug)]
struct Parameter {
    info: PathParameter,
    below: Template,
}

/// A parameter of a path.
#[derive(Clone, Debug)]
pub(super) struct PathParameter {
    pub(super) affixes: Affixes,
    pub(super) evidence: Evidence,
    /// The kinds of values, if they are recognized by their form.
    pub(super) kinds: Vec<IdKind>,
    /// The formats that all first values have, all second ones, ….
    pub(super) formats: Vec<TextKinds>,
}

/// A segment of a path template.
#[derive(Clone, Debug)]
pub(super) enum Segment {
    Literal(Box<str>),
    Parameter(PathParameter),
}

/// The path of an endpoint.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) segments: Vec<Segment>,
    pub(super) has_final_slash: bool,
    /// The methods of requests, a bit each.
    pub(super) methods: u16,
}

/// All templates of a capture.
#[derive(Debug, Default)]
pub(super) struct Templates {
    root: Template,
    pub(super) endpoints: Vec<Endpoint>,
}

impl Templates {
    /// Infers the templates of `tree`.
    pub(super) fn infer(tree: &PathTree) -> Self {
        let root = resolver::resolve(tree);
        let mut templates = Self { root, endpoints: Vec::new() };
        let Self { root, endpoints } = &mut templates;
        number(root, &mut Vec::new(), endpoints);
        templates
    }

    /// Returns the number of the endpoint of `path`.
    pub(super) fn endpoint(&self, path: Path<'_>) -> Option<usize> {
        self.root.find(&path.segments().collect::<Vec<_>>())
    }
}

impl Template {
    fn find(&self, segments: &[&str]) -> Option<usize> {
        let Some((first, rest)) = segments.split_first() else { return self.endpoint };
        let literal = self.literals.get(*first).and_then(|below| below.find(rest));
        literal.or_else(|| matching(self, first).find_map(|parameter| parameter.below.find(rest)))
    }

    fn has_end(&self) -> bool {
        self.ends.iter().any(|count| *count > 0)
    }
}

/// Numbers the endpoints and lists them in the order of their paths.
fn number(template: &mut Template, segments: &mut Vec<Segment>, endpoints: &mut Vec<Endpoint>) {
    if template.has_end() {
        template.endpoint = Some(endpoints.len());
        let [plain, _] = template.ends;
        endpoints.push(Endpoint { segments: segments.clone(), has_final_slash: plain == 0, methods: template.methods });
    }
    for (segment, below) in template.literals.iter_mut() {
        segments.push(Segment::Literal(segment.clone()));
        number(below, segments, endpoints);
        segments.pop();
    }
    for parameter in &mut template.parameters {
        segments.push(Segment::Parameter(parameter.info.clone()));
        number(&mut parameter.below, segments, endpoints);
        segments.pop();
    }
}

#[cfg(test)]
mod tests;
