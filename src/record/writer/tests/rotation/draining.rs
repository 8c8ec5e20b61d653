//! Bodies of earlier bundles, which are verified, decoded or copied after the rotation.

use super::merging::{Merge, assert_merged, items};
use super::*;
use crate::coding::testing::gz;

/// Returns an exchange with a gzip body. If `is_damaged`, its checksum is false.
fn gzip_exchange(capture: &Capture, n: u64, is_damaged: bool) -> Item {
    let mut body = gz(format!("text of exchange {n} ").repeat(9000).as_bytes());
    if is_damaged {
        let at = body.len() - 6;
        body[at] ^= 0x5a;
    }
    let mut exchange = capture.exchange(n, "http://a.test/");
    exchange.response.as_mut().unwrap().headers.push(b"Content-Encoding", b"gzip");
    exchange.response_body = capture.body(&body);
    item(exchange)
}

#[test]
fn packers_go_on_with_earlier_bundles() {
    NO_SYNC.set(true);
    let write = |capture: &mut Capture, rotates: bool| {
        let packers = &mut capture.writer.as_mut().unwrap().packers;
        packers.refuse_fresh(true);
        packers.hold(true);
        capture.write(gzip_exchange(capture, 1, false));
        capture.write(gzip_exchange(capture, 2, true));
        capture.write(capture.handshake(3, "ws://a.test/", 1, None));
        capture.write(capture.message(1, 4, Dir::Up, Opcode::Text, b"one"));
        if rotates {
            capture.rotate();
            assert_eq!(capture.names(), ["my app-0001.zip.part", "my app-0002.zip.part"], "it is not verified yet");
        }
        capture.write(gzip_exchange(capture, 5, false));
        capture.write(capture.message(1, 6, Dir::Up, Opcode::Text, b"two"));
        let writer = capture.writer.as_mut().unwrap();
        writer.packers.hold(false);
        // The packers report on the earlier bundle before the next commit.
        writer.attempt(|writer| writer.write(Item::WebSocketEnd { websocket: WebSocketKey(1), why: None }));
        let deadline = Moment::now().plus(Duration::from_secs(20));
        while !writer.draining.is_empty() && !deadline.since(Moment::now()).is_zero() {
            writer.serve_packers();
            writer.drain_step();
        }
        assert!(writer.draining.is_empty());
        if rotates {
            let published = writer.published().lock().clone();
            assert!(published.part.ends_with("my app-0002.zip.part"), "{}", published.part.display());
            let first = fs::metadata(capture.part(1)).or(fs::metadata(capture.folder.join("my app-0001.zip.part")));
            assert!((1..=first.unwrap().len()).contains(&published.earlier_bytes), "{}", published.earlier_bytes);
        }
    };
    let mut whole = Capture::new("pack-whole");
    write(&mut whole, false);
    let summary = whole.run(|_, _| ());
    let bundle = open_checked(&summary);
    assert_eq!(bundle.trace("t_0002").unwrap().response.body_encoding.as_deref(), Some("gzip"));
    let mut capture = Capture::rotating("pack", NEVER, None);
    write(&mut capture, true);
    let summary = capture.run(|_, _| ());
    assert_eq!((summary.exchanges, summary.websockets, summary.messages, summary.lost), (4, 1, 2, 0));
    for number in [1, 2] {
        let websocket = check_file(&capture.part(number)).websocket("ws_0001").unwrap();
        assert_eq!((websocket.message_count, websocket.handshake_trace_ref.as_deref()), (1, Some("t_0003")));
    }
    let merge: &Merge = &|parts, output| drop(crate::tools::merge::merge(parts, output, &Default::default()).unwrap());
    assert_merged(&capture, &bundle, merge);
    NO_SYNC.set(false);
}

#[test]
fn an_earlier_bundle_does_not_wait_for_a_busy_app() {
    let mut capture = Capture::rotating("busy", NEVER, None);
    capture.writer.as_mut().unwrap().pause_if(true);
    capture.write(gzip_exchange(&capture, 1, false));
    capture.rotate();
    capture.write(gzip_exchange(&capture, 2, false));
    let writer = capture.writer.as_mut().unwrap();
    let deadline = Moment::now().plus(Duration::from_secs(20));
    while !writer.draining.is_empty() && !deadline.since(Moment::now()).is_zero() {
        writer.pause_if(true);
        writer.serve_packers();
        writer.drain_step();
    }
    assert!(writer.draining.is_empty());
    writer.pause_if(true);
    assert!(writer.packers.is_paused(), "the current one does");
    assert_eq!(capture.run(|_, _| ()).exchanges, 2);
}

#[test]
fn large_bodies_do_not_hold_up_a_rotation() {
    let large = |n: usize| b"0123456789abcdef".repeat(200_000 + n);
    let write = |capture: &mut Capture, rotates: bool| {
        for n in 0..4 {
            let mut exchange = capture.exchange(n, "http://a.test/");
            exchange.response.as_mut().unwrap().headers.push(b"Content-Type", b"video/mp4");
            exchange.response_body = capture.body(&large(n as usize));
            capture.write(item(exchange));
            if n == 2 && rotates {
                // The first of three is being copied.
                assert!(capture.writer.as_mut().unwrap().copy_step());
                capture.rotate();
                assert_eq!(capture.names(), ["my app-0001.zip.part", "my app-0002.zip.part"]);
            }
        }
    };
    let mut whole = Capture::new("large-whole");
    write(&mut whole, false);
    let summary = whole.run(|_, _| ());
    let mut capture = Capture::rotating("large", NEVER, None);
    write(&mut capture, true);
    capture.run(|_, _| ());
    let ids = |number| items(&check_file(&capture.part(number))).into_keys().collect::<Vec<_>>();
    assert_eq!((ids(1), ids(2)), (vec!["t_0001".into()], vec!["t_0002".into(), "t_0003".into(), "t_0004".into()]));
    let merge: &Merge = &|parts, output| drop(crate::tools::merge::merge(parts, output, &Default::default()).unwrap());
    assert_merged(&capture, &open_checked(&summary), merge);
}
