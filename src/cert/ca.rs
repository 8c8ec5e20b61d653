//! The CA: opened from its folder, checked once, and then asked for leaves.
//!
//! What would make every client refuse its leaves is found here, before the capture begins, rather than by the clients.

use super::store::Folder;
use super::x509::{self, Issuer, Key, Validity};
use super::{CaCertificate, LeafError, pem};
use crate::error::Error;
use rustls::pki_types::{CertificateDer, ServerName};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::ParsedExtension;

/// A key and certificate that clients trust.
#[derive(Debug)]
pub(crate) struct Ca {
    issuer: Issuer,
    validity: Validity,
    certificate: CertificateDer<'static>,
    pem: String,
    /// Whatever other certificates its file holds: those above it, if it is not its own root.
    others: Vec<CertificateDer<'static>>,
    path: PathBuf,
}

impl Ca {
    /// Uses the CA in `dir`, or makes one if there is none.
    ///
    /// # Errors
    /// Says what is wrong with the one that is there, which stays as it is, or why none can be made.
    pub(crate) fn open(dir: &Path, now: SystemTime) -> Result<Self, Error> {
        let now = x509::seconds(now);
        let folder = Folder::new(dir);
        let (file, origin) = folder.read_or_make(|| {
            let (key, certificate) = x509::new_ca(now)?;
            Ok(pem::private_key(key.secret_pkcs8_der()) + &pem::certificate(&certificate))
        })?;
        let mut ca = Self::read(&file, now).map_err(|flaw| folder.unusable(flaw))?;
        ca.path = folder.publish(&ca.certificate, &ca.pem, origin);
        Ok(ca)
    }

    fn read(file: &[u8], now: i64) -> Result<Self, Flaw> {
        let pem::Contents { key, certificates } = pem::read(file)?;
        let key = Key::load(&key).ok_or(Flaw::Key)?;
        let mut own = None;
        let mut others = Vec::new();
        for certificate in certificates {
            let parsed = parse(&certificate)?;
            if own.is_none() && *parsed.public_key().subject_public_key.data == *key.public() {
                own = Some(certificate);
            } else {
                others.push(certificate);
            }
        }
        let certificate = own.ok_or(if others.is_empty() { Flaw::NoCertificate } else { Flaw::Mismatch })?;
        let parsed = parse(&certificate)?;
        let validity = check(&parsed, now)?;
        let name = parsed.subject().as_raw().to_vec();
        let key_id = parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        Ok(Self {
            issuer: Issuer { name, key_id, key },
            validity,
            pem: pem::certificate(&certificate),
            certificate,
            others,
            path: PathBuf::new(),
        })
    }

    /// The certificate.
    pub(crate) fn cert_der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    #[cfg(test)]
    /// The certificate, for people.
    pub(crate) fn cert_pem(&self) -> &str {
        &self.pem
    }

    /// The certificate without its key, to be handed on.
    pub(crate) fn certificate(&self) -> CaCertificate {
        CaCertificate::new(self.certificate.clone(), self.path.clone())
    }

    /// A file with the certificate: of its own, or else the one with the key too.
    pub(crate) fn cert_path(&self) -> &Path {
        &self.path
    }

    /// From when until when it can sign.
    pub(super) fn validity(&self) -> Validity {
        self.validity
    }

    /// A leaf, and what a server sends with it.
    ///
    /// A client that trusts the CA does not need to be sent it, but Chromium's `--ignore-certificate-errors-spki-list` only finds
    /// it among what was sent, and a client that trusts a root above the CA has it from nowhere else. mitmproxy sends it too.
    pub(super) fn issue(
        &self,
        name: &ServerName<'_>,
        key: &Key,
        validity: Validity,
    ) -> Result<Vec<CertificateDer<'static>>, LeafError> {
        let leaf = self.issuer.leaf(name, key, validity).map_err(|cause| LeafError::Signing(cause.to_string()))?;
        Ok([&[leaf, self.certificate.clone()], &*self.others].concat())
    }
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Flaw> {
    match x509_parser::parse_x509_certificate(der) {
        Ok((_, certificate)) => Ok(certificate),
        Err(e) => Err(Flaw::Damaged(e.to_string())),
    }
}

