//! The pairing of responses with requests.

use super::*;

#[test]
fn skips_interim_responses() {
    dialogue(
        &[
            Up(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"),
            Down(b"HTTP/1.1 100 Continue\r\n\r\n"),
            Up(b"hi"),
            Down(b"HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No\r\n\r\n"),
        ],
        &[
            "0> begins",
            "0> POST / Http11 Expect: 100-continue; Content-Length: 2;",
            "0< begins",
            "0> | hi",
            "0> ends Complete",
            "0< begins",
            "0< begins",
            "0< begins",
            "0< 204 No Http11",
            "0< ends Complete",
        ],
    );
    let hints = b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n".repeat(5_000);
    let lines = events(&mut Http1Tap::new(), &[Up(b"GET / HTTP/1.1\n\n"), Down(&hints)], || 0);
    assert_eq!(lines.len(), 3 + 5_000);
}

#[test]
fn an_upload_continues_after_an_early_response() {
    dialogue(
        &[
            Up(b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab"),
            Down(b"HTTP/1.1 413 Too large\r\nContent-Length: 1\r\n\r\n!"),
            Up(b"cdGET / HTTP/1.1\r\n\r\n"),
            Down(b"HTTP/1.1 204 No\r\n\r\n"),
        ],
        &[
            "0> begins",
            "0> POST / Http11 Content-Length: 4;",
            "0> | ab",
            "0< begins",
            "0< 413 Too large Http11 Content-Length: 1;",
            "0< | !",
            "0< ends Complete",
            "0> | cd",
            "0> ends Complete",
            "1> begins",
            "1> GET / Http11",
            "1> ends Complete",
            "1< begins",
            "1< 204 No Http11",
            "1< ends Complete",
        ],
    );
}

#[test]
fn an_upload_may_be_abandoned_after_an_early_response() {
    dialogue(
        &[
            Up(b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab"),
            Down(b"HTTP/1.1 413 Too large\r\nContent-Length: 0\r\n\r\n"),
            End(Dir::Down, Ending::Clean),
            End(Dir::Up, Ending::Abandoned),
        ],
        &[
            "0> begins",
            "0> POST / Http11 Content-Length: 4;",
            "0> | ab",
            "0< begins",
            "0< 413 Too large Http11 Content-Length: 0;",
            "0< ends Complete",
            "0> ends Truncated(Abandoned)",
        ],
    );
}

#[test]
fn a_response_is_held_until_the_request_head_is_complete() {
    dialogue(
        &[
            Up(b"GET /long HTTP/1.1\r\nCookie: "),
            Down(b"HTTP/1.1 431 Too large\r\nConnection: close\r\n\r\n"),
            Down(b"sorry"),
            End(Dir::Down, Ending::Clean),
            Up(b"x\r\n\r\nGET /no HTTP/1.1\r\n\r\n"),
            End(Dir::Up, Ending::Clean),
        ],
        &[
            "0> begins",
            "0> GET /long Http11 Cookie: x;",
            "0< begins",
            "0< 431 Too large Http11 Connection: close;",
            "0< | sorry",
            "0< ends Complete",
            "0> ends Complete",
            "1> begins",
            "1> GET /no Http11",
            "1< ends Truncated(Clean)",
            "1> ends Complete",
        ],
    );
}

#[test]
fn pairs_pipelined_requests_in_order() {
    let request = "GET / HTTP/1.1\r\n\r\n".repeat(10_000);
    let responses = "HTTP/1.1 204 No\r\n\r\n".repeat(10_000);
    let mut tap = Http1Tap::new();
    let lines = events(&mut tap, &[Up(request.as_bytes()), Down(responses.as_bytes())], || 0);
    assert_eq!(lines.len(), 60_000);
    assert_eq!(lines[59_999], "9999< ends Complete");

    let more = [request.as_bytes(), b"GET / HTTP/1.1\r\n\r\nGET"].concat();
    let lines = events(&mut Http1Tap::new(), &[Up(&more), Down(responses.as_bytes())], || 0);
    assert_eq!(lines.len(), 30_000 + 2 + 30_000);
    assert_eq!(
        lines[30_000..=30_002],
        [
            "10000> begins",
            "opaque: an exceeded limit (head size, chunk line length or number of exchanges)",
            "0< begins"
        ]
    );
}

#[test]
fn limits_the_heads_of_pipelined_requests() {
    let head = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "x".repeat(MAX_HEAD_BYTES - 1024));
    // 16 heads of nearly 1 MiB are within the limit, 17 are not. A response frees the place of one head.
    let many = head.repeat(16);
    let is_followed = |steps: &[DialogueStep<'_>]| {
        events(&mut Http1Tap::new(), steps, || 0).iter().all(|line| !line.contains("opaque"))
    };
    assert!(is_followed(&[Up(many.as_bytes())]));
    assert!(!is_followed(&[Up(many.as_bytes()), Up(head.as_bytes())]));
    assert!(is_followed(&[Up(many.as_bytes()), Down(b"HTTP/1.1 204 No\r\n\r\n"), Up(head.as_bytes())]));
}
