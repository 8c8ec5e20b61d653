//! Connections that began with HTTP/1 and `Upgrade: h2c`.

use super::*;

#[test]
fn the_first_stream_answers_the_http_1_request() {
    // The settings set the table size to 0, so the first block must not increase it.
    let tap = || Http2Tap::upgraded(ExchangeId(6), Some(b"AAEAAAAA"));
    let lines = ["6< begins", "6< 200  Http2", "6< | hi", "6< ends Complete"];
    let response = [headers(1, 0, ":status 200"), data(1, END_STREAM, b"hi")].concat();
    let steps = [Down(&settings(&[])), Up(PREFACE), Down(&response), Up(&headers(3, END_STREAM, GET))];
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
