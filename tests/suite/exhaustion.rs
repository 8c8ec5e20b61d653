//! The process runs out of descriptors or threads: new clients wait, connections in progress continue, and one message
//! reports the cause.

use crate::support::bundle::Bundle;
use crate::support::cli::{Spectral, shell};
use crate::support::peers::{self, peer};
use crate::support::{Connection, Origin, ProxyProcess, TIMEOUT, TempDir, next_request};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const MIB: usize = 1 << 20;

/// Sends each request's body back.
fn echo(mut connection: Connection) {
    while let Some((_, body)) = next_request(&mut connection) {
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
        connection.send(body);
    }
}

/// Makes one exchange in a tunnel.
#[track_caller]
fn exchange(connection: &mut Connection, path: &str) {
    assert_eq!(connection.request(format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).status, 200);
}

/// Sets the limit of open descriptors to `max`.
#[track_caller]
fn set_descriptor_limit(prlimit: &Path, proxy: &ProxyProcess, max: usize) {
    let pid = proxy.running.pid().to_string();
    peers::run(Command::new(prlimit).args(["--pid", &pid, &format!("--nofile={max}:1000")])).ok();
}

/// Returns the number of stderr lines that contain `part`.
fn lines_with(running: &Spectral, part: &str) -> usize {
    running.err.read(|lines| lines.iter().filter(|line| line.contains(part)).count())
}

#[test]
fn raises_the_soft_descriptor_limit_to_the_hard_limit() {
    let origin = Origin::plain_responding(OK);
    let proxy = ProxyProcess::after_shell("ulimit -Sn 64");
    let mut connections: Vec<_> = (0..80).map(|_| proxy.connect(&origin.authority("127.0.0.1"))).collect();
    for (number, connection) in connections.iter_mut().enumerate() {
        exchange(connection, &number.to_string());
    }
    assert!(proxy.running.resources().is_none_or(|held| held.descriptors > 160), "{:?}", proxy.running.resources());
    drop(connections);
    assert_eq!(proxy.stop().0.traces.len(), 80);
}

#[test]
fn clients_past_the_descriptor_limit_wait_without_affecting_others() {
    let origin = Origin::plain(echo);
    let proxy = ProxyProcess::after_shell("ulimit -n 44");
    let mut served: Vec<_> = (0..3).map(|_| proxy.connect(&origin.authority("localhost"))).collect();
    let mut waiting: Vec<_> = (0..20).map(|_| proxy.send_connect(&origin.authority("localhost"))).collect();
    let output = proxy.running.wait_for_line("new connections wait until others end");
    assert!(output.contains("the limit of 44 open files allows "), "{output}");
    // Existing connections still have the descriptors they need: here for bodies too large for memory, which all
    // have one file.
    let body = vec![b'x'; MIB];
    for connection in &mut served {
        connection.send(format!("POST /large HTTP/1.1\r\nHost: localhost\r\nContent-Length: {MIB}\r\n\r\n"));
        connection.send(&body);
        assert_eq!(connection.read_response().body.len(), MIB);
    }
    assert!((3..10).contains(&origin.connections()), "{} connections were accepted", origin.connections());
    drop(served);
    for mut connection in waiting.drain(..) {
        assert!(connection.read_head().starts_with("HTTP/1.1 200 "));
        // The next client is accepted when this one has closed.
        exchange(&mut connection, "late");
    }
    assert_eq!(lines_with(&proxy.running, "new connections wait until others end"), 1);
    // The packer threads stay, so that resources are not as before.
    let output = proxy.running.interrupt();
    assert_eq!(output.code, Some(0), "{}", output.err);
    let bundle = Bundle::open(&proxy.dir.join("capture.zip"));
    assert_eq!(bundle.traces.len(), 23, "{}", output.err);
    let large = bundle.traces.iter().filter(|t| t.request_body.len() == MIB && t.response_body.len() == MIB);
    assert_eq!(large.count(), 3, "{}", output.err);
}

