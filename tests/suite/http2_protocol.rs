//! Client and origin use the protocol that they would negotiate without the proxy.

use crate::support::node::{get, post};
use crate::support::openssl::OpensslOrigin;
use crate::support::peers::{peer, run};
use crate::support::{Capture, CertSpec, NodeOrigin, Origin, TestCa, TlsClient, TlsSetup, respond_to_all};
use serde_json::json;
use spectral_capture::Reason;
use std::process::Command;

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Returns the protocol between a client that offers `offered` and an origin that supports `supported`, through the proxy.
#[track_caller]
fn negotiated(offered: &[&str], supported: &'static [&'static str]) -> Option<String> {
    let setup = TlsSetup { alpn: supported, ..TlsSetup::default() };
    let origin = Origin::tls_with(setup, |mut connection| drop(connection.read_to_end()));
    let direct = {
        let mut connection = crate::support::Connection::to(origin.addr);
        let client = TlsClient::new("localhost", vec![TestCa::trusted().der()]).alpn(offered);
        client.start(&mut connection).unwrap();
        connection.alpn()
    };
    let capture = Capture::start();
    let through = capture.tls_with(&origin.authority("localhost"), &capture.client("localhost").alpn(offered)).alpn();
    assert_eq!(through, direct, "{offered:?} and {supported:?}");
    assert!(capture.stop().summary.uncaptured.iter().all(|u| u.reason == Reason::ClientLeft));
    through
}

#[test]
fn the_origin_chooses_from_the_clients_offer() {
    for (offered, supported, expected) in [
        (&["h2", "http/1.1"][..], &["h2", "http/1.1"][..], Some("h2")),
        (&["h2", "http/1.1"], &["http/1.1", "h2"], Some("http/1.1")),
        (&["http/1.1", "h2"], &["h2", "http/1.1"], Some("h2")),
        (&["h2", "http/1.1"], &["http/1.1"], Some("http/1.1")),
        (&["h2", "http/1.1"], &["h2"], Some("h2")),
        (&["http/1.1"], &["h2", "http/1.1"], Some("http/1.1")),
        (&["h2"], &["h2", "http/1.1"], Some("h2")),
        (&["h2", "http/1.1"], &[], None),
        (&[], &["h2", "http/1.1"], None),
    ] {
        assert_eq!(negotiated(offered, supported).as_deref(), expected, "{offered:?} and {supported:?}");
    }
}

#[test]
fn passes_through_when_the_origin_chooses_a_protocol_without_a_tap() {
    let setup = TlsSetup { alpn: &["grpc-exp", "h2"], ..TlsSetup::default() };
    let origin = Origin::tls_with(setup, |connection| respond_to_all(connection, HELLO));
    let capture = Capture::start();
    let authority = origin.authority("localhost");
    let client = TlsClient::new("localhost", vec![TestCa::trusted().der()]).alpn(&["grpc-exp", "http/1.1", "h2"]);
    for connections in [2, 3] {
        let mut connection = capture.tls_with(&authority, &client);
        assert_eq!(connection.alpn().as_deref(), Some("grpc-exp"));
        assert_eq!(connection.peer_certificate(), *origin.certificate());
        assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "hello");
        assert_eq!(origin.connections(), connections, "the second time, it passes through at once");
    }
    // Clients with another offer are captured.
    let other = capture.client("localhost").alpn(&["h2"]);
    assert_eq!(capture.tls_with(&authority, &other).alpn().as_deref(), Some("h2"));
    let outcome = capture.stop();
    outcome.assert_uncaptured(&authority, 2, |reason| matches!(reason, Reason::Protocol(name) if name == "grpc-exp"));
    outcome.assert_uncaptured(&authority, 1, |reason| *reason == Reason::ClientLeft);
}

#[test]
fn captures_a_client_with_unknown_protocols_that_the_origin_does_not_choose() {
    let setup = TlsSetup { alpn: &["http/1.1", "foo"], ..TlsSetup::default() };
    let origin = Origin::tls_with(setup, |connection| respond_to_all(connection, HELLO));
    let capture = Capture::start();
    // The first is reserved (GREASE, RFC 8701).
    let client = capture.client("localhost").alpn(&["\x0a\x0a", "foo", "http/1.1"]);
    let mut connection = capture.tls_with(&origin.authority("localhost"), &client);
    assert_eq!(connection.alpn().as_deref(), Some("http/1.1"));
    assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "hello");
    drop(connection);
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().only_trace().text(), "hello");
    assert!(outcome.summary.uncaptured.is_empty());
}

#[test]
fn offers_the_clients_protocols_in_their_order() {
    for (offered, expected) in [
        (["h2", "spdy/3", "http/1.1"], &b"\0\x10\0\x15\0\x13\x02h2\x06spdy/3\x08http/1.1"[..]),
        (["http/1.1", "h2", "spdy/3"], b"\0\x10\0\x15\0\x13\x08http/1.1\x02h2\x06spdy/3"),
    ] {
        // The origin receives the proxy's ClientHello, closes, and then receives the client's own.
        let origin = Origin::plain(|mut connection| {
            let head = connection.read_exactly(5);
            connection.read_exactly(usize::from(u16::from_be_bytes([head[3], head[4]])));
        });
        let capture = Capture::start();
        let mut connection = capture.connect(&origin.authority("localhost"));
        capture.client("localhost").alpn(&offered).start(&mut connection).unwrap_err();
        let hello = origin.received(0);
        assert!(hello.windows(expected.len()).any(|window| window == expected), "{}", hello.escape_ascii());
    }
}

