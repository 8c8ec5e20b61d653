//! WebSockets over HTTP/2 (RFC 8441) are recorded as WebSockets, beside other streams of the connection.

use crate::support::http2_frames::{END_STREAM, block, data, frame, headers, reset};
use crate::support::node::get;
use crate::support::pair::to;
use crate::support::websocket_frames;
use crate::support::{Capture, Message, NodeOrigin, Pair};
use serde_json::json;
use spectral_capture::{Opaque, Reason};
use std::io::Write;

const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn records_a_websocket_between_node_peers() {
    let Some(origin) = NodeOrigin::tls() else {
        return;
    };
    let capture = Capture::start();
    let bye = [&1000_u16.to_be_bytes()[..], b"done"].concat();
    let frames = [
        websocket_frames::frame(0x81, MASK, "grüße".as_bytes()),
        websocket_frames::frame(0x82, MASK, &[0, 1, 255]),
        websocket_frames::frame(0x89, MASK, b"there?"),
        websocket_frames::frame(0x88, MASK, &bye),
    ];
    let asks = json!({
        "headers": {
            ":method": "CONNECT", ":protocol": "websocket", ":path": "/chat?room=1", "sec-websocket-version": "13",
            "sec-websocket-protocol": "chat, superchat",
        },
        "frames": hex(&frames.concat()),
    });
    let seen = origin.assert_same_as_direct(&capture, &json!([asks, get("/hello")]));
    assert_eq!(
        (seen["answers"][0]["headers"][":status"].as_u64(), &seen["answers"][1]["body"]),
        (Some(200), &json!("hello"))
    );

    let outcome = capture.stop();
    outcome.assert_no_warnings();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    let url = format!("wss://{}/chat?room=1", origin.authority());
    let (trace, socket) = (outcome.bundle().trace("/chat?room=1"), outcome.bundle().only_websocket());
    assert_eq!((trace.method(), trace.url(), trace.status()), ("CONNECT", &*url, 200));
    assert_eq!((socket.url(), socket.protocols()), (&*url, vec!["chat"]));
    assert_eq!(socket.json["handshake_trace_ref"], trace.id());
    let both = |opcode: &str, payload: &[u8]| [Message::sent(opcode, payload), Message::received(opcode, payload)];
    let mut messages = socket.messages.clone();
    // They crossed on the way.
    messages.sort_by_key(|message| message.direction == "receive");
    let mut expected =
        [both("text", "grüße".as_bytes()), both("binary", &[0, 1, 255]), both("ping", b"there?"), both("close", &bye)]
            .concat();
    expected[5].opcode = "ping".into();
    expected.sort_by_key(|message| message.direction == "receive");
    assert_eq!(messages, expected);
    assert_eq!(outcome.bundle().trace("/hello").text(), "hello");
}

/// Returns an extended CONNECT to `path`.
fn connect(path: &str, more: &str) -> String {
    to(path).replace(":method GET", ":method CONNECT\n:protocol websocket") + "\n" + more
}

#[test]
fn joins_and_inflates_messages() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    let extension = "sec-websocket-extensions permessage-deflate";
    pair.up(headers(1, 0, &connect("/packed", extension)));
    pair.down(headers(1, 0, &format!(":status 200\n{extension}")));
    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    deflate.write_all(b"again and again and again").unwrap();
    deflate.flush().unwrap();
    let packed = deflate.get_ref().strip_suffix(&[0, 0, 0xff, 0xff]).unwrap().to_vec();
    // A WebSocket frame in several DATA frames, and several in one DATA frame with padding.
    let message = websocket_frames::frame(0xc1, MASK, &packed);
    for piece in message.chunks(3) {
        pair.up(data(1, 0, piece));
    }
    let fragments = [
        websocket_frames::frame(0x01, None, b"one, "),
        websocket_frames::frame(0x89, None, b"between"),
        websocket_frames::frame(0x80, None, b"two"),
    ];
    pair.down(frame(0x0, 0x8, 1, &[&[3][..], &fragments.concat(), &[0, 0, 0]].concat()));
    // Another stream at the same time.
    pair.up(headers(3, END_STREAM, &to("/page")));
    pair.down(headers(3, END_STREAM, ":status 204"));
    pair.up(data(1, END_STREAM, b""));
    pair.down(data(1, END_STREAM, b""));
    pair.close();
    let outcome = capture.stop();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    assert_eq!(
        outcome.bundle().only_websocket().messages,
        [
            Message::sent("text", "again and again and again"),
            Message::received("ping", "between"),
            Message::received("text", "one, two"),
        ]
    );
    assert_eq!(outcome.bundle().trace("/page").status(), 204);
}

