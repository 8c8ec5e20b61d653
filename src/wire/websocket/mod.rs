//! The WebSocket tap: observes both directions of a connection after its 101, or of an HTTP/2 stream (RFC 6455, RFC 8441).
//!
//! ```text
//! bytes ─▶ frame ─────▶ direction ────────▶ MessageBegin, MessageData …, MessageEnd
//!          headers,     joins fragments  ▲  Control
//!          unmasking    └─▶ inflate ─────┘  (permessage-deflate, RFC 7692)
//! ```
//!
//! Only frame headers and the payloads of control frames are collected; messages of any size need a buffer of a few KiB.
//! Frames without a defined meaning make the connection opaque. Frames that are only forbidden (a client's frame without a
//! mask, data after a close, invalid UTF-8) are reported as they are, because client and origin validate them.

mod direction;
mod frame;
mod inflate;

use super::headers::Headers;
use super::message::ResponseHead;
use super::tap::{Dir, Ending, EventSink, ExchangeId, Finish, Opaque, Tap, TapEvent};
use direction::WebSocketDirection;

/// Observes one WebSocket.
pub(crate) struct WebSocketTap {
    id: ExchangeId,
    /// `None` once the WebSocket has ended or is opaque.
    directions: Option<Directions>,
}

struct Directions {
    up: WebSocketDirection,
    down: WebSocketDirection,
}

impl WebSocketTap {
    /// Reports `head`, the response with which exchange `id` opens a WebSocket, and returns the tap of the WebSocket.
    pub(crate) fn open(id: ExchangeId, head: ResponseHead, out: EventSink<'_>) -> Self {
        let protocol = head.headers.first("sec-websocket-protocol");
        let protocol = protocol.map(|name| String::from_utf8_lossy(name).into_owned());
        let tap = Self::new(id, &head.headers);
        out(TapEvent::Response { id, head });
        out(TapEvent::WebSocketOpen { id, protocol });
        tap
    }

    /// Creates the tap of a WebSocket that exchange `id` opens. `response` are the header fields of its response.
    pub(crate) fn new(id: ExchangeId, response: &Headers) -> Self {
        Self::with_limit(id, response, inflate::MAX_INFLATED_BYTES)
    }

    fn with_limit(id: ExchangeId, response: &Headers, max_inflated: u64) -> Self {
        let deflate = inflate::negotiated(response);
        let direction =
            |dir| WebSocketDirection::new(id, dir, deflate.as_ref().map(|deflate| deflate.inflater(dir, max_inflated)));
        Self { id, directions: Some(Directions { up: direction(Dir::Up), down: direction(Dir::Down) }) }
    }

    /// Ends both directions; open messages end with `how`.
    pub(crate) fn close(&mut self, how: Finish, out: EventSink<'_>) {
        if let Some(mut directions) = self.directions.take() {
            directions.up.close(how, out);
            directions.down.close(how, out);
            out(TapEvent::WebSocketEnd { id: self.id });
        }
    }

    fn become_opaque(&mut self, cause: Opaque, out: EventSink<'_>) {
        if self.directions.is_some() {
            self.close(Finish::Opaque(cause), out);
            out(TapEvent::Opaque { cause });
        }
    }
}

impl Tap for WebSocketTap {
    fn data(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) {
        let read = match &mut self.directions {
            Some(directions) => directions.direction(dir).read(bytes, out),
            None => Ok(()),
        };
        if let Err(cause) = read {
            self.become_opaque(cause, out);
        }
    }

    fn end(&mut self, dir: Dir, how: Ending, out: EventSink<'_>) {
        let Some(directions) = &mut self.directions else {
            return;
        };
        directions.direction(dir).close(Finish::Truncated(how), out);
        if directions.up.is_closed() && directions.down.is_closed() {
            self.directions = None;
            out(TapEvent::WebSocketEnd { id: self.id });
        }
    }
}

impl Directions {
    fn direction(&mut self, dir: Dir) -> &mut WebSocketDirection {
        match dir {
            Dir::Up => &mut self.up,
            Dir::Down => &mut self.down,
        }
    }
}

