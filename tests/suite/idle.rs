//! A connection in which nothing happens gives its thread back, and goes on as if it had one when something does.

use crate::support::cli::Spectral;
use crate::support::peers;
use crate::support::websocket_frames::{frame, handshake};
use crate::support::{Ending, Gate, Link, Message, Origin, Subject, TempDir, Watched, eventually, next_request};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Waits until `subject` has no more threads than it had with no connection; false where they cannot be counted, or where none
/// is given back.
#[track_caller]
fn rests(subject: &Subject) -> bool {
    if !cfg!(target_os = "linux") {
        peers::skipped("epoll");
        return false;
    }
    let threads = || subject.running.held().unwrap().threads;
    eventually(
        || (threads() <= subject.held_before().unwrap().threads).then_some(()),
        || format!("{} threads", threads()),
    );
    true
}

#[test]
fn silent_connections_hold_no_threads_and_go_on() {
    let (tls, plain) = (Origin::tls_answering(OK), Origin::plain_answering(OK));
    let subject = Subject::start();
    let mut links: Vec<_> =
        (0..10).flat_map(|_| [subject.tls(&tls.at("localhost")), subject.connect(&plain.at("localhost"))]).collect();
    for _ in 0..2 {
        for link in &mut links {
            assert_eq!(link.ask(GET).text(), "ok");
        }
        if !rests(&subject) {
            return;
        }
        assert_eq!((tls.open.look(|n| *n), plain.open.look(|n| *n)), (10, 10));
    }
    // They end while they rest: both at once, or the other side first.
    drop(links);
    tls.open.until("an end at the origin", |open| (*open == 0).then_some(()));
    plain.open.until("an end at the origin", |open| (*open == 0).then_some(()));
    let (bundle, _) = subject.end();
    assert_eq!(bundle.traces.len(), 40);
    assert!(bundle.traces.iter().all(|trace| trace.status() == 200 && trace.text() == "ok"));
}

#[test]
fn an_origin_that_ends_is_seen_by_a_client_that_rests() {
    let gate = Gate::default();
    let go = gate.clone();
    let origin = Origin::tls(move |mut link: Link| {
        next_request(&mut link);
        link.send(OK);
        go.pass();
        link.finish();
    });
    let subject = Subject::start();
    let mut link = subject.tls(&origin.at("localhost"));
    assert_eq!(link.ask(GET).text(), "ok");
    rests(&subject);
    gate.open();
    assert_eq!(link.the_rest(), (vec![], Ending::Clean));
    link.finish();
    subject.end();
}

#[test]
fn what_is_under_way_rests_too_and_is_recorded_at_the_stop() {
    let (ask, switching) = handshake("");
    // A turn for each thing that the origins say.
    let turn = Watched::<usize>::default();
    let wait = move |turn: &Watched<usize>, n| turn.until("the turn", |now| (*now >= n).then_some(()));
    let (of_events, of_socket) = (turn.clone(), turn.clone());
    let events = Origin::tls(move |mut link: Link| {
        next_request(&mut link);
        link.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
        for n in 0..2 {
            wait(&of_events, n);
            link.send(format!("data: {n}\n\n"));
        }
        link.the_rest();
    });
    let socket = Origin::tls(move |mut link: Link| {
        link.head();
        link.send(&switching);
        for n in 0..2 {
            wait(&of_socket, n);
            link.send(frame(0x81, None, b"tick"));
        }
        link.the_rest();
    });
    let subject = Subject::start();
    let (mut stream, mut messages) = (subject.tls(&events.at("localhost")), subject.tls(&socket.at("localhost")));
    stream.send(GET);
    messages.send(ask);
    stream.until(b"data: 0\n\n");
    messages.head();
    messages.exactly(6);
    rests(&subject);
    turn.change(|n| *n = 1);
    stream.until(b"data: 1\n\n");
    messages.exactly(6);
    rests(&subject);

    let Subject { running, dir, .. } = subject;
    let said = running.interrupt();
    assert_eq!(said.code, Some(0), "{}", said.err);
    let bundle = crate::support::bundle::Bundle::open(&dir.join("capture.zip"));
    assert_eq!(bundle.trace("/x").text(), "data: 0\n\ndata: 1\n\n");
    let tick = || Message::received("text", "tick");
    assert_eq!(bundle.only_socket().messages, [tick(), tick()]);
    // Half an answer does not look like a whole one.
    assert_eq!(stream.the_rest().1, Ending::Reset);
}

#[test]
fn what_passes_through_rests_too() {
    let origin = Origin::tls_answering(OK);
    let dir = TempDir::new();
    let subject = Subject::over(Spectral::discover(&dir, &["--json"]), dir);
    let mut link = subject.connect(&origin.at("localhost"));
    crate::support::TlsClient::new("localhost", vec![crate::support::TestCa::trusted().der()])
        .start(&mut link)
        .unwrap();
    for _ in 0..2 {
        assert_eq!(link.ask(GET).text(), "ok");
        rests(&subject);
    }
    let Subject { running, dir: _dir, .. } = subject;
    let said = running.interrupt().text();
    // What it passed before and after it rested is counted.
    let line: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert!(line["bytes_received"].as_u64().unwrap() > 1000, "{said}");
    assert_eq!(link.the_rest().1, Ending::Reset);
}

#[test]
fn one_that_wakes_when_there_is_no_thread_waits_for_one() {
    let Some(subject) = Subject::with_threads(14, 1_234_568) else { return };
    let origin = Origin::plain_answering(OK);
    let target = origin.at("127.0.0.1");
    let mut link = subject.connect(&target);
    assert_eq!(link.ask(GET).text(), "ok");
    if !rests(&subject) {
        return;
    }
    // They say nothing, so that what they are is not decided, and each holds a thread.
    let silent: Vec<_> = (0..20).map(|_| subject.ask(&target)).collect();
    subject.running.line("no thread is available");
    link.send(GET);
    subject.running.line("connections that were idle wait for a thread");
    drop(silent);
    assert_eq!(link.response().text(), "ok");
    drop(link);
    assert_eq!(subject.end().0.traces.len(), 2);
}
