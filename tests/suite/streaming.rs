//! Data is forwarded without waiting for more: the origin sends the second piece only after the test has seen the first
//! at the client.

use crate::support::{Capture, Gate, Origin};

/// Sends `first` and, once the gate is open, `second`.
fn streaming(
    head: &'static str,
    first: &'static str,
    second: &'static str,
) -> (impl Fn(crate::support::Connection) + Send + Sync, Gate) {
    let gate = Gate::default();
    let wait = gate.clone();
    let script = move |mut connection: crate::support::Connection| {
        connection.read_head();
        connection.send(head);
        connection.send(first);
        wait.pass();
        connection.send(second);
    };
    (script, gate)
}

const SSE: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn forwards_each_server_sent_event_at_once() {
    let (script, gate) = streaming(SSE, "data: 1\n\n", "data: 2\n\n");
    let origin = Origin::tls(script);
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(connection.read_head(), SSE);
    assert_eq!(connection.read_until(b"\n\n"), b"data: 1\n\n");
    gate.open();
    assert_eq!(connection.read_until(b"\n\n"), b"data: 2\n\n");
    drop(connection);
    assert_eq!(capture.stop().bundle().only_trace().text(), "data: 1\n\ndata: 2\n\n");
}

#[test]
fn forwards_each_chunk_at_once_in_a_clear_tunnel() {
    let (script, gate) = streaming(CHUNKED, "3\r\none\r\n", "3\r\ntwo\r\n0\r\n\r\n");
    let origin = Origin::plain(script);
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    connection.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(connection.read_until(b"one\r\n"), format!("{CHUNKED}3\r\none\r\n").as_bytes());
    gate.open();
    assert_eq!(connection.read_until(b"0\r\n\r\n"), b"3\r\ntwo\r\n0\r\n\r\n");
    drop(connection);
    assert_eq!(capture.stop().bundle().only_trace().text(), "onetwo");
}

#[test]
fn forwards_each_chunk_at_once_to_a_plain_request() {
    let (script, gate) = streaming(CHUNKED, "3\r\none\r\n", "3\r\ntwo\r\n0\r\n\r\n");
    let origin = Origin::plain(script);
    let capture = Capture::start();
    let mut connection = capture.dial();
    let host = origin.authority("127.0.0.1");
    connection.send(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert_eq!(connection.read_until(b"one\r\n"), format!("{CHUNKED}3\r\none\r\n").as_bytes());
    gate.open();
    assert_eq!(connection.read_until(b"0\r\n\r\n"), b"3\r\ntwo\r\n0\r\n\r\n");
    drop(connection);
    assert_eq!(capture.stop().bundle().only_trace().text(), "onetwo");
}

#[test]
fn forwards_partial_chunks_and_heads_at_once() {
    let (script, gate) =
        streaming("HTTP/1.1 200 OK\r\nTransfer-", "Encoding: chunked\r\n\r\n8\r\nhalf", "half\r\n0\r\n\r\n");
    let origin = Origin::tls(script);
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    connection.read_until(b"8\r\nhalf");
    gate.open();
    connection.read_until(b"half\r\n0\r\n\r\n");
    drop(connection);
    assert_eq!(capture.stop().bundle().only_trace().text(), "halfhalf");
}

#[test]
fn forwards_each_piece_of_an_upload_at_once() {
    for plain in [false, true] {
        let got = Gate::default();
        let gate = got.clone();
        let script = move |mut connection: crate::support::Connection| {
            connection.read_until(b"first");
            gate.open();
            connection.read_until(b"second");
            connection.send("HTTP/1.1 204 No Content\r\n\r\n");
        };
        let (origin, capture);
        let mut connection;
        if plain {
            origin = Origin::plain(script);
            capture = Capture::start();
            connection = capture.dial();
            let host = origin.authority("127.0.0.1");
            connection.send(format!("POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 11\r\n\r\nfirst"));
        } else {
            origin = Origin::tls(script);
            capture = Capture::start();
            connection = capture.tls(&origin.authority("localhost"), "localhost");
            connection.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 11\r\n\r\nfirst");
        }
        got.pass();
        connection.send("second");
        assert_eq!(connection.read_response().status, 204);
        drop(connection);
        assert_eq!(capture.stop().bundle().only_trace().request_body, b"firstsecond");
    }
}
