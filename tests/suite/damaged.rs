//! Commands on bundles with damaged items: these are left out and named, and the rest is read.

use crate::support::bundle::wait_until_written;
use crate::support::cli::{Spectral, command, spectral};
use crate::support::peers::{BackgroundProcess, Output, wait};
use crate::support::websocket_frames::{frame, handshake};
use crate::support::{Connection, Origin, TempDir};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

const STORED: CompressionMethod = CompressionMethod::Stored;
const DEFLATED: CompressionMethod = CompressionMethod::Deflated;

/// A bundle being written.
struct Writer {
    zip: ZipWriter<File>,
    path: PathBuf,
}

impl Writer {
    fn new(dir: &TempDir, name: &str) -> Self {
        let path = dir.join(name);
        Self { zip: ZipWriter::new(File::create(&path).unwrap()), path }
    }

    fn add(&mut self, name: &str, content: &[u8], method: CompressionMethod) {
        self.zip.start_file(name, SimpleFileOptions::default().compression_method(method)).unwrap();
        self.zip.write_all(content).unwrap();
    }

    /// Adds an exchange whose bodies are in these files.
    fn exchange(&mut self, id: &str, request_file: Option<&str>, response_file: Option<&str>) {
        let (url, host) = (format!("http://a.test/{id}"), json!([{"name": "Host", "value": "a.test"}]));
        let request = json!({"method": "POST", "url": url, "headers": host, "body_file": request_file});
        let response = json!({"status": 200, "body_file": response_file, "body_size": 1});
        let trace = json!({"request": request, "response": response});
        self.add(&format!("traces/{id}.json"), trace.to_string().as_bytes(), DEFLATED);
    }

    fn websocket(&mut self, id: &str, handshake: &str) {
        let websocket = json!({"url": format!("ws://a.test/{id}"), "handshake_trace_ref": handshake});
        self.add(&format!("ws/{id}.json"), websocket.to_string().as_bytes(), DEFLATED);
    }

    fn message(&mut self, id: &str, payload: &[u8]) {
        let file = format!("{id}.bin");
        let message = json!({"direction": "receive", "opcode": "text", "payload_file": file});
        self.add(&format!("ws/{file}"), payload, STORED);
        self.add(&format!("ws/{id}.json"), message.to_string().as_bytes(), DEFLATED);
    }

