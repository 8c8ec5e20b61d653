//! Clients that refuse the proxy's certificate. The user must act on this, so the host is reported with the client's
//! own alert.

use crate::support::{
    Capture, Connection, Ending, Gate, ONLY_TLS12, ONLY_TLS13, Origin, TestCa, TlsClient, next_request, options,
};
use spectral_capture::Reason;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

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

/// Opens a connection and reads the proxy's certificate, in the middle of the handshake.
fn read_certificate(capture: &Capture, origin: &Origin, client: &TlsClient) -> Connection {
    let mut connection = capture.connect(&origin.authority("localhost"));
    connection.writer.send_raw(&client.hello()).unwrap();
    if client.versions == ONLY_TLS12 {
        // Up to ServerHelloDone, 14 0 0 0 at the end of the last record of the server's flight.
        connection.read_until(&[14, 0, 0, 0]);
    } else {
        // Up to the encrypted certificate after change_cipher_spec.
        connection.read_until(&[20, 3, 3, 0, 1, 1, 23, 3, 3]);
    }
    connection
}

fn stranger(versions: &'static [&'static rustls::SupportedProtocolVersion]) -> TlsClient {
    TlsClient { versions, ..TlsClient::new("localhost", vec![TestCa::trusted().der()]) }
}

#[test]
fn reports_a_client_that_closes_without_an_alert() {
    // Apps with pinning often send no alert: they close after receiving the certificate.
    for versions in [ONLY_TLS12, ONLY_TLS13] {
        for (reset, how) in [(false, "it closed the connection"), (true, "it reset the connection")] {
            let origin = Origin::tls_responding(HELLO);
            let capture = Capture::start();
            let connection = read_certificate(&capture, &origin, &stranger(versions));
            if reset {
                connection.reset();
            } else {
                connection.close_abruptly();
            }
            let host = capture.wait_for_uncaptured(|reason| *reason == Reason::CertificateRefused(how.into()));
            assert_eq!(host, origin.authority("localhost"));
        }
    }
}

#[test]
fn reports_any_alert_in_the_handshake_as_a_refusal() {
    let (warning, fatal) = (1, 2);
    for (level, alert, name) in [
        (fatal, 40, "handshake_failure"),
        (fatal, 48, "unknown_ca"),
        (fatal, 80, "internal_error"),
        // rustls skips these two. The second should be followed by the first (RFC 8446 section 6.1).
        (warning, 0, "close_notify"),
        (warning, 90, "user_canceled"),
    ] {
        let origin = Origin::tls_responding(HELLO);
        let capture = Capture::with(|config| options(config).passthrough_refused = true);
        let client = stranger(ONLY_TLS12);
        let mut connection = read_certificate(&capture, &origin, &client);
        connection.writer.send_raw(&[21, 3, 3, 0, 2, level, alert]).unwrap();
        if level == warning {
            // It waits for the proxy's end, as gnutls_bye(3) does.
            assert_ne!(connection.read_to_end().1, Ending::Reset);
        }
        connection.close_abruptly();
        capture.wait_for_uncaptured(|reason| *reason == Reason::CertificateRefused(name.into()));
        // The next connection passes through.
        let mut connection = capture.tls_with(&origin.authority("localhost"), &client);
        assert_eq!(connection.request(REQUEST).text(), "hello", "{name}");
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
    assert_eq!(connection.request(REQUEST).text(), "hello");
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
    assert_eq!(connection.request(REQUEST).text(), "hello");
    drop(connection);
    let outcome = capture.stop();
    outcome.bundle().only_trace();
    outcome
        .assert_uncaptured(&origin.authority("localhost"), 1, |reason| matches!(reason, Reason::CertificateRefused(_)));
}

#[test]
fn passthrough_refused_passes_through_after_an_alert() {
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::with(|config| options(config).passthrough_refused = true);
    let pinning = stranger(rustls::ALL_VERSIONS);
    pinning.start(&mut capture.connect(&origin.authority("localhost"))).unwrap_err();
    capture.wait_for_uncaptured(|reason| matches!(reason, Reason::CertificateRefused(_)));
    // Its next connections go directly to the origin, also if it resumes a session; other hosts and clients are still
    // captured.
    for _ in 0..2 {
        let mut connection = capture.tls_with(&origin.authority("localhost"), &pinning);
        assert_eq!(connection.request(REQUEST).text(), "hello");
    }
    let mut others = vec![capture.tls(&origin.authority("127.0.0.1"), "127.0.0.1")];
    let trusting = TlsClient::new("localhost", capture.roots());
    for other in [TlsClient { versions: ONLY_TLS12, ..trusting.clone() }, trusting.alpn(&["http/1.1", "h2"])] {
        others.push(capture.tls_with(&origin.authority("localhost"), &other));
    }
    for other in &mut others {
        assert_eq!(other.request(REQUEST).text(), "hello");
    }
    drop(others);
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().traces.len(), 3);
    outcome.assert_uncaptured(&origin.authority("localhost"), 2, |reason| *reason == Reason::RefusedBefore);
}

