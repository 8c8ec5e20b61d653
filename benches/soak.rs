//! A capture that lasts: mixed traffic of several clients at a moderate rate, while memory, threads and descriptors are sampled.
//!
//! ```text
//! cargo bench --bench soak -- [BINARY] [--minutes N] [--dir DIR] [--full-speed]
//! ```
//!
//! The clients use TLS, clear tunnels and plain requests: GETs of text with gzip, br and without coding, uploads, downloads of
//! 5 MB, WebSockets, HTTP/2, new connections, aborted responses, silent connections and idle tunnels. The capture rotates every
//! two minutes. Each line is a sample, every 10 s: resident memory, threads, descriptors, the spill file, the exchanges sent so
//! far, and the slowest small GET since the last sample. Afterwards the bundles are merged: the result must have each exchange
//! and each message that was sent, by kind.
//!
//! The default is 30 minutes. `--full-speed` sends without pauses. `--dir` keeps the bundles in DIR, an empty directory.
//! `--test` runs for two seconds at full speed, as a check.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a benchmark uses the clock, and prints")]

mod support;

use spectral_capture::reader::Bundle;
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};
use support::figures::{Figure, has_flag, print_load};
use support::http2;
use support::origin::{ECHOED, Origin, Route, Stream, Transport, client_config, head, skip, websocket};
use support::prepared::Responses;
use support::program::Program;
use support::samples::{gzip, items, json, page, websocket_frame};

fn main() {
    let options = Options::from_args();
    let is_temporary = options.dir.is_none();
    let dir = options
        .dir
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("spectral-soak-{}", std::process::id())));
    fs::create_dir_all(&dir).unwrap();
    let origin = Origin::start_prepared(&dir.join("origin.pem"), responses());
    let trusted = dir.join("origin.pem");
    let rotate = if has_flag("--test") { "1s" } else { "2min" };
    let more = ["--upstream-ca", trusted.to_str().unwrap(), "--rotate", rotate, "--log-every", "1m"];
    let program = Program::start_build(&options.build, &dir, &more);
    print_load();
    let (sent, samples) = run(&options, &program, clients(&origin, &program, &dir));
    print_load();
    print_trend(&samples);
    let stopped = program.stop();
    println!(
        "stopped in {:.1} s; CPU {:.1} s in all; messages:",
        stopped.took.as_secs_f64(),
        stopped.cpu.as_secs_f64()
    );
    print!("{}", stopped.stderr);
    assert!(stopped.status.success());
    let captured = captured(&options.build, &dir);
    println!("{:12} {:>10} {:>10}", "", "sent", "captured");
    for name in sent.0.keys().chain(captured.0.keys().filter(|name| !sent.0.contains_key(*name))) {
        println!("{name:12} {:10} {:10}", sent.count(name), captured.count(name));
    }
    assert!(sent == captured, "these must be equal");
    if is_temporary {
        fs::remove_dir_all(&dir).unwrap();
    }
}

struct Options {
    build: PathBuf,
    time: Duration,
    dir: Option<PathBuf>,
    is_paced: bool,
}

impl Options {
    fn from_args() -> Self {
        let is_test = has_flag("--test");
        let time = Duration::from_secs(if is_test { 2 } else { 30 * 60 });
        let is_paced = !is_test && !has_flag("--full-speed");
        let mut options = Self { build: env!("CARGO_BIN_EXE_spectral").into(), time, dir: None, is_paced };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--minutes" => {
                    options.time = Duration::from_secs_f64(args.next().unwrap().parse::<f64>().unwrap() * 60.0)
                }
                "--dir" => options.dir = args.next().map(PathBuf::from),
                "--test" | "--bench" | "--full-speed" => {}
                path => options.build = fs::canonicalize(path).unwrap_or_else(|e| panic!("{path}: {e}")),
            }
        }
        options
    }
}

/// Numbers of exchanges by the kind of their client, and of [`MESSAGES`].
#[derive(Default, PartialEq)]
struct Counts(BTreeMap<String, u64>);

