//! What stands in the certificates that we write: the CA's, once, and a leaf for each name.
//!
//! ```text
//!   rcgen: version, serial, ──▶ issuer ──▶ signature
//!   validity, SAN and so on     the CA's   by the CA's key, whatever
//!                               own bytes  file format it came in
//! ```
//!
//! rcgen reads keys in PKCS#8 alone, so keys are rustls', which reads them all. It writes an issuer's name from a map with one
//! value for each attribute, so the name is put in afterwards: RFC 5280 section 4.1.2.4 has it equal the CA's subject, many
//! verifiers compare bytes, and directories make CAs with `DC` twice.

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::SignatureScheme;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::SigningKey;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use time::OffsetDateTime;

/// A private key and its public half.
#[derive(Debug)]
pub(super) struct Key {
    public: SubjectPublicKeyInfo,
    private: Arc<dyn SigningKey>,
}

impl Key {
    /// A new one, on P-256.
    pub(super) fn generate() -> Result<Self, Failure> {
        let pkcs8 = PrivatePkcs8KeyDer::from(KeyPair::generate()?.serialize_der());
        Self::load(&PrivateKeyDer::Pkcs8(pkcs8)).ok_or(Failure("a new key is refused".into()))
    }

    /// Reads PKCS#1, SEC1 and PKCS#8. `None` if it is damaged, or of a kind or size that ring does not know.
    pub(super) fn load(der: &PrivateKeyDer<'_>) -> Option<Self> {
        let private = ring::sign::any_supported_type(der).ok()?;
        let public = SubjectPublicKeyInfo::from_der(private.public_key()?.as_ref()).ok()?;
        Some(Self { public, private })
    }

    /// The public half as a certificate has it, in `subjectPublicKey`.
    pub(super) fn public(&self) -> &[u8] {
        self.public.der_bytes()
    }

    /// The private half for a TLS server.
    pub(super) fn private(&self) -> Arc<dyn SigningKey> {
        Arc::clone(&self.private)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Failure> {
        let signer = self.private.choose_scheme(SCHEMES).ok_or(Failure("the key signs no certificates".into()))?;
        Ok(signer.sign(message)?)
    }
}

/// Who signs leaves.
#[derive(Debug)]
pub(super) struct Issuer {
    /// The CA's subject, in DER.
    pub(super) name: Vec<u8>,
    /// The CA's subject key id, if it has one.
    pub(super) key_id: Option<Vec<u8>>,
    /// The CA's key.
    pub(super) key: Key,
}

impl Issuer {
    /// A certificate for a TLS server called `name` that has `key`.
    pub(super) fn leaf(
        &self,
        name: &ServerName<'_>,
        key: &Key,
        validity: Validity,
    ) -> Result<CertificateDer<'static>, Failure> {
        let text = match name {
            ServerName::DnsName(name) => name.as_ref().to_ascii_lowercase(),
            other => other.to_str().into_owned(),
        };
        let mut leaf = params(validity)?;
        leaf.subject_alt_names = vec![match name {
            ServerName::IpAddress(addr) => SanType::IpAddress((*addr).into()),
            _ => SanType::DnsName(text.as_str().try_into()?),
        }];
        // RFC 5280 section 4.2.1.6: an empty subject makes the SAN critical, and rcgen sees to that.
        if text.len() <= MAX_COMMON_NAME {
            leaf.distinguished_name.push(DnType::CommonName, text);
        }
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // rcgen's own way of saying "no CA" also writes a subject key id, which section 4.2.1.2 asks of CAs alone.
        let mut no_ca =
            CustomExtension::from_oid_content(BASIC_CONSTRAINTS, yasna::construct_der(|w| w.write_sequence(|_| ())));
        no_ca.set_criticality(true);
        leaf.custom_extensions = vec![no_ca];
        // Section 4.2.1.1: it must equal the CA's subject key id. Where that has none nothing is compared, and one is derived.
        leaf.use_authority_key_identifier_extension = true;
        let mut ca = CertificateParams::default();
        ca.key_identifier_method = self.key_id.clone().map_or(KeyIdMethod::Sha256, KeyIdMethod::PreSpecified);

