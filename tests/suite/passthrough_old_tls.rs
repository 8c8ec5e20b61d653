//! rustls supports fewer origins and clients than OpenSSL: nothing below TLS 1.2, no CBC, no RSA key exchange. They
//! still work through the proxy, uncaptured and reported.

use crate::support::openssl::OpensslOrigin;
use crate::support::peers::{peer, run};
use crate::support::{Capture, TempDir};
use spectral_capture::Reason;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The options of `openssl s_server` and the options that curl needs to connect to it.
struct OldTls {
    what: &'static str,
    server: &'static [&'static str],
    curl: &'static [&'static str],
}

const OLD_TLS: &[OldTls] = &[
    OldTls {
        what: "TLS 1.1",
        server: &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        curl: &["--tlsv1.0", "--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0"],
    },
    OldTls {
        what: "TLS 1.0 from a client that also supports 1.2",
        server: &["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
        curl: &["--tlsv1.0", "--ciphers", "ALL:@SECLEVEL=0"],
    },
    OldTls { what: "CBC", server: &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA256"], curl: &[] },
    OldTls { what: "RSA key exchange", server: &["-tls1_2", "-cipher", "AES128-GCM-SHA256"], curl: &[] },
    OldTls {
        what: "finite field Diffie-Hellman",
        server: &["-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256"],
        curl: &[],
    },
];

/// Creates a certificate and its key with openssl; returns their files.
fn certificate(openssl: &Path, dir: &TempDir) -> (PathBuf, PathBuf) {
    let (key, cert) = (dir.join("key.pem"), dir.join("cert.pem"));
    run(Command::new(openssl)
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&cert))
    .ok();
    dir.write("page", "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nan old hello");
    (key, cert)
}

/// Fails unless `curl`, with `options`, gets the page through a proxy that reports it as not captured. Returns false if
/// client and server do not connect without a proxy either.
#[track_caller]
fn assert_passes(what: &str, curl: &Path, options: &[&str], port: u16, cert: &Path) -> bool {
    let url = format!("https://localhost:{port}/page");
    let request = |proxy: &str| {
        let mut command = Command::new(curl);
        command.args(["-sS", "--noproxy", "", "--proxy", proxy, "--cacert"]).arg(cert).args(options).arg(&url);
        run(&mut command)
    };
    if request("").code != Some(0) {
        return false;
    }
    let capture = Capture::with(|config| config.upstream_ca.push(cert.to_owned().into()));
    let through = request(&format!("http://{}", capture.addr));
    assert_eq!((through.code, through.text().as_str()), (Some(0), "an old hello"), "{what}: {}", through.err);
    let outcome = capture.stop();
    assert!(outcome.bundle().traces.is_empty(), "{what}");
    let named = outcome.summary.uncaptured.iter().find(|u| u.host == format!("localhost:{port}"));
    let named = named.unwrap_or_else(|| panic!("{what}: {:?}", outcome.summary.uncaptured));
    assert!(matches!(named.reason, Reason::OriginTls(_) | Reason::ClientTls(_)), "{what}: {:?}", named.reason);
    assert_eq!(named.connections, 1, "{what}");
    true
}

#[test]
fn passes_through_and_reports_old_origins() {
    let (Some(openssl), Some(curl)) = (peer("openssl"), peer("curl")) else {
        return;
    };
    let dir = TempDir::new();
    let (_, cert) = certificate(&openssl, &dir);
    let mut tried = Vec::new();
    for old in OLD_TLS {
        if let Some(origin) = OpensslOrigin::start_in(&openssl, &dir, old.server)
            && assert_passes(old.what, &curl, old.curl, origin.port, &cert)
        {
            tried.push(old.what);
        }
    }
    assert!(tried.contains(&"CBC") && tried.contains(&"RSA key exchange"), "only {tried:?} were tested");
}

#[test]
fn passes_through_and_reports_old_clients() {
    let (Some(openssl), Some(curl)) = (peer("openssl"), peer("curl")) else {
        return;
    };
    let dir = TempDir::new();
    let (_, cert) = certificate(&openssl, &dir);
    let origin = OpensslOrigin::start_in(&openssl, &dir, &["-cipher", "ALL:@SECLEVEL=0"]).unwrap();
    let mut tried = Vec::new();
    for (what, options) in [
        ("TLS 1.1", &["--tlsv1.0", "--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0"][..]),
        ("CBC", &["--tls-max", "1.2", "--ciphers", "ECDHE-RSA-AES128-SHA256"]),
        ("RSA key exchange", &["--tls-max", "1.2", "--ciphers", "AES128-GCM-SHA256"]),
        ("no certificates but RSA", &["--tls-max", "1.2", "--ciphers", "ECDHE-RSA-AES128-GCM-SHA256"]),
    ] {
        if assert_passes(what, &curl, options, origin.port, &cert) {
            tried.push(what);
        }
    }
    assert!(tried.contains(&"CBC") && tried.contains(&"no certificates but RSA"), "only {tried:?} were tested");
}

#[test]
fn names_a_sha_1_certificate_in_words() {
    let (Some(openssl), Some(curl)) = (peer("openssl"), peer("curl")) else {
        return;
    };
    let dir = TempDir::new();
    certificate(&openssl, &dir);
    let openssl_in_dir = |args: &str| {
        let mut command = Command::new(&openssl);
        run(command.args(args.split(' ')).current_dir(dir.path())).ok();
    };
    openssl_in_dir("req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=ca -keyout ca-key.pem -out ca.pem");
    openssl_in_dir("req -new -key key.pem -subj /CN=localhost -addext subjectAltName=DNS:localhost -out request.pem");
    openssl_in_dir(
        "x509 -req -in request.pem -sha1 -days 30 -CA ca.pem -CAkey ca-key.pem -copy_extensions copy -out cert.pem",
    );
    let origin = OpensslOrigin::start_in(&openssl, &dir, &["-cipher", "DEFAULT:@SECLEVEL=0"]).unwrap();
    let ca = dir.join("ca.pem");
    let capture = Capture::with(|config| config.upstream_ca.push(ca.clone().into()));
    let through = run(Command::new(curl)
        .args([
            "-sS",
            "--noproxy",
            "",
            "--ciphers",
            "DEFAULT@SECLEVEL=0",
            "--proxy",
            &format!("http://{}", capture.addr),
        ])
        .arg("--cacert")
        .arg(&ca)
        .arg(format!("https://localhost:{}/page", origin.port)));
    assert_eq!(through.ok().text(), "an old hello");
    capture.stop().assert_uncaptured(&format!("localhost:{}", origin.port), 1, |reason| {
        let words = "passed through: this machine does not trust the origin's certificate \
                     (its certificate is signed with SHA-1)";
        reason.to_string() == words
    });
}
