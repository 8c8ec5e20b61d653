//! Dialogues with the HTTP/2 tap. Each runs unsplit and in pieces of several sizes.

use super::Http2Tap;
use super::testing::*;
use crate::wire::tap::testing::DialogueStep::{self, Down, End, Up};
use crate::wire::tap::testing::events_in_any_pieces;
use crate::wire::tap::{Dir, Ending, Event, ExchangeId, Tap};

/// Asserts the events of `steps` after the client's preface and both SETTINGS.
#[track_caller]
fn dialogue(steps: &[DialogueStep<'_>], lines: &[&str]) {
    let settings = settings(&[]);
    let steps = [&[Up(PREFACE), Up(&settings), Down(&settings)], steps].concat();
    assert_eq!(events_in_any_pieces(Http2Tap::new, &steps), lines);
}

/// Like [`dialogue`], after a `GET` on stream 1 whose events are omitted.
#[track_caller]
fn after_get(steps: &[DialogueStep<'_>], lines: &[&str]) {
    let get = headers(1, END_STREAM, GET);
    let request_events = ["1> begins", "1> GET https://a/ Http2", "1> ends Complete"];
    dialogue(&[&[Up(&get)], steps].concat(), &[&request_events, lines].concat());
}

const OPAQUE: &str = "opaque: malformed HTTP/2 framing";

mod messages {
    use super::*;

    #[test]
    fn reads_bodies_and_trailers() {
        dialogue(
            &[
                Up(&headers(1, 0, ":method POST\n:scheme https\n:path /a?b\n:authority A.example\nX y")),
                Up(&data(1, 0, b"pi")),
                Up(&data(1, END_STREAM, b"ng")),
                Down(&headers(1, 0, ":status 200\ncontent-type application/grpc")),
                Down(&data(1, 0, b"pong")),
                Down(&headers(1, END_STREAM, "grpc-status 0")),
                End(Dir::Up, Ending::Clean),
                End(Dir::Down, Ending::Clean),
            ],
            &[
                "1> begins",
                "1> POST https://A.example/a?b Http2 X: y;",
                "1> | ping",
                "1> ends Complete",
                "1< begins",
                "1< 200  Http2 content-type: application/grpc;",
                "1< | pong",
                "1< trailers grpc-status: 0;",
                "1< ends Complete",
            ],
        );
    }

    #[test]
    fn an_empty_data_frame_may_end_a_stream() {
        after_get(
            &[Down(&headers(1, 0, ":status 200")), Down(&data(1, 0, b"")), Down(&data(1, END_STREAM, b""))],
            &["1< begins", "1< 200  Http2", "1< ends Complete"],
        );
        after_get(&[Down(&headers(1, END_STREAM, ":status 204"))], &["1< begins", "1< 204  Http2", "1< ends Complete"]);
    }

    #[test]
    fn reads_trailers_of_requests() {
        dialogue(
            &[Up(&headers(1, 0, GET)), Up(&headers(1, END_STREAM, ":path no\nx-sum 1"))],
            &["1> begins", "1> GET https://a/ Http2", "1> trailers x-sum: 1;", "1> ends Complete"],
        );
    }

    #[test]
    fn skips_interim_responses() {
        after_get(
            &[
                Down(&headers(1, 0, ":status 100")),
                Down(&headers(1, 0, ":status 103\nlink x")),
                Down(&headers(1, END_STREAM, ":status 200")),
            ],
            &["1< begins", "1< begins", "1< begins", "1< 200  Http2", "1< ends Complete"],
        );
    }

    #[test]
    fn removes_padding_and_priority() {
        let request = [&[3, 0x80, 0, 0, 0, 7][..], &block(GET), &[0; 3]].concat();
        dialogue(
            &[
                Up(&frame(0x1, END_HEADERS | PADDED | PRIORITY, 1, &request)),
                Up(&data(1, PADDED, b"\x04body\0\0\0\0")),
                Up(&data(1, PADDED | END_STREAM, b"\0")),
            ],
            &["1> begins", "1> GET https://a/ Http2", "1> | body", "1> ends Complete"],
        );
    }

    #[test]
    fn joins_a_field_block_of_many_frames() {
        let fields = block(GET);
        let mut bytes = frame(0x1, END_STREAM, 1, b"");
        for byte in fields.chunks(1) {
            bytes.extend(frame(0x9, 0, 1, byte));
            bytes.extend(frame(0x9, 0, 1, b""));
        }
        bytes.extend(frame(0x9, END_HEADERS, 1, b""));
        dialogue(&[Up(&bytes)], &["1> begins", "1> GET https://a/ Http2", "1> ends Complete"]);
    }

    #[test]
    fn joins_cookies() {
        dialogue(
            &[Up(&headers(1, 0, "x y\ncookie a=1\nz w\ncookie b=2\n:method GET"))],
            &["1> begins", "1> GET  Http2 x: y; cookie: a=1; b=2; z: w;"],
        );
    }

    #[test]
    fn the_tunnel_of_a_connect_is_a_body() {
        dialogue(
            &[
                Up(&headers(1, 0, ":method CONNECT\n:authority b:22")),
                Down(&headers(1, 0, ":status 200")),
                Up(&data(1, 0, b"SSH")),
                Down(&data(1, END_STREAM, b"SSH")),
            ],
            &[
                "1> begins",
                "1> CONNECT b:22b:22 Http2",
                "1< begins",
                "1< 200  Http2",
                "1> | SSH",
                "1< | SSH",
                "1< ends Complete",
            ],
        );
    }

    #[test]
    fn ignores_irrelevant_and_unknown_frames() {
        after_get(
            &[
                Down(&frame(0x6, 0, 0, b"pingpong")),
                Up(&frame(0x8, 0, 1, b"\0\0\x10\0")),
                Up(&frame(0x2, 0, 99, b"\0\0\0\0\x01")),
                Down(&frame(0xfe, 0xff, 1, b"extension")),
                Down(&headers(1, END_STREAM, ":status 200\n:new x\na b")),
            ],
            &["1< begins", "1< 200  Http2 a: b;", "1< ends Complete"],
        );
    }
}

mod streams {
    use super::*;

    #[test]
    fn streams_may_interleave() {
        dialogue(
            &[
                Up(&headers(1, 0, GET)),
                Up(&headers(3, END_STREAM, GET)),
                Up(&data(1, 0, b"a")),
                Down(&headers(3, 0, ":status 200")),
                Down(&headers(1, 0, ":status 201")),
                Down(&data(3, 0, b"three")),
                Down(&data(1, END_STREAM, b"one")),
                Down(&data(3, END_STREAM, b"!")),
                Up(&data(1, END_STREAM, b"b")),
            ],
            &[
                "1> begins",
                "1> GET https://a/ Http2",
                "3> begins",
                "3> GET https://a/ Http2",
                "3> ends Complete",
                "1> | a",
                "3< begins",
                "3< 200  Http2",
                "1< begins",
                "1< 201  Http2",
                "3< | three",
                "1< | one",
                "1< ends Complete",
                "3< | !",
                "3< ends Complete",
                "1> | b",
                "1> ends Complete",
            ],
        );
    }

    #[test]
    fn a_push_promise_is_an_exchange() {
        after_get(
            &[
                Down(&push_promise(1, 2, ":method GET\n:scheme https\n:authority a\n:path /style.css")),
                Down(&headers(1, END_STREAM, ":status 200")),
                Down(&headers(2, 0, ":status 200")),
                Down(&data(2, END_STREAM, b"css")),
                Down(&push_promise(1, 4, GET)),
                Up(&reset(4, 8)),
            ],
            &[
                "2> begins",
                "2> GET https://a/style.css Http2",
                "2> ends Complete",
                "1< begins",
                "1< 200  Http2",
                "1< ends Complete",
                "2< begins",
                "2< 200  Http2",
                "2< | css",
                "2< ends Complete",
                "4> begins",
                "4> GET https://a/ Http2",
                "4> ends Complete",
                "4< ends Truncated(Abandoned)",
            ],
        );
    }

    #[test]
    fn a_reset_ends_both_directions() {
        after_get(
            &[Down(&headers(1, 0, ":status 200")), Down(&data(1, 0, b"so")), Down(&reset(1, 2))],
            &["1< begins", "1< 200  Http2", "1< | so", "1< ends Truncated(Reset)"],
        );
        after_get(&[Down(&reset(1, 7))], &["1< ends Truncated(Reset)"]);
        after_get(&[Up(&reset(1, 8)), Down(&reset(1, 8)), Up(&reset(9, 8))], &["1< ends Truncated(Abandoned)"]);
        let request_events = ["1> begins", "1> GET https://a/ Http2"];
        dialogue(
            &[Up(&headers(1, 0, GET)), Up(&reset(1, 8))],
            &[&request_events[..], &["1> ends Truncated(Reset)", "1< ends Truncated(Abandoned)"]].concat(),
        );
        // A response that does not need the rest of the request (RFC 9113 section 8.1).
        dialogue(
            &[Up(&headers(1, 0, GET)), Down(&headers(1, END_STREAM, ":status 413")), Down(&reset(1, 0))],
            &[&request_events[..], &["1< begins", "1< 413  Http2", "1< ends Complete", "1> ends Truncated(Abandoned)"]]
                .concat(),
        );
    }

    #[test]
    fn frames_after_a_reset_are_ignored_but_decoded() {
        // Adds "x: y" to the dynamic table of the direction down, where a later block refers to it.
        let block = [b"\x88".to_vec(), b"\x40\x01x\x01y".to_vec()].concat();
        after_get(
            &[
                Up(&reset(1, 8)),
                Down(&frame(0x1, END_HEADERS, 1, &block)),
                Down(&data(1, END_STREAM, b"late")),
                Up(&headers(3, END_STREAM, GET)),
                Down(&frame(0x1, END_HEADERS | END_STREAM, 3, b"\x88\xbe")),
            ],
            &[
                "1< ends Truncated(Abandoned)",
                "3> begins",
                "3> GET https://a/ Http2",
                "3> ends Complete",
                "3< begins",
                "3< 200  Http2 x: y;",
                "3< ends Complete",
            ],
        );
    }

    #[test]
    fn goaway_truncates_the_streams_above() {
        after_get(
            &[
                Up(&headers(3, 0, GET)),
                Down(&goaway(0x7fff_ffff)),
                Down(&goaway(1)),
                Up(&headers(5, END_STREAM, GET)),
                Down(&headers(1, END_STREAM, ":status 200")),
            ],
            &[
                "3> begins",
                "3> GET https://a/ Http2",
                "3< ends Truncated(Reset)",
                "3> ends Truncated(Abandoned)",
                "5> begins",
                "5> GET https://a/ Http2",
                "5< ends Truncated(Reset)",
                "5> ends Truncated(Abandoned)",
                "1< begins",
                "1< 200  Http2",
                "1< ends Complete",
            ],
        );
    }

    #[test]
    fn the_end_of_the_connection_ends_all_streams() {
        after_get(
            &[
                Up(&headers(3, 0, GET)),
                Down(&headers(1, 0, ":status 200")),
                End(Dir::Down, Ending::Truncated),
                Up(&headers(5, END_STREAM, GET)),
                End(Dir::Up, Ending::Abandoned),
            ],
            &[
                "3> begins",
                "3> GET https://a/ Http2",
                "1< begins",
                "1< 200  Http2",
                "1< ends Truncated(Truncated)",
                "3< ends Truncated(Truncated)",
                "5> begins",
                "5> GET https://a/ Http2",
                "5< ends Truncated(Truncated)",
                "5> ends Complete",
                "3> ends Truncated(Abandoned)",
            ],
        );
    }

    #[test]
    fn an_invalid_exchange_does_not_affect_others() {
        let assert_isolated = |bytes: &[u8], lines: &[&str]| {
            let next = ["3> begins", "3> GET https://a/ Http2", "3> ends Complete", "3< begins", "3< 200  Http2"];
            after_get(
                &[Down(bytes), Up(&headers(3, END_STREAM, GET)), Down(&headers(3, END_STREAM, ":status 200"))],
                &[lines, &next, &["3< ends Complete"]].concat(),
            );
        };
        assert_isolated(&data(1, 0, b"body"), &["1< ends Opaque"]);
        assert_isolated(&data(1, END_STREAM, b""), &["1< ends Opaque"]);
        assert_isolated(&headers(1, END_STREAM, "no status"), &["1< begins", "1< ends Opaque"]);
        assert_isolated(&headers(1, END_STREAM, ":status 103"), &["1< begins", "1< ends Opaque"]);
        let twice = [headers(1, 0, ":status 200"), headers(1, 0, ":status 200")].concat();
        assert_isolated(&twice, &["1< begins", "1< 200  Http2", "1< ends Opaque"]);
    }

    #[test]
    fn no_state_remains_of_ended_streams() {
        let mut tap = Http2Tap::new();
        tap.data(Dir::Up, PREFACE, &mut |_| ());
        let mut ends = 0;
        for id in (1..=40_001).step_by(2) {
            tap.data(Dir::Up, &headers(id, END_STREAM, GET), &mut |event| ends += u32::from(is_end(&event)));
            assert!(!tap.is_empty());
            let answer = [headers(id, 0, ":status 200"), data(id, END_STREAM, b"x")].concat();
            tap.data(Dir::Down, &answer, &mut |event| ends += u32::from(is_end(&event)));
            assert!(tap.is_empty());
        }
        assert_eq!(ends, 2 * 20_001);
    }

    fn is_end(event: &Event<'_>) -> bool {
        matches!(event, Event::End { .. })
    }
}

mod websockets {
    use super::*;

    const CONNECT: &str = ":method CONNECT\n:protocol websocket\n:scheme https\n:authority a\n:path /chat";

    #[test]
    fn several_on_one_connection() {
        dialogue(
            &[
                Up(&headers(1, 0, CONNECT)),
                Up(&headers(3, 0, CONNECT)),
                Down(&headers(1, 0, ":status 200\nsec-websocket-protocol chat")),
                Down(&headers(3, 0, ":status 200")),
                Up(&data(1, 0, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f")),
                Down(&data(3, 0, b"\x82\x03t")),
                Up(&data(1, 0, b"\x4d\x51\x58")),
                Down(&data(3, 0, b"wo")),
                Up(&data(1, END_STREAM, b"")),
                Down(&data(1, END_STREAM, b"\x88\x02\x03\xe8")),
                Up(&reset(3, 8)),
            ],
            &[
                "1> begins",
                "1> CONNECT https://a/chat Http2",
                "1> ends Complete",
                "3> begins",
                "3> CONNECT https://a/chat Http2",
                "3> ends Complete",
                "1< begins",
                "1< 200  Http2 sec-websocket-protocol: chat;",
                "1 socket Some(\"chat\")",
                "1< ends Complete",
                "3< begins",
                "3< 200  Http2",
                "3 socket None",
                "3< ends Complete",
                "1> message Text",
                "1> | He",
                "3< message Binary",
                "3< | t",
                "1> | llo",
                "1> message ends Complete",
                "3< | wo",
                "3< message ends Complete",
                "1< Close \\x03\\xe8",
                "1 socket ends",
                "3 socket ends",
            ],
        );
    }

    #[test]
    fn a_refused_request_is_an_exchange() {
        dialogue(
            &[
                Up(&headers(1, 0, CONNECT)),
                Down(&headers(1, 0, ":status 403")),
                Down(&data(1, END_STREAM, b"no")),
                Up(&data(1, END_STREAM, b"")),
            ],
            &[
                "1> begins",
                "1> CONNECT https://a/chat Http2",
                "1> ends Complete",
                "1< begins",
                "1< 403  Http2",
                "1< | no",
                "1< ends Complete",
            ],
        );
    }

    #[test]
    fn a_malformed_websocket_does_not_affect_the_connection() {
        dialogue(
            &[
                Up(&headers(1, 0, CONNECT)),
                Down(&headers(1, 0, ":status 200")),
                Up(&data(1, 0, b"\x01\x01a")),
                Down(&data(1, 0, b"\x83\0more")),
                Up(&data(1, 0, b"more")),
                Up(&headers(3, END_STREAM, GET)),
                End(Dir::Up, Ending::Clean),
                End(Dir::Down, Ending::Clean),
            ],
            &[
                "1> begins",
                "1> CONNECT https://a/chat Http2",
                "1> ends Complete",
                "1< begins",
                "1< 200  Http2",
                "1 socket None",
                "1< ends Complete",
                "1> message Text",
                "1> | a",
                "1> message ends Opaque",
                "1 socket ends",
                "3> begins",
                "3> GET https://a/ Http2",
                "3> ends Complete",
                "3< ends Truncated(Clean)",
            ],
        );
    }

    #[test]
    fn an_opaque_connection_ends_open_messages() {
        dialogue(
            &[
                Up(&headers(1, 0, CONNECT)),
                Down(&headers(1, END_STREAM, ":status 200")),
                Up(&data(1, 0, b"\x01\x01a")),
                Up(&frame(0x9, 0, 1, b"")),
            ],
            &[
                "1> begins",
                "1> CONNECT https://a/chat Http2",
                "1> ends Complete",
                "1< begins",
                "1< 200  Http2",
                "1 socket None",
                "1< ends Complete",
                "1> message Text",
                "1> | a",
                "1> message ends Opaque",
                "1 socket ends",
                OPAQUE,
            ],
        );
    }
}

mod settings_frames {
    use super::*;

    const HEADER_TABLE_SIZE: u16 = 1;

    #[test]
    fn a_table_size_takes_effect_where_it_is_acknowledged() {
        let status = frame(0x1, END_HEADERS | END_STREAM, 1, b"\x3f\xe2\x1f\x88");
        let lines = ["1< begins", "1< 200  Http2", "1< ends Complete"];
        let announced = settings(&[(HEADER_TABLE_SIZE, 4097)]);
        // The first acknowledgement is for the settings at the start of the connection.
        let acknowledged = [acknowledge(), acknowledge(), status.clone()].concat();
        after_get(&[Up(&announced), Down(&acknowledged)], &lines);
        let early = [acknowledge(), status.clone()].concat();
        let hpack = ["1< begins", "1< ends Opaque", "opaque: a malformed HTTP/2 field block"];
        after_get(&[Up(&announced), Down(&early), Down(&acknowledge())], &hpack);
        // The origin's settings apply to the client's blocks.
        after_get(&[Down(&announced), Up(&acknowledge()), Up(&acknowledge()), Down(&status)], &hpack);
    }

    #[test]
    fn a_table_size_applies_to_the_client_too() {
        let get = frame(0x1, END_HEADERS | END_STREAM, 1, b"\x3f\xe2\x1f\x82\x84");
        let acknowledged = [acknowledge(), acknowledge(), get].concat();
        dialogue(
            &[Down(&settings(&[(HEADER_TABLE_SIZE, 4097)])), Up(&acknowledged)],
            &["1> begins", "1> GET / Http2", "1> ends Complete"],
        );
    }

    #[test]
    fn ignores_stray_acknowledgements() {
        dialogue(&[Down(&acknowledge().repeat(9)), Up(&acknowledge().repeat(9))], &[]);
    }

    #[test]
    fn accepts_larger_frames_if_announced() {
        let large = frame(0x1, END_HEADERS | END_STREAM, 1, &[&block(GET)[..], &b"\0\x01x\0".repeat(5000)].concat());
        let steps = [Up(PREFACE), Down(&settings(&[(5, 50_000)])), Up(&large)];
        let seen = events_in_any_pieces(Http2Tap::new, &steps);
        assert_eq!(seen.len(), 3);
        assert_eq!(seen[1].matches(" x: ;").count(), 5000);
        let steps = [Up(PREFACE), Up(&settings(&[(5, 50_000)])), Up(&large)];
        assert_eq!(events_in_any_pieces(Http2Tap::new, &steps), [OPAQUE]);
    }
}

mod opaque {
    use super::*;

    #[test]
    fn without_a_preface() {
        for up in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\t"] {
            assert_eq!(events_in_any_pieces(Http2Tap::new, &[Up(up), Down(b"HTTP/1.1 200 OK\r\n\r\n")]), [OPAQUE]);
        }
        let steps = [Up(PREFACE), Down(b"HTTP/1.1 400 Bad Request\r\n\r\n"), End(Dir::Down, Ending::Clean)];
        assert_eq!(events_in_any_pieces(Http2Tap::new, &steps), [OPAQUE]);
    }

    #[test]
    fn an_invalid_frame_ends_all_streams() {
        let up: &[(&str, Vec<u8>)] = &[
            ("a stream id of the origin", headers(2, 0, GET)),
            ("data on no stream", data(3, 0, b"x")),
            ("a push promise by the client", push_promise(1, 2, GET)),
            ("a continuation without a field block", frame(0x9, 0, 1, b"")),
            ("a frame within a field block", [frame(0x1, 0, 1, b""), frame(0x6, 0, 0, &[0; 8])].concat()),
            ("a continuation of another stream", [frame(0x1, 0, 1, b""), frame(0x9, 0, 3, b"")].concat()),
            ("an incomplete setting", frame(0x4, 0, 0, b"\0")),
            ("more padding than frame", data(1, PADDED, b"\x01")),
        ];
        let down: &[(&str, Vec<u8>)] = &[
            ("a response without a request", headers(3, 0, ":status 200")),
            ("a response without a push promise", headers(2, 0, ":status 200")),
            ("a push promise with a stream id of the client", push_promise(1, 3, GET)),
            ("a push promise of stream 0", push_promise(1, 0, GET)),
            ("a push promise without a stream id", frame(0x5, END_HEADERS, 1, b"\0\0")),
            ("a frame of another protocol", b"SSH-2.0-OpenSSH".to_vec()),
        ];
        let ups = up.iter().map(|(what, bytes)| (what, Up(bytes)));
        for (what, step) in ups.chain(down.iter().map(|(what, bytes)| (what, Down(bytes)))) {
            let steps = [
                Up(PREFACE),
                Up(&headers(1, 0, GET)),
                step,
                Up(&headers(5, END_STREAM, GET)),
                Down(&headers(1, END_STREAM, ":status 200")),
                End(Dir::Up, Ending::Clean),
            ];
            let lines = ["1> begins", "1> GET https://a/ Http2", "1> ends Opaque", "1< ends Opaque", OPAQUE];
            assert_eq!(events_in_any_pieces(Http2Tap::new, &steps), lines, "{what}");
        }
    }

    #[test]
    fn an_invalid_field_block() {
        after_get(
            &[Down(&frame(0x1, END_HEADERS, 1, b"\x3f")), Down(&headers(1, END_STREAM, ":status 200"))],
            &["1< begins", "1< ends Opaque", "opaque: a malformed HTTP/2 field block"],
        );
    }

    #[test]
    fn limits() {
        const LIMIT_EXCEEDED: &str = "opaque: an exceeded limit (head size, chunk line length or number of exchanges)";
        let flood = [frame(0x1, 0, 1, b""), frame(0x9, 0, 1, &[0x88; 16_000]).repeat(17)].concat();
        let last_event = |bytes: &[u8]| {
            let (mut tap, mut last) = (Http2Tap::new(), String::new());
            tap.data(Dir::Up, PREFACE, &mut |_| ());
            tap.data(Dir::Up, bytes, &mut |event| last = format!("{event:?}"));
            last
        };
        dialogue(&[Up(&flood)], &["1> begins", LIMIT_EXCEEDED]);
        assert_eq!(last_event(&settings(&[]).repeat(1001)), "Opaque { why: LimitExceeded }");
        assert_ne!(last_event(&settings(&[]).repeat(1000)), "Opaque { why: LimitExceeded }");
        let requests = |count: u32| (0..count).flat_map(|i| headers(2 * i + 1, 0, GET)).collect::<Vec<_>>();
        assert!(last_event(&requests(10_000)).contains("Request"));
        assert_eq!(last_event(&requests(10_001)), "Opaque { why: LimitExceeded }");
        // A field of 4000 bytes, repeated sixty times in each of many open requests.
        let indexed = [&b"\x40\x01a\x7f\xa0\x1e"[..], &[b'x'; 3999]].concat();
        let mut bombs = frame(0x1, END_HEADERS, 1, &indexed);
        bombs.extend((1..400).flat_map(|i| frame(0x1, END_HEADERS, 2 * i + 1, &[0xbe; 60])));
        assert_eq!(last_event(&bombs), "Opaque { why: LimitExceeded }");
    }
}

mod upgraded {
    use super::*;

    #[test]
    fn the_first_stream_answers_the_http_1_request() {
        // The settings set the table size to 0, so the first block must not increase it.
        let tap = || Http2Tap::upgraded(ExchangeId(6), Some(b"AAEAAAAA"));
        let lines = ["6< begins", "6< 200  Http2", "6< | hi", "6< ends Complete"];
        let answer = [headers(1, 0, ":status 200"), data(1, END_STREAM, b"hi")].concat();
        let steps = [Down(&settings(&[])), Up(PREFACE), Down(&answer), Up(&headers(3, END_STREAM, GET))];
        let next = ["8> begins", "8> GET https://a/ Http2", "8> ends Complete"];
        assert_eq!(events_in_any_pieces(tap, &steps), [&lines[..], &next].concat());
        let steps = [Down(&frame(0x1, END_HEADERS, 1, b"\x21\x88"))];
        let lines = ["6< begins", "6< ends Opaque", "opaque: a malformed HTTP/2 field block"];
        assert_eq!(events_in_any_pieces(tap, &steps), lines);
    }

    #[test]
    fn ends_with_the_connection() {
        let tap = || Http2Tap::upgraded(ExchangeId(0), None);
        assert_eq!(events_in_any_pieces(tap, &[End(Dir::Down, Ending::Reset)]), ["0< ends Truncated(Reset)"]);
    }
}

/// Recorded connections of real peers (`>` and `<`), followed by the expected events (`=`).
mod recorded {
    use super::*;
    use crate::wire::tap::testing::events;

    #[track_caller]
    fn assert_recorded(text: &str) {
        let lines = |marks: &'static [&str]| {
            text.lines().filter_map(move |line| line.split_once(' ').filter(|(mark, _)| marks.contains(mark)))
        };
        let sent: Vec<_> = lines(&[">", "<"]).map(|(mark, hex)| (mark, from_hex(hex))).collect();
        let mut steps: Vec<_> =
            sent.iter().map(|(mark, bytes)| if *mark == ">" { Up(bytes) } else { Down(bytes) }).collect();
        steps.extend([End(Dir::Up, Ending::Clean), End(Dir::Down, Ending::Clean)]);
        let expected: Vec<_> = lines(&["="]).map(|(_, line)| line).collect();
        assert_eq!(events_in_any_pieces(Http2Tap::new, &steps), expected);
        let mut sizes = [1, 60, 2, 9, 300].into_iter().cycle();
        assert_eq!(events(&mut Http2Tap::new(), &steps, || sizes.next().unwrap()), expected);
    }

    #[test]
    fn curl_and_python() {
        assert_recorded(include_str!("../../../tests/data/http2/curl.txt"));
    }

    #[test]
    fn nghttp2_client_and_server() {
        assert_recorded(include_str!("../../../tests/data/http2/nghttp2.txt"));
    }
}
