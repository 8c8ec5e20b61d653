//! Stopping: what is in flight is recorded as far as it came, and the bundle takes its place only when it is whole.

use crate::support::websocket_frames::{frame, handshake};
use crate::support::{Capture, Gate, Link, Message, Origin, Subject, TempDir, Watched, in_time, next_request};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use spectral_capture::{Config, Proxy};
use std::net::TcpStream;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Sends `answer` to the first request and then says nothing more.
fn stuck_after(answer: &'static str) -> (Origin, Gate) {
    let end = Gate::default();
    let wait = end.clone();
    let origin = Origin::tls(move |mut link: Link| {
        next_request(&mut link);
        link.send(answer);
        wait.pass();
        link.cut();
    });
    (origin, end)
}

#[test]
fn an_exchange_in_flight_is_recorded_with_what_came() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";
    let (origin, end) = stuck_after(answer);
    let capture = Capture::start();
    let mut link = capture.tls(&origin.at("localhost"), "localhost");
    link.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(link.exactly(answer.len()), answer.as_bytes());
    let outcome = capture.stop();
    end.open();
    outcome.assert_no_trouble();
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.status(), trace.text().as_str()), (200, "data: 1\n\n"));
}

#[test]
fn a_request_without_an_answer_is_recorded_too() {
    let (origin, end) = stuck_after("");
    let capture = Capture::start();
    let mut link = capture.tls(&origin.at("localhost"), "localhost");
    let request = "POST /waiting HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody";
    link.send(request);
    origin.received_at_least(0, request.len());
    let outcome = capture.stop();
    end.open();
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.status(), trace.request_body.as_slice()), (0, &b"body"[..]));
    assert!(trace.status_text().contains(' ') || !trace.status_text().is_empty(), "says why");
}

#[test]
fn a_socket_that_is_open_is_recorded() {
    let (ask, answer) = handshake("");
    let end = Gate::default();
    let wait = end.clone();
    let origin = Origin::tls(move |mut link: Link| {
        link.head();
        link.send(&answer);
        link.send(frame(0x81, None, b"tick"));
        wait.pass();
        link.cut();
    });
    let capture = Capture::start();
    let mut link = capture.tls(&origin.at("localhost"), "localhost");
    link.send(ask);
    link.head();
    link.exactly(6);
    let outcome = capture.stop();
    end.open();
    assert_eq!(outcome.bundle().only_socket().messages, [Message::received("text", "tick")]);
    assert_eq!(outcome.bundle().only_trace().status(), 101);
}

#[test]
fn it_stops_accepting() {
    let capture = Capture::start();
    let addr = capture.addr;
    capture.stop();
    assert!(TcpStream::connect(addr).is_err(), "nobody listens any more");
}

