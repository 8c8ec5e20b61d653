//! The peak resident memory of a capture: one large body, many concurrent bodies, many exchanges, endless streams, and peers that
//! make the proxy hold as much as they can ([`support::hostile`]). The program is a process of its own; origins and clients are
//! in this one.
//!
//! The bound is printed beside the peak: `--memory`, 16 MB, and 40 KB for each open connection. Memory must not grow with the
//! traffic: compare `cargo bench --bench memory` with `-- --full`, which sends ten to a hundred times as much. `--test` runs a small version of each scenario, as a check. `-- NAME` selects scenarios whose name contains NAME.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::disallowed_macros, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a benchmark uses the clock")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;
use support::figures::has_flag;
use support::hostile::{self, Connections};
use support::program::Program;

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let wanted = args.iter().find(|arg| !arg.starts_with('-'));
    let sizes = match () {
        () if has_flag("--test") => TEST_SIZES,
        () if has_flag("--full") => FULL_SIZES,
        () => DEFAULT_SIZES,
    };
    let Sizes { download: one, concurrent: (count, each), exchanges, messages, hostile_divisor } = sizes;
    let origin = origin();
    let mut scenarios: Vec<(String, u64, Scenario)> = vec![
        (format!("one download of {one} MB"), 1, ended(move |route| download(route, one << 20))),
        (
            format!("{count} concurrent downloads of {each} MB"),
            count,
            ended(move |route| concurrent_downloads(route, count, each << 20)),
        ),
        (format!("{exchanges} exchanges"), 4, ended(move |route| self::exchanges(route, exchanges))),
        (format!("a WebSocket with {messages} messages"), 1, ended(move |route| websocket(route, messages))),
        (format!("an event stream of {messages} events"), 1, ended(move |route| events(route, messages))),
    ];
    scenarios.extend(hostile_scenarios(hostile_divisor));
    println!("{:44} {:>8} {:>8} {:>8} {:>8} {:>8}", "", "bound", "peak", "closed", "at stop", "time");
    for (name, connections, traffic) in scenarios {
        if wanted.is_some_and(|wanted| !name.contains(wanted.as_str())) {
            continue;
        }
        let dir = std::env::temp_dir().join(format!("spectral-memory-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let began = Instant::now();
        let proxy = Program::spectral(&dir, &[]);
        let open = traffic(&Route { proxy: proxy.addr, origin });
        let _ = proxy.cpu_at_rest();
        let during = proxy.peak();
        drop(open);
        let _ = proxy.cpu_at_rest();
        let closed = proxy.resident().map(|kilobytes| kilobytes / 1024);
        let stopped = proxy.stop();
        assert!(stopped.status.success(), "{}", stopped.stderr);
        let megabytes = |peak: Option<u64>| peak.map_or("no /proc".into(), |peak| format!("{peak} MB"));
        let bound = MEMORY_MB + 16 + connections * 40 / 1024;
        let [during, closed, after] = [during, closed, stopped.peak].map(megabytes);
        let seconds = began.elapsed().as_secs_f64();
        println!("{name:44} {bound:>5} MB {during:>8} {closed:>8} {after:>8} {seconds:>6.1} s");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}

/// The amount of traffic; bodies in MB.
struct Sizes {
    download: u64,
    concurrent: (u64, u64),
    exchanges: u64,
    messages: u64,
    /// The number of hostile connections is divided by this.
    hostile_divisor: usize,
}

const TEST_SIZES: Sizes =
    Sizes { download: 4, concurrent: (10, 1), exchanges: 500, messages: 1000, hostile_divisor: 20 };

/// Each scenario's traffic is many times the memory limit.
const DEFAULT_SIZES: Sizes =
    Sizes { download: 500, concurrent: (200, 2), exchanges: 50_000, messages: 500_000, hostile_divisor: 1 };

/// Needs some 20 GB of disk and some minutes. The exchanges are those of a busy day.
const FULL_SIZES: Sizes =
    Sizes { download: 4096, concurrent: (1000, 5), exchanges: 5_000_000, messages: 1_000_000, hostile_divisor: 1 };

/// The default of `--memory`.
const MEMORY_MB: u64 = 64;

/// One kind of traffic. Returns the connections that are open at its end.
type Scenario = Box<dyn Fn(&Route) -> Option<Connections>>;

/// Traffic whose connections have ended.
fn ended(traffic: impl Fn(&Route) + 'static) -> Scenario {
    Box::new(move |route| {
        traffic(route);
        None
    })
}

/// The traffic of hostile peers, with the number of their connections.
fn hostile_scenarios(divisor: usize) -> Vec<(String, u64, Scenario)> {
    let scenario = |count: usize, what: &str, open: Box<dyn Fn(SocketAddr, usize) -> Connections>| {
        let count = count.div_ceil(divisor);
        let traffic: Scenario = Box::new(move |route| Some(open(route.proxy, count)));
        (format!("{count} {what}"), count as u64, traffic)
    };
    vec![
        scenario(300, "times 400 KB of unanswered GETs", Box::new(|to, n| hostile::pipelined(to, n, 400_000))),
        scenario(8, "times 9,900 streams of 6 KB fields", Box::new(|to, n| hostile::open_streams(to, n, 9_900, 6_000))),
        scenario(10, "times 142 KB of indexed fields", Box::new(|to, n| hostile::indexed_fields(to, n, 2_300, 50))),
        scenario(1000, "compressed WebSockets", Box::new(hostile::compressed_websockets)),
        scenario(300, "unfinished heads of 250 KB", Box::new(|to, n| hostile::unfinished_heads(to, n, 250_000))),
        scenario(
            300,
            "unfinished plain heads of 250 KB",
            Box::new(|to, n| hostile::unfinished_plain_heads(to, n, 250_000)),
        ),
        scenario(400, "clients that do not read", Box::new(hostile::slow_readers)),
    ]
}

/// The addresses of the proxy and the origin.
#[derive(Clone, Copy)]
struct Route {
    proxy: SocketAddr,
    origin: SocketAddr,
}

impl Route {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.proxy).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    fn request(&self, path: &str, more: &str) -> String {
        let Self { origin, .. } = self;
        format!("GET http://{origin}/{path} HTTP/1.1\r\nHost: {origin}\r\n{more}\r\n")
    }
}

fn download(route: &Route, size: u64) {
    let mut stream = route.connect();
    stream.write_all(route.request(&format!("bytes/{size}"), "").as_bytes()).unwrap();
    read_body(&mut stream, size);
}

/// Starts `count` downloads; none continues before all have received their head.
fn concurrent_downloads(route: &Route, count: u64, size: u64) {
    let begun = Arc::new(Barrier::new(usize::try_from(count).unwrap()));
    let downloads: Vec<_> = (0..count)
        .map(|_| {
            let (route, begun) = (*route, Arc::clone(&begun));
            let download = move || {
                let mut stream = route.connect();
                stream.write_all(route.request(&format!("bytes/{size}"), "").as_bytes()).unwrap();
                let first = read_head(&mut stream);
                begun.wait();
                read_exactly(&mut stream, size - first);
            };
            thread::Builder::new().stack_size(128 << 10).spawn(download).unwrap()
        })
        .collect();
    downloads.into_iter().for_each(|download| download.join().unwrap());
}

/// Pipelines requests on a few connections.
fn exchanges(route: &Route, count: u64) {
    let batch = 50;
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let route = *route;
            thread::spawn(move || {
                let mut stream = route.connect();
                let requests = route.request("bytes/100", "User-Agent: memory\r\nAccept: */*\r\n").repeat(batch);
                for _ in 0..(count / 4).div_ceil(batch as u64) {
                    stream.write_all(requests.as_bytes()).unwrap();
                    read_exactly(&mut stream, batch as u64 * (head(100).len() as u64 + 100));
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
}

fn websocket(route: &Route, count: u64) {
    let mut stream = route.connect();
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    stream.write_all(route.request(&format!("websocket/{count}"), upgrade).as_bytes()).unwrap();
    let first = read_head(&mut stream);
    read_exactly(&mut stream, count * FRAME.len() as u64 - first);
}

fn events(route: &Route, count: u64) {
    let mut stream = route.connect();
    stream.write_all(route.request(&format!("events/{count}"), "").as_bytes()).unwrap();
    let first = read_head(&mut stream);
    read_exactly(&mut stream, count * EVENT.len() as u64 - first);
}

fn read_body(stream: &mut TcpStream, size: u64) {
    let first = read_head(stream);
    read_exactly(stream, size - first);
}

/// Reads a head; returns the number of body bytes received with it.
fn read_head(stream: &mut TcpStream) -> u64 {
    let (mut bytes, mut piece) = (Vec::new(), [0; 1024]);
    loop {
        let n = stream.read(&mut piece).unwrap();
        assert!(n > 0, "no response");
        bytes.extend_from_slice(&piece[..n]);
        if let Some(at) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
            return (bytes.len() - at - 4) as u64;
        }
    }
}

fn read_exactly(stream: &mut TcpStream, mut size: u64) {
    let mut piece = vec![0; 64 << 10];
    while size > 0 {
        let most = usize::try_from(size).unwrap_or(usize::MAX).min(piece.len());
        let n = stream.read(&mut piece[..most]).unwrap();
        assert!(n > 0, "{size} bytes are missing");
        size -= n as u64;
    }
}

/// Serves `/bytes/N`, `/websocket/N` and `/events/N`.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let serve = move || serve(stream.unwrap());
            thread::Builder::new().stack_size(256 << 10).spawn(serve).unwrap();
        }
    });
    addr
}

