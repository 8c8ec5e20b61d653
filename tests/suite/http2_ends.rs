//! Streams and connections that end early: the peer sees the same end, and the data so far is recorded.

use crate::support::http2_frames::{END_STREAM, PREFACE, block, data, frame, goaway, headers, reset, settings};
use crate::support::node::get;
use crate::support::pair::to;
use crate::support::{Capture, Ending, NodeOrigin, Pair};
use serde_json::json;
use spectral_capture::Reason;

/// The status text of a request that the origin has not processed.
const REFUSED: &str = "origin refused the stream unprocessed: it may be sent again";

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
    assert_eq!(trace.cut_off().as_deref(), Some("response reset"));
    let trace = outcome.bundle().trace("/refuse");
    assert_eq!((trace.status(), trace.status_text(), trace.cut_off()), (0, REFUSED, None));
    let trace = outcome.bundle().trace("/endless");
    assert_eq!((trace.status(), trace.text().as_str()), (200, "first"));
    assert_eq!(trace.cut_off().as_deref(), Some("response cancelled"));
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
    assert!(outcome.bundle().traces.iter().all(|trace| trace.cut_off().is_none()));
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
    assert_eq!((trace.status(), trace.status_text(), trace.cut_off()), (0, REFUSED, None));
}

#[test]
fn records_which_side_ended_an_exchange_without_response() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    pair.up([headers(1, END_STREAM, &to("/refused")), headers(3, 0, &to("/cancelled"))].concat());
    pair.up([headers(5, 0, &to("/failed")), headers(7, END_STREAM, &to("/unknown"))].concat());
    pair.down([reset(1, 7), reset(5, 2), reset(7, 0x99)].concat());
    pair.up(reset(3, 8));
    capture.wait_for_exchanges(4);
    pair.up(headers(9, END_STREAM, &to("/left")));
    pair.close();
    let outcome = capture.stop();
    for (path, why, cut_off) in [
        ("/refused", REFUSED, None),
        ("/cancelled", "client reset the stream (CANCEL)", Some("request cancelled")),
        ("/failed", "origin reset the stream (INTERNAL_ERROR)", Some("request closed")),
        ("/unknown", "origin reset the stream (error code 0x99)", None),
        ("/left", "client disconnected", None),
    ] {
        let trace = outcome.bundle().trace(path);
        assert_eq!((trace.status(), trace.status_text()), (0, why), "{path}");
        assert_eq!(trace.cut_off().as_deref(), cut_off, "{path}");
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
    let with_length = |stream: u32, status: &str, body: &[u8]| {
        let head = format!(":status {status}\ncontent-length 100");
        [headers(stream, 0, &head), data(stream, END_STREAM, body)].concat()
    };
    pair.up(headers(1, END_STREAM, &to("/short")));
    pair.down(with_length(1, "200", b"not a hundred"));
    pair.up(headers(3, END_STREAM, &to("/cached")));
    pair.down(with_length(3, "304", b""));
    pair.up(headers(5, END_STREAM, &to("/head").replace("GET", "HEAD")));
    pair.down(with_length(5, "200", b""));
    pair.up(headers(7, END_STREAM, &to("/whole")));
    pair.down(with_length(7, "200", &[b'x'; 100]));
    pair.up(headers(9, END_STREAM, &to("/long")));
    pair.down(with_length(9, "200", &[b'x'; 101]));
    pair.up([headers(11, 0, &(to("/upload") + "\ncontent-length 5")), data(11, END_STREAM, b"four")].concat());
    pair.down(headers(11, END_STREAM, ":status 400"));
    pair.close();
    let outcome = capture.stop();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    assert_eq!(outcome.bundle().trace("/short").text(), "not a hundred");
    for (path, cut_off) in [
        ("/short", Some("response closed")),
        ("/cached", None),
        ("/head", None),
        ("/whole", None),
        ("/long", None),
        ("/upload", Some("request closed")),
    ] {
        assert_eq!(outcome.bundle().trace(path).cut_off().as_deref(), cut_off, "{path}");
    }
}

#[test]
fn marks_exchanges_that_a_reset_of_their_stream_cuts_off() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    let half = |stream| [headers(stream, 0, ":status 200"), data(stream, 0, b"so far")].concat();
    let upload = |stream, path: &str| [headers(stream, 0, &to(path)), data(stream, 0, b"half an upload")].concat();
    pair.up([upload(1, "/both-by-origin"), upload(3, "/both-by-client"), upload(5, "/early")].concat());
    pair.up([upload(7, "/upload-cancelled"), upload(9, "/refused-by-goaway")].concat());
    pair.down([half(1), reset(1, 2), half(3)].concat());
    pair.up(reset(3, 8));
    // The response is complete, and the rest of the request is not needed (RFC 9113 section 8.1).
    pair.down([headers(5, END_STREAM, ":status 413"), reset(5, 0), headers(7, END_STREAM, ":status 200")].concat());
    pair.up(reset(7, 8));
    pair.down(goaway(7));
    capture.wait_for_exchanges(5);
    pair.close();
    let outcome = capture.stop();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    for (path, status, cut_off) in [
        ("/both-by-origin", 200, "both reset"),
        ("/both-by-client", 200, "both cancelled"),
        ("/early", 413, "request closed"),
        ("/upload-cancelled", 200, "request cancelled"),
        ("/refused-by-goaway", 0, "request closed"),
    ] {
        let trace = outcome.bundle().trace(path);
        assert_eq!((trace.status(), trace.cut_off().as_deref()), (status, Some(cut_off)), "{path}");
    }
}

#[test]
fn says_nothing_of_a_client_that_leaves_after_the_handshake() {
    let first = [&[][..], &PREFACE[..10], PREFACE];
    for (sent, in_the_clear) in first.iter().flat_map(|sent| [(sent, false), (sent, true)]) {
        // A tunnel in the clear is recorded only if the client sends first.
        if in_the_clear && sent.len() < PREFACE.len() {
            continue;
        }
        let capture = Capture::start();
        let mut pair = if in_the_clear { Pair::clear(&capture) } else { Pair::http2(&capture) };
        pair.up(sent);
        pair.client.finish();
        assert_eq!(pair.origin.read_to_end(), (Vec::new(), Ending::Clean));
        pair.down([settings(&[(0x3, 100)]), goaway(0)].concat());
        pair.origin.finish();
        assert_eq!(pair.client.read_to_end(), (Vec::new(), Ending::Clean));
        let outcome = capture.stop();
        let uncaptured = &outcome.summary.uncaptured;
        assert!(!uncaptured.iter().any(|u| matches!(u.reason, Reason::Opaque(_))), "{uncaptured:?}");
        assert!(outcome.bundle().traces.is_empty());
    }
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
