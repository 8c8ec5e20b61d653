//! TLS session resumption on both sides of the proxy, which makes later connections cheap.

use crate::support::{Capture, Connection, ONLY_TLS12, ONLY_TLS13, Origin, TlsSetup, Watched, next_request};
use rustls::HandshakeKind;
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
