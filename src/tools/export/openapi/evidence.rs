//! The evidence that a path segment is a value.

use std::ops::{BitAnd, BitOr, BitOrAssign};

/// A set of reasons to take a segment for a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Evidence(u16);

impl Evidence {
    pub(super) const NONE: Self = Self(0);
    /// The form of the segment: a number, a UUID, ….
    pub(super) const TYPE: Self = Self(1);
    pub(super) const OWN_ANSWER: Self = Self(1 << 1);
    pub(super) const LIST: Self = Self(1 << 2);
    pub(super) const EARLIER_ANSWER: Self = Self(1 << 3);
    pub(super) const LINKS: Self = Self(1 << 4);
    /// The same segments follow it as follow other values.
    pub(super) const CONTINUATION: Self = Self(1 << 5);
    /// Other segments at the place are values, and the methods and answers are the same.
    pub(super) const SIBLINGS: Self = Self(1 << 6);
    /// There are more segments at the place than an API has names.
    pub(super) const MANY: Self = Self(1 << 7);
    /// A template would be ambiguous otherwise.
    pub(super) const CONFLICT: Self = Self(1 << 8);

    pub(super) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Returns the names for `x-evidence`.
    pub(super) fn names(self) -> impl Iterator<Item = &'static str> {
        [
            (Self::OWN_ANSWER, "value in its answer"),
            (Self::LIST, "value in the list"),
            (Self::EARLIER_ANSWER, "value in an earlier answer"),
            (Self::LINKS, "value in links"),
            (Self::CONTINUATION, "same continuation"),
            (Self::SIBLINGS, "same methods and answers as other values"),
            (Self::MANY, "many values"),
            (Self::CONFLICT, "ambiguous otherwise"),
        ]
        .into_iter()
        .filter_map(move |(evidence, name)| self.has(evidence).then_some(name))
    }
}

impl BitOr for Evidence {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitAnd for Evidence {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOrAssign for Evidence {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}
