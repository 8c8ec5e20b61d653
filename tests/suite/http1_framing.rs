//! Message framing (RFC 9112 section 6) as recorded: each way to frame a body, and each kind of message without one.

use crate::support::{Capture, Origin, next_request};
use spectral_capture::{Opaque, Reason};

/// The recorded method, status and bodies of an exchange.
#[derive(Debug, PartialEq)]
struct Recorded(String, u64, String, String);

/// Sends `dialogue` (request, response) on one connection and returns the recorded exchanges.
#[track_caller]
fn recorded(dialogue: &'static [(&'static str, &'static str)]) -> Vec<Recorded> {
    let origin = Origin::tls(move |mut connection| {
        for (request, response) in dialogue {
            connection.read_exactly(request.len());
            connection.send(response);
        }
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    for (request, response) in dialogue {
        connection.send(request);
        assert_eq!(String::from_utf8_lossy(&connection.read_exactly(response.len())), *response);
    }
    connection.finish();
    assert_eq!(connection.read_to_end().0, b"");
    drop(connection);
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    let traces = outcome.bundle().traces.iter();
    traces
        .map(|t| Recorded(t.method().into(), t.status(), String::from_utf8_lossy(&t.request_body).into(), t.text()))
        .collect()
}

fn exchange(method: &str, status: u64, up: &str, down: &str) -> Recorded {
    Recorded(method.into(), status, up.into(), down.into())
}

#[test]
fn records_responses_that_never_have_a_body() {
    let all = recorded(&[
        ("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"),
        ("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n"),
        ("DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET /last HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlast"),
    ]);
    let expected = [
        exchange("HEAD", 200, "", ""),
        exchange("HEAD", 200, "", ""),
        exchange("GET", 304, "", ""),
        exchange("DELETE", 204, "", ""),
        exchange("GET", 200, "", "last"),
    ];
    assert_eq!(all, expected);
}

#[test]
fn records_bodies_with_length_chunks_and_until_close() {
    let all = recorded(&[
        (
            "PUT /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "PUT /b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\n\r\n",
        ),
        (
            "PUT /c HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
        ),
        ("GET /d HTTP/1.1\r\nHost: localhost\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nto the end"),
    ]);
    let expected = [
        exchange("PUT", 200, "abc", ""),
        exchange("PUT", 200, "abc", "def"),
        exchange("PUT", 200, "", "x"),
        exchange("GET", 200, "", "to the end"),
    ];
    assert_eq!(all, expected);
}

#[test]
fn records_http_1_0_with_and_without_keep_alive() {
    let all = recorded(&[
        (
            "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
        ),
        ("GET /b HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nb, to the end"),
    ]);
    assert_eq!(all, [exchange("GET", 200, "", "a"), exchange("GET", 200, "", "b, to the end")]);
}

#[test]
fn forwards_100_continue_before_the_upload() {
    let origin = Origin::tls(|mut connection| {
        connection.read_head();
        connection.send("HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(connection.read_exactly(4), b"body");
        connection.send("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok");
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.send("POST /up HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(connection.read_head(), "HTTP/1.1 100 Continue\r\n\r\n");
    connection.send("body");
    assert_eq!(connection.read_response().status, 201);
    drop(connection);
    let outcome = capture.stop();
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.status(), trace.request_body.as_slice(), trace.text().as_str()), (201, &b"body"[..], "ok"));
}

#[test]
fn forwards_a_refusal_in_place_of_100_continue() {
    let origin = Origin::tls(|mut connection| {
        connection.read_head();
        connection.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno");
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    let response =
        connection.request("POST /up HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(response.status, 417);
    drop(connection);
    let outcome = capture.stop();
    assert_eq!((outcome.bundle().only_trace().status(), outcome.bundle().only_trace().text()), (417, "no".to_owned()));
}

#[test]
fn passes_through_other_upgrades_after_recording_the_handshake() {
    let origin = Origin::tls(|mut connection| {
        connection.read_head();
        connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n");
        let got = connection.read_until(b"\n");
        connection.send(got.iter().rev().copied().collect::<Vec<_>>());
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    let head = "POST /attach HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    assert_eq!(connection.request(head).status, 101);
    connection.send(b"\0\x01GET / HTTP/1.1\n");
    assert_eq!(connection.read_exactly(17), b"\n1.1/PTTH / TEG\x01\0");
    drop(connection);
    let outcome = capture.stop();
    let trace = outcome.bundle().only_trace();
    assert_eq!(
        (trace.status(), trace.url()),
        (101, format!("https://{}/attach", origin.authority("localhost")).as_str())
    );
    assert!(outcome.bundle().websockets.is_empty());
    outcome.assert_uncaptured(&origin.authority("localhost"), 1, |reason| *reason == Reason::Opaque(Opaque::Switched));
}

#[test]
fn passes_through_connect_inside_a_tunnel() {
    let origin = Origin::tls(|mut connection| {
        assert!(connection.read_head().starts_with("CONNECT inner:1 "));
        connection.send("HTTP/1.1 200 OK\r\n\r\n");
        let got = connection.read_until(b"\n");
        connection.send(got);
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.send("CONNECT inner:1 HTTP/1.1\r\nHost: inner:1\r\n\r\n");
    assert_eq!(connection.read_head(), "HTTP/1.1 200 OK\r\n\r\n");
    connection.send("\u{1}anything\n");
    assert_eq!(connection.read_until(b"\n"), b"\x01anything\n");
    drop(connection);
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    assert!(outcome.bundle().traces.is_empty());
    outcome.assert_uncaptured("inner:1", 1, |reason| *reason == Reason::NestedConnect);
    outcome.assert_uncaptured(&origin.authority("localhost"), 1, |reason| *reason == Reason::Opaque(Opaque::Switched));
}

#[test]
fn passes_through_and_reports_invalid_framing() {
    let responses = [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nab",
    ];
    for response in responses {
        let origin = Origin::tls(move |mut connection| {
            next_request(&mut connection);
            connection.send(response);
        });
        let capture = Capture::start();
        let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
        connection.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        connection.finish();
        assert_eq!(String::from_utf8(connection.read_to_end().0).unwrap(), response);
        drop(connection);
        let outcome = capture.stop();
        assert_eq!(outcome.bundle().traces.len(), 1, "{response}");
        outcome.assert_uncaptured(&origin.authority("localhost"), 1, |reason| matches!(reason, Reason::Opaque(_)));
    }
}

#[test]
fn records_responses_of_unknown_length_up_to_the_close() {
    let fields = [
        "Content-Length: 1\r\nContent-Length: 2",
        "Content-Length: -1",
        "Content-Length: 2,",
        "Content-Length:",
        "Content-Length: 99999999999999999999999",
        "Content-Length : 1",
        "Transfer-Encoding\x0b: chunked",
    ];
    for field in fields {
        let response = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\nab");
        let answer = response.clone();
        let origin = Origin::tls(move |mut connection| {
            next_request(&mut connection);
            connection.send(&answer);
        });
        let capture = Capture::start();
        let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
        connection.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert_eq!(String::from_utf8(connection.read_to_end().0).unwrap(), response);
        drop(connection);
        let outcome = capture.stop();
        let trace = outcome.bundle().only_trace();
        assert_eq!((trace.status(), trace.text().as_str()), (200, "ab"), "{field:?}");
        assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    }
}
