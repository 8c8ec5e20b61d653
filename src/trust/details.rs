//! The fields and fingerprints by which people recognize a certificate.

use crate::cert::CaCertificate;
use crate::text::Base64;
use ring::digest;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use x509_parser::x509::SubjectPublicKeyInfo;

/// The fields and fingerprints of a certificate, as text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CertificateDetails {
    /// The subject's distinguished name.
    pub subject: String,
    /// The issuer's distinguished name.
    pub issuer: String,
    /// The start of the validity period.
    pub from: SystemTime,
    /// The end of the validity period.
    pub until: SystemTime,
    /// The key's algorithm and size, such as `EC P-256`.
    pub key: String,
    /// SHA-256 of the DER, in hex with colons.
    pub sha256: String,
    /// SHA-1 of the DER, in hex with colons. Keychains identify certificates by it.
    pub sha1: String,
    /// SHA-256 of the public key in base64, for Chromium's `--ignore-certificate-errors-spki-list`.
    pub spki: String,
}

impl CaCertificate {
    /// Returns the certificate's fields and fingerprints, or `None` if it does not parse. A certificate from
    /// [`CaCertificate::open`] always does.
    pub fn details(&self) -> Option<CertificateDetails> {
        let (_, parsed) = x509_parser::parse_x509_certificate(self.der()).ok()?;
        let time = |seconds: i64| UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0));
        let key = parsed.public_key();
        Some(CertificateDetails {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            from: time(parsed.validity().not_before.timestamp()),
            until: time(parsed.validity().not_after.timestamp()),
            key: algorithm(key),
            sha256: fingerprint(&digest::SHA256, self.der()),
            sha1: fingerprint(&digest::SHA1_FOR_LEGACY_USE_ONLY, self.der()),
            spki: Base64(digest::digest(&digest::SHA256, key.raw).as_ref()).to_string(),
        })
    }
}

fn algorithm(key: &SubjectPublicKeyInfo<'_>) -> String {
    let bits = key.parsed().map_or(0, |key| key.key_size());
    match key.algorithm.algorithm.to_id_string().as_str() {
        "1.2.840.113549.1.1.1" => format!("RSA {bits}"),
        "1.2.840.10045.2.1" => format!("EC P-{bits}"),
        "1.3.101.112" => "Ed25519".to_owned(),
        other => other.to_owned(),
    }
}

fn fingerprint(algorithm: &'static digest::Algorithm, der: &[u8]) -> String {
    let digest = digest::digest(algorithm, der);
    digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use crate::cert::CaCertificate;
    use crate::cert::testing::ca_of;

    #[test]
    fn details_have_subject_key_and_fingerprints() {
        for (file, subject, key) in [
            ("rsa-pkcs1.pem", "CN=", "RSA 2048"),
            ("p384-pkcs8.pem", "CN=", "EC P-384"),
            ("ed25519.pem", "CN=", "Ed25519"),
        ] {
            let details = ca_of(file).certificate().details().unwrap();
            assert!(details.subject.contains(subject), "{details:?}");
            assert_eq!(details.key, key);
            assert_eq!((details.sha256.len(), details.sha1.len()), (32 * 3 - 1, 20 * 3 - 1));
            assert!(details.from < details.until);
        }
        assert_eq!(CaCertificate::for_tests().details().unwrap().key, "EC P-256");
    }
}
