//! Parameters that are a part of a segment.
//!
//! | segment | parts | template |
//! |---|---|---|
//! | `17.json` | `17`, `.json` | `{userId}.json` |
//! | `17:cancel` | `17`, `:cancel` | `{operationId}:cancel` |
//! | `Users('alice')` | `Users('`, `alice`, `')` | `Users('{userId}')` |
//! | `@alice` | `@`, `alice` | `@{userId}` |
//! | `main...topic` | `main`, `topic` | `{base}...{head}` |
//!
//! Verbs are operations of their own. Otherwise a place has one form: if segments differ in it, the whole segment is the parameter.

/// The text around the parameter of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Affixes {
    before: String,
    /// The text between two parameters; empty if there is one.
    between: &'static str,
    after: String,
}

impl Affixes {
    /// Returns the affixes of a segment, decoded or not.
    pub(super) fn of(segment: &str) -> Self {
        if segment.split_once(RANGE).is_some_and(|(base, head)| !base.is_empty() && !head.is_empty()) {
            return Self { between: RANGE, ..Self::default() };
        }
        let mut affixes = Self::default();
        let mut rest = segment;
        if let Some((name, inner)) = rest.split_once('(')
            && let Some(inner) = inner.strip_suffix(')')
            && is_name(name)
        {
            let quote = if inner.len() >= 2 && inner.starts_with('\'') && inner.ends_with('\'') { "'" } else { "" };
            return Self { before: [name, "(", quote].concat(), between: "", after: [quote, ")"].concat() };
        }
        if let Some(handle) = rest.strip_prefix(['@', '~'])
            && !handle.is_empty()
        {
            affixes.before = rest.chars().take(1).collect();
            rest = handle;
        }
        if let Some((core, verb)) = rest.rsplit_once(':')
            && !core.is_empty()
            && is_name(verb)
        {
            affixes.after = [":", verb].concat();
        } else if let Some((core, extension)) = rest.rsplit_once('.')
            && !core.is_empty()
            && EXTENSIONS.contains(&extension)
        {
            affixes.after = [".", extension].concat();
        }
        affixes
    }

    /// Returns the value in `segment`, `None` if it does not have these affixes.
    pub(super) fn value<'s>(&self, segment: &'s str) -> Option<&'s str> {
        let value = segment.strip_prefix(self.before.as_str())?.strip_suffix(self.after.as_str())?;
        (!value.is_empty() && value.contains(self.between)).then_some(value)
    }

    /// Returns the custom verb, with its colon (<https://google.aip.dev/136>).
    pub(super) fn verb(&self) -> Option<&str> {
        Some(self.after.as_str()).filter(|after| after.starts_with(':'))
    }

    /// Returns what distinguishes operations: the text before the value, and the verb.
    pub(super) fn names(&self) -> (&str, Option<&str>) {
        (&self.before, self.verb())
    }

    pub(super) fn is_range(&self) -> bool {
        !self.between.is_empty()
    }

    /// True if only a segment with a parameter has this form.
    pub(super) fn is_evident(&self) -> bool {
        self.is_range() || self.before.ends_with(['(', '\'']) || self.before == "@"
    }

    /// Returns the segment of a template with parameters of these names. The second one is used by a range.
    pub(super) fn template(&self, [first, second]: [&str; 2]) -> String {
        match self.is_range() {
            true => ["{", first, "}", self.between, "{", second, "}"].concat(),
            false => [&self.before, "{", first, "}", &self.after].concat(),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
}

const RANGE: &str = "...";

/// File name extensions of representations.
const EXTENSIONS: [&str; 16] = [
    "json", "xml", "csv", "txt", "html", "htm", "pdf", "yaml", "yml", "zip", "gz", "rss", "atom", "tsv", "jsonl", "md",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_segments_are_kept() {
        for (segment, value, template) in [
            ("17", "17", "{id}"),
            ("17.json", "17", "{id}.json"),
            ("17:cancel", "17", "{id}:cancel"),
            ("Users('alice')", "alice", "Users('{id}')"),
            ("Users(17)", "17", "Users({id})"),
            ("@alice", "alice", "@{id}"),
            ("main...topic", "main...topic", "{id}...{id2}"),
            ("a.b", "a.b", "{id}"),
            ("12:30", "12:30", "{id}"),
            (".json", ".json", "{id}"),
            ("a(b", "a(b", "{id}"),
        ] {
            let affixes = Affixes::of(segment);
            assert_eq!(affixes.value(segment), Some(value), "{segment}");
            assert_eq!(affixes.template(["id", "id2"]), template, "{segment}");
        }
        assert_eq!(Affixes::of("17.json").value("17.xml"), None);
        assert_eq!(Affixes::of("Users()").value("Users()"), None);
    }
}
