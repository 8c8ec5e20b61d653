//! Counters of a running capture, shared by all of its connections. The observer gets each new key of `uncaptured`
//! once, and during discovery each new domain.
//!
//! ```text
//! uncaptured   connections that are not captured, or not to their end       by (host:port, reason)
//! captured     hosts that answered a client whose TLS is intercepted         a set
//! domains      connections, plain requests, bytes in each direction         by domain name
//! bytes        bytes relayed in both directions, of all connections         one number
//! ```
//!
//! A client can invent names. Each table takes up to [`MAX_TABLE_BYTES`]; further names are counted together as [`OTHERS`].
//!
//! Exchanges, messages and lost items are not counted here: the writer counts what it writes.

use crate::config::Observer;
use crate::notice::{Domain, NameSource, Notice, Reason, Uncaptured, Warning};
use crate::sorting::sort_by;
use crate::wire::tap::Dir;
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The counters of one capture.
pub(crate) struct Counters {
    observer: Observer,
    announce_domains: bool,
    /// Connections by host (`host:port`) and reason.
    uncaptured: Mutex<Table<(String, Reason), u64>>,
    /// Hosts (`host:port`) that answered a client whose TLS is intercepted: it accepted our certificate.
    captured: Mutex<Table<String, ()>>,
    domains: Mutex<Table<String, DomainCounts>>,
    /// Relayed bytes, both directions together.
    bytes: AtomicU64,
}

/// The counts of one domain.
struct DomainCounts {
    name_source: NameSource,
    connections: u64,
    requests: u64,
    bytes: Arc<DomainBytes>,
}

/// The bytes relayed for one domain. Its connections add to them without a lock.
#[derive(Default)]
struct DomainBytes {
    sent: AtomicU64,
    received: AtomicU64,
}

impl Counters {
    /// All counters at zero. With `announce_domains`, the observer gets a [`Notice::Domain`] for each new domain.
    pub(crate) fn new(observer: Observer, announce_domains: bool) -> Self {
        Self {
            observer,
            announce_domains,
            uncaptured: Mutex::default(),
            captured: Mutex::default(),
            domains: Mutex::default(),
            bytes: AtomicU64::new(0),
        }
    }

    /// Counts a connection to `host` (`host:port`) that is not captured, or not to its end, or an excluded exchange with it,
    /// and reports the first one with this reason.
    pub(crate) fn add_uncaptured(&self, host: &str, reason: Reason) {
        // Another client accepted our certificate for this host, so this one probably left for another reason.
        let is_doubtful = is_doubtful(&reason) && lock(&self.captured).entries.contains_key(host);
        let (host, reason, is_first) = {
            let mut uncaptured = lock(&self.uncaptured);
            let mut key = (host.to_owned(), reason);
            let text_bytes = |(host, reason): &(String, Reason)| host.len().saturating_add(reason.to_string().len());
            if !uncaptured.admit(&key, text_bytes, MAX_TABLE_BYTES) {
                key.0 = OTHERS.to_owned();
                if !uncaptured.admit(&key, text_bytes, MAX_TABLE_BYTES + OTHERS_BYTES) {
                    return;
                }
            }
            let (host, reason) = key.clone();
            let count = uncaptured.entries.entry(key).or_insert(0);
            *count = count.saturating_add(1);
            (host, reason, *count == 1)
        };
        if is_first && !is_doubtful {
            self.observer.notify(&Notice::Uncaptured { host, reason });
        }
    }

    /// Notes that `host` (`host:port`) answered a client whose TLS is intercepted.
    pub(crate) fn add_captured(&self, host: &str) {
        let mut captured = lock(&self.captured);
        if !captured.entries.contains_key(host) && captured.admit(host, str::len, MAX_TABLE_BYTES) {
            captured.entries.insert(host.to_owned(), ());
        }
    }

    /// Counts a connection to the domain `name`, and announces a new domain. [`NameSource::Name`] replaces
    /// [`NameSource::Connect`], never the reverse.
    pub(crate) fn add_connection(&self, name: &str, name_source: NameSource) {
        let mut domains = lock(&self.domains);
        let name = if domains.admit(name, str::len, MAX_TABLE_BYTES) { name } else { OTHERS };
        let is_new = {
            let new = DomainCounts { name_source, connections: 0, requests: 0, bytes: Arc::default() };
            let counts = domains.entries.entry(name.to_owned()).or_insert(new);
            counts.connections = counts.connections.saturating_add(1);
            if name_source == NameSource::Name {
                counts.name_source = name_source;
            }
            counts.connections == 1
        };
        drop(domains);
        if is_new && self.announce_domains {
            self.observer.notify(&Notice::Domain { name: name.to_owned() });
        }
    }

