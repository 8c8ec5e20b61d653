//! SOCKS5 on the port of the proxy: what the client receives, and what is captured.

use crate::support::cli::Spectral;
use crate::support::peers::{peer, python_with, run};
use crate::support::{Capture, Connection, Ending, Origin, TempDir, TestCa, TlsClient};
use spectral_capture::Reason;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const SUCCEEDED: &[u8] = b"\x05\0\0\x01\0\0\0\0\0\0";
/// Offers the method without a password.
const METHODS: &[u8] = b"\x05\x01\x00";

/// Returns the request for `host`, as a name, and `port`.
fn by_name(host: &str, port: u16) -> Vec<u8> {
    [b"\x05\x01\x00\x03", &[host.len() as u8][..], host.as_bytes(), &port.to_be_bytes()].concat()
}

/// Returns the request for 127.0.0.1 and `port`.
fn by_address(port: u16) -> Vec<u8> {
    [&b"\x05\x01\x00\x01\x7f\x00\x00\x01"[..], &port.to_be_bytes()].concat()
}

/// Negotiates on `connection` with `request`; returns the reply.
fn negotiate(connection: &mut Connection, request: &[u8]) -> Vec<u8> {
    connection.send(METHODS);
    assert_eq!(connection.read_exactly(2), b"\x05\x00");
    connection.send(request);
    connection.read_exactly(SUCCEEDED.len())
}

fn open(capture: &Capture, request: &[u8]) -> Connection {
    let mut connection = capture.dial();
    assert_eq!(negotiate(&mut connection, request), SUCCEEDED);
    connection
}

