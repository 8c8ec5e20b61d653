//! CONNECT: valid and invalid targets, the response, and the exchanges inside the tunnel.

use crate::support::{Capture, Origin, next_request};
use spectral_capture::Reason;

const HELLO: &str = "HTTP/1.1 200 All Right\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn captures_an_https_exchange_completely() {
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    let host = origin.authority("localhost");
    let request =
        format!("POST /users?q=%20a&b HTTP/1.1\r\nHost: {host}\r\nX-Odd:  two \r\nContent-Length: 3\r\n\r\nabc");
    let response = connection.request(&request);
    assert_eq!((response.status, response.text()), (200, "hello".to_owned()));
    assert_eq!(origin.received(0), request.as_bytes());
    drop(connection);

    let outcome = capture.stop();
    outcome.assert_no_warnings();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    let trace = outcome.bundle().only_trace();
    assert_eq!(trace.id(), "t_0001");
    assert_eq!(trace.method(), "POST");
    assert_eq!(trace.url(), format!("https://{host}/users?q=%20a&b"));
    assert_eq!(trace.request_headers(), [("Host", host.as_str()), ("X-Odd", "two"), ("Content-Length", "3")]);
    assert_eq!(trace.request_body, b"abc");
    assert_eq!((trace.status(), trace.status_text()), (200, "All Right"));
    assert_eq!(trace.response_headers(), [("Content-Type", "text/plain"), ("Content-Length", "5")]);
    assert_eq!(trace.text(), "hello");
    assert_eq!(outcome.bundle().manifest["app"]["base_url"], format!("https://{host}"));
}

