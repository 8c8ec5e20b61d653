//! A reset is forwarded as a reset, and the data before it is recorded.

use crate::support::{Capture, Connection, Ending, Gate, Origin, TIMEOUT, Watched, options, patterns};
use std::io::ErrorKind;
use std::sync::mpsc;
use std::time::Duration;

const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this";

/// Sends `half`, and resets when the gate opens.
fn resetting_script(half: &'static str) -> (impl Fn(Connection) + Send + Sync + 'static, Gate) {
    let gate = Gate::default();
    let wait = gate.clone();
    let script = move |mut connection: Connection| {
        connection.read_head();
        connection.send(half);
        wait.pass();
        connection.reset();
    };
    (script, gate)
}

#[test]
fn forwards_the_origins_reset() {
    for tls in [true, false] {
        let (script, gate) = resetting_script(HALF);
        let origin = if tls { Origin::tls(script) } else { Origin::plain(script) };
        let capture = Capture::start();
        let host = origin.authority("localhost");
        let mut connection = if tls { capture.tls(&host, "localhost") } else { capture.connect(&host) };
        connection.send("GET /reset HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(connection.read_exactly(HALF.len()), HALF.as_bytes());
        gate.open();
        assert_eq!(connection.read_to_end(), (Vec::new(), Ending::Reset), "TLS: {tls}");
        drop(connection);
        let outcome = capture.stop();
        outcome.assert_no_warnings();
        let trace = outcome.bundle().only_trace();
        assert_eq!((trace.status(), trace.text().as_str()), (200, "only this"));
        assert_eq!(trace.cut_off().as_deref(), Some("response reset"));
    }
}

#[test]
fn the_origins_reset_truncates_the_response_to_a_plain_request() {
    let (script, gate) = resetting_script(HALF);
    let origin = Origin::plain(script);
    let capture = Capture::start();
    let mut connection = capture.dial();
    let host = origin.authority("127.0.0.1");
    connection.send(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert_eq!(connection.read_exactly(HALF.len()), HALF.as_bytes());
    gate.open();
    assert_eq!(connection.read_to_end(), (Vec::new(), Ending::Reset));
    drop(connection);
    let outcome = capture.stop();
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.text().as_str(), trace.cut_off().as_deref()), ("only this", Some("response reset")));
}

#[test]
fn forwards_the_origins_reset_in_passthrough() {
    let (script, gate) = resetting_script(HALF);
    let origin = Origin::plain(script);
    let capture = Capture::with(|config| options(config).exclude = patterns(&["*"]));
    let mut connection = capture.connect(&origin.authority("localhost"));
    connection.send("\0\r\n\r\n");
    assert_eq!(connection.read_exactly(HALF.len()), HALF.as_bytes());
    gate.open();
    assert_eq!(connection.read_to_end(), (Vec::new(), Ending::Reset));
}

#[test]
fn records_an_origin_that_resets_without_a_response() {
    let origin = Origin::tls(|mut connection| {
        connection.read_head();
        connection.reset();
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.send("GET /reset HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(connection.read_to_end(), (Vec::new(), Ending::Reset));
    drop(connection);
    let outcome = capture.stop();
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.status(), trace.status_text()), (0, "origin reset the connection"));
    assert_eq!(trace.cut_off(), None, "the request is complete");
}

#[test]
fn forwards_the_clients_reset() {
    for tls in [true, false] {
        let (sender, receiver) = mpsc::channel();
        let script = move |mut connection: Connection| {
            connection.read_head();
            connection.send(HALF);
            sender.send(connection.read_to_end()).unwrap();
        };
        let origin = if tls { Origin::tls(script) } else { Origin::plain(script) };
        let capture = Capture::start();
        let host = origin.authority("localhost");
        let mut connection = if tls { capture.tls(&host, "localhost") } else { capture.connect(&host) };
        connection.send("GET /reset HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(connection.read_exactly(HALF.len()), HALF.as_bytes());
        connection.reset();
        assert_eq!(receiver.recv_timeout(TIMEOUT).unwrap(), (Vec::new(), Ending::Reset), "TLS: {tls}");
        capture.wait_for_exchanges(1);
        let outcome = capture.stop();
        let trace = outcome.bundle().only_trace();
        assert_eq!((trace.status(), trace.text().as_str()), (200, "only this"));
        assert_eq!(trace.cut_off().as_deref(), Some("response cancelled"));
    }
}

#[test]
fn records_an_upload_that_the_client_aborts() {
    let (sender, receiver) = mpsc::channel();
    let origin = Origin::tls(move |mut connection| {
        connection.read_until(b"begin");
        sender.send(connection.read_to_end().1).unwrap();
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    let request = "POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nbegin";
    connection.send(request);
    origin.received_at_least(0, request.len());
    connection.reset();
    assert_eq!(receiver.recv_timeout(TIMEOUT).unwrap(), Ending::Reset);
    capture.wait_for_exchanges(1);
    let outcome = capture.stop();
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.status(), trace.request_body.as_slice()), (0, &b"begin"[..]));
    assert_eq!(trace.cut_off().as_deref(), Some("request reset"));
}

#[test]
fn notices_a_reset_while_both_sides_are_full() {
    // Neither end reads, so nothing can be written to either; only a read from the closed side shows the reset.
    let (sender, receiver) = mpsc::channel();
    let origin = Origin::plain(move |mut connection| {
        let piece = [0; 65536];
        let failed = loop {
            if let Err(e) = connection.writer.try_send(&piece) {
                break e.kind();
            }
        };
        sender.send(failed).unwrap();
    });
    let capture = Capture::with(|config| options(config).exclude = patterns(&["*"]));
    let mut connection = capture.connect(&origin.authority("127.0.0.1"));
    // The origin sends, so there is a connection to reset.
    connection.read_exactly(1);
    let sent = Watched::<usize>::default();
    let (mut writer, progress) = (connection.writer.clone(), sent.clone());
    let upload = std::thread::spawn(move || {
        while writer.try_send(&[0; 65536]).is_ok() {
            progress.update(|sent| *sent += 1);
        }
    });
    sent.settled(Duration::from_millis(700));
    connection.writer.shut_down();
    upload.join().unwrap();
    connection.reset();
    let seen = receiver.recv_timeout(TIMEOUT).unwrap();
    assert!(matches!(seen, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{seen:?}");
}

#[test]
fn a_reset_detected_by_a_write_is_not_a_graceful_end() {
    const HALF: &str = "HTTP/1.1 200 OK\r\n\r\nhalf of it";
    let (script, gate) = resetting_script(HALF);
    let origin = Origin::plain(script);
    let capture = Capture::start();
    gate.open();
    // A read or a write may detect it first, at the origin's side and at the client's. If the client's write does, its read
    // sees a graceful end, which may happen many times in a row.
    let is_reset = (0..200).any(|_| {
        let mut connection = capture.connect(&origin.authority("localhost"));
        connection.send("POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000000\r\n\r\n");
        let mut writer = connection.writer.clone();
        let upload = std::thread::spawn(move || while writer.try_send(&[b'u'; 100_000]).is_ok() {});
        let end = connection.read_to_end().1;
        drop(connection);
        upload.join().unwrap();
        end == Ending::Reset
    });
    assert!(is_reset, "no attempt was reset");
}
