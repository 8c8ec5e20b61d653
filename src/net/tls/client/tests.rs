//! Tests of TLS towards origins: cipher preference, verification, and resumption.

use super::*;
use crate::net::outbox::Outbox;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, ServerConfig, ServerConnection, SupportedProtocolVersion, version};
use std::io::Write;

/// A self-signed certificate as common tools make it: it is marked as a CA.
fn self_signed() -> CertificateDer<'static> {
    let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

fn accepts(given: &[CertificateDer<'static>], insecure: bool, presented: &CertificateDer<'_>, name: &str) -> bool {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = roots_without(vec![self_signed()], &self_signed());
    roots.add_parsable_certificates(given.iter().cloned());
    let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    Verifier { webpki, given: given.to_vec(), insecure }
        .verify_server_cert(presented, &[], &name, &[], UnixTime::now())
        .is_ok()
}

#[test]
fn a_given_certificate_is_trusted_for_its_names() {
    let (given, other) = (self_signed(), self_signed());
    assert!(accepts(std::slice::from_ref(&given), false, &given, "a.example"));
    assert!(!accepts(std::slice::from_ref(&given), false, &given, "b.example"));
    assert!(!accepts(&[given], false, &other, "a.example"));
    assert!(accepts(&[], true, &other, "b.example"));
}

#[test]
fn our_own_ca_is_not_trusted() {
    let all: Vec<_> = (0..3).map(|_| self_signed()).collect();
    assert_eq!(roots_without(all.clone(), &all[1]).len(), 2);
    assert_eq!(roots_without(all, &self_signed()).len(), 3);
}

/// An origin that requests an optional client certificate, if `requests`.
fn origin(version: &'static SupportedProtocolVersion, requests: bool) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(provider())).with_protocol_versions(&[version]).unwrap();
    let builder = match requests {
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

/// Receives a word from `origin`; returns the kind of handshake, the cipher suite, and true if a client certificate was
/// requested.
fn exchange(towards: &ClientTls, origin: &Arc<ServerConfig>) -> (HandshakeKind, CipherSuite, bool) {
    let host = Host::Name("a.example".into());
    let (mut us, request) = towards.session(Some("a.example"), &host, Vec::new()).unwrap();
    let mut origin = ServerConnection::new(Arc::clone(origin)).unwrap();
    origin.writer().write_all(b"hello").unwrap();
    let (mut down, mut received) = (Vec::new(), Vec::new());
    loop {
        let mut up = Outbox::default();
        let mut ciphertext = [us.unfinished(), &down].concat();
        us.decrypt(&mut ciphertext, &mut up, &mut |plain| received.extend_from_slice(plain)).unwrap();
        down.clear();
        if up.is_empty() && !origin.wants_write() {
            break;
        }
        origin.read_tls(&mut up.bytes()).unwrap();
        origin.process_new_packets().unwrap();
        origin.write_tls(&mut down).unwrap();
    }
    assert_eq!(received, b"hello");
    if request.is_raised() {
        towards.forget(Some("a.example"), &host);
    }
    (us.handshake_kind().unwrap(), us.negotiated_cipher_suite().unwrap().suite(), request.is_raised())
}

#[test]
fn a_session_is_resumed() {
    for version in [&version::TLS12, &version::TLS13] {
        let towards = ClientTls::new(vec![self_signed()], &self_signed(), &[], true).unwrap();
        let origin = origin(version, false);
        assert_eq!(exchange(&towards, &origin).0, HandshakeKind::Full);
        for _ in 0..3 {
            assert_eq!(exchange(&towards, &origin).0, HandshakeKind::Resumed, "{version:?}");
        }
    }
}

#[test]
fn sessions_with_a_certificate_request_are_not_resumed() {
    for version in [&version::TLS12, &version::TLS13] {
        let towards = ClientTls::new(vec![self_signed()], &self_signed(), &[], true).unwrap();
        let origin = origin(version, true);
        for _ in 0..3 {
            let (kind, _, is_requested) = exchange(&towards, &origin);
            assert_eq!((kind, is_requested), (HandshakeKind::Full, true), "{version:?}");
        }
    }
}

#[test]
fn aes_128_is_preferred() {
    let towards = ClientTls::new(vec![self_signed()], &self_signed(), &[], true).unwrap();
    let (_, suite, is_requested) = exchange(&towards, &origin(&version::TLS13, false));
    assert_eq!((suite, is_requested), (CipherSuite::TLS13_AES_128_GCM_SHA256, false));
}
