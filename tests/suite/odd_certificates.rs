//! Origins with certificates that rustls does not accept: with `-k` all of them are captured, and `--upstream-ca` uses a
//! file or refuses it.

use crate::support::openssl::OpensslOrigin;
use crate::support::peers::{peer, run};
use crate::support::{Capture, CertSpec, TempDir, TestCa, options};
use spectral_capture::{CaSource, Config, Error, Proxy, Reason, UpstreamCaError};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A kind of certificate: the options of `openssl req` for its key, those of `openssl x509`, and its extensions.
struct Kind {
    name: &'static str,
    key: &'static str,
    options: &'static str,
    extensions: &'static str,
}

const PAGE: &str = "HTTP/1.0 200 OK\r\nContent-Length: 12\r\n\r\nan odd hello";
const SAN: &str = "subjectAltName=DNS:localhost";

const KINDS: &[Kind] = &[
    Kind { name: "X.509 version 1", key: "rsa:2048", options: "", extensions: "" },
    Kind { name: "RSA of 1,024 bits", key: "rsa:1024", options: "", extensions: SAN },
    Kind { name: "RSA of 1,024 bits, version 1", key: "rsa:1024", options: "", extensions: "" },
    Kind {
        name: "an unknown critical extension",
        key: "ec -pkeyopt ec_paramgen_curve:P-256",
        options: "",
        extensions: "subjectAltName=DNS:localhost\n1.2.3.4.5=critical,ASN1:NULL",
    },
    Kind {
        name: "no alternative names",
        key: "ec -pkeyopt ec_paramgen_curve:P-256",
        options: "",
        extensions: "basicConstraints=CA:FALSE",
    },
    Kind {
        name: "no names at all",
        key: "ec -pkeyopt ec_paramgen_curve:P-256 -subj /",
        options: "",
        extensions: "basicConstraints=CA:FALSE",
    },
    Kind {
        name: "another name",
        key: "ec -pkeyopt ec_paramgen_curve:P-256",
        options: "",
        extensions: "subjectAltName=DNS:b.test",
    },
    Kind { name: "MD5", key: "rsa:2048", options: "-md5", extensions: SAN },
    Kind { name: "SHA-1", key: "rsa:2048", options: "-sha1", extensions: SAN },
    Kind {
        name: "name constraints",
        key: "ec -pkeyopt ec_paramgen_curve:P-256",
        options: "",
        extensions: "subjectAltName=DNS:localhost\nnameConstraints=critical,permitted;DNS:b.test",
    },
    Kind {
        name: "not for servers",
        key: "ec -pkeyopt ec_paramgen_curve:P-256",
        options: "",
        extensions: "subjectAltName=DNS:localhost\nextendedKeyUsage=critical,codeSigning",
    },
    Kind {
        name: "a CA",
        key: "ec -pkeyopt ec_paramgen_curve:P-256",
        options: "",
        extensions: "basicConstraints=critical,CA:TRUE",
    },
    Kind { name: "P-384", key: "ec -pkeyopt ec_paramgen_curve:P-384", options: "", extensions: SAN },
    Kind { name: "Ed25519", key: "ed25519", options: "", extensions: SAN },
    Kind { name: "P-521", key: "ec -pkeyopt ec_paramgen_curve:P-521", options: "", extensions: SAN },
    Kind { name: "Ed448", key: "ed448", options: "", extensions: SAN },
    Kind { name: "RSA for PSS", key: "rsa-pss -pkeyopt rsa_keygen_bits:2048", options: "", extensions: SAN },
];

/// The kinds that a TLS 1.2 origin can present only if the client has their curve, or their signature scheme, which
/// rustls lacks in that version.
const ONLY_IN_TLS13: [&str; 3] = ["P-521", "Ed448", "RSA for PSS"];

/// Creates a self-signed certificate and its key in `dir`; returns the certificate's file.
#[track_caller]
fn certificate(openssl: &Path, dir: &TempDir, kind: &Kind) -> PathBuf {
    let openssl_in_dir = |args: &str| {
        let mut command = Command::new(openssl);
        run(command.args(args.split_whitespace()).current_dir(dir.path())).ok();
    };
    dir.write("extensions", kind.extensions);
    let extfile = if kind.extensions.is_empty() { "" } else { "-extfile extensions" };
    openssl_in_dir(&format!(
        "req -new -nodes -keyout key.pem -out request.pem -subj /CN=localhost -newkey {}",
        kind.key
    ));
    openssl_in_dir(&format!(
        "x509 -req -in request.pem -signkey key.pem -days 30 -out cert.pem {extfile} {}",
        kind.options
    ));
    dir.write("page", PAGE);
    dir.join("cert.pem")
}

fn kind(name: &str) -> &'static Kind {
    KINDS.iter().find(|kind| kind.name == name).unwrap()
}

/// Starts an origin of the TLS version that `version` selects.
#[track_caller]
fn origin(openssl: &Path, dir: &TempDir, version: &str) -> OpensslOrigin {
    OpensslOrigin::start_in(openssl, dir, &[version, "-cipher", "ALL:@SECLEVEL=0"]).unwrap()
}

