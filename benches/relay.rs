//! What a capture costs: the same traffic directly, through a proxy that only moves the bytes, and captured.
//!
//! ```text
//! clients ──────────────────────────────▶ origin      direct      (clients and origin are this process)
//! clients ─▶ benches/support/floor.rs ──▶ origin      floor       a process of its own
//! clients ─▶ spectral capture proxy ────▶ origin      captured    a process of its own
//! ```
//!
//! The three take turns in short rounds, so that a machine that slows down hits all alike, and every ratio is one of figures
//! from the same round. CPU time is that of the proxy's process alone, and counts until it has nothing more to do: on a machine
//! that others use too it is the steadiest of the figures. The ratios matter, not the figures.
//!
//! `cargo bench` runs it whole; with `--test` it runs one small round of each, to see that it works. `-- NAME` runs those whose
//! name has NAME in it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a benchmark asks the clock, and prints")]

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use support::figures::{Figure, is_asked, print_load, rounds};
use support::floor;
use support::origin::{Carried, ECHOED, Origin, Route, Stream, client_config, forgetful, head, skip};
use support::program::Program;
use support::samples::{json, noise, websocket_frame};

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    if let [role, dir] = &args[..]
        && role == "--floor"
    {
        return floor::main(Path::new(dir));
    }
    let wanted = args.iter().find(|arg| !arg.starts_with('-'));
    let amount = if is_asked("--test") { SMALL } else { WHOLE };
    let dir = std::env::temp_dir().join(format!("spectral-relay-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let origin = Origin::start(&dir.join("origin.pem"));
    print_load();
    let is_wanted = |name: &str| wanted.is_none_or(|wanted| name.contains(wanted.as_str()));
    for scenario in &SCENARIOS {
        if is_wanted(scenario.name) {
            run(scenario, amount, &dir, &origin);
        }
    }
    if is_wanted(IDLE) {
        idle(amount.idle, &dir, &origin);
    }
    print_load();
    fs::remove_dir_all(&dir).unwrap();
}

/// Traffic of one kind.
struct Scenario {
    name: &'static str,
    over: Over,
    work: fn(&Route, Amount, Meter<'_>) -> Measured,
    /// What is counted, and what each takes.
    unit: Unit,
    /// Whether the program is asked to let it pass through.
    passes: bool,
}

#[derive(Clone, Copy)]
enum Over {
    Tls,
    /// The same, and no session is resumed.
    NewTls,
    Clear,
    Plain,
}

#[derive(Clone, Copy)]
enum Unit {
    Each(&'static str),
    Megabyte,
}

/// How much is done in a round.
#[derive(Clone, Copy)]
struct Amount {
    /// For what is done again and again.
    time: Duration,
    /// For bodies, in MB.
    size: usize,
    /// Connections that idle.
    idle: usize,
}

/// Measures `scenario` over all three ways.
fn run(scenario: &Scenario, amount: Amount, dir: &Path, origin: &Origin) {
    let (label, more) = if scenario.passes { ("passed", &["-e", "*"][..]) } else { ("captured", &[][..]) };
    let (floor, captured) = (Program::floor(dir), captured(dir, more));
    let [origin_ca, floor_ca, our_ca] =
        ["origin.pem", "floor.pem", "ca/mitmproxy-ca-cert.pem"].map(|name| dir.join(name));
    let ways = [("direct", None, origin_ca), ("floor", Some(&floor), floor_ca), (label, Some(&captured), our_ca)];
    let routes = ways.each_ref().map(|(_, proxy, ca)| {
        let carried = match scenario.over {
            Over::Tls => Carried::Tls(Arc::new(client_config(&[ca]))),
            Over::NewTls => Carried::Tls(forgetful(&[ca])),
            Over::Clear => Carried::Clear,
            Over::Plain => Carried::Plain,
        };
        Route { origin: origin.addr, proxy: proxy.map(|proxy| proxy.addr), carried }
    });
    // The first use makes certificates, and loads what is loaded once.
    for (route, way) in routes.iter().zip(&ways) {
        (scenario.work)(route, SMALL, Meter(way.1));
    }
    let rounds = rounds(PATIENCE, || [0, 1, 2].map(|way| (scenario.work)(&routes[way], amount, Meter(ways[way].1))));
    print(scenario, ways.map(|(label, ..)| label), &rounds);
    drop(routes);
    stop([floor, captured], dir);
}

/// The program, which trusts the origin.
fn captured(dir: &Path, more: &[&str]) -> Program {
    let trusted = dir.join("origin.pem");
    Program::spectral(dir, &[more, &["--upstream-ca", trusted.to_str().unwrap()]].concat())
}

fn stop([floor, captured]: [Program; 2], dir: &Path) {
    let stopped = captured.stop();
    assert!(stopped.status.success(), "it lost something: {}", stopped.said);
    floor.stop();
    fs::remove_file(dir.join("capture.zip")).unwrap();
}

/// Measures what connections take that were used once and wait.
fn idle(count: usize, dir: &Path, origin: &Origin) {
    let programs = [Program::floor(dir), captured(dir, &[])];
    let ways = [("floor", "floor.pem"), ("captured", "ca/mitmproxy-ca-cert.pem")];
    let each = [0, 1].map(|way| {
        let (program, ca) = (&programs[way], dir.join(ways[way].1));
        let carried = Carried::Tls(Arc::new(client_config(&[&ca])));
        let route = Route { origin: origin.addr, proxy: Some(program.addr), carried };
        let ask = route.request("GET", "1024", "");
        let open = |_| {
            let mut stream = route.connect();
            get(&mut stream, &ask, 1024);
            stream
        };
        // What is loaded once is no part of it.
        drop(open(0));
        let before = program.resident()?;
        let streams: Vec<_> = (0..count).map(open).collect();
        // That it idles has to be noticed.
        thread::sleep(Duration::from_secs(2));
        let held = program.resident()?.saturating_sub(before);
        drop(streams);
        Some(held as f64 / count as f64)
    });
    println!("\n{IDLE}, {count} over TLS\n{:10} {:>15} {:>10}", "", "KB each", "to floor");
    match each {
        [Some(floor), Some(ours)] => {
            for ((label, _), each) in ways.iter().zip([floor, ours]) {
                println!("{label:10} {each:15.1} {:9.2}x", each / floor);
            }
        }
        _ => println!("There is no /proc here that tells the memory of another process."),
    }
    stop(programs, dir);
}

/// What one way came to in one round.
struct Measured {
    /// In a second.
    rate: f64,
    /// The CPU seconds that the proxy took for each; `None` if there is none, or nobody can say.
    cpu: Option<f64>,
}

/// Looks at a proxy while something is done.
#[derive(Clone, Copy)]
struct Meter<'p>(Option<&'p Program>);

impl Meter<'_> {
    /// `work` says how often it did what it does.
    fn measure(self, work: impl FnOnce() -> usize) -> Measured {
        let before = self.0.and_then(Program::cpu);
        let began = Instant::now();
        let count = work() as f64;
        let rate = count / began.elapsed().as_secs_f64();
        // What writes the bundle may still be at work for what was captured.
        let after = self.0.and_then(Program::cpu_at_rest);
        let cpu = after.zip(before).map(|(after, before)| (after - before).as_secs_f64() / count);
        Measured { rate, cpu }
    }
}

fn print(scenario: &Scenario, labels: [&str; 3], rounds: &[[Measured; 3]]) {
    let (unit, each, scale) = match scenario.unit {
        Unit::Each(unit) => (format!("{unit}s/s"), format!("CPU us/{unit}"), 1e6),
        Unit::Megabyte => ("MB/s".to_owned(), "CPU s/GB".to_owned(), 1e3),
    };
    println!(
        "\n{}\n{:10} {unit:>15} {:>10} {each:>19} {:>10}   in {} rounds",
        scenario.name,
        "",
        "to floor",
        "to floor",
        rounds.len()
    );
    for (way, label) in labels.iter().enumerate() {
        let rate = Figure::of(rounds.iter().map(|round| round[way].rate)).unwrap();
        let faster = Figure::of(rounds.iter().map(|round| round[way].rate / round[1].rate)).unwrap();
        print!("{label:10} {:15.0} {:9.2}x", rate.median, faster.median);
        let cpu = Figure::of(rounds.iter().filter_map(|round| round[way].cpu));
        // What took no tick of the clock compares with nothing.
        let cost = |round: &[Measured; 3]| Some(round[way].cpu? / round[1].cpu.filter(|&floor| floor > 0.0)?);
        let costs = Figure::of(rounds.iter().filter_map(cost));
        match cpu.zip(costs) {
            Some((cpu, costs)) => println!(
                " {:19.2} {:9.2}x   {:.2}x to {:.2}x",
                cpu.median * scale,
                costs.median,
                costs.least,
                costs.most
            ),
            None => println!(" {:>19}", "-"),
        }
    }
    if rounds.iter().all(|round| round[1].cpu.is_none()) {
        println!("There is no /proc here that tells the CPU time of another process.");
    }
}

fn requests(route: &Route, amount: Amount, meter: Meter<'_>) -> Measured {
    let ask = route.request("GET", "1024", "");
    let streams = (0..KEPT_ALIVE).map(|_| route.connect()).collect();
    meter.measure(|| at_once(streams, amount, |stream| get(stream, &ask, 1024)))
}

fn connections(route: &Route, amount: Amount, meter: Meter<'_>) -> Measured {
    let ask = route.request("GET", "1024", "");
    meter.measure(|| at_once(vec![(); NEW_AT_ONCE], amount, |()| get(&mut route.connect(), &ask, 1024)))
}

fn download(route: &Route, amount: Amount, meter: Meter<'_>) -> Measured {
    let size = amount.size * MEGABYTE;
    let mut stream = route.connect();
    meter.measure(|| {
        get(&mut stream, &route.request("GET", &size.to_string(), ""), size);
        amount.size
    })
}

fn upload(route: &Route, amount: Amount, meter: Meter<'_>) -> Measured {
    let fields = format!("Content-Type: application/octet-stream\r\nContent-Length: {}\r\n", amount.size * MEGABYTE);
    let (body, mut stream) = (noise(MEGABYTE), route.connect());
    meter.measure(|| {
        stream.get_mut().write_all(route.request("POST", "upload", &fields).as_bytes()).unwrap();
        (0..amount.size).for_each(|_| stream.get_mut().write_all(&body).unwrap());
        assert!(head(&mut stream).starts_with("HTTP/1.1 200"));
        amount.size
    })
}

fn echoes(route: &Route, amount: Amount, meter: Meter<'_>) -> Measured {
    let upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let (ask, message) =
        (route.request("GET", "echo", upgrade), websocket_frame(0x81, Some([1, 2, 3, 4]), &json(ECHOED)));
    let open = || {
        let mut stream = route.connect();
        stream.get_mut().write_all(ask.as_bytes()).unwrap();
        assert!(head(&mut stream).starts_with("HTTP/1.1 101"));
        stream
    };
    let streams = (0..KEPT_ALIVE).map(|_| open()).collect();
    meter.measure(|| {
        at_once(streams, amount, |stream| {
            stream.get_mut().write_all(&message).unwrap();
            skip(stream, 4 + ECHOED).unwrap();
        })
    })
}

fn get(stream: &mut Stream, ask: &str, size: usize) {
    stream.get_mut().write_all(ask.as_bytes()).unwrap();
    assert!(head(stream).starts_with("HTTP/1.1 200"));
    skip(stream, size).unwrap();
}

/// Does `one` again and again with each of `all` at once; how often together.
fn at_once<T: Send>(all: Vec<T>, amount: Amount, one: impl Fn(&mut T) + Sync) -> usize {
    let (end, one) = (Instant::now() + amount.time, &one);
    thread::scope(|scope| {
        let repeat = |mut each| {
            move || {
                let mut count = 0;
                while count == 0 || Instant::now() < end {
                    one(&mut each);
                    count += 1;
                }
                count
            }
        };
        let threads: Vec<_> = all.into_iter().map(|each| scope.spawn(repeat(each))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}

const IDLE: &str = "connections that idle";

/// As long a scenario takes at most, three rounds permitting.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections that are used again and again.
const KEPT_ALIVE: usize = 8;

/// Clients that connect at the same time.
const NEW_AT_ONCE: usize = 4;

const SCENARIOS: [Scenario; 7] = [
    scenario("GET of 1 KB, kept alive, 8 connections", Over::Tls, requests, Unit::Each("request")),
    scenario("new connections, one GET each", Over::NewTls, connections, Unit::Each("connection")),
    scenario("download of a ZIP of 256 MB", Over::Tls, download, Unit::Megabyte),
    scenario("upload of 256 MB, which the writer tries to compress", Over::Tls, upload, Unit::Megabyte),
    scenario("WebSocket, 1 KB back and forth, 8 connections", Over::Tls, echoes, Unit::Each("round trip")),
    scenario("http:// GET of 1 KB, kept alive, 8 connections", Over::Plain, requests, Unit::Each("request")),
    Scenario { passes: true, ..scenario("tunnel, download of 256 MB", Over::Clear, download, Unit::Megabyte) },
];

const fn scenario(
    name: &'static str,
    over: Over,
    work: fn(&Route, Amount, Meter<'_>) -> Measured,
    unit: Unit,
) -> Scenario {
    Scenario { name, over, work, unit, passes: false }
}

const WHOLE: Amount = Amount { time: Duration::from_millis(500), size: 256, idle: 250 };
const SMALL: Amount = Amount { time: Duration::from_millis(20), size: 2, idle: 10 };

/// A megabyte is 1,000,000 bytes here, as in what disks and networks are sold by.
const MEGABYTE: usize = 1_000_000;
