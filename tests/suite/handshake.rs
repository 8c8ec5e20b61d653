//! TLS on both sides: what the origin is told of the client, and the client of the origin.

use crate::support::{
    Capture, Connection, ONLY_TLS12, ONLY_TLS13, Origin, TIMEOUT, TlsSetup, next_request, respond_to_all,
};
use spectral_capture::Reason;
use std::sync::mpsc;

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// SNI and protocol.
type Report = (Option<String>, Option<String>);

/// An origin that reports the SNI it was told and the protocol it chose, then answers.
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
fn the_origin_hears_the_clients_own_name() {
    let (origin, reported) = reporting(TlsSetup::default());
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.at("127.0.0.1"), "a.b.example.test");
    assert_eq!(connection.request(ASK).text(), "hello");
    assert_eq!(reported.recv_timeout(TIMEOUT).unwrap(), (Some("a.b.example.test".to_owned()), None));
}

#[test]
fn without_sni_the_origin_hears_none_and_the_leaf_is_for_the_connect_host() {
    let (origin, reported) = reporting(TlsSetup::default());
    let capture = Capture::start();
    // An address and a name: the first is no SNI ever (RFC 6066 section 3), the second only here.
    for (host, sni) in [("127.0.0.1", true), ("localhost", false)] {
        let mut client = capture.client(host);
        client.sni = sni;
        let mut connection = capture.tls_with(&origin.at(host), &client);
        assert_eq!(connection.request(ASK).text(), "hello");
        assert_eq!(reported.recv_timeout(TIMEOUT).unwrap().0, None, "{host}");
    }
    assert_eq!(capture.stop().bundle().traces.len(), 2);
}

#[test]
fn the_client_gets_the_protocol_that_the_origin_chose() {
    // What the client offers, what the origin would take, what they agree on.
    let cases: [(&[&str], &'static [&'static str], Option<&str>); 6] = [
        (&["http/1.1"], &["http/1.1"], Some("http/1.1")),
        (&["h2", "http/1.1"], &["http/1.1"], Some("http/1.1")),
        (&["imap", "h2", "http/1.1"], &["imap", "http/1.1"], Some("http/1.1")),
        (&["h2", "http/1.1"], &[], None),
        (&[], &["http/1.1"], None),
        (&["http/1.0", "http/1.1"], &["http/1.0"], Some("http/1.0")),
    ];
    for (offered, taken, agreed) in cases {
        let (origin, reported) = reporting(TlsSetup { alpn: taken, ..TlsSetup::default() });
        let capture = Capture::start();
        let client = capture.client("localhost").alpn(offered);
        let mut connection = capture.tls_with(&origin.at("localhost"), &client);
        assert_eq!(connection.request(ASK).text(), "hello");
        assert_eq!(reported.recv_timeout(TIMEOUT).unwrap().1.as_deref(), agreed, "{offered:?} {taken:?}");
        assert_eq!(connection.alpn().as_deref(), agreed, "{offered:?} {taken:?}");
        drop(connection);
        capture.stop().bundle().only_trace();
    }
}

#[test]
fn either_side_may_speak_either_version() {
    for versions in [ONLY_TLS12, ONLY_TLS13] {
        for client_speaks in [ONLY_TLS12, ONLY_TLS13] {
            let origin = Origin::tls_with(TlsSetup { versions, ..TlsSetup::default() }, |connection| {
                respond_to_all(connection, HELLO)
            });
            let capture = Capture::start();
            let mut client = capture.client("localhost");
            client.versions = client_speaks;
            let mut connection = capture.tls_with(&origin.at("localhost"), &client);
            assert_eq!(connection.request(ASK).text(), "hello");
            drop(connection);
            capture.stop().bundle().only_trace();
        }
    }
}

#[test]
fn a_request_in_the_handshakes_last_flight_is_served() {
    for versions in [ONLY_TLS12, ONLY_TLS13] {
        let origin = Origin::tls_responding(HELLO);
        let capture = Capture::start();
        let mut client = capture.client("localhost");
        client.versions = versions;
        client.early = ASK.to_vec();
        let mut connection = capture.tls_with(&origin.at("localhost"), &client);
        assert_eq!(connection.read_response().text(), "hello");
        drop(connection);
        capture.stop().bundle().only_trace();
    }
}