impl Counts {
    fn add(&mut self, name: &str, number: u64) {
        *self.0.entry(name.to_owned()).or_default() += number;
    }

    fn count(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }
}

/// A client that repeats one step.
struct Client {
    name: &'static str,
    per_second: f64,
    step: Step,
}

/// Sends one exchange, or some messages, and counts what it sent.
type Step = Box<dyn FnMut(&mut Counts) + Send>;

/// Opens the connections of all clients.
fn clients(origin: &Origin, program: &Program, dir: &Path) -> Vec<Client> {
    let config = client_config(&[&dir.join("ca/mitmproxy-ca-cert.pem")]);
    let mut http2_config = config.clone();
    http2_config.alpn_protocols = vec![b"h2".to_vec()];
    let route = |transport| Route { origin: origin.addr, proxy: Some(program.addr), transport };
    let [tls, http2_tls] = [config, http2_config].map(|config| route(Transport::Tls(Arc::new(config))));
    let (clear, plain) = (route(Transport::Clear), route(Transport::Plain));
    let client = |name, per_second, step| Client { name, per_second, step };
    vec![
        client(SMALL, 40.0, repeated(&tls, SMALL, "1024")),
        client("gzip", 20.0, repeated(&tls, "gzip", "gzip")),
        client("uncoded", 10.0, repeated(&tls, "uncoded", "60000")),
        client("br", 1.0, repeated(&tls, "br", "br")),
        client("large", 0.05, repeated(&tls, "large", "5000000")),
        client("clear", 20.0, repeated(&clear, "clear", "html")),
        client("plain", 20.0, repeated(&plain, "plain", "gzip")),
        client("post", 20.0, upload(&tls)),
        client("new", 10.0, new_connection(&tls)),
        client("idle", 2.0, idle(&tls)),
        client("aborted", 5.0, abort(&tls)),
        client("silent", 5.0, silent(&clear)),
        client(WEBSOCKET, 20.0, echo(&tls)),
        client(HTTP2, 20.0, http2_get(http2_tls)),
        client(HTTP2, 10.0, http2_get(clear)),
    ]
}

/// GETs on one connection.
fn repeated(route: &Route, name: &'static str, path: &str) -> Step {
    let request = route.request("GET", &format!("{path}?{name}"), "");
    let mut stream = route.connect();
    Box::new(move |counts| {
        exchange(&mut stream, request.as_bytes());
        counts.add(name, 1);
    })
}

fn upload(route: &Route) -> Step {
    let body = json(POST_BYTES);
    let fields = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    let request = [route.request("POST", "upload?post", &fields).as_bytes(), &body].concat();
    let mut stream = route.connect();
    Box::new(move |counts| {
        exchange(&mut stream, &request);
        counts.add("post", 1);
    })
}

/// A connection for each GET.
fn new_connection(route: &Route) -> Step {
    let (route, request) = (route.clone(), route.request("GET", "1024?new", ""));
    Box::new(move |counts| {
        exchange(&mut route.connect(), request.as_bytes());
        counts.add("new", 1);
    })
}

/// Tunnels that are used in turns.
fn idle(route: &Route) -> Step {
    let request = route.request("GET", "1024?idle", "");
    let mut streams: Vec<_> = (0..IDLE_TUNNELS).map(|_| route.connect()).collect();
    Box::new(move |counts| {
        exchange(&mut streams[0], request.as_bytes());
        streams.rotate_left(1);
        counts.add("idle", 1);
    })
}

/// Closes each connection in the middle of its response.
fn abort(route: &Route) -> Step {
    let (route, request) = (route.clone(), route.request("GET", "500/1000?aborted", ""));
    Box::new(move |counts| {
        let mut stream = route.connect();
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        head(&mut stream);
        skip(&mut stream, 500).unwrap();
        counts.add(ABORTED, 1);
    })
}

/// Connections, and tunnels, that are closed before they send anything.
fn silent(route: &Route) -> Step {
    let (route, mut open) = (route.clone(), Vec::new());
    let proxy = route.proxy.unwrap();
    Box::new(move |_| {
        open.push((TcpStream::connect(proxy).unwrap(), route.connect()));
        if open.len() > SILENT_CONNECTIONS {
            open.remove(0);
        }
    })
}

