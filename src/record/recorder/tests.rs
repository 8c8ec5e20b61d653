use super::*;
use crate::memory::Share;
use crate::record::account::FLOOR_BYTES;
use crate::record::body::test_store;
use crate::record::item::Exchange;
use crate::record::queue::{Receiver, Sender, queue};
use crate::wire::authority::Authority;
use crate::wire::http1::Http1Tap;
use crate::wire::http2::Http2Tap;
use crate::wire::http2::testing::{GET, PREFACE, data, headers, settings};
use std::collections::VecDeque;
use std::time::Duration;

/// Frames from the client. The first two streams open WebSockets.
const UP: [&[u8]; 2] = [
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\
      \0\0\x25\x01\x04\0\0\0\x01\x02\x07CONNECT\0\x09:protocol\x09websocket\x04\x02/1\x01\x01a\
      \0\0\x25\x01\x04\0\0\0\x03\x02\x07CONNECT\0\x09:protocol\x09websocket\x04\x02/3\x01\x01a",
    b"\0\0\x07\0\0\0\0\0\x01\x01\x81\0\0\0\0x\0\0\x07\0\0\0\0\0\x03\x82\x81\0\0\0\0y\
      \0\0\x07\0\0\0\0\0\x01\x80\x81\0\0\0\0z",
];
/// Frames from the origin: it accepts both.
const DOWN: &[u8] = b"\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x01\x01\x04\0\0\0\x03\x88";

/// A recorder whose memory is charged to `share`.
fn recorder_of(tap: impl Tap + 'static, items: Sender<Item>, share: &Arc<Share>) -> Recorder {
    let sink = ItemSink::new(Some(items), None, test_store(std::env::temp_dir(), 1 << 20));
    let authority = Authority::from_host_header(b"a", 443).unwrap();
    let origin = Origin { is_tls: true, authority, connect_timing: None };
    Recorder::new(Box::new(tap), Some(sink), origin, Account::new(share))
}

fn recorder(items: Sender<Item>) -> Recorder {
    recorder_of(Http2Tap::new(), items, &Arc::new(Share::new(1 << 20)))
}

/// Returns the items that were sent.
fn sent(receiver: &Receiver<Item>) -> Vec<Item> {
    let (mut all, mut batch) = (Vec::new(), VecDeque::new());
    while receiver.receive(&mut batch, Some(Duration::ZERO)) && !batch.is_empty() {
        all.extend(batch.drain(..));
    }
    all
}

fn exchange(item: Item) -> Exchange {
    match item {
        Item::Exchange(exchange) => *exchange,
        other => panic!("{}", describe(other)),
    }
}

const MEMORY_LIMIT: Reason = Reason::Opaque(Opaque::MemoryLimit);

fn describe(item: Item) -> String {
    match item {
        Item::Exchange(exchange) => {
            format!("{} {:?}", exchange.url, exchange.websocket.map(|websocket| websocket.key))
        }
        Item::Message(message) => format!("{:?} {:?} {}", message.websocket, message.opcode, message.payload.len()),
        Item::WebSocketEnd { websocket, why } => format!("{websocket:?} ends {why:?}"),
        Item::CaptureEnd => "capture ends".into(),
    }
}

