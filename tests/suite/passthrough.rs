//! If interception is impossible, the client gets exactly the connection it would have without the proxy, and the
//! summary reports the host and the reason.

use crate::support::{
    Capture, CertSpec, Connection, Ending, ONLY_TLS12, ONLY_TLS13, Origin, TestCa, TlsClient, TlsSetup, now, options,
    patterns, respond_to_all,
};
use spectral_capture::{Notice, Reason};
use std::time::Duration;

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Starts an origin with a certificate that the proxy does not trust.
fn untrusted() -> Origin {
    let setup = TlsSetup { ca: TestCa::unknown(), ..TlsSetup::default() };
    Origin::tls_with(setup, |connection| respond_to_all(connection, HELLO))
}

/// Returns a client that trusts both CAs of origins, and not the proxy's.
fn origin_trusting_client(name: &str) -> TlsClient {
    TlsClient::new(name, vec![TestCa::trusted().der(), TestCa::unknown().der()])
}

/// Connects to `origin` through `capture`; fails unless the client receives the origin's own certificate.
#[track_caller]
fn assert_passthrough(capture: &Capture, origin: &Origin, client: &TlsClient) {
    let mut connection = capture.tls_with(&origin.authority("localhost"), client);
    assert_eq!(connection.peer_certificate(), *origin.certificate());
    assert_eq!(connection.request(REQUEST).text(), "hello");
    connection.finish();
    assert_eq!(connection.read_to_end(), (Vec::new(), Ending::Clean));
}

#[test]
fn passes_through_a_host_that_does_not_match() {
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::with(|config| options(config).include = patterns(&["*.example.com"]));
    assert_passthrough(&capture, &origin, &origin_trusting_client("localhost"));
    assert_passthrough(&capture, &origin, &origin_trusting_client("localhost"));
    assert_eq!(origin.connections(), 2, "only the connections that the client opened");
    let outcome = capture.stop();
    assert!(outcome.bundle().traces.is_empty());
    outcome.assert_uncaptured(&origin.authority("localhost"), 2, |reason| *reason == Reason::NotMatched);
}

#[test]
fn passes_through_an_excluded_host() {
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::with(|config| options(config).exclude = patterns(&["LOCALHOST"]));
    assert_passthrough(&capture, &origin, &origin_trusting_client("localhost"));
    let outcome = capture.stop();
    outcome.assert_uncaptured(&origin.authority("localhost"), 1, |reason| *reason == Reason::NotMatched);
}

#[test]
fn passes_through_a_client_with_only_unknown_protocols() {
    let setup = TlsSetup { alpn: &["imap"], ..TlsSetup::default() };
    let origin = Origin::tls_with(setup, |mut connection| {
        assert_eq!(connection.alpn().as_deref(), Some("imap"));
        connection.send("* OK\r\n");
    });
    let capture = Capture::start();
    let client = origin_trusting_client("localhost").alpn(&["imap", "odd"]);
    let mut connection = capture.tls_with(&origin.authority("localhost"), &client);
    assert_eq!(connection.alpn().as_deref(), Some("imap"));
    assert_eq!(connection.read_exactly(6), b"* OK\r\n");
    drop(connection);
    let outcome = capture.stop();
    outcome.assert_uncaptured(
        &origin.authority("localhost"),
        1,
        |reason| matches!(reason, Reason::Protocol(which) if which == "imap, odd"),
    );
}

#[test]
fn reports_only_some_of_many_unknown_protocols() {
    let origin = Origin::tls_with(TlsSetup { alpn: &["p9"], ..TlsSetup::default() }, |mut connection| {
        connection.send("* OK\r\n")
    });
    let capture = Capture::start();
    let client = origin_trusting_client("localhost").alpn(&["p1", "p2", "p3", "p4", "p5", "p9"]);
    let mut connection = capture.tls_with(&origin.authority("localhost"), &client);
    assert_eq!(connection.read_exactly(6), b"* OK\r\n");
    drop(connection);
    capture.stop().assert_uncaptured(
        &origin.authority("localhost"),
        1,
        |reason| matches!(reason, Reason::Protocol(which) if which == "p1, p2, p3, p4, …"),
    );
}

