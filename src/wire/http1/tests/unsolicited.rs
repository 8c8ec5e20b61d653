//! Data of the origin while no request is pending. Nothing is lost, unless later responses cannot be found.

use super::*;

const RESPONSE: &[u8] = b"HTTP/1.1 408 Slow\r\nContent-Length: 4\r\n\r\nslow";

#[test]
fn an_idle_origin_may_respond_and_close() {
    let end = [End(Dir::Down, Ending::Clean), End(Dir::Up, Ending::Clean)];
    for data in [
        RESPONSE,
        b"HTTP/1.0 408 Slow\r\n\r\n<html>",
        b"HTTP/1.1 408 Sl",
        b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\nno size",
        b"\r\n220 ready\r\n",
        b"\0\0\x12\x04\0\0\0\0\0",
    ] {
        dialogue(&[&[Down(data)][..], &end].concat(), &[]);
        dialogue(&[End(Dir::Up, Ending::Clean), Down(data), End(Dir::Down, Ending::Reset)], &[]);
        let answered = [Down(b"HTTP/1.1 204 No\r\n\r\n"), Down(data)];
        after_get(&[&answered[..], &end].concat(), &["0< begins", "0< 204 No Http11", "0< ends Complete"]);
    }
}

#[test]
fn later_requests_get_their_responses() {
    dialogue(
        &[
            Down(RESPONSE),
            Down(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha"),
            Up(b"GET / HTTP/1.1\r\n\r\n"),
            Down(b"lfHTTP/1.1 204 No\r\n\r\n"),
        ],
        &["0> begins", "0> GET / Http11", "0> ends Complete", "0< begins", "0< 204 No Http11", "0< ends Complete"],
    );
}

#[test]
fn a_request_may_cross_with_a_response_and_the_close() {
    dialogue(
        &[
            Down(b"HTTP/1.0 408 Slow\r\n\r\nsl"),
            Up(b"GET / HTTP/1.1\r\n\r\n"),
            Down(b"ow"),
            End(Dir::Down, Ending::Clean),
            End(Dir::Up, Ending::Clean),
        ],
        &["0> begins", "0> GET / Http11", "0> ends Complete", "0< ends Truncated(Clean)"],
    );
    dialogue(
        &[Down(b"junk"), End(Dir::Down, Ending::Clean), Up(b"GET / HTTP/1.1\r\n\r\n")],
        &["0> begins", "0> GET / Http11", "0< ends Truncated(Clean)", "0> ends Complete"],
    );
}

#[test]
fn requests_after_data_of_unknown_length_lose_their_responses() {
    let requests = [Up(b"GET /1 HTTP/1.1\r\n\r\n"), Up(b"GET /2 HTTP/1.1\r\n\r\n")];
    let lines = [
        "0> begins",
        "0> GET /1 Http11",
        "0< ends Opaque",
        "opaque: a response without a request",
        "0> ends Complete",
        "1> begins",
        "1> GET /2 Http11",
        "1< ends Opaque",
        "1> ends Complete",
    ];
    dialogue(&[&[Down(b"stray")], &requests[..], &[Down(b"HTTP/1.1 204 No\r\n\r\n")]].concat(), &lines);
}

#[test]
fn a_second_response_during_the_upload_does_not_end_it() {
    let twice = b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 204 No\r\n\r\n";
    dialogue(
        &[Up(b"PUT / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab"), Down(twice), Up(b"cd")],
        &[
            "0> begins",
            "0> PUT / Http11 Content-Length: 4;",
            "0> | ab",
            "0< begins",
            "0< 204 No Http11",
            "0< ends Complete",
            "0> | cd",
            "0> ends Complete",
        ],
    );
}
