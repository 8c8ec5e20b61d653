//! Dialogues with the tap, one for each thing that connections do. Each is shown whole and in pieces of several sizes.

use super::Http2Tap;
use super::testing::*;
use crate::wire::tap::testing::DialogueStep::{self, Down, End, Up};
use crate::wire::tap::testing::seen_however_cut;
use crate::wire::tap::{Dir, Ending, Event, ExchangeId, Tap};

/// What is seen after the client's preface.
#[track_caller]
fn dialogue(steps: &[DialogueStep<'_>], lines: &[&str]) {
    let settings = settings(&[]);
    let steps = [&[Up(PREFACE), Up(&settings), Down(&settings)], steps].concat();
    assert_eq!(seen_however_cut(Http2Tap::new, &steps), lines);
}

/// The same, where stream 1 was opened by a `GET`, whose lines are left out.
#[track_caller]
fn after_get(steps: &[DialogueStep<'_>], lines: &[&str]) {
    let get = headers(1, END_STREAM, GET);
    let asked = ["1> begins", "1> GET https://a/ Http2", "1> ends Complete"];
    dialogue(&[&[Up(&get)], steps].concat(), &[&asked, lines].concat());
}

const OPAQUE: &str = "opaque: malformed HTTP/2 framing";

mod messages {
    use super::*;

    #[test]
    fn bodies_and_trailers() {
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
    fn an_end_of_its_own() {
        after_get(
            &[Down(&headers(1, 0, ":status 200")), Down(&data(1, 0, b"")), Down(&data(1, END_STREAM, b""))],
            &["1< begins", "1< 200  Http2", "1< ends Complete"],
        );
        after_get(&[Down(&headers(1, END_STREAM, ":status 204"))], &["1< begins", "1< 204  Http2", "1< ends Complete"]);
    }

    #[test]
    fn requests_trailers() {
        dialogue(
            &[Up(&headers(1, 0, GET)), Up(&headers(1, END_STREAM, ":path no\nx-sum 1"))],
            &["1> begins", "1> GET https://a/ Http2", "1> trailers x-sum: 1;", "1> ends Complete"],
        );
    }

    #[test]
    fn interim_answers() {
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
    fn padding_and_priority() {
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
    fn a_head_in_many_frames() {
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
    fn cookies_are_joined() {
        dialogue(
            &[Up(&headers(1, 0, "x y\ncookie a=1\nz w\ncookie b=2\n:method GET"))],
            &["1> begins", "1> GET  Http2 x: y; cookie: a=1; b=2; z: w;"],
        );
    }

    #[test]
    fn what_connect_opens_is_a_body() {
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
    fn what_nobody_knows_passes() {
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
    fn many_at_once_in_any_order() {
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
    fn a_promise_is_an_exchange() {
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
    fn a_reset_ends_what_is_open() {
        after_get(
            &[Down(&headers(1, 0, ":status 200")), Down(&data(1, 0, b"so")), Down(&reset(1, 2))],
            &["1< begins", "1< 200  Http2", "1< | so", "1< ends Truncated(Reset)"],
        );
        after_get(&[Down(&reset(1, 7))], &["1< ends Truncated(Reset)"]);
        after_get(&[Up(&reset(1, 8)), Down(&reset(1, 8)), Up(&reset(9, 8))], &["1< ends Truncated(Abandoned)"]);
        let asked = ["1> begins", "1> GET https://a/ Http2"];
        dialogue(
            &[Up(&headers(1, 0, GET)), Up(&reset(1, 8))],
            &[&asked[..], &["1> ends Truncated(Reset)", "1< ends Truncated(Abandoned)"]].concat(),
        );
        // An answer that needs no more of the request (RFC 9113 section 8.1).
        dialogue(
            &[Up(&headers(1, 0, GET)), Down(&headers(1, END_STREAM, ":status 413")), Down(&reset(1, 0))],
            &[&asked[..], &["1< begins", "1< 413  Http2", "1< ends Complete", "1> ends Truncated(Abandoned)"]].concat(),
        );
    }

    #[test]
    fn what_travels_while_a_stream_is_reset_is_nobodys_but_the_table_learns() {
        // "x: y" into the table of the way down, and out of it.
        let learned = [b"\x88".to_vec(), b"\x40\x01x\x01y".to_vec()].concat();
        after_get(
            &[
                Up(&reset(1, 8)),
                Down(&frame(0x1, END_HEADERS, 1, &learned)),
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
    fn going_away_cuts_what_is_above() {
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
    fn the_end_of_the_connection_ends_all() {
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
    fn an_exchange_that_makes_no_sense_ends_alone() {
        let alone = |bytes: &[u8], lines: &[&str]| {
            let next = ["3> begins", "3> GET https://a/ Http2", "3> ends Complete", "3< begins", "3< 200  Http2"];
            after_get(
                &[Down(bytes), Up(&headers(3, END_STREAM, GET)), Down(&headers(3, END_STREAM, ":status 200"))],
                &[lines, &next, &["3< ends Complete"]].concat(),
            );
        };
        alone(&data(1, 0, b"body"), &["1< ends Opaque"]);
        alone(&data(1, END_STREAM, b""), &["1< ends Opaque"]);
        alone(&headers(1, END_STREAM, "no status"), &["1< begins", "1< ends Opaque"]);
        alone(&headers(1, END_STREAM, ":status 103"), &["1< begins", "1< ends Opaque"]);
        let twice = [headers(1, 0, ":status 200"), headers(1, 0, ":status 200")].concat();
        alone(&twice, &["1< begins", "1< 200  Http2", "1< ends Opaque"]);
    }

    #[test]
    fn nothing_is_kept_of_what_is_over() {
        let mut tap = Http2Tap::new();
        tap.data(Dir::Up, PREFACE, &mut |_| ());
        let mut ends = 0;
        for id in (1..=40_001).step_by(2) {
            tap.data(Dir::Up, &headers(id, END_STREAM, GET), &mut |event| ends += u32::from(is_end(&event)));
            assert!(!tap.keeps_nothing());
            let answer = [headers(id, 0, ":status 200"), data(id, END_STREAM, b"x")].concat();
            tap.data(Dir::Down, &answer, &mut |event| ends += u32::from(is_end(&event)));
            assert!(tap.keeps_nothing());
        }
        assert_eq!(ends, 2 * 20_001);
    }

    fn is_end(event: &Event<'_>) -> bool {
        matches!(event, Event::End { .. })
    }
}

mod sockets {
    use super::*;

    const CONNECT: &str = ":method CONNECT\n:protocol websocket\n:scheme https\n:authority a\n:path /chat";

    #[test]
    fn many_on_one_connection() {
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
    fn refused() {
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
    fn a_malformed_one_leaves_the_connection_alone() {
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
    fn an_opaque_connection_ends_their_messages() {
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

mod settings_of_tables {
    use super::*;

    const TABLE: u16 = 1;

    #[test]
    fn take_effect_where_they_are_acknowledged() {
        let status = frame(0x1, END_HEADERS | END_STREAM, 1, b"\x3f\xe2\x1f\x88");
        let lines = ["1< begins", "1< 200  Http2", "1< ends Complete"];
        let announced = settings(&[(TABLE, 4097)]);
        // The first acknowledgement is of the settings that began the connection.
        let acknowledged = [acknowledge(), acknowledge(), status.clone()].concat();
        after_get(&[Up(&announced), Down(&acknowledged)], &lines);
        let early = [acknowledge(), status.clone()].concat();
        let hpack = ["1< begins", "1< ends Opaque", "opaque: a malformed HTTP/2 field block"];
        after_get(&[Up(&announced), Down(&early), Down(&acknowledge())], &hpack);
        // What the origin announced is for the client's blocks.
        after_get(&[Down(&announced), Up(&acknowledge()), Up(&acknowledge()), Down(&status)], &hpack);
    }

    #[test]
    fn bind_the_client_too() {
        let get = frame(0x1, END_HEADERS | END_STREAM, 1, b"\x3f\xe2\x1f\x82\x84");
        let acknowledged = [acknowledge(), acknowledge(), get].concat();
        dialogue(
            &[Down(&settings(&[(TABLE, 4097)])), Up(&acknowledged)],
            &["1> begins", "1> GET / Http2", "1> ends Complete"],
        );
    }

    #[test]
    fn a_stray_acknowledgement_is_nothing() {
        dialogue(&[Down(&acknowledge().repeat(9)), Up(&acknowledge().repeat(9))], &[]);
    }

    #[test]
    fn larger_frames_as_announced() {
        let large = frame(0x1, END_HEADERS | END_STREAM, 1, &[&block(GET)[..], &b"\0\x01x\0".repeat(5000)].concat());
        let steps = [Up(PREFACE), Down(&settings(&[(5, 50_000)])), Up(&large)];
        let seen = seen_however_cut(Http2Tap::new, &steps);
        assert_eq!(seen.len(), 3);
        assert_eq!(seen[1].matches(" x: ;").count(), 5000);
        let steps = [Up(PREFACE), Up(&settings(&[(5, 50_000)])), Up(&large)];
        assert_eq!(seen_however_cut(Http2Tap::new, &steps), [OPAQUE]);
    }
}

mod opaque {
    use super::*;

    #[test]
    fn without_its_preface() {
        for up in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\t"] {
            assert_eq!(seen_however_cut(Http2Tap::new, &[Up(up), Down(b"HTTP/1.1 200 OK\r\n\r\n")]), [OPAQUE]);
        }
        let steps = [Up(PREFACE), Down(b"HTTP/1.1 400 Bad Request\r\n\r\n"), End(Dir::Down, Ending::Clean)];
        assert_eq!(seen_however_cut(Http2Tap::new, &steps), [OPAQUE]);
    }

    #[test]
    fn what_makes_no_sense_ends_all_and_says_so_once() {
        let up: &[(&str, Vec<u8>)] = &[
            ("a stream of the origin's", headers(2, 0, GET)),
            ("data on no stream", data(3, 0, b"x")),
            ("a promise by the client", push_promise(1, 2, GET)),
            ("a continuation of nothing", frame(0x9, 0, 1, b"")),
            ("a frame within a head", [frame(0x1, 0, 1, b""), frame(0x6, 0, 0, &[0; 8])].concat()),
            ("another head within a head", [frame(0x1, 0, 1, b""), frame(0x9, 0, 3, b"")].concat()),
            ("half a setting", frame(0x4, 0, 0, b"\0")),
            ("more padding than frame", data(1, PADDED, b"\x01")),
        ];
        let down: &[(&str, Vec<u8>)] = &[
            ("an answer to nothing", headers(3, 0, ":status 200")),
            ("an answer on no promise", headers(2, 0, ":status 200")),
            ("a promise of a client's stream", push_promise(1, 3, GET)),
            ("a promise of stream 0", push_promise(1, 0, GET)),
            ("a promise without a stream", frame(0x5, END_HEADERS, 1, b"\0\0")),
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
            assert_eq!(seen_however_cut(Http2Tap::new, &steps), lines, "{what}");
        }
    }

    #[test]
    fn fields_that_do_not_decode() {
        after_get(
            &[Down(&frame(0x1, END_HEADERS, 1, b"\x3f")), Down(&headers(1, END_STREAM, ":status 200"))],
            &["1< begins", "1< ends Opaque", "opaque: a malformed HTTP/2 field block"],
        );
    }

    #[test]
    fn more_than_any_limit() {
        const TOO_LONG: &str = "opaque: an exceeded limit (head size, chunk line length or number of exchanges)";
        let flood = [frame(0x1, 0, 1, b""), frame(0x9, 0, 1, &[0x88; 16_000]).repeat(17)].concat();
        let last = |bytes: &[u8]| {
            let (mut tap, mut last) = (Http2Tap::new(), String::new());
            tap.data(Dir::Up, PREFACE, &mut |_| ());
            tap.data(Dir::Up, bytes, &mut |event| last = format!("{event:?}"));
            last
        };
        dialogue(&[Up(&flood)], &["1> begins", TOO_LONG]);
        assert_eq!(last(&settings(&[]).repeat(1001)), "Opaque { why: LimitExceeded }");
        assert_ne!(last(&settings(&[]).repeat(1000)), "Opaque { why: LimitExceeded }");
        let requests = |count: u32| (0..count).flat_map(|i| headers(2 * i + 1, 0, GET)).collect::<Vec<_>>();
        assert!(last(&requests(10_000)).contains("Request"));
        assert_eq!(last(&requests(10_001)), "Opaque { why: LimitExceeded }");
        // A field of 4000 bytes, sixty times in each of many requests that stay open.
        let learned = [&b"\x40\x01a\x7f\xa0\x1e"[..], &[b'x'; 3999]].concat();
        let mut bombs = frame(0x1, END_HEADERS, 1, &learned);
        bombs.extend((1..400).flat_map(|i| frame(0x1, END_HEADERS, 2 * i + 1, &[0xbe; 60])));
        assert_eq!(last(&bombs), "Opaque { why: LimitExceeded }");
    }
}

mod upgraded {
    use super::*;

    #[test]
    fn the_first_stream_answers_what_http_1_asked() {
        // A table of no bytes at all, so that the first block may not ask for more.
        let tap = || Http2Tap::upgraded(ExchangeId(6), Some(b"AAEAAAAA"));
        let lines = ["6< begins", "6< 200  Http2", "6< | hi", "6< ends Complete"];
        let answer = [headers(1, 0, ":status 200"), data(1, END_STREAM, b"hi")].concat();
        let steps = [Down(&settings(&[])), Up(PREFACE), Down(&answer), Up(&headers(3, END_STREAM, GET))];
        let next = ["8> begins", "8> GET https://a/ Http2", "8> ends Complete"];
        assert_eq!(seen_however_cut(tap, &steps), [&lines[..], &next].concat());
        let steps = [Down(&frame(0x1, END_HEADERS, 1, b"\x21\x88"))];
        let lines = ["6< begins", "6< ends Opaque", "opaque: a malformed HTTP/2 field block"];
        assert_eq!(seen_however_cut(tap, &steps), lines);
    }

    #[test]
    fn ends_with_the_connection() {
        let tap = || Http2Tap::upgraded(ExchangeId(0), None);
        assert_eq!(seen_however_cut(tap, &[End(Dir::Down, Ending::Reset)]), ["0< ends Truncated(Reset)"]);
    }
}

/// What real peers said to each other, and after it (`=`) what is seen of that.
mod recorded {
    use super::*;
    use crate::wire::tap::testing::seen;

    #[track_caller]
    fn conversation(text: &str) {
        let lines = |marks: &'static [&str]| {
            text.lines().filter_map(move |line| line.split_once(' ').filter(|(mark, _)| marks.contains(mark)))
        };
        let said: Vec<_> = lines(&[">", "<"]).map(|(mark, hex)| (mark, from_hex(hex))).collect();
        let mut steps: Vec<_> =
            said.iter().map(|(mark, said)| if *mark == ">" { Up(said) } else { Down(said) }).collect();
        steps.extend([End(Dir::Up, Ending::Clean), End(Dir::Down, Ending::Clean)]);
        let expected: Vec<_> = lines(&["="]).map(|(_, line)| line).collect();
        assert_eq!(seen_however_cut(Http2Tap::new, &steps), expected);
        let mut sizes = [1, 60, 2, 9, 300].into_iter().cycle();
        assert_eq!(seen(&mut Http2Tap::new(), &steps, || sizes.next().unwrap()), expected);
    }

    #[test]
    fn curl_and_python() {
        conversation(include_str!("../../../tests/data/http2/curl.txt"));
    }

    #[test]
    fn nghttp2_and_itself() {
        conversation(include_str!("../../../tests/data/http2/nghttp2.txt"));
    }
}