#[test]
fn passes_through_an_origin_with_an_untrusted_certificate() {
    let origin = untrusted();
    let capture = Capture::start();
    assert_passthrough(&capture, &origin, &origin_trusting_client("localhost"));
    assert_passthrough(&capture, &origin, &origin_trusting_client("localhost"));
    let outcome = capture.stop();
    assert!(outcome.bundle().traces.is_empty());
    outcome
        .assert_uncaptured(&origin.authority("localhost"), 2, |reason| matches!(reason, Reason::OriginNotTrusted(_)));
}

#[test]
fn captures_other_clients_after_an_origin_refused_one() {
    let setup = TlsSetup { alpn: &["http/1.1"], ..TlsSetup::default() };
    let origin = Origin::tls_with(setup, |connection| respond_to_all(connection, HELLO));
    let capture = Capture::start();
    let mut odd = capture.connect(&origin.authority("localhost"));
    assert!(origin_trusting_client("localhost").alpn(&["http/1.0"]).start(&mut odd).is_err(), "as without the proxy");
    let client = capture.client("localhost").alpn(&["http/1.1"]);
    assert_eq!(capture.tls_with(&origin.authority("localhost"), &client).request(REQUEST).text(), "hello");
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().only_trace().text(), "hello");
    outcome.assert_uncaptured(&origin.authority("localhost"), 1, |reason| matches!(reason, Reason::OriginTls(_)));
}

#[test]
fn closes_the_failed_connection_before_falling_back() {
    // An origin that serves one connection at a time would never accept the second; others would keep an unused one
    // open.
    let origin = untrusted();
    let capture = Capture::start();
    let mut connection = capture.tls_with(&origin.authority("localhost"), &origin_trusting_client("localhost"));
    assert_eq!(connection.request(REQUEST).text(), "hello");
    assert_eq!(origin.connections(), 2, "one for the handshake, one for the client");
    let left = origin.open.within(Duration::from_secs(5), |open| (*open == 1).then_some(()));
    assert!(left.is_some(), "the first is still open while the second is used");
    assert_eq!(connection.request(REQUEST).text(), "hello");
}

#[test]
fn the_client_verifies_the_origins_own_certificate() {
    let expired = CertSpec { expired: true, ..CertSpec::default() };
    let elsewhere = CertSpec { names: vec!["elsewhere.test".to_owned()], ..CertSpec::default() };
    let of_a_ca = CertSpec { is_ca: true, ..CertSpec::default() };
    for (cert_spec, expected) in [
        (expired, "its certificate expired"),
        (elsewhere, "its certificate is for another name"),
        (of_a_ca, "its certificate is one for a CA"),
    ] {
        let setup = TlsSetup { cert_spec: cert_spec.clone(), ..TlsSetup::default() };
        let origin = Origin::tls_with(setup, |connection| respond_to_all(connection, HELLO));
        let client = origin_trusting_client("localhost");
        let directly = client.start(&mut Connection::to(origin.addr)).unwrap_err();
        let capture = Capture::start();
        let through = client.start(&mut capture.connect(&origin.authority("localhost"))).unwrap_err();
        // The errors contain the time of day, so they are not compared literally.
        let kind = |e: &rustls::Error| format!("{e:?}").chars().take(30).collect::<String>();
        assert_eq!(kind(&through), kind(&directly), "{cert_spec:?}");
        assert!(matches!(through, rustls::Error::InvalidCertificate(_)), "{through:?}");
        let outcome = capture.stop();
        outcome.assert_uncaptured(
            &origin.authority("localhost"),
            1,
            |reason| matches!(reason, Reason::OriginNotTrusted(cause) if cause.to_string() == expected),
        );
    }
}

#[test]
fn insecure_captures_untrusted_origins() {
    let origin = untrusted();
    let capture = Capture::with(|config| config.insecure = true);
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    assert_eq!(connection.request(REQUEST).text(), "hello");
    drop(connection);
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().only_trace().text(), "hello");
    assert!(outcome.summary.uncaptured.is_empty());
}

