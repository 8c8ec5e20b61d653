//! Writes X.509 certificates: a new CA's, and one leaf per name.
//!
//! ```text
//!   rcgen: version, serial, ──▶ issuer ──▶ signature
//!   validity, SAN and so on     the CA's   by the CA's key, in
//!                               own bytes  any supported format
//! ```
//!
//! rcgen reads only PKCS#8 keys. Keys are therefore loaded by rustls, which also reads PKCS#1 and SEC1.
//!
//! rcgen writes the issuer's name from a map with one value per attribute type. The CA's own bytes replace it afterwards. RFC
//! 5280 section 4.1.2.4 requires the issuer to match the CA's subject, and many verifiers compare bytes. A map cannot hold the
//! several `DC` attributes of CAs from directory services.

use super::der::Malformed;
use super::validity::Validity;
use super::x509_reader::{self, KeyKind};
use crate::error::ca::BoxError;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SignatureAlgorithm,
};
use rustls::SignatureScheme;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::SigningKey;
use std::sync::Arc;
use time::OffsetDateTime;

/// A private key with its public key.
#[derive(Debug)]
pub(super) struct Key {
    public: PublicKey,
    private: Arc<dyn SigningKey>,
}

/// A public key as rcgen writes it into certificates.
#[derive(Debug)]
struct PublicKey {
    /// The content of `subjectPublicKey`.
    bits: Vec<u8>,
    algorithm: &'static SignatureAlgorithm,
}

impl Key {
    /// Generates a P-256 key.
    pub(super) fn generate() -> Result<Self, BoxError> {
        let pkcs8 = PrivatePkcs8KeyDer::from(KeyPair::generate()?.serialize_der());
        Self::load(&PrivateKeyDer::Pkcs8(pkcs8)).ok_or_else(|| "the generated key is not usable".into())
    }

    /// Loads a PKCS#1, SEC1 or PKCS#8 key. Returns `None` if it is damaged, or if ring does not support its algorithm or size.
    pub(super) fn load(der: &PrivateKeyDer<'_>) -> Option<Self> {
        let private = ring::sign::any_supported_type(der).ok()?;
        let public = PublicKey::from_der(private.public_key()?.as_ref()).ok()?;
        Some(Self { public, private })
    }

    /// Returns the public key as encoded in a certificate's `subjectPublicKey`.
    pub(super) fn public(&self) -> &[u8] {
        &self.public.bits
    }

    /// Returns the private key, for a TLS server.
    pub(super) fn private(&self) -> Arc<dyn SigningKey> {
        Arc::clone(&self.private)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, BoxError> {
        let signer = self.private.choose_scheme(SIGNATURE_SCHEMES).ok_or("the key cannot sign certificates")?;
        Ok(signer.sign(message)?)
    }
}

impl PublicKey {
    /// Reads the SubjectPublicKeyInfo of a key that ring supports.
    fn from_der(spki: &[u8]) -> Result<Self, Malformed> {
        let key = x509_reader::PublicKey::from_der(spki)?;
        let algorithm = match key.kind()? {
            KeyKind::Rsa { .. } => &rcgen::PKCS_RSA_SHA256,
            KeyKind::Ec("P-256") => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyKind::Ec("P-384") => &rcgen::PKCS_ECDSA_P384_SHA384,
            KeyKind::Ed25519 => &rcgen::PKCS_ED25519,
            _ => return Err(Malformed),
        };
        Ok(Self { bits: key.bits.to_vec(), algorithm })
    }
}

impl PublicKeyData for PublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
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
        let text = match name {
            ServerName::DnsName(name) => name.as_ref().to_ascii_lowercase(),
            other => other.to_str().into_owned(),
        };
        let mut leaf = certificate_params(validity)?;
        leaf.subject_alt_names = vec![match name {
            ServerName::IpAddress(addr) => SanType::IpAddress((*addr).into()),
            _ => SanType::DnsName(text.as_str().try_into()?),
        }];
        // RFC 5280 section 4.2.1.6: with an empty subject, the SAN must be critical. rcgen sets that.
        if text.len() <= MAX_COMMON_NAME_CHARS {
            leaf.distinguished_name.push(DnType::CommonName, text);
        }
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // rcgen's `IsCa::ExplicitNoCa` also writes a subject key identifier, which section 4.2.1.2 requires only of CAs.
        let mut not_ca =
            CustomExtension::from_oid_content(BASIC_CONSTRAINTS, yasna::construct_der(|w| w.write_sequence(|_| ())));
        not_ca.set_criticality(true);
        leaf.custom_extensions = vec![not_ca];
        // Section 4.2.1.1: this must equal the CA's subject key identifier. If the CA has none, verifiers compare nothing, and
        // rcgen derives a value.
        leaf.use_authority_key_identifier_extension = true;
        let mut ca = CertificateParams::default();
        ca.key_identifier_method = self.key_id.clone().map_or(KeyIdMethod::Sha256, KeyIdMethod::PreSpecified);

