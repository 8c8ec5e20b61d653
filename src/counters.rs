//! Counts what is not captured and which domains are seen, and tells of each once, as it happens.

use crate::config::Observer;
use crate::notice::{Domain, NameSource, Notice, Reason, Uncaptured, Warning};
use crate::wire::tap::Dir;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Shared by all connections of a capture.
pub(crate) struct Counters {
    observer: Observer,
    announce_domains: bool,
    uncaptured: Mutex<HashMap<(String, Reason), u64>>,
    domains: Mutex<HashMap<String, Seen>>,
    /// Hosts from which something was captured.
    captured: Mutex<HashMap<String, u64>>,
    /// Of all that was passed on.
    bytes: Arc<AtomicU64>,
}

/// What is known of a domain.
#[derive(Clone, Copy)]
struct Seen {
    name_source: NameSource,
    connections: u64,
    requests: u64,
    /// Up and down.
    bytes: [u64; 2],
}

impl Counters {
    /// `announce_domains`: whether the observer is told of each new domain.
    pub(crate) fn new(observer: Observer, announce_domains: bool) -> Self {
        Self {
            observer,
            announce_domains,
            uncaptured: Mutex::default(),
            domains: Mutex::default(),
            captured: Mutex::default(),
            bytes: Arc::default(),
        }
    }

    /// A connection to `host` (`host:port`), or a part of it, is not captured.
    pub(crate) fn uncaptured(&self, host: &str, reason: Reason) {
        let is_doubtful = reason == Reason::ClientLeft && lock(&self.captured).contains_key(host);
        if count(&self.uncaptured, (host.to_owned(), reason.clone())) && !is_doubtful {
            self.observer.notify(&Notice::Uncaptured { host: host.to_owned(), reason });
        }
    }

    /// A client that trusts us said something to `host`.
    pub(crate) fn captured(&self, host: &str) {
        count(&self.captured, host.to_owned());
    }

    /// A connection goes to the domain `name`.
    pub(crate) fn domain(&self, name: &str, name_source: NameSource) {
        let is_new = {
            let mut domains = lock(&self.domains);
            if domains.len() >= KINDS && !domains.contains_key(name) {
                return;
            }
            let seen = Seen { name_source, connections: 0, requests: 0, bytes: [0; 2] };
            let seen = domains.entry(name.to_owned()).or_insert(seen);
            seen.connections = seen.connections.saturating_add(1);
            if name_source == NameSource::Name {
                seen.name_source = name_source;
            }
            seen.connections == 1
        };
        if is_new && self.announce_domains {
            self.observer.notify(&Notice::Domain { name: name.to_owned() });
        }
    }

    /// A plain request goes to the domain `name`.
    pub(crate) fn request(&self, name: &str) {
        if let Some(seen) = lock(&self.domains).get_mut(name) {
            seen.requests = seen.requests.saturating_add(1);
        }
    }

    /// So many bytes went to and came from the domain `name`.
    pub(crate) fn domain_bytes(&self, name: &str, [up, down]: [u64; 2]) {
        if let Some(Seen { bytes, .. }) = lock(&self.domains).get_mut(name) {
            let [sent, received] = *bytes;
            *bytes = [sent.saturating_add(up), received.saturating_add(down)];
        }
    }

    /// So many bytes are passed on.
    pub(crate) fn passed(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// How many bytes were passed on, now and later.
    pub(crate) fn bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes)
    }

    /// Reports a problem of the capture itself.
    pub(crate) fn warn(&self, warning: Warning) {
        self.observer.notify(&Notice::Warning(warning));
    }

    /// All that was not captured, most first.
    pub(crate) fn all_uncaptured(&self) -> Vec<Uncaptured> {
        let captured = lock(&self.captured);
        most_first(&self.uncaptured)
            .into_iter()
            .filter(|((host, reason), _)| *reason != Reason::ClientLeft || !captured.contains_key(host))
            .map(|((host, reason), connections)| Uncaptured { host, reason, connections })
            .collect()
    }

    /// All domains, most first.
    pub(crate) fn all_domains(&self) -> Vec<Domain> {
        let domain = |(name, seen): (&String, &Seen)| {
            let Seen { name_source, connections, requests, bytes: [sent, received] } = *seen;
            Domain { name: name.clone(), name_source, connections, requests, sent, received }
        };
        let mut all: Vec<_> = lock(&self.domains).iter().map(domain).collect();
        all.sort_unstable_by(|a, b| b.connections.cmp(&a.connections).then_with(|| a.name.cmp(&b.name)));
        all
    }
}

