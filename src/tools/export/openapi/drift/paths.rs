//! Paths with parameters. Names of parameters do not matter: `/users/{id}` and `/users/{userId}` are one path.

use super::budget::Budget;
use crate::tools::indexed_map::IndexedMap;
use std::borrow::Cow;

/// Returns the path with `{}` for each parameter.
pub(super) fn without_names(path: &str) -> Cow<'_, str> {
    if !path.contains('{') {
        return path.into();
    }
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        plain.push_str(before);
        match after.split_once('}') {
            // A name does not contain a slash.
            Some((name, after)) if !name.contains('/') => {
                // Two parameters side by side match the same texts as one, almost.
                if !plain.ends_with(PARAMETER) {
                    plain.push_str(PARAMETER);
                }
                rest = after;
            }
            _ => {
                plain.push('{');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain.into()
}

/// The names with parameters, by their segments: finds the one that covers another name.
#[derive(Debug)]
pub(super) struct Patterns {
    /// The first one is the root.
    nodes: Vec<Node>,
    /// The number of a node by that of the one before and the segment between them.
    next: IndexedMap<(usize, String), usize>,
}

#[derive(Debug, Default)]
struct Node {
    /// The segments with parameters that follow, and the numbers of their nodes.
    parameters: Vec<(String, usize)>,
    /// The name that ends here.
    name: Option<String>,
}

impl Patterns {
    /// Collects the names with parameters.
    pub(super) fn of<'n>(names: impl Iterator<Item = &'n str>, budget: &mut Budget) -> Self {
        let mut collected = Self { nodes: vec![Node::default()], next: IndexedMap::default() };
        for name in names.filter(|name| name.contains(PARAMETER)) {
            collected.insert(name, budget);
        }
        collected
    }

    fn insert(&mut self, name: &str, budget: &mut Budget) {
        let Some(segments) = segments(name) else { return };
        let mut at = 0;
        for segment in segments {
            if !budget.take(segment) || !budget.take(segment) {
                return;
            }
            let new = self.nodes.len();
            let known = self.next.get(&(at, segment.to_owned())).copied();
            if known.is_none() {
                self.next.insert((at, segment.to_owned()), new);
                self.nodes.push(Node::default());
                if segment.contains(PARAMETER)
                    && let Some(node) = self.nodes.get_mut(at)
                {
                    node.parameters.push((segment.to_owned(), new));
                }
            }
            at = known.unwrap_or(new);
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.name = Some(name.to_owned());
        }
    }

    /// Returns the most specific name that covers `name`.
    pub(super) fn covering(&self, name: &str, budget: &mut Budget) -> Option<&str> {
        self.find(0, &segments(name)?, budget)
    }

    fn find(&self, at: usize, segments: &[&str], budget: &mut Budget) -> Option<&str> {
        let node = self.nodes.get(at)?;
        let Some((segment, rest)) = segments.split_first() else { return node.name.as_deref() };
        if !budget.take(segment) {
            return None;
        }
        let literal = self.next.get(&(at, (*segment).to_owned()));
        if let Some(found) = literal.and_then(|next| self.find(*next, rest, budget)) {
            return Some(found);
        }
        for (pattern, next) in &node.parameters {
            if !budget.take(pattern) {
                return None;
            }
            if covers(pattern, segment)
                && let Some(found) = self.find(*next, rest, budget)
            {
                return Some(found);
            }
        }
        None
    }
}

/// Returns the segments of a name; `None` if they are too many.
fn segments(name: &str) -> Option<Vec<&str>> {
    let segments: Vec<_> = name.split('/').take(MAX_SEGMENTS + 1).collect();
    (segments.len() <= MAX_SEGMENTS).then_some(segments)
}

/// True if `segment` is an instance of `pattern`. A parameter is not empty.
fn covers(pattern: &str, segment: &str) -> bool {
    let Some((first, mut pattern)) = pattern.split_once(PARAMETER) else { return pattern == segment };
    let Some(mut rest) = segment.strip_prefix(first) else { return false };
    while let Some((literal, after)) = pattern.split_once(PARAMETER) {
        let Some((_, left)) = after_first_char(rest).and_then(|rest| rest.split_once(literal)) else { return false };
        (rest, pattern) = (left, after);
    }
    rest.strip_suffix(pattern).is_some_and(|value| !value.is_empty())
}

fn after_first_char(text: &str) -> Option<&str> {
    text.get(text.chars().next()?.len_utf8()..)
}

/// A parameter whose name was removed.
const PARAMETER: &str = "{}";

/// The segments of a path that is compared with patterns.
const MAX_SEGMENTS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parameters_are_removed() {
        for (path, expected) in [
            ("/users", "/users"),
            ("/users/{id}", "/users/{}"),
            ("/a/{b}-{c}.json", "/a/{}-{}.json"),
            ("/{}", "/{}"),
            ("/{a}{b}", "/{}"),
            ("/{a/b}", "/{a/b}"),
            ("/{a", "/{a"),
            ("{{a}}", "{}}"),
        ] {
            assert_eq!(without_names(path), expected, "{path}");
        }
    }

    #[test]
    fn a_pattern_covers_its_instances() {
        for (pattern, segment, expected) in [
            ("{}", "alice", true),
            ("{}", "", false),
            ("{}", "{}.json", true),
            ("{}.json", "a.json", true),
            ("{}.json", ".json", false),
            ("{}.json", "a.xml", false),
            ("a-{}", "a-b", true),
            ("a-{}", "b-b", false),
            ("{}-{}", "a-b", true),
            ("{}-{}", "ab", false),
            ("{}-{}-{}", "a-b-c", true),
            ("{}-{}-{}", "a-b", false),
            ("a", "a", true),
            ("a", "ab", false),
        ] {
            assert_eq!(covers(pattern, segment), expected, "{pattern} {segment}");
        }
    }

    #[test]
    fn the_most_specific_path_is_found() {
        let long = "/{}".repeat(100_000);
        let names = ["/{}/{}", "/users/{}", "/users/{}/posts", "/files/{}.json", "/users", &long];
        let patterns = Patterns::of(names.into_iter(), &mut Budget::new(1000));
        for (name, expected) in [
            ("/users/alice", Some("/users/{}")),
            ("/posts/1", Some("/{}/{}")),
            ("/files/a.json", Some("/files/{}.json")),
            ("/files/a.xml", Some("/{}/{}")),
            ("/users/alice/posts", Some("/users/{}/posts")),
            ("/users/alice/mails", None),
            ("/users", None),
            (&"/a".repeat(100_000), None),
        ] {
            assert_eq!(patterns.covering(name, &mut Budget::new(1000)), expected, "{name}");
        }
        assert_eq!(patterns.covering("/users/alice", &mut Budget::new(3)), None);
    }
}
