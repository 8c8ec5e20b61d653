//! The items that a recovery leaves out, by id, and entries of other names.

use super::groups::{NumberSet, id_of};
use crate::bundle::id::ItemKind;
use crate::bundle::reader::LeftOut;
use crate::tools::id_set::IdSet;

/// The items left out so far.
#[derive(Default)]
pub(super) struct Losses {
    /// Each id and name once.
    pub(super) items: LeftOut,
    known: IdSet,
}

impl Losses {
    /// Adds the item `id`, or an entry that belongs to no item.
    pub(super) fn add(&mut self, id: &str) {
        if self.known.insert(id) {
            self.items.add(id);
        }
    }

    /// Adds the item of a body that no JSON refers to, unless it is among `kept`.
    pub(super) fn add_body(&mut self, name: &str, kept: &NumberSet) {
        match item_of_body(name) {
            Some((kind, id)) if id_of(&kind.json_name(id)).is_some_and(|id| kept.contains(id)) => {}
            Some((_, id)) => self.add(id),
            None => self.add(name),
        }
    }
}

/// Returns the item to which the entry `name` belongs, if it is named like a body.
fn item_of_body(name: &str) -> Option<(ItemKind, &str)> {
    let file = name.strip_suffix(".bin")?;
    if let Some(id) = file.strip_prefix("ws/") {
        return Some((ItemKind::Message, id));
    }
    let file = file.strip_prefix("traces/")?;
    let id = file.strip_suffix("_request").or_else(|| file.strip_suffix("_response"))?;
    Some((ItemKind::Trace, id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::id::Id;

    #[test]
    fn bodies_are_named_by_their_items() {
        let (mut losses, mut kept) = (Losses::default(), NumberSet::default());
        kept.insert(Id::Trace(1));
        losses.add("t_0002");
        for name in [
            "traces/t_0001_request.bin",
            "traces/t_0002_request.bin",
            "traces/t_0003_request.bin",
            "traces/t_0003_response.bin",
            "ws/ws_0001_m001.bin",
            "traces/t_002_0001_response.bin",
            "traces/other.bin",
            "README",
        ] {
            losses.add_body(name, &kept);
        }
        let expected = ["t_0002", "t_0003", "ws_0001_m001", "t_002_0001", "traces/other.bin", "README"];
        assert_eq!((losses.items.count, &losses.items.first[..]), (6, &expected.map(String::from)[..]));
    }
}
