//! Peers that make the proxy hold as much memory as they can: it stays within its limit, their traffic passes, and others are
//! recorded.

use crate::support::bundle::Bundle;
use crate::support::cli::{Spectral, command};
use crate::support::peers;
use crate::support::websocket_frames::frame;
use crate::support::{Capture, Connection, Origin, ProxyProcess, TIMEOUT, TempDir, Watched};
use spectral_capture::{Opaque, Reason};
use std::io::{Read, Write};
use std::net::TcpStream;

const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LIMIT_MB: usize = 16;

/// An origin that reads all it gets and answers nothing, and the number of connections on which `bytes` have arrived.
fn silent_origin(bytes: usize) -> (Origin, Watched<usize>) {
    let arrived = Watched::<usize>::default();
    let count = arrived.clone();
    let origin = Origin::plain(move |mut connection: Connection| {
        for _ in 0..bytes / PIECE_BYTES {
            connection.read_exactly(PIECE_BYTES);
        }
        connection.read_exactly(bytes % PIECE_BYTES);
        count.update(|n| *n += 1);
        connection.read_to_end();
    });
    (origin, arrived)
}

/// Sends `bytes` on `count` tunnels of a capture with a limit of 16 MB to an origin that answers nothing. An honest client
/// connects before; its exchanges must be recorded. Returns the bundle.
fn flood(count: usize, bytes: &[u8]) -> Bundle {
    let dir = TempDir::new();
    let proxy = ProxyProcess::from_running(Spectral::capture(&dir, &["--memory", &format!("{LIMIT_MB}M")]), dir);
    let honest = Origin::plain_responding(OK);
    let (silent, arrived) = silent_origin(bytes.len());
    let request = |path: &str| GET.replace("/ ", &format!("{path} "));
    let mut client = proxy.connect(&honest.authority("localhost"));
    assert_eq!(client.request(request("/before")).text(), "ok");
    let mut hostile: Vec<_> = (0..count).map(|_| proxy.connect(&silent.authority("localhost"))).collect();
    std::thread::scope(|scope| {
        for part in hostile.chunks_mut(count.div_ceil(8)) {
            scope.spawn(move || part.iter_mut().for_each(|connection| connection.send(bytes)));
        }
    });
    arrived.until("all bytes to arrive", |n| (*n == count).then_some(()));
    for path in ["/after", "/again"] {
        assert_eq!(client.request(request(path)).text(), "ok");
        assert_eq!(proxy.connect(&honest.authority("localhost")).request(request(path)).text(), "ok");
    }
    assert_within_limit(&proxy, count + 1);
    drop((client, hostile));
    let (bundle, output) = proxy.stop();
    assert!(output.err.contains("captured up to the memory limit"), "{}", output.err);
    assert!(output.err.contains("raise the limit with --memory"), "{}", output.err);
    for (path, times) in [("/before", 1), ("/after", 2), ("/again", 2)] {
        let those: Vec<_> = bundle.traces.iter().filter(|trace| trace.url().ends_with(path)).collect();
        assert_eq!(those.len(), times, "{path}");
        assert!(those.iter().all(|trace| trace.text() == "ok" && trace.cut_off().is_none()), "{path}");
    }
    bundle
}

/// As [`assert_within`], for the usual limit.
#[track_caller]
fn assert_within_limit(proxy: &ProxyProcess, connections: usize) {
    assert_within(LIMIT_MB, proxy, connections);
}

/// Asserts that the peak of its resident memory is within `limit_mb`, 16 MB and 40 KB per connection.
#[track_caller]
fn assert_within(limit_mb: usize, proxy: &ProxyProcess, connections: usize) {
    let Some(peak) = proxy.running.peak_memory() else {
        return peers::report_skipped("/proc");
    };
    let bound = (limit_mb + 16) * 1024 + 40 * connections;
    assert!(peak <= bound, "{peak} KiB, more than {bound} KiB");
}

/// The start of an HTTP/2 connection and requests without END_STREAM. `first` are fields of the first one only.
fn http2_requests(streams: u32, first: &[u8], fields: &[u8]) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for n in 0..streams {
        let block = [&[0x82, 0x84, 0x87][..], if n == 0 { first } else { &[] }, fields].concat();
        let length = u32::try_from(block.len()).unwrap().to_be_bytes();
        bytes.extend([&length[1..], &[1, 4], &(2 * n + 1).to_be_bytes(), &block].concat());
    }
    bytes
}

/// A field with a value of 4,000 bytes; `first` is the first byte of its representation.
fn field(first: u8) -> Vec<u8> {
    [&[first, 1, b'a', 0x7f, 0xa1, 0x1e][..], &[b'x'; 4000]].concat()
}