/// Fuzzing: asserts that the events do not depend on how the bytes are split, and that every message ends.
///
/// The first byte selects the negotiated parameters, the second the position where the client's bytes end and the origin's
/// begin.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_any_split(data: &[u8]) {
    use super::tap::testing::{DialogueStep, events};

    let [choice, split, bytes @ ..] = data else {
        return;
    };
    let mut response = Headers::default();
    if choice & 1 != 0 {
        let client = if choice & 2 != 0 { "; client_no_context_takeover" } else { "" };
        let server = if choice & 4 != 0 { "; server_no_context_takeover" } else { "" };
        response.push(b"Sec-WebSocket-Extensions", format!("permessage-deflate{client}{server}").as_bytes());
    }
    let (up, down) = bytes.split_at(bytes.len() * usize::from(*split) / 255);
    let steps = [
        DialogueStep::Up(up),
        DialogueStep::Down(down),
        DialogueStep::End(Dir::Up, Ending::Clean),
        DialogueStep::End(Dir::Down, Ending::Reset),
    ];
    // A limit that fuzzed inputs can exceed.
    let tap = || WebSocketTap::with_limit(ExchangeId(0), &response, 1 << 16);
    let whole = events(&mut tap(), &steps, || 0);
    let mut size = 0;
    let growing = || {
        size = size % 19 + 1;
        size
    };
    assert_eq!(events(&mut tap(), &steps, growing), whole);
    assert_eq!(events(&mut tap(), &steps, || 1), whole);

    let count = |words: [&str; 2]| whole.iter().filter(|line| line.split(' ').skip(1).take(2).eq(words)).count();
    let begun = count(["message", "Text"]) + count(["message", "Binary"]);
    assert_eq!(begun, count(["message", "ends"]), "{whole:?}");
    assert_eq!(count(["WebSocket", "ends"]), 1, "{whole:?}");
}

#[cfg(test)]
mod tests {
    use super::frame::testing::frame;
    use super::inflate::{DeflateContext, testing::deflated};
    use super::*;
    use crate::wire::mutations::mutations;
    use crate::wire::tap::testing::{DialogueStep, DialogueStep::*, events_in_any_pieces};

