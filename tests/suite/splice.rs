//! Large passthrough transfers use splice(2) through a pipe in the kernel: bytes arrive unchanged, and the pipe is
//! released.

use crate::support::cli::Spectral;
use crate::support::peers::{self, peer};
use crate::support::{Capture, Connection, Ending, Gate, Origin, ProxyProcess, TempDir, eventually, options, patterns};
use std::process::Command;
use std::thread;

const SIZE: usize = 8 << 20;
/// Bytes that are neither TLS nor HTTP.
const START: &[u8] = b"\0\x01\x02go";

/// Returns bytes with a period that does not divide buffer sizes.
fn large_data() -> Vec<u8> {
    (0..SIZE).map(|n| (n % 251 + n / 65_521) as u8).collect()
}

/// Starts the built program without captured hosts.
fn proxy() -> ProxyProcess {
    let dir = TempDir::new();
    ProxyProcess::from_running(Spectral::capture(&dir, &["-e", "*"]), dir)
}

/// Opens a tunnel to `origin` and sends `START` through it.
#[track_caller]
fn open_tunnel(proxy: &ProxyProcess, origin: &Origin) -> Connection {
    let mut connection = proxy.connect(&origin.authority("127.0.0.1"));
    connection.send(START);
    assert_eq!(origin.received_at_least(0, START.len()), START);
    connection
}

/// Waits until `proxy` has that number of open descriptors.
#[track_caller]
fn wait_for_descriptors(proxy: &ProxyProcess, descriptors: usize) {
    let resources = || proxy.running.resources();
    // Without /proc there is no splice(2) either.
    if resources().is_some() {
        eventually(
            || resources().filter(|resources| resources.descriptors == descriptors),
            || format!("{:?} are held, not {descriptors} descriptors", resources()),
        );
    }
}

/// Returns the number of open descriptors.
fn descriptors(proxy: &ProxyProcess) -> usize {
    proxy.running.resources().map_or(0, |resources| resources.descriptors)
}

#[test]
fn splices_downloads_and_uploads_and_releases_the_pipe() {
    let origin = Origin::plain(|mut connection| {
        connection.read_exactly(START.len());
        connection.send(large_data());
        assert!(connection.read_exactly(SIZE) == large_data());
        connection.send("thanks");
    });
    let proxy = proxy();
    let mut connection = proxy.connect(&origin.authority("127.0.0.1"));
    let sockets = descriptors(&proxy);
    // More than the socket buffers hold.
    connection.set_receive_buffer(64 << 10);
    connection.send(START);
    // The client does not read, so the pipe is not empty and stays open.
    wait_for_descriptors(&proxy, sockets + 2);
    assert!(connection.read_exactly(SIZE) == large_data());
    wait_for_descriptors(&proxy, sockets);
    connection.send(large_data());
    assert_eq!(connection.read_exactly(6), b"thanks");
    wait_for_descriptors(&proxy, sockets);
    drop(connection);
    proxy.stop();
}

#[test]
fn splices_both_directions_at_once() {
    let origin = Origin::plain(|mut connection| {
        connection.read_exactly(START.len());
        let mut writer = connection.writer.clone();
        let sending = thread::spawn(move || writer.send(large_data()));
        assert!(connection.read_exactly(SIZE) == large_data());
        sending.join().unwrap();
    });
    let proxy = proxy();
    let mut connection = open_tunnel(&proxy, &origin);
    let sockets = descriptors(&proxy);
    let mut writer = connection.writer.clone();
    let sending = thread::spawn(move || writer.send(large_data()));
    assert!(connection.read_exactly(SIZE) == large_data());
    sending.join().unwrap();
    wait_for_descriptors(&proxy, sockets);
    drop(connection);
    proxy.stop();
}

