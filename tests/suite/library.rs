//! Captures of programs that use the library: settings that the command line does not have.

use crate::support::{Capture, Origin, TempDir, options};
use spectral_capture::{CaSource, Config, Error, Proxy};
use std::fs;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Captures one request to a TLS origin, from a client that trusts the CA of `capture` only.
#[track_caller]
fn assert_intercepts(capture: Capture) {
    let origin = Origin::tls_responding(HELLO);
    let mut connection = capture.tls(&origin.authority("127.0.0.1"), "localhost");
    assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "hello");
    assert_eq!(capture.stop().bundle().traces.len(), 1);
}

#[test]
fn an_ephemeral_ca_writes_nothing() {
    let capture = Capture::with(|config| options(config).ca = CaSource::Ephemeral);
    assert_eq!(capture.ca, None);
    let names: Vec<_> = fs::read_dir(capture.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["capture.zip.part"]);
    assert_intercepts(capture);
}

#[test]
fn a_ca_is_given_in_memory() {
    let dir = TempDir::new();
    let mut config = Config::capture(dir.join("capture.zip"));
    config.listen.set_port(0);
    options(&mut config).ca = CaSource::Dir(dir.join("ca"));
    let first = Proxy::bind(config).unwrap().ca().unwrap().der().to_vec();
    let file = fs::read(dir.join("ca/mitmproxy-ca.pem")).unwrap();
    let shown = format!("{:?}", CaSource::Pem(file.clone()));
    assert_eq!(shown, "Pem(..)");
    let capture = Capture::with(|config| options(config).ca = CaSource::Pem(file));
    assert_eq!(*capture.roots()[0], *first);
    assert_intercepts(capture);
}

#[test]
fn a_ca_in_memory_that_cannot_be_used_is_an_error() {
    let dir = TempDir::new();
    let mut config = Config::capture(dir.join("capture.zip"));
    options(&mut config).ca = CaSource::Pem(b"-----BEGIN CERTIFICATE-----".to_vec());
    let error = Proxy::bind(config).unwrap_err();
    assert!(matches!(error, Error::CaInMemory(_)), "{error:?}");
    assert!(error.to_string().starts_with("cannot use the CA in memory: "), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
