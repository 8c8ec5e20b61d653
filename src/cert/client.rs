//! Certificates with which origins recognize their clients, read from files that the user names.

use super::pem::{self, PemError, PemFile};
use super::x509_reader::X509;
use crate::error::{ClientCertificateError, Error};
use rustls::crypto::KeyProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use std::path::Path;

/// Reads the certificate, its chain and its private key in the PEM file `path`.
///
/// # Errors
/// Returns [`Error::ClientCertificate`] if the file cannot be read, or lacks one of them. It contains no part of the file.
pub(crate) fn read_client_certificate(path: &Path, keys: &dyn KeyProvider) -> Result<CertifiedKey, Error> {
    let fail = |cause| Error::ClientCertificate { path: path.to_owned(), cause };
    let file = std::fs::read(path).map_err(|e| fail(ClientCertificateError::Read(e)))?;
    parse(&file, keys).map_err(fail)
}

fn parse(file: &[u8], keys: &dyn KeyProvider) -> Result<CertifiedKey, ClientCertificateError> {
    if !file.windows(BEGIN.len()).any(|text| text == BEGIN) {
        return Err(ClientCertificateError::NotPem);
    }
    let PemFile { key, certificates } = pem::parse(file)?;
    certified(certificates, key, keys)
}

/// Returns the certificate among `certificates` that belongs to `key`, with the others as its chain. All are in DER.
///
/// # Errors
/// If one of them cannot be used. It contains no part of the key.
pub(crate) fn client_certificate(
    certificates: &[Vec<u8>],
    key: &[u8],
    keys: &dyn KeyProvider,
) -> Result<CertifiedKey, ClientCertificateError> {
    let key = PrivateKeyDer::try_from(key.to_vec()).map_err(|_| ClientCertificateError::UnsupportedKey)?;
    certified(certificates.iter().map(|der| der.clone().into()).collect(), key, keys)
}

fn certified(
    mut certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    keys: &dyn KeyProvider,
) -> Result<CertifiedKey, ClientCertificateError> {
    let key = keys.load_private_key(key).map_err(|_| ClientCertificateError::UnsupportedKey)?;
    if certificates.is_empty() {
        return Err(ClientCertificateError::NoCertificate);
    }
    // Some tools write the chain before the certificate.
    let own = certificates.iter().position(|certificate| belongs_to(certificate, &*key));
    let own = certificates.remove(own.ok_or(ClientCertificateError::Mismatch)?);
    certificates.insert(0, own);
    Ok(CertifiedKey::new(certificates, key))
}

/// True if the certificate is for this key. It is not verified: it may be one of X.509 version 1, and origins judge it.
fn belongs_to(certificate: &CertificateDer<'_>, key: &dyn SigningKey) -> bool {
    let parsed = X509::parse(certificate).ok();
    parsed.zip(key.public_key()).is_some_and(|(parsed, key)| parsed.public_key.spki == key.as_ref())
}

impl From<PemError> for ClientCertificateError {
    fn from(e: PemError) -> Self {
        match e {
            PemError::Empty => Self::NotPem,
            PemError::Damaged(cause) => Self::Damaged(cause),
            PemError::Passphrase => Self::Passphrase,
            PemError::NoKey => Self::NoKey,
        }
    }
}

const BEGIN: &[u8] = b"-----BEGIN ";

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use rustls::crypto::ring::default_provider;

    fn error(file: &str) -> ClientCertificateError {
        parse(file.as_bytes(), default_provider().key_provider).unwrap_err()
    }

    fn issue() -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(["me".to_owned()]).unwrap().self_signed(&key).unwrap();
        (pem::encode_certificate(certificate.der()), pem::encode_private_key(&key.serialize_der()))
    }

    #[test]
    fn reads_certificate_key_and_chain_in_any_order() {
        let ((certificate, key), (issuer, _)) = (issue(), issue());
        for file in [
            format!("{certificate}{key}"),
            format!("Bag Attributes\n{key}{issuer}{certificate}"),
            format!("{issuer}{certificate}{key}"),
        ] {
            let read = parse(file.as_bytes(), default_provider().key_provider).unwrap();
            assert!(read.keys_match().is_ok());
            assert_eq!(read.cert.len(), file.matches("BEGIN CERTIFICATE").count());
        }
    }

    #[test]
    fn accepts_the_same_in_der() {
        let ((certificate, key), (issuer, _)) = (issue(), issue());
        let der = |text: &str| ::pem::parse(text).unwrap().into_contents();
        let keys = default_provider().key_provider;
        let read = client_certificate(&[der(&issuer), der(&certificate)], &der(&key), keys).unwrap();
        assert!(read.keys_match().is_ok());
        assert_eq!((read.cert.len(), &*read.cert[0]), (2, &*der(&certificate)));
        let error = |certificates: &[Vec<u8>], key: &[u8]| client_certificate(certificates, key, keys).unwrap_err();
        assert!(matches!(error(&[], &der(&key)), ClientCertificateError::NoCertificate));
        assert!(matches!(error(&[der(&issuer)], &der(&key)), ClientCertificateError::Mismatch));
        assert!(matches!(error(&[der(&certificate)], b"1"), ClientCertificateError::UnsupportedKey));
    }

    #[test]
    fn names_what_is_missing_and_no_part_of_the_file() {
        let ((certificate, key), (other, _)) = (issue(), issue());
        assert!(matches!(error(""), ClientCertificateError::NotPem));
        assert!(matches!(error("0\u{82}\u{1}"), ClientCertificateError::NotPem));
        assert!(matches!(error(&certificate), ClientCertificateError::NoKey));
        assert!(matches!(error(&key), ClientCertificateError::NoCertificate));
        assert!(matches!(error(&(other + &key)), ClientCertificateError::Mismatch));
        let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
        assert!(matches!(error(&(certificate.clone() + &encrypted)), ClientCertificateError::Passphrase));
        let secret = key.lines().nth(1).unwrap();
        for damaged in [key.replace(secret, "!"), key.replace(secret, ""), key.replace(&secret[..4], "AAAA")] {
            let error = error(&(certificate.clone() + &damaged));
            assert!(matches!(error, ClientCertificateError::Damaged(_) | ClientCertificateError::UnsupportedKey));
            let shown = format!("{error} {error:?}");
            assert!(key.lines().skip(1).take(2).all(|line| !shown.contains(&line[8..16])), "{shown}");
        }
    }
}