/// A WebSocket whose messages are echoed. After some messages it is replaced.
fn echo(route: &Route) -> Step {
    let message = websocket_frame(0x81, Some([1, 2, 3, 4]), &json(ECHOED));
    let (route, mut open) = (route.clone(), None);
    let mut left = 0;
    Box::new(move |counts| {
        if left == 0 {
            open = Some(websocket(&route, &format!("echo?{WEBSOCKET}")));
            counts.add(WEBSOCKET, 1);
            left = ECHOES_PER_WEBSOCKET;
        }
        let stream = open.as_mut().unwrap();
        stream.get_mut().write_all(&message).unwrap();
        skip(stream, 4 + ECHOED).unwrap();
        counts.add(MESSAGES, 2);
        left -= 1;
    })
}

fn http2_get(route: Route) -> Step {
    let mut client = http2::Client::connect(&route);
    let mut left = STREAMS_PER_CONNECTION;
    Box::new(move |counts| {
        if left == 0 {
            client = http2::Client::connect(&route);
            left = STREAMS_PER_CONNECTION;
        }
        client.get();
        counts.add(HTTP2, 1);
        left -= 1;
    })
}

/// Sends `request` and reads the whole response.
fn exchange(stream: &mut Stream, request: &[u8]) {
    stream.get_mut().write_all(request).unwrap();
    let response = head(stream);
    let (_, length) = response.split_once("Content-Length: ").expect("a whole response");
    skip(stream, length.lines().next().unwrap().parse().unwrap()).unwrap();
}

/// The responses of the origin besides those that it has itself.
fn responses() -> Responses {
    let text = |media_type: &str, coding: &str, body: &[u8]| {
        let length = body.len();
        let fields =
            format!("Content-Type: {media_type}\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n");
        [b"HTTP/1.1 200 OK\r\n", fields.as_bytes(), b"\r\n", body].concat()
    };
    Responses::from([
        ("/gzip".into(), text("application/json", "gzip", &gzip(&items(60_000)))),
        ("/html".into(), text("text/html", "gzip", &gzip(&page(20_000)))),
        ("/br".into(), text("application/json", "br", include_bytes!("data/items.json.br"))),
    ])
}

/// The state of the program at one moment.
struct Sample {
    resident_kb: u64,
    threads: u64,
    descriptors: u64,
    /// Bytes of the spill file.
    spilled: u64,
}

impl Sample {
    /// Returns `None` without /proc.
    fn take(program: &Program) -> Option<Self> {
        let (descriptors, spilled) = program.descriptors()?;
        Some(Self { resident_kb: program.resident()?, threads: program.threads()?, descriptors, spilled })
    }
}

