//! Origins that request a client certificate, and the one that the proxy presents.

use crate::support::cli::{command, spectral};
use crate::support::nginx::Nginx;
use crate::support::openssl::OpensslOrigin;
use crate::support::peers::{peer, run};
use crate::support::{
    Capture, CertSpec, ONLY_TLS12, ONLY_TLS13, Origin, TempDir, TestCa, TlsClient, TlsSetup, options, respond_to_all,
};
use rustls::HandshakeKind;
use spectral_capture::{
    CaSource, CertificateSource, ClientCertificate, Config, Conflict, Credentials, Error, Proxy, Reason,
};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const REQUEST: &str = "GET /c HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Writes a certificate of `ca` and its key to one file in `dir`.
fn identity(dir: &TempDir, ca: &TestCa) -> PathBuf {
    let (key, certificate) = ca.issue(&CertSpec::default()).write(dir);
    let both = [certificate, key].map(|file| std::fs::read(file).unwrap()).concat();
    let file = dir.write("identity.pem", both);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

/// Starts a capture that presents `file` to origins that match `host`.
fn presenting(host: Option<&str>, file: &Path) -> Capture {
    let certificate = ClientCertificate::new(CertificateSource::File(file.to_owned()));
    let certificate = match host {
        Some(host) => certificate.for_host(host.parse().unwrap()),
        None => certificate,
    };
    Capture::with(|config| config.client_certificates = vec![certificate])
}

/// Starts an origin that requires a client certificate of the suite's CA.
fn requiring_origin(versions: &'static [&'static rustls::SupportedProtocolVersion]) -> Origin {
    let setup = TlsSetup { client_ca: Some(TestCa::trusted()), versions, ..TlsSetup::default() };
    Origin::tls_with(setup, |connection| {
        assert!(connection.tls(|tls| tls.peer_certificates().is_some()));
        let is_resumed = connection.tls(|tls| tls.handshake_kind()) == Some(HandshakeKind::Resumed);
        let kind = if is_resumed { "resumed" } else { "full" };
        respond_to_all(
            connection,
            format!("HTTP/1.1 200 OK\r\nKind: {kind}\r\nContent-Length: 5\r\n\r\nhello").as_bytes(),
        );
    })
}

#[test]
fn origins_that_request_a_certificate_are_captured_with_one() {
    let dir = TempDir::new();
    let file = identity(&dir, TestCa::trusted());
    for versions in [ONLY_TLS12, ONLY_TLS13] {
        let origin = requiring_origin(versions);
        let host = origin.authority("localhost");
        for pattern in [None, Some("localhost"), Some("127.0.0.*:*")] {
            let capture = presenting(pattern, &file);
            for kind in ["full", "resumed"] {
                let mut connection = capture.tls(&origin.authority("127.0.0.1"), "localhost");
                let response = connection.request(REQUEST);
                assert_eq!((response.text().as_str(), response.header("kind")), ("hello", Some(kind)));
            }
            let outcome = capture.stop();
            assert_eq!(outcome.bundle().urls(), [&format!("https://{host}/c"); 2]);
            assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
        }
    }
}

