//! Exchanges and messages that end early are marked in the bundle with the cause, and all commands show it.

use crate::export::assert_valid_har;
use crate::support::bundle::{Bundle, wait_until_written};
use crate::support::cli::{Spectral, spectral};
use crate::support::http2_frames::{END_STREAM, data, headers, reset};
use crate::support::pair::to;
use crate::support::peers::{peer, run};
use crate::support::websocket_frames::{frame, handshake};
use crate::support::{Capture, Connection, Gate, Origin, Pair, TempDir};
use flate2::Compression;
use flate2::write::GzEncoder;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::io::Write;
use std::process::Command;

/// An exchange that the origin or the client ends.
struct Case {
    path: &'static str,
    /// Sent by the client after the head.
    sent: &'static str,
    /// Sent by the origin once it has received the request so far.
    response: Vec<u8>,
    end: End,
    /// The expected `side` and `why`, and the words for both.
    expected: Option<(&'static str, &'static str, &'static str)>,
}

/// The event that ends an exchange, after the client has received the response so far.
#[derive(Clone, Copy, PartialEq)]
enum End {
    OriginResets,
    OriginCloses,
    ClientResets,
    ClientCloses,
    CaptureStops,
}

/// Returns gzip without its last bytes.
fn half_gzip() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(b"hello, hello, hello").unwrap();
    let mut bytes = encoder.finish().unwrap();
    bytes.truncate(bytes.len() - 6);
    bytes
}

fn cases() -> Vec<Case> {
    let case = |path, fields: &str, body: &[u8], end, expected| Case {
        path,
        sent: "",
        response: [format!("HTTP/1.1 200 OK\r\n{fields}\r\n").as_bytes(), body].concat(),
        end,
        expected,
    };
    let chunked = "Transfer-Encoding: chunked\r\n";
    let (reset, closed) = ("response reset by the origin", "response ended early by the origin");
    let gzip_length = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", half_gzip().len());
    vec![
        case("/chunks-reset", chunked, b"5\r\nhello\r\n", End::OriginResets, Some(("response", "reset", reset))),
        case("/chunks-closed", chunked, b"64\r\nhello", End::OriginCloses, Some(("response", "closed", closed))),
        case("/between", chunked, b"5\r\nhello\r\n", End::OriginCloses, Some(("response", "closed", closed))),
        case("/length", "Content-Length: 9\r\n", b"hello", End::OriginCloses, Some(("response", "closed", closed))),
        case(
            "/gzip",
            "Content-Encoding: gzip\r\n",
            &half_gzip(),
            End::OriginCloses,
            Some(("response", "closed", closed)),
        ),
        case("/gzip-length", &gzip_length, &half_gzip(), End::ClientCloses, Some(("response", "closed", closed))),
        case("/until-reset", "", b"hello", End::OriginResets, Some(("response", "reset", reset))),
        case("/until-closed", "", b"hello", End::OriginCloses, None),
        case("/whole", "Content-Length: 5\r\n", b"hello", End::ClientResets, None),
        case(
            "/left",
            "Content-Length: 9\r\n",
            b"hello",
            End::ClientCloses,
            Some(("response", "cancelled", "response cancelled by the client")),
        ),
        Case {
            path: "/upload-reset",
            sent: "Content-Length: 9\r\n\r\nhello",
            response: Vec::new(),
            end: End::ClientResets,
            expected: Some(("request", "reset", "request reset by the client")),
        },
        Case {
            path: "/upload-refused",
            sent: "Content-Length: 9\r\n\r\nhello",
            response: b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec(),
            end: End::OriginCloses,
            expected: Some(("request", "closed", "request ended early")),
        },
        Case {
            path: "/silent",
            sent: "Content-Length: 5\r\n\r\nhello",
            response: Vec::new(),
            end: End::OriginCloses,
            expected: None,
        },
        case(
            "/stopped",
            chunked,
            b"5\r\nhello\r\n",
            End::CaptureStops,
            Some(("response", "stopped", "response interrupted by the end of the capture")),
        ),
    ]
}

/// Opens a tunnel through `running` to `origin`.
fn tunnel(running: &Spectral, origin: &Origin) -> Connection {
    let mut connection = Connection::to(running.addr);
    let target = origin.authority("127.0.0.1");
    connection.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
    connection.read_head();
    connection
}

