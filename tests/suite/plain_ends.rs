//! The ends of plain exchanges: a response that ends with the connection, data past a response, and an origin that closes
//! without one.

use crate::support::{Capture, Connection, Ending, Gate, Origin, next_request};
use spectral_capture::{Opaque, Reason};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Starts an origin in the clear whose script also gets the number of the connection, counted from 0.
fn numbered(script: impl Fn(usize, Connection) + Send + Sync + 'static) -> Origin {
    let number = AtomicUsize::new(0);
    Origin::plain(move |connection| script(number.fetch_add(1, Relaxed), connection))
}

#[test]
fn both_sides_send_while_a_response_ends_with_the_connection() {
    let early = Gate::default();
    let is_early = early.clone();
    let origin = Origin::plain(move |mut connection| {
        next_request(&mut connection);
        is_early.pass();
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n");
        for line in ["\n", "l", "s -l\n", "GET it\n", "GET http://a/ HTTP/1.1\r\n\r\n"] {
            assert_eq!(connection.read_exactly(line.len()), line.as_bytes());
            connection.send(format!("[{}]", line.trim()));
        }
    });
    let capture = Capture::start();
    let host = origin.authority("127.0.0.1");
    let mut connection = capture.dial();
    let request = format!("POST http://{host}/exec HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n{{}}");
    // The first line arrives before the response, the others after it.
    connection.send(request + "\n");
    early.open();
    connection.read_head();
    // Each side waits for the other. Once other data than requests was sent, data may look like a request.
    for (number, line) in ["\n", "l", "s -l\n", "GET it\n", "GET http://a/ HTTP/1.1\r\n\r\n"].into_iter().enumerate() {
        if number > 0 {
            connection.send(line);
        }
        let reply = format!("[{}]", line.trim());
        assert_eq!(connection.read_exactly(reply.len()), reply.as_bytes());
    }
    assert_eq!(connection.read_to_end(), (Vec::new(), Ending::Clean));
    drop(connection);
    let outcome = capture.stop();
    let trace = outcome.bundle().only_trace();
    assert_eq!(trace.text(), "[][l][s -l][GET it][GET http://a/ HTTP/1.1]");
    assert_eq!(trace.request_body, b"{}");
    outcome.assert_uncaptured(&host, 1, |reason| *reason == Reason::Opaque(Opaque::Switched));
}

#[test]
fn a_request_after_a_response_that_ends_with_the_connection_stays_here() {
    let more = Gate::default();
    let wait = more.clone();
    let origin = Origin::plain(move |mut connection| {
        connection.read_head();
        connection.send("HTTP/1.1 200 OK\r\n\r\n");
        wait.pass();
        connection.send("all");
        connection.finish();
        assert_eq!(connection.read_to_end().0, b"", "the next request is for another origin");
    });
    let other = Origin::plain_responding(HELLO);
    let capture = Capture::start();
    let (host, secret) = (origin.authority("127.0.0.1"), other.authority("127.0.0.1"));
    for is_pipelined in [true, false] {
        let mut connection = capture.dial();
        let first = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let next = format!("GET http://{secret}/ HTTP/1.1\r\nHost: {secret}\r\nCookie: secret\r\n\r\n");
        if is_pipelined {
            connection.send(first + &next);
            connection.read_head();
        } else {
            connection.send(first);
            connection.read_head();
            connection.send(next);
        }
        more.open();
        assert_eq!(connection.read_to_end(), (b"all".to_vec(), Ending::Clean));
    }
    assert_eq!(other.connections(), 0);
}

