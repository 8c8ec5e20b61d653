//! Cut-off exchanges and messages: their JSON, and the summary.

use super::*;
use crate::bundle::format;
use crate::coding::testing::gz;
use crate::record::body::test_store;
use crate::record::cut_off::{CutOff, CutOffCause, CutOffSide};
use std::io::Read;

/// Returns "side why" of an exchange's JSON.
fn described(trace: &format::Trace) -> Option<String> {
    trace.cut_off.as_ref().map(|cut_off| format!("{} {}", cut_off.side, cut_off.why))
}

/// Writes an exchange that `change` changes, and returns its JSON.
#[track_caller]
fn written(name: &str, change: impl FnOnce(&Capture, &mut Exchange)) -> format::Trace {
    let mut capture = Capture::new(name);
    let summary = capture.run(|c, items| {
        let mut exchange = c.exchange(1, "http://a.test/");
        change(c, &mut exchange);
        items.send(item(exchange)).unwrap();
    });
    open_checked(&summary).trace("t_0001").unwrap()
}

/// Returns the text of an entry.
fn entry(path: &Path, name: &str) -> String {
    let mut zip = zip::ZipArchive::new(fs::File::open(path).unwrap()).unwrap();
    let mut text = String::new();
    zip.by_name(name).unwrap().read_to_string(&mut text).unwrap();
    text
}

#[test]
fn cut_off_is_the_last_member_and_absent_from_whole_items() {
    let mut capture = Capture::new("members");
    let summary = capture.run(|c, items| {
        for cut_off in [None, Some(CutOff { side: CutOffSide::Both, why: CutOffCause::Reset })] {
            items.send(item(Exchange { cut_off, ..c.exchange(1, "http://a.test/") })).unwrap();
        }
        items.send(c.handshake(2, "ws://a.test/", 1, None)).unwrap();
        for (encoding, cut_off) in [
            (None, None),
            (Some(PayloadEncoding::PermessageDeflate), None),
            (Some(PayloadEncoding::Unknown), Some(CutOffCause::Stopped)),
        ] {
            let Item::Message(message) = c.message(1, 3, Dir::Up, Opcode::Binary, b"x") else { unreachable!() };
            items.send(Item::Message(WebSocketMessage { encoding, cut_off, ..message })).unwrap();
        }
    });
    open_checked(&summary);
    let path = summary.bundle.as_deref().unwrap();
    for (name, end) in [
        ("traces/t_0001.json", "  \"context_refs\": []\n}"),
        (
            "traces/t_0002.json",
            "  \"context_refs\": [],\n  \"cut_off\": {\n    \"side\": \"both\",\n    \"why\": \"reset\"\n  }\n}",
        ),
        ("ws/ws_0001_m001.json", "  \"context_refs\": []\n}"),
        ("ws/ws_0001_m002.json", "  \"context_refs\": [],\n  \"payload_encoding\": \"permessage-deflate\"\n}"),
        (
            "ws/ws_0001_m003.json",
            "  \"context_refs\": [],\n  \"payload_encoding\": \"unknown\",\n  \"cut_off\": {\n    \"why\": \"stopped\"\n  }\n}",
        ),
    ] {
        let json = entry(path, name);
        assert!(json.ends_with(end), "{name}: {json}");
    }
    assert_eq!(summary.cut_off_exchanges.count, 1);
    assert_eq!(summary.cut_off_exchanges.first[0].1.to_string(), "request and response reset by the origin");
    assert_eq!(summary.cut_off_messages.count, 1);
    let (id, message) = &summary.cut_off_messages.first[0];
    assert_eq!((id.as_str(), message.to_string().as_str()), ("ws_0001_m003", "interrupted by the end of the capture"));
}

#[test]
fn a_body_that_ends_before_its_coding_is_cut_off() {
    let whole = gz(&[b'x'; 1000]);
    let half = &whole[..whole.len() - 4];
    for (name, sent, received, status, field, expected) in [
        ("whole", &whole[..], &whole[..], 200, "X", None),
        ("response", &whole, half, 200, "X", Some("response closed")),
        ("request", half, &whole, 200, "X", Some("request closed")),
        ("both", half, half, 200, "X", Some("both closed")),
        // Nothing of it decodes.
        ("start", &whole, &whole[..5], 200, "X", Some("response closed")),
        ("other", b"not gzip", b"g", 200, "X", None),
        // A range of the coded bytes.
        ("range", &whole, half, 206, "X", None),
        ("part", half, half, 200, "Content-Range", None),
    ] {
        let trace = written(name, |c, exchange| {
            let response = exchange.response.as_mut().unwrap();
            response.status = status;
            for headers in [&mut exchange.request_headers, &mut response.headers] {
                headers.push(b"Content-Encoding", b"gzip");
                headers.push(field.as_bytes(), b"bytes 0-9/20");
            }
            (exchange.request_body, exchange.response_body) = (c.body(sent), c.body(received));
        });
        assert_eq!(described(&trace).as_deref(), expected, "{name}");
    }
}

#[test]
fn an_earlier_cause_has_precedence() {
    let whole = gz(&[b'x'; 1000]);
    for (name, side, expected) in [
        ("same", CutOffSide::Response, "response reset"),
        ("other", CutOffSide::Request, "both reset"),
        ("each", CutOffSide::Both, "both reset"),
    ] {
        let trace = written(name, |c, exchange| {
            exchange.response.as_mut().unwrap().headers.push(b"Content-Encoding", b"gzip");
            exchange.response_body = c.body(&whole[..20]);
            exchange.cut_off = Some(CutOff { side, why: CutOffCause::Reset });
        });
        assert_eq!(described(&trace).as_deref(), Some(expected));
    }
}

#[test]
fn a_body_that_could_not_be_stored_is_cut_off_by_a_limit() {
    // Its file cannot be created.
    let store = test_store("/nowhere", 1 << 20);
    let truncated = || {
        let mut body = Body::new(&store);
        body.push(&[b'x'; 1000]);
        body.push(&vec![b'x'; 1 << 20]);
        assert!(body.truncation().is_some() && !body.is_empty());
        body
    };
    for (name, coding, expected) in [("plain", "identity", "both limit"), ("coded", "br", "both limit")] {
        let trace = written(name, |_, exchange| {
            exchange.response.as_mut().unwrap().headers.push(b"Content-Encoding", coding.as_bytes());
            (exchange.request_body, exchange.response_body) = (truncated(), truncated());
        });
        assert_eq!(described(&trace).as_deref(), Some(expected));
    }
    let mut capture = Capture::new("payload");
    let summary = capture.run(|c, items| {
        items.send(c.handshake(2, "ws://a.test/", 1, None)).unwrap();
        let Item::Message(message) = c.message(1, 3, Dir::Up, Opcode::Binary, b"") else { unreachable!() };
        items.send(Item::Message(WebSocketMessage { payload: truncated(), ..message })).unwrap();
    });
    let message = open_checked(&summary).message("ws_0001_m001").unwrap();
    assert_eq!(message.cut_off.map(|cut_off| cut_off.why).as_deref(), Some("limit"));
}