/// Whether verifiers would take a certificate for a CA's, RFC 5280 section 6.1.4 (k) and (n), now.
fn check(certificate: &X509Certificate<'_>, now: i64) -> Result<Validity, Flaw> {
    let constraints = certificate.basic_constraints().map_err(|e| Flaw::Damaged(e.to_string()))?;
    if !constraints.is_some_and(|it| it.value.ca) {
        return Err(Flaw::NotCa);
    }
    let usage = certificate.key_usage().map_err(|e| Flaw::Damaged(e.to_string()))?;
    if usage.is_some_and(|it| !it.value.key_cert_sign()) {
        return Err(Flaw::MayNotSign);
    }
    let validity = certificate.validity();
    let validity = Validity { from: validity.not_before.timestamp(), until: validity.not_after.timestamp() };
    if now < validity.from {
        return Err(Flaw::NotYetValid(validity.from));
    }
    if now > validity.until {
        return Err(Flaw::Expired(validity.until));
    }
    Ok(validity)
}

/// Why a CA's file cannot be used.
#[derive(Debug)]
pub(super) enum Flaw {
    /// Nothing is in it.
    Empty,
    /// The key is encrypted.
    Passphrase,
    /// Something in it is not what it says; what.
    Damaged(String),
    /// There is no key in it.
    NoKey,
    /// The key is damaged, or of a kind or size that is not supported.
    Key,
    /// There is no certificate in it.
    NoCertificate,
    /// No certificate in it is one of the key.
    Mismatch,
    /// The certificate is not one of a CA.
    NotCa,
    /// The certificate's key usage leaves out signing certificates.
    MayNotSign,
    /// The certificate's time has not come; when it does.
    NotYetValid(i64),
    /// The certificate's time is over; since when.
    Expired(i64),
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const REPLACE: &str = "choose another folder with --ca-dir, or move the file away to have a new CA made";
        let date = |seconds| {
            OffsetDateTime::from_unix_timestamp(seconds).map_or_else(|_| "?".into(), |t| t.date().to_string())
        };
        match self {
            Self::Empty => write!(f, "it is empty: {REPLACE}"),
            Self::Passphrase => write!(
                f,
                "its key has a passphrase, which is not supported: choose another folder with --ca-dir, or take the passphrase off"
            ),
            Self::Damaged(what) => write!(f, "it is damaged ({what}): {REPLACE}"),
            Self::NoKey => write!(f, "there is no private key in it: {REPLACE}"),
            Self::Key => write!(
                f,
                "its key is damaged or not supported (RSA of 2048 to 4096 bits, P-256, P-384 and Ed25519 are): {REPLACE}"
            ),
            Self::NoCertificate => write!(f, "there is no certificate in it: {REPLACE}"),
            Self::Mismatch => write!(f, "its certificate is not that of its key: {REPLACE}"),
            Self::NotCa => write!(f, "its certificate is not one of a CA: {REPLACE}"),
            Self::MayNotSign => write!(f, "its certificate may not sign others: {REPLACE}"),
            Self::NotYetValid(from) => {
                write!(f, "it is not valid before {}: set the clock right, or {REPLACE}", date(*from))
            }
            Self::Expired(until) => write!(f, "it expired on {}: {REPLACE}", date(*until)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ca_of, days, fixture, midday, new_ca};
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    const GOOD: &[&str] = &[
        "rsa-pkcs1.pem",
        "rsa-pkcs8-certificate-first.pem",
        "p256-sec1-among-others.pem",
        "p256-pkcs8-certificate-first.pem",
        "p384-sec1-certificate-first.pem",
        "p384-pkcs8.pem",
        "ed25519.pem",
        "issuing-with-root.pem",
        "no-key-id.pem",
    ];

    fn flaw(file: &[u8], now: SystemTime) -> Flaw {
        Ca::read(file, x509::seconds(now)).err().unwrap()
    }

    #[test]
    fn every_kind_of_file_gives_its_ca() {
        for name in GOOD {
            let ca = ca_of(name);
            let parsed = parse(ca.cert_der()).unwrap();
            assert_eq!(*parsed.public_key().subject_public_key.data, *ca.issuer.key.public(), "{name}");
            assert_eq!(pem::first_certificate(ca.cert_pem().as_bytes()).as_ref(), Some(ca.cert_der()), "{name}");
        }
    }

    #[test]
    fn the_certificate_of_the_key_is_found_among_others() {
        let ca = ca_of("issuing-with-root.pem");
        assert_eq!(
            parse(ca.cert_der()).unwrap().subject().iter_common_name().next().unwrap().as_str().unwrap(),
            "Example Issuing CA"
        );
        let root = ca_of("p384-pkcs8.pem").cert_der().clone();
        assert_eq!(ca.others, [root]);
    }

    #[test]
    fn what_clients_would_refuse_is_refused_first() {
        let read = |name| flaw(&fixture(name), midday());
        assert!(matches!(read("rsa-passphrase.pem"), Flaw::Passphrase));
        assert!(matches!(read("rsa-passphrase-traditional.pem"), Flaw::Passphrase));
        assert!(matches!(read("p521.pem"), Flaw::Key));
        assert!(matches!(read("not-a-ca.pem"), Flaw::NotCa));
        assert!(matches!(read("no-cert-sign.pem"), Flaw::MayNotSign));

        let good = String::from_utf8(fixture("p384-pkcs8.pem")).unwrap();
        let (key, certificate) = good.split_at(good.find("-----BEGIN CERTIFICATE").unwrap());
        assert!(matches!(flaw(key.as_bytes(), midday()), Flaw::NoCertificate));
        assert!(matches!(flaw(certificate.as_bytes(), midday()), Flaw::NoKey));
        assert!(matches!(flaw(b"", midday()), Flaw::Empty));
        let other = pem::certificate(ca_of("ed25519.pem").cert_der());
        assert!(matches!(flaw((key.to_owned() + &other).as_bytes(), midday()), Flaw::Mismatch));
        let cut = pem::certificate(&certificate.as_bytes().to_vec().into());
        assert!(matches!(flaw((key.to_owned() + &cut).as_bytes(), midday()), Flaw::Damaged(_)));
        assert!(matches!(flaw((pem::private_key(b"no key") + certificate).as_bytes(), midday()), Flaw::Key));
    }

    #[test]
    fn its_time_is_looked_at() {
        let file = fixture("p384-pkcs8.pem"); // 2020-01-01 to 2120-01-01
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let (from, until) = (1_577_836_800, 4_733_510_400);
        assert!(Ca::read(&file, x509::seconds(at(from))).is_ok());
        assert!(Ca::read(&file, x509::seconds(at(until))).is_ok());
        let early = flaw(&file, at(from - 1));
        assert!(matches!(early, Flaw::NotYetValid(_)));
        assert!(
            early.to_string().starts_with("it is not valid before 2020-01-01: set the clock right, or "),
            "{early}"
        );
        let late = flaw(&file, at(until + 1));
        assert!(matches!(late, Flaw::Expired(_)));
        assert!(
            late.to_string().starts_with("it expired on 2120-01-01: choose another folder with --ca-dir"),
            "{late}"
        );
    }

    #[test]
    fn a_new_one_is_as_verifiers_want_it() {
        let ca = new_ca(midday());
        let certificate = parse(ca.cert_der()).unwrap();

        let one = |mut it: Box<dyn Iterator<Item = String>>| {
            let name = it.next().unwrap();
            assert!(it.next().is_none());
            name
        };
        let subject = certificate.subject();
        let cn = one(Box::new(subject.iter_common_name().map(|it| it.as_str().unwrap().to_owned())));
        let o = one(Box::new(subject.iter_organization().map(|it| it.as_str().unwrap().to_owned())));
        assert!(cn.starts_with("Spectral Capture CA ") && cn.len() == 28, "{cn}");
        assert_eq!(cn, o);
        assert_eq!(certificate.issuer().as_raw(), subject.as_raw());
        let again = new_ca(midday());
        assert_ne!(parse(again.cert_der()).unwrap().subject().as_raw(), subject.as_raw());

        let from = x509::seconds(midday() - days(2));
        assert_eq!(ca.validity(), Validity { from, until: from + x509::seconds(UNIX_EPOCH + days(3650)) });

        let constraints = certificate.basic_constraints().unwrap().unwrap();
        assert!(constraints.critical && constraints.value.ca && constraints.value.path_len_constraint.is_none());
        let usage = certificate.key_usage().unwrap().unwrap();
        assert!(usage.critical && usage.value.key_cert_sign() && usage.value.crl_sign());
        assert_eq!(usage.value.flags.count_ones(), 2);
        assert_eq!(ca.issuer.key_id.as_ref().unwrap().len(), 20);
        assert_eq!(certificate.extensions().len(), 3);
        assert_eq!(certificate.raw_serial().len(), 16);
        assert_eq!(certificate.public_key().parsed().unwrap().key_size(), 256);
        certificate.verify_signature(None).unwrap();
    }
}