/// Runs `case` through `running`. Returns the connection if the exchange is still in progress.
fn run_case(running: &Spectral, case: &Case) -> Option<(Origin, Connection)> {
    let received = Gate::default();
    let (wait, response, end) = (received.clone(), case.response.clone(), case.end);
    let has_body = !case.sent.is_empty();
    let origin = Origin::plain(move |mut connection: Connection| {
        connection.read_head();
        if has_body {
            connection.read_until(b"hello");
        }
        connection.send(&response);
        wait.pass();
        match end {
            End::OriginResets => connection.reset(),
            End::OriginCloses => connection.close_abruptly(),
            End::ClientResets | End::ClientCloses | End::CaptureStops => drop(connection.read_to_end()),
        }
    });
    let mut connection = tunnel(running, &origin);
    let rest = if has_body { case.sent } else { "\r\n" };
    let request = format!("POST {} HTTP/1.1\r\nHost: a.test\r\n{rest}", case.path);
    connection.send(&request);
    if case.response.is_empty() {
        origin.received_at_least(0, request.len());
    }
    connection.read_exactly(case.response.len());
    received.open();
    match case.end {
        End::CaptureStops => return Some((origin, connection)),
        End::ClientResets => connection.reset(),
        End::ClientCloses => connection.close_abruptly(),
        End::OriginResets | End::OriginCloses => {
            connection.read_to_end();
            drop(connection);
        }
    }
    running.wait_for_line(&format!("{} ", case.path));
    None
}

#[test]
fn all_commands_show_what_was_cut_off() {
    let (dir, cases) = (TempDir::new(), cases());
    let running = Spectral::capture(&dir, &["-v"]);
    let open: Vec<_> = cases.iter().filter_map(|case| run_case(&running, case)).collect();
    let output = running.interrupt();
    drop(open);
    assert_eq!(output.code, Some(0), "{}", output.err);

    let bundle = Bundle::open(&dir.join("capture.zip"));
    let inspect = |args: &[&str]| spectral(&dir, &[&["capture", "inspect", "capture.zip"], args].concat()).ok().text();
    let list = inspect(&[]);
    let lines = inspect(&["--json"]);
    let har = spectral(&dir, &["capture", "export", "capture.zip", "--format", "har", "-o", "capture.har"]).ok();
    assert_eq!(har.err, "");
    assert_valid_har(&dir.join("capture.har"));
    let har: Value = serde_json::from_slice(&std::fs::read(dir.join("capture.har")).unwrap()).unwrap();
    let mut listed = Vec::new();
    for (index, case) in cases.iter().enumerate() {
        let Case { path, expected, .. } = case;
        let trace = &bundle.traces[index];
        assert!(trace.url().ends_with(path), "{}", trace.url());
        let cut_off = trace.json.get("cut_off");
        let line_of = |text: &str| text.lines().find(|line| line.contains(&format!("{path} "))).map(str::to_owned);
        let (verbose, row) =
            (line_of(&output.err).unwrap(), list.lines().find(|line| line.contains(trace.id())).unwrap());
        let shown = inspect(&["--trace", trace.id()]);
        let json: Value = serde_json::from_str(lines.lines().nth(index).unwrap()).unwrap();
        assert_eq!(json.get("cut_off"), cut_off.or(Some(&Value::Null)), "{path}");
        let entry = &har["log"]["entries"][index];
        let (request, response) = (&entry["request"], &entry["response"]);
        let Some((side, why, words)) = expected else {
            assert_eq!(cut_off, None, "{path}");
            assert!(![&verbose, row, &shown].iter().any(|text| text.contains("cut off")), "{path}");
            let mark = "(no response: origin closed the connection)";
            assert_eq!([&verbose, row].map(|text| text.contains(mark)), [trace.status() == 0; 2], "{verbose}\n{row}");
            assert_eq!((request.get("comment"), response.get("comment")), (None, None), "{path}");
            continue;
        };
        assert_eq!(cut_off, Some(&serde_json::json!({"side": side, "why": why})), "{path}");
        let mark = format!("cut off: {words}");
        assert!(verbose.ends_with(&format!("  ({mark})")), "{verbose}");
        assert!(row.ends_with(&format!("  ({mark})")), "{row}");
        assert!(shown.contains(&format!("\n{mark}\n")), "{shown}");
        let marked = if *side == "request" { request } else { response };
        assert_eq!(marked["comment"], mark, "{path}");
        if *side == "response" {
            assert_eq!(response["_error"], mark, "{path}");
        }
        listed.push(format!("{} ({words})", trace.id()));
    }
    let more = listed.split_off(10).len();
    let line = format!("  {} exchanges were cut off: {}, and {more} more", listed.len() + more, listed.join(", "));
    assert!(output.err.lines().any(|shown| shown == line), "{line}\n{}", output.err);

    // Other bundles made of it keep it.
    let cut_off = |bundle: &Bundle| bundle.traces.iter().map(|t| t.json.get("cut_off").cloned()).collect::<Vec<_>>();
    spectral(&dir, &["capture", "redact", "capture.zip", "-o", "shared.zip", "--json", "token"]).ok();
    assert_eq!(cut_off(&Bundle::open(&dir.join("shared.zip"))), cut_off(&bundle));
    spectral(&dir, &["capture", "merge", "shared.zip", "capture.zip", "-o", "merged.zip"]).ok();
    assert_eq!(cut_off(&Bundle::open(&dir.join("merged.zip"))), [cut_off(&bundle), cut_off(&bundle)].concat());
}

