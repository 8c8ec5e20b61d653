use super::frame::testing::frame;
use super::fuzz::check_any_split;
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
        assert_eq!(events, ["3< message Binary", &format!("3< | {}", "x".repeat(size)), "3< message ends Complete"]);
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
            "3 WebSocket ends Truncated(Abandoned)",
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
    let truncated = [Up(b"\x01\x02ab"), End(Dir::Down, Ending::Clean), Up(b"\x80\x05c"), End(Dir::Up, Ending::Reset)];
    assert_eq!(
        events_without_extensions(&truncated),
        ["3> message Text", "3> | abc", "3> message ends Truncated(Reset)", "3 WebSocket ends Truncated(Clean)"]
    );
    // After a close frame, too.
    let closed = [Down(b"\x01\x03Hel\x88\x02\x03\xe8"), End(Dir::Down, Ending::Clean)];
    assert_eq!(
        events_without_extensions(&closed),
        ["3< message Text", "3< | Hel", r"3< Close \x03\xe8", "3< message ends Truncated(Clean)"]
    );
}

#[test]
fn an_incomplete_control_frame_is_truncated() {
    // Without a complete header there is no frame.
    let incomplete = [
        Up(b"\x01\x01a\x88\x82\0\0\0\0\x03"),
        Down(b"\x89\x05"),
        End(Dir::Up, Ending::Clean),
        Down(b"pi"),
        End(Dir::Down, Ending::Stopped),
    ];
    assert_eq!(
        events_without_extensions(&incomplete),
        [
            "3> message Text",
            "3> | a",
            "3> message Close",
            r"3> | \x03",
            "3> message ends Truncated(Clean)",
            "3> message ends Truncated(Clean)",
            "3< message Ping",
            "3< | pi",
            "3< message ends Truncated(Stopped)",
            "3 WebSocket ends Truncated(Abandoned)",
        ]
    );
    let headers = [Up(b"\x89"), Down(b"\x89\x05"), End(Dir::Up, Ending::Reset), End(Dir::Down, Ending::Abandoned)];
    assert_eq!(
        events_without_extensions(&headers),
        ["3< message Ping", "3< message ends Truncated(Abandoned)", "3 WebSocket ends Truncated(Abandoned)"]
    );
}

#[test]
fn the_end_of_a_websocket_tells_who_left() {
    use Ending::*;
    for (steps, expected) in [
        ([End(Dir::Up, Clean), End(Dir::Down, Clean)], "Truncated(Abandoned)"),
        ([End(Dir::Up, Reset), End(Dir::Down, Abandoned)], "Truncated(Abandoned)"),
        ([End(Dir::Up, Abandoned), End(Dir::Down, Reset)], "Truncated(Reset)"),
        ([End(Dir::Down, Reset), End(Dir::Up, Abandoned)], "Truncated(Reset)"),
        ([End(Dir::Down, Truncated), End(Dir::Up, Reset)], "Truncated(Truncated)"),
        ([End(Dir::Up, Stopped), End(Dir::Down, Stopped)], "Truncated(Stopped)"),
    ] {
        let events = events_without_extensions(&steps);
        assert_eq!(events, [format!("3 WebSocket ends {expected}")], "{steps:?}");
    }
}

/// Returns the events of the dialogue after those frames of the origin. The last frames are understood.
fn events_after(frames: &[u8]) -> Vec<String> {
    let mut events = events_without_extensions(&[Down(frames), Down(b"\x81\x05Hello"), Up(b"\x81\x80\0\0\0\0")]);
    let understood = events.split_off(events.len().saturating_sub(5));
    let expected =
        ["3< message Text", "3< | Hello", "3< message ends Complete", "3> message Text", "3> message ends Complete"];
    assert_eq!(understood, expected, "{events:?}");
    events
}