fn serve(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let noise: Vec<u8> = (0..64u32 << 10).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    loop {
        let mut path = String::new();
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|n| n > 0) && line != "\r\n" {
            if path.is_empty() {
                path.clone_from(&line);
            }
            line.clear();
        }
        let mut words = path.split([' ', '/']).skip(2);
        let (Some(what), Some(count)) = (words.next(), words.next()) else { return };
        let mut left: u64 = count.parse().unwrap();
        let head = match what {
            "bytes" => head(left),
            "websocket" => "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
                .into(),
            _ => "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n".into(),
        };
        let small = if what == "websocket" { FRAME } else { EVENT };
        let (piece, unit) = match what {
            "bytes" => (noise.clone(), 1),
            _ => (small.repeat(1000), small.len()),
        };
        let mut bytes = head.into_bytes();
        while left > 0 {
            let units = left.min((piece.len() / unit) as u64);
            bytes.extend_from_slice(&piece[..usize::try_from(units).unwrap() * unit]);
            if stream.write_all(&bytes).is_err() {
                return;
            }
            bytes.clear();
            left -= units;
        }
    }
}

fn head(size: u64) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {size}\r\n\r\n")
}

/// A text message of 16 bytes.
const FRAME: &[u8] = b"\x81\x10{\"tick\": 123456}";

const EVENT: &[u8] = b"data: {\"tick\": 123456, \"price\": 1.5}\n\n";
