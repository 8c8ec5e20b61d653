//! WebSockets between two real peers, over TLS and in the clear: each message is recorded completely.

use crate::support::websocket_frames::{frame, handshake};
use crate::support::{Capture, Connection, Gate, Message, Origin, next_request};
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::server::{Request, Response};
use tungstenite::http::HeaderValue;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tungstenite::{Message as Sent, WebSocket};

type Peer = WebSocket<crate::support::connection::ConnectionStream>;

const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);

/// Accepts a WebSocket with the first subprotocol offered.
#[expect(clippy::result_large_err, reason = "tungstenite's own callback")]
fn accept(connection: Connection) -> Peer {
    let choose = |request: &Request, mut response: Response| {
        if let Some(offered) = request.headers().get("sec-websocket-protocol") {
            let first = offered.to_str().unwrap().split(',').next().unwrap().trim();
            response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_str(first).unwrap());
        }
        Ok(response)
    };
    tungstenite::accept_hdr_with_config(connection.stream(), choose, Some(without_limits())).unwrap()
}

/// Opens a WebSocket.
fn open(connection: Connection, host: &str, protocols: &str) -> Peer {
    let mut request = tungstenite::http::Request::builder()
        .uri(format!("ws://{host}/chat?room=1"))
        .header("Host", host)
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key());
    if !protocols.is_empty() {
        request = request.header("Sec-WebSocket-Protocol", protocols);
    }
    let request = request.body(()).unwrap();
    let (peer, _) = tungstenite::client::client_with_config(request, connection.stream(), Some(without_limits()))
        .unwrap_or_else(|e| panic!("no WebSocket: {e}"));
    peer
}

fn without_limits() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(None).max_frame_size(None)
}

/// Echoes messages until the peer closes.
fn echo(connection: Connection) {
    let mut peer = accept(connection);
    while let Ok(message) = peer.read() {
        if message.is_text() || message.is_binary() {
            peer.send(message).unwrap();
        }
    }
}

/// Closes and waits for the peer's close frame.
fn close(mut peer: Peer, code: CloseCode, reason: &str) {
    peer.close(Some(CloseFrame { code, reason: reason.into() })).unwrap();
    while peer.read().is_ok() {}
}

#[test]
fn records_messages_in_both_directions() {
    for tls in [true, false] {
        let origin = if tls { Origin::tls(echo) } else { Origin::plain(echo) };
        let capture = Capture::start();
        let host = origin.authority("localhost");
        let connection = if tls { capture.tls(&host, "localhost") } else { capture.connect(&host) };
        let mut peer = open(connection, &host, "chat, superchat");
        for sent in [Sent::text("grüße"), Sent::binary(vec![0, 1, 255]), Sent::text(""), Sent::binary(vec![7; 70_000])]
        {
            peer.send(sent.clone()).unwrap();
            assert_eq!(peer.read().unwrap(), sent);
        }
        close(peer, CloseCode::Normal, "done");

        let outcome = capture.stop();
        outcome.assert_no_warnings();
        assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
        let bundle = outcome.bundle();
        let (trace, socket) = (bundle.only_trace(), bundle.only_websocket());
        let scheme = if tls { "wss" } else { "ws" };
        let url = format!("{scheme}://{host}/chat?room=1");
        assert_eq!((trace.url(), trace.status(), trace.method()), (url.as_str(), 101, "GET"));
        assert_eq!(socket.url(), url);
        assert_eq!(socket.json["handshake_trace_ref"], trace.id());
        assert_eq!(socket.json["timestamp"], trace.json["timestamp"]);
        assert_eq!(socket.protocols(), ["chat"], "the negotiated subprotocol");
        let bye = [&1000_u16.to_be_bytes()[..], b"done"].concat();
        assert_eq!(
            socket.messages,
            [
                Message::sent("text", "grüße"),
                Message::received("text", "grüße"),
                Message::sent("binary", [0, 1, 255]),
                Message::received("binary", [0, 1, 255]),
                Message::sent("text", ""),
                Message::received("text", ""),
                Message::sent("binary", vec![7; 70_000]),
                Message::received("binary", vec![7; 70_000]),
                Message::sent("close", bye.clone()),
                Message::received("close", bye),
            ]
        );
    }
}

#[test]
fn records_no_subprotocol_without_negotiation() {
    let origin = Origin::tls(echo);
    let capture = Capture::start();
    let host = origin.authority("localhost");
    close(open(capture.tls(&host, "localhost"), &host, ""), CloseCode::Away, "");
    assert!(capture.stop().bundle().only_websocket().protocols().is_empty());
}

