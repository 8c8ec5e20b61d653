//! A forced end: unverified bodies stay as received, in place if possible.

use super::unpacking::{Load, changed, encoded, entry};
use super::*;
use crate::bundle::archive::scan::{Scan, ScanItem};
use crate::coding::testing::{TEXT_BR, TEXT_ZST, gz, sample};
use std::collections::HashMap;

#[cfg(feature = "tools")] // The bundles are recovered.
mod kills;

#[test]
fn a_forced_end_keeps_bodies_as_received() {
    let text = sample();
    let bodies =
        [("gzip", gz(&text)), ("x-gzip", gz(&text)), ("br", TEXT_BR.to_vec()), ("gzip", changed(gz(&text), 6))];
    let mut capture = Capture::new("forced");
    let control = Arc::clone(capture.writer.as_ref().unwrap().control());
    capture.set_load(Load::Behind);
    for (coding, body) in &bodies {
        let exchange = encoded(&capture, coding, body);
        capture.write(item(exchange));
    }
    let mut large = encoded(&capture, "identity", b"");
    large.response_body = capture.body(&b"0123456789abcdef".repeat(100_000));
    capture.write(item(large));
    // One that waits in memory.
    capture.writer.as_mut().unwrap().packers.refuse_fresh(false);
    let exchange = encoded(&capture, "zstd", TEXT_ZST);
    capture.write(item(exchange));
    control.hurry();
    let packing = capture.packing();
    let summary = capture.run(|_, _| ());
    assert_eq!((summary.exchanges, summary.lost), (6, 0));
    assert_eq!(summary.warnings, [Warning::KeptEncoded { count: 5 }]);
    assert_eq!((packing.verifications(), control.unpacked()), (0, 0));
    let bundle = open_checked(&summary);
    for (n, (coding, body)) in bodies.iter().enumerate() {
        let trace = bundle.trace(&Id::Trace(n as u32 + 1).to_string()).unwrap();
        assert_eq!(trace.response.body_encoding.as_deref(), Some(*coding));
        assert!(bundle.response_body(&trace).unwrap() == *body, "{coding}");
    }
    let trace = bundle.trace("t_0005").unwrap();
    assert_eq!(bundle.response_body(&trace).unwrap().len(), 1_600_000);
    let trace = bundle.trace("t_0006").unwrap();
    assert_eq!(trace.response.body_encoding.as_deref(), Some("zstd"));
}

/// Some headers cross a page, wherever the groups begin; those bodies are copied.
#[test]
fn a_forced_end_copies_few_gzip_bodies() {
    const COUNT: usize = 300;
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let noise: Vec<u8> = (0..20_000).map(|_| next()).collect();
    let received = gz(&noise);
    let mut capture = Capture::new("inplace");
    capture.set_load(Load::Behind);
    for n in 0..COUNT {
        let mut exchange = encoded(&capture, "gzip", &received);
        exchange.url.push_str(&"x".repeat(n * 7 % 100));
        capture.write(item(exchange));
    }
    capture.writer.as_ref().unwrap().control().hurry();
    let summary = capture.run(|_, _| ());
    let bundle = open_checked(&summary);
    for id in bundle.traces().iter() {
        let trace = bundle.trace(id).unwrap();
        assert_eq!(trace.response.body_encoding.as_deref(), Some("gzip"));
        assert!(bundle.response_body(&trace).unwrap() == received);
    }
    let path = summary.bundle.as_deref().unwrap();
    let ratio = fs::metadata(path).unwrap().len() as f64 / (COUNT * received.len()) as f64;
    assert!(ratio < 1.2, "{ratio}");
    // By the local headers alone, each exchange ends as it is in the directory.
    let file = fs::File::open(path).unwrap();
    let (mut scan, mut entries) = (Scan::new(&file).unwrap(), HashMap::new());
    while let ScanItem::Entry(entry) = scan.next().unwrap() {
        entries.insert(entry.header.name.clone(), entry.read(&file, 1 << 20).unwrap());
    }
    assert!(scan.has_directory());
    for name in ["traces/t_0001.json", "traces/t_0300.json", "traces/t_0150_response.bin"] {
        let (.., content) = entry(path, name).unwrap();
        assert!(entries[name] == content, "{name}");
    }
}

/// The request has the gzip body, or both have one, or the response has another coding.
#[test]
fn a_forced_end_keeps_both_bodies() {
    let (text, noise) = (gz(&sample()), gz(&b"small".repeat(10_000)));
    let br = TEXT_BR.to_vec();
    let mut capture = Capture::new("bothforced");
    capture.set_load(Load::Behind);
    let cases = [
        (("gzip", &text), ("identity", Vec::new())),
        (("gzip", &text), ("gzip", noise.clone())),
        (("gzip", &text), ("br", br.clone())),
        (("br", &br), ("gzip", noise.clone())),
        (("identity", &b"plain".to_vec()), ("gzip", noise)),
    ];
    for ((request_coding, request), (coding, response)) in &cases {
        let mut exchange = encoded(&capture, coding, response);
        exchange.request_headers.push(b"Content-Encoding", request_coding.as_bytes());
        exchange.request_body = capture.body(request);
        capture.write(item(exchange));
    }
    capture.writer.as_ref().unwrap().control().hurry();
    let bundle = open_checked(&capture.run(|_, _| ()));
    for (n, ((request_coding, request), (coding, response))) in cases.iter().enumerate() {
        let trace = bundle.trace(&Id::Trace(n as u32 + 1).to_string()).unwrap();
        let coding_of =
            |coding: &str, body: &[u8]| (coding != "identity" && !body.is_empty()).then(|| coding.to_owned());
        assert_eq!(trace.request.body_encoding, coding_of(request_coding, request), "{n}");
        assert_eq!(trace.response.body_encoding, coding_of(coding, response), "{n}");
        assert!(
            bundle.request_body(&trace).unwrap() == **request && bundle.response_body(&trace).unwrap() == *response
        );
    }
}

/// The disk stays full for bodies: a forced end cannot copy them, so it verifies them.
#[test]
fn a_forced_end_verifies_what_it_cannot_copy() {
    let text = sample();
    for (is_true, body) in [(true, gz(&text)), (false, changed(gz(&text), 7))] {
        let mut capture = Capture::new(&format!("full{is_true}"));
        capture.set_load(Load::Behind);
        let exchange = encoded(&capture, "gzip", &body);
        capture.write(item(exchange));
        let writer = capture.writer.as_mut().unwrap();
        let record = writer.bundle.backlog.pop().unwrap().unwrap();
        writer.bundle.retries.push(record);
        writer.control.hurry();
        let part = writer.bundle.archive.unfinished_path().to_owned();
        let summary = capture.run(|_, _| ());
        if is_true {
            let bundle = open_checked(&summary);
            assert!(bundle.response_body(&bundle.trace("t_0001").unwrap()).unwrap() == text);
        } else {
            let [Warning::Unfinished { path, cause }] = &summary.warnings[..] else { panic!("{:?}", summary.warnings) };
            assert_eq!((path, cause.as_str()), (&part, "a body could not be verified"));
        }
    }
}
