//! Clients that refuse the proxy's certificate. The user must act on this, so the host is reported with the client's
//! own alert.

use crate::support::{Capture, ONLY_TLS12, ONLY_TLS13, Origin, TestCa, TlsClient};
use spectral_capture::Reason;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn reports_a_client_that_does_not_trust_the_ca_with_its_alert() {
    for versions in [ONLY_TLS12, ONLY_TLS13] {
        let origin = Origin::tls_responding(HELLO);
        let capture = Capture::start();
        for _ in 0..3 {
            let mut client = TlsClient::new("localhost", vec![TestCa::trusted().der()]);
            client.versions = versions;
            let error = client.start(&mut capture.connect(&origin.authority("localhost"))).unwrap_err();
            assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error:?}");
        }
        let outcome = capture.stop();
        assert!(outcome.bundle().traces.is_empty());
        outcome.assert_uncaptured(&origin.authority("localhost"), 3, |reason| {
            matches!(reason, Reason::CertificateRefused(how) if how.to_lowercase().replace('_', " ").contains("unknown ca"))
        });
    }
}

#[test]
fn reports_a_client_that_closes_without_an_alert() {
    // Apps with pinning often send no alert: they close after receiving the certificate.
    for reset in [false, true] {
        let origin = Origin::tls_responding(HELLO);
        let capture = Capture::start();
        let mut connection = capture.connect(&origin.authority("localhost"));
        let mut client = capture.client("localhost");
        client.versions = ONLY_TLS12;
        connection.writer.send_raw(&client.hello()).unwrap();
        // Up to ServerHelloDone, 14 0 0 0 at the end of the last record of the server's flight.
        connection.read_until(&[14, 0, 0, 0]);
        if reset {
            connection.reset();
        } else {
            connection.close_abruptly();
        }
        let host = capture.wait_for_uncaptured(|reason| *reason == Reason::ClientLeft);
        assert_eq!(host, origin.authority("localhost"));
    }
}

#[test]
fn reports_a_client_that_refuses_after_the_handshake() {
    // GnuTLS does this: wget, git.
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::start();
    let connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.close_abruptly();
    let host = capture.wait_for_uncaptured(|reason| *reason == Reason::ClientLeft);
    assert_eq!(host, origin.authority("localhost"));
}

#[test]
fn does_not_report_a_host_that_was_captured_before() {
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "hello");
    capture.tls(&origin.authority("localhost"), "localhost").close_abruptly();
    drop(connection);
    assert!(capture.stop().summary.uncaptured.is_empty());
}

#[test]
fn captures_other_clients_after_one_refused() {
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::start();
    let stranger = TlsClient::new("localhost", vec![TestCa::trusted().der()]);
    stranger.start(&mut capture.connect(&origin.authority("localhost"))).unwrap_err();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "hello");
    drop(connection);
    let outcome = capture.stop();
    outcome.bundle().only_trace();
    outcome
        .assert_uncaptured(&origin.authority("localhost"), 1, |reason| matches!(reason, Reason::CertificateRefused(_)));
}

#[test]
fn passthrough_refused_passes_through_after_the_first_refusal() {
    for says_why in [true, false] {
        let origin = Origin::tls_responding(HELLO);
        let capture = Capture::with(|config| config.passthrough_refused = true);
        let pinning = TlsClient::new("localhost", vec![TestCa::trusted().der()]);
        if says_why {
            pinning.start(&mut capture.connect(&origin.authority("localhost"))).unwrap_err();
        } else {
            let mut connection = capture.connect(&origin.authority("localhost"));
            let client =
                TlsClient { versions: ONLY_TLS12, ..TlsClient::new("localhost", vec![TestCa::trusted().der()]) };
            connection.writer.send_raw(&client.hello()).unwrap();
            connection.read_until(&[14, 0, 0, 0]);
            connection.close_abruptly();
        }
        capture.wait_for_uncaptured(|reason| matches!(reason, Reason::CertificateRefused(_) | Reason::ClientLeft));
        // Its second connection goes directly to the origin; other hosts are still captured.
        let mut connection = capture.tls_with(&origin.authority("localhost"), &pinning);
        assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "hello");
        let mut other = capture.tls(&origin.authority("127.0.0.1"), "127.0.0.1");
        assert_eq!(other.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "hello");
        drop((connection, other));
        let outcome = capture.stop();
        outcome.bundle().only_trace();
        outcome.assert_uncaptured(&origin.authority("localhost"), 1, |reason| *reason == Reason::RefusedBefore);
    }
}
