//! Connections that switch to another protocol.

use super::*;

const UPGRADE_REQUEST: DialogueStep<'_> =
    Up(b"GET /ws HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n");

const UPGRADE_REQUEST_EVENTS: [&str; 3] =
    ["0> begins", "0> GET /ws Http11 Connection: keep-alive, Upgrade; Upgrade: WebSocket;", "0> ends Complete"];

/// A masked ping with the payload `u`.
const PING_U: &[u8] = b"\x89\x81\0\0\0\0u";

#[track_caller]
fn after_upgrade_request(steps: &[DialogueStep<'_>], lines: &[&str]) {
    dialogue(&[&[UPGRADE_REQUEST], steps].concat(), &[&UPGRADE_REQUEST_EVENTS, lines].concat());
}

#[test]
fn a_websocket_begins_with_the_held_bytes() {
    after_upgrade_request(
        &[
            Up(PING_U),
            Down(b"HTTP/1.1 101 Go\r\nUpgrade: WEBSOCKET\r\nSec-WebSocket-Protocol: chat\r\n\r\n\x89\x01d"),
            Up(b"\x89\x81\0\0\0\0v"),
            End(Dir::Down, Ending::Clean),
            End(Dir::Up, Ending::Clean),
        ],
        &[
            "0< begins",
            "0< 101 Go Http11 Upgrade: WEBSOCKET; Sec-WebSocket-Protocol: chat;",
            "0 WebSocket Some(\"chat\")",
            "0< ends Complete",
            "0> Ping u",
            "0< Ping d",
            "0> Ping v",
            "0 WebSocket ends Truncated(Clean)",
        ],
    );
}

#[test]
fn a_websocket_may_begin_after_the_client_has_ended() {
    after_upgrade_request(
        &[
            Up(PING_U),
            End(Dir::Up, Ending::Reset),
            Down(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\n\r\n"),
            End(Dir::Down, Ending::Clean),
        ],
        &[
            "0< begins",
            "0< 101 Go Http11 Upgrade: websocket;",
            "0 WebSocket None",
            "0< ends Complete",
            "0> Ping u",
            "0 WebSocket ends Truncated(Abandoned)",
        ],
    );
}

#[test]
fn any_other_protocol_is_opaque() {
    after_upgrade_request(
        &[Up(b"x"), Down(b"HTTP/1.1 101 Go\r\nUpgrade: TLS/1.3\r\n\r\nbytes"), End(Dir::Down, Ending::Clean)],
        &[
            "0< begins",
            "0< 101 Go Http11 Upgrade: TLS/1.3;",
            "0< ends Complete",
            "opaque: a switch to another protocol",
        ],
    );
}

#[test]
fn http_2_answers_the_http_1_request() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    after_upgrade_request(
        &[
            Up(PREFACE),
            Down(b"HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
            Up(b"\0\0\x03\x01\x05\0\0\0\x03\x82\x84\x86"),
            Down(b"\0\0\x01\x01\x05\0\0\0\x03\x89\0\0\x01\x01\x04\0\0\0\x01\x88\0\0\x01\0\x01\0\0\0\x01x"),
            End(Dir::Down, Ending::Clean),
            End(Dir::Up, Ending::Clean),
        ],
        &[
            "0< begins",
            "0 continues in HTTP/2",
            "2> begins",
            "2> GET http:/// Http2",
            "2> ends Complete",
            "2< begins",
            "2< 204  Http2",
            "2< ends Complete",
            "0< begins",
            "0< 200  Http2",
            "0< | x",
            "0< ends Complete",
        ],
    );
}

#[test]
fn http_2_uses_the_settings_in_the_request() {
    // The settings allow a table of 8,192 bytes, and the response uses it.
    let response = b"HTTP/1.1 101 Go\r\nUpgrade: h2c\r\n\r\n\0\0\0\x04\0\0\0\0\0\
        \0\0\x04\x01\x05\0\0\0\x01\x3f\xe1\x3f\x88";
    for (settings, last) in [
        ("HTTP2-Settings: AAEAACAA\r\n", "0< ends Complete"),
        ("HTTP2-Settings: AAEAACAA=odd\r\n", "0< ends Complete"),
        ("", "opaque: a malformed HTTP/2 field block"),
    ] {
        let request = format!("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n{settings}\r\n");
        let events = events_in_any_pieces(Http1Tap::new, &[Up(request.as_bytes()), Down(response)]);
        assert_eq!(events.last().map(String::as_str), Some(last), "{settings}");
    }
}

#[test]
fn held_bytes_are_the_next_request_after_a_refusal() {
    after_upgrade_request(
        &[
            Up(b"POST /next HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"),
            End(Dir::Up, Ending::Clean),
            Down(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 400 No\r\nContent-Length: 1\r\n\r\n!HTTP/1.1 204 No\r\n\r\n"),
        ],
        &[
            "0< begins",
            "0< begins",
            "0< 400 No Http11 Content-Length: 1;",
            "1> begins",
            "1> POST /next Http11 Content-Length: 1;",
            "1> | x",
            "1> ends Complete",
            "0< | !",
            "0< ends Complete",
            "1< begins",
            "1< 204 No Http11",
            "1< ends Complete",
        ],
    );
}

#[test]
fn a_switch_with_an_incomplete_request_is_opaque() {
    after_get(
        &[Up(b"GET /2"), Down(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\n\r\n")],
        &[
            "1> begins",
            "0< begins",
            "0< 101 Go Http11 Upgrade: websocket;",
            "0< ends Complete",
            "opaque: a switch to another protocol",
        ],
    );
}

#[test]
fn a_switch_with_a_pending_request_is_opaque() {
    after_get(
        &[Up(b"GET /2 HTTP/1.1\r\n\r\n"), Down(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\n\r\n")],
        &[
            "1> begins",
            "1> GET /2 Http11",
            "1> ends Complete",
            "0< begins",
            "0< 101 Go Http11 Upgrade: websocket;",
            "0< ends Complete",
            "1< ends Opaque",
            "opaque: a switch to another protocol",
        ],
    );
}

#[test]
fn a_switch_before_the_request_ends_is_opaque() {
    dialogue(
        &[
            Up(b"POST / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\n"),
            Down(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\n\r\n"),
            Up(b"x"),
        ],
        &[
            "0> begins",
            "0> POST / Http11 Connection: upgrade; Upgrade: websocket; Content-Length: 1;",
            "0< begins",
            "0< 101 Go Http11 Upgrade: websocket;",
            "0< ends Complete",
            "0> ends Opaque",
            "opaque: a switch to another protocol",
        ],
    );
}

#[test]
fn connect_is_opaque_if_it_is_accepted() {
    let request = [Up(b"CONNECT a:1 HTTP/1.1\r\n\r\n"), Up(b"GET / HTTP/1.1\r\n\r\n")];
    let request_events = ["0> begins", "0> CONNECT a:1 Http11", "0> ends Complete", "0< begins"];
    let accepted = Down(b"HTTP/1.1 200 Yes\r\nContent-Length: 9\r\n\r\n");
    dialogue(
        &[&request[..], &[accepted]].concat(),
        &[
            &request_events[..],
            &["0< 200 Yes Http11 Content-Length: 9;", "0< ends Complete", "opaque: a switch to another protocol"],
        ]
        .concat(),
    );
    let refused = Down(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    dialogue(
        &[&request[..], &[refused]].concat(),
        &[
            &request_events[..],
            &[
                "0< 403 No Http11 Content-Length: 0;",
                "1> begins",
                "1> GET / Http11",
                "1> ends Complete",
                "0< ends Complete",
            ],
        ]
        .concat(),
    );
}

#[test]
fn limits_the_held_bytes() {
    let limit = vec![b'G'; 64 * 1024];
    after_upgrade_request(&[Up(&limit)], &[]);
    let opaque = "opaque: an exceeded limit (head size, chunk line length or number of exchanges)";
    after_upgrade_request(
        &[Up(&limit), Up(b"x"), Down(b"HTTP/1.1 204 No\r\n\r\n")],
        &[opaque, "0< begins", "0< 204 No Http11", "0< ends Complete"],
    );
    after_upgrade_request(
        &[Up(&limit), Up(b"x"), Down(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\n\r\n\x89\x01d")],
        &[
            opaque,
            "0< begins",
            "0< 101 Go Http11 Upgrade: websocket;",
            "0< ends Complete",
            "opaque: a switch to another protocol",
        ],
    );
    // No response can come, so nothing is held and nothing is reported.
    after_upgrade_request(
        &[Up(b"x"), End(Dir::Down, Ending::Reset), Up(&limit), Up(b"x"), End(Dir::Up, Ending::Clean)],
        &["0< ends Truncated(Reset)"],
    );
}
