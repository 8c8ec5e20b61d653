//! The stop: exchanges in progress are recorded, and the bundle is put in place only when complete.

use crate::support::websocket_frames::{frame, handshake};
use crate::support::{
    Capture, Connection, Gate, Message, Origin, ProxyProcess, TIMEOUT, TempDir, Watched, eventually, next_request,
    options, within_timeout,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use spectral_capture::{CaSource, Config, Proxy};
use std::net::TcpStream;
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Starts an origin that sends `response` to the first request and then stalls.
fn stalling_origin(response: &'static str) -> (Origin, Gate) {
    let end = Gate::default();
    let wait = end.clone();
    let origin = Origin::tls(move |mut connection: Connection| {
        next_request(&mut connection);
        connection.send(response);
        wait.pass();
        connection.close_abruptly();
    });
    (origin, end)
}

#[test]
fn records_an_exchange_in_progress() {
    let response = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n";
    let (origin, end) = stalling_origin(response);
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(connection.read_exactly(response.len()), response.as_bytes());
    let outcome = capture.stop();
    end.open();
    outcome.assert_no_warnings();
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.status(), trace.text().as_str()), (200, "data: 1\n\n"));
    assert_eq!(trace.cut_off().as_deref(), Some("response stopped"));
}

#[test]
fn records_a_request_without_a_response() {
    let (origin, end) = stalling_origin("");
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    let request = "POST /waiting HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody";
    connection.send(request);
    origin.received_at_least(0, request.len());
    let outcome = capture.stop();
    end.open();
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.status(), trace.status_text()), (0, "capture stopped"));
    assert_eq!(trace.request_body, b"body");
}

