//! The tap for WebSockets: both directions of a connection after its 101 (RFC 6455).
//!
//! ```text
//! bytes ─▶ frame ─────▶ half ─────────────▶ MessageBegin, MessageData …, MessageEnd
//!          heads,       joins fragments  ▲  Control
//!          unmasks      └─▶ inflate ─────┘  (permessage-deflate, RFC 7692)
//! ```
//!
//! Nothing is collected but a frame's head and a control frame's payload: a message of any size passes through a buffer of
//! some KiB. Frames that the protocol has no meaning for make the connection opaque. What merely is not allowed to be sent
//! (a client's frame without a mask, data after a close, text that is not UTF-8) is reported as it is: the ends judge that.

mod frame;
mod half;
mod inflate;

use super::message::Headers;
use super::tap::{Dir, Ending, Event, EventSink, ExchangeId, Finish, Opaque, Tap};
use half::Half;

/// Watches one WebSocket.
pub(crate) struct WebSocketTap {
    id: ExchangeId,
    /// `None` once it is over or opaque.
    halves: Option<Halves>,
}

struct Halves {
    up: Half,
    down: Half,
}

impl WebSocketTap {
    /// The WebSocket that exchange `id` opens with a response of these fields.
    pub(crate) fn new(id: ExchangeId, response: &Headers) -> Self {
        Self::with_limit(id, response, inflate::MAX_INFLATED)
    }

    fn with_limit(id: ExchangeId, response: &Headers, max_inflated: u64) -> Self {
        let deflate = inflate::negotiated(response);
        let half = |dir| Half::new(id, dir, deflate.as_ref().map(|deflate| deflate.inflater(dir, max_inflated)));
        Self { id, halves: Some(Halves { up: half(Dir::Up), down: half(Dir::Down) }) }
    }

    /// Both directions are over, and what is open in them ends like this.
    pub(crate) fn close(&mut self, how: Finish, out: EventSink<'_>) {
        if let Some(mut halves) = self.halves.take() {
            halves.up.close(how, out);
            halves.down.close(how, out);
            out(Event::WebSocketEnd { id: self.id });
        }
    }

    fn give_up(&mut self, why: Opaque, out: EventSink<'_>) {
        if self.halves.is_some() {
            self.close(Finish::Opaque, out);
            out(Event::Opaque { why });
        }
    }
}

impl Tap for WebSocketTap {
    fn data(&mut self, dir: Dir, bytes: &[u8], out: EventSink<'_>) {
        let read = match &mut self.halves {
            Some(halves) => halves.of(dir).read(bytes, out),
            None => Ok(()),
        };
        if let Err(why) = read {
            self.give_up(why, out);
        }
    }

    fn end(&mut self, dir: Dir, how: Ending, out: EventSink<'_>) {
        let Some(halves) = &mut self.halves else {
            return;
        };
        halves.of(dir).close(Finish::Truncated(how), out);
        if halves.up.is_closed() && halves.down.is_closed() {
            self.halves = None;
            out(Event::WebSocketEnd { id: self.id });
        }
    }
}

impl Halves {
    fn of(&mut self, dir: Dir) -> &mut Half {
        match dir {
            Dir::Up => &mut self.up,
            Dir::Down => &mut self.down,
        }
    }
}

/// Fuzzing: however the bytes are cut, the same is seen, and all that begins ends.
///
/// The first byte chooses what is negotiated, the second where the client's bytes end and the origin's begin.
#[cfg(any(test, fuzzing))]
pub(crate) fn cut_anyhow(data: &[u8]) {
    use super::tap::testing::{DialogueStep, seen};

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
    // Small enough to be passed by what a fuzzer makes.
    let tap = || WebSocketTap::with_limit(ExchangeId(0), &response, 1 << 16);
    let whole = seen(&mut tap(), &steps, || 0);
    let mut size = 0;
    let growing = || {
        size = size % 19 + 1;
        size
    };
    assert_eq!(seen(&mut tap(), &steps, growing), whole);
    assert_eq!(seen(&mut tap(), &steps, || 1), whole);

    let count = |words: [&str; 2]| whole.iter().filter(|line| line.split(' ').skip(1).take(2).eq(words)).count();
    let begun = count(["message", "Text"]) + count(["message", "Binary"]);
    assert_eq!(begun, count(["message", "ends"]), "{whole:?}");
    assert_eq!(count(["socket", "ends"]), 1, "{whole:?}");
}

#[cfg(test)]
mod tests {
    use super::frame::testing::frame;
    use super::inflate::{Context, testing::deflated};
    use super::*;
    use crate::wire::mutations::mutations;
    use crate::wire::tap::testing::{DialogueStep, DialogueStep::*, seen_however_cut};

