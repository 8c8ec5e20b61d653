//! Heads that never become complete: their complete lines are reported, and the response to them.

use super::*;

const HEAD: DialogueStep<'_> = Up(b"GET /a HTTP/1.1\r\nHost: x\r\nCookie: lo");
const REFUSAL: DialogueStep<'_> = Down(b"HTTP/1.1 431 Long\r\nContent-Length: 2\r\n\r\nno");
const REFUSAL_EVENTS: [&str; 4] = ["0< begins", "0< 431 Long Http11 Content-Length: 2;", "0< | no", "0< ends Complete"];

#[test]
fn a_response_to_an_incomplete_head_is_reported() {
    let (up, down) = (End(Dir::Up, Ending::Abandoned), End(Dir::Down, Ending::Clean));
    let request = ["0> begins", "0> GET /a Http11 Host: x;", "0> ends Truncated(Abandoned)"];
    let lines = [&request[..], &REFUSAL_EVENTS].concat();
    dialogue(&[HEAD, REFUSAL, down, up], &lines);
    dialogue(&[HEAD, REFUSAL, up, down], &lines);
    dialogue(&[HEAD, up, REFUSAL, down], &lines);
    dialogue(&[HEAD, up, down], &[&request[..], &["0< ends Truncated(Clean)"]].concat());
    dialogue(&[HEAD, down, up], &[&request[..], &["0< ends Truncated(Clean)"]].concat());
}

#[test]
fn an_incomplete_first_line_is_only_counted() {
    let half = Up(b"GET / HT");
    let (up, down) = (End(Dir::Up, Ending::Clean), End(Dir::Down, Ending::Clean));
    let early = ["0> begins", "opaque: a response to an incomplete request"];
    dialogue(&[half, REFUSAL, up, down], &early);
    dialogue(&[half, REFUSAL, down, up], &early);
    let unanswered = ["0> begins", "opaque: a request that ended within its first line"];
    dialogue(&[half, up, REFUSAL, down], &unanswered);
    dialogue(&[half, up, down], &unanswered);
    dialogue(&[half, down, up], &unanswered);
}

#[test]
fn a_head_over_the_limit_gets_its_response() {
    let long = ["GET /a HTTP/1.1\r\nHost: x\r\nCookie: ", &"x".repeat(MAX_HEAD_BYTES)].concat();
    for size in [0, 1, 1000] {
        let steps = [Up(long.as_bytes()), Up(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"), REFUSAL];
        let lines = events(&mut Http1Tap::new(), &steps, || size);
        let request = [
            "0> begins",
            "0> GET /a Http11 Host: x;",
            "0> ends Opaque",
            "opaque: an exceeded limit (head size, chunk line length or number of exchanges)",
        ];
        assert_eq!(lines, [&request[..], &REFUSAL_EVENTS].concat());
    }
}

#[test]
fn a_long_response_to_an_incomplete_head_is_not_held() {
    let response = |len: usize| [&b"HTTP/1.0 431 Long\r\n\r\n"[..], &vec![b'x'; len - 21]].concat();
    let (whole, longer) = (response(64 * 1024), response(64 * 1024 + 1));
    dialogue(&[HEAD, Down(&whole)], &["0> begins"]);
    let body = format!("0< | {}", "x".repeat(64 * 1024 + 1 - 21));
    dialogue(
        &[HEAD, Down(&longer), Up(b"ng\r\n\r\n"), End(Dir::Down, Ending::Clean)],
        &[
            "0> begins",
            "0> GET /a Http11 Host: x;",
            "0> ends Opaque",
            "opaque: an exceeded limit (head size, chunk line length or number of exchanges)",
            "0< begins",
            "0< 431 Long Http10",
            &body,
            "0< ends Complete",
        ],
    );
    dialogue(&[Up(b"GET"), Down(&longer)], &["0> begins", "opaque: a response to an incomplete request"]);
}

#[test]
fn the_head_of_a_response_may_be_incomplete() {
    after_get(
        &[Down(b"HTTP/1.1 200 OK\r\nA: b\r\nSer"), End(Dir::Down, Ending::Reset)],
        &["0< begins", "0< 200 OK Http11 A: b;", "0< ends Truncated(Reset)"],
    );
    for half in [&b"HTTP/1.1 200 OK"[..], b"HTTP/1.1 103 Early\r\nLi", b"HTTP/1.1 101 Go\r\nUpgrade: x\r\n"] {
        after_get(&[Down(half), End(Dir::Down, Ending::Clean)], &["0< begins", "0< ends Truncated(Clean)"]);
    }
}
