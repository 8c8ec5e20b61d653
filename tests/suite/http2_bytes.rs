//! HTTP/2 bytes arrive unchanged and without delay, whatever they are.

use crate::support::bundle::Trace;
use crate::support::http2_frames::{
    END_STREAM, GET, PADDED, PREFACE, PRIORITY, acknowledge, block, data, frame, from_hex, headers, push_promise,
    reset, settings,
};
use crate::support::pair::to;
use crate::support::{Capture, Pair};
use spectral_capture::{Opaque, Reason};

const OK: &str = ":status 200";

#[test]
fn forwards_recorded_conversations_in_pieces_of_any_size() {
    for (name, output) in
        [("curl", include_str!("../data/http2/curl.txt")), ("Node", include_str!("../data/http2/nghttp2.txt"))]
    {
        let mut recorded = Vec::new();
        for (tls, size) in [(true, usize::MAX), (true, 1), (false, usize::MAX), (false, 16)] {
            let capture = Capture::start();
            let mut pair = if tls { Pair::http2(&capture) } else { Pair::clear(&capture) };
            for line in output.lines() {
                let Some(hex) = line.strip_prefix("> ").or_else(|| line.strip_prefix("< ")) else {
                    continue;
                };
                for piece in from_hex(hex).chunks(size) {
                    if line.starts_with('>') { pair.up(piece) } else { pair.down(piece) }
                }
            }
            pair.close();
            let outcome = capture.stop();
            outcome.assert_no_warnings();
            assert!(outcome.summary.uncaptured.is_empty(), "{name}: {:?}", outcome.summary.uncaptured);
            let seen = |trace: &Trace| {
                // The port in the recording is replaced by the origin's.
                let path = trace.url().splitn(4, '/').nth(3).unwrap_or_default().to_owned();
                (trace.method().to_owned(), path, trace.status(), trace.text(), trace.request_body.clone())
            };
            let messages = outcome.bundle().websockets.iter().flat_map(|socket| socket.messages.clone());
            recorded.push((outcome.bundle().traces.iter().map(seen).collect::<Vec<_>>(), messages.collect::<Vec<_>>()));
        }
        assert!(!recorded[0].0.is_empty(), "{name}");
        assert!(recorded.iter().all(|one| *one == recorded[0]), "{name}: {recorded:#?}");
    }
}

#[test]
fn forwards_half_a_frame_at_once() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    let (request, response) =
        (headers(1, END_STREAM, GET), [headers(1, 0, OK), data(1, END_STREAM, b"half and half")].concat());
    let (begin, end) = request.split_at(request.len() / 2);
    pair.up(begin);
    pair.up(end);
    // Split in the header of the second frame, and in its payload.
    let (begin, end) = response.split_at(response.len() - 17);
    pair.down(begin);
    let (middle, end) = end.split_at(10);
    pair.down(middle);
    pair.down(end);
    pair.close();
    assert_eq!(capture.stop().bundle().only_trace().text(), "half and half");
}

#[test]
fn forwards_frames_without_meaning_for_the_tap() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    pair.up(frame(0x6, 0, 0, b"a ping! "));
    pair.down(frame(0x6, 1, 0, b"a ping! "));
    pair.up([frame(0x2, 0, 3, &[0, 0, 0, 0, 200]), frame(0x2, 0, 1, &[0x80, 0, 0, 3, 0])].concat());
    pair.up(headers(1, 0, GET));
    pair.down([frame(0x8, 0, 0, &[0, 1, 0, 0]), frame(0x8, 0, 1, &[0, 1, 0, 0])].concat());
    // PRIORITY_UPDATE, ALTSVC, ORIGIN, an unknown type, and undefined flags and reserved bits.
    pair.up(frame(0x10, 0, 0, b"\0\0\0\x01u=1, i"));
    pair.down([frame(0xa, 0, 0, b"\0\x04home h2"), frame(0xc, 0, 0, b"\0\x06origin")].concat());
    pair.up([frame(0xfe, 0xff, 77, b"???"), frame(0xfe, 0, 0, b"")].concat());
    pair.up(data(1, 0xf6 & !PADDED, b"body"));
    pair.up([data(1, 0, b""), data(1, PADDED, b"\x03!\0\0\0"), data(1, END_STREAM, b"")].concat());
    let mut with_the_bit = headers(1, 0, OK);
    with_the_bit[5] |= 0x80;
    pair.down(with_the_bit);
    pair.down([data(1, PADDED | END_STREAM, b"\x02answer\0\0"), frame(0x8, 0, 1, &[0, 0, 0, 1])].concat());
    pair.close();
    let outcome = capture.stop();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.request_body.as_slice(), trace.text().as_str()), (&b"body!"[..], "answer"));
}

