//! The duration of a stop, from the signal to the end of the program: with connections in the middle of their responses, and
//! with idle ones.
//!
//! The program is a process of its own; this process has the clients and the origin. The bundle must hold all exchanges.
//!
//! `cargo bench` stops 200 connections or 4,500 idle ones, `--full` 1,000 or 4,500; `--test` stops 20 once, as a check.
//! `--idle` measures idle connections only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::disallowed_macros, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a benchmark uses the clock")]

mod support;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use spectral_capture::reader::Bundle;
use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::figures::{Figure, has_flag, print_load};
use support::origin::{Origin, Route, Transport, client_config, head};
use support::program::Program;

fn main() {
    let (connections, idle, rounds) = match () {
        () if has_flag("--test") => (20, 20, 1),
        () if has_flag("--full") => (1000, 4500, 5),
        () => (200, 4500, 3),
    };
    // Both ends of each connection are in this process.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();

    let dir = std::env::temp_dir().join(format!("spectral-stop-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let origin = Origin::start(&dir.join("origin.pem"));
    print_load();
    let report = |name: &str, took: &mut dyn FnMut() -> Duration| {
        let took = Figure::of((0..rounds).map(|_| took().as_secs_f64())).unwrap();
        println!("{name:26} {:8.2}   at worst {:.2}", took.median, took.most);
    };
    if !has_flag("--idle") {
        println!("Stop with {connections} live connections, seconds from the signal to the end");
        for (name, size) in
            [("1 KB of each response", 1 << 10), ("100 KB of each", 100 << 10), ("1 MB of each", 1 << 20)]
        {
            report(name, &mut || stop(&dir, &origin, connections, size));
        }
    }
    println!("Stop with {idle} idle connections; resident memory before it");
    for (name, kind) in [
        ("TLS tunnels", Kind::Tls),
        ("clear tunnels", Kind::Clear),
        ("silent tunnels", Kind::Silent),
        ("plain clients", Kind::Plain),
        ("silent clients", Kind::Fresh),
    ] {
        let mut resident = None;
        report(name, &mut || {
            let (took, before) = stop_idle(&dir, &origin, idle, kind);
            resident = resident.max(before);
            took
        });
        let resident = resident.map_or("no /proc".into(), |kb| format!("{} MB", kb / 1024));
        println!("{:26} {resident:>8}", "");
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// The kind of idle connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// TLS tunnels after an exchange.
    Tls,
    /// Tunnels of clear HTTP after an exchange.
    Clear,
    /// Tunnels without a byte.
    Silent,
    /// Connections of plain requests after an exchange.
    Plain,
    /// Connections without a byte.
    Fresh,
}

/// Returns the duration of a stop, and the resident memory before it. The `connections` have been silent until they released
/// their threads.
fn stop_idle(dir: &Path, origin: &Origin, connections: usize, kind: Kind) -> (Duration, Option<u64>) {
    let program = Program::spectral(dir, &["--upstream-ca", dir.join("origin.pem").to_str().unwrap()]);
    let transport = match kind {
        Kind::Tls => Transport::Tls(Arc::new(client_config(&[&dir.join("ca/mitmproxy-ca-cert.pem")]))),
        Kind::Clear | Kind::Silent => Transport::Clear,
        Kind::Plain | Kind::Fresh => Transport::Plain,
    };
    let route = Route { origin: origin.addr, proxy: Some(program.addr), transport };
    let request = route.request("GET", "2", "");
    let has_exchange = !matches!(kind, Kind::Silent | Kind::Fresh);
    let live: Vec<_> = (0..connections)
        .map(|_| {
            let mut stream = route.connect();
            if has_exchange {
                stream.get_mut().write_all(request.as_bytes()).unwrap();
                head(&mut stream);
                stream.read_exact(&mut [0; 2]).unwrap();
            }
            stream
        })
        .collect();
    let began = Instant::now();
    while program.threads().is_some_and(|threads| threads > MAX_THREADS) {
        assert!(began.elapsed() < Duration::from_secs(20), "{:?} threads of idle connections", program.threads());
        std::thread::sleep(Duration::from_millis(100));
    }
    let resident = program.resident();
    let stopped = program.stop();
    drop(live);
    assert!(stopped.status.success() && stopped.stderr.is_empty(), "{}", stopped.stderr);
    let bundle = dir.join("capture.zip");
    let exchanges = if has_exchange { connections } else { 0 };
    assert_eq!(Bundle::open(&bundle).unwrap().traces().len(), exchanges);
    std::fs::remove_file(&bundle).unwrap();
    (stopped.took, resident)
}

/// Returns the duration of a stop after each of the connections has received `size` bytes of its response.
fn stop(dir: &Path, origin: &Origin, connections: usize, size: usize) -> Duration {
    let program = Program::spectral(dir, &["--upstream-ca", dir.join("origin.pem").to_str().unwrap()]);
    let config = Arc::new(client_config(&[&dir.join("ca/mitmproxy-ca-cert.pem")]));
    let route = Route { origin: origin.addr, proxy: Some(program.addr), transport: Transport::Tls(config) };
    let request = route.request("GET", &format!("{size}/{}", size * 2), "");
    let live: Vec<_> = (0..connections)
        .map(|_| {
            let mut stream = route.connect();
            stream.get_mut().write_all(request.as_bytes()).unwrap();
            head(&mut stream);
            stream.read_exact(&mut vec![0; size]).unwrap();
            stream
        })
        .collect();
    let stopped = program.stop();
    drop(live);
    assert!(stopped.status.success() && stopped.stderr.is_empty(), "{}", stopped.stderr);
    let bundle = dir.join("capture.zip");
    assert_eq!(Bundle::open(&bundle).unwrap().traces().len(), connections);
    std::fs::remove_file(&bundle).unwrap();
    stopped.took
}

/// The most threads of a program whose connections are idle.
const MAX_THREADS: u64 = 20;