#[test]
fn upstream_ca_captures_origins_of_that_ca() {
    let origins = [untrusted(), Origin::tls_responding(HELLO)];
    let capture = Capture::with(|config| config.upstream_ca.push(TestCa::unknown().pem.clone().into()));
    for origin in &origins {
        let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
        assert_eq!(connection.request(REQUEST).text(), "hello");
    }
    assert_eq!(capture.stop().bundle().traces.len(), 2, "several files are accepted");
}

#[test]
fn passes_through_an_origin_that_requires_a_client_certificate() {
    for versions in [ONLY_TLS12, ONLY_TLS13] {
        let setup = TlsSetup { client_ca: Some(TestCa::trusted()), versions, ..TlsSetup::default() };
        let origin = Origin::tls_with(setup, |connection| {
            assert!(
                connection.tls(|tls| tls.peer_certificates().is_some()),
                "the origin received the client's certificate"
            );
            respond_to_all(connection, HELLO);
        });
        let capture = Capture::start();
        let mut client = origin_trusting_client("localhost");
        client.identity = Some(TestCa::trusted());
        assert_passthrough(&capture, &origin, &client);
        let outcome = capture.stop();
        outcome.assert_uncaptured(&origin.authority("localhost"), 1, |reason| *reason == Reason::ClientCertificate);
    }
}

#[test]
fn passes_through_an_origin_that_sends_first() {
    let origin = Origin::plain(|mut connection| {
        connection.send("220 mail.example.test ESMTP\r\n");
        assert_eq!(connection.read_until(b"\r\n"), b"EHLO me\r\n");
        connection.send("250 hello\r\n");
    });
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    assert_eq!(connection.read_until(b"\r\n"), b"220 mail.example.test ESMTP\r\n");
    connection.send("EHLO me\r\n");
    assert_eq!(connection.read_until(b"\r\n"), b"250 hello\r\n");
    drop(connection);
    let outcome = capture.stop();
    assert!(outcome.bundle().traces.is_empty());
    outcome.assert_uncaptured(&origin.authority("localhost"), 1, |reason| *reason == Reason::NotHttp);
}

#[test]
fn passes_through_a_partial_client_hello_after_two_seconds() {
    let hello = origin_trusting_client("localhost").hello();
    let half = hello[..hello.len() / 2].to_vec();
    // A silent origin: one that sends or closes would decide the case at once.
    let origin = Origin::plain(|mut connection| drop(connection.read_to_end()));
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    let begin = now();
    connection.send(&half);
    assert_eq!(origin.received_at_least(0, half.len()), half);
    let took = now() - begin;
    assert!(took >= Duration::from_millis(1500), "{took:?}");
    // Later bytes are forwarded too, whatever the delay.
    connection.send(&hello[half.len()..]);
    assert_eq!(origin.received_at_least(0, hello.len()), hello);
    drop(connection);
    let outcome = capture.stop();
    outcome.assert_uncaptured(&origin.authority("localhost"), 1, |reason| *reason == Reason::Incomplete);
}

#[test]
fn passes_through_a_partial_request_line_after_two_seconds() {
    let origin = Origin::plain(|mut connection| {
        connection.read_exactly(5);
        connection.send("what?");
    });
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    connection.send("GET /");
    assert_eq!(connection.read_exactly(5), b"what?");
}

#[test]
fn passes_through_bytes_that_are_neither_tls_nor_http() {
    for begin in [
        &b"\0\x01\x02\x03\xff\xfe"[..],
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\x16\x03\x01\xff\xff nonsense",
        b"\x80\x2e\x01\0\x02",
    ] {
        let origin = Origin::plain(move |mut connection| {
            assert_eq!(connection.read_exactly(begin.len()), begin);
            connection.send("and back");
        });
        let capture = Capture::start();
        let mut connection = capture.connect(&origin.authority("localhost"));
        connection.send(begin);
        assert_eq!(connection.read_exactly(8), b"and back", "{}", begin.escape_ascii());
        drop(connection);
        let outcome = capture.stop();
        outcome.assert_uncaptured(&origin.authority("localhost"), 1, |reason| {
            matches!(reason, Reason::NotHttp | Reason::Incomplete | Reason::ClientTls(_) | Reason::Opaque(_))
        });
    }
}