#[test]
fn forwards_fields_that_other_proxies_refuse() {
    let odd = "X-Upper one
        te gzip
        connection keep-alive
        transfer-encoding chunked
        upgrade websocket
        host somewhere.else
        content-length 12345
        x-long"
        .to_owned()
        + &" y".repeat(20_000);
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    // A frame has at most 16 KiB, so the block takes three.
    let fields = [block(&format!("{}\n{odd}", to("/page"))), b"\0\x06spaced\x04 ? \t".to_vec()].concat();
    pair.up(frame(0x1, END_STREAM, 1, &fields[..100]));
    pair.up(frame(0x9, 0, 1, &fields[100..16_000]));
    pair.up(frame(0x9, 0, 1, &fields[16_000..32_000]));
    pair.up(frame(0x9, 0x4, 1, &fields[32_000..]));
    pair.down(headers(1, END_STREAM, &format!("{OK}\n{odd}")[..200]));
    // Without a method.
    pair.up(headers(3, END_STREAM, "x-only fields"));
    pair.down(headers(3, END_STREAM, ":status 400"));
    pair.close();
    let outcome = capture.stop();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    let trace = outcome.bundle().trace("/page");
    let names: Vec<_> = trace.request_headers().into_iter().map(|(name, _)| name).collect();
    let expected = ["X-Upper", "te", "connection", "transfer-encoding", "upgrade", "host", "content-length", "x-long"];
    assert_eq!(names, [&expected[..], &["spaced"]].concat());
    assert_eq!(*trace.request_headers().last().unwrap(), ("spaced", "?"), "without outer spaces");
    assert_eq!(outcome.bundle().traces.len(), 2);
}

#[test]
fn follows_changes_of_the_header_table_size() {
    let capture = Capture::start();
    let mut pair = Pair::http2(&capture);
    // Both set the table size to 0, then allow a table again.
    pair.up([PREFACE, &settings(&[(0x1, 0)])].concat());
    pair.down([settings(&[(0x1, 0)]), acknowledge()].concat());
    pair.up(acknowledge());
    // Each block must begin with the new size, and may do so twice.
    let get = [&[0x20][..], &block(GET), &block("x-n 1")].concat();
    pair.up(frame(0x1, 0x4 | END_STREAM, 1, &get));
    pair.down(frame(0x1, 0x4 | END_STREAM, 1, &[&[0x20, 0x20][..], &block(OK), b"\x40\x03x-t\x01a"].concat()));
    pair.down(settings(&[(0x1, 100_000)]));
    pair.up([acknowledge(), settings(&[(0x1, 4096)])].concat());
    pair.down(acknowledge());
    // 3fe1 87 01 is 17 KiB: the size goes to 0 and up again, and the field is indexed.
    pair.up(frame(0x1, 0x4 | END_STREAM, 3, &[b"\x20\x3f\xe1\x87\x01", &block(GET)[..], b"\x40\x03x-n\x012"].concat()));
    pair.up(frame(0x1, 0x4 | END_STREAM, 5, &[&block(GET)[..], b"\xbe"].concat()));
    pair.down(frame(0x1, 0x4 | END_STREAM, 3, &[b"\x3f\xe1\x1f", &block(OK)[..]].concat()));
    pair.down(headers(5, END_STREAM, OK));
    pair.close();
    let outcome = capture.stop();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    let sent: Vec<_> = outcome.bundle().traces.iter().map(|trace| trace.request_headers()[0].1.to_owned()).collect();
    assert_eq!(sent, ["1", "2", "2"]);
}

