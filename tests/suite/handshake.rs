//! TLS on both sides: SNI, ALPN and versions match between the client's and the origin's handshake.

use crate::support::{
    Capture, Connection, Ending, ONLY_TLS12, ONLY_TLS13, Origin, TIMEOUT, TlsSetup, next_request, now, respond_to_all,
};
use spectral_capture::Reason;
use std::sync::mpsc;
use std::time::Duration;

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// SNI and ALPN protocol.
type Report = (Option<String>, Option<String>);

/// Starts an origin that reports the SNI and the protocol, then responds.
fn reporting(setup: TlsSetup) -> (Origin, mpsc::Receiver<Report>) {
    let (report, reported) = mpsc::channel();
    let origin = Origin::tls_with(setup, move |connection| {
        let sni = connection.tls(|tls| match tls {
            rustls::Connection::Server(server) => server.server_name().map(str::to_owned),
            rustls::Connection::Client(_) => None,
        });
        report.send((sni, connection.alpn())).unwrap();
        respond_to_all(connection, HELLO);
    });
    (origin, reported)
}

#[test]
fn sends_the_clients_sni_to_the_origin() {
    let (origin, reported) = reporting(TlsSetup::default());
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("127.0.0.1"), "a.b.example.test");
    assert_eq!(connection.request(REQUEST).text(), "hello");
    assert_eq!(reported.recv_timeout(TIMEOUT).unwrap(), (Some("a.b.example.test".to_owned()), None));
}

#[test]
fn without_sni_sends_none_and_issues_for_the_connect_host() {
    let (origin, reported) = reporting(TlsSetup::default());
    let capture = Capture::start();
    // An address is never sent as SNI (RFC 6066 section 3); the name is left out only in this test.
    for (host, sni) in [("127.0.0.1", true), ("localhost", false)] {
        let mut client = capture.client(host);
        client.sni = sni;
        let mut connection = capture.tls_with(&origin.authority(host), &client);
        assert_eq!(connection.request(REQUEST).text(), "hello");
        assert_eq!(reported.recv_timeout(TIMEOUT).unwrap().0, None, "{host}");
    }
    assert_eq!(capture.stop().bundle().traces.len(), 2);
}

#[test]
fn gives_the_client_the_protocol_that_the_origin_chose() {
    // The client's offer, the origin's protocols, and the result.
    let cases: [(&[&str], &'static [&'static str], Option<&str>); 6] = [
        (&["http/1.1"], &["http/1.1"], Some("http/1.1")),
        (&["h2", "http/1.1"], &["http/1.1"], Some("http/1.1")),
        (&["imap", "h2", "http/1.1"], &["http/1.1", "imap"], Some("http/1.1")),
        (&["h2", "http/1.1"], &[], None),
        (&[], &["http/1.1"], None),
        (&["http/1.0", "http/1.1"], &["http/1.0"], Some("http/1.0")),
    ];
    for (offered, taken, agreed) in cases {
        let (origin, reported) = reporting(TlsSetup { alpn: taken, ..TlsSetup::default() });
        let capture = Capture::start();
        let client = capture.client("localhost").alpn(offered);
        let mut connection = capture.tls_with(&origin.authority("localhost"), &client);
        assert_eq!(connection.request(REQUEST).text(), "hello");
        assert_eq!(reported.recv_timeout(TIMEOUT).unwrap().1.as_deref(), agreed, "{offered:?} {taken:?}");
        assert_eq!(connection.alpn().as_deref(), agreed, "{offered:?} {taken:?}");
        drop(connection);
        capture.stop().bundle().only_trace();
    }
}

#[test]
fn supports_tls_1_2_and_1_3_on_either_side() {
    for versions in [ONLY_TLS12, ONLY_TLS13] {
        for client_speaks in [ONLY_TLS12, ONLY_TLS13] {
            let origin = Origin::tls_with(TlsSetup { versions, ..TlsSetup::default() }, |connection| {
                respond_to_all(connection, HELLO)
            });
            let capture = Capture::start();
            let mut client = capture.client("localhost");
            client.versions = client_speaks;
            let mut connection = capture.tls_with(&origin.authority("localhost"), &client);
            assert_eq!(connection.request(REQUEST).text(), "hello");
            drop(connection);
            capture.stop().bundle().only_trace();
        }
    }
}

#[test]
fn serves_a_request_in_the_last_flight() {
    for versions in [ONLY_TLS12, ONLY_TLS13] {
        let origin = Origin::tls_responding(HELLO);
        let capture = Capture::start();
        let mut client = capture.client("localhost");
        client.versions = versions;
        client.early = REQUEST.to_vec();
        let mut connection = capture.tls_with(&origin.authority("localhost"), &client);
        assert_eq!(connection.read_response().text(), "hello");
        drop(connection);
        capture.stop().bundle().only_trace();
    }
}

