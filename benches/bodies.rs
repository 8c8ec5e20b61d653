//! Bodies with content codings under load: bursts of responses, an unrelated request meanwhile, and the stop.
//!
//! ```text
//! cargo bench --bench bodies -- [BINARY...] [--only NAME] [--rounds N] [--count N] [--seconds S]
//! ```
//!
//! 8 clients fetch one response again and again over kept-alive connections, each in a tunnel in the clear. The origin prepared
//! all responses before. Each kind of body is compared with two yardsticks of the same bytes: captured as `image/jpeg` without a
//! coding, and passed through. Meanwhile another connection fetches 2 bytes every 2 ms.
//!
//! - `burst`: 3,200 exchanges as fast as possible, then 10,000.
//! - `hurry`: the same, stopped by two signals. The bundle must hold all exchanges, with bodies as received.
//! - `sustained`: gzip, 1,000 exchanges per second for 60 s. The time of the stop shows how much was left.
//!
//! Printed for each, as the median of the rounds: exchanges per second and their ratio to both yardsticks; the times of the other
//! connection; CPU time of the program per exchange until the last response, and until the program has ended; the time of the
//! stop; the size of the bundle relative to the bodies received. Builds and yardsticks alternate. After each stop the bundle must
//! have all exchanges.
//!
//! `--only` selects kinds whose name contains NAME, or `burst`, `hurry`, `sustained`. `--test` runs one short round. `--json FILE`
//! only writes the JSON, of which `brotli -q 5` makes `benches/data/items.json.br`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a benchmark uses the clock, and prints")]

mod support;

use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use spectral_capture::reader::Bundle;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use support::figures::{Figure, has_flag, print_load};
use support::load::get;
use support::origin::{Route, Transport};
use support::prepared::{Responses, serve_prepared};
use support::program::Program;
use support::samples::{gzip, items, page};

fn main() {
    let options = Options::from_args();
    if let Some(file) = &options.json {
        return fs::write(file, items(JSON_BYTES)).unwrap();
    }
    let kinds: Vec<_> = kinds().into_iter().filter(|kind| options.is_wanted(kind.name)).collect();
    let bench = Bench::new(&kinds, options);
    print_load();
    for kind in &kinds {
        println!("\n{}: {} bytes, {} on the wire", kind.name, kind.content.len(), kind.encoded.len());
        if bench.options.is_mode_wanted("burst") {
            bench.options.counts.iter().for_each(|&count| bench.burst(kind, count));
        }
        if bench.options.is_mode_wanted("hurry") {
            bench.hurry(kind);
        }
        if kind.name == SUSTAINED_KIND && bench.options.is_mode_wanted("sustained") {
            bench.sustained(kind);
        }
    }
    print_load();
    fs::remove_dir_all(&bench.dir).unwrap();
}

/// A body as an origin sends it.
struct Kind {
    name: &'static str,
    media_type: &'static str,
    coding: Option<&'static str>,
    content: Vec<u8>,
    encoded: Vec<u8>,
}

fn kinds() -> Vec<Kind> {
    let (json, html) = (items(JSON_BYTES), page(HTML_BYTES));
    let zstd = compress_to_vec(&json[..], CompressionLevel::Fastest);
    let mut decoded = Vec::new();
    std::io::copy(&mut brotli_decompressor::Decompressor::new(BROTLI_JSON, 4096), &mut decoded).unwrap();
    assert!(decoded == json, "items.json.br is not made of the JSON: see --json");
    let json_kind =
        |name, coding, encoded| Kind { name, media_type: "application/json", coding, content: json.clone(), encoded };
    vec![
        json_kind(SUSTAINED_KIND, Some("gzip"), gzip(&json)),
        json_kind("JSON, br", Some("br"), BROTLI_JSON.to_vec()),
        json_kind("JSON, zstd", Some("zstd"), zstd),
        json_kind("JSON, uncoded", None, json.clone()),
        Kind { name: "HTML, gzip", media_type: "text/html", coding: Some("gzip"), encoded: gzip(&html), content: html },
    ]
}

struct Options {
    builds: Vec<PathBuf>,
    only: Vec<String>,
    rounds: usize,
    counts: Vec<usize>,
    sustained: Duration,
    json: Option<PathBuf>,
}

