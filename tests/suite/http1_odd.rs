//! HTTP/1 connections on which one side sends malformed or unexpected data. What the other side sends is recorded nevertheless.

use crate::support::capture::Outcome;
use crate::support::{Capture, Connection, Gate, Origin, next_request};
use spectral_capture::{Opaque, Reason};

const REFUSAL: &str =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{\"error\": 400}";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The recorded target, status, text of the response, and `cut_off` of an exchange.
#[derive(Debug, PartialEq)]
struct Recorded(String, u64, String, String);

fn recorded(outcome: &Outcome) -> Vec<Recorded> {
    outcome.assert_no_warnings();
    let traces = outcome.bundle().traces.iter();
    traces
        .map(|t| {
            let path = t.url().splitn(4, '/').nth(3).unwrap_or_default();
            let text = if t.status() == 0 { t.status_text().to_owned() } else { t.text() };
            let [side, why] = ["side", "why"].map(|member| t.json["cut_off"][member].as_str().unwrap_or_default());
            Recorded(path.to_owned(), t.status(), text, format!("{side} {why}").trim().to_owned())
        })
        .collect()
}

fn exchange(path: &str, status: u64, text: &str, cut_off: &str) -> Recorded {
    Recorded(path.into(), status, text.into(), cut_off.into())
}

fn reasons(outcome: &Outcome) -> Vec<String> {
    outcome.summary.uncaptured.iter().map(|u| u.reason.to_string()).collect()
}

/// Sends `request` over TLS to an origin that reads all of it and sends `response`, then closes both sides.
#[track_caller]
fn exchanged(request: &str, response: &str) -> Outcome {
    let (len, script) = (request.len(), response.to_owned());
    let origin = Origin::tls(move |mut connection| {
        connection.read_exactly(len);
        connection.send(&script);
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.send(request);
    assert_eq!(String::from_utf8(connection.read_exactly(response.len())).unwrap(), response);
    drop(connection);
    capture.stop()
}

#[test]
fn records_the_response_to_a_malformed_body() {
    let request = "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhino size\r\n";
    let outcome = exchanged(request, REFUSAL);
    assert_eq!(recorded(&outcome), [exchange("a", 400, "{\"error\": 400}", "request malformed")]);
    assert_eq!(outcome.bundle().only_trace().request_body, b"hi");
    assert_eq!(reasons(&outcome), ["captured up to a body with malformed framing"]);
}

#[test]
fn records_the_response_to_a_length_in_characters() {
    let body = "{\"name\":\"Zo\u{eb} \u{dc}nal\"}";
    let length = body.chars().count();
    let request = format!("POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}");
    let outcome = exchanged(&request, OK);
    assert_eq!(recorded(&outcome), [exchange("a", 200, "ok", "")]);
    assert_eq!(reasons(&outcome), ["captured up to a request that is not HTTP/1"]);
}

#[test]
fn records_what_was_pipelined_before_a_malformed_request() {
    let request = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n\x01 /b HTTP/1.1\r\n\r\n";
    let outcome = exchanged(request, &[OK, REFUSAL].concat());
    assert_eq!(recorded(&outcome), [exchange("a", 200, "ok", "")]);
    assert_eq!(reasons(&outcome), ["captured up to a request that is not HTTP/1"]);
}

#[test]
fn records_requests_after_a_malformed_response() {
    let malformed = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokno size\r\n";
    let origin = Origin::tls(move |mut connection| {
        for response in [malformed, OK, OK] {
            next_request(&mut connection);
            connection.send(response);
        }
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    for (path, response) in [("a", malformed), ("b", OK), ("c", OK)] {
        connection.send(format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        connection.read_exactly(response.len());
    }
    drop(connection);
    let outcome = capture.stop();
    let lost = "earlier data from the origin could not be parsed";
    assert_eq!(
        recorded(&outcome),
        [exchange("a", 200, "ok", "response malformed"), exchange("b", 0, lost, ""), exchange("c", 0, lost, "")]
    );
    assert_eq!(reasons(&outcome), ["captured up to a body with malformed framing"]);
}

#[test]
fn says_that_a_response_is_not_http() {
    let outcome = exchanged("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n", "ICY 200 OK\r\n\r\nmusic");
    assert_eq!(recorded(&outcome), [exchange("a", 0, "response could not be parsed", "")]);
    assert_eq!(reasons(&outcome), ["captured up to a response that is not HTTP/1"]);
}

/// Sends `head`, which is incomplete, to an origin that refuses it and closes. Stops the capture once it has recorded this
/// number of exchanges.
#[track_caller]
fn refused_early(head: &str, exchanges: usize) -> Outcome {
    const TOO_LARGE: &str = "HTTP/1.1 431 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
    let len = head.len();
    let origin = Origin::tls(move |mut connection| {
        connection.read_exactly(len);
        connection.send(TOO_LARGE);
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.send(head);
    assert_eq!(connection.read_response().status, 431);
    drop(connection);
    capture.wait_for_exchanges(exchanges);
    capture.stop()
}

#[test]
fn records_the_response_to_an_incomplete_head() {
    let outcome = refused_early("GET /a HTTP/1.1\r\nHost: localhost\r\nAccept: x\r\nCookie: ", 1);
    assert_eq!(recorded(&outcome), [exchange("a", 431, "no", "request closed")]);
    assert_eq!(outcome.bundle().only_trace().request_headers(), [("Host", "localhost"), ("Accept", "x")]);
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
}

#[test]
fn records_the_response_to_a_head_past_the_limit() {
    let head = format!("GET /a HTTP/1.1\r\nHost: localhost\r\nCookie: {}", "x".repeat(1 << 20));
    let outcome = refused_early(&head, 1);
    assert_eq!(recorded(&outcome), [exchange("a", 431, "no", "request limit")]);
    assert!(reasons(&outcome)[0].starts_with("captured up to an exceeded limit"), "{:?}", reasons(&outcome));
}

#[test]
fn reports_the_response_to_an_incomplete_first_line() {
    let outcome = refused_early("GET /aaaaaaaaaaaa", 0);
    assert!(recorded(&outcome).is_empty());
    assert_eq!(reasons(&outcome), ["answered before the request was complete"]);
}

#[test]
fn says_nothing_of_an_unsolicited_response() {
    const TIMEOUT: &str = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 4\r\n\r\nidle";
    for requests in [0, 2] {
        for is_tls in [true, false] {
            let script = move |mut connection: Connection| {
                for _ in 0..requests {
                    next_request(&mut connection);
                    connection.send(OK);
                }
                connection.send(TIMEOUT);
            };
            let origin = if is_tls { Origin::tls(script) } else { Origin::plain(script) };
            let capture = Capture::start();
            let authority = origin.authority("localhost");
            let mut connection =
                if is_tls { capture.tls(&authority, "localhost") } else { capture.connect(&authority) };
            for _ in 0..requests {
                assert_eq!(connection.request("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "ok");
            }
            assert_eq!(connection.read_response().status, 408);
            drop(connection);
            let outcome = capture.stop();
            assert_eq!(recorded(&outcome).len(), requests, "TLS: {is_tls}");
            assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
        }
    }
}

#[test]
fn says_nothing_of_an_http_2_client_that_leaves_without_a_request() {
    let left = Gate::default();
    let wait = left.clone();
    let setup = crate::support::TlsSetup { alpn: &["h2"], ..Default::default() };
    let origin = Origin::tls_with(setup, move |mut connection| {
        wait.pass();
        connection.send(b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0");
    });
    let capture = Capture::start();
    let client = capture.client("localhost").alpn(&["h2"]);
    let mut connection = capture.tls_with(&origin.authority("localhost"), &client);
    connection.finish();
    left.open();
    assert_eq!(connection.read_exactly(26)[3], 4);
    drop(connection);
    let outcome = capture.stop();
    let others = outcome.summary.uncaptured.iter().filter(|u| matches!(u.reason, Reason::Opaque(_)));
    assert_eq!(others.count(), 0, "{:?}", outcome.summary.uncaptured);
}

#[test]
fn reports_requests_after_unsolicited_data() {
    let origin = Origin::tls(|mut connection| {
        next_request(&mut connection);
        connection.send([OK, "more than the length"].concat());
        next_request(&mut connection);
        connection.send(OK);
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    assert_eq!(connection.request("GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "ok");
    connection.read_exactly("more than the length".len());
    assert_eq!(connection.request("GET /b HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "ok");
    drop(connection);
    let outcome = capture.stop();
    let lost = "earlier data from the origin could not be parsed";
    assert_eq!(recorded(&outcome), [exchange("a", 200, "ok", ""), exchange("b", 0, lost, "")]);
    outcome.assert_uncaptured(&origin.authority("localhost"), 1, |reason| {
        *reason == Reason::Opaque(Opaque::UnsolicitedResponse)
    });
}
