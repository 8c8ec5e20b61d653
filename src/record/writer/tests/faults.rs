//! Errors while a bundle is written: full and failing disks, panics, items that make no sense.

use super::*;
use crate::bundle::archive::CompressionMethod;
use crate::bundle::archive::buffered_file::faults::{DISK_IS_FULL, NO_SYNC, STEPS};
use crate::record::body::test_store;
use crate::record::queue::SendError;

#[test]
fn a_full_disk_loses_only_items_sent_while_it_is_full() {
    let mut capture = Capture::new("full");
    capture.write(item(capture.exchange(1, "http://before.test/")));
    capture.write(capture.handshake(2, "ws://a.test/", 1, None));
    capture.write(capture.message(1, 3, Dir::Up, Opcode::Text, b"before"));
    DISK_IS_FULL.set(true);
    capture.write(item(capture.exchange(4, "http://lost.test/")));
    capture.write(capture.message(1, 5, Dir::Up, Opcode::Text, b"lost"));
    capture.write(capture.handshake(6, "ws://b.test/", 2, None));
    capture.write(Item::WebSocketEnd { websocket: WebSocketKey(1), why: None });
    DISK_IS_FULL.set(false);
    capture.write(capture.message(2, 7, Dir::Up, Opcode::Text, b"after"));
    let summary = capture.run(|c, items| items.send(item(c.exchange(8, "http://after.test/"))).unwrap());
    assert_eq!((summary.exchanges, summary.websockets, summary.messages, summary.lost), (3, 2, 2, 3));
    let bundle = open_checked(&summary);
    assert_eq!(
        bundle.traces().iter().collect::<Vec<_>>(),
        ["t_0001", "t_0002", "t_0005"],
        "a lost exchange keeps its number"
    );
    assert_eq!(bundle.trace("t_0005").unwrap().request.url, "http://after.test/");
    assert_eq!(bundle.websocket("ws_0001").unwrap().message_count, 1);
    assert_eq!(bundle.websocket("ws_0002").unwrap().handshake_trace_ref, None);
    assert_eq!(summary.warnings.len(), 1);
    assert!(
        summary.warnings[0].to_string().starts_with("3 exchanges or messages could not be written: "),
        "{:?}",
        summary.warnings
    );
    let failures = capture.notices().iter().filter(|line| line.contains("could not be written")).count();
    assert_eq!(failures, 1, "reported once, not for each item");
    // The WebSocket's end is tried again, so it is not lost yet.
    let again = "the bundle can be written again; 3 exchanges or messages were lost";
    let notices = capture.notices();
    let resumed: Vec<_> = notices.iter().filter(|line| line.contains("again")).collect();
    assert_eq!(resumed, [again], "reported once, at the first write that succeeds");
    assert!(notices.iter().position(|line| line == again) < notices.iter().position(|line| line.contains("after")));
}

