//! Client and origin use the protocol that they would negotiate without the proxy.

use crate::support::node::{get, post};
use crate::support::peers::{peer, run};
use crate::support::{Capture, NodeOrigin, Origin, TestCa, TlsClient, TlsSetup, respond_to_all};
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
fn omits_protocols_without_a_tap_from_the_offer() {
    // Without the proxy, this origin would choose a protocol that the proxy cannot record.
    let setup = TlsSetup { alpn: &["grpc-exp", "h2"], ..TlsSetup::default() };
    let origin = Origin::tls_with(setup, |mut connection| drop(connection.read_to_end()));
    let capture = Capture::start();
    let client = capture.client("localhost").alpn(&["grpc-exp", "h2"]);
    let connection = capture.tls_with(&origin.authority("localhost"), &client);
    assert_eq!(connection.alpn().as_deref(), Some("h2"));
    drop(connection);
    assert!(capture.stop().summary.uncaptured.iter().all(|u| u.reason == Reason::ClientLeft));
}

#[test]
fn keeps_the_order_of_the_clients_offer() {
    for (offered, expected) in [
        (["h2", "spdy/3", "http/1.1"], &b"\0\x10\0\x0e\0\x0c\x02h2\x08http/1.1"[..]),
        (["http/1.1", "h2", "spdy/3"], b"\0\x10\0\x0e\0\x0c\x08http/1.1\x02h2"),
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
