//! Leaf certificates: one per requested name, signed on demand and cached.
//!
//! ```text
//!   certificate(name) ──▶ recent ──▶ old ──▶ sign
//!                           ▲         │       │
//!                           └─────────┴───────┘   when `recent` is full, it becomes `old`, and the previous `old` is dropped
//! ```
//!
//! The last [`MAX_RECENT_LEAVES`] names that were requested therefore stay cached, without counting or sorting, and a client
//! that requests ever new names uses bounded memory. Signing happens outside the lock: two connections that need the same new
//! name at once may both sign, and either certificate is valid.

use super::Ca;
use super::validity::{self, Validity};
use super::x509::{DAY_SECS, Key};
use crate::error::Error;
use crate::error::ca::BoxError;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::mem;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// The leaf certificates of one run, which all have the same key.
#[derive(Debug)]
pub(crate) struct Leaves {
    ca: Arc<Ca>,
    key: Key,
    cache: Mutex<Cache>,
}

impl Leaves {
    /// Generates the key for all leaves.
    ///
    /// # Errors
    /// Returns [`Error::System`] if the system provides no random bytes.
    pub(crate) fn new(ca: Arc<Ca>) -> Result<Self, Error> {
        match Key::generate() {
            Ok(key) => Ok(Self { ca, key, cache: Mutex::default() }),
            Err(e) => Err(Error::System { what: "cannot generate a key", cause: io::Error::other(e) }),
        }
    }

    /// Returns the leaf for `name`, with its key and chain. It stays valid for at least a third of the lifetime that remained
    /// when it was signed.
    ///
    /// # Errors
    /// Fails if the CA cannot sign. No client can cause this.
    pub(crate) fn certificate(
        &self,
        name: &ServerName<'static>,
        now: SystemTime,
    ) -> Result<Arc<CertifiedKey>, LeafError> {
        let now = validity::seconds(now);
        if let Some(key) = self.cache().find(name, now) {
            return Ok(key);
        }
        let leaf = self.sign(name, now)?;
        let key = Arc::clone(&leaf.key);
        self.cache().insert(name.clone(), leaf);
        Ok(key)
    }

    fn sign(&self, name: &ServerName<'_>, now: i64) -> Result<CachedLeaf, LeafError> {
        let ca = self.ca.validity();
        let not_before = now.saturating_sub(LEAF_BACKDATE_SECS);
        // Some verifiers reject a leaf that outlives its CA.
        let validity = Validity {
            not_before: not_before.max(ca.not_before),
            not_after: not_before.saturating_add(LEAF_LIFETIME_SECS).min(ca.not_after),
        };
        let remaining = validity.not_after.saturating_sub(now);
        if remaining <= 0 {
            return Err(LeafError::CaExpired);
        }
        let certificates = self.ca.issue(name, &self.key, validity)?;
        Ok(CachedLeaf {
            key: Arc::new(CertifiedKey::new(certificates, self.key.private())),
            fresh: validity.not_before..now.saturating_add(remaining / 3 * 2),
        })
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        // A panic cannot leave the cache inconsistent, so poisoning is ignored.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reason why no leaf certificate can be issued.
#[derive(Debug)]
pub(crate) enum LeafError {
    /// The CA expired during the capture.
    CaExpired,
    /// Encoding or signing failed.
    Signing(BoxError),
}

impl fmt::Display for LeafError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CaExpired => f.write_str("the CA has expired"),
            Self::Signing(cause) => write!(f, "cannot sign a certificate: {cause}"),
        }
    }
}

impl std::error::Error for LeafError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::CaExpired => None,
            Self::Signing(cause) => Some(&**cause),
        }
    }
}

#[derive(Debug)]
struct CachedLeaf {
    key: Arc<CertifiedKey>,
    /// The times, in Unix seconds, at which the leaf is reused: until two thirds of the lifetime that remained at signing have
    /// passed. At other times, in a long capture or after the clock was set back, a new leaf is signed.
    fresh: Range<i64>,
}

/// A cache in two generations. `ServerName` compares without regard to case.
#[derive(Debug, Default)]
struct Cache {
    recent: HashMap<ServerName<'static>, CachedLeaf>,
    old: HashMap<ServerName<'static>, CachedLeaf>,
}