/// Requests the page through `capture`; fails unless the client gets a certificate of the proxy.
#[track_caller]
fn assert_intercepted(what: &str, capture: &Capture, origin: &OpensslOrigin) {
    let mut connection = capture.connect(&format!("localhost:{}", origin.port));
    if let Err(e) = capture.client("localhost").start(&mut connection) {
        panic!("{what}: {e}; {:?}", capture.notices.read(Clone::clone));
    }
    assert_eq!(connection.request("GET /page HTTP/1.0\r\n\r\n").text(), "an odd hello", "{what}");
}

/// Fails unless everything is in the bundle.
#[track_caller]
fn assert_all_captured(capture: Capture, count: usize) {
    let outcome = capture.stop();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    assert_eq!(outcome.bundle().traces.len(), count);
}

fn insecure() -> Capture {
    Capture::with(|config| config.insecure = true)
}

#[test]
fn insecure_captures_origins_with_any_certificate() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    let capture = insecure();
    let mut count = 0;
    let mut dirs: Vec<_> = KINDS
        .iter()
        .map(|kind| {
            let dir = TempDir::new();
            certificate(&openssl, &dir, kind);
            (kind.name, dir)
        })
        .collect();
    let expired = TempDir::new();
    TestCa::unknown().issue(&CertSpec { expired: true, ..CertSpec::default() }).write(&expired);
    expired.write("page", PAGE);
    dirs.push(("expired", expired));
    for (name, dir) in &dirs {
        for version in ["-tls1_2", "-tls1_3"] {
            if version == "-tls1_3" || !ONLY_IN_TLS13.contains(name) {
                assert_intercepted(&format!("{name}, {version}"), &capture, &origin(&openssl, dir, version));
                count += 1;
            }
        }
    }
    assert_all_captured(capture, count);
}

#[test]
fn a_failure_despite_insecure_is_not_a_matter_of_trust() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    for name in ONLY_IN_TLS13 {
        let dir = TempDir::new();
        certificate(&openssl, &dir, kind(name));
        let origin = origin(&openssl, &dir, "-tls1_2");
        let capture = insecure();
        let mut connection = capture.connect(&format!("localhost:{}", origin.port));
        // It gets the origin's own handshake, which fails for rustls in the same way.
        assert!(capture.client("localhost").start(&mut connection).is_err(), "{name}");
        let outcome = capture.stop();
        let host = format!("localhost:{}", origin.port);
        outcome.assert_uncaptured(&host, 1, |reason| matches!(reason, Reason::OriginTls(_)));
    }
}

#[test]
fn upstream_ca_captures_an_origin_with_an_old_certificate_of_its_own() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    for name in [
        "X.509 version 1",
        "an unknown critical extension",
        "no alternative names",
        "SHA-1",
        "not for servers",
        "Ed25519",
    ] {
        let dir = TempDir::new();
        let cert = certificate(&openssl, &dir, kind(name));
        for version in ["-tls1_2", "-tls1_3"] {
            let capture = Capture::with(|config| config.upstream_ca.push(cert.clone().into()));
            assert_intercepted(&format!("{name}, {version}"), &capture, &origin(&openssl, &dir, version));
            assert_all_captured(capture, 1);
        }
    }
}

#[test]
fn upstream_ca_trusts_a_certificate_only_for_its_name_and_while_it_is_valid() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    let (of_another, expired) = (TempDir::new(), TempDir::new());
    certificate(&openssl, &of_another, &Kind { key: "rsa:2048 -subj /CN=b.test", ..*kind("X.509 version 1") });
    TestCa::unknown().issue(&CertSpec { expired: true, ..CertSpec::default() }).write(&expired);
    for (dir, expected) in [(of_another, "its certificate is for another name"), (expired, "its certificate expired")] {
        let origin = origin(&openssl, &dir, "-tls1_3");
        let capture = Capture::with(|config| config.upstream_ca.push(dir.join("cert.pem").into()));
        let mut connection = capture.connect(&format!("localhost:{}", origin.port));
        assert!(capture.client("localhost").start(&mut connection).is_err(), "it gets the origin's own certificate");
        let host = format!("localhost:{}", origin.port);
        capture.stop().assert_uncaptured(
            &host,
            1,
            |reason| matches!(reason, Reason::OriginNotTrusted(cause) if cause.to_string().contains(expected)),
        );
    }
}

#[test]
fn upstream_ca_refuses_certificates_that_would_have_no_effect() {
    let Some(openssl) = peer("openssl") else {
        return;
    };
    for name in ["RSA of 1,024 bits", "RSA of 1,024 bits, version 1", "P-521", "Ed448", "RSA for PSS"] {
        let dir = TempDir::new();
        let mut config = Config::capture(dir.join("capture.zip"));
        config.listen.set_port(0);
        options(&mut config).ca = CaSource::Dir(dir.join("ca"));
        config.upstream_ca = vec![certificate(&openssl, &dir, kind(name)).into()];
        let error = Proxy::bind(config).unwrap_err();
        let Error::UpstreamCa { cause, .. } = &error else { panic!("{name}: {error}") };
        assert!(matches!(cause, UpstreamCaError::UnsupportedKey { .. }), "{name}: {error}");
        assert!(error.to_string().contains("CN=localhost"), "{error}");
        assert!(!dir.join("capture.zip.part").exists());
    }
}
