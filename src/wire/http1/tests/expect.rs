//! Requests with `Expect: 100-continue` that get a final response first (RFC 9110 section 10.1.1).

use super::*;

const REQUEST: DialogueStep<'_> = Up(b"PUT /1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
const REFUSAL: DialogueStep<'_> = Down(b"HTTP/1.1 417 No\r\nContent-Length: 1\r\n\r\n!");
const NEXT: DialogueStep<'_> = Up(b"PUT /2 HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi");

const REQUEST_EVENTS: [&str; 2] = ["0> begins", "0> PUT /1 Http11 Expect: 100-continue; Content-Length: 9;"];
const REFUSAL_EVENTS: [&str; 4] = ["0< begins", "0< 417 No Http11 Content-Length: 1;", "0< | !", "0< ends Complete"];
const NEXT_EVENTS: [&str; 4] = ["1> begins", "1> PUT /2 Http11 Content-Length: 2;", "1> | hi", "1> ends Complete"];

#[track_caller]
fn after_refusal(steps: &[DialogueStep<'_>], lines: &[&str]) {
    let steps = [&[REQUEST, REFUSAL], steps].concat();
    dialogue(&steps, &[&REQUEST_EVENTS[..], &REFUSAL_EVENTS, lines].concat());
}

#[test]
fn the_next_request_may_follow_without_a_body() {
    after_refusal(
        &[NEXT, Down(b"HTTP/1.1 204 No\r\n\r\n")],
        &[&["0> ends Truncated(Abandoned)"], &NEXT_EVENTS[..], &["1< begins", "1< 204 No Http11", "1< ends Complete"]]
            .concat(),
    );
}

#[test]
fn the_response_may_precede_the_end_of_the_head() {
    let head = Up(b"PUT /1 HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n");
    dialogue(
        &[head, REFUSAL, Up(b"\r\n"), NEXT],
        &[&REQUEST_EVENTS[..], &REFUSAL_EVENTS, &["0> ends Truncated(Abandoned)"], &NEXT_EVENTS].concat(),
    );
}

#[test]
fn the_body_may_follow() {
    for (body, text) in [
        (&b"not a req"[..], "0> | not a req"),
        (b"{\"a\": 11}", "0> | {\\\"a\\\": 11}"),
        (b"ninebytes", "0> | ninebytes"),
    ] {
        after_refusal(&[Up(body), NEXT], &[&[text, "0> ends Complete"], &NEXT_EVENTS[..]].concat());
    }
    after_refusal(&[Up(b"nine"), End(Dir::Up, Ending::Clean)], &["0> | nine", "0> ends Truncated(Clean)"]);
    after_refusal(&[Up(b"ninebytes"), End(Dir::Up, Ending::Clean)], &["0> | ninebytes", "0> ends Complete"]);
    after_refusal(&[End(Dir::Up, Ending::Clean)], &["0> ends Truncated(Clean)"]);
}

#[test]
fn a_body_that_began_or_was_asked_for_is_a_body() {
    let like_a_request = Up(b"GET / HTTP/1.1\r\n\r\n");
    let request = Up(b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 18\r\n\r\n");
    let events = ["0> begins", "0> PUT / Http11 Expect: 100-continue; Content-Length: 18;"];
    let body = ["0> | GET / HTTP/1.1\\r\\n\\r\\n", "0> ends Complete"];
    dialogue(&[request, like_a_request, REFUSAL], &[&events[..], &body, &REFUSAL_EVENTS].concat());
    let go_on = Down(b"HTTP/1.1 100 Continue\r\n\r\n");
    dialogue(
        &[request, go_on, REFUSAL, like_a_request],
        &[&events[..], &["0< begins"], &REFUSAL_EVENTS, &body].concat(),
    );
    // The final response is incomplete.
    dialogue(&[request, Down(b"HTTP/1.1 417 No\r\n"), like_a_request], &[&events[..], &["0< begins"], &body].concat());
    // The client did not ask first.
    dialogue(
        &[Up(b"PUT / HTTP/1.1\r\nContent-Length: 18\r\n\r\n"), REFUSAL, like_a_request],
        &[&["0> begins", "0> PUT / Http11 Content-Length: 18;"], &REFUSAL_EVENTS[..], &body].concat(),
    );
}

#[test]
fn a_response_is_held_until_the_line_is_complete() {
    after_refusal(
        &[Up(b"GET /2 HTTP"), Down(b"HTTP/1.1 408 Slow\r\n\r\n"), Up(b"/1.1\r\n\r\n")],
        &[
            "0> ends Truncated(Abandoned)",
            "1> begins",
            "1> GET /2 Http11",
            "1< begins",
            "1< 408 Slow Http11",
            "1> ends Complete",
        ],
    );
    let page = [b"HTTP/1.1 408 Slow\r\n\r\n".to_vec(), vec![b'x'; 64 * 1024]].concat();
    after_refusal(&[Up(b"GET"), Down(&page), Up(b" / HTT\r\n")], &["0> | GET / HTT", "0> ends Complete"]);
}
