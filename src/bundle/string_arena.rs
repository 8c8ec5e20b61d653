//! Many short texts in little memory: their bytes, and eight more for each.

/// See above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StringArena {
    all: String,
    /// Where each ends in `all`.
    ends: Vec<usize>,
}

impl StringArena {
    pub(crate) const NONE: Self = Self { all: String::new(), ends: Vec::new() };

    pub(crate) fn push(&mut self, text: &str) {
        self.all.push_str(text);
        self.ends.push(self.all.len());
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.all.get(start..end)
    }

    pub(crate) fn last(&self) -> Option<&str> {
        self.get(self.len().checked_sub(1)?)
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &str> + ExactSizeIterator {
        (0..self.len()).map(|index| self.get(index).unwrap_or_default())
    }
}

impl<'t> FromIterator<&'t str> for StringArena {
    fn from_iter<I: IntoIterator<Item = &'t str>>(texts: I) -> Self {
        let mut strings = Self::default();
        texts.into_iter().for_each(|text| strings.push(text));
        strings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_comes_back_as_it_was() {
        let texts = ["t_0001", "", "ü", "t_0002"];
        let strings: StringArena = texts.into_iter().collect();
        assert_eq!(strings.iter().collect::<Vec<_>>(), texts);
        assert_eq!((strings.len(), strings.get(2), strings.get(4)), (4, Some("ü"), None));
        assert_eq!(
            (strings.last(), StringArena::default().last(), StringArena::default().get(0)),
            (Some("t_0002"), None, None)
        );
    }
}
