//! What capturing costs: the same requests over TLS, directly, through a tunnel that is only relayed, and captured.
//!
//! Client, proxy and origin share this process and take turns in short rounds, so that a machine that slows down hits all
//! alike. CPU time is the process's own: what is above `direct` is the proxy's. Look at the ratios, not at the figures.
//!
//! `cargo bench` runs it whole; with `--test` it runs one small round of each, to see that it works.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::disallowed_macros, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a benchmark asks the clock")]

mod support;

use spectral_capture::{Config, Pattern, Proxy, Running};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use support::{Origin, Route, client_config, head};

fn main() {
    let quick = std::env::args().any(|arg| arg == "--test");
    let dir = std::env::temp_dir().join(format!("spectral-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let origin = Origin::start(&dir.join("origin.pem"));
    let relayed = proxy(&dir, "relayed.zip", true);
    let captured = proxy(&dir, "captured.zip", false);

    let trusting = |files: &[&Path]| Arc::new(client_config(files));
    let (origin_ca, our_ca) = (dir.join("origin.pem"), dir.join("ca/mitmproxy-ca-cert.pem"));
    let routes = [
        ("direct", None, trusting(&[&origin_ca])),
        ("relayed", Some(relayed.addr()), trusting(&[&origin_ca])),
        ("captured", Some(captured.addr()), trusting(&[&our_ca])),
    ];
    let scenarios: [(&str, &str, Work); 3] = [
        ("GET of 1 KB, kept alive", "us/request", |route| requests(route, 2_000, 1 << 10)),
        ("new connection, one GET of 1 KB", "us/connection", |route| connections(route, 200)),
        ("download of 64 MB", "us/MB", |route| requests(route, 1, 64 << 20) * 64),
    ];
    for (name, unit, work) in scenarios {
        println!("\n{name}\n{:10} {unit:>14} {:>10} {:>10}", "", "wall", "proxy CPU");
        let rounds = if quick { 1 } else { 7 };
        let mut figures = vec![Vec::new(); routes.len()];
        for _ in 0..rounds {
            for (i, (_, proxy, config)) in routes.iter().enumerate() {
                let route = Route { origin: origin.addr, proxy: *proxy, config: Arc::clone(config) };
                figures[i].push(measure(|| work(&route)));
            }
        }
        let medians: Vec<_> = figures.into_iter().map(median).collect();
        for (i, (label, ..)) in routes.iter().enumerate() {
            let (cpu, wall) = medians[i];
            let (ratio, more) = (wall / medians[0].1, cpu - medians[0].0);
            println!("{label:10} {cpu:14.1} {ratio:9.2}x {more:10.1}");
        }
    }
    for running in [relayed, captured] {
        let summary = running.stop();
        assert_eq!(summary.lost, 0);
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Does something so many times.
type Work = fn(&Route) -> u64;

fn requests(route: &Route, count: u64, size: usize) -> u64 {
    let mut stream = route.connect();
    let mut buffer = vec![0; 128 << 10];
    for _ in 0..count {
        write!(stream, "GET /{size} HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n").unwrap();
        head(&mut stream);
        let mut left = size;
        while left > 0 {
            let most = left.min(buffer.len());
            left -= stream.read(&mut buffer[..most]).unwrap();
        }
    }
    count
}

fn connections(route: &Route, count: u64) -> u64 {
    for _ in 0..count {
        requests(route, 1, 1 << 10);
    }
    count
}

/// CPU and wall time of each of the things done, in microseconds.
fn measure(work: impl FnOnce() -> u64) -> (f64, f64) {
    let (cpu, wall) = (cpu_time(), Instant::now());
    let count = work() as f64;
    // The writer may still be at work for what was captured; its time counts too.
    thread::sleep(Duration::from_millis(30));
    let wall = wall.elapsed() - Duration::from_millis(30);
    ((cpu_time() - cpu).as_micros() as f64 / count, wall.as_micros() as f64 / count)
}

/// The CPU time of this process so far, user and system.
fn cpu_time() -> Duration {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let sum = usage.user_time() + usage.system_time();
    Duration::from_micros((sum.tv_sec() * 1_000_000 + i64::from(sum.tv_usec() as i32)) as u64)
}

fn median(mut figures: Vec<(f64, f64)>) -> (f64, f64) {
    let mut middle = |by: fn(&(f64, f64)) -> f64| {
        figures.sort_by(|a, b| by(a).total_cmp(&by(b)));
        by(&figures[figures.len() / 2])
    };
    (middle(|figure| figure.0), middle(|figure| figure.1))
}

fn proxy(dir: &Path, bundle: &str, excluded: bool) -> Running {
    let mut config = Config::capture(dir.join(bundle));
    config.listen.set_port(0);
    config.ca_dir = Some(dir.join("ca"));
    config.upstream_ca.push(dir.join("origin.pem"));
    if excluded {
        config.exclude.push(Pattern::parse("*").unwrap());
    }
    Proxy::bind(config).unwrap().start().unwrap()
}
