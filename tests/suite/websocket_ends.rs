//! WebSockets whose connection ends in the middle of a message, in a control frame, or without a close frame.

use crate::support::websocket_frames::{frame, handshake};
use crate::support::{Capture, Gate, Message, Origin};

const MASK: Option<[u8; 4]> = Some([1, 2, 3, 4]);

/// The event that ends a WebSocket, after both sides have received the frames.
#[derive(Clone, Copy, PartialEq)]
enum End {
    OriginResets,
    OriginCloses,
    ClientResets,
    ClientCloses,
    CaptureStops,
}

/// A WebSocket over TLS.
struct Case {
    name: &'static str,
    /// The bytes of the client and of the origin.
    bytes: [Vec<u8>; 2],
    end: End,
    messages: Vec<Message>,
    /// The cause of the end, if there was no close frame.
    unclosed: Option<&'static str>,
}

/// Returns the first `len` bytes of a frame with this first byte.
fn part(len: usize, first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    frame(first, mask, payload)[..len].to_vec()
}

fn cases() -> Vec<Case> {
    let case = |name, up: &[u8], down: &[u8], end, messages: &[Message], unclosed| Case {
        name,
        bytes: [up.to_vec(), down.to_vec()],
        end,
        messages: messages.to_vec(),
        unclosed,
    };
    let hel = part(5, 0x81, None, b"Hello");
    let sent_hel = part(9, 0x81, MASK, b"Hello");
    let (received, sent) = (Message::received("text", "Hel"), Message::sent("text", "Hel"));
    let bye = [3, 0xe8];
    let close = frame(0x88, None, &bye);
    let opened = frame(0x01, None, b"Hel");
    vec![
        case("between, reset", b"", b"", End::OriginResets, &[], Some("reset by the origin")),
        case("between, closed", b"", b"", End::OriginCloses, &[], Some("ended early by the origin")),
        case("between, the client resets", b"", b"", End::ClientResets, &[], Some("cancelled by the client")),
        case("between, the client closes", b"", b"", End::ClientCloses, &[], Some("cancelled by the client")),
        case("between, stopped", b"", b"", End::CaptureStops, &[], Some("interrupted by the end of the capture")),
        case(
            "received, reset",
            b"",
            &hel,
            End::OriginResets,
            &[received.clone().cut_off("reset")],
            Some("reset by the origin"),
        ),
        case(
            "received, closed",
            b"",
            &hel,
            End::OriginCloses,
            &[received.clone().cut_off("closed")],
            Some("ended early by the origin"),
        ),
        case(
            "received, left",
            b"",
            &hel,
            End::ClientCloses,
            &[received.clone().cut_off("cancelled")],
            Some("cancelled by the client"),
        ),
        case(
            "received, stopped",
            b"",
            &hel,
            End::CaptureStops,
            &[received.clone().cut_off("stopped")],
            Some("interrupted by the end of the capture"),
        ),
        case(
            "sent, closed",
            &sent_hel,
            b"",
            End::ClientCloses,
            &[sent.clone().cut_off("closed")],
            Some("cancelled by the client"),
        ),
        case(
            "sent, reset",
            &sent_hel,
            b"",
            End::ClientResets,
            &[sent.clone().cut_off("reset")],
            Some("cancelled by the client"),
        ),
        case(
            "sent, refused",
            &sent_hel,
            b"",
            End::OriginCloses,
            &[sent.cut_off("closed")],
            Some("ended early by the origin"),
        ),
        case(
            "a close frame in a message",
            b"",
            &[opened, close.clone()].concat(),
            End::OriginCloses,
            &[Message::received("close", bye), received.cut_off("closed")],
            None,
        ),
        case(
            "half a close frame",
            &part(7, 0x88, MASK, &bye),
            b"",
            End::ClientResets,
            &[Message::sent("close", [3]).cut_off("reset")],
            None,
        ),
        case(
            "half a ping",
            b"",
            &part(2, 0x89, None, b"?"),
            End::OriginCloses,
            &[Message::received("ping", "").cut_off("closed")],
            Some("ended early by the origin"),
        ),
        case(
            "half an unknown message",
            b"",
            &part(4, 0x85, None, b"unknown"),
            End::OriginResets,
            &[Message::received("binary", "un").encoded("unknown").cut_off("reset")],
            Some("reset by the origin"),
        ),
        case("closed by the origin", b"", &close, End::ClientResets, &[Message::received("close", bye)], None),
    ]
}

#[test]
fn the_end_of_a_websocket_is_recorded_with_its_cause() {
    let (capture, cases) = (Capture::start(), cases());
    let mut open = Vec::new();
    for (index, Case { bytes: [up, down], end, .. }) in cases.iter().enumerate() {
        let (request, response) = handshake("");
        let received = Gate::default();
        let (wait, data, up_len, end) = (received.clone(), down.clone(), up.len(), *end);
        let origin = Origin::tls(move |mut connection| {
            connection.read_head();
            connection.send(&response);
            connection.send(&data);
            connection.read_exactly(up_len);
            wait.pass();
            match end {
                End::OriginResets => connection.reset(),
                End::OriginCloses => drop(connection),
                End::ClientResets | End::ClientCloses | End::CaptureStops => drop(connection.read_to_end()),
            }
        });
        let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
        connection.send(&request);
        connection.read_head();
        connection.send(up);
        connection.read_exactly(down.len());
        origin.received_at_least(0, request.len() + up.len());
        received.open();
        match end {
            End::CaptureStops => {
                open.push((origin, connection));
                continue;
            }
            End::ClientResets => connection.reset(),
            End::ClientCloses => drop(connection),
            End::OriginResets | End::OriginCloses => {
                connection.read_to_end();
                drop(connection);
            }
        }
        capture.wait_for_websockets(index + 1 - open.len());
    }
    let outcome = capture.stop();
    drop(open);
    outcome.assert_no_warnings();
    assert_eq!(outcome.bundle().websockets.len(), cases.len());
    let mut expected = Vec::new();
    for (case, websocket) in cases.iter().zip(&outcome.bundle().websockets) {
        assert_eq!(websocket.messages, case.messages, "{}", case.name);
        let id = websocket.json["id"].as_str().unwrap().to_owned();
        expected.extend(case.unclosed.map(|why| (id, why.to_owned())));
    }
    let listed = &outcome.summary.unclosed_websockets;
    assert_eq!(listed.count, expected.len() as u64);
    expected.truncate(10);
    assert_eq!(listed.first.iter().map(|(id, why)| (id.clone(), why.to_string())).collect::<Vec<_>>(), expected);
}
