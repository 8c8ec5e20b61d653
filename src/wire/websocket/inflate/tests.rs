use super::super::WebSocketTap;
use super::super::frame::testing::frame;
use super::testing::{deflated, flushed};
use super::*;
use crate::wire::tap::testing::{DialogueStep, DialogueStep::*, events_in_any_pieces};
use crate::wire::tap::{Ending, ExchangeId};
use flate2::FlushCompress;

/// "Hello" in a block, and a second "Hello" that refers to the first.
const HELLO: &[u8] = b"\xf2\x48\xcd\xc9\xc9\x07\0";
const HELLO_AGAIN: &[u8] = b"\xf2\0\x11\0\0";

fn headers(extensions: &str) -> Headers {
    let mut headers = Headers::default();
    headers.push(b"sec-websocket-extensions", extensions.as_bytes());
    headers
}

fn events(extensions: &str, steps: &[DialogueStep<'_>]) -> Vec<String> {
    let headers = headers(extensions);
    events_in_any_pieces(|| WebSocketTap::new(ExchangeId(0), &headers), steps)
}

/// Returns the messages that the origin sends with these frames.
fn down(extensions: &str, frames: &[u8]) -> Vec<String> {
    shown(&events(extensions, &[Down(frames)]))
}

/// Returns the messages that the origin sends with these compressed payloads.
fn inflated(extensions: &str, payloads: &[&[u8]]) -> Vec<String> {
    down(extensions, &payloads.iter().map(|payload| frame(0xc1, None, payload)).collect::<Vec<_>>().concat())
}

/// Returns a line for each message: its text, or its payload and the encoding of that, or the way it ended.
fn shown(events: &[String]) -> Vec<String> {
    let (mut messages, mut decoded, mut raw, mut encoding) = (Vec::new(), "", String::new(), "");
    for event in events {
        let (_, event) = event.split_once(' ').unwrap();
        match event.split_at(event.len().min(2)) {
            ("| ", text) => decoded = text,
            ("# ", bytes) => raw.push_str(bytes),
            _ if event.starts_with("message undecodable ") => encoding = &event["message undecodable ".len()..],
            _ if event.starts_with("message ends ") => {
                let how = event.strip_prefix("message ends ").filter(|how| *how != "Complete");
                messages.push(match (encoding, how) {
                    ("", None) => decoded.to_owned(),
                    ("", Some(how)) => format!("{decoded} {how}"),
                    (encoding, how) => format!("{encoding}: {raw}{}", how.unwrap_or_default()),
                });
                (decoded, raw, encoding) = ("", String::new(), "");
            }
            _ => {}
        }
    }
    messages
}

/// Returns the line of a message that cannot be decompressed.
fn raw(payload: &[u8]) -> String {
    format!("PermessageDeflate: {}", payload.escape_ascii())
}

#[test]
fn reads_the_examples_of_rfc_7692() {
    let cases: &[(&str, &[u8])] = &[
        ("one block", b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\0"),
        ("two fragments", b"\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\0"),
        ("a block without compression", b"\xc1\x0b\0\x05\0\xfa\xffHello\0"),
        ("a last block", b"\xc1\x08\xf3\x48\xcd\xc9\xc9\x07\0\0"),
        ("two blocks", b"\xc1\x0d\xf2\x48\x05\0\0\0\xff\xff\xca\xc9\xc9\x07\0"),
    ];
    for (name, bytes) in cases {
        assert_eq!(down("permessage-deflate", bytes), ["Hello"], "{name}");
        let twice = [*bytes, *bytes].concat();
        assert_eq!(down("permessage-deflate", &twice), ["Hello", "Hello"], "{name} twice");
    }
    assert_eq!(inflated("permessage-deflate", &[HELLO, HELLO_AGAIN]), ["Hello", "Hello"]);
}

#[test]
fn reports_the_payload_before_and_after_decompression() {
    let frames = [frame(0x41, None, &HELLO[..3]), frame(0x80, None, &HELLO[3..])].concat();
    assert_eq!(
        events("permessage-deflate", &[Down(&frames)]),
        ["0< message Text", r"0< # \xf2H\xcd\xc9\xc9\x07\x00", "0< | Hello", "0< message ends Complete"]
    );
    assert_eq!(
        events("permessage-deflate", &[Down(&frame(0xc1, None, b"\xffbad"))]),
        ["0< message Text", r"0< # \xffbad", "0< message undecodable PermessageDeflate", "0< message ends Complete"]
    );
}

#[test]
fn each_direction_has_its_own_context() {
    for kept in [
        "permessage-deflate; client_no_context_takeover",
        "x-other; a=b, permessage-deflate;server_max_window_bits=\"10\"",
    ] {
        assert_eq!(inflated(kept, &[HELLO, HELLO_AGAIN]), ["Hello", "Hello"], "{kept}");
    }
    for reset in [
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate ;client_max_window_bits = 9; server_no_context_takeover",
    ] {
        // The second message refers to a window that was reset.
        assert_eq!(inflated(reset, &[HELLO, HELLO_AGAIN, HELLO]), ["Hello", &raw(HELLO_AGAIN), "Hello"], "{reset}");
    }
    let steps = [&frame(0xc1, None, HELLO)[..], &frame(0xc1, None, HELLO_AGAIN)];
    let events = events("permessage-deflate", &[Up(steps[0]), Down(steps[1])]);
    assert_eq!(shown(&events), ["Hello", &raw(HELLO_AGAIN)]);
}

#[test]
fn uncompressed_messages_do_not_change_the_context() {
    let bytes = b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\0\x81\x02hi\xc1\x05\xf2\0\x11\0\0\xc1\0\xc1\x01\0";
    assert_eq!(down("permessage-deflate", bytes), ["Hello", "hi", "Hello", "", ""]);
}

#[test]
fn decompresses_what_receivers_with_zlib_accept() {
    let cases: &[(&str, &[u8])] = &[
        ("a last block only", b"\xf3\x48\xcd\xc9\xc9\x07\0"),
        ("a last block and the rest of the tail", b"\xf3\x48\xcd\xc9\xc9\x07\0\0"),
        ("a last block and an empty block", b"\xf3\x48\xcd\xc9\xc9\x07\0\0\0\0\xff\xff"),
        ("a last block and a tail", b"\xf3\x48\xcd\xc9\xc9\x07\0\0\0\xff\xff"),
        ("two last blocks", b"\x01\x02\0\xfd\xffHe\x01\x03\0\xfc\xffllo"),
        ("a last block that is empty", b"\0\x05\0\xfa\xffHello\x01"),
        ("the tail was not removed", b"\xf2\x48\xcd\xc9\xc9\x07\0\0\0\xff\xff"),
        ("two tails were not removed", b"\xf2\x48\xcd\xc9\xc9\x07\0\0\0\xff\xff\0\0\0\xff\xff"),
        ("empty blocks before and after", b"\0\0\0\xff\xff\x02\0\0\0\xff\xff\xf2\x48\xcd\xc9\xc9\x07\0\0\0\xff\xff\0"),
        ("no empty block at the end", b"\0\x05\0\xfa\xffHello"),
    ];
    for (name, payload) in cases {
        let next = if payload.contains(&0xf3) || payload.contains(&1) { HELLO } else { HELLO_AGAIN };
        assert_eq!(
            inflated("permessage-deflate", &[payload, next, HELLO_AGAIN]),
            ["Hello", "Hello", "Hello"],
            "{name}"
        );
        let reset = "permessage-deflate; server_no_context_takeover";
        assert_eq!(inflated(reset, &[payload, payload, HELLO]), ["Hello", "Hello", "Hello"], "{name}");
    }
}

#[test]
fn decompresses_a_partial_flush() {
    for len in 0..40 {
        let text = |n: usize| (0..len).map(|i| b"abcdefgh"[(i * i + n) % 8]).collect::<Vec<_>>();
        let texts = [text(1), text(2)];
        let [first, second] = [&texts[0], &texts[1]].map(|text| text.escape_ascii().to_string());
        let [a, b] = &flushed(&texts, DeflateContext::Reset, FlushCompress::Partial)[..] else { panic!() };
        let reset = "permessage-deflate; server_no_context_takeover";
        assert_eq!(inflated(reset, &[a, b]), [&*first, &*second], "{len}");
        // With context takeover, the sender keeps bits for the next message: no receiver finds its start.
        let [a, b] = &flushed(&texts, DeflateContext::Kept, FlushCompress::Partial)[..] else { panic!() };
        let seen = inflated("permessage-deflate", &[a, b]);
        assert_eq!(seen[0], first, "{len}");
        assert!(seen[1] == second || seen[1] == raw(b), "{len} {seen:?}");
    }
}

#[test]
fn after_a_damaged_message_only_independent_ones_are_decompressed() {
    for damaged in
        [&b"\xff\xff bad"[..], &HELLO[..2], b"\0\x05\0\xfa\xfe", b"\xf3\x48\xcd\xc9\xc9\x07\0\0\0\xff\xff\xff"]
    {
        let payloads = [HELLO, damaged, HELLO_AGAIN, HELLO, HELLO_AGAIN, HELLO_AGAIN];
        let seen = inflated("permessage-deflate", &payloads);
        assert_eq!(seen, ["Hello", &raw(damaged), &raw(HELLO_AGAIN), "Hello", "Hello", "Hello"]);
    }
    // A text without compression, and a damaged message that was never complete.
    let frames = [
        frame(0xc1, None, b"\xff\xff bad"),
        frame(0x81, None, b"plain"),
        frame(0x41, None, &HELLO[..4]),
        frame(0xc1, None, HELLO_AGAIN),
        frame(0xc1, None, HELLO),
    ];
    let seen = down("permessage-deflate", &frames.concat());
    assert_eq!(seen, [&raw(b"\xff\xff bad"), "plain", "Hel Opaque", &raw(HELLO_AGAIN), "Hello"]);
}

#[test]
fn a_truncated_deflate_stream_is_not_an_empty_message() {
    let long: Vec<u8> = (0..4000_usize).map(|i| b"abcdefghijklmnop"[(i * i / 7) % 16]).collect();
    let whole = deflated(&[long], DeflateContext::Kept).remove(0);
    for len in 1..whole.len() {
        let seen = inflated("permessage-deflate", &[&whole[..len]]);
        assert_ne!(seen, [""], "{len}");
    }
}

#[test]
fn unknown_extensions_and_misplaced_rsv1_are_undecodable() {
    let unknown = |payload: &[u8]| format!("Unknown: {}", payload.escape_ascii());
    for extensions in ["", "x-webkit-deflate-frame", "permessage-bzip2", "permessage-deflate; novel"] {
        let bytes = [frame(0x81, None, b"hi"), frame(0xc1, None, HELLO), frame(0x81, None, b"ho")].concat();
        assert_eq!(down(extensions, &bytes), ["hi", &unknown(HELLO), "ho"], "{extensions}");
    }
    let continued = [frame(0x41, None, &HELLO[..3]), frame(0xc0, None, &HELLO[3..]), frame(0xc1, None, HELLO)].concat();
    assert_eq!(down("permessage-deflate", &continued), [&unknown(HELLO), "Hello"], "RSV1 on a continuation");
    assert_eq!(down("permessage-deflate", &frame(0xc9, None, b"?")), [unknown(b"?")], "RSV1 on a ping");
    assert_eq!(down("permessage-deflate", &frame(0xe1, None, HELLO)), [unknown(HELLO)], "RSV2 beside RSV1");
}

#[test]
fn reports_the_output_before_a_malformed_byte() {
    let payload = b"\0\x05\0\xfa\xffHello\x07";
    assert_eq!(
        events("permessage-deflate", &[Down(&frame(0xc1, None, payload))]),
        [
            "0< message Text",
            &format!("0< # {}", payload.escape_ascii()),
            "0< | Hello",
            "0< message undecodable PermessageDeflate",
            "0< message ends Complete",
        ]
    );
}

#[test]
fn reports_a_truncated_message() {
    let truncated = |bytes| shown(&events("permessage-deflate", &[Down(bytes), End(Dir::Down, Ending::Reset)]));
    assert_eq!(truncated(b"\x41\x03\xf2\x48\xcd"), ["He Truncated(Reset)"]);
    assert_eq!(truncated(b"\x41\x05\xff\xff\xff"), [raw(b"\xff\xff\xff") + "Truncated(Reset)"]);
}

#[test]
fn reads_fragmented_messages_with_pings_between() {
    let text = |n: usize| (0..n * 300).map(|i| b"abcdefgh \n"[(i * i + n) % 10]).collect::<Vec<_>>();
    let texts: Vec<_> = [1, 7, 0, 200, 3].map(text).to_vec();
    for (context, extensions) in [
        (DeflateContext::Kept, "permessage-deflate; client_max_window_bits=15"),
        (DeflateContext::Reset, "permessage-deflate; client_no_context_takeover"),
    ] {
        let mut bytes = Vec::new();
        for message in deflated(&texts, context) {
            let (first, rest) = message.split_at(message.len() / 3);
            bytes.extend(frame(0x42, Some([1, 2, 3, 4]), first));
            bytes.extend(frame(0x89, Some([5, 6, 7, 8]), b"?"));
            bytes.extend(frame(0x80, Some([9, 10, 11, 12]), rest));
        }
        let events = events(extensions, &[Up(&bytes)]);
        let joined = events.iter().filter_map(|line| line.strip_prefix("0> | ")).collect::<String>();
        assert_eq!(joined, texts.concat().escape_ascii().to_string());
        assert_eq!(events.iter().filter(|line| *line == "0> message ends Complete").count(), texts.len());
        assert_eq!(events.iter().filter(|line| *line == "0> Ping ?").count(), texts.len());
    }
}

#[test]
fn a_decompression_bomb_is_kept_compressed() {
    let headers = headers("permessage-deflate");
    let messages = |size: usize| {
        let messages = deflated(&[vec![b'0'; size], vec![b'1'; 9]], DeflateContext::Kept);
        let bytes = [&frame(0xc2, None, &messages[0])[..], b"\x81\x02hi", &frame(0xc1, None, &messages[1])].concat();
        let tap = || WebSocketTap::with_limit(ExchangeId(0), &headers, 100_000);
        let events = events_in_any_pieces(tap, &[Down(&bytes)]);
        let void = events.iter().filter_map(|line| line.strip_prefix("0< | 0")).map(str::len).sum::<usize>();
        assert_eq!(void, 99_999, "{size}");
        (shown(&events), raw(&messages[0]))
    };
    assert_eq!(messages(100_000).0, [&*"0".repeat(100_000), "hi", "111111111"]);
    for size in [100_001, 5_000_000] {
        let (seen, bomb) = messages(size);
        assert_eq!(seen, [&*bomb, "hi", "111111111"]);
    }
}