#[test]
fn half_close_works_while_splicing() {
    let origin = Origin::plain(|mut connection| {
        connection.read_exactly(START.len());
        connection.send(large_data());
        connection.finish();
        let (bytes, ending) = connection.read_to_end();
        assert!(bytes == large_data() && ending == Ending::Clean, "{} bytes, {ending:?}", bytes.len());
    });
    let proxy = proxy();
    let mut connection = open_tunnel(&proxy, &origin);
    let (bytes, ending) = connection.read_to_end();
    assert!(bytes == large_data() && ending == Ending::Clean, "{} bytes, {ending:?}", bytes.len());
    connection.send(large_data());
    drop(connection);
    proxy.stop();
}

#[test]
fn forwards_resets_while_splicing() {
    let gate = Gate::default();
    let opened = gate.clone();
    let origin = Origin::plain(move |mut connection| {
        connection.read_exactly(START.len());
        connection.send(large_data());
        opened.pass();
        connection.reset();
    });
    let down = proxy();
    let mut connection = open_tunnel(&down, &origin);
    assert!(connection.read_exactly(SIZE) == large_data());
    gate.open();
    assert_eq!(connection.read_to_end(), (Vec::new(), Ending::Reset));
    down.stop();

    let origin = Origin::plain(|mut connection| {
        connection.read_exactly(START.len());
        assert!(connection.read_exactly(SIZE) == large_data());
        connection.send("thanks");
        assert_eq!(connection.read_to_end(), (Vec::new(), Ending::Reset));
    });
    let up = proxy();
    let mut connection = open_tunnel(&up, &origin);
    connection.send(large_data());
    assert_eq!(connection.read_exactly(6), b"thanks");
    connection.reset();
    up.stop();
}

#[test]
fn a_stalled_transfer_does_not_delay_the_stop() {
    let origin = Origin::plain(|mut connection| {
        connection.read_exactly(START.len());
        // The stop closes the connection with a reset.
        connection.writer.try_send(&large_data().repeat(4)).ok();
        connection.reset();
    });
    let capture = Capture::with(|config| options(config).exclude = patterns(&["*"]));
    let mut connection = capture.connect(&origin.authority("127.0.0.1"));
    connection.set_receive_buffer(64 << 10);
    connection.send(START);
    let begun = connection.read_exactly(1 << 20);
    assert!(begun == large_data()[..1 << 20]);
    capture.stop();
    assert_eq!(connection.read_to_end().1, Ending::Reset, "a partial transfer must end with a reset");
}

#[test]
fn copies_without_a_free_descriptor() {
    let Some(prlimit) = peer("prlimit") else { return };
    let gate = Gate::default();
    let opened = gate.clone();
    let origin = Origin::plain(move |mut connection| {
        connection.read_exactly(START.len());
        opened.pass();
        connection.send(large_data());
        assert!(connection.read_exactly(SIZE) == large_data());
        connection.send("thanks");
    });
    let proxy = proxy();
    let mut connection = open_tunnel(&proxy, &origin);
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
    assert!(connection.read_exactly(SIZE) == large_data());
    connection.send(large_data());
    assert_eq!(connection.read_exactly(6), b"thanks");
    limit(1000);
    drop(connection);
    proxy.stop();
}

#[test]
fn counts_spliced_bytes() {
    let origin = Origin::plain(|mut connection| {
        connection.read_exactly(START.len());
        connection.send(large_data());
        assert!(connection.read_exactly(SIZE) == large_data());
        connection.send("thanks");
    });
    let capture = Capture::discover();
    let mut connection = capture.connect(&origin.authority("127.0.0.1"));
    connection.send(START);
    assert!(connection.read_exactly(SIZE) == large_data());
    connection.send(large_data());
    assert_eq!(connection.read_exactly(6), b"thanks");
    drop(connection);
    let outcome = capture.stop();
    let domain = outcome.summary.domains.iter().find(|domain| domain.name == "127.0.0.1").unwrap();
    assert_eq!((domain.sent, domain.received), ((SIZE + START.len()) as u64, (SIZE + 6) as u64));
}
