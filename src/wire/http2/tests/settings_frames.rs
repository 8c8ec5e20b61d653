//! Settings that affect parsing.

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
    let events = events_in_any_pieces(Http2Tap::new, &steps);
    assert_eq!(events.len(), 3);
    assert_eq!(events[1].matches(" x: ;").count(), 5000);
    let steps = [Up(PREFACE), Up(&settings(&[(5, 50_000)])), Up(&large)];
    assert_eq!(events_in_any_pieces(Http2Tap::new, &steps), [OPAQUE]);
}
