//! HTTP/2 without TLS: with prior knowledge, and after `Upgrade: h2c` (RFC 7540 section 3.2).

use crate::support::http2_frames::{END_STREAM, PREFACE, acknowledge, data, headers, settings};
use crate::support::pair::to;
use crate::support::peers::{peer, run};
use crate::support::wait::TIMEOUT;
use crate::support::{Capture, Connection, NodeOrigin, Origin, Pair, PortForward};
use spectral_capture::Transparent;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

/// Returns curl with the proxy configured.
fn curl(program: &Path, capture: &Capture) -> Command {
    let mut command = Command::new(program);
    command.args(["-sS", "--noproxy", "", "-w", " over %{http_version}", "-x", &format!("http://{}", capture.addr)]);
    command
}

/// Upgrades the first request on a connection and responds to it.
fn upgrading(mut connection: Connection) {
    let head = connection.read_head().to_lowercase();
    assert!(head.contains("upgrade: h2c\r\n") && head.contains("http2-settings: "), "{head}");
    connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    connection.send(settings(&[]));
    connection.read_until(PREFACE);
    connection.send(acknowledge());
    connection
        .send([headers(1, 0, ":status 200\nx-stream one"), data(1, 0, b"up"), data(1, END_STREAM, b"graded")].concat());
    connection.read_to_end();
}

#[test]
fn records_curl_with_prior_knowledge_inside_connect() {
    let (Some(origin), Some(program)) = (NodeOrigin::plain(), peer("curl")) else {
        return;
    };
    let capture = Capture::start();
    let url = origin.url("/echo?a=b");
    let output = run(curl(&program, &capture).args(["--proxytunnel", "--http2-prior-knowledge", "-d", "sent", &url]));
    assert_eq!(output.ok().text(), "sent over 2");
    let outcome = capture.stop();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.url(), trace.request_body.as_slice(), trace.text().as_str()), (&*url, &b"sent"[..], "sent"));
}

#[test]
fn records_curl_upgrades_inside_connect_and_to_the_proxy() {
    let Some(program) = peer("curl") else {
        return;
    };
    for tunnel in [true, false] {
        let origin = Origin::plain(upgrading);
        let capture = Capture::start();
        let url = format!("http://{}/page?a=b", origin.authority("localhost"));
        let mut command = curl(&program, &capture);
        command.args(["--http2", &url]).args(tunnel.then_some("--proxytunnel"));
        assert_eq!(run(&mut command).ok().text(), "upgraded over 2", "CONNECT: {tunnel}");
        let outcome = capture.stop();
        outcome.assert_no_warnings();
        assert!(outcome.summary.uncaptured.is_empty(), "CONNECT: {tunnel}: {:?}", outcome.summary.uncaptured);
        let trace = outcome.bundle().only_trace();
        assert_eq!((trace.method(), trace.url(), trace.status()), ("GET", &*url, 200), "CONNECT: {tunnel}");
        assert_eq!((trace.text().as_str(), trace.status_text()), ("upgraded", ""), "the response, and not the 101");
        assert_eq!(trace.response_headers(), [("x-stream", "one")]);
        assert!(trace.request_headers().contains(&("Upgrade", "h2c")));
    }
}

#[test]
fn records_nghttp_after_an_upgrade() {
    let Some(nghttp) = peer("nghttp") else {
        return;
    };
    let origin = Origin::plain(upgrading);
    let capture = Capture::start();
    let forward = PortForward::start(&capture, &origin.authority("localhost"));
    let url = forward.url("http", "/page");
    assert_eq!(run(Command::new(nghttp).args(["-u", &url])).ok().text(), "upgraded");
    let outcome = capture.stop();
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.url(), trace.text().as_str()), (&*url, "upgraded"));
}

#[test]
fn records_an_upgrade_with_a_body_and_later_streams() {
    let capture = Capture::start();
    let mut pair = Pair::clear(&capture);
    let head = "POST /first HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                HTTP2-Settings: AAEAAAAAAAQAAP__\r\nContent-Length: 4\r\n\r\n";
    pair.up(head);
    pair.up("body");
    // The bytes after the 101 in the same segment are HTTP/2.
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    pair.down([switch.as_bytes(), &settings(&[]), &headers(1, 0, ":status 201")].concat());
    pair.up([PREFACE, &settings(&[]), &acknowledge(), &headers(3, END_STREAM, &to("/second"))].concat());
    pair.down([acknowledge(), headers(3, 0, ":status 200"), data(3, END_STREAM, b"two")].concat());
    pair.down([data(1, 0, b"one"), headers(1, END_STREAM, "x-trailer yes")].concat());
    pair.close();
    let outcome = capture.stop();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    let trace = outcome.bundle().trace("/first");
    assert_eq!((trace.method(), trace.status(), trace.text().as_str()), ("POST", 201, "one"));
    assert_eq!((trace.request_body.as_slice(), trace.response_headers()), (&b"body"[..], vec![("x-trailer", "yes")]));
    assert_eq!(outcome.bundle().trace("/second").text(), "two");
}

