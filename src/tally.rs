//! Counts what is not captured and which domains are seen, and tells of each once, as it happens.

use crate::config::Observer;
use crate::notice::{Notice, Reason, Uncaptured};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shared by all connections of a capture.
pub(crate) struct Tally {
    observer: Observer,
    announce_domains: bool,
    uncaptured: Mutex<HashMap<(String, Reason), u64>>,
    domains: Mutex<HashMap<String, u64>>,
    /// Hosts from which something was captured.
    captured: Mutex<HashMap<String, u64>>,
}

impl Tally {
    /// `announce_domains`: whether the observer is told of each new domain.
    pub(crate) fn new(observer: Observer, announce_domains: bool) -> Self {
        Self {
            observer,
            announce_domains,
            uncaptured: Mutex::default(),
            domains: Mutex::default(),
            captured: Mutex::default(),
        }
    }

    /// A connection to `host` (`host:port`), or a part of it, is not captured.
    pub(crate) fn uncaptured(&self, host: &str, reason: Reason) {
        let is_doubtful = reason == Reason::ClientLeft && lock(&self.captured).contains_key(host);
        if count(&self.uncaptured, (host.to_owned(), reason.clone())) && !is_doubtful {
            self.observer.tell(&Notice::Uncaptured { host: host.to_owned(), reason });
        }
    }

    /// A client that trusts us said something to `host`.
    pub(crate) fn captured(&self, host: &str) {
        count(&self.captured, host.to_owned());
    }

    /// A connection, or a plain request, goes to the domain `name`.
    pub(crate) fn domain(&self, name: &str) {
        if count(&self.domains, name.to_owned()) && self.announce_domains {
            self.observer.tell(&Notice::Domain { name: name.to_owned() });
        }
    }

    /// Something is wrong with the capture itself.
    pub(crate) fn trouble(&self, what: String) {
        self.observer.tell(&Notice::Trouble { what });
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
    pub(crate) fn all_domains(&self) -> Vec<(String, u64)> {
        most_first(&self.domains)
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
    use std::sync::Arc;

    #[test]
    fn a_client_that_left_counts_only_where_no_other_stayed() {
        let tally = Tally::new(Observer::default(), false);
        tally.uncaptured("a:1", Reason::ClientLeft);
        tally.uncaptured("b:1", Reason::ClientLeft);
        tally.captured("a:1");
        let hosts: Vec<_> = tally.all_uncaptured().into_iter().map(|u| u.host).collect();
        assert_eq!(hosts, ["b:1"]);
    }

    #[test]
    fn tells_once_and_counts_all() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tally = {
            let told = Arc::clone(&told);
            Tally::new(Observer::new(move |notice| told.lock().unwrap().push(format!("{notice:?}"))), true)
        };
        for host in ["b:1", "a:1", "b:1"] {
            tally.uncaptured(host, Reason::NotMatched);
            tally.domain(host);
        }
        assert_eq!(told.lock().unwrap().len(), 4);
        let all: Vec<_> = tally.all_uncaptured().into_iter().map(|u| (u.host, u.connections)).collect();
        assert_eq!(all, [("b:1".to_owned(), 2), ("a:1".to_owned(), 1)]);
        assert_eq!(tally.all_domains(), all);
    }
}