/// Repeats the steps of all clients until the time is over. Their connections stay open until all have ended.
fn run(options: &Options, program: &Program, clients: Vec<Client>) -> (Counts, Vec<Sample>) {
    let (began, is_over) = (Instant::now(), AtomicBool::new(false));
    let (steps, slowest) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        let work = |mut client: Client| {
            let (is_over, steps, slowest) = (&is_over, &steps, &slowest);
            move || {
                let (mut counts, mut number) = (Counts::default(), 0);
                while !is_over.load(Relaxed) {
                    let before = Instant::now();
                    (client.step)(&mut counts);
                    steps.fetch_add(1, Relaxed);
                    if client.name == SMALL {
                        slowest.fetch_max(before.elapsed().as_micros() as u64, Relaxed);
                    }
                    number += 1;
                    let due = Duration::from_secs_f64(f64::from(number) / client.per_second);
                    // A client that waits looks at the end in between.
                    while options.is_paced && began.elapsed() < due && !is_over.load(Relaxed) {
                        thread::sleep(due.saturating_sub(began.elapsed()).min(Duration::from_millis(100)));
                    }
                }
                (client, counts)
            }
        };
        let threads: Vec<_> = clients.into_iter().map(|client| scope.spawn(work(client))).collect();
        println!(
            "{:>7} {:>8} {:>8} {:>12} {:>9} {:>10} {:>11}",
            "s", "RSS MB", "threads", "descriptors", "spill MB", "steps", "slowest ms"
        );
        let mut samples = Vec::new();
        while began.elapsed() < options.time && threads.iter().all(|thread| !thread.is_finished()) {
            thread::sleep(SAMPLE_INTERVAL.min(options.time.saturating_sub(began.elapsed())));
            let Some(sample) = Sample::take(program) else { continue };
            let Sample { resident_kb, threads, descriptors, spilled } = &sample;
            println!(
                "{:7.0} {:8.1} {threads:8} {descriptors:12} {:9.1} {:10} {:11.1}",
                began.elapsed().as_secs_f64(),
                *resident_kb as f64 / 1024.0,
                *spilled as f64 / 1e6,
                steps.load(Relaxed),
                slowest.swap(0, Relaxed) as f64 / 1e3
            );
            samples.push(sample);
        }
        is_over.store(true, Relaxed);
        let mut all = Counts::default();
        let ended: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        for (name, number) in ended.iter().flat_map(|(_, counts)| &counts.0) {
            all.add(name, *number);
        }
        (all, samples)
    })
}

/// Compares the first third of the samples with the last.
fn print_trend(samples: &[Sample]) {
    let third = samples.len().div_ceil(3);
    let (first, last) = (&samples[..third], &samples[samples.len() - third..]);
    println!("median (least to most) of the first third of the samples, and of the last");
    let print = |name: &str, of: fn(&Sample) -> f64| {
        let [first, last] = [first, last].map(|samples| match Figure::of(samples.iter().map(of)) {
            Some(Figure { median, least, most }) => format!("{median:.1} ({least:.1} to {most:.1})"),
            None => "no /proc".into(),
        });
        println!("{name:12} {first:>26} {last:>26}");
    };
    print("RSS, MB", |sample| sample.resident_kb as f64 / 1024.0);
    print("threads", |sample| sample.threads as f64);
    print("descriptors", |sample| sample.descriptors as f64);
    print("spill, MB", |sample| sample.spilled as f64 / 1e6);
}

/// Merges the bundles in `dir`, and counts what they have.
fn captured(build: &Path, dir: &Path) -> Counts {
    let mut bundles: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    bundles.retain(|path| path.extension().is_some_and(|extension| extension == "zip"));
    bundles.sort();
    let merged = dir.join("merged.zip");
    let began = Instant::now();
    let mut command = Command::new(build);
    let output = command.args(["capture", "merge"]).args(&bundles).arg("-o").arg(&merged).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!("{} bundles merged in {:.1} s", bundles.len(), began.elapsed().as_secs_f64());
    let bundle = Bundle::open(merged).unwrap();
    let (mut counts, mut cut_off) = (Counts::default(), 0);
    for id in bundle.traces().iter() {
        let trace = bundle.trace(id).unwrap();
        let url = &trace.request.url;
        let name = if url.contains(http2::PATH) { HTTP2 } else { url.rsplit('?').next().unwrap() };
        counts.add(name, 1);
        cut_off += u64::from(trace.cut_off.is_some());
    }
    assert_eq!(cut_off, counts.count(ABORTED), "only aborted responses are cut off");
    let messages = bundle.websockets().iter().map(|id| bundle.messages(id).len() as u64).sum();
    counts.add(MESSAGES, messages);
    counts
}

const SMALL: &str = "small";
const ABORTED: &str = "aborted";
const WEBSOCKET: &str = "websocket";
const HTTP2: &str = "HTTP/2";

/// Counts WebSocket messages of both directions.
const MESSAGES: &str = "messages";

const POST_BYTES: usize = 8000;

/// Each is used every 20 s.
const IDLE_TUNNELS: usize = 40;

const SILENT_CONNECTIONS: usize = 20;
const ECHOES_PER_WEBSOCKET: usize = 300;
const STREAMS_PER_CONNECTION: usize = 2000;
const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);
