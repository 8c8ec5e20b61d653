//! TLS that ends without close_notify may be truncated: it is forwarded and recorded as such.

use crate::support::{Capture, Connection, Ending, Origin, TIMEOUT};
use std::sync::mpsc;

#[test]
fn forwards_the_origins_truncation() {
    for head in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n",
    ] {
        let origin = Origin::tls(move |mut connection: Connection| {
            connection.read_head();
            connection.send(head);
            connection.send("up to here");
            connection.close_abruptly();
        });
        let capture = Capture::start();
        let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
        connection.send("GET /cut HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (bytes, ending) = connection.read_to_end();
        assert_eq!(String::from_utf8(bytes).unwrap(), format!("{head}up to here"));
        assert_eq!(ending, Ending::Truncated, "{head:?}");
        drop(connection);
        let outcome = capture.stop();
        let trace = outcome.bundle().only_trace();
        assert_eq!((trace.status(), trace.text().as_str()), (200, "up to here"));
        assert_eq!(trace.cut_off().as_deref(), Some("response closed"), "{head:?}");
    }
}

#[test]
fn forwards_a_graceful_end() {
    let origin = Origin::tls(|mut connection| {
        connection.read_head();
        connection.send("HTTP/1.1 200 OK\r\n\r\nall of it");
        connection.finish();
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.send("GET /whole HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let (bytes, ending) = connection.read_to_end();
    assert!(bytes.ends_with(b"all of it"));
    assert_eq!(ending, Ending::Clean);
    drop(connection);
    assert_eq!(capture.stop().bundle().only_trace().cut_off(), None);
}

#[test]
fn forwards_the_clients_truncation() {
    let (sender, receiver) = mpsc::channel();
    let (arrived, has_arrived) = mpsc::channel();
    let origin = Origin::tls(move |mut connection| {
        connection.read_until(b"part");
        arrived.send(()).unwrap();
        sender.send(connection.read_to_end().1).unwrap();
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\npart");
    // Unread bytes at the client turn its FIN into a reset, which would discard the data.
    has_arrived.recv_timeout(TIMEOUT).unwrap();
    connection.close_abruptly();
    let ending = receiver.recv_timeout(TIMEOUT).unwrap();
    assert!(matches!(ending, Ending::Truncated | Ending::Reset), "{ending:?}");
    capture.wait_for_exchanges(1);
    let outcome = capture.stop();
    let trace = outcome.bundle().only_trace();
    assert_eq!(trace.request_body, b"part");
    let expected = if ending == Ending::Reset { "request reset" } else { "request closed" };
    assert_eq!(trace.cut_off().as_deref(), Some(expected));
}

#[test]
fn records_a_short_body_in_the_clear() {
    let origin = Origin::plain(|mut connection| {
        connection.read_head();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ntoo little");
    });
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    connection.send("GET /short HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert!(connection.read_to_end().0.ends_with(b"too little"));
    drop(connection);
    let outcome = capture.stop();
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.status(), trace.text().as_str()), (200, "too little"));
    assert_eq!(trace.cut_off().as_deref(), Some("response closed"));
}
