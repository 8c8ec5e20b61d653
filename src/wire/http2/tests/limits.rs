//! Limits end the messages that exceed them. The connection is still read, and its compression state stays correct.

use super::*;

/// Returns the frames of a field block of about 320 KB: `fields`, then 80 fields of 4 KB, then `x: y` with indexing.
fn long_head(stream: u32, flags: u8, fields: &str) -> Vec<u8> {
    let filler = format!("filler {}", "f".repeat(4000));
    let block = [block(fields), block(&filler).repeat(80), b"\x40\x01x\x01y".to_vec()].concat();
    let mut pieces: Vec<_> = block.chunks(16_000).collect();
    let (first, last) = (pieces.remove(0), pieces.pop().unwrap());
    let middle = pieces.into_iter().flat_map(|piece| frame(0x9, 0, stream, piece)).collect();
    [frame(0x1, flags, stream, first), middle, frame(0x9, END_HEADERS, stream, last)].concat()
}

/// Returns the lines with fields of 4 KB replaced by their number.
fn short(lines: Vec<String>) -> Vec<String> {
    let filler = format!(" filler: {};", "f".repeat(4000));
    let short = |line: String| match line.matches(&filler).count() {
        0 => line,
        count => line.replace(&filler, "") + &format!(" and {count} fillers"),
    };
    lines.into_iter().map(short).collect()
}