#[test]
fn a_response_that_the_client_leaves_is_cancelled() {
    for (tls, resets) in [(true, true), (true, false), (false, true), (false, false)] {
        let script = |mut connection: Connection| {
            connection.read_head();
            connection.send("HTTP/1.1 200 OK\r\n\r\n");
            // The connection is reset once the client has left, by this write or by the close.
            while connection.writer.try_send(&[b'x'; 1000]).is_ok() {}
            connection.reset();
        };
        let origin = if tls { Origin::tls(script) } else { Origin::plain(script) };
        let capture = Capture::start();
        let host = origin.authority("localhost");
        let mut connection = if tls { capture.tls(&host, "localhost") } else { capture.connect(&host) };
        connection.send("GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n");
        connection.read_head();
        if resets {
            connection.reset()
        } else {
            connection.close_abruptly()
        }
        capture.wait_for_exchanges(1);
        let outcome = capture.stop();
        let cut_off = outcome.bundle().only_trace().cut_off();
        assert_eq!(cut_off.as_deref(), Some("response cancelled"), "TLS: {tls}, reset: {resets}");
    }
}

#[test]
fn curl_that_leaves_cancels_the_response() {
    let Some(curl) = peer("curl") else {
        return;
    };
    let origin = Origin::plain(|mut connection: Connection| {
        connection.read_head();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello");
        connection.read_to_end();
    });
    let capture = Capture::start();
    let (proxy, url) = (format!("http://{}", capture.addr), format!("http://{}/file", origin.authority("127.0.0.1")));
    for tunnel in [None, Some("--proxytunnel")] {
        let mut command = Command::new(&curl);
        // It closes the connection once it knows the size.
        command.args(["--silent", "--max-filesize", "3", "--proxy", &proxy, &url]).args(tunnel);
        assert_eq!(run(&mut command).code, Some(63), "{tunnel:?}");
    }
    capture.wait_for_exchanges(2);
    let outcome = capture.stop();
    for trace in &outcome.bundle().traces {
        assert_eq!(trace.cut_off().as_deref(), Some("response cancelled"), "{}", trace.id());
    }
}

#[test]
fn recover_keeps_what_was_cut_off() {
    let (dir, cases) = (TempDir::new(), cases());
    let running = Spectral::capture(&dir, &["-v"]);
    run_case(&running, &cases[0]);
    wait_until_written(&dir.join("capture.zip.part"), "traces/t_0001.json");
    running.signal(Signal::SIGKILL);
    running.wait_for_exit();
    spectral(&dir, &["capture", "recover", "capture.zip.part"]).ok();
    let bundle = Bundle::open(&dir.join("capture.zip"));
    assert_eq!(bundle.only_trace().cut_off().as_deref(), Some("response reset"));
}

