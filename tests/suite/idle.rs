//! An idle connection releases its thread and resumes when data arrives. `idle_kinds.rs` has connections that are not
//! tunnels with both directions open.

use crate::support::cli::Spectral;
use crate::support::websocket_frames::{frame, handshake};
use crate::support::{
    Connection, Ending, Gate, Message, Origin, ProxyProcess, TIMEOUT, TempDir, Watched, eventually, next_request,
};
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn silent_connections_release_their_threads_and_resume() {
    let (tls, plain) = (Origin::tls_responding(OK), Origin::plain_responding(OK));
    let proxy = ProxyProcess::start();
    let mut connections: Vec<_> = (0..10)
        .flat_map(|_| [proxy.tls(&tls.authority("localhost")), proxy.connect(&plain.authority("localhost"))])
        .collect();
    for _ in 0..2 {
        for connection in &mut connections {
            assert_eq!(connection.request(GET).text(), "ok");
        }
        if !proxy.wait_until_idle() {
            return;
        }
        assert_eq!((tls.open.read(|n| *n), plain.open.read(|n| *n)), (10, 10));
    }
    // They end while idle: both sides at once, or the origin first.
    drop(connections);
    tls.open.until("the connections to the origin to close", |open| (*open == 0).then_some(()));
    plain.open.until("the connections to the origin to close", |open| (*open == 0).then_some(()));
    let (bundle, _) = proxy.stop();
    assert_eq!(bundle.traces.len(), 40);
    assert!(bundle.traces.iter().all(|trace| trace.status() == 200 && trace.text() == "ok"));
}

#[test]
fn an_idle_client_sees_the_origins_end() {
    let gate = Gate::default();
    let go = gate.clone();
    let origin = Origin::tls(move |mut connection: Connection| {
        next_request(&mut connection);
        connection.send(OK);
        go.pass();
        connection.finish();
    });
    let proxy = ProxyProcess::start();
    let mut connection = proxy.tls(&origin.authority("localhost"));
    assert_eq!(connection.request(GET).text(), "ok");
    proxy.wait_until_idle();
    gate.open();
    assert_eq!(connection.read_to_end(), (vec![], Ending::Clean));
    connection.finish();
    proxy.stop();
}

#[test]
fn idle_exchanges_in_progress_are_recorded_at_the_stop() {
    let (request, response) = handshake("");
    // One step for each message of the origins.
    let turn = Watched::<usize>::default();
    let wait = move |turn: &Watched<usize>, n| turn.until("the next step", |now| (*now >= n).then_some(()));
    let (of_events, of_socket) = (turn.clone(), turn.clone());
    let events = Origin::tls(move |mut connection: Connection| {
        next_request(&mut connection);
        connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        for n in 0..2 {
            wait(&of_events, n);
            connection.send(format!("data: {n}\n\n"));
        }
        connection.read_to_end();
    });
    let socket = Origin::tls(move |mut connection: Connection| {
        connection.read_head();
        connection.send(&response);
        for n in 0..2 {
            wait(&of_socket, n);
            connection.send(frame(0x81, None, b"tick"));
        }
        connection.read_to_end();
    });
    let proxy = ProxyProcess::start();
    let (mut stream, mut messages) =
        (proxy.tls(&events.authority("localhost")), proxy.tls(&socket.authority("localhost")));
    stream.send(GET);
    messages.send(request);
    stream.read_until(b"data: 0\n\n");
    messages.read_head();
    messages.read_exactly(6);
    proxy.wait_until_idle();
    turn.update(|n| *n = 1);
    stream.read_until(b"data: 1\n\n");
    messages.read_exactly(6);
    proxy.wait_until_idle();

    let ProxyProcess { running, dir, .. } = proxy;
    let output = running.interrupt();
    assert_eq!(output.code, Some(0), "{}", output.err);
    let bundle = crate::support::bundle::Bundle::open(&dir.join("capture.zip"));
    assert_eq!(bundle.trace("/x").text(), "data: 0\n\ndata: 1\n\n");
    let tick = || Message::received("text", "tick");
    assert_eq!(bundle.only_websocket().messages, [tick(), tick()]);
    // A partial response is marked as truncated.
    assert_eq!(stream.read_to_end().1, Ending::Reset);
}

#[test]
fn passthrough_connections_become_idle() {
    let origin = Origin::tls_responding(OK);
    let dir = TempDir::new();
    let proxy = ProxyProcess::from_running(Spectral::discover(&dir, &["--json"]), dir);
    let mut connection = proxy.connect(&origin.authority("localhost"));
    crate::support::TlsClient::new("localhost", vec![crate::support::TestCa::trusted().der()])
        .start(&mut connection)
        .unwrap();
    for _ in 0..2 {
        assert_eq!(connection.request(GET).text(), "ok");
        proxy.wait_until_idle();
    }
    let ProxyProcess { running, dir: _dir, .. } = proxy;
    let output = running.interrupt().text();
    // The bytes before and after the idle time are counted.
    let line: serde_json::Value = serde_json::from_str(output.lines().next().unwrap()).unwrap();
    assert!(line["bytes_received"].as_u64().unwrap() > 1000, "{output}");
    assert_eq!(connection.read_to_end().1, Ending::Reset);
}

#[test]
fn a_resuming_connection_waits_for_a_free_thread() {
    let Some(proxy) = ProxyProcess::with_max_threads(14, 1_234_568) else { return };
    let origin = Origin::plain_responding(OK);
    let target = origin.authority("127.0.0.1");
    let mut connection = proxy.connect(&target);
    assert_eq!(connection.request(GET).text(), "ok");
    if !proxy.wait_until_idle() {
        return;
    }
    let (stalled, end) = Origin::stalled();
    let busy: Vec<_> = (0..20).map(|_| proxy.send_hello(&stalled.authority("127.0.0.1"))).collect();
    proxy.running.wait_for_line("no thread is available");
    connection.send(GET);
    // The thread that watches idle connections wakes, finds no thread and sleeps again. A tick may wake it before.
    let sleeps = || proxy.running.sleeps_of_thread("idle").unwrap();
    let before = sleeps();
    eventually(|| (sleeps() >= before + 2).then_some(()), || "the idle thread did not wake".into());
    assert_eq!(origin.received(0).len(), GET.len(), "a thread was available for it");
    connection.reader.set_read_timeout(Duration::from_millis(1));
    assert!(!connection.reader.has_more(), "a thread was available for it");
    connection.reader.set_read_timeout(TIMEOUT);
    end.open();
    drop(busy);
    assert_eq!(connection.read_response().text(), "ok");
    drop(connection);
    let (bundle, output) = proxy.stop();
    assert_eq!(bundle.traces.len(), 2);
    assert_eq!(output.err.matches("no thread is available").count(), 1, "{}", output.err);
}