#[test]
fn records_an_open_websocket() {
    let (send_request, response) = handshake("");
    let end = Gate::default();
    let wait = end.clone();
    let origin = Origin::tls(move |mut connection: Connection| {
        connection.read_head();
        connection.send(&response);
        connection.send(frame(0x81, None, b"tick"));
        wait.pass();
        connection.close_abruptly();
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.send(send_request);
    connection.read_head();
    connection.read_exactly(6);
    let outcome = capture.stop();
    end.open();
    assert_eq!(outcome.bundle().only_websocket().messages, [Message::received("text", "tick")]);
    assert_eq!(outcome.bundle().only_trace().status(), 101);
}

#[test]
fn says_nothing_of_a_handshake_that_it_interrupts() {
    let end = Gate::default();
    let wait = end.clone();
    let origin = Origin::plain(move |mut connection| {
        connection.read_exactly(1);
        wait.pass();
    });
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    connection.writer.send_raw(&capture.client("localhost").hello()).unwrap();
    origin.received_at_least(0, 1);
    let outcome = capture.stop();
    end.open();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
}

#[test]
fn stops_accepting_connections() {
    let capture = Capture::start();
    let addr = capture.addr;
    capture.stop();
    assert!(TcpStream::connect(addr).is_err(), "the port is closed");
}

#[test]
fn closes_client_connections() {
    let (origin, end) = stalling_origin(OK);
    let capture = Capture::start();
    let mut busy = capture.tls(&origin.authority("localhost"), "localhost");
    assert_eq!(busy.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "ok");
    let mut fresh = capture.dial();
    let mut tunnel = capture.connect(&origin.authority("localhost"));
    capture.stop();
    end.open();
    for connection in [&mut busy, &mut fresh, &mut tunnel] {
        connection.read_to_end();
    }
}

#[test]
fn an_unread_response_does_not_delay_the_stop() {
    let flood = |mut connection: Connection| {
        next_request(&mut connection);
        connection.send("HTTP/1.1 200 OK\r\n\r\n");
        while connection.writer.try_send(&[0; 65536]).is_ok() {}
        connection.close_abruptly();
    };
    let origin = Origin::plain(flood);
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    connection.set_receive_buffer(4096);
    connection.send("GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n");
    connection.read_head();
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().only_trace().status(), 200);
    connection.close_abruptly();
}

#[test]
fn a_forced_stop_ends_waits_and_completes_the_bundle() {
    let (origin, end) = stalling_origin(OK);
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.request("GET /done HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let force_stop = capture.running().force_stop();
    force_stop.now();
    force_stop.clone().now();
    let outcome = capture.stop();
    end.open();
    assert_eq!(outcome.bundle().only_trace().text(), "ok");
}

#[test]
fn a_stop_with_a_limit_leaves_bodies_as_received_after_it() {
    const BODIES: usize = 40;
    let body = zstd_of_zeros(60 << 20);
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: zstd\r\nContent-Length: {}\r\n\r\n", body.len());
    let response = [head.into_bytes(), body.clone()].concat();
    let origin = Origin::plain(move |mut connection: Connection| {
        for _ in 0..BODIES {
            next_request(&mut connection);
            connection.send(&response);
        }
        connection.close_abruptly();
    });
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    for _ in 0..BODIES {
        connection.request("GET /zeros HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    let outcome = capture.stop_within(Duration::ZERO);
    let traces = &outcome.bundle().traces;
    let as_received = traces.iter().filter(|trace| trace.response_encoding() == Some("zstd"));
    assert!(as_received.clone().count() > 0);
    assert!(as_received.clone().all(|trace| trace.response_body == body));
}

/// Returns a zstd frame of `len` zeros, in blocks that repeat one byte (RFC 8878 section 3.1.1.2).
fn zstd_of_zeros(len: usize) -> Vec<u8> {
    const BLOCK: usize = 128 << 10;
    // The magic number, no options, and a window of 128 KiB.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3];
    for block in 0..len / BLOCK {
        let is_last = usize::from(block == len / BLOCK - 1);
        let header = BLOCK << 3 | 1 << 1 | is_last;
        frame.extend_from_slice(&[header as u8, (header >> 8) as u8, (header >> 16) as u8, 0]);
    }
    frame
}

#[test]
fn writes_a_bundle_without_exchanges() {
    let outcome = Capture::start().stop();
    outcome.assert_no_warnings();
    assert!(outcome.bundle().traces.is_empty());
    assert_eq!(outcome.bundle().manifest["app"]["base_url"], "");
    assert_eq!(outcome.bundle().manifest["app"]["name"], "capture");
    assert_eq!(outcome.bundle().timeline["events"], serde_json::json!([]));
    assert_eq!(outcome.bundle().names, ["manifest.json", "timeline.json"]);
}

#[test]
fn dropping_the_handle_stops_the_capture() {
    let dir = TempDir::new();
    let mut config = Config::capture(dir.join("dropped.zip"));
    config.listen.set_port(0);
    options(&mut config).ca = CaSource::Dir(dir.join("ca"));
    let running = Proxy::bind(config).unwrap().start().unwrap();
    let addr = running.addr();
    within_timeout("dropping", move || drop(running));
    assert!(TcpStream::connect(addr).is_err());
    crate::support::bundle::Bundle::open(&dir.join("dropped.zip"));
}

#[test]
fn keeps_the_old_bundle_until_and_after_the_new_one_is_complete() {
    let origin = Origin::plain_responding(OK);
    let dir = TempDir::new();
    let output = dir.write("capture.zip", "the old one");
    dir.write("capture.zip.bak", "an older one");
    let mut config = Config::capture(&output);
    config.listen.set_port(0);
    options(&mut config).ca = CaSource::Dir(dir.join("ca"));
    let running = Proxy::bind(config).unwrap().start().unwrap();
    let mut connection = Connection::to(running.addr());
    let host = origin.authority("127.0.0.1");
    connection.request(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert_eq!(std::fs::read(&output).unwrap(), b"the old one", "unchanged during the capture");
    drop(connection);
    let summary = within_timeout("stopping", move || running.stop());
    assert_eq!(summary.bundle.as_deref(), Some(output.as_path()));
    assert_eq!(crate::support::bundle::Bundle::open(&output).traces.len(), 1);
    assert_eq!(summary.backup, Some(dir.join("capture.zip.2.bak")));
    assert_eq!(std::fs::read(dir.join("capture.zip.2.bak")).unwrap(), b"the old one");
    assert_eq!(std::fs::read(dir.join("capture.zip.bak")).unwrap(), b"an older one");
    assert_eq!(dir.names(), ["ca", "capture.zip", "capture.zip.2.bak", "capture.zip.bak"]);
}

#[test]
fn only_the_owner_can_read_the_bundle() {
    use std::os::unix::fs::PermissionsExt;
    let outcome = Capture::start().stop();
    let mode = std::fs::metadata(outcome.summary.bundle.unwrap()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn writes_the_queue_of_a_slow_writer_before_the_end() {
    const NO_CONTENT: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
    const QUEUE: usize = 512;
    // The first exchange stalls the writer until the stop has begun.
    let go = Gate::default();
    let wait = go.clone();
    let capture = Capture::with_observer(
        move |notice| {
            if matches!(notice, spectral_capture::Notice::Exchange { .. }) {
                wait.pass();
            }
        },
        |_| (),
    );
    let addr = capture.addr;
    // The stop may end a connection before the origin has sent its response.
    let origin = Origin::plain(|mut connection: Connection| {
        while next_request(&mut connection).is_some() && connection.writer.try_send(NO_CONTENT).is_ok() {}
    });
    let responses = Watched::<usize>::default();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let mut connection = capture.connect(&origin.authority("localhost"));
            let responses = responses.clone();
            std::thread::spawn(move || {
                // One request at a time, so that a response is forwarded as soon as its exchange is queued.
                while connection.writer.try_send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").is_ok()
                    && connection.reader.has_more()
                {
                    connection.read_exactly(NO_CONTENT.len());
                    responses.update(|n| *n += 1);
                }
            })
        })
        .collect();
    // The writer holds at least one exchange, and the queue the others.
    responses.until("more responses than the queue holds", |n| (*n > QUEUE).then_some(()));
    let opener = std::thread::spawn(move || {
        // The stop closes the listening socket before it waits for the writer.
        eventually(|| TcpStream::connect(addr).is_err().then_some(()), || "the stop has not begun".into());
        go.open();
    });
    let outcome = capture.stop();
    opener.join().unwrap();
    clients.into_iter().for_each(|client| client.join().unwrap());
    let responses = responses.read(|n| *n);
    let written = outcome.bundle().traces.iter().filter(|trace| trace.status() == 204).count();
    assert_eq!(outcome.summary.lost, 0);
    assert!(written >= responses, "{responses} responses, {written} exchanges in the bundle");
}

#[test]
fn records_all_of_a_thousand_open_connections() {
    // Both ends of each connection are in this process.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nso far";
    // The first connection is idle while the others are opened, which can take longer than the usual timeout.
    let read_to_end = |mut connection: Connection| {
        connection.reader.set_read_timeout(10 * TIMEOUT);
        connection.read_to_end();
    };
    let answering = Origin::tls(move |mut connection: Connection| {
        connection.read_head();
        connection.send(begun);
        read_to_end(connection);
    });
    let silent = Origin::tls(read_to_end);
    let proxy = ProxyProcess::start();
    let send_request = |origin: &Origin| {
        let mut connection = proxy.tls(&origin.authority("localhost"));
        connection.send("GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n");
        connection
    };
    let responding: Vec<_> = (0..500)
        .map(|_| {
            let mut connection = send_request(&answering);
            connection.read_exactly(begun.len());
            connection
        })
        .collect();
    let waiting: Vec<_> = (0..500).map(|_| send_request(&silent)).collect();
    for index in 0..500 {
        silent.received_at_least(index, 1);
    }
    let ProxyProcess { running, dir, .. } = proxy;
    let output = running.interrupt();
    assert_eq!(output.code, Some(0), "{}", output.err);
    let bundle = crate::support::bundle::Bundle::open(&dir.join("capture.zip"));
    let with = |status, text: &str| {
        bundle.traces.iter().filter(|trace| trace.status() == status && trace.text() == text).count()
    };
    assert_eq!((with(200, "so far"), with(0, "")), (500, 500), "of {}", bundle.traces.len());
    for connection in responding.into_iter().chain(waiting) {
        connection.close_abruptly();
    }
}
