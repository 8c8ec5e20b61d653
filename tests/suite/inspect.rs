//! `spectral capture inspect`: shows the requested parts of a bundle, also while a capture is writing it.

use crate::support::cli::{Spectral, command, peak_memory, spectral};
use crate::support::peers::{BackgroundProcess, Output, peer, report_skipped, run, without_proxy_settings};
use crate::support::websocket_frames::{frame, handshake};
use crate::support::{Connection, Origin, TempDir, Watched, within_timeout};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

/// An origin whose responses depend on the request's path.
fn origin() -> Origin {
    Origin::plain(|mut connection| {
        let head = connection.read_head();
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        match path.as_str() {
            "/missing" => connection.send("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nNope"),
            "/broken" => connection.send("HTTP/1.1 503 Busy\r\nX-Reason: Overload\r\nContent-Length: 0\r\n\r\n"),
            "/short" => connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
            "/binary" => connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\0\x1b[2"),
            "/silent" => {}
            "/raw" => {
                connection.send(handshake("").1);
                connection.read_exactly(frame(0x81, Some([1; 4]), b"hello").len());
                connection.send([frame(0x81, None, b"Hi\nthere\x1b"), frame(0x82, None, b"\0\x01")].concat());
                connection.send(frame(0x88, None, b"\x03\xe8bye"));
            }
            _ => connection
                .send("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{\"answer\":42}"),
        }
        connection.finish();
        connection.read_to_end();
    })
}

/// Sends a request to `origin` through `running`, with `host` in the Host field, and waits for the end of the
/// connection.
fn ask(running: &Spectral, origin: &Origin, host: &str, method: &str, path: &str) {
    let mut connection = Connection::to(running.addr);
    let target = origin.authority("127.0.0.1");
    connection.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
    connection.read_head();
    connection.send(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    connection.read_to_end();
}

/// Opens a WebSocket.
fn open_websocket(running: &Spectral, origin: &Origin) -> Connection {
    let mut connection = Connection::to(running.addr);
    let target = origin.authority("127.0.0.1");
    connection.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
    connection.read_head();
    connection.send(handshake("").0);
    connection.read_head();
    connection
}

/// Opens a WebSocket, sends a message and receives three.
fn chat(running: &Spectral, origin: &Origin) {
    let mut connection = open_websocket(running, origin);
    connection.send(frame(0x81, Some([1; 4]), b"hello"));
    connection.read_to_end();
}

/// A directory with a bundle of many kinds of exchanges.
fn captured() -> (TempDir, Origin) {
    let (dir, origin) = (TempDir::new(), origin());
    let running = Spectral::capture(&dir, &[]);
    for (host, method, path) in [
        ("api.example.test", "GET", "/users"),
        ("api.example.test", "POST", "/users"),
        ("www.example.test", "GET", "/missing"),
        ("api.example.test", "GET", "/broken"),
        ("www.example.test", "GET", "/short"),
        ("www.example.test", "GET", "/binary"),
        ("www.example.test", "GET", "/silent"),
    ] {
        ask(&running, &origin, host, method, path);
    }
    chat(&running, &origin);
    assert_eq!(running.interrupt().code, Some(0));
    (dir, origin)
}

fn inspect(dir: &TempDir, args: &[&str]) -> Output {
    spectral(dir, &[&["capture", "inspect", "capture.zip"], args].concat())
}

/// Returns the ids in a list.
fn ids(output: Output) -> Vec<String> {
    let output = output.ok();
    let first = |line: &str| line.split(' ').next().unwrap().to_owned();
    output.text().lines().map(first).filter(|word| word.starts_with("t_") || word.starts_with("ws_")).collect()
}

#[test]
fn filters_narrow_the_list() {
    let (dir, _origin) = captured();
    for (args, expected) in [
        (&["--host", "api.*"][..], &["t_0001", "t_0002", "t_0004"][..]),
        (&["--host", "api.*", "--method", "post"], &["t_0002"]),
        (&["--status", "4xx"], &["t_0003"]),
        (&["--status", "404", "--status", "500-599"], &["t_0003", "t_0004"]),
        (&["--status", "0"], &["t_0007"]),
        (&["--status", "101"], &["t_0008", "ws_0001"]),
        (&["--grep", "NOPE"], &["t_0003"]),
        (&["--grep", "x-reason: over"], &["t_0004"]),
        (&["--grep", "/USERS", "--method", "GET"], &["t_0001"]),
        (&["--grep", "hi\nthere"], &["ws_0001"]),
        (&["--grep", "answer", "--host", "www.*"], &[]),
        (&["--grep", "nowhere to be found"], &[]),
        (&["--type", "json"], &["t_0001", "t_0002"]),
        (&["--type", "text/*", "--type", "Application/*"], &["t_0001", "t_0002"]),
        (&["--answered", "--host", "www.*"], &["t_0003", "t_0005", "t_0006"]),
        (&["--since", "1h", "--until", "now", "--status", "404"], &["t_0003"]),
        (&["--since", "today", "--until", "1h"], &[]),
        (&["--until", "2026-01-01"], &[]),
    ] {
        assert_eq!(ids(inspect(&dir, args)), expected, "{args:?}");
    }
    let text = inspect(&dir, &["--status", "4xx"]).ok().text();
    assert!(text.ends_with("\nMatched: 1 of 8 exchanges, 0 of 1 WebSocket\n"), "{text}");
}

#[test]
fn the_summary_counts_exchanges_and_websockets() {
    let (dir, _origin) = captured();
    let text = inspect(&dir, &[]).ok().text();
    assert!(text.contains("\n  contents  8 exchanges, 1 WebSocket, 4 messages\n"), "{text}");
}

#[test]
fn cut_off_exchanges_are_marked() {
    let (dir, _origin) = captured();
    let text = inspect(&dir, &[]).ok().text();
    let line = |part: &str| text.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{text}"));
    assert!(line("/short").ends_with("  (cut off: response ended early by the origin)"), "{text}");
    assert!(line("/silent").ends_with("  (no response: origin closed the connection)"), "{text}");
    assert!(line("/missing").ends_with("/missing"), "{text}");
    let shown = inspect(&dir, &["--trace", "t_0005"]).ok().text();
    assert!(shown.contains("\ncut off: response ended early by the origin\n"), "{shown}");
    assert!(!inspect(&dir, &["--trace", "t_0001"]).ok().text().contains("cut off"));
}

#[test]
fn json_is_a_line_for_each_with_the_bundles_own_field_names() {
    let (dir, _origin) = captured();
    let bundle = crate::support::bundle::Bundle::open(&dir.join("capture.zip"));
    let lines = |output: Output| -> Vec<Value> {
        output.ok().text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let mut all = lines(inspect(&dir, &["--json"]));
    let mut websocket = all.pop().unwrap();
    assert_eq!(websocket["type"].take(), "websocket");
    assert_eq!(websocket["is_closed"].take(), true);
    websocket.as_object_mut().unwrap().retain(|name, _| name != "type" && name != "is_closed");
    assert_eq!(websocket, bundle.websockets[0].json);
    let cut: Vec<_> = all.iter().map(|line| line["cut_off"]["side"].as_str()).collect();
    assert_eq!(cut[4..7], [Some("response"), None, None]);
    for line in &mut all {
        let line = line.as_object_mut().unwrap();
        assert!(line.contains_key("cut_off"), "{line:?}");
        line.retain(|name, value| name != "cut_off" || !value.is_null());
    }
    assert_eq!(all, bundle.traces.iter().map(|trace| trace.json.clone()).collect::<Vec<_>>());

    assert_eq!(lines(inspect(&dir, &["--json", "--status", "503"])).len(), 1);
    assert_eq!(lines(inspect(&dir, &["--json", "--trace", "t_0003"]))[0]["response"]["status"], 404);
    let messages = lines(inspect(&dir, &["--json", "--ws", "ws_0001"]));
    let output: Vec<_> = messages.iter().map(|m| (m["direction"].as_str().unwrap(), m["text"].as_str())).collect();
    let expected =
        [("send", Some("hello")), ("receive", Some("Hi\nthere\u{1b}")), ("receive", None), ("receive", None)];
    assert_eq!(output, expected);
    assert_eq!(messages[2]["base64"], "AAE=");
}

#[test]
fn a_body_is_written_as_its_bytes_and_not_to_a_terminal() {
    let (dir, _origin) = captured();
    assert_eq!(inspect(&dir, &["--body", "t_0006"]).ok().out, b"\0\x1b[2");
    assert_eq!(inspect(&dir, &["--body", "t_0006", "request"]).ok().out, b"");
    assert_eq!(inspect(&dir, &["--body", "t_0001", "response"]).ok().text(), "{\"answer\":42}");
    assert_eq!(inspect(&dir, &["--body", "ws_0001_m003"]).ok().out, b"\0\x01");
    let Some(python) = peer("python3") else {
        return;
    };
    let on_a_terminal = |id: &str| {
        let script = "import pty, sys; sys.exit(pty.spawn(sys.argv[1:]) >> 8)";
        let mut command = Command::new(&python);
        command.args(["-c", script, env!("CARGO_BIN_EXE_spectral"), "capture", "inspect", "capture.zip", "--body", id]);
        run(command.current_dir(dir.path()))
    };
    let output = on_a_terminal("t_0006");
    assert_eq!(output.code, Some(1));
    assert!(output.text().contains("> FILE") && !output.text().contains('\u{1b}'), "{:?}", output.text());
    assert!(on_a_terminal("t_0001").ok().text().contains("{\"answer\":42}"));
}

#[test]
fn each_message_is_a_line() {
    let (dir, _origin) = captured();
    let text = inspect(&dir, &["--ws", "ws_0001"]).ok().text();
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with("ws_0001_m")).collect();
    for (line, words) in lines.iter().zip([
        &["ws_0001_m001", "send", "text", "hello"][..],
        &["ws_0001_m002", "receive", "text", "Hi\\nthere\\x1b"],
        &["ws_0001_m003", "receive", "binary", "2 bytes"],
        &["ws_0001_m004", "receive", "close", "1000 bye"],
    ]) {
        assert!(words.iter().all(|word| line.contains(word)), "{words:?} in {line}");
    }
    assert_eq!(lines.len(), 4, "{text}");
    let output = inspect(&dir, &["--ws", "ws_0002"]);
    assert_eq!(output.code, Some(1));
    assert_eq!(output.err, "spectral: error: no WebSocket 'ws_0002': this bundle has only ws_0001\n");
    let output = inspect(&dir, &["--trace", "1"]);
    assert_eq!(output.err, "spectral: error: no exchange '1': this bundle has t_0001 to t_0008\n");
    let output = inspect(&dir, &["--body", "ws_0001_m009"]);
    let range = "ws_0001 has ws_0001_m001 to ws_0001_m004";
    assert_eq!(output.err, format!("spectral: error: no message 'ws_0001_m009': {range}\n"));
    let output = inspect(&dir, &["--trace", "ws_0001"]);
    assert_eq!(output.err, "spectral: error: ws_0001 is a WebSocket: show its messages with --ws ws_0001\n");
    let output = spectral(&dir, &["capture", "export", "capture.zip", "--format", "har", "--trace", "ws_0001"]);
    assert!(
        output.err.contains("ws_0001 is a WebSocket: export it with its handshake, --trace t_000"),
        "{}",
        output.err
    );
}

#[test]
fn a_running_capture_is_shown_and_followed() {
    let (dir, origin) = (TempDir::new(), origin());
    let running = Spectral::capture(&dir, &["-o", "capture.zip"]);
    ask(&running, &origin, "a.test", "GET", "/one");
    // A WebSocket that stays open.
    let mut connection = Connection::to(running.addr);
    let target = origin.authority("127.0.0.1");
    connection.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
    connection.read_head();
    connection.send(handshake("").0);
    connection.read_head();

    // The client may receive the response before the exchange is in the file.
    let output = within_timeout("inspecting", {
        let dir = dir.path().to_owned();
        move || loop {
            let mut command = Command::new(env!("CARGO_BIN_EXE_spectral"));
            let output = run(command.args(["capture", "inspect", "capture.zip"]).current_dir(&dir)).ok();
            if output.text().contains("ws_0001") && output.text().contains("t_0001") {
                return output;
            }
        }
    });
    assert!(output.text().contains(", unfinished\n") && output.text().contains("http://a.test"), "{}", output.text());
    assert!(
        output.err.contains("spectral: warning: capture.zip.part is unfinished: a capture is writing it"),
        "{}",
        output.err
    );
    assert_eq!(inspect(&dir, &["--body", "t_0001"]).ok().text(), "{\"answer\":42}");

    let (mut follow, lines) = following(&dir, &["--json"]);
    let until = |part: &str| line_with(&lines, part);
    until("/one");
    ask(&running, &origin, "a.test", "GET", "/two");
    until("/two");
    connection.send(frame(0x81, Some([1; 4]), b"hello"));
    connection.read_to_end();
    assert_eq!(running.interrupt().code, Some(0));
    let websocket: Value = serde_json::from_str(&until("\"message_count\":4")).unwrap();
    assert_eq!(websocket["id"], Value::from("ws_0001"));
    assert!(crate::support::peers::wait(&mut follow.0).unwrap().success(), "it ends with the capture");
}

#[test]
fn messages_are_followed_until_the_websocket_ends() {
    let (dir, origin) = (TempDir::new(), origin());
    let running = Spectral::capture(&dir, &[]);
    let mut connection = open_websocket(&running, &origin);
    within_timeout("the WebSocket is in the file", {
        let dir = dir.path().to_owned();
        move || {
            let mut shown = Command::new(env!("CARGO_BIN_EXE_spectral"));
            shown.args(["capture", "inspect", "capture.zip", "--ws", "ws_0001"]).current_dir(dir);
            while run(&mut shown).code != Some(0) {}
        }
    });
    let (mut follow, lines) = following(&dir, &["--ws", "ws_0001"]);
    line_with(&lines, " so far");
    connection.send(frame(0x81, Some([1; 4]), b"hello"));
    line_with(&lines, "ws_0001_m001  ");
    connection.read_to_end();
    drop(connection);
    // The capture goes on, but the WebSocket has ended.
    assert!(crate::support::peers::wait(&mut follow.0).unwrap().success());
    line_with(&lines, "ws_0001_m004  ");
    assert_eq!(running.interrupt().code, Some(0));
}

#[test]
fn a_capture_before_its_first_exchange_shows_what_is_known() {
    let (dir, origin) = (TempDir::new(), origin());
    let running = Spectral::capture(&dir, &["-o", "capture.zip"]);
    let output = inspect(&dir, &[]).ok();
    let beginning = "capture.zip is being captured";
    let text = output.text();
    assert!(text.starts_with(beginning) && text.ends_with("; nothing has ended yet\n"), "{text}");
    assert!(!text.contains("Bundle") && !text.contains("chrome") && text.lines().count() == 1, "{text}");
    let (mut follow, lines) = following(&dir, &[]);
    line_with(&lines, beginning);
    ask(&running, &origin, "a.test", "GET", "/one");
    line_with(&lines, "/one");
    assert_eq!(running.interrupt().code, Some(0));
    assert!(crate::support::peers::wait(&mut follow.0).unwrap().success());
}

/// Starts `inspect --follow` with `args`; returns it and its lines so far.
fn following(dir: &TempDir, args: &[&str]) -> (BackgroundProcess, Watched<Vec<String>>) {
    let mut follow =
        without_proxy_settings(command(dir, &["capture", "inspect", "capture.zip", "--follow"]).args(args))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
    let (pipe, lines) = (follow.stdout.take().unwrap(), Watched::<Vec<String>>::default());
    let so_far = lines.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            so_far.update(|lines| lines.push(line));
        }
    });
    (BackgroundProcess(follow), lines)
}

