//! Exclusion of single exchanges on a connection that is captured: by Host, `:authority` and port. Their bytes pass, and they
//! are counted.

use crate::support::capture::Outcome;
use crate::support::cli::Spectral;
use crate::support::connection::Ending;
use crate::support::http2_frames::{END_STREAM, GET, data, headers, push_promise};
use crate::support::peers::{peer, run};
use crate::support::websocket_frames::{frame, handshake};
use crate::support::{
    Capture, Connection, Gate, Message, NodeOrigin, Origin, Pair, TempDir, next_request, options, patterns,
};
use spectral_capture::Reason;
use std::process::Command;

const HELLO: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);

fn excluding(exclude: &[&str]) -> Capture {
    Capture::with(|config| options(config).exclude = patterns(exclude))
}

/// Returns a GET of `path` with this Host field.
fn get(path: &str, host: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// Asserts that the bundle has exchanges with these paths only, and that `excluded` exchanges with `host` are counted.
#[track_caller]
fn assert_recorded(outcome: &Outcome, paths: &[&str], host: &str, excluded: u64) {
    let urls = outcome.bundle().urls();
    let recorded: Vec<_> = urls.iter().map(|url| url.rsplit_once('/').map_or("", |(_, path)| path)).collect();
    assert_eq!(recorded, paths);
    outcome.assert_uncaptured(host, excluded, |reason| *reason == Reason::ExchangeExcluded);
    assert_eq!(outcome.summary.uncaptured.len(), 1, "{:?}", outcome.summary.uncaptured);
    outcome.assert_no_warnings();
}

#[test]
fn a_later_request_of_a_connection_is_excluded_by_its_host() {
    let origin = Origin::tls_responding(HELLO);
    let capture = excluding(&["secret.example"]);
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    for (path, host) in [("/1", "localhost"), ("/2", "secret.example"), ("/3", "localhost"), ("/4", "SECRET.example.")]
    {
        assert_eq!(connection.request(get(path, host)).text(), "hello");
    }
    drop(connection);
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().urls().len(), 2, "{:?}", outcome.bundle().urls());
    assert!(outcome.bundle().urls().iter().all(|url| url.ends_with("/1") || url.ends_with("/3")));
    for host in ["secret.example", "secret.example."] {
        outcome.assert_uncaptured(&origin.authority(host), 1, |reason| *reason == Reason::ExchangeExcluded);
    }
}

#[test]
fn pipelined_requests_are_excluded_one_by_one() {
    let origin = Origin::plain_responding(HELLO);
    let capture = excluding(&["secret.example"]);
    let mut connection = capture.connect(&origin.authority("localhost"));
    let post = "POST /2 HTTP/1.1\r\nHost: secret.example\r\nContent-Length: 6\r\n\r\nsecret";
    let requests = [&get("/1", "localhost"), post, &get("/3", "localhost"), &get("/4", "secret.example")].concat();
    connection.send(&requests);
    for _ in 0..4 {
        assert_eq!(connection.read_response().text(), "hello");
    }
    drop(connection);
    assert_eq!(origin.received_at_least(0, requests.len()), requests.as_bytes());
    assert_recorded(&capture.stop(), &["1", "3"], &origin.authority("secret.example"), 2);
}

#[test]
fn a_large_body_of_an_excluded_exchange_is_not_stored() {
    const LEN: usize = 3 << 20;
    let origin = Origin::tls_responding(
        [format!("HTTP/1.1 200 OK\r\nContent-Length: {LEN}\r\n\r\n").as_bytes(), &vec![b's'; LEN]].concat(),
    );
    let capture = excluding(&["secret.example"]);
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    let post = format!("POST /secret HTTP/1.1\r\nHost: secret.example\r\nContent-Length: {LEN}\r\n\r\n");
    connection.send([post.as_bytes(), &vec![b's'; LEN]].concat());
    assert_eq!(connection.read_response().body.len(), LEN);
    drop(connection);
    let outcome = capture.stop();
    let size = std::fs::metadata(outcome.summary.bundle.as_ref().unwrap()).unwrap().len();
    assert!(size < 2000, "{size} bytes");
    assert_recorded(&outcome, &[], &origin.authority("secret.example"), 1);
}

#[test]
fn a_websocket_is_excluded_with_its_messages() {
    let (request, response) = handshake("");
    for (exclude, expected) in [("secret.example", 0), ("other.example", 1)] {
        let response = response.clone();
        let origin = Origin::tls(move |mut connection: Connection| {
            next_request(&mut connection);
            connection.send(HELLO);
            next_request(&mut connection);
            connection.send([response.as_bytes(), &frame(0x81, None, b"down")].concat());
            connection.read_exactly(frame(0x81, MASK, b"up").len());
            connection.send(frame(0x88, None, b"\x03\xe8"));
            connection.finish();
            connection.read_to_end();
        });
        let capture = excluding(&[exclude]);
        let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
        connection.request(get("/first", "localhost"));
        connection.send(request.replace("localhost", "secret.example"));
        connection.read_head();
        connection.read_exactly(frame(0x81, None, b"down").len());
        connection.send(frame(0x81, MASK, b"up"));
        connection.finish();
        connection.read_to_end();
        let outcome = capture.stop();
        assert_eq!(outcome.bundle().websockets.len(), expected);
        if expected == 0 {
            assert_recorded(&outcome, &["first"], &origin.authority("secret.example"), 1);
        } else {
            let messages = &outcome.bundle().only_websocket().messages;
            assert!(
                messages.contains(&Message::received("text", "down"))
                    && messages.contains(&Message::sent("text", "up"))
            );
        }
    }
}