#[test]
fn data_past_a_response_is_dropped_and_the_next_request_gets_a_new_connection() {
    let hold = Gate::default();
    for (method, response) in [
        ("GET", [HELLO, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"].concat()),
        ("GET", [HELLO, " and more"].concat()),
        ("HEAD", HELLO.to_owned()),
        ("GET", [HELLO, &"x".repeat(100_000)].concat()),
    ] {
        let (wait, sent) = (hold.clone(), response.clone());
        let origin = numbered(move |number, mut connection| {
            next_request(&mut connection);
            connection.send(if number == 0 { &sent } else { "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext" });
            if number == 0 {
                wait.pass();
                connection.close_abruptly();
            }
        });
        let capture = Capture::start();
        let host = origin.authority("127.0.0.1");
        let mut connection = capture.dial();
        let request = |method: &str| format!("{method} http://{host}/{method} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        connection.send(request(method));
        assert!(connection.read_head().contains("Content-Length: 5\r\n"));
        if method == "GET" {
            assert_eq!(connection.read_exactly(5), b"hello");
        }
        let next = connection.request(request("OPTIONS"));
        assert_eq!((next.status, next.text().as_str()), (200, "next"), "{method} {:.80}", response);
        drop(connection);
        assert_eq!(origin.connections(), 2);
        let outcome = capture.stop();
        assert_eq!(outcome.bundle().traces.len(), 2);
        assert_eq!(outcome.bundle().trace("/OPTIONS").text(), "next");
        let body = if method == "GET" { "hello" } else { "" };
        assert_eq!(outcome.bundle().trace(&format!("/{method}")).text(), body);
    }
    hold.open();
}

/// A way in which an origin closes a connection.
#[derive(Clone, Copy, Debug)]
enum Close {
    Fin,
    Reset,
}

impl Close {
    const ALL: [Self; 2] = [Self::Fin, Self::Reset];

    fn apply(self, connection: Connection) {
        match self {
            Self::Fin => connection.close_abruptly(),
            Self::Reset => connection.reset(),
        }
    }
}

/// Starts an origin that answers one request on each connection, reads the next one, and closes. With `bytes`, it sends
/// those before.
fn closing(close: Close, bytes: &'static str) -> Origin {
    Origin::plain(move |mut connection| {
        if next_request(&mut connection).is_some() {
            connection.send(HELLO);
        }
        if next_request(&mut connection).is_some() {
            connection.send(bytes);
            close.apply(connection);
        }
    })
}

#[test]
fn data_past_a_response_to_an_incomplete_request_ends_the_use_of_its_connection() {
    let answered = Gate::default();
    let wait = answered.clone();
    let origin = numbered(move |number, mut connection| {
        connection.read_head();
        connection.send(HELLO);
        if number == 0 {
            wait.pass();
            connection.send("evil");
            connection.read_exactly(10);
            // The proxy decides whether this connection is used again.
            connection.read_to_end();
        }
    });
    let capture = Capture::start();
    let host = origin.authority("127.0.0.1");
    let mut connection = capture.dial();
    let head = format!("POST http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 10\r\n\r\n");
    assert_eq!(connection.request(head).text(), "hello");
    let before = origin.received(0).len();
    answered.open();
    for n in 1..=10 {
        // Each byte that arrives shows that the proxy has also read what the origin sent before.
        connection.send("x");
        origin.received_at_least(0, before + n);
    }
    let next = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
    assert_eq!(connection.request(next).text(), "hello");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn a_request_that_may_be_repeated_is_sent_again_on_a_new_connection() {
    let methods = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"];
    let capture = Capture::start();
    for close in Close::ALL {
        for method in methods {
            let origin = closing(close, "");
            let host = origin.authority("127.0.0.1");
            let mut connection = capture.dial();
            assert_eq!(connection.request(format!("GET http://{host}/1 HTTP/1.1\r\nHost: {host}\r\n\r\n")).status, 200);
            let rest = format!("/2 HTTP/1.1\r\nHost: {host}\r\nX-Case: {close:?}\r\nContent-Length: 0\r\n\r\n");
            connection.send(format!("{method} http://{host}{rest}"));
            assert!(connection.read_head().starts_with("HTTP/1.1 200 "), "{method} {close:?}");
            drop(connection);
            assert_eq!(origin.connections(), 2);
            assert_eq!(origin.received(1), format!("{method} {rest}").into_bytes());
        }
    }
    let outcome = capture.stop();
    let seen: Vec<_> = outcome.bundle().traces.iter().map(|trace| (trace.method(), trace.status())).collect();
    let expected = methods.map(|method| [("GET", 200), (method, 200)]).concat();
    assert_eq!(seen, [expected.clone(), expected].concat());
}

#[test]
fn a_request_that_may_not_be_repeated_reaches_the_origin_once() {
    let requests = ["POST", "POST with a body", "PATCH", "PUT with a body", "get"];
    let capture = Capture::start();
    for close in Close::ALL {
        for request in requests {
            let origin = closing(close, "");
            let host = origin.authority("127.0.0.1");
            let mut connection = capture.dial();
            assert_eq!(connection.request(format!("GET http://{host}/1 HTTP/1.1\r\nHost: {host}\r\n\r\n")).status, 200);
            let (method, body) = request.split_once(' ').unwrap_or((request, ""));
            let length = body.len();
            let response = connection.request(format!(
                "{method} http://{host}/2 HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n{body}"
            ));
            assert_eq!(response.status, 502, "{request} {close:?}");
            let closed = if matches!(close, Close::Fin) { "closed" } else { "reset" };
            let why = format!("spectral: {host} {closed} the connection before it answered\n");
            assert_eq!(response.text(), why);
            assert_eq!(connection.read_to_end(), (Vec::new(), Ending::Clean));
            drop(connection);
            assert_eq!(origin.connections(), 1);
        }
    }
    let outcome = capture.stop();
    let seen: Vec<_> = outcome.bundle().traces.iter().map(|trace| (trace.method(), trace.status())).collect();
    let expected = requests.map(|request| [("GET", 200), (request.split(' ').next().unwrap_or_default(), 0)]).concat();
    assert_eq!(seen, [expected.clone(), expected].concat());
    let mut unanswered = outcome.bundle().traces.iter().filter(|trace| trace.status() == 0);
    assert!(unanswered.all(|trace| trace.status_text().starts_with("origin ")));
}

#[test]
fn a_request_is_sent_again_once_only_on_a_kept_connection_and_before_any_answer() {
    for close in Close::ALL {
        // The first connection, without a request before.
        let origin = Origin::plain(move |mut connection| {
            next_request(&mut connection);
            close.apply(connection);
        });
        let capture = Capture::start();
        let get = |origin: &Origin| {
            let host = origin.authority("127.0.0.1");
            format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n")
        };
        assert_eq!(capture.dial().request(get(&origin)).status, 502);
        assert_eq!(origin.connections(), 1);

        // The new connection closes too.
        let origin = numbered(move |number, mut connection| {
            next_request(&mut connection);
            if number == 0 {
                connection.send(HELLO);
                next_request(&mut connection);
            }
            close.apply(connection);
        });
        let mut connection = capture.dial();
        assert_eq!(connection.request(get(&origin)).status, 200);
        assert_eq!(connection.request(get(&origin)).status, 502);
        assert_eq!(origin.connections(), 2);
    }

    // A byte of an answer came.
    let origin = closing(Close::Fin, "H");
    let capture = Capture::start();
    let host = origin.authority("127.0.0.1");
    let mut connection = capture.dial();
    let get = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
    assert_eq!(connection.request(&get).status, 200);
    connection.send(&get);
    assert_eq!(connection.read_to_end(), (b"H".to_vec(), Ending::Clean));
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_request_whose_new_connection_is_refused_gets_the_reason() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let serving = std::thread::spawn(move || {
        let mut connection = Connection::over(listener.accept().unwrap().0);
        drop(listener);
        next_request(&mut connection);
        connection.send(HELLO);
        next_request(&mut connection);
        connection.close_abruptly();
    });
    let capture = Capture::start();
    let get = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let mut connection = capture.dial();
    assert_eq!(connection.request(&get).status, 200);
    let response = connection.request(&get);
    assert_eq!(response.status, 502);
    assert_eq!(response.text(), format!("spectral: cannot reach {host}: it refused the connection\n"));
    serving.join().unwrap();
}
