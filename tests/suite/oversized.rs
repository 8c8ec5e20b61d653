//! Oversized messages are forwarded in bounded time and memory, and reported if they exceed a limit.

use crate::support::websocket_frames::{frame, handshake};
use crate::support::{Capture, Connection, Message, Origin, ProxyProcess, next_request, within_timeout};
use spectral_capture::reader;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const MIB: usize = 1 << 20;

#[test]
fn passes_through_and_reports_a_head_of_2_mib() {
    let long = "x".repeat(2 * MIB);
    let response = format!("HTTP/1.1 200 OK\r\nX-Long: {long}\r\nContent-Length: 2\r\n\r\nok");
    let request = format!("GET /long HTTP/1.1\r\nHost: localhost\r\nX-Long: {long}\r\n\r\n");
    let origin = Origin::tls_responding(response.clone());
    let proxy = ProxyProcess::start();
    for request in [request.as_str(), "GET /short HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
        let mut connection = proxy.tls(&origin.authority("localhost"));
        connection.send(request);
        assert!(connection.read_exactly(response.len()) == response.as_bytes());
    }
    assert!(origin.received(0) == request.as_bytes());
    let (bundle, output) = proxy.stop();
    let named = format!(
        "  {}  2 connections: captured up to an exceeded limit (head size, chunk line length or number of exchanges)",
        origin.authority("localhost")
    );
    assert!(output.err.contains(&named), "{}", output.err);
    for (path, side) in [("/long", "both"), ("/short", "response")] {
        let trace = bundle.trace(path);
        let cut_off = &trace.json["cut_off"];
        assert_eq!((trace.status(), &cut_off["side"], &cut_off["why"]), (200, &side.into(), &"limit".into()));
    }
}

#[test]
fn records_fifty_thousand_fields() {
    let fields = "a:b\r\n".repeat(50_000);
    let response = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok");
    let origin = Origin::tls_responding(response.clone());
    let proxy = ProxyProcess::start();
    let mut connection = proxy.tls(&origin.authority("localhost"));
    let request = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    connection.send(&request);
    assert!(connection.read_exactly(response.len()) == response.as_bytes());
    assert!(origin.received(0) == request.as_bytes());
    drop(connection);
    let (bundle, _) = proxy.stop();
    assert_eq!(bundle.only_trace().request_headers().len(), 50_001);
    assert_eq!(bundle.only_trace().response_headers().len(), 50_001);
}

#[test]
fn answers_431_to_a_plain_request_with_a_head_past_the_limit() {
    let origin = Origin::plain_responding(OK);
    let proxy = ProxyProcess::start();
    let host = origin.authority("127.0.0.1");
    let fields = [format!("X-Long: {}\r\n", "x".repeat(2 * MIB)), "a:b\r\n".repeat(250_000)];
    for fields in fields {
        let mut connection = proxy.dial();
        let mut writer = connection.writer.clone();
        let request = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
        // The response is sent before the whole head is read.
        let sending = std::thread::spawn(move || writer.try_send(request.as_bytes()).ok());
        let response = connection.read_response();
        assert_eq!(response.status, 431, "{}", response.head);
        assert!(response.text().contains("too long"), "{}", response.text());
        sending.join().unwrap();
    }
    assert_eq!(origin.connections(), 0);
    proxy.running.wait_for_line("request refused: its head is too long");
    assert!(proxy.stop().0.traces.is_empty());
}

