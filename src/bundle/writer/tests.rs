//! Bundles of many kinds from items made by hand, each read back and checked against the contract.

use super::*;
use crate::bundle::archive::Packing;
use crate::bundle::archive::scan::{Scan, Step};
use crate::bundle::archive::sink::faults::{DISK_IS_FULL, NO_SYNC, STEPS};
use crate::bundle::body::Body;
use crate::bundle::format::{Header, text};
use crate::bundle::item::Opens;
use crate::bundle::item::Timing;
use crate::bundle::queue::{Sender, queue};
use crate::bundle::reader::Bundle;
use crate::wire::message::Headers;
use crate::wire::message::{RequestHead, ResponseHead, Version};
use crate::wire::tap::{Dir, Opcode};
use std::fs;
use std::io::Write as _;
use std::process::Command;
use std::sync::Mutex;

/// What the command line has by default.
const LIMITS: Limits = Limits { memory: 64 << 20, max_body: 1 << 30 };

/// A capture whose items are written by this very thread, in a folder that is gone at its end.
struct Capture {
    folder: PathBuf,
    writer: Option<Writer>,
    store: Arc<Store>,
    notices: Arc<Mutex<Vec<String>>>,
}

impl Capture {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("spectral-writer-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        Self::within(folder)
    }

    fn within(folder: PathBuf) -> Self {
        let notices = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&notices);
        let observer = Observer::new(move |notice| {
            let line = match notice {
                Notice::Exchange { id, method, url, status, size, total_ms } => {
                    format!("{id} {method} {url} {status} {size} {total_ms}")
                }
                Notice::Socket { id, url, messages } => format!("{id} {url} {messages}"),
                Notice::Trouble { what } => what.clone(),
                other => format!("{other:?}"),
            };
            told.lock().unwrap().push(line);
        });
        let writer = Writer::create(&folder.join("my app.zip"), LIMITS, observer, Moment::now()).unwrap();
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

    fn exchange(&self, started: u64, url: &str) -> Exchange {
        Exchange {
            started,
            url: url.into(),
            request: RequestHead {
                method: "GET".into(),
                target: b"/".to_vec(),
                version: Version::Http11,
                scheme: None,
                authority: None,
                headers: Headers::default(),
            },
            request_body: self.body(b""),
            response: Ok(ResponseHead {
                status: 200,
                reason: b"OK".to_vec(),
                version: Version::Http11,
                headers: Headers::default(),
            }),
            response_body: self.body(b""),
            timing: Timing::default(),
            opens: None,
        }
    }

    fn handshake(&self, started: u64, url: &str, socket: u64, protocol: Option<&str>) -> Item {
        let mut exchange = self.exchange(started, url);
        exchange.response.as_mut().unwrap().status = 101;
        exchange.opens = Some(Opens { socket: SocketKey(socket), protocol: protocol.map(String::from) });
        item(exchange)
    }

    fn message(&self, socket: u64, at: u64, dir: Dir, opcode: Opcode, payload: &[u8]) -> Item {
        Item::Message(Message { socket: SocketKey(socket), at, dir, opcode, payload: self.body(payload) })
    }

    /// Lets the writer take what `send` sends, and nothing more.
    fn run(&mut self, send: impl FnOnce(&Self, &Sender<Item>)) -> Tally {
        let writer = self.writer.take().unwrap();
        let (sender, receiver) = queue();
        send(self, &sender);
        drop(sender);
        writer.run(&receiver)
    }