/// Waits for a line that contains `part`.
#[track_caller]
fn line_with(lines: &Watched<Vec<String>>, part: &str) -> String {
    lines.until(part, |lines| lines.iter().find(|line| line.contains(part)).cloned())
}

#[test]
fn the_bundle_of_a_killed_capture_is_shown_with_the_remedy() {
    let (dir, origin) = (TempDir::new(), origin());
    let running = Spectral::capture(&dir, &["-v"][..0]);
    ask(&running, &origin, "a.test", "GET", "/one");
    running.signal(nix::sys::signal::Signal::SIGKILL);
    assert_eq!(running.wait_for_exit().code, None);
    let output = inspect(&dir, &["--follow"]).ok();
    assert!(output.err.contains("spectral capture recover capture.zip.part"), "{}", output.err);
    assert_eq!(output.text().contains("/one"), output.text().contains("1 exchange,"), "{}", output.text());
}

#[test]
fn an_empty_bundle_has_no_ids() {
    let dir = TempDir::new();
    assert_eq!(Spectral::capture(&dir, &[]).interrupt().code, Some(0));
    let output = inspect(&dir, &["--trace", "1"]);
    assert_eq!(
        (output.code, output.err.as_str()),
        (Some(1), "spectral: error: no exchange '1': this bundle has no exchanges\n")
    );
    let output = inspect(&dir, &["--ws", "1"]);
    assert_eq!(output.err, "spectral: error: no WebSocket '1': this bundle has no WebSockets\n");
}