#[test]
fn captures_each_request_of_a_persistent_connection() {
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    for number in 1..=5 {
        let response = connection.request(format!("GET /{number} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!(response.text(), "hello");
    }
    drop(connection);
    let outcome = capture.stop();
    assert_eq!(origin.connections(), 1);
    let ids: Vec<_> = outcome.bundle().traces.iter().map(|t| (t.id(), &t.url()[t.url().len() - 2..])).collect();
    assert_eq!(ids, [("t_0001", "/1"), ("t_0002", "/2"), ("t_0003", "/3"), ("t_0004", "/4"), ("t_0005", "/5")]);
}

#[test]
fn matches_pipelined_requests_and_responses() {
    let origin = Origin::tls(|mut connection| {
        let mut responses = String::new();
        for _ in 0..3 {
            let (head, _) = next_request(&mut connection).unwrap();
            let path = head.split(' ').nth(1).unwrap().to_owned();
            responses += &format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len());
        }
        connection.send(responses);
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    let requests: String = (1..=3).map(|n| format!("GET /p{n} HTTP/1.1\r\nHost: localhost\r\n\r\n")).collect();
    connection.send(&requests);
    for number in 1..=3 {
        assert_eq!(connection.read_response().text(), format!("/p{number}"));
    }
    assert_eq!(origin.received(0), requests.as_bytes());
    drop(connection);
    let outcome = capture.stop();
    for number in 1..=3 {
        let path = format!("/p{number}");
        assert_eq!(outcome.bundle().trace(&path).text(), path);
    }
}

#[test]
fn answers_connect_without_framing_fields() {
    let origin = Origin::plain(|_| ());
    let capture = Capture::start();
    let (_connection, response) = capture.try_connect(&origin.authority("127.0.0.1"));
    assert_eq!(response.status, 200);
    // RFC 9110 section 9.3.6: a 2xx response to CONNECT must have neither field.
    assert_eq!(
        (response.header("content-length"), response.header("transfer-encoding")),
        (None, None),
        "{}",
        response.head
    );
}

#[test]
fn accepts_ipv6_targets_with_and_without_brackets() {
    let Some(origin) = Origin::plain_on_ipv6(HELLO) else {
        return; // a machine without IPv6
    };
    let capture = Capture::start();
    for target in [format!("[::1]:{}", origin.port()), format!("::1:{}", origin.port())] {
        let mut connection = capture.connect(&target);
        let response = connection.request(format!("GET /v6 HTTP/1.1\r\nHost: [::1]:{}\r\n\r\n", origin.port()));
        assert_eq!(response.text(), "hello", "{target}");
    }
    let outcome = capture.stop();
    for trace in &outcome.bundle().traces {
        assert_eq!(trace.url(), format!("http://[::1]:{}/v6", origin.port()));
    }
    assert_eq!(outcome.bundle().traces.len(), 2);
}

#[test]
fn captures_clear_http_inside_a_tunnel() {
    let origin = Origin::plain_responding(HELLO);
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    assert_eq!(connection.request("GET /clear HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "hello");
    drop(connection);
    let outcome = capture.stop();
    // Host has no port and the connection's port is not the default, so the URL shows the connection's port.
    assert_eq!(outcome.bundle().only_trace().url(), format!("http://{}/clear", origin.authority("localhost")));
}

#[test]
fn uses_the_clients_host_in_the_url() {
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("127.0.0.1"), "api.example.test");
    connection.request("GET /a HTTP/1.1\r\nHost: API.Example.Test\r\n\r\n");
    connection.request(format!("GET /b HTTP/1.1\r\nHost: {}\r\n\r\n", origin.authority("other.test")));
    connection.request("GET /c HTTP/1.1\r\nhost: api.example.test:443\r\n\r\n");
    drop(connection);
    let outcome = capture.stop();
    let port = origin.port();
    assert_eq!(
        outcome.bundle().urls(),
        [
            format!("https://api.example.test:{port}/a"),
            format!("https://other.test:{port}/b"),
            "https://api.example.test/c".to_owned()
        ]
    );
}

#[test]
fn answers_400_to_an_invalid_connect_target() {
    let capture = Capture::start();
    let targets = [
        "localhost", // no port (RFC 9110 section 9.3.6)
        "localhost:",
        ":443",
        "localhost:65536",
        "localhost:-1",
        "localhost:+1",
        "localhost:4 4",
        "local host:443",
        "local\thost:443",
        "local\0host:443",
        "local\rhost:443",
        "local\nhost:443",
        "user@localhost:443",
        "localhost:443/path",
        "http://localhost:443",
        "[::1:443",
        "[::g]:443",
        "localhost:443:443",
        "",
    ];
    for target in targets {
        let mut connection = capture.dial();
        connection.send(format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        let response = connection.read_response();
        assert_eq!(response.status, 400, "{target:?}: {}", response.head);
    }
    let outcome = capture.stop();
    assert!(outcome.bundle().traces.is_empty());
}

#[test]
fn answers_400_to_a_request_without_proxy_target() {
    let origin = Origin::plain_responding(HELLO);
    let capture = Capture::start();
    for request in [
        "\0\0\0\0\r\n\r\n",
        "GET\r\n\r\n",
        "GET http://[::1/ HTTP/1.1\r\n\r\n",
        "GET ftp://localhost/ HTTP/1.1\r\n\r\n",
    ] {
        let mut connection = capture.dial();
        connection.send(request);
        let (bytes, _) = connection.read_to_end();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("HTTP/1.1 400 ") || text.is_empty(), "{request:?}: {text}");
    }
    let mut connection = capture.connect(&origin.authority("localhost"));
    assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 200);
}

#[test]
fn refuses_an_endless_head() {
    let capture = Capture::start();
    let mut connection = capture.dial();
    let line = format!("X-Long: {}\r\n", "x".repeat(8 * 1024));
    connection.send("CONNECT localhost:1 HTTP/1.1\r\n");
    // This is past any limit. The proxy stops reading at some point, so sending may fail.
    for _ in 0..1024 {
        if connection.writer.try_send(line.as_bytes()).is_err() {
            break;
        }
    }
    let (bytes, _) = connection.read_to_end();
    let text = String::from_utf8_lossy(&bytes);
    assert!(bytes.is_empty() || text.starts_with("HTTP/1.1 4"), "{text}");
}

#[test]
fn forwards_bytes_in_the_same_segment_as_connect() {
    let origin = Origin::plain_responding(HELLO);
    let capture = Capture::start();
    let mut connection = capture.dial();
    let target = origin.authority("127.0.0.1");
    connection.send(format!(
        "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\nGET /now HTTP/1.1\r\nHost: {target}\r\n\r\n"
    ));
    assert!(connection.read_head().starts_with("HTTP/1.1 200 "));
    assert_eq!(connection.read_response().text(), "hello");
    drop(connection);
    assert_eq!(capture.stop().bundle().only_trace().url(), format!("http://{target}/now"));
}

#[test]
fn accepts_a_head_in_pieces() {
    let origin = Origin::plain_responding(HELLO);
    let capture = Capture::start();
    let mut connection = capture.dial();
    for byte in
        format!("CONNECT {} HTTP/1.1\r\nHost: x\r\nProxy-Connection: keep-alive\r\n\r\n", origin.authority("localhost"))
            .bytes()
    {
        connection.send([byte]);
    }
    assert!(connection.read_head().starts_with("HTTP/1.1 200 "));
    for byte in b"GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n" {
        connection.send([*byte]);
    }
    assert_eq!(connection.read_response().text(), "hello");
    drop(connection);
    assert_eq!(capture.stop().bundle().only_trace().text(), "hello");
}

#[test]
fn records_nothing_for_connections_without_requests() {
    let origin = Origin::plain_responding(HELLO);
    let capture = Capture::start();
    drop(capture.dial());
    capture.dial().reset();
    drop(capture.connect(&origin.authority("localhost")));
    capture.connect(&origin.authority("localhost")).reset();
    let mut connection = capture.connect(&origin.authority("localhost"));
    assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 200);
    drop(connection);
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    outcome.bundle().only_trace();
    let internal = |reason: &Reason| *reason == Reason::Internal;
    assert!(!outcome.summary.uncaptured.iter().any(|u| internal(&u.reason)), "{:?}", outcome.summary.uncaptured);
}

#[test]
fn serves_many_concurrent_connections() {
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::start();
    std::thread::scope(|scope| {
        for client in 0..8 {
            let (capture, origin) = (&capture, &origin);
            scope.spawn(move || {
                for round in 0..4 {
                    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
                    let response =
                        connection.request(format!("GET /{client}/{round} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
                    assert_eq!(response.text(), "hello");
                }
            });
        }
    });
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().traces.len(), 32);
    for client in 0..8 {
        for round in 0..4 {
            assert_eq!(outcome.bundle().trace(&format!("/{client}/{round}")).text(), "hello");
        }
    }
}

#[test]
fn refuses_endless_empty_lines() {
    let capture = Capture::start();
    let mut connection = capture.dial();
    let mut writer = connection.writer.clone();
    // More than the limit of a head; the rest arrives after the proxy has closed the connection.
    let flood = std::thread::spawn(move || while writer.try_send("\r\n".repeat(8192).as_bytes()).is_ok() {});
    assert!(connection.read_head().starts_with("HTTP/1.1 431 "));
    drop(connection);
    flood.join().unwrap();
    assert!(capture.stop().bundle().traces.is_empty());
}

#[test]
fn records_targets_that_are_not_paths() {
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    let host = origin.authority("localhost");
    for (line, field) in [
        ("OPTIONS *", format!("Host: {host}")),
        ("M-SEARCH *", format!("Host: {host}")),
        ("GET http://user:pw@other.example/a", "X: y".into()),
        ("GET http://user:pw@other.example:80/b", "Host: other.example:80".into()),
    ] {
        let request = format!("{line} HTTP/1.1\r\n{field}\r\n\r\n");
        assert_eq!(connection.request(&request).text(), "hello");
    }
    drop(connection);
    let outcome = capture.stop();
    let server = format!("https://{host}");
    let port = origin.port();
    assert_eq!(
        outcome.bundle().urls(),
        [&server, &server, &format!("https://user:pw@other.example:{port}/a"), "https://user:pw@other.example:80/b"]
    );
    assert_eq!(outcome.bundle().manifest["app"]["base_url"], server);
}
