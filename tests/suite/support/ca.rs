//! The CA of the origins, created for each run, and the certificates that it issues.

use super::temp::TempDir;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use time::{Duration, OffsetDateTime};

/// A CA that issues certificates for tests.
pub(crate) struct TestCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// The file with its certificate.
    pub(crate) pem: PathBuf,
    _dir: TempDir,
}

/// The properties of a certificate to issue.
#[derive(Clone, Debug)]
pub(crate) struct CertSpec {
    /// Its DNS names and IP addresses.
    pub(crate) names: Vec<String>,
    /// True if it expired yesterday.
    pub(crate) expired: bool,
    /// The seconds until it expires; `None` means weeks.
    pub(crate) expires_in: Option<i64>,
    /// True if it is a certificate for a CA.
    pub(crate) is_ca: bool,
}

impl Default for CertSpec {
    fn default() -> Self {
        let names =
            ["localhost", "127.0.0.1", "::1", "example.test", "api.example.test", "a.b.example.test", "other.test"];
        Self { names: names.map(String::from).to_vec(), expired: false, expires_in: None, is_ca: false }
    }
}

/// A certificate with its key.
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Writes both to PEM files in `dir`, for other programs; returns the paths of the key and the certificate.
    pub(crate) fn write(&self, dir: &TempDir) -> (PathBuf, PathBuf) {
        let key = dir.write("key.pem", pem("PRIVATE KEY", self.key.secret_der()));
        (key, dir.write("cert.pem", pem("CERTIFICATE", &self.chain[0])))
    }
}

impl TestCa {
    /// Returns the CA that proxies under test trust for origins.
    pub(crate) fn trusted() -> &'static Self {
        static CA: OnceLock<TestCa> = OnceLock::new();
        CA.get_or_init(|| Self::new("Origins of the suite"))
    }

    /// Returns a CA that only clients trust.
    pub(crate) fn unknown() -> &'static Self {
        static CA: OnceLock<TestCa> = OnceLock::new();
        CA.get_or_init(|| Self::new("Unknown CA"))
    }

    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params.not_before, params.not_after) = (day(-1), day(30));
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = TempDir::new();
        let pem = dir.write("ca.pem", pem("CERTIFICATE", issuer.as_ref().der()));
        Self { issuer, pem, _dir: dir }
    }

    /// Returns its certificate.
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.issuer.as_ref().der().clone()
    }

    /// Returns a `--ca-dir` folder with this CA in it.
    pub(crate) fn ca_dir(&self) -> TempDir {
        let dir = TempDir::new();
        let key = pem("PRIVATE KEY", &self.issuer.key().serialize_der());
        dir.write_private("mitmproxy-ca.pem", key + &pem("CERTIFICATE", &self.der()));
        dir
    }

    /// Issues a certificate.
    pub(crate) fn issue(&self, cert_spec: &CertSpec) -> Identity {
        let mut params = CertificateParams::new(cert_spec.names.clone()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "origin");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        if cert_spec.is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        (params.not_before, params.not_after) =
            if cert_spec.expired { (day(-20), day(-1)) } else { (day(-1), day(20)) };
        if let Some(seconds) = cert_spec.expires_in {
            params.not_after = day(0) + Duration::seconds(seconds);
        }
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            chain: vec![cert.der().clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        }
    }
}

impl std::fmt::Debug for TestCa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TestCa")
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    pem::encode(&pem::Pem::new(label, der))
}

fn day(offset: i64) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::seconds(epoch_seconds()) + Duration::days(offset)
}

/// Now, in seconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "certificates begin and end in real time")]
pub(crate) fn epoch_seconds() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    since.as_secs().try_into().unwrap()
}

/// Returns the crypto provider ring. It is explicit, because there is no process-wide default.
pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Returns the certificates in a PEM file.
pub(crate) fn certificates(pem: &std::path::Path) -> Vec<CertificateDer<'static>> {
    use rustls::pki_types::pem::PemObject;
    CertificateDer::pem_file_iter(pem).unwrap().map(Result::unwrap).collect()
}

/// TLS 1.2 only.
pub(crate) static ONLY_TLS12: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12];
/// TLS 1.3 only.
pub(crate) static ONLY_TLS13: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS13];