#[test]
fn arguments_that_do_not_combine_are_usage_errors() {
    let dir = TempDir::new();
    for args in [
        &["--trace", "t_0001", "--body", "t_0001"][..],
        &["--body", "t_0001", "--json"],
        &["--trace", "t_0001", "--host", "a"],
        &["--trace", "t_0001", "--follow"],
        &["--status", "5x"],
        &["--host", "http://a/"],
        &["other.zip"],
    ] {
        let output = inspect(&dir, args);
        assert_eq!((output.code, output.err.lines().count()), (Some(2), 1), "{args:?}: {}", output.err);
    }
}

#[test]
fn a_bundle_of_many_exchanges_takes_little_memory() {
    let dir = TempDir::new();
    let [few, many] = [100, 50_000].map(|count| {
        let name = format!("{count}.zip");
        let mut zip = zip::ZipWriter::new(std::fs::File::create(dir.join(&name)).unwrap());
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        let mut add = |name: String, content: &str| {
            zip.start_file(name, stored).unwrap();
            zip.write_all(content.as_bytes()).unwrap();
        };
        for n in 1..=count {
            add(format!("traces/t_{n:04}_response.bin"), "body");
            add(format!("traces/t_{n:04}.json"), "{}");
        }
        add("manifest.json".into(), "{}");
        zip.finish().unwrap();
        // It fills the pipe, which is not read further, and blocks.
        let shown = command(&dir, &["capture", "inspect", &name, "--json"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut shown = BackgroundProcess(shown);
        shown.0.stdout.as_mut().unwrap().read_exact(&mut [0; 1000]).unwrap();
        peak_memory(&shown.0)
    });
    let (Some(few), Some(many)) = (few, many) else {
        return report_skipped("/proc");
    };
    // About 40 bytes: two offsets in the index and an id. The ZIP directory itself has about 150 for each exchange.
    let each = many.saturating_sub(few) * 1024 / 50_000;
    assert!(each < 100, "{each} bytes for each exchange");
}
