//! Peers that want nothing that a proxy has: noise, silence, and crowds of them.

use crate::support::{Gate, Link, Origin, Subject, next_request};
use nix::sys::signal::Signal;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Whether it serves as if nothing were the matter.
#[track_caller]
fn serves(subject: &Subject, origin: &Origin, path: &str) {
    let mut link = subject.tls(&origin.at("localhost"));
    assert_eq!(link.ask(format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).text(), "ok");
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
    let origin = Origin::tls_answering(OK);
    let sink = Origin::plain(|mut link| drop(link.the_rest()));
    let subject = Subject::start();
    let tunnel = format!("CONNECT {} HTTP/1.1\r\n\r\n", sink.at("127.0.0.1")).into_bytes();
    let plain = format!("POST http://{}/ HTTP/1.1\r\n", sink.at("127.0.0.1")).into_bytes();
    // What comes before the noise, so that some of it goes deep.
    let begins: [&[u8]; 8] =
        [b"", b"GET ", b"GET / HTTP/1.1\r\n", b"CONNECT ", b"\x16\x03\x01\x02\x00\x01", b"\r\n", &tunnel, &plain];
    let mut noise = Noise(0x5eed);
    for _ in 0..50 {
        for begin in begins {
            let mut link = subject.dial();
            // It may be answered, and closed, before all is said.
            link.writer.try_send(&[begin, &noise.bytes(3_000)].concat()).ok();
            if noise.next() & 1 == 0 {
                link.reset();
            } else {
                link.finish();
                link.the_rest();
            }
        }
    }
    serves(&subject, &origin, "after");
    subject.lets_go();
    assert!(subject.running.err.look(|lines| lines.iter().all(|line| !line.contains("defect"))));
    let (bundle, _) = subject.end();
    assert_eq!(bundle.trace("/after").text(), "ok");
}

#[test]
fn ten_thousand_that_say_nothing() {
    let origin = Origin::tls_answering(OK);
    let subject = Subject::start();
    for round in 0..40 {
        let silent: Vec<_> = (0..250).map(|_| TcpStream::connect(subject.running.addr).unwrap()).collect();
        serves(&subject, &origin, &round.to_string());
        for (number, socket) in silent.iter().enumerate() {
            // One in two says goodbye before it goes.
            if number % 2 == 0 {
                socket.shutdown(Shutdown::Write).unwrap();
            }
        }
    }
    assert_eq!(subject.end().0.traces.len(), 40);
}

#[test]
fn a_burst_of_clients_finds_room_in_the_queue() {
    let subject = Subject::start();
    // It accepts none meanwhile. A client that finds no room tries again after a second: too late here.
    subject.running.signal(Signal::SIGSTOP);
    let burst: Result<Vec<_>, _> =
        (0..300).map(|_| TcpStream::connect_timeout(&subject.running.addr, Duration::from_millis(900))).collect();
    subject.running.signal(Signal::SIGCONT);
    assert!(burst.is_ok(), "{burst:?}");
    drop(burst);
    subject.end();
}

#[test]
fn an_origin_that_never_answers_is_waited_for() {
    // Past a second the connection gives its buffers back, as it does in hours of silence.
    let silence = Gate::default();
    let wait = silence.clone();
    let origin = Origin::tls(move |mut link: Link| {
        next_request(&mut link);
        wait.pass();
        link.send(OK);
    });
    let subject = Subject::start();
    let mut link = subject.tls(&origin.at("localhost"));
    link.send("GET /poll HTTP/1.1\r\nHost: localhost\r\n\r\n");
    link.reader.patience(Duration::from_millis(2_500));
    assert!(!link.reader.begins(), "neither an answer nor an end");
    link.reader.patience(crate::support::PATIENCE);
    silence.open();
    assert_eq!(link.response().text(), "ok");
    drop(link);
    assert!(subject.end().0.only_trace().ms("wait") > 2_000.0);
}

#[test]
fn the_kernel_looks_for_dead_peers_on_both_sides() {
    let silence = Gate::default();
    let wait = silence.clone();
    let origin = Origin::plain(move |_link| wait.pass());
    let subject = Subject::start();
    let link = subject.connect(&origin.at("127.0.0.1"));
    // A line for each socket: its two ports, in hexadecimal, and, after the state and the queues, what its timer waits for.
    let Ok(sockets) = std::fs::read_to_string("/proc/net/tcp") else { return };
    let timer = |local: Option<u16>, remote: Option<u16>| {
        let is = |field: &str, port: Option<u16>| port.is_none_or(|port| field.ends_with(&format!(":{port:04X}")));
        sockets.lines().find_map(|line| {
            let fields: Vec<_> = line.split_whitespace().collect();
            (is(fields[1], local) && is(fields[2], remote) && fields[3] == "01").then(|| fields[5][..2].to_owned())
        })
    };
    let client = link.local_port();
    assert_eq!(timer(Some(subject.running.addr.port()), Some(client)).as_deref(), Some(KEEPALIVE), "{sockets}");
    assert_eq!(timer(None, Some(origin.port())).as_deref(), Some(KEEPALIVE), "{sockets}");
    silence.open();
    drop(link);
    subject.end();
}

/// The kind of timer that `tcp(7)`'s keepalive is in /proc/net/tcp.
const KEEPALIVE: &str = "02";
