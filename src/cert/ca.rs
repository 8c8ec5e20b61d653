//! The CA: opened from its directory, validated once, then used to issue leaf certificates.
//!
//! A CA whose leaves verifiers reject is an error before the capture starts: clients would fail one by one, each with an
//! error of its own that does not name the CA.

use super::der::{Malformed, dotted};
use super::store::{CaDir, CaState};
use super::validity::{self, Validity};
use super::x509::{self, Issuer, Key};
use super::x509_reader::{Extension, X509};
use super::{CaCertificate, LeafError, pem, permissions};
use crate::error::Error;
use crate::error::ca::{BoxError, CaError, CaExposure};
use rustls::pki_types::{CertificateDer, ServerName};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A CA's private key and certificate.
#[derive(Debug)]
pub(crate) struct Ca {
    issuer: Issuer,
    validity: Validity,
    certificate: CertificateDer<'static>,
    pem: String,
    /// The other certificates in the CA's file: its chain, if it is not a root.
    chain: Vec<CertificateDer<'static>>,
    /// A file with the certificate; `None` if the CA is in memory only.
    path: Option<PathBuf>,
    exposures: Vec<CaExposure>,
}

impl From<pem::PemError> for CaError {
    fn from(e: pem::PemError) -> Self {
        match e {
            pem::PemError::Empty => Self::Empty,
            pem::PemError::Damaged(cause) => Self::Damaged(cause),
            pem::PemError::Passphrase => Self::Passphrase,
            pem::PemError::NoKey => Self::NoKey,
        }
    }
}

impl Ca {
    /// Opens the CA in `dir`. Creates one if `dir` has none.
    ///
    /// # Errors
    /// Returns [`Error::Ca`] if the existing CA cannot be used or a new one cannot be created. An existing CA is never
    /// changed.
    pub(crate) fn open(dir: &Path, now: SystemTime) -> Result<Self, Error> {
        let dir = CaDir::new(dir);
        if now < UNIX_EPOCH {
            return Err(dir.unusable(CaError::ClockBefore1970));
        }
        let now = validity::seconds(now);
        let mut exposures = permissions::check_directory(dir.path())?;
        let (file, state) = dir.read_or_create(|| new_file(now))?;
        exposures.extend(permissions::check_key(dir.ca_file())?);
        let ca = Self::parse(&file).and_then(|ca| ca.validate(now).map(|()| ca));
        let ca = ca.map_err(|cause| dir.unusable(cause))?.with_certificate_files(&dir, state);
        Ok(Self { exposures, ..ca })
    }

    /// Parses the CA in `file`, a private key and certificates in PEM. Reads and writes no file.
    ///
    /// # Errors
    /// If verifiers reject it now.
    pub(crate) fn from_pem(file: &[u8], now: SystemTime) -> Result<Self, CaError> {
        if now < UNIX_EPOCH {
            return Err(CaError::ClockBefore1970);
        }
        let ca = Self::parse(file)?;
        ca.validate(validity::seconds(now)).map(|()| ca)
    }

    /// Creates a CA in memory. Reads and writes no file.
    pub(crate) fn ephemeral(now: SystemTime) -> Result<Self, CaError> {
        Self::from_pem(new_file(validity::seconds(now)).map_err(CaError::Generate)?.as_bytes(), now)
    }

    /// Opens the CA in `dir` even if verifiers reject it, for example because it expired: it may be in trust stores.
    ///
    /// # Errors
    /// Returns [`Error::Ca`] if `dir` has none or its file cannot be read.
    pub(crate) fn open_unvalidated(dir: &Path) -> Result<Self, Error> {
        let dir = CaDir::new(dir);
        let file = dir.read()?.ok_or_else(|| dir.unusable(CaError::Removed))?;
        let ca = Self::parse(&file).map_err(|cause| dir.unusable(cause))?;
        Ok(ca.with_certificate_files(&dir, CaState::Existing))
    }

    fn with_certificate_files(mut self, dir: &CaDir<'_>, state: CaState) -> Self {
        self.path = Some(dir.write_certificate_files(&self.certificate, &self.pem, state));
        self
    }

