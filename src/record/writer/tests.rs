//! Writes bundles from handmade items, reads them back, and checks them against the bundle format.

use super::error_log::{MAX_FOUR_DIGITS, MAX_THREE_DIGITS};
use super::*;
use crate::bundle::format::{Header, Timing, text};
use crate::bundle::id::Id;
use crate::bundle::reader::Bundle;
use crate::coding::testing::gz;
use crate::notice::{Notice, Warning};
use crate::record::body::Body;
use crate::record::item::WebSocketHandshake;
use crate::record::queue::{Sender, queue};
use crate::wire::headers::Headers;
use crate::wire::message::{ResponseHead, Version};
use crate::wire::tap::{Dir, Opcode, PayloadEncoding};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

mod cut_off;
mod faults;
mod forced_end;
mod packing;
mod pausing;
mod replacing;
#[cfg(feature = "tools")] // The bundles are merged.
mod rotation;
mod unpacking;

/// The defaults of the command line.
fn limits() -> CaptureLimits {
    CaptureLimits { memory: Arc::new(Memory::new(64 << 20)), max_body: 1 << 30, rotate: None, keep: None }
}

/// A writer that runs on the test's thread, and a folder that is removed at the end.
struct Capture {
    folder: PathBuf,
    writer: Option<Writer>,
    store: Arc<BodyStore>,
    notices: Arc<Mutex<Vec<String>>>,
}

