//! Groups that replace committed ones: failed writes, and crashes.

use super::unpacking::{Load, changed, encoded};
use super::*;
use crate::bundle::archive::buffered_file::faults::{DISK_IS_FULL, NO_SYNC, STEPS};
use crate::coding::testing::{TEXT_BR, gz, sample};
use crate::record::writer::replacement::CommittedOutcome;

impl Capture {
    /// Handles everything that the packers do with the groups that are committed.
    fn replace_all(&mut self, mut after_each: impl FnMut(&Self)) {
        let writer = self.writer.as_mut().unwrap();
        writer.commit();
        writer.serve_packers();
        let deadline = Moment::now().plus(Duration::from_secs(60));
        while self.writer.as_ref().unwrap().packers.is_busy() {
            assert!(!deadline.since(Moment::now()).is_zero(), "the packers hang");
            let writer = self.writer.as_mut().unwrap();
            if let Some(outcome) = writer.packers.next(Duration::from_millis(20)) {
                writer.handle(outcome);
                writer.commit();
                after_each(self);
            }
        }
    }
}

#[test]
fn a_replacement_that_cannot_be_written_is_tried_again_if_it_is_needed() {
    let text = sample();
    for (coding, body, encoding, content) in [
        // The group with the body as received stays.
        ("br", TEXT_BR.to_vec(), "br", TEXT_BR.to_vec()),
        // Its claim is false, so the group must not stay.
        ("gzip", changed(gz(&text), 7), "gzip", changed(gz(&text), 7)),
    ] {
        let mut capture = Capture::new(&format!("failed{coding}"));
        capture.set_load(Load::Behind);
        let exchange = encoded(&capture, coding, &body);
        capture.write(item(exchange));
        capture.set_load(Load::Idle);
        DISK_IS_FULL.set(true);
        capture.replace_all(|_| ());
        DISK_IS_FULL.set(false);
        let is_retried = capture.writer.as_ref().unwrap().bundle.retries.len() == 1;
        assert_eq!(is_retried, coding == "gzip");
        let summary = capture.run(|_, _| ());
        assert_eq!((summary.exchanges, summary.lost, summary.warnings.len()), (1, 0, 0), "{:?}", summary.warnings);
        let bundle = open_checked(&summary);
        let trace = bundle.trace("t_0001").unwrap();
        assert_eq!(trace.response.body_encoding.as_deref(), Some(encoding));
        assert!(bundle.response_body(&trace).unwrap() == content);
    }
}

/// The claim of the request is true, and the response was decoded.
#[test]
fn a_group_with_true_claims_stays_if_its_replacement_cannot_be_written() {
    let text = sample();
    let mut capture = Capture::new("stays");
    capture.set_load(Load::Behind);
    let mut exchange = encoded(&capture, "br", TEXT_BR);
    exchange.request_headers.push(b"Content-Encoding", b"gzip");
    exchange.request_body = capture.body(&gz(&text));
    capture.write(item(exchange));
    capture.set_load(Load::Idle);
    DISK_IS_FULL.set(true);
    capture.replace_all(|_| ());
    DISK_IS_FULL.set(false);
    let summary = capture.run(|_, _| ());
    assert_eq!((summary.exchanges, summary.lost, summary.warnings.len()), (1, 0, 0), "{:?}", summary.warnings);
    let bundle = open_checked(&summary);
    let trace = bundle.trace("t_0001").unwrap();
    assert_eq!((trace.request.body_encoding, trace.response.body_encoding.as_deref()), (None, Some("br")));
}

/// The writer would have to read all of the body for it.
#[test]
fn a_packer_computes_the_checksum_of_a_body_that_stays_encoded() {
    let mut capture = Capture::new("checksum");
    capture.set_load(Load::Behind);
    let exchange = encoded(&capture, "gzip", &changed(gz(&sample()), 7));
    capture.write(item(exchange));
    let Writer { bundle, packing, tools, .. } = capture.writer.as_mut().unwrap();
    let record = bundle.backlog.pop().unwrap().unwrap();
    let outcome = bundle.committed_job(record).unwrap().run(packing, tools);
    let CommittedOutcome::Replaced(replacement) = outcome else { panic!("the claim is false") };
    assert!(replacement.bodies[1].has_computed_crc());
}