    fn parse(file: &[u8]) -> Result<Self, CaError> {
        let pem::PemFile { key, certificates } = pem::parse(file)?;
        let key = Key::load(&key).ok_or(CaError::UnsupportedKey)?;
        let mut own = None;
        let mut chain = Vec::new();
        for certificate in certificates {
            let parsed = parse_certificate(&certificate)?;
            if own.is_none() && parsed.public_key.bits == key.public() {
                own = Some(certificate);
            } else {
                chain.push(certificate);
            }
        }
        let certificate = own.ok_or(if chain.is_empty() { CaError::NoCertificate } else { CaError::Mismatch })?;
        let parsed = parse_certificate(&certificate)?;
        let validity = parsed.validity;
        let name = parsed.subject.raw().to_vec();
        let key_id = parsed.subject_key_id().map_err(damaged)?.map(<[u8]>::to_vec);
        Ok(Self {
            issuer: Issuer { name, key_id, key },
            validity,
            pem: pem::encode_certificate(&certificate),
            certificate,
            chain,
            path: None,
            exposures: Vec::new(),
        })
    }

    fn validate(&self, now: i64) -> Result<(), CaError> {
        validate(&parse_certificate(&self.certificate)?, now)
    }

    /// Returns the certificate in DER.
    pub(crate) fn cert_der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Returns the certificate in PEM.
    #[cfg(test)]
    pub(crate) fn cert_pem(&self) -> &str {
        &self.pem
    }

    /// Returns the certificate without the private key.
    pub(crate) fn certificate(&self) -> CaCertificate {
        CaCertificate::new(self.certificate.clone(), self.path.clone(), self.exposures.clone())
    }

    /// Returns the same path as [`CaCertificate::path`].
    #[cfg(test)]
    pub(crate) fn cert_path(&self) -> &Path {
        self.path.as_deref().unwrap()
    }

    /// Returns the certificate's validity period.
    pub(super) fn validity(&self) -> Validity {
        self.validity
    }

    /// Issues a leaf certificate. Returns the certificates that a server sends: the leaf, the CA and the CA's chain.
    ///
    /// Clients that trust the CA do not need it in the handshake, but mitmproxy sends it too, for two reasons. Chromium's
    /// `--ignore-certificate-errors-spki-list` only matches certificates that were sent. A client that trusts only a root
    /// above the CA has no other source for it.
    pub(super) fn issue(
        &self,
        name: &ServerName<'_>,
        key: &Key,
        validity: Validity,
    ) -> Result<Vec<CertificateDer<'static>>, LeafError> {
        let leaf = self.issuer.issue_leaf(name, key, validity).map_err(LeafError::Signing)?;
        Ok([&[leaf, self.certificate.clone()], &*self.chain].concat())
    }
}

/// Returns the content of the file of a new CA.
fn new_file(now: i64) -> Result<String, BoxError> {
    let (key, certificate) = x509::new_ca(now)?;
    Ok(pem::encode_private_key(key.secret_pkcs8_der()) + &pem::encode_certificate(&certificate))
}

fn parse_certificate<'a>(der: &'a CertificateDer<'_>) -> Result<X509<'a>, CaError> {
    X509::parse(der).map_err(damaged)
}

fn damaged(cause: Malformed) -> CaError {
    CaError::Damaged(cause.into())
}

/// Checks that verifiers accept the certificate now as the issuer of a server's certificate with any name: RFC 5280 section
/// 6.1.4 (k), (n) and (o), name constraints, extended key usage, and the validity period.
///
/// A path length constraint is no obstacle: section 4.2.1.9 does not count the leaf.
fn validate(certificate: &X509<'_>, now: i64) -> Result<(), CaError> {
    // A certificate of X.509 version 1 has no extensions and ends here.
    if !certificate.is_ca().map_err(damaged)? {
        return Err(CaError::NotCa);
    }
    if !certificate.may_sign_certificates().map_err(damaged)? {
        return Err(CaError::CannotSign);
    }
    // RFC 5280 defines this extension for leaves. In a CA, OpenSSL and Go apply it to what the CA issues.
    if !certificate.is_for_servers().map_err(damaged)? {
        return Err(CaError::NotForServers);
    }
    if certificate.has_name_constraints().map_err(damaged)? {
        return Err(CaError::NameConstraints);
    }
    let extensions = certificate.extensions().map_err(damaged)?;
    if let Some(extension) = extensions.iter().find(|it| it.critical && !is_defined(it)) {
        return Err(CaError::CriticalExtension(dotted(extension.id)));
    }
    // Section 4.1.2.6: the leaf names its issuer by this.
    if certificate.subject.is_empty() {
        return Err(CaError::NoSubject);
    }
    let Validity { not_before, not_after } = certificate.validity;
    if now < not_before {
        return Err(CaError::NotYetValid { from: validity::system_time(not_before) });
    }
    if now > not_after {
        return Err(CaError::Expired { until: validity::system_time(not_after) });
    }
    Ok(())
}

