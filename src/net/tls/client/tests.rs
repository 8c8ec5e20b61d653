//! Tests of TLS towards origins: cipher preference, verification, and resumption.

use super::super::certificate_request::CertificateRequest;
use super::super::sessions::MAX_AGE;
use super::*;
use crate::cert::{encode_pem, encode_private_key};
use crate::net::outbox::Outbox;
use crate::wire::authority::Host;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, ServerConfig, ServerConnection, SupportedProtocolVersion, version};
use std::io::Write;
use std::time::Duration;
use time::OffsetDateTime;

/// A self-signed certificate as common tools make it: it is marked as a CA.
fn self_signed() -> CertificateDer<'static> {
    let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

fn accepts(given: &[CertificateDer<'static>], insecure: bool, presented: &CertificateDer<'_>, name: &str) -> bool {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = roots_without(vec![self_signed()], Some(&self_signed()));
    roots.add_parsable_certificates(given.iter().cloned());
    let algorithms = provider.signature_verification_algorithms;
    let webpki = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    Verifier { webpki, algorithms, given: given.to_vec(), insecure }
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
    assert_eq!(roots_without(all.clone(), Some(&all[1])).len(), 2);
    assert_eq!(roots_without(all, Some(&self_signed())).len(), 3);
}

/// A CA, and an origin's key, which its certificates share.
struct Issuer {
    ca: CertifiedIssuer<'static, KeyPair>,
    key: KeyPair,
}

impl Issuer {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { ca, key: KeyPair::generate().unwrap() }
    }

    /// TLS towards origins with certificates of this CA.
    fn trusting(&self) -> ClientTls {
        ClientTls::new(vec![self.ca.as_ref().der().clone()], Some(&self_signed()), &[], false, &[]).unwrap()
    }

    /// An origin with a certificate for `name` that is valid from an hour ago until `lifetime` from now.
    fn origin(&self, version: &'static SupportedProtocolVersion, name: &str, lifetime: Duration) -> ServerConfig {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        let now = OffsetDateTime::from(Moment::now().wall());
        (params.not_before, params.not_after) = (now - Duration::from_secs(3600), now + lifetime);
        let certificate = params.signed_by(&self.key, &self.ca).unwrap();
        let key = self.key.serialize_der().try_into().unwrap();
        ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap()
    }
}

impl Issuer {
    /// An origin that requests an optional client certificate of this CA.
    fn requesting(&self, version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.as_ref().der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider()));
        let certificate =
            CertificateParams::new(["a.example".to_owned()]).unwrap().signed_by(&self.key, &self.ca).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
            .with_single_cert(vec![certificate.der().clone()], self.key.serialize_der().try_into().unwrap());
        Arc::new(config.unwrap())
    }
}

/// An origin that requests an optional client certificate.
fn requesting_origin(version: &'static SupportedProtocolVersion) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["a.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(self_signed()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider()));
    let config = ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
        .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap());
    Arc::new(config.unwrap())
}

fn authority(port: u16) -> Authority {
    Authority { host: Host::Name("a.example".into()), port }
}

/// A connection that has received a word from its origin.
struct Connection {
    us: TlsSession,
    origin: ServerConnection,
    watch: RequestWatch,
}

impl Connection {
    /// Connects to port `port` of `a.example` at the time `now`.
    fn open(towards: &ClientTls, origin: &Arc<ServerConfig>, port: u16, now: Moment) -> Result<Self, rustls::Error> {
        let mut connection = Self::start(towards, origin, port, now)?;
        assert_eq!(connection.transfer()?, b"hello");
        towards.check_handshake(&connection.us, Some("a.example"), &authority(port), now)?;
        Ok(connection)
    }

    /// Starts a connection, without a byte sent yet.
    fn start(towards: &ClientTls, origin: &Arc<ServerConfig>, port: u16, now: Moment) -> Result<Self, rustls::Error> {
        let (us, watch) = towards.session(Some("a.example"), &authority(port), Vec::new(), now)?;
        let mut origin = ServerConnection::new(Arc::clone(origin)).unwrap();
        origin.writer().write_all(b"hello").unwrap();
        Ok(Self { us, origin, watch })
    }

    /// Moves bytes in both directions until there are none; returns the plaintext from the origin.
    fn transfer(&mut self) -> Result<Vec<u8>, rustls::Error> {
        let (mut down, mut received) = (Vec::new(), Vec::new());
        loop {
            let mut up = Outbox::default();
            let mut ciphertext = [self.us.unfinished(), &down].concat();
            self.us.decrypt(&mut ciphertext, &mut up, &mut |plain| received.extend_from_slice(plain))?;
            down.clear();
            if up.is_empty() && !self.origin.wants_write() {
                return Ok(received);
            }
            self.origin.read_tls(&mut up.bytes()).unwrap();
            self.origin.process_new_packets().unwrap();
            self.origin.write_tls(&mut down).unwrap();
        }
    }