#[test]
fn forwards_data_that_the_origin_sends_with_its_handshake() {
    let setup = TlsSetup { early: b"220 ready when you are\r\n", ..TlsSetup::default() };
    let origin = Origin::tls_with(setup, |mut connection| {
        assert_eq!(connection.read_until(b"\n"), b"QUIT\n");
        connection.send("221 bye\r\n");
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    assert_eq!(connection.read_until(b"\n"), b"220 ready when you are\r\n");
    connection.send("QUIT\n");
    assert_eq!(connection.read_until(b"\n"), b"221 bye\r\n");
    drop(connection);
    // It is not a response to a request, so it is not an exchange; it is reported.
    let outcome = capture.stop();
    assert!(outcome.bundle().traces.is_empty(), "{:?}", outcome.bundle().urls());
    assert!(
        outcome.summary.uncaptured.iter().any(|u| matches!(u.reason, Reason::Opaque(_) | Reason::NotHttp)),
        "{:?}",
        outcome.summary.uncaptured
    );
}

#[test]
fn accepts_a_client_hello_in_pieces() {
    /// Splits the handshake message into records of 100 bytes (RFC 8446 section 5.1).
    fn many_records(hello: Vec<u8>) -> Vec<Vec<u8>> {
        let message = hello[5..].chunks(100).flat_map(|piece| {
            let len = u16::try_from(piece.len()).unwrap().to_be_bytes();
            [&hello[..3], &len, piece].concat()
        });
        vec![message.collect()]
    }
    fn single_bytes(hello: Vec<u8>) -> Vec<Vec<u8>> {
        hello.into_iter().map(|byte| vec![byte]).collect()
    }
    fn both(hello: Vec<u8>) -> Vec<Vec<u8>> {
        many_records(hello).into_iter().flat_map(single_bytes).collect()
    }
    for split_hello in [many_records, single_bytes, both] {
        let (origin, reported) = reporting(TlsSetup::default());
        let capture = Capture::start();
        let mut client = capture.client("example.test");
        client.split_hello = split_hello;
        let mut connection = capture.tls_with(&origin.authority("127.0.0.1"), &client);
        assert_eq!(connection.request(REQUEST).text(), "hello");
        assert_eq!(reported.recv_timeout(TIMEOUT).unwrap().0.as_deref(), Some("example.test"));
        drop(connection);
        capture.stop().bundle().only_trace();
    }
}

#[test]
fn accepts_a_large_client_hello() {
    // As large as with post-quantum key shares, and larger than one segment or one TLS record.
    for protocols in [30, 150, 900] {
        let (origin, _reported) = reporting(TlsSetup { alpn: &["http/1.1"], ..TlsSetup::default() });
        let capture = Capture::start();
        let mut client = capture.client("localhost");
        client.alpn = (0..protocols).map(|number| format!("made-up-protocol-{number:06}")).collect();
        client.alpn.push("http/1.1".to_owned());
        assert!(client.hello().len() > protocols * 20);
        let mut connection = capture.tls_with(&origin.authority("localhost"), &client);
        assert_eq!(connection.request(REQUEST).text(), "hello");
        drop(connection);
        capture.stop().bundle().only_trace();
    }
}

#[test]
fn sends_an_alert_when_a_handshake_fails() {
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    // A valid ClientHello, then garbage in place of the client's Finished.
    connection.writer.send_raw(&capture.client("localhost").hello()).unwrap();
    let server_hello = connection.read_exactly(5);
    assert_eq!(server_hello[0], 22, "a handshake record");
    connection.writer.send_raw(&[22, 3, 3, 0, 4, 0xff, 0, 0, 0]).unwrap();
    let (bytes, _) = connection.read_to_end();
    assert!(contains_alert(&server_hello, &bytes), "{}", bytes.escape_ascii());
    capture.stop().assert_no_warnings();
}

/// Returns true if the records after the first record's header include an alert, in the clear or encrypted (which is
/// longer).
fn contains_alert(head: &[u8], rest: &[u8]) -> bool {
    let mut bytes = [head, rest].concat();
    let mut kinds = Vec::new();
    while bytes.len() >= 5 {
        let len = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        kinds.push((bytes[0], len));
        bytes.drain(..(5 + len).min(bytes.len()));
    }
    // Type, two bytes of alert, and 17 bytes of overhead in TLS 1.3.
    kinds.iter().any(|&(kind, len)| kind == 21 || (kind == 23 && len <= 2 + 17))
}

#[test]
fn passes_through_if_the_origin_aborts_the_handshake() {
    let origin = Origin::plain(|mut connection: Connection| {
        connection.read_exactly(5);
        connection.close_abruptly();
    });
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    let error = capture.client("localhost").start(&mut connection).unwrap_err();
    assert!(matches!(error, rustls::Error::General(_)), "{error:?}");
    drop(connection);
    let outcome = capture.stop();
    assert!(outcome.bundle().traces.is_empty());
    assert!(
        outcome.summary.uncaptured.iter().any(|u| u.host == origin.authority("localhost")),
        "{:?}",
        outcome.summary.uncaptured
    );
}

#[test]
fn an_origin_may_close_while_the_client_is_idle() {
    let origin = Origin::tls(|mut connection| {
        next_request(&mut connection);
        connection.send(HELLO);
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    assert_eq!(connection.request(REQUEST).text(), "hello");
    assert_eq!(connection.read_to_end(), (Vec::new(), crate::support::Ending::Clean));
}

#[test]
fn session_tickets_do_not_reset_a_client_that_closes_without_reading() {
    let (sender, ends) = mpsc::channel();
    let origin = Origin::tls(move |mut connection| sender.send(connection.read_to_end()).unwrap());
    let capture = Capture::start();
    let host = origin.authority("localhost");
    let mut client = capture.client("localhost");
    client.early = REQUEST.to_vec();
    let started = now();
    let (mut attempt, mut judged) = (0, 0);
    while judged < 5 {
        assert!(started.elapsed() < 3 * TIMEOUT, "this machine is too slow to judge any attempt");
        let began = now();
        let connection = capture.tls_with(&host, &client);
        origin.received_at_least(attempt, REQUEST.len());
        connection.close_abruptly();
        // On a busy machine the connection may become idle before that, and the tickets are sent.
        let is_timely = began.elapsed() < Duration::from_millis(200);
        let (received, ending) = ends.recv_timeout(TIMEOUT).unwrap();
        assert_eq!(received, REQUEST);
        attempt += 1;
        if is_timely {
            judged += 1;
            assert_eq!(ending, Ending::Truncated, "the kernel sends RST if it has unread data");
        }
    }
}
