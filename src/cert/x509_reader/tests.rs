use super::*;
use crate::cert::testing::fixture;
use crate::cert::{mozilla_roots, pem};
use crate::wire::mutations::mutations;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::public_key::PublicKey as ParsedKey;

/// Mozilla's roots, the fixtures, and a certificate with names of all kinds.
fn certificates() -> Vec<Vec<u8>> {
    let files = ["rsa-pkcs1.pem", "p384-pkcs8.pem", "ed25519.pem", "issuing-with-root.pem"];
    let of_files = files.iter().flat_map(|file| pem::parse(&fixture(file)).unwrap().certificates);
    let mut all: Vec<_> = of_files.map(|der| der.to_vec()).collect();
    all.extend(mozilla_roots().iter().map(|der| der.to_vec()));
    all.push(with_many_names());
    all
}

fn with_many_names() -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![
        SanType::DnsName("a.test".try_into().unwrap()),
        SanType::IpAddress("192.0.2.1".parse().unwrap()),
        SanType::Rfc822Name("me@a.test".try_into().unwrap()),
        SanType::IpAddress("2001:db8::1".parse().unwrap()),
    ];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Ä b");
    params.distinguished_name.push(DnType::CustomDnType(vec![1, 2, 3]), "x");
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

/// Compares every field with what x509-parser reads.
fn compare(der: &[u8]) {
    let (_, expected) = x509_parser::parse_x509_certificate(der).unwrap();
    let read = X509::parse(der).unwrap();
    let subject = expected.subject();
    assert_eq!((read.subject.raw(), read.issuer.raw()), (subject.as_raw(), expected.issuer().as_raw()));
    // x509-parser writes some attributes differently.
    let expected_text = subject.to_string().replace("Email=", "emailAddress=").replace("OID(", "").replace(")=", "=");
    assert_eq!(read.subject.to_text(), expected_text);
    let common_names: Vec<_> = subject.iter_common_name().filter_map(|name| name.as_str().ok()).collect();
    assert_eq!(read.subject.common_names().collect::<Vec<_>>(), common_names);
    let validity = expected.validity();
    assert_eq!(read.validity.not_before, validity.not_before.timestamp());
    assert_eq!(read.validity.not_after, validity.not_after.timestamp());
    assert_eq!(read.is_ca().unwrap(), expected.basic_constraints().unwrap().is_some_and(|it| it.value.ca));
    let signs = expected.key_usage().unwrap().is_none_or(|it| it.value.key_cert_sign());
    assert_eq!(read.may_sign_certificates().unwrap(), signs);
    let serves = expected.extended_key_usage().unwrap().is_none_or(|it| it.value.server_auth || it.value.any);
    assert_eq!(read.is_for_servers().unwrap(), serves);
    assert_eq!(read.has_name_constraints().unwrap(), expected.name_constraints().unwrap().is_some());
    let key_id = expected.iter_extensions().find_map(|it| match it.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0),
        _ => None,
    });
    assert_eq!(read.subject_key_id().unwrap(), key_id);
    let names = expected.subject_alternative_name().unwrap().map(|names| {
        let names = names.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(ServerAltName::Dns(name)),
            GeneralName::IPAddress(bytes) if bytes.len() == 4 => {
                Some(ServerAltName::Ip(<[u8; 4]>::try_from(*bytes).unwrap().into()))
            }
            GeneralName::IPAddress(bytes) => Some(ServerAltName::Ip(<[u8; 16]>::try_from(*bytes).unwrap().into())),
            _ => None,
        });
        names.collect::<Vec<_>>()
    });
    assert_eq!(read.server_alt_names().unwrap(), names);
    let extensions: Vec<_> = read.extensions().unwrap().iter().map(|it| (dotted(it.id), it.critical)).collect();
    let expected_extensions: Vec<_> =
        expected.iter_extensions().map(|it| (it.oid.to_id_string(), it.critical)).collect();
    assert_eq!(extensions, expected_extensions);
    let key = expected.public_key();
    assert_eq!(read.public_key.spki, key.raw);
    assert_eq!(read.public_key.bits, &*key.subject_public_key.data);
    match (read.public_key.kind().unwrap(), key.parsed().unwrap()) {
        (KeyKind::Rsa { bits, exponent }, ParsedKey::RSA(key)) => {
            assert_eq!((bits, exponent), (key.key_size(), key.try_exponent().ok()));
        }
        // x509-parser derives the size from the length of a point, which is 528 bits for P-521.
        (KeyKind::Ec("P-521"), ParsedKey::EC(key)) => assert_eq!(key.key_size(), 528),
        (KeyKind::Ec(curve), ParsedKey::EC(key)) => assert_eq!(curve, format!("P-{}", key.key_size())),
        (KeyKind::Ed25519, ParsedKey::Unknown(_)) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_field_is_what_another_parser_reads() {
    let all = certificates();
    assert!(all.len() > 100);
    all.iter().for_each(|der| compare(der));
}

#[test]
fn names_are_formatted_in_the_order_of_the_certificate() {
    let der = with_many_names();
    assert_eq!(X509::parse(&der).unwrap().subject.to_text(), "CN=Ä b, 1.2.3=x");
}

#[test]
fn times_have_either_type_and_may_lack_seconds() {
    for (tag, text, expected) in [
        (UTC_TIME, "700101000001Z", Some(1)),
        (UTC_TIME, "490101000000Z", Some(2_493_072_000)),
        (UTC_TIME, "500101000000Z", Some(-631_152_000)),
        (UTC_TIME, "7001010001Z", Some(60)),
        (GENERALIZED_TIME, "19700102000000Z", Some(86_400)),
        (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
        (UTC_TIME, "701301000000Z", None),
        (UTC_TIME, "700101000000", None),
        (UTC_TIME, "70010100000Z", None),
        (UTC_TIME, "7001010000+1Z", None),
        (INTEGER, "700101000000Z", None),
    ] {
        let der = [&[tag, text.len().try_into().unwrap()], text.as_bytes()].concat();
        assert_eq!(next_time(&mut Der::new(&der)).ok(), expected, "{text}");
    }
}

#[test]
fn strings_of_every_type_become_text() {
    for (tag, content, expected) in [
        (0x0c, "ä".as_bytes(), "ä"),
        (0x13, b"a b", "a b"),
        (0x14, b"\xe4", "ä"),
        (0x1e, b"\x00\xe4\xd8\x3d\xde\x00", "ä😀"),
        (0x04, b"\x01\xff", "01:ff"),
    ] {
        assert_eq!(text(Value { tag, content, raw: &[] }), expected);
    }
}

#[test]
fn several_extensions_of_one_kind_are_an_error() {
    let once = [&[0x30, 0x0c, OID, 3, 0x55, 0x1d, 19, OCTET_STRING, 5][..], &[0x30, 3, BOOLEAN, 1, 0xff]].concat();
    let roots = mozilla_roots();
    let mut certificate = X509::parse(roots[0].as_ref()).unwrap();
    certificate.extensions = Der::new(&once);
    assert_eq!(certificate.is_ca(), Ok(true));
    let twice = once.repeat(2);
    certificate.extensions = Der::new(&twice);
    assert_eq!(certificate.is_ca(), Err(Malformed));
}

#[test]
fn damaged_certificates_are_read_without_a_panic() {
    let mut seeds = certificates();
    seeds.truncate(8);
    seeds.push(with_many_names());
    mutations(&seeds, 2000, fuzz::check_reading);
}
