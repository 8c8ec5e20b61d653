//! Signals end a capture with a complete bundle: SIGINT (Ctrl+C), SIGTERM (`kill`) and SIGHUP (a dropped ssh session).

use crate::support::cli::Spectral;
use crate::support::{Connection, Gate, Origin, TempDir, bundle::Bundle};
use nix::sys::signal::Signal;

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

/// The signals that end a capture, without those that the suite was started to ignore: its children inherit that.
fn stop_signals() -> Vec<Signal> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .map_or(0, |mask| u64::from_str_radix(mask.trim(), 16).unwrap());
    let all = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    all.into_iter().filter(|&signal| ignored & (1 << (signal as u32 - 1)) == 0).collect()
}