impl Cache {
    fn find(&mut self, name: &ServerName<'static>, now: i64) -> Option<Arc<CertifiedKey>> {
        if let Some((name, leaf)) = self.old.remove_entry(name) {
            self.insert(name, leaf);
        }
        let leaf = self.recent.get(name)?;
        leaf.fresh.contains(&now).then(|| Arc::clone(&leaf.key))
    }

    fn insert(&mut self, name: ServerName<'static>, leaf: CachedLeaf) {
        if self.recent.len() >= MAX_RECENT_LEAVES && !self.recent.contains_key(&name) {
            self.old = mem::take(&mut self.recent);
        }
        self.recent.insert(name, leaf);
    }
}

/// Some clients reject certificates with a long lifetime: Apple's reject more than 825 days from any CA. The limit for public
/// CAs will be 47 days.
const LEAF_LIFETIME_SECS: i64 = 45 * DAY_SECS;
/// For clients whose clocks are slow. Included in [`LEAF_LIFETIME_SECS`].
const LEAF_BACKDATE_SECS: i64 = DAY_SECS;
/// The size of one generation. At most twice as many leaves are cached, at one to three kilobytes each.
const MAX_RECENT_LEAVES: usize = 512;

#[cfg(test)]
mod tests {
    use super::super::testing::{ca_of, days, midday, new_ca};
    use super::*;
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls::crypto::ring;
    use rustls::pki_types::{CertificateDer, UnixTime};
    use std::collections::HashSet;
    use std::thread;
    use std::time::{Duration, UNIX_EPOCH};
    use x509_parser::certificate::X509Certificate;
    use x509_parser::extensions::{GeneralName, ParsedExtension};