impl Options {
    fn from_args() -> Self {
        let mut options = match has_flag("--test") {
            true => Self::new(1, &[40], Duration::from_millis(200)),
            false => Self::new(3, &[3200, 10_000], Duration::from_secs(60)),
        };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--only" => options.only.push(args.next().unwrap()),
                "--rounds" => options.rounds = args.next().unwrap().parse().unwrap(),
                "--count" => options.counts = vec![args.next().unwrap().parse().unwrap()],
                "--seconds" => options.sustained = Duration::from_secs_f64(args.next().unwrap().parse().unwrap()),
                "--json" => options.json = args.next().map(PathBuf::from),
                "--test" | "--bench" => {}
                path => options.builds.push(fs::canonicalize(path).unwrap_or_else(|e| panic!("{path}: {e}"))),
            }
        }
        if options.builds.is_empty() {
            options.builds.push(env!("CARGO_BIN_EXE_spectral").into());
        }
        options
    }

    fn new(rounds: usize, counts: &[usize], sustained: Duration) -> Self {
        Self { builds: Vec::new(), only: Vec::new(), rounds, counts: counts.to_vec(), sustained, json: None }
    }

    /// True if the kind `name` is selected; without a selection of kinds all are.
    fn is_wanted(&self, name: &str) -> bool {
        let mut kinds = self.only.iter().filter(|only| !MODES.contains(&only.as_str())).peekable();
        kinds.peek().is_none() || kinds.any(|only| name.contains(only.as_str()))
    }

    fn is_mode_wanted(&self, mode: &str) -> bool {
        let mut modes = self.only.iter().filter(|only| MODES.contains(&only.as_str())).peekable();
        modes.peek().is_none() || modes.any(|only| only == mode)
    }
}

/// The treatment of a body.
#[derive(Clone, Copy, PartialEq)]
enum Variant {
    Passed,
    Image,
    Coded,
}

const VARIANTS: [Variant; 3] = [Variant::Passed, Variant::Image, Variant::Coded];

/// The number of signals that stop a program.
#[derive(Clone, Copy, PartialEq)]
enum Stop {
    Once,
    Twice,
}

struct Bench {
    options: Options,
    dir: PathBuf,
    origin: SocketAddr,
}

