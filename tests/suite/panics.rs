//! A panic ends one connection, never the capture. In these tests the observer panics.

use crate::support::{Capture, Origin};
use spectral_capture::Notice;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn survives_an_observer_that_panics_on_an_exchange() {
    let origin = Origin::tls_responding(OK);
    let capture = Capture::with_observer(
        |notice| {
            if matches!(notice, Notice::Exchange { url, .. } if url.ends_with("/panic")) {
                panic!("the observer panics on this exchange");
            }
        },
        |_| (),
    );
    let mut before = capture.tls(&origin.authority("localhost"), "localhost");
    assert_eq!(before.request("GET /before HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "ok");
    let mut bad = capture.tls(&origin.authority("localhost"), "localhost");
    bad.request("GET /panic HTTP/1.1\r\nHost: localhost\r\n\r\n");
    capture.wait_for_exchanges(2);
    assert_eq!(before.request("GET /same-connection HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "ok");
    let mut after = capture.tls(&origin.authority("localhost"), "localhost");
    assert_eq!(after.request("GET /after HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "ok");
    drop((before, bad, after));
    let outcome = capture.stop();
    for path in ["/before", "/panic", "/same-connection", "/after"] {
        assert_eq!(outcome.bundle().trace(path).text(), "ok");
    }
}

#[test]
fn an_observer_that_panics_in_a_connection_ends_only_that_connection() {
    let origin = Origin::tls_responding(OK);
    let capture = Capture::with_observer(
        |notice| {
            if matches!(notice, Notice::Domain { name } if name == "api.example.test") {
                panic!("the observer panics on this domain");
            }
        },
        |_| (),
    );
    let mut before = capture.tls(&origin.authority("localhost"), "localhost");
    before.request("GET /before HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // The connection may end or not, but within the timeout.
    let mut bad = capture.connect(&origin.authority("127.0.0.1"));
    if capture.client("api.example.test").start(&mut bad).is_ok() {
        bad.writer.try_send(b"GET /bad HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok();
        bad.finish();
        bad.read_to_end();
    }
    assert_eq!(before.request("GET /again HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "ok");
    let mut after = capture.tls(&origin.authority("localhost"), "localhost");
    assert_eq!(after.request("GET /after HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "ok");
    drop((before, bad, after));
    let outcome = capture.stop();
    for path in ["/before", "/again", "/after"] {
        assert_eq!(outcome.bundle().trace(path).text(), "ok");
    }
}

#[test]
fn survives_an_observer_that_panics_on_each_notice() {
    let origin = Origin::tls_responding(OK);
    let capture = Capture::with_observer(|_| panic!("the observer panics on each notice"), |_| ());
    for _ in 0..3 {
        let mut connection = capture.connect(&origin.authority("localhost"));
        if capture.client("localhost").start(&mut connection).is_ok() {
            connection.writer.try_send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok();
            connection.finish();
            connection.read_to_end();
        }
    }
    capture.stop();
}