    fn kind(&self) -> HandshakeKind {
        self.us.handshake_kind().unwrap()
    }
}

/// The kind of the handshake with an origin on port 443 at the time `now`.
fn kind(towards: &ClientTls, origin: &Arc<ServerConfig>, now: Moment) -> Result<HandshakeKind, rustls::Error> {
    Connection::open(towards, origin, 443, now).map(|connection| connection.kind())
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];
const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn a_session_is_resumed_until_a_minute_after_the_full_handshake() {
    for version in VERSIONS {
        let issuer = Issuer::new();
        let (towards, origin) = (issuer.trusting(), Arc::new(issuer.origin(version, "a.example", DAY)));
        let began = Moment::now();
        for (seconds, expected) in [
            (0, HandshakeKind::Full),
            (1, HandshakeKind::Resumed),
            (30, HandshakeKind::Resumed),
            (59, HandshakeKind::Resumed),
            // Each resumption brought new tickets; they do not extend the time.
            (60, HandshakeKind::Full),
            (119, HandshakeKind::Resumed),
            (120, HandshakeKind::Full),
        ] {
            let now = began.plus(Duration::from_secs(seconds));
            assert_eq!(kind(&towards, &origin, now), Ok(expected), "{version:?} after {seconds} s");
        }
    }
}

#[test]
fn a_session_with_a_large_chain_is_not_kept() {
    for version in VERSIONS {
        let issuer = Issuer::new();
        for (surplus, expected) in [(0, HandshakeKind::Resumed), (60, HandshakeKind::Full)] {
            let mut origin = issuer.origin(version, "a.example", DAY);
            let resolver = Arc::clone(&origin.cert_resolver);
            origin.cert_resolver = Arc::new(WithSurplus { resolver, certificates: vec![self_signed(); surplus] });
            let (towards, origin) = (issuer.trusting(), Arc::new(origin));
            assert_eq!(kind(&towards, &origin, Moment::now()), Ok(HandshakeKind::Full));
            assert_eq!(kind(&towards, &origin, Moment::now()), Ok(expected), "{version:?}, {surplus}");
        }
    }
}

/// Sends needless certificates too.
#[derive(Debug)]
struct WithSurplus {
    resolver: Arc<dyn ResolvesServerCert>,
    certificates: Vec<CertificateDer<'static>>,
}

impl ResolvesServerCert for WithSurplus {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let mut key = CertifiedKey::clone(&*self.resolver.resolve(hello)?);
        key.cert.extend(self.certificates.iter().cloned());
        Some(Arc::new(key))
    }
}

#[test]
fn another_certificate_is_noticed_after_a_minute() {
    for version in VERSIONS {
        let issuer = Issuer::new();
        let (towards, origin) = (issuer.trusting(), issuer.origin(version, "a.example", DAY));
        // The tickets stay valid, as in a server whose certificate is replaced while it runs.
        let mut swapped = issuer.origin(version, "b.example", DAY);
        swapped.session_storage = Arc::clone(&origin.session_storage);
        swapped.ticketer = Arc::clone(&origin.ticketer);
        let (origin, swapped) = (Arc::new(origin), Arc::new(swapped));
        let began = Moment::now();
        assert_eq!(kind(&towards, &origin, began), Ok(HandshakeKind::Full));
        assert_eq!(kind(&towards, &swapped, began.plus(MAX_AGE - DAY / 86400)), Ok(HandshakeKind::Resumed));
        for _ in 0..2 {
            let result = kind(&towards, &swapped, began.plus(MAX_AGE));
            assert!(matches!(result, Err(rustls::Error::InvalidCertificate(_))), "{version:?}: {result:?}");
        }
    }
}

#[test]
fn the_certificate_of_a_resumed_session_may_expire() {
    for version in VERSIONS {
        let issuer = Issuer::new();
        let towards = issuer.trusting();
        let origin = Arc::new(issuer.origin(version, "a.example", Duration::from_secs(30)));
        let began = Moment::now();
        assert_eq!(kind(&towards, &origin, began), Ok(HandshakeKind::Full));
        assert_eq!(kind(&towards, &origin, began.plus(Duration::from_secs(20))), Ok(HandshakeKind::Resumed));
        let result = kind(&towards, &origin, began.plus(Duration::from_secs(40)));
        let Err(rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { .. })) = result else {
            panic!("{version:?}: {result:?}");
        };
    }
}

#[test]
fn ports_have_sessions_of_their_own() {
    for version in VERSIONS {
        let issuer = Issuer::new();
        let towards = issuer.trusting();
        let origins = [443, 8443].map(|port| (port, Arc::new(issuer.origin(version, "a.example", DAY))));
        let now = Moment::now();
        for round in 0..5 {
            for (port, origin) in &origins {
                let kind = Connection::open(&towards, origin, *port, now).unwrap().kind();
                let expected = if round == 0 { HandshakeKind::Full } else { HandshakeKind::Resumed };
                assert_eq!(kind, expected, "{version:?}, port {port}, round {round}");
            }
        }
    }
}

