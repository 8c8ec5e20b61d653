//! Peers with invalid or no data: garbage, silence, and large numbers of connections.

use crate::support::{Connection, Gate, Origin, ProxyProcess, next_request};
use nix::sys::signal::Signal;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Fails unless the proxy serves a request as usual.
#[track_caller]
fn assert_serves(proxy: &ProxyProcess, origin: &Origin, path: &str) {
    let mut connection = proxy.tls(&origin.authority("localhost"));
    assert_eq!(connection.request(format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).text(), "ok");
}

/// A deterministic generator (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, max: u64) -> Vec<u8> {
        let len = self.next() % max;
        (0..len).map(|_| (self.next() >> 32) as u8).collect()
    }
}

#[test]
fn answers_or_closes_connections_with_garbage() {
    let origin = Origin::tls_responding(OK);
    let sink = Origin::plain(|mut connection| drop(connection.read_to_end()));
    let proxy = ProxyProcess::start();
    let tunnel = format!("CONNECT {} HTTP/1.1\r\n\r\n", sink.authority("127.0.0.1")).into_bytes();
    let plain = format!("POST http://{}/ HTTP/1.1\r\n", sink.authority("127.0.0.1")).into_bytes();
    // A valid start before the garbage, so that some of it reaches later states.
    let has_more: [&[u8]; 8] =
        [b"", b"GET ", b"GET / HTTP/1.1\r\n", b"CONNECT ", b"\x16\x03\x01\x02\x00\x01", b"\r\n", &tunnel, &plain];
    let mut random = Random(0x5eed);
    for _ in 0..50 {
        for begin in has_more {
            let mut connection = proxy.dial();
            // The proxy may respond and close before all is sent.
            connection.writer.try_send(&[begin, &random.bytes(3_000)].concat()).ok();
            if random.next() & 1 == 0 {
                connection.reset();
            } else {
                connection.finish();
                connection.read_to_end();
            }
        }
    }
    assert_serves(&proxy, &origin, "after");
    proxy.wait_for_release();
    assert!(proxy.running.err.read(|lines| lines.iter().all(|line| !line.contains("defect"))));
    let (bundle, _) = proxy.stop();
    assert_eq!(bundle.trace("/after").text(), "ok");
}

#[test]
fn survives_ten_thousand_silent_connections() {
    let origin = Origin::tls_responding(OK);
    let proxy = ProxyProcess::start();
    for round in 0..40 {
        let silent: Vec<_> = (0..250).map(|_| TcpStream::connect(proxy.running.addr).unwrap()).collect();
        assert_serves(&proxy, &origin, &round.to_string());
        for (number, socket) in silent.iter().enumerate() {
            // Every second one closes gracefully.
            if number % 2 == 0 {
                socket.shutdown(Shutdown::Write).unwrap();
            }
        }
    }
    assert_eq!(proxy.stop().0.traces.len(), 40);
}

#[test]
fn the_listen_queue_holds_a_burst_of_clients() {
    let proxy = ProxyProcess::start();
    // The proxy accepts none during the burst. A client without room in the queue retries after a second: too late
    // here.
    proxy.running.signal(Signal::SIGSTOP);
    let burst: Result<Vec<_>, _> =
        (0..300).map(|_| TcpStream::connect_timeout(&proxy.running.addr, Duration::from_millis(900))).collect();
    proxy.running.signal(Signal::SIGCONT);
    assert!(burst.is_ok(), "{burst:?}");
    drop(burst);
    proxy.stop();
}

#[test]
fn waits_for_a_silent_origin() {
    // After a second the connection releases its buffers, as in hours of silence.
    let silence = Gate::default();
    let wait = silence.clone();
    let origin = Origin::tls(move |mut connection: Connection| {
        next_request(&mut connection);
        wait.pass();
        connection.send(OK);
    });
    let proxy = ProxyProcess::start();
    let mut connection = proxy.tls(&origin.authority("localhost"));
    connection.send("GET /poll HTTP/1.1\r\nHost: localhost\r\n\r\n");
    connection.reader.set_read_timeout(Duration::from_millis(2_500));
    assert!(!connection.reader.has_more(), "neither a response nor an end");
    connection.reader.set_read_timeout(crate::support::TIMEOUT);
    silence.open();
    assert_eq!(connection.read_response().text(), "ok");
    drop(connection);
    assert!(proxy.stop().0.only_trace().ms("wait") > 2_000.0);
}

#[test]
fn enables_tcp_keepalive_on_both_sides() {
    let silence = Gate::default();
    let wait = silence.clone();
    let origin = Origin::plain(move |_connection| wait.pass());
    let proxy = ProxyProcess::start();
    let connection = proxy.connect(&origin.authority("127.0.0.1"));
    // A line for each socket: its two ports in hexadecimal, the state, the queues, and the kind of its timer.
    let Ok(sockets) = std::fs::read_to_string("/proc/net/tcp") else { return };
    let timer = |local: Option<u16>, remote: Option<u16>| {
        let is = |field: &str, port: Option<u16>| port.is_none_or(|port| field.ends_with(&format!(":{port:04X}")));
        sockets.lines().find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            (is(fields[1], local) && is(fields[2], remote) && fields[3] == "01").then(|| fields[5][..2].to_owned())
        })
    };
    let client = connection.local_port();
    assert_eq!(timer(Some(proxy.running.addr.port()), Some(client)).as_deref(), Some(KEEPALIVE), "{sockets}");
    assert_eq!(timer(None, Some(origin.port())).as_deref(), Some(KEEPALIVE), "{sockets}");
    silence.open();
    drop(connection);
    proxy.stop();
}

/// The timer kind of keepalive in /proc/net/tcp; see `tcp(7)`.
const KEEPALIVE: &str = "02";
