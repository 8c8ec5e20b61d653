//! The CPU time of single components: per exchange of a tap, per item of the writer, and per megabyte of both.
//!
//! The components alternate in rounds, so that a slowdown of the machine affects all of them. The median is printed with its
//! spread. Time is the CPU time of all threads of this process; for one thread it is the elapsed time on an idle machine.
//!
//! The components are private to the library and stay private. This benchmark therefore includes the library's source files: the
//! two folders that need no socket, and the files that they use. (Cargo sets `cfg(test)` for it, so their tests are compiled but
//! not run.)
//!
//! `cargo bench` runs all components; `--test` runs one small round of each, as a check. `-- NAME` selects components whose name
//! contains NAME.

#![allow(dead_code, unused_imports, unreachable_pub, reason = "this benchmark uses a small part of these files")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a benchmark uses the clock, and prints")]

#[path = "../src/bundle/mod.rs"]
mod bundle;
#[path = "../src/calendar.rs"]
mod calendar;
#[path = "../src/capture_options.rs"]
mod capture_options;
#[path = "../src/channel.rs"]
mod channel;
#[path = "../src/clock.rs"]
mod clock;
#[path = "../src/coding/mod.rs"]
mod coding;
#[path = "../src/config.rs"]
mod config;
#[path = "../src/connector.rs"]
mod connector;
#[path = "../src/error/mod.rs"]
mod error;
#[path = "../src/memory.rs"]
mod memory;
#[path = "../src/notice/mod.rs"]
mod notice;
#[path = "../src/record/mod.rs"]
mod record;
#[path = "../src/recorded.rs"]
mod recorded;
#[path = "../src/sorting.rs"]
mod sorting;
mod support;
#[path = "../src/wire/mod.rs"]
mod wire;

use bundle::archive::OutputFile;
use bundle::spill::SpillPlace;
use clock::Moment;
use config::Observer;
use record::account::Account;
use record::body::{Body, BodyStore};
use record::item::{Exchange, Item, WebSocketHandshake, WebSocketKey, WebSocketMessage};
use record::queue::queue;
use record::recorder::Recorder;
use record::sink::ItemSink;
use record::writer::{CaptureLimits, Writer};
// The library's files refer to these through `crate::`.
use error::Error;
use memory::Memory;
use notice::Notice;
use std::collections::VecDeque;
use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use support::figures::{self, Part, Took, Work, cpu_time, has_flag, print_load, repeat};
use support::samples::*;
use wire::authority::Authority;
use wire::client_hello;
use wire::headers::Headers;
use wire::http1::Http1Tap;
use wire::http2::{Http2Tap, hpack};
use wire::tap::{Dir, ExchangeId, Opcode, Tap, TapEvent};
use wire::websocket::WebSocketTap;

