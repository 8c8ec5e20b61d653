//! Heads, bodies and their framing.

use super::*;

#[test]
fn reads_bodies_with_content_length() {
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
fn reads_chunks_with_extensions_and_trailers() {
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
fn reads_close_delimited_bodies() {
    for (how, end) in [
        (Ending::Clean, "0< ends Complete"),
        (Ending::Truncated, "0< ends Truncated(Truncated)"),
        (Ending::Reset, "0< ends Truncated(Reset)"),
    ] {
        after_get(
            &[Down(b"HTTP/1.0 200 OK\r\n\r\n0\r\n\r\nrest"), End(Dir::Down, how), End(Dir::Up, how)],
            &["0< begins", "0< 200 OK Http10", "0< | 0\\r\\n\\r\\nrest", end],
        );
    }
}

#[test]
fn reads_empty_close_delimited_bodies() {
    after_get(
        &[Down(b"HTTP/1.1 200 OK\r\n\r\n"), End(Dir::Down, Ending::Clean)],
        &["0< begins", "0< 200 OK Http11", "0< ends Complete"],
    );
}

#[test]
fn ignores_framing_fields_of_messages_without_a_body() {
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
fn transfer_encoding_overrides_content_length() {
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
fn an_http_1_0_connection_may_persist() {
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
fn reports_odd_heads_as_sent() {
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
fn reports_malformed_lines_of_heads() {
    dialogue(
        &[
            Up(b"GET /a b HTTP/1.1\r\nX: \x01\r\nX-[a]: b\r\nX/slash: c\r\nSecured by X : d\r\nFold: e\r\n f\r\n\r\n"),
            Down(b"HTTP/1.1 200 OK\r\n fold: a\r\nSet-Cookie: a=\x01b\r\nX: \x7f\r\nBad Name: x\r\nX-\xe9: b\r\n"),
            Down(b"nul: \0\r\ncr: a\rb\r\nno field\r\n: v\r\nContent-Length: 2\r\n\r\nok"),
            Up(b"GET / HTTP/1.1\r\n\r\n"),
        ],
        &[
            "0> begins",
            "0> GET /a b Http11 X: \\x01; X-[a]: b; X/slash: c; Secured by X : d; Fold: e   f;",
            "0> ends Complete",
            "0< begins",
            "0< 200 OK Http11  fold: a; Set-Cookie: a=\\x01b; X: \\x7f; Bad Name: x; X-\\xe9: b; nul: \\x00; cr: a\\rb; \
             no field: ; : v; Content-Length: 2;",
            "0< | ok",
            "0< ends Complete",
            "1> begins",
            "1> GET / Http11",
            "1> ends Complete",
        ],
    );
}

#[test]
fn malformed_framing_fields_frame_nothing() {
    for field in ["Transfer-Encoding : chunked", "Transfer-Encoding\x0b: chunked", "X: y\r\n Content-Length: 1"] {
        let response = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n0\r\n\r\n");
        let steps = [Up(b"GET / HTTP/1.1\r\n\r\n"), Down(response.as_bytes()), End(Dir::Down, Ending::Clean)];
        let lines = events_in_any_pieces(Http1Tap::new, &steps);
        assert_eq!(lines[5..], ["0< | 0\\r\\n\\r\\n", "0< ends Complete"], "{field:?}");
        // A request has no end then.
        let request = format!("POST / HTTP/1.1\r\n{field}\r\n\r\n0\r\n\r\n");
        let lines = events_in_any_pieces(Http1Tap::new, &[Up(request.as_bytes())]);
        assert_eq!(lines[2], "0> ends Opaque", "{field:?}");
    }
}

#[test]
fn reads_50_000_fields() {
    let request = ["GET / HTTP/1.1\r\n", &"a:\n".repeat(50_000), "\r\n"].concat();
    let lines = events(&mut Http1Tap::new(), &[Up(request.as_bytes())], || 999);
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[1].matches(" a: ;").count(), 50_000);
}

#[test]
fn reads_heads_up_to_the_limit() {
    let head = |first: &str, len: usize| format!("{first}a: {}\r\n\r\n", "x".repeat(len - first.len() - 7));
    for (spare, size) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        let request = head("GET / HTTP/1.1\r\n", MAX_HEAD_BYTES + spare);
        let response = head("HTTP/1.1 204 No\r\n", MAX_HEAD_BYTES);
        let steps = [Up(request.as_bytes()), Down(response.as_bytes())];
        let lines = events(&mut Http1Tap::new(), &steps, || size);
        match spare {
            0 => assert_eq!(lines[5], "0< ends Complete"),
            _ => assert!(lines[1].starts_with("0> GET / Http11 a: x") && lines[2] == "0> ends Opaque"),
        }
    }
    let long = head("HTTP/1.1 200 OK\r\n", MAX_HEAD_BYTES + 1);
    let steps = [Up(b"GET / HTTP/1.1\n\n"), Down(long.as_bytes())];
    let lines = events(&mut Http1Tap::new(), &steps, || 0);
    assert!(lines[4].starts_with("0< 200 OK Http11 a: x") && lines[5] == "0< ends Opaque");
    assert_eq!(lines.len(), 7);
}

#[test]
fn reads_200_000_chunks_of_one_byte() {
    let body = ["1\r\na\r\n".repeat(200_000), "0\r\n\r\n".into()].concat();
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let lines = events(&mut Http1Tap::new(), &[Up(b"GET / HTTP/1.1\n\n"), Down(head), Down(body.as_bytes())], || 0);
    assert_eq!(lines[5].len(), "0< | ".len() + 200_000);
    assert_eq!(lines[6..], ["0< ends Complete"]);
}
