//! The handshakes of open WebSockets of a capture that rotates: the JSON of their exchanges, which is repeated in each
//! bundle that has messages of the WebSocket.
//!
//! ```text
//! handshake is written ─▶ add ─▶ [JSON, JSON, …] in an unlinked file ─▶ read ─▶ the next bundle
//! ```

use crate::bundle::spill::{Spill, SpillPlace};
use std::io;

/// Stored handshakes. Memory does not grow with their number.
pub(super) struct Handshakes {
    place: SpillPlace,
    stored: Spill,
}

/// The place of a stored handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredHandshake {
    offset: u64,
    len: usize,
}

impl Handshakes {
    /// Returns an empty store that spills to `place`.
    pub(super) fn new(place: SpillPlace) -> Self {
        Self { stored: Spill::new(place.clone()), place }
    }

    /// Stores the JSON of a handshake.
    pub(super) fn add(&mut self, json: &[u8]) -> StoredHandshake {
        let place = StoredHandshake { offset: self.stored.len(), len: json.len() };
        self.stored.append(json);
        place
    }

    /// Reads a handshake back.
    pub(super) fn read(&self, place: StoredHandshake) -> io::Result<Vec<u8>> {
        let mut json = vec![0; place.len];
        let mut filled = 0;
        while let Some(rest) = json.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            filled = match self.stored.read_at(place.offset.saturating_add(filled as u64), rest)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => filled.saturating_add(n),
            };
        }
        Ok(json)
    }

    /// Drops the handshakes that are not in `open`, if most are not. The places in `open` are updated; one that cannot be
    /// read is removed.
    pub(super) fn compact<'a>(&mut self, open: impl Iterator<Item = &'a mut Option<StoredHandshake>>) {
        let open: Vec<_> = open.collect();
        let used: u64 = open.iter().filter_map(|place| Some(place.as_ref()?.len as u64)).sum();
        if self.stored.len() < MIN_COMPACTED_BYTES || used > self.stored.len() / 2 {
            return;
        }
        let mut compacted = Self::new(self.place.clone());
        for place in open {
            *place = place.and_then(|place| self.read(place).ok()).map(|json| compacted.add(&json));
        }
        *self = compacted;
    }
}

/// A smaller store is not compacted.
const MIN_COMPACTED_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_of_closed_websockets_are_dropped() {
        let mut handshakes = Handshakes::new(std::env::temp_dir().into());
        let json = |n: usize| format!("{n:04}").repeat(n % 700).into_bytes();
        let mut places: Vec<_> = (0..3000).map(|n| Some(handshakes.add(&json(n)))).collect();
        let check = |handshakes: &Handshakes, places: &[Option<StoredHandshake>]| {
            let stored = places.iter().enumerate().filter_map(|(n, place)| Some((n, (*place)?)));
            stored.map(|(n, place)| assert!(handshakes.read(place).unwrap() == json(n), "{n}")).count()
        };
        assert_eq!(check(&handshakes, &places), 3000);
        let before = handshakes.stored.len();
        handshakes.compact(places.iter_mut());
        assert_eq!(handshakes.stored.len(), before, "all are used");
        places.iter_mut().enumerate().filter(|(n, _)| n % 3 > 0).for_each(|(_, place)| *place = None);
        handshakes.compact(places.iter_mut());
        assert!(handshakes.stored.len() < before / 2);
        assert_eq!(check(&handshakes, &places), 1000);
    }
}