#[test]
fn clients_see_the_end() {
    let (origin, end) = stuck_after(OK);
    let capture = Capture::start();
    let mut busy = capture.tls(&origin.at("localhost"), "localhost");
    assert_eq!(busy.ask("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "ok");
    let mut fresh = capture.dial();
    let mut tunnel = capture.connect(&origin.at("localhost"));
    capture.stop();
    end.open();
    for link in [&mut busy, &mut fresh, &mut tunnel] {
        link.the_rest();
    }
}

#[test]
fn an_answer_that_nobody_reads_does_not_hold_it_up() {
    let flood = |mut link: Link| {
        next_request(&mut link);
        link.send("HTTP/1.1 200 OK\r\n\r\n");
        while link.writer.try_send(&[0; 65536]).is_ok() {}
        link.cut();
    };
    let origin = Origin::plain(flood);
    let capture = Capture::start();
    let mut link = capture.connect(&origin.at("localhost"));
    link.receive_buffer(4096);
    link.send("GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n");
    link.head();
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().only_trace().status(), 200);
    link.cut();
}

#[test]
fn hurry_ends_the_waiting_but_not_the_bundle() {
    let (origin, end) = stuck_after(OK);
    let capture = Capture::start();
    let mut link = capture.tls(&origin.at("localhost"), "localhost");
    link.ask("GET /done HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let force_stop = capture.running().force_stop();
    force_stop.now();
    force_stop.clone().now();
    let outcome = capture.stop();
    end.open();
    assert_eq!(outcome.bundle().only_trace().text(), "ok");
}

#[test]
fn nothing_at_all_is_a_bundle_too() {
    let outcome = Capture::start().stop();
    outcome.assert_no_trouble();
    assert!(outcome.bundle().traces.is_empty());
    assert_eq!(outcome.bundle().manifest["app"]["base_url"], "");
    assert_eq!(outcome.bundle().manifest["app"]["name"], "capture");
    assert_eq!(outcome.bundle().timeline["events"], serde_json::json!([]));
    assert_eq!(outcome.bundle().names, ["manifest.json", "timeline.json"]);
}

#[test]
fn dropping_it_stops_it() {
    let dir = TempDir::new();
    let mut config = Config::capture(dir.join("dropped.zip"));
    config.listen.set_port(0);
    config.ca_dir = Some(dir.join("ca"));
    let running = Proxy::bind(config).unwrap().start().unwrap();
    let addr = running.addr();
    in_time("dropping", move || drop(running));
    assert!(TcpStream::connect(addr).is_err());
    crate::support::bundle::Bundle::open(&dir.join("dropped.zip"));
}

#[test]
fn the_old_bundle_stays_until_the_new_one_is_whole_and_is_kept_after() {
    let origin = Origin::plain_answering(OK);
    let dir = TempDir::new();
    let output = dir.write("capture.zip", "the old one");
    dir.write("capture.zip.bak", "an older one");
    let mut config = Config::capture(&output);
    config.listen.set_port(0);
    config.ca_dir = Some(dir.join("ca"));
    let running = Proxy::bind(config).unwrap().start().unwrap();
    let mut link = Link::to(running.addr());
    let host = origin.at("127.0.0.1");
    link.ask(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert_eq!(std::fs::read(&output).unwrap(), b"the old one", "untouched while capturing");
    drop(link);
    let summary = in_time("stopping", move || running.stop());
    assert_eq!(summary.bundle.as_deref(), Some(output.as_path()));
    assert_eq!(crate::support::bundle::Bundle::open(&output).traces.len(), 1);
    assert_eq!(std::fs::read(dir.join("capture.zip.bak")).unwrap(), b"the old one");
    assert_eq!(dir.names(), ["ca", "capture.zip", "capture.zip.bak"]);
}

#[test]
fn the_bundle_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let outcome = Capture::start().stop();
    let mode = std::fs::metadata(outcome.summary.bundle.unwrap()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_waits_for_a_slow_writer_is_written_before_the_end() {
    const NOTHING: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
    const ASKED: usize = 3_000;
    // The first exchange holds the writer up, until more has ended than may wait for it.
    let go = Gate::default();
    let wait = go.clone();
    let capture = Capture::observed(
        move |notice| {
            if matches!(notice, spectral_capture::Notice::Exchange { .. }) {
                wait.pass();
            }
        },
        |_| (),
    );
    let origin = Origin::plain(|link| crate::support::origin::answer_all(link, NOTHING));
    let links: Vec<_> = (0..4)
        .map(|_| {
            let mut link = capture.connect(&origin.at("localhost"));
            link.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(ASKED));
            link
        })
        .collect();
    let answered = Watched::<usize>::default();
    let readers: Vec<_> = links
        .into_iter()
        .map(|mut link| {
            let answered = answered.clone();
            std::thread::spawn(move || {
                while link.reader.begins() {
                    link.exactly(NOTHING.len());
                    answered.change(|n| *n += 1);
                }
            })
        })
        .collect();
    // By then the queue is full: an exchange is recorded before its answer is passed on, and nothing is written.
    go.within(std::time::Duration::from_secs(1), |_| None::<()>);
    let opener = std::thread::spawn(move || {
        // The stop is under way, or soon will be; it must not make a difference.
        go.within(std::time::Duration::from_millis(500), |_| None::<()>);
        go.open();
    });
    let outcome = capture.stop();
    opener.join().unwrap();
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    let answered = answered.look(|n| *n);
    let written = outcome.bundle().traces.iter().filter(|trace| trace.status() == 204).count();
    assert_eq!(outcome.summary.lost, 0);
    assert!(written >= answered, "{answered} were answered, {written} are in the bundle");
}

#[test]
fn of_a_thousand_live_connections_all_are_recorded() {
    // Both their ends are in this process.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nso far";
    let answering = Origin::tls(move |mut link: Link| {
        link.head();
        link.send(begun);
        link.the_rest();
    });
    let silent = Origin::tls(|mut link: Link| drop(link.the_rest()));
    let subject = Subject::start();
    let ask = |origin: &Origin| {
        let mut link = subject.tls(&origin.at("localhost"));
        link.send("GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n");
        link
    };
    let answered: Vec<_> = (0..500)
        .map(|_| {
            let mut link = ask(&answering);
            link.exactly(begun.len());
            link
        })
        .collect();
    let waiting: Vec<_> = (0..500).map(|_| ask(&silent)).collect();
    for index in 0..500 {
        silent.received_at_least(index, 1);
    }
    let Subject { running, dir, .. } = subject;
    let said = running.interrupt();
    assert_eq!(said.code, Some(0), "{}", said.err);
    let bundle = crate::support::bundle::Bundle::open(&dir.join("capture.zip"));
    let with = |status, text: &str| {
        bundle.traces.iter().filter(|trace| trace.status() == status && trace.text() == text).count()
    };
    assert_eq!((with(200, "so far"), with(0, "")), (500, 500), "of {}", bundle.traces.len());
    for link in answered.into_iter().chain(waiting) {
        link.cut();
    }
}
