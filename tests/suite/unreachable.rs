//! Unreachable origins: the client gets an error response that names the host and the cause, within the timeout.

use crate::support::{Capture, Origin, now};
use spectral_capture::Reason;
use std::net::TcpListener;
use std::time::Duration;

/// Returns a port without a listener.
fn unused_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[track_caller]
fn assert_names_host(response: &crate::support::connection::Response, host: &str) {
    assert_eq!(response.status, 502, "{}", response.head);
    let text = response.text();
    assert!(text.contains(host) && text.contains(' ') && !text.contains("Os {"), "a readable message: {text}");
}

#[test]
fn answers_connect_with_an_error_if_the_port_refuses() {
    let capture = Capture::start();
    let target = format!("127.0.0.1:{}", unused_port());
    let mut connection = capture.dial();
    let response = connection.request(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
    assert_names_host(&response, "127.0.0.1");
    drop(connection);
    let outcome = capture.stop();
    outcome.assert_uncaptured(&target, 1, |reason| matches!(reason, Reason::Unreachable(_)));
    assert!(outcome.bundle().traces.is_empty(), "error responses of the proxy are not recorded");
}

#[test]
fn answers_a_plain_request_with_an_error_if_the_port_refuses() {
    let origin = Origin::plain_responding("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let capture = Capture::start();
    let target = format!("127.0.0.1:{}", unused_port());
    let mut connection = capture.dial();
    let response = connection.request(format!("GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n\r\n"));
    assert_names_host(&response, "127.0.0.1");
    // The client's connection stays open.
    if response.header("connection") != Some("close") {
        let host = origin.authority("127.0.0.1");
        assert_eq!(connection.request(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n")).text(), "ok");
    }
    drop(connection);
    capture.stop().assert_uncaptured(&target, 1, |reason| matches!(reason, Reason::Unreachable(_)));
}

#[test]
fn answers_with_an_error_if_the_name_does_not_exist() {
    // RFC 6761 section 6.4: `invalid` never resolves.
    let capture = Capture::start();
    for request in [
        "CONNECT no.such.name.invalid:443 HTTP/1.1\r\nHost: no.such.name.invalid:443\r\n\r\n",
        "GET http://no.such.name.invalid/ HTTP/1.1\r\nHost: no.such.name.invalid\r\n\r\n",
    ] {
        let begin = now();
        let mut connection = capture.dial();
        connection.reader.set_read_timeout(Duration::from_secs(60));
        assert_names_host(&connection.request(request), "no.such.name.invalid");
        assert!(now() - begin < Duration::from_secs(45), "name resolution has a timeout");
    }
    let outcome = capture.stop();
    for host in ["no.such.name.invalid:443", "no.such.name.invalid:80"] {
        outcome.assert_uncaptured(host, 1, |reason| matches!(reason, Reason::Unreachable(_)));
    }
}

#[test]
fn falls_back_from_ipv6_to_ipv4_quickly() {
    // `localhost` is ::1 and 127.0.0.1 on most machines; the origin listens only on the second.
    let origin = Origin::plain_responding("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let capture = Capture::start();
    let begin = now();
    let mut connection = capture.connect(&origin.authority("localhost"));
    assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "ok");
    // Half of the timeout of an address that does not answer.
    assert!(now() - begin < Duration::from_secs(15), "{:?}", now() - begin);
}

#[test]
fn stops_without_waiting_for_name_resolution() {
    let capture = Capture::start();
    let mut connection = capture.dial();
    connection.send("CONNECT no.such.name.invalid:443 HTTP/1.1\r\nHost: x\r\n\r\n");
    capture.stop();
}
