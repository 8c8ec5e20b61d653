//! Directions that become opaque: the tap does not know where their next message begins. The other direction is still read.

use super::*;

#[test]
fn the_response_to_malformed_chunks_is_reported() {
    dialogue(
        &[
            Up(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabno size"),
            Up(b"GET / HTTP/1.1\r\n\r\n"),
            Down(b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\n{}"),
            Down(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            End(Dir::Up, Ending::Clean),
            End(Dir::Down, Ending::Clean),
        ],
        &[
            "0> begins",
            "0> POST / Http11 Transfer-Encoding: chunked;",
            "0> | ab",
            "0> ends Opaque",
            "opaque: a body with malformed framing",
            "0< begins",
            "0< 400 Bad Http11 Content-Length: 2;",
            "0< | {}",
            "0< ends Complete",
        ],
    );
}

#[test]
fn all_pending_requests_get_their_responses_after_a_malformed_one() {
    dialogue(
        &[
            Up(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n\x16\x03GET /3 HTTP/1.1\r\n\r\n"),
            Down(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 204 No\r\n\r\nHTTP/1.1 400 Bad\r\n\r\nwhy"),
            End(Dir::Down, Ending::Clean),
            End(Dir::Up, Ending::Clean),
        ],
        &[
            "0> begins",
            "0> GET /1 Http11",
            "0> ends Complete",
            "1> begins",
            "1> GET /2 Http11",
            "1> ends Complete",
            "2> begins",
            "opaque: a request that is not HTTP/1",
            "0< begins",
            "0< 200 OK Http11 Content-Length: 1;",
            "0< | a",
            "0< ends Complete",
            "1< begins",
            "1< 204 No Http11",
            "1< ends Complete",
        ],
    );
}

#[test]
fn the_response_to_a_length_in_characters_is_reported() {
    let request = "POST / HTTP/1.1\r\nContent-Length: 19\r\n\r\n{\"name\":\"Zo\u{eb} \u{dc}nal\"}";
    dialogue(
        &[Up(request.as_bytes()), Down(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")],
        &[
            "0> begins",
            "0> POST / Http11 Content-Length: 19;",
            "0> | {\\\"name\\\":\\\"Zo\\xc3\\xab \\xc3\\x9cnal",
            "0> ends Complete",
            "1> begins",
            "opaque: a request that is not HTTP/1",
            "0< begins",
            "0< 200 OK Http11 Content-Length: 2;",
            "0< | ok",
            "0< ends Complete",
        ],
    );
}

#[test]
fn requests_are_reported_after_a_malformed_response() {
    dialogue(
        &[
            Up(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"),
            Down(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naoops"),
            Up(b"POST /3 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi"),
            Down(b"HTTP/1.1 200 OK\r\n\r\n"),
            End(Dir::Down, Ending::Clean),
            Up(b"GET /4 HTTP/1.1\r\n\r\n"),
            End(Dir::Up, Ending::Clean),
        ],
        &[
            "0> begins",
            "0> GET /1 Http11",
            "0> ends Complete",
            "1> begins",
            "1> GET /2 Http11",
            "1> ends Complete",
            "0< begins",
            "0< 200 OK Http11 Transfer-Encoding: chunked;",
            "0< | a",
            "0< ends Opaque",
            "1< ends Opaque",
            "opaque: a body with malformed framing",
            "2> begins",
            "2> POST /3 Http11 Content-Length: 2;",
            "2< ends Opaque",
            "2> | hi",
            "2> ends Complete",
            "3> begins",
            "3> GET /4 Http11",
            "3< ends Truncated(Clean)",
            "3> ends Complete",
        ],
    );
}

#[test]
fn each_direction_is_reported_once() {
    after_get(
        &[Down(b"HTTQ"), Up(b"\x16"), Down(b"HTTP/1.1 200 OK\r\n\r\n"), Up(b"GET / HTTP/1.1\r\n\r\n")],
        &[
            "0< begins",
            "0< ends Opaque",
            "opaque: a response that is not HTTP/1",
            "1> begins",
            "opaque: a request that is not HTTP/1",
        ],
    );
}

#[test]
fn an_upgrade_after_a_malformed_response_does_not_block() {
    after_get(
        &[
            Down(b"220 ready\r\n"),
            Up(b"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"),
        ],
        &[
            "0< begins",
            "0< ends Opaque",
            "opaque: a response that is not HTTP/1",
            "1> begins",
            "1> GET /ws Http11 Connection: Upgrade; Upgrade: websocket;",
            "1< ends Opaque",
            "1> ends Complete",
            "2> begins",
            "2> GET /2 Http11",
            "2< ends Opaque",
            "2> ends Complete",
        ],
    );
}

#[test]
fn rejects_other_protocols_at_the_first_byte() {
    dialogue(&[Up(b"\x16")], &["0> begins", "opaque: a request that is not HTTP/1"]);
    dialogue(&[Up(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")], &["0> begins", "opaque: a request that is not HTTP/1"]);
}

#[test]
fn reports_the_head_but_not_the_body_of_an_ambiguous_message() {
    for (fields, shown) in [
        ("Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5; Content-Length: 6;"),
        ("Content-Length: 5,", "Content-Length: 5,;"),
        ("Content-Length: +5", "Content-Length: +5;"),
        ("Content-Length: -1", "Content-Length: -1;"),
        ("Content-Length:", "Content-Length: ;"),
        ("Content-Length : 5", "Content-Length : 5;"),
    ] {
        dialogue(
            &[Up(format!("POST / HTTP/1.1\r\n{fields}\r\n\r\nhello").as_bytes()), Down(b"HTTP/1.1 204 No\r\n\r\n")],
            &[
                "0> begins",
                &format!("0> POST / Http11 {shown}"),
                "0> ends Opaque",
                "opaque: a body with malformed framing",
                "0< begins",
                "0< 204 No Http11",
                "0< ends Complete",
            ],
        );
    }
}

#[test]
fn reads_a_response_of_unknown_length_up_to_the_close_or_the_next_request() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhel";
    let lines = ["0< begins", "0< 200 OK Http11 Content-Length: +5;"];
    after_get(
        &[Down(head), Down(b"lo"), End(Dir::Down, Ending::Clean)],
        &[&lines[..], &["0< | hello", "0< ends Complete"]].concat(),
    );
    let opaque = ["0< ends Opaque", "1< ends Opaque", "opaque: a body with malformed framing"];
    after_get(
        &[Down(head), Down(b"lo"), Up(b"GET /2 HTTP/1.1\r\n\r\n"), Down(b"HTTP/1.1 204 No\r\n\r\n")],
        &[&lines[..], &["0< | hello", "1> begins", "1> GET /2 Http11"], &opaque, &["1> ends Complete"]].concat(),
    );
    let pipelined = events_in_any_pieces(
        Http1Tap::new,
        &[Up(b"GET / HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"), Down(head), Down(b"loHTTP/1.1 204 No\r\n\r\n")],
    );
    assert_eq!(pipelined[6..], [&lines[..], &opaque].concat());
}
