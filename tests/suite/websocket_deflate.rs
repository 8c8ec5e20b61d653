//! permessage-deflate (RFC 7692): messages are inflated in the bundle and unchanged on the wire.

use crate::support::Message;
use crate::support::websocket_frames::frame;
use crate::websocket::exchange_frames;
use flate2::{Compress, Compression, FlushCompress};

const TEXT: u8 = 0xc1; // FIN, RSV1, text
const BINARY: u8 = 0xc2;
const MASK: Option<[u8; 4]> = Some([0xde, 0xad, 0xbe, 0xef]);

/// The compressor of one direction.
struct Deflater(Compress);

impl Deflater {
    fn new() -> Self {
        Self(Compress::new(Compression::default(), false))
    }

    /// Compresses a message, flushed and without the tail (RFC 7692 section 7.2.1).
    fn message(&mut self, payload: &[u8]) -> Vec<u8> {
        if payload.is_empty() {
            return vec![0]; // RFC 7692 section 7.2.3.6
        }
        let mut out = Vec::with_capacity(payload.len() + 1024);
        let before = self.0.total_in();
        loop {
            let consumed = usize::try_from(self.0.total_in() - before).unwrap();
            self.0.compress_vec(&payload[consumed..], &mut out, FlushCompress::Sync).unwrap();
            if usize::try_from(self.0.total_in() - before).unwrap() == payload.len() && out.len() < out.capacity() {
                break;
            }
            out.reserve(1024);
        }
        assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
        out.truncate(out.len() - 4);
        out
    }
}

#[test]
fn inflates_with_context_takeover() {
    let (mut up, mut down) = (Deflater::new(), Deflater::new());
    let story = "the same words again and again ".repeat(20);
    let first = up.message(story.as_bytes());
    let second = up.message(story.as_bytes());
    assert!(second.len() < first.len(), "the second message uses the context of the first");
    let ups = [frame(TEXT, MASK, &first), frame(TEXT, MASK, &second)].concat();
    let downs = [frame(BINARY, None, &down.message(b"abc")), frame(TEXT, None, &down.message(b"abc"))].concat();
    let (messages, outcome) = exchange_frames("Sec-WebSocket-Extensions: permessage-deflate\r\n", ups, downs);
    outcome.assert_no_warnings();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    let expected = [
        Message::sent("text", story.clone()),
        Message::sent("text", story),
        Message::received("binary", "abc"),
        Message::received("text", "abc"),
    ];
    assert_eq!(messages, expected);
}

#[test]
fn inflates_without_context_takeover_and_with_window_bits() {
    let message = |text: &str| Deflater::new().message(text.as_bytes());
    let ups = [frame(TEXT, MASK, &message("one")), frame(TEXT, MASK, &message("one"))].concat();
    let downs = [frame(TEXT, None, &message("two")), frame(TEXT, None, &message("two"))].concat();
    let (messages, _) = exchange_frames(
        "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover; \
         server_max_window_bits=12; client_max_window_bits=10\r\n",
        ups,
        downs,
    );
    let expected = [
        Message::sent("text", "one"),
        Message::sent("text", "one"),
        Message::received("text", "two"),
        Message::received("text", "two"),
    ];
    assert_eq!(messages, expected);
}

#[test]
fn inflates_fragmented_empty_and_mixed_messages() {
    let mut up = Deflater::new();
    let long = up.message(&b"fragmented and compressed ".repeat(50));
    let (begin, rest) = long.split_at(10);
    let empty = up.message(b"");
    let ups = [
        frame(0x41, MASK, begin), // RSV1 on the first fragment only
        frame(0x89, MASK, b"ping is never compressed"),
        frame(0x80, MASK, rest),
        frame(0x81, MASK, b"not compressed"),
        frame(TEXT, MASK, &empty),
        frame(TEXT, MASK, &up.message(b"fragmented and compressed")),
    ]
    .concat();
    let (messages, outcome) = exchange_frames("Sec-WebSocket-Extensions: permessage-deflate\r\n", ups, Vec::new());
    outcome.assert_no_warnings();
    let expected = [
        Message::sent("ping", "ping is never compressed"),
        Message::sent("text", b"fragmented and compressed ".repeat(50)),
        Message::sent("text", "not compressed"),
        Message::sent("text", ""),
        Message::sent("text", "fragmented and compressed"),
    ];
    assert_eq!(messages, expected);
}

#[test]
fn keeps_messages_that_do_not_inflate_as_they_were_sent() {
    let mut up = Deflater::new();
    let [first, second, third] =
        ["the same text", "the same text", "the same text"].map(|text| up.message(text.as_bytes()));
    let damaged = b"\xff\xff\xff no deflate";
    let ups = [
        frame(TEXT, MASK, &first),
        frame(TEXT, MASK, &second),
        frame(TEXT, MASK, damaged),
        frame(0x81, MASK, b"after"),
        // It refers to the window, which is unknown after the damaged message.
        frame(TEXT, MASK, &third),
        frame(BINARY, MASK, &Deflater::new().message(b"independent")),
    ];
    let downs = [frame(TEXT, None, &Deflater::new().message(b"other direction"))];
    let (messages, outcome) =
        exchange_frames("Sec-WebSocket-Extensions: permessage-deflate\r\n", ups.concat(), downs.concat());
    outcome.assert_no_warnings();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    let expected = [
        Message::sent("text", "the same text"),
        Message::sent("text", "the same text"),
        Message::sent("binary", damaged).encoded("permessage-deflate"),
        Message::sent("text", "after"),
        Message::sent("binary", third).encoded("permessage-deflate"),
        Message::sent("binary", "independent"),
        Message::received("text", "other direction"),
    ];
    assert_eq!(messages, expected);
}