#[cfg(feature = "tools")]
#[test]
fn a_disk_that_fails_at_any_step_loses_only_unwritten_items() {
    NO_SYNC.set(true);
    let large: Vec<u8> = (0..400_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    // One failed write; and two, so that the truncation after the first fails too.
    for bad in [1, 2] {
        let mut completed = 0;
        for good in 0.. {
            let mut capture = Capture::new("steps");
            STEPS.set(Some((good, bad)));
            for n in 0..4 {
                let mut exchange = capture.exchange(n, &format!("http://{n}.test/"));
                if n == 2 {
                    exchange.response.as_mut().unwrap().headers.push(b"Content-Type", b"image/png");
                    exchange.response_body = capture.body(&large);
                }
                capture.write(item(exchange));
            }
            capture.write(capture.handshake(5, "ws://a.test/", 1, None));
            capture.write(capture.message(1, 6, Dir::Up, Opcode::Text, b"x"));
            let summary = capture.run(|_, _| ());
            let was_reached = STEPS.take().is_none();
            let written: Vec<_> =
                capture.notices().iter().filter_map(|line| Some(line.split_once(" GET ")?.0.to_owned())).collect();
            assert_eq!(summary.exchanges, written.len() as u64);
            let bundle = match &summary.bundle {
                Some(_) => {
                    completed += 1;
                    open_checked(&summary)
                }
                None => {
                    let unfinished = capture.folder.join("my app.zip.part");
                    drop(capture.writer.take());
                    let recovered = crate::tools::recover::fuzz::from_unlocked_part(&unfinished).unwrap();
                    Bundle::open(recovered.output).unwrap()
                }
            };
            assert_eq!(bundle.traces().iter().collect::<Vec<_>>(), written, "{good} good steps");
            for id in written {
                let trace = bundle.trace(&id).unwrap();
                let body = bundle.response_body(&trace).unwrap();
                assert!(body.is_empty() || body == large, "{good} good steps");
            }
            assert_eq!(bundle.manifest().stats.ws_message_count, summary.messages);
            if !was_reached {
                assert_eq!((summary.exchanges, summary.lost, summary.warnings.len()), (5, 0, 0));
                assert!(
                    good > 10 && completed > 5,
                    "the fault injection is not reached: {good} steps, {completed} bundles"
                );
                break;
            }
            assert!(summary.exchanges + summary.messages + summary.lost >= 6, "{good} good steps");
            assert_eq!(summary.warnings.is_empty(), summary.lost == 0 && summary.bundle.is_some(), "{good} good steps");
        }
    }
    NO_SYNC.set(false);
}

/// A connection that outlasts the capture may send more items after its end.
#[test]
fn items_after_the_end_are_written_or_refused() {
    let mut capture = Capture::new("late");
    let (sender, receiver) = queue();
    sender.send_urgent(Item::CaptureEnd).unwrap();
    for n in 0..200 {
        sender.send(item(capture.exchange(n, "http://late.test/"))).unwrap();
    }
    let summary = capture.writer.take().unwrap().run(&receiver);
    assert_eq!((summary.exchanges, summary.lost), (200, 0));
    let refused = sender.send(item(capture.exchange(200, "http://late.test/")));
    assert_eq!(refused, Err(SendError::Closed));
}

#[test]
fn groups_that_cannot_be_written_together_are_tried_one_by_one() {
    NO_SYNC.set(true);
    let mut lost = Vec::new();
    for bad in 1..8 {
        let mut capture = Capture::new("batch");
        STEPS.set(Some((0, bad)));
        let summary = capture.run(|c, items| {
            for n in 0..5 {
                items.send(item(c.exchange(n, &format!("http://{n}.test/")))).unwrap();
            }
        });
        STEPS.set(None);
        let bundle = open_checked(&summary);
        assert_eq!(summary.exchanges + summary.lost, 5);
        // The last ones are written, since the disk recovers.
        let first = 5 - summary.exchanges;
        assert_eq!(
            bundle.traces().iter().collect::<Vec<_>>(),
            (first..5).map(|n| format!("t_{:04}", n + 1)).collect::<Vec<_>>()
        );
        lost.push(summary.lost);
    }
    assert!(lost[0] == 0 && lost.is_sorted() && lost[6] > 1, "{lost:?}");
    NO_SYNC.set(false);
}

#[test]
fn a_bundle_that_cannot_be_completed_stays_unfinished() {
    let mut capture = Capture::new("incomplete");
    fs::write(capture.output(), b"old").unwrap();
    capture.write(item(capture.exchange(1, "http://a.test/")));
    DISK_IS_FULL.set(true);
    let summary = capture.run(|_, _| ());
    DISK_IS_FULL.set(false);
    assert_eq!((summary.bundle.as_deref(), summary.exchanges), (None, 1));
    assert!(
        summary.warnings[0].to_string().starts_with("the bundle could not be completed: "),
        "{:?}",
        summary.warnings
    );
    assert!(summary.warnings[0].to_string().contains("my app.zip.part"));
    assert_eq!(fs::read(capture.output()).unwrap(), b"old");
    assert!(fs::metadata(capture.folder.join("my app.zip.part")).unwrap().len() > 0);
}

#[test]
fn a_panic_loses_one_item() {
    let mut capture = Capture::new("panic");
    capture.write(item(capture.exchange(1, "http://a.test/")));
    capture.writer.as_mut().unwrap().attempt(|writer| {
        let _ = writer.bundle.archive.group(|archive| {
            archive.begin_entry("traces/t_0002.json".into(), 1, CompressionMethod::Deflated, &[])?;
            std::panic::resume_unwind(Box::new("a panic without a message on stderr"))
        });
        Ok(())
    });
    let summary = capture.run(|c, items| items.send(item(c.exchange(2, "http://b.test/"))).unwrap());
    assert_eq!((summary.exchanges, summary.lost), (2, 1));
    assert_eq!(summary.warnings, [Warning::LostToPanic { count: 1 }]);
    assert_eq!(open_checked(&summary).trace("t_0002").unwrap().request.url, "http://b.test/");
}

#[test]
fn a_panic_in_the_observer_loses_nothing() {
    let mut capture = Capture::new("observer");
    let observer = Observer::new(|_| std::panic::resume_unwind(Box::new("a panic without a message on stderr")));
    capture.writer = None;
    capture.writer = Some(
        Writer::create(
            OutputFile::Path(&capture.output()),
            SpillPlace::beside(&capture.output()),
            limits(),
            observer,
            Moment::now(),
        )
        .unwrap(),
    );
    let summary = capture.run(|c, items| items.send(item(c.exchange(1, "http://a.test/"))).unwrap());
    assert_eq!((summary.exchanges, summary.lost), (1, 0));
    open_checked(&summary);
}

#[test]
fn a_message_without_a_websocket_is_counted_as_lost() {
    let mut capture = Capture::new("orphan");
    let summary = capture.run(|c, items| items.send(c.message(1, 1, Dir::Up, Opcode::Text, b"x")).unwrap());
    assert_eq!((summary.messages, summary.lost), (0, 1));
    open_checked(&summary);
}

#[test]
fn warns_about_truncated_bodies() {
    let mut capture = Capture::new("truncated");
    let elsewhere = test_store("/nowhere/at/all", 1 << 20);
    let summary = capture.run(|c, items| {
        for _ in 0..2 {
            let mut exchange = c.exchange(1, "http://a.test/");
            exchange.response_body = Body::new(&elsewhere);
            exchange.response_body.push(b"the beginning");
            exchange.response_body.push(&[0; 1 << 20]);
            items.send(item(exchange)).unwrap();
        }
    });
    assert!(
        summary.warnings[0].to_string().starts_with("2 bodies are truncated in the bundle: "),
        "{:?}",
        summary.warnings
    );
    let bundle = open_checked(&summary);
    let trace = bundle.trace("t_0001").unwrap();
    assert!(bundle.response_body(&trace).unwrap().starts_with(b"the beginning"));
}