    /// Counts a plain request (`GET http://…`) to the domain `name`.
    pub(crate) fn add_request(&self, name: &str) {
        let mut domains = lock(&self.domains);
        let name = if domains.entries.contains_key(name) { name } else { OTHERS };
        if let Some(counts) = domains.entries.get_mut(name) {
            counts.requests = counts.requests.saturating_add(1);
        }
    }

    /// Returns the bytes of the domain `name`, which keep counting.
    fn domain_bytes(&self, name: &str) -> Option<Arc<DomainBytes>> {
        let domains = lock(&self.domains);
        let counts = domains.entries.get(name).or_else(|| domains.entries.get(OTHERS));
        counts.map(|counts| Arc::clone(&counts.bytes))
    }

    /// Adds to the relayed bytes.
    pub(crate) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// Returns the number of relayed bytes.
    pub(crate) fn relayed_bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Returns the number of domains.
    pub(crate) fn domain_count(&self) -> usize {
        lock(&self.domains).entries.len()
    }

    /// Reports a problem of the capture itself.
    pub(crate) fn warn(&self, warning: Warning) {
        self.observer.notify(&Notice::Warning(warning));
    }

    /// Returns the connections that were not captured, by host and reason, most frequent first. Clients that left are
    /// omitted for hosts of which something was captured.
    pub(crate) fn uncaptured(&self) -> Vec<Uncaptured> {
        let captured = lock(&self.captured);
        let mut all: Vec<_> = lock(&self.uncaptured)
            .entries
            .iter()
            .filter(|((host, reason), _)| !is_doubtful(reason) || !captured.entries.contains_key(host))
            .map(|((host, reason), connections)| Uncaptured {
                host: host.clone(),
                reason: reason.clone(),
                connections: *connections,
            })
            .collect();
        sort_by(&mut all, &|a, b| {
            b.connections.cmp(&a.connections).then_with(|| (&a.host, &a.reason).cmp(&(&b.host, &b.reason)))
        });
        all
    }

    /// Returns all domains, those with the most connections first.
    pub(crate) fn domains(&self) -> Vec<Domain> {
        let domain = |(name, counts): (&String, &DomainCounts)| {
            let DomainCounts { name_source, connections, requests, ref bytes } = *counts;
            let (sent, received) = (bytes.sent.load(Relaxed), bytes.received.load(Relaxed));
            Domain { name: name.clone(), name_source, connections, requests, sent, received }
        };
        let mut all: Vec<_> = lock(&self.domains).entries.iter().map(domain).collect();
        sort_by(&mut all, &|a, b| b.connections.cmp(&a.connections).then_with(|| a.name.cmp(&b.name)));
        all
    }
}

/// Counts the bytes that one connection relays, also for its domain, if it has one.
pub(crate) struct ByteCounter {
    counters: Arc<Counters>,
    domain: Option<Arc<DomainBytes>>,
}

impl ByteCounter {
    pub(crate) fn new(counters: Arc<Counters>, domain: Option<&str>) -> Self {
        Self { domain: domain.and_then(|name| counters.domain_bytes(name)), counters }
    }

    /// Adds bytes relayed in direction `dir`.
    pub(crate) fn add(&mut self, dir: Dir, bytes: usize) {
        self.counters.add_bytes(bytes);
        if let Some(domain) = &self.domain {
            let count = match dir {
                Dir::Up => &domain.sent,
                Dir::Down => &domain.received,
            };
            count.fetch_add(bytes as u64, Relaxed);
        }
    }
}

/// A map that counts the memory of its entries.
struct Table<K, V> {
    entries: HashMap<K, V>,
    bytes: usize,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { entries: HashMap::new(), bytes: 0 }
    }
}

impl<K: Eq + Hash, V> Table<K, V> {
    /// Returns true if `key` is in the map, or may be inserted: its memory, with `text_bytes` of text, is then counted and
    /// within `limit`.
    fn admit<Q>(&mut self, key: &Q, text_bytes: impl FnOnce(&Q) -> usize, limit: usize) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if self.entries.contains_key(key) {
            return true;
        }
        let bytes = self.bytes.saturating_add(ENTRY_BYTES).saturating_add(text_bytes(key));
        if bytes > limit {
            return false;
        }
        self.bytes = bytes;
        true
    }
}

/// True if the client may have left for another reason than our certificate.
fn is_doubtful(reason: &Reason) -> bool {
    matches!(reason, Reason::ClientLeft | Reason::LeftUnanswered)
}

/// Locks a counter. The lock is poisoned only by a panic in the standard library's collections; the counts stay usable.
fn lock<T>(counter: &Mutex<T>) -> MutexGuard<'_, T> {
    counter.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The memory of each table. Some 10,000 names of usual length fit.
