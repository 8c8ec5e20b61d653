//! Captures in a process of another program: nothing of them is left after they end.
//!
//! One test only: it counts the threads and descriptors of its process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "a test has deadlines")]

use spectral_capture::reader::Bundle;
use spectral_capture::{CaSource, Config, Proxy, Running};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);

#[test]
#[cfg(target_os = "linux")]
fn a_hundred_captures_leave_nothing_behind() {
    let dir = TempDir::new();
    let origin = origin();
    // The first ones start what stays: the buffers of the allocator.
    (0..20).for_each(|_| drop(capture_one(&dir.0, origin)));
    let (before, memory) = (counts(), resident_bytes());
    for n in 0..100 {
        let running = capture_one(&dir.0, origin);
        match n % 3 {
            0 => assert_eq!(running.stop().exchanges, 1),
            1 => assert_eq!(running.stop_within(LONG).exchanges, 1),
            _ => drop(running),
        }
        assert_eq!(Bundle::open(dir.0.join("capture.zip")).unwrap().traces().len(), 1);
        fs::remove_file(dir.0.join("capture.zip")).unwrap();
    }
    // Threads end some moments after their work.
    let deadline = Instant::now() + LONG;
    let is_more = |(threads, descriptors)| threads > before.0 || descriptors > before.1;
    while is_more(counts()) {
        assert!(Instant::now() < deadline, "threads and descriptors: {before:?} before, {:?} after", counts());
        thread::yield_now();
    }
    let growth = resident_bytes().saturating_sub(memory);
    assert!(growth < 2 << 20, "{growth} bytes");
    let names: Vec<_> = fs::read_dir(&dir.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["ca"], "files");
}

/// Starts a capture to `capture.zip`, and sends one request through it.
fn capture_one(dir: &Path, origin: SocketAddr) -> Running {
    let _ = fs::remove_file(dir.join("capture.zip"));
    let mut config = Config::capture(dir.join("capture.zip"));
    config.listen.set_port(0);
    config.capture_options_mut().unwrap().ca = CaSource::Dir(dir.join("ca"));
    let running = Proxy::bind(config).unwrap().start().unwrap();
    let mut client = TcpStream::connect(running.addr()).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    write!(client, "GET http://{origin}/ HTTP/1.1\r\nHost: {origin}\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    client.read_to_string(&mut response).unwrap();
    assert!(response.ends_with("\r\n\r\nok"), "{response}");
    let deadline = Instant::now() + LONG;
    while running.gauge().read().exchanges == 0 {
        assert!(Instant::now() < deadline);
        thread::yield_now();
    }
    running
}

/// Starts an origin that answers one request on each connection.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let mut request = Vec::new();
            let mut piece = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                match socket.read(&mut piece).unwrap() {
                    0 => break,
                    n => request.extend_from_slice(&piece[..n]),
                }
            }
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    addr
}

/// Returns the numbers of threads and of open descriptors.
fn counts() -> (usize, usize) {
    let count = |path| fs::read_dir(path).unwrap().count();
    (count("/proc/self/task"), count("/proc/self/fd"))
}

/// Returns the resident memory.
fn resident_bytes() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// A folder that is deleted at the end.
struct TempDir(PathBuf);

impl TempDir {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("spectral-embedding-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
