//! Decides which segments of a tree are names, and which are values.

use super::conflicts::Comparison;
use super::{Parameter, PathParameter, Template};
use crate::tools::export::openapi::affixes::Affixes;
use crate::tools::export::openapi::evidence::Evidence;
use crate::tools::export::openapi::id_kind::{IdKind, is_api_version};
use crate::tools::export::openapi::names::{is_plural, split_words};
use crate::tools::export::openapi::paths::{NodeId, PathNode, PathTree, decoded};
use crate::tools::export::openapi::sketch::Sketch;
use crate::tools::export::openapi::survey::method_bit;
use crate::tools::export::openapi::text_kind::TextKinds;
use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Returns the template of all paths of `tree`.
pub(super) fn resolve(tree: &PathTree) -> Template {
    Resolver { tree, comparison: Comparison::new() }.template(&[PathTree::ROOT], Before::Structure)
}

/// The segment before a place.
#[derive(Clone, Copy, Debug)]
enum Before<'t> {
    /// The root, a version or `api`: names of resources follow.
    Structure,
    Literal(&'t str),
    Parameter,
}

impl<'t> Before<'t> {
    fn of(segment: &'t str) -> Self {
        let is_structure = is_api_version(segment) || STRUCTURE.iter().any(|known| segment.eq_ignore_ascii_case(known));
        if is_structure { Self::Structure } else { Self::Literal(segment) }
    }
}

struct Resolver<'t> {
    tree: &'t PathTree,
    comparison: Comparison,
}

/// A distinct segment at a place.
struct Child<'t> {
    segment: &'t str,
    decoded: String,
    affixes: Affixes,
    nodes: Vec<NodeId>,
    /// The kind of the value, without its affixes.
    kind: Option<IdKind>,
    evidence: Evidence,
    /// A name of a protocol or a version: never a value.
    is_name: bool,
    /// A word such as `search`: not a value unless an answer has it.
    is_view: bool,
    methods: u16,
    sketch: Sketch,
    has_children: bool,
}

impl<'t> Resolver<'t> {
    /// Returns the template of the place that all of `group` are.
    fn template(&self, group: &[NodeId], before: Before<'_>) -> Template {
        let mut children = self.children(group);
        let has_more = self.nodes(group).any(|node| node.has_more);
        self.decide(&mut children, before, has_more);
        loop {
            let template = self.build(group, &children);
            let conflict = self.comparison.conflict(&template);
            match conflict.and_then(|segment| children.iter_mut().find(|child| *child.segment == *segment)) {
                None => return template,
                Some(child) => child.evidence |= Evidence::CONFLICT,
            }
        }
    }

