//! Exchanges over HTTP/2: clients see the same with and without the proxy, and the bundle records it.

use crate::support::node::{get, post};
use crate::support::{Capture, NodeOrigin};
use serde_json::{Value, json};

/// Returns the client's report for `requests`, which is the same with and without the proxy, and the outcome.
#[track_caller]
fn run_client_and_capture(requests: &Value) -> Option<(Value, crate::support::capture::Outcome, NodeOrigin)> {
    let origin = NodeOrigin::tls()?;
    let capture = Capture::start();
    let seen = origin.assert_same_as_direct(&capture, requests);
    assert_eq!((seen["protocol"].as_str(), &seen["failed"]), (Some("h2"), &Value::Null));
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    Some((seen, outcome, origin))
}

#[test]
fn records_request_and_response_as_sent() {
    let headers = json!({
        ":path": "/fields?a=b&c=%20", "te": "trailers", "X-Odd": "one", "cookie": ["a=1", "b=2; c=3", "d=4"],
        "x-empty": "", "x-twice": ["1", "2"],
    });
    let Some((seen, outcome, origin)) = run_client_and_capture(&json!([{"headers": headers}, get("/hello")])) else {
        return;
    };
    let fields: Value = serde_json::from_str(seen["answers"][0]["body"].as_str().unwrap()).unwrap();
    assert_eq!((fields["te"].as_str(), fields["cookie"].as_str()), (Some("trailers"), Some("a=1; b=2; c=3; d=4")));

    let trace = outcome.bundle().trace("%20");
    assert_eq!((trace.method(), trace.url(), trace.status()), ("GET", &*origin.url("/fields?a=b&c=%20"), 200));
    assert_eq!(trace.status_text(), "");
    // Node sends the fields in an order of its own.
    let mut sent = trace.request_headers();
    sent.sort_unstable();
    assert_eq!(
        sent,
        [
            ("cookie", "a=1; b=2; c=3; d=4"),
            ("te", "trailers"),
            ("x-empty", ""),
            ("x-odd", "one"),
            ("x-twice", "1"),
            ("x-twice", "2"),
        ]
    );
    let hello = outcome.bundle().trace("/hello");
    assert_eq!(
        hello.response_headers(),
        [
            ("date", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("content-type", "text/plain"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
        ],
        "these are not joined"
    );
    assert!(trace.ms("tls") > 0.0 && hello.ms("tls") == 0.0, "the first exchange has the connection times");
    assert!(hello.ms("total") > 0.0);
}

#[test]
fn records_trailers_in_both_directions() {
    let mut request = post("/echo", "question");
    request["trailers"] = json!({"x-sent": "yes"});
    let Some((seen, outcome, _)) = run_client_and_capture(&json!([request])) else {
        return;
    };
    assert_eq!(seen["answers"][0]["trailers"], json!({"x-path": "/echo", "x-received": "yes"}));
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.request_body.as_slice(), trace.text().as_str()), (&b"question"[..], "question"));
    assert_eq!(trace.request_headers(), [("x-sent", "yes")]);
    assert_eq!(
        trace.response_headers()[1..],
        [("x-path", "/echo"), ("x-received", "yes")],
        "trailers follow the headers"
    );
}

#[test]
fn forwards_early_hints_and_records_the_final_response() {
    let Some((seen, outcome, _)) = run_client_and_capture(&json!([get("/hints")])) else {
        return;
    };
    let hints = seen["answers"][0]["hints"].as_array().unwrap();
    let links: Vec<_> = hints.iter().map(|hint| (hint[":status"].as_u64(), hint["link"].as_str())).collect();
    let expected = ["</one.css>; rel=preload", "</two.css>; rel=preload"];
    assert_eq!(links, expected.map(|connection| (Some(103), Some(connection))));
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.status(), trace.text().as_str()), (200, "hinted"));
    assert_eq!(trace.response_headers().len(), 1, "only the date");
}

#[test]
fn records_a_pushed_response_as_an_exchange() {
    let Some((seen, outcome, origin)) = run_client_and_capture(&json!([get("/push")])) else {
        return;
    };
    assert_eq!(seen["pushed"], json!([{"path": "/pushed.css?v=1", "body": "body{}"}]));
    assert_eq!(outcome.bundle().traces.len(), 2);
    let trace = outcome.bundle().trace("?v=1");
    assert_eq!((trace.method(), trace.url(), trace.status()), ("GET", &*origin.url("/pushed.css?v=1"), 200));
    assert_eq!((trace.text().as_str(), trace.response_headers()[1]), ("body{}", ("content-type", "text/css")));
}

#[test]
fn records_responses_without_a_body() {
    let head = json!({"headers": {":path": "/hello?head", ":method": "HEAD"}});
    let Some((seen, outcome, _)) =
        run_client_and_capture(&json!([head, get("/status/204"), get("/status/304"), post("/echo", "")]))
    else {
        return;
    };
    let seen: Vec<_> = seen["answers"].as_array().unwrap().iter().map(|a| a["headers"][":status"].as_u64()).collect();
    assert_eq!(seen, [200, 204, 304, 200].map(Some));
    for (path, method, status) in
        [("?head", "HEAD", 200), ("/204", "GET", 204), ("/304", "GET", 304), ("/echo", "POST", 200)]
    {
        let trace = outcome.bundle().trace(path);
        assert_eq!((trace.method(), trace.status(), trace.response_body.len()), (method, status, 0), "{path}");
        assert!(trace.json["response"]["body_file"].is_null());
    }
}

#[test]
fn records_a_response_that_ends_before_its_upload() {
    let request = json!({"headers": {":path": "/early", ":method": "POST"}, "fill": 4_000_000});
    let Some((seen, outcome, _)) = run_client_and_capture(&json!([request, get("/hello")])) else {
        return;
    };
    assert_eq!(seen["answers"][0]["body"], "too much");
    assert_eq!(seen["answers"][1]["body"], "hello", "the connection stays open");
    let trace = outcome.bundle().trace("/early");
    assert_eq!((trace.status(), trace.text().as_str()), (413, "too much"));
    assert!(trace.request_body.len() < 4_000_000);
}

#[test]
fn records_clear_http_2_with_prior_knowledge() {
    let Some(origin) = NodeOrigin::plain() else {
        return;
    };
    let capture = Capture::start();
    let seen = origin.assert_same_as_direct(&capture, &json!([get("/hello"), post("/echo", "clear"), get("/push")]));
    assert_eq!(seen["pushed"][0]["body"], "body{}");
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    for (path, text) in [("/hello", "hello"), ("/echo", "clear"), ("/push", "<link>"), ("/pushed.css?v=1", "body{}")] {
        assert_eq!(outcome.bundle().trace(&origin.url(path)).text(), text);
    }
}
