//! A response may arrive before the request is complete; the rest of the upload must not hide it.

use crate::support::{Capture, Connection, Gate, Origin};
use std::thread;

const TOO_LARGE: &str = "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 8\r\n\r\ntoo much";

/// Sends a request with an endless body until that fails, and reads the response at the same time.
fn upload(connection: &mut Connection, head: &str) -> crate::support::connection::Response {
    // Part of the body is sent with the head, so that some of it is known to have been sent.
    connection.send(format!("{head}begin"));
    let mut writer = connection.writer.clone();
    let sending = thread::spawn(move || {
        let piece = vec![b'x'; 64 * 1024];
        // 512 MiB: more than all buffers on the way.
        for _ in 0..8192 {
            if writer.try_send(&piece).is_err() {
                return;
            }
        }
    });
    let response = connection.read_response();
    // The origin has closed: sending soon fails, or the connection is reset.
    drop(sending);
    response
}

#[test]
fn forwards_a_413_during_an_upload() {
    let read = Gate::default();
    let wait = read.clone();
    let script = move |mut connection: Connection| {
        connection.read_head();
        connection.send(TOO_LARGE);
        wait.pass();
        connection.reset();
    };
    let origin = Origin::tls(script);
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    let response =
        upload(&mut connection, "POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n");
    assert_eq!((response.status, response.text()), (413, "too much".to_owned()));
    read.open();
    connection.reset();
    capture.wait_for_exchanges(1);
    let outcome = capture.stop();
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.status(), trace.text().as_str()), (413, "too much"));
    assert!(trace.request_body.starts_with(b"begin"), "the bytes sent so far are recorded");
    assert_eq!(trace.cut_off().map(|part| part.starts_with("request ")), Some(true), "{:?}", trace.cut_off());
}

#[test]
fn forwards_a_413_from_an_origin_that_closes_at_once() {
    for plain in [false, true] {
        // The origin closes with unread bytes, so its TCP stack answers the next segment with RST.
        let slam = |mut connection: Connection| {
            connection.read_head();
            connection.send(TOO_LARGE);
            connection.close_abruptly();
        };
        let (origin, head);
        let capture = Capture::start();
        let mut connection;
        if plain {
            origin = Origin::plain(slam);
            let host = origin.authority("127.0.0.1");
            head = format!("POST http://{host}/up HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99999999999\r\n\r\n");
            connection = capture.dial();
        } else {
            origin = Origin::tls(slam);
            head = "POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n".to_owned();
            connection = capture.tls(&origin.authority("localhost"), "localhost");
        }
        let response = upload(&mut connection, &head);
        assert_eq!((response.status, response.text()), (413, "too much".to_owned()), "plain: {plain}");
        connection.reset();
        capture.wait_for_exchanges(1);
        assert_eq!(capture.stop().bundle().only_trace().status(), 413);
    }
}

#[test]
fn forwards_the_whole_request_after_an_early_response() {
    for plain in [false, true] {
        let script = |mut connection: Connection| {
            connection.read_head();
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly");
            connection.read_until(b"the end");
            connection.read_head();
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
        };
        let capture = Capture::start();
        let (origin, prefix);
        let mut connection;
        if plain {
            origin = Origin::plain(script);
            prefix = format!("http://{}", origin.authority("127.0.0.1"));
            connection = capture.dial();
        } else {
            origin = Origin::tls(script);
            prefix = String::new();
            connection = capture.tls(&origin.authority("localhost"), "localhost");
        }
        let host = origin.authority(if plain { "127.0.0.1" } else { "localhost" });
        let response =
            connection.request(format!("POST {prefix}/a HTTP/1.1\r\nHost: {host}\r\nContent-Length: 12\r\n\r\nbegin"));
        assert_eq!(response.text(), "early");
        connection.send("the end");
        let response = connection.request(format!("GET {prefix}/b HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(response.text(), "next", "plain: {plain}");
        drop(connection);
        let outcome = capture.stop();
        assert_eq!(outcome.bundle().trace("/a").request_body, b"beginthe end");
        assert_eq!(outcome.bundle().trace("/b").text(), "next");
    }
}
