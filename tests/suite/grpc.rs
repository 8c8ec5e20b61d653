//! gRPC between grpcio's client and server: calls work as without the proxy. The bundle has the messages as sent, and
//! the status among the headers.

use crate::support::Capture;
use crate::support::capture::Outcome;
use crate::support::grpc::{GrpcOrigin, messages};
use std::io::Read;

/// Returns the report of a client that makes `calls`, which is the same with and without the proxy, and the recorded
/// outcome.
#[track_caller]
fn run_calls(calls: &[&str]) -> Option<(String, Outcome, GrpcOrigin)> {
    let origin = GrpcOrigin::tls()?;
    let capture = Capture::start();
    let output = origin.assert_same_as_direct(&capture, calls);
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    Some((output, outcome, origin))
}

/// Returns the value of a response header.
fn header<'t>(trace: &'t crate::support::bundle::Trace, name: &str) -> Option<&'t str> {
    trace.response_headers().into_iter().find(|(n, _)| *n == name).map(|(_, value)| value)
}

#[test]
fn records_metadata_and_status_of_unary_calls() {
    let Some((output, outcome, origin)) = run_calls(&["echo"]) else {
        return;
    };
    assert!(output.starts_with("echo b'hello' 5") && output.contains(r"('x-last-bin', b'\xfe\x00')"), "{output}");
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.method(), trace.url(), trace.status()), ("POST", &*origin.url("Echo"), 200));
    assert_eq!(messages(&trace.request_body), [(false, &b"hello"[..])]);
    assert_eq!(messages(&trace.response_body), [(false, &b"hello"[..])]);
    let headers = trace.request_headers();
    // Binary metadata is sent without base64, after a zero byte; client and server negotiated that in their settings.
    for field in
        [("content-type", "application/grpc"), ("te", "trailers"), ("x-asked", "yes"), ("x-asked-bin", "\0\u{1}\0ÿ")]
    {
        assert!(headers.contains(&field), "{field:?} among {headers:?}");
    }
    for (name, value) in [
        ("x-first", "one"),
        ("x-first-bin", "\0\0\u{1}ÿ"),
        ("x-last", "two"),
        ("x-last-bin", "\0þ\0"),
        ("grpc-status", "0"),
    ] {
        assert_eq!(header(trace, name), Some(value), "{name}");
    }
    let place = |name: &str| trace.response_headers().iter().position(|(n, _)| *n == name);
    assert!(place("x-first") < place("grpc-status"), "trailers follow the headers");
}

#[test]
fn records_messages_of_any_size() {
    let Some((output, outcome, _)) = run_calls(&["empty", "large"]) else {
        return;
    };
    assert!(output.contains("echo b'' 0 ") && output.contains(" 2097152 "), "{output}");
    let [empty, large] = &outcome.bundle().traces[..] else {
        panic!("{:?}", outcome.bundle().urls());
    };
    assert_eq!(messages(&empty.response_body), [(false, &b""[..])]);
    let expected: Vec<u8> = (0..=255).cycle().take(2_097_152).collect();
    assert!(messages(&large.request_body) == [(false, &expected[..])]);
    assert!(messages(&large.response_body) == [(false, &expected[..])]);
}

#[test]
fn records_server_and_client_streams() {
    let Some((_, outcome, _)) = run_calls(&["count", "nothing", "join"]) else {
        return;
    };
    let [count, nothing, join] = &outcome.bundle().traces[..] else {
        panic!("{:?}", outcome.bundle().urls());
    };
    let numbered = |what: &str| (0..20).map(|n| format!("{what} {n}")).collect::<Vec<_>>();
    let texts = |body| messages(body).iter().map(|(_, m)| String::from_utf8(m.to_vec()).unwrap()).collect::<Vec<_>>();
    assert_eq!(texts(&count.response_body), numbered("message"));
    assert!(nothing.response_body.is_empty());
    assert_eq!(texts(&join.request_body), numbered("piece"));
    assert_eq!(texts(&join.response_body), [numbered("piece").join("+")]);
    assert!([count, nothing, join].iter().all(|trace| header(trace, "grpc-status") == Some("0")));
}