    /// Ends the bundle, and damages the content of some entries, the byte at this fraction of it in percent, and the headers of
    /// others.
    fn finish(mut self, contents: &[(&str, u64)], headers: &[&str]) {
        self.add("manifest.json", br#"{"capture_id":"8a4f2b9e-27b1-4c57-9a56-0d1c2f3e4a5b"}"#, STORED);
        self.zip.finish().unwrap();
        let mut bytes = fs::read(&self.path).unwrap();
        let mut archive = ZipArchive::new(File::open(&self.path).unwrap()).unwrap();
        for name in headers {
            bytes[usize::try_from(archive.by_name(name).unwrap().header_start()).unwrap()] ^= 0x55;
        }
        for (name, percent) in contents {
            let entry = archive.by_name(name).unwrap();
            let at = entry.data_start().unwrap() + (entry.compressed_size() - 1) * percent / 100;
            bytes[usize::try_from(at).unwrap()] ^= 0x55;
        }
        fs::write(self.path, bytes).unwrap();
    }
}

/// Writes a bundle with two undamaged exchanges, t_0001 and t_0006, and an undamaged WebSocket of each kind of message.
fn write_bundle(dir: &TempDir) {
    let mut bundle = Writer::new(dir, "a.zip");
    let random: Vec<u8> = (0..300_000u32).map(|n| b'a' + (n.wrapping_mul(2_654_435_761) >> 27) as u8 % 26).collect();
    let large = [b"A needle. ", &random.repeat(6)[..]].concat();
    let (sent, received) = (|id| format!("{id}_request.bin"), |id| format!("{id}_response.bin"));
    for (id, body, method) in [
        ("t_0001", &b"a needle"[..], DEFLATED),
        ("t_0002", b"short", STORED),
        ("t_0005", &large, STORED),
        ("t_0007", &random, DEFLATED),
        ("t_0009", b"nowhere", DEFLATED),
    ] {
        bundle.add(&format!("traces/{}", received(id)), body, method);
        bundle.exchange(id, None, Some(&received(id)));
    }
    bundle.add("traces/t_0003.json", b"{\"request\":", STORED);
    bundle.exchange("t_0004", None, Some(&received("t_0004")));
    bundle.exchange("t_0006", None, None);
    bundle.add(&format!("traces/{}", sent("t_0008")), b"a request", STORED);
    bundle.add(&format!("traces/{}", received("t_0008")), b"the needle", STORED);
    bundle.exchange("t_0008", Some(&sent("t_0008")), Some(&received("t_0008")));
    bundle.websocket("ws_0001", "t_0006");
    bundle.message("ws_0001_m001", b"first");
    bundle.message("ws_0001_m002", b"second");
    bundle.add("ws/ws_0001_m003.json", b"{", STORED);
    bundle.message("ws_0001_m004", b"fourth needle");
    bundle.add("ws/ws_0002.json", b"no JSON", STORED);
    bundle.websocket("ws_0003", "t_0003");
    bundle.message("ws_0003_m001", b"alone");
    let contents = [
        ("traces/t_0002_response.bin", 50),
        ("traces/t_0005_response.bin", 100),
        ("traces/t_0007_response.bin", 50),
        ("traces/t_0008_request.bin", 0),
        ("ws/ws_0001_m002.bin", 50),
    ];
    bundle.finish(&contents, &["traces/t_0009_response.bin"]);
}

/// Runs a command that leaves out items: exactly these, in this order.
fn leaves_out(dir: &TempDir, arguments: &str, ids: &[&str]) -> Output {
    let output = spectral(dir, &arguments.split(' ').collect::<Vec<_>>());
    let (items, are) = if ids.len() == 1 { ("item", "it is") } else { ("items", "they are") };
    let expected = format!("{} {items} left out, since {are} damaged: {}", ids.len(), ids.join(", "));
    assert_eq!(output.err, format!("spectral: warning: {expected}\n"), "{arguments}");
    assert_eq!(output.code, Some(1), "{arguments}");
    output
}

#[test]
fn export_leaves_out_damaged_exchanges_and_messages() {
    let dir = TempDir::new();
    write_bundle(&dir);
    let exchanges = ["t_0002", "t_0003", "t_0004", "t_0005"];
    let (messages, rest) = (["ws_0001_m002", "ws_0001_m003"], ["t_0007", "t_0008", "t_0009"]);
    let ids = [&["ws_0002"][..], &exchanges, &messages, &rest].concat();
    leaves_out(&dir, "capture export --format har a.zip -o a.har", &ids);
    let har: Value = serde_json::from_slice(&fs::read(dir.join("a.har")).unwrap()).unwrap();
    let entries = har["log"]["entries"].as_array().unwrap();
    let exported: Vec<_> = entries.iter().map(|entry| entry["comment"].as_str().unwrap()).collect();
    // The handshake of ws_0003 is damaged.
    assert_eq!(exported, ["t_0001", "t_0006", "ws_0003"]);
    assert_eq!(entries[0]["response"]["content"]["text"], "a needle");
    let data = |entry: &Value| {
        let messages = entry["_webSocketMessages"].as_array().unwrap();
        messages.iter().map(|message| message["data"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (data(&entries[1]), data(&entries[2])),
        (vec!["first".into(), "fourth needle".into()], vec!["alone".into()])
    );
    // Curl commands have no response.
    let commands = leaves_out(&dir, "capture export --format curl a.zip", &["t_0003", "t_0008"]).text();
    let commands: Vec<_> = commands.lines().filter(|line| line.starts_with("# t_")).collect();
    assert_eq!(commands, ["# t_0001", "# t_0002", "# t_0004", "# t_0005", "# t_0006", "# t_0007", "# t_0009"]);
}

#[test]
fn export_names_items_that_a_filter_cannot_search() {
    let dir = TempDir::new();
    write_bundle(&dir);
    // t_0008 matches, and cannot be exported.
    let ids = ["ws_0002", "ws_0003", "t_0002", "t_0003", "t_0004", "t_0007", "t_0008", "t_0009"];
    let commands = leaves_out(&dir, "capture export --format curl a.zip --grep needle", &ids).text();
    let commands: Vec<_> = commands.lines().filter(|line| line.starts_with("# t_")).collect();
    assert_eq!(commands, ["# t_0001", "# t_0005", "# t_0006"]);
}

#[test]
fn inspect_leaves_out_damaged_items() {
    let dir = TempDir::new();
    write_bundle(&dir);
    let listed = |text: &str| {
        let ids = text.lines().filter_map(|line| line.split_whitespace().next());
        ids.filter(|id| id.starts_with("t_") || id.starts_with("ws_")).map(str::to_owned).collect::<Vec<_>>()
    };
    let list = leaves_out(&dir, "capture inspect a.zip", &["t_0003", "ws_0002"]).text();
    assert_eq!(
        listed(&list),
        ["t_0001", "t_0002", "t_0004", "t_0005", "t_0006", "t_0007", "t_0008", "t_0009", "ws_0001", "ws_0003"]
    );
    let json = leaves_out(&dir, "capture inspect a.zip --json", &["t_0003", "ws_0002"]).text();
    assert_eq!(json.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count(), 10);
    // A match before the damage, in the other body or in another message decides.
    let undecided = ["t_0002", "t_0003", "t_0004", "t_0007", "t_0009", "ws_0002"];
    let matched = leaves_out(&dir, "capture inspect a.zip --grep needle", &undecided).text();
    assert_eq!(listed(&matched), ["t_0001", "t_0005", "t_0008", "ws_0001"]);
    let output = spectral(&dir, &["capture", "inspect", "a.zip", "--body", "t_0002", "response"]);
    assert!(output.code == Some(1) && output.err.contains("t_0002_response.bin in a.zip: damaged"), "{}", output.err);
}

#[test]
fn inspect_marks_damaged_messages() {
    let dir = TempDir::new();
    write_bundle(&dir);
    let damaged = ["ws_0001_m002", "ws_0001_m003"];
    let shown = leaves_out(&dir, "capture inspect a.zip --ws ws_0001", &damaged).text();
    let lines: Vec<_> = shown.lines().filter(|line| line.starts_with("ws_0001_m")).collect();
    let ends = ["  text    first", "  text    (damaged)", "ws_0001_m003  (damaged)", "  text    fourth needle"];
    assert!(lines.len() == 4 && lines.iter().zip(ends).all(|(line, end)| line.ends_with(end)), "{shown}");
    let json = leaves_out(&dir, "capture inspect a.zip --ws ws_0001 --json", &damaged).text();
    let texts: Vec<_> = json.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["text"].clone()).collect();
    assert_eq!(texts, ["first", "fourth needle"]);
}

/// Changes a byte in the content of an entry.
fn damage(file: &Path, name: &str) {
    let bytes = fs::read(file).unwrap();
    let at = bytes.windows(name.len()).position(|window| window == name.as_bytes()).unwrap();
    let extra_len = u16::from_le_bytes([bytes[at - 2], bytes[at - 1]]);
    let content = at + name.len() + usize::from(extra_len) + 5;
    let file = File::options().write(true).open(file).unwrap();
    file.write_all_at(&[!bytes[content]], content as u64).unwrap();
}

#[test]
fn inspect_names_damage_at_once_while_it_follows_a_capture() {
    let dir = TempDir::new();
    let origin = Origin::plain(|mut connection| {
        let head = connection.read_head();
        if head.contains("Upgrade") {
            connection.send(handshake("").1);
            connection.read_exactly(frame(0x81, Some([1; 4]), b"hello").len());
            connection.send(frame(0x81, None, b"damaged"));
        } else {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        connection.read_to_end();
    });
    let running = Spectral::capture(&dir, &[]);
    let host = origin.authority("127.0.0.1");
    Connection::to(running.addr).request(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    let mut websocket = Connection::to(running.addr);
    websocket.send(format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    websocket.read_head();
    websocket.send(handshake("").0);
    websocket.read_head();
    websocket.send(frame(0x81, Some([1; 4]), b"hello"));
    let part = dir.join("capture.zip.part");
    for name in ["traces/t_0001.json", "ws/ws_0001_m001.json", "ws/ws_0001_m002.json"] {
        wait_until_written(&part, name);
    }
    ["traces/t_0001.json", "ws/ws_0001_m002.json"].iter().for_each(|name| damage(&part, name));
    let follow = |args: &[&str]| {
        let mut command = command(&dir, &["capture", "inspect", "capture.zip", "--follow"]);
        let child = command.args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut child = BackgroundProcess(child);
        let lines = BufReader::new(child.0.stderr.take().unwrap()).lines().map_while(Result::ok);
        (child, lines)
    };
    let warning = |id: &str| format!("spectral: warning: 1 item left out, since it is damaged: {id}");
    let (mut list, mut of_list) = follow(&[]);
    let (mut messages, mut of_messages) = follow(&["--ws", "ws_0001", "--json"]);
    assert!(of_list.any(|line| line == warning("t_0001")), "while the capture runs");
    assert!(of_messages.any(|line| line == warning("ws_0001_m002")));
    assert_eq!(running.interrupt().code, Some(0));
    // All are named together at the end.
    assert!(of_list.any(|line| line == warning("t_0001")));
    assert!(of_messages.any(|line| line == warning("ws_0001_m002")));
    for child in [&mut list, &mut messages] {
        assert_eq!(wait(&mut child.0).unwrap().code(), Some(1));
    }
}

#[test]
fn merge_leaves_out_what_it_cannot_read() {
    let dir = TempDir::new();
    write_bundle(&dir);
    let ids = ["t_0003", "t_0004", "t_0009", "ws_0001_m003", "ws_0002"];
    let merged = leaves_out(&dir, "capture merge a.zip -o b.zip", &ids).text();
    assert!(merged.contains("6 exchanges, 2 WebSockets, 4 messages"), "{merged}");
    // Damaged bodies are copied, so that nothing is lost.
    leaves_out(&dir, "capture inspect b.zip --grep nowhere", &["t_0002", "t_0005", "t_0007", "t_0008", "ws_0001"]);
    // Another part of the capture has one of them undamaged.
    let mut part = Writer::new(&dir, "part.zip");
    part.exchange("t_0003", None, None);
    part.finish(&[], &[]);
    let merged = leaves_out(&dir, "capture merge a.zip part.zip a.zip -o c.zip --host a.test", &ids[1..]).text();
    assert!(merged.contains("7 exchanges, 2 WebSockets, 4 messages"), "{merged}");
}

#[test]
fn redact_leaves_out_what_it_cannot_read() {
    let dir = TempDir::new();
    write_bundle(&dir);
    let ids = ["t_0003", "t_0004", "t_0009", "ws_0001_m003", "ws_0002"];
    let redacted = leaves_out(&dir, "capture redact a.zip -o b.zip", &ids).text();
    assert!(redacted.contains("6 exchanges, 2 WebSockets"), "{redacted}");
    // Damaged bodies cannot be searched.
    let bodies =
        "5 bodies or messages: t_0002 response, t_0005 response, t_0007 response, t_0008 request, ws_0001_m002\n";
    assert!(redacted.contains(bodies), "{redacted}");
    let output = spectral(&dir, &["capture", "inspect", "b.zip", "--grep", "nowhere"]);
    assert_eq!((output.err.as_str(), output.code), ("", Some(0)), "nothing is damaged");
    let output = spectral(&dir, &["capture", "export", "a.zip", "--redact", "--format", "har", "-o", "a.har"]);
    let end = format!("warning: 5 items left out, since they are damaged: {}\n", ids.join(", "));
    assert!(output.code == Some(1) && output.err.ends_with(&end), "{}", output.err);
    let output = spectral(&dir, &["capture", "redact", "--check", "a.zip"]);
    assert_eq!(output.code, Some(1));
    let end = "a.zip has 5 bodies or messages that cannot be searched and 5 items that cannot be read\n";
    assert!(output.err.contains("t_0003, t_0004, t_0009, ws_0001_m003, ws_0002\n") && output.err.ends_with(end));
}

#[test]
fn the_first_ten_damaged_items_are_named() {
    let dir = TempDir::new();
    let mut bundle = Writer::new(&dir, "a.zip");
    (1..=12).for_each(|n| bundle.add(&format!("traces/t_{n:04}.json"), b"{", STORED));
    bundle.finish(&[], &[]);
    let output = spectral(&dir, &["capture", "export", "a.zip", "--format", "har"]);
    assert!(output.err.starts_with("spectral: warning: 12 items left out, since they are damaged: t_0001, "));
    assert!(output.err.ends_with(", t_0010 and 2 more\n"), "{}", output.err);
    assert_eq!(serde_json::from_slice::<Value>(&output.out).unwrap()["log"]["entries"], json!([]));
}
