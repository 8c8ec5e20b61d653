//! Bytes that the tap cannot parse. It reports nothing after them.

use super::*;

#[test]
fn ends_all_open_messages_and_then_reports_nothing() {
    dialogue(
        &[
            Up(b"GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Down(b"HTTP/1.1 200 OK\r\n\r\nab"),
            Up(b"no size"),
            Up(b"GET / HTTP/1.1\r\n\r\n"),
            Down(b"cd"),
            End(Dir::Up, Ending::Clean),
            End(Dir::Down, Ending::Clean),
        ],
        &[
            "0> begins",
            "0> GET / Http11",
            "0> ends Complete",
            "1> begins",
            "1> POST / Http11 Transfer-Encoding: chunked;",
            "0< begins",
            "0< 200 OK Http11",
            "0< | ab",
            "1> ends Opaque",
            "0< ends Opaque",
            "1< ends Opaque",
            "opaque: a body with malformed framing",
        ],
    );
}

#[test]
fn ends_an_upload_whose_response_has_ended() {
    let lines = events_in_any_pieces(
        Http1Tap::new,
        &[Up(b"PUT / HTTP/1.1\r\nContent-Length: 9\r\n\r\n"), Down(b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 204 No\r\n\r\n")],
    );
    assert_eq!(lines[4..], ["0< ends Complete", "0> ends Opaque", "opaque: a response without a request"]);
}

#[test]
fn rejects_other_protocols_at_the_first_byte() {
    dialogue(&[Up(b"\x16")], &["0> begins", "opaque: a request that is not HTTP/1"]);
    dialogue(&[Up(b"\r\n"), Down(b"\r\n"), Down(b"2")], &["opaque: a response without a request"]);
    after_get(&[Down(b"HTTQ")], &["0< begins", "0< ends Opaque", "opaque: a response that is not HTTP/1"]);
    dialogue(&[Up(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")], &["0> begins", "opaque: a request that is not HTTP/1"]);
}

#[test]
fn reports_the_head_but_not_the_body_of_an_ambiguous_message() {
    dialogue(
        &[Up(b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello")],
        &[
            "0> begins",
            "0> POST / Http11 Content-Length: 5; Content-Length: 6;",
            "0> ends Opaque",
            "0< ends Opaque",
            "opaque: a body with malformed framing",
        ],
    );
}

#[test]
fn reads_a_response_of_unknown_length_up_to_the_close_or_the_next_request() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhel";
    let lines = ["0< begins", "0< 200 OK Http11 Content-Length: +5;"];
    after_get(
        &[Down(head), Down(b"lo"), End(Dir::Down, Ending::Clean)],
        &[&lines[..], &["0< | hello", "0< ends Complete"]].concat(),
    );
    after_get(
        &[Down(head), Down(b"lo"), Up(b"GET /2 HTTP/1.1\r\n\r\n"), Down(b"HTTP/1.1 204 No\r\n\r\n")],
        &[
            &lines[..],
            &["0< | hello", "1> begins", "1> GET /2 Http11", "1> ends Opaque", "0< ends Opaque", "1< ends Opaque"],
            &["opaque: a body with malformed framing"],
        ]
        .concat(),
    );
    let pipelined = events_in_any_pieces(
        Http1Tap::new,
        &[Up(b"GET / HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"), Down(head), Down(b"loHTTP/1.1 204 No\r\n\r\n")],
    );
    assert_eq!(
        pipelined[6..],
        [&lines[..], &["0< ends Opaque", "1< ends Opaque", "opaque: a body with malformed framing"]].concat()
    );
}

#[test]
fn rejects_a_second_response_to_one_request() {
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi there";
    let lines = ["0< begins", "0< 200 OK Http11 Content-Length: 2;", "0< | hi", "0< ends Complete"];
    after_get(&[Down(response)], &[&lines[..], &["opaque: a response without a request"]].concat());
}