impl Capture {
    /// `name` distinguishes the folders of a test, the thread those of a process.
    fn new(name: &str) -> Self {
        let thread = std::thread::current().id();
        let folder = std::env::temp_dir().join(format!("spectral-writer-{name}-{}-{thread:?}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        Self::within(folder)
    }

    fn within(folder: PathBuf) -> Self {
        Self::with_limits(folder, limits())
    }

    fn with_limits(folder: PathBuf, limits: CaptureLimits) -> Self {
        let notices = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&notices);
        let observer = Observer::new(move |notice| {
            let line = match notice {
                Notice::Exchange { id, method, url, status, size, total_ms, .. } => {
                    format!("{id} {method} {url} {status} {size} {total_ms}")
                }
                Notice::WebSocket { id, url, messages, .. } => format!("{id} {url} {messages}"),
                Notice::Warning(warning) => warning.to_string(),
                other => format!("{other:?}"),
            };
            log.lock().unwrap().push(line);
        });
        let writer = Writer::create(
            OutputFile::Path(&folder.join("my app.zip")),
            SpillPlace::beside(&folder.join("my app.zip")),
            limits,
            observer,
            Moment::now(),
        )
        .unwrap();
        let store = Arc::clone(writer.store());
        Self { folder, writer: Some(writer), store, notices }
    }

    fn output(&self) -> PathBuf {
        self.folder.join("my app.zip")
    }

    fn body(&self, bytes: &[u8]) -> Body {
        let mut body = Body::new(&self.store);
        body.push(bytes);
        body
    }

    fn exchange(&self, started_ms: u64, url: &str) -> Exchange {
        Exchange {
            started_ms,
            url: url.into(),
            method: "GET".into(),
            request_headers: Headers::default(),
            request_body: self.body(b""),
            response: Ok(ResponseHead {
                status: 200,
                reason: b"OK".into(),
                version: Version::Http11,
                headers: Headers::default(),
                is_ambiguous: false,
            }),
            response_body: self.body(b""),
            timing: Timing::default(),
            websocket: None,
            cut_off: None,
        }
    }

    fn handshake(&self, started_ms: u64, url: &str, key: u64, protocol: Option<&str>) -> Item {
        let mut exchange = self.exchange(started_ms, url);
        exchange.response.as_mut().unwrap().status = 101;
        exchange.websocket = Some(WebSocketHandshake { key: WebSocketKey(key), protocol: protocol.map(String::from) });
        item(exchange)
    }

    fn message(&self, key: u64, ended_ms: u64, dir: Dir, opcode: Opcode, payload: &[u8]) -> Item {
        let (websocket, payload) = (WebSocketKey(key), self.body(payload));
        let (encoding, cut_off) = (None, None);
        Item::Message(WebSocketMessage { websocket, ended_ms, dir, opcode, payload, encoding, cut_off })
    }

    /// Runs the writer to its end with the items that `send` sends.
    fn run(&mut self, send: impl FnOnce(&Self, &Sender<Item>)) -> WriterSummary {
        let writer = self.writer.take().unwrap();
        let (sender, receiver) = queue();
        send(self, &sender);
        drop(sender);
        writer.run(&receiver)
    }

    /// Writes and commits one item now.
    fn write(&mut self, item: Item) {
        let writer = self.writer.as_mut().unwrap();
        writer.attempt(|writer| writer.write(item));
        writer.commit();
    }

    /// Returns the bytes that count as queued.
    fn queued_bytes(&self) -> usize {
        self.writer.as_ref().unwrap().queued.held()
    }

    fn notices(&self) -> Vec<String> {
        self.notices.lock().unwrap().clone()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn item(exchange: Exchange) -> Item {
    Item::Exchange(Box::new(exchange))
}

/// Opens a finished bundle and checks it against the bundle format.
#[track_caller]
fn open_checked(summary: &WriterSummary) -> Bundle {
    let path = summary.bundle.as_deref().expect("a bundle");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/check_bundle.py");
    if let Ok(output) = Command::new("python3").arg(script).arg(path).output() {
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    }
    let bundle = Bundle::open(path).unwrap();
    let stats = &bundle.manifest().stats;
    assert_eq!((stats.trace_count, stats.ws_connection_count), (summary.exchanges, summary.websockets));
    assert_eq!(stats.ws_message_count, summary.messages);
    let events = bundle.timeline().unwrap().events;
    assert_eq!(events.len() as u64, summary.exchanges + summary.websockets + summary.messages);
    bundle
}

#[test]
fn an_empty_capture_is_a_bundle() {
    let mut capture = Capture::new("empty");
    let summary = capture.run(|_, _| ());
    let bundle = open_checked(&summary);
    let manifest = bundle.manifest();
    assert_eq!(manifest.format_version, "1.0.0");
    assert_eq!((manifest.app.name.as_str(), manifest.app.title.as_str()), ("my app", "my app"));
    assert_eq!(manifest.app.base_url, "");
    assert_eq!(manifest.capture_method.as_deref(), Some("proxy"));
    assert!(summary.warnings.is_empty() && summary.lost == 0);
}

#[test]
fn an_unused_writer_deletes_its_file() {
    let mut capture = Capture::new("unused");
    let files = |c: &Capture| fs::read_dir(&c.folder).unwrap().count();
    assert_eq!(files(&capture), 1);
    capture.writer = None;
    assert_eq!(files(&capture), 0);
}

#[test]
fn writes_an_exchange_unchanged() {
    let mut capture = Capture::new("exchange");
    let summary = capture.run(|c, items| {
        let mut exchange = c.exchange(1_795_338_410_216, "https://API.test/a?b=%20ü");
        exchange.method = "POST".into();
        exchange.request_headers.push(b"X-Odd", b" caf\xe9 ");
        exchange.request_headers.push(b"x-odd", "grün".as_bytes());
        exchange.request_body = c.body(b"{}");
        let response = exchange.response.as_mut().unwrap();
        response.status = 404;
        response.reason = b"Nicht gef\xfcnden".into();
        response.headers.push(b"Content-Encoding", b"gzip");
        let gzip = gz(&[b'x'; 1000]);
        exchange.response_body = c.body(&gzip);
        exchange.timing =
            Timing { dns_ms: 1.5, connect_ms: f64::NAN, tls_ms: -1.0, total_ms: 12.0, ..Timing::default() };
        items.send(item(exchange)).unwrap();
        assert!(gzip.len() < 100);
    });
    let bundle = open_checked(&summary);
    let trace = bundle.trace("t_0001").unwrap();
    assert_eq!((trace.id.as_str(), trace.timestamp, trace.r#type.as_str()), ("t_0001", 1_795_338_410_216, "http"));
    let header = |name: &str, value: &str| Header::new(name.as_bytes(), value.as_bytes()).owned();
    assert_eq!(trace.request.headers, [header("X-Odd", "café"), header("x-odd", "grün")]);
    assert_eq!(trace.request.url, "https://API.test/a?b=%20ü");
    assert_eq!((trace.request.body_file.as_deref(), trace.request.body_size), (Some("t_0001_request.bin"), 2));
    assert_eq!((trace.response.status, trace.response.status_text.as_str()), (404, "Nicht gefünden"));
    assert_eq!((trace.response.body_size, trace.response.body_encoding.as_deref()), (1000, None));
    assert_eq!((trace.timing.dns_ms, trace.timing.connect_ms, trace.timing.tls_ms), (1.5, 0.0, 0.0));
    assert_eq!((trace.initiator.r#type.as_str(), trace.initiator.url.as_deref()), ("proxy", None));
    assert_eq!(bundle.request_body(&trace).unwrap(), b"{}");
    assert_eq!(bundle.response_body(&trace).unwrap(), [b'x'; 1000]);
    let notices = capture.notices();
    assert_eq!(notices.len(), 1);
    assert_eq!(notices, ["t_0001 POST https://API.test/a?b=%20ü 404 1000 12"], "the notice has the decoded size");
}

#[test]
fn stores_bodies_that_do_not_decode_with_their_codings() {
    let mut capture = Capture::new("undecoded");
    let summary = capture.run(|c, items| {
        let mut exchange = c.exchange(1, "http://a.test/");
        exchange.request_headers.push(b"content-encoding", b"aws-chunked");
        exchange.request_body = c.body(b"5;chunk-signature=x");
        exchange.response.as_mut().unwrap().headers.push(b"Content-Encoding", b"gzip");
        exchange.response_body = c.body(b"not gzip");
        items.send(item(exchange)).unwrap();
        // The response to HEAD has a coding and no body.
        let mut exchange = c.exchange(2, "http://a.test/");
        exchange.response.as_mut().unwrap().headers.push(b"Content-Encoding", b"gzip");
        items.send(item(exchange)).unwrap();
    });
    let bundle = open_checked(&summary);
    let trace = bundle.trace("t_0001").unwrap();
    assert_eq!(trace.request.body_encoding.as_deref(), Some("aws-chunked"));
    assert_eq!(trace.response.body_encoding.as_deref(), Some("gzip"));
    assert_eq!(bundle.response_body(&trace).unwrap(), b"not gzip");
    let head = bundle.trace("t_0002").unwrap().response;
    assert_eq!((head.body_file, head.body_size, head.body_encoding), (None, 0, None));
}

#[test]
fn status_text_has_the_reason_for_a_missing_response() {
    let mut capture = Capture::new("noanswer");
    let summary = capture.run(|c, items| {
        let mut exchange = c.exchange(1, "http://a.test/");
        exchange.response = Err("the origin closed the connection".into());
        items.send(item(exchange)).unwrap();
    });
    let response = open_checked(&summary).trace("t_0001").unwrap().response;
    assert_eq!((response.status, response.status_text.as_str()), (0, "the origin closed the connection"));
    assert!(response.headers.is_empty() && response.body_file.is_none());
}

#[test]
fn writes_large_bodies_completely() {
    let mut capture = Capture::new("large");
    let large: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let summary = capture.run(|c, items| {
        for kind in ["application/json", "image/png", "image/svg+xml"] {
            let mut exchange = c.exchange(1, "http://a.test/");
            exchange.response.as_mut().unwrap().headers.push(b"Content-Type", kind.as_bytes());
            exchange.response_body = c.body(&large);
            items.send(item(exchange)).unwrap();
        }
    });
    let bundle = open_checked(&summary);
    for id in ["t_0001", "t_0002", "t_0003"] {
        let trace = bundle.trace(id).unwrap();
        assert!(bundle.response_body(&trace).unwrap() == large);
    }
}

#[test]
fn the_timeline_follows_start_times_and_ids_follow_completion() {
    let mut capture = Capture::new("timeline");
    let summary = capture.run(|c, items| {
        for started in [30, 10, 20, 10] {
            items.send(item(c.exchange(started, "http://a.test/"))).unwrap();
        }
    });
    let events = open_checked(&summary).timeline().unwrap().events;
    let order: Vec<_> = events.iter().map(|e| (e.timestamp, e.r#ref.as_str())).collect();
    assert_eq!(order, [(10, "t_0002"), (10, "t_0004"), (20, "t_0003"), (30, "t_0001")]);
}

#[test]
fn the_base_url_is_the_origin_with_the_most_traces() {
    for (urls, base) in [
        (&["https://b.test/x", "http://a.test/1", "https://b.test"][..], "https://b.test"),
        (&["https://b.test/x", "https://a.test:8443?q#f", "http://c.test/"], "http://c.test"),
        (&["https://b.test/x", "https://a.test:8443?q#f"], "https://a.test:8443"),
        (&["wss://[::1]:9/x"], "wss://[::1]:9"),
    ] {
        let mut capture = Capture::new("base");
        let summary = capture.run(|c, items| {
            for url in urls {
                items.send(item(c.exchange(1, url))).unwrap();
            }
        });
        assert_eq!(open_checked(&summary).manifest().app.base_url, base);
    }
}

#[test]
fn writes_websockets_with_handshake_and_messages() {
    let mut capture = Capture::new("websockets");
    let summary = capture.run(|c, items| {
        let send = |item| items.send(item).unwrap();
        send(item(c.exchange(1, "https://a.test/")));
        send(c.handshake(2, "wss://a.test/chat", 77, Some("graphql-ws")));
        send(c.handshake(3, "ws://b.test/", 5, None));
        send(c.message(5, 9, Dir::Down, Opcode::Binary, &[0; 300_000]));
        send(c.message(77, 10, Dir::Up, Opcode::Text, "grüß".as_bytes()));
        send(c.message(77, 11, Dir::Down, Opcode::Ping, b""));
        send(c.message(77, 12, Dir::Up, Opcode::Pong, b"x"));
        send(c.message(77, 13, Dir::Down, Opcode::Close, &[0x03, 0xe8]));
        send(Item::WebSocketEnd { websocket: WebSocketKey(77), why: None });
        // The other WebSocket is open when the capture ends.
        send(Item::CaptureEnd);
    });
    assert_eq!((summary.exchanges, summary.websockets, summary.messages, summary.lost), (3, 2, 5, 0));
    let bundle = open_checked(&summary);
    let first = bundle.websocket("ws_0001").unwrap();
    assert_eq!((first.timestamp, first.url.as_str()), (2, "wss://a.test/chat"));
    assert_eq!((first.handshake_trace_ref.as_deref(), first.message_count), (Some("t_0002"), 4));
    assert_eq!(first.protocols, ["graphql-ws"]);
    let second = bundle.websocket("ws_0002").unwrap();
    assert_eq!((second.handshake_trace_ref.as_deref(), second.message_count), (Some("t_0003"), 1));
    assert!(second.protocols.is_empty());
    let ids: Vec<_> = bundle.messages("ws_0001").iter().map(String::from).collect();
    let seen: Vec<_> = ids
        .iter()
        .map(|id| {
            let message = bundle.message(id).unwrap();
            let payload = bundle.payload(&message).unwrap();
            format!("{id} {} {} {:?} {payload:?}", message.direction, message.opcode, message.payload_file)
        })
        .collect();
    assert_eq!(
        seen,
        [
            "ws_0001_m001 send text Some(\"ws_0001_m001.bin\") [103, 114, 195, 188, 195, 159]",
            "ws_0001_m002 receive ping None []",
            "ws_0001_m003 send pong Some(\"ws_0001_m003.bin\") [120]",
            "ws_0001_m004 receive close Some(\"ws_0001_m004.bin\") [3, 232]",
        ]
    );
    let message = bundle.message("ws_0002_m001").unwrap();
    assert_eq!(bundle.payload(&message).unwrap().len(), 300_000);
    assert_eq!(capture.notices()[3..], ["ws_0001 wss://a.test/chat 4", "ws_0002 ws://b.test/ 1"]);
}

#[test]
fn warns_about_the_unfinished_bundle_of_an_interrupted_capture_and_keeps_it() {
    let mut capture = Capture::new("crashed");
    capture.writer = None;
    let unfinished = capture.folder.join("my app.zip.part");
    fs::write(&unfinished, b"of another").unwrap();
    let mut second = Capture::within(capture.folder.clone());
    let summary = second.run(|_, _| ());
    assert!(matches!(&summary.warnings[..], [Warning::Leftover { path }] if *path == unfinished));
    assert_eq!(fs::read(unfinished).unwrap(), b"of another");
}

#[test]
fn warns_about_the_unfinished_bundle_of_a_running_capture() {
    let first = Capture::new("others");
    let mut second = Capture::within(first.folder.clone());
    let summary = second.run(|_, _| ());
    assert!(summary.bundle.is_some());
    assert!(summary.warnings[0].to_string().contains("another running capture writes "), "{:?}", summary.warnings);
    assert_eq!(second.notices(), [summary.warnings[0].to_string()]);
}

#[test]
fn ids_grow_past_their_usual_digits_with_a_warning() {
    let mut capture = Capture::new("wide");
    let writer = capture.writer.as_mut().unwrap();
    writer.last_exchange = MAX_FOUR_DIGITS - 1;
    capture.write(capture.handshake(1, "ws://a.test/", 1, None));
    capture.writer.as_mut().unwrap().open_websockets.get_mut(&WebSocketKey(1)).unwrap().last_message = MAX_THREE_DIGITS;
    capture.write(item(capture.exchange(2, "http://a.test/")));
    capture.write(capture.message(1, 3, Dir::Up, Opcode::Text, b"x"));
    let summary = capture.run(|_, _| ());
    assert_eq!(summary.warnings.len(), 2, "{:?}", summary.warnings);
    assert!(summary.warnings[0].to_string().starts_with("more than 9999 exchanges"));
    assert!(summary.warnings[1].to_string().starts_with("more than 999 messages on one WebSocket"));
    let bundle = Bundle::open(summary.bundle.unwrap()).unwrap();
    assert_eq!(bundle.traces().iter().collect::<Vec<_>>(), ["t_9999", "t_10000"]);
    assert_eq!(bundle.messages("ws_0001").iter().collect::<Vec<_>>(), ["ws_0001_m1000"]);
}

#[test]
fn writes_a_valid_bundle_from_unusual_text() {
    let mut capture = Capture::new("odd");
    let summary = capture.run(|c, items| {
        let mut exchange = c.exchange(u64::MAX >> 1, "http://a.test/\u{7f}\u{202e}\u{1}\u{feff}\"");
        exchange.method = "M-SEARCH".into();
        exchange.request_headers.push(b"\xff\xfe", b"\x00\x1b[31m\xc2");
        exchange.response.as_mut().unwrap().reason = b"\xf0\x9f\x98\x80 \xed\xa0\x80".into();
        exchange.response.as_mut().unwrap().headers.push(b"content-encoding", b"\xff\x00, ,;,");
        exchange.response_body = c.body(&[0xff; 10]);
        items.send(item(exchange)).unwrap();
    });
    let trace = open_checked(&summary).trace("t_0001").unwrap();
    assert_eq!(trace.request.headers, [Header::new("ÿþ".as_bytes(), "\0\u{1b}[31mÂ".as_bytes()).owned()]);
    assert_eq!(trace.response.body_encoding.as_deref(), Some("ÿ\0"));
}