#[test]
fn what_the_origin_says_with_its_handshake_reaches_the_client() {
    let setup = TlsSetup { early: b"220 ready when you are\r\n", ..TlsSetup::default() };
    let origin = Origin::tls_with(setup, |mut connection| {
        assert_eq!(connection.read_until(b"\n"), b"QUIT\n");
        connection.send("221 bye\r\n");
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.at("localhost"), "localhost");
    assert_eq!(connection.read_until(b"\n"), b"220 ready when you are\r\n");
    connection.send("QUIT\n");
    assert_eq!(connection.read_until(b"\n"), b"221 bye\r\n");
    drop(connection);
    // Nobody asked for it, so it is no exchange; that is said.
    let outcome = capture.stop();
    assert!(outcome.bundle().traces.is_empty(), "{:?}", outcome.bundle().urls());
    assert!(
        outcome.summary.uncaptured.iter().any(|u| matches!(u.reason, Reason::Opaque(_) | Reason::NotHttp)),
        "{:?}",
        outcome.summary.uncaptured
    );
}

#[test]
fn a_client_hello_may_come_in_pieces_of_any_kind() {
    /// The handshake message in records of 100 bytes each (RFC 8446 section 5.1).
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
        let mut connection = capture.tls_with(&origin.at("127.0.0.1"), &client);
        assert_eq!(connection.request(ASK).text(), "hello");
        assert_eq!(reported.recv_timeout(TIMEOUT).unwrap().0.as_deref(), Some("example.test"));
        drop(connection);
        capture.stop().bundle().only_trace();
    }
}

#[test]
fn a_client_hello_may_be_large() {
    // As large as with post-quantum key shares, and larger than one segment or one TLS record of it.
    for protocols in [30, 150, 900] {
        let (origin, _reported) = reporting(TlsSetup { alpn: &["http/1.1"], ..TlsSetup::default() });
        let capture = Capture::start();
        let mut client = capture.client("localhost");
        client.alpn = (0..protocols).map(|number| format!("made-up-protocol-{number:06}")).collect();
        client.alpn.push("http/1.1".to_owned());
        assert!(client.hello().len() > protocols * 20);
        let mut connection = capture.tls_with(&origin.at("localhost"), &client);
        assert_eq!(connection.request(ASK).text(), "hello");
        drop(connection);
        capture.stop().bundle().only_trace();
    }
}

#[test]
fn a_handshake_that_fails_is_ended_with_an_alert_not_with_silence() {
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.at("localhost"));
    // A ClientHello to answer, and then nonsense where the client's Finished should come.
    connection.writer.send_raw(&capture.client("localhost").hello()).unwrap();
    let server_hello = connection.read_exactly(5);
    assert_eq!(server_hello[0], 22, "a handshake record");
    connection.writer.send_raw(&[22, 3, 3, 0, 4, 0xff, 0, 0, 0]).unwrap();
    let (bytes, _) = connection.read_to_end();
    assert!(contains_alert(&server_hello, &bytes), "{}", bytes.escape_ascii());
    capture.stop().assert_no_warnings();
}

/// Whether the records after the first one's head have an alert among them, in the clear or (longer by then) encrypted.
fn contains_alert(head: &[u8], rest: &[u8]) -> bool {
    let mut bytes = [head, rest].concat();
    let mut kinds = Vec::new();
    while bytes.len() >= 5 {
        let len = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        kinds.push((bytes[0], len));
        bytes.drain(..(5 + len).min(bytes.len()));
    }
    // Type, two bytes of alert, and 17 bytes of TLS 1.3's wrapping.
    kinds.iter().any(|&(kind, len)| kind == 21 || (kind == 23 && len <= 2 + 17))
}

#[test]
fn an_origin_that_cuts_the_handshake_off_is_left_to_the_client() {
    let origin = Origin::plain(|mut connection: Connection| {
        connection.read_exactly(5);
        connection.close_abruptly();
    });
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.at("localhost"));
    let error = capture.client("localhost").start(&mut connection).unwrap_err();
    assert!(matches!(error, rustls::Error::General(_)), "{error:?}");
    drop(connection);
    let outcome = capture.stop();
    assert!(outcome.bundle().traces.is_empty());
    assert!(
        outcome.summary.uncaptured.iter().any(|u| u.host == origin.at("localhost")),
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
    let mut connection = capture.tls(&origin.at("localhost"), "localhost");
    assert_eq!(connection.request(ASK).text(), "hello");
    assert_eq!(connection.read_to_end(), (Vec::new(), crate::support::Ending::Clean));
}
