//! PKCS#12 trust stores (RFC 7292): certificates without private keys.
//!
//! ```text
//! PFX ── authSafe: data ── SafeContents ── one SafeBag per certificate ── CertBag ── the certificate
//!  │                                              └ attributes: friendlyName, trustedKeyUsage
//!  └──── macData: a MAC keyed with the password
//! ```
//!
//! Certificates are public, so nothing is encrypted. The store still has a password and a MAC, because Java reads a store
//! without a password as empty. Java trusts a certificate only if it has Oracle's `trustedKeyUsage` attribute.

use crate::cert::der::{OCTET_STRING, constructed};
use crate::cert::der_writer::{oid, sequence, unsigned, value};
use crate::cert::{CaCertificate, NULL, SET};
use ring::{digest, hmac};
use rustls::pki_types::CertificateDer;

/// The password of every PKCS#12 store. It protects nothing. Java uses the same password by default.
pub const P12_PASSWORD: &str = "changeit";

impl CaCertificate {
    /// Returns a PKCS#12 trust store for Java and Windows, with the password [`P12_PASSWORD`].
    pub fn p12(&self) -> Vec<u8> {
        store([(self.certificate_der(), Some(self.name()))].into_iter())
    }
}

/// Returns a trust store with `certificates` and their optional names.
pub(crate) fn store<'a>(certificates: impl Iterator<Item = (&'a CertificateDer<'a>, Option<&'a str>)>) -> Vec<u8> {
    let mut bags = Vec::new();
    certificates.for_each(|(certificate, name)| bags.extend(bag(certificate, name)));
    let safe = sequence(&[&data(&sequence(&[&bags]))]);
    let salt = derive_salt(&safe);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &mac_key(P12_PASSWORD, &salt));
    let mac = hmac::sign(&key, &safe);
    let digest = sequence(&[&sequence(&[&oid(SHA1), NULL]), &octets(mac.as_ref())]);
    let mac_data = sequence(&[&digest, &octets(&salt), &unsigned(&ITERATIONS.to_be_bytes())]);
    sequence(&[&unsigned(&[VERSION]), &data(&safe), &mac_data])
}

/// Returns a ContentInfo of type data, RFC 2315 sections 7 and 8.
fn data(bytes: &[u8]) -> Vec<u8> {
    sequence(&[&oid(DATA), &explicit(&octets(bytes))])
}

/// Returns a SafeBag with a CertBag, RFC 7292 section 4.2.3.
fn bag(certificate: &CertificateDer<'_>, name: Option<&str>) -> Vec<u8> {
    let content = sequence(&[&oid(X509_CERTIFICATE), &explicit(&octets(certificate))]);
    let usage = attribute(TRUSTED_KEY_USAGE, &oid(ANY_USAGE));
    let attributes = match name {
        None => value(SET, &[&usage]),
        Some(name) => {
            let text: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
            let name = attribute(FRIENDLY_NAME, &value(BMP_STRING, &[&text]));
            // X.690 section 11.6: sorted.
            if name < usage { value(SET, &[&name, &usage]) } else { value(SET, &[&usage, &name]) }
        }
    };
    sequence(&[&oid(CERT_BAG), &explicit(&content), &attributes])
}

fn attribute(kind: &[u8], content: &[u8]) -> Vec<u8> {
    sequence(&[&oid(kind), &value(SET, &[content])])
}

fn octets(bytes: &[u8]) -> Vec<u8> {
    value(OCTET_STRING, &[bytes])
}

/// Returns a value with the explicit tag 0.
fn explicit(content: &[u8]) -> Vec<u8> {
    value(constructed(0), &[content])
}

/// Derives the MAC key, RFC 7292 appendix B.2. A SHA-1 digest is as long as the key, so only the first block, `A_1`, is needed.
fn mac_key(password: &str, salt: &[u8]) -> [u8; SHA1_BYTES] {
    let password: Vec<u8> = password.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect();
    let fill = |bytes: &[u8]| {
        let len = bytes.len().div_ceil(SHA1_BLOCK_BYTES).saturating_mul(SHA1_BLOCK_BYTES);
        bytes.iter().copied().cycle().take(len).collect::<Vec<_>>()
    };
    let mut block = [&[ID_MAC; SHA1_BLOCK_BYTES][..], &fill(salt), &fill(&password)].concat();
    for _ in 0..ITERATIONS {
        block = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &block).as_ref().to_vec();
    }
    block.try_into().unwrap_or_default()
}

/// Derives the salt from the contents, so that the same certificates give the same store. Nothing in it is secret.
fn derive_salt(safe: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, safe).as_ref().iter().copied().take(SALT_BYTES).collect()
}

/// `v3`, RFC 7292 section 4.
const VERSION: u8 = 3;
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01]; // 1.2.840.113549.1.7.1
const CERT_BAG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, 0x03]; // 1.2.840.113549.1.12.10.1.3
const X509_CERTIFICATE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x16, 0x01]; // 1.2.840.113549.1.9.22.1
const FRIENDLY_NAME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x14]; // 1.2.840.113549.1.9.20
/// Oracle's attribute: the certificate is trusted for the listed usages.
const TRUSTED_KEY_USAGE: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x86, 0xf9, 0x66, 0xad, 0xca, 0x7b, 0x01, 0x01]; // 2.16.840.1.113894.746875.1.1
/// `anyExtendedKeyUsage`, RFC 5280 section 4.2.1.12.
const ANY_USAGE: &[u8] = &[0x55, 0x1d, 0x25, 0x00]; // 2.5.29.37.0
/// Java 8 before update 301 supports no other MAC. The MAC protects nothing.
const SHA1: &[u8] = &[0x2b, 0x0e, 0x03, 0x02, 0x1a]; // 1.3.14.3.2.26
const SHA1_BYTES: usize = 20;
const SHA1_BLOCK_BYTES: usize = 64;
/// The purpose "MAC key", RFC 7292 appendix B.3.
const ID_MAC: u8 = 3;
const SALT_BYTES: usize = 8;
const BMP_STRING: u8 = 0x1e;
/// The usual count in other programs. The MAC protects nothing, so more rounds would only cost time.
const ITERATIONS: u32 = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected key was derived by OpenSSL from the same password, salt and count.
    #[test]
    fn the_mac_key_equals_that_of_openssl() {
        let key = mac_key("changeit", &[1, 2, 3, 4, 5, 6, 7, 8]);
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "9c8bcdd24686980aa78fd6ca1430f7d638097da1");
    }

    #[test]
    fn the_same_certificates_give_the_same_store() {
        let certificate = CertificateDer::from(vec![0x30, 0]);
        let of = |name| store([(&certificate, name)].into_iter());
        assert_eq!(of(Some("a")), of(Some("a")));
        assert_ne!(of(Some("a")), of(None));
    }

    #[test]
    fn a_store_has_no_private_key() {
        let store = CaCertificate::for_tests().p12();
        // keyBag and pkcs8ShroudedKeyBag, RFC 7292 appendix D.
        for last in [1_u8, 2] {
            let bag = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x0c, 0x0a, 0x01, last];
            assert!(!store.windows(bag.len()).any(|part| part == bag));
        }
    }
}