#[test]
fn a_request_head_above_the_limit_gets_its_response() {
    let steps = [
        Up(PREFACE),
        Up(&long_head(1, 0, GET)),
        Up(&data(1, END_STREAM, b"body")),
        Down(&[headers(1, 0, ":status 431"), data(1, END_STREAM, b"too long")].concat()),
        // The dynamic table is right.
        Up(&frame(0x1, END_HEADERS | END_STREAM, 3, &[&block(GET)[..], b"\xbe"].concat())),
        Down(&headers(3, END_STREAM, ":status 200")),
    ];
    let lines = short(events_in_any_pieces(Http2Tap::new, &steps));
    let expected = [
        "1> begins",
        "1> GET https://a/ Http2 x: y; and 64 fillers",
        LIMIT_EXCEEDED,
        "1> | body",
        "1> ends Opaque",
        "1< begins",
        "1< 431  Http2",
        "1< | too long",
        "1< ends Complete",
        "3> begins",
        "3> GET https://a/ Http2 x: y;",
        "3> ends Complete",
        "3< begins",
        "3< 200  Http2",
        "3< ends Complete",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_response_head_and_trailers_above_the_limit() {
    for (response, lines) in [
        (
            [long_head(1, 0, ":status 200"), data(1, END_STREAM, b"body")].concat(),
            [&["1< 200  Http2 x: y; and 64 fillers", LIMIT_EXCEEDED, "1< | body", "1< ends Opaque"][..]].concat(),
        ),
        (
            [headers(1, 0, ":status 200"), data(1, 0, b"body"), long_head(1, END_STREAM, "")].concat(),
            [&["1< 200  Http2", "1< | body", "1< trailers x: y; and 64 fillers", LIMIT_EXCEEDED, "1< ends Opaque"][..]]
                .concat(),
        ),
    ] {
        let last = frame(0x1, END_HEADERS | END_STREAM, 3, b"\x88\xbe");
        let steps = [
            Up(PREFACE),
            Up(&headers(1, END_STREAM, GET)),
            Down(&response),
            Up(&headers(3, END_STREAM, GET)),
            Down(&last),
        ];
        let seen = short(events_in_any_pieces(Http2Tap::new, &steps));
        let last = ["3> begins", "3> GET https://a/ Http2", "3> ends Complete"];
        let expected = [
            &["1> begins", "1> GET https://a/ Http2", "1> ends Complete", "1< begins"][..],
            &lines,
            &last,
            &["3< begins", "3< 200  Http2 x: y;", "3< ends Complete"],
        ];
        assert_eq!(seen, expected.concat());
    }
}

#[test]
fn an_endless_head_gets_its_response() {
    let (mut tap, mut lines) = (Http2Tap::new(), Vec::new());
    let steps = [Up(PREFACE), Up(&frame(0x1, END_STREAM, 1, &block(GET)))];
    lines.extend(crate::wire::tap::testing::events(&mut tap, &steps, || 0));
    let filler = frame(0x9, 0, 1, &block(&format!("filler {}", "f".repeat(4000))).repeat(4));
    for _ in 0..1000 {
        tap.data(Dir::Up, &filler, &mut |event| panic!("{event:?}"));
    }
    let steps = [
        Down(&[headers(1, 0, ":status 431"), data(1, END_STREAM, b"enough")].concat()),
        Up(&filler),
        Down(&reset(1, 0)),
        Up(&headers(3, END_STREAM, GET)),
    ];
    lines.extend(crate::wire::tap::testing::events(&mut tap, &steps, || 0));
    let expected = [
        "1> begins",
        "1> GET https://a/ Http2 and 64 fillers",
        LIMIT_EXCEEDED,
        "1< begins",
        "1< 431  Http2",
        "1< | enough",
        "1< ends Complete",
        "1> ends Reset by the origin: NO_ERROR",
        // Its next frame interrupts the field block.
        OPAQUE,
    ];
    assert_eq!(short(lines), expected);
}

#[test]
fn an_incomplete_request_that_the_origin_refuses_is_reported() {
    let request = ["1> begins", "1> GET https://a/ Http2"];
    let half = frame(0x1, END_STREAM, 1, &[&block(GET)[..], b"\0\x05x-"].concat());
    for (refusal, code) in [(reset(1, 11), "ENHANCE_YOUR_CALM"), (goaway(0), "REFUSED_STREAM")] {
        let end = format!("Reset by the origin: {code}");
        let lines = [request[0], request[1], &format!("1< ends {end}"), &format!("1> ends {end}")];
        dialogue(&[Up(&half), Down(&refusal), Up(&frame(0x9, END_HEADERS, 1, b"abc\0"))], &lines);
    }
    let end = End(Dir::Up, Ending::Reset);
    dialogue(&[Up(&half), end], &[request[0], request[1], "1> ends Truncated(Reset)"]);
    // After the end of the other direction, the rest of the head may still arrive.
    let unanswered = "1< ends Truncated(Reset)";
    let (down, rest) = (End(Dir::Down, Ending::Reset), Up(&frame(0x9, END_HEADERS, 1, b"abc\x01y")));
    let whole = [request[0], "1> GET https://a/ Http2 x-abc: y;", unanswered, "1> ends Complete"];
    dialogue(&[Up(&half), down, rest], &whole);
    dialogue(&[Up(&half), down, end], &[request[0], request[1], unanswered, "1> ends Truncated(Reset)"]);
    // The fields after a misplaced frame of the origin are omitted.
    let lines = [request[0], request[1], LIMIT_EXCEEDED, "1< ends Opaque", MISPLACED, "1> ends Opaque"];
    dialogue(&[Up(&half), Down(&data(1, 0, b"x")), rest], &lines);
    // Without a method it is not a request yet.
    dialogue(&[Up(&frame(0x1, 0, 1, b"\x84")), End(Dir::Up, Ending::Clean)], &["1> begins"]);
}

#[test]
fn a_stream_too_many_is_reported_without_its_response() {
    let mut tap = Http2Tap::new();
    let mut last = Vec::new();
    let mut send = |dir: Dir, bytes: &[u8]| {
        last.clear();
        tap.data(dir, bytes, &mut |event| last.push(format!("{event:?}")));
        last.clone()
    };
    send(Dir::Up, PREFACE);
    let requests = |ids: std::ops::Range<u32>| ids.flat_map(|i| headers(2 * i + 1, 0, GET)).collect::<Vec<_>>();
    assert!(send(Dir::Up, &requests(0..10_000)).last().unwrap().contains("Request"));
    let refused = send(Dir::Up, &requests(10_000..10_001));
    assert_eq!(refused.len(), 5);
    assert!(refused[1].contains("Request"));
    assert!(refused[2].contains("dir: Up, how: Opaque(StreamLimit)"), "{}", refused[2]);
    assert!(refused[3].contains("dir: Down, how: Opaque(StreamLimit)"), "{}", refused[3]);
    assert_eq!(refused[4], "Opaque { cause: StreamLimit }");
    assert_eq!(send(Dir::Down, &headers(20_001, END_STREAM, ":status 200")), [""; 0]);
    // After the end of another one there is space again.
    send(Dir::Up, &reset(1, 8));
    assert_eq!(send(Dir::Up, &requests(10_001..10_002)).len(), 2);
}

#[test]
fn fields_too_large_in_total_end_the_last_stream() {
    let (mut tap, mut last) = (Http2Tap::new(), String::new());
    tap.data(Dir::Up, PREFACE, &mut |_| ());
    let mut send = |bytes: &[u8]| {
        tap.data(Dir::Up, bytes, &mut |event| last = format!("{event:?}"));
        last.clone()
    };
    // A field of 4000 bytes, repeated sixty times in each of many open requests.
    let indexed = [&b"\x40\x01a\x7f\xa0\x1e"[..], &[b'x'; 3999]].concat();
    send(&frame(0x1, END_HEADERS, 1, &indexed));
    let requests = |ids: std::ops::Range<u32>| {
        ids.flat_map(|i| frame(0x1, END_HEADERS, 2 * i + 1, &[0xbe; 60])).collect::<Vec<_>>()
    };
    assert_eq!(send(&requests(1..400)), "Opaque { cause: StreamLimit }");
    // A small one still fits.
    assert!(send(&headers(801, 0, GET)).contains("Request"));
}

#[test]
fn a_flood_of_settings_only_ends_the_check_of_table_sizes() {
    let get = frame(0x1, END_HEADERS | END_STREAM, 1, &[b"\x3f\xe2\x1f", &block(GET)[..]].concat());
    let lines = ["1> begins", "1> GET https://a/ Http2", "1> ends Complete"];
    dialogue(&[Down(&settings(&[]).repeat(2000)), Up(&acknowledge().repeat(2000)), Up(&get)], &lines);
    let lines = ["1> begins", "opaque: a malformed HTTP/2 field block"];
    dialogue(&[Down(&settings(&[]).repeat(900)), Up(&acknowledge().repeat(900)), Up(&get)], &lines);
}
