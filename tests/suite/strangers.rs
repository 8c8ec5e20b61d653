//! Peers that want nothing that a proxy has: noise, silence, and crowds of them.

use crate::support::{Connection, Gate, Origin, ProxyProcess, next_request};
use nix::sys::signal::Signal;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Whether it serves as if nothing were the matter.
#[track_caller]
fn serves(proxy: &ProxyProcess, origin: &Origin, path: &str) {
    let mut connection = proxy.tls(&origin.at("localhost"));
    assert_eq!(connection.request(format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).text(), "ok");
}

/// The same bytes in each run (xorshift64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let len = self.next() % most;
        (0..len).map(|_| (self.next() >> 32) as u8).collect()
    }
}

#[test]
fn noise_on_the_port_is_answered_or_ended_and_nothing_else() {
    let origin = Origin::tls_responding(OK);
    let sink = Origin::plain(|mut connection| drop(connection.read_to_end()));
    let proxy = ProxyProcess::start();
    let tunnel = format!("CONNECT {} HTTP/1.1\r\n\r\n", sink.at("127.0.0.1")).into_bytes();
    let plain = format!("POST http://{}/ HTTP/1.1\r\n", sink.at("127.0.0.1")).into_bytes();
    // What comes before the noise, so that some of it goes deep.
    let has_more: [&[u8]; 8] =
        [b"", b"GET ", b"GET / HTTP/1.1\r\n", b"CONNECT ", b"\x16\x03\x01\x02\x00\x01", b"\r\n", &tunnel, &plain];
    let mut noise = Noise(0x5eed);
    for _ in 0..50 {
        for begin in has_more {
            let mut connection = proxy.dial();
            // It may be answered, and closed, before all is said.
            connection.writer.try_send(&[begin, &noise.bytes(3_000)].concat()).ok();
            if noise.next() & 1 == 0 {
                connection.reset();
            } else {
                connection.finish();
                connection.read_to_end();
            }
        }
    }
    serves(&proxy, &origin, "after");
    proxy.wait_for_release();
    assert!(proxy.running.err.look(|lines| lines.iter().all(|line| !line.contains("defect"))));
    let (bundle, _) = proxy.end();
    assert_eq!(bundle.trace("/after").text(), "ok");
}

#[test]
fn ten_thousand_that_say_nothing() {
    let origin = Origin::tls_responding(OK);
    let proxy = ProxyProcess::start();
    for round in 0..40 {
        let silent: Vec<_> = (0..250).map(|_| TcpStream::connect(proxy.running.addr).unwrap()).collect();
        serves(&proxy, &origin, &round.to_string());
        for (number, socket) in silent.iter().enumerate() {
            // One in two says goodbye before it goes.
            if number % 2 == 0 {
                socket.shutdown(Shutdown::Write).unwrap();
            }
        }
    }
    assert_eq!(proxy.end().0.traces.len(), 40);
}

#[test]
fn a_burst_of_clients_finds_room_in_the_queue() {
    let proxy = ProxyProcess::start();
    // It accepts none meanwhile. A client that finds no room tries again after a second: too late here.
    proxy.running.signal(Signal::SIGSTOP);
    let burst: Result<Vec<_>, _> =
        (0..300).map(|_| TcpStream::connect_timeout(&proxy.running.addr, Duration::from_millis(900))).collect();
    proxy.running.signal(Signal::SIGCONT);
    assert!(burst.is_ok(), "{burst:?}");
    drop(burst);
    proxy.end();
}

#[test]
fn an_origin_that_never_answers_is_waited_for() {
    // Past a second the connection gives its buffers back, as it does in hours of silence.
    let silence = Gate::default();
    let wait = silence.clone();
    let origin = Origin::tls(move |mut connection: Connection| {
        next_request(&mut connection);
        wait.pass();
        connection.send(OK);
    });
    let proxy = ProxyProcess::start();
    let mut connection = proxy.tls(&origin.at("localhost"));
    connection.send("GET /poll HTTP/1.1\r\nHost: localhost\r\n\r\n");
    connection.reader.set_read_timeout(Duration::from_millis(2_500));
    assert!(!connection.reader.has_more(), "neither an answer nor an end");
    connection.reader.set_read_timeout(crate::support::TIMEOUT);
    silence.open();
    assert_eq!(connection.read_response().text(), "ok");
    drop(connection);
    assert!(proxy.end().0.only_trace().ms("wait") > 2_000.0);
}

#[test]
fn the_kernel_looks_for_dead_peers_on_both_sides() {
    let silence = Gate::default();
    let wait = silence.clone();
    let origin = Origin::plain(move |_link| wait.pass());
    let proxy = ProxyProcess::start();
    let connection = proxy.connect(&origin.at("127.0.0.1"));
    // A line for each socket: its two ports, in hexadecimal, and, after the state and the queues, what its timer waits for.
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
    proxy.end();
}

/// The kind of timer that `tcp(7)`'s keepalive is in /proc/net/tcp.
const KEEPALIVE: &str = "02";