/// A way to leave without an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaving {
    /// In the handshake, after the certificate.
    InTheHandshake,
    /// After the handshake.
    WithoutARequest,
    /// After a request, before its answer.
    Unanswered,
}

impl Leaving {
    const ALL: [Self; 3] = [Self::InTheHandshake, Self::WithoutARequest, Self::Unanswered];

    fn is_reported_by(self, reason: &Reason) -> bool {
        match self {
            Self::InTheHandshake => matches!(reason, Reason::CertificateRefused(_)),
            Self::WithoutARequest => *reason == Reason::ClientLeft,
            Self::Unanswered => *reason == Reason::LeftUnanswered,
        }
    }

    /// Opens a connection of `client` and leaves it; returns when the proxy has noticed that.
    fn leave(self, capture: &Capture, origin: &Origin, client: &TlsClient) {
        let index = origin.connections();
        match self {
            Self::InTheHandshake => read_certificate(capture, origin, client).close_abruptly(),
            Self::WithoutARequest => capture.tls_with(&origin.authority("localhost"), client).close_abruptly(),
            Self::Unanswered => {
                let mut connection = capture.tls_with(&origin.authority("localhost"), client);
                let request = "GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n";
                connection.send(request);
                origin.received_at_least(index, request.len());
                connection.close_abruptly();
            }
        }
        origin.open.until("the end of the connection", |open| (*open == 0).then_some(()));
    }
}

/// Starts an origin that answers each request except those for `/never`.
fn origin_with_a_silent_path() -> Origin {
    Origin::tls(|mut connection| {
        while let Some((head, _)) = next_request(&mut connection) {
            if !head.starts_with("GET /never") {
                connection.send(HELLO);
            }
        }
    })
}

/// Returns a client that trusts the origin and the proxy, so that its connections differ only in their end.
fn trusting_both(capture: &Capture) -> TlsClient {
    let roots = [capture.roots(), vec![TestCa::trusted().der()]].concat();
    TlsClient { versions: ONLY_TLS12, ..TlsClient::new("localhost", roots) }
}

#[test]
fn passthrough_refused_passes_through_after_a_client_left_at_once() {
    for leaving in Leaving::ALL {
        let origin = origin_with_a_silent_path();
        let capture = Capture::with(|config| options(config).passthrough_refused = true);
        let client = trusting_both(&capture);
        leaving.leave(&capture, &origin, &client);
        // On a busy machine it may have left too late to be sure. This connection is left, too.
        let mut connection = capture.tls_with(&origin.authority("localhost"), &client);
        if &connection.peer_certificate() != origin.certificate() {
            assert_ne!(leaving, Leaving::InTheHandshake);
            drop(connection);
            origin.open.until("the end of the connection", |open| (*open == 0).then_some(()));
            connection = capture.tls_with(&origin.authority("localhost"), &client);
        }
        assert_eq!(connection.request(REQUEST).text(), "hello");
        assert_eq!(&connection.peer_certificate(), origin.certificate(), "{leaving:?}");
        drop(connection);
        let outcome = capture.stop();
        let host = origin.authority("localhost");
        outcome.assert_uncaptured(&host, 1, |reason| leaving.is_reported_by(reason));
        outcome.assert_uncaptured(&host, 1, |reason| *reason == Reason::RefusedBefore);
    }
}

#[test]
fn a_client_that_left_late_does_not_pass_through_until_it_does_so_again() {
    let origin = origin_with_a_silent_path();
    let capture = Capture::with(|config| options(config).passthrough_refused = true);
    let client = trusting_both(&capture);
    let leave_late = || {
        let index = origin.connections();
        let mut connection = capture.tls_with(&origin.authority("localhost"), &client);
        assert_ne!(&connection.peer_certificate(), origin.certificate());
        let request = "GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n";
        connection.send(request);
        origin.received_at_least(index, request.len());
        // As a client whose timeout is over.
        thread::sleep(Duration::from_millis(300));
        connection.close_abruptly();
        origin.open.until("the end of the connection", |open| (*open == 0).then_some(()));
    };
    leave_late();
    leave_late();
    let connection = capture.tls_with(&origin.authority("localhost"), &client);
    assert_eq!(&connection.peer_certificate(), origin.certificate());
}