impl Bench {
    fn new(kinds: &[Kind], options: Options) -> Self {
        let dir = std::env::temp_dir().join(format!("spectral-bodies-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut responses = Responses::from([(SMALL_PATH.into(), response("text/plain", None, b"ok"))]);
        for kind in kinds {
            responses.insert(kind.path(Variant::Coded), response(kind.media_type, kind.coding, &kind.encoded));
            responses.insert(kind.path(Variant::Image), response("image/jpeg", None, &kind.encoded));
        }
        Self { options, dir, origin: serve_prepared(responses) }
    }

    /// Compares `count` exchanges with both yardsticks, in alternating rounds.
    fn burst(&self, kind: &Kind, count: usize) {
        let mut results: Vec<[Vec<Outcome>; 3]> = self.options.builds.iter().map(|_| Default::default()).collect();
        for round in 0..self.options.rounds {
            for at in alternating(self.options.builds.len(), round) {
                for variant in alternating(VARIANTS.len(), round).into_iter().map(|at| VARIANTS[at]) {
                    let outcome = self.measure(&self.options.builds[at], kind, variant, count, None, Stop::Once);
                    results[at][variant as usize].push(outcome);
                }
            }
        }
        print_header(&format!("{count} exchanges"));
        for (build, variants) in self.options.builds.iter().zip(&results) {
            let rate = |variant: Variant| median(&variants[variant as usize], |outcome| outcome.rate);
            for (variant, label) in VARIANTS.into_iter().zip(["passed through", "image/jpeg", kind.name]) {
                let ratio = |yardstick| rate(variant) / rate(yardstick);
                let ratios = [ratio(Variant::Image), ratio(Variant::Passed)].map(|ratio| format!("{ratio:.2}"));
                print_row(build, label, &variants[variant as usize], ratios);
            }
        }
    }

    /// Stops each build twice after a burst.
    fn hurry(&self, kind: &Kind) {
        let count = *self.options.counts.last().unwrap();
        print_header(&format!("{count} exchanges, stopped twice"));
        for build in &self.options.builds {
            let outcome = self.measure(build, kind, Variant::Coded, count, None, Stop::Twice);
            print_row(build, kind.name, &[outcome], Default::default());
        }
    }

    /// Sends exchanges at a steady rate.
    fn sustained(&self, kind: &Kind) {
        let count = (self.options.sustained.as_secs_f64() * SUSTAINED_RATE) as usize;
        print_header(&format!("{count} exchanges, {SUSTAINED_RATE} per second"));
        for build in &self.options.builds {
            for (variant, label) in [(Variant::Image, "image/jpeg"), (Variant::Coded, kind.name)] {
                let outcome = self.measure(build, kind, variant, count, Some(SUSTAINED_RATE), Stop::Once);
                print_row(build, label, &[outcome], Default::default());
            }
        }
    }

    /// Captures `count` exchanges with `build`, at most `pace` per second, and stops it.
    fn measure(
        &self,
        build: &Path,
        kind: &Kind,
        variant: Variant,
        count: usize,
        pace: Option<f64>,
        stop: Stop,
    ) -> Outcome {
        let excluded: &[&str] = if variant == Variant::Passed { &["-e", "*"] } else { &[] };
        let program = Program::start_build(build, &self.dir, excluded);
        let route = Route { origin: self.origin, proxy: Some(program.addr), transport: Transport::Clear };
        let load = Load { path: kind.path(variant), bytes: kind.encoded.len(), count, pace };
        let before = program.cpu();
        let sent = load.run(&route);
        let running = program.cpu().zip(before).map(|(after, before)| after - before);
        let stopped = match stop {
            Stop::Once => program.stop(),
            Stop::Twice => program.stop_in_a_hurry(HURRY),
        };
        let bundle = self.dir.join("capture.zip");
        let bundle_bytes = fs::metadata(&bundle).map_or(0, |metadata| metadata.len());
        let captured = if variant == Variant::Passed { 0 } else { count + sent.small.len() };
        if stop == Stop::Once {
            assert!(stopped.status.success(), "{}: {}", build.display(), stopped.stderr);
            check(&bundle, captured, (variant == Variant::Coded).then_some(kind));
        } else if let Err(e) = Bundle::open(&bundle).map(|bundle| assert_eq!(bundle.traces().len(), captured)) {
            println!("{}: no bundle: {e}", build.display());
        }
        fs::remove_dir_all(&self.dir).unwrap();
        fs::create_dir_all(&self.dir).unwrap();
        // The kernel frees the space of deleted files later, which would slow down the next measurement.
        rustix::fs::sync();
        let each = |time: Duration| time.as_secs_f64() * 1e3 / count as f64;
        Outcome {
            rate: count as f64 / sent.took.as_secs_f64(),
            small: [50, 99, 100].map(|percent| percentile(&sent.small, percent)),
            cpu_running: running.map_or(f64::NAN, each),
            cpu_in_all: each(stopped.cpu.saturating_sub(before.unwrap_or_default())),
            stop: stopped.took.as_secs_f64(),
            size: bundle_bytes as f64 / (count * kind.encoded.len()) as f64,
        }
    }
}

impl Kind {
    fn path(&self, variant: Variant) -> String {
        let label = if variant == Variant::Coded { "coded" } else { "image" };
        format!("/{label}/{}", self.name.replace([' ', ','], ""))
    }
}

fn response(media_type: &str, coding: Option<&str>, body: &[u8]) -> Vec<u8> {
    let coding = coding.map_or(String::new(), |coding| format!("Content-Encoding: {coding}\r\n"));
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\n{coding}Vary: Accept\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Asserts that the bundle has `count` exchanges, and that their bodies are decoded.
fn check(path: &Path, count: usize, kind: Option<&Kind>) {
    let bundle = Bundle::open(path).unwrap();
    assert_eq!(bundle.traces().len(), count);
    let Some(kind) = kind else { return };
    let large: Vec<_> = bundle
        .traces()
        .iter()
        .map(|id| bundle.trace(id).unwrap())
        .filter(|trace| trace.response.body_size > 2)
        .collect();
    for trace in &large {
        let (size, encoding) = (trace.response.body_size, &trace.response.body_encoding);
        assert!(size == kind.content.len() as u64 && encoding.is_none(), "{}: {size} {encoding:?}", trace.id);
    }
    for trace in large.first().into_iter().chain(large.last()) {
        assert!(bundle.response_body(trace).unwrap() == kind.content, "{} has another body", trace.id);
    }
}

/// Exchanges to send.
struct Load {
    path: String,
    bytes: usize,
    count: usize,
    /// Exchanges per second; `None` sends them as fast as possible.
    pace: Option<f64>,
}

/// The result of a load, seen by clients.
struct Sent {
    took: Duration,
    /// The times of the small requests, sorted.
    small: Vec<Duration>,
}

impl Load {
    fn run(&self, route: &Route) -> Sent {
        let request = route.request("GET", &self.path[1..], "");
        let small_request = route.request("GET", &SMALL_PATH[1..], "");
        let is_done = AtomicBool::new(false);
        let mut streams: Vec<_> = (0..CLIENTS).map(|_| route.connect()).collect();
        let mut other = route.connect();
        thread::scope(|scope| {
            let small = scope.spawn(|| {
                let mut times = Vec::new();
                while !is_done.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    get(&mut other, &small_request, 2);
                    times.push(began.elapsed());
                    thread::sleep(SMALL_PAUSE);
                }
                times.sort();
                times
            });
            let began = Instant::now();
            let clients: Vec<_> = streams
                .iter_mut()
                .enumerate()
                .map(|(client, stream)| {
                    let request = &request;
                    scope.spawn(move || {
                        for at in (client..self.count).step_by(CLIENTS) {
                            if let Some(pace) = self.pace {
                                let due = Duration::from_secs_f64(at as f64 / pace);
                                thread::sleep(due.saturating_sub(began.elapsed()));
                            }
                            get(stream, request, self.bytes);
                        }
                    })
                })
                .collect();
            clients.into_iter().for_each(|client| client.join().unwrap());
            let took = began.elapsed();
            is_done.store(true, Ordering::Relaxed);
            Sent { took, small: small.join().unwrap() }
        })
    }
}

/// The figures of one capture. CPU times are in ms per exchange.
struct Outcome {
    rate: f64,
    /// p50, p99 and the worst of the small requests, in ms.
    small: [f64; 3],
    cpu_running: f64,
    cpu_in_all: f64,
    stop: f64,
    /// The size of the bundle relative to the bodies received.
    size: f64,
}

fn print_header(title: &str) {
    println!(
        "{title:34} {:>8} {:>7} {:>9} {:>8} {:>8} {:>8} {:>9} {:>9} {:>8} {:>7}",
        "per s", "to jpeg", "to passed", "p50 ms", "p99 ms", "worst ms", "CPU ms", "in all", "stop s", "bundle"
    );
}

fn print_row(build: &Path, label: &str, outcomes: &[Outcome], [to_image, to_passed]: [String; 2]) {
    let median = |of: fn(&Outcome) -> f64| median(outcomes, of);
    let name = build.file_name().unwrap_or_default().to_string_lossy();
    let label = format!("{name}: {label}");
    println!(
        "{label:34} {:8.0} {to_image:>7} {to_passed:>9} {:8.2} {:8.2} {:8.1} {:9.3} {:9.3} {:8.2} {:7.3}",
        median(|outcome| outcome.rate),
        median(|outcome| outcome.small[0]),
        median(|outcome| outcome.small[1]),
        Figure::of(outcomes.iter().map(|outcome| outcome.small[2])).unwrap().most,
        median(|outcome| outcome.cpu_running),
        median(|outcome| outcome.cpu_in_all),
        Figure::of(outcomes.iter().map(|outcome| outcome.stop)).unwrap().most,
        median(|outcome| outcome.size),
    );
}

fn median(outcomes: &[Outcome], of: impl Fn(&Outcome) -> f64) -> f64 {
    Figure::of(outcomes.iter().map(of)).unwrap().median
}

/// Returns the indices below `count`, in an order that changes with each round.
fn alternating(count: usize, round: usize) -> Vec<usize> {
    let forward: Vec<_> = (0..count).collect();
    if round.is_multiple_of(2) { forward } else { forward.into_iter().rev().collect() }
}

/// Returns a percentile of the sorted `times`, in ms.
fn percentile(times: &[Duration], percent: usize) -> f64 {
    let at = ((times.len() * percent).div_ceil(100)).max(1) - 1;
    times[at].as_secs_f64() * 1e3
}

const MODES: [&str; 3] = ["burst", "hurry", "sustained"];

const CLIENTS: usize = 8;

const SUSTAINED_KIND: &str = "JSON, gzip";

/// Exchanges per second.
const SUSTAINED_RATE: f64 = 1000.0;

/// The path of the small response.
const SMALL_PATH: &str = "/small";

/// The pause between small requests. They are few beside the others.
const SMALL_PAUSE: Duration = Duration::from_millis(2);

/// The time between both signals of a stop in a hurry.
const HURRY: Duration = Duration::from_millis(200);

const JSON_BYTES: usize = 595_000;
const HTML_BYTES: usize = 60_000;

/// The JSON, encoded by `brotli -q 5`. No encoder is a dependency.
const BROTLI_JSON: &[u8] = include_bytes!("data/items.json.br");
