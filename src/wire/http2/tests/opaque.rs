//! Connections that the tap cannot parse.

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
    let ups = up.iter().map(|(name, bytes)| (name, Up(bytes)));
    for (name, step) in ups.chain(down.iter().map(|(name, bytes)| (name, Down(bytes)))) {
        let steps = [
            Up(PREFACE),
            Up(&headers(1, 0, GET)),
            step,
            Up(&headers(5, END_STREAM, GET)),
            Down(&headers(1, END_STREAM, ":status 200")),
            End(Dir::Up, Ending::Clean),
        ];
        let lines = ["1> begins", "1> GET https://a/ Http2", "1> ends Opaque", "1< ends Opaque", OPAQUE];
        assert_eq!(events_in_any_pieces(Http2Tap::new, &steps), lines, "{name}");
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
    assert_eq!(last_event(&settings(&[]).repeat(1001)), "Opaque { cause: LimitExceeded }");
    assert_ne!(last_event(&settings(&[]).repeat(1000)), "Opaque { cause: LimitExceeded }");
    let requests = |count: u32| (0..count).flat_map(|i| headers(2 * i + 1, 0, GET)).collect::<Vec<_>>();
    assert!(last_event(&requests(10_000)).contains("Request"));
    assert_eq!(last_event(&requests(10_001)), "Opaque { cause: LimitExceeded }");
    // A field of 4000 bytes, repeated sixty times in each of many open requests.
    let indexed = [&b"\x40\x01a\x7f\xa0\x1e"[..], &[b'x'; 3999]].concat();
    let mut bombs = frame(0x1, END_HEADERS, 1, &indexed);
    bombs.extend((1..400).flat_map(|i| frame(0x1, END_HEADERS, 2 * i + 1, &[0xbe; 60])));
    assert_eq!(last_event(&bombs), "Opaque { cause: LimitExceeded }");
}
