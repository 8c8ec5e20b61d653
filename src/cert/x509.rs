//! Writes X.509 certificates (RFC 5280 section 4.1): a new CA's, and one leaf per name.
//!
//! ```text
//! version, serial, ──▶ the CA's ──▶ validity, subject, ──▶ signature by the CA's key,
//! algorithm            own bytes    key, extensions        in any supported format
//! ```
//!
//! Keys are loaded by rustls, which reads PKCS#1, SEC1 and PKCS#8.
//!
//! The issuer of a leaf is the CA's subject, byte for byte: RFC 5280 section 4.1.2.4 requires it to match, and many verifiers
//! compare bytes.

use super::der::{BIT_STRING, BOOLEAN, Malformed, OCTET_STRING, constructed, context};
use super::der_writer::{oid, sequence, time, unsigned, value};
use super::validity::Validity;
use super::x509_reader::{
    self, BASIC_CONSTRAINTS, COMMON_NAME, ED25519, EXTENDED_KEY_USAGE, KEY_USAGE, KeyKind, SERVER_AUTH,
    SUBJECT_ALT_NAME, SUBJECT_KEY_ID,
};
use crate::error::ca::BoxError;
use ::ring::digest::{SHA256, digest};
use ::ring::rand::SystemRandom;
use ::ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use rustls::SignatureScheme;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, IpAddr, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::SigningKey;
use std::sync::Arc;

/// A private key with its public key.
#[derive(Debug)]
pub(super) struct Key {
    /// The SubjectPublicKeyInfo.
    spki: Vec<u8>,
    /// The content of its `subjectPublicKey`.
    public: Vec<u8>,
    private: Arc<dyn SigningKey>,
    /// The AlgorithmIdentifier of its signatures.
    algorithm: Vec<u8>,
}

impl Key {
    /// Generates a P-256 key.
    pub(super) fn generate() -> Result<Self, BoxError> {
        Self::load(&PrivateKeyDer::Pkcs8(generate_pkcs8()?)).ok_or_else(|| "the generated key is not usable".into())
    }

    /// Loads a PKCS#1, SEC1 or PKCS#8 key. Returns `None` if it is damaged, or if ring does not support its algorithm or size.
    pub(super) fn load(der: &PrivateKeyDer<'_>) -> Option<Self> {
        let private = ring::sign::any_supported_type(der).ok()?;
        let spki = private.public_key()?.as_ref().to_vec();
        let key = x509_reader::PublicKey::from_der(&spki).ok()?;
        let algorithm = signature_algorithm(key.kind().ok()?).ok()?;
        Some(Self { public: key.bits.to_vec(), spki, private, algorithm })
    }

    /// Returns the public key as encoded in a certificate's `subjectPublicKey`.
    pub(super) fn public(&self) -> &[u8] {
        &self.public
    }

    /// Returns the private key, for a TLS server.
    pub(super) fn private(&self) -> Arc<dyn SigningKey> {
        Arc::clone(&self.private)
    }

    /// Derives a key identifier (RFC 7093 section 2).
    fn id(&self) -> Vec<u8> {
        digest(&SHA256, &self.spki).as_ref().iter().copied().take(KEY_ID_BYTES).collect()
    }

    /// Signs the fields of a certificate.
    fn sign(&self, fields: &[&[u8]]) -> Result<CertificateDer<'static>, BoxError> {
        let signed = sequence(fields);
        let signer = self.private.choose_scheme(SIGNATURE_SCHEMES).ok_or("the key cannot sign certificates")?;
        let signature = value(BIT_STRING, &[&[0], &signer.sign(&signed)?]);
        Ok(sequence(&[&signed, &self.algorithm, &signature]).into())
    }
}

/// Returns the AlgorithmIdentifier of signatures by a key that ring supports, with the schemes below.
fn signature_algorithm(key: KeyKind<'_>) -> Result<Vec<u8>, Malformed> {
    Ok(match key {
        KeyKind::Rsa { .. } => sequence(&[&oid(SHA256_WITH_RSA), NULL]),
        KeyKind::Ec("P-256") => sequence(&[&oid(ECDSA_WITH_SHA256)]),
        KeyKind::Ec("P-384") => sequence(&[&oid(ECDSA_WITH_SHA384)]),
        KeyKind::Ed25519 => sequence(&[&oid(ED25519)]),
        _ => return Err(Malformed),
    })
}

