//! Directions that the tap cannot parse. The other direction is still reported.

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
fn an_invalid_frame_of_the_client_ends_all_requests() {
    for (name, bad) in [
        ("a continuation without a field block", frame(0x9, 0, 1, b"")),
        ("a frame within a field block", [frame(0x1, 0, 1, b""), frame(0x6, 0, 0, &[0; 8])].concat()),
        ("a continuation of another stream", [frame(0x1, 0, 1, b""), frame(0x9, 0, 3, b"")].concat()),
        ("an incomplete setting", frame(0x4, 0, 0, b"\0")),
        ("more padding than frame", data(1, PADDED, b"\x01")),
    ] {
        let steps = [
            Up(PREFACE),
            Up(&headers(1, 0, GET)),
            Up(&bad),
            Up(&headers(5, END_STREAM, GET)),
            Down(&headers(1, END_STREAM, ":status 200")),
            // The tap has not seen this request.
            Down(&headers(5, END_STREAM, ":status 200")),
            End(Dir::Up, Ending::Clean),
        ];
        let lines = [
            "1> begins",
            "1> GET https://a/ Http2",
            "1> ends Opaque",
            OPAQUE,
            "1< begins",
            "1< 200  Http2",
            "1< ends Complete",
        ];
        assert_eq!(events_in_any_pieces(Http2Tap::new, &steps), lines, "{name}");
    }
}

#[test]
fn an_invalid_frame_of_the_origin_ends_all_responses() {
    for (name, bad) in [
        ("a push promise without a stream id", frame(0x5, END_HEADERS, 1, b"\0\0")),
        ("a frame of another protocol", b"SSH-2.0-OpenSSH".to_vec()),
    ] {
        let steps = [
            Up(PREFACE),
            Up(&headers(1, 0, GET)),
            Down(&bad),
            Up(&data(1, END_STREAM, b"x")),
            Up(&headers(3, END_STREAM, GET)),
            Down(&headers(1, END_STREAM, ":status 200")),
        ];
        let lines = [
            "1> begins",
            "1> GET https://a/ Http2",
            "1< ends Opaque",
            OPAQUE,
            "1> | x",
            "1> ends Complete",
            "3> begins",
            "3> GET https://a/ Http2",
            "3< ends Opaque",
            "3> ends Complete",
        ];
        assert_eq!(events_in_any_pieces(Http2Tap::new, &steps), lines, "{name}");
    }
}

const HPACK: &str = "opaque: a malformed HTTP/2 field block";

#[test]
fn an_invalid_field_block_of_the_origin() {
    after_get(
        &[Down(&frame(0x1, END_HEADERS, 1, b"\x3f")), Down(&headers(1, END_STREAM, ":status 200"))],
        &["1< begins", "1< ends Opaque", HPACK],
    );
}

#[test]
fn a_request_with_an_invalid_field_block_is_reported_as_far_as_it_is_known() {
    let request = [&block(GET)[..], b"\xff\xff\xff\x7f"].concat();
    dialogue(
        &[Up(&frame(0x1, END_HEADERS | END_STREAM, 1, &request)), Down(&reset(1, 9)), Down(&goaway(0))],
        &[
            "1> begins",
            "1> GET https://a/ Http2",
            "1> ends Opaque",
            HPACK,
            "1< ends Reset by the origin: COMPRESSION_ERROR",
        ],
    );
}