/// Returns true if RFC 5280 section 4.2 defines the extension. Verifiers reject an unknown one if it is critical.
fn is_defined(extension: &Extension<'_>) -> bool {
    match extension.id {
        // `id-ce`: key identifiers, key usage, names, constraints, distribution points and policies.
        [0x55, 0x1d, number] => matches!(number, 14..=15 | 17..=19 | 30..=33 | 35..=37 | 46 | 54),
        // `id-pe`: access to information about the issuer and the subject.
        [0x2b, 6, 1, 5, 5, 7, 1, number] => matches!(number, 1 | 11),
        // The certificate type of Netscape. All common verifiers know it.
        [0x60, 0x86, 0x48, 0x01, 0x86, 0xf8, 0x42, 1, 1] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{TempDir, ca_of, days, fixture, midday, new_ca};
    use super::*;
    use std::time::Duration;

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
        "any-purpose.pem",
        "critical-policy.pem",
        "path-length-0.pem",
    ];

    fn error(file: &[u8], now: SystemTime) -> CaError {
        Ca::parse(file).and_then(|ca| ca.validate(validity::seconds(now))).err().unwrap()
    }

    #[test]
    fn opens_every_supported_kind_of_file() {
        for name in GOOD {
            let ca = ca_of(name);
            let parsed = parse_certificate(ca.cert_der()).unwrap();
            assert_eq!(parsed.public_key.bits, ca.issuer.key.public(), "{name}");
            assert_eq!(pem::first_certificate(ca.cert_pem().as_bytes()).as_ref(), Some(ca.cert_der()), "{name}");
        }
    }

    #[test]
    fn a_ca_in_memory_is_checked_like_one_in_a_file() {
        let ca = Ca::from_pem(&fixture("ed25519.pem"), midday()).unwrap();
        assert_eq!(ca.certificate().path(), None);
        assert!(matches!(Ca::from_pem(&fixture("not-a-ca.pem"), midday()), Err(CaError::NotCa)));
        assert!(matches!(Ca::from_pem(b"", midday()), Err(CaError::Empty)));
        let early = UNIX_EPOCH - Duration::from_secs(1);
        assert!(matches!(Ca::from_pem(&fixture("ed25519.pem"), early), Err(CaError::ClockBefore1970)));
        assert!(matches!(Ca::ephemeral(early), Err(CaError::ClockBefore1970)));
        let (one, other) = (Ca::ephemeral(midday()).unwrap(), Ca::ephemeral(midday()).unwrap());
        assert_ne!(one.cert_der(), other.cert_der());
        assert_eq!(one.certificate().path(), None);
    }

    #[test]
    fn finds_the_certificate_of_the_key_among_others() {
        let ca = ca_of("issuing-with-root.pem");
        assert_eq!(
            parse_certificate(ca.cert_der()).unwrap().subject.common_names().next().unwrap(),
            "Example Issuing CA"
        );
        let root = ca_of("p384-pkcs8.pem").cert_der().clone();
        assert_eq!(ca.chain, [root]);
    }

    #[test]
    fn rejects_a_ca_that_clients_would_reject() {
        let error_of = |name| error(&fixture(name), midday());
        assert!(matches!(error_of("rsa-passphrase.pem"), CaError::Passphrase));
        assert!(matches!(error_of("rsa-passphrase-traditional.pem"), CaError::Passphrase));
        assert!(matches!(error_of("p521.pem"), CaError::UnsupportedKey));
        assert!(matches!(error_of("not-a-ca.pem"), CaError::NotCa));
        assert!(matches!(error_of("no-cert-sign.pem"), CaError::CannotSign));
        assert!(matches!(error_of("only-for-clients.pem"), CaError::NotForServers));
        assert!(matches!(error_of("name-constraints.pem"), CaError::NameConstraints));
        assert!(matches!(error_of("excluded-names.pem"), CaError::NameConstraints));
        assert!(matches!(error_of("critical-extension.pem"), CaError::CriticalExtension(oid) if oid == "1.2.3.4"));
        assert!(matches!(error_of("version-1.pem"), CaError::NotCa));
        assert!(matches!(error_of("no-subject.pem"), CaError::NoSubject));

        let good = String::from_utf8(fixture("p384-pkcs8.pem")).unwrap();
        let (key, certificate) = good.split_at(good.find("-----BEGIN CERTIFICATE").unwrap());
        assert!(matches!(error(key.as_bytes(), midday()), CaError::NoCertificate));
        assert!(matches!(error(certificate.as_bytes(), midday()), CaError::NoKey));
        assert!(matches!(error(b"", midday()), CaError::Empty));
        let other = pem::encode_certificate(ca_of("ed25519.pem").cert_der());
        assert!(matches!(error((key.to_owned() + &other).as_bytes(), midday()), CaError::Mismatch));
        let garbage = pem::encode_certificate(&certificate.as_bytes().to_vec().into());
        assert!(matches!(error((key.to_owned() + &garbage).as_bytes(), midday()), CaError::Damaged(_)));
        assert!(matches!(
            error((pem::encode_private_key(b"no key") + certificate).as_bytes(), midday()),
            CaError::UnsupportedKey
        ));
    }

    #[test]
    fn rejects_a_ca_outside_its_validity_period() {
        let file = fixture("p384-pkcs8.pem"); // 2020-01-01 to 2120-01-01
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let (from, until) = (1_577_836_800, 4_733_510_400);
        let ca = Ca::parse(&file).unwrap();
        assert!(ca.validate(validity::seconds(at(from))).is_ok() && ca.validate(validity::seconds(at(until))).is_ok());
        let early = error(&file, at(from - 1));
        assert!(matches!(early, CaError::NotYetValid { .. }));
        assert_eq!(early.to_string(), "the certificate is not valid before 2020-01-01");
        let late = error(&file, at(until + 1));
        assert!(matches!(late, CaError::Expired { .. }));
        assert_eq!(late.to_string(), "the certificate expired on 2120-01-01");
    }

    #[test]
    fn a_clock_before_1970_is_an_error() {
        let dir = TempDir::new();
        let open = |now| Ca::open(&dir, now).map_err(|e| e.to_string());
        let error = open(UNIX_EPOCH - Duration::from_secs(1)).unwrap_err();
        assert!(error.ends_with(": the clock is set to a time before 1970"), "{error}");
        assert!(std::fs::read_dir(&*dir).unwrap().next().is_none(), "nothing is created");
        assert!(open(UNIX_EPOCH).is_ok());
    }

    #[test]
    fn a_new_ca_has_the_fields_that_verifiers_require() {
        let ca = new_ca(midday());
        let (_, certificate) = x509_parser::parse_x509_certificate(ca.cert_der()).unwrap();

        let only = |mut it: Box<dyn Iterator<Item = String>>| {
            let name = it.next().unwrap();
            assert!(it.next().is_none());
            name
        };
        let subject = certificate.subject();
        let cn = only(Box::new(subject.iter_common_name().map(|it| it.as_str().unwrap().to_owned())));
        let o = only(Box::new(subject.iter_organization().map(|it| it.as_str().unwrap().to_owned())));
        assert!(cn.starts_with("Spectral Capture CA ") && cn.len() == 28, "{cn}");
        assert_eq!(cn, o);
        assert_eq!(certificate.issuer().as_raw(), subject.as_raw());
        let again = new_ca(midday());
        assert_ne!(parse_certificate(again.cert_der()).unwrap().subject.raw(), subject.as_raw());

        let not_before = validity::seconds(midday() - days(2));
        assert_eq!(
            ca.validity(),
            Validity { not_before, not_after: not_before + validity::seconds(UNIX_EPOCH + days(3650)) }
        );

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
