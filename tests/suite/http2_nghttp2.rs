//! nghttp2's client and server, for rare features: padding, CONTINUATION, table sizes, priorities.

use crate::support::ca::{CertSpec, TestCa};
use crate::support::peers::{BackgroundProcess, peer, run, without_proxy_settings};
use crate::support::{Capture, NodeOrigin, PortForward, TempDir, within_timeout};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};

/// Starts nghttpd with a page and a pushed resource; returns its `host:port`.
#[track_caller]
fn nghttpd(options: &[&str]) -> Option<(BackgroundProcess, String, TempDir)> {
    let (program, dir) = (peer("nghttpd")?, TempDir::new());
    dir.write("page", "a page\n".repeat(5000));
    dir.write("style.css", "body{}\n");
    let (key, cert) = TestCa::trusted().issue(&CertSpec::default()).write(&dir);
    // nghttpd cannot choose a free port.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(program);
    command.args(["-v", "-a", "127.0.0.1", "-p", "/page=/style.css", "--trailer", "x-sum: 1"]).args(options);
    command.arg("-d").arg(dir.path()).arg(port.to_string()).args([key, cert]);
    let child = without_proxy_settings(&mut command).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut server = BackgroundProcess(child);
    let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
    let mut lines = within_timeout("nghttpd's first line", move || {
        assert!(lines.next().unwrap().unwrap().contains("listen"));
        lines
    });
    // It keeps writing to stdout, so the pipe must be drained.
    std::thread::spawn(move || lines.by_ref().for_each(drop));
    Some((server, format!("localhost:{port}"), dir))
}

#[test]
fn records_nghttp_with_all_its_options() {
    let Some(nghttp) = peer("nghttp") else {
        return;
    };
    for (server, client) in [
        (&[][..], &[][..]),
        (&["-b", "255"], &["-b", "255"]),
        (&[], &["--continuation"]),
        (&["--encoder-header-table-size", "0"], &["--encoder-header-table-size", "0"]),
        (&["-c", "0"], &["-c", "0"]),
        (&["-c", "100"], &["-c", "128", "-c", "8192"]),
        (
            &["-c", "65536", "--encoder-header-table-size", "65536"],
            &["-c", "65536", "--encoder-header-table-size", "65536"],
        ),
        (&["--no-rfc7540-pri"], &["--no-rfc7540-pri", "--no-dep"]),
        (&[], &["-w", "10", "-W", "10"]),
        (&[], &["-m", "5", "-p", "1", "-p", "200", "-M", "2"]),
    ] {
        let Some((_server, at, _dir)) = nghttpd(server) else {
            return;
        };
        let capture = Capture::start();
        let forward = PortForward::start(&capture, &at);
        let request = |url: &str, ca: &std::path::Path| {
            let mut command = Command::new(&nghttp);
            command.args(["-H", "x-long: 0123456789", "-H", "cookie: a=1; b=2"]).args(client).arg(url);
            run(command.env("SSL_CERT_FILE", ca)).ok().out
        };
        let url = forward.url("https", "/page");
        let through = request(&url, capture.ca.as_ref().unwrap());
        let direct = request(&format!("https://{at}/page"), &TestCa::trusted().pem);
        assert_eq!(through.len(), direct.len(), "{client:?}");
        let outcome = capture.stop();
        outcome.assert_no_warnings();
        assert!(outcome.summary.uncaptured.is_empty(), "{client:?}: {:?}", outcome.summary.uncaptured);
        let pages: Vec<_> = outcome.bundle().traces.iter().filter(|trace| trace.url() == url).collect();
        assert_eq!(pages.len(), if client.contains(&"-m") { 5 } else { 1 }, "{client:?}");
        for page in pages {
            assert!(page.text() == "a page\n".repeat(5000), "{client:?}");
            assert!(page.request_headers().contains(&("x-long", "0123456789")), "{client:?}");
            assert!(page.request_headers().contains(&("cookie", "a=1; b=2")), "{client:?}");
            assert_eq!(page.response_headers().last(), Some(&("x-sum", "1")), "{client:?}");
        }
        let style = outcome.bundle().traces.iter().find(|trace| trace.url() == forward.url("https", "/style.css"));
        assert_eq!(style.map(|trace| trace.text()).as_deref(), Some("body{}\n"), "{client:?}: pushed");
    }
}

#[test]
fn records_an_upload_of_nghttp_with_trailers() {
    let (Some(nghttp), Some((_server, at, dir))) = (peer("nghttp"), nghttpd(&["--echo-upload"])) else {
        return;
    };
    let capture = Capture::start();
    let forward = PortForward::start(&capture, &at);
    let upload = dir.write("upload", "uploaded ".repeat(100_000));
    let mut command = Command::new(nghttp);
    command.args(["--expect-continue", "--no-content-length", "--trailer", "x-up: 2", "-d"]).arg(upload);
    command.arg(forward.url("https", "/upload")).env("SSL_CERT_FILE", capture.ca.as_ref().unwrap());
    assert!(run(&mut command).ok().text() == "uploaded ".repeat(100_000));
    let outcome = capture.stop();
    let trace = outcome.bundle().trace("/upload");
    assert_eq!((trace.method(), trace.status()), ("POST", 200));
    assert!(trace.text() == "uploaded ".repeat(100_000) && trace.request_body == trace.response_body);
    assert_eq!(trace.request_headers().last(), Some(&("x-up", "2")));
}

#[test]
fn records_h2load_in_the_clear() {
    let (Some(origin), Some(h2load)) = (NodeOrigin::plain(), peer("h2load")) else {
        return;
    };
    let capture = Capture::start();
    let forward = PortForward::start(&capture, &origin.authority());
    let url = forward.url("http", "/hello");
    let output = run(Command::new(h2load).args(["-n", "400", "-c", "4", "-m", "20", &url])).ok().text();
    assert!(output.contains("400 succeeded, 0 failed, 0 errored"), "{output}");
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().traces.len(), 400);
    assert!(outcome.bundle().traces.iter().all(|trace| trace.url() == url && trace.text() == "hello"));
}
