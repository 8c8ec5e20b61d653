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
            Ok(key) => Ok(Self { ca, key, kept: Mutex::default() }),
            Err(e) => Err(Error::System { what: "cannot make a key", cause: io::Error::other(e.to_string()) }),
        }
    }

    /// The certificate to show to a client that asks for `name`, with what belongs to it: good now, and for a while.
    /// A text becomes a name, or an address, with `ServerName::try_from`.
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
        let validity = Validity { from: from.max(ca.from), until: from.saturating_add(LIFE).min(ca.until) };
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

/// Some clients refuse certificates that are good for too long: Chromium those of more than 200 days, and for public CAs the
/// limit goes down to 47 within years.
const LIFE: i64 = 45 * DAY;
/// For clients whose clocks are behind. Part of [`LIFE`].
const BACKDATED: i64 = DAY;
/// At most twice as many are kept, at one to three kilobytes each.
const GENERATION: usize = 512;

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

    /// Signs a leaf and hands it over, parsed.
    fn look(leaves: &Leaves, asked: &str, now: SystemTime, at: impl FnOnce(&X509Certificate<'_>)) {
        let certified = leaves.certificate(&name(asked), now).unwrap();
        certified.keys_match().unwrap();
        at(&x509_parser::parse_x509_certificate(&certified.cert[0]).unwrap().1);
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
    fn rustls_accepts_them_from_every_kind_of_ca() {
        for (file, root) in [
            ("rsa-pkcs1.pem", "rsa-pkcs1.pem"),
            ("rsa-pkcs8-certificate-first.pem", "rsa-pkcs1.pem"),
            ("p256-sec1-among-others.pem", "p256-pkcs8-certificate-first.pem"),
            ("p256-pkcs8-certificate-first.pem", "p256-pkcs8-certificate-first.pem"),
            ("p384-sec1-certificate-first.pem", "p384-pkcs8.pem"),
            ("p384-pkcs8.pem", "p384-pkcs8.pem"),
            ("ed25519.pem", "ed25519.pem"),
            ("no-key-id.pem", "no-key-id.pem"),
            // Clients trust the root alone, and learn of the CA from the server.
            ("issuing-with-root.pem", "p384-pkcs8.pem"),
        ] {
            let leaves = Leaves::new(Arc::new(ca_of(file))).unwrap();
            let mut roots = RootCertStore::empty();
            roots.add(ca_of(root).cert_der().clone()).unwrap();
            let provider = Arc::new(ring::default_provider());
            let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            let now = UnixTime::since_unix_epoch(midday().duration_since(UNIX_EPOCH).unwrap());
            for asked in ["api.example.com", "under_score.example", "127.0.0.1", "2001:db8::1"].map(name) {
                let certified = leaves.certificate(&asked, midday()).unwrap();
                let (leaf, others) = certified.cert.split_first().unwrap();
                verifier
                    .verify_server_cert(leaf, others, &asked, &[], now)
                    .unwrap_or_else(|e| panic!("{file}: {asked:?}: {e}"));
                assert!(verifier.verify_server_cert(leaf, others, &name("other.example"), &[], now).is_err());
            }
        }
    }

    #[test]
    fn they_hold_what_they_should_and_nothing_else() {
        let leaves = leaves();
        look(&leaves, "api.example.com", midday(), |leaf| {
            let from = x509::seconds(midday() - days(1));
            assert_eq!(leaf.validity().not_before.timestamp(), from);
            assert_eq!(leaf.validity().not_after.timestamp(), from + 45 * DAY);
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
            assert_eq!(leaf.extensions().len(), 5); // these, so no subject key id
        });
        let certified = leaves.certificate(&name("api.example.com"), midday()).unwrap();
        assert_eq!(certified.cert[1..], [leaves.ca.cert_der().clone()]);
    }

    #[test]
    fn names_are_put_as_verifiers_look_for_them() {
        let leaves = leaves();
        let san = |asked: &str, critical: bool, cn: &str, expected: &[GeneralName<'_>]| {
            look(&leaves, asked, midday(), |leaf| {
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
    fn the_issuer_is_the_subject_of_the_ca_byte_for_byte() {
        for file in ["rsa-pkcs1.pem", "issuing-with-root.pem"] {
            let leaves = Leaves::new(Arc::new(ca_of(file))).unwrap();
            look(&leaves, "api.example.com", midday(), |leaf| {
                let (_, ca) = x509_parser::parse_x509_certificate(leaves.ca.cert_der()).unwrap();
                assert_eq!(leaf.issuer().as_raw(), ca.subject().as_raw());
                leaf.verify_signature(Some(ca.public_key())).unwrap();
            });
        }
    }

    #[test]
    fn the_key_id_of_the_ca_is_the_one_it_has() {
        // OpenSSL derives key ids by another rule than rcgen, so one that is derived anew would differ.
        let leaves = Leaves::new(Arc::new(ca_of("rsa-pkcs1.pem"))).unwrap();
        let stored = subject_key_id(leaves.ca.cert_der()).unwrap();
        look(&leaves, "api.example.com", midday(), |leaf| assert_eq!(authority_key_id(leaf), stored));

        let leaves = Leaves::new(Arc::new(ca_of("no-key-id.pem"))).unwrap();
        assert_eq!(subject_key_id(leaves.ca.cert_der()), None);
        look(&leaves, "api.example.com", midday(), |leaf| assert_eq!(authority_key_id(leaf).len(), 20));
    }

    #[test]
    fn serials_are_random_positive_and_of_one_length() {
        let leaves = leaves();
        let mut seen = HashSet::new();
        for n in 0..64 {
            look(&leaves, &format!("{n}.example.com"), midday(), |leaf| {
                assert_eq!(leaf.raw_serial().len(), 16);
                assert!(leaf.raw_serial()[0] < 0x80);
                assert!(seen.insert(leaf.raw_serial().to_vec()));
            });
        }
        let halves: HashSet<_> = seen.iter().map(|serial| serial[8..].to_vec()).collect();
        assert_eq!(halves.len(), 64);
    }

    #[test]
    fn one_name_has_one_certificate_and_all_have_one_key() {
        let leaves = leaves();
        let first = leaves.certificate(&name("api.example.com"), midday()).unwrap();
        let again = leaves.certificate(&name("API.example.COM."), midday() + days(29)).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        let other = leaves.certificate(&name("example.com"), midday()).unwrap();
        assert!(!Arc::ptr_eq(&first, &other));
        assert!(Arc::ptr_eq(&first.key, &other.key));
    }

    #[test]
    fn they_are_renewed_well_before_they_end() {
        let leaves = leaves();
        let at = |now| leaves.certificate(&name("api.example.com"), now).unwrap();
        let first = at(midday());
        let second = at(midday() + days(30));
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &at(midday() + days(31))));
        look(&leaves, "api.example.com", midday() + days(31), |leaf| {
            assert_eq!(leaf.validity().not_after.timestamp(), x509::seconds(midday() + days(30 + 44)));
        });
        // The clock was wrong before.
        assert!(!Arc::ptr_eq(&second, &at(midday())));
    }

    #[test]
    fn none_outlives_the_ca_or_is_older() {
        let leaves = leaves(); // the CA: from two days ago, for 3650
        let end = midday() - days(2) + days(3650);
        let late = end - days(10);
        look(&leaves, "api.example.com", late, |leaf| {
            assert_eq!(leaf.validity().not_after.timestamp(), x509::seconds(end))
        });
        let first = leaves.certificate(&name("api.example.com"), late).unwrap();
        let soon = leaves.certificate(&name("api.example.com"), late + days(6)).unwrap();
        assert!(Arc::ptr_eq(&first, &soon));
        let renewed = leaves.certificate(&name("api.example.com"), late + days(7)).unwrap();
        assert!(!Arc::ptr_eq(&first, &renewed));
        let over = leaves.certificate(&name("api.example.com"), end).err();
        assert_eq!(over, Some(LeafError::CaExpired));
        look(&leaves, "api.example.com", midday() - days(2), |leaf| {
            assert_eq!(leaf.validity().not_before.timestamp(), x509::seconds(midday() - days(2)));
        });
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_is_used_stays() {
        let leaves = leaves();
        let used = name("used.example.com");
        let first = leaves.certificate(&used, midday()).unwrap();
        let once = leaves.certificate(&name("once.example.com"), midday()).unwrap();
        for n in 0..3 * GENERATION {
            leaves.certificate(&name(&format!("{n}.example.com")), midday()).unwrap();
            assert!(Arc::ptr_eq(&first, &leaves.certificate(&used, midday()).unwrap()));
            let kept = leaves.kept();
            assert!(kept.young.len() <= GENERATION && kept.old.len() <= GENERATION);
        }
        assert!(!Arc::ptr_eq(&once, &leaves.certificate(&name("once.example.com"), midday()).unwrap()));
    }

    #[test]
    fn threads_share_them() {
        let leaves = leaves();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..32 {
                        let now = midday() + Duration::from_secs(n);
                        look(&leaves, &format!("{}.example.com", n % 8), now, |leaf| {
                            assert_eq!(leaf.subject().to_string(), format!("CN={}.example.com", n % 8));
                        });
                    }
                });
            }
        });
        assert_eq!(leaves.kept().young.len(), 8);
    }
}
