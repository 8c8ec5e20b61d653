//! One certificate for each name that clients ask for, signed when it is first needed.
//!
//! ```text
//!   certificate(name) ──▶ young ──▶ old ──▶ sign
//!                           ▲        │       │
//!                           └────────┴───────┘   when `young` is full it becomes `old`, and what was `old` goes
//! ```
//!
//! So what was asked for within the last [`GENERATION`] names stays, nothing is counted or sorted, and a client that asks for
//! ever new names costs bounded memory. Signing happens outside the lock: two connections that need the same new name at once
//! may both sign, and either certificate is good.

use super::Ca;
use super::x509::{self, DAY, Key, Validity};
use crate::error::Error;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// The certificates of one run, all over one key.
#[derive(Debug)]
pub(crate) struct Leaves {
    ca: Arc<Ca>,
    key: Key,
    kept: Mutex<Kept>,
}

impl Leaves {
    /// None yet, and the key they will have.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub(crate) fn new(ca: Arc<Ca>) -> Result<Self, Error> {
        match Key::generate() {
            Ok((key, _)) => Ok(Self {
                ca,
                key,
                kept: Mutex::default(),
            }),
            Err(e) => Err(Error::System {
                what: "cannot make a key",
                cause: io::Error::other(e.to_string()),
            }),
        }
    }

    /// The certificate to show to a client that asks for `name`, with what belongs to it: good now, and for a while.
    ///
    /// # Errors
    /// If the CA cannot sign one, which no client can bring about.
    pub(crate) fn certificate(
        &self,
        name: &ServerName<'static>,
        now: SystemTime,
    ) -> Result<Arc<CertifiedKey>, LeafError> {
        let now = x509::seconds(now);
        if let Some(key) = self.kept().find(name, now) {
            return Ok(key);
        }
        let leaf = self.sign(name, now)?;
        let key = Arc::clone(&leaf.key);
        self.kept().keep(name.clone(), leaf);
        Ok(key)
    }

    fn sign(&self, name: &ServerName<'_>, now: i64) -> Result<Leaf, LeafError> {
        let ca = self.ca.validity();
        let from = now.saturating_sub(BACKDATED);
        // A leaf that outlives its CA is refused by some verifiers, and good for nothing with the others.
        let validity = Validity {
            from: from.max(ca.from),
            until: from.saturating_add(LIFE).min(ca.until),
        };
        let left = validity.until.saturating_sub(now);
        if left <= 0 {
            return Err(LeafError::CaExpired);
        }
        let certificates = self.ca.issue(name, &self.key, validity)?;
        Ok(Leaf {
            key: Arc::new(CertifiedKey::new(certificates, self.key.private())),
            fresh: validity.from..now.saturating_add(left / 3 * 2),
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Nothing that holds the lock can leave it half done.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no certificate for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LeafError {
    /// The CA's own time ran out during the capture.
    CaExpired,
    /// It could not be signed; why.
    Signing(String),
}

impl fmt::Display for LeafError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CaExpired => f.write_str("the CA has expired"),
            Self::Signing(cause) => write!(f, "no certificate can be signed: {cause}"),
        }
    }
}

impl std::error::Error for LeafError {}

#[derive(Debug)]
struct Leaf {
    key: Arc<CertifiedKey>,
    /// From its beginning until two thirds of what it had before it are over. Outside, after a long time or when the clock was
    /// set back, another is signed.
    fresh: Range<i64>,
}

/// Names compare without regard to case.
#[derive(Debug, Default)]
struct Kept {
    young: HashMap<ServerName<'static>, Leaf>,
    old: HashMap<ServerName<'static>, Leaf>,
}

impl Kept {
    fn find(&mut self, name: &ServerName<'static>, now: i64) -> Option<Arc<CertifiedKey>> {
        if let Some((name, leaf)) = self.old.remove_entry(name) {
            self.keep(name, leaf);
        }
        let leaf = self.young.get(name)?;
        leaf.fresh.contains(&now).then(|| Arc::clone(&leaf.key))
    }

    fn keep(&mut self, name: ServerName<'static>, leaf: Leaf) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&name) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(name, leaf);
    }
}

/// Clients are strict about the time that a server's certificate is good for, Chromium from 200 days on (47 are on the way).
const LIFE: i64 = 45 * DAY;
/// For clients whose clocks are behind. Part of [`LIFE`].
const BACKDATED: i64 = DAY;
/// At most twice as many are kept, at one to three kilobytes each.
const GENERATION: usize = 512;
