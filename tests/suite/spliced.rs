//! Large transfers that nobody looks at go through a pipe in the kernel: they arrive as they would without it, and the pipe is
//! given back.

use crate::support::cli::Spectral;
use crate::support::peers::{self, peer};
use crate::support::{Capture, Connection, Ending, Gate, Origin, ProxyProcess, TempDir, eventually, patterns};
use std::process::Command;
use std::thread;

const MANY: usize = 8 << 20;
/// Neither TLS nor HTTP.
const GO: &[u8] = b"\0\x01\x02go";

/// Bytes that repeat in no convenient place.
fn much() -> Vec<u8> {
    (0..MANY).map(|n| (n % 251 + n / 65_521) as u8).collect()
}

/// The built program, which captures nothing.
fn proxy() -> ProxyProcess {
    let dir = TempDir::new();
    ProxyProcess::from_running(Spectral::capture(&dir, &["-e", "*"]), dir)
}

/// A tunnel to `origin` through which `GO` went.
#[track_caller]
fn begin(proxy: &ProxyProcess, origin: &Origin) -> Connection {
    let mut connection = proxy.connect(&origin.at("127.0.0.1"));
    connection.send(GO);
    assert_eq!(origin.received_at_least(0, GO.len()), GO);
    connection
}

/// Waits until `subject` has as many descriptors open.
#[track_caller]
fn has(proxy: &ProxyProcess, descriptors: usize) {
    let held = || proxy.running.resources();
    // Where that cannot be known there is no splice(2) either.
    if held().is_some() {
        eventually(
            || held().filter(|held| held.descriptors == descriptors),
            || format!("{:?} are held, not {descriptors} descriptors", held()),
        );
    }
}

/// How many descriptors it has open now.
fn descriptors(proxy: &ProxyProcess) -> usize {
    proxy.running.resources().map_or(0, |held| held.descriptors)
}

#[test]
fn down_and_up_again_arrive_whole_and_the_pipe_is_given_back() {
    let origin = Origin::plain(|mut connection| {
        connection.read_exactly(GO.len());
        connection.send(much());
        assert!(connection.read_exactly(MANY) == much());
        connection.send("thanks");
    });
    let proxy = proxy();
    let mut connection = proxy.connect(&origin.at("127.0.0.1"));
    let sockets = descriptors(&proxy);
    // What is sent to it must not all find room in the kernel.
    connection.set_receive_buffer(64 << 10);
    connection.send(GO);
    // The client stands still, so the pipe is not empty: it stays however long that lasts.
    has(&proxy, sockets + 2);
    assert!(connection.read_exactly(MANY) == much());
    has(&proxy, sockets);
    connection.send(much());
    assert_eq!(connection.read_exactly(6), b"thanks");
    has(&proxy, sockets);
    drop(connection);
    proxy.end();
}

#[test]
fn both_ways_at_once_arrive_whole() {
    let origin = Origin::plain(|mut connection| {
        connection.read_exactly(GO.len());
        let mut writer = connection.writer.clone();
        let sending = thread::spawn(move || writer.send(much()));
        assert!(connection.read_exactly(MANY) == much());
        sending.join().unwrap();
    });
    let proxy = proxy();
    let mut connection = begin(&proxy, &origin);
    let sockets = descriptors(&proxy);
    let mut writer = connection.writer.clone();
    let sending = thread::spawn(move || writer.send(much()));
    assert!(connection.read_exactly(MANY) == much());
    sending.join().unwrap();
    has(&proxy, sockets);
    drop(connection);
    proxy.end();
}

#[test]
fn one_side_ends_and_still_hears_the_other() {
    let origin = Origin::plain(|mut connection| {
        connection.read_exactly(GO.len());
        connection.send(much());
        connection.finish();
        let (bytes, ending) = connection.read_to_end();
        assert!(bytes == much() && ending == Ending::Clean, "{} bytes, {ending:?}", bytes.len());
    });
    let proxy = proxy();
    let mut connection = begin(&proxy, &origin);
    let (bytes, ending) = connection.read_to_end();
    assert!(bytes == much() && ending == Ending::Clean, "{} bytes, {ending:?}", bytes.len());
    connection.send(much());
    drop(connection);
    proxy.end();
}