/// Small groups, and one whose body is copied in steps.
#[test]
fn a_disk_fault_at_any_step_of_a_replacement_loses_nothing() {
    NO_SYNC.set(true);
    let text = sample();
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let noise: Vec<u8> = (0..1_060_000).map(|_| next()).collect();
    let (wrong, large) = (changed(gz(&text), 7), changed(gz(&noise), 7));
    for good in 0.. {
        let mut capture = Capture::new("steps");
        capture.set_load(Load::Behind);
        for (coding, body) in [("gzip", &gz(&text)), ("gzip", &wrong), ("br", &TEXT_BR.to_vec()), ("gzip", &large)] {
            let exchange = encoded(&capture, coding, body);
            capture.write(item(exchange));
            while capture.writer.as_mut().unwrap().copy_step() {}
        }
        capture.set_load(Load::Idle);
        // One fault, or two, so that the truncation after the first fails too.
        STEPS.set(Some((good, 1 + good % 2)));
        capture.replace_all(|_| ());
        while capture.writer.as_mut().unwrap().copy_step() {}
        capture.writer.as_mut().unwrap().commit();
        let was_reached = STEPS.take().is_none();
        let summary = capture.run(|_, _| ());
        assert_eq!((summary.exchanges, summary.lost, summary.warnings.len()), (4, 0, 0), "{:?}", summary.warnings);
        let bundle = open_checked(&summary);
        for (id, encodings, received, content) in [
            ("t_0001", &[None][..], &text, &text),
            ("t_0002", &[Some("gzip")], &wrong, &wrong),
            ("t_0003", &[None, Some("br")], &TEXT_BR.to_vec(), &text),
            ("t_0004", &[Some("gzip")], &large, &large),
        ] {
            let trace = bundle.trace(id).unwrap();
            let encoding = trace.response.body_encoding.as_deref();
            assert!(encodings.contains(&encoding), "{id} {encoding:?} {good} good steps");
            let expected = if encoding.is_some() { received } else { content };
            assert!(bundle.response_body(&trace).unwrap() == *expected, "{id} {good} good steps");
        }
        if !was_reached {
            assert!(good > 8, "{good} steps");
            break;
        }
    }
    NO_SYNC.set(false);
}

#[cfg(feature = "tools")]
#[test]
fn a_crash_at_any_byte_of_a_replacement_loses_nothing() {
    let text = sample();
    let wrong = changed(gz(&text), 7);
    let mut capture = Capture::new("crash");
    capture.set_load(Load::Behind);
    for (coding, body) in [("gzip", gz(&text)), ("gzip", wrong.clone()), ("br", TEXT_BR.to_vec())] {
        let exchange = encoded(&capture, coding, &body);
        capture.write(item(exchange));
    }
    let part = capture.writer.as_ref().unwrap().bundle.archive.unfinished_path().to_owned();
    let before = fs::read(&part).unwrap();
    capture.set_load(Load::Idle);
    capture.replace_all(|_| ());
    let after = fs::read(&part).unwrap();
    assert!(after.starts_with(&before) && after.len() > before.len() + wrong.len(), "{} bytes", after.len());
    let crashed = capture.folder.join("crashed.zip.part");
    let cuts = (before.len()..after.len()).step_by(7919).chain(after.len() - 40..=after.len());
    for cut in cuts {
        fs::write(&crashed, &after[..cut]).unwrap();
        let recovered = crate::tools::recover::fuzz::from_unlocked_part(&crashed).unwrap();
        assert_eq!((recovered.exchanges, recovered.damaged_entries), (3, 0), "{cut} of {} bytes", after.len());
        let bundle = Bundle::open(recovered.output).unwrap();
        for (id, encoding, content) in
            [("t_0001", None, &text), ("t_0002", Some("gzip"), &wrong), ("t_0003", None, &text)]
        {
            let trace = bundle.trace(id).unwrap();
            assert_eq!(trace.response.body_encoding.as_deref(), encoding, "{id}, {cut} of {} bytes", after.len());
            assert!(bundle.response_body(&trace).unwrap() == *content, "{id}, {cut} of {} bytes", after.len());
        }
    }
}

#[test]
fn bundles_before_a_rotation_are_drained_first() {
    let folder = Capture::new("drained").folder.clone();
    fs::create_dir(&folder).unwrap();
    let limits = CaptureLimits { rotate: Some(Rotate::Size(u64::MAX)), ..limits() };
    let mut capture = Capture::with_limits(folder, limits);
    let text = sample();
    capture.set_load(Load::Behind);
    for (coding, body) in [("gzip", changed(gz(&text), 7)), ("br", TEXT_BR.to_vec()), ("gzip", gz(&text))] {
        let exchange = encoded(&capture, coding, &body);
        capture.write(item(exchange));
        let writer = capture.writer.as_mut().unwrap();
        writer.serve_packers();
        writer.rotate(Moment::now());
    }
    assert_eq!(capture.writer.as_ref().unwrap().draining.len(), 3);
    capture.set_load(Load::Idle);
    let summary = capture.run(|_, _| ());
    assert_eq!((summary.exchanges, summary.lost, summary.warnings.len()), (3, 0, 0), "{:?}", summary.warnings);
    assert_eq!(summary.bundles.completed, 3);
    for (n, encoding) in [(1, Some("gzip")), (2, None), (3, None)] {
        let bundle = Bundle::open(capture.folder.join(format!("my app-{n:04}.zip"))).unwrap();
        let trace = bundle.trace(&Id::Trace(n).to_string()).unwrap();
        assert_eq!(trace.response.body_encoding.as_deref(), encoding);
        let content = bundle.response_body(&trace).unwrap();
        assert!(encoding.is_some() || content == text);
    }
}
