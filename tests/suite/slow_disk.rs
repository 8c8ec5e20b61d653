//! A disk that is slow or stalls slows the traffic, instead of filling the memory. A disk that hangs does not.

use crate::support::bundle::{Bundle, wait_until_written};
use crate::support::cli::{Spectral, spectral};
use crate::support::{Capture, Connection, Gate, HangingDisk, Origin, TIMEOUT, TempDir, Watched, next_request, now};
use nix::sys::signal::Signal;
use spectral_capture::Notice;
use std::time::Duration;

/// Little memory: a queue of 128 KiB, and spill buffers of 64 KiB.
const MEMORY: u64 = 1 << 20;
const MEMORY_ARG: &str = "1M";

/// An origin that sends N bytes for `GET …/N`, of a kind that is stored uncompressed, and nothing for `GET /unanswered`.
fn origin_of_sizes() -> Origin {
    Origin::plain(|mut connection| {
        while let Some((request, _)) = next_request(&mut connection) {
            if request.contains("/unanswered") {
                connection.read_to_end();
                return;
            }
            let size = request.split(' ').nth(1).unwrap().rsplit('/').next().unwrap().parse().unwrap();
            connection.send(format!("HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: {size}\r\n\r\n"));
            connection.send(vec![b'x'; size]);
        }
    })
}

/// A capture on a disk that can hang. It is a separate process: while the disk hangs, programs that other tests start would
/// wait for it, and would keep copies of our sockets open.
struct CaptureOnDisk {
    running: Spectral,
    disk: HangingDisk,
    _home: TempDir,
}

impl CaptureOnDisk {
    /// Returns `None` if there can be no such disk.
    fn start() -> Option<Self> {
        let (disk, home) = (HangingDisk::mount()?, TempDir::new());
        let output = disk.join("capture.zip");
        let running = Spectral::capture(&home, &["-o", output.to_str().unwrap(), "--memory", MEMORY_ARG]);
        Some(Self { running, disk, _home: home })
    }

    fn connect(&self, origin: &Origin) -> Connection {
        let mut connection = Connection::to(self.running.addr);
        let target = origin.authority("localhost");
        connection.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
        assert!(connection.read_head().starts_with("HTTP/1.1 200 "));
        connection.reader.set_read_timeout(2 * TIMEOUT);
        connection
    }

    /// Makes the first exchange and waits until it is written.
    fn first_exchange(&self, connection: &mut Connection) {
        get(connection, "first", 1);
        wait_until_written(&self.disk.backing("capture.zip.part"), "traces/t_0001.json");
    }

    /// Stops it, and returns its bundle and the number of lost exchanges.
    fn stop(self) -> (Bundle, u64, String) {
        self.running.signal(Signal::SIGINT);
        self.finish()
    }

    /// Waits for its end.
    fn finish(self) -> (Bundle, u64, String) {
        let err = self.running.wait_for_exit().err;
        let lost = err.lines().find_map(|line| line.strip_suffix(" could not be written and are lost"));
        let lost = lost.map_or(0, |line| line.split_whitespace().next().unwrap().parse().unwrap());
        (Bundle::open(&self.disk.join("capture.zip")), lost, err)
    }
}

#[track_caller]
fn get(connection: &mut Connection, path: &str, size: usize) {
    let response = connection.request(format!("GET /{path}/{size} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert_eq!((response.status, response.body.len()), (200, size));
}

#[test]
fn a_stalled_writer_slows_the_traffic_without_losses() {
    const NO_CONTENT: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
    const REQUESTS: usize = 600;
    const CONNECTIONS: usize = 4;
    // More exchanges than the queue of the writer holds; the first one stalls the writer.
    let go = Gate::default();
    let wait = go.clone();
    let capture = Capture::with_observer(
        move |notice| {
            if matches!(notice, Notice::Exchange { .. }) {
                wait.within(2 * TIMEOUT, |open| open.then_some(()));
            }
        },
        |config| config.limits.memory = MEMORY,
    );
    let origin = Origin::plain(|connection| crate::support::origin::respond_to_all(connection, NO_CONTENT));
    let responses = Watched::<usize>::default();
    let readers: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let mut connection = capture.connect(&origin.authority("localhost"));
            let responses = responses.clone();
            std::thread::spawn(move || {
                connection.reader.set_read_timeout(2 * TIMEOUT);
                for _ in 0..REQUESTS {
                    connection.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
                    connection.read_exactly(NO_CONTENT.len());
                    responses.update(|n| *n += 1);
                }
            })
        })
        .collect();
    // The traffic stalls once the queue is full: no response for a while.
    responses.until("the first response", |n| (*n > 0).then_some(()));
    let so_far = responses.settled(Duration::from_millis(700));
    // Before any assertion, because the capture cannot end earlier.
    go.open();
    // An exchange takes 500 bytes at least, and the queue an eighth of the memory.
    assert!((1..=MEMORY as usize / 8 / 500).contains(&so_far), "{so_far} responses while the writer was stalled");
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    let outcome = capture.stop();
    assert_eq!(outcome.summary.lost, 0);
    assert_eq!(outcome.summary.exchanges, (REQUESTS * CONNECTIONS) as u64);
}

