//! Values that are a part of a segment.
//!
//! | segment | template |
//! |---|---|
//! | `17.json` | `{userId}.json` |
//! | `17:cancel` | `{operationId}:cancel` |
//! | `Users('alice')` | `Users('{userId}')` |
//! | `@alice` | `@{userId}` |
//! | `main...topic` | `{compareId}...{compareId2}` |
//! | `52.5,13.4` | `{placeId},{placeId2}` |
//! | `cars;color=red;year=2020` | `cars;color={carId};year={carId2}` |
//!
//! Names in a segment and verbs are of operations of their own. Otherwise a place has one form: if segments differ in it, the whole
//! segment is the parameter.

/// The text around the values in a segment: before the first one, between each two, and behind the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Affixes(Vec<String>);

impl Default for Affixes {
    /// The whole segment is a value.
    fn default() -> Self {
        Self(vec![String::new(); 2])
    }
}

impl Affixes {
    /// Returns the affixes of a decoded segment.
    pub(super) fn of(segment: &str) -> Self {
        Self::of_matrix(segment)
            .or_else(|| Self::of_call(segment))
            .or_else(|| Self::of_range(segment))
            .unwrap_or_else(|| Self::of_one_value(segment))
    }

    /// Returns those of a value behind `prefix`.
    pub(super) fn with_prefix(prefix: &str) -> Self {
        Self(vec![prefix.to_owned(), String::new()])
    }

    /// Matrix parameters: `cars;color=red` (RFC 3986 section 3.3).
    fn of_matrix(segment: &str) -> Option<Self> {
        let mut parts = segment.split(';');
        let mut before = parts.next()?.to_owned();
        let mut all = Vec::new();
        for part in parts.take(MAX_VALUES) {
            let (name, _) = part.split_once('=').filter(|(name, _)| is_name(name))?;
            all.push([&before, ";", name, "="].concat());
            before = String::new();
        }
        all.push(before);
        (all.len() >= 2 && segment.split(';').count() == all.len()).then_some(Self(all))
    }

    /// Keys of OData: `Users('alice')` (URL Conventions section 4.3.1).
    fn of_call(segment: &str) -> Option<Self> {
        let (name, inner) = segment.split_once('(')?;
        let inner = inner.strip_suffix(')').filter(|inner| is_name(name) && !inner.is_empty())?;
        let quote = if inner.len() > 2 && inner.starts_with('\'') && inner.ends_with('\'') { "'" } else { "" };
        Some(Self(vec![[name, "(", quote].concat(), [quote, ")"].concat()]))
    }

    /// Two values: revisions, dates, or coordinates.
    fn of_range(segment: &str) -> Option<Self> {
        let is_number = |text: &str| text.parse::<f64>().is_ok() && text.contains(|c: char| c.is_ascii_digit());
        let separator = RANGES.iter().find(|separator| segment.contains(**separator))?;
        let (first, second) = segment.split_once(*separator)?;
        let is_range = !first.is_empty() && !second.is_empty() && !second.contains(*separator);
        let is_valid = *separator != "," || is_number(first) && is_number(second);
        (is_range && is_valid).then(|| Self(vec![String::new(), (*separator).to_owned(), String::new()]))
    }

    fn of_one_value(segment: &str) -> Self {
        let (mut before, mut after) = (String::new(), String::new());
        let mut rest = segment;
        if let Some(handle) = rest.strip_prefix(['@', '~'])
            && !handle.is_empty()
        {
            before = rest.chars().take(1).collect();
            rest = handle;
        }
        if let Some((core, verb)) = rest.rsplit_once(':')
            && !core.is_empty()
            && is_name(verb)
        {
            after = [":", verb].concat();
        } else if let Some((core, extension)) = rest.rsplit_once('.')
            && !core.is_empty()
            && EXTENSIONS.contains(&extension)
        {
            after = [".", extension].concat();
        }
        Self(vec![before, after])
    }

