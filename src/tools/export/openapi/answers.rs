//! Finds evidence in answers that a path segment is a value: the same value stands there.
//!
//! | evidence | example |
//! |---|---|
//! | in its own answer | `/users/alice` and `{"login": "alice"}` |
//! | in the list before it | `/users` and `[{"login": "alice"}]` |
//! | in an earlier answer | any answer with `{"slug": "blue-car"}`, then `/cars/blue-car` |
//! | in links | `[{"url": "/users/alice"}, {"url": "/users/bob"}]` |
//!
//! Members called `type` and the like are no evidence: their values are often the names of resources. Neither are words in
//! answers to other requests, since literal segments are words too.

use super::evidence::Evidence;
use super::id_kind::IdKind;
use super::paths::{NodeId, Path, PathTree, decoded};
use super::sketch::Sketch;
use super::walk::walk;
use crate::sorting::{sort_by, sort_pairs};
use std::hash::{DefaultHasher, Hash, Hasher};

/// The segments to look for in any answer: pairs of a hash and the number of a node, sorted.
#[derive(Debug)]
pub(super) struct Sought(Vec<(u64, u64)>);

impl Sought {
    /// Returns the segments of `tree` that are neither words nor recognized by their form.
    pub(super) fn new(tree: &PathTree) -> Self {
        let mut all = Vec::new();
        for (segment, node) in tree.nodes().flat_map(|parent| parent.children.iter()) {
            let segment = decoded(segment);
            let is_word = segment.bytes().all(|b| b.is_ascii_alphabetic());
            if segment.len() >= MIN_SOUGHT_BYTES && !is_word && IdKind::of(&segment).is_none() {
                all.push((hash_of(&segment), node.number()));
            }
        }
        sort_pairs(&mut all);
        Self(all)
    }

    /// Returns the nodes of a segment.
    fn nodes(&self, segment: &str) -> impl Iterator<Item = NodeId> {
        let hash = hash_of(segment);
        let start = self.0.partition_point(|(known, _)| *known < hash);
        let equal = self.0.iter().skip(start).take_while(move |(known, _)| *known == hash);
        equal.filter_map(|(_, node)| NodeId::from_number(*node))
    }
}

fn hash_of(segment: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    segment.hash(&mut hasher);
    hasher.finish()
}

/// The evidence that an answer gives.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) evidence: Vec<(NodeId, Evidence)>,
    /// The names in the answer.
    pub(super) sketch: Sketch,
    /// True if the answer is JSON.
    pub(super) is_json: bool,
}

/// Looks for the segments of `path` and of `sought` in `body`. `exchange` is the number of the exchange.
pub(super) fn find(tree: &PathTree, sought: &Sought, path: Path<'_>, exchange: usize, body: &[u8]) -> Findings {
    let own = tree.nodes_of(path);
    let segments: Vec<_> = path.segments().map(decoded).collect();
    let list = own.last().copied().unwrap_or(PathTree::ROOT);
    let is_list = own.len() == segments.len();
    let mut findings = Findings::default();
    let mut links: Vec<(String, Vec<NodeId>)> = Vec::new();
    let mut found = Vec::new();
    let mut is_full = false;
    findings.is_json = walk(body, &mut |place, name, text| match text {
        None => {
            if place.depth <= SKETCH_DEPTH {
                findings.sketch.add(place.depth, place.is_in_array, name);
            }
        }
        Some(_) if is_full || !is_identifying(name) => {}
        Some(text) => {
            let at = |n: usize| own.get(n).copied();
            let is_core = |segment: &str| segment == text || core(segment) == text;
            if place.depth <= OWN_DEPTH && !text.is_empty() {
                let equal = segments.iter().enumerate().filter(|(_, segment)| is_core(segment));
                found.extend(equal.filter_map(|(n, _)| at(n)).map(|node| (node, Evidence::OWN_ANSWER)));
                if text.contains('/') && !is_address(name, text) {
                    found.extend(joined(&segments, text).filter_map(at).map(|node| (node, Evidence::OWN_ANSWER)));
                }
            }
            if place.is_in_array && is_list {
                let child = tree.node(list).and_then(|node| node.children.get(text));
                found.extend(child.map(|node| (*node, Evidence::LIST)));
            }
            let is_earlier = |id: &NodeId| tree.node(*id).is_some_and(|node| node.first_seen > exchange);
            let earlier = sought.nodes(text).filter(is_earlier);
            found.extend(earlier.map(|node| (node, Evidence::EARLIER_ANSWER)));
            if place.is_in_array && is_address(name, text) {
                found.extend(link(tree, &mut links, name, text).map(|node| (node, Evidence::LINKS)));
            }
            is_full = found.len() > MAX_FOUND;
        }
    });
    sort_by(&mut found, &|a, b| a.cmp(b));
    found.dedup();
    findings.evidence = found;
    findings
}

