//! PKCS#12 (RFC 7292), as far as certificates go: a trust store, never a key.
//!
//! ```text
//! PFX ── authSafe: data ── SafeContents ── a SafeBag for each certificate ── CertBag ── the certificate
//!  │                                              └ attributes: friendlyName, trustedKeyUsage
//!  └──── macData: a checksum keyed with the password
//! ```
//!
//! Certificates are no secret, so nothing is encrypted; but Java takes a store without a password for an empty one, and with a
//! password it verifies the MAC. It takes a certificate for a trusted one only with an attribute of Oracle's.

use ring::{digest, hmac};
use rustls::pki_types::CertificateDer;
use yasna::models::ObjectIdentifier;
use yasna::{DERWriter, Tag, construct_der};

/// The password of every PKCS#12 store written here. It protects nothing, and is Java's usual one.
pub const P12_PASSWORD: &str = "changeit";

/// A trust store that holds `certificates`; a name stands beside those that have one.
pub(crate) fn store<'a>(certificates: impl Iterator<Item = (&'a CertificateDer<'a>, Option<&'a str>)>) -> Vec<u8> {
    let contents = construct_der(|writer| {
        writer.write_sequence_of(|writer| {
            for (certificate, name) in certificates {
                bag(writer.next(), certificate, name);
            }
        });
    });
    let safe = construct_der(|writer| writer.write_sequence_of(|writer| data(writer.next(), &contents)));
    let salt = salt_of(&safe);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &mac_key(P12_PASSWORD, &salt));
    let mac = hmac::sign(&key, &safe);
    construct_der(|writer| {
        writer.write_sequence(|writer| {
            writer.next().write_u8(VERSION);
            data(writer.next(), &safe);
            writer.next().write_sequence(|writer| {
                writer.next().write_sequence(|writer| {
                    writer.next().write_sequence(|writer| {
                        writer.next().write_oid(&oid(SHA1));
                        writer.next().write_null();
                    });
                    writer.next().write_bytes(mac.as_ref());
                });
                writer.next().write_bytes(&salt);
                writer.next().write_u32(ITERATIONS);
            });
        });
    })
}

/// ContentInfo of type data, RFC 2315 sections 7 and 8.
fn data(writer: DERWriter<'_>, bytes: &[u8]) {
    writer.write_sequence(|writer| {
        writer.next().write_oid(&oid(DATA));
        writer.next().write_tagged(Tag::context(0), |writer| writer.write_bytes(bytes));
    });
}

/// SafeBag with a CertBag in it, RFC 7292 section 4.2.3.
fn bag(writer: DERWriter<'_>, certificate: &CertificateDer<'_>, name: Option<&str>) {
    writer.write_sequence(|writer| {
        writer.next().write_oid(&oid(CERT_BAG));
        writer.next().write_tagged(Tag::context(0), |writer| {
            writer.write_sequence(|writer| {
                writer.next().write_oid(&oid(X509_CERTIFICATE));
                writer.next().write_tagged(Tag::context(0), |writer| writer.write_bytes(certificate));
            });
        });
        writer.next().write_set_of(|writer| {
            if let Some(name) = name {
                attribute(writer.next(), FRIENDLY_NAME, |value| value.write_bmp_string(name));
            }
            attribute(writer.next(), TRUSTED_KEY_USAGE, |value| value.write_oid(&oid(ANY_USAGE)));
        });
    });
}

fn attribute(writer: DERWriter<'_>, kind: &[u64], value: impl FnOnce(DERWriter<'_>)) {
    writer.write_sequence(|writer| {
        writer.next().write_oid(&oid(kind));
        writer.next().write_set_of(|writer| value(writer.next()));
    });
}

/// The key for the MAC, RFC 7292 appendix B.2. SHA-1 gives just as many bytes as the key has, so its block `A_1` is all of it.
fn mac_key(password: &str, salt: &[u8]) -> [u8; SHA1_LEN] {
    let password: Vec<u8> = password.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect();
    let fill = |bytes: &[u8]| {
        let len = bytes.len().div_ceil(SHA1_BLOCK).saturating_mul(SHA1_BLOCK);
        bytes.iter().copied().cycle().take(len).collect::<Vec<_>>()
    };
    let mut block = [&[ID_MAC; SHA1_BLOCK][..], &fill(salt), &fill(&password)].concat();
    for _ in 0..ITERATIONS {
        block = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &block).as_ref().to_vec();
    }
    block.try_into().unwrap_or_default()
}

/// The same store for the same certificates: nothing here is to be kept from anyone.
fn salt_of(safe: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, safe).as_ref().iter().copied().take(SALT_LEN).collect()
}

fn oid(components: &[u64]) -> ObjectIdentifier {
    ObjectIdentifier::from_slice(components)
}

/// `v3`, RFC 7292 section 4.
const VERSION: u8 = 3;
const DATA: &[u64] = &[1, 2, 840, 113_549, 1, 7, 1];
const CERT_BAG: &[u64] = &[1, 2, 840, 113_549, 1, 12, 10, 1, 3];
const X509_CERTIFICATE: &[u64] = &[1, 2, 840, 113_549, 1, 9, 22, 1];
const FRIENDLY_NAME: &[u64] = &[1, 2, 840, 113_549, 1, 9, 20];
/// Oracle's: this certificate is trusted for …
const TRUSTED_KEY_USAGE: &[u64] = &[2, 16, 840, 1, 113_894, 746_875, 1, 1];
/// … anything.
const ANY_USAGE: &[u64] = &[2, 5, 29, 37, 0];
/// Java 8 knows no other MAC before its update 301, and this one protects nothing.
const SHA1: &[u64] = &[1, 3, 14, 3, 2, 26];
const SHA1_LEN: usize = 20;
const SHA1_BLOCK: usize = 64;
/// RFC 7292 appendix B.3.
const ID_MAC: u8 = 3;
const SALT_LEN: usize = 8;
/// What others write; more would only be slow.
const ITERATIONS: u32 = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    /// What OpenSSL makes of the same password, salt and count.
    #[test]
    fn the_key_is_as_others_derive_it() {
        let key = mac_key("changeit", &[1, 2, 3, 4, 5, 6, 7, 8]);
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "9c8bcdd24686980aa78fd6ca1430f7d638097da1");
    }

    #[test]
    fn the_same_certificates_make_the_same_store() {
        let certificate = CertificateDer::from(vec![0x30, 0]);
        let of = |name| store([(&certificate, name)].into_iter());
        assert_eq!(of(Some("a")), of(Some("a")));
        assert_ne!(of(Some("a")), of(None));
    }
}
