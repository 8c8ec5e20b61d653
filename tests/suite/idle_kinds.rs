//! Each kind of connection without data releases its thread: before a request, between plain requests, during a plain
//! response, before the first flight, and with one direction ended.

use crate::support::{Connection, Ending, Gate, Origin, ProxyProcess, Watched, bundle::Bundle, next_request};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n";
/// Enough that a thread for each would be noticed.
const NUMBER: usize = 50;

/// A plain request of `/path` for `origin`.
fn plain_request(origin: &Origin, path: &str) -> String {
    let host = origin.authority("127.0.0.1");
    format!("GET http://{host}/{path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[test]
fn a_client_without_a_whole_request_is_idle() {
    let origin = Origin::plain_responding(OK);
    let proxy = ProxyProcess::start();
    let request = plain_request(&origin, "x");
    let (begin, rest) = request.split_at(20);
    let mut clients: Vec<_> = (0..2 * NUMBER).map(|_| proxy.dial()).collect();
    clients.iter_mut().skip(NUMBER).for_each(|client| client.send(begin));
    if !proxy.wait_until_idle() {
        return;
    }
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(if number < NUMBER { &request } else { rest });
        assert_eq!(client.read_response().text(), "ok");
    }
    drop(clients);
    assert_eq!(proxy.stop().0.traces.len(), 2 * NUMBER);
}

#[test]
fn a_client_that_negotiates_socks_is_idle_between_its_messages() {
    let origin = Origin::plain_responding(OK);
    let proxy = ProxyProcess::start();
    let mut clients: Vec<_> = (0..NUMBER).map(|_| proxy.dial()).collect();
    let port = origin.port().to_be_bytes();
    let request = [b"\x05\x01\x00\x01\x7f\x00\x00\x01", &port[..], GET.as_bytes()].concat();
    for (piece, reply) in [(&b"\x05\x02\x00"[..], &b""[..]), (b"\x02", b"\x05\x00"), (&request[..4], b"")] {
        for client in &mut clients {
            client.send(piece);
            assert_eq!(client.read_exactly(reply.len()), reply);
        }
        if !proxy.wait_until_idle() {
            return;
        }
    }
    for client in &mut clients {
        client.send(&request[4..]);
        assert_eq!(client.read_exactly(10), b"\x05\0\0\x01\0\0\0\0\0\0");
        assert_eq!(client.read_response().text(), "ok");
    }
    drop(clients);
    assert_eq!(proxy.stop().0.traces.len(), NUMBER);
}

#[test]
fn a_plain_client_is_idle_between_requests_and_keeps_its_origin() {
    let origin = Origin::plain_responding(OK);
    let proxy = ProxyProcess::start();
    let mut clients: Vec<_> = (0..NUMBER).map(|_| proxy.dial()).collect();
    for _ in 0..2 {
        for client in &mut clients {
            assert_eq!(client.request(plain_request(&origin, "x")).text(), "ok");
        }
        if !proxy.wait_until_idle() {
            return;
        }
    }
    assert_eq!(origin.connections(), NUMBER, "connections to origins are kept while the client is idle");
    drop(clients);
    assert_eq!(proxy.stop().0.traces.len(), 2 * NUMBER);
}

#[test]
fn a_plain_response_in_progress_is_idle() {
    let turn = Watched::<usize>::default();
    let now = turn.clone();
    let origin = Origin::plain(move |mut connection: Connection| {
        next_request(&mut connection);
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        for step in 0..2 {
            now.until("the next step", |now| (*now >= step).then_some(()));
            connection.send(format!("data: {step}\n\n"));
        }
    });
    let proxy = ProxyProcess::start();
    let mut clients: Vec<_> = (0..NUMBER)
        .map(|_| {
            let mut client = proxy.dial();
            client.send(plain_request(&origin, "events"));
            client.read_until(b"data: 0\n\n");
            client
        })
        .collect();
    if !proxy.wait_until_idle() {
        return;
    }
    turn.update(|turn| *turn = 1);
    for client in &mut clients {
        assert_eq!(client.read_to_end(), (b"data: 1\n\n".to_vec(), Ending::Clean));
    }
    drop(clients);
    let (bundle, _) = proxy.stop();
    assert_eq!(bundle.traces.len(), NUMBER);
    assert!(bundle.traces.iter().all(|trace| trace.text() == "data: 0\n\ndata: 1\n\n"));
}

#[test]
fn a_tunnel_without_a_first_flight_is_idle() {
    let greet = Gate::default();
    let go = greet.clone();
    let greeting = Origin::plain(move |mut connection: Connection| {
        go.pass();
        connection.send("220 ready\r\n");
        assert_eq!(connection.read_to_end(), (b"QUIT\r\n".to_vec(), Ending::Clean));
    });
    let (closing, close) = Origin::stalled();
    let http = Origin::tls_responding(OK);
    let proxy = ProxyProcess::start();
    let open =
        |origin: &Origin| -> Vec<_> { (0..NUMBER).map(|_| proxy.connect(&origin.authority("localhost"))).collect() };
    let (requests, greeted, closed) = (open(&http), open(&greeting), open(&closing));
    if !proxy.wait_until_idle() {
        return;
    }
    // The client, or the origin, sends first, or the origin ends.
    for mut connection in requests {
        proxy.client().start(&mut connection).unwrap();
        assert_eq!(connection.request(GET).text(), "ok");
    }
    greet.open();
    for mut connection in greeted {
        assert_eq!(connection.read_exactly(11), b"220 ready\r\n");
        connection.send("QUIT\r\n");
        connection.finish();
        assert_eq!(connection.read_to_end(), (vec![], Ending::Clean));
    }
    close.open();
    for mut connection in closed {
        assert_eq!(connection.read_to_end(), (vec![], Ending::Clean));
    }
    let (bundle, output) = proxy.stop();
    assert_eq!(bundle.traces.len(), NUMBER);
    assert!(output.err.contains(&greeting.port().to_string()), "the greeted ones are reported: {}", output.err);
}

#[test]
fn an_incomplete_first_flight_keeps_its_deadline_while_it_is_idle() {
    let origin = Origin::plain(|mut connection: Connection| {
        let (bytes, _) = connection.read_to_end();
        assert_eq!(bytes, b"\x16\x03\x01\x02");
    });
    let proxy = ProxyProcess::start();
    let began = crate::support::now();
    let mut connections: Vec<_> = (0..NUMBER).map(|_| proxy.connect(&origin.authority("localhost"))).collect();
    connections.iter_mut().for_each(|connection| connection.send(b"\x16\x03\x01\x02"));
    if !proxy.wait_until_idle() {
        return;
    }
    for number in 0..NUMBER {
        origin.received_at_least(number, 4);
    }
    assert!(began.elapsed() >= std::time::Duration::from_secs(2));
    drop(connections);
    let (_, output) = proxy.stop();
    assert!(output.err.contains("the first flight was incomplete"), "{}", output.err);
}

#[test]
fn a_tunnel_whose_origin_has_ended_is_idle() {
    for tls in [true, false] {
        let script = |mut connection: Connection| {
            connection.read_head();
            connection.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nearly");
            connection.finish();
            assert_eq!(connection.read_to_end(), (b"0123456789".to_vec(), Ending::Clean));
        };
        let origin = if tls { Origin::tls(script) } else { Origin::plain(script) };
        let proxy = ProxyProcess::start();
        let host = origin.authority("localhost");
        let mut connections: Vec<_> = (0..NUMBER)
            .map(|_| {
                let mut connection = if tls { proxy.tls(&host) } else { proxy.connect(&host) };
                connection.send("POST /early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n");
                let (response, ending) = connection.read_to_end();
                assert!(response.ends_with(b"\r\n\r\nearly"));
                assert_eq!(ending, Ending::Clean);
                connection
            })
            .collect();
        if !proxy.wait_until_idle() {
            return;
        }
        for connection in &mut connections {
            connection.send("0123456789");
            connection.finish();
        }
        drop(connections);
        origin.open.until("the connections to the origin to close", |open| (*open == 0).then_some(()));
        let (bundle, _) = proxy.stop();
        assert_eq!(bundle.traces.len(), NUMBER);
        assert!(bundle.traces.iter().all(|trace| trace.request_body == b"0123456789" && trace.text() == "early"));
    }
}

#[test]
fn a_tunnel_whose_client_has_ended_is_idle() {
    for tls in [true, false] {
        let go = Gate::default();
        let wait = go.clone();
        let script = move |mut connection: Connection| {
            connection.read_to_end();
            wait.pass();
            connection.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nlate");
        };
        let origin = if tls { Origin::tls(script) } else { Origin::plain(script) };
        let proxy = ProxyProcess::start();
        let host = origin.authority("localhost");
        let mut connections: Vec<_> = (0..NUMBER)
            .map(|_| {
                let mut connection = if tls { proxy.tls(&host) } else { proxy.connect(&host) };
                connection.send(GET);
                connection.finish();
                connection
            })
            .collect();
        if !proxy.wait_until_idle() {
            return;
        }
        go.open();
        for connection in &mut connections {
            let (response, ending) = connection.read_to_end();
            assert!(response.ends_with(b"\r\n\r\nlate"));
            assert_eq!(ending, Ending::Clean);
        }
        drop(connections);
        let (bundle, _) = proxy.stop();
        assert_eq!(bundle.traces.len(), NUMBER);
        assert!(bundle.traces.iter().all(|trace| trace.text() == "late"));
    }
}

#[test]
fn a_half_closed_tunnel_that_is_idle_forwards_a_reset() {
    let go = Gate::default();
    let wait = go.clone();
    let origin = Origin::plain(move |mut connection: Connection| {
        connection.read_to_end();
        wait.pass();
        connection.reset();
    });
    let proxy = ProxyProcess::start();
    let mut connection = proxy.connect(&origin.authority("localhost"));
    connection.send(GET);
    connection.finish();
    proxy.wait_until_idle();
    go.open();
    assert_eq!(connection.read_to_end(), (vec![], Ending::Reset));
    proxy.stop();
}

#[test]
fn the_stop_ends_idle_connections_of_each_kind() {
    let origin = Origin::plain(|mut connection: Connection| {
        while let Some((head, _)) = next_request(&mut connection) {
            if head.starts_with("GET /early ") {
                connection.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nearly");
                connection.finish();
            } else if head.starts_with("GET /part ") {
                connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart");
            } else {
                connection.send(OK);
            }
        }
    });
    let host = origin.authority("localhost");
    let proxy = ProxyProcess::start();
    let mut connections = Vec::new();
    for _ in 0..10 {
        let mut part_of_a_request = proxy.dial();
        part_of_a_request.send("GET http://");
        let mut plain = proxy.dial();
        assert_eq!(plain.request(plain_request(&origin, "plain")).text(), "ok");
        let mut half_closed = proxy.connect(&host);
        half_closed.send("GET /early HTTP/1.1\r\nHost: localhost\r\n\r\n");
        half_closed.read_until(b"early");
        let mut plain_response = proxy.dial();
        plain_response.send(plain_request(&origin, "part"));
        plain_response.read_until(b"part");
        connections.extend([
            (proxy.dial(), Ending::Clean),
            (part_of_a_request, Ending::Clean),
            (proxy.connect(&host), Ending::Reset),
            (plain, Ending::Clean),
            (half_closed, Ending::Clean),
            (plain_response, Ending::Reset),
        ]);
    }
    proxy.wait_until_idle();
    let ProxyProcess { running, dir, .. } = proxy;
    let output = running.interrupt();
    assert_eq!(output.code, Some(0), "{}", output.err);
    let bundle = Bundle::open(&dir.join("capture.zip"));
    for (mut connection, expected) in connections {
        assert_eq!(connection.read_to_end().1, expected);
    }
    let with = |path: &str, text: &str| {
        bundle.traces.iter().filter(|trace| trace.url().ends_with(path) && trace.text() == text).count()
    };
    assert_eq!((with("/plain", "ok"), with("/early", "early"), with("/part", "part")), (10, 10, 10));
}
