//! The passthrough cache: origins that could not be intercepted. Their next connections pass through at once, without
//! another failed handshake. An entry is valid for all clients, or for those that offer the same application protocols:
//! others may get one that can be captured.

use crate::clock::Moment;
use crate::notice::Reason;
use crate::wire::authority::Authority;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Origins that pass through, with the reason and the moment since which it is known. It is valid for [`TTL`].
#[derive(Default)]
pub(crate) struct PassthroughCache(Mutex<HashMap<Key, (Reason, Moment)>>);

/// The origin that a client asked for, the SNI that it sent, and the protocols that it offered, each preceded by its
/// length (RFC 7301 section 3.1); without these, the entry is valid for all clients.
type Key = (Authority, Option<String>, Option<Vec<u8>>);

impl PassthroughCache {
    /// The reason why `origin` passes through for the SNI `sni` and the protocols `offer`, if there is a valid entry.
    pub(crate) fn reason(
        &self,
        origin: &Authority,
        sni: Option<&str>,
        offer: &[Vec<u8>],
        now: Moment,
    ) -> Option<Reason> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        [None, Some(offer)].into_iter().find_map(|offer| {
            let (reason, added) = entries.get(&key(origin, sni, offer))?;
            (now.since(*added) < TTL).then(|| reason.clone())
        })
    }

    /// Adds or replaces the entry for `origin` and `sni`.
    pub(crate) fn add(&self, origin: &Authority, sni: Option<&str>, reason: Reason, now: Moment) {
        self.insert(key(origin, sni, None), reason, now);
    }

    /// Adds or replaces the entry for `origin`, `sni` and clients that offer the protocols `offer`.
    pub(crate) fn add_for_offer(
        &self,
        origin: &Authority,
        sni: Option<&str>,
        offer: &[Vec<u8>],
        reason: Reason,
        now: Moment,
    ) {
        self.insert(key(origin, sni, Some(offer)), reason, now);
    }

    fn insert(&self, key: Key, reason: Reason, now: Moment) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MAX_ENTRIES {
            entries.clear();
        }
        entries.insert(key, (reason, now));
    }
}

fn key(origin: &Authority, sni: Option<&str>, offer: Option<&[Vec<u8>]>) -> Key {
    let encode = |names: &[Vec<u8>]| {
        names.iter().flat_map(|name| name.len().to_le_bytes().into_iter().take(1).chain(name.iter().copied())).collect()
    };
    (origin.clone(), sni.map(str::to_owned), offer.map(encode))
}

/// Long enough to spare an app that reconnects again and again, short enough that a repaired origin is captured the
/// same day.
const TTL: Duration = Duration::from_secs(10 * 60);
/// Bounds the memory that a client with invented names can use.
const MAX_ENTRIES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_expire() {
        let origin = Authority::from_connect_target(b"a.example:443").unwrap();
        let cache = PassthroughCache::default();
        let now = Moment::now();
        cache.add(&origin, Some("a.example"), Reason::ClientCertificate, now);
        assert_eq!(cache.reason(&origin, Some("a.example"), &[], now), Some(Reason::ClientCertificate));
        assert_eq!(cache.reason(&origin, None, &[], now), None);
        assert_eq!(cache.reason(&origin, Some("a.example"), &[], now.plus(TTL)), None);
    }

    #[test]
    fn an_entry_for_an_offer_is_valid_only_for_equal_offers() {
        let origin = Authority::from_connect_target(b"a.example:443").unwrap();
        let cache = PassthroughCache::default();
        let now = Moment::now();
        let offer = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>();
        let reason = || Reason::Protocol("foo".into());
        cache.add_for_offer(&origin, None, &offer(&["foo", "h2"]), reason(), now);
        assert_eq!(cache.reason(&origin, None, &offer(&["foo", "h2"]), now), Some(reason()));
        for other in [&["h2", "foo"][..], &["foo"], &["fooh", "2"], &[]] {
            assert_eq!(cache.reason(&origin, None, &offer(other), now), None, "{other:?}");
        }
        assert_eq!(cache.reason(&origin, None, &offer(&["foo", "h2"]), now.plus(TTL)), None);
    }
}
