//! Streams and connections that end early: the peer sees the same end, and the data so far is recorded.

use crate::support::http2_frames::{END_STREAM, block, data, frame, goaway, headers, reset};
use crate::support::node::get;
use crate::support::pair::to;
use crate::support::{Capture, Ending, NodeOrigin, Pair};
use serde_json::json;

#[test]
fn forwards_resets_with_their_code() {
    let Some(origin) = NodeOrigin::tls() else {
        return;
    };
    let capture = Capture::start();
    let cancelled = json!({"headers": {":path": "/endless"}, "cancel_at": 5});
    let seen =
        origin.assert_same_as_direct(&capture, &json!([get("/reset"), get("/refuse"), cancelled, get("/hello")]));
    let codes: Vec<_> = seen["answers"].as_array().unwrap().iter().map(|a| a["reset"].as_u64().unwrap()).collect();
    assert_eq!(codes, [2, 7, 8, 0], "INTERNAL_ERROR, REFUSED_STREAM, our CANCEL, none");

    let outcome = capture.stop();
    outcome.assert_no_warnings();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    let trace = outcome.bundle().trace("/reset");
    assert_eq!((trace.status(), trace.text().as_str()), (200, "some of it"));
    let trace = outcome.bundle().trace("/refuse");
    assert_eq!((trace.status(), trace.status_text()), (0, "origin reset the stream"));
    let trace = outcome.bundle().trace("/endless");
    assert_eq!((trace.status(), trace.text().as_str()), (200, "first"));
    assert_eq!(outcome.bundle().trace("/hello").text(), "hello", "the connection stays open");
}

#[test]
fn records_streams_that_finish_after_goaway() {
    let Some(origin) = NodeOrigin::tls() else {
        return;
    };
    let capture = Capture::start();
    let seen = origin.assert_same_as_direct(&capture, &json!([get("/hello"), get("/goaway")]));
    assert_eq!(seen["answers"][1]["body"], "before, after");
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().trace("/goaway").text(), "before, after");
    assert_eq!(outcome.bundle().traces.len(), 2);
}

#[test]
fn records_streams_of_a_connection_that_breaks() {
    let Some(origin) = NodeOrigin::tls() else {
        return;
    };
    let capture = Capture::start();
    let how = json!({"offer": ["h2"], "at_once": true, "requests": [get("/endless"), get("/cut")]});
    let seen = origin.run_client_with(Some(&capture), &how);
    let bodies: Vec<_> = seen["answers"].as_array().unwrap().iter().map(|response| &response["body"]).collect();
    assert_eq!(bodies, ["first", "some of it"]);
    let outcome = capture.stop();
    for (path, text) in [("/endless", "first"), ("/cut", "some of it")] {
        let trace = outcome.bundle().trace(path);
        assert_eq!((trace.status(), trace.text().as_str()), (200, text));
    }
}

#[test]
fn records_open_streams_at_the_stop() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    pair.up([headers(1, END_STREAM, &to("/page")), headers(3, 0, &to("/up"))].concat());
    pair.up(data(3, 0, b"half an upload"));
    pair.down([headers(1, 0, ":status 200"), data(1, 0, b"so far")].concat());
    let outcome = capture.stop();
    // A partial response must be marked as truncated.
    assert_eq!(pair.client.read_to_end().1, Ending::Reset);
    let trace = outcome.bundle().trace("/page");
    assert_eq!((trace.status(), trace.text().as_str()), (200, "so far"));
    let trace = outcome.bundle().trace("/up");
    assert_eq!((trace.status(), trace.request_body.as_slice()), (0, &b"half an upload"[..]));
    assert_eq!(trace.status_text(), "capture stopped");
}

#[test]
fn records_streams_refused_by_goaway_without_response() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    pair.up([headers(1, END_STREAM, &to("/page")), headers(3, END_STREAM, &to("/out"))].concat());
    pair.down([goaway(1), headers(1, 0, ":status 200"), data(1, END_STREAM, b"done")].concat());
    // Both are written before the connection ends.
    capture.wait_for_exchanges(2);
    pair.close();
    let outcome = capture.stop();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    assert_eq!(outcome.bundle().trace("/page").text(), "done");
    let trace = outcome.bundle().trace("/out");
    assert_eq!((trace.status(), trace.status_text()), (0, "origin reset the stream"));
}

