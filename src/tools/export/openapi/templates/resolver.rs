//! Decides which segments of a tree are names, and which are values.

use super::child::{Before, Child, is_of_services};
use super::conflicts::{Comparison, Conflict};
use super::{Parameter, PathParameter, Template};
use crate::sorting::sort_by;
use crate::tools::export::openapi::affixes::Affixes;
use crate::tools::export::openapi::evidence::Evidence;
use crate::tools::export::openapi::id_kind::{IdKind, is_api_version};
use crate::tools::export::openapi::paths::{NodeId, PathNode, PathTree};
use crate::tools::export::openapi::survey::method_bit;
use crate::tools::export::openapi::text_kind::TextKinds;
use crate::tools::sorted_map::SortedMap;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Returns the template of all paths of `tree`.
pub(super) fn resolve(tree: &PathTree) -> Template {
    let resolver = Resolver {
        tree,
        comparison: Comparison::new(),
        conflicting: RefCell::default(),
        rebuilds: Cell::new(MAX_REBUILDS),
    };
    resolver.template(&[PathTree::ROOT], Before::Structure)
}

/// Hashes, or their counts. It is a map so that the binary has one type of hash table for it and for others.
type Hashes = HashMap<u64, usize>;

struct Resolver<'t> {
    tree: &'t PathTree,
    comparison: Comparison,
    /// Literal segments that become values because of a conflict.
    conflicting: RefCell<Vec<NodeId>>,
    /// The number of times that templates may still be built again.
    rebuilds: Cell<usize>,
}

impl<'t> Resolver<'t> {
    /// Returns the template of the place that all of `group` are.
    fn template(&self, group: &[NodeId], before: Before<'_>) -> Template {
        let mut children = self.children(group);
        let has_more = self.nodes(group).any(|node| node.has_more);
        self.decide(&mut children, before, has_more);
        loop {
            let template = self.build(group, &children);
            let Some(Conflict { segment, below, is_cheaper_below }) = self.comparison.conflict(&template) else {
                return template;
            };
            if self.rebuilds.get() == 0 {
                return template;
            }
            self.rebuilds.set(self.rebuilds.get().saturating_sub(1));
            if is_cheaper_below {
                self.conflicting.borrow_mut().extend(below);
            } else {
                let conflicting = children.iter_mut().filter(|child| *child.segment == *segment);
                conflicting.for_each(|child| child.evidence |= Evidence::CONFLICT);
            }
        }
    }