    /// One item now, as if it were all that came.
    fn take(&mut self, item: Item) {
        let writer = self.writer.as_mut().unwrap();
        writer.take(|writer| writer.write(item));
        writer.commit();
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

/// Opens a finished bundle, which must keep to the contract in every detail.
#[track_caller]
fn checked(tally: &Tally) -> Bundle {
    let path = tally.bundle.as_deref().expect("a bundle");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/check_bundle.py");
    if let Ok(output) = Command::new("python3").arg(script).arg(path).output() {
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    }
    let bundle = Bundle::open(path).unwrap();
    let stats = &bundle.manifest().stats;
    assert_eq!((stats.trace_count, stats.ws_connection_count), (tally.traces, tally.sockets));
    assert_eq!(stats.ws_message_count, tally.messages);
    let events = bundle.timeline().unwrap().events;
    assert_eq!(events.len() as u64, tally.traces + tally.sockets + tally.messages);
    bundle
}

#[test]
fn an_empty_capture_is_a_bundle() {
    let mut capture = Capture::new("empty");
    let tally = capture.run(|_, _| ());
    let bundle = checked(&tally);
    let manifest = bundle.manifest();
    assert_eq!(manifest.format_version, "1.0.0");
    assert_eq!((manifest.app.name.as_str(), manifest.app.title.as_str()), ("my app", "my app"));
    assert_eq!(manifest.app.base_url, "");
    assert_eq!(manifest.capture_method.as_deref(), Some("proxy"));
    assert!(tally.troubles.is_empty() && tally.lost == 0);
}

#[test]
fn an_unused_writer_leaves_nothing() {
    let mut capture = Capture::new("unused");
    let files = |c: &Capture| fs::read_dir(&c.folder).unwrap().count();
    assert_eq!(files(&capture), 1);
    capture.writer = None;
    assert_eq!(files(&capture), 0);
}

#[test]
fn an_exchange_is_written_as_it_was() {
    let mut capture = Capture::new("exchange");
    let tally = capture.run(|c, items| {
        let mut exchange = c.exchange(1_795_338_410_216, "https://API.test/a?b=%20ü");
        exchange.request.method = "POST".into();
        exchange.request.headers.push(b"X-Odd", b" caf\xe9 ");
        exchange.request.headers.push(b"x-odd", "grün".as_bytes());
        exchange.request_body = c.body(b"{}");
        let response = exchange.response.as_mut().unwrap();
        response.status = 404;
        response.reason = b"Nicht gef\xfcnden".to_vec();
        response.headers.push(b"Content-Encoding", b"gzip");
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&[b'x'; 1000]).unwrap();
        let gzip = gzip.finish().unwrap();
        exchange.response_body = c.body(&gzip);
        exchange.timing = Timing { dns: 1.5, connect: f64::NAN, tls: -1.0, total: 12.0, ..Timing::default() };
        items.send(item(exchange)).unwrap();
        assert!(gzip.len() < 100);
    });
    let bundle = checked(&tally);
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
    assert!(notices[0].starts_with("t_0001 POST https://API.test/a?b=%20ü 404 ") && notices[0].ends_with(" 12"));
    assert!(!notices[0].contains(" 1000 "), "the size is the received one: {}", notices[0]);
}

#[test]
fn bodies_that_do_not_decode_are_kept_and_named() {
    let mut capture = Capture::new("undecoded");
    let tally = capture.run(|c, items| {
        let mut exchange = c.exchange(1, "http://a.test/");
        exchange.request.headers.push(b"content-encoding", b"aws-chunked");
        exchange.request_body = c.body(b"5;chunk-signature=x");
        exchange.response.as_mut().unwrap().headers.push(b"Content-Encoding", b"gzip");
        exchange.response_body = c.body(b"not gzip");
        items.send(item(exchange)).unwrap();
        // The answer to a HEAD: a coding, and nothing to decode.
        let mut exchange = c.exchange(2, "http://a.test/");
        exchange.response.as_mut().unwrap().headers.push(b"Content-Encoding", b"gzip");
        items.send(item(exchange)).unwrap();
    });
    let bundle = checked(&tally);
    let trace = bundle.trace("t_0001").unwrap();
    assert_eq!(trace.request.body_encoding.as_deref(), Some("aws-chunked"));
    assert_eq!(trace.response.body_encoding.as_deref(), Some("gzip"));
    assert_eq!(bundle.response_body(&trace).unwrap(), b"not gzip");
    let head = bundle.trace("t_0002").unwrap().response;
    assert_eq!((head.body_file, head.body_size, head.body_encoding), (None, 0, None));
}

#[test]
fn without_an_answer_the_status_says_why() {
    let mut capture = Capture::new("noanswer");
    let tally = capture.run(|c, items| {
        let mut exchange = c.exchange(1, "http://a.test/");
        exchange.response = Err("the origin closed the connection");
        items.send(item(exchange)).unwrap();
    });
    let response = checked(&tally).trace("t_0001").unwrap().response;
    assert_eq!((response.status, response.status_text.as_str()), (0, "the origin closed the connection"));
    assert!(response.headers.is_empty() && response.body_file.is_none());
}

#[test]
fn a_large_body_is_written_whole() {
    let mut capture = Capture::new("large");
    let large: Vec<u8> = (0..3_000_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let tally = capture.run(|c, items| {
        for kind in ["application/json", "image/png", "image/svg+xml"] {
            let mut exchange = c.exchange(1, "http://a.test/");
            exchange.response.as_mut().unwrap().headers.push(b"Content-Type", kind.as_bytes());
            exchange.response_body = c.body(&large);
            items.send(item(exchange)).unwrap();
        }
    });
    let bundle = checked(&tally);
    for id in ["t_0001", "t_0002", "t_0003"] {
        let trace = bundle.trace(id).unwrap();
        assert!(bundle.response_body(&trace).unwrap() == large);
    }
}

#[test]
fn the_timeline_is_by_time_and_ids_by_completion() {
    let mut capture = Capture::new("timeline");
    let tally = capture.run(|c, items| {
        for started in [30, 10, 20, 10] {
            items.send(item(c.exchange(started, "http://a.test/"))).unwrap();
        }
    });
    let events = checked(&tally).timeline().unwrap().events;
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
        let tally = capture.run(|c, items| {
            for url in urls {
                items.send(item(c.exchange(1, url))).unwrap();
            }
        });
        assert_eq!(checked(&tally).manifest().app.base_url, base);
    }
}

#[test]
fn websockets_have_their_handshake_and_messages() {
    let mut capture = Capture::new("sockets");
    let tally = capture.run(|c, items| {
        let send = |item| items.send(item).unwrap();
        send(item(c.exchange(1, "https://a.test/")));
        send(c.handshake(2, "wss://a.test/chat", 77, Some("graphql-ws")));
        send(c.handshake(3, "ws://b.test/", 5, None));
        send(c.message(5, 9, Dir::Down, Opcode::Binary, &[0; 300_000]));
        send(c.message(77, 10, Dir::Up, Opcode::Text, "grüß".as_bytes()));
        send(c.message(77, 11, Dir::Down, Opcode::Ping, b""));
        send(c.message(77, 12, Dir::Up, Opcode::Pong, b"x"));
        send(c.message(77, 13, Dir::Down, Opcode::Close, &[0x03, 0xe8]));
        send(Item::SocketEnd(SocketKey(77)));
        // The other one is open when the capture ends.
        send(Item::Finish);
    });
    assert_eq!((tally.traces, tally.sockets, tally.messages, tally.lost), (3, 2, 5, 0));
    let bundle = checked(&tally);
    let first = bundle.socket("ws_0001").unwrap();
    assert_eq!((first.timestamp, first.url.as_str()), (2, "wss://a.test/chat"));
    assert_eq!((first.handshake_trace_ref.as_deref(), first.message_count), (Some("t_0002"), 4));
    assert_eq!(first.protocols, ["graphql-ws"]);
    let second = bundle.socket("ws_0002").unwrap();
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
fn a_full_disk_costs_what_came_meanwhile() {
    let mut capture = Capture::new("full");
    capture.take(item(capture.exchange(1, "http://before.test/")));
    capture.take(capture.handshake(2, "ws://a.test/", 1, None));
    capture.take(capture.message(1, 3, Dir::Up, Opcode::Text, b"before"));
    DISK_IS_FULL.set(true);
    capture.take(item(capture.exchange(4, "http://lost.test/")));
    capture.take(capture.message(1, 5, Dir::Up, Opcode::Text, b"lost"));
    capture.take(capture.handshake(6, "ws://b.test/", 2, None));
    capture.take(Item::SocketEnd(SocketKey(1)));
    DISK_IS_FULL.set(false);
    capture.take(capture.message(2, 7, Dir::Up, Opcode::Text, b"after"));
    let tally = capture.run(|c, items| items.send(item(c.exchange(8, "http://after.test/"))).unwrap());
    assert_eq!((tally.traces, tally.sockets, tally.messages, tally.lost), (3, 2, 2, 3));
    let bundle = checked(&tally);
    assert_eq!(
        bundle.traces().iter().collect::<Vec<_>>(),
        ["t_0001", "t_0002", "t_0005"],
        "what is lost takes its number along"
    );
    assert_eq!(bundle.trace("t_0005").unwrap().request.url, "http://after.test/");
    assert_eq!(bundle.socket("ws_0001").unwrap().message_count, 1);
    assert_eq!(bundle.socket("ws_0002").unwrap().handshake_trace_ref, None);
    assert_eq!(tally.troubles.len(), 1);
    assert!(tally.troubles[0].starts_with("3 exchanges or messages could not be written: "), "{:?}", tally.troubles);
    let troubles = capture.notices().iter().filter(|line| line.contains("could not be written")).count();
    assert_eq!(troubles, 1, "told once, not for each");
    // The socket's end is tried again, and so is not lost yet.
    let again = "the bundle can be written again; 3 exchanges or messages were lost";
    let notices = capture.notices();
    let told: Vec<_> = notices.iter().filter(|line| line.contains("again")).collect();
    assert_eq!(told, [again], "told once, when something was written");
    assert!(notices.iter().position(|line| line == again) < notices.iter().position(|line| line.contains("after")));
}

#[test]
fn a_disk_that_fails_at_any_step_costs_what_was_not_written() {
    NO_SYNC.set(true);
    let large: Vec<u8> = (0..400_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    // A write that fails, and one that fails twice, so that what it left cannot even be cut off.
    for bad in [1, 2] {
        let mut completed = 0;
        for good in 0.. {
            let mut capture = Capture::new("steps");
            STEPS.set(Some((good, bad)));
            for n in 0..4 {
                let mut exchange = capture.exchange(n, &format!("http://{n}.test/"));
                if n == 2 {
                    exchange.response.as_mut().unwrap().headers.push(b"Content-Type", b"image/png");
                    exchange.response_body = capture.body(&large);
                }
                capture.take(item(exchange));
            }
            capture.take(capture.handshake(5, "ws://a.test/", 1, None));
            capture.take(capture.message(1, 6, Dir::Up, Opcode::Text, b"x"));
            let tally = capture.run(|_, _| ());
            let was_reached = STEPS.take().is_none();
            let told: Vec<_> =
                capture.notices().iter().filter_map(|line| Some(line.split_once(" GET ")?.0.to_owned())).collect();
            assert_eq!(tally.traces, told.len() as u64);
            let bundle = match &tally.bundle {
                Some(_) => {
                    completed += 1;
                    checked(&tally)
                }
                None => {
                    let part = capture.folder.join("my app.zip.part");
                    drop(capture.writer.take());
                    let recovered = crate::bundle::recover::from_part(&part, None).unwrap();
                    Bundle::open(recovered.output).unwrap()
                }
            };
            assert_eq!(bundle.traces().iter().collect::<Vec<_>>(), told, "{good} good steps");
            for id in told {
                let trace = bundle.trace(&id).unwrap();
                let body = bundle.response_body(&trace).unwrap();
                assert!(body.is_empty() || body == large, "{good} good steps");
            }
            assert_eq!(bundle.manifest().stats.ws_message_count, tally.messages);
            if !was_reached {
                assert_eq!((tally.traces, tally.lost, tally.troubles.len()), (5, 0, 0));
                assert!(good > 10 && completed > 5, "the seam is not where it was: {good} steps, {completed} bundles");
                break;
            }
            assert!(tally.traces + tally.messages + tally.lost >= 6, "{good} good steps");
            assert_eq!(tally.troubles.is_empty(), tally.lost == 0 && tally.bundle.is_some(), "{good} good steps");
        }
    }
    NO_SYNC.set(false);
}

#[test]
fn what_cannot_be_written_at_once_is_tried_one_by_one() {
    NO_SYNC.set(true);
    let mut lost = Vec::new();
    for bad in 1..8 {
        let mut capture = Capture::new("batch");
        STEPS.set(Some((0, bad)));
        let tally = capture.run(|c, items| {
            for n in 0..5 {
                items.send(item(c.exchange(n, &format!("http://{n}.test/")))).unwrap();
            }
        });
        STEPS.set(None);
        let bundle = checked(&tally);
        assert_eq!(tally.traces + tally.lost, 5);
        // The last ones, as the disk recovers.
        let first = 5 - tally.traces;
        assert_eq!(
            bundle.traces().iter().collect::<Vec<_>>(),
            (first..5).map(|n| format!("t_{:04}", n + 1)).collect::<Vec<_>>()
        );
        lost.push(tally.lost);
    }
    assert!(lost[0] == 0 && lost.is_sorted() && lost[6] > 1, "{lost:?}");
    NO_SYNC.set(false);
}

#[test]
fn small_entries_are_compressed_unless_much_comes_at_once() {
    // One more comes: the end.
    for (count, method) in [(MANY - 2, 8), (MANY - 1, 0)] {
        let mut capture = Capture::new("hurry");
        let tally = capture.run(|c, items| {
            for n in 0..count as u64 {
                items.send(item(c.exchange(n, "http://a.test/"))).unwrap();
            }
            items.send_last(Item::Finish).unwrap();
        });
        checked(&tally);
        // The first entry's compression method (APPNOTE 4.4.5).
        let bundle = fs::read(tally.bundle.unwrap()).unwrap();
        assert_eq!(bundle[8..10], [method, 0], "{count} at once");
    }
}

#[test]
fn a_body_that_takes_long_holds_up_nobody() {
    let mut capture = Capture::new("long");
    let text = "some text ".repeat(20_000_000 / 10);
    let tally = capture.run(|c, items| {
        let mut exchange = c.exchange(1, "http://long.test/");
        exchange.response_body = c.body(text.as_bytes());
        items.send(item(exchange)).unwrap();
        for n in 2..10 {
            items.send(item(c.exchange(n, "http://short.test/"))).unwrap();
        }
    });
    let bundle = checked(&tally);
    let trace = bundle.trace("t_0001").unwrap();
    assert_eq!((trace.request.url.as_str(), trace.response.body_size), ("http://long.test/", text.len() as u64));
    assert!(bundle.response_body(&trace).unwrap() == text.as_bytes());
    let last = capture.notices().pop().unwrap();
    assert!(last.starts_with("t_0001 "), "the first to end is the last to be written: {last}");
    assert_eq!(tally.traces, 9);
}

/// Noise does not get smaller, nor does it when it comes again from far away.
#[test]
fn what_does_not_get_smaller_is_stored() {
    let mut capture = Capture::new("sample");
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let noise: Vec<u8> = (0..256_000).map(|_| next()).collect();
    let text = "a line of text, and its number is 7\n".repeat(8000);
    // In memory, in a file, on the other thread, and with room of its own in the archive.
    let sizes = [100_000, 270_000, 2 << 20, 20 << 20];
    let body = |block: &[u8], size| block.iter().copied().cycle().take(size).collect::<Vec<_>>();
    let tally = capture.run(|c, items| {
        for size in sizes {
            for block in [&noise[..], text.as_bytes()] {
                let mut exchange = c.exchange(1, "http://a.test/");
                exchange.response_body = c.body(&body(block, size));
                items.send(item(exchange)).unwrap();
            }
        }
    });
    let bundle = checked(&tally);
    let file = fs::File::open(tally.bundle.as_deref().unwrap()).unwrap();
    let mut scan = Scan::new(&file).unwrap();
    let mut packings = std::collections::BTreeMap::new();
    while let Step::Entry(found) = scan.next().unwrap() {
        packings.insert(found.entry.name, found.entry.packing);
    }
    for (n, size) in sizes.into_iter().enumerate() {
        for (m, (block, packing)) in
            [(&noise[..], Packing::Stored), (text.as_bytes(), Packing::Deflated)].into_iter().enumerate()
        {
            let id = Id::Trace((2 * n + m + 1) as u32).to_string();
            assert_eq!(packings[&format!("traces/{id}_response.bin")], packing, "{size} bytes, {id}");
            let trace = bundle.trace(&id).unwrap();
            assert!(bundle.response_body(&trace).unwrap() == body(block, size), "{size} bytes, {id}");
        }
    }
}

/// One that waits for room, which nobody gives it, stands for one that takes seconds.
#[test]
fn what_takes_milliseconds_does_not_wait_behind_what_takes_seconds() {
    let capture = Capture::new("lanes");
    let mut packer = Packer::start(1 << 30);
    let job = |number, size| {
        let mut exchange = capture.exchange(1, "http://a.test/");
        exchange.response.as_mut().unwrap().headers.push(b"Content-Type", b"image/png");
        exchange.response_body = capture.body(&vec![0; size]);
        (exchange_effort(&exchange), Job { exchange, number })
    };
    let (large, (effort, small)) = (job(1, 20 << 20), job(2, 2 << 20));
    assert_eq!((large.0, effort), (Effort::Much, Effort::Some));
    assert!(packer.offer(large.1, large.0).is_ok());
    let Some(Done::Asks(ask)) = wait(&mut packer) else { panic!("it does not ask for room") };
    assert!(packer.offer(small, effort).is_ok());
    assert!(matches!(wait(&mut packer), Some(Done::Prepared(prepared)) if prepared.number == 2));
    assert!(packer.is_busy());
    drop(ask);
    assert!(matches!(wait(&mut packer), Some(Done::Prepared(prepared)) if prepared.number == 1));
    assert!(!packer.is_busy());
}

/// The next result, which comes within seconds.
fn wait(packer: &mut Packer) -> Option<Done> {
    let deadline = Moment::now().plus(Duration::from_secs(30));
    loop {
        let done = packer.ready();
        if done.is_some() || deadline.since(Moment::now()).is_zero() {
            return done;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_body_past_its_limit_is_kept_as_received() {
    let mut capture = Capture::new("limit");
    capture.writer = None;
    let limits = Limits { max_body: 999, ..LIMITS };
    capture.writer = Some(Writer::create(&capture.output(), limits, Observer::default(), Moment::now()).unwrap());
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&[b'x'; 1000]).unwrap();
    let gzip = gzip.finish().unwrap();
    let tally = capture.run(|c, items| {
        let mut exchange = c.exchange(1, "http://a.test/");
        exchange.response.as_mut().unwrap().headers.push(b"Content-Encoding", b"gzip");
        exchange.response_body = c.body(&gzip);
        items.send(item(exchange)).unwrap();
    });
    let bundle = checked(&tally);
    let trace = bundle.trace("t_0001").unwrap();
    assert_eq!((trace.response.body_encoding.as_deref(), trace.response.body_size), (Some("gzip"), gzip.len() as u64));
    assert_eq!(bundle.response_body(&trace).unwrap(), gzip);
}

#[test]
fn a_bundle_that_cannot_be_completed_stays_a_part() {
    let mut capture = Capture::new("incomplete");
    fs::write(capture.output(), b"old").unwrap();
    capture.take(item(capture.exchange(1, "http://a.test/")));
    DISK_IS_FULL.set(true);
    let tally = capture.run(|_, _| ());
    DISK_IS_FULL.set(false);
    assert_eq!((tally.bundle.as_deref(), tally.traces), (None, 1));
    assert!(tally.troubles[0].starts_with("the bundle could not be completed: "), "{:?}", tally.troubles);
    assert!(tally.troubles[0].contains("spectral capture recover ") && tally.troubles[0].contains("my app.zip.part"));
    assert_eq!(fs::read(capture.output()).unwrap(), b"old");
    assert!(fs::metadata(capture.folder.join("my app.zip.part")).unwrap().len() > 0);
}

#[test]
fn the_part_of_a_capture_that_did_not_end_is_told_and_stays() {
    let mut capture = Capture::new("crashed");
    capture.writer = None;
    let part = capture.folder.join("my app.zip.part");
    fs::write(&part, b"of another").unwrap();
    let mut second = Capture::within(capture.folder.clone());
    let tally = second.run(|_, _| ());
    assert!(tally.troubles[0].ends_with(&format!(
        "from a capture that did not end: spectral capture recover {} makes a bundle of what it holds",
        part.display()
    )));
    assert_eq!(fs::read(part).unwrap(), b"of another");
}

#[test]
fn the_part_of_another_capture_is_told() {
    let first = Capture::new("others");
    let mut second = Capture::within(first.folder.clone());
    let tally = second.run(|_, _| ());
    assert!(tally.bundle.is_some());
    assert!(tally.troubles[0].contains("another capture is running and writes "), "{:?}", tally.troubles);
    assert_eq!(second.notices(), tally.troubles);
}

#[test]
fn a_panic_costs_one_item() {
    let mut capture = Capture::new("panic");
    capture.take(item(capture.exchange(1, "http://a.test/")));
    capture.writer.as_mut().unwrap().take(|writer| {
        let _ = writer.archive.group(|archive| {
            archive.entry("traces/t_0002.json".into(), 1, Packing::Deflated, &[])?;
            std::panic::resume_unwind(Box::new("a panic without a message on stderr"))
        });
        Ok(())
    });
    let tally = capture.run(|c, items| items.send(item(c.exchange(2, "http://b.test/"))).unwrap());
    assert_eq!((tally.traces, tally.lost), (2, 1));
    assert_eq!(tally.troubles, ["an exchange or message was lost to a defect of this program"]);
    assert_eq!(checked(&tally).trace("t_0002").unwrap().request.url, "http://b.test/");
}

#[test]
fn an_observer_that_panics_changes_nothing() {
    let mut capture = Capture::new("observer");
    let observer = Observer::new(|_| std::panic::resume_unwind(Box::new("a panic without a message on stderr")));
    capture.writer = None;
    capture.writer = Some(Writer::create(&capture.output(), LIMITS, observer, Moment::now()).unwrap());
    let tally = capture.run(|c, items| items.send(item(c.exchange(1, "http://a.test/"))).unwrap());
    assert_eq!((tally.traces, tally.lost), (1, 0));
    checked(&tally);
}

#[test]
fn a_message_of_no_socket_is_lost_and_counted() {
    let mut capture = Capture::new("orphan");
    let tally = capture.run(|c, items| items.send(c.message(1, 1, Dir::Up, Opcode::Text, b"x")).unwrap());
    assert_eq!((tally.messages, tally.lost), (0, 1));
    checked(&tally);
}

#[test]
fn a_body_without_its_end_is_told() {
    let mut capture = Capture::new("cutbody");
    let elsewhere = Store::new("/nowhere/at/all".into(), 1 << 20);
    let tally = capture.run(|c, items| {
        for _ in 0..2 {
            let mut exchange = c.exchange(1, "http://a.test/");
            exchange.response_body = Body::new(&elsewhere);
            exchange.response_body.push(b"the beginning");
            exchange.response_body.push(&[0; 1 << 20]);
            items.send(item(exchange)).unwrap();
        }
    });
    assert!(
        tally.troubles[0].starts_with("the ends of 2 bodies are missing from the bundle: "),
        "{:?}",
        tally.troubles
    );
    let bundle = checked(&tally);
    let trace = bundle.trace("t_0001").unwrap();
    assert_eq!(bundle.response_body(&trace).unwrap(), b"the beginning");
}

#[test]
fn ids_past_their_digits_are_widened_and_told() {
    let mut capture = Capture::new("wide");
    let writer = capture.writer.as_mut().unwrap();
    writer.last_trace = MOST_TRACES - 1;
    capture.take(capture.handshake(1, "ws://a.test/", 1, None));
    capture.writer.as_mut().unwrap().open.get_mut(&SocketKey(1)).unwrap().last_message = MOST_MESSAGES;
    capture.take(item(capture.exchange(2, "http://a.test/")));
    capture.take(capture.message(1, 3, Dir::Up, Opcode::Text, b"x"));
    let tally = capture.run(|_, _| ());
    assert_eq!(tally.troubles.len(), 2, "{:?}", tally.troubles);
    assert!(tally.troubles[0].starts_with("there are more than 9999 traces"));
    assert!(tally.troubles[1].starts_with("there are more than 999 messages on a WebSocket"));
    let bundle = Bundle::open(tally.bundle.unwrap()).unwrap();
    assert_eq!(bundle.traces().iter().collect::<Vec<_>>(), ["t_9999", "t_10000"]);
    assert_eq!(bundle.messages("ws_0001").iter().collect::<Vec<_>>(), ["ws_0001_m1000"]);
}

#[test]
fn odd_texts_do_not_spoil_a_bundle() {
    let mut capture = Capture::new("odd");
    let tally = capture.run(|c, items| {
        let mut exchange = c.exchange(u64::MAX >> 1, "http://a.test/\u{7f}\u{202e}\u{1}\u{feff}\"");
        exchange.request.method = "M-SEARCH".into();
        exchange.request.headers.push(b"\xff\xfe", b"\x00\x1b[31m\xc2");
        exchange.response.as_mut().unwrap().reason = b"\xf0\x9f\x98\x80 \xed\xa0\x80".to_vec();
        exchange.response.as_mut().unwrap().headers.push(b"content-encoding", b"\xff\x00, ,;,");
        exchange.response_body = c.body(&[0xff; 10]);
        items.send(item(exchange)).unwrap();
    });
    let trace = checked(&tally).trace("t_0001").unwrap();
    assert_eq!(trace.request.headers, [Header::new("ÿþ".as_bytes(), "\0\u{1b}[31mÂ".as_bytes()).owned()]);
    assert_eq!(trace.response.body_encoding.as_deref(), Some("ÿ\0"));
}
