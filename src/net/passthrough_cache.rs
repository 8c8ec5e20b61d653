//! The passthrough cache: origins that could not be intercepted. Their next connections pass through at once, without
//! another failed handshake.

use crate::clock::Moment;
use crate::notice::Reason;
use crate::wire::authority::Authority;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Origins that pass through, with the reason.
#[derive(Default)]
pub(crate) struct PassthroughCache(Mutex<HashMap<Key, (Reason, Ttl)>>);

/// The time for which an entry is valid.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ttl {
    /// [`ORIGIN_TTL`] from this moment on: the origin may get another certificate.
    Since(Moment),
    /// The rest of the capture.
    Unlimited,
}

/// The origin that a client asked for, and the SNI that it sent.
type Key = (Authority, Option<String>);

impl PassthroughCache {
    /// The reason why `origin` passes through for the SNI `sni`, if there is a valid entry.
    pub(crate) fn reason(&self, origin: &Authority, sni: Option<&str>, now: Moment) -> Option<Reason> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (reason, ttl) = entries.get(&(origin.clone(), sni.map(str::to_owned)))?;
        let is_valid = match ttl {
            Ttl::Since(added) => now.since(*added) < ORIGIN_TTL,
            Ttl::Unlimited => true,
        };
        is_valid.then(|| reason.clone())
    }

    /// Adds or replaces the entry for `origin` and `sni`.
    pub(crate) fn add(&self, origin: &Authority, sni: Option<&str>, reason: Reason, ttl: Ttl) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= MAX_ENTRIES {
            entries.clear();
        }
        entries.insert((origin.clone(), sni.map(str::to_owned)), (reason, ttl));
    }
}

/// Long enough to spare an app that reconnects again and again, short enough that a repaired origin is captured the
/// same day.
const ORIGIN_TTL: Duration = Duration::from_secs(10 * 60);
/// Bounds the memory that a client with invented names can use.
const MAX_ENTRIES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_expire_unless_they_are_unlimited() {
        let origin = Authority::from_connect_target(b"a.example:443").unwrap();
        let cache = PassthroughCache::default();
        let now = Moment::now();
        cache.add(&origin, Some("a.example"), Reason::ClientCertificate, Ttl::Since(now));
        cache.add(&origin, Some("b.example"), Reason::RefusedBefore, Ttl::Unlimited);
        assert_eq!(cache.reason(&origin, Some("a.example"), now), Some(Reason::ClientCertificate));
        assert_eq!(cache.reason(&origin, None, now), None);
        assert_eq!(cache.reason(&origin, Some("a.example"), now.plus(ORIGIN_TTL)), None);
        assert_eq!(cache.reason(&origin, Some("b.example"), now.plus(ORIGIN_TTL)), Some(Reason::RefusedBefore));
    }
}
