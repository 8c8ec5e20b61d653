//! Signals end a capture with a complete bundle: SIGINT (Ctrl+C), SIGTERM (`kill`) and SIGHUP (a dropped ssh session).
//! SIGUSR1 prints a summary so far.

use crate::support::cli::Spectral;
use crate::support::peers::peer;
use crate::support::{Connection, Gate, Origin, TempDir, bundle::Bundle};
use nix::sys::signal::Signal;
use std::process::Command;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn each_signal_ends_the_capture_with_its_bundle() {
    for signal in stop_signals() {
        let end = Gate::default();
        let wait = end.clone();
        let origin = Origin::plain(move |mut connection| {
            connection.read_head();
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nso far");
            wait.pass();
            connection.close_abruptly();
        });
        let dir = TempDir::new();
        let running = Spectral::capture(&dir, &[]);
        let mut connection = Connection::to(running.addr);
        let host = origin.authority("127.0.0.1");
        connection.send(format!("GET http://{host}/in-flight HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        connection.read_until(b"so far");
        running.signal(signal);
        let output = running.wait_for_exit();
        end.open();
        assert_eq!(output.code, Some(0), "{signal}: {}", output.err);
        assert!(output.err.contains("Capture bundle written to capture.zip"), "{signal}: {}", output.err);
        assert!(output.err.contains("  1 exchange, 0 WebSockets, 0 messages"), "{signal}: {}", output.err);
        let bundle = Bundle::open(&dir.join("capture.zip"));
        assert_eq!((bundle.only_trace().status(), bundle.only_trace().text()), (200, "so far".to_owned()));
        connection.close_abruptly();
    }
}

#[test]
fn a_second_signal_skips_the_wait_but_not_the_bundle() {
    let end = Gate::default();
    let wait = end.clone();
    let origin = Origin::plain(move |mut connection| {
        connection.read_head();
        connection.send(OK);
        wait.pass();
        connection.close_abruptly();
    });
    let dir = TempDir::new();
    let running = Spectral::capture(&dir, &[]);
    let mut connection = Connection::to(running.addr);
    let host = origin.authority("127.0.0.1");
    connection.request(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    for signal in [Signal::SIGINT, Signal::SIGINT, Signal::SIGTERM, Signal::SIGINT] {
        running.signal(signal);
    }
    let output = running.wait_for_exit();
    end.open();
    assert_eq!(output.code, Some(0), "{}", output.err);
    Bundle::open(&dir.join("capture.zip")).only_trace();
    connection.close_abruptly();
}

#[test]
fn under_nohup_sighup_does_not_end_the_capture() {
    let dir = TempDir::new();
    let running = Spectral::under_nohup(&dir);
    let origin = Origin::plain_responding(OK);
    running.signal(Signal::SIGHUP);
    let mut connection = Connection::to(running.addr);
    let host = origin.authority("127.0.0.1");
    assert_eq!(connection.request(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n")).text(), "ok");
    drop(connection);
    assert_eq!(running.interrupt().code, Some(0));
    Bundle::open(&dir.join("capture.zip")).only_trace();
}

#[test]
fn each_signal_ends_discovery() {
    for signal in stop_signals() {
        let dir = TempDir::new();
        let running = Spectral::discover(&dir, &[]);
        running.signal(signal);
        assert_eq!(running.wait_for_exit().code, Some(0), "{signal}");
    }
}

#[test]
fn sigusr1_prints_a_summary_so_far() {
    let (dir, origin) = (TempDir::new(), Origin::plain_responding(OK));
    // With -v, a line shows that an exchange was written.
    let running = Spectral::capture(&dir, &["-v"]);
    running.signal(Signal::SIGUSR1);
    running.wait_for_line("Summary after ");
    running.wait_for_line("  0 exchanges, 0 WebSockets, 0 messages");
    let mut connection = Connection::to(running.addr);
    let host = origin.authority("127.0.0.1");
    connection.request(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert_eq!(
        Connection::to(running.addr).request("GET http://127.77.77.77:1/ HTTP/1.1\r\nHost: x\r\n\r\n").status,
        502
    );
    running.wait_for_line("200 GET");
    running.signal(Signal::SIGUSR1);
    running.wait_for_line("  1 exchange, 0 WebSockets, 0 messages");
    running.wait_for_line(" in capture.zip.part");
    running.wait_for_line(" relayed, 1 open connection");
    running.wait_for_line("Not captured:");
    running.wait_for_line("  127.77.77.77:1  1 connection: unreachable: ");
    drop(connection);
    assert_eq!(running.interrupt().code, Some(0));
    Bundle::open(&dir.join("capture.zip")).only_trace();
}

#[test]
fn sigusr1_prints_the_domains_so_far_to_stderr() {
    let (dir, origin) = (TempDir::new(), Origin::plain_responding(OK));
    let running = Spectral::discover(&dir, &["--json", "-q"]);
    let mut connection = Connection::to(running.addr);
    let host = origin.authority("127.0.0.1");
    // The connection stays open: its bytes count already.
    connection.request(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    running.signal(Signal::SIGUSR1);
    running.wait_for_line("Connections  Requests  Sent  Received  Domain");
    let row = running.wait_for_line("  127.0.0.1");
    let fields: Vec<_> = row.split_whitespace().collect();
    assert!(
        matches!(fields[..], ["1", "1", sent, "B", received, "B", "127.0.0.1"] if sent != "0" && received != "0"),
        "{row}"
    );
    drop(connection);
    let output = running.interrupt();
    assert_eq!(output.text().lines().count(), 1, "stdout has only the result: {}", output.text());
}

/// A signal that is not blocked in one of the threads would end the process.
#[test]
fn every_thread_blocks_the_signals() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let dir = TempDir::new();
    let running = Spectral::capture(&dir, &[]);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", running.pid())).unwrap();
    let statuses: Vec<_> =
        tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap()).collect();
    assert!(statuses.len() > 3, "{statuses:?}");
    for status in statuses {
        for signal in stop_signals().into_iter().chain([Signal::SIGUSR1]) {
            assert!(is_in_mask("SigBlk:", signal, &status), "{signal}: {status}");
        }
    }
}

/// The signal is pending when the program starts: exec(3) keeps the signal mask and pending signals.
#[test]
fn a_signal_that_arrives_during_the_start_is_handled_after_it() {
    let Some(python) = peer("python3") else {
        return;
    };
    let script = "
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
os.kill(os.getpid(), signal.SIGUSR1)
os.execv(sys.argv[1], ['spectral', 'capture', 'proxy', '-p', '0'])
";
    let dir = TempDir::new();
    let mut command = Command::new(python);
    command.args(["-c", script, env!("CARGO_BIN_EXE_spectral")]).current_dir(dir.path()).env("HOME", dir.path());
    let running = Spectral::start(command);
    running.wait_for_line("Summary after ");
    assert_eq!(running.interrupt().code, Some(0));
}

/// A shell without job control starts background jobs this way.
#[test]
fn sigint_ends_a_capture_that_was_started_with_it_ignored() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let dir = TempDir::new();
    let running = Spectral::after_shell(&dir, "trap '' INT");
    assert_eq!(running.interrupt().code, Some(0));
    Bundle::open(&dir.join("capture.zip"));
}

/// The signals that end a capture, without those that the suite was started to ignore: its children inherit that.
fn stop_signals() -> Vec<Signal> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let all = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    all.into_iter().filter(|&signal| !is_in_mask("SigIgn:", signal, &status)).collect()
}

/// Returns true if the line `name` of `/proc/PID/status` has the bit of `signal`.
fn is_in_mask(name: &str, signal: Signal, status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let mask = line.map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap());
    mask & (1 << (signal as u32 - 1)) != 0
}