#[test]
fn records_pings_and_pongs_without_answering_them() {
    let origin = Origin::tls(echo);
    let capture = Capture::start();
    let host = origin.authority("localhost");
    let mut peer = open(capture.tls(&host, "localhost"), &host, "");
    peer.send(Sent::Ping(b"are you there".to_vec().into())).unwrap();
    assert_eq!(peer.read().unwrap(), Sent::Pong(b"are you there".to_vec().into()));
    close(peer, CloseCode::Normal, "");
    let outcome = capture.stop();
    let messages = &outcome.bundle().only_websocket().messages;
    let expected = [Message::sent("ping", "are you there"), Message::received("pong", "are you there")];
    assert_eq!(messages[..2], expected);
    assert_eq!(messages.iter().filter(|m| m.opcode == "pong").count(), 1);
}

#[test]
fn records_a_large_message() {
    let origin = Origin::tls(echo);
    let capture = Capture::start();
    let host = origin.authority("localhost");
    let mut peer = open(capture.tls(&host, "localhost"), &host, "");
    let long: Vec<u8> = (0..12 << 20).map(|n: u32| (n / 7) as u8).collect();
    peer.send(Sent::binary(long.clone())).unwrap();
    assert!(peer.read().unwrap().into_data() == long);
    close(peer, CloseCode::Normal, "");
    let outcome = capture.stop();
    let messages = &outcome.bundle().only_websocket().messages;
    assert!(messages[0].payload == long && messages[1].payload == long, "complete and equal");
}

