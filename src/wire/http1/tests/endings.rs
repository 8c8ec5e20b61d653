//! The end of a direction while messages are open.

use super::*;

#[test]
fn open_messages_are_truncated() {
    dialogue(
        &[
            Up(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\nPOST /3 HTTP/1.1\r\nContent-Length: 3\r\n\r\na"),
            Down(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"),
            End(Dir::Down, Ending::Reset),
            Up(b"b"),
            End(Dir::Up, Ending::Stopped),
        ],
        &[
            "0> begins",
            "0> GET /1 Http11",
            "0> ends Complete",
            "1> begins",
            "1> GET /2 Http11",
            "1> ends Complete",
            "2> begins",
            "2> POST /3 Http11 Content-Length: 3;",
            "2> | a",
            "0< begins",
            "0< 200 OK Http11 Content-Length: 3;",
            "0< | ab",
            "0< ends Truncated(Reset)",
            "1< ends Truncated(Reset)",
            "2< ends Truncated(Reset)",
            "2> | b",
            "2> ends Truncated(Stopped)",
        ],
    );
}

#[test]
fn a_close_completes_only_the_current_response() {
    dialogue(
        &[
            Up(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"),
            Down(b"HTTP/1.1 200 OK\r\n\r\na"),
            End(Dir::Down, Ending::Clean),
        ],
        &[
            "0> begins",
            "0> GET /1 Http11",
            "0> ends Complete",
            "1> begins",
            "1> GET /2 Http11",
            "1> ends Complete",
            "0< begins",
            "0< 200 OK Http11",
            "0< | a",
            "0< ends Complete",
            "1< ends Truncated(Clean)",
        ],
    );
}

#[test]
fn a_response_may_follow_the_end_of_the_client() {
    after_get(
        &[End(Dir::Up, Ending::Clean), Down(b"HTTP/1.1 200 OK\r\n\r\nhi"), End(Dir::Down, Ending::Clean)],
        &["0< begins", "0< 200 OK Http11", "0< | hi", "0< ends Complete"],
    );
    dialogue(
        &[
            Up(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
            End(Dir::Up, Ending::Truncated),
            Down(b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n"),
        ],
        &[
            "0> begins",
            "0> PUT / Http11 Transfer-Encoding: chunked;",
            "0> | ab",
            "0> ends Truncated(Truncated)",
            "0< begins",
            "0< 400 No Http11 Content-Length: 0;",
            "0< ends Complete",
        ],
    );
}

#[test]
fn an_interim_response_is_not_reported() {
    after_get(
        &[Down(b"HTTP/1.1 103 Early\r\n\r\n"), End(Dir::Down, Ending::Reset), End(Dir::Up, Ending::Clean)],
        &["0< begins", "0< ends Truncated(Reset)"],
    );
    after_get(&[Down(b"\r\n"), End(Dir::Down, Ending::Clean)], &["0< ends Truncated(Clean)"]);
}
