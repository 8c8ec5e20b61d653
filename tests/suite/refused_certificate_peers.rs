//! Programs that refuse the proxy's certificate, each in its own way. With `passthrough_refused` they work at the latest
//! with their third connection.

use crate::support::peers::{peer, run};
use crate::support::{Capture, Origin, TestCa};
use spectral_capture::Reason;
use std::path::Path;
use std::process::Command;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

/// Fails unless `command`, of a client that trusts only the origin, fails `refusals` times, each time with a report that
/// `is_expected` accepts, and then gets "hello".
#[track_caller]
fn assert_works_after(
    refusals: u64,
    command: impl Fn(&Capture, &str) -> Command,
    is_expected: impl Fn(&Reason) -> bool,
) {
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::with(|config| config.passthrough_refused = true);
    let url = format!("https://{}/", origin.authority("localhost"));
    for connection in 1..=refusals {
        let output = run(&mut command(&capture, &url));
        assert!(!output.text().contains("hello"), "connection {connection}: {output:?}");
        origin.open.until("the end of the connection", |open| (*open == 0).then_some(()));
    }
    let output = run(&mut command(&capture, &url));
    assert!(output.text().contains("hello"), "{output:?}");
    let outcome = capture.stop();
    let host = origin.authority("localhost");
    let expected = outcome.summary.uncaptured.iter().filter(|uncaptured| is_expected(&uncaptured.reason));
    let count: u64 = expected.map(|uncaptured| uncaptured.connections).sum();
    assert_eq!(count, refusals, "{:?}", outcome.summary.uncaptured);
    outcome.assert_uncaptured(&host, 1, |reason| *reason == Reason::RefusedBefore);
}

fn is_refusal(reason: &Reason) -> bool {
    matches!(reason, Reason::CertificateRefused(_))
}

/// Returns `program` with the proxy in its environment.
fn through(program: &Path, capture: &Capture) -> Command {
    let mut command = Command::new(program);
    command.env("https_proxy", format!("http://{}", capture.addr)).env("no_proxy", "").current_dir(capture.dir.path());
    command
}

#[test]
fn curl_sends_an_alert() {
    let Some(program) = peer("curl") else { return };
    for version in ["1.2", "1.3"] {
        let command = |capture: &Capture, url: &str| {
            let mut command = through(&program, capture);
            command.args(["-sS", "--tls-max", version, "--cacert"]).arg(&TestCa::trusted().pem).arg(url);
            command
        };
        assert_works_after(1, command, is_refusal);
    }
}

#[test]
fn openssl_sends_an_alert() {
    let Some(program) = peer("openssl") else { return };
    for version in ["-tls1_2", "-tls1_3"] {
        let command = |capture: &Capture, url: &str| {
            let target = url.trim_start_matches("https://").trim_end_matches('/');
            let script = format!(
                "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | '{}' s_client -quiet -verify_return_error {version} -ign_eof \
                 -CAfile '{}' -proxy {} -connect {target} -servername localhost",
                program.display(),
                TestCa::trusted().pem.display(),
                capture.addr
            );
            let mut command = Command::new("sh");
            command.args(["-c", &script]);
            command
        };
        assert_works_after(1, command, is_refusal);
    }
}

#[test]
fn python_sends_an_alert() {
    let Some(program) = peer("python3") else { return };
    let command = |capture: &Capture, url: &str| {
        let mut command = through(&program, capture);
        let script = "import sys, ssl, urllib.request as r; c = ssl.create_default_context(cafile=sys.argv[1]); \
                      print(r.urlopen(sys.argv[2], context=c).read())";
        command.args(["-c", script]).arg(&TestCa::trusted().pem).arg(url);
        command
    };
    assert_works_after(1, command, is_refusal);
}

/// GnuTLS verifies after the handshake, and Debian's Wget then closes.
#[test]
fn wget_leaves_without_a_request() {
    let Some(program) = peer("wget") else { return };
    let version = run(Command::new(&program).arg("--version")).ok().text();
    let uses_gnutls = version.contains("+ssl/gnutls");
    let command = |capture: &Capture, url: &str| {
        let mut command = through(&program, capture);
        command.args(["-q", "-O", "-", "--tries=1", "--ca-certificate"]).arg(&TestCa::trusted().pem).arg(url);
        command
    };
    match uses_gnutls {
        true => assert_works_after(2, command, |reason| *reason == Reason::ClientLeft),
        false => assert_works_after(1, command, is_refusal),
    }
}

/// lftp sends its request, then verifies and closes. Its socket resets the connection when our session ticket arrives,
/// and the reset may overtake the request.
#[test]
fn lftp_leaves_before_the_answer() {
    let Some(program) = peer("lftp") else { return };
    let command = |capture: &Capture, url: &str| {
        let mut command = Command::new(&program);
        let settings = format!(
            "set net:max-retries 1; set ssl:ca-file {}; set https:proxy http://{}; cat {url}",
            TestCa::trusted().pem.display(),
            capture.addr
        );
        command.env("HOME", capture.dir.path()).args(["--norc", "-c", &settings]);
        command
    };
    assert_works_after(2, command, |reason| matches!(reason, Reason::LeftUnanswered | Reason::ClientLeft));
}