#[test]
fn forgotten_sessions_are_not_resumed_also_if_they_arrive_later() {
    for version in VERSIONS {
        let issuer = Issuer::new();
        let (towards, origin) = (issuer.trusting(), Arc::new(issuer.origin(version, "a.example", DAY)));
        let now = Moment::now();
        assert_eq!(kind(&towards, &origin, now), Ok(HandshakeKind::Full), "{version:?}");
        let mut open = Connection::start(&towards, &origin, 443, now).unwrap();
        towards.forget(Some("A.example"), &authority(443));
        open.transfer().unwrap();
        assert_eq!(kind(&towards, &origin, now), Ok(HandshakeKind::Full), "{version:?}");
        assert_eq!(kind(&towards, &origin, now), Ok(HandshakeKind::Resumed), "{version:?}");
    }
}

#[test]
fn sessions_with_a_certificate_request_are_not_resumed() {
    for version in VERSIONS {
        let towards = ClientTls::new(vec![self_signed()], Some(&self_signed()), &[], true, &[]).unwrap();
        let origin = requesting_origin(version);
        for _ in 0..3 {
            let connection = Connection::open(&towards, &origin, 443, Moment::now()).unwrap();
            assert_eq!(
                (connection.kind(), connection.watch.request()),
                (HandshakeKind::Full, CertificateRequest::Unanswered),
                "{version:?}"
            );
            towards.forget(Some("a.example"), &authority(443));
        }
    }
}

#[test]
fn sessions_with_a_certificate_are_made_and_resumed_for_its_origins_only() {
    let issuer = Issuer::new();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["me".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer.ca).unwrap();
    let pem = encode_pem(certificate.der()) + &encode_private_key(&key.serialize_der());
    let file = std::env::temp_dir().join(format!("spectral-client-certificate-{}", std::process::id()));
    std::fs::write(&file, pem).unwrap();
    let certificate =
        ClientCertificate::new(CertificateSource::File(file.clone())).for_host("*.example:443".parse().unwrap());
    let roots = vec![issuer.ca.as_ref().der().clone()];
    let towards = ClientTls::new(roots, Some(&self_signed()), &[], false, &[certificate]).unwrap();
    std::fs::remove_file(&file).unwrap();
    for version in VERSIONS {
        let origin = issuer.requesting(version);
        let open = |port| {
            let connection = Connection::open(&towards, &origin, port, Moment::now()).unwrap();
            (connection.kind(), connection.watch.request(), connection.origin.peer_certificates().is_some())
        };
        towards.forget(Some("a.example"), &authority(443));
        assert_eq!(open(443), (HandshakeKind::Full, CertificateRequest::Answered, true), "{version:?}");
        assert_eq!(open(443), (HandshakeKind::Resumed, CertificateRequest::None, true), "{version:?}");
        assert_eq!(open(444), (HandshakeKind::Full, CertificateRequest::Unanswered, false), "{version:?}");
        towards.forget(Some("a.example"), &authority(444));
    }
}

/// Presents one key's certificate and signs with another key.
#[derive(Debug)]
struct Impostor(Arc<CertifiedKey>);

impl ResolvesServerCert for Impostor {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[test]
fn any_certificate_is_accepted_but_not_a_wrong_signature() {
    for version in VERSIONS {
        let towards = ClientTls::new(vec![self_signed()], Some(&self_signed()), &[], true, &[]).unwrap();
        let key = KeyPair::generate().unwrap().serialize_der().try_into().unwrap();
        let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
        let impostor = Impostor(Arc::new(CertifiedKey::new(vec![self_signed()], key)));
        let origin = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(impostor));
        let result = kind(&towards, &Arc::new(origin), Moment::now());
        assert!(matches!(&result, Err(rustls::Error::General(_))), "{version:?}: {result:?}");
    }
}

#[test]
fn our_own_ca_may_be_the_only_root_and_is_not_trusted() {
    for insecure in [false, true] {
        let issuer = Issuer::new();
        let ca = issuer.ca.as_ref().der();
        let towards = ClientTls::new(vec![ca.clone()], Some(ca), &[], insecure, &[]).unwrap();
        let origin = Arc::new(issuer.origin(&version::TLS13, "a.example", DAY));
        let result = kind(&towards, &origin, Moment::now());
        match insecure {
            true => assert_eq!(result, Ok(HandshakeKind::Full)),
            false => assert_eq!(result, Err(CertificateError::UnknownIssuer.into())),
        }
    }
}

#[test]
fn aes_128_is_preferred() {
    let issuer = Issuer::new();
    let origin = Arc::new(issuer.origin(&version::TLS13, "a.example", DAY));
    let connection = Connection::open(&issuer.trusting(), &origin, 443, Moment::now()).unwrap();
    assert_eq!(connection.us.negotiated_cipher_suite().unwrap().suite(), CipherSuite::TLS13_AES_128_GCM_SHA256);
    assert_eq!(connection.watch.request(), CertificateRequest::None);
}