fn generate_pkcs8() -> Result<PrivatePkcs8KeyDer<'static>, BoxError> {
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
    Ok(key.map_err(|_| NO_RANDOM_BYTES)?.as_ref().to_vec().into())
}

/// The CA's name and key, which leaves are issued from.
#[derive(Debug)]
pub(super) struct Issuer {
    /// The CA's subject, in DER.
    pub(super) name: Vec<u8>,
    /// The CA's subject key identifier, if it has one.
    pub(super) key_id: Option<Vec<u8>>,
    /// The CA's key.
    pub(super) key: Key,
}

impl Issuer {
    /// Issues a certificate for a TLS server with this name and key.
    pub(super) fn issue_leaf(
        &self,
        name: &ServerName<'_>,
        key: &Key,
        validity: Validity,
    ) -> Result<CertificateDer<'static>, BoxError> {
        self.leaf(&serial()?, name, key, validity)
    }

    fn leaf(
        &self,
        serial: &[u8],
        name: &ServerName<'_>,
        key: &Key,
        validity: Validity,
    ) -> Result<CertificateDer<'static>, BoxError> {
        let text = match name {
            ServerName::DnsName(name) => name.as_ref().to_ascii_lowercase(),
            other => other.to_str().into_owned(),
        };
        let alt_name = match name {
            ServerName::IpAddress(IpAddr::V4(address)) => value(context(7), &[address.as_ref()]),
            ServerName::IpAddress(IpAddr::V6(address)) => value(context(7), &[address.as_ref()]),
            _ => value(context(2), &[text.as_bytes()]),
        };
        let has_subject = text.len() <= MAX_COMMON_NAME_CHARS;
        let subject = if has_subject { sequence(&[&name_part(COMMON_NAME, &text)]) } else { sequence(&[]) };
        // Section 4.2.1.1: this must equal the CA's subject key identifier. If the CA has none, verifiers compare nothing.
        let issuer_id = self.key_id.clone().unwrap_or_else(|| self.key.id());
        let extensions = [
            extension(AUTHORITY_KEY_ID, false, &sequence(&[&value(context(0), &[&issuer_id])])),
            // Section 4.2.1.6: critical if the subject is empty.
            extension(SUBJECT_ALT_NAME, !has_subject, &sequence(&[&alt_name])),
            extension(KEY_USAGE, true, DIGITAL_SIGNATURE),
            extension(EXTENDED_KEY_USAGE, false, &sequence(&[&oid(SERVER_AUTH)])),
            // Without a subject key identifier, which section 4.2.1.2 requires only of CAs.
            extension(BASIC_CONSTRAINTS, true, &sequence(&[])),
        ]
        .concat();
        self.key.sign(&[
            VERSION_3,
            &unsigned(serial),
            &self.key.algorithm,
            &self.name,
            &period(validity)?,
            &subject,
            &key.spki,
            &value(constructed(3), &[&sequence(&[&extensions])]),
        ])
    }
}

/// Generates a CA: a PKCS#8 private key and a self-signed certificate.
pub(super) fn new_ca(now: i64) -> Result<(PrivatePkcs8KeyDer<'static>, CertificateDer<'static>), BoxError> {
    let not_before = now.saturating_sub(CA_BACKDATE_SECS);
    let validity = Validity { not_before, not_after: not_before.saturating_add(CA_LIFETIME_SECS) };
    // Trust stores look CAs up by name: two with one name and different keys conflict there.
    let name = format!("{CA_NAME} {:08x}", u32::from_be_bytes(random()?));
    let pkcs8 = generate_pkcs8()?;
    let key = Key::load(&PrivateKeyDer::Pkcs8(pkcs8.clone_key())).ok_or("the generated key is not usable")?;
    let certificate = ca_certificate(&serial()?, &name, &key, validity)?;
    Ok((pkcs8, certificate))
}