#[test]
fn a_reset_is_passed_on_both_ways() {
    let gate = Gate::default();
    let opened = gate.clone();
    let origin = Origin::plain(move |mut connection| {
        connection.read_exactly(GO.len());
        connection.send(much());
        opened.pass();
        connection.reset();
    });
    let down = proxy();
    let mut connection = begin(&down, &origin);
    assert!(connection.read_exactly(MANY) == much());
    gate.open();
    assert_eq!(connection.read_to_end(), (Vec::new(), Ending::Reset));
    down.end();

    let origin = Origin::plain(|mut connection| {
        connection.read_exactly(GO.len());
        assert!(connection.read_exactly(MANY) == much());
        connection.send("thanks");
        assert_eq!(connection.read_to_end(), (Vec::new(), Ending::Reset));
    });
    let up = proxy();
    let mut connection = begin(&up, &origin);
    connection.send(much());
    assert_eq!(connection.read_exactly(6), b"thanks");
    connection.reset();
    up.end();
}

#[test]
fn one_that_stands_still_does_not_keep_the_capture_from_its_end() {
    let origin = Origin::plain(|mut connection| {
        connection.read_exactly(GO.len());
        // The reset that this meets is what the stop makes of it.
        connection.writer.try_send(&much().repeat(4)).ok();
        connection.reset();
    });
    let capture = Capture::with(|config| config.exclude = patterns(&["*"]));
    let mut connection = capture.connect(&origin.at("127.0.0.1"));
    connection.set_receive_buffer(64 << 10);
    connection.send(GO);
    let begun = connection.read_exactly(1 << 20);
    assert!(begun == much()[..1 << 20]);
    capture.stop();
    assert_eq!(connection.read_to_end().1, Ending::Reset, "half a transfer must not look like a whole one");
}

#[test]
fn without_a_descriptor_to_spare_all_is_copied() {
    let Some(prlimit) = peer("prlimit") else { return };
    let gate = Gate::default();
    let opened = gate.clone();
    let origin = Origin::plain(move |mut connection| {
        connection.read_exactly(GO.len());
        opened.pass();
        connection.send(much());
        assert!(connection.read_exactly(MANY) == much());
        connection.send("thanks");
    });
    let proxy = proxy();
    let mut connection = begin(&proxy, &origin);
    let sockets = descriptors(&proxy);
    let limit = |most: usize| {
        let pid = proxy.running.pid().to_string();
        peers::run(Command::new(&prlimit).args(["--pid", &pid, &format!("--nofile={most}:1000")])).ok();
    };
    limit(3);
    gate.open();
    for _ in 0..64 {
        assert_eq!(descriptors(&proxy), sockets);
        connection.reader.has_more();
    }
    assert!(connection.read_exactly(MANY) == much());
    connection.send(much());
    assert_eq!(connection.read_exactly(6), b"thanks");
    limit(1000);
    drop(connection);
    proxy.end();
}

#[test]
fn what_passes_unseen_is_counted() {
    let origin = Origin::plain(|mut connection| {
        connection.read_exactly(GO.len());
        connection.send(much());
        assert!(connection.read_exactly(MANY) == much());
        connection.send("thanks");
    });
    let capture = Capture::discover();
    let mut connection = capture.connect(&origin.at("127.0.0.1"));
    connection.send(GO);
    assert!(connection.read_exactly(MANY) == much());
    connection.send(much());
    assert_eq!(connection.read_exactly(6), b"thanks");
    drop(connection);
    let outcome = capture.stop();
    let domain = outcome.summary.domains.iter().find(|domain| domain.name == "127.0.0.1").unwrap();
    assert_eq!((domain.sent, domain.received), ((MANY + GO.len()) as u64, (MANY + 6) as u64));
}
