//! Certificates that a command under capture trusts, and that the proxy itself trusts.

use crate::support::bundle::Bundle;
use crate::support::cli::{capture_run, command};
use crate::support::peers::{peer, run};
use crate::support::{Origin, TempDir, TestCa, TlsSetup, respond_to_all};
use std::ffi::OsString;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// An origin with a certificate signed by `ca`.
fn signed_by(ca: &'static TestCa) -> Origin {
    Origin::tls_with(TlsSetup { ca, ..TlsSetup::default() }, |connection| respond_to_all(connection, HELLO.as_bytes()))
}

#[test]
fn a_command_keeps_its_own_roots_for_hosts_that_are_not_captured() {
    let Some(curl) = peer("curl") else {
        return;
    };
    let origin = signed_by(TestCa::unknown());
    let url = format!("https://{}/", origin.authority("localhost"));
    let fetch = [curl.as_os_str(), "-sS".as_ref(), url.as_ref()];
    for variable in ["SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"] {
        let dir = TempDir::new();
        let output = run(capture_run(&dir, &["-e", "localhost"], &fetch).env(variable, &TestCa::unknown().pem));
        assert_eq!(output.ok().text(), "hello", "{variable}");
        assert_eq!(Bundle::open(&dir.join("capture.zip")).traces.len(), 0);
    }
    let dir = TempDir::new();
    let output = run(&mut capture_run(&dir, &["-e", "localhost"], &fetch));
    assert_eq!(output.code, Some(60), "it trusts no other root: {}", output.err);
}

#[test]
fn a_command_trusts_the_systems_roots_too() {
    let dir = TempDir::new();
    let mut command = capture_run(&dir, &[], &["sh", "-c", "cat \"$SSL_CERT_FILE\""]);
    // The suite's environment may set such variables.
    let output = run(command.env_clear().env("HOME", dir.path()).env("PATH", "/usr/bin:/bin")).ok();
    let ours = std::fs::read_to_string(crate::support::cli::ca_in(dir.path())).unwrap();
    let text = output.text();
    assert!(text.starts_with(&ours), "ours comes first");
    assert!(text.matches("BEGIN CERTIFICATE").count() > 50, "{}", text.len());
}

#[test]
fn a_nested_run_does_not_trust_our_ca_in_origins() {
    let Some(curl) = peer("curl") else {
        return;
    };
    // The origin's certificate is signed by our own CA: another spectral, or a thief of the key.
    let ours = TestCa::unknown().ca_dir();
    let origin = signed_by(TestCa::unknown());
    let url = format!("https://{}/", origin.authority("localhost"));
    let other = TempDir::new();
    for ca_dir in [ours.path(), other.path()] {
        let dir = TempDir::new();
        let inner: Vec<OsString> = [env!("CARGO_BIN_EXE_spectral"), "capture", "run", "-o", "inner.zip", "--ca-dir"]
            .into_iter()
            .map(OsString::from)
            .chain([ca_dir.into(), "--".into(), curl.clone().into(), "-skS".into(), url.clone().into()])
            .collect();
        let output = run(&mut capture_run(&dir, &["--ca-dir", ours.path().to_str().unwrap()], &inner)).ok();
        assert_eq!(output.text(), "hello");
        assert_eq!(Bundle::open(&dir.join("inner.zip")).traces.len(), 0, "{}", output.err);
        assert!(output.err.contains("this machine does not trust the origin"), "{}", output.err);
    }
}

#[test]
fn our_ca_in_the_systems_roots_is_not_trusted_in_origins() {
    let Some(curl) = peer("curl") else {
        return;
    };
    let ours = TestCa::unknown().ca_dir();
    let origin = signed_by(TestCa::unknown());
    let dir = TempDir::new();
    let fetch = |more: &[&str]| {
        let mut command = command(&dir, &["capture", "run", "--ca-dir", ours.path().to_str().unwrap()]);
        command.args(more).arg("--").arg(&curl).args(["-sS", &format!("https://{}/", origin.authority("localhost"))]);
        // As if the CA were in the system's trust store.
        run(command.env("SSL_CERT_FILE", &TestCa::unknown().pem)).ok()
    };
    let output = fetch(&[]);
    assert_eq!(Bundle::open(&dir.join("capture.zip")).traces.len(), 0, "{}", output.err);
    assert!(output.err.contains("this machine does not trust the origin"), "{}", output.err);
    // An explicit option overrides this.
    fetch(&["--upstream-ca", TestCa::unknown().pem.to_str().unwrap()]);
    assert_eq!(Bundle::open(&dir.join("capture.zip")).traces.len(), 1);
}
