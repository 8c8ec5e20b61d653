//! `Expect: 100-continue` with a final response first: the client may omit the body, and use the connection again (RFC 9110
//! section 10.1.1).

use crate::support::peers::{peer, run};
use crate::support::{Capture, Connection, Ending, Origin};
use std::process::Command;

/// Returns a refusal before the body; with `close`, the origin closes after it.
fn refusal(status: u16, close: bool) -> String {
    let connection = if close { "Connection: close\r\n" } else { "" };
    format!("HTTP/1.1 {status} No\r\n{connection}Content-Length: 2\r\n\r\nno")
}

/// Refuses each request that expects 100, and answers all others.
fn refuse(mut connection: Connection, status: u16, close: bool) {
    while let Some(head) = next_head(&mut connection) {
        if head.contains("100-continue") {
            connection.send(refusal(status, close));
            if close {
                return;
            }
            continue;
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        connection.read_exactly(length.map_or(0, |length| length.trim().parse().unwrap()));
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
}

fn next_head(connection: &mut Connection) -> Option<String> {
    connection.reader.has_more().then(|| connection.read_head())
}

#[test]
fn records_the_request_after_an_omitted_body() {
    let origin = Origin::tls(|connection| refuse(connection, 413, false));
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    let put = "PUT /1 HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 2000000\r\n\r\n";
    assert_eq!(connection.request(put).status, 413);
    assert_eq!(connection.request("GET /2 HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "ok");
    drop(connection);
    let outcome = capture.stop();
    let (first, second) = (outcome.bundle().trace("/1"), outcome.bundle().trace("/2"));
    assert_eq!((first.status(), first.request_body.len(), second.status()), (413, 0, 200));
    assert_eq!(first.json["cut_off"]["side"], "request");
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
}

#[test]
fn a_plain_body_is_never_served_as_a_request() {
    // One client omits the body, and another sends a body that looks like a request: both look the same.
    let origins = [0, 1].map(|_| Origin::plain(|connection| refuse(connection, 413, false)));
    let capture = Capture::start();
    let host = origins[0].authority("127.0.0.1");
    for target in &origins {
        let authority = target.authority("127.0.0.1");
        let next = format!("GET http://{authority}/2 HTTP/1.1\r\nHost: {authority}\r\n\r\n");
        let length = next.len();
        let mut connection = capture.dial();
        let put = format!(
            "PUT http://{host}/1 HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
        );
        assert_eq!(connection.request(put).status, 413);
        connection.send(next);
        assert_eq!(connection.read_to_end(), (Vec::new(), Ending::Clean));
    }
    let outcome = capture.stop();
    assert_eq!((origins[0].connections(), origins[1].connections()), (2, 0));
    let traces = &outcome.bundle().traces;
    assert_eq!(traces.iter().map(|t| t.status()).collect::<Vec<_>>(), [413, 413]);
    for (index, trace) in traces.iter().enumerate() {
        assert!(String::from_utf8(origins[0].received(index)).unwrap().starts_with("PUT /1 "));
        let cut_off = &trace.json["cut_off"];
        assert_eq!((&cut_off["side"], &cut_off["why"]), (&"request".into(), &"closed".into()));
        assert!(trace.request_body.is_empty());
    }
}

#[test]
fn forwards_a_plain_body_after_an_early_response() {
    for (status, body) in [(413, "{\"a\": 1}"), (200, "body")] {
        let origin = Origin::plain(move |mut connection| {
            connection.read_head();
            connection.send(refusal(status, false));
            assert_eq!(connection.read_exactly(body.len()), body.as_bytes());
            connection.read_head();
            connection.send("HTTP/1.1 204 No\r\n\r\n");
        });
        let host = origin.authority("127.0.0.1");
        let capture = Capture::start();
        let mut connection = capture.dial();
        let put = format!("PUT http://{host}/1 HTTP/1.1\r\nHost: {host}\r\nExpect: 100-continue\r\n");
        let response = connection.request(format!("{put}Content-Length: {}\r\n\r\n", body.len()));
        assert_eq!(response.status, status);
        connection.send(body);
        assert_eq!(connection.request(format!("GET http://{host}/2 HTTP/1.1\r\nHost: {host}\r\n\r\n")).status, 204);
        drop(connection);
        let outcome = capture.stop();
        assert_eq!(outcome.bundle().trace("/1").request_body, body.as_bytes());
        assert_eq!(outcome.bundle().trace("/2").status(), 204);
    }
}

#[test]
fn records_uploads_of_curl_that_are_refused_early() {
    let Some(program) = peer("curl") else {
        return;
    };
    for is_tls in [true, false] {
        for status in [417, 413] {
            for close in [true, false] {
                let case = format!("TLS {is_tls}, {status}, close {close}");
                let script = move |connection| refuse(connection, status, close);
                let origin = if is_tls { Origin::tls(script) } else { Origin::plain(script) };
                let capture = Capture::start();
                let file = capture.dir.write("upload", vec![b'x'; 2_000_000]);
                let (scheme, proxy) = (if is_tls { "https" } else { "http" }, format!("http://{}", capture.addr));
                let url = |path: &str| format!("{scheme}://{}/{path}", origin.authority("localhost"));
                let mut curl = Command::new(&program);
                curl.env("HTTPS_PROXY", &proxy).env("http_proxy", &proxy).env("NO_PROXY", "");
                curl.args(["-sS", "-m", "50", "--cacert"]).arg(capture.ca.as_ref().unwrap());
                // curl expects 100 before uploads of this size. After its own timeout it would send the body anyway.
                curl.args(["--http1.1", "--expect100-timeout", "60", "-T"]);
                curl.arg(&file).arg(url("1")).args(["--next", "-sS", "-m", "50", "--http1.1", "--cacert"]);
                curl.arg(capture.ca.as_ref().unwrap()).arg(url("2"));
                let output = run(&mut curl).ok().text();
                let outcome = capture.stop();
                let mut seen: Vec<_> =
                    outcome.bundle().traces.iter().map(|t| (t.method(), t.status(), t.request_body.len())).collect();
                // curl repeats the upload after 417 without the expectation.
                let is_repeated = status == 417 && !close;
                let text = if is_repeated { "okok" } else { "nook" };
                let repeated = &[("PUT", 200, 2_000_000)][..usize::from(is_repeated)];
                let mut expected = [&[("PUT", u64::from(status), 0)], repeated, &[("GET", 200, 0)]].concat();
                seen.sort_unstable();
                expected.sort_unstable();
                assert_eq!((seen, output.as_str()), (expected, text), "{case}");
                assert!(outcome.summary.uncaptured.is_empty(), "{case}: {:?}", outcome.summary.uncaptured);
            }
        }
    }
}