#[test]
fn passes_through_a_client_with_unsupported_tls() {
    // A ClientHello of TLS 1.0 with one suite of that version (TLS_RSA_WITH_AES_128_CBC_SHA), without extensions.
    let body = [&[3, 1][..], &[7; 32], &[0], &[0, 2, 0, 0x2f], &[1, 0]].concat();
    let len = u8::try_from(body.len()).unwrap();
    let hello = [&[22, 3, 1, 0, len + 4, 1, 0, 0, len][..], &body].concat();
    let expected = hello.clone();
    let origin = Origin::plain(move |mut connection| {
        // The proxy may have tried a handshake before, with a different ClientHello.
        if connection.read_exactly(hello.len()) == hello {
            connection.send(b"\x15\x03\x01\0\x02\x02\x46");
        }
    });
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    connection.send(&expected);
    assert_eq!(connection.read_exactly(7), b"\x15\x03\x01\0\x02\x02\x46");
    drop(connection);
    let outcome = capture.stop();
    outcome.assert_uncaptured(&origin.authority("localhost"), 1, |reason| {
        matches!(reason, Reason::ClientTls(_) | Reason::OriginTls(_))
    });
}

#[test]
fn passes_through_tls_inside_tls_and_starttls() {
    // TLS that begins after data in the clear (as with SMTP's STARTTLS) is passed through.
    let origin = Origin::plain(|mut connection| {
        connection.send("220 go ahead\r\n");
        connection.read_until(b"STARTTLS\r\n");
        connection.send("220 now\r\n");
        let identity = TestCa::trusted().issue(&CertSpec::default());
        let config = rustls::ServerConfig::builder_with_provider(crate::support::ca::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(identity.chain, identity.key)
            .unwrap();
        connection.accept_tls(&std::sync::Arc::new(config), b"").unwrap();
        connection.send("secret\r\n");
    });
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    connection.read_until(b"ahead\r\n");
    connection.send("STARTTLS\r\n");
    connection.read_until(b"now\r\n");
    origin_trusting_client("localhost").alpn(&[]).start(&mut connection).unwrap();
    assert_eq!(connection.read_until(b"\r\n"), b"secret\r\n");
}

#[test]
fn discover_changes_no_byte_and_writes_no_file() {
    let (secure, clear) = (Origin::tls_responding(HELLO), Origin::plain_responding(HELLO));
    let capture = Capture::discover();
    assert!(capture.ca.is_none(), "nothing is intercepted");
    assert_passthrough(&capture, &secure, &origin_trusting_client("localhost"));
    let client = origin_trusting_client("api.example.test");
    let mut connection = capture.tls_with(&secure.authority("127.0.0.1"), &client);
    assert_eq!(connection.request(REQUEST).text(), "hello");
    drop(connection);
    for _ in 0..2 {
        let mut connection = capture.dial();
        let host = clear.authority("127.0.0.1");
        let response = connection.request(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(response.text(), "hello");
    }
    let outcome = capture.stop();
    assert_eq!(outcome.summary.bundle, None);
    assert_eq!(outcome.dir.names(), Vec::<String>::new(), "no file is written");
    let names: Vec<_> = outcome.summary.domains.iter().map(|domain| domain.name.as_str()).collect();
    for name in ["localhost", "api.example.test"] {
        assert!(names.contains(&name), "{name} among {names:?}");
        let notices =
            outcome.notices.iter().filter(|n| matches!(n, Notice::Domain { name: notices } if notices == name));
        assert_eq!(notices.count(), 1, "{name} is reported once");
    }
    assert!(
        outcome.summary.domains.is_sorted_by(|a, b| a.connections >= b.connections),
        "sorted by frequency: {:?}",
        outcome.summary.domains
    );
}