#[test]
fn passes_through_and_reports_chunk_sizes_that_overflow() {
    let proxy = ProxyProcess::start();
    for size in ["10000000000000000", "ffffffffffffffff", "fffffffffffffffff"] {
        let response = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\nof that only this");
        let script = response.clone();
        let origin = Origin::tls(move |mut connection: Connection| {
            next_request(&mut connection);
            connection.send(&script);
        });
        let mut connection = proxy.tls(&origin.authority("localhost"));
        connection.send(format!("GET /{size} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        assert_eq!(String::from_utf8(connection.read_to_end().0).unwrap(), response);
    }
    let (bundle, output) = proxy.stop();
    assert!(output.err.contains("captured up to a body with malformed framing"), "{}", output.err);
    assert_eq!(bundle.traces.len(), 3);
    // The largest representable size is valid; the bytes received so far are its body.
    assert_eq!(bundle.trace("/ffffffffffffffff").text(), "of that only this");
}

#[test]
fn records_two_hundred_thousand_chunks_of_one_byte() {
    const CHUNKS: usize = 200_000;
    let chunks = format!("{}0\r\n\r\n", "1\r\nx\r\n".repeat(CHUNKS));
    let response = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    let script = response.clone();
    let origin = Origin::tls(move |mut connection: Connection| {
        connection.read_until(b"0\r\n\r\n");
        connection.send(&script);
    });
    let proxy = ProxyProcess::start();
    let mut connection = proxy.tls(&origin.authority("localhost"));
    let connection = within_timeout("chunks", move || {
        connection.send(format!("POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}"));
        assert!(connection.read_exactly(response.len()) == response.as_bytes());
        connection
    });
    drop(connection);
    let (bundle, _) = proxy.stop();
    assert!(bundle.only_trace().request_body == vec![b'x'; CHUNKS]);
    assert!(bundle.only_trace().response_body == vec![b'x'; CHUNKS]);
}

#[test]
fn records_the_final_response_after_a_thousand_interim_ones() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n".repeat(1_000);
    let response = format!("{hints}{OK}");
    for tls in [true, false] {
        let script = response.clone();
        let script = move |mut connection: Connection| {
            while next_request(&mut connection).is_some() {
                connection.send(&script);
            }
        };
        let origin = if tls { Origin::tls(script) } else { Origin::plain(script) };
        let proxy = ProxyProcess::start();
        let host = origin.authority("localhost");
        let (mut connection, target) = match tls {
            true => (proxy.tls(&host), String::new()),
            false => (proxy.dial(), format!("http://{host}")),
        };
        for _ in 0..2 {
            connection.send(format!("GET {target}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            assert!(connection.read_exactly(response.len()) == response.as_bytes());
        }
        drop(connection);
        let (bundle, _) = proxy.stop();
        assert_eq!(bundle.traces.iter().map(|trace| trace.status()).collect::<Vec<_>>(), [200, 200]);
        assert_eq!(bundle.traces[1].text(), "ok");
    }
}

/// Sends `frames` through a WebSocket; returns the recorded messages and the peak memory in MiB.
#[track_caller]
fn through_a_websocket(frames: Vec<u8>) -> (Vec<Message>, Option<usize>) {
    let (ask, response) = handshake("");
    let len = frames.len();
    let origin = Origin::tls(move |mut connection: Connection| {
        connection.read_head();
        connection.send(&response);
        connection.read_exactly(len);
        connection.send(b"\x88\x00");
    });
    let proxy = ProxyProcess::start();
    let mut connection = proxy.tls(&origin.authority("localhost"));
    let connection = within_timeout("frames", move || {
        connection.send(ask);
        connection.read_head();
        connection.send(frames);
        assert_eq!(connection.read_exactly(2), b"\x88\x00");
        connection
    });
    drop(connection);
    proxy.wait_for_release();
    let memory = proxy.running.peak_memory().map(|kib| kib / 1024);
    (proxy.stop().0.only_websocket().messages.clone(), memory)
}

#[test]
fn joins_a_million_fragments_of_one_byte() {
    const FRAGMENTS: usize = 1_000_000;
    let (first, next, last) = (frame(0x02, MASK, b"x"), frame(0x00, MASK, b"x"), frame(0x80, MASK, b"x"));
    let (messages, memory) = through_a_websocket([first, next.repeat(FRAGMENTS - 2), last].concat());
    assert!(messages == [Message::sent("binary", vec![b'x'; FRAGMENTS]), Message::received("close", "")]);
    assert!(memory.is_none_or(|mib| mib < 64), "{memory:?} MiB");
}

#[test]
fn the_cost_of_one_byte_messages_is_linear() {
    const MESSAGES: usize = 10_000;
    let (messages, memory) = through_a_websocket(frame(0x82, MASK, b"x").repeat(MESSAGES));
    assert_eq!(messages.len(), MESSAGES + 1);
    assert!(messages[..MESSAGES].iter().all(|message| *message == Message::sent("binary", "x")));
    assert!(memory.is_none_or(|mib| mib < 64), "{memory:?} MiB");
}

const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);

/// The heads with the largest JSON: of control characters, and of the shortest fields.
#[test]
fn readers_accept_the_json_of_the_largest_heads() {
    let escapes = format!("x:{}\n", "\u{1}".repeat(10_000));
    for (field, count, side) in [(&*escapes, 100, None), (":\n", 300_000, Some("both"))] {
        let fields = format!("{}X-Last: 1\r\n", field.repeat(count));
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n{fields}\r\nok");
        let origin = Origin::plain_responding(response.clone());
        let capture = Capture::start();
        let mut connection = capture.connect(&origin.authority("localhost"));
        connection.send(format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"));
        assert!(connection.read_exactly(response.len()) == response.as_bytes());
        drop(connection);
        capture.wait_for_exchanges(1);
        let outcome = capture.stop();
        let trace = outcome.bundle().only_trace();
        assert_eq!((trace.json["cut_off"]["side"].as_str(), trace.text()), (side, "ok".into()));
        let size = serde_json::to_string_pretty(&trace.json).unwrap().len();
        assert!((11 * MIB..16 * MIB).contains(&size), "{size}");
        let read = reader::Bundle::open(outcome.dir.join("capture.zip")).unwrap();
        assert_eq!((read.left_out().count, read.traces().len()), (0, 1));
        assert_eq!(read.trace("t_0001").unwrap().response.headers.len(), trace.response_headers().len());
    }
}