/// As on a machine with 32 processors, where the C library has up to 256 arenas, which keep free memory.
#[test]
fn bodies_on_many_threads_stay_within_the_limit() {
    const CLIENTS: usize = 40;
    const LIMIT_MB: usize = 32;
    let dir = TempDir::new();
    let mut command = command(&dir, &["capture", "proxy", "-p", "0", "--memory", &format!("{LIMIT_MB}M")]);
    command.env("MALLOC_ARENA_MAX", "256");
    let proxy = ProxyProcess::from_running(Spectral::start(command), dir);
    let body = "0123456789abcdef".repeat(60_000);
    let fields = format!("Content-Type: image/jpeg\r\nContent-Length: {}\r\n", body.len());
    let origin = Origin::plain_responding(format!("HTTP/1.1 200 OK\r\n{fields}\r\n{body}"));
    // All connections have a thread at the same time, but few have a body.
    let turns = Watched::<usize>::default();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (proxy, origin, turns, length) = (&proxy, &origin, turns.clone(), body.len());
            scope.spawn(move || {
                let mut connection = proxy.connect(&origin.authority("localhost"));
                for round in 0..4 {
                    turns.until("a turn", |&n| (n >= round * CLIENTS + client / 4 * 4).then_some(()));
                    assert_eq!(connection.request(GET).text().len(), length);
                    turns.update(|n| *n += 1);
                }
            });
        }
    });
    assert_within(LIMIT_MB, &proxy, CLIENTS);
    let (bundle, _) = proxy.stop();
    assert_eq!(bundle.traces.len(), 4 * CLIENTS);
}

#[test]
fn unanswered_requests_stay_within_the_limit() {
    // Some 7,700 exchanges of about 1 KB on each connection: 460 MB together.
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let bundle = flood(60, &get.repeat(200_000 / get.len()));
    // They are recorded until there is no memory left.
    let unanswered = bundle.traces.iter().filter(|trace| trace.status_text() == "a limit was exceeded").count();
    assert!(unanswered > 1000 && unanswered + 5 == bundle.traces.len(), "{unanswered}");
}

#[test]
fn open_http2_streams_stay_within_the_limit() {
    // 160 MB of fields.
    flood(8, &http2_requests(5_000, &[], &field(0)));
}

#[test]
fn indexed_http2_fields_stay_within_the_limit() {
    // 142 KB, 60 fields of 4,000 bytes for each request: 520 MB on each connection.
    flood(8, &http2_requests(2_000, &field(0x40), &[0xbe; 60]));
}

#[test]
fn unfinished_heads_stay_within_the_limit() {
    // 40 MB of heads, which pass through.
    flood(200, format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(200_000)).as_bytes());
}

#[test]
fn unfinished_heads_of_plain_requests_stay_within_the_limit() {
    let dir = TempDir::new();
    let proxy = ProxyProcess::from_running(Spectral::capture(&dir, &["--memory", &format!("{LIMIT_MB}M")]), dir);
    let origin = Origin::plain_responding(OK);
    let authority = origin.authority("localhost");
    let head = format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\n");
    let count = 200;
    let mut clients: Vec<_> = (0..count).map(|_| TcpStream::connect(proxy.running.addr).unwrap()).collect();
    for client in &mut clients {
        client.set_read_timeout(Some(TIMEOUT)).unwrap();
        // A client that is refused may be closed before it has sent all.
        let _ = client.write_all(format!("{head}X: {}", "x".repeat(200_000)).as_bytes());
    }
    let mut statuses = Vec::new();
    for client in &mut clients {
        let _ = client.write_all(b"\r\n\r\n");
        let mut status = [0; 12];
        if client.read_exact(&mut status).is_ok() {
            statuses.push(String::from_utf8_lossy(&status).into_owned());
        }
    }
    assert!(statuses.iter().any(|status| status == "HTTP/1.1 431"), "{statuses:?}");
    // A head of usual length is always accepted.
    assert_eq!(proxy.dial().request(format!("{head}\r\n")).text(), "ok");
    assert_within_limit(&proxy, count);
    drop(clients);
    let (_, output) = proxy.stop();
    assert!(output.err.contains("the memory limit leaves no room for its head"), "{}", output.err);
}

#[test]
fn windows_of_compressed_websockets_stay_within_the_limit() {
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\0";
    let origin = Origin::plain(move |mut connection: Connection| {
        connection.read_head();
        connection.send(format!("HTTP/1.1 101 S\r\nSec-WebSocket-Extensions: permessage-deflate\r\n{upgrade}"));
        connection.send(frame(0xc1, None, hello));
        let received = connection.read_exactly(frame(0xc1, Some([0; 4]), hello).len());
        connection.send(frame(0x82, None, &received));
        connection.read_to_end();
    });
    let dir = TempDir::new();
    let proxy = ProxyProcess::from_running(Spectral::capture(&dir, &["--memory", &format!("{LIMIT_MB}M")]), dir);
    let count = 300;
    let mut clients: Vec<_> = (0..count).map(|_| proxy.connect(&origin.authority("localhost"))).collect();
    for client in &mut clients {
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{upgrade}"));
        client.read_head();
        client.send(frame(0xc1, Some([0; 4]), hello));
        client.read_exactly(frame(0xc1, None, hello).len());
        client.read_exactly(2 + frame(0xc1, Some([0; 4]), hello).len());
    }
    assert_within_limit(&proxy, count);
    drop(clients);
    let (bundle, output) = proxy.stop();
    assert!(output.err.contains("captured up to the memory limit"), "{}", output.err);
    assert_eq!(bundle.websockets.len(), count);
    let decoded = bundle.websockets.iter().filter(|websocket| websocket.messages.len() == 3).count();
    assert!((10..200).contains(&decoded), "{decoded} of {count}");
}

