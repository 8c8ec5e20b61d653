//! A client that does not read stalls only its own connection, and uses no CPU.

use crate::support::cli::Spectral;
use crate::support::{Capture, Connection, Gate, Origin, TempDir, Watched, next_request};
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const MIB: usize = 1 << 20;

#[test]
fn a_client_that_stops_reading_stalls_only_itself() {
    let flood = Origin::tls(|mut connection: Connection| {
        next_request(&mut connection);
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 48 * MIB));
        for _ in 0..48 {
            connection.send(vec![b'x'; MIB]);
        }
    });
    let quick = Origin::tls_responding(OK);
    let capture = Capture::start();
    let mut slow = capture.tls(&flood.authority("localhost"), "localhost");
    slow.send("GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n");
    slow.read_head();
    for number in 0..20 {
        let mut connection = capture.tls(&quick.authority("localhost"), "localhost");
        assert_eq!(connection.request(format!("GET /{number} HTTP/1.1\r\nHost: localhost\r\n\r\n")).text(), "ok");
    }
    // It receives everything once it reads again.
    for _ in 0..48 {
        assert!(slow.read_exactly(MIB).iter().all(|&byte| byte == b'x'));
    }
    drop(slow);
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().traces.len(), 21);
    assert_eq!(outcome.bundle().trace("/flood").response_body.len(), 48 * MIB);
}

#[test]
fn reads_no_further_than_the_origin() {
    // Bytes that the origin does not read stay with the client, so memory is bounded.
    let go = Gate::default();
    let wait = go.clone();
    let origin = Origin::plain(move |mut connection: Connection| {
        connection.read_head();
        connection.set_receive_buffer(4096);
        wait.pass();
        // The client has disconnected by now.
        connection.read_to_end();
    });
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    let head = format!("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", 256 * MIB);
    connection.send(&head);
    // A reset discards bytes that the origin has not read. The transfer may seem to stall before it has read any.
    origin.received_at_least(0, head.len());
    let mut writer = connection.writer.clone();
    let sent = Watched::new(0_usize);
    let progress = sent.clone();
    let upload = std::thread::spawn(move || {
        let piece = vec![0; MIB];
        for _ in 0..256 {
            if writer.try_send(&piece).is_err() {
                return;
            }
            progress.update(|sent| *sent += MIB);
        }
    });
    // The transfer stalls: less than a megabyte within a second.
    let stalled = sent.settled(Duration::from_secs(1));
    assert!(stalled < 128 * MIB, "read {} MiB ahead of the client", stalled / MIB);
    connection.writer.shut_down();
    upload.join().unwrap();
    connection.reset();
    go.open();
}

#[test]
fn does_not_poll_a_side_without_interest() {
    // poll reports POLLHUP without request. The client has half-closed and does not read; the origin has sent more than
    // the client accepts and closed. Until the client reads, the proxy must use no CPU.
    let closed = Gate::default();
    let gate = closed.clone();
    let origin = Origin::plain(move |mut connection: Connection| {
        connection.read_head();
        connection.read_to_end();
        connection.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        connection.send(vec![b'x'; 2 * MIB]);
        connection.close_abruptly();
        gate.open();
    });
    let dir = TempDir::new();
    let running = Spectral::capture(&dir, &[]);
    let idle = Origin::plain(|mut connection| drop(connection.read_to_end()));
    let mut slow = Connection::to(running.addr);
    slow.set_receive_buffer(4096);
    slow.send(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.authority("localhost")));
    slow.read_head();
    slow.send("GET /hup HTTP/1.1\r\nHost: localhost\r\n\r\n");
    slow.finish();
    closed.pass();

    // The two seconds of the first-flight timeout serve as the clock.
    let before = running.cpu_ticks();
    let mut other = Connection::to(running.addr);
    other.send(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", idle.authority("localhost")));
    other.read_head();
    other.send(b"\x16\x03\x01\x02");
    idle.received_at_least(0, 4);
    let used = running.cpu_ticks().zip(before).map(|(after, before)| after - before);
    assert!(used.is_none_or(|ticks| ticks < 100), "{used:?} hundredths of a second of processor time in two seconds");

    slow.reset();
    drop(other);
    assert_eq!(running.interrupt().code, Some(0));
}