    fn name(text: &str) -> ServerName<'static> {
        text.to_owned().try_into().unwrap()
    }

    fn leaves() -> Leaves {
        Leaves::new(Arc::new(new_ca(midday()))).unwrap()
    }

    /// Calls `check` with the parsed leaf for `host`.
    fn inspect(leaves: &Leaves, host: &str, now: SystemTime, check: impl FnOnce(&X509Certificate<'_>)) {
        let certified = leaves.certificate(&name(host), now).unwrap();
        certified.keys_match().unwrap();
        check(&x509_parser::parse_x509_certificate(&certified.cert[0]).unwrap().1);
    }

    fn authority_key_id(certificate: &X509Certificate<'_>) -> Vec<u8> {
        let mut ids = certificate.iter_extensions().filter_map(|it| match it.parsed_extension() {
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                Some((it.critical, id.key_identifier.as_ref().unwrap().0.to_vec()))
            }
            _ => None,
        });
        let (critical, id) = ids.next().unwrap();
        assert!(!critical);
        id
    }

    fn subject_key_id(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
        let (_, certificate) = x509_parser::parse_x509_certificate(der).unwrap();
        certificate.iter_extensions().find_map(|it| match it.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        })
    }

    #[test]
    fn rustls_accepts_leaves_of_every_kind_of_ca() {
        for (file, root) in [
            ("rsa-pkcs1.pem", "rsa-pkcs1.pem"),
            ("rsa-pkcs8-certificate-first.pem", "rsa-pkcs1.pem"),
            ("p256-sec1-among-others.pem", "p256-pkcs8-certificate-first.pem"),
            ("p256-pkcs8-certificate-first.pem", "p256-pkcs8-certificate-first.pem"),
            ("p384-sec1-certificate-first.pem", "p384-pkcs8.pem"),
            ("p384-pkcs8.pem", "p384-pkcs8.pem"),
            ("ed25519.pem", "ed25519.pem"),
            ("no-key-id.pem", "no-key-id.pem"),
            // Clients trust only the root. The server sends the CA.
            ("issuing-with-root.pem", "p384-pkcs8.pem"),
        ] {
            let leaves = Leaves::new(Arc::new(ca_of(file))).unwrap();
            let mut roots = RootCertStore::empty();
            roots.add(ca_of(root).cert_der().clone()).unwrap();
            let provider = Arc::new(ring::default_provider());
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            let now = UnixTime::since_unix_epoch(midday().duration_since(UNIX_EPOCH).unwrap());
            for host in ["api.example.com", "under_score.example", "127.0.0.1", "2001:db8::1"].map(name) {
                let certified = leaves.certificate(&host, midday()).unwrap();
                let (leaf, chain) = certified.cert.split_first().unwrap();
                verifier
                    .verify_server_cert(leaf, chain, &host, &[], now)
                    .unwrap_or_else(|e| panic!("{file}: {host:?}: {e}"));
                assert!(verifier.verify_server_cert(leaf, chain, &name("other.example"), &[], now).is_err());
            }
        }
    }

    #[test]
    fn a_leaf_has_exactly_the_expected_fields() {
        let leaves = leaves();
        inspect(&leaves, "api.example.com", midday(), |leaf| {
            let from = validity::seconds(midday() - days(1));
            assert_eq!(leaf.validity().not_before.timestamp(), from);
            assert_eq!(leaf.validity().not_after.timestamp(), from + 45 * DAY_SECS);
            assert_eq!(leaf.subject().to_string(), "CN=api.example.com");

            let san = leaf.subject_alternative_name().unwrap().unwrap();
            assert!(!san.critical);
            assert_eq!(san.value.general_names, [GeneralName::DNSName("api.example.com")]);
            let usage = leaf.key_usage().unwrap().unwrap();
            assert!(usage.critical && usage.value.digital_signature());
            assert_eq!(usage.value.flags.count_ones(), 1);
            let purpose = leaf.extended_key_usage().unwrap().unwrap();
            assert!(!purpose.critical && purpose.value.server_auth && !purpose.value.client_auth && !purpose.value.any);
            assert!(purpose.value.other.is_empty());
            let constraints = leaf.basic_constraints().unwrap().unwrap();
            assert!(constraints.critical && !constraints.value.ca && constraints.value.path_len_constraint.is_none());
            assert_eq!(Some(authority_key_id(leaf)), subject_key_id(leaves.ca.cert_der()));
            assert_eq!(leaf.extensions().len(), 5); // no subject key identifier
        });
        let certified = leaves.certificate(&name("api.example.com"), midday()).unwrap();
        assert_eq!(certified.cert[1..], [leaves.ca.cert_der().clone()]);
    }

    #[test]
    fn names_and_addresses_are_in_the_san_and_the_common_name() {
        let leaves = leaves();
        let san = |host: &str, critical: bool, cn: &str, expected: &[GeneralName<'_>]| {
            inspect(&leaves, host, midday(), |leaf| {
                let san = leaf.subject_alternative_name().unwrap().unwrap();
                assert_eq!(san.value.general_names, expected);
                assert_eq!(san.critical, critical);
                assert_eq!(leaf.subject().to_string(), cn);
            });
        };
        san("API.Example.com", false, "CN=api.example.com", &[GeneralName::DNSName("api.example.com")]);
        san("localhost.", false, "CN=localhost", &[GeneralName::DNSName("localhost")]);
        san("192.0.2.7", false, "CN=192.0.2.7", &[GeneralName::IPAddress(&[192, 0, 2, 7])]);
        let v6 = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        san("2001:db8::1", false, "CN=2001:db8::1", &[GeneralName::IPAddress(&v6)]);
        let longest = format!("{}.example.com", "a".repeat(52));
        assert_eq!(longest.len(), 64);
        san(&longest, false, &format!("CN={longest}"), &[GeneralName::DNSName(&longest)]);
        let longer = format!("a{longest}");
        san(&longer, true, "", &[GeneralName::DNSName(&longer)]);
    }

    #[test]
    fn the_issuer_equals_the_subject_of_the_ca_byte_for_byte() {
        for file in ["rsa-pkcs1.pem", "issuing-with-root.pem"] {
            let leaves = Leaves::new(Arc::new(ca_of(file))).unwrap();
            inspect(&leaves, "api.example.com", midday(), |leaf| {
                let (_, ca) = x509_parser::parse_x509_certificate(leaves.ca.cert_der()).unwrap();
                assert_eq!(leaf.issuer().as_raw(), ca.subject().as_raw());
                leaf.verify_signature(Some(ca.public_key())).unwrap();
            });
        }
    }

    #[test]
    fn the_authority_key_identifier_is_copied_from_the_ca() {
        // OpenSSL and rcgen derive key identifiers differently, so a derived value would differ.
        let leaves = Leaves::new(Arc::new(ca_of("rsa-pkcs1.pem"))).unwrap();
        let stored = subject_key_id(leaves.ca.cert_der()).unwrap();
        inspect(&leaves, "api.example.com", midday(), |leaf| assert_eq!(authority_key_id(leaf), stored));

        let leaves = Leaves::new(Arc::new(ca_of("no-key-id.pem"))).unwrap();
        assert_eq!(subject_key_id(leaves.ca.cert_der()), None);
        inspect(&leaves, "api.example.com", midday(), |leaf| assert_eq!(authority_key_id(leaf).len(), 20));
    }

    #[test]
    fn serials_are_random_and_positive_and_have_one_length() {
        let leaves = leaves();
        let mut seen = HashSet::new();
        for n in 0..64 {
            inspect(&leaves, &format!("{n}.example.com"), midday(), |leaf| {
                assert_eq!(leaf.raw_serial().len(), 16);
                assert!(leaf.raw_serial()[0] < 0x80);
                assert!(seen.insert(leaf.raw_serial().to_vec()));
            });
        }
        let halves: HashSet<_> = seen.iter().map(|serial| serial[8..].to_vec()).collect();
        assert_eq!(halves.len(), 64);
    }

    #[test]
    fn a_leaf_is_cached_per_name_and_all_have_one_key() {
        let leaves = leaves();
        let first = leaves.certificate(&name("api.example.com"), midday()).unwrap();
        let again = leaves.certificate(&name("API.example.COM."), midday() + days(29)).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let other = leaves.certificate(&name("example.com"), midday()).unwrap();
        assert!(!Arc::ptr_eq(&first, &other));
        assert!(Arc::ptr_eq(&first.key, &other.key));
    }

    #[test]
    fn leaves_are_renewed_well_before_they_expire() {
        let leaves = leaves();
        let at = |now| leaves.certificate(&name("api.example.com"), now).unwrap();
        let first = at(midday());
        let second = at(midday() + days(30));
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &at(midday() + days(31))));
        inspect(&leaves, "api.example.com", midday() + days(31), |leaf| {
            assert_eq!(leaf.validity().not_after.timestamp(), validity::seconds(midday() + days(30 + 44)));
        });
        // The clock was set back.
        assert!(!Arc::ptr_eq(&second, &at(midday())));
    }

    #[test]
    fn no_leaf_is_valid_outside_the_validity_of_the_ca() {
        let leaves = leaves(); // the CA is valid from two days ago for 3650 days
        let end = midday() - days(2) + days(3650);
        let late = end - days(10);
        inspect(&leaves, "api.example.com", late, |leaf| {
            assert_eq!(leaf.validity().not_after.timestamp(), validity::seconds(end))
        });
        let first = leaves.certificate(&name("api.example.com"), late).unwrap();
        let soon = leaves.certificate(&name("api.example.com"), late + days(6)).unwrap();
        assert!(Arc::ptr_eq(&first, &soon));
        let renewed = leaves.certificate(&name("api.example.com"), late + days(7)).unwrap();
        assert!(!Arc::ptr_eq(&first, &renewed));
        let expired = leaves.certificate(&name("api.example.com"), end);
        assert!(matches!(expired, Err(LeafError::CaExpired)));
        inspect(&leaves, "api.example.com", midday() - days(2), |leaf| {
            assert_eq!(leaf.validity().not_before.timestamp(), validity::seconds(midday() - days(2)));
        });
    }

    #[test]
    fn the_cache_is_bounded_and_keeps_names_in_use() {
        let leaves = leaves();
        let used = name("used.example.com");
        let first = leaves.certificate(&used, midday()).unwrap();
        let once = leaves.certificate(&name("once.example.com"), midday()).unwrap();
        for n in 0..3 * MAX_RECENT_LEAVES {
            leaves.certificate(&name(&format!("{n}.example.com")), midday()).unwrap();
            assert!(Arc::ptr_eq(&first, &leaves.certificate(&used, midday()).unwrap()));
            let cache = leaves.cache();
            assert!(cache.recent.len() <= MAX_RECENT_LEAVES && cache.old.len() <= MAX_RECENT_LEAVES);
        }
        assert!(!Arc::ptr_eq(&once, &leaves.certificate(&name("once.example.com"), midday()).unwrap()));
    }

    #[test]
    fn threads_share_the_cache() {
        let leaves = leaves();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..32 {
                        let now = midday() + Duration::from_secs(n);
                        inspect(&leaves, &format!("{}.example.com", n % 8), now, |leaf| {
                            assert_eq!(leaf.subject().to_string(), format!("CN={}.example.com", n % 8));
                        });
                    }
                });
            }
        });
        assert_eq!(leaves.cache().recent.len(), 8);
    }
}
