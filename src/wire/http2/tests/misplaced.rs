//! Frames that are out of place end one direction of one stream, and are reported once.

use super::*;

/// The events of a GET on stream 3 that is answered.
const NEXT: [&str; 6] =
    ["3> begins", "3> GET https://a/ Http2", "3> ends Complete", "3< begins", "3< 200  Http2", "3< ends Complete"];

/// Asserts that `steps` on stream 1, after its `GET`, cause `lines` and have no effect on stream 3.
#[track_caller]
fn assert_isolated(steps: &[DialogueStep<'_>], lines: &[&str]) {
    let (get, response) = (headers(3, END_STREAM, GET), headers(3, END_STREAM, ":status 200"));
    after_get(&[steps, &[Up(&get), Down(&response)]].concat(), &[lines, &NEXT].concat());
}

#[test]
fn data_before_the_response() {
    assert_isolated(&[Down(&data(1, 0, b"body"))], &["1< ends Opaque", MISPLACED]);
    assert_isolated(&[Down(&data(1, END_STREAM, b""))], &["1< ends Opaque", MISPLACED]);
}

#[test]
fn a_response_without_a_final_status() {
    let lines = ["1< begins", "1< ends Opaque", MISPLACED];
    assert_isolated(&[Down(&headers(1, END_STREAM, "no status"))], &lines);
    assert_isolated(&[Down(&headers(1, END_STREAM, ":status 103"))], &lines);
}

#[test]
fn a_second_response() {
    let twice = [headers(1, 0, ":status 200"), headers(1, 0, ":status 200"), data(1, END_STREAM, b"x")].concat();
    assert_isolated(&[Down(&twice)], &["1< begins", "1< 200  Http2", "1< ends Opaque", MISPLACED]);
}

#[test]
fn a_message_after_the_end_of_the_stream() {
    let whole = headers(1, END_STREAM, ":status 200");
    let lines = ["1< begins", "1< 200  Http2", "1< ends Complete", MISPLACED];
    for late in [headers(1, 0, ":status 200"), headers(1, END_STREAM, "grpc-status 0"), data(1, 0, b"late")] {
        assert_isolated(&[Down(&whole), Down(&late), Down(&late), Down(&data(1, END_STREAM, b"!"))], &lines);
    }
    // By the client, before and after the response.
    let late = [data(1, 0, b"late"), headers(1, END_STREAM, "x y")].concat();
    assert_isolated(&[Up(&late), Down(&whole)], &[MISPLACED, lines[0], lines[1], lines[2]]);
    assert_isolated(&[Down(&whole), Up(&late)], &lines);
    // Frames other than HEADERS and DATA are allowed.
    let other = [frame(0x8, 0, 1, b"\0\0\0\x01"), frame(0x2, 0, 1, b"\0\0\0\0\x01"), reset(1, 0)].concat();
    assert_isolated(&[Down(&whole), Down(&other), Up(&other)], &lines[..3]);
}

#[test]
fn frames_that_cross_a_reset_are_not_reported() {
    let late = [headers(1, 0, ":status 200"), data(1, 0, b"late"), headers(1, END_STREAM, "grpc-status 0")].concat();
    assert_isolated(&[Up(&reset(1, 8)), Down(&late)], &["1< ends Reset by the client: CANCEL"]);
}

#[test]
fn the_response_to_a_misplaced_request_frame_is_reported() {
    dialogue(
        &[
            Up(&headers(1, 0, GET)),
            Up(&[data(1, 0, b"one"), headers(1, 0, "not trailers"), data(1, END_STREAM, b"two")].concat()),
            Down(&[headers(1, 0, ":status 400"), data(1, END_STREAM, b"why")].concat()),
        ],
        &[
            "1> begins",
            "1> GET https://a/ Http2",
            "1> | one",
            "1> ends Opaque",
            MISPLACED,
            "1< begins",
            "1< 400  Http2",
            "1< | why",
            "1< ends Complete",
        ],
    );
}

#[test]
fn frames_on_idle_streams() {
    // A stream id of the origin, data before a request, a promise by the client.
    let up = &[headers(2, 0, GET), data(3, 0, b"x"), push_promise(1, 2, GET)];
    let down = &[
        headers(3, 0, ":status 200"),
        headers(2, 0, ":status 200"),
        // A promise with a stream id of the client, of stream 0, and on an idle stream.
        push_promise(1, 3, GET),
        push_promise(1, 0, GET),
        push_promise(5, 2, GET),
    ];
    // They are reported once for each direction.
    let flood = |bytes: &[u8]| bytes.repeat(3);
    for bytes in up {
        let later = headers(1, END_STREAM, ":status 204");
        let lines = [MISPLACED, "1< begins", "1< 204  Http2", "1< ends Complete"];
        assert_isolated(&[Up(&flood(bytes)), Down(&later)], &lines);
    }
    for bytes in down {
        assert_isolated(&[Down(&flood(bytes))], &[MISPLACED]);
    }
}

#[test]
fn field_blocks_on_idle_streams_are_decoded() {
    // Adds "x: y" to the dynamic table of the direction down, where a later block refers to it.
    let idle = frame(0x1, END_HEADERS, 9, b"\x88\x40\x01x\x01y");
    after_get(
        &[Down(&idle), Down(&frame(0x1, END_HEADERS | END_STREAM, 1, b"\x88\xbe"))],
        &[MISPLACED, "1< begins", "1< 200  Http2 x: y;", "1< ends Complete"],
    );
}
