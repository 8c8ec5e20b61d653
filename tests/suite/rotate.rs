//! `--rotate` and `--keep`: a capture writes several bundles. Each is complete, and they merge to one.

use crate::support::bundle::Bundle;
use crate::support::cli::{Spectral, spectral};
use crate::support::websocket_frames::{frame, handshake};
use crate::support::{Connection, Message, Origin, TempDir, eventually, next_request};
use nix::sys::signal::Signal;

const BODY_BYTES: usize = 50_000;

/// Starts an origin that answers requests with bytes that do not compress, and text messages of four bytes with "pong".
fn origin() -> Origin {
    let noise: Vec<u8> = (0..BODY_BYTES as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: {BODY_BYTES}\r\n\r\n");
    let response = [head.as_bytes(), &noise].concat();
    Origin::plain(move |mut connection| {
        let Some((request, _)) = next_request(&mut connection) else { return };
        if request.contains("Upgrade: WebSocket") {
            connection.send(handshake("").1);
            // A masked frame with four bytes has ten.
            while connection.reader.has_more() {
                connection.read_exactly(10);
                if connection.writer.try_send(&frame(0x81, None, b"pong")).is_err() {
                    return;
                }
            }
            return;
        }
        while connection.writer.try_send(&response).is_ok() && next_request(&mut connection).is_some() {}
    })
}

/// A client with an open WebSocket and a connection for requests.
struct Client {
    host: String,
    websocket: Connection,
    requests: Connection,
    sent: usize,
}

impl Client {
    fn new(running: &Spectral, origin: &Origin) -> Self {
        let host = origin.authority("127.0.0.1");
        let mut websocket = Connection::to(running.addr);
        websocket.send(handshake("").0.replace("/raw", &format!("http://{host}/raw")));
        websocket.read_head();
        Self { host, websocket, requests: Connection::to(running.addr), sent: 0 }
    }

    /// Sends a message and a request, and waits for both answers.
    fn step(&mut self) {
        self.websocket.send(frame(0x81, Some([1, 2, 3, 4]), format!("{:04}", self.sent).as_bytes()));
        self.websocket.read_exactly(6);
        let Self { host, sent, .. } = self;
        let response = self.requests.request(format!("GET http://{host}/{sent} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(response.body.len(), BODY_BYTES);
        self.sent += 1;
    }

    /// Returns the messages of the first `steps` steps.
    fn messages(steps: usize) -> Vec<Message> {
        let pair = |n| [Message::sent("text", format!("{n:04}")), Message::received("text", "pong")];
        (0..steps).flat_map(pair).collect()
    }
}

/// Returns the names of the finished bundles in `dir`.
fn finished(dir: &TempDir) -> Vec<String> {
    dir.names().into_iter().filter(|name| name.starts_with("capture-") && name.ends_with(".zip")).collect()
}

/// Merges bundles of one capture and opens the result. Each of them is checked, too.
#[track_caller]
fn merged(dir: &TempDir, bundles: &[String]) -> Bundle {
    let mut args = vec!["capture", "merge", "-o", "merged.zip"];
    args.extend(bundles.iter().rev().map(String::as_str));
    spectral(dir, &args).ok();
    let merged = Bundle::open(&dir.join("merged.zip"));
    for name in bundles {
        let part = Bundle::open(&dir.join(name));
        assert_eq!(part.manifest["capture_id"], merged.manifest["capture_id"], "{name}");
        for websocket in &part.websockets {
            // The handshake is in each bundle with messages.
            let handshake = websocket.json["handshake_trace_ref"].as_str().unwrap();
            assert_eq!(part.traces.iter().filter(|trace| trace.id() == handshake).count(), 1, "{name}");
        }
    }
    merged
}

#[test]
fn rotates_at_a_size_and_merges_to_one_bundle() {
    let (dir, origin) = (TempDir::new(), origin());
    let running = Spectral::capture(&dir, &["--rotate", "200K"]);
    running.wait_for_line("capture-NNNN.zip, a new one every 205 kB");
    let mut client = Client::new(&running, &origin);
    let mut steps = 0;
    while finished(&dir).len() < 3 {
        client.step();
        steps += 1;
        assert!(steps < 1000, "{:?}", dir.names());
    }
    running.wait_for_line("bundle capture-0003.zip finished: ");
    let output = running.interrupt();
    assert_eq!(output.code, Some(0), "{}", output.err);
    let names = finished(&dir);
    let bundles = format!("Capture written to {} bundles", names.len());
    // The last ones are listed. There are more than three if the disk was slow.
    let last = format!("\n  {}\n", names.iter().max().unwrap());
    assert!(output.err.contains(&bundles) && output.err.contains(&last), "{}", output.err);
    assert!(output.err.contains(&format!("{} exchanges, 1 WebSocket, {} messages", steps + 1, 2 * steps)));
    assert!(dir.names().iter().all(|name| !name.ends_with(".part")));
    let whole = merged(&dir, &names);
    assert_eq!(whole.traces.len(), steps + 1);
    assert!(whole.traces.iter().skip(1).all(|trace| trace.response_body.len() == BODY_BYTES));
    assert_eq!(whole.only_websocket().messages, Client::messages(steps));
    let events = whole.timeline["events"].as_array().unwrap();
    assert!(events.is_sorted_by_key(|event| event["timestamp"].as_u64()));
    assert_eq!(whole.manifest["app"]["name"], "merged");
    // Ids count on.
    let ids: Vec<_> = whole.traces.iter().map(|trace| trace.id().to_owned()).collect();
    assert_eq!(ids, (1..=steps + 1).map(|n| format!("t_{n:04}")).collect::<Vec<_>>());
    let second = Bundle::open(&dir.join("capture-0002.zip"));
    assert!((200 << 10..600 << 10).contains(&std::fs::metadata(dir.join("capture-0002.zip")).unwrap().len()));
    assert_eq!(second.manifest["app"]["name"], "capture-0002");
    // The tools read one of several bundles like any other.
    let listed = spectral(&dir, &["capture", "inspect", "capture-0002.zip"]).ok().text();
    assert!(listed.contains("ws_0001"), "{listed}");
    spectral(&dir, &["capture", "redact", "capture-0002.zip", "-o", "redacted.zip"]).ok();
    spectral(&dir, &["capture", "export", "capture-0002.zip", "--format", "har", "-o", "second.har"]).ok();
}

#[test]
fn rotates_by_the_clock_and_keeps_the_last_bundles() {
    let (dir, origin) = (TempDir::new(), origin());
    dir.write("capture-0004.zip", "of an earlier capture");
    let running = Spectral::capture(&dir, &["--rotate", "1s", "--keep", "1"]);
    let mut client = Client::new(&running, &origin);
    client.step();
    // No more traffic is needed.
    let exists = |name: &str| eventually(|| dir.join(name).exists().then_some(()), || format!("{:?}", dir.names()));
    exists("capture-0005.zip");
    client.step();
    exists("capture-0006.zip");
    running.wait_for_line("bundle capture-0005.zip deleted (--keep)");
    let output = running.interrupt();
    assert_eq!(output.code, Some(0), "{}", output.err);
    let expected = "Capture written to 2 bundles, of which 1 was deleted (--keep)\n  capture-0006.zip\n";
    assert!(output.err.contains(expected), "{}", output.err);
    assert_eq!(finished(&dir), ["capture-0004.zip", "capture-0006.zip"]);
    assert_eq!(std::fs::read(dir.join("capture-0004.zip")).unwrap(), b"of an earlier capture");
    let last = Bundle::open(&dir.join("capture-0006.zip"));
    assert_eq!(last.only_websocket().messages, Client::messages(2)[2..]);
    assert_eq!(last.only_websocket().json["message_count"], 2);
}

#[test]
fn a_killed_capture_leaves_complete_bundles_and_one_to_recover() {
    let (dir, origin) = (TempDir::new(), origin());
    let running = Spectral::capture(&dir, &["-q", "--rotate", "100K"]);
    let mut client = Client::new(&running, &origin);
    while finished(&dir).len() < 4 {
        client.step();
    }
    running.signal(Signal::SIGKILL);
    running.wait_for_exit();
    let parts: Vec<_> = dir.names().into_iter().filter(|name| name.ends_with(".part")).collect();
    assert!(!parts.is_empty());
    for part in parts {
        if std::fs::metadata(dir.join(&part)).unwrap().len() > 0 {
            spectral(&dir, &["capture", "recover", &part]).ok();
        }
    }
    let whole = merged(&dir, &finished(&dir));
    // Only the last ones may have been in memory.
    let (exchanges, messages) = (whole.traces.len() - 1, &whole.only_websocket().messages);
    assert!((3..=client.sent).contains(&exchanges) && messages.len() >= 6, "{exchanges} of {}", client.sent);
    assert_eq!(*messages, Client::messages(client.sent)[..messages.len()], "no message is missing in between");
    let urls: Vec<_> = whole.urls().into_iter().skip(1).map(|url| url.rsplit_once('/').unwrap().1.to_owned()).collect();
    assert_eq!(urls, (0..exchanges).map(|n| n.to_string()).collect::<Vec<_>>());
}
