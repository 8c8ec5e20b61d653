//! WebSockets on streams (RFC 8441).

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
            "1 WebSocket Some(\"chat\")",
            "1< ends Complete",
            "3< begins",
            "3< 200  Http2",
            "3 WebSocket None",
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
            "1 WebSocket ends Truncated(Abandoned)",
            "3 WebSocket ends Truncated(Abandoned)",
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
            Down(&data(1, 0, b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xffmore")),
            Up(&data(1, 0, b"\x80\x01b")),
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
            "1 WebSocket None",
            "1< ends Complete",
            "1> message Text",
            "1> | a",
            "opaque: a malformed WebSocket frame",
            "1> | b",
            "1> message ends Complete",
            "3> begins",
            "3> GET https://a/ Http2",
            "3> ends Complete",
            "1 WebSocket ends Opaque",
            "3< ends Truncated(Clean)",
        ],
    );
}

#[test]
fn an_opaque_direction_ends_its_open_message() {
    dialogue(
        &[
            Up(&headers(1, 0, CONNECT)),
            Down(&headers(1, 0, ":status 200")),
            Up(&data(1, 0, b"\x01\x01a")),
            Up(&frame(0x9, 0, 1, b"")),
            Down(&data(1, END_STREAM, b"\x81\x01b")),
        ],
        &[
            "1> begins",
            "1> CONNECT https://a/chat Http2",
            "1> ends Complete",
            "1< begins",
            "1< 200  Http2",
            "1 WebSocket None",
            "1< ends Complete",
            "1> message Text",
            "1> | a",
            "1> message ends Opaque",
            OPAQUE,
            "1< message Text",
            "1< | b",
            "1< message ends Complete",
            "1 WebSocket ends Opaque",
        ],
    );
}

/// The events of an extended CONNECT on stream 1.
const REQUEST: [&str; 3] = ["1> begins", "1> CONNECT https://a/chat Http2", "1> ends Complete"];

/// The events of the response that opens its WebSocket.
const OPEN: [&str; 4] = ["1< begins", "1< 200  Http2", "1 WebSocket None", "1< ends Complete"];

#[test]
fn data_before_the_response_belongs_to_the_websocket() {
    let early = [data(1, 0, b"\x81\x05ear"), data(1, 0, b"ly\x81\x03mo")].concat();
    let accept = headers(1, 0, ":status 200");
    let early_events = ["1> message Text", "1> | early", "1> message ends Complete", "1> message Text"];
    dialogue(
        &[Up(&headers(1, 0, CONNECT)), Up(&early), Down(&accept), Up(&data(1, END_STREAM, b"re"))],
        &[&REQUEST[..], &OPEN, &early_events, &["1> | mor", "1> message ends Complete"]].concat(),
    );
    // The direction ends before the response.
    let ended = [early, data(1, END_STREAM, b"")].concat();
    dialogue(
        &[Up(&headers(1, 0, CONNECT)), Up(&ended), Down(&accept)],
        &[&REQUEST[..], &OPEN, &early_events, &["1> | mo", "1> message ends Truncated(Clean)"]].concat(),
    );
}

#[test]
fn data_before_a_refusal_belongs_to_no_message() {
    let refusal = [headers(1, 0, ":status 403"), data(1, END_STREAM, b"no")].concat();
    let refused = ["1< | no", "1< ends Complete"];
    let early = data(1, 0, b"\x81\x05early");
    dialogue(
        &[Up(&headers(1, 0, CONNECT)), Up(&early), Down(&refusal), Up(&early)],
        &[&REQUEST[..], &["1< begins", "1< 403  Http2", MISPLACED], &refused].concat(),
    );
    dialogue(
        &[Up(&headers(1, 0, CONNECT)), Down(&refusal), Up(&early), Up(&early)],
        &[&REQUEST[..], &["1< begins", "1< 403  Http2"], &refused, &[MISPLACED]].concat(),
    );
}

#[test]
fn too_much_data_before_the_response() {
    let first = data(1, 0, &[&b"\x82\x7e\x40\0"[..], &[b'x'; 0x4000]].concat());
    let limit = [LIMIT_EXCEEDED];
    let message = format!("1> | {}", "x".repeat(0x4000));
    let whole = ["1> message Binary", &message, "1> message ends Complete"];
    let (rest, end) = (format!("1> | {}", "x".repeat(65_535 - 3 * 0x4004 - 4)), "1> message ends Opaque");
    let steps = [
        Up(&headers(1, 0, CONNECT)),
        Up(&first.repeat(3)),
        Up(&first),
        Down(&headers(1, 0, ":status 200")),
        Up(&first),
        Down(&data(1, 0, b"\x81\x02ok")),
    ];
    let down = ["1< message Text", "1< | ok", "1< message ends Complete"];
    let lines = [&REQUEST[..], &limit, &OPEN, &whole, &whole, &whole, &["1> message Binary", &rest, end], &down];
    dialogue(&steps, &lines.concat());
}

#[test]
fn data_of_the_origin_before_the_response() {
    dialogue(
        &[
            Up(&headers(1, 0, CONNECT)),
            Up(&data(1, 0, b"\x81\x01x")),
            Down(&data(1, 0, b"\x81\x01x")),
            Down(&headers(1, 0, ":status 200")),
            Up(&data(1, 0, b"\x81\x01x")),
            Up(&headers(3, END_STREAM, GET)),
        ],
        &[&REQUEST[..], &["1< ends Opaque", MISPLACED, "3> begins", "3> GET https://a/ Http2", "3> ends Complete"]]
            .concat(),
    );
}