/// A port before `origin` that delays one connection, number `delayed` of those from the proxy.
struct DelayedConnection {
    authority: String,
    /// Open once the proxy's ClientHello has arrived on that connection.
    has_hello: Gate,
    /// The rest passes once this is open.
    end: Gate,
}

impl DelayedConnection {
    fn start(origin: &Origin, delayed: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = format!("localhost:{}", listener.local_addr().unwrap().port());
        let (has_hello, end) = (Gate::default(), Gate::default());
        let (seen, wait, target) = (has_hello.clone(), end.clone(), origin.addr);
        thread::spawn(move || {
            for (index, client) in listener.incoming().map_while(Result::ok).enumerate() {
                let (seen, wait) = (seen.clone(), wait.clone());
                thread::spawn(move || {
                    if index == delayed {
                        client.peek(&mut [0]).ok();
                        seen.open();
                        wait.pass();
                    }
                    let origin = TcpStream::connect(target).unwrap();
                    let back = (origin.try_clone().unwrap(), client.try_clone().unwrap());
                    let down = thread::spawn(move || forward(back.0, back.1));
                    forward(client, origin);
                    down.join().ok();
                });
            }
        });
        Self { authority, has_hello, end }
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream) {
    std::io::copy(&mut from, &mut to).ok();
    to.shutdown(Shutdown::Write).ok();
}

#[test]
fn a_client_that_left_before_our_certificate_does_not_refuse_it() {
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::with(|config| options(config).passthrough_refused = true);
    let delayed = DelayedConnection::start(&origin, 0);
    let client = trusting_both(&capture);
    let mut connection = capture.connect(&delayed.authority);
    connection.writer.send_raw(&client.hello()).unwrap();
    delayed.has_hello.pass();
    connection.close_abruptly();
    delayed.end.open();
    let host = capture.wait_for_uncaptured(|reason| *reason == Reason::ClientLeft);
    assert_eq!(host, delayed.authority);
    let mut connection = capture.tls_with(&delayed.authority, &client);
    assert_eq!(connection.request(REQUEST).text(), "hello");
    assert_ne!(&connection.peer_certificate(), origin.certificate());
}

#[test]
fn parallel_connections_of_a_client_that_refuses_pass_through() {
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::with(|config| options(config).passthrough_refused = true);
    let delayed = DelayedConnection::start(&origin, 1);
    let client = stranger(rustls::ALL_VERSIONS);
    let mut first = capture.connect(&delayed.authority);
    let mut second = capture.connect(&delayed.authority);
    thread::scope(|scope| {
        let other = client.clone();
        let handshake = scope.spawn(move || {
            other.start(&mut second).unwrap();
            second
        });
        // The second connection is in the handshake with the origin when the client refuses on the first one.
        delayed.has_hello.pass();
        client.start(&mut first).unwrap_err();
        capture.wait_for_uncaptured(|reason| matches!(reason, Reason::CertificateRefused(_)));
        delayed.end.open();
        let mut second = handshake.join().unwrap();
        assert_eq!(second.request(REQUEST).text(), "hello");
        assert_eq!(&second.peer_certificate(), origin.certificate());
    });
    capture.stop().assert_uncaptured(&delayed.authority, 1, |reason| *reason == Reason::RefusedBefore);
}

#[test]
fn a_client_that_got_an_answer_does_not_refuse_by_leaving() {
    for leaving in Leaving::ALL {
        let origin = origin_with_a_silent_path();
        let capture = Capture::with(|config| options(config).passthrough_refused = true);
        let client = trusting_both(&capture);
        let mut connection = capture.tls_with(&origin.authority("localhost"), &client);
        assert_eq!(connection.request(REQUEST).text(), "hello");
        drop(connection);
        for _ in 0..3 {
            leaving.leave(&capture, &origin, &client);
        }
        let connection = capture.tls_with(&origin.authority("localhost"), &client);
        assert_ne!(&connection.peer_certificate(), origin.certificate(), "{leaving:?}");
        drop(connection);
        let outcome = capture.stop();
        assert!(outcome.summary.uncaptured.is_empty(), "{leaving:?}: {:?}", outcome.summary.uncaptured);
    }
}

#[test]
fn a_client_that_half_closes_and_waits_does_not_refuse() {
    let origin = Origin::tls(|mut connection| {
        next_request(&mut connection);
        // After the end of the client's direction.
        assert!(!connection.reader.has_more());
        connection.send(HELLO);
    });
    let capture = Capture::with(|config| options(config).passthrough_refused = true);
    for _ in 0..3 {
        let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
        connection.send(REQUEST);
        connection.finish();
        assert_eq!(connection.read_response().text(), "hello");
    }
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().traces.len(), 3);
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
}
