//! Several streams, and their ends.

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
            "4< ends Reset by the client: CANCEL",
        ],
    );
}

#[test]
fn a_reset_ends_both_directions() {
    after_get(
        &[Down(&headers(1, 0, ":status 200")), Down(&data(1, 0, b"so")), Down(&reset(1, 2))],
        &["1< begins", "1< 200  Http2", "1< | so", "1< ends Reset by the origin: INTERNAL_ERROR"],
    );
    after_get(&[Down(&reset(1, 7))], &["1< ends Reset by the origin: REFUSED_STREAM"]);
    after_get(&[Up(&reset(1, 8)), Down(&reset(1, 8)), Up(&reset(9, 8))], &["1< ends Reset by the client: CANCEL"]);
    let request_events = ["1> begins", "1> GET https://a/ Http2"];
    dialogue(
        &[Up(&headers(1, 0, GET)), Up(&reset(1, 8))],
        &[&request_events[..], &["1> ends Reset by the client: CANCEL", "1< ends Reset by the client: CANCEL"]]
            .concat(),
    );
    // A response that does not need the rest of the request (RFC 9113 section 8.1).
    dialogue(
        &[Up(&headers(1, 0, GET)), Down(&headers(1, END_STREAM, ":status 413")), Down(&reset(1, 0))],
        &[
            &request_events[..],
            &["1< begins", "1< 413  Http2", "1< ends Complete", "1> ends Reset by the origin: NO_ERROR"],
        ]
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
            "1< ends Reset by the client: CANCEL",
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
            "3< ends Reset by the origin: REFUSED_STREAM",
            "3> ends Reset by the origin: REFUSED_STREAM",
            "5> begins",
            "5> GET https://a/ Http2",
            "5< ends Reset by the origin: REFUSED_STREAM",
            "5> ends Reset by the origin: REFUSED_STREAM",
            "1< begins",
            "1< 200  Http2",
            "1< ends Complete",
        ],
    );
}

#[test]
fn a_later_goaway_can_only_refuse_more_streams() {
    after_get(
        &[
            Up(&headers(3, 0, GET)),
            Up(&headers(5, 0, GET)),
            Down(&goaway(3)),
            Down(&goaway(5)),
            Down(&goaway(3)),
            Down(&goaway(1)),
        ],
        &[
            "3> begins",
            "3> GET https://a/ Http2",
            "5> begins",
            "5> GET https://a/ Http2",
            "5< ends Reset by the origin: REFUSED_STREAM",
            "5> ends Reset by the origin: REFUSED_STREAM",
            "3< ends Reset by the origin: REFUSED_STREAM",
            "3> ends Reset by the origin: REFUSED_STREAM",
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
fn no_state_remains_of_ended_streams() {
    let mut tap = Http2Tap::new();
    tap.data(Dir::Up, PREFACE, &mut |_| ());
    let mut ends = 0;
    for id in (1..=40_001).step_by(2) {
        tap.data(Dir::Up, &headers(id, END_STREAM, GET), &mut |event| ends += u32::from(is_end(&event)));
        assert!(!tap.is_empty());
        let response = [headers(id, 0, ":status 200"), data(id, END_STREAM, b"x")].concat();
        tap.data(Dir::Down, &response, &mut |event| ends += u32::from(is_end(&event)));
        assert!(tap.is_empty());
    }
    assert_eq!(ends, 2 * 20_001);
}

fn is_end(event: &TapEvent<'_>) -> bool {
    matches!(event, TapEvent::End { .. })
}
