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
            "1> | ab",
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
            "1 WebSocket None",
            "1< ends Complete",
            "1> message Text",
            "1> | a",
            "1> message ends Opaque",
            "1 WebSocket ends Truncated(Clean)",
            OPAQUE,
        ],
    );
}