#[test]
fn counts_descriptors_that_were_open_at_the_start() {
    // bash, because a POSIX shell need not redirect descriptors above 9.
    let Some(bash) = peer("bash") else { return };
    let inherit: String = (10..30).map(|number| format!("exec {number}</dev/null; ")).collect();
    let dir = TempDir::new();
    let proxy = ProxyProcess::from_running(Spectral::start(shell(bash, &dir, &format!("{inherit} ulimit -n 44"))), dir);
    let origin = Origin::plain_responding(OK);
    // If all were accepted at once, they would use up the descriptors and wait for each other.
    let connections: Vec<_> = (0..6).map(|_| proxy.send_connect(&origin.authority("127.0.0.1"))).collect();
    for mut connection in connections {
        assert!(connection.read_head().starts_with("HTTP/1.1 200 "));
        exchange(&mut connection, "turn");
    }
    assert_eq!(proxy.stop().0.traces.len(), 6);
}

#[test]
fn waits_for_descriptors_after_an_unexpected_shortage() {
    let Some(prlimit) = peer("prlimit") else { return };
    let origin = Origin::plain_responding(OK);
    let proxy = ProxyProcess::start();
    let mut served = proxy.connect(&origin.authority("127.0.0.1"));
    // The program could not predict this limit: it cannot open a single descriptor.
    set_descriptor_limit(&prlimit, &proxy, 3);
    let mut waiting = proxy.send_connect(&origin.authority("127.0.0.1"));
    proxy.running.wait_for_line("cannot accept connections for now");
    exchange(&mut served, "goes-on");
    set_descriptor_limit(&prlimit, &proxy, 1000);
    assert!(waiting.read_head().starts_with("HTTP/1.1 200 "));
    exchange(&mut waiting, "late");
    drop((served, waiting));
    assert_eq!(lines_with(&proxy.running, "for now"), 1);
    assert_eq!(proxy.stop().0.traces.len(), 2);
}

#[test]
fn records_a_body_past_memory_without_a_free_descriptor() {
    let Some(prlimit) = peer("prlimit") else { return };
    let origin = Origin::plain(echo);
    let proxy = ProxyProcess::start();
    let mut connection = proxy.connect(&origin.authority("127.0.0.1"));
    set_descriptor_limit(&prlimit, &proxy, 3);
    let len = 5 * MIB;
    connection.send(format!("POST /large HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len}\r\n\r\n"));
    connection.send(vec![b'x'; len]);
    assert_eq!(connection.read_response().body.len(), len);
    set_descriptor_limit(&prlimit, &proxy, 1000);
    drop(connection);
    // The file for all bodies was opened at the start.
    let output = proxy.running.interrupt();
    assert_eq!(output.code, Some(0), "{}", output.err);
    let bundle = Bundle::open(&proxy.dir.join("capture.zip"));
    assert_eq!(bundle.only_trace().response_body.len(), len, "{}", output.err);
}

#[test]
fn clients_past_the_thread_limit_wait_without_affecting_others() {
    let Some(proxy) = ProxyProcess::with_max_threads(14, 1_234_567) else { return };
    let origin = Origin::plain(echo);
    let (stalled, end) = Origin::stalled();
    let busy: Vec<_> = (0..20).map(|_| proxy.send_hello(&stalled.authority("127.0.0.1"))).collect();
    proxy.running.wait_for_line("no thread is available");
    // Name resolution uses another thread for a moment, if one is available.
    let mut connections: Vec<_> = (0..20).map(|_| proxy.send_connect(&origin.authority("localhost"))).collect();
    connections[19].reader.set_read_timeout(Duration::from_millis(1));
    assert!(!connections[19].reader.has_more(), "a thread is available for each connection");
    connections[19].reader.set_read_timeout(TIMEOUT);
    end.open();
    for mut connection in connections {
        assert!(connection.read_head().starts_with("HTTP/1.1 200 "));
        exchange(&mut connection, "turn");
    }
    drop(busy);
    assert_eq!(lines_with(&proxy.running, "no thread is available"), 1);
    assert_eq!(proxy.stop().0.traces.len(), 20);
}