#[test]
fn forwards_bidirectional_streams_message_by_message() {
    // Over TLS and in the clear. If a message were held back until the next one, both ends would wait forever.
    for origin in [GrpcOrigin::tls(), GrpcOrigin::plain()] {
        let Some(origin) = origin else {
            return;
        };
        let capture = Capture::start();
        let output = origin.assert_same_as_direct(&capture, &["talk"]);
        assert!(output.contains("talk 51 b'you first' b'I heard word 49' StatusCode.OK"), "{output}");
        let outcome = capture.stop();
        assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
        let trace = outcome.bundle().only_trace();
        assert_eq!(trace.url(), origin.url("Talk"));
        let (sent, received) = (messages(&trace.request_body), messages(&trace.response_body));
        assert_eq!((sent.len(), received.len()), (50, 51));
        assert_eq!((sent[49].1, received[50].1), (&b"word 49"[..], &b"I heard word 49"[..]));
    }
}

#[test]
fn records_errors_with_and_without_messages() {
    let Some((output, outcome, _)) = run_calls(&["fail", "fail_late", "missing"]) else {
        return;
    };
    for line in
        ["fail StatusCode.NOT_FOUND nothing here: ümläut", "fail_late [b'one'] StatusCode.RESOURCE_EXHAUSTED no more"]
    {
        assert!(output.lines().any(|output| output == line), "{output}");
    }
    let [fail, late, missing] = &outcome.bundle().traces[..] else {
        panic!("{:?}", outcome.bundle().urls());
    };
    // Trailers-Only: one HEADERS frame with the status, and no body.
    assert_eq!((fail.status(), fail.response_body.len()), (200, 0));
    assert_eq!(header(fail, "grpc-status"), Some("5"));
    assert_eq!(header(fail, "grpc-message"), Some("nothing here: %C3%BCml%C3%A4ut"));
    assert_eq!(messages(&late.response_body), [(false, &b"one"[..])]);
    assert_eq!((header(late, "grpc-status"), header(late, "grpc-message")), (Some("8"), Some("no more")));
    assert_eq!((missing.status(), header(missing, "grpc-status")), (200, Some("12")));
}

#[test]
fn records_cancelled_calls() {
    let Some((output, outcome, _)) = run_calls(&["cancel", "deadline", "echo"]) else {
        return;
    };
    assert!(output.contains("cancel b'wait' StatusCode.CANCELLED"), "{output}");
    assert!(output.contains("deadline [b'wait'] StatusCode.DEADLINE_EXCEEDED"), "{output}");
    let given_up: Vec<_> = outcome.bundle().traces.iter().filter(|trace| trace.url().ends_with("/Wait")).collect();
    assert_eq!(given_up.len(), 2);
    for trace in given_up {
        assert_eq!(trace.status(), 200);
        assert_eq!(messages(&trace.response_body), [(false, &b"wait"[..])], "the messages so far");
        assert_ne!(header(trace, "grpc-status"), Some("0"));
    }
    assert_eq!(header(outcome.bundle().trace("/Echo"), "grpc-status"), Some("0"), "the connection stays open");
}

#[test]
fn stores_compressed_messages_as_sent() {
    let Some((_, outcome, _)) = run_calls(&["packed"]) else {
        return;
    };
    let trace = outcome.bundle().only_trace();
    assert!(trace.request_headers().contains(&("grpc-encoding", "gzip")));
    assert!(trace.json["request"]["body_encoding"].is_null(), "no content coding");
    let [(true, packed)] = messages(&trace.request_body)[..] else {
        panic!("expected one compressed message: {:?}", messages(&trace.request_body));
    };
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    assert_eq!(text, "again and ".repeat(500));
}

#[test]
fn records_a_hundred_concurrent_calls() {
    let Some((output, outcome, _)) = run_calls(&["at_once"]) else {
        return;
    };
    assert!(output.contains("at_once True"), "{output}");
    let traces = &outcome.bundle().traces;
    assert_eq!(traces.len(), 100);
    for n in 0..100 {
        let call = format!("call {n}");
        let found = traces.iter().filter(|trace| messages(&trace.request_body) == [(false, call.as_bytes())]);
        let found: Vec<_> = found.collect();
        assert_eq!(found.len(), 1, "{call}");
        assert_eq!(found[0].request_body, found[0].response_body);
    }
}