#[test]
fn a_websocket_message_that_is_not_whole_is_cut_off() {
    let dir = TempDir::new();
    let received = Gate::default();
    let wait = received.clone();
    let origin = Origin::plain(move |mut connection: Connection| {
        connection.read_head();
        connection.send(handshake("").1);
        let whole = frame(0x81, None, b"Hello");
        connection.send([&whole[..], &whole[..whole.len() - 2]].concat());
        wait.pass();
        connection.close_abruptly();
    });
    let running = Spectral::capture(&dir, &[]);
    let mut connection = tunnel(&running, &origin);
    connection.send(handshake("").0);
    connection.read_head();
    connection.read_exactly(2 * frame(0x81, None, b"Hello").len() - 2);
    received.open();
    connection.read_to_end();
    drop(connection);
    wait_until_written(&dir.join("capture.zip.part"), "ws/ws_0001.json");
    let output = running.interrupt();
    let line = "  1 message was cut off: ws_0001_m002 (ended early by the origin)";
    assert!(output.err.lines().any(|shown| shown == line), "{}", output.err);
    let line = "  1 WebSocket has no close frame: ws_0001 (ended early by the origin)";
    assert!(output.err.lines().any(|shown| shown == line), "{}", output.err);
    let inspect = |args: &[&str]| spectral(&dir, &[&["capture", "inspect", "capture.zip"], args].concat()).ok().text();
    let row = inspect(&[]).lines().find(|line| line.contains("ws_0001")).map(str::to_owned).unwrap();
    assert!(row.ends_with("/raw  (no close frame)"), "{row}");
    assert!(inspect(&["--json"]).contains(r#""is_closed":false"#));
    let shown = inspect(&["--ws", "ws_0001"]);
    assert!(shown.contains("\n  2 messages, no close frame\n"), "{shown}");
    let lines: Vec<_> = shown.lines().filter(|line| line.starts_with("ws_0001_m")).collect();
    assert!(lines[0].ends_with("  Hello"), "{shown}");
    assert!(lines[1].ends_with("  Hel  (cut off: ended early by the origin)"), "{shown}");
    let json = inspect(&["--ws", "ws_0001", "--json"]);
    let messages: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(messages[0].get("cut_off"), None);
    assert_eq!((&messages[1]["cut_off"]["why"], &messages[1]["text"]), (&"closed".into(), &"Hel".into()));
    let har = spectral(&dir, &["capture", "export", "capture.zip", "--format", "har"]).ok().text();
    let har: Value = serde_json::from_str(&har).unwrap();
    let messages = &har["log"]["entries"][0]["_webSocketMessages"];
    assert_eq!((messages[0].get("comment"), &messages[1]["data"]), (None, &"Hel".into()));
    assert_eq!(messages[1]["comment"], "cut off: ended early by the origin");
}

#[test]
fn http2_streams_that_end_early_are_cut_off() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    let length = ":status 200\ncontent-length 9";
    for (stream, path, ends_request) in
        [(1, "/reset", true), (3, "/left", true), (5, "/refused", false), (7, "/whole", true)]
    {
        let flags = if ends_request { END_STREAM } else { 0 };
        pair.up(headers(stream, flags, &to(path)));
    }
    for stream in [1, 3] {
        pair.down([headers(stream, 0, length), data(stream, 0, b"hello")].concat());
    }
    pair.down(reset(1, 2));
    pair.up(reset(3, 8));
    pair.up(data(5, 0, b"half an upload"));
    // The response is complete, and the rest of the request is not wanted (RFC 9113 section 8.1).
    pair.down([headers(5, END_STREAM, ":status 413"), reset(5, 0)].concat());
    pair.down([headers(7, 0, ":status 200"), data(7, END_STREAM, b"hello")].concat());
    pair.up([headers(9, END_STREAM, &to("/stopped")), headers(11, 0, &to("/up"))].concat());
    pair.up(data(11, 0, b"half an upload"));
    pair.down([headers(9, 0, ":status 200"), data(9, 0, b"so far")].concat());
    capture.wait_for_exchanges(4);
    let outcome = capture.stop();
    for (path, expected) in [
        ("/reset", Some("response reset")),
        ("/left", Some("response cancelled")),
        ("/refused", Some("request closed")),
        ("/whole", None),
        ("/stopped", Some("response stopped")),
        ("/up", Some("request stopped")),
    ] {
        assert_eq!(outcome.bundle().trace(path).cut_off().as_deref(), expected, "{path}");
    }
    assert_eq!(outcome.summary.cut_off_exchanges.count, 5);
}