    fn nodes<'g>(&self, group: &'g [NodeId]) -> impl Iterator<Item = &'t PathNode> + use<'t, 'g> {
        let tree = self.tree;
        group.iter().filter_map(move |id| tree.node(*id))
    }

    fn children(&self, group: &[NodeId]) -> Vec<Child<'t>> {
        let mut by_segment: BTreeMap<&str, Vec<NodeId>> = BTreeMap::new();
        for node in self.nodes(group) {
            node.children.iter().for_each(|(segment, id)| by_segment.entry(segment).or_default().push(*id));
        }
        by_segment.into_iter().map(|(segment, nodes)| self.child(segment, nodes)).collect()
    }

    fn child(&self, segment: &'t str, nodes: Vec<NodeId>) -> Child<'t> {
        let decoded = decoded(segment);
        let affixes = Affixes::of(&decoded);
        let kind = match affixes.is_evident() {
            true => Some(IdKind::Token),
            false => IdKind::of(&decoded).or_else(|| IdKind::of(affixes.value(&decoded)?)),
        };
        let mut child = Child {
            segment,
            kind,
            evidence: Evidence::NONE,
            is_name: is_api_version(&decoded),
            is_view: is_view(&decoded),
            methods: 0,
            sketch: Sketch::default(),
            has_children: false,
            decoded,
            affixes,
            nodes,
        };
        for node in self.nodes(&child.nodes) {
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

    /// Leaves evidence at the children that are values, and none at the others.
    fn decide(&self, children: &mut [Child<'t>], before: Before<'_>, has_more: bool) {
        for child in children.iter_mut() {
            let typed = if child.kind.is_some() { Evidence::TYPE } else { Evidence::NONE };
            child.evidence = match child.is_name {
                true => Evidence::NONE,
                false if child.is_view && matches!(before, Before::Structure) => Evidence::NONE,
                false if child.is_view => child.evidence & (Evidence::OWN_ANSWER | Evidence::LIST),
                false if matches!(before, Before::Structure) && child.kind.is_none() => {
                    // The list of all resources has their names.
                    child.evidence & (Evidence::OWN_ANSWER | Evidence::EARLIER_ANSWER)
                }
                false => child.evidence | typed,
            };
            child.is_name |= child.is_view && !child.is_value();
        }
        if matches!(before, Before::Structure) {
            let is_version = |child: &&mut Child<'_>| {
                let is_numeric = matches!(child.kind, Some(IdKind::Integer | IdKind::Date | IdKind::Version));
                is_numeric && child.evidence != Evidence::NONE
            };
            let mut versions: Vec<_> = children.iter_mut().filter(is_version).collect();
            if let [only] = &mut *versions
                && only.has_children
                && only.methods == 0
            {
                // The version of the API: `/2/users`, `/2010-04-01/Accounts`.
                only.evidence = Evidence::NONE;
            }
        }
        // Beside a few values at a place for resources, words are likely to be names of resources.
        let values = children.iter().filter(|child| child.is_value()).count();
        if !matches!(before, Before::Structure) || values >= MIN_ALIKE {
            self.add_alike(children, before);
            self.add_values_like_others(children);
        }
        if has_more {
            children.iter_mut().filter(|child| !child.is_name).for_each(|child| child.evidence |= Evidence::MANY);
        }
    }

    /// Adds words with the same continuation: three or more of them behind a noun in the plural, or beside values.
    fn add_alike(&self, children: &mut [Child<'t>], before: Before<'_>) {
        let is_behind_plural = matches!(before, Before::Literal(noun) if is_plural(noun));
        if !is_behind_plural && !children.iter().any(Child::is_value) {
            return;
        }
        let is_candidate = |child: &&mut Child<'_>| !child.is_value() && !child.is_name && !is_plural(&child.decoded);
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        let all_next: Vec<_> = children.iter().map(|child| self.next(child)).collect();
        for (_, next) in children.iter_mut().zip(&all_next).filter(|(child, _)| is_candidate(child)) {
            next.iter().for_each(|segment| *counts.entry(segment).or_default() += 1);
        }
        for (child, next) in children.iter_mut().zip(&all_next).filter(|(child, _)| is_candidate(child)) {
            if next.iter().any(|segment| counts.get(*segment).is_some_and(|count| *count >= MIN_ALIKE)) {
                child.evidence |= Evidence::CONTINUATION;
            }
        }
    }

    /// Returns the literal segments behind a child, and the verb in its segment.
    fn next(&self, child: &Child<'t>) -> Vec<&'t str> {
        let segments = self.nodes(&child.nodes).flat_map(|node| node.children.keys()).map(|segment| &**segment);
        let is_literal = |segment: &&str| IdKind::of(segment).is_none() && !is_api_version(segment);
        let verb =
            child.affixes.verb().and_then(|verb| child.segment.get(child.segment.len().checked_sub(verb.len())?..));
        let mut next: Vec<_> = segments.filter(is_literal).chain(verb).collect();
        next.sort_unstable();
        next.dedup();
        next
    }

    /// Adds children that continue as the known values do, or that have the same methods and answers.
    fn add_values_like_others(&self, children: &mut [Child<'t>]) {
        if !children.iter().any(Child::is_value) {
            return;
        }
        let mut tails: Vec<_> = children.iter().map(|child| self.tails(child)).collect();
        loop {
            let known: HashSet<u64> = children
                .iter()
                .zip(&tails)
                .filter(|(child, _)| child.is_value())
                .flat_map(|(_, tails)| tails)
                .copied()
                .collect();
            let mut has_added = false;
            for (child, tails) in children.iter_mut().zip(&mut tails) {
                if child.evidence == Evidence::NONE && !child.is_name && !tails.is_disjoint(&known) {
                    child.evidence |= Evidence::CONTINUATION;
                    has_added = true;
                }
            }
            if !has_added {
                break;
            }
        }
        let (mut methods, mut names) = (0, HashSet::new());
        for value in children.iter().filter(|child| child.is_value()) {
            methods |= value.methods;
            names.extend(value.sketch.hashes());
        }
        let values = children.iter().filter(|child| child.is_value()).count();
        let are_most = values.saturating_mul(2) >= children.len();
        let post = method_bit("POST").unwrap_or_default();
        for child in children.iter_mut().filter(|child| !child.is_value() && !child.is_name) {
            let is_leaf = !child.has_children && child.methods & !methods == 0;
            // What is posted to is often the name of an action.
            let is_likely = child.methods & post == 0 || are_most;
            if is_leaf && is_likely && (child.sketch.is_empty() || child.sketch.is_part_of(&names)) {
                child.evidence |= Evidence::SIBLINGS;
            }
        }
    }

    /// Returns the paths below `child` as hashes, without the values in them. Each has a literal segment.
    fn tails(&self, child: &Child<'t>) -> HashSet<u64> {
        let mut tails = HashSet::new();
        let mut left = MAX_TAIL_NODES;
        tails.extend(child.affixes.verb().map(|verb| {
            let mut hasher = DefaultHasher::new();
            verb.hash(&mut hasher);
            hasher.finish()
        }));
        child.nodes.iter().for_each(|id| self.add_tails(*id, &mut Vec::new(), &mut left, &mut tails));
        tails
    }

    fn add_tails(&self, id: NodeId, path: &mut Vec<Option<&'t str>>, left: &mut usize, tails: &mut HashSet<u64>) {
        let Some(node) = self.tree.node(id) else { return };
        if node.methods != 0 {
            let mut add = |path: &[Option<&str>]| {
                if path.iter().any(Option::is_some) {
                    let mut hasher = DefaultHasher::new();
                    path.hash(&mut hasher);
                    tails.insert(hasher.finish());
                }
            };
            add(path);
            // The first segment may be a value without evidence.
            if let Some((first, rest)) = path.split_first()
                && first.is_some()
            {
                add(&[&[None], rest].concat());
            }
        }
        if path.len() >= MAX_TAIL_SEGMENTS {
            return;
        }
        for (segment, child) in &node.children {
            if *left == 0 {
                return;
            }
            *left -= 1;
            let is_value = IdKind::of(segment).is_some()
                || self.tree.node(*child).is_some_and(|node| node.evidence != Evidence::NONE && !node.is_name);
            path.push((!is_value).then_some(segment));
            self.add_tails(*child, path, left, tails);
            path.pop();
        }
    }

    fn build(&self, group: &[NodeId], children: &[Child<'t>]) -> Template {
        let mut template = Template::default();
        for node in self.nodes(group) {
            template.ends.iter_mut().zip(node.ends).for_each(|(sum, count)| *sum += count);
            template.methods |= node.methods;
        }
        for child in children.iter().filter(|child| !child.is_value()) {
            template.literals.insert(child.segment.into(), self.template(&child.nodes, Before::of(child.segment)));
        }
        let mut forms: BTreeMap<_, Vec<&Child<'t>>> = BTreeMap::new();
        for child in children.iter().filter(|child| child.is_value()) {
            forms.entry(child.affixes.names()).or_default().push(child);
        }
        for values in forms.into_values().rev() {
            let nodes: Vec<_> = values.iter().flat_map(|child| &child.nodes).copied().collect();
            let below = self.template(&nodes, Before::Parameter);
            template.parameters.push(Parameter { info: PathParameter::of(&values), below });
        }
        template
    }
}

impl Child<'_> {
    fn is_value(&self) -> bool {
        self.evidence != Evidence::NONE
    }
}

/// True for a segment that names an operation or a view, by its first word.
fn is_view(text: &str) -> bool {
    let words = split_words(text);
    let is_one = |word: &&str| words.as_slice() == [*word];
    NAMES.iter().any(is_one) || words.first().is_some_and(|first| VERBS.contains(&first.as_str()))
}

/// Segments that precede names of resources.
const STRUCTURE: [&str; 6] = ["api", "apis", "rest", "_api", "services", "rpc"];

/// Words that name a view beside values.
const NAMES: [&str; 26] = [
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

/// Fewer words with the same continuation may be resources with the same sub-resources.
const MIN_ALIKE: usize = 3;

const MAX_TAIL_SEGMENTS: usize = 4;

const MAX_TAIL_NODES: usize = 2000;

impl PathParameter {
    fn of(values: &[&Child<'_>]) -> Self {
        let form = values.first().map(|child| child.affixes.clone()).unwrap_or_default();
        let affixes = if values.iter().all(|child| child.affixes == form) { form } else { Affixes::default() };
        let mut parameter = Self { affixes, evidence: Evidence::NONE, kinds: Vec::new(), formats: TextKinds::ALL };
        for child in values {
            parameter.evidence |= child.evidence;
            let value = parameter.affixes.value(&child.decoded).unwrap_or_default();
            parameter.formats = parameter.formats.and(TextKinds::of(value));
            if let Some(kind) = IdKind::of(value)
                && !parameter.kinds.contains(&kind)
            {
                parameter.kinds.push(kind);
            }
        }
        parameter.kinds.sort_unstable();
        parameter
    }
}
