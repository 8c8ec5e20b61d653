//! Paths with parameters. Names of parameters do not matter: `/users/{id}` and `/users/{userId}` are one path.

use super::budget::Budget;
use std::borrow::Cow;
use std::collections::BTreeMap;

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
#[derive(Debug, Default)]
pub(super) struct Patterns {
    /// Nodes by their parent and the segment between them. The root is 0. True for segments with parameters.
    children: BTreeMap<(u32, bool, String), u32>,
    /// The names that end at nodes, from node 1 on.
    names: Vec<Option<String>>,
}

impl Patterns {
    /// Collects the names with parameters.
    pub(super) fn of<'n>(names: impl Iterator<Item = &'n str>, budget: &mut Budget) -> Self {
        let mut collected = Self::default();
        for name in names.filter(|name| name.contains(PARAMETER)) {
            collected.insert(name, budget);
        }
        collected
    }

    fn insert(&mut self, name: &str, budget: &mut Budget) {
        let Some(segments) = segments(name) else { return };
        let mut node = 0;
        for segment in segments {
            if !budget.take(segment) || !budget.take(segment) {
                return;
            }
            let key = (node, segment.contains(PARAMETER), segment.to_owned());
            node = *self.children.entry(key).or_insert_with(|| {
                self.names.push(None);
                self.names.len() as u32
            });
        }
        if let Some(last) = (node as usize).checked_sub(1).and_then(|at| self.names.get_mut(at)) {
            *last = Some(name.to_owned());
        }
    }

    /// Returns the most specific name that covers `name`.
    pub(super) fn covering(&self, name: &str, budget: &mut Budget) -> Option<&str> {
        self.find(0, &segments(name)?, budget)
    }

    fn find(&self, node: u32, segments: &[&str], budget: &mut Budget) -> Option<&str> {
        let Some((segment, rest)) = segments.split_first() else {
            return self.names.get((node as usize).checked_sub(1)?)?.as_deref();
        };
        if !budget.take(segment) {
            return None;
        }
        let literal = self.children.get(&(node, false, (*segment).to_owned()));
        if let Some(found) = literal.and_then(|next| self.find(*next, rest, budget)) {
            return Some(found);
        }
        let next = (node.saturating_add(1), false, String::new());
        for ((_, _, pattern), next) in self.children.range((node, true, String::new())..next) {
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