#[test]
fn a_request_for_an_https_url_presents_it_too() {
    let dir = TempDir::new();
    let file = identity(&dir, TestCa::trusted());
    for versions in [ONLY_TLS12, ONLY_TLS13] {
        let origin = requiring_origin(versions);
        let host = origin.authority("localhost");
        let capture = presenting(Some("localhost"), &file);
        let request = format!("GET https://{host}/c HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(capture.dial().request(request).text(), "hello");
        let mut connection = capture.tls(&host, "localhost");
        assert_eq!(connection.request(REQUEST).header("kind"), Some("resumed"), "the sessions have the certificate");
    }
}

#[test]
fn origins_that_do_not_match_get_none() {
    let dir = TempDir::new();
    let file = identity(&dir, TestCa::trusted());
    let origin = requiring_origin(ONLY_TLS13);
    let capture = presenting(Some("other.test"), &file);
    let mut client = TlsClient::new("localhost", vec![TestCa::trusted().der()]);
    client.identity = Some(TestCa::trusted());
    let mut connection = capture.tls_with(&origin.authority("localhost"), &client);
    assert_eq!(connection.request(REQUEST).text(), "hello");
    drop(connection);
    let host = origin.authority("localhost");
    capture.stop().assert_uncaptured(&host, 1, |reason| *reason == Reason::ClientCertificate);
}

#[test]
fn a_rejected_certificate_passes_through() {
    let dir = TempDir::new();
    let file = identity(&dir, TestCa::unknown());
    let mut direct = TlsClient::new("localhost", vec![TestCa::trusted().der()]);
    direct.identity = Some(TestCa::trusted());
    for (versions, is_late) in [(ONLY_TLS12, false), (ONLY_TLS13, true)] {
        let origin = requiring_origin(versions);
        let host = origin.authority("localhost");
        let capture = presenting(None, &file);
        if is_late {
            // The proxy has accepted the client when the origin rejects the certificate.
            let mut connection = capture.tls(&host, "localhost");
            // The connection may end before the request is sent.
            let _ = connection.writer.try_send(REQUEST.as_bytes());
            assert_eq!(connection.read_to_end().0, b"");
            capture.wait_for_uncaptured(|reason| matches!(reason, Reason::ClientCertificateRejectedLate(_)));
        }
        for _ in 0..2 {
            assert_eq!(capture.tls_with(&host, &direct).request(REQUEST).text(), "hello");
        }
        let outcome = capture.stop();
        let rejected = Reason::ClientCertificateRejected("unknown_ca".into());
        outcome.assert_uncaptured(&host, 2, |reason| *reason == rejected);
        assert_eq!(outcome.summary.uncaptured.len(), 1 + usize::from(is_late), "{:?}", outcome.summary.uncaptured);
    }
}

#[test]
fn others_need_a_password_to_act_with_the_certificate() {
    let dir = TempDir::new();
    let file = identity(&dir, TestCa::trusted());
    let mut config = Config::capture(dir.join("capture.zip"));
    config.listen = ([0, 0, 0, 0], 0).into();
    options(&mut config).ca = CaSource::Dir(dir.join("ca"));
    config.client_certificates = vec![ClientCertificate::new(CertificateSource::File(file))];
    let error = Proxy::bind(config.clone()).unwrap_err();
    assert!(matches!(error, Error::Conflict(Conflict::CertificatesForAnyone)), "{error:?}");
    config.auth = Credentials::parse("me:secret");
    drop(Proxy::bind(config).unwrap());
    let listen = ["--listen", "0.0.0.0", "-p", "0", "--client-cert", "identity.pem"];
    for output in [
        spectral(&dir, &[&["capture", "proxy"], &listen[..]].concat()),
        spectral(&dir, &[&["capture", "run"], &listen[..], &["true"]].concat()),
    ] {
        let expected = "spectral: error: anyone who can reach the proxy could act with the client certificate; require a \
                        password with --auth-file or SPECTRAL_AUTH, or listen on 127.0.0.1\n";
        assert_eq!((output.code, output.err.as_str()), (Some(1), expected));
    }
}

#[test]
fn the_start_names_the_certificate_and_never_the_key() {
    let dir = TempDir::new();
    let file = identity(&dir, TestCa::trusted());
    let key = std::fs::read_to_string(dir.join("key.pem")).unwrap();
    let secret = key.lines().nth(1).unwrap();
    for (mode, is_warned, bundle) in [(0o600, false, "a.zip"), (0o640, true, "b.zip")] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        let certificate = "--client-cert=*.test:443=identity.pem";
        let args = ["capture", "run", "-o", bundle, "--client-cert", "./identity.pem", certificate, "true"];
        let output = spectral(&dir, &args).ok();
        let err = &output.err;
        assert!(err.contains("identity identity.pem for *.test:443: all users of the proxy act with it"), "{err}");
        assert!(err.contains("identity ./identity.pem for any host: all users of the proxy act with it"), "{err}");
        assert_eq!(err.contains("warning: other users can read or change identity.pem"), is_warned, "{err}");
        assert!(!err.contains(secret), "{err}");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_an_error_with_a_remedy() {
    let dir = TempDir::new();
    identity(&dir, TestCa::trusted());
    dir.write("binary.p12", b"0\x82\x01\x02");
    let files = ["key.pem", "cert.pem", "binary.p12", "missing.pem"];
    for (file, cause, remedy) in [
        (files[0], "no certificate", "; write both into one file: cat CERTIFICATE.pem KEY.pem > NEW.pem"),
        (files[1], "no private key", "; write both into one file: cat CERTIFICATE.pem KEY.pem > NEW.pem"),
        (
            files[2],
            "the file is not PEM (-----BEGIN CERTIFICATE-----)",
            "; convert PKCS#12 with: openssl pkcs12 -in binary.p12 -nodes -out NEW.pem",
        ),
        (files[3], "No such file or directory", ""),
    ] {
        let output = spectral(&dir, &["capture", "proxy", "-p", "0", "--client-cert", file]);
        let expected = format!("spectral: error: cannot use the client certificate in {file}: {cause}{remedy}\n");
        assert_eq!((output.code, output.err), (Some(1), expected));
    }
    for (value, expected) in [
        ("https://a=x.pem", None),
        ("a b=x.pem", Some("spectral: error: 'a b' contains a space or comma\n")),
        ("a=", Some("spectral: error: missing FILE in --client-cert [HOST=]FILE\n")),
    ] {
        let output = spectral(&dir, &["capture", "proxy", "-p", "0", "--client-cert", value]);
        match expected {
            Some(expected) => assert_eq!((output.code, output.err.as_str()), (Some(2), expected)),
            None => {
                assert!(output.err.contains("cannot use the client certificate in https://a=x.pem: "), "{}", output.err)
            }
        }
    }
}

/// Creates a certificate of the CA in `dir` with a key that `openssl` makes; returns the file with both.
fn issue_with(openssl: &Path, dir: &TempDir, name: &str, key: &[&str]) -> PathBuf {
    let run_openssl = |args: &[&str]| run(Command::new(openssl).args(args).current_dir(dir.path())).ok();
    run_openssl(key);
    run_openssl(&["req", "-new", "-key", "own.pem", "-subj", "/CN=me", "-out", "own.csr"]);
    // Without extensions: X.509 version 1, as many people make it.
    let sign = ["x509", "-req", "-in", "own.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "7"];
    run_openssl(&[&sign[..], &["-out", "own.crt"]].concat());
    let both = ["own.pem", "own.crt"].map(|file| std::fs::read(dir.join(file)).unwrap()).concat();
    dir.write(name, both)
}

/// Returns files with keys in each form of openssl, with certificates of the CA in `dir`.
fn identities_of_openssl(openssl: &Path, dir: &TempDir) -> Vec<PathBuf> {
    let ca =
        ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-subj", "/CN=Clients", "-days", "9"];
    run(Command::new(openssl).args(ca).args(["-out", "ca.pem"]).current_dir(dir.path())).ok();
    let forms: [(&str, &[&str]); 4] = [
        ("pkcs1.pem", &["genrsa", "-traditional", "-out", "own.pem", "2048"]),
        ("sec1.pem", &["ecparam", "-name", "prime256v1", "-genkey", "-out", "own.pem"]),
        ("pkcs8-rsa.pem", &["genpkey", "-algorithm", "RSA", "-out", "own.pem"]),
        ("pkcs8-ed25519.pem", &["genpkey", "-algorithm", "ED25519", "-out", "own.pem"]),
    ];
    let files: Vec<_> = forms.iter().map(|(name, key)| issue_with(openssl, dir, name, key)).collect();
    for (file, begin) in files.iter().zip(["BEGIN RSA", "BEGIN EC PRIVATE", "BEGIN PRIVATE", "BEGIN PRIVATE"]) {
        assert!(std::fs::read_to_string(file).unwrap().contains(begin), "{begin} in {}", file.display());
    }
    files
}

/// Requests `url` through `capture` with curl; returns the exit code and the body.
fn curl(program: &Path, capture: &Capture, url: &str) -> (Option<i32>, String) {
    let mut command = Command::new(program);
    command.args(["-sS", "--noproxy", "", "-x", &format!("http://{}", capture.addr), "--cacert"]);
    let output = run(command.arg(capture.ca.as_ref().unwrap()).arg(url));
    (output.code, output.text())
}

#[test]
fn openssl_accepts_each_form_of_key_and_an_encrypted_one_is_an_error() {
    let (Some(openssl), Some(program)) = (peer("openssl"), peer("curl")) else {
        return;
    };
    let dir = TempDir::new();
    let files = identities_of_openssl(&openssl, &dir);
    dir.write("page", "hello\n");
    TestCa::trusted().issue(&CertSpec::default()).write(&dir);
    for version in ["-tls1_2", "-tls1_3"] {
        let verify = [version, "-CAfile", "ca.pem", "-Verify", "2", "-verify_return_error"];
        let origin = OpensslOrigin::start_in(&openssl, &dir, &[&verify[..], &["-WWW"]].concat()).unwrap();
        let url = format!("https://localhost:{}/page", origin.port);
        for file in &files {
            let capture = presenting(Some("localhost"), file);
            for _ in 0..2 {
                assert_eq!(curl(&program, &capture, &url), (Some(0), "hello\n".into()), "{version} {}", file.display());
            }
            let outcome = capture.stop();
            assert_eq!(outcome.bundle().urls(), [&url; 2]);
            assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
        }
        // A certificate of another CA.
        let capture = presenting(None, &identity(&TempDir::new(), TestCa::trusted()));
        assert_ne!(curl(&program, &capture, &url).0, Some(0));
        let outcome = capture.stop();
        let host = format!("localhost:{}", origin.port);
        outcome.assert_uncaptured(&host, 1, |reason| match version {
            "-tls1_2" => matches!(reason, Reason::ClientCertificateRejected(_)),
            _ => matches!(reason, Reason::ClientCertificateRejectedLate(_)),
        });
    }
    for (cipher, begin) in [("-traditional", "DEK-Info"), ("-v2", "BEGIN ENCRYPTED")] {
        let encrypt: &[&str] = match cipher {
            "-v2" => &["pkcs8", "-topk8", "-in", "own.pem", "-passout", "pass:x", "-out", "encrypted.pem"],
            _ => &["rsa", "-in", "pkcs1.pem", "-aes128", "-traditional", "-passout", "pass:x", "-out", "encrypted.pem"],
        };
        run(Command::new(&openssl).args(encrypt).current_dir(dir.path())).ok();
        assert!(std::fs::read_to_string(dir.join("encrypted.pem")).unwrap().contains(begin));
        let output = spectral(&dir, &["capture", "proxy", "-p", "0", "--client-cert", "encrypted.pem"]);
        let expected = "spectral: error: cannot use the client certificate in encrypted.pem: the private key has a \
                        passphrase; remove it with: { openssl x509 -in encrypted.pem && openssl pkey -in encrypted.pem; } \
                        > NEW.pem\n";
        assert_eq!((output.code, output.err.as_str()), (Some(1), expected));
    }
    let mut verbose = command(&dir, &["capture", "run", "-v", "--client-cert", "sec1.pem", "true"]);
    let secret = std::fs::read_to_string(dir.join("sec1.pem")).unwrap();
    assert!(!run(&mut verbose).ok().err.contains(secret.lines().nth(5).unwrap()));
}

#[test]
fn nginx_verifies_the_certificate() {
    let (Some(nginx), Some(program)) = (peer("nginx"), peer("curl")) else {
        return;
    };
    let dir = TempDir::new();
    let settings = format!(
        "ssl_client_certificate {}; ssl_verify_client on; location / {{ return 200 $ssl_client_verify; }}",
        TestCa::trusted().pem.display()
    );
    let nginx = Nginx::start(&nginx, &TestCa::trusted().issue(&CertSpec::default()), &settings);
    let file = identity(&dir, TestCa::trusted());
    for addr in nginx.addrs {
        let url = format!("https://localhost:{}/", addr.port());
        let capture = presenting(Some("localhost"), &file);
        for _ in 0..2 {
            assert_eq!(curl(&program, &capture, &url), (Some(0), "SUCCESS".into()));
        }
        let outcome = capture.stop();
        assert_eq!(outcome.bundle().urls(), [&url; 2]);
        assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    }
}
