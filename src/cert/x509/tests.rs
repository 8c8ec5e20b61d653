//! Comparison with rcgen: the same fields give the same bytes.

use super::super::der::{Der, SEQUENCE};
use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use x509_parser::parse_x509_certificate;

const SERIAL: [u8; SERIAL_BYTES] = [0x40; SERIAL_BYTES];
/// From 2024 to 2053: a UTCTime and a GeneralizedTime.
const VALIDITY: Validity = Validity { not_before: 1_718_452_799, not_after: 2_635_696_000 };

fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.serial_number = Some(SerialNumber::from_slice(&SERIAL));
    params.distinguished_name = DistinguishedName::new();
    params.not_before = time::OffsetDateTime::from_unix_timestamp(VALIDITY.not_before).unwrap();
    params.not_after = time::OffsetDateTime::from_unix_timestamp(VALIDITY.not_after).unwrap();
    params
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = params();
    params.distinguished_name.push(DnType::CommonName, name);
    params.distinguished_name.push(DnType::OrganizationName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn new_key() -> (KeyPair, Key) {
    let pair = KeyPair::generate().unwrap();
    let key = Key::load(&PrivateKeyDer::Pkcs8(pair.serialize_der().into())).unwrap();
    (pair, key)
}

/// Returns the fields and the algorithm of a certificate, without the signature, which differs each time.
fn without_signature(certificate: &[u8]) -> [&[u8]; 2] {
    let mut parts = Der::new(certificate).expect(SEQUENCE).unwrap().values();
    [parts.expect(SEQUENCE).unwrap().raw, parts.expect(SEQUENCE).unwrap().raw]
}

#[test]
fn a_ca_is_as_rcgen_writes_it() {
    let (pair, key) = new_key();
    let ours = ca_certificate(&SERIAL, "Ünïcode CA", &key, VALIDITY).unwrap();
    let theirs = ca_params("Ünïcode CA").self_signed(&pair).unwrap();
    assert_eq!(without_signature(&ours), without_signature(theirs.der()));
    let (_, parsed) = parse_x509_certificate(&ours).unwrap();
    parsed.verify_signature(None).unwrap();
}

#[test]
fn a_leaf_is_as_rcgen_writes_it() {
    let ((ca_pair, ca_key), (pair, key)) = (new_key(), new_key());
    let ca = ca_certificate(&SERIAL, "CA", &ca_key, VALIDITY).unwrap();
    let subject = x509_reader::X509::parse(&ca).unwrap().subject.raw().to_vec();
    let (_, ca) = parse_x509_certificate(&ca).unwrap();
    let mut issuer = Issuer { name: subject, key_id: None, key: ca_key };
    let long = format!("{}.example.com", "a".repeat(60));
    for (name, key_id) in [
        ("api.example.com", None),
        ("API.Example.com", Some(vec![7; 20])),
        (&long, None),
        ("127.0.0.1", None),
        ("2001:db8::1", Some(vec![1, 2])),
    ] {
        issuer.key_id = key_id.clone();
        let server_name = ServerName::try_from(name.to_owned()).unwrap();
        let ours = issuer.leaf(&SERIAL, &server_name, &key, VALIDITY).unwrap();

        let mut leaf = params();
        let text = name.to_ascii_lowercase();
        leaf.subject_alt_names = vec![match text.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(text.as_str().try_into().unwrap()),
        }];
        if text.len() <= MAX_COMMON_NAME_CHARS {
            leaf.distinguished_name.push(DnType::CommonName, text);
        }
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let mut not_ca = CustomExtension::from_oid_content(&[2, 5, 29, 19], sequence(&[]));
        not_ca.set_criticality(true);
        leaf.custom_extensions = vec![not_ca];
        leaf.use_authority_key_identifier_extension = true;
        let mut ca_params = ca_params("CA");
        ca_params.key_identifier_method = key_id.map_or(KeyIdMethod::Sha256, KeyIdMethod::PreSpecified);
        let theirs = leaf.signed_by(&pair, &rcgen::Issuer::new(ca_params, &ca_pair)).unwrap();

        assert_eq!(without_signature(&ours), without_signature(theirs.der()), "{name}");
        let (_, parsed) = parse_x509_certificate(&ours).unwrap();
        parsed.verify_signature(Some(ca.public_key())).unwrap();
    }
}