#[test]
fn reduces_an_offer_of_unusual_size() {
    let setup = TlsSetup { alpn: &["protocol-7", "h2"], ..TlsSetup::default() };
    let origin = Origin::tls_with(setup, |mut connection| drop(connection.read_to_end()));
    let capture = Capture::start();
    let mut client = capture.client("localhost");
    client.alpn = (0..2000).map(|number| format!("protocol-{number}")).chain(["h2".to_owned()]).collect();
    assert_eq!(capture.tls_with(&origin.authority("localhost"), &client).alpn().as_deref(), Some("h2"));
    assert!(capture.stop().summary.uncaptured.iter().all(|u| u.reason == Reason::ClientLeft));
}

/// The options of `openssl s_server` to choose a protocol, and the one that it then chooses from `foo,http/1.1`.
const OPENSSL_ALPN: [(&[&str], &str); 3] =
    [(&["-alpn", "foo,http/1.1"], "foo"), (&["-alpn", "http/1.1,foo"], "http/1.1"), (&[], "none")];

#[test]
fn openssl_negotiates_the_same_protocol_with_and_without_the_proxy() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    for (options, expected) in OPENSSL_ALPN {
        let origin = OpensslOrigin::start(&openssl, TestCa::trusted().issue(&CertSpec::default()), options).unwrap();
        let capture = Capture::start();
        for through in [false, true] {
            let mut command = Command::new(&openssl);
            command.args(["s_client", "-alpn", "foo,http/1.1", "-servername", "localhost", "-connect"]);
            command.arg(format!("localhost:{}", origin.port));
            if through {
                command.args(["-proxy", &capture.addr.to_string()]);
            }
            let output = run(&mut command).text();
            let alpn = output.lines().find_map(|line| line.strip_prefix("ALPN protocol: ")).unwrap_or("none");
            assert_eq!(alpn, expected, "{options:?}, through the proxy: {through}: {output}");
        }
        let reported = |reason: &Reason| matches!(reason, Reason::Protocol(name) if name == "foo");
        let outcome = capture.stop();
        if expected == "foo" {
            outcome.assert_uncaptured(&format!("localhost:{}", origin.port), 1, reported);
        } else {
            assert!(outcome.summary.uncaptured.iter().all(|u| u.reason == Reason::ClientLeft), "{expected}");
        }
    }
}

#[test]
fn passes_through_a_client_that_offers_only_unknown_protocols() {
    let setup = TlsSetup { alpn: &["spdy/3"], ..TlsSetup::default() };
    let origin = Origin::tls_with(setup, |connection| respond_to_all(connection, HELLO));
    let capture = Capture::start();
    let client = TlsClient::new("localhost", vec![TestCa::trusted().der()]).alpn(&["spdy/3", "h3"]);
    let mut connection = capture.tls_with(&origin.authority("localhost"), &client);
    assert_eq!(connection.alpn().as_deref(), Some("spdy/3"));
    assert_eq!(connection.peer_certificate(), *origin.certificate());
    assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "hello");
    drop(connection);
    let outcome = capture.stop();
    assert!(outcome.bundle().traces.is_empty());
    let named = |reason: &Reason| matches!(reason, Reason::Protocol(which) if which == "spdy/3, h3");
    outcome.assert_uncaptured(&origin.authority("localhost"), 1, named);
}

#[test]
fn node_negotiates_the_same_protocol_with_and_without_the_proxy() {
    for (supported, expected) in [(&["h2", "http/1.1"][..], "h2"), (&["http/1.1"], "http/1.1"), (&["h2"], "h2")] {
        let Some(origin) = NodeOrigin::offering(supported) else {
            return;
        };
        let capture = Capture::start();
        let seen = origin.assert_same_as_direct(&capture, &json!([get("/hello")]));
        assert_eq!((seen["protocol"].as_str(), seen["answers"][0]["body"].as_str()), (Some(expected), Some("hello")));
        let outcome = capture.stop();
        outcome.assert_no_warnings();
        assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
        let trace = outcome.bundle().only_trace();
        assert_eq!((trace.url(), trace.status(), trace.text().as_str()), (&*origin.url("/hello"), 200, "hello"));
        assert_eq!(trace.status_text(), if expected == "h2" { "" } else { "OK" });
    }
}

#[test]
fn curl_negotiates_the_same_protocol_with_and_without_the_proxy() {
    let (Some(origin), Some(curl)) = (NodeOrigin::tls(), peer("curl")) else {
        return;
    };
    let capture = Capture::start();
    let request = |proxy: &str, option: &str| {
        let ca = if proxy.is_empty() { &TestCa::trusted().pem } else { capture.ca.as_ref().unwrap() };
        let mut command = Command::new(&curl);
        command.args(["-sS", "--noproxy", "", "-x", proxy, "-w", " over %{http_version}", option, "--cacert"]);
        run(command.arg(ca).arg(origin.url("/hello"))).ok().text()
    };
    let proxy = format!("http://{}", capture.addr);
    for (option, expected) in [("--http2", "2"), ("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")] {
        let through = request(&proxy, option);
        assert_eq!(through, format!("hello over {expected}"), "{option}");
        assert_eq!(through, request("", option), "{option}");
    }
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().urls(), [&origin.url("/hello"); 3]);
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
}

#[test]
fn negotiates_each_connection_separately() {
    let Some(origin) = NodeOrigin::tls() else {
        return;
    };
    let capture = Capture::start();
    for offer in [&["h2", "http/1.1"][..], &["http/1.1"], &["h2"]] {
        let how = json!({"offer": offer, "requests": [post("/echo", "one")]});
        let seen = origin.run_client_with(Some(&capture), &how);
        assert_eq!(seen["protocol"], offer[0], "{seen}");
    }
    assert_eq!(capture.stop().bundle().traces.len(), 3);
}