const MAX_TABLE_BYTES: usize = 2 << 20;

/// An entry without its text: its place in a map with free places, and the headers of its allocations.
const ENTRY_BYTES: usize = 176;

/// The entry that counts all names past the limit together.
const OTHERS: &str = "(others)";

/// Further memory for the reasons of [`OTHERS`], of which a client may invent some too.
const OTHERS_BYTES: usize = 32 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn omits_clients_that_left_where_another_client_was_captured() {
        let counters = Counters::new(Observer::default(), false);
        counters.add_uncaptured("a:1", Reason::ClientLeft);
        counters.add_uncaptured("a:1", Reason::LeftUnanswered);
        counters.add_uncaptured("b:1", Reason::ClientLeft);
        counters.add_captured("a:1");
        let hosts: Vec<_> = counters.uncaptured().into_iter().map(|u| u.host).collect();
        assert_eq!(hosts, ["b:1"]);
    }

    #[test]
    fn reports_each_key_once_and_counts_every_connection() {
        let reported = Arc::new(Mutex::new(Vec::new()));
        let counters = {
            let reported = Arc::clone(&reported);
            Counters::new(Observer::new(move |notice| reported.lock().unwrap().push(format!("{notice:?}"))), true)
        };
        for host in ["b:1", "a:1", "b:1"] {
            counters.add_uncaptured(host, Reason::NotMatched);
            counters.add_connection(host, NameSource::Connect);
        }
        assert_eq!(reported.lock().unwrap().len(), 4);
        let all: Vec<_> = counters.uncaptured().into_iter().map(|u| (u.host, u.connections)).collect();
        assert_eq!(all, [("b:1".to_owned(), 2), ("a:1".to_owned(), 1)]);
        let domains: Vec<_> = counters.domains().into_iter().map(|d| (d.name, d.connections)).collect();
        assert_eq!(domains, all);
    }

    #[test]
    fn memory_is_bounded_and_further_names_are_counted_together() {
        let counters = Arc::new(Counters::new(Observer::default(), false));
        let rounds = 20_000;
        for n in 0..rounds {
            let name = format!("{n}{}", "x".repeat(250));
            counters.add_uncaptured(&name, Reason::Protocol(name.clone()));
            counters.add_uncaptured(&name, Reason::NotMatched);
            counters.add_captured(&name);
            counters.add_connection(&name, NameSource::Connect);
            counters.add_request(&name);
        }
        ByteCounter::new(Arc::clone(&counters), Some("another")).add(Dir::Up, 3);
        let uncaptured = lock(&counters.uncaptured).bytes;
        assert!(uncaptured <= MAX_TABLE_BYTES + OTHERS_BYTES, "{uncaptured}");
        assert!(lock(&counters.captured).bytes <= MAX_TABLE_BYTES);
        assert!(lock(&counters.domains).bytes <= MAX_TABLE_BYTES);
        assert!(counters.domain_count() > 3000);
        // Nothing vanishes.
        let is_other = |host: &str, reason: &Reason| host == OTHERS && *reason == Reason::NotMatched;
        let uncaptured = counters.uncaptured();
        let others = uncaptured.iter().find(|u| is_other(&u.host, &u.reason)).unwrap().connections;
        let named = uncaptured.iter().filter(|u| u.host != OTHERS && u.reason == Reason::NotMatched).count() as u64;
        assert_eq!(others + named, rounds);
        let domains = counters.domains();
        assert_eq!(domains.iter().map(|d| d.connections).sum::<u64>(), rounds);
        assert_eq!(domains.iter().map(|d| d.requests).sum::<u64>(), rounds);
        assert_eq!((domains[0].name.as_str(), domains[0].sent), (OTHERS, 3));
    }

    #[test]
    fn counts_connections_requests_and_bytes_of_a_domain() {
        let counters = Arc::new(Counters::new(Observer::default(), false));
        counters.add_connection("a", NameSource::Connect);
        counters.add_connection("b", NameSource::Connect);
        counters.add_connection("a", NameSource::Name);
        counters.add_connection("a", NameSource::Connect);
        counters.add_request("a");
        let mut byte_counter = ByteCounter::new(Arc::clone(&counters), Some("a"));
        byte_counter.add(Dir::Up, 3);
        byte_counter.add(Dir::Down, 5);
        ByteCounter::new(Arc::clone(&counters), None).add(Dir::Up, 7);
        let (name, name_source) = ("a".to_owned(), NameSource::Name);
        let a = Domain { name, name_source, connections: 3, requests: 1, sent: 3, received: 5 };
        assert_eq!(counters.domains()[0], a);
        assert_eq!(counters.domains()[1].name_source, NameSource::Connect);
        assert_eq!(counters.relayed_bytes(), 15);
    }
}
