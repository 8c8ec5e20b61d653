//! Either side disconnects, at any moment and in any way: the peer sees it at once, the bundle records it, and no
//! resource leaks.

use crate::support::{Connection, Ending, Gate, Origin, ProxyProcess, TIMEOUT, Watched, next_request};
use std::sync::mpsc;
use std::time::Duration;

const REQUEST: &str = "GET /asked HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A way to disconnect.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Disconnect {
    /// RST.
    Reset,
    /// FIN; over TLS, without close_notify.
    Close,
}

impl Disconnect {
    const ALL: [Self; 2] = [Self::Reset, Self::Close];

    fn apply(self, connection: Connection) {
        match self {
            Self::Reset => connection.reset(),
            Self::Close => connection.close_abruptly(),
        }
    }

    /// Returns the end that the peer must see.
    fn seen(self, tls: bool) -> Ending {
        match (self, tls) {
            (Self::Reset, _) => Ending::Reset,
            (Self::Close, true) => Ending::Truncated,
            (Self::Close, false) => Ending::Clean,
        }
    }
}

#[test]
fn closes_the_origins_connection_when_the_client_disconnects() {
    let (sender, receiver) = mpsc::channel();
    let (begin, begun) = mpsc::channel();
    let script = move |mut connection: Connection| {
        begin.send(()).unwrap();
        sender.send(connection.read_to_end()).unwrap();
    };
    let origins = [(Origin::plain(script.clone()), false), (Origin::tls(script), true)];
    let proxy = ProxyProcess::start();
    let upload = "POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nsome of it";
    for (origin, tls) in &origins {
        let mut count = 0;
        for request in ["", "GET /half HTTP/1.1\r\nHo", upload, REQUEST] {
            for disconnect in Disconnect::ALL {
                let host = origin.authority("localhost");
                let mut connection = if *tls { proxy.tls(&host) } else { proxy.connect(&host) };
                // If a reset arrives before the origin has completed the handshake, there is no connection to serve.
                begun
                    .recv_timeout(TIMEOUT)
                    .unwrap_or_else(|_| panic!("the origin did not start: {request:?}, {disconnect:?}"));
                connection.send(request);
                origin.received_at_least(count, request.len());
                count += 1;
                disconnect.apply(connection);
                let seen =
                    receiver.recv_timeout(TIMEOUT).unwrap_or_else(|_| panic!("{disconnect:?} after {request:?}"));
                assert_eq!(seen.0, request.as_bytes());
                // Closing with unread bytes, such as session tickets, sends RST.
                let is_so = seen.1 == disconnect.seen(*tls) || *tls && seen.1 == Ending::Reset;
                assert!(is_so, "{:?} after {request:?} and {disconnect:?}, TLS: {tls}", seen.1);
            }
        }
    }
    let (bundle, _) = proxy.stop();
    // Two requests, two disconnects, two origins. In the clear, the incomplete head is no first flight.
    assert_eq!(bundle.traces.len(), 8 + 2, "{:?}", bundle.urls());
    for trace in bundle.traces {
        assert_eq!((trace.status(), trace.status_text()), (0, "client disconnected"), "{}", trace.url());
    }
}

#[test]
fn ends_an_endless_response_when_the_client_disconnects() {
    let (sender, receiver) = mpsc::channel();
    let script = move |mut connection: Connection| {
        next_request(&mut connection);
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        // An event at intervals, until the write fails.
        let never = Gate::default();
        while connection.writer.try_send(b"data: x\n\n").is_ok() {
            never.within(Duration::from_millis(5), |open| open.then_some(()));
        }
        connection.close_abruptly();
        sender.send(()).unwrap();
    };
    let origins = [(Origin::plain(script.clone()), false), (Origin::tls(script), true)];
    let proxy = ProxyProcess::start();
    for (origin, tls) in &origins {
        for disconnect in Disconnect::ALL {
            let host = origin.authority("localhost");
            let mut connection = if *tls { proxy.tls(&host) } else { proxy.connect(&host) };
            connection.send(REQUEST);
            connection.read_until(b"data: x\n\n");
            disconnect.apply(connection);
            receiver.recv_timeout(TIMEOUT).unwrap_or_else(|_| panic!("the origin keeps sending after {disconnect:?}"));
        }
    }
    let (bundle, _) = proxy.stop();
    assert_eq!(bundle.traces.len(), 4);
    assert!(bundle.traces.iter().all(|trace| trace.status() == 200 && trace.text().starts_with("data: x\n\n")));
}