#[test]
fn records_http_1_when_the_origin_ignores_the_upgrade() {
    let origin = Origin::plain_responding("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    for path in ["/one", "/two"] {
        let response = connection.request(format!(
            "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAMAAABk\r\n\r\n"
        ));
        assert_eq!(response.text(), "hello");
    }
    drop(connection);
    let outcome = capture.stop();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    assert_eq!(outcome.bundle().traces.len(), 2);
}

#[test]
fn curl_upgrades_each_of_its_requests_to_the_proxy() {
    let Some(program) = peer("curl") else {
        return;
    };
    let origin = Origin::plain(upgrading);
    let capture = Capture::start();
    let urls = ["one", "two"].map(|path| format!("http://{}/{path}", origin.authority("localhost")));
    // curl would send its next request, with the whole URL as its path, on the upgraded connection.
    for _ in 0..5 {
        let output = run(curl(&program, &capture).arg("--http2").args(&urls));
        assert_eq!(output.ok().text(), "upgraded over 2upgraded over 2");
    }
    assert_eq!(origin.connections(), 10);
    let outcome = capture.stop();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    let recorded = urls.each_ref().map(|url| outcome.bundle().traces.iter().filter(|trace| trace.url() == url).count());
    assert_eq!(recorded, [5, 5]);
}

#[test]
fn the_end_of_an_upgraded_connection_arrives_with_its_last_bytes() {
    let origin = Origin::plain(upgrading);
    let capture = Capture::start();
    let host = origin.authority("localhost");
    let request = format!(
        "GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAEAAAAAAAQAAP__\r\n\r\n"
    );
    let last = data(1, END_STREAM, b"graded");
    for _ in 0..20 {
        let mut client = TcpStream::connect(capture.addr).unwrap();
        client.set_read_timeout(Some(TIMEOUT)).unwrap();
        client.write_all(&[request.as_bytes(), PREFACE, &settings(&[]), &acknowledge()].concat()).unwrap();
        let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
        while !received.ends_with(&last) {
            let n = client.read(&mut buffer).unwrap();
            assert_ne!(n, 0, "{received:?}");
            received.extend_from_slice(&buffer[..n]);
        }
        // A client that finds no end now sends its next request on this connection.
        client.set_nonblocking(true).unwrap();
        assert_eq!(client.read(&mut buffer).map_err(|e| e.kind()), Ok(0));
    }
}

#[test]
fn further_streams_go_on_after_an_upgrade_if_redirected_or_begun_before_the_response() {
    let answer = |stream| headers(stream, END_STREAM, ":status 204");
    for is_redirected in [true, false] {
        let second = headers(3, END_STREAM, &to("/second"));
        let wanted = second.clone();
        let origin = Origin::plain(move |mut connection| {
            connection.read_head();
            connection.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
            connection.send(settings(&[]));
            if is_redirected {
                connection.send(answer(1));
                connection.read_until(&wanted);
            } else {
                connection.read_until(&wanted);
                connection.send(answer(1));
            }
            connection.send(answer(3));
            connection.read_to_end();
        });
        let capture = Capture::with(|config| {
            if is_redirected {
                config.transparent = Transparent::ByName;
            }
        });
        let host = origin.authority("localhost");
        let target = if is_redirected { "/first".into() } else { format!("http://{host}/first") };
        let mut connection = capture.dial();
        connection.send(format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
             HTTP2-Settings: AAEAAAAAAAQAAP__\r\n\r\n"
        ));
        connection.read_head();
        if is_redirected {
            connection.read_until(&answer(1));
        }
        connection.send([PREFACE, &settings(&[]), &second].concat());
        connection.read_until(&answer(3));
        drop(connection);
        let outcome = capture.stop();
        let seen: Vec<_> = outcome.bundle().traces.iter().map(|trace| trace.status()).collect();
        assert_eq!(seen, [204, 204], "redirected: {is_redirected}");
    }
}