/// Counts what one connection passes on, for its domain if that is asked for.
pub(crate) struct Passing {
    counters: Arc<Counters>,
    domain: Option<String>,
    bytes: [u64; 2],
}

impl Passing {
    pub(crate) fn new(counters: Arc<Counters>, domain: Option<String>) -> Self {
        Self { counters, domain, bytes: [0; 2] }
    }

    /// So many bytes are on their way.
    pub(crate) fn passed(&mut self, dir: Dir, bytes: usize) {
        self.counters.passed(bytes);
        let [up, down] = &mut self.bytes;
        let of_dir = if dir == Dir::Up { up } else { down };
        *of_dir = of_dir.saturating_add(bytes as u64);
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        if let Some(domain) = &self.domain {
            self.counters.domain_bytes(domain, self.bytes);
        }
    }
}

/// True if it is the first of its kind. Past [`KINDS`], new kinds are not kept, and count as seen before.
fn count<K: Eq + Hash>(counts: &Mutex<HashMap<K, u64>>, kind: K) -> bool {
    let mut counts = lock(counts);
    if counts.len() >= KINDS && !counts.contains_key(&kind) {
        return false;
    }
    let n = counts.entry(kind).or_insert(0);
    *n += 1;
    *n == 1
}

fn most_first<K: Clone + Ord>(counts: &Mutex<HashMap<K, u64>>) -> Vec<(K, u64)> {
    let mut all: Vec<_> = lock(counts).iter().map(|(kind, n)| (kind.clone(), *n)).collect();
    all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    all
}

/// A panic while a count was held (there is none to be had) leaves at worst one count too few.
fn lock<T>(counts: &Mutex<T>) -> MutexGuard<'_, T> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client that makes names up must not fill the memory.
const KINDS: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_left_counts_only_where_no_other_stayed() {
        let counters = Counters::new(Observer::default(), false);
        counters.uncaptured("a:1", Reason::ClientLeft);
        counters.uncaptured("b:1", Reason::ClientLeft);
        counters.captured("a:1");
        let hosts: Vec<_> = counters.all_uncaptured().into_iter().map(|u| u.host).collect();
        assert_eq!(hosts, ["b:1"]);
    }

    #[test]
    fn tells_once_and_counts_all() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let counters = {
            let told = Arc::clone(&told);
            Counters::new(Observer::new(move |notice| told.lock().unwrap().push(format!("{notice:?}"))), true)
        };
        for host in ["b:1", "a:1", "b:1"] {
            counters.uncaptured(host, Reason::NotMatched);
            counters.domain(host, NameSource::Connect);
        }
        assert_eq!(told.lock().unwrap().len(), 4);
        let all: Vec<_> = counters.all_uncaptured().into_iter().map(|u| (u.host, u.connections)).collect();
        assert_eq!(all, [("b:1".to_owned(), 2), ("a:1".to_owned(), 1)]);
        let domains: Vec<_> = counters.all_domains().into_iter().map(|d| (d.name, d.connections)).collect();
        assert_eq!(domains, all);
    }

    #[test]
    fn a_domain_has_what_was_said_to_it() {
        let counters = Arc::new(Counters::new(Observer::default(), false));
        counters.domain("a", NameSource::Connect);
        counters.domain("b", NameSource::Connect);
        counters.domain("a", NameSource::Name);
        counters.domain("a", NameSource::Connect);
        counters.request("a");
        let mut passing = Passing::new(Arc::clone(&counters), Some("a".into()));
        passing.passed(Dir::Up, 3);
        passing.passed(Dir::Down, 5);
        drop(passing);
        Passing::new(Arc::clone(&counters), None).passed(Dir::Up, 7);
        let (name, name_source) = ("a".to_owned(), NameSource::Name);
        let a = Domain { name, name_source, connections: 3, requests: 1, sent: 3, received: 5 };
        assert_eq!(counters.all_domains()[0], a);
        assert_eq!(counters.all_domains()[1].name_source, NameSource::Connect);
        assert_eq!(counters.bytes().load(Relaxed), 15);
    }
}