#[test]
fn forwards_the_origins_disconnect() {
    // At once, after the request, in the response's head, in its body.
    let responses = [
        None,
        Some(""),
        Some("HTTP/1.1 200 OK\r\nContent-Le"),
        Some("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody"),
    ];
    let proxy = ProxyProcess::start();
    for response in responses {
        for disconnect in Disconnect::ALL {
            let script = move |mut connection: Connection| {
                if let Some(response) = response {
                    connection.read_head();
                    connection.send(response);
                }
                disconnect.apply(connection);
            };
            for (origin, tls) in [(Origin::plain(script), false), (Origin::tls(script), true)] {
                let host = origin.authority("localhost");
                let mut connection = if tls { proxy.tls(&host) } else { proxy.send_connect(&host) };
                // An origin that resets at once may do so while the proxy connects.
                if !tls && connection.read_head().starts_with("HTTP/1.1 502 ") {
                    assert_eq!(response, None);
                    continue;
                }
                // The client may notice already here: then its write takes the error, and its read sees a plain end.
                let is_gone = connection.writer.try_send(REQUEST.as_bytes()).is_err();
                let (received, ending) = connection.read_to_end();
                // A reset discards the data that it overtakes.
                assert!(response.unwrap_or("").as_bytes().starts_with(&received), "{}", received.escape_ascii());
                let expected = [disconnect.seen(tls), Ending::Reset];
                let is_so = is_gone || expected.contains(&ending);
                assert!(is_so, "{ending:?} after {response:?} and {disconnect:?}, TLS: {tls}");
                connection.close_abruptly();
            }
        }
    }
    proxy.stop();
}

#[test]
fn a_client_may_disconnect_in_the_handshake() {
    let origin = Origin::tls(|mut connection| drop(connection.read_to_end()));
    let proxy = ProxyProcess::start();
    let hello = proxy.client().hello();
    // In a record's header, in the ClientHello, after it.
    for len in [1, 5, 100, hello.len()] {
        for disconnect in Disconnect::ALL {
            let mut connection = proxy.connect(&origin.authority("localhost"));
            connection.writer.send_raw(&hello[..len]).unwrap();
            if len == hello.len() {
                // The ServerHello's record; the proxy then waits for the client's Finished.
                assert_eq!(connection.read_exactly(1), [22]);
            }
            disconnect.apply(connection);
        }
    }
    origin.open.until("the connections to the origin to close", |open| (*open == 0).then_some(()));
    let (bundle, _) = proxy.stop();
    assert!(bundle.traces.is_empty());
}

#[test]
fn an_origin_may_disconnect_in_the_handshake() {
    let proxy = ProxyProcess::start();
    for disconnect in Disconnect::ALL {
        for len in [0, 1, 5, 100] {
            let origin = Origin::plain(move |mut connection: Connection| {
                connection.read_exactly(len);
                disconnect.apply(connection);
            });
            let mut connection = proxy.send_connect(&origin.authority("localhost"));
            // An origin that resets at once may do so while the proxy connects.
            if connection.read_head().starts_with("HTTP/1.1 502 ") {
                assert_eq!(len, 0);
                continue;
            }
            // If it disconnects before that, there is no tunnel either.
            connection.writer.send_raw(&proxy.client().hello()).ok();
            assert_eq!(connection.read_to_end().0, b"", "the proxy sends nothing in place of the origin");
            connection.close_abruptly();
            assert!(origin.connections() <= 2, "one for the handshake, one for passthrough");
        }
    }
    proxy.stop();
}

#[test]
fn a_client_that_never_reads_may_disconnect() {
    // All buffers are full in both directions; then the client disconnects.
    let flood = |mut connection: Connection| {
        while connection.writer.try_send(&[b'x'; 65536]).is_ok() {}
        connection.close_abruptly();
    };
    let proxy = ProxyProcess::start();
    for (origin, tls) in [(Origin::plain(flood), false), (Origin::tls(flood), true)] {
        for disconnect in Disconnect::ALL {
            let host = origin.authority("localhost");
            let mut connection = if tls { proxy.tls(&host) } else { proxy.connect(&host) };
            connection.set_receive_buffer(4096);
            connection.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n");
            let full = Watched::<bool>::default();
            let (mut writer, gate) = (connection.writer.clone(), full.clone());
            let upload = std::thread::spawn(move || {
                while writer.try_send(&[b'u'; 65536]).is_ok() {}
                gate.open();
            });
            // The transfer stalls. The result is the same if the client disconnects before that.
            full.within(Duration::from_millis(300), |full| full.then_some(()));
            connection.writer.shut_down();
            upload.join().unwrap();
            disconnect.apply(connection);
        }
        origin.open.until("the connections to the origin to close", |open| (*open == 0).then_some(()));
    }
    proxy.stop();
}

#[test]
fn other_disconnects_leak_no_resources() {
    let proxy = ProxyProcess::start();
    let request = "POST /half HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n";
    let origin = Origin::tls(|mut connection| {
        connection.read_head();
        connection.send("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        connection.finish();
        connection.read_to_end();
    });
    // Half-close by the origin with an early 413, then by the client.
    let mut connection = proxy.tls(&origin.authority("localhost"));
    connection.send(request);
    assert_eq!(connection.read_response().status, 413);
    assert_eq!(connection.read_to_end().1, Ending::Clean);
    connection.send("up");
    drop(connection);
    // A request for the proxy itself.
    let mut connection = proxy.send_connect(&proxy.running.addr.to_string());
    assert!(connection.read_head().starts_with("HTTP/1.1 403 "));
    drop(connection);
    // Without a response.
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(proxy.send_connect(&unused.to_string()).read_head().starts_with("HTTP/1.1 502 "));
    assert_eq!(proxy.stop().0.only_trace().status(), 413);
}
