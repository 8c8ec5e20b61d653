//! The paths of a capture as a tree of segments, with evidence about each segment.
//!
//! ```text
//! /users/17          users ─┬─ 17 ── orders
//! /users/17/orders          └─ me
//! /users/me
//! ```
//!
//! The tree is bounded. Segments for which a place has no room are counted at [`PathNode::has_more`]: a place with that many has
//! a parameter.

use super::evidence::Evidence;
use super::sketch::Sketch;
use crate::tools::sorted_map::SortedMap;
use crate::tools::urlencoded::percent_decoded;

/// A tree of path segments.
#[derive(Debug)]
pub(super) struct PathTree {
    nodes: Vec<PathNode>,
}

/// The index of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(u32);

impl NodeId {
    pub(super) fn index(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    pub(super) fn number(self) -> u64 {
        self.0.into()
    }

    /// Returns the node of a number, `None` if no tree has as many.
    pub(super) fn from_number(number: u64) -> Option<Self> {
        u32::try_from(number).ok().map(Self)
    }
}

/// A segment behind certain other segments.
#[derive(Debug, Default)]
pub(super) struct PathNode {
    /// By segment, as in the URL.
    pub(super) children: SortedMap<Box<str>, NodeId>,
    /// True if further segments have no node.
    pub(super) has_more: bool,
    /// The methods of requests for exactly this path, a bit each.
    pub(super) methods: u16,
    /// The number of requests that end here, without and with a slash behind.
    pub(super) ends: [u64; 2],
    /// The number of the first exchange with this segment.
    pub(super) first_seen: usize,
    /// The evidence in answers that it is a value.
    pub(super) evidence: Evidence,
    /// The members of its answers.
    pub(super) sketch: Sketch,
    /// True for names of a protocol, which are never values: services and methods of gRPC.
    pub(super) is_name: bool,
}

/// A path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'u> {
    path: &'u str,
}

impl<'u> Path<'u> {
    /// Returns the path of a URL or of a reference that begins with a slash. `None` if it is longer than what is described.
    pub(super) fn of(url: &'u str) -> Option<Self> {
        let behind_scheme = match url.split_once("://") {
            Some((_, rest)) => rest.get(rest.find(['/', '?', '#']).unwrap_or(rest.len())..).unwrap_or_default(),
            None => url,
        };
        let path = behind_scheme.split(['?', '#']).next().unwrap_or_default();
        let path = Self { path: path.strip_prefix('/').unwrap_or(path) };
        (path.path.len() <= MAX_PATH_BYTES && path.segments().count() <= MAX_SEGMENTS).then_some(path)
    }

    /// Returns the segments, as in the URL. A slash at the end is not one.
    pub(super) fn segments(self) -> impl Iterator<Item = &'u str> {
        let path = self.path.strip_suffix('/').unwrap_or(self.path);
        let is_root = path.is_empty();
        path.split('/').filter(move |_| !is_root)
    }

    pub(super) fn has_final_slash(self) -> bool {
        self.path.ends_with('/')
    }
}

impl PathTree {
    pub(super) const ROOT: NodeId = NodeId(0);

    pub(super) fn new() -> Self {
        Self { nodes: vec![PathNode::default()] }
    }

    /// Returns the node `id`.
    pub(super) fn node(&self, id: NodeId) -> Option<&PathNode> {
        self.nodes.get(id.index())
    }

    fn node_mut(&mut self, id: NodeId) -> Option<&mut PathNode> {
        self.nodes.get_mut(id.index())
    }

    pub(super) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut PathNode> {
        self.nodes.iter_mut()
    }

    /// Returns all nodes.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &PathNode> {
        self.nodes.iter()
    }

    /// Adds the path of exchange number `exchange`; `method` is its bit. `are_names` if its segments are names of a protocol.
    pub(super) fn add(&mut self, path: Path<'_>, exchange: usize, method: u16, are_names: bool) {
        let mut at = Self::ROOT;
        for segment in path.segments() {
            let Some(child) = self.child(at, segment, exchange) else { return };
            at = child;
            if let Some(node) = self.node_mut(at) {
                node.is_name |= are_names;
            }
        }
        if let Some(node) = self.node_mut(at) {
            node.methods |= method;
            let [plain, with_slash] = &mut node.ends;
            *if path.has_final_slash() { with_slash } else { plain } += 1;
        }
    }

    fn child(&mut self, parent: NodeId, segment: &str, exchange: usize) -> Option<NodeId> {
        let count = self.nodes.len();
        let node = self.node_mut(parent)?;
        if let Some(known) = node.children.get(segment) {
            return Some(*known);
        }
        if node.children.len() >= MAX_CHILDREN || count >= MAX_NODES {
            node.has_more = true;
            return None;
        }
        let new = NodeId(u32::try_from(count).ok()?);
        node.children.insert(segment.into(), new);
        self.nodes.push(PathNode { first_seen: exchange, ..PathNode::default() });
        Some(new)
    }

    /// Returns the nodes of a path's segments, as far as the tree has them.
    pub(super) fn nodes_of(&self, path: Path<'_>) -> Vec<NodeId> {
        let mut at = Self::ROOT;
        let next = |segment: &str| {
            at = *self.node(at)?.children.get(segment)?;
            Some(at)
        };
        path.segments().map_while(next).collect()
    }
}

/// Returns a segment without percent-encoding.
pub(super) fn decoded(segment: &str) -> String {
    percent_decoded(segment)
}

const MAX_PATH_BYTES: usize = 4096;

const MAX_SEGMENTS: usize = 32;

/// No API has as many literal segments at one place.
const MAX_CHILDREN: usize = 1000;

/// Of some 150 bytes each.
const MAX_NODES: usize = 60_000;