fn ca_certificate(
    serial: &[u8],
    name: &str,
    key: &Key,
    validity: Validity,
) -> Result<CertificateDer<'static>, BoxError> {
    let name = sequence(&[&name_part(COMMON_NAME, name), &name_part(ORGANIZATION, name)]);
    let extensions = [
        extension(KEY_USAGE, true, CERTIFICATES_AND_REVOCATIONS),
        extension(SUBJECT_KEY_ID, false, &value(OCTET_STRING, &[&key.id()])),
        extension(BASIC_CONSTRAINTS, true, &sequence(&[TRUE])),
    ]
    .concat();
    key.sign(&[
        VERSION_3,
        &unsigned(serial),
        &key.algorithm,
        &name,
        &period(validity)?,
        &name,
        &key.spki,
        &value(constructed(3), &[&sequence(&[&extensions])]),
    ])
}

fn period(validity: Validity) -> Result<Vec<u8>, BoxError> {
    let [from, until] = [validity.not_before, validity.not_after].map(time);
    Ok(sequence(&[&from.ok_or(NO_YEAR)?, &until.ok_or(NO_YEAR)?]))
}

/// Returns a RelativeDistinguishedName with one attribute (section 4.1.2.4).
fn name_part(kind: &[u8], text: &str) -> Vec<u8> {
    value(SET, &[&sequence(&[&oid(kind), &value(UTF8_STRING, &[text.as_bytes()])])])
}

/// Returns an extension (section 4.2).
fn extension(id: &[u8], is_critical: bool, content: &[u8]) -> Vec<u8> {
    let critical = if is_critical { TRUE } else { &[] };
    sequence(&[&oid(id), critical, &value(OCTET_STRING, &[content])])
}

/// Returns a random serial number that is positive and always of the same length.
fn serial() -> Result<[u8; SERIAL_BYTES], BoxError> {
    let mut serial: [u8; SERIAL_BYTES] = random()?;
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40;
    }
    Ok(serial)
}

/// Returns cryptographically secure random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], BoxError> {
    let mut bytes = [0; N];
    let filled = ring::default_provider().secure_random.fill(&mut bytes);
    filled.map_err(|_| NO_RANDOM_BYTES)?;
    Ok(bytes)
}

/// One scheme per kind of key. The hash is SHA-256, or the one that matches the curve.
const SIGNATURE_SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ED25519,
];

const CA_NAME: &str = "Spectral Capture CA";
pub(super) const DAY_SECS: i64 = 24 * 60 * 60;
/// For clients whose clocks are slow. mitmproxy uses the same value.
const CA_BACKDATE_SECS: i64 = 2 * DAY_SECS;
const CA_LIFETIME_SECS: i64 = 10 * 365 * DAY_SECS;
/// RFC 5280 section 4.1.2.2 allows up to 20. 8 would be enough to prevent guessing.
const SERIAL_BYTES: usize = 16;
/// `ub-common-name`, RFC 5280 appendix A.1.
const MAX_COMMON_NAME_CHARS: usize = 64;
/// The length of the SHA-1 digest that RFC 5280 section 4.2.1.2 suggests.
const KEY_ID_BYTES: usize = 20;
const NO_RANDOM_BYTES: &str = "the system provides no random bytes";
const NO_YEAR: &str = "the validity is outside of the years 0 to 9999";

/// X.690 section 8: the tags that are only written.
pub(crate) const SET: u8 = 0x31;
const UTF8_STRING: u8 = 0x0c;
/// Whole values.
pub(crate) const NULL: &[u8] = &[0x05, 0];
const TRUE: &[u8] = &[BOOLEAN, 1, 0xff];
const VERSION_3: &[u8] = &[0xa0, 3, 2, 1, 2];
/// Key usages, RFC 5280 section 4.2.1.3: bit 0, and bits 5 and 6.
const DIGITAL_SIGNATURE: &[u8] = &[BIT_STRING, 2, 7, 0x80];
const CERTIFICATES_AND_REVOCATIONS: &[u8] = &[BIT_STRING, 2, 1, 0x06];

/// Object identifiers, RFC 5280 appendix A, RFC 4055 section 5 and RFC 5758 section 3.2.
const AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 35];
const ORGANIZATION: &[u8] = &[0x55, 4, 10];
const SHA256_WITH_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_WITH_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];

#[cfg(test)]
mod tests;
