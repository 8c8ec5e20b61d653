//! Dialogues with the tap, one for each thing that connections do. Each is shown whole and in pieces of several sizes.

use super::Http1;
use super::head::MAX_HEAD;
use crate::wire::tap::testing::Step::{self, Down, End, Up};
use crate::wire::tap::testing::{seen, seen_however_cut};
use crate::wire::tap::{Dir, Ending};

#[track_caller]
fn dialogue(steps: &[Step<'_>], lines: &[&str]) {
    assert_eq!(seen_however_cut(Http1::new, steps), lines);
}

/// As [`dialogue`], without the lines of a plain `GET / HTTP/1.1` that comes first.
#[track_caller]
fn after_get(steps: &[Step<'_>], lines: &[&str]) {
    let steps = [&[Up(b"GET / HTTP/1.1\r\n\r\n")], steps].concat();
    dialogue(&steps, &[&["0> begins", "0> GET / Http11", "0> ends Complete"], lines].concat());
}

mod messages {
    use super::*;

    #[test]
    fn lengths() {
        dialogue(
            &[
                Up(b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nping"),
                Down(b"HTTP/1.1 200 All right\r\ncontent-length: 4\r\n\r\npong"),
                Up(b"GET /b HTTP/1.1\r\n\r\n"),
                Down(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
                End(Dir::Up, Ending::Clean),
                End(Dir::Down, Ending::Clean),
            ],
            &[
                "0> begins",
                "0> POST /a Http11 Host: x; Content-Length: 4;",
                "0> | ping",
                "0> ends Complete",
                "0< begins",
                "0< 200 All right Http11 content-length: 4;",
                "0< | pong",
                "0< ends Complete",
                "1> begins",
                "1> GET /b Http11",
                "1> ends Complete",
                "1< begins",
                "1< 200 OK Http11 Content-Length: 0;",
                "1< ends Complete",
            ],
        );
    }

    #[test]
    fn chunks_with_extensions_and_trailers() {
        dialogue(
            &[
                Up(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nab\r\n1\nc\n0;end\r\nX-Sum: 1\r\n\r\n"),
                Down(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n3\r\nxyz\r\n0\r\nx-sum:\r\nx-sum: 2\r\n\r\n"),
            ],
            &[
                "0> begins",
                "0> PUT / Http11 Transfer-Encoding: chunked;",
                "0> | abc",
                "0> trailers X-Sum: 1;",
                "0> ends Complete",
                "0< begins",
                "0< 200 OK Http11 Transfer-Encoding: gzip, Chunked;",
                "0< | xyz",
                "0< trailers x-sum: ; x-sum: 2;",
                "0< ends Complete",
            ],
        );
    }

    #[test]
    fn close_delimited() {
        for (how, end) in [
            (Ending::Clean, "0< ends Complete"),
            (Ending::Truncated, "0< ends Cut(Truncated)"),
            (Ending::Reset, "0< ends Cut(Reset)"),
        ] {
            after_get(
                &[Down(b"HTTP/1.0 200 OK\r\n\r\n0\r\n\r\nrest"), End(Dir::Down, how), End(Dir::Up, how)],
                &["0< begins", "0< 200 OK Http10", "0< | 0\\r\\n\\r\\nrest", end],
            );
        }
    }

    #[test]
    fn close_delimited_and_empty() {
        after_get(
            &[Down(b"HTTP/1.1 200 OK\r\n\r\n"), End(Dir::Down, Ending::Clean)],
            &["0< begins", "0< 200 OK Http11", "0< ends Complete"],
        );
    }

    #[test]
    fn without_body_whatever_the_fields_say() {
        dialogue(
            &[
                Up(b"HEAD / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
                Down(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 204 Nothing\r\nContent-Length: 5\r\n\r\n"),
                Down(b"HTTP/1.1 304 Same\r\nTransfer-Encoding: chunked\r\n\r\n"),
            ],
            &[
                "0> begins",
                "0> HEAD / Http11",
                "0> ends Complete",
                "1> begins",
                "1> GET / Http11",
                "1> ends Complete",
                "2> begins",
                "2> GET / Http11",
                "2> ends Complete",
                "0< begins",
                "0< 200 OK Http11 Content-Length: 5;",
                "0< ends Complete",
                "1< begins",
                "1< 204 Nothing Http11 Content-Length: 5;",
                "1< ends Complete",
                "2< begins",
                "2< 304 Same Http11 Transfer-Encoding: chunked;",
                "2< ends Complete",
            ],
        );
    }

    #[test]
    fn length_and_chunks_at_once_are_chunks() {
        after_get(
            &[Down(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n")],
            &[
                "0< begins",
                "0< 200 OK Http11 Content-Length: 1; Transfer-Encoding: chunked;",
                "0< | ab",
                "0< ends Complete",
            ],
        );
    }

    #[test]
    fn http_1_0_may_keep_the_connection() {
        dialogue(
            &[
                Up(b"GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"),
                Down(b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na"),
                Up(b"GET /2 HTTP/1.0\r\n\r\n"),
                Down(b"HTTP/1.0 200 OK\r\n\r\nb"),
                End(Dir::Down, Ending::Clean),
            ],
            &[
                "0> begins",
                "0> GET /1 Http10 Connection: keep-alive;",
                "0> ends Complete",
                "0< begins",
                "0< 200 OK Http10 Connection: keep-alive; Content-Length: 1;",
                "0< | a",
                "0< ends Complete",
                "1> begins",
                "1> GET /2 Http10",
                "1> ends Complete",
                "1< begins",
                "1< 200 OK Http10",
                "1< | b",
                "1< ends Complete",
            ],
        );
    }

    #[test]
    fn odd_heads_are_shown_as_sent() {
        dialogue(
            &[
                Up(b"\r\n\r\nget *  HTTP/1.1\nhOsT: A\r\nX: \xff\xfe\r\nx:1\nX:\t \r\n\n\r\n\nGET / HTTP/1.1\n\n"),
                Down(b"\r\nHTTP/1.1 299\r\nServer : x\r\nFold: a\r\n b\r\nContent-Length: 0\r\n\r\n"),
            ],
            &[
                "0> begins",
                "0> get * Http11 hOsT: A; X: \\xff\\xfe; x: 1; X: ;",
                "0> ends Complete",
                "1> begins",
                "1> GET / Http11",
                "1> ends Complete",
                "0< begins",
                "0< 299  Http11 Server: x; Fold: a   b; Content-Length: 0;",
                "0< ends Complete",
            ],
        );
    }

    #[test]
    fn many_fields() {
        let request = ["GET / HTTP/1.1\r\n", &"a:\n".repeat(50_000), "\r\n"].concat();
        let lines = seen(&mut Http1::new(), &[Up(request.as_bytes())], || 999);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[1].matches(" a: ;").count(), 50_000);
    }

    #[test]
    fn heads_of_the_limit_and_one_byte_past() {
        let head = |first: &str, len: usize| format!("{first}a: {}\r\n\r\n", "x".repeat(len - first.len() - 7));
        for (spare, size) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let request = head("GET / HTTP/1.1\r\n", MAX_HEAD + spare);
            let response = head("HTTP/1.1 204 No\r\n", MAX_HEAD);
            let steps = [Up(request.as_bytes()), Down(response.as_bytes())];
            let lines = seen(&mut Http1::new(), &steps, || size);
            match spare {
                0 => assert_eq!(lines[5], "0< ends Complete"),
                _ => assert_eq!(
                    lines,
                    ["0> begins", "opaque: a head, a chunk line or a number of exchanges past the limit"]
                ),
            }
        }
        let long = head("HTTP/1.1 200 OK\r\n", MAX_HEAD + 1);
        let steps = [Up(b"GET / HTTP/1.1\n\n"), Down(long.as_bytes())];
        let lines = seen(&mut Http1::new(), &steps, || 0);
        assert_eq!(
            lines[3..],
            ["0< begins", "0< ends Opaque", "opaque: a head, a chunk line or a number of exchanges past the limit"]
        );
    }

    #[test]
    fn many_small_chunks() {
        let body = ["1\r\na\r\n".repeat(200_000), "0\r\n\r\n".into()].concat();
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let lines = seen(&mut Http1::new(), &[Up(b"GET / HTTP/1.1\n\n"), Down(head), Down(body.as_bytes())], || 0);
        assert_eq!(lines[5].len(), "0< | ".len() + 200_000);
        assert_eq!(lines[6..], ["0< ends Complete"]);
    }
}

mod order {
    use super::*;

    #[test]
    fn interim_responses_are_passed_over() {
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
        let lines = seen(&mut Http1::new(), &[Up(b"GET / HTTP/1.1\n\n"), Down(&hints)], || 0);
        assert_eq!(lines.len(), 3 + 5_000);
    }

    #[test]
    fn an_early_answer_does_not_stop_the_upload() {
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
    fn an_upload_may_be_given_up_after_an_early_answer() {
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
                "0> ends Cut(Abandoned)",
            ],
        );
    }

    #[test]
    fn an_answer_waits_for_the_rest_of_the_question() {
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
                "1< ends Cut(Clean)",
                "1> ends Complete",
            ],
        );
    }

    #[test]
    fn an_answer_to_half_a_question_is_not_understood() {
        let (half, answer) = (Up(b"GET / HT"), Down(b"HTTP/1.1 408 Slow\r\n\r\n"));
        let lines = ["0> begins", "opaque: a request that is not HTTP/1"];
        let end = End(Dir::Up, Ending::Clean);
        dialogue(&[half, answer, end, End(Dir::Down, Ending::Clean)], &lines);
        dialogue(&[half, end, answer, End(Dir::Down, Ending::Clean)], &lines);
        let page = vec![b'x'; 64 * 1024];
        dialogue(&[half, Down(&page)], &["0> begins"]);
        dialogue(&[half, Down(&page), Down(b"x")], &["0> begins", "opaque: a response that nobody asked for"]);
    }

    #[test]
    fn pipelined_requests_are_answered_in_order() {
        let request = "GET / HTTP/1.1\r\n\r\n".repeat(10_000);
        let answers = "HTTP/1.1 204 No\r\n\r\n".repeat(10_000);
        let mut tap = Http1::new();
        let lines = seen(&mut tap, &[Up(request.as_bytes()), Down(answers.as_bytes())], || 0);
        assert_eq!(lines.len(), 60_000);
        assert_eq!(lines[59_999], "9999< ends Complete");

        let more = [request.as_bytes(), b"GET / HTTP/1.1\r\n\r\nGET"].concat();
        let lines = seen(&mut Http1::new(), &[Up(&more)], || 0);
        assert_eq!(lines.len(), 30_000 + 1 + 10_000 + 1);
        assert_eq!(lines[30_000..=30_001], ["10000> begins", "0< ends Opaque"]);
        assert_eq!(
            lines[40_000..],
            ["9999< ends Opaque", "opaque: a head, a chunk line or a number of exchanges past the limit"]
        );
    }

    #[test]
    fn pipelined_requests_of_long_heads_are_followed_up_to_a_limit() {
        let head = format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "x".repeat(MAX_HEAD - 1024));
        // 64 heads of nearly 256 KiB fit, one more does not; an answer makes room for one.
        let many = head.repeat(64);
        let kept =
            |steps: &[Step<'_>]| seen(&mut Http1::new(), steps, || 0).iter().all(|line| !line.contains("opaque"));
        assert!(kept(&[Up(many.as_bytes())]));
        assert!(!kept(&[Up(many.as_bytes()), Up(head.as_bytes())]));
        assert!(kept(&[Up(many.as_bytes()), Down(b"HTTP/1.1 204 No\r\n\r\n"), Up(head.as_bytes())]));
    }
}

mod endings {
    use super::*;

    #[test]
    fn what_is_in_flight_is_cut() {
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
                "0< ends Cut(Reset)",
                "1< ends Cut(Reset)",
                "2< ends Cut(Reset)",
                "2> | b",
                "2> ends Cut(Stopped)",
            ],
        );
    }

    #[test]
    fn a_close_answers_one_question_only() {
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
                "1< ends Cut(Clean)",
            ],
        );
    }

    #[test]
    fn an_answer_may_come_after_the_client_has_ended() {
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
                "0> ends Cut(Truncated)",
                "0< begins",
                "0< 400 No Http11 Content-Length: 0;",
                "0< ends Complete",
            ],
        );
    }

    #[test]
    fn half_a_head_is_no_message() {
        dialogue(
            &[Up(b"GET / HTTP/1.1\r\nHos"), End(Dir::Down, Ending::Clean), End(Dir::Up, Ending::Clean)],
            &["0> begins"],
        );
        after_get(
            &[Down(b"HTTP/1.1 200 OK\r\nSer"), End(Dir::Down, Ending::Clean)],
            &["0< begins", "0< ends Cut(Clean)"],
        );
        after_get(&[Down(b"\r\n"), End(Dir::Down, Ending::Clean)], &["0< ends Cut(Clean)"]);
    }

    #[test]
    fn an_interim_response_is_no_answer() {
        after_get(
            &[Down(b"HTTP/1.1 103 Early\r\n\r\n"), End(Dir::Down, Ending::Reset), End(Dir::Up, Ending::Clean)],
            &["0< begins", "0< ends Cut(Reset)"],
        );
    }
}

