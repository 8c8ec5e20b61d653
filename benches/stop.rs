//! How long a stop takes: from the signal to the end of the program, with connections in the middle of their answers.
//!
//! The program runs as its users run it; this process is the clients and the origin. What was under way has to be in the bundle.
//!
//! `cargo bench` runs it whole; with `--test` it stops a few connections once, to see that it works.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::disallowed_macros, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a benchmark asks the clock")]

mod support;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{Signal, kill};
use spectral_capture::reader::Bundle;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::{Origin, Route, client_config, head};

fn main() {
    let quick = std::env::args().any(|arg| arg == "--test");
    let (connections, rounds) = if quick { (20, 1) } else { (1000, 5) };
    // Each connection has both its ends in this process.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();

    let dir = std::env::temp_dir().join(format!("spectral-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let origin = Origin::start(&dir.join("origin.pem"));
    println!("Stop with {connections} live connections, seconds from the signal to the end");
    for (name, size) in
        [("1 KB of each answer came", 1 << 10), ("100 KB of each", 100 << 10), ("1 MB of each", 1 << 20)]
    {
        let mut figures: Vec<_> = (0..rounds).map(|_| stop(&dir, &origin, connections, size)).collect();
        figures.sort();
        let (median, worst) = (figures[figures.len() / 2], figures[figures.len() - 1]);
        println!("{name:26} {:8.2}   at worst {:.2}", median.as_secs_f64(), worst.as_secs_f64());
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

/// How long a stop takes while `size` bytes of the answer have come on each of so many connections.
fn stop(dir: &Path, origin: &Origin, connections: usize, size: usize) -> Duration {
    let bundle = dir.join("stop.zip");
    let mut child = Command::new(env!("CARGO_BIN_EXE_spectral"))
        .args(["capture", "proxy", "-q", "-p", "0", "--ca-dir"])
        .arg(dir.join("ca"))
        .arg("--upstream-ca")
        .arg(dir.join("origin.pem"))
        .arg("-o")
        .arg(&bundle)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut addr = String::new();
    said.read_line(&mut addr).unwrap();
    let config = Arc::new(client_config(&[&dir.join("ca/mitmproxy-ca-cert.pem")]));
    let route = Route { origin: origin.addr, proxy: Some(addr.trim().parse().unwrap()), config };
    let live: Vec<_> = (0..connections)
        .map(|_| {
            let mut stream = route.connect();
            write!(stream, "GET /{size}/{} HTTP/1.1\r\nHost: localhost\r\n\r\n", size * 2).unwrap();
            head(&mut stream);
            stream.read_exact(&mut vec![0; size]).unwrap();
            stream
        })
        .collect();
    let took = interrupt(&mut child);
    drop(live);
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "it complained");
    assert_eq!(Bundle::open(&bundle).unwrap().traces().len(), connections);
    std::fs::remove_file(&bundle).unwrap();
    took
}

fn interrupt(child: &mut Child) -> Duration {
    let began = Instant::now();
    kill(nix::unistd::Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    assert!(child.wait().unwrap().success());
    began.elapsed()
}
