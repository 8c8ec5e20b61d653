//! Requests for `https` and `wss` URLs without a tunnel (`GET https://…`): the proxy does TLS with the origin itself.

use crate::support::{
    Capture, CertSpec, Connection, ONLY_TLS12, ONLY_TLS13, Origin, TestCa, TlsSetup, next_request, options, patterns,
    respond_to_all,
};
use spectral_capture::{Config, Distrust, Notice, Reason, Warning};

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Returns a request in absolute form.
fn get(scheme: &str, host: &str, path: &str) -> String {
    format!("GET {scheme}://{host}{path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

#[test]
fn sends_a_request_for_an_https_url_through_tls() {
    let setup = TlsSetup { alpn: &["h2", "http/1.1"], ..TlsSetup::default() };
    let origin = Origin::tls_with(setup, |mut connection| {
        assert_eq!(connection.alpn().as_deref(), Some("http/1.1"));
        while next_request(&mut connection).is_some() {
            assert_eq!(connection.tls(server_name).as_deref(), Some("localhost"));
            connection.send(HELLO);
        }
    });
    let capture = Capture::start();
    let host = origin.authority("localhost");
    let mut client = capture.dial();
    assert_eq!(client.request(get("https", &host, "/a?b")).text(), "hello");
    let second = format!("POST HTTPS://{host}/c HTTP/1.1\r\nHost: other\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(client.request(second).text(), "hello");
    drop(client);
    let received = String::from_utf8(origin.received(0)).unwrap();
    let expected = format!(
        "GET /a?b HTTP/1.1\r\nHost: {host}\r\n\r\nPOST /c HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\nhi"
    );
    assert_eq!((received, origin.connections()), (expected, 1), "the origin's connection is kept");
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    assert_eq!(outcome.bundle().urls(), [format!("https://{host}/a?b"), format!("https://{host}/c")]);
    let (first, second) = (outcome.bundle().trace("/a?b"), outcome.bundle().trace("/c"));
    assert_eq!((first.text().as_str(), second.request_body.as_slice()), ("hello", &b"hi"[..]));
    assert!(first.ms("tls") > 0.0, "{}", first.json);
}

fn server_name(tls: &rustls::Connection) -> Option<String> {
    match tls {
        rustls::Connection::Server(tls) => tls.server_name().map(str::to_owned),
        rustls::Connection::Client(_) => None,
    }
}

#[test]
fn a_kept_connection_serves_only_its_own_scheme() {
    let secure = Origin::tls_responding(HELLO);
    let clear = Origin::plain(|mut connection| {
        // A ClientHello is not answered.
        if connection.read_exactly(1) == b"G" {
            connection.read_head();
            connection.send(HELLO);
            connection.read_to_end();
        }
    });
    let capture = Capture::start();
    let (secure_host, clear_host) = (secure.authority("localhost"), clear.authority("localhost"));
    let mut client = capture.dial();
    assert_eq!(client.request(get("http", &clear_host, "/1")).text(), "hello");
    // The same host and port, but TLS: the clear connection must not be used.
    assert_eq!(client.request(get("https", &clear_host, "/2")).status, 502);
    let mut client = capture.dial();
    assert_eq!(client.request(get("https", &secure_host, "/3")).text(), "hello");
    client.send(get("http", &secure_host, "/4"));
    client.read_to_end();
    drop(client);
    assert_eq!(clear.connections(), 2);
    assert_eq!(secure.connections(), 2);
    assert!(!String::from_utf8_lossy(&secure.received(0)).contains("/4"), "sent within TLS");
    assert!(!String::from_utf8_lossy(&clear.received(0)).contains("/2"), "sent in the clear");
}

#[test]
fn answers_502_for_an_origin_that_is_not_trusted() {
    let setup = || TlsSetup { ca: TestCa::unknown(), ..TlsSetup::default() };
    let origin = Origin::tls_with(setup(), |connection| respond_to_all(connection, HELLO.as_bytes()));
    let host = origin.authority("localhost");
    let capture = Capture::start();
    let response = capture.dial().request(get("https", &host, "/"));
    assert_eq!(response.status, 502);
    let reason = "this machine does not trust its certificate (its issuer is unknown)";
    assert_eq!(response.text(), format!("spectral: cannot reach {host}: {reason}\n"));
    let outcome = capture.stop();
    assert!(outcome.bundle().traces.is_empty());
    outcome.assert_uncaptured(&host, 1, |reason| *reason == Reason::OriginRejected(Distrust::UnknownIssuer));
    assert!(origin.received(0).is_empty());

    for change in [(|config: &mut Config| config.insecure = true) as fn(&mut Config), |config| {
        config.upstream_ca.push(TestCa::unknown().pem.clone().into())
    }] {
        let capture = Capture::with(change);
        assert_eq!(capture.dial().request(get("https", &host, "/")).text(), "hello");
        assert_eq!(capture.stop().bundle().only_trace().url(), format!("https://{host}/"));
    }
}

#[test]
fn answers_502_for_an_origin_without_tls_or_without_a_connection() {
    let origin = Origin::plain(|mut connection| {
        connection.read_exactly(1);
        connection.send("HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let capture = Capture::start();
    for (host, reason) in [
        (origin.authority("127.0.0.1"), "the TLS handshake failed (a message that is not valid TLS)"),
        (format!("127.0.0.1:{unused}"), "it refused the connection"),
    ] {
        let response = capture.dial().request(get("https", &host, "/"));
        assert_eq!((response.status, response.text()), (502, format!("spectral: cannot reach {host}: {reason}\n")));
        capture.wait_for_uncaptured(|found| *found == Reason::Unreachable(reason.to_owned()));
    }
}

#[test]
fn verifies_the_name_in_the_url() {
    let cert_spec = CertSpec { names: vec!["other.test".into()], ..CertSpec::default() };
    let origin = Origin::tls_with(TlsSetup { cert_spec, ..TlsSetup::default() }, |connection| {
        respond_to_all(connection, HELLO.as_bytes());
    });
    let host = origin.authority("localhost");
    let response = Capture::start().dial().request(get("https", &host, "/"));
    assert_eq!(response.status, 502);
    assert!(response.text().contains("(its certificate is for another name)"), "{}", response.text());
}

#[test]
fn an_origin_that_wants_a_client_certificate_gets_none() {
    let setup = TlsSetup { client_ca: Some(TestCa::trusted()), ..TlsSetup::default() };
    for versions in [ONLY_TLS12, ONLY_TLS13] {
        let origin = Origin::tls_with(TlsSetup { versions, ..setup.clone() }, |connection| {
            respond_to_all(connection, HELLO.as_bytes());
        });
        let capture = Capture::start();
        let mut client = capture.dial();
        client.send(get("https", &origin.authority("localhost"), "/"));
        let (bytes, _) = client.read_to_end();
        assert!(!String::from_utf8_lossy(&bytes).contains("hello"));
    }
}

#[test]
fn an_excluded_https_url_is_served_and_not_recorded() {
    let origin = Origin::tls_responding(HELLO);
    let host = origin.authority("localhost");
    let capture = Capture::with(|config| options(config).exclude = patterns(&["localhost"]));
    assert_eq!(capture.dial().request(get("https", &host, "/")).text(), "hello");
    let outcome = capture.stop();
    assert!(outcome.bundle().traces.is_empty());
    outcome.assert_uncaptured(&host, 1, |reason| *reason == Reason::NotMatched);
}

#[test]
fn discovery_counts_https_urls() {
    let origin = Origin::tls_responding(HELLO);
    let host = origin.authority("localhost");
    let capture = Capture::discover();
    let mut client = capture.dial();
    for _ in 0..2 {
        assert_eq!(client.request(get("https", &host, "/")).text(), "hello");
    }
    drop(client);
    let outcome = capture.stop();
    let [domain] = &outcome.summary.domains[..] else { panic!("{:?}", outcome.summary.domains) };
    assert_eq!((domain.name.as_str(), domain.connections, domain.requests), ("localhost", 1, 2));
    assert!(domain.sent > 0 && domain.received > 0);
}

#[test]
fn warns_once_that_a_request_for_an_https_url_was_in_the_clear() {
    let (clear, secure) = (Origin::plain_responding(HELLO), Origin::tls_responding(HELLO));
    for (listen, expected) in [([0, 0, 0, 0], 1), ([127, 0, 0, 1], 0)] {
        let capture = Capture::with(|config| config.listen = (listen, 0).into());
        let warnings = || {
            let is_wanted = |notice: &&Notice| matches!(notice, Notice::Warning(Warning::ClearHop));
            capture.notices.read(|all| all.iter().filter(is_wanted).count())
        };
        let request = |scheme, origin: &Origin| {
            let mut client = Connection::to(([127, 0, 0, 1], capture.addr.port()).into());
            assert_eq!(client.request(get(scheme, &origin.authority("localhost"), "/")).text(), "hello");
        };
        request("http", &clear);
        assert_eq!(warnings(), 0);
        request("https", &secure);
        request("https", &secure);
        assert_eq!(warnings(), expected, "{listen:?}");
    }
}