#[test]
fn passes_through_malformed_http_2_and_reports_it_once() {
    let indexed_nothing = frame(0x1, 0x5, 5, &[0xff, 0xff, 0xff, 0xff, 0x07]);
    for (what, bad) in [
        ("no frame", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("padding past the end", frame(0x0, 0x8, 3, &[200, 0])),
        ("a reset of another size", frame(0x3, 0, 1, b"12345")),
        ("an index past the table", indexed_nothing),
        ("a Huffman code that ends wrongly", frame(0x1, 0x5, 5, b"\0\x81\0\x81\0")),
        ("a continuation of nothing", frame(0x9, 0x4, 1, b"")),
        ("a table past its limit", frame(0x1, 0x5, 5, b"\x3f\xff\xff\xff\x0f")),
        ("even streams of a client", headers(6, END_STREAM, GET)),
    ] {
        let capture = Capture::start();
        let mut pair = Pair::http2_with_prefaces(&capture);
        pair.up([headers(1, END_STREAM, &to("/page")), headers(3, 0, &to("/open"))].concat());
        pair.down(headers(1, END_STREAM, OK));
        pair.up(&bad);
        pair.down([headers(3, 0, OK), data(3, END_STREAM, b"it goes on")].concat());
        pair.up([bad, b"and on".to_vec()].concat());
        let at = pair.at.clone();
        pair.close();
        let outcome = capture.stop();
        outcome.assert_uncaptured(&at, 1, |reason| matches!(reason, Reason::Opaque(_)));
        assert_eq!(outcome.bundle().trace("/page").status(), 200, "{what}: a complete exchange is recorded");
        let trace = outcome.bundle().trace("/open");
        assert_eq!((trace.status(), trace.text().as_str()), (200, "it goes on"), "{what}: the other direction is read");
        assert!(matches!(trace.cut_off().as_deref(), Some("request malformed" | "request closed")), "{what}");
    }
}

#[test]
fn follows_floods_of_frames() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    // PINGs, streams that are reset at once, SETTINGS (CVE-2019-9512, CVE-2023-44487, CVE-2019-9515).
    pair.up(frame(0x6, 0, 0, b"a ping! ").repeat(10_000));
    for stream in (1..2001).step_by(2) {
        pair.up([headers(stream, 0, GET), reset(stream, 8)].concat());
    }
    pair.up([settings(&[]).repeat(900), frame(0x8, 0, 0, &[0, 0, 0, 1]).repeat(10_000)].concat());
    pair.down(acknowledge().repeat(900));
    pair.up(headers(2001, END_STREAM, &to("/after")));
    pair.down(headers(2001, END_STREAM, OK));
    pair.close();
    let outcome = capture.stop();
    assert!(outcome.summary.uncaptured.is_empty(), "{:?}", outcome.summary.uncaptured);
    assert_eq!(outcome.bundle().trace("/after").status(), 200);
    assert_eq!(outcome.bundle().traces.len(), 1001);
}

#[test]
fn passes_through_and_reports_an_endless_header_block() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    pair.up(frame(0x1, END_STREAM, 1, &block(&to("/endless"))));
    // CVE-2024-27316: CONTINUATION frames without END_HEADERS.
    let more = frame(0x9, 0, 1, &block("x-more and more").repeat(700));
    for _ in 0..200 {
        pair.up(&more);
    }
    pair.down([headers(1, 0, ":status 431"), data(1, END_STREAM, b"too much")].concat());
    let at = pair.at.clone();
    pair.close();
    let outcome = capture.stop();
    outcome.assert_uncaptured(&at, 1, |reason| matches!(reason, Reason::Opaque(_)));
    let trace = outcome.bundle().only_trace();
    assert_eq!((trace.status(), trace.text().as_str()), (431, "too much"));
    assert_eq!(trace.cut_off().as_deref(), Some("request closed"));
}

