//! Connections that go on in another protocol.

use super::*;

const ASK: DialogueStep<'_> = Up(b"GET /ws HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n");

const ASKED: [&str; 3] =
    ["0> begins", "0> GET /ws Http11 Connection: keep-alive, Upgrade; Upgrade: WebSocket;", "0> ends Complete"];

/// A masked ping that says `u`.
const PING_U: &[u8] = b"\x89\x81\0\0\0\0u";

#[track_caller]
fn after_asking(steps: &[DialogueStep<'_>], lines: &[&str]) {
    dialogue(&[&[ASK], steps].concat(), &[&ASKED, lines].concat());
}

#[test]
fn a_websocket_takes_over_with_the_bytes_at_hand() {
    after_asking(
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
            "0 socket Some(\"chat\")",
            "0< ends Complete",
            "0> Ping u",
            "0< Ping d",
            "0> Ping v",
            "0 socket ends",
        ],
    );
}

#[test]
fn a_websocket_hears_of_an_end_before_it_began() {
    after_asking(
        &[
            Up(PING_U),
            End(Dir::Up, Ending::Reset),
            Down(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\n\r\n"),
            End(Dir::Down, Ending::Clean),
        ],
        &[
            "0< begins",
            "0< 101 Go Http11 Upgrade: websocket;",
            "0 socket None",
            "0< ends Complete",
            "0> Ping u",
            "0 socket ends",
        ],
    );
}

#[test]
fn any_other_protocol_is_not_read() {
    after_asking(
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
fn http_2_takes_over_and_answers_what_http_1_asked() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    after_asking(
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
            "0 goes on in HTTP/2",
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
fn http_2_hears_of_the_settings_in_the_question() {
    // They allow a table of 8,192 bytes, which the answer makes use of.
    let answer = b"HTTP/1.1 101 Go\r\nUpgrade: h2c\r\n\r\n\0\0\0\x04\0\0\0\0\0\
        \0\0\x04\x01\x05\0\0\0\x01\x3f\xe1\x3f\x88";
    for (settings, last) in [
        ("HTTP2-Settings: AAEAACAA\r\n", "0< ends Complete"),
        ("HTTP2-Settings: AAEAACAA=odd\r\n", "0< ends Complete"),
        ("", "opaque: a malformed HTTP/2 field block"),
    ] {
        let ask = format!("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n{settings}\r\n");
        let seen = seen_however_cut(Http1Tap::new, &[Up(ask.as_bytes()), Down(answer)]);
        assert_eq!(seen.last().map(String::as_str), Some(last), "{settings}");
    }
}

#[test]
fn a_refusal_makes_the_bytes_the_next_request() {
    after_asking(
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
fn a_switch_while_requests_are_under_way_is_not_followed() {
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
fn a_switch_before_an_unanswered_question_is_not_followed() {
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
fn a_switch_before_the_question_is_whole_is_not_followed() {
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
fn connect_inside_is_a_tunnel_if_it_is_granted() {
    let ask = [Up(b"CONNECT a:1 HTTP/1.1\r\n\r\n"), Up(b"GET / HTTP/1.1\r\n\r\n")];
    let asked = ["0> begins", "0> CONNECT a:1 Http11", "0> ends Complete", "0< begins"];
    let granted = Down(b"HTTP/1.1 200 Yes\r\nContent-Length: 9\r\n\r\n");
    dialogue(
        &[&ask[..], &[granted]].concat(),
        &[
            &asked[..],
            &["0< 200 Yes Http11 Content-Length: 9;", "0< ends Complete", "opaque: a switch to another protocol"],
        ]
        .concat(),
    );
    let refused = Down(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    dialogue(
        &[&ask[..], &[refused]].concat(),
        &[
            &asked[..],
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
fn what_is_held_is_bounded() {
    let most = vec![b'G'; 64 * 1024];
    after_asking(&[Up(&most)], &[]);
    after_asking(&[Up(&most), Up(b"x")], &["0< ends Opaque", "opaque: a switch to another protocol"]);
    // No answer will come: nothing is held, nothing is claimed.
    after_asking(
        &[Up(b"x"), End(Dir::Down, Ending::Reset), Up(&most), Up(b"x"), End(Dir::Up, Ending::Clean)],
        &["0< ends Truncated(Reset)"],
    );
}
