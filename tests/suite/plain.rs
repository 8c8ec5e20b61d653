//! Plain proxy requests (`GET http://…`), the one case where the proxy changes the request.

use crate::support::{Capture, Ending, Gate, Origin, next_request};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn converts_only_the_request_target_to_origin_form() {
    let origin = Origin::plain_responding(HELLO);
    let capture = Capture::start();
    let host = origin.authority("127.0.0.1");
    let mut connection = capture.dial();
    let rest = format!("hOsT: {host}\r\nX-a:1\r\nx-A:   2\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nbody");
    let response = connection.request(format!("POST http://{host}/p/a?t=%2f HTTP/1.1\r\n{rest}"));
    assert_eq!(response.text(), "hello");
    assert_eq!(String::from_utf8(origin.received(0)).unwrap(), format!("POST /p/a?t=%2f HTTP/1.1\r\n{rest}"));
    drop(connection);
    let outcome = capture.stop();
    let trace = outcome.bundle().only_trace();
    assert_eq!(trace.url(), format!("http://{host}/p/a?t=%2f"));
    assert_eq!((trace.request_body.as_slice(), trace.text().as_str()), (&b"body"[..], "hello"));
    let names: Vec<_> = trace.request_headers().iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["hOsT", "X-a", "x-A", "Connection", "Content-Length"]);
}

#[test]
fn forwards_the_response_unchanged() {
    let response = "HTTP/1.1 200  Odd   Reason\r\nx-lower: 1\r\nX-LOWER:2\r\nTransfer-Encoding: chunked\r\n\r\n\
                  0005;ext=\"a\"\r\nhello\r\n00\r\nX-Trailer: t\r\n\r\n";
    let origin = Origin::plain_responding(response);
    let capture = Capture::start();
    let mut connection = capture.dial();
    let host = origin.authority("127.0.0.1");
    connection.send(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert_eq!(connection.read_exactly(response.len()), response.as_bytes());
}

#[test]
fn omits_proxy_fields_from_request_and_bundle() {
    let origin = Origin::plain_responding(HELLO);
    let capture = Capture::start();
    let host = origin.authority("127.0.0.1");
    let mut connection = capture.dial();
    connection.request(format!(
        "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nProxy-Connection: keep-alive\r\nX: 1\r\n\
         proxy-authorization: Basic c2VjcmV0\r\n\r\n"
    ));
    assert_eq!(
        String::from_utf8(origin.received(0)).unwrap(),
        format!("GET / HTTP/1.1\r\nHost: {host}\r\nX: 1\r\n\r\n")
    );
    drop(connection);
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().only_trace().request_headers(), [("Host", host.as_str()), ("X", "1")]);
}

#[test]
fn replaces_a_different_host_field_by_the_targets_host() {
    // RFC 9112 section 3.2.2: the received Host is ignored and replaced.
    let origin = Origin::plain_responding(HELLO);
    let capture = Capture::start();
    let host = origin.authority("127.0.0.1");
    let mut connection = capture.dial();
    connection.request(format!("GET http://{host}/ HTTP/1.1\r\nHost: elsewhere.test\r\n\r\n"));
    let received = String::from_utf8(origin.received(0)).unwrap();
    assert!(received.contains(&format!("{host}\r\n")) && !received.contains("elsewhere"), "{received}");
    drop(connection);
    assert_eq!(capture.stop().bundle().only_trace().url(), format!("http://{host}/"));
}

