//! The cost of a capture: the same traffic sent directly, through a proxy that only forwards bytes, and captured.
//!
//! ```text
//! clients ──────────────────────────────▶ origin      direct      (clients and origin are this process)
//! clients ─▶ benches/support/floor.rs ──▶ origin      floor       a process of its own
//! clients ─▶ spectral capture proxy ────▶ origin      captured    a process of its own
//! ```
//!
//! The three alternate in short rounds, so that a slowdown of the machine affects all of them, and each ratio compares figures of
//! one round. CPU time is measured for the proxy's process only, until it is idle: on a shared machine it is the steadiest
//! figure. Compare the ratios rather than the absolute figures.
//!
//! `cargo bench` runs all scenarios; `--test` runs one small round of each, as a check. `-- NAME` selects scenarios whose name
//! contains NAME.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a benchmark uses the clock, and prints")]

mod support;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use support::figures::{Figure, has_flag, print_load, rounds};
use support::floor;
use support::load::{Measured, Meter, get, repeat_on_each};
use support::origin::{
    ECHOED, MESSAGE, Origin, Route, Transport, UPGRADE, client_config, head, skip, websocket, without_resumption,
};
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
    let amount = if has_flag("--test") { TEST_AMOUNT } else { FULL_AMOUNT };
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

/// One kind of traffic.
struct Scenario {
    name: &'static str,
    protocol: Protocol,
    work: fn(&Route, Amount, Meter<'_>) -> Measured,
    /// The unit of the results.
    unit: Unit,
    /// True if the program is configured to pass it through.
    is_passthrough: bool,
}

#[derive(Clone, Copy)]
enum Protocol {
    Tls,
    /// TLS without session resumption.
    FreshTls,
    Clear,
    Plain,
}

#[derive(Clone, Copy)]
enum Unit {
    Each(&'static str),
    Megabyte,
}

/// The amount of work in a round.
#[derive(Clone, Copy)]
struct Amount {
    /// The duration of repeated operations.
    time: Duration,
    /// The size of bodies in MB.
    size: usize,
    /// The number of WebSocket messages.
    messages: usize,
    /// The number of idle connections.
    idle: usize,
}

/// Measures `scenario` on all three routes.
fn run(scenario: &Scenario, amount: Amount, dir: &Path, origin: &Origin) {
    let (label, more) = if scenario.is_passthrough { ("passed", &["-e", "*"][..]) } else { ("captured", &[][..]) };
    let (floor, captured) = (Program::floor(dir), captured(dir, more));
    let [origin_ca, floor_ca, our_ca] =
        ["origin.pem", "floor.pem", "ca/mitmproxy-ca-cert.pem"].map(|name| dir.join(name));
    let ways = [("direct", None, origin_ca), ("floor", Some(&floor), floor_ca), (label, Some(&captured), our_ca)];
    let routes = ways.each_ref().map(|(_, proxy, ca)| {
        let transport = match scenario.protocol {
            Protocol::Tls => Transport::Tls(Arc::new(client_config(&[ca]))),
            Protocol::FreshTls => Transport::Tls(without_resumption(&[ca])),
            Protocol::Clear => Transport::Clear,
            Protocol::Plain => Transport::Plain,
        };
        Route { origin: origin.addr, proxy: proxy.map(|proxy| proxy.addr), transport }
    });
    // The first use creates certificates and initializes lazily loaded state.
    for (route, way) in routes.iter().zip(&ways) {
        (scenario.work)(route, TEST_AMOUNT, Meter(way.1));
    }
    let rounds = rounds(TIME_LIMIT, || [0, 1, 2].map(|way| (scenario.work)(&routes[way], amount, Meter(ways[way].1))));
    print(scenario, ways.map(|(label, ..)| label), &rounds);
    drop(routes);
    stop([floor, captured], dir);
}

/// Starts the program with the origin's CA trusted.
fn captured(dir: &Path, more: &[&str]) -> Program {
    let trusted = dir.join("origin.pem");
    Program::spectral(dir, &[more, &["--upstream-ca", trusted.to_str().unwrap()]].concat())
}

fn stop([floor, captured]: [Program; 2], dir: &Path) {
    let stopped = captured.stop();
    assert!(stopped.status.success(), "the capture lost something: {}", stopped.stderr);
    floor.stop();
    fs::remove_file(dir.join("capture.zip")).unwrap();
}

/// Measures the memory of idle connections that were used once.
fn idle(count: usize, dir: &Path, origin: &Origin) {
    let programs = [Program::floor(dir), captured(dir, &[])];
    let ways = [("floor", "floor.pem"), ("captured", "ca/mitmproxy-ca-cert.pem")];
    let each = [0, 1].map(|way| {
        let (program, ca) = (&programs[way], dir.join(ways[way].1));
        let transport = Transport::Tls(Arc::new(client_config(&[&ca])));
        let route = Route { origin: origin.addr, proxy: Some(program.addr), transport };
        let request = route.request("GET", "1024", "");
        let open = |_| {
            let mut stream = route.connect();
            get(&mut stream, &request, 1024);
            stream
        };
        // The first connection initializes lazily loaded state.
        drop(open(0));
        let before = program.resident()?;
        let streams: Vec<_> = (0..count).map(open).collect();
        // The program needs some time to detect idle connections.
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
        _ => println!("no /proc: memory cannot be measured"),
    }
    stop(programs, dir);
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
        // A floor below the clock's resolution has no ratio.
        let cost = |round: &[Measured; 3]| Some(round[way].cpu? / round[1].cpu.filter(|&floor| floor > 0.0)?);
        let costs = Figure::of(rounds.iter().filter_map(cost));
        match cpu.zip(costs) {
            Some((cpu, costs)) => {
                print!(" {:19.2} {:9.2}x   {:.2}x to {:.2}x", cpu.median * scale, costs.median, costs.least, costs.most)
            }
            None => print!(" {:>19} {:>28}", "-", ""),
        }
        let p99 = Figure::of(rounds.iter().filter_map(|round| round[way].p99));
        let slower = Figure::of(rounds.iter().filter_map(|round| Some(round[way].p99? / round[1].p99?)));
        match p99.zip(slower) {
            Some((p99, slower)) => println!("   p99 {:.2} ms {:.2}x", p99.median * 1e3, slower.median),
            None => println!(),
        }
    }
    if rounds.iter().all(|round| round[1].cpu.is_none()) {
        println!("no /proc: CPU time cannot be measured");
    }
}

fn requests(route: &Route, amount: Amount, meter: Meter<'_>) -> Measured {
    let request = route.request("GET", "1024", "");
    let streams = (0..KEEP_ALIVE_CONNECTIONS).map(|_| route.connect()).collect();
    meter.measure_timed(|| repeat_on_each(streams, amount.time, |stream| get(stream, &request, 1024)))
}

fn connections(route: &Route, amount: Amount, meter: Meter<'_>) -> Measured {
    let request = route.request("GET", "1024", "");
    meter.measure_timed(|| {
        repeat_on_each(vec![(); CONCURRENT_CLIENTS], amount.time, |()| get(&mut route.connect(), &request, 1024))
    })
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
    let message = websocket_frame(0x81, Some([1, 2, 3, 4]), &json(ECHOED));
    let streams = (0..KEEP_ALIVE_CONNECTIONS).map(|_| websocket(route, "echo")).collect();
    meter.measure_timed(|| {
        repeat_on_each(streams, amount.time, |stream| {
            stream.get_mut().write_all(&message).unwrap();
            skip(stream, 4 + ECHOED).unwrap();
        })
    })
}

fn messages(route: &Route, amount: Amount, meter: Meter<'_>) -> Measured {
    let mut stream = route.connect();
    let request = route.request("GET", &amount.messages.to_string(), UPGRADE);
    meter.measure(|| {
        stream.get_mut().write_all(request.as_bytes()).unwrap();
        assert!(head(&mut stream).starts_with("HTTP/1.1 101"));
        skip(&mut stream, amount.messages * MESSAGE.len()).unwrap();
        amount.messages
    })
}

const IDLE: &str = "idle connections";

/// The time limit of a scenario, except that it runs at least three rounds.
const TIME_LIMIT: Duration = Duration::from_secs(10);

/// The number of persistent connections.
const KEEP_ALIVE_CONNECTIONS: usize = 8;

/// The number of clients that connect concurrently.
const CONCURRENT_CLIENTS: usize = 4;

const SCENARIOS: [Scenario; 8] = [
    scenario("GET of 1 KB, kept alive, 8 connections", Protocol::Tls, requests, Unit::Each("request")),
    scenario("new connections, one GET each", Protocol::FreshTls, connections, Unit::Each("connection")),
    scenario("download of a ZIP of 256 MB", Protocol::Tls, download, Unit::Megabyte),
    scenario("upload of 256 MB, which the writer tries to compress", Protocol::Tls, upload, Unit::Megabyte),
    scenario("WebSocket, 1 KB back and forth, 8 connections", Protocol::Tls, echoes, Unit::Each("round trip")),
    scenario("WebSocket, messages of one byte, cleartext", Protocol::Clear, messages, Unit::Each("message")),
    scenario("http:// GET of 1 KB, kept alive, 8 connections", Protocol::Plain, requests, Unit::Each("request")),
    Scenario {
        is_passthrough: true,
        ..scenario("tunnel, download of 256 MB", Protocol::Clear, download, Unit::Megabyte)
    },
];

const fn scenario(
    name: &'static str,
    protocol: Protocol,
    work: fn(&Route, Amount, Meter<'_>) -> Measured,
    unit: Unit,
) -> Scenario {
    Scenario { name, protocol, work, unit, is_passthrough: false }
}

const FULL_AMOUNT: Amount = Amount { time: Duration::from_millis(500), size: 256, messages: 300_000, idle: 250 };
const TEST_AMOUNT: Amount = Amount { time: Duration::from_millis(20), size: 2, messages: 1000, idle: 10 };

/// A megabyte has 1,000,000 bytes, as for disks and networks.
const MEGABYTE: usize = 1_000_000;