#[test]
fn records_several_websockets_of_one_http2_connection() {
    let (items, receiver) = queue();
    let mut recorder = recorder(items);
    let now = Moment::now();
    recorder.data(now, Dir::Up, UP[0]);
    recorder.data(now, Dir::Down, DOWN);
    recorder.data(now, Dir::Up, UP[1]);
    assert!(recorder.is_busy() && recorder.take_unrecorded().is_empty());
    recorder.data(now, Dir::Up, b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08");
    assert_eq!(recorder.assembler.websockets.len(), 1);
    drop(recorder);
    let items: Vec<_> = sent(&receiver).into_iter().map(describe).collect();
    assert_eq!(
        items,
        [
            "wss://a/1 Some(WebSocketKey(0))",
            "wss://a/3 Some(WebSocketKey(1))",
            "WebSocketKey(1) Binary 1",
            "WebSocketKey(0) Text 2",
            "WebSocketKey(0) ends Some(Cancelled)",
            "WebSocketKey(1) ends Some(Stopped)",
        ]
    );
}

#[test]
fn past_the_memory_limit_a_connection_is_recorded_up_to_there() {
    let share = Arc::new(Share::new(64 << 10));
    let (items, receiver) = queue();
    let mut large = recorder_of(Http1Tap::new(), items.clone(), &share);
    let mut small = recorder_of(Http1Tap::new(), items, &share);
    let (now, get) = (Moment::now(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..10 {
        large.data(now, Dir::Up, &get.repeat(20));
        assert!(share.held() <= share.limit());
    }
    assert_eq!(large.take_unrecorded(), [MEMORY_LIMIT]);
    assert!(!large.is_busy() && large.take_unrecorded().is_empty());
    assert_eq!(share.held(), 0);
    let cut_off = sent(&receiver);
    // About 1 KiB each.
    assert!((40..150).contains(&cut_off.len()), "{} exchanges", cut_off.len());
    for item in cut_off {
        let exchange = exchange(item);
        assert_eq!(exchange.cut_off, None, "the request is complete");
        assert_eq!(exchange.response.unwrap_err(), "a limit was exceeded");
    }
    // The other connection is not affected, even while the share is spent.
    share.acquire(share.limit());
    small.data(now, Dir::Up, get);
    small.data(now, Dir::Down, b"HTTP/1.1 204 No\r\n\r\n");
    let [item] = <[Item; 1]>::try_from(sent(&receiver)).ok().unwrap();
    assert_eq!(exchange(item).response.unwrap().status, 204);
    assert!(small.take_unrecorded().is_empty());
    // Later requests on the first one are not recorded.
    large.data(now, Dir::Down, b"HTTP/1.1 204 No\r\n\r\n");
    large.end(now, Dir::Down, Ending::Clean);
    large.end(now, Dir::Up, Ending::Clean);
    drop(large);
    small.end(now, Dir::Up, Ending::Clean);
    drop(small);
    assert_eq!(share.held(), share.limit());
    let mut batch = VecDeque::new();
    assert!(!receiver.receive(&mut batch, None) && batch.is_empty());
}

#[test]
fn messages_in_progress_at_the_memory_limit_are_cut_off() {
    let share = Arc::new(Share::new(32 << 10));
    let (items, receiver) = queue();
    let mut recorder = recorder_of(Http1Tap::new(), items, &share);
    let now = Moment::now();
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    recorder.data(now, Dir::Up, format!("GET / HTTP/1.1\r\nHost: a\r\n{upgrade}").as_bytes());
    let deflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    recorder.data(now, Dir::Down, format!("HTTP/1.1 101 S\r\n{deflate}{upgrade}").as_bytes());
    recorder.data(now, Dir::Up, b"\x01\x85\0\0\0\0abc");
    // A compressed message needs a window.
    recorder.data(now, Dir::Down, b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\0");
    assert_eq!(recorder.take_unrecorded(), [MEMORY_LIMIT]);
    assert!(!recorder.is_busy());
    let items: Vec<_> = sent(&receiver).into_iter().map(describe).collect();
    assert_eq!(
        items,
        [
            "wss://a/ Some(WebSocketKey(0))",
            "WebSocketKey(0) Text 3",
            "WebSocketKey(0) Text 0",
            "WebSocketKey(0) ends Some(Limit)"
        ]
    );
}

#[test]
fn the_memory_limit_applies_within_one_read() {
    // One field of 4,000 bytes in the table. Each request repeats it many times, in one byte each.
    let field = [&[0x40, 1, b'a', 0x7f, 0xa1, 0x1e][..], &[b'x'; 4000]].concat();
    let block = |fields: &[u8]| [&[0x82, 0x84, 0x87][..], fields].concat();
    let frame = |stream: u32, block: &[u8]| {
        let length = u32::try_from(block.len()).unwrap().to_be_bytes();
        [&length[1..], &[1, 5], &stream.to_be_bytes(), block].concat()
    };
    let mut up = [PREFACE, &settings(&[]), &frame(1, &block(&field))].concat();
    for stream in (3..400).step_by(2) {
        up.extend(frame(stream, &block(&[0xbe; 60])));
    }
    let share = Arc::new(Share::new(1 << 20));
    let (items, receiver) = queue();
    let mut recorder = recorder_of(Http2Tap::new(), items, &share);
    recorder.data(Moment::now(), Dir::Up, &up);
    assert_eq!(recorder.take_unrecorded(), [MEMORY_LIMIT]);
    assert_eq!(share.held(), 0);
    let recorded: usize = sent(&receiver).into_iter().map(|item| exchange(item).request_headers.memory_bytes()).sum();
    assert!((900 << 10..(1 << 20) + FLOOR_BYTES + (512 << 10)).contains(&recorded), "{recorded}");
}

#[test]
fn windows_of_websockets_count_before_they_are_allocated() {
    let websocket = GET.replace(":method GET", ":method CONNECT\n:protocol websocket");
    let streams = || (1..200).step_by(2);
    let mut up = [PREFACE, &settings(&[])].concat();
    streams().for_each(|stream| up.extend(headers(stream, 0, &websocket)));
    let mut down = settings(&[(8, 1)]);
    let accept = ":status 200\nsec-websocket-extensions permessage-deflate";
    streams().for_each(|stream| down.extend(headers(stream, 0, accept)));
    let frames: Vec<u8> =
        streams().flat_map(|stream| data(stream, 0, b"\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\0")).collect();
    assert!(frames.len() < MAX_PIECE_BYTES);

    let share = Arc::new(Share::new(1 << 20));
    let (items, receiver) = queue();
    let mut recorder = recorder_of(Http2Tap::new(), items, &share);
    let now = Moment::now();
    recorder.data(now, Dir::Up, &up);
    recorder.data(now, Dir::Down, &down);
    assert!(recorder.take_unrecorded().is_empty());
    let mut windows = 0;
    recorder.data_observed(now, Dir::Up, &frames, &mut |event| {
        if let TapEvent::WindowNeeded { bytes, is_refused } = event {
            windows += usize::from(!is_refused.get()) * bytes;
        }
    });
    assert_eq!(recorder.take_unrecorded(), [MEMORY_LIMIT]);
    assert!(recorder.tap.is_none() && share.held() == 0);
    let decoded = sent(&receiver).into_iter().filter(is_decoded_text).count();
    assert!((1..20).contains(&decoded), "{decoded} messages were decompressed");
}

fn is_decoded_text(item: &Item) -> bool {
    matches!(item, Item::Message(message) if message.opcode == Opcode::Text && message.encoding.is_none())
}

#[test]
fn an_observer_still_gets_the_events_of_a_small_tap() {
    let share = Arc::new(Share::new(0));
    let (items, receiver) = queue();
    let mut recorder = recorder_of(Http1Tap::new(), items, &share);
    let now = Moment::now();
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(FLOOR_BYTES));
    recorder.data(now, Dir::Up, head.as_bytes());
    assert_eq!(recorder.take_unrecorded(), [MEMORY_LIMIT]);
    let mut seen = Vec::new();
    recorder.data_observed(now, Dir::Down, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", &mut |event| {
        if let TapEvent::Response { .. } | TapEvent::End { .. } = event {
            seen.push(event.id());
        }
    });
    assert_eq!(seen, [Some(ExchangeId(0)); 2]);
    // A head that arrives in pieces is too large.
    let mut seen = Vec::new();
    recorder.data(now, Dir::Up, b"GET / HTTP/1.1\r\n\r\n");
    recorder.data_observed(
        now,
        Dir::Down,
        &head.replace("GET / HTTP/1.1", "HTTP/1.1 200 OK").as_bytes()[..FLOOR_BYTES + 1],
        &mut |event| {
            seen.push(format!("{event:?}"));
        },
    );
    assert_eq!(seen.last().unwrap(), "Opaque { cause: MemoryLimit }");
    assert!(recorder.tap.is_none());
    assert_eq!(sent(&receiver).len(), 1);
}