#[test]
fn undefined_frames_are_reported_as_they_are() {
    let undecodable = |opcode: &str, payload: &str| {
        let mut events = vec![format!("3< message {opcode}"), "3< message undecodable Unknown".into()];
        events.extend((!payload.is_empty()).then(|| format!("3< # {payload}")));
        events.push("3< message ends Complete".into());
        events
    };
    let cases: &[(&str, &[u8], Vec<String>)] = &[
        ("a reserved data opcode", b"\x83\0", undecodable("Binary", "")),
        ("a reserved data opcode in fragments", b"\x07\x01a\x80\x01b", undecodable("Binary", "ab")),
        ("a reserved control opcode", b"\x8b\x01a", undecodable("Binary", "a")),
        ("a continuation without a first frame", b"\x80\x01a", undecodable("Binary", "a")),
        ("a continuation in fragments", b"\0\x01a\x80\x01b", undecodable("Binary", "ab")),
        ("a second reserved bit", b"\xa1\x01a", undecodable("Text", "a")),
        ("a third reserved bit", b"\x92\x01a", undecodable("Binary", "a")),
        ("a reserved bit of a control frame", b"\x98\x02ab", undecodable("Close", "ab")),
        ("compression without negotiation", b"\xc1\x01a", undecodable("Text", "a")),
    ];
    for (name, bytes, expected) in cases {
        assert_eq!(events_after(bytes), *expected, "{name}");
    }
    let later = events_after(b"\x01\x01a\x20\x01b\x80\x01c");
    let expected = ["message Text", "| a", "message undecodable Unknown", "# bc", "message ends Complete"];
    assert_eq!(later, expected.map(|event| format!("3< {event}")), "a reserved bit of a continuation");
}

#[test]
fn frames_out_of_sequence_are_reported_as_they_are() {
    let cases: &[(&str, &[u8], &[&str])] = &[
        (
            "a first frame within a message",
            b"\x01\x01a\x02\x01b\x80\x01c",
            &["message Text", "| a", "message ends Opaque", "message Binary", "| bc", "message ends Complete"],
        ),
        ("a fragmented control frame", b"\x09\x01a", &["message Ping", "| a", "message ends Opaque"]),
        ("a large control frame", b"\x8a\x7e\0\x7e", &["message Pong", "| ", "message ends Complete"]),
        (
            "control frames within a message",
            b"\x01\x01a\x09\x01b\x8f\x01c\x80\x01d",
            &[
                "message Text",
                "| a",
                "message Ping",
                "| b",
                "message ends Opaque",
                "message Binary",
                "message undecodable Unknown",
                "# c",
                "message ends Complete",
                "| d",
                "message ends Complete",
            ],
        ),
    ];
    for (name, bytes, expected) in cases {
        let large = "p".repeat(126);
        let payload = if *name == "a large control frame" { &*large } else { "" };
        let expected = expected.iter().map(|event| match *event {
            "| " => format!("3< | {payload}"),
            event => format!("3< {event}"),
        });
        assert_eq!(events_after(&[bytes, payload.as_bytes()].concat()), expected.collect::<Vec<_>>(), "{name}");
    }
}

#[test]
fn an_unknown_length_makes_only_its_direction_opaque() {
    let lost = [0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0];
    let events = events_without_extensions(&[
        Up(b"\x01\x01a"),
        Down(&[b"\x02\x01b", &lost[..]].concat()),
        Down(b"\x81\x05Hello"),
        Up(b"\x80\x01c"),
        End(Dir::Down, Ending::Clean),
        End(Dir::Up, Ending::Clean),
    ]);
    assert_eq!(
        events,
        [
            "3> message Text",
            "3> | a",
            "3< message Binary",
            "3< | b",
            "3< message ends Opaque",
            "opaque: a malformed WebSocket frame",
            "3> | c",
            "3> message ends Complete",
            "3 WebSocket ends Opaque",
        ]
    );
    let events = events_without_extensions(&[Up(&lost), Down(&lost), End(Dir::Down, Ending::Clean)]);
    let opaque = "opaque: a malformed WebSocket frame";
    assert_eq!(events, [opaque, "3 WebSocket ends Opaque", opaque]);
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
        frame(0x01, MASK, b"open"),
        frame(0x09, MASK, b"?"),
        frame(0x8c, MASK, &[b'c'; 130]),
        frame(0x80, MASK, b""),
        frame(0x88, MASK, b"\x03\xe8"),
    ];
    let server = [
        frame(0xc1, None, a),
        frame(0x73, None, b"?"),
        frame(0xc1, None, b),
        frame(0xc2, None, bomb),
        frame(0xc2, None, a),
    ];
    let bytes = [client.concat(), server.concat()].concat();
    let split = u8::try_from(255 * client.concat().len() / bytes.len() + 1).unwrap();
    let seeds = [[0, 255], [1, split], [7, split], [1, 0], [3, 255]].map(|head| [&head[..], &bytes].concat());
    mutations(&seeds, 2000, check_any_split);
}