#[test]
fn the_size_and_the_path_of_the_bundle_are_known_without_its_file() {
    let origin = origin_of_sizes();
    let capture = Capture::start();
    let gauge = capture.running().gauge();
    get(&mut capture.connect(&origin.authority("localhost")), "a", 100_000);
    let part = gauge.unfinished_bundle().unwrap();
    assert_eq!(part, capture.dir.join("capture.zip.part"));
    crate::support::eventually(|| (gauge.read().bundle > 100_000).then_some(()), || format!("{gauge:?}"));
    assert_eq!(gauge.read().bundle, part.metadata().unwrap().len());
    assert_eq!(gauge.read().stalled_write, None);
    capture.stop().assert_no_warnings();
}

#[test]
fn a_slow_disk_loses_nothing() {
    const SIZE: usize = 1 << 20;
    let Some(capture) = CaptureOnDisk::start() else { return };
    let origin = origin_of_sizes();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let mut connection = capture.connect(&origin);
            std::thread::spawn(move || {
                for _ in 0..3 {
                    get(&mut connection, "large", SIZE);
                    (0..100).for_each(|_| get(&mut connection, "small", 1));
                }
            })
        })
        .collect();
    // The disk works for some milliseconds at a time.
    let (never, mut pauses) = (Gate::default(), 0);
    while !clients.iter().all(std::thread::JoinHandle::is_finished) {
        let hang = capture.disk.hang();
        never.within(Duration::from_millis(30), |_| None::<()>);
        drop(hang);
        never.within(Duration::from_millis(5), |_| None::<()>);
        pauses += 1;
    }
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert!(pauses > 3, "{pauses} pauses");
    let (bundle, lost, err) = capture.stop();
    assert!(lost == 0 && !err.contains("warning"), "{err}");
    assert_eq!(bundle.traces.len(), 4 * 3 * 101);
    assert_eq!(bundle.traces.iter().filter(|trace| trace.response_body == [b'x'; SIZE]).count(), 4 * 3);
}

#[test]
fn traffic_goes_on_while_the_disk_hangs_and_is_captured_afterwards() {
    const SMALL: u64 = 1000;
    let Some(capture) = CaptureOnDisk::start() else { return };
    let origin = origin_of_sizes();
    let mut connection = capture.connect(&origin);
    capture.first_exchange(&mut connection);
    let hang = capture.disk.hang();
    let mut slowest = Duration::ZERO;
    for _ in 0..SMALL {
        let started = now();
        get(&mut connection, "small", 1);
        slowest = slowest.max(now() - started);
    }
    // Two seconds, and a quarter until that is noticed; the rest is for a busy machine.
    assert!((Duration::from_secs(1)..Duration::from_secs(8)).contains(&slowest), "{slowest:?} without a response");
    let started = now();
    get(&mut connection, "large", 8 << 20);
    assert!(now() - started < Duration::from_secs(8), "a large body waits {:?}", now() - started);
    capture.running.wait_for_line("spectral: warning: the disk has not completed a write for 2 s: ");
    drop(hang);
    let resumed = capture.running.wait_for_line("spectral: warning: the disk completes writes again; ");
    assert!(resumed.contains("exchanges or messages were dropped"), "{resumed}");
    get(&mut connection, "last", 2 << 20);
    let (bundle, lost, err) = capture.stop();
    assert!(bundle.trace("/last/2097152").response_body == [b'x'; 2 << 20]);
    let small = bundle.traces.iter().filter(|trace| trace.url().contains("/small/")).count() as u64;
    assert!((10..SMALL).contains(&small), "{small} exchanges while the disk hung");
    assert_eq!(bundle.traces.len() as u64 + lost, SMALL + 3, "each is captured or counted: {err}");
}

