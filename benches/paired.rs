//! CPU time per request of two builds of the program, measured in turns.
//!
//! ```text
//! cargo bench --bench paired -- OLD NEW [--rounds N] [--seconds S] [--messages N]
//! ```
//!
//! Each round starts each build as `capture proxy`, sends GETs of 1 KB over 8 connections with TLS for S seconds (3), and
//! divides the user and system time of the process by the requests. With `--messages`, an origin instead sends N messages of one
//! byte over a WebSocket in the clear, and the time includes the stop. The order of the builds changes with each round. It prints
//! the median of the rounds' ratios (new to old) and their spread. The default is 20 rounds, about 3 minutes.
//!
//! Without OLD and NEW it measures this build against itself, which shows the noise of the machine. With `--test` it runs two
//! short rounds, to check that it works.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a benchmark prints, and uses /proc")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use support::figures::{Figure, has_flag, print_load};
use support::load::{Measured, Meter, get, repeat_on_each};
use support::origin::{MESSAGE, Origin, Route, Transport, client_config, skip, websocket};
use support::program::{Program, Stopped};

fn main() {
    let (builds, rounds, load) = arguments();
    let dir = std::env::temp_dir().join(format!("spectral-paired-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let origin = Origin::start(&dir.join("origin.pem"));
    print_load();
    println!(
        "{:>5} {:>14} {:>14} {:>8} {:>12} {:>12} {:>11} {:>11}",
        "round", "old CPU us", "new CPU us", "ratio", "old per s", "new per s", "old p99 ms", "new p99 ms"
    );
    let mut measured = Vec::new();
    for round in 0..rounds {
        let mut pair = [None, None];
        for at in if round % 2 == 0 { [0, 1] } else { [1, 0] } {
            pair[at] = Some(measure(&builds[at], &dir, &origin, &load));
        }
        let [old, new] = pair.map(Option::unwrap);
        let [old_cpu, new_cpu] = [&old, &new].map(|each| each.cpu.expect("this benchmark needs /proc") * 1e6);
        let ratio = new_cpu / old_cpu;
        let [old_p99, new_p99] = [&old, &new].map(|each| each.p99.unwrap_or_default() * 1e3);
        println!(
            "{:5} {old_cpu:14.2} {new_cpu:14.2} {ratio:8.3} {:12.0} {:12.0} {old_p99:11.2} {new_p99:11.2}",
            round + 1,
            old.rate,
            new.rate
        );
        measured.push((old_cpu, new_cpu, ratio));
    }
    let figure = |of: fn(&(f64, f64, f64)) -> f64| Figure::of(measured.iter().map(of)).unwrap().median;
    println!("median CPU each: old {:.2} us, new {:.2} us", figure(|round| round.0), figure(|round| round.1));
    let mut ratios: Vec<_> = measured.iter().map(|round| round.2).collect();
    ratios.sort_by(f64::total_cmp);
    println!(
        "median of the ratios: {:.3}   10th to 90th percentile: {:.3} to {:.3}   least to most: {:.3} to {:.3}   rounds: {rounds}",
        percentile(&ratios, 50),
        percentile(&ratios, 10),
        percentile(&ratios, 90),
        percentile(&ratios, 0),
        percentile(&ratios, 100),
    );
    print_load();
    fs::remove_dir_all(&dir).unwrap();
}

/// The traffic of one measurement.
enum Load {
    /// GETs of 1 KB for this time.
    Requests(Duration),
    /// The number of WebSocket messages of one byte.
    Messages(usize),
}

/// The builds, the number of rounds, and the traffic of one measurement.
fn arguments() -> ([PathBuf; 2], usize, Load) {
    let (mut rounds, mut seconds) = if has_flag("--test") { (2, 0.1) } else { (20, 3.0) };
    let mut messages = None;
    let mut builds: Vec<PathBuf> = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => rounds = args.next().unwrap().parse().unwrap(),
            "--seconds" => seconds = args.next().unwrap().parse().unwrap(),
            "--messages" => messages = args.next().map(|number| number.parse().unwrap()),
            "--test" | "--bench" => {}
            path => builds.push(fs::canonicalize(path).unwrap_or_else(|e| panic!("{path}: {e}"))),
        }
    }
    if builds.is_empty() {
        builds = vec![env!("CARGO_BIN_EXE_spectral").into(); 2];
    }
    let builds = builds.try_into().expect("two programs, OLD and NEW");
    (builds, rounds, messages.map_or(Load::Requests(Duration::from_secs_f64(seconds)), Load::Messages))
}

/// Starts `build` and measures it under load.
fn measure(build: &Path, dir: &Path, origin: &Origin, load: &Load) -> Measured {
    let program = Program::start_build(build, dir, &["--upstream-ca", dir.join("origin.pem").to_str().unwrap()]);
    let config = Arc::new(client_config(&[&dir.join("ca/mitmproxy-ca-cert.pem")]));
    let route = |transport| Route { origin: origin.addr, proxy: Some(program.addr), transport };
    let measured = match *load {
        Load::Requests(time) => requests(&route(Transport::Tls(config)), &program, time),
        Load::Messages(count) => {
            let before = program.cpu();
            let measured = messages(&route(Transport::Clear), count);
            let stopped = stop(program, build, dir);
            let cpu = before.map(|before| (stopped.cpu - before).as_secs_f64() / count as f64);
            return Measured { cpu, ..measured };
        }
    };
    stop(program, build, dir);
    measured
}

fn requests(route: &Route, program: &Program, time: Duration) -> Measured {
    let request = route.request("GET", "1024", "");
    let run = |time| {
        let streams = (0..CONNECTIONS).map(|_| route.connect()).collect();
        Meter(Some(program)).measure_timed(|| repeat_on_each(streams, time, |stream| get(stream, &request, 1024)))
    };
    // The first connections initialize lazily loaded state.
    run(time / 10);
    run(time)
}

fn messages(route: &Route, count: usize) -> Measured {
    Meter(None).measure(|| {
        skip(&mut websocket(route, &count.to_string()), count * MESSAGE.len()).unwrap();
        count
    })
}

fn stop(program: Program, build: &Path, dir: &Path) -> Stopped {
    let stopped = program.stop();
    assert!(stopped.status.success(), "{}: {}", build.display(), stopped.stderr);
    fs::remove_file(dir.join("capture.zip")).unwrap();
    stopped
}

/// Interpolates between the nearest two of the sorted `values`.
fn percentile(values: &[f64], percent: usize) -> f64 {
    let place = (values.len() - 1) * percent;
    let (low, part) = (place / 100, (place % 100) as f64 / 100.0);
    let high = (low + 1).min(values.len() - 1);
    values[low] + (values[high] - values[low]) * part
}

const CONNECTIONS: usize = 8;