        let draft = leaf.signed_by(&key.public, &rcgen::Issuer::new(ca, Unsigned(&self.key)))?;
        self.sign(draft.der())
    }

    /// Puts our name into a certificate, and our signature under it.
    ///
    /// ```text
    /// Certificate ::= SEQUENCE {                TBSCertificate ::= SEQUENCE {
    ///     tbsCertificate       TBSCertificate,      version, serialNumber, signature,
    ///     signatureAlgorithm   ...,                 issuer, ...
    ///     signatureValue       BIT STRING }
    /// ```
    fn sign(&self, draft: &[u8]) -> Result<CertificateDer<'static>, Failure> {
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
                    writer.next().write_der(if at == ISSUER { &self.name } else { field });
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

/// The CA's key as rcgen wants to have it for a draft: it names the algorithm, and the signature comes later.
struct Unsigned<'a>(&'a Key);

impl PublicKeyData for Unsigned<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.public.der_bytes()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        self.0.public.algorithm()
    }
}

impl rcgen::SigningKey for Unsigned<'_> {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(Vec::new())
    }
}

/// A new CA: its key in PKCS#8, and its certificate.
pub(super) fn new_ca(now: i64) -> Result<(PrivatePkcs8KeyDer<'static>, CertificateDer<'static>), Failure> {
    let from = now.saturating_sub(CA_BACKDATED);
    let mut ca = params(Validity { from, until: from.saturating_add(CA_LIFE) })?;
    // Trust stores go by the name: two CAs of one name and two keys get in each other's way there.
    let name = format!("{CA_NAME} {:08x}", u32::from_be_bytes(random()?));
    ca.distinguished_name.push(DnType::CommonName, name.as_str());
    ca.distinguished_name.push(DnType::OrganizationName, name);
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate()?;
    let certificate = ca.self_signed(&key)?;
    Ok((key.serialize_der().into(), certificate.into()))
}

fn params(validity: Validity) -> Result<CertificateParams, Failure> {
    let mut serial: [u8; SERIAL_LEN] = random()?;
    if let Some(first) = serial.first_mut() {
        *first = *first & 0x7f | 0x40; // positive, and of one length
    }
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = DistinguishedName::new();
    params.not_before = OffsetDateTime::from_unix_timestamp(validity.from)?;
    params.not_after = OffsetDateTime::from_unix_timestamp(validity.until)?;
    Ok(params)
}

/// Bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    let filled = ring::default_provider().secure_random.fill(&mut bytes);
    filled.map_err(|_| Failure("the system gives no random bytes".into()))?;
    Ok(bytes)
}

/// From when until when a certificate is good, both included, in seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: i64,
    pub(super) until: i64,
}

/// Seconds since the epoch; none on a machine whose clock stands before it.
pub(super) fn seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Why something could not be made or signed: the machine's fault or the CA's, never a client's.
#[derive(Debug)]
pub(super) struct Failure(String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(cause: E) -> Self {
        Self(cause.to_string())
    }
}

/// One for each kind of key, of which a key has one: the hash is SHA-256, or that of the curve.
const SCHEMES: &[SignatureScheme] = &[
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ED25519,
];

const CA_NAME: &str = "Spectral Capture CA";
pub(super) const DAY: i64 = 24 * 60 * 60;
/// As mitmproxy's, for clients whose clocks are behind.
const CA_BACKDATED: i64 = 2 * DAY;
const CA_LIFE: i64 = 10 * 365 * DAY;
/// RFC 5280 section 4.1.2.2 allows 20; 8 would do against guessing.
const SERIAL_LEN: usize = 16;
/// `ub-common-name`, RFC 5280 appendix A.1.
const MAX_COMMON_NAME: usize = 64;
/// `id-ce-basicConstraints`, RFC 5280 section 4.2.1.9.
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
/// Where the issuer stands in a TBSCertificate, RFC 5280 section 4.1.
const ISSUER: usize = 3;
