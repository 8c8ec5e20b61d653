//! Programs that refuse the proxy's certificate, each in its own way. With `passthrough_refused` they work from their
//! second connection on, and other clients of the host are still captured.

use crate::support::peers::{peer, python_with, run};
use crate::support::{Capture, Origin, TestCa, next_request, options};
use spectral_capture::{Notice, Reason};
use std::path::{Path, PathBuf};
use std::process::Command;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello";

/// The certainty with which the end of the first connection is a refusal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// The client sends an alert.
    Clear,
    /// The client leaves. On a busy machine it may do so too late to be sure, and then fails once more.
    ByTiming,
}

/// Fails unless `command`, of a client that trusts only the origin, fails first, with a report that `is_expected` accepts,
/// and then gets "hello", while another client is captured.
#[track_caller]
fn assert_works_after(sign: Sign, command: impl Fn(&Capture, &str) -> Command, is_expected: impl Fn(&Reason) -> bool) {
    // It closes, because openssl waits for that.
    let origin = Origin::tls(|mut connection| {
        if next_request(&mut connection).is_some() {
            connection.send(HELLO);
            connection.finish();
        }
    });
    let capture = Capture::with(|config| options(config).passthrough_refused = true);
    let url = format!("https://{}/", origin.authority("localhost"));
    let is_served = || {
        let output = run(&mut command(&capture, &url));
        origin.open.until("the end of the connection", |open| (*open == 0).then_some(()));
        output.text().contains("hello")
    };
    assert!(!is_served());
    assert!(is_served() || sign == Sign::ByTiming && is_served());
    assert!(is_served());
    let host = origin.authority("localhost");
    let reported: Vec<_> = capture.notices.read(|all| {
        let reason = |notice: &Notice| match notice {
            Notice::Uncaptured { reason, .. } => Some(reason.clone()),
            _ => None,
        };
        all.iter().filter_map(reason).collect()
    });
    assert!(is_expected(&reported[0]), "{reported:?}");
    assert_eq!(reported.last(), Some(&Reason::RefusedBefore));
    let mut other = capture.tls(&host, "localhost");
    assert_eq!(other.request(format!("GET /other HTTP/1.1\r\nHost: {host}\r\n\r\n")).text(), "hello");
    drop(other);
    let outcome = capture.stop();
    outcome.bundle().trace("/other");
    let passed = outcome.summary.uncaptured.iter().find(|it| it.reason == Reason::RefusedBefore).unwrap();
    assert!(passed.host == host && passed.connections >= 2, "{:?}", outcome.summary.uncaptured);
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
        assert_works_after(Sign::Clear, command, is_refusal);
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
        assert_works_after(Sign::Clear, command, is_refusal);
    }
}

/// Starts Python with a library's own setting for roots, which no variable changes.
fn python(program: PathBuf, script: &'static str) -> impl Fn(&Capture, &str) -> Command {
    move |capture, url| {
        let mut command = through(&program, capture);
        command.args(["-c", script]).arg(&TestCa::trusted().pem).arg(url);
        command
    }
}

#[test]
fn python_sends_an_alert() {
    let script = "import sys, ssl, urllib.request as r; c = ssl.create_default_context(cafile=sys.argv[1]); \
                  print(r.urlopen(sys.argv[2], context=c).read())";
    if let Some(program) = peer("python3") {
        assert_works_after(Sign::Clear, python(program, script), is_refusal);
    }
}

#[test]
fn requests_with_a_file_of_roots_sends_an_alert() {
    let script = "import requests, sys; print(requests.get(sys.argv[2], verify=sys.argv[1]).text)";
    if let Some(program) = python_with("requests") {
        assert_works_after(Sign::Clear, python(program, script), is_refusal);
    }
}

/// Its libcurl verifies after the handshake.
#[test]
fn pycurl_leaves_without_a_request() {
    let script = "import pycurl, sys; c = pycurl.Curl(); c.setopt(c.CAINFO, sys.argv[1]); c.setopt(c.URL, sys.argv[2]); \
                  c.perform()";
    if let Some(program) = python_with("pycurl") {
        let is_expected = |reason: &Reason| is_refusal(reason) || *reason == Reason::ClientLeft;
        assert_works_after(Sign::ByTiming, python(program, script), is_expected);
    }
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
        true => assert_works_after(Sign::ByTiming, command, |reason| *reason == Reason::ClientLeft),
        false => assert_works_after(Sign::Clear, command, is_refusal),
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
    assert_works_after(Sign::ByTiming, command, |reason| matches!(reason, Reason::LeftUnanswered | Reason::ClientLeft));
}

/// aria2 on GnuTLS verifies after the handshake, too.
#[test]
fn aria2_leaves_without_a_request() {
    let Some(program) = peer("aria2c") else { return };
    let command = |capture: &Capture, url: &str| {
        let mut command = through(Path::new("sh"), capture);
        let line =
            "\"$0\" --no-conf -q --max-tries=1 --async-dns=false -o out --ca-certificate=\"$1\" \"$2\" && cat out";
        command.args(["-c", line]).arg(&program).arg(&TestCa::trusted().pem).arg(url);
        command
    };
    assert_works_after(Sign::ByTiming, command, |reason| is_refusal(reason) || *reason == Reason::ClientLeft);
}
