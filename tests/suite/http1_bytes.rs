//! HTTP/1 inside a tunnel arrives unchanged, however unusual, in both directions.

use crate::support::{Capture, Origin};

/// One exchange: the request, and the response that the origin sends after the whole request.
struct Case {
    name: &'static str,
    request: &'static str,
    response: &'static str,
}

const CASES: &[Case] = &[
    Case {
        name: "odd case, duplicates, spaces, empty values",
        request: "GET /x?a=%7e&&b HTTP/1.1\r\nhOST: localhost\r\nACCEPT:*/*\r\nx-dup: 1\r\nX-Dup:\t2 \r\nx-dup:\r\nX_Under.Score~: v\r\n\r\n",
        response: "HTTP/1.1 200 \r\nSeT-cOoKiE: a=1\r\nset-cookie:b=2\r\nX-Empty:\r\ncontent-LENGTH: 2\r\n\r\nok",
    },
    Case {
        name: "odd chunking, extensions, trailers",
        request: "POST /c HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0002;k=\"v\"\r\nbc\r\nA ; x\r\n0123456789\r\n000\r\nX-Check: 1\r\nx-check: 2\r\n\r\n",
        response: "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;a;b=c\r\n \r\n5\r\nworld\r\n0\r\nX-Sum: 10\r\n\r\n",
    },
    Case {
        name: "early hints before the answer",
        request: "GET /hints HTTP/1.1\r\nHost: localhost\r\n\r\n",
        response: "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </b.js>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes",
    },
    Case {
        name: "both framings in the answer",
        request: "GET /both HTTP/1.1\r\nHost: localhost\r\n\r\n",
        response: "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    },
    Case {
        name: "both framings in the request",
        request: "POST /both HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        response: "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    },
    Case {
        name: "bytes that are not UTF-8, and a folded line",
        request: "GET /\u{e9} HTTP/1.1\r\nHost: localhost\r\nX-Latin: caf\u{e9}\r\n\r\n",
        response: "HTTP/1.1 200 Sch\u{f6}n\r\nX-Fold: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    },
    Case {
        name: "a method of one's own and an empty line before it",
        request: "\r\nM-SEARCH * HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
        response: "HTTP/1.1 299 Odd\r\nContent-Length: 1\r\n\r\n!",
    },
    Case {
        name: "malformed lines, and spaces in the target",
        request: "GET /a b HTTP/1.1\r\nHost: localhost\r\nX-[a]: \x01\r\nSecured by X : b\r\nno field\r\nX-Fold: c\r\n d\r\n\r\n",
        response: "HTTP/1.1 200 OK\r\n folded: a\r\nSet-Cookie: a=\x01b\r\nX: \0\x7f\rz\r\nBad Name: x\r\nX-\u{e9}: b\r\nContent-Length: 2\r\n\r\nok",
    },
];

/// Returns each character as one byte, so that a case can have bytes that are not UTF-8.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect()
}

#[test]
fn forwards_unusual_messages_unchanged_over_tls() {
    for case in CASES {
        let (request, response) = (latin1(case.request), latin1(case.response));
        let (len, answer) = (request.len(), response.clone());
        let origin = Origin::tls(move |mut connection| {
            connection.read_exactly(len);
            connection.send(&answer);
        });
        let capture = Capture::start();
        let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
        connection.send(&request);
        let got = connection.read_exactly(response.len());
        assert_eq!(got.escape_ascii().to_string(), response.escape_ascii().to_string(), "{}", case.name);
        connection.finish();
        assert_eq!(connection.read_to_end().0, b"", "{}", case.name);
        let received = origin.received(0);
        assert_eq!(received.escape_ascii().to_string(), request.escape_ascii().to_string(), "{}", case.name);
        drop(connection);
        let outcome = capture.stop();
        outcome.assert_no_warnings();
        assert_eq!(outcome.bundle().traces.len(), 1, "{}: {:?}", case.name, outcome.summary);
    }
}

#[test]
fn forwards_messages_sent_byte_by_byte() {
    let all: Vec<(Vec<u8>, Vec<u8>)> = CASES.iter().map(|case| (latin1(case.request), latin1(case.response))).collect();
    let script = all.clone();
    let origin = Origin::plain(move |mut connection| {
        for (request, response) in &script {
            connection.read_exactly(request.len());
            for byte in response {
                connection.send([*byte]);
            }
        }
    });
    let capture = Capture::start();
    let mut connection = capture.connect(&origin.authority("localhost"));
    let mut sent = Vec::new();
    for (request, response) in &all {
        for byte in request {
            connection.send([*byte]);
        }
        sent.extend_from_slice(request);
        assert_eq!(&connection.read_exactly(response.len()), response);
    }
    assert_eq!(origin.received(0), sent);
    drop(connection);
    assert_eq!(capture.stop().bundle().traces.len(), all.len());
}

#[test]
fn records_unusual_messages() {
    let all: Vec<(Vec<u8>, Vec<u8>)> = CASES.iter().map(|case| (latin1(case.request), latin1(case.response))).collect();
    let script = all.clone();
    let origin = Origin::tls(move |mut connection| {
        for (request, response) in &script {
            connection.read_exactly(request.len());
            connection.send(response);
        }
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    for (request, response) in &all {
        connection.send(request);
        connection.read_exactly(response.len());
    }
    drop(connection);
    let outcome = capture.stop();
    let traces = &outcome.bundle().traces;
    assert_eq!(traces.len(), all.len());

    let dup: Vec<_> =
        traces[0].request_headers().into_iter().filter(|(n, _)| n.eq_ignore_ascii_case("x-dup")).collect();
    assert_eq!(dup, [("x-dup", "1"), ("X-Dup", "2"), ("x-dup", "")]);
    assert_eq!(traces[0].response_headers()[..2], [("SeT-cOoKiE", "a=1"), ("set-cookie", "b=2")]);
    assert_eq!((traces[0].status(), traces[0].status_text()), (200, ""));

    assert_eq!(traces[1].request_body, b"abc0123456789");
    assert_eq!(traces[1].request_headers().last(), Some(&("x-check", "2")), "trailers follow");
    assert_eq!(traces[1].text(), "hello world");
    assert_eq!(traces[1].response_headers().last(), Some(&("X-Sum", "10")));

    assert_eq!((traces[2].status(), traces[2].text().as_str()), (200, "yes"), "an interim response is not recorded");
    assert_eq!(traces[3].text(), "abc", "Transfer-Encoding overrides Content-Length (RFC 9112 section 6.3)");
    assert_eq!(traces[4].request_body, b"abc");
    assert!(traces[5].request_headers().contains(&("X-Latin", "caf\u{e9}")), "{:?}", traces[5].request_headers());
    assert_eq!(traces[6].method(), "M-SEARCH");
    assert_eq!(traces[6].status(), 299);

    assert_eq!(traces[7].url(), format!("https://{}/a b", origin.authority("localhost")));
    let expected = [("X-[a]", "\x01"), ("Secured by X ", "b"), ("no field", ""), ("X-Fold", "c   d")];
    assert_eq!(traces[7].request_headers()[1..], expected);
    let expected =
        [(" folded", "a"), ("Set-Cookie", "a=\x01b"), ("X", "\0\x7f\rz"), ("Bad Name", "x"), ("X-\u{e9}", "b")];
    assert_eq!((traces[7].response_headers()[..5].to_vec(), traces[7].text().as_str()), (expected.to_vec(), "ok"));
}

#[test]
fn recognises_unusual_first_requests_in_clear_tunnels() {
    let long = "a".repeat(250 << 10);
    for line in ["\r\n\r\nGET / HTTP/1.1", "GET   /   HTTP/1.1", "GET /a b HTTP/1.1", &format!("GET /{long} HTTP/1.1")]
    {
        let request = format!("{line}\r\nHost: localhost\r\n\r\n");
        let len = request.len();
        let origin = Origin::plain(move |mut connection| {
            connection.read_exactly(len);
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
        let capture = Capture::start();
        let mut connection = capture.connect(&origin.authority("localhost"));
        assert_eq!(connection.request(&request).text(), "ok");
        drop(connection);
        assert_eq!(origin.received(0), request.as_bytes());
        let outcome = capture.stop();
        let target = line.trim_start()[3..line.trim_start().len() - 8].trim();
        assert_eq!(outcome.bundle().only_trace().url(), format!("http://{}{target}", origin.authority("localhost")));
    }
}

#[test]
fn records_a_head_of_256_kib() {
    let filler = "f".repeat(1000);
    let fields: String = (0..240).map(|number| format!("X-{number:05}: {filler}\r\n")).collect();
    let response = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok");
    let answer = response.clone();
    let origin = Origin::tls(move |mut connection| {
        connection.read_head();
        connection.send(&answer);
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    let request = format!("GET /big HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
    connection.send(&request);
    assert_eq!(connection.read_exactly(response.len()), response.as_bytes());
    assert_eq!(origin.received(0), request.as_bytes());
    drop(connection);
    let outcome = capture.stop();
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.request_headers().len(), trace.response_headers().len()), (241, 241));
    assert_eq!(trace.response_headers()[239], ("X-00239", filler.as_str()));
}

#[test]
fn records_the_start_of_a_head_past_the_limit() {
    let fields: String = (0..2000).map(|number| format!("X-{number:05}: {}\r\n", "f".repeat(1000))).collect();
    let response = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok");
    let answer = response.clone();
    let origin = Origin::tls(move |mut connection| {
        connection.read_head();
        connection.send(&answer);
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    connection.send("GET /huge HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(connection.read_exactly(response.len()), response.as_bytes());
    drop(connection);
    let outcome = capture.stop();
    outcome.assert_uncaptured(&origin.authority("localhost"), 1, |reason| {
        *reason == spectral_capture::Reason::Opaque(spectral_capture::Opaque::LimitExceeded)
    });
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.status(), trace.json["cut_off"]["why"].as_str()), (200, Some("limit")));
    assert_eq!(trace.response_headers()[0], ("X-00000", "f".repeat(1000).as_str()));
}

#[test]
fn forwards_garbage_inside_tls_unchanged() {
    // All byte values, in an order that is not a valid message.
    let noise: Vec<u8> = (0..200_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let echo = noise.len();
    let origin = Origin::tls(move |mut connection| {
        let got = connection.read_exactly(echo);
        connection.send(got);
    });
    let capture = Capture::start();
    let mut connection = capture.tls(&origin.authority("localhost"), "localhost");
    let mut writer = connection.writer.clone();
    let up = noise.clone();
    let sending = std::thread::spawn(move || writer.send(up));
    assert!(connection.read_exactly(noise.len()) == noise, "the garbage is echoed unchanged");
    sending.join().unwrap();
    assert!(origin.received(0) == noise);
    drop(connection);
    let outcome = capture.stop();
    outcome.assert_no_warnings();
    assert!(!outcome.summary.uncaptured.is_empty(), "unrecognized data is reported");
}