/// Returns the segment without a file name extension or a custom verb behind it.
pub(super) fn core(segment: &str) -> &str {
    let end = segment.rfind([':', '.']).filter(|at| *at > 0);
    end.and_then(|at| segment.get(..at)).unwrap_or(segment)
}

/// Returns the numbers of the consecutive segments that `text` joins with slashes: `octo/hello` of `/repos/octo/hello`.
fn joined<'s>(segments: &'s [String], text: &str) -> impl Iterator<Item = usize> + use<'s> {
    let parts: Vec<_> = text.split('/').collect();
    let start = segments.windows(parts.len()).position(|window| window.iter().zip(&parts).all(|(a, b)| a == b));
    let count = parts.len();
    start.into_iter().flat_map(move |start| start..start.saturating_add(count))
}

/// Compares a link with the first one of the same name in the answer. Returns the two nodes in which they differ, if it is one
/// segment.
fn link(
    tree: &PathTree,
    links: &mut Vec<(String, Vec<NodeId>)>,
    name: &str,
    url: &str,
) -> impl Iterator<Item = NodeId> + use<> {
    let nodes = Path::of(url).map(|path| tree.nodes_of(path)).unwrap_or_default();
    let mut pair = None;
    match links.iter().find(|(known, _)| known == name) {
        Some((_, first)) if first.len() == nodes.len() => {
            // Nodes behind a different segment differ too.
            pair = first.iter().zip(&nodes).find(|(a, b)| a != b).map(|(a, b)| [*a, *b]);
        }
        Some(_) => {}
        None if links.len() < MAX_LINKS && !nodes.is_empty() => links.push((name.to_owned(), nodes)),
        None => {}
    }
    pair.into_iter().flatten()
}

/// True for a link, also by the name of its member.
fn is_address(name: &str, text: &str) -> bool {
    text.starts_with('/') || text.contains("://") || ADDRESS_NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// False for members whose values are names of types, states and fields.
fn is_identifying(name: &str) -> bool {
    let name = name.trim_start_matches(['@', '_', '$']);
    !TYPE_NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

const TYPE_NAMES: [&str; 30] = [
    "type",
    "kind",
    "object",
    "resource",
    "resourceType",
    "resource_type",
    "entity",
    "entityType",
    "typename",
    "class",
    "event",
    "action",
    "method",
    "operation",
    "op",
    "status",
    "state",
    "rel",
    "scope",
    "scopes",
    "permission",
    "permissions",
    "category",
    "field",
    "fields",
    "model",
    "collection",
    "table",
    "tag",
    "role",
];

const ADDRESS_NAMES: [&str; 8] = ["url", "uri", "href", "path", "link", "endpoint", "route", "self"];

/// Shorter text is in answers by chance.
const MIN_SOUGHT_BYTES: usize = 6;

/// Members at a greater depth are those of other things.
const OWN_DEPTH: usize = 4;

const SKETCH_DEPTH: usize = 2;

const MAX_FOUND: usize = 10_000;

const MAX_LINKS: usize = 16;