#[test]
fn records_which_side_ended_an_exchange_without_response() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    pair.up([headers(1, END_STREAM, &to("/refused")), headers(3, 0, &to("/cancelled"))].concat());
    pair.down(reset(1, 7));
    pair.up(reset(3, 8));
    capture.wait_for_exchanges(2);
    pair.up(headers(5, END_STREAM, &to("/left")));
    pair.close();
    let outcome = capture.stop();
    for (path, why) in [
        ("/refused", "origin reset the stream"),
        ("/cancelled", "client reset the stream"),
        ("/left", "client disconnected"),
    ] {
        let trace = outcome.bundle().trace(path);
        assert_eq!((trace.status(), trace.status_text()), (0, why), "{path}");
    }
}

#[test]
fn forwards_a_reset_of_the_connection() {
    let capture = Capture::start();
    for by_client in [true, false] {
        let mut pair = Pair::http2_with_prefaces(&capture);
        let path = format!("/{by_client}");
        pair.up(headers(1, END_STREAM, &to(&path)));
        pair.down([headers(1, 0, ":status 200"), data(1, 0, b"so far")].concat());
        let (one, mut other) = if by_client { (pair.client, pair.origin) } else { (pair.origin, pair.client) };
        one.reset();
        assert_eq!(other.read_to_end(), (Vec::new(), Ending::Reset));
    }
    capture.wait_for_exchanges(2);
    let outcome = capture.stop();
    assert!(outcome.bundle().traces.iter().all(|trace| trace.text() == "so far"));
}

#[test]
fn accepts_frames_for_a_closed_stream() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    pair.up(headers(1, END_STREAM, &to("/whole")));
    pair.down([headers(1, 0, ":status 200"), data(1, END_STREAM, b"all")].concat());
    pair.up(reset(1, 8));
    pair.up(headers(3, 0, &to("/reset")));
    pair.down([headers(3, 0, ":status 200"), data(3, 0, b"half"), reset(3, 2)].concat());
    // Written before the connection ends.
    capture.wait_for_exchanges(2);
    // Sent before the reset arrived; its fields still update the header table.
    pair.up([data(3, 0, b"body"), frame(0x1, END_STREAM | 0x4, 3, b"\x40\x07x-later\x03yes"), reset(3, 8)].concat());
    pair.up(frame(0x1, END_STREAM | 0x4, 5, &[&block(&to("/next"))[..], b"\xbe"].concat()));
    pair.down([reset(1, 5), headers(5, 0, ":status 200"), data(5, END_STREAM, b"next")].concat());
    pair.close();
    let outcome = capture.stop();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    let texts: Vec<_> = outcome.bundle().traces.iter().map(|trace| trace.text()).collect();
    assert_eq!(texts, ["all", "half", "next"]);
    assert_eq!(outcome.bundle().trace("/next").request_headers(), [("x-later", "yes")]);
}

#[test]
fn forwards_a_wrong_content_length() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    pair.up(headers(1, END_STREAM, &to("/page")));
    pair.down([headers(1, 0, ":status 200\ncontent-length 100"), data(1, END_STREAM, b"not a hundred")].concat());
    pair.close();
    assert_eq!(capture.stop().bundle().only_trace().text(), "not a hundred");
}

#[test]
fn half_close_leaves_the_other_direction_open() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    // A half-closed stream: the origin responds long after the end of the request.
    pair.up(headers(1, END_STREAM, &to("/asked")));
    pair.up(headers(3, 0, &to("/heard")));
    pair.down([headers(3, 0, ":status 200"), data(3, END_STREAM, b"all I say")].concat());
    pair.up(data(3, 0, b"and I "));
    pair.up(data(3, END_STREAM, b"go on"));
    pair.down([headers(1, 0, ":status 200"), data(1, 0, b"late")].concat());
    pair.down(data(1, END_STREAM, b"r"));
    pair.close();
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().trace("/asked").text(), "later");
    let trace = outcome.bundle().trace("/heard");
    assert_eq!((trace.request_body.as_slice(), trace.text().as_str()), (&b"and I go on"[..], "all I say"));
}
