//! What origins are offered, whom they are taken for, and what is resumed with them.

use super::*;
use crate::net::outbox::Outbox;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, ServerConnection, SupportedProtocolVersion, version};
use std::io::Write;

/// What tools make of "a self-signed certificate": one that says it is a CA.
fn self_signed() -> CertificateDer<'static> {
    let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

fn accepts(given: &[CertificateDer<'static>], insecure: bool, presented: &CertificateDer<'_>, name: &str) -> bool {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = without(crate::cert::machine_roots(None), &self_signed());
    roots.add_parsable_certificates(given.iter().cloned());
    let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    Verifier { webpki, given: given.to_vec(), insecure }
        .verify_server_cert(presented, &[], &name, &[], UnixTime::now())
        .is_ok()
}

#[test]
fn a_certificate_that_was_given_is_trusted_for_its_names() {
    let (given, other) = (self_signed(), self_signed());
    assert!(accepts(std::slice::from_ref(&given), false, &given, "a.example"));
    assert!(!accepts(std::slice::from_ref(&given), false, &given, "b.example"));
    assert!(!accepts(&[given], false, &other, "a.example"));
    assert!(accepts(&[], true, &other, "b.example"));
}

#[test]
fn our_own_ca_is_no_root_of_ours() {
    let all = crate::cert::machine_roots(None);
    let ours = all.first().unwrap();
    let others = without(all.clone(), ours);
    assert_eq!(others.len(), without(all.clone(), &self_signed()).len() - 1);
    assert!(!others.is_empty(), "there are roots on every machine");
}

/// An origin that asks for a client certificate, or does not, and can go without.
fn origin(version: &'static SupportedProtocolVersion, asks: bool) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(provider())).with_protocol_versions(&[version]).unwrap();
    let builder = match asks {
        true => {
            let mut roots = RootCertStore::empty();
            roots.add(self_signed()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider()));
            builder.with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
        }
        false => builder.with_no_client_auth(),
    };
    let key = key.serialize_der().try_into().unwrap();
    Arc::new(builder.with_single_cert(vec![certificate.der().clone()], key).unwrap())
}

/// A connection to `origin` that says a word: how its handshake went, with which suite, and whether a certificate was asked for.
fn converse(towards: &TowardsOrigins, origin: &Arc<ServerConfig>) -> (HandshakeKind, CipherSuite, bool) {
    let host = Host::Name("a.example".into());
    let (mut us, asked) = towards.connection(Some("a.example"), &host, Vec::new()).unwrap();
    let mut origin = ServerConnection::new(Arc::clone(origin)).unwrap();
    origin.writer().write_all(b"hello").unwrap();
    let (mut down, mut heard) = (Vec::new(), Vec::new());
    loop {
        let mut up = Outbox::default();
        let mut ciphertext = [us.unfinished(), &down].concat();
        us.open(&mut ciphertext, &mut up, &mut |plain| heard.extend_from_slice(plain)).unwrap();
        down.clear();
        if up.is_empty() && !origin.wants_write() {
            break;
        }
        origin.read_tls(&mut up.bytes()).unwrap();
        origin.process_new_packets().unwrap();
        origin.write_tls(&mut down).unwrap();
    }
    assert_eq!(heard, b"hello");
    if asked.is_raised() {
        towards.forget(Some("a.example"), &host);
    }
    (us.handshake_kind().unwrap(), us.negotiated_cipher_suite().unwrap().suite(), asked.is_raised())
}

#[test]
fn a_session_is_resumed() {
    for version in [&version::TLS12, &version::TLS13] {
        let towards = TowardsOrigins::new(crate::cert::machine_roots(None), &self_signed(), &[], true).unwrap();
        let origin = origin(version, false);
        assert_eq!(converse(&towards, &origin).0, HandshakeKind::Full);
        for _ in 0..3 {
            assert_eq!(converse(&towards, &origin).0, HandshakeKind::Resumed, "{version:?}");
        }
    }
}

#[test]
fn who_asks_for_a_client_certificate_is_met_anew_each_time() {
    for version in [&version::TLS12, &version::TLS13] {
        let towards = TowardsOrigins::new(crate::cert::machine_roots(None), &self_signed(), &[], true).unwrap();
        let origin = origin(version, true);
        for _ in 0..3 {
            let (kind, _, is_asked) = converse(&towards, &origin);
            assert_eq!((kind, is_asked), (HandshakeKind::Full, true), "{version:?}");
        }
    }
}

#[test]
fn origins_are_offered_the_cheaper_of_two_good_ciphers_first() {
    let towards = TowardsOrigins::new(crate::cert::machine_roots(None), &self_signed(), &[], true).unwrap();
    let (_, suite, is_asked) = converse(&towards, &origin(&version::TLS13, false));
    assert_eq!((suite, is_asked), (CipherSuite::TLS13_AES_128_GCM_SHA256, false));
}
