//! Compression: which entries, on which thread, and which exchanges wait for it.

use super::*;
use crate::bundle::archive::CompressionMethod;
use crate::bundle::archive::scan::{Scan, ScanItem};
use crate::coding::testing::gz;
use crate::record::queue::{FULL_BATCH_ITEMS, Queued};

#[test]
fn small_entries_of_a_full_batch_are_stored() {
    // `CaptureEnd` is one more item.
    for (count, method) in [(FULL_BATCH_ITEMS - 2, 8), (FULL_BATCH_ITEMS - 1, 0)] {
        let mut capture = Capture::new("hurry");
        let summary = capture.run(|c, items| {
            for n in 0..count as u64 {
                items.send(item(c.exchange(n, "http://a.test/"))).unwrap();
            }
            items.send_urgent(Item::CaptureEnd).unwrap();
        });
        open_checked(&summary);
        // The first entry's compression method (APPNOTE 4.4.5).
        let bundle = fs::read(summary.bundle.unwrap()).unwrap();
        assert_eq!(bundle[8..10], [method, 0], "{count} items in a batch");
    }
}

#[test]
fn small_exchanges_do_not_wait_for_a_large_body() {
    let mut capture = Capture::new("long");
    let text = "some text ".repeat(20_000_000 / 10);
    let summary = capture.run(|c, items| {
        let mut exchange = c.exchange(1, "http://long.test/");
        exchange.response_body = c.body(text.as_bytes());
        items.send(item(exchange)).unwrap();
        for n in 2..10 {
            items.send(item(c.exchange(n, "http://short.test/"))).unwrap();
        }
    });
    let bundle = open_checked(&summary);
    let trace = bundle.trace("t_0001").unwrap();
    assert_eq!((trace.request.url.as_str(), trace.response.body_size), ("http://long.test/", text.len() as u64));
    assert!(bundle.response_body(&trace).unwrap() == text.as_bytes());
    let last = capture.notices().pop().unwrap();
    assert!(last.starts_with("t_0001 "), "the exchange that ended first is written last: {last}");
    assert_eq!(summary.exchanges, 9);
}

#[test]
fn groups_count_as_queued_while_their_bodies_are_copied() {
    let mut capture = Capture::new("heads");
    let url = format!("http://a.test/{}", "u".repeat(100_000));
    let large = |capture: &Capture, n: u64| {
        let mut exchange = capture.exchange(n, &url);
        exchange.request_headers.push(b"x-long", &[b'v'; 50_000]);
        exchange.response.as_mut().unwrap().headers.push(b"content-type", b"image/jpeg");
        exchange.response_body = capture.body(&vec![n as u8; 3 << 20]);
        exchange
    };
    for n in 1..=3 {
        let exchange = large(&capture, n);
        let pieces = exchange.response_body.piece_bytes();
        assert!(pieces > 1000);
        let exchange = item(exchange);
        let size = exchange.memory_bytes();
        assert!((150_000 + pieces..160_000 + pieces).contains(&size), "{size}");
        capture.write(exchange);
        let each = capture.queued_bytes() / n as usize;
        assert!((150_000 + pieces..160_000 + pieces).contains(&each), "{each}");
    }
    while capture.writer.as_mut().unwrap().copy_step() {}
    assert_eq!(capture.queued_bytes(), 0);
    assert_eq!(capture.run(|_, _| ()).exchanges, 3);
}

/// While the queue has memory, other items are not delayed. Without, each item that is sent nevertheless would add a body.
#[test]
fn bodies_to_copy_do_not_grow_past_the_memory_of_the_queue() {
    let folder = Capture::new("copies").folder.clone();
    fs::create_dir(&folder).unwrap();
    let mut capture =
        Capture::with_limits(folder, CaptureLimits { memory: Arc::new(Memory::new(1 << 20)), ..limits() });
    let (mut most, mut at_limit) = (0, 0);
    for n in 1..=60 {
        let mut exchange = capture.exchange(n, "http://a.test/");
        exchange.response.as_mut().unwrap().headers.push(b"content-type", b"image/jpeg");
        exchange.response_body = capture.body(&vec![n as u8; 4 << 20]);
        capture.write(item(exchange));
        let writer = capture.writer.as_mut().unwrap();
        let before = writer.bundle.copies.len();
        let is_full = writer.queued.held() >= writer.queued.limit();
        writer.copy_steps();
        match is_full {
            true => at_limit += 1,
            false => assert!(before - writer.bundle.copies.len() <= 1),
        }
        most = most.max(before);
    }
    let limit = capture.writer.as_ref().unwrap().queued.limit();
    assert!(at_limit > 10, "{at_limit} of 60 were written at the limit: {most} bodies at most");
    let writer = capture.writer.as_ref().unwrap();
    assert!(writer.queued.held() < limit * 3 / 2, "{} of {limit}", writer.queued.held());
    assert_eq!(capture.run(|_, _| ()).exchanges, 60);
}

/// Noise does not shrink, not even if it repeats at a distance greater than the compressor's window.
#[test]
fn incompressible_bodies_are_stored() {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let noise: Vec<u8> = (0..256_000).map(|_| next()).collect();
    let text = "a line of text, and its number is 7\n".repeat(8000);
    // In memory, in a file, and with a reservation in the archive.
    let body = |block: &[u8], size| block.iter().copied().cycle().take(size).collect::<Vec<_>>();
    for size in [100_000, 270_000, 2 << 20, 20 << 20] {
        for (block, expected) in
            [(&noise[..], CompressionMethod::Stored), (text.as_bytes(), CompressionMethod::Deflated)]
        {
            let mut capture = Capture::new(&format!("sample{size}{expected:?}"));
            let summary = capture.run(|c, items| {
                let mut exchange = c.exchange(1, "http://a.test/");
                exchange.response_body = c.body(&body(block, size));
                items.send(item(exchange)).unwrap();
            });
            let bundle = open_checked(&summary);
            let file = fs::File::open(summary.bundle.as_deref().unwrap()).unwrap();
            let mut scan = Scan::new(&file).unwrap();
            let mut methods = Vec::new();
            while let ScanItem::Entry(found) = scan.next().unwrap() {
                if found.header.name == "traces/t_0001_response.bin" {
                    methods.push(found.header.method);
                }
            }
            assert_eq!(methods, [expected], "{size} bytes");
            let trace = bundle.trace("t_0001").unwrap();
            assert!(bundle.response_body(&trace).unwrap() == body(block, size), "{size} bytes");
        }
    }
}

#[test]
fn a_body_past_the_decoding_limit_is_stored_as_received() {
    let mut capture = Capture::new("limit");
    capture.writer = None;
    let limits = CaptureLimits { max_body: 999, ..limits() };
    capture.writer = Some(
        Writer::create(
            OutputFile::Path(&capture.output()),
            SpillPlace::beside(&capture.output()),
            limits,
            Observer::default(),
            Moment::now(),
        )
        .unwrap(),
    );
    let gzip = gz(&[b'x'; 1000]);
    let summary = capture.run(|c, items| {
        let mut exchange = c.exchange(1, "http://a.test/");
        exchange.response.as_mut().unwrap().headers.push(b"Content-Encoding", b"gzip");
        exchange.response_body = c.body(&gzip);
        items.send(item(exchange)).unwrap();
    });
    let bundle = open_checked(&summary);
    let trace = bundle.trace("t_0001").unwrap();
    assert_eq!((trace.response.body_encoding.as_deref(), trace.response.body_size), (Some("gzip"), gzip.len() as u64));
    assert_eq!(bundle.response_body(&trace).unwrap(), gzip);
}