    /// Returns the values in `segment`, `None` if it does not have these affixes.
    pub(super) fn values<'s>(&self, segment: &'s str) -> Option<Vec<&'s str>> {
        let (first, others) = self.0.split_first()?;
        let mut rest = segment.strip_prefix(first.as_str())?;
        let mut values = Vec::new();
        for (n, affix) in others.iter().enumerate() {
            let is_last = n + 1 == others.len();
            let (value, behind) =
                if is_last { (rest.strip_suffix(affix.as_str())?, "") } else { rest.split_once(affix.as_str())? };
            if value.is_empty() {
                return None;
            }
            values.push(value);
            rest = behind;
        }
        Some(values)
    }

    /// Returns the custom verb, with its colon (<https://google.aip.dev/136>).
    pub(super) fn verb(&self) -> Option<&str> {
        self.0.last().map(String::as_str).filter(|after| after.starts_with(':'))
    }

    /// Returns the parts that name an operation: the text before the value, and the verb.
    pub(super) fn names(&self) -> (&str, Option<&str>) {
        (self.0.first().map_or("", String::as_str), self.verb())
    }

    /// True if only a segment with a value has this form.
    pub(super) fn is_evident(&self) -> bool {
        let before = self.names().0;
        self.0.len() > 2 || before == "@" || before.contains(['(', '='])
    }

    /// Returns the number of values.
    pub(super) fn count(&self) -> usize {
        self.0.len().saturating_sub(1)
    }

    /// Returns the segment of a template with parameters of these names.
    pub(super) fn template(&self, names: &[String]) -> String {
        let (first, others) = self.0.split_first().map_or((None, &[][..]), |(first, others)| (Some(first), others));
        let mut template = first.map(|text| escape(text)).unwrap_or_default();
        for (affix, name) in others.iter().zip(names) {
            template.push_str(&["{", name, "}", &escape(affix)].concat());
        }
        template
    }
}

/// Percent-encodes what a path cannot have (RFC 3986 section 3.3), and the braces of templates.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'!'..=b'~' if !b"{}<>\"%\\^`|?#/".contains(&byte) => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
}

/// Separators of two values.
const RANGES: [&str; 3] = ["...", "..", ","];

/// File name extensions of representations.
const EXTENSIONS: [&str; 16] = [
    "json", "xml", "csv", "txt", "html", "htm", "pdf", "yaml", "yml", "zip", "gz", "rss", "atom", "tsv", "jsonl", "md",
];

const MAX_VALUES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_segments_are_kept() {
        for (segment, values, template) in [
            ("17", &["17"][..], "{a}"),
            ("17.json", &["17"], "{a}.json"),
            ("17:cancel", &["17"], "{a}:cancel"),
            ("Users('alice')", &["alice"], "Users('{a}')"),
            ("Users(17)", &["17"], "Users({a})"),
            ("@alice", &["alice"], "@{a}"),
            ("main...topic", &["main", "topic"], "{a}...{b}"),
            ("EUR..USD", &["EUR", "USD"], "{a}..{b}"),
            ("52.5,-13.4", &["52.5", "-13.4"], "{a},{b}"),
            ("cars;color=red;year=2020", &["red", "2020"], "cars;color={a};year={b}"),
            ("a.b", &["a.b"], "{a}"),
            ("a,b", &["a,b"], "{a}"),
            ("a;b", &["a;b"], "{a}"),
            ("12:30", &["12:30"], "{a}"),
            (".json", &[".json"], "{a}"),
            ("a(b", &["a(b"], "{a}"),
            ("f()", &["f()"], "{a}"),
        ] {
            let affixes = Affixes::of(segment);
            assert_eq!(affixes.values(segment).as_deref(), Some(values), "{segment}");
            assert_eq!(affixes.template(&["a".into(), "b".into()]), template, "{segment}");
        }
        assert_eq!(Affixes::of("ü{;a=1").template(&["a".into()]), "%C3%BC%7B;a={a}");
        assert_eq!(Affixes::of("17.json").values("17.xml"), None);
        assert_eq!(Affixes::of("x;a=1;b=2").values("x;a=1;b="), None);
        assert_eq!(Affixes::with_prefix("page-").values("page-"), None);
    }
}
