//! Half-close ends one direction, not the connection.

use crate::support::{Capture, Connection, Ending, Origin, TIMEOUT, options, patterns};
use std::sync::mpsc;

/// Reads to the end of the stream, then sends back the number of bytes and the way it ended.
fn respond_after_end(mut connection: Connection) {
    let (bytes, ending) = connection.read_to_end();
    connection.send(format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{} bytes, {ending:?}", bytes.len()));
}

const REQUEST: &str = "GET /half HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn a_client_that_half_closes_gets_its_response() {
    for tls in [true, false] {
        let origin = if tls { Origin::tls(respond_after_end) } else { Origin::plain(respond_after_end) };
        let capture = Capture::start();
        let host = origin.authority("localhost");
        let mut connection = if tls { capture.tls(&host, "localhost") } else { capture.connect(&host) };
        connection.send(REQUEST);
        connection.finish();
        let expected = format!("{} bytes, Clean", REQUEST.len());
        let response = connection.read_response();
        assert_eq!((response.status, response.text()), (200, expected.clone()));
        assert_eq!(connection.read_to_end().1, Ending::Clean);
        drop(connection);
        let outcome = capture.stop();
        assert_eq!(outcome.bundle().only_trace().text(), expected);
    }
}

#[test]
fn a_client_that_half_closes_after_a_plain_request_gets_its_response() {
    let origin = Origin::plain(|mut connection| {
        connection.read_head();
        // The proxy need not forward the half-close at once, but the response must arrive.
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let capture = Capture::start();
    let mut connection = capture.dial();
    let host = origin.authority("127.0.0.1");
    connection.send(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    connection.finish();
    assert_eq!(connection.read_response().text(), "ok");
}

#[test]
fn forwards_the_clients_half_close_in_passthrough() {
    let origin = Origin::plain(respond_after_end);
    let capture = Capture::with(|config| options(config).exclude = patterns(&["*"]));
    let mut connection = capture.connect(&origin.authority("localhost"));
    connection.send("\0anything");
    connection.finish();
    assert!(connection.read_response().text().ends_with("9 bytes, Clean"));
}

#[test]
fn an_origin_that_half_closes_receives_the_rest() {
    for tls in [true, false] {
        let (sender, receiver) = mpsc::channel();
        let script = move |mut connection: Connection| {
            connection.read_head();
            connection.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nearly");
            connection.finish();
            sender.send(connection.read_to_end()).unwrap();
        };
        let origin = if tls { Origin::tls(script) } else { Origin::plain(script) };
        let capture = Capture::start();
        let host = origin.authority("localhost");
        let mut connection = if tls { capture.tls(&host, "localhost") } else { capture.connect(&host) };
        connection.send("POST /half HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n");
        let (response, ending) = connection.read_to_end();
        assert!(response.ends_with(b"\r\n\r\nearly"));
        assert_eq!(ending, Ending::Clean);
        connection.send("0123456789");
        connection.finish();
        let (rest, ending) = receiver.recv_timeout(TIMEOUT).unwrap();
        assert_eq!((rest.as_slice(), ending), (&b"0123456789"[..], Ending::Clean), "TLS: {tls}");
        drop(connection);
        let outcome = capture.stop();
        let trace = outcome.bundle().only_trace();
        assert_eq!((trace.text().as_str(), trace.request_body.as_slice()), ("early", &b"0123456789"[..]));
    }
}