/// Exchanges frames between two ends; returns the recorded messages.
#[track_caller]
pub(crate) fn exchange_frames(
    extensions: &'static str,
    up: Vec<u8>,
    down: Vec<u8>,
) -> (Vec<Message>, crate::support::capture::Outcome) {
    let (request, response) = handshake(extensions);
    let (data, up_length) = (down.clone(), up.len());
    let origin = Origin::tls(move |mut connection| {
        connection.read_head();
        connection.send(&response);
        connection.read_exactly(up_length);
        connection.send(&data);
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.send(&request);
    assert!(connection.read_head().starts_with("HTTP/1.1 101 "));
    connection.send(&up);
    assert!(connection.read_exactly(down.len()) == down, "frames are forwarded unchanged");
    let sent = request.len() + up.len();
    assert!(origin.received_at_least(0, sent) == [request.into_bytes(), up].concat(), "frames are forwarded unchanged");
    connection.finish();
    connection.read_to_end();
    drop(connection);
    let outcome = capture.stop();
    let messages = outcome.bundle().only_websocket().messages.clone();
    (messages, outcome)
}

#[test]
fn joins_fragments_around_control_frames() {
    let mask = MASK;
    let up = [
        frame(0x01, mask, b"one "),
        frame(0x89, Some([9, 9, 9, 9]), b"still there?"),
        frame(0x00, Some([0, 0, 0, 0]), b""),
        frame(0x00, mask, b"two "),
        frame(0x8a, mask, b"unsolicited"),
        frame(0x80, mask, b"three"),
        frame(0x82, mask, b"next"),
    ]
    .concat();
    let down = [frame(0x02, None, &[0; 200]), frame(0x80, None, &[1; 70_000]), frame(0x88, None, b"")].concat();
    let (messages, outcome) = exchange_frames("", up, down);
    outcome.assert_no_warnings();
    let expected = [
        Message::sent("ping", "still there?"),
        Message::sent("pong", "unsolicited"),
        Message::sent("text", "one two three"),
        Message::sent("binary", "next"),
        Message::received("binary", [vec![0; 200], vec![1; 70_000]].concat()),
        Message::received("close", ""),
    ];
    assert_eq!(messages, expected);
}

#[test]
fn records_frames_in_the_segment_of_the_101() {
    let (request, response) = handshake("");
    let script = [response.clone().into_bytes(), frame(0x81, None, b"first")].concat();
    let origin = Origin::tls(move |mut connection| {
        connection.read_head();
        connection.send(&script);
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.send(request);
    connection.read_head();
    assert_eq!(connection.read_exactly(7), frame(0x81, None, b"first"));
    drop(connection);
    assert_eq!(capture.stop().bundle().only_websocket().messages, [Message::received("text", "first")]);
}

#[test]
fn one_bad_frame_silences_nothing() {
    let up = [frame(0xc1, MASK, b"odd"), frame(0x82, MASK, b"even")].concat();
    let texts = ["one", "two", "three", "four", "five"];
    let mut down = texts.map(|text| frame(0x81, None, text.as_bytes())).concat();
    let why = [&1002_u16.to_be_bytes()[..], b"RSV1"].concat();
    down.extend(frame(0x88, None, &why));
    let (messages, outcome) = exchange_frames("", up, down);
    outcome.assert_no_warnings();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    let expected = [
        vec![Message::sent("binary", "odd").encoded("unknown"), Message::sent("binary", "even")],
        texts.map(|text| Message::received("text", text)).to_vec(),
        vec![Message::received("close", why)],
    ];
    assert_eq!(messages, expected.concat());
}

#[test]
fn records_frames_that_no_receiver_accepts() {
    let up = [
        frame(0x83, MASK, b"opcode 3"),
        frame(0x01, MASK, b"first"),
        frame(0x8f, MASK, b"opcode 15"),
        frame(0x09, MASK, b"fragmented ping"),
        frame(0x02, MASK, b"second "),
        frame(0x80, MASK, b"message"),
        frame(0x80, MASK, b"a continuation of nothing"),
    ];
    let down = [frame(0x8a, None, &[b'p'; 300]), frame(0x91, None, b"RSV3"), frame(0x81, None, b"fine")];
    let (messages, outcome) = exchange_frames("", up.concat(), down.concat());
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    let expected = [
        Message::sent("binary", "opcode 3").encoded("unknown"),
        Message::sent("binary", "opcode 15").encoded("unknown"),
        Message::sent("ping", "fragmented ping").cut_off("malformed"),
        Message::sent("text", "first").cut_off("malformed"),
        Message::sent("binary", "second message"),
        Message::sent("binary", "a continuation of nothing").encoded("unknown"),
        Message::received("pong", [b'p'; 300]),
        Message::received("binary", "RSV3").encoded("unknown"),
        Message::received("text", "fine"),
    ];
    assert_eq!(messages, expected);
}

#[test]
fn reports_a_direction_whose_frames_have_no_known_end() {
    let lost = [0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4, b'?'];
    let up = [frame(0x81, MASK, b"fine"), frame(0x01, MASK, b"half"), lost.to_vec()].concat();
    let down = [frame(0x81, None, b"still fine"), frame(0x88, None, b"")].concat();
    let (messages, outcome) = exchange_frames("", up, down);
    let expected = [
        Message::sent("text", "fine"),
        Message::sent("text", "half").cut_off("malformed"),
        Message::received("text", "still fine"),
        Message::received("close", ""),
    ];
    assert_eq!(messages, expected);
    let [uncaptured] = &outcome.summary.uncaptured[..] else { panic!("{:?}", outcome.summary.uncaptured) };
    assert_eq!(uncaptured.reason, spectral_capture::Reason::Opaque(spectral_capture::Opaque::WebSocket));
}

#[test]
fn records_a_refused_handshake_as_an_exchange() {
    let origin = Origin::tls(|mut connection| {
        next_request(&mut connection);
        connection.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope");
        next_request(&mut connection);
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmore");
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    assert_eq!(connection.request(handshake("").0).status, 403);
    assert_eq!(connection.request("GET /more HTTP/1.1\r\nHost: localhost\r\n\r\n").text(), "more");
    drop(connection);
    let outcome = capture.stop();
    assert!(outcome.bundle().websockets.is_empty());
    assert_eq!(outcome.bundle().traces.len(), 2);
    assert_eq!((outcome.bundle().traces[0].status(), outcome.bundle().traces[0].text()), (403, "nope".to_owned()));
}

#[test]
fn records_a_websocket_that_breaks_in_a_message() {
    let (request, response) = handshake("");
    let sent = Gate::default();
    let wait = sent.clone();
    let origin = Origin::tls(move |mut connection| {
        connection.read_head();
        connection.send(&response);
        connection.send(frame(0x81, None, b"whole"));
        connection.send(&frame(0x82, None, b"cut off here")[..9]);
        wait.pass();
        connection.reset();
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.send(request);
    connection.read_head();
    connection.read_exactly(7 + 9);
    sent.open();
    connection.read_to_end();
    drop(connection);
    let outcome = capture.stop();
    let expected = [Message::received("text", "whole"), Message::received("binary", "cut off").cut_off("reset")];
    assert_eq!(outcome.bundle().only_websocket().messages, expected);
}