#[test]
fn connections_end_at_the_stop_while_the_disk_hangs() {
    let Some(capture) = CaptureOnDisk::start() else { return };
    let origin = origin_of_sizes();
    let mut connections: Vec<_> = (0..20).map(|_| capture.connect(&origin)).collect();
    capture.first_exchange(&mut connections[0]);
    let hang = capture.disk.hang();
    // The queue is full then, and each connection has an exchange to record.
    (0..500).for_each(|_| get(&mut connections[0], "small", 1));
    for connection in &mut connections {
        connection.send("GET /unanswered HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    capture.running.signal(Signal::SIGINT);
    for connection in &mut connections {
        connection.read_to_end();
    }
    drop(hang);
    let (bundle, lost, err) = capture.finish();
    // The unanswered requests are exchanges too, if they had arrived.
    assert!((501..=521).contains(&(bundle.traces.len() as u64 + lost)), "{err}");
}

#[test]
fn a_capture_that_is_given_up_names_the_bundle_that_was_deleted() {
    let Some(capture) = CaptureOnDisk::start() else { return };
    let origin = origin_of_sizes();
    let mut connection = capture.connect(&origin);
    capture.first_exchange(&mut connection);
    let part = capture.disk.join("capture.zip.part");
    std::fs::remove_file(&part).unwrap();
    capture.running.wait_for_line("another process deleted or replaced ");
    let hang = capture.disk.hang();
    get(&mut connection, "second", 1);
    capture.running.signal(Signal::SIGINT);
    capture.running.wait_for_line("spectral: warning: waiting for the disk, which has not completed a write for ");
    capture.running.signal(Signal::SIGINT);
    let error = capture.running.wait_for_line("spectral: error: the capture could not be ended: ");
    drop(hang);
    let place = format!(
        "; the bundle so far was in {}, which another process deleted or replaced: it is lost when this process exits; ",
        part.display()
    );
    assert!(error.contains(&place), "{error}");
    assert_eq!(capture.running.wait_for_exit().code, Some(1));
}

/// The kernel keeps the process until the disk answers: a write that the daemon has received cannot be interrupted.
#[test]
fn a_second_signal_ends_a_capture_whose_disk_hangs() {
    const GIVE_UP_AFTER: Duration = Duration::from_secs(10);
    let Some(capture) = CaptureOnDisk::start() else { return };
    let origin = origin_of_sizes();
    let mut connection = capture.connect(&origin);
    capture.first_exchange(&mut connection);
    let hang = capture.disk.hang();
    get(&mut connection, "second", 1);
    capture.running.signal(Signal::SIGINT);
    capture.running.wait_for_line("spectral: warning: waiting for the disk, which has not completed a write for ");
    let forced = now();
    capture.running.signal(Signal::SIGINT);
    let error = "spectral: error: the capture could not be ended: still waiting for the disk, which has not completed";
    let error = capture.running.wait_for_line(error);
    let waited = now() - forced;
    // From now on, the writer cannot complete the bundle.
    capture.running.wait_for_end_of_main_thread();
    drop(hang);
    let CaptureOnDisk { running, disk, _home: home } = capture;
    let output = running.wait_for_exit();
    assert_eq!(output.code, Some(1), "{}", output.err);
    assert!(waited >= GIVE_UP_AFTER - Duration::from_millis(200), "given up after {waited:?}");
    let part = disk.join("capture.zip.part");
    let part = part.to_str().unwrap();
    let place = format!("; the bundle so far is {part}, make a bundle of it with: spectral capture recover {part}; ");
    assert!(error.contains(&place), "{error}");
    assert!(error.ends_with("; if this process does not exit, the kernel keeps it until the disk answers"), "{error}");
    assert!(!disk.join("capture.zip").exists());
    let recovered = spectral(&home, &["capture", "recover", part]);
    assert_eq!(recovered.code, Some(0), "{}", recovered.err);
    assert_eq!(Bundle::open(&disk.join("capture.zip")).trace("/first/1").response_body, b"x");
}
