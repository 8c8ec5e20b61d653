//! A segment at a place, with all that decides if it is a name or a value.

use crate::tools::export::openapi::affixes::Affixes;
use crate::tools::export::openapi::evidence::Evidence;
use crate::tools::export::openapi::id_kind::{IdKind, is_api_version};
use crate::tools::export::openapi::names::{is_plural, split_words};
use crate::tools::export::openapi::paths::{NodeId, PathTree, decoded};
use crate::tools::export::openapi::sketch::Sketch;

/// The segment before a place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Before<'t> {
    /// The root, a version or `api`: names of resources follow.
    Structure,
    Literal(&'t str),
    Parameter,
}

impl<'t> Before<'t> {
    pub(super) fn of(segment: &'t str) -> Self {
        let is_structure = is_api_version(segment) || is_structure(segment);
        if is_structure { Self::Structure } else { Self::Literal(segment) }
    }

    pub(super) fn is_plural(self) -> bool {
        matches!(self, Self::Literal(noun) if is_plural(noun))
    }
}

fn is_structure(segment: &str) -> bool {
    STRUCTURE.iter().any(|known| segment.eq_ignore_ascii_case(known))
}

/// A distinct segment at a place.
pub(super) struct Child<'t> {
    pub(super) segment: &'t str,
    pub(super) decoded: String,
    pub(super) affixes: Affixes,
    pub(super) nodes: Vec<NodeId>,
    /// The kind of the value, without its affixes.
    pub(super) kind: Option<IdKind>,
    pub(super) evidence: Evidence,
    /// A name of a protocol or a version: never a value.
    pub(super) is_name: bool,
    /// A word such as `search`: not a value unless an answer has it.
    pub(super) is_view: bool,
    pub(super) methods: u16,
    pub(super) sketch: Sketch,
    pub(super) has_children: bool,
}

impl<'t> Child<'t> {
    pub(super) fn new(tree: &'t PathTree, segment: &'t str, nodes: Vec<NodeId>) -> Self {
        let decoded = decoded(segment);
        let affixes = Affixes::of(&decoded);
        let kind = match affixes.is_evident() {
            true => Some(IdKind::Token),
            false => IdKind::of(&decoded).or_else(|| affixes.values(&decoded)?.first().copied().and_then(IdKind::of)),
        };
        let mut child = Self {
            segment,
            kind,
            evidence: Evidence::NONE,
            is_name: is_api_version(&decoded) || is_structure(&decoded),
            is_view: is_view(&decoded),
            methods: 0,
            sketch: Sketch::default(),
            has_children: false,
            decoded,
            affixes,
            nodes,
        };
        for node in child.nodes.iter().filter_map(|id| tree.node(*id)) {
            child.evidence |= node.evidence;
            child.methods |= node.methods;
            child.sketch.merge(&node.sketch);
            child.has_children |= !node.children.is_empty() || node.has_more;
            if node.is_name {
                (child.is_name, child.kind) = (true, None);
            }
        }
        child
    }
}

impl Child<'_> {
    pub(super) fn is_value(&self) -> bool {
        self.evidence != Evidence::NONE
    }

    /// True for a word that may be a value: no name, no view, and no noun in the plural, which names a resource.
    pub(super) fn is_candidate(&self) -> bool {
        !self.is_value() && !self.is_name && !is_plural(&self.decoded)
    }

    /// Returns the names in the segment, which all values of a parameter have.
    pub(super) fn form(&self) -> (String, Option<String>) {
        let (before, verb) = self.affixes.names();
        (before.to_owned(), verb.map(str::to_owned))
    }
}

/// True for a segment that names an operation or a view, by its first word.
fn is_view(text: &str) -> bool {
    let words = split_words(text);
    let is_one = |word: &&str| words.as_slice() == [*word];
    NAMES.iter().any(is_one) || words.first().is_some_and(|first| VERBS.contains(&first.as_str()))
}

/// True for a path that any service has.
pub(super) fn is_of_services(segment: &str) -> bool {
    SERVICE_PATHS.iter().any(|known| segment.eq_ignore_ascii_case(known))
}

/// Segments that precede names of resources.
const STRUCTURE: [&str; 6] = ["api", "apis", "rest", "_api", "services", "rpc"];

/// Words that name a view beside values.
const NAMES: [&str; 29] = [
    "me",
    "self",
    "default",
    "primary",
    "current",
    "mine",
    "new",
    "count",
    "stats",
    "statistics",
    "latest",
    "recent",
    "all",
    "login",
    "logout",
    "signup",
    "health",
    "metrics",
    "version",
    "docs",
    "status",
    "info",
    "settings",
    "config",
    "summary",
    "trending",
    "popular",
    "featured",
    "upcoming",
];

const SERVICE_PATHS: [&str; 8] = ["health", "healthz", "ready", "metrics", "version", "docs", "ping", "openapi.json"];

/// Words that begin the name of an operation.
const VERBS: [&str; 30] = [
    "search",
    "create",
    "delete",
    "update",
    "get",
    "list",
    "find",
    "query",
    "lookup",
    "add",
    "remove",
    "set",
    "send",
    "import",
    "export",
    "bulk",
    "batch",
    "validate",
    "verify",
    "check",
    "suggest",
    "autocomplete",
    "upload",
    "download",
    "preview",
    "register",
    "generate",
    "start",
    "stop",
    "cancel",
];