#[test]
fn data_behind_a_head_stays_within_the_limit() {
    let junk = "x".repeat(120_000);
    // The start of a head in a tunnel, and the next request of a client whose request has no answer.
    let tunnel = "CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nX: ";
    let get = "GET http://{target}/ HTTP/1.1\r\nHost: a\r\n\r\nGET /";
    let post = "POST http://{target}/ HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nokGET /";
    for start in [tunnel, get, post] {
        let open = Watched::<Vec<Connection>>::default();
        let kept = open.clone();
        let silent = Origin::plain(move |connection: Connection| kept.update(|open| open.push(connection)));
        let start = start.replace("{target}", &silent.authority("localhost"));
        let dir = TempDir::new();
        let proxy = ProxyProcess::from_running(Spectral::capture(&dir, &["--memory", &format!("{LIMIT_MB}M")]), dir);
        let count = 400;
        let mut clients: Vec<_> = (0..count).map(|_| proxy.dial()).collect();
        clients.iter_mut().for_each(|client| client.send(format!("{start}{junk}")));
        open.until("the connections to the origin", |open| (open.len() == count).then_some(()));
        proxy.wait_until_idle();
        assert_within_limit(&proxy, count);
        clients.into_iter().for_each(Connection::reset);
        open.update(|open| open.drain(..).for_each(Connection::reset));
        proxy.stop();
    }
}

#[test]
fn urls_of_open_websockets_stay_within_the_limit() {
    // 29 MB of URLs, which the writer needs at the end of each WebSocket.
    let count = 120;
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\n{upgrade}", "x".repeat(240_000));
    let (bytes, open) = (request.len(), Watched::<Vec<Connection>>::default());
    let kept = open.clone();
    let origin = Origin::plain(move |mut connection: Connection| {
        connection.read_exactly(bytes);
        connection.send(format!("HTTP/1.1 101 S\r\n{upgrade}"));
        kept.update(|open| open.push(connection));
    });
    let dir = TempDir::new();
    let proxy = ProxyProcess::from_running(Spectral::capture(&dir, &["--memory", &format!("{LIMIT_MB}M")]), dir);
    let connect = |_| {
        let mut client = proxy.connect(&origin.authority("localhost"));
        client.send(&request);
        client.read_head();
        client
    };
    let clients: Vec<_> = (0..count).map(connect).collect();
    assert_within_limit(&proxy, count);
    clients.into_iter().for_each(Connection::reset);
    open.update(|open| open.drain(..).for_each(Connection::reset));
    let (bundle, output) = proxy.stop();
    assert!(output.err.contains("captured up to the memory limit"), "{}", output.err);
    // Some are recorded before the URLs exceed the limit.
    assert!((1..count).contains(&bundle.websockets.len()), "{}", bundle.websockets.len());
}

#[test]
fn two_captures_of_one_process_have_two_limits() {
    let start = || Capture::with(|config| config.limits.memory = 1 << 20);
    let (spent, other) = (start(), start());
    let (silent, arrived) = silent_origin(20_000 * GET.len());
    let target = silent.authority("localhost");
    // The first one holds as much as it may.
    let mut hostile: Vec<_> = (0..2).map(|_| spent.connect(&target)).collect();
    for connection in &mut hostile {
        connection.send(GET.repeat(20_000));
    }
    arrived.until("all bytes to arrive", |n| (*n == 2).then_some(()));
    spent.wait_for_uncaptured(|reason| *reason == Reason::Opaque(Opaque::MemoryLimit));
    // The other one still has its own: 40 exchanges at once are more than what every connection is granted.
    let head = GET.replace("Host", &format!("X: {}\r\nHost", "x".repeat(500)));
    let request_bytes = head.len();
    let origin = Origin::plain(move |mut connection: Connection| {
        connection.read_exactly(40 * request_bytes);
        connection.send(OK.repeat(40));
        connection.read_to_end();
    });
    let mut client = other.connect(&origin.authority("localhost"));
    client.send(head.repeat(40));
    for _ in 0..40 {
        assert_eq!(client.read_response().text(), "ok");
    }
    other.wait_for_exchanges(40);
    drop((client, hostile));
    other.stop().assert_no_warnings();
    spent.stop();
}

/// Read at once, so that an origin stores little.
const PIECE_BYTES: usize = 64 << 10;