#[test]
fn records_the_exchanges_beside_a_header_block_above_the_limit() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    pair.up(headers(1, 0, &to("/before")));
    // 300 KB of fields, the last of which goes to the header table.
    let filler = format!("x-filler {}", "f".repeat(3000));
    let fields = [block(&to("/large")), block(&filler).repeat(100), b"\x40\x06x-last\x01!".to_vec()].concat();
    let pieces: Vec<_> = fields.chunks(16_000).collect();
    for (at, piece) in pieces.iter().enumerate() {
        let (kind, end) = (if at == 0 { 0x1 } else { 0x9 }, if at + 1 == pieces.len() { 0x4 } else { 0 });
        pair.up(frame(kind, end | if at == 0 { END_STREAM } else { 0 }, 3, piece));
    }
    pair.up(frame(0x1, 0x4 | END_STREAM, 5, &[&block(&to("/after"))[..], b"\xbe"].concat()));
    pair.up(data(1, END_STREAM, b"an upload"));
    for stream in [3, 5, 1] {
        pair.down([headers(stream, 0, OK), data(stream, END_STREAM, b"whole")].concat());
    }
    let at = pair.at.clone();
    pair.close();
    let outcome = capture.stop();
    outcome.assert_uncaptured(&at, 1, |reason| matches!(reason, Reason::Opaque(Opaque::StreamLimit)));
    let bundle = outcome.bundle();
    for (path, cut_off) in [("/before", None), ("/large", Some("request limit")), ("/after", None)] {
        let trace = bundle.trace(path);
        assert_eq!((trace.status(), trace.text().as_str()), (200, "whole"), "{path}");
        assert_eq!(trace.cut_off().as_deref(), cut_off, "{path}");
    }
    assert_eq!(bundle.trace("/before").request_body, b"an upload");
    assert_eq!(bundle.trace("/after").request_headers(), [("x-last", "!")]);
    let large = bundle.trace("/large").request_headers();
    assert!((80..100).contains(&large.len()), "{}", large.len());
    assert_eq!(large.last(), Some(&("x-last", "!")), "it still fits the list");
}

#[test]
fn reports_misplaced_frames_and_records_the_other_streams() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    pair.up([headers(1, END_STREAM, &to("/late")), headers(3, END_STREAM, &to("/twice"))].concat());
    pair.up([headers(5, 0, &to("/upload")), headers(7, END_STREAM, &to("/fine"))].concat());
    pair.down([headers(1, 0, OK), data(1, END_STREAM, b"all"), headers(1, END_STREAM, OK)].concat());
    pair.down([headers(3, 0, OK), data(3, 0, b"one"), headers(3, 0, OK), data(3, END_STREAM, b"two")].concat());
    pair.up([data(5, 0, b"half"), headers(5, 0, "not trailers"), reset(5, 8)].concat());
    pair.down([headers(7, 0, OK), data(7, END_STREAM, b"fine")].concat());
    let at = pair.at.clone();
    pair.close();
    let outcome = capture.stop();
    // Once for the connection.
    outcome.assert_uncaptured(&at, 1, |reason| matches!(reason, Reason::Opaque(Opaque::Misplaced)));
    for (path, text, cut_off) in [
        ("/late", "all", None),
        ("/twice", "one", Some("response malformed")),
        ("/upload", "", Some("request malformed")),
        ("/fine", "fine", None),
    ] {
        let trace = outcome.bundle().trace(path);
        assert_eq!((trace.text().as_str(), trace.cut_off().as_deref()), (text, cut_off), "{path}");
    }
    let trace = outcome.bundle().trace("/upload");
    assert_eq!((trace.status_text(), &trace.request_body[..]), ("client reset the stream (CANCEL)", &b"half"[..]));
}

#[test]
fn records_promises_before_and_after_their_response() {
    let capture = Capture::start();
    let mut pair = Pair::http2_with_prefaces(&capture);
    pair.up(frame(0x1, 0x4 | END_STREAM | PRIORITY, 1, &[&[0, 0, 0, 0, 15][..], &block(&to("/page"))].concat()));
    pair.down([push_promise(1, 2, &to("/a")), headers(1, 0, OK), push_promise(1, 4, &to("/b"))].concat());
    pair.down([headers(4, 0, OK), data(4, END_STREAM, b"b"), data(1, END_STREAM, b"page")].concat());
    // The client has received it already.
    pair.up(reset(2, 8));
    capture.wait_for_exchanges(3);
    pair.close();
    let outcome = capture.stop();
    assert_eq!(outcome.bundle().trace("/b").text(), "b");
    assert_eq!(outcome.bundle().trace("/page").text(), "page");
    assert_eq!(outcome.bundle().trace("/a").status(), 0);
}