    const MASK: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);

    fn plain(steps: &[DialogueStep<'_>]) -> Vec<String> {
        seen_however_cut(|| WebSocketTap::new(ExchangeId(3), &Headers::default()), steps)
    }

    #[test]
    fn the_examples_of_rfc_6455() {
        let seen = plain(&[
            Down(b"\x81\x05Hello"),
            Up(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
            Down(b"\x01\x03Hel"),
            Down(b"\x80\x02lo"),
            Down(b"\x89\x05Hello"),
            Up(b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
        ]);
        assert_eq!(
            seen,
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
            let seen = plain(&[Down(&[head, &vec![b'x'; size]].concat())]);
            assert_eq!(seen, ["3< message Binary", &format!("3< | {}", "x".repeat(size)), "3< message ends Complete"]);
        }
    }

    #[test]
    fn control_frames_between_fragments() {
        let seen = plain(&[
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
            seen,
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
                "3 socket ends",
            ]
        );
    }

    #[test]
    fn empty_messages() {
        let seen = plain(&[Down(b"\x81\0\x02\0\x80\0"), Up(b"\x82\x80abcd")]);
        let one = |dir, opcode| [format!("3{dir} message {opcode}"), format!("3{dir} message ends Complete")];
        assert_eq!(seen, [one('<', "Text"), one('<', "Binary"), one('>', "Binary")].concat());
    }

    #[test]
    fn a_direction_that_ends_cuts_its_message() {
        let cut = [Up(b"\x01\x02ab"), End(Dir::Down, Ending::Clean), Up(b"\x80\x05c"), End(Dir::Up, Ending::Reset)];
        assert_eq!(plain(&cut), ["3> message Text", "3> | abc", "3> message ends Truncated(Reset)", "3 socket ends"]);
        // Neither half a head nor half a control frame is anything.
        let half = [Up(b"\x81"), Down(b"\x89\x05pi"), End(Dir::Up, Ending::Clean), End(Dir::Down, Ending::Stopped)];
        assert_eq!(plain(&half), ["3 socket ends"]);
    }

    #[test]
    fn what_has_no_meaning_is_opaque_once() {
        let cases: &[(&str, &[u8])] = &[
            ("a reserved data opcode", b"\x83\0"),
            ("a reserved control opcode", b"\x8b\0"),
            ("a fragmented control frame", b"\x09\0"),
            ("a control frame past 125 bytes", b"\x89\x7e\0\x7e"),
            ("a continuation of nothing", b"\x80\x01a"),
            ("a second reserved bit", b"\xa1\x01a"),
            ("a third reserved bit", b"\x91\x01a"),
            ("compression that nobody agreed to", b"\xc1\x01a"),
            ("a length past 63 bits", b"\x82\x7f\x80\0\0\0\0\0\0\0"),
            ("HTTP", b"HTTP/1.1 200 OK\r\n\r\n"),
        ];
        for (what, bytes) in cases {
            let seen = plain(&[Down(bytes), Down(b"\x81\x05Hello"), Up(b"\x81\0"), End(Dir::Up, Ending::Clean)]);
            assert_eq!(seen, ["3 socket ends", "opaque: a malformed WebSocket frame"], "{what}");
        }
    }

    #[test]
    fn what_is_open_ends_before_the_connection_goes_opaque() {
        let seen = plain(&[Up(b"\x01\x01a"), Down(b"\x02\x01b"), Up(b"\x01\x01c"), End(Dir::Down, Ending::Clean)]);
        assert_eq!(
            seen,
            [
                "3> message Text",
                "3> | a",
                "3< message Binary",
                "3< | b",
                "3> message ends Opaque",
                "3< message ends Opaque",
                "3 socket ends",
                "opaque: a malformed WebSocket frame",
            ]
        );
    }

    #[test]
    fn a_hostile_length_is_a_message_that_goes_on() {
        let seen = plain(&[Down(b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xffabc"), End(Dir::Down, Ending::Truncated)]);
        assert_eq!(seen, ["3< message Binary", "3< | abc", "3< message ends Truncated(Truncated)"]);
    }

    #[test]
    fn a_million_one_byte_fragments() {
        let mut bytes = b"\x02\x81\x01\x02\x03\x04a".to_vec();
        bytes.extend(b"\0\x81\x01\x02\x03\x04a".repeat(1_000_000));
        let mut tap = WebSocketTap::new(ExchangeId(0), &Headers::default());
        let mut pieces = 0;
        for segment in bytes.chunks(16 * 1024) {
            tap.data(Dir::Up, segment, &mut |event| match event {
                Event::MessageData { bytes, .. } => pieces += usize::from(bytes == b"`"),
                Event::MessageBegin { .. } => {}
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(pieces, 1_000_001);
    }

    #[test]
    fn cut_anyhow_it_is_the_same() {
        // The last one inflates past the limit.
        let texts = [&b"Hello"[..], b"Hello, hello", &[b'0'; 70_000]].map(<[u8]>::to_vec);
        let [a, b, bomb] = &deflated(&texts, Context::TakenOver)[..] else { panic!() };
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
        mutations(&seeds, 2000, cut_anyhow);
    }
}