    fn nodes<'g>(&self, group: &'g [NodeId]) -> impl Iterator<Item = &'t PathNode> + use<'t, 'g> {
        let tree = self.tree;
        group.iter().filter_map(move |id| tree.node(*id))
    }

    fn children(&self, group: &[NodeId]) -> Vec<Child<'t>> {
        let mut by_segment: SortedMap<&str, Vec<NodeId>> = SortedMap::default();
        for (segment, id) in self.nodes(group).flat_map(|node| node.children.iter()) {
            by_segment.or_default(&**segment).into_iter().for_each(|nodes| nodes.push(*id));
        }
        by_segment.into_entries().into_iter().map(|(segment, nodes)| Child::new(self.tree, segment, nodes)).collect()
    }

    /// Leaves evidence at the children that are values, and none at the others.
    fn decide(&self, children: &mut [Child<'t>], before: Before<'_>, has_more: bool) {
        find_numbered(children);
        children.iter_mut().for_each(|child| weigh(child, before));
        if matches!(before, Before::Structure) {
            doubt_words(children);
        }
        find_api_version(children, before);
        let values = children.iter().filter(|child| child.is_value()).count();
        if matches!(before, Before::Structure) {
            self.add_tenants(children);
        }
        // Beside a few values at a place for resources, words are likely to be names of resources.
        if !matches!(before, Before::Structure) || values >= MIN_ALIKE {
            self.add_alike(children, before);
            self.add_leaves(children, before);
            self.add_values_like_others(children);
        }
        if has_more {
            children.iter_mut().filter(|child| !child.is_name).for_each(|child| child.evidence |= Evidence::MANY);
        }
        let conflicting = self.conflicting.borrow();
        for child in children.iter_mut().filter(|child| child.nodes.iter().any(|node| conflicting.contains(node))) {
            child.evidence |= Evidence::CONFLICT;
        }
    }

    /// Adds words at a place for resources that have the same continuation of several literal segments: `/acme/api/projects`.
    fn add_tenants(&self, children: &mut [Child<'t>]) {
        let is_tenant = |child: &Child<'_>| child.is_candidate() && child.methods == 0;
        let tails: Vec<_> = children.iter().map(|child| self.tails(child)).collect();
        let tenants = || children.iter().zip(&tails).filter(|(child, _)| is_tenant(child));
        let mut counts = Hashes::new();
        tenants().flat_map(|(_, tails)| tails.keys()).for_each(|tail| *counts.entry(*tail).or_default() += 1);
        let shared = |tails: &Hashes| {
            tails.keys().filter(|tail| counts.get(tail).is_some_and(|count| *count >= MIN_ALIKE)).count()
        };
        if tenants().filter(|(_, tails)| shared(tails) >= MIN_SHARED_TAILS).count() < MIN_ALIKE {
            return;
        }
        for (child, tails) in children.iter_mut().zip(&tails) {
            if is_tenant(child) && shared(tails) >= MIN_SHARED_TAILS {
                child.evidence |= Evidence::CONTINUATION;
            }
        }
    }

    /// Adds words with the same continuation: three or more of them behind a noun in the plural, or beside values.
    fn add_alike(&self, children: &mut [Child<'t>], before: Before<'_>) {
        if !before.is_plural() && !children.iter().any(Child::is_value) {
            return;
        }
        let mut counts: SortedMap<&str, usize> = SortedMap::default();
        let all_next: Vec<_> = children.iter().map(|child| self.next(child)).collect();
        for (_, next) in children.iter().zip(&all_next).filter(|(child, _)| child.is_candidate()) {
            next.iter().for_each(|segment| count(&mut counts, *segment));
        }
        for (child, next) in children.iter_mut().zip(&all_next).filter(|(child, _)| child.is_candidate()) {
            if next.iter().any(|segment| counts.get(*segment).is_some_and(|count| *count >= MIN_ALIKE)) {
                child.evidence |= Evidence::CONTINUATION;
            }
        }
    }

    /// Adds words behind a noun in the plural: several with the same methods, none of them posted to, and the same kind of answer.
    fn add_leaves(&self, children: &mut [Child<'t>], before: Before<'_>) {
        if !before.is_plural() {
            return;
        }
        let has_digits = |child: &Child<'_>| child.decoded.contains(|c: char| c.is_ascii_digit() || c == '-');
        let least = if children.iter().any(has_digits) { MIN_ALIKE } else { MIN_PLAIN_WORDS };
        let post = method_bit("POST").unwrap_or_default();
        let is_possible = |child: &Child<'_>| child.is_candidate() && child.methods & post == 0;
        let mut alike = Vec::new();
        let centers = children.iter().filter(|child| is_possible(child) && child.sketch.len() >= MIN_NAMES);
        for center in centers.take(MAX_CENTERS) {
            let names: Vec<_> = center.sketch.hashes().collect();
            let is_alike = |child: &Child<'_>| {
                is_possible(child) && child.methods & !center.methods == 0 && child.sketch.is_part_of(&names)
            };
            let places = || children.iter().enumerate().filter(|(_, child)| is_alike(child)).map(|(at, _)| at);
            if places().count() >= least {
                alike.extend(places());
            }
        }
        for at in alike {
            children.get_mut(at).into_iter().for_each(|child| child.evidence |= Evidence::SIBLINGS);
        }
    }

    /// Returns the literal segments behind a child, and the verb in its segment.
    fn next(&self, child: &Child<'t>) -> Vec<&'t str> {
        let segments = self.nodes(&child.nodes).flat_map(|node| node.children.keys()).map(|segment| &**segment);
        let is_literal = |segment: &&str| IdKind::of(segment).is_none() && !is_api_version(segment);
        let verb =
            child.affixes.verb().and_then(|verb| child.segment.get(child.segment.len().checked_sub(verb.len())?..));
        let mut next: Vec<_> = segments.filter(is_literal).chain(verb).collect();
        sort_by(&mut next, &|a, b| a.cmp(b));
        next.dedup();
        next
    }

    /// Adds children that continue as the known values do, or that have the same methods and answers.
    fn add_values_like_others(&self, children: &mut [Child<'t>]) {
        if !children.iter().any(Child::is_value) {
            return;
        }
        let forms: Vec<_> = children.iter().filter(|child| child.is_value()).map(|child| child.form()).collect();
        let mut tails: Vec<_> = children.iter().map(|child| self.tails(child)).collect();
        loop {
            let known: Hashes = children
                .iter()
                .zip(&tails)
                .filter(|(child, _)| child.is_value())
                .flat_map(|(_, tails)| tails.keys().map(|tail| (*tail, 0)))
                .collect();
            let mut has_added = false;
            for (child, tails) in children.iter_mut().zip(&mut tails) {
                let may_join = !child.is_value() && !child.is_name && forms.contains(&child.form());
                if may_join && tails.keys().any(|tail| known.contains_key(tail)) {
                    child.evidence |= Evidence::CONTINUATION;
                    has_added = true;
                }
            }
            if !has_added {
                break;
            }
        }
        let (mut methods, mut names) = (0, Vec::new());
        for value in children.iter().filter(|child| child.is_value()) {
            methods |= value.methods;
            names.extend(value.sketch.hashes());
        }
        sort_by(&mut names, &|a, b| a.cmp(b));
        let values = children.iter().filter(|child| child.is_value()).count();
        let are_most = values.saturating_mul(2) >= children.len();
        let post = method_bit("POST").unwrap_or_default();
        for child in children.iter_mut().filter(|child| !child.is_value() && !child.is_name) {
            let is_leaf = !child.has_children && child.methods & !methods == 0;
            // A path that is posted to is often an action.
            let is_likely = child.methods & post == 0 || are_most;
            let may_join = is_leaf && is_likely && forms.contains(&child.form());
            if may_join && (child.sketch.is_empty() || child.sketch.is_part_of(&names)) {
                child.evidence |= Evidence::SIBLINGS;
            }
        }
    }

    /// Returns the paths below `child` as hashes, without the values in them. Each has a literal segment.
    fn tails(&self, child: &Child<'t>) -> Hashes {
        let mut tails = Hashes::new();
        let mut left = MAX_TAIL_NODES;
        if let Some(verb) = child.affixes.verb() {
            let mut hasher = DefaultHasher::new();
            verb.hash(&mut hasher);
            tails.insert(hasher.finish(), 0);
        }
        child.nodes.iter().for_each(|id| self.add_tails(*id, &mut Vec::new(), &mut left, &mut tails));
        tails
    }

    fn add_tails(&self, id: NodeId, path: &mut Vec<Option<&'t str>>, left: &mut usize, tails: &mut Hashes) {
        let Some(node) = self.tree.node(id) else { return };
        if node.methods != 0 {
            let mut add = |path: &[Option<&str>]| {
                if path.iter().flatten().any(|segment| !is_api_version(segment) && !is_of_services(segment)) {
                    let mut hasher = DefaultHasher::new();
                    path.hash(&mut hasher);
                    tails.insert(hasher.finish(), 0);
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
        for (segment, child) in node.children.iter() {
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
        let mut template = Template { nodes: group.to_vec(), ..Template::default() };
        for node in self.nodes(group) {
            template.ends.iter_mut().zip(node.ends).for_each(|(sum, count)| *sum += count);
            template.methods |= node.methods;
        }
        for child in children.iter().filter(|child| !child.is_value()) {
            template.literals.insert(child.segment.into(), self.template(&child.nodes, Before::of(child.segment)));
        }
        let mut forms: SortedMap<_, Vec<&Child<'t>>> = SortedMap::default();
        for child in children.iter().filter(|child| child.is_value()) {
            forms.or_default(child.affixes.names()).into_iter().for_each(|values| values.push(child));
        }
        for (_, values) in forms.into_entries().into_iter().rev() {
            let nodes: Vec<_> = values.iter().flat_map(|child| &child.nodes).copied().collect();
            let below = self.template(&nodes, Before::Parameter);
            template.parameters.push(Parameter { info: PathParameter::of(&values), below });
        }
        template
    }
}

fn count<K: Ord>(counts: &mut SortedMap<K, usize>, key: K) {
    counts.or_default(key).into_iter().for_each(|count| *count += 1);
}

/// Keeps the evidence that counts at the place.
fn weigh(child: &mut Child<'_>, before: Before<'_>) {
    let is_for_resources = matches!(before, Before::Structure);
    let typed = if child.kind.is_some() { Evidence::TYPE } else { Evidence::NONE };
    child.evidence = match child.is_name {
        true => Evidence::NONE,
        false if child.is_view && is_for_resources => Evidence::NONE,
        false if child.is_view => child.evidence & (Evidence::OWN_ANSWER | Evidence::LIST),
        // The list of all resources has their names.
        false if is_for_resources && child.kind.is_none() => {
            child.evidence & (Evidence::OWN_ANSWER | Evidence::EARLIER_ANSWER)
        }
        false => child.evidence | typed,
    };
    child.is_name |= child.is_view && !child.is_value();
}

/// Takes back the evidence of one or two words at a place for resources: some answer has the name of a resource by chance.
fn doubt_words(children: &mut [Child<'_>]) {
    let is_word = |child: &Child<'_>| {
        child.is_value() && child.kind.is_none() && child.decoded.bytes().all(|b| b.is_ascii_alphabetic())
    };
    if children.iter().filter(|child| is_word(child)).count() < MIN_ALIKE {
        children.iter_mut().filter(|child| is_word(child)).for_each(|child| child.evidence = Evidence::NONE);
    }
}

/// Takes back the evidence of a version of the API, and of the only segment at a place for resources: `/2/users`,
/// `/2010-04-01/Accounts`, `/shop/items`.
fn find_api_version(children: &mut [Child<'_>], before: Before<'_>) {
    let count = children.len();
    let is_single_digit = |child: &Child<'_>| child.kind == Some(IdKind::Integer) && child.decoded.len() == 1;
    let is_numeric = |child: &Child<'_>| matches!(child.kind, Some(IdKind::Integer | IdKind::Date | IdKind::Version));
    let is_prefix = |child: &&mut Child<'_>| {
        let is_possible = match before {
            Before::Structure => is_numeric(child) || count == 1 && child.kind.is_none(),
            Before::Literal(_) => count == 1 && !before.is_plural() && is_single_digit(child),
            Before::Parameter => false,
        };
        is_possible && child.is_value()
    };
    let mut prefixes: Vec<_> = children.iter_mut().filter(is_prefix).collect();
    if let [only] = &mut *prefixes
        && only.has_children
        && only.methods == 0
    {
        only.evidence = Evidence::NONE;
    }
}

/// Finds segments of one word and different numbers: `page-2`, `page-3`, `page-4`.
fn find_numbered(children: &mut [Child<'_>]) {
    let prefix = |child: &Child<'_>| {
        let prefix = child.decoded.trim_end_matches(|c: char| c.is_ascii_digit());
        let is_numbered = prefix.len() < child.decoded.len() && prefix.len() > 1 && prefix.ends_with(['-', '_']);
        (is_numbered && child.kind.is_none()).then(|| prefix.to_owned())
    };
    let mut counts: SortedMap<String, usize> = SortedMap::default();
    children.iter().filter_map(prefix).for_each(|prefix| count(&mut counts, prefix));
    for child in children {
        if let Some(prefix) = prefix(child)
            && counts.get(&prefix).is_some_and(|count| *count >= MIN_ALIKE)
        {
            child.affixes = Affixes::with_prefix(&prefix);
            child.kind = Some(IdKind::Integer);
        }
    }
}

/// Fewer words with the same continuation may be resources with the same sub-resources.
const MIN_ALIKE: usize = 3;

/// Fewer plain words may be names of resources whose answers are alike.
const MIN_PLAIN_WORDS: usize = 5;

/// Answers with fewer names are alike by chance.
const MIN_NAMES: usize = 4;

/// Comparing all of many words with each other takes too long.
const MAX_CENTERS: usize = 64;

/// Two paths of two literal segments: each counts with and without its first segment. Resources rarely have as much in common.
const MIN_SHARED_TAILS: usize = 4;

/// A capture with more conflicts is made for them.
const MAX_REBUILDS: usize = 500;

const MAX_TAIL_SEGMENTS: usize = 4;

const MAX_TAIL_NODES: usize = 2000;

impl PathParameter {
    fn of(values: &[&Child<'_>]) -> Self {
        let form = values.first().map(|child| child.affixes.clone()).unwrap_or_default();
        let affixes = if values.iter().all(|child| child.affixes == form) { form } else { Affixes::default() };
        let mut parameter = Self { affixes, evidence: Evidence::NONE, kinds: Vec::new(), formats: Vec::new() };
        parameter.formats = vec![TextKinds::ALL; parameter.affixes.count()];
        for child in values {
            parameter.evidence |= child.evidence;
            let values = parameter.affixes.values(&child.decoded).unwrap_or_default();
            for (value, formats) in values.iter().zip(&mut parameter.formats) {
                *formats = formats.and(TextKinds::of(value));
            }
            for kind in values.iter().copied().filter_map(IdKind::of) {
                if !parameter.kinds.contains(&kind) {
                    parameter.kinds.push(kind);
                }
            }
        }
        sort_by(&mut parameter.kinds, &|a, b| a.cmp(b));
        parameter
    }
}