#[test]
fn requests_the_root_for_a_target_without_path() {
    let origin = Origin::plain_responding(HELLO);
    let capture = Capture::start();
    let host = origin.authority("127.0.0.1");
    for (target, line) in
        [(format!("http://{host}"), "GET / HTTP/1.1"), (format!("HTTP://{host}?q"), "GET /?q HTTP/1.1")]
    {
        let connections = origin.connections();
        let mut connection = capture.dial();
        connection.request(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let received = String::from_utf8(origin.received(connections)).unwrap();
        assert_eq!(received.lines().next(), Some(line));
    }
}

#[test]
fn serves_several_origins_on_one_client_connection() {
    let origins: Vec<_> = ["one", "two", "three"]
        .map(|text| {
            Origin::plain_responding(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()))
        })
        .into();
    let capture = Capture::start();
    let mut connection = capture.dial();
    for (index, text) in [(0, "one"), (1, "two"), (0, "one"), (2, "three"), (2, "three"), (1, "two")] {
        let host = origins[index].authority("127.0.0.1");
        let response = connection.request(format!("GET http://{host}/{text} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(response.text(), text);
    }
    drop(connection);
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    let seen: Vec<_> = outcome.bundle().traces.iter().map(|trace| (trace.url().to_owned(), trace.text())).collect();
    let expected = [(0, "one"), (1, "two"), (0, "one"), (2, "three"), (2, "three"), (1, "two")].map(
        |(index, text): (usize, &str)| {
            (format!("http://{}/{text}", origins[index].authority("127.0.0.1")), text.to_owned())
        },
    );
    assert_eq!(seen, expected);
}

#[test]
fn answers_pipelined_requests_to_several_origins_in_order() {
    let one = Origin::plain_responding("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none");
    let two = Origin::plain_responding("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo");
    let capture = Capture::start();
    let mut connection = capture.dial();
    let order = [&one, &one, &two, &one, &two];
    let requests: String = order
        .iter()
        .enumerate()
        .map(|(number, origin)| {
            let host = origin.authority("127.0.0.1");
            format!("POST http://{host}/{number} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\nhi")
        })
        .collect();
    connection.send(requests);
    for text in ["one", "one", "two", "one", "two"] {
        assert_eq!(connection.read_response().text(), text);
    }
    drop(connection);
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().traces.len(), 5);
    assert!(outcome.bundle().traces.iter().all(|trace| trace.request_body == b"hi"));
    assert_eq!(outcome.bundle().trace("/2").text(), "two");
}

#[test]
fn forwards_chunked_requests_with_their_framing() {
    let origin = Origin::plain(|mut connection| {
        connection.read_head();
        connection.read_until(b"0\r\nX-T: 1\r\n\r\n");
        connection.send(HELLO);
        next_request(&mut connection);
        connection.send(HELLO);
    });
    let capture = Capture::start();
    let mut connection = capture.dial();
    let host = origin.authority("127.0.0.1");
    let body = "4;x=y\r\nwiki\r\n00a\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n";
    let head = format!("Host: {host}\r\nTransfer-Encoding: chunked\r\n\r\n");
    let response = connection.request(format!("PUT http://{host}/c HTTP/1.1\r\n{head}{body}"));
    assert_eq!(response.text(), "hello");
    let response = connection.request(format!("GET http://{host}/d HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert_eq!(response.text(), "hello");
    assert!(String::from_utf8(origin.received(0)).unwrap().starts_with(&format!("PUT /c HTTP/1.1\r\n{head}{body}")));
    drop(connection);
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().trace("/c").request_body, b"wiki0123456789");
}

#[test]
fn closes_after_a_body_that_ends_with_the_connection() {
    let origin = Origin::plain(|mut connection| {
        next_request(&mut connection);
        connection.send("HTTP/1.0 200 OK\r\n\r\nall there is");
    });
    let capture = Capture::start();
    let mut connection = capture.dial();
    let host = origin.authority("127.0.0.1");
    connection.send(format!("GET http://{host}/ HTTP/1.0\r\nHost: {host}\r\n\r\n"));
    let (bytes, ending) = connection.read_to_end();
    assert_eq!(bytes, b"HTTP/1.0 200 OK\r\n\r\nall there is");
    assert_eq!(ending, crate::support::Ending::Clean);
    drop(connection);
    assert_eq!(capture.stop().bundle().only_trace().text(), "all there is");
}

#[test]
fn reconnects_to_an_origin_that_closed_between_requests() {
    let origin = Origin::plain(|mut connection| {
        next_request(&mut connection);
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
    });
    let capture = Capture::start();
    let host = origin.authority("127.0.0.1");
    for _ in 0..2 {
        // `Connection: close` is forwarded unchanged, so the client opens a new connection.
        let mut connection = capture.dial();
        let response = connection.request(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(response.text(), "hello");
    }
    assert_eq!(origin.connections(), 2);
}

#[test]
fn parses_absolute_urls_strictly() {
    let origin = Origin::plain_responding(HELLO);
    let capture = Capture::start();
    let port = origin.port();
    for target in [
        format!("http://127.0.0.1:{port}/ HTTP/1.0"),
        format!("http://127.0.0.1:{port} /"),
        format!("http://127.0.0.1:{port}\t/"),
        format!("http://user@127.0.0.1:{port}@/"),
        format!("http://user@127.0.0.1:{port}, 127.0.0.1:{port}/"),
        "http:///path".to_owned(),
        "http://".to_owned(),
        "http://127.0.0.1:99999/".to_owned(),
        format!("http://127.0.0.1\0:{port}/"),
        format!("http://127.0.0.1:{port}/\rInjected: 1"),
    ] {
        let mut connection = capture.dial();
        let response = connection.request(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        assert_eq!(response.status, 400, "{target:?}");
    }
    assert_eq!(origin.connections(), 0);
    assert!(capture.stop().bundle().traces.is_empty());
}

#[test]
fn forwards_malformed_lines_that_have_one_meaning() {
    let origin = Origin::plain_responding(HELLO);
    let capture = Capture::start();
    let host = origin.authority("127.0.0.1");
    let head = |target: &str| format!("GET {target}/a b HTTP/1.1\r\nHost: {host}\r\nX-[a]: \x01\r\n\r\n");
    let mut connection = capture.dial();
    assert_eq!(connection.request(head(&format!("http://{host}"))).status, 200);
    drop(connection);
    assert_eq!(String::from_utf8(origin.received(0)).unwrap(), head(""));
    let outcome = capture.stop();
    let trace = outcome.bundle().only_trace();
    assert_eq!(trace.url(), format!("http://{host}/a b"));
    assert_eq!(trace.request_headers().last(), Some(&("X-[a]", "\x01")));
}

#[test]
fn conflicting_framing_never_smuggles_a_request() {
    // Both Transfer-Encoding and Content-Length (RFC 9112 section 6.3): the origin must read one request where the
    // proxy reads one.
    let origin = Origin::plain(|mut connection| {
        connection.read_head();
        connection.read_until(b"0\r\n\r\n");
        connection.send(HELLO);
    });
    let capture = Capture::start();
    let mut connection = capture.dial();
    let host = origin.authority("127.0.0.1");
    connection.send(format!(
        "POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\n\r\n"
    ));
    let response = connection.read_response();
    if response.status == 200 {
        drop(connection);
        assert_eq!(capture.stop().bundle().only_trace().request_body, b"abc");
    } else {
        assert_eq!(response.status, 400, "{}", response.head);
    }
}

#[test]
fn records_a_websocket_of_a_plain_request() {
    let origin = Origin::plain(|mut connection| {
        assert!(connection.read_head().starts_with("GET /chat HTTP/1.1\r\n"));
        connection.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
        connection.send([0x81, 2, b'h', b'i']);
        connection.read_exactly(6);
    });
    let capture = Capture::start();
    let mut connection = capture.dial();
    let host = origin.authority("127.0.0.1");
    let response = connection.request(format!(
        "GET http://{host}/chat HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ));
    assert_eq!(response.status, 101);
    assert_eq!(connection.read_exactly(4), [0x81, 2, b'h', b'i']);
    connection.send([0x88, 0x80, 0, 0, 0, 0]);
    drop(connection);
    let outcome = capture.stop();
    let socket = outcome.bundle().only_websocket();
    assert_eq!(socket.url(), format!("ws://{host}/chat"));
    assert_eq!(socket.messages[0], crate::support::Message::received("text", "hi"));
}

#[test]
fn keeps_http_1_0_connections_with_keep_alive_on_both_sides() {
    let origin = Origin::plain_responding("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok");
    let capture = Capture::start();
    let host = origin.authority("127.0.0.1");
    let mut connection = capture.dial();
    for path in ["/one", "/two"] {
        let request = format!("GET http://{host}{path} HTTP/1.0\r\nHost: {host}\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(connection.request(request).text(), "ok");
    }
    drop(connection);
    assert_eq!(origin.connections(), 1);
    assert_eq!(capture.stop().bundle().traces.len(), 2);
}

#[test]
fn closes_after_connection_close_even_if_the_origin_does_not() {
    let hold = Gate::default();
    let held = hold.clone();
    let origin = Origin::plain(move |mut connection| {
        connection.read_head();
        connection.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        held.pass();
    });
    let capture = Capture::start();
    let host = origin.authority("127.0.0.1");
    let mut connection = capture.dial();
    connection.send(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    let (response, end) = connection.read_to_end();
    hold.open();
    assert!(response.ends_with(b"\r\n\r\nok"));
    assert_eq!(end, Ending::Clean);
    assert_eq!(capture.stop().bundle().only_trace().text(), "ok");
}

/// A response whose length is unknown, and which some clients end after two bytes.
const UNKNOWN_LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2,\r\n\r\nok";

#[test]
fn a_clients_next_request_ends_a_response_of_unknown_length() {
    let origins = [0, 1].map(|_| {
        Origin::plain(|mut connection| {
            while next_request(&mut connection).is_some() {
                connection.send(UNKNOWN_LENGTH);
            }
        })
    });
    let capture = Capture::start();
    let mut connection = capture.dial();
    for (origin, path) in [(0, "a"), (0, "b"), (1, "c"), (0, "d")] {
        let host = origins[origin].authority("127.0.0.1");
        connection.send(format!("POST http://{host}/{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\nhi"));
        assert_eq!(connection.read_exactly(UNKNOWN_LENGTH.len()), UNKNOWN_LENGTH.as_bytes());
    }
    drop(connection);
    assert_eq!((origins[0].connections(), origins[1].connections()), (2, 1));
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    assert_eq!(outcome.bundle().traces.len(), 4);
    for trace in &outcome.bundle().traces[..3] {
        assert_eq!((trace.text().as_str(), trace.cut_off()), ("ok", None));
    }
}

#[test]
fn a_response_of_unknown_length_is_not_cut_off_by_an_empty_line_or_by_a_pipelined_request() {
    for early in ["\r\n", "GET http://localhost:1/ HTTP/1.1\r\nHost: localhost:1\r\n\r\n"] {
        let more = Gate::default();
        let wait = more.clone();
        let origin = Origin::plain(move |mut connection| {
            connection.read_head();
            connection.send(UNKNOWN_LENGTH);
            wait.pass();
            connection.send(" and more");
        });
        let capture = Capture::start();
        let host = origin.authority("127.0.0.1");
        let mut connection = capture.dial();
        let get = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let is_pipelined = early.len() > 2;
        connection.send(if is_pipelined { [&get, early].concat() } else { get });
        assert_eq!(connection.read_exactly(UNKNOWN_LENGTH.len()), UNKNOWN_LENGTH.as_bytes());
        if !is_pipelined {
            connection.send(early);
        }
        more.open();
        let (received, end) = connection.read_to_end();
        assert_eq!((received.as_slice(), end), (&b" and more"[..], Ending::Clean), "{early:?}");
    }
}
