//! Large transfers in both directions at once do not deadlock.

use crate::support::{Capture, Connection, Origin, options, patterns};
use std::thread;

const SIZE: usize = 8 << 20;

/// Sends `head` and a large body while it reads as much; returns the bytes read.
fn exchange(connection: &mut Connection, head: &str) -> Vec<u8> {
    let mut writer = connection.writer.clone();
    let mut bytes = head.as_bytes().to_vec();
    bytes.extend(pattern(head.len()));
    let sending = thread::spawn(move || writer.send(bytes));
    let mut got = connection.read_until(b"\r\n\r\n");
    got.extend(connection.read_exactly(SIZE));
    sending.join().unwrap();
    got
}

/// Returns bytes with a period that does not divide buffer sizes.
fn pattern(seed: usize) -> Vec<u8> {
    (0..SIZE).map(|n| (n % 251 + n / 65_521 + seed) as u8).collect()
}

const REQUEST: &str = "POST /both HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8388608\r\n\r\n";
const RESPONSE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 8388608\r\n\r\n";

fn echo_concurrently(mut connection: Connection) {
    connection.read_head();
    let mut writer = connection.writer.clone();
    let sending = thread::spawn(move || {
        writer.send(RESPONSE);
        writer.send(pattern(RESPONSE.len()));
    });
    connection.read_exactly(SIZE);
    sending.join().unwrap();
}

#[track_caller]
fn check(origin: &Origin, mut connection: Connection) {
    let got = exchange(&mut connection, REQUEST);
    assert!(got == [RESPONSE.as_bytes(), &pattern(RESPONSE.len())].concat());
    assert!(
        origin.received_at_least(0, REQUEST.len() + SIZE) == [REQUEST.as_bytes(), &pattern(REQUEST.len())].concat()
    );
}

#[test]
fn exchanges_8_mib_both_ways_over_tls() {
    let origin = Origin::tls(echo_concurrently);
    let capture = Capture::start();
    check(&origin, capture.tls(&origin.authority("localhost"), "localhost"));
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    let trace = outcome.bundle().only_trace();
    assert!(trace.request_body == pattern(REQUEST.len()) && trace.response_body == pattern(RESPONSE.len()));
}

#[test]
fn exchanges_8_mib_both_ways_in_the_clear() {
    let origin = Origin::plain(echo_concurrently);
    let capture = Capture::start();
    check(&origin, capture.connect(&origin.authority("localhost")));
    assert!(capture.stop().bundle().only_trace().response_body == pattern(RESPONSE.len()));
}

#[test]
fn exchanges_8_mib_both_ways_in_passthrough() {
    let origin = Origin::tls(echo_concurrently);
    let capture = Capture::with(|config| options(config).exclude = patterns(&["*"]));
    let client = crate::support::TlsClient::new("localhost", vec![crate::support::TestCa::trusted().der()]);
    check(&origin, capture.tls_with(&origin.authority("localhost"), &client));
    assert!(capture.stop().bundle().traces.is_empty());
}
