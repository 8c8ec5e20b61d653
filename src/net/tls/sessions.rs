//! TLS sessions with origins, to resume. A resumed handshake proves less than a full one: the origin sends no
//! certificate, so it may have got another one since.
//!
//! ```text
//! full handshake ──▶ sessions ──▶ resumed handshake ──▶ more sessions
//! certificate verified          └──────── for MAX_AGE ────────┘
//! ```
//!
//! Invariant: each session carries the time of the full handshake that it descends from, and is not resumed [`MAX_AGE`]
//! after it. Resumption does not renew that time.

use crate::clock::Moment;
use crate::wire::authority::Authority;
use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// The sessions with all origins of a capture.
#[derive(Debug, Default)]
pub(super) struct SessionCache(Mutex<HashMap<Key, Arc<OriginSessions>>>);

/// The origin that a client asked for, and the SNI that it sent, in lower case. The host or the SNI alone is not enough:
/// each port may be another server. Our client certificate is a function of both: a session made with one is never resumed
/// without it.
type Key = (Authority, Option<String>);

impl SessionCache {
    /// The store of a connection to `origin` that starts `now`.
    pub(super) fn store(&self, origin: &Authority, sni: Option<&str>, now: Moment) -> ConnectionSessions {
        let mut cache = lock(&self.0);
        let key = key(origin, sni);
        if !cache.contains_key(&key) && cache.len() >= MAX_ORIGINS {
            let oldest = cache.iter().max_by_key(|(_, origin)| now.since(lock(origin).used_at));
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                cache.remove(&oldest);
            }
        }
        let origin = cache.entry(key).or_insert_with(|| Arc::new(Mutex::new(Sessions::new(now))));
        lock(origin).used_at = now;
        ConnectionSessions { origin: Arc::downgrade(origin), began: now, verified_at: Mutex::new(now) }
    }

    /// Removes the sessions with `origin`, and those that its present connections will still receive.
    pub(super) fn forget(&self, origin: &Authority, sni: Option<&str>) {
        lock(&self.0).remove(&key(origin, sni));
    }
}

fn key(origin: &Authority, sni: Option<&str>) -> Key {
    (origin.clone(), sni.map(str::to_ascii_lowercase))
}

/// The sessions with one origin. Only the cache owns them: once they are forgotten, the connections that began before
/// can store no more.
type OriginSessions = Mutex<Sessions>;

#[derive(Debug)]
struct Sessions {
    used_at: Moment,
    key_exchange: Option<NamedGroup>,
    tls12: Option<Verified<Tls12ClientSessionValue>>,
    /// Each is used once (RFC 8446 appendix C.4); the newest is last.
    tls13: VecDeque<Verified<Tls13ClientSessionValue>>,
}

impl Sessions {
    fn new(now: Moment) -> Self {
        Self { used_at: now, key_exchange: None, tls12: None, tls13: VecDeque::new() }
    }
}

/// A session, and the time of the full handshake that it descends from.
#[derive(Clone, Debug)]
struct Verified<T> {
    session: T,
    at: Moment,
}

/// The sessions of an origin, as one connection to it sees them. rustls asks for them by server name only, so each
/// connection has a store of its own.
#[derive(Debug)]
pub(super) struct ConnectionSessions {
    origin: Weak<OriginSessions>,
    began: Moment,
    /// The time of the full handshake that this connection's new sessions descend from: its own, unless it offers an
    /// earlier session.
    verified_at: Mutex<Moment>,
}

impl ConnectionSessions {
    /// Calls `f` with the sessions, if they are not forgotten.
    fn with<R>(&self, f: impl FnOnce(&mut Sessions) -> R) -> Option<R> {
        self.origin.upgrade().map(|origin| f(&mut lock(&origin)))
    }

    /// Returns a session that may be resumed. The connection's own sessions then descend from the same full handshake,
    /// also if the origin declines to resume. (That makes them expire early, which costs one full handshake.)
    fn resume<T>(&self, verified: Verified<T>) -> Option<T> {
        if self.began.since(verified.at) >= MAX_AGE {
            return None;
        }
        *lock(&self.verified_at) = verified.at;
        Some(verified.session)
    }

    fn verified<T>(&self, session: T) -> Verified<T> {
        Verified { session, at: *lock(&self.verified_at) }
    }
}

impl ClientSessionStore for ConnectionSessions {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.with(|sessions| sessions.key_exchange = Some(group));
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.with(|sessions| sessions.key_exchange)?
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.with(|sessions| sessions.tls12 = Some(self.verified(value)));
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.with(|sessions| sessions.tls12.clone())?.and_then(|session| self.resume(session))
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.with(|sessions| sessions.tls12 = None);
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.with(|sessions| {
            if sessions.tls13.len() >= MAX_TICKETS {
                sessions.tls13.pop_front();
            }
            sessions.tls13.push_back(self.verified(value));
        });
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.with(|sessions| std::iter::from_fn(|| sessions.tls13.pop_back()).find_map(|session| self.resume(session)))?
    }
}

/// Locks a map or a list. After a panic they are still consistent: each change is one operation.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time for which a certificate's replacement may stay unnoticed. Resumption saves 0.14 ms of CPU time
/// (docs/performance.md); once a minute, that does not matter.
pub(super) const MAX_AGE: Duration = Duration::from_secs(60);
/// The largest chain of a session that is kept. Chains with RSA keys and three intermediates take 7 KB.
pub(super) const MAX_KEPT_CHAIN_BYTES: usize = 16 << 10;
/// Number of origins whose sessions can be resumed.
const MAX_ORIGINS: usize = 64;
/// Number of tickets of one origin. Each takes the size of the chain, usually 4 KB, and its own, usually below 1 KB. Origins
/// send two on most connections.
const MAX_TICKETS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::authority::Host;

    #[test]
    fn the_origins_used_last_are_kept() {
        let cache = SessionCache::default();
        let origin = |number: usize| Authority { host: Host::Name(format!("{number}.example")), port: 443 };
        let began = Moment::now();
        let stores: Vec<_> = (0..MAX_ORIGINS + 10)
            .map(|number| cache.store(&origin(number), None, began.plus(Duration::from_millis(number as u64))))
            .collect();
        assert_eq!(lock(&cache.0).len(), MAX_ORIGINS);
        let kept: Vec<_> = stores.iter().map(|store| store.origin.upgrade().is_some()).collect();
        assert!(kept[..10].iter().all(|kept| !kept) && kept[10..].iter().all(|kept| *kept));
    }
}