mod opaque {
    use super::*;

    #[test]
    fn everything_open_ends_first_and_then_there_is_silence() {
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
                "opaque: a malformed body framing",
            ],
        );
    }

    #[test]
    fn an_upload_whose_answer_is_over_ends_too() {
        let lines = seen_however_cut(
            Http1::new,
            &[
                Up(b"PUT / HTTP/1.1\r\nContent-Length: 9\r\n\r\n"),
                Down(b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 204 No\r\n\r\n"),
            ],
        );
        assert_eq!(lines[4..], ["0< ends Complete", "0> ends Opaque", "opaque: a response that nobody asked for"]);
    }

    #[test]
    fn what_is_not_http_is_told_at_its_first_byte() {
        dialogue(&[Up(b"\x16")], &["0> begins", "opaque: a request that is not HTTP/1"]);
        dialogue(&[Up(b"\r\n"), Down(b"\r\n"), Down(b"2")], &["opaque: a response that nobody asked for"]);
        after_get(&[Down(b"HTTQ")], &["0< begins", "0< ends Opaque", "opaque: a response that is not HTTP/1"]);
        dialogue(&[Up(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")], &["0> begins", "opaque: a request that is not HTTP/1"]);
    }

    #[test]
    fn a_message_whose_end_is_in_doubt_is_shown_but_not_read() {
        dialogue(
            &[Up(b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello")],
            &[
                "0> begins",
                "0> POST / Http11 Content-Length: 5; Content-Length: 6;",
                "0> ends Opaque",
                "0< ends Opaque",
                "opaque: a malformed body framing",
            ],
        );
        after_get(
            &[Down(b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello")],
            &[
                "0< begins",
                "0< 200 OK Http11 Content-Length: +5;",
                "0< ends Opaque",
                "opaque: a malformed body framing",
            ],
        );
    }

    #[test]
    fn a_second_answer_is_not_anybodys() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi there";
        let lines = ["0< begins", "0< 200 OK Http11 Content-Length: 2;", "0< | hi", "0< ends Complete"];
        after_get(&[Down(answer)], &[&lines[..], &["opaque: a response that nobody asked for"]].concat());
    }
}

mod switching {
    use super::*;

    const ASK: Step<'_> = Up(b"GET /ws HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n");

    const ASKED: [&str; 3] =
        ["0> begins", "0> GET /ws Http11 Connection: keep-alive, Upgrade; Upgrade: WebSocket;", "0> ends Complete"];

    /// A masked ping that says `u`.
    const PING_U: &[u8] = b"\x89\x81\0\0\0\0u";

    #[track_caller]
    fn after_asking(steps: &[Step<'_>], lines: &[&str]) {
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
                "opaque: a switch to a protocol that is not read",
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
            ("", "opaque: malformed HTTP/2 fields"),
        ] {
            let ask = format!("GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n{settings}\r\n");
            let seen = seen_however_cut(Http1::new, &[Up(ask.as_bytes()), Down(answer)]);
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
                "opaque: a switch to a protocol that is not read",
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
                "opaque: a switch to a protocol that is not read",
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
                "opaque: a switch to a protocol that is not read",
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
                &[
                    "0< 200 Yes Http11 Content-Length: 9;",
                    "0< ends Complete",
                    "opaque: a switch to a protocol that is not read",
                ],
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
        after_asking(&[Up(&most), Up(b"x")], &["0< ends Opaque", "opaque: a switch to a protocol that is not read"]);
        // No answer will come: nothing is held, nothing is claimed.
        after_asking(
            &[Up(b"x"), End(Dir::Down, Ending::Reset), Up(&most), Up(b"x"), End(Dir::Up, Ending::Clean)],
            &["0< ends Cut(Reset)"],
        );
    }
}
