//! Many short strings in one buffer, with 8 bytes of overhead each.

/// A list of strings that only grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StringArena {
    text: String,
    /// The end of each string in `text`.
    ends: Vec<usize>,
}

impl StringArena {
    pub(super) const EMPTY: Self = Self { text: String::new(), ends: Vec::new() };

    pub(super) fn push(&mut self, string: &str) {
        self.text.push_str(string);
        self.ends.push(self.text.len());
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The total length of all strings in bytes.
    pub(super) fn text_len(&self) -> usize {
        self.text.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            Some(previous) => *self.ends.get(previous)?,
            None => 0,
        };
        self.text.get(start..end)
    }

    pub(super) fn last(&self) -> Option<&str> {
        self.get(self.len().checked_sub(1)?)
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        (0..self.len()).map(|index| self.get(index).unwrap_or_default())
    }
}

impl<'t> FromIterator<&'t str> for StringArena {
    fn from_iter<I: IntoIterator<Item = &'t str>>(strings: I) -> Self {
        let mut arena = Self::default();
        strings.into_iter().for_each(|string| arena.push(string));
        arena
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_round_trip() {
        let strings = ["t_0001", "", "ü", "t_0002"];
        let arena: StringArena = strings.into_iter().collect();
        assert_eq!(arena.iter().collect::<Vec<_>>(), strings);
        assert_eq!((arena.len(), arena.get(2), arena.get(4)), (4, Some("ü"), None));
        assert_eq!(
            (arena.last(), StringArena::default().last(), StringArena::default().get(0)),
            (Some("t_0002"), None, None)
        );
    }
}
