//! Header fields in which nothing was found, remembered: most fields are the same in many exchanges.

use std::collections::HashSet;

/// Fields in which a pass finds nothing to replace and nothing to report.
#[derive(Default)]
pub(super) struct PlainHeaders {
    known: HashSet<Box<str>>,
    /// The name and the value of the last field.
    last: String,
}

impl PlainHeaders {
    /// Returns true if nothing is in this field.
    pub(super) fn contains(&mut self, name: &str, value: &str) -> bool {
        self.last.clear();
        if name.len().saturating_add(value.len()) > MAX_FIELD_BYTES {
            return false;
        }
        // Without the length, "a" and "bc" would be the same field as "ab" and "c".
        self.last.extend(u32::try_from(name.len()).ok().and_then(char::from_u32));
        self.last.push_str(name);
        self.last.push_str(value);
        self.known.contains(self.last.as_str())
    }

    /// Adds the field of the last call of [`PlainHeaders::contains`].
    pub(super) fn add(&mut self) {
        if !self.last.is_empty() && self.known.len() < MAX_FIELDS {
            self.known.insert(self.last.as_str().into());
        }
    }
}

/// The fields that are remembered, and the largest of them: they come from the bundle.
const MAX_FIELDS: usize = 1000;
const MAX_FIELD_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_apart() {
        let mut fields = PlainHeaders::default();
        assert!(!fields.contains("a", "bc"));
        fields.add();
        assert!(fields.contains("a", "bc") && !fields.contains("ab", "c") && !fields.contains("", "abc"));
        let long = "x".repeat(MAX_FIELD_BYTES);
        assert!(!fields.contains("a", &long));
        fields.add();
        assert!(!fields.contains("a", &long) && fields.known.len() == 1, "long ones are not remembered");
        for n in 0..MAX_FIELDS + 10 {
            fields.contains("a", &n.to_string());
            fields.add();
        }
        assert_eq!(fields.known.len(), MAX_FIELDS);
    }
}