#[test]
fn records_refused_and_reset_websockets_and_other_protocols() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    pair.up(headers(1, 0, &connect("/refused", "")));
    pair.down([headers(1, 0, ":status 403"), data(1, END_STREAM, b"no")].concat());
    pair.up(headers(3, 0, &connect("/reset", "")));
    pair.down(headers(3, 0, ":status 200"));
    pair.up(data(3, 0, &websocket_frames::frame(0x81, MASK, b"whole")));
    pair.down(data(3, 0, b"\x81\x0ahalf"));
    pair.down(reset(3, 8));
    // Not a WebSocket (RFC 9298), and an unknown protocol.
    pair.up(headers(5, 0, &connect("/udp", "").replace("websocket", "connect-udp")));
    pair.down([headers(5, 0, ":status 200"), data(5, END_STREAM, b"datagrams")].concat());
    pair.up(frame(0x1, 0x4, 7, &block(":method CONNECT\n:authority elsewhere:22")));
    pair.down([headers(7, 0, ":status 200"), data(7, 0, b"SSH-2.0")].concat());
    pair.up(data(7, END_STREAM, b"bye"));
    pair.down(data(7, END_STREAM, b""));
    pair.close();
    let outcome = capture.stop();
    outcome.assert_uncaptured("elsewhere:22", 1, |reason| *reason == Reason::NestedConnect);
    assert_eq!(outcome.summary.uncaptured.len(), 1, "{:?}", outcome.summary.uncaptured);
    let refused = outcome.bundle().trace("/refused");
    assert_eq!((refused.status(), refused.text().as_str()), (403, "no"));
    let socket = outcome.bundle().only_websocket();
    assert!(socket.url().ends_with("/reset"), "{}", socket.url());
    let expected = [Message::sent("text", "whole"), Message::received("text", "half").cut_off("reset")];
    assert_eq!(socket.messages, expected);
    assert_eq!(outcome.bundle().trace("/udp").text(), "datagrams");
    assert!(!outcome.bundle().traces.iter().any(|trace| trace.text() == "SSH-2.0"));
}

#[test]
fn records_messages_that_node_sends_before_the_response() {
    let Some(origin) = NodeOrigin::tls() else {
        return;
    };
    let capture = Capture::start();
    let frames = [websocket_frames::frame(0x81, MASK, b"early"), websocket_frames::frame(0x88, MASK, b"")];
    let asks = json!({
        "headers": {":method": "CONNECT", ":protocol": "websocket", ":path": "/chat", "sec-websocket-version": "13"},
        "frames": hex(&frames.concat()),
        "early": true,
    });
    let seen = origin.assert_same_as_direct(&capture, &json!([asks]));
    assert_eq!(seen["answers"][0]["headers"][":status"].as_u64(), Some(200));
    let outcome = capture.stop();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    let mut messages = outcome.bundle().only_websocket().messages.clone();
    // They crossed on the way.
    messages.sort_by_key(|message| message.direction == "receive");
    let sent = [Message::sent("text", "early"), Message::sent("close", "")];
    let received = [Message::received("text", "early"), Message::received("close", "")];
    assert_eq!(messages, [sent, received].concat());
}

#[test]
fn records_messages_sent_before_the_response() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    pair.up(headers(1, 0, &connect("/early", "")));
    pair.up(data(1, 0, &websocket_frames::frame(0x81, MASK, b"early")));
    pair.down([headers(1, 0, ":status 200"), data(1, 0, &websocket_frames::frame(0x81, None, b"late"))].concat());
    pair.up(data(1, END_STREAM, &websocket_frames::frame(0x88, MASK, b"")));
    pair.down(data(1, END_STREAM, &websocket_frames::frame(0x88, None, b"")));
    pair.close();
    let outcome = capture.stop();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    assert_eq!(
        outcome.bundle().only_websocket().messages,
        [
            Message::sent("text", "early"),
            Message::received("text", "late"),
            Message::sent("close", ""),
            Message::received("close", "")
        ]
    );
}

#[test]
fn reports_a_websocket_that_cannot_be_read() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    pair.up([headers(1, 0, &connect("/odd", "")), headers(3, END_STREAM, &to("/page"))].concat());
    pair.down(headers(1, 0, ":status 200"));
    pair.up(data(1, 0, &websocket_frames::frame(0x81, MASK, b"whole")));
    // A frame of 2^64 bytes.
    pair.down(data(1, 0, &[&[0x82, 0x7f][..], &[0xff; 8]].concat()));
    pair.up(data(1, 0, &websocket_frames::frame(0x81, MASK, b"goes on")));
    pair.down([headers(3, 0, ":status 200"), data(3, END_STREAM, b"page")].concat());
    let at = pair.at.clone();
    pair.close();
    let outcome = capture.stop();
    outcome.assert_uncaptured(&at, 1, |reason| matches!(reason, Reason::Opaque(Opaque::WebSocket)));
    let messages = &outcome.bundle().only_websocket().messages;
    assert_eq!(messages[..], [Message::sent("text", "whole"), Message::sent("text", "goes on")]);
    assert_eq!(outcome.bundle().trace("/page").text(), "page");
}
