//! TLS session resumption on both sides of the proxy, which makes later connections cheap.

use crate::support::ca::epoch_seconds;
use crate::support::nginx::Nginx;
use crate::support::peers::peer;
use crate::support::{
    Capture, CertSpec, Connection, ONLY_TLS12, ONLY_TLS13, Origin, TestCa, TlsClient, TlsSetup, Watched, eventually,
    next_request,
};
use rustls::HandshakeKind;
use spectral_capture::Reason;
use std::net::SocketAddr;
use std::sync::Arc;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Starts an origin that logs the kind of each handshake.
fn origin(setup: TlsSetup) -> (Origin, Watched<Vec<HandshakeKind>>) {
    let seen: Watched<Vec<HandshakeKind>> = Watched::default();
    let noted = seen.clone();
    let origin = Origin::tls_with(setup, move |mut connection| {
        noted.update(|all| all.extend(connection.tls(|tls| tls.handshake_kind())));
        while next_request(&mut connection).is_some() {
            connection.send(HELLO);
        }
    });
    (origin, seen)
}

#[test]
fn resumes_sessions_with_an_origin_across_clients() {
    for versions in [ONLY_TLS12, ONLY_TLS13] {
        let (origin, seen) = origin(TlsSetup { versions, ..TlsSetup::default() });
        let capture = Capture::start();
        for _ in 0..3 {
            // A new client without sessions of the previous one.
            let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
            assert_eq!(connection.request(REQUEST).text(), "hello");
        }
        assert_eq!(seen.read(Clone::clone), [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed]);
        let outcome = capture.stop();
        assert_eq!(outcome.bundle().traces.len(), 3, "exchanges on resumed sessions are captured");
        outcome.assert_no_warnings();
    }
}

#[test]
fn resumes_sessions_with_a_returning_client() {
    let (origin, _) = origin(TlsSetup::default());
    for versions in [ONLY_TLS12, ONLY_TLS13] {
        let capture = Capture::start();
        let mut client = capture.client("localhost");
        client.versions = versions;
        let config = client.config();
        let kinds = [(); 3].map(|()| {
            let mut connection: Connection = capture.connect(&origin.authority("localhost"));
            connection.start_tls(&Arc::clone(&config), "localhost", b"", |hello| vec![hello]).unwrap();
            assert_eq!(connection.request(REQUEST).text(), "hello");
            connection.tls(|tls| tls.handshake_kind()).unwrap()
        });
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed]);
        assert_eq!(capture.stop().bundle().traces.len(), 3);
    }
}

#[test]
fn resumes_sessions_with_two_ports_of_a_host() {
    for versions in [ONLY_TLS12, ONLY_TLS13] {
        let setup = || TlsSetup { versions, ..TlsSetup::default() };
        let origins = [origin(setup()), origin(setup())];
        let capture = Capture::start();
        for _ in 0..5 {
            for (origin, _) in &origins {
                let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
                assert_eq!(connection.request(REQUEST).text(), "hello");
            }
        }
        for (_, seen) in &origins {
            let resumed = [HandshakeKind::Resumed; 4];
            assert_eq!(seen.read(Clone::clone), [&[HandshakeKind::Full][..], &resumed].concat());
        }
    }
}

/// A certificate that expires soon.
fn short_lived() -> CertSpec {
    CertSpec { expires_in: Some(LIFETIME), ..CertSpec::default() }
}

/// Fails unless exchanges with `origin` are captured while its certificate, issued at the time `issued`, is valid, and
/// the client then gets the origin's own certificate.
#[track_caller]
fn assert_expiry_is_noticed(origins: &[SocketAddr], issued: i64) {
    let capture = Capture::start();
    let authority = |origin: &SocketAddr| format!("localhost:{}", origin.port());
    for origin in origins.iter().cycle().take(2 * origins.len()) {
        assert_eq!(capture.tls(&authority(origin), "localhost").request(REQUEST).text(), "hello");
    }
    assert!(epoch_seconds() < issued + LIFETIME, "the machine is too slow for this test");
    eventually(|| (epoch_seconds() > issued + LIFETIME + 1).then_some(()), || "the certificate is valid".to_owned());
    for origin in origins {
        let client = TlsClient::new("localhost", vec![TestCa::trusted().der()]);
        let refusal = client.start(&mut capture.connect(&authority(origin))).unwrap_err();
        assert!(matches!(refusal, rustls::Error::InvalidCertificate(_)), "as without the proxy: {refusal}");
    }
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().traces.len(), 2 * origins.len());
    for origin in origins {
        outcome.assert_uncaptured(&authority(origin), 1, |reason| {
            matches!(reason, Reason::OriginNotTrusted(cause) if cause.to_string() == "its certificate expired")
        });
    }
}

#[test]
fn notices_that_the_certificate_of_resumed_sessions_expired() {
    let issued = epoch_seconds();
    let origins = [ONLY_TLS12, ONLY_TLS13]
        .map(|versions| origin(TlsSetup { versions, cert_spec: short_lived(), ..TlsSetup::default() }));
    assert_expiry_is_noticed(&[origins[0].0.addr, origins[1].0.addr], issued);
    // With the third handshake the proxy resumed, and refused. The client's own came after it.
    let kinds = [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed];
    for (_, seen) in &origins {
        seen.until("three handshakes", |seen| (seen.len() >= 3).then_some(()));
        assert_eq!(seen.read(|seen| seen[..3].to_vec()), kinds);
    }
}

#[test]
fn notices_that_the_certificate_of_nginx_expired() {
    let Some(nginx) = peer("nginx") else {
        return;
    };
    let issued = epoch_seconds();
    let nginx = Nginx::start(&nginx, &TestCa::trusted().issue(&short_lived()), "location / { return 200 hello; }");
    assert_expiry_is_noticed(&nginx.addrs, issued);
}

/// The seconds for which a certificate is valid: enough for two connections on a busy machine.
const LIFETIME: i64 = 8;
