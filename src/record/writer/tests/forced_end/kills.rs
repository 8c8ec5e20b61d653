//! A process that is killed during a forced end.

use super::*;
use crate::bundle::archive::buffered_file::faults::{NO_SYNC, STEPS};

/// The codings that are left on a body that was recovered, and the body.
type Expected = (Option<&'static str>, Vec<u8>);

/// A capture with exchanges whose gzip bodies are not verified: true, false, and true with another body.
fn unverified() -> (Capture, PathBuf, [Expected; 3]) {
    let text = sample();
    let wrong = changed(gz(&text), 7);
    let mut capture = Capture::new("interrupted");
    capture.set_load(Load::Behind);
    for (coding, body, request) in
        [("gzip", gz(&text), &b""[..]), ("gzip", wrong.clone(), b""), ("x-gzip", gz(&text), b"request")]
    {
        let mut exchange = encoded(&capture, coding, &body);
        exchange.request_body = capture.body(request);
        capture.write(item(exchange));
    }
    let writer = capture.writer.as_ref().unwrap();
    writer.control().hurry();
    let part = writer.bundle.archive.unfinished_path().to_owned();
    (capture, part, [(None, text.clone()), (Some("gzip"), wrong), (None, text)])
}

/// Asserts that the exchanges of the unfinished bundle `growing`, and those of `recovered`, are the expected ones.
#[track_caller]
fn assert_complete(growing: &Bundle, recovered: &Path, expected: &[Expected], label: &str) {
    let bundle = Bundle::open(recovered).unwrap();
    for (n, (encoding, content)) in (1..).zip(expected) {
        let id = Id::Trace(n).to_string();
        let trace = bundle.trace(&id).unwrap();
        assert_eq!(trace.response.body_encoding.as_deref(), *encoding, "{id}, {label}");
        assert!(bundle.response_body(&trace).unwrap() == *content, "{id}, {label}");
        // The reader of an unfinished bundle decodes nothing.
        let body = growing.response_body(&growing.trace(&id).unwrap()).unwrap();
        assert!(body == *content || body == gz(content), "{id}, {label}");
    }
}

/// The process is killed after each of its writes.
#[test]
fn a_kill_at_any_step_of_a_forced_end_loses_nothing() {
    NO_SYNC.set(true);
    for good in 0.. {
        let (mut capture, part, expected) = unverified();
        STEPS.set(Some((good, u32::MAX)));
        capture.run(|_, _| ());
        let was_reached = STEPS.take().is_some_and(|(_, bad)| bad < u32::MAX);
        if !was_reached {
            assert!(good > 6, "{good} steps");
            break;
        }
        let label = format!("{good} good steps");
        let crashed = capture.folder.join("crashed.zip.part");
        fs::copy(&part, &crashed).unwrap();
        let recovered = crate::tools::recover::fuzz::from_unlocked_part(&crashed).unwrap();
        assert_eq!((recovered.exchanges, recovered.damaged_entries), (3, 0), "{label}");
        assert_complete(&Bundle::open_part(&crashed).unwrap(), &recovered.output, &expected, &label);
    }
    NO_SYNC.set(false);
}
