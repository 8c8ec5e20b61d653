//! Selection of hosts by the CONNECT target, SNI or Host, with and without a port.

use crate::support::{Capture, Origin, TestCa, TlsClient, options, patterns};
use spectral_capture::{Reason, Transparent};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Returns true if TLS with `name` to 127.0.0.1 is captured.
#[track_caller]
fn is_captured(include: &[&str], exclude: &[&str], name: &str) -> bool {
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::with(|config| {
        options(config).include = patterns(include);
        options(config).exclude = patterns(exclude);
    });
    let mut client = TlsClient::new(name, capture.roots());
    client.roots.push(TestCa::trusted().der());
    let mut connection = capture.tls_with(&origin.authority("127.0.0.1"), &client);
    assert_eq!(connection.request(format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n")).text(), "hello");
    let ours = connection.peer_certificate() != *origin.certificate();
    drop(connection);
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().traces.len(), usize::from(ours));
    let named = outcome.summary.uncaptured.iter().any(|u| u.reason == Reason::NotMatched);
    assert_eq!(named, !ours, "{:?}", outcome.summary.uncaptured);
    ours
}

#[test]
fn selects_by_server_name() {
    assert!(is_captured(&[], &[], "api.example.test"));
    assert!(is_captured(&["api.example.test"], &[], "api.example.test"));
    assert!(is_captured(&["API.Example.TEST"], &[], "api.example.test"), "case-insensitive");
    assert!(is_captured(&["*.example.test"], &[], "api.example.test"));
    assert!(is_captured(&["*.example.test"], &[], "a.b.example.test"), "a star matches dots");
    assert!(is_captured(&["other.test", "a?i.example.*"], &[], "api.example.test"), "one of several patterns");
    assert!(!is_captured(&["*.example.test"], &[], "example.test"));
    assert!(!is_captured(&["example.test"], &[], "api.example.test"), "the whole name must match");
    assert!(!is_captured(&["api.example.tes"], &[], "api.example.test"));
}

#[test]
fn selects_by_connect_target() {
    assert!(is_captured(&["127.0.0.1"], &[], "api.example.test"));
    assert!(is_captured(&["127.*"], &[], "api.example.test"));
}

#[test]
fn exclusion_overrides_inclusion() {
    assert!(!is_captured(&["api.example.test"], &["*.example.test"], "api.example.test"));
    assert!(!is_captured(&[], &["api.*"], "api.example.test"));
    assert!(!is_captured(&[], &["127.0.0.1"], "api.example.test"));
    assert!(is_captured(&[], &["other.test"], "api.example.test"));
}

#[test]
fn selects_by_port() {
    let origin = Origin::tls_responding(HELLO);
    for (port, expected) in [(origin.port(), true), (443, false)] {
        let capture = Capture::with(|config| options(config).include = patterns(&[&format!("*:{port}")]));
        let mut client = TlsClient::new("localhost", capture.roots());
        client.roots.push(TestCa::trusted().der());
        let mut connection = capture.tls_with(&origin.authority("localhost"), &client);
        connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        drop(connection);
        assert_eq!(capture.stop().bundle().traces.len(), usize::from(expected), "port {port}");
    }
}

#[test]
fn selects_plain_requests() {
    let origin = Origin::plain_responding(HELLO);
    let host = origin.authority("127.0.0.1");
    for (include, expected) in [("127.0.0.1", 1), ("localhost", 0), ("*.example.test", 0)] {
        let capture = Capture::with(|config| options(config).include = patterns(&[include]));
        let mut connection = capture.dial();
        assert_eq!(connection.request(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n")).text(), "hello");
        drop(connection);
        let outcome = capture.stop();
        assert_eq!(outcome.bundle().traces.len(), expected, "{include}");
        if expected == 0 {
            outcome.assert_uncaptured(&host, 1, |reason| *reason == Reason::NotMatched);
        }
    }
}

#[test]
fn selects_each_plain_request_of_a_connection() {
    let (wanted, unwanted) = (Origin::plain_responding(HELLO), Origin::plain_responding(HELLO));
    let include = wanted.authority("127.0.0.1");
    let capture = Capture::with(|config| options(config).include = patterns(&[&include]));
    let mut connection = capture.dial();
    for (origin, path) in [(&wanted, "/1"), (&unwanted, "/2"), (&wanted, "/3"), (&unwanted, "/4")] {
        let host = origin.authority("127.0.0.1");
        let response = connection.request(format!("GET http://{host}{path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(response.text(), "hello");
    }
    drop(connection);
    let outcome = capture.stop();
    let urls: Vec<_> =
        ["/1", "/3"].iter().map(|path| format!("http://{}{path}", wanted.authority("127.0.0.1"))).collect();
    assert_eq!(outcome.bundle().urls(), urls);
}

#[test]
fn selects_clear_http_in_a_tunnel_by_host_field() {
    let origin = Origin::plain_responding(HELLO);
    for (include, expected) in [("api.example.test", 1), ("127.0.0.1", 1), ("other.test", 0)] {
        let capture = Capture::with(|config| options(config).include = patterns(&[include]));
        let mut connection = capture.connect(&origin.authority("127.0.0.1"));
        assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: Api.Example.Test\r\n\r\n").text(), "hello");
        drop(connection);
        assert_eq!(capture.stop().bundle().traces.len(), expected, "{include}");
    }
}

#[test]
fn selects_redirected_requests_by_host_field() {
    let origin = Origin::plain_responding(HELLO);
    for (include, expected) in [("localhost", 1), ("*.test", 0)] {
        let capture = Capture::with(|config| {
            config.transparent = Transparent::ByName;
            options(config).include = patterns(&[include]);
        });
        let mut connection = capture.dial();
        let response = connection.request(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", origin.authority("localhost")));
        assert_eq!(response.text(), "hello");
        drop(connection);
        assert_eq!(capture.stop().bundle().traces.len(), expected, "{include}");
    }
}