        let draft = leaf.signed_by(&key.public, &rcgen::Issuer::new(ca, PlaceholderSigner(&self.key)))?;
        self.sign(draft.der())
    }

    /// Replaces the issuer of a draft certificate with the CA's name, and signs the result.
    ///
    /// ```text
    /// Certificate ::= SEQUENCE {                TBSCertificate ::= SEQUENCE {
    ///     tbsCertificate       TBSCertificate,      version, serialNumber, signature,
    ///     signatureAlgorithm   ...,                 issuer, ...
    ///     signatureValue       BIT STRING }
    /// ```
    fn sign(&self, draft: &[u8]) -> Result<CertificateDer<'static>, BoxError> {
        let (fields, algorithm) = yasna::parse_der(draft, |reader| {
            reader.read_sequence(|reader| {
                let mut fields = Vec::new();
                reader.next().read_sequence_of(|field| {
                    fields.push(field.read_der()?);
                    Ok(())
                })?;
                let algorithm = reader.next().read_der()?;
                reader.next().read_der()?;
                Ok((fields, algorithm))
            })
        })?;
        let signed = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                for (at, field) in fields.iter().enumerate() {
                    writer.next().write_der(if at == ISSUER_INDEX { &self.name } else { field });
                }
            });
        });
        let signature = self.key.sign(&signed)?;
        let certificate = yasna::construct_der(|writer| {
            writer.write_sequence(|writer| {
                writer.next().write_der(&signed);
                writer.next().write_der(&algorithm);
                writer.next().write_bitvec_bytes(&signature, signature.len().saturating_mul(8));
            });
        });
        Ok(certificate.into())
    }
}

/// Provides rcgen with the CA's signature algorithm and an empty signature, which [`Issuer::sign`] replaces.
struct PlaceholderSigner<'a>(&'a Key);

impl PublicKeyData for PlaceholderSigner<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.0.public.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.public.algorithm
    }
}

impl rcgen::SigningKey for PlaceholderSigner<'_> {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(Vec::new())
    }
}

/// Generates a CA: a PKCS#8 private key and a self-signed certificate.
pub(super) fn new_ca(now: i64) -> Result<(PrivatePkcs8KeyDer<'static>, CertificateDer<'static>), BoxError> {
    let not_before = now.saturating_sub(CA_BACKDATE_SECS);
    let mut ca = certificate_params(Validity { not_before, not_after: not_before.saturating_add(CA_LIFETIME_SECS) })?;
    // Trust stores look CAs up by name: two with one name and different keys conflict there.
    let name = format!("{CA_NAME} {:08x}", u32::from_be_bytes(random()?));
    ca.distinguished_name.push(DnType::CommonName, name.as_str());
    ca.distinguished_name.push(DnType::OrganizationName, name);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let certificate = ca.self_signed(&key)?;
    Ok((key.serialize_der().into(), certificate.into()))
}

fn certificate_params(validity: Validity) -> Result<CertificateParams, BoxError> {
    let mut serial: [u8; SERIAL_BYTES] = random()?;
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40; // positive, and always of the same length
    }
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = DistinguishedName::new();
    params.not_before = OffsetDateTime::from_unix_timestamp(validity.not_before)?;
    params.not_after = OffsetDateTime::from_unix_timestamp(validity.not_after)?;
    Ok(params)
}

/// Returns cryptographically secure random bytes.
pub(super) fn random<const N: usize>() -> Result<[u8; N], BoxError> {
    let mut bytes = [0; N];
    let filled = ring::default_provider().secure_random.fill(&mut bytes);
    filled.map_err(|_| "the system provides no random bytes")?;
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
/// `id-ce-basicConstraints`, RFC 5280 section 4.2.1.9.
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
/// Index of the issuer among the fields of a TBSCertificate, RFC 5280 section 4.1.
const ISSUER_INDEX: usize = 3;
