//! Captures that run as services: `--stop-after` ends them, `--log-every` shows their progress.

use crate::support::bundle::Bundle;
use crate::support::cli::Spectral;
use crate::support::{Connection, Origin, TempDir, next_request};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An origin whose response may meet a connection that the end of the capture has reset.
fn responding_origin() -> Origin {
    Origin::plain(
        |mut connection| {
            while next_request(&mut connection).is_some() && connection.writer.try_send(OK.as_bytes()).is_ok() {}
        },
    )
}

/// Sends requests until the capture ends; returns their number.
fn request_until_the_end(running: &Spectral, origin: &Origin) -> usize {
    let host = origin.authority("127.0.0.1");
    let mut responses = 0;
    while let Ok(socket) = std::net::TcpStream::connect(running.addr) {
        let request = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        let (mut socket, mut response) = (socket, Vec::new());
        let sent = std::io::Write::write_all(&mut socket, request.as_bytes());
        if sent.and_then(|()| std::io::Read::read_to_end(&mut socket, &mut response)).is_ok() && !response.is_empty() {
            responses += 1;
        }
    }
    responses
}

#[test]
fn the_capture_ends_after_a_number_of_exchanges() {
    let (dir, origin) = (TempDir::new(), responding_origin());
    let running = Spectral::capture(&dir, &["--stop-after", "3", "--stop-after", "1h"]);
    running.wait_for_line("stops    after 3 exchanges, or after 1 h");
    let responses = request_until_the_end(&running, &origin);
    let output = running.wait_for_exit();
    assert_eq!(output.code, Some(0), "{}", output.err);
    assert!(output.err.contains("Stopping after 3 exchanges\nCapture bundle written to"), "{}", output.err);
    let exchanges = Bundle::open(&dir.join("capture.zip")).traces.len();
    assert!(exchanges >= 3 && exchanges >= responses, "{exchanges} exchanges, {responses} responses");
}

#[test]
fn the_capture_ends_at_a_size_of_the_bundle() {
    let (dir, origin) = (TempDir::new(), responding_origin());
    let running = Spectral::capture(&dir, &["--stop-after", "10K"]);
    running.wait_for_line("stops    at a bundle size of 10K");
    request_until_the_end(&running, &origin);
    let output = running.wait_for_exit();
    assert!(output.err.contains("Stopping at a bundle size of 10K\n"), "{}", output.err);
    assert!(std::fs::metadata(dir.join("capture.zip")).unwrap().len() >= 10 << 10);
    Bundle::open(&dir.join("capture.zip"));
}

#[test]
fn the_capture_ends_after_a_time_and_states_why_it_is_empty() {
    let dir = TempDir::new();
    let running = Spectral::capture(&dir, &["--stop-after", "1s"]);
    let output = running.wait_for_exit();
    assert_eq!(output.code, Some(0), "{}", output.err);
    assert!(output.err.contains("Stopping after 1 s\n"), "{}", output.err);
    let hint = "Nothing was captured: no connection reached the proxy. Either the app made no request, or it";
    assert!(output.err.contains(hint), "{}", output.err);
    Bundle::open(&dir.join("capture.zip"));

    let running = Spectral::discover(&dir, &["--stop-after", "1s"]);
    let output = running.wait_for_exit();
    assert_eq!(output.code, Some(0), "{}", output.err);
    assert!(output.err.contains("No domains were seen."), "{}", output.err);
}

#[test]
fn the_progress_is_logged_at_an_interval_even_if_quiet() {
    let (dir, origin) = (TempDir::new(), Origin::plain_responding(OK));
    let running = Spectral::capture(&dir, &["-q", "--log-every", "1s"]);
    let host = origin.authority("127.0.0.1");
    let mut connection = Connection::to(running.addr);
    assert_eq!(connection.request(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n")).text(), "ok");
    running.wait_for_line(" UTC: 1 exchange, 0 WebSockets, ");
    let is_logged = |line: &&String| line.contains(" relayed, 1 open, bundle ");
    running.err.until("a second line", |lines| (lines.iter().filter(is_logged).count() > 1).then_some(()));
    drop(connection);
    let addr = running.addr;
    let output = running.interrupt();
    let first = output.err.lines().next();
    assert_eq!(first, Some(&*addr.to_string()), "{}", output.err);
    assert!(output.err.lines().skip(1).all(|line| line.contains(" UTC: ")), "{}", output.err);

    let running = Spectral::discover(&dir, &["--log-every", "1s"]);
    running.wait_for_line(" UTC: 0 domains, 0 B relayed, 0 open");
    assert_eq!(running.interrupt().code, Some(0));
}
