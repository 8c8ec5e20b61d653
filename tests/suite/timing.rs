//! The timing of exchanges, measured with delays at the origin.

use crate::support::{Capture, Gate, Origin, ca::epoch_seconds, next_request, now};
use std::time::Duration;

const PARTS: [&str; 7] = ["dns", "connect", "tls", "send", "wait", "receive", "total"];

#[test]
fn the_first_exchange_has_the_connection_times() {
    let origin = Origin::tls_responding("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    for path in ["/first", "/second"] {
        connection.request(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    }
    drop(connection);
    let outcome = capture.stop();
    let (first, second) = (outcome.bundle().trace("/first"), outcome.bundle().trace("/second"));
    for part in PARTS {
        assert!(first.ms(part) >= 0.0 && second.ms(part) >= 0.0, "{part}");
    }
    assert!(first.ms("tls") > 0.0, "the handshake has a duration: {}", first.json["timing"]);
    assert!(first.ms("dns") + first.ms("connect") > 0.0, "{}", first.json["timing"]);
    for part in ["dns", "connect", "tls"] {
        assert!(second.ms(part) == 0.0, "{part}: {}", second.json["timing"]);
    }
    for trace in [first, second] {
        let sum: f64 = ["send", "wait", "receive"].into_iter().map(|part| trace.ms(part)).sum();
        assert!(trace.ms("total") + 1.0 >= sum, "{}", trace.json["timing"]);
    }
    assert!(first.json["timestamp"].as_i64() <= second.json["timestamp"].as_i64());
    let age = epoch_seconds() - first.json["timestamp"].as_i64().unwrap() / 1000;
    assert!((0..60).contains(&age), "{age} s ago");
}

/// Waits until `time` has passed; there is no condition to wait for.
fn pause(time: Duration) {
    let begin = now();
    let nothing = Gate::default();
    // Never shorter, because the recorded time is compared with it.
    while let Some(left) = time.checked_sub(begin.elapsed()).filter(|left| !left.is_zero()) {
        nothing.within(left, |open| open.then_some(()));
    }
}

#[test]
fn distinguishes_wait_and_receive_times() {
    // Each pause begins when the data before it has passed the proxy, whatever the proxy's delay.
    let (half_sent, half_received) = (Gate::default(), Gate::default());
    let (opens, waits) = (half_sent.clone(), half_received.clone());
    let origin = Origin::tls(move |mut connection| {
        connection.read_until(b"ab");
        opens.open();
        connection.read_exactly(2);
        pause(Duration::from_millis(200));
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nbegin");
        waits.pass();
        pause(Duration::from_millis(100));
        connection.send("ended");
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nab");
    half_sent.pass();
    pause(Duration::from_millis(100));
    connection.send("cd");
    connection.read_until(b"begin");
    half_received.open();
    assert_eq!(connection.read_exactly(5), b"ended");
    drop(connection);
    let outcome = capture.stop();
    let trace = outcome.bundle().only_trace();
    let timing = &trace.json["timing"];
    assert!(trace.ms("send") >= 90.0, "{timing}");
    assert!(trace.ms("wait") >= 190.0, "{timing}");
    assert!((90.0..trace.ms("wait") + 5000.0).contains(&trace.ms("receive")), "{timing}");
    assert!(trace.ms("total") >= 390.0, "{timing}");
}

#[test]
fn orders_the_timeline_by_start_and_ids_by_end() {
    let slow_may_end = crate::support::Gate::default();
    let wait = slow_may_end.clone();
    let origin = Origin::plain(move |mut connection| {
        let (head, _) = next_request(&mut connection).unwrap();
        if head.contains("/slow") {
            wait.pass();
        }
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let capture = Capture::start();
    let mut slow = capture.connect(&origin.authority("localhost"));
    slow.send("GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n");
    origin.received_at_least(0, 20);
    pause(Duration::from_millis(5));
    let mut fast = capture.connect(&origin.authority("localhost"));
    fast.request("GET /fast HTTP/1.1\r\nHost: localhost\r\n\r\n");
    capture.wait_for_exchanges(1);
    slow_may_end.open();
    slow.read_response();
    drop((slow, fast));
    let outcome = capture.stop();
    assert!(outcome.bundle().urls()[0].ends_with("/fast") && outcome.bundle().urls()[1].ends_with("/slow"));
    let refs: Vec<_> =
        outcome.bundle().timeline["events"].as_array().unwrap().iter().map(|e| e["ref"].as_str().unwrap()).collect();
    assert_eq!(refs, ["t_0002", "t_0001"]);
    assert!(outcome.bundle().manifest["duration_ms"].as_u64() > Some(0));
}