fn unused_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn captures_https_as_in_a_connect_tunnel() {
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::start();
    for request in [by_name("localhost", origin.port()), by_address(origin.port())] {
        let mut connection = open(&capture, &request);
        capture.client("localhost").start(&mut connection).unwrap();
        assert_eq!(connection.request("GET /s HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "hello");
    }
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    assert_eq!(outcome.bundle().urls(), [&format!("https://{}/s", origin.authority("localhost")); 2]);
}

#[test]
fn captures_clear_http_however_the_bytes_are_cut() {
    let origin = Origin::plain_responding(HELLO);
    let capture = Capture::start();
    let get = format!("GET /c HTTP/1.1\r\nHost: {}\r\n\r\n", origin.authority("localhost"));
    let all = [METHODS, &by_name("LocalHost", origin.port()), get.as_bytes()].concat();
    for size in [all.len(), 1, 5] {
        let mut connection = capture.dial();
        all.chunks(size).for_each(|piece| connection.send(piece));
        assert_eq!(connection.read_exactly(2 + SUCCEEDED.len()), [b"\x05\x00", SUCCEEDED].concat());
        assert_eq!(connection.read_response().text(), "hello");
    }
    for connection in 0..3 {
        assert_eq!(origin.received(connection), get.as_bytes());
    }
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().urls(), [&format!("http://{}/c", origin.authority("localhost")); 3]);
    assert_eq!(outcome.summary.domains[0].name, "localhost");
}

#[test]
fn connects_to_ipv6() {
    let Some(origin) = Origin::plain_on_ipv6(HELLO) else {
        return; // a machine without IPv6
    };
    let capture = Capture::start();
    let request = [b"\x05\x01\x00\x04", &[0; 15][..], &[1], &origin.port().to_be_bytes()].concat();
    let mut connection = open(&capture, &request);
    assert_eq!(connection.request("GET /v6 HTTP/1.1\r\nHost: x\r\n\r\n").text(), "hello");
    drop(connection);
    let outcome = capture.stop();
    assert_eq!(outcome.summary.domains[0].name, "x");
    assert_eq!(outcome.bundle().traces.len(), 1);
}

#[test]
fn an_origin_may_send_first() {
    let origin = Origin::plain(|mut connection: Connection| {
        connection.send("220 ready\r\n");
        assert_eq!(connection.read_to_end(), (b"QUIT\r\n".to_vec(), Ending::Clean));
    });
    let capture = Capture::start();
    let mut connection = open(&capture, &by_name("localhost", origin.port()));
    assert_eq!(connection.read_exactly(11), b"220 ready\r\n");
    connection.send("QUIT\r\n");
    connection.finish();
    assert_eq!(connection.read_to_end(), (vec![], Ending::Clean));
    let host = origin.authority("localhost");
    capture.stop().assert_uncaptured(&host, 1, |reason| *reason == Reason::NotHttp);
}

#[test]
fn the_reply_has_the_code_of_the_failure() {
    let capture = Capture::start();
    let (refused, own) = (unused_port(), capture.addr.port());
    let udp = [b"\x05\x03", &by_name("udp.test", 9)[2..]].concat();
    for (request, code) in [
        (by_address(refused), 5),
        (by_name("no.such.name.invalid", 80), 4),
        (by_address(own), 2),
        (by_name("mitm.it", 443), 2),
        (udp, 7),
        (b"\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50".to_vec(), 7),
        (b"\x05\x01\x00\x09".to_vec(), 8),
        (by_name("a b", 80), 1),
    ] {
        let mut connection = capture.dial();
        let reply = negotiate(&mut connection, &request);
        assert_eq!(reply, [&[5, code][..], &SUCCEEDED[2..]].concat(), "{}", request.escape_ascii());
        assert_eq!(connection.read_to_end(), (vec![], Ending::Clean));
    }
    let outcome = capture.stop();
    let unreachable = |reason: &Reason| matches!(reason, Reason::Unreachable(_));
    outcome.assert_uncaptured(&format!("127.0.0.1:{refused}"), 1, unreachable);
    outcome.assert_uncaptured("no.such.name.invalid:80", 1, unreachable);
    let refused = |cause: &str| Reason::Refused(cause.into());
    outcome.assert_uncaptured("udp.test:9", 1, |r| *r == refused("the SOCKS command UDP ASSOCIATE is not supported"));
    let own = "(the proxy itself)";
    outcome.assert_uncaptured("127.0.0.1:80", 1, |r| *r == refused("the SOCKS command BIND is not supported"));
    outcome.assert_uncaptured(own, 1, |r| *r == refused("the SOCKS address type 9 is unknown"));
    outcome.assert_uncaptured(own, 1, |r| r.to_string().contains("malformed SOCKS target"));
}

#[test]
fn socks4_is_rejected_and_reported() {
    let capture = Capture::start();
    let mut connection = capture.dial();
    connection.send(b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00");
    assert_eq!(connection.read_to_end(), (b"\x00\x5b\0\0\0\0\0\0".to_vec(), Ending::Clean));
    let outcome = capture.stop();
    outcome.assert_uncaptured("(the proxy itself)", 1, |r| {
        r.to_string() == "request refused: SOCKS4 is not supported, SOCKS5 is"
    });
}

#[test]
fn the_own_page_is_reached_by_its_name() {
    let capture = Capture::start();
    let mut connection = open(&capture, &by_name("mitm.it", 80));
    let response = connection.request("GET /cert/pem HTTP/1.1\r\nHost: mitm.it\r\n\r\n");
    assert_eq!(response.text(), std::fs::read_to_string(capture.ca.as_ref().unwrap()).unwrap());
    drop(connection);
    assert!(capture.stop().summary.uncaptured.is_empty());
}

#[test]
fn discovery_counts_by_name() {
    let dir = TempDir::new();
    let running = Spectral::discover(&dir, &["--json"]);
    let (tls, other) =
        (Origin::tls_responding(HELLO), Origin::plain(|mut connection| connection.send("220 ready\r\n")));
    let mut connection = Connection::to(running.addr);
    assert_eq!(negotiate(&mut connection, &by_address(tls.port())), SUCCEEDED);
    TlsClient::new("api.example.test", vec![TestCa::trusted().der()]).start(&mut connection).unwrap();
    assert_eq!(connection.request("GET / HTTP/1.1\r\nHost: x\r\n\r\n").text(), "hello");
    drop(connection);
    let mut connection = Connection::to(running.addr);
    assert_eq!(negotiate(&mut connection, &by_name("localhost", other.port())), SUCCEEDED);
    assert_eq!(connection.read_exactly(11), b"220 ready\r\n");
    drop(connection);
    let text = running.interrupt().ok().text();
    for (name, source) in [("api.example.test", "name"), ("localhost", "connect")] {
        assert!(text.contains(&format!(r#""domain":"{name}","known_by":"{source}""#)), "{text}");
    }
}

/// Runs `command` for a URL with TLS and one without, in both ways to resolve names.
fn captures(command: impl Fn(&str, &Path, &str) -> Command) {
    let (tls, clear) = (Origin::tls_responding(HELLO), Origin::plain_responding(HELLO));
    let v6 = Origin::plain_on_ipv6(HELLO);
    let capture = Capture::start();
    let mut urls = vec![
        format!("https://{}/tls", tls.authority("localhost")),
        format!("http://{}/clear", clear.authority("localhost")),
        format!("http://{}/v4", clear.authority("127.0.0.1")),
    ];
    urls.extend(v6.map(|origin| format!("http://{}/v6", origin.authority("[::1]"))));
    for scheme in ["socks5", "socks5h"] {
        let proxy = format!("{scheme}://{}", capture.addr);
        for url in &urls {
            let output = run(&mut command(&proxy, capture.ca.as_ref().unwrap(), url));
            assert_eq!(output.ok().text(), "hello", "{proxy} {url}");
        }
    }
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().urls(), [&urls[..], &urls].concat());
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
}

#[test]
fn captures_curl() {
    let Some(program) = peer("curl") else {
        return;
    };
    captures(|proxy, ca, url| {
        let mut command = Command::new(&program);
        command.args(["-sS", "--noproxy", "", "-x", proxy, "--cacert"]).arg(ca).arg(url);
        command
    });
}

#[test]
fn captures_requests_of_python() {
    let (Some(python), Some(_)) = (python_with("requests"), python_with("socks")) else {
        return;
    };
    let script = "import requests, sys\n\
                  proxy, ca, url = sys.argv[1:]\n\
                  print(requests.get(url, proxies={'all': proxy}, verify=ca).text, end='')";
    captures(|proxy, ca, url| {
        let mut command = Command::new(&python);
        command.args(["-c", script, proxy]).arg(ca).arg(url);
        command
    });
}