#[test]
fn streams_of_a_coalesced_http2_connection_are_excluded_by_authority_and_port() {
    let capture = excluding(&["secret.example:8443", "static.example"]);
    let mut pair = Pair::http2_with_prefaces(&capture);
    let request = |authority: &str, path: &str| {
        GET.replace(":authority a", &format!(":authority {authority}")).replace(":path /", &format!(":path {path}"))
    };
    pair.up(headers(1, END_STREAM, &request("localhost", "/1")));
    pair.up(headers(3, 0, &request("secret.example:8443", "/2")));
    pair.up(data(3, END_STREAM, b"secret"));
    pair.up(headers(5, END_STREAM, &request("secret.example:8444", "/3")));
    let websocket = request("secret.example:8443", "/4").replace(":method GET", ":method CONNECT\n:protocol websocket");
    pair.up(headers(7, 0, &websocket));
    pair.down(push_promise(1, 2, &request("secret.example:8443", "/pushed")));
    pair.down(push_promise(1, 4, &request("localhost", "/pushed-too")));
    pair.down([headers(7, 0, ":status 200"), data(7, 0, &frame(0x81, None, b"secret"))].concat());
    for stream in [2, 4, 3, 5, 1] {
        pair.down([headers(stream, 0, ":status 200"), data(stream, END_STREAM, b"answer")].concat());
    }
    pair.up(data(7, END_STREAM, &frame(0x88, MASK, b"\x03\xe8")));
    pair.down(data(7, END_STREAM, &frame(0x88, None, b"\x03\xe8")));
    pair.close();
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().websockets.len(), 0);
    assert_recorded(&outcome, &["pushed-too", "3", "1"], "secret.example:8443", 3);
}

#[test]
fn a_host_is_captured_by_its_server_name_whatever_its_requests_name() {
    let origin = Origin::tls_responding(HELLO);
    let capture = Capture::with(|config| options(config).include = patterns(&["localhost"]));
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    assert_eq!(connection.request(get("/1", "other.example")).text(), "hello");
    drop(connection);
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().urls(), [format!("https://{}/1", origin.authority("other.example"))]);
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
}

#[test]
fn the_stop_does_not_end_an_excluded_response_gracefully() {
    let gate = Gate::default();
    let wait = gate.clone();
    let origin = Origin::tls(move |mut connection: Connection| {
        next_request(&mut connection);
        connection.send("HTTP/1.1 200 OK\r\n\r\nhalf");
        wait.pass();
        connection.close_abruptly();
    });
    let capture = excluding(&["secret.example"]);
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.send(get("/", "secret.example"));
    connection.read_until(b"half");
    let outcome = capture.stop();
    gate.open();
    assert_ne!(connection.read_to_end().1, Ending::Clean, "the client would take it as complete");
    assert_recorded(&outcome, &[], &origin.authority("secret.example"), 1);
}

#[test]
fn the_summary_counts_excluded_exchanges_apart_from_connections() {
    let (dir, origin) = (TempDir::new(), Origin::plain_responding(HELLO));
    let running = Spectral::capture(&dir, &["-e", "secret.example", "-e", "127.0.0.1"]);
    for (target, hosts) in
        [("localhost", &["localhost", "secret.example", "secret.example"][..]), ("127.0.0.1", &["x"])]
    {
        let mut connection = Connection::to(running.addr);
        let target = origin.authority(target);
        connection.send(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"));
        connection.read_head();
        for host in hosts {
            assert_eq!(connection.request(get("/", host)).text(), "hello");
        }
    }
    let err = running.interrupt().err;
    let port = origin.port();
    let listed = format!("excluded by -d or -e:\n  secret.example:{port}  2 exchanges\n  x:{port}  1 connection");
    assert!(err.contains(&listed) && !err.contains("Not captured"), "{err}");
}

#[test]
fn curl_requests_with_another_host_are_excluded_over_both_versions() {
    let (Some(origin), Some(curl)) = (NodeOrigin::tls(), peer("curl")) else {
        return;
    };
    for version in ["--http2", "--http1.1"] {
        let capture = excluding(&["secret.example"]);
        let mut command = Command::new(&curl);
        command.args(["-sS", "--noproxy", "", "-w", "%{num_connects} ", "-x", &format!("http://{}", capture.addr)]);
        command.arg("--cacert").arg(capture.ca.as_ref().unwrap()).arg(version);
        let secret = ["-H", &format!("Host: secret.example:{}", origin.port)];
        command.arg(origin.url("/hello?1")).arg("--next").args(["-sS", "--noproxy", "", "-w", "%{num_connects} "]);
        command.args(["-x", &format!("http://{}", capture.addr), version]).args(secret).arg("--cacert");
        command.arg(capture.ca.as_ref().unwrap()).arg(origin.url("/hello?2"));
        assert_eq!(run(&mut command).ok().text(), "hello1 hello0 ", "one connection");
        let outcome = capture.stop();
        assert_recorded(&outcome, &["hello?1"], &format!("secret.example:{}", origin.port), 1);
    }
}
