//! TLS session resumption on both sides of the proxy, which makes later connections cheap.

use crate::support::ca::epoch_seconds;
use crate::support::peers::{BackgroundProcess, peer};
use crate::support::{
    Capture, CertSpec, Connection, ONLY_TLS12, ONLY_TLS13, Origin, TempDir, TestCa, TlsClient, TlsSetup, Watched,
    eventually, next_request,
};
use rustls::HandshakeKind;
use spectral_capture::Reason;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Starts an origin that logs the kind of each handshake.
fn origin(setup: TlsSetup) -> (Origin, Watched<Vec<HandshakeKind>>) {
    let seen: Watched<Vec<HandshakeKind>> = Watched::default();
    let noted = seen.clone();
    let origin = Origin::tls_with(setup, move |mut connection| {
        noted.update(|all| all.extend(connection.tls(|tls| tls.handshake_kind())));
        while next_request(&mut connection).is_some() {
            connection.send(HELLO);
        }
    });
    (origin, seen)
}

#[test]
fn resumes_sessions_with_an_origin_across_clients() {
    for versions in [ONLY_TLS12, ONLY_TLS13] {
        let (origin, seen) = origin(TlsSetup { versions, ..TlsSetup::default() });
        let capture = Capture::start();
        for _ in 0..3 {
            // A new client without sessions of the previous one.
            let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
            assert_eq!(connection.request(REQUEST).text(), "hello");
        }
        assert_eq!(seen.read(Clone::clone), [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed]);
        let outcome = capture.stop();
        assert_eq!(outcome.bundle().traces.len(), 3, "exchanges on resumed sessions are captured");
        outcome.assert_no_warnings();
    }
}

#[test]
fn resumes_sessions_with_a_returning_client() {
    let (origin, _) = origin(TlsSetup::default());
    for versions in [ONLY_TLS12, ONLY_TLS13] {
        let capture = Capture::start();
        let mut client = capture.client("localhost");
        client.versions = versions;
        let config = client.config();
        let kinds = [(); 3].map(|()| {
            let mut connection: Connection = capture.connect(&origin.authority("localhost"));
            connection.start_tls(&Arc::clone(&config), "localhost", b"", |hello| vec![hello]).unwrap();
            assert_eq!(connection.request(REQUEST).text(), "hello");
            connection.tls(|tls| tls.handshake_kind()).unwrap()
        });
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed]);
        assert_eq!(capture.stop().bundle().traces.len(), 3);
    }
}

#[test]
fn resumes_sessions_with_two_ports_of_a_host() {
    for versions in [ONLY_TLS12, ONLY_TLS13] {
        let setup = || TlsSetup { versions, ..TlsSetup::default() };
        let origins = [origin(setup()), origin(setup())];
        let capture = Capture::start();
        for _ in 0..5 {
            for (origin, _) in &origins {
                let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
                assert_eq!(connection.request(REQUEST).text(), "hello");
            }
        }
        for (_, seen) in &origins {
            let resumed = [HandshakeKind::Resumed; 4];
            assert_eq!(seen.read(Clone::clone), [&[HandshakeKind::Full][..], &resumed].concat());
        }
    }
}

/// A certificate that expires soon.
fn short_lived() -> CertSpec {
    CertSpec { expires_in: Some(LIFETIME), ..CertSpec::default() }
}

/// Fails unless exchanges with `origin` are captured while its certificate, issued at the time `issued`, is valid, and
/// the client then gets the origin's own certificate.
#[track_caller]
fn assert_expiry_is_noticed(origins: &[SocketAddr], issued: i64) {
    let capture = Capture::start();
    let authority = |origin: &SocketAddr| format!("localhost:{}", origin.port());
    for origin in origins.iter().cycle().take(2 * origins.len()) {
        assert_eq!(capture.tls(&authority(origin), "localhost").request(REQUEST).text(), "hello");
    }
    assert!(epoch_seconds() < issued + LIFETIME, "the machine is too slow for this test");
    eventually(|| (epoch_seconds() > issued + LIFETIME + 1).then_some(()), || "the certificate is valid".to_owned());
    for origin in origins {
        let client = TlsClient::new("localhost", vec![TestCa::trusted().der()]);
        let refusal = client.start(&mut capture.connect(&authority(origin))).unwrap_err();
        assert!(matches!(refusal, rustls::Error::InvalidCertificate(_)), "as without the proxy: {refusal}");
    }
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().traces.len(), 2 * origins.len());
    for origin in origins {
        outcome.assert_uncaptured(&authority(origin), 1, |reason| {
            matches!(reason, Reason::OriginNotTrusted(cause) if cause.to_string() == "its certificate expired")
        });
    }
}

#[test]
fn notices_that_the_certificate_of_resumed_sessions_expired() {
    let issued = epoch_seconds();
    let origins = [ONLY_TLS12, ONLY_TLS13]
        .map(|versions| origin(TlsSetup { versions, cert_spec: short_lived(), ..TlsSetup::default() }));
    assert_expiry_is_noticed(&[origins[0].0.addr, origins[1].0.addr], issued);
    // With the third handshake the proxy resumed, and refused. The client's own came after it.
    let kinds = [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed];
    for (_, seen) in &origins {
        seen.until("three handshakes", |seen| (seen.len() >= 3).then_some(()));
        assert_eq!(seen.read(|seen| seen[..3].to_vec()), kinds);
    }
}

#[test]
fn notices_that_the_certificate_of_nginx_expired() {
    let Some(nginx) = peer("nginx") else {
        return;
    };
    let dir = TempDir::new();
    let issued = epoch_seconds();
    TestCa::trusted().issue(&short_lived()).write(&dir);
    // nginx cannot report a port that it chose, so it listens on sockets in its folder. Tickets have their defaults.
    let server = |version: &str| {
        format!(
            "server {{ listen unix:{}/{version} ssl; ssl_protocols {version}; ssl_certificate cert.pem; \
             ssl_certificate_key key.pem; location / {{ return 200 hello; }} }}",
            dir.path().display()
        )
    };
    // Its default folders exist only if it was installed by root.
    let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {}; ", dir.join(name).display()))
        .concat();
    let config = format!(
        "daemon off; master_process off; pid {}; error_log stderr; events {{}} http {{ access_log off; {folders} {} {} }}",
        dir.join("pid").display(),
        server("TLSv1.2"),
        server("TLSv1.3")
    );
    let config = dir.write("nginx.conf", config);
    let mut command = Command::new(nginx);
    command.arg("-p").arg(dir.path()).arg("-c").arg(config).args(["-e", "stderr"]);
    let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let _server = BackgroundProcess(child);
    let sockets = ["TLSv1.2", "TLSv1.3"].map(|name| dir.join(name));
    eventually(|| sockets.iter().all(|socket| UnixStream::connect(socket).is_ok()).then_some(()), || "no nginx".into());
    assert_expiry_is_noticed(&sockets.map(forward), issued);
}

/// Starts a port that forwards to a socket of the file system; returns its address.
fn forward(socket: PathBuf) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let (Ok((mut client, _)), Ok(mut server)) = (listener.accept(), UnixStream::connect(&socket)) {
            let (mut to_client, mut from_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || {
                std::io::copy(&mut client, &mut server).ok();
                server.shutdown(Shutdown::Write).ok();
            });
            thread::spawn(move || {
                std::io::copy(&mut from_server, &mut to_client).ok();
                TcpStream::shutdown(&to_client, Shutdown::Write).ok();
            });
        }
    });
    addr
}

/// The seconds for which a certificate is valid: enough for two connections on a busy machine.
const LIFETIME: i64 = 8;