fn main() {
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let scale = if has_flag("--test") { 50 } else { 1 };
    let dir = std::env::temp_dir().join(format!("spectral-micro-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let mut parts = parts(&dir, scale);
    parts.retain(|part| wanted.as_ref().is_none_or(|wanted| part.name.contains(wanted.as_str())));
    print_load();
    let rounds = figures::rounds(TIME_LIMIT, || parts.iter_mut().map(|part| (part.work)()).collect());
    figures::print(&parts, &rounds);
    print_load();
    std::fs::remove_dir_all(&dir).unwrap();
}

fn parts(dir: &Path, scale: usize) -> Vec<Part> {
    let (many, pieces) = (1000 / scale, (64 << 20) / PIECE_SIZE / scale);
    let part = |name, unit, work| Part { name, unit, work };
    vec![
        part("HTTP/1 tap, GET and 1 KB of JSON", "exchange", http1_exchanges(many)),
        part("HTTP/1 tap, 64 MB with Content-Length", "16 KB piece", http1_body(pieces)),
        part("HTTP/1 tap, 64 MB in chunks", "16 KB chunk", http1_chunks(pieces)),
        part("HTTP/2 tap, GET and 1 KB of JSON", "exchange", http2_exchanges(many)),
        part("HTTP/2 tap, 64 MB in DATA frames", "16 KB frame", http2_body(pieces)),
        part("HPACK, a browser's requests", "head", heads(many / 10)),
        part("WebSocket tap, 1 KB of JSON up, masked", "message", messages(many, Dir::Up, Coding::None)),
        part("WebSocket tap, 1 KB of JSON down", "message", messages(many, Dir::Down, Coding::None)),
        part("WebSocket tap, 1 KB of JSON down, deflated", "message", messages(many, Dir::Down, Coding::Deflate)),
        part("a browser's ClientHello", "hello", hellos(many)),
        part("HTTP/1 tap and recorder, GET and 1 KB of JSON", "exchange", recorded(dir, 5 * many)),
        part("writer, GET and 1 KB of JSON, overloaded", "exchange", write_exchanges(dir, 5 * many, 5 * many)),
        part("writer, GET and 1 KB of JSON, compressed", "exchange", write_exchanges(dir, 2 * many, SMALL_BATCH)),
        part("WebSocket tap and recorder, one byte down", "message", recorded_messages(dir, 20 * many)),
        part("writer, WebSocket messages of 1 KB of JSON", "message", write_messages(dir, 5 * many, json(1 << 10))),
        part("writer, WebSocket messages of one byte", "message", write_messages(dir, 20 * many, vec![b'a'])),
        part("writer, a ZIP of 256 MB", "body", write_body(dir, "application/zip", noise(1 << 20), 256 / scale)),
        part("writer, 64 MB of noise", "body", write_body(dir, "application/octet-stream", noise(1 << 20), 64 / scale)),
        part("writer, 64 MB of JSON", "body", write_body(dir, "application/json", json(1 << 20), 64 / scale)),
    ]
}

fn http1_exchanges(count: usize) -> Work {
    tap_dialogue(Http1Tap::new, &[], exchange(), count)
}

fn http1_body(pieces: usize) -> Work {
    let head = response("application/json", &format!("Content-Length: {}", pieces * PIECE_SIZE));
    tap_dialogue(Http1Tap::new, &[request(), (Dir::Down, head)], vec![(Dir::Down, json(PIECE_SIZE))], pieces)
}

fn http1_chunks(pieces: usize) -> Work {
    let head = response("application/json", "Transfer-Encoding: chunked");
    let chunk = [format!("{PIECE_SIZE:x}\r\n").into_bytes(), json(PIECE_SIZE), b"\r\n".to_vec()].concat();
    tap_dialogue(Http1Tap::new, &[request(), (Dir::Down, head)], vec![(Dir::Down, chunk)], pieces)
}

/// Each exchange is a stream of one connection.
fn http2_exchanges(count: usize) -> Work {
    let body = json(1 << 10);
    let answer = |stream| [http2_response(stream, body.len()), http2_frame(DATA, END_STREAM, stream, &body)].concat();
    let ids = (1..).step_by(2).take(count);
    let streams = ids.flat_map(|id| [(Dir::Up, http2_request(id)), (Dir::Down, answer(id))]).collect();
    let mut all = tap_dialogue(Http2Tap::new, &http2_settings(), streams, 1);
    Box::new(move || {
        let took = all();
        Took { units: took.units * count, ..took }
    })
}

fn http2_body(pieces: usize) -> Work {
    let heads = [(Dir::Up, http2_request(1)), (Dir::Down, http2_response(1, pieces * PIECE_SIZE))];
    let piece = http2_frame(DATA, 0, 1, &json(PIECE_SIZE));
    tap_dialogue(Http2Tap::new, &[http2_settings(), heads.to_vec()].concat(), vec![(Dir::Down, piece)], pieces)
}

fn heads(times: usize) -> Work {
    let blocks = hpack_story("go-hpack");
    let size = blocks.iter().map(Vec::len).sum::<usize>();
    repeat(times * blocks.len(), times * size, move || {
        for _ in 0..times {
            let mut decoder = hpack::HpackDecoder::new();
            let mut see = |name: &[u8], value: &[u8]| {
                black_box((name, value));
            };
            for block in &blocks {
                assert!(decoder.decode(black_box(block), &mut see).is_ok() && decoder.end_block().is_ok());
            }
        }
    })
}

fn messages(count: usize, dir: Dir, coding: Coding) -> Work {
    let (extension, first, payload) = match coding {
        Coding::None => ("", 0x81, json(1 << 10)),
        Coding::Deflate => ("permessage-deflate", 0xc1, deflated(&json(1 << 10))),
    };
    let tap = move || {
        let mut headers = Headers::default();
        headers.push(b"Sec-WebSocket-Extensions", extension.as_bytes());
        WebSocketTap::new(ExchangeId(0), &headers)
    };
    let mask = (dir == Dir::Up).then_some([1, 2, 3, 4]);
    tap_dialogue(tap, &[], vec![(dir, websocket_frame(first, mask, &payload))], count)
}

enum Coding {
    None,
    Deflate,
}

fn hellos(count: usize) -> Work {
    let hello = support::samples::client_hello();
    repeat(count, count * hello.len(), move || {
        for _ in 0..count {
            assert!(black_box(client_hello::parse(black_box(&hello))).is_ok_and(|hello| hello.is_some()));
        }
    })
}

/// Another thread receives the recorded items and drops them.
fn recorded(dir: &Path, count: usize) -> Work {
    recorded_dialogue(dir, vec![], exchange(), count, 1)
}

/// Pieces of 1,000 messages.
fn recorded_messages(dir: &Path, count: usize) -> Work {
    let upgrade = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".to_vec();
    let switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".to_vec();
    let per_piece = count.min(1000);
    let piece = support::origin::MESSAGE.repeat(per_piece);
    let beginning = vec![(Dir::Up, upgrade), (Dir::Down, switching)];
    recorded_dialogue(dir, beginning, vec![(Dir::Down, piece)], count / per_piece, per_piece)
}

/// Records `steps` that many times, each with `units`, after `beginning`.
fn recorded_dialogue(dir: &Path, beginning: Dialogue, steps: Dialogue, times: usize, units: usize) -> Work {
    let store = BodyStore::new(dir.to_owned().into(), &Memory::new(64 << 20));
    repeat(times * units, times * size(&steps), move || {
        let (sender, receiver) = queue();
        let taking = thread::spawn(move || {
            let mut batch = VecDeque::new();
            while receiver.receive(&mut batch, None) {
                batch.clear();
            }
        });
        let authority = Authority::from_connect_target(b"api.example.com:443").unwrap();
        let origin = record::origin::Origin { is_tls: true, authority, connect_timing: None };
        let sink = ItemSink::new(Some(sender), None, Arc::clone(&store));
        let account = Account::new(&Memory::new(64 << 20).recording);
        let mut recorder = Recorder::new(Box::new(Http1Tap::new()), Some(sink), origin, account);
        for (dir, bytes) in beginning.iter().chain(std::iter::repeat_n(&steps, times).flatten()) {
            recorder.data(Moment::now(), *dir, bytes);
        }
        drop(recorder);
        taking.join().unwrap();
    })
}

/// Sends the exchanges to the writer in batches.
fn write_exchanges(dir: &Path, count: usize, batch: usize) -> Work {
    let body = json(1 << 10);
    write(dir, count, batch, move |store| {
        (0..count).map(|_| exchange_item(body_of(store, &body, 1), "application/json", None)).collect()
    })
}

/// Opens a new WebSocket every 900 messages, because message ids have three digits.
fn write_messages(dir: &Path, count: usize, text: Vec<u8>) -> Work {
    write(dir, count, usize::MAX, move |store| {
        let message = |socket, dir| {
            Item::Message(WebSocketMessage {
                websocket: socket,
                ended_ms: 0,
                dir,
                opcode: Opcode::Text,
                payload: body_of(store, &text, 1),
                encoding: None,
                cut_off: None,
            })
        };
        let mut items = Vec::new();
        for n in 0..count {
            let socket = WebSocketKey((n / 900) as u64);
            if n % 900 == 0 {
                let opens = WebSocketHandshake { key: socket, protocol: None };
                items.push(exchange_item(Body::new(store), "application/json", Some(opens)));
            }
            items.push(message(socket, if n % 2 == 0 { Dir::Up } else { Dir::Down }));
        }
        items
    })
}

fn write_body(dir: &Path, kind: &'static str, megabyte: Vec<u8>, times: usize) -> Work {
    write(dir, 1, 1, move |store| vec![exchange_item(body_of(store, &megabyte, times), kind, None)])
}

/// Writes a new bundle of these items in each round. The time to create the items is not measured.
fn write(dir: &Path, units: usize, batch: usize, items: impl Fn(&Arc<BodyStore>) -> Vec<Item> + 'static) -> Work {
    let output = dir.join("micro.zip");
    Box::new(move || {
        let (notify, written) = mpsc::channel();
        let observer = Observer::new(move |notice| {
            if let Notice::Exchange { .. } = notice {
                let _ = notify.send(());
            }
        });
        let writer =
            Writer::create(OutputFile::Path(&output), SpillPlace::beside(&output), limits(), observer, Moment::now())
                .unwrap();
        let mut items = VecDeque::from(items(writer.store()));
        let bytes = items.iter().map(size_of_item).sum();
        let (sender, receiver) = queue();
        let began = cpu_time();
        let writing = thread::spawn(move || writer.run(&receiver));
        while !items.is_empty() {
            let now = batch.min(items.len());
            items.drain(..now).for_each(|item| assert!(sender.send(item).is_ok()));
            if !items.is_empty() {
                (0..now).for_each(|_| written.recv().unwrap());
            }
        }
        drop(sender);
        let summary = writing.join().unwrap();
        let cpu = cpu_time() - began;
        assert!(summary.bundle.is_some() && summary.warnings.is_empty(), "{summary:?}");
        std::fs::remove_file(&output).unwrap();
        Took { cpu, units, bytes }
    })
}

fn exchange_item(response_body: Body, kind: &str, opens: Option<WebSocketHandshake>) -> Item {
    let (mut request, mut response) = (None, Err("none".into()));
    let mut tap = Http1Tap::new();
    let mut see = |event: TapEvent<'_>| match event {
        TapEvent::Request { head, .. } => request = Some(head),
        TapEvent::Response { head, .. } => response = Ok(head),
        _ => {}
    };
    tap.data(Dir::Up, REQUEST.as_bytes(), &mut see);
    let framing = format!("Content-Length: {}", response_body.len());
    tap.data(Dir::Down, &support::samples::response(kind, &framing), &mut see);
    let request = request.unwrap();
    Item::Exchange(Box::new(Exchange {
        started_ms: 1_700_000_000_000,
        url: "https://api.example.com/api/v1/items?page=2&per_page=20".into(),
        method: request.method,
        request_headers: request.headers,
        request_body: response_body.empty_like(),
        response,
        response_body,
        timing: bundle::format::Timing::default(),
        websocket: opens,
        cut_off: None,
    }))
}

fn body_of(store: &Arc<BodyStore>, bytes: &[u8], times: usize) -> Body {
    let mut body = Body::new(store);
    (0..times).for_each(|_| body.push(bytes));
    body
}

fn size_of_item(item: &Item) -> usize {
    let size = match item {
        Item::Exchange(exchange) => exchange.response_body.len(),
        Item::Message(message) => message.payload.len(),
        Item::WebSocketEnd { .. } | Item::CaptureEnd => 0,
    };
    usize::try_from(size).unwrap()
}

/// Bytes of a connection, with their directions.
type Dialogue = Vec<(Dir, Vec<u8>)>;

fn request() -> (Dir, Vec<u8>) {
    (Dir::Up, REQUEST.as_bytes().to_vec())
}

fn exchange() -> Dialogue {
    let head = response("application/json", "Content-Length: 1024");
    vec![request(), (Dir::Down, [head, json(1 << 10)].concat())]
}

fn http2_settings() -> Dialogue {
    vec![(Dir::Up, http2_preface()), (Dir::Down, http2_frame(SETTINGS, 0, 0, b""))]
}

fn size(dialogue: &Dialogue) -> usize {
    dialogue.iter().map(|(_, bytes)| bytes.len()).sum()
}

/// Passes `beginning` to a new tap, then `steps` that many times.
fn tap_dialogue<T: Tap>(
    tap: impl Fn() -> T + 'static,
    beginning: &[(Dir, Vec<u8>)],
    steps: Dialogue,
    times: usize,
) -> Work {
    let beginning = beginning.to_vec();
    repeat(times, times * size(&steps), move || {
        let mut tap = tap();
        let mut see = |event: TapEvent<'_>| assert!(!matches!(black_box(event), TapEvent::Opaque { .. }));
        for (dir, bytes) in beginning.iter().chain(std::iter::repeat_n(&steps, times).flatten()) {
            tap.data(*dir, black_box(bytes), &mut see);
        }
    })
}

/// The time limit of all rounds; they take about 30 s on an idle machine.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// The maximum plaintext of a TLS record, and a common size of chunks and frames.
const PIECE_SIZE: usize = 16 << 10;

/// A batch that is small enough for the writer to compress.
const SMALL_BATCH: usize = 100;

/// The default limits of the command line.
fn limits() -> CaptureLimits {
    CaptureLimits { memory: Arc::new(Memory::new(64 << 20)), max_body: 1 << 30, rotate: None, keep: None }
}
