//! The fields and fingerprints by which people recognize a certificate.

use crate::cert::{CaCertificate, X509};
use crate::text::Base64;
use ring::digest;
use std::time::SystemTime;

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
        let parsed = X509::parse(self.der()).ok()?;
        let key = parsed.public_key;
        let (from, until) = parsed.validity();
        Some(CertificateDetails {
            subject: parsed.subject.to_text(),
            issuer: parsed.issuer.to_text(),
            from,
            until,
            key: key.kind().ok()?.to_text(),
            sha256: fingerprint(&digest::SHA256, self.der()),
            sha1: fingerprint(&digest::SHA1_FOR_LEGACY_USE_ONLY, self.der()),
            spki: Base64(digest::digest(&digest::SHA256, key.spki).as_ref()).to_string(),
        })
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