    const MASK: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);

    fn events_without_extensions(steps: &[DialogueStep<'_>]) -> Vec<String> {
        events_in_any_pieces(|| WebSocketTap::new(ExchangeId(3), &Headers::default()), steps)
    }

    #[test]
    fn reads_the_examples_of_rfc_6455() {
        let events = events_without_extensions(&[
            Down(b"\x81\x05Hello"),
            Up(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
            Down(b"\x01\x03Hel"),
            Down(b"\x80\x02lo"),
            Down(b"\x89\x05Hello"),
            Up(b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
        ]);
        assert_eq!(
            events,
            [
                "3< message Text",
                "3< | Hello",
                "3< message ends Complete",
                "3> message Text",
                "3> | Hello",
                "3> message ends Complete",
                "3< message Text",
                "3< | Hello",
                "3< message ends Complete",
                "3< Ping Hello",
                "3> Pong Hello",
            ]
        );
        for (head, size) in [(&b"\x82\x7e\x01\x00"[..], 256), (b"\x82\x7f\0\0\0\0\0\x01\0\0", 65_536)] {
            let events = events_without_extensions(&[Down(&[head, &vec![b'x'; size]].concat())]);
            assert_eq!(
                events,
                ["3< message Binary", &format!("3< | {}", "x".repeat(size)), "3< message ends Complete"]
            );
        }
    }

    #[test]
    fn reads_control_frames_between_fragments() {
        let events = events_without_extensions(&[
            Up(&frame(0x02, MASK, b"a\0")),
            Up(&frame(0x89, MASK, b"")),
            Up(&frame(0x00, MASK, b"")),
            Down(&frame(0x8a, None, &[b'p'; 125])),
            Up(&frame(0x00, Some([0; 4]), b"\xffb")),
            Up(&frame(0x88, MASK, b"\x03\xe8bye")),
            Up(&frame(0x80, MASK, b"c")),
            End(Dir::Up, Ending::Clean),
            Down(&frame(0x88, None, b"")),
            Down(&frame(0x81, None, b"late")),
            End(Dir::Down, Ending::Clean),
        ]);
        assert_eq!(
            events,
            [
                "3> message Binary",
                r"3> | a\x00",
                "3> Ping ",
                &format!("3< Pong {}", "p".repeat(125)),
                r"3> | \xffb",
                r"3> Close \x03\xe8bye",
                "3> | c",
                "3> message ends Complete",
                "3< Close ",
                "3< message Text",
                "3< | late",
                "3< message ends Complete",
                "3 WebSocket ends",
            ]
        );
    }

    #[test]
    fn reads_empty_messages() {
        let events = events_without_extensions(&[Down(b"\x81\0\x02\0\x80\0"), Up(b"\x82\x80abcd")]);
        let one = |dir, opcode| [format!("3{dir} message {opcode}"), format!("3{dir} message ends Complete")];
        assert_eq!(events, [one('<', "Text"), one('<', "Binary"), one('>', "Binary")].concat());
    }

    #[test]
    fn the_end_of_a_direction_truncates_its_message() {
        let truncated =
            [Up(b"\x01\x02ab"), End(Dir::Down, Ending::Clean), Up(b"\x80\x05c"), End(Dir::Up, Ending::Reset)];
        assert_eq!(
            events_without_extensions(&truncated),
            ["3> message Text", "3> | abc", "3> message ends Truncated(Reset)", "3 WebSocket ends"]
        );
        // An incomplete header or control frame is not reported.
        let incomplete =
            [Up(b"\x81"), Down(b"\x89\x05pi"), End(Dir::Up, Ending::Clean), End(Dir::Down, Ending::Stopped)];
        assert_eq!(events_without_extensions(&incomplete), ["3 WebSocket ends"]);
    }

    #[test]
    fn undefined_frames_are_opaque() {
        let cases: &[(&str, &[u8])] = &[
            ("a reserved data opcode", b"\x83\0"),
            ("a reserved control opcode", b"\x8b\0"),
            ("a fragmented control frame", b"\x09\0"),
            ("a control frame above 125 bytes", b"\x89\x7e\0\x7e"),
            ("a continuation without a first frame", b"\x80\x01a"),
            ("a second reserved bit", b"\xa1\x01a"),
            ("a third reserved bit", b"\x91\x01a"),
            ("compression without negotiation", b"\xc1\x01a"),
            ("a length above 63 bits", b"\x82\x7f\x80\0\0\0\0\0\0\0"),
            ("HTTP", b"HTTP/1.1 200 OK\r\n\r\n"),
        ];
        for (name, bytes) in cases {
            let events = events_without_extensions(&[
                Down(bytes),
                Down(b"\x81\x05Hello"),
                Up(b"\x81\0"),
                End(Dir::Up, Ending::Clean),
            ]);
            assert_eq!(events, ["3 WebSocket ends", "opaque: a malformed WebSocket frame"], "{name}");
        }
    }

    #[test]
    fn open_messages_end_before_the_connection_becomes_opaque() {
        let events = events_without_extensions(&[
            Up(b"\x01\x01a"),
            Down(b"\x02\x01b"),
            Up(b"\x01\x01c"),
            End(Dir::Down, Ending::Clean),
        ]);
        assert_eq!(
            events,
            [
                "3> message Text",
                "3> | a",
                "3< message Binary",
                "3< | b",
                "3> message ends Opaque",
                "3< message ends Opaque",
                "3 WebSocket ends",
                "opaque: a malformed WebSocket frame",
            ]
        );
    }

    #[test]
    fn a_frame_with_the_longest_length_never_completes() {
        let events = events_without_extensions(&[
            Down(b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xffabc"),
            End(Dir::Down, Ending::Truncated),
        ]);
        assert_eq!(events, ["3< message Binary", "3< | abc", "3< message ends Truncated(Truncated)"]);
    }

    #[test]
    fn reads_a_million_fragments_of_one_byte() {
        let mut bytes = b"\x02\x81\x01\x02\x03\x04a".to_vec();
        bytes.extend(b"\0\x81\x01\x02\x03\x04a".repeat(1_000_000));
        let mut tap = WebSocketTap::new(ExchangeId(0), &Headers::default());
        let mut pieces = 0;
        for segment in bytes.chunks(16 * 1024) {
            tap.data(Dir::Up, segment, &mut |event| match event {
                TapEvent::MessageData { bytes, .. } => pieces += usize::from(bytes == b"`"),
                TapEvent::MessageBegin { .. } => {}
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(pieces, 1_000_001);
    }

    #[test]
    fn events_do_not_depend_on_splits() {
        // The last text decompresses to more than the limit.
        let texts = [&b"Hello"[..], b"Hello, hello", &[b'0'; 70_000]].map(<[u8]>::to_vec);
        let [a, b, bomb] = &deflated(&texts, DeflateContext::Kept)[..] else { panic!() };
        let (b1, b2) = b.split_at(3);
        let client = [
            frame(0xc1, MASK, a),
            frame(0x01, MASK, b"ab"),
            frame(0x89, MASK, b"p"),
            frame(0x80, MASK, b""),
            frame(0x42, MASK, b1),
            frame(0x80, MASK, b2),
            frame(0x88, MASK, b"\x03\xe8"),
        ];
        let server = [frame(0xc1, None, a), frame(0xc1, None, b), frame(0xc2, None, bomb)];
        let bytes = [client.concat(), server.concat()].concat();
        let split = u8::try_from(255 * client.concat().len() / bytes.len() + 1).unwrap();
        let seeds = [[0, 255], [1, split], [7, split], [1, 0], [3, 255]].map(|head| [&head[..], &bytes].concat());
        mutations(&seeds, 2000, check_any_split);
    }
}
