//! Origins that start another handshake in mid connection, or request a client certificate there: Apache does for a part
//! of a site. The proxy can do neither, so it says so, and such hosts pass through.

use crate::support::apache::Apache;
use crate::support::peers::{BackgroundProcess, finish, peer, run, without_proxy_settings};
use crate::support::{Capture, CertSpec, Outcome, TIMEOUT, TempDir, TestCa, options, patterns};
use spectral_capture::{Notice, Reason};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

/// Returns curl, which trusts the proxy and the origin, with `url`.
fn curl(program: &std::path::Path, capture: &Capture, url: &str) -> Command {
    let both = [capture.ca.as_deref().unwrap(), &TestCa::trusted().pem].map(|file| std::fs::read(file).unwrap());
    let roots = capture.dir.write("roots.pem", both.concat());
    let mut command = Command::new(program);
    command
        .args(["-sS", "--noproxy", "", "--proxy", &format!("http://{}", capture.addr), "--cacert"])
        .arg(roots)
        .arg(url);
    command
}

fn notices_with(outcome: &Outcome, wanted: &Reason) -> usize {
    let is_wanted = |notice: &&Notice| matches!(notice, Notice::Uncaptured { reason, .. } if reason == wanted);
    outcome.notices.iter().filter(is_wanted).count()
}

#[test]
fn a_certificate_request_of_apache_in_tls_1_2_passes_through_from_the_next_connection_on() {
    let (Some(program), Some(apache)) = (peer("curl"), Apache::start("TLSv1.2")) else {
        return;
    };
    let capture = Capture::start();
    let url = |path: &str| format!("https://localhost:{}/{path}", apache.port);
    let request = |path| run(curl(&program, &capture, &url(path)).args(apache.client_certificate()));
    assert_eq!(request("page").ok().text(), "hello");
    assert_ne!(request("private/page").code, Some(0), "this connection cannot be saved");
    assert_eq!(request("private/page").ok().text(), "hello");
    assert_eq!(request("page").ok().text(), "hello");
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().urls(), [url("page"), url("private/page")]);
    assert_eq!(outcome.bundle().trace("/private/page").status(), 0);
    let host = format!("localhost:{}", apache.port);
    outcome.assert_uncaptured(&host, 1, |reason| *reason == Reason::Renegotiated);
    outcome.assert_uncaptured(&host, 2, |reason| *reason == Reason::RenegotiatedBefore);
}

#[test]
fn a_403_of_apache_in_tls_1_3_may_be_for_a_client_certificate() {
    let (Some(program), Some(apache)) = (peer("curl"), Apache::start("TLSv1.3")) else {
        return;
    };
    let capture = Capture::start();
    let url = |path: &str| format!("https://localhost:{}/{path}", apache.port);
    let request = |path| run(curl(&program, &capture, &url(path)).args(apache.client_certificate()));
    assert_eq!(request("page").ok().text(), "hello");
    for _ in 0..2 {
        assert!(request("private/page").ok().text().contains("403"));
    }
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().traces.len(), 3);
    let host = format!("localhost:{}", apache.port);
    outcome.assert_uncaptured(&host, 2, |reason| *reason == Reason::MayNeedClientCertificate);
    assert_eq!(notices_with(&outcome, &Reason::MayNeedClientCertificate), 1);

    // The remedy.
    let capture = Capture::with(|config| options(config).exclude = patterns(&["localhost"]));
    let mut excluded = curl(&program, &capture, &url("private/page"));
    assert_eq!(run(excluded.args(apache.client_certificate())).ok().text(), "hello");
}

#[test]
fn an_origin_that_renegotiates_without_a_certificate_request_passes_through_too() {
    let (Some(program), Some(openssl)) = (peer("curl"), peer("openssl")) else {
        return;
    };
    let dir = TempDir::new();
    TestCa::trusted().issue(&CertSpec::default()).write(&dir);
    let mut server = Command::new(openssl);
    server.args(["s_server", "-accept", "127.0.0.1:0", "-tls1_2", "-key", "key.pem", "-cert", "cert.pem", "-crlf"]);
    server.current_dir(dir.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut server = BackgroundProcess(without_proxy_settings(&mut server).spawn().unwrap());
    let mut commands = server.0.stdin.take().unwrap();
    let (line, lines) = mpsc::channel();
    let output = BufReader::new(server.0.stdout.take().unwrap()).lines();
    thread::spawn(move || output.map_while(Result::ok).try_for_each(|text| line.send(text)));
    let wait_for = |wanted: &str| -> String {
        let next = || lines.recv_timeout(TIMEOUT).unwrap_or_else(|_| panic!("s_server does not print {wanted}"));
        std::iter::repeat_with(next).find(|line| line.starts_with(wanted)).unwrap()
    };
    let port = wait_for("ACCEPT ").rsplit(':').next().unwrap().to_owned();
    let capture = Capture::start();
    let mut request = || {
        let mut command = curl(&program, &capture, &format!("https://localhost:{port}/"));
        let child = without_proxy_settings(&mut command).stdin(Stdio::null()).stdout(Stdio::piped());
        let child = child.stderr(Stdio::piped()).spawn().unwrap();
        wait_for("GET / HTTP/1.1");
        // A command of s_server.
        commands.write_all(b"r\n").unwrap();
        wait_for("SSL_do_handshake -> 1");
        child
    };
    assert_ne!(finish(request()).code, Some(0));
    let second = request();
    commands.write_all(b"HTTP/1.0 200 OK\nContent-Length: 7\n\nhello\n").unwrap();
    assert_eq!(finish(second).ok().text(), "hello\r\n");
    let host = format!("localhost:{port}");
    let outcome = capture.stop();
    outcome.assert_uncaptured(&host, 1, |reason| *reason == Reason::Renegotiated);
    outcome.assert_uncaptured(&host, 1, |reason| *reason == Reason::RenegotiatedBefore);
}
